"""Alma's errors: what handlers raise, the envelope in its two formats, and the gateway's own answers and pages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from starlette.responses import Response

from alma_sandbox.http.answers import DECLARATION, HTML_TYPE, JSON_TYPE, XML_TYPE

if TYPE_CHECKING:
    from alma_sandbox.gateway.log import Entry
    from alma_sandbox.sandbox import Sandbox


class Refusal(Exception):
    """A handler refuses a call with one of Alma's codes; almost always HTTP 400."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status


class Tracking:
    """Makes tracking ids of Alma's form ``E01-ddmmhhmmss-XXXXX-AWAE#########``, each once."""

    def __init__(self) -> None:
        self._number = 0

    def next(self, stamp: str) -> str:
        """The next tracking id; ``stamp`` is the time as ddmmhhmmss."""
        self._number += 1
        letters, rest = "", self._number * 7919
        for _ in range(5):
            rest, letter = divmod(rest, 26)
            letters += chr(ord("A") + letter)
        return f"E01-{stamp}-{letters}-AWAE{self._number:09d}"


def error_json(code: str, message: str, tracking_id: str | None) -> bytes:
    """The JSON envelope."""
    error = {"errorCode": code, "errorMessage": message}
    if tracking_id is not None:
        error["trackingId"] = tracking_id
    return json.dumps(
        {"errorsExist": True, "errorList": {"error": [error]}, "result": None}, ensure_ascii=False
    ).encode()


def error_xml(code: str, message: str, tracking_id: str | None) -> bytes:
    """The XML envelope; the gateway's own errors have no tracking id."""
    tracking = f"<trackingId>{tracking_id}</trackingId>" if tracking_id is not None else ""
    return (
        f'{DECLARATION}<web_service_result xmlns="http://com/exlibris/urm/general/xmlbeans">'
        "<errorsExist>true</errorsExist><errorList><error>"
        f"<errorCode>{escape(code)}</errorCode><errorMessage>{escape(message)}</errorMessage>{tracking}"
        "</error></errorList></web_service_result>"
    ).encode()


UNAUTHORIZED = "API-key not defined or not configured to allow this API."
PER_SECOND = "HTTP requests are more than allowed per second. See https://goo.gl/2x1c1M"
DAILY = "HTTP requests have reached the daily threshold allowed. See https://goo.gl/2x1c1M"


def error_response(sandbox: Sandbox, trace: Entry, refusal: Refusal, *, json: bool) -> Response:
    """An application error in the format asked for, with a tracking id."""
    trace.code = refusal.code
    render = error_json if json else error_xml
    content = render(refusal.code, refusal.message, sandbox.tracking_id())
    return Response(content, refusal.status, headers={"content-type": JSON_TYPE if json else XML_TYPE})


def unauthorized(trace: Entry) -> Response:
    """400: no key, an unknown key, or a key without the right."""
    return _gateway_error(trace, 400, "UNAUTHORIZED", UNAUTHORIZED)


def per_second_refusal(sandbox: Sandbox, trace: Entry) -> Response:
    """429: too many calls in this second."""
    response = _gateway_error(trace, 429, "PER_SECOND_THRESHOLD", PER_SECOND)
    response.headers["X-Exl-Api-Remaining"] = str(sandbox.calls_left())
    return response


def daily_refusal(trace: Entry) -> Response:
    """429: the day's allowance is used up."""
    response = _gateway_error(trace, 429, "DAILY_THRESHOLD", DAILY)
    response.headers["X-Exl-Api-Remaining"] = "0"
    return response


def _gateway_error(trace: Entry, status: int, code: str, message: str) -> Response:
    """An error of the gateway: XML whatever was asked for, and no tracking id."""
    trace.code = code
    return Response(error_xml(code, message, None), status, headers={"content-type": XML_TYPE})


def page(status: int, title: str, text: str) -> Response:
    """An HTML page as the servers around Alma write it."""
    body = (
        f'<!doctype html><html lang="en"><head><title>{title}</title></head>'
        f"<body><h1>{title}</h1><p>{text}</p></body></html>"
    )
    return Response(body, status, headers={"content-type": HTML_TYPE})


def encoded_slash() -> Response:
    """What the gateway answers to ``%2F`` in a path."""
    return page(400, "HTTP Status 400 – Bad Request", "The request line holds an encoded slash.")


def unknown_path() -> Response:
    """What the gateway answers to a path that it does not know."""
    return page(404, "HTTP Status 404 – Not Found", "The requested resource is not available.")


def wrong_method() -> Response:
    """What the gateway answers to a method that a path does not have."""
    return page(405, "HTTP Status 405 – Method Not Allowed", "The method is not allowed for this resource.")


def broken(content: bytes, *, json: bool) -> bytes:
    """A body that ends like a complete one and can still not be parsed."""
    if json:
        return content.rstrip(b"}") + b'"}'
    return (
        content[: content.rfind(b"</")] + b"<unclosed>"
        if b"</" in content
        else DECLARATION.encode() + b"<a><b></a>"
    )
