"""The sandbox as an ASGI application."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alma_sandbox.control import surface as control
from alma_sandbox.gateway.endpoint import endpoint, query_without_key
from alma_sandbox.http import http_errors
from alma_sandbox.http.call import BASE
from alma_sandbox.routes import ROUTES, sru
from alma_sandbox.sandbox import Sandbox
from alma_sandbox.settings import Settings


class _Front:
    """Around everything: the log, the headers of the gateway, and paths that it refuses unread."""

    def __init__(self, app: ASGIApp, sandbox: Sandbox) -> None:
        self._app = app
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox"):
            await self._app(scope, receive, send)
            return
        log = self._sandbox.log
        raw_path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
        trace = log.open(
            scope["method"], raw_path.decode("latin-1"), query_without_key(scope["query_string"])
        )
        scope.setdefault("state", {})["trace"] = trace

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                trace.status = message["status"]
                headers = [
                    (b"server", b"Layer7-API-Gateway"),
                    (b"x-request-id", f"{trace.number:010d}".encode()),
                ]
                message["headers"] = [*message.get("headers", []), *headers]
            await send(message)

        try:
            if b"%2f" in raw_path.lower():
                await http_errors.encoded_slash()(scope, receive, send_and_note)
            else:
                await self._app(scope, receive, send_and_note)
        finally:
            log.close(trace)


def _pages(make: Callable[[], Response]) -> Callable[[Request, Exception], Response]:
    def handler(_: Request, __: Exception) -> Response:
        return make()

    return handler


def create_app(settings: Settings | None = None) -> Starlette:
    """A sandbox of its own, with its data in ``app.state.sandbox``."""
    sandbox = Sandbox(settings or Settings())
    routes = [
        Route(BASE + entry.path, endpoint(sandbox, entry), methods=list(entry.handlers)) for entry in ROUTES
    ]
    pages = {404: _pages(http_errors.unknown_path), 405: _pages(http_errors.wrong_method)}
    app = Starlette(
        routes=[*routes, *sru.routes(sandbox), *control.routes(sandbox)], exception_handlers={**pages}
    )
    app.router.redirect_slashes = False
    app.add_middleware(_Front, sandbox=sandbox)
    app.state.sandbox = sandbox
    return app
