"""What a fault makes of a call: the spoilt answers."""

import json
from collections.abc import AsyncIterator

from lxml import etree
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from alma_sandbox.gateway.faults import FaultRule
from alma_sandbox.gateway.log import Entry
from alma_sandbox.http.answers import HTML_TYPE, JSON_TYPE, XML_TYPE
from alma_sandbox.http.connections import drop
from alma_sandbox.http.errors import Refusal, error_xml
from alma_sandbox.http.http_errors import broken, daily_refusal, error_response, page, per_second_refusal
from alma_sandbox.sandbox import Sandbox

_CHUNK = 1 << 20


class Dropped(Response):
    """No answer at all: the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection."""
        await drop(scope, receive)


class Truncated(Response):
    """Headers that promise a whole body, half of it, and a closed connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half and close."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await drop(scope, receive, flush=True)


def answer(
    sandbox: Sandbox, rule: FaultRule, trace: Entry, response: Response | None, *, json: bool
) -> Response:
    """The answer that a rule puts in the place of ``response`` (None: the call was not carried out)."""
    content = bytes(response.body) if response is not None else b""
    kind = JSON_TYPE if json else XML_TYPE
    if response is not None:
        kind = response.headers.get("content-type", kind)
    status = response.status_code if response is not None else 200
    match rule.kind:
        case "refuse":
            return error_response(
                sandbox, trace, Refusal(rule.code, rule.message, rule.status or 400), json=json
            )
        case "per_second":
            return per_second_refusal(sandbox, trace)
        case "daily":
            return daily_refusal(trace)
        case "server_error":
            error = Refusal(
                "INTERNAL_SERVER_ERROR", "The web server encountered an unexpected condition.", 500
            )
            return error_response(sandbox, trace, error, json=json)
        case "bad_gateway":
            return page(rule.status or 502, "502 Bad Gateway", "The upstream server did not answer.")
        case "maintenance":
            return page(rule.status or 200, "Scheduled maintenance", "Alma will be back soon.")
        case "xml_error":
            trace.code = rule.code
            body = error_xml(rule.code, rule.message, sandbox.tracking_id())
            return Response(body, rule.status or 400, headers={"content-type": XML_TYPE})
        case "drop":
            return Dropped()
        case "truncated":
            return Truncated(content or b"<html><body></body></html>", status, headers={"content-type": kind})
        case "malformed":
            return Response(broken(content, json="json" in kind), status, headers={"content-type": kind})
        case "charset":
            text = content.decode("utf-8")
            return Response(text.encode(rule.encoding, "replace"), status, headers={"content-type": kind})
        case "short" | "miscount":
            return Response(_listed(rule, content), status, headers={"content-type": kind})
        case "huge":
            return StreamingResponse(_huge(rule.bytes, json=json), status, headers={"content-type": kind})
        case _:
            return Response(
                rule.text, rule.status or 200, headers={"content-type": rule.content_type or HTML_TYPE}
            )


def _listed(rule: FaultRule, content: bytes) -> bytes:
    """A list that does not name what it counts; anything else stays as it is."""
    if content.lstrip().startswith(b"{"):
        document = json.loads(content)
        rows = next((value for value in document.values() if isinstance(value, list)), [])
        if rule.kind == "short":
            gone = [row for row in rows if rule.text in json.dumps(row)][-rule.rows :]
            rows[:] = [row for row in rows if not any(row is each for each in gone)]
        elif "total_record_count" in document:
            document["total_record_count"] += rule.by
        return json.dumps(document).encode()
    root = etree.fromstring(content)
    if rule.kind == "short" and root.get("total_record_count") is not None:
        rows = [row for row in root if rule.text in etree.tostring(row, encoding="unicode")]
        for row in rows[-rule.rows :]:
            root.remove(row)
    elif root.get("total_record_count") is not None:
        root.set("total_record_count", str(int(root.get("total_record_count", "0")) + rule.by))
    return etree.tostring(root, encoding="utf-8", xml_declaration=True)


async def _huge(size: int, *, json: bool) -> AsyncIterator[bytes]:
    """A body of about ``size`` bytes that a parser would accept to its end."""
    start, end = (b'{"padding":"', b'"}') if json else (b"<padding>", b"</padding>")
    yield start
    left = size - len(start) - len(end)
    while left > 0:
        yield b"x" * min(_CHUNK, left)
        left -= _CHUNK
    yield end
