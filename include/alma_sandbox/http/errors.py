"""Alma's errors: the exception that handlers raise and the envelope in its two formats."""

import json
from xml.sax.saxutils import escape

from alma_sandbox.http.answers import DECLARATION


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
