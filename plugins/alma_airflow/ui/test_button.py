"""Makes the Test button work for connections without a port.

Airflow 3.3.2 refuses the test of such a connection ("The host or port to test differs from the stored
connection"): the page sends port 0 for a port that is not set, and the server takes that for another address.
Fixed in Airflow by https://github.com/apache/airflow/pull/73298; this file goes when constraints.txt has it.
"""

import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class PortlessTest:
    """Middleware of Airflow's API server: leaves a port 0 out of what the Test button sends."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; change the body of this one request."""
        if (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and scope["path"].endswith("/api/v2/connections/test")
        ):
            scope, receive = await _without_port_zero(scope, receive)
        await self.app(scope, receive, send)


async def _without_port_zero(scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":  # the browser went away
            return scope, _first(message, receive)
        body += message.get("body", b"")
        more = message.get("more_body", False)
    body = _stripped(body)
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    length = (b"content-length", str(len(body)).encode())
    whole: Message = {"type": "http.request", "body": body, "more_body": False}
    return {**scope, "headers": [*headers, length]}, _first(whole, receive)


def _stripped(body: bytes) -> bytes:
    try:
        asked = json.loads(body)
    except ValueError:
        return body  # Airflow's to refuse
    if not isinstance(asked, dict) or asked.get("port") != 0:
        return body
    del asked["port"]
    return json.dumps(asked).encode()


def _first(message: Message, then: Receive) -> Receive:
    waiting = [message]

    async def receive() -> Message:
        return waiting.pop() if waiting else await then()

    return receive
