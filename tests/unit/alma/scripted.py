"""A tiny HTTP server that answers from a script, to show the client what no polite server would send."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "unlikely-test-word"


@dataclass
class Say:
    """One answer. `drop` closes the connection without one; `cut` sends only so many bytes of the body."""

    body: bytes = b"{}"
    status: int = 200
    content_type: str = "application/json;charset=UTF-8"
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    cut: int | None = None
    forever: bytes = b""  # sent again and again after the body, until the client has enough
    hold: threading.Event | None = None  # answer only when set


def as_json(value: Any, status: int = 200, **headers: str) -> Say:
    return Say(
        json.dumps(value).encode(), status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def as_xml(text: str, status: int = 200) -> Say:
    return Say(text.encode(), status, "application/xml;charset=UTF-8")


def refusal(code: str, message: str = "no", status: int = 400) -> Say:
    error = {"errorCode": code, "errorMessage": message, "trackingId": "E01-1"}
    return as_json({"errorsExist": True, "errorList": {"error": [error]}, "result": None}, status)


def gateway(code: str, status: int) -> Say:
    return as_xml(
        '<?xml version="1.0"?><web_service_result xmlns="http://com/exlibris/urm/general/xmlbeans">'
        f"<errorsExist>true</errorsExist><errorList><error><errorCode>{code}</errorCode>"
        "<errorMessage>gateway words</errorMessage></error></errorList></web_service_result>",
        status,
    )


HTML = Say(b"<!DOCTYPE html><html><body>Maintenance</body></html>", 200, "text/html;charset=UTF-8")


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Scripted:
    """`script` is used up in order; the last answer is repeated. `asked` is what came in."""

    def __init__(self) -> None:
        self.script: list[Say] = []
        self.asked: list[Asked] = []
        self.url = ""
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()

    def says(self, *answers: Say) -> None:
        self.script = list(answers)

    def next(self, asked: Asked) -> Say:
        with self.lock:
            self.asked.append(asked)
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    scripted: Scripted

    def setup(self) -> None:
        super().setup()
        with self.scripted.lock:
            self.scripted.connections += 1

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        asked = Asked(self.command, self.path, dict(self.headers), self.rfile.read(length))
        scripted = self.scripted
        with scripted.lock:
            scripted.at_once += 1
            scripted.most_at_once = max(scripted.most_at_once, scripted.at_once)
        try:
            say = scripted.next(asked)
            if say.hold is not None:
                say.hold.wait(30)
            self._send(say)
        except OSError:
            self.close_connection = True  # the client had enough
        finally:
            with scripted.lock:
                scripted.at_once -= 1

    def _send(self, say: Say) -> None:
        if say.drop:
            self.close_connection = True
            return
        self.send_response(say.status)
        for name, value in {"Content-Type": say.content_type, **say.headers}.items():
            self.send_header(name, value)
        if say.forever:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(say.body)))
        self.end_headers()
        self.wfile.write(say.body[: say.cut] if say.cut is not None else say.body)
        while say.forever:
            self.wfile.write(say.forever)
        if say.cut is not None:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def serve() -> Iterator[Scripted]:
    scripted = Scripted()
    handler = type("Handler", (_Handler,), {"scripted": scripted})
    server = _Server(("127.0.0.1", 0), handler)
    scripted.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


BASE = "/almaws/v1"


def sent(alma: Scripted) -> tuple[str, str, Any]:
    """Method, path and query, and JSON body of the last request."""
    last = alma.asked[-1]
    return last.method, last.target.removeprefix(BASE), json.loads(last.body or b"null")
