"""The sandbox as an ASGI application."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alma_sandbox.aleph import xserver
from alma_sandbox.control import surface as control
from alma_sandbox.gateway.endpoint import endpoint, query_without_key
from alma_sandbox.http import errors
from alma_sandbox.http.call import BASE
from alma_sandbox.http.server import run_app, serve_app
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
            if message["type"] == "http.response.start" and scope["path"] != xserver.PATH:
                headers = [
                    (b"server", b"Layer7-API-Gateway"),
                    (b"x-request-id", f"{trace.number:010d}".encode()),
                ]
                message["headers"] = [*message.get("headers", []), *headers]
            await send(message)

        try:
            if b"%2f" in raw_path.lower():
                await errors.encoded_slash()(scope, receive, send_and_note)
            else:
                await self._app(scope, receive, send_and_note)
        finally:
            log.close(trace)


def _pages(make: Callable[[], Response]) -> Callable[[Request, Exception], Response]:
    def handler(_: Request, __: Exception) -> Response:
        return make()

    return handler


def create_app(settings: Settings | None = None, network: Sandbox | None = None) -> Starlette:
    """A sandbox of its own, with its data in ``app.state.sandbox``, a member of the ``network`` where one is given."""
    sandbox = Sandbox(settings or Settings(), network)
    routes = [
        Route(BASE + entry.path, endpoint(sandbox, entry), methods=list(entry.handlers)) for entry in ROUTES
    ]
    pages = {404: _pages(errors.unknown_path), 405: _pages(errors.wrong_method)}
    app = Starlette(
        routes=[*routes, *sru.routes(sandbox), *xserver.routes(sandbox), *control.routes(sandbox)],
        exception_handlers={**pages},
    )
    app.router.redirect_slashes = False
    app.add_middleware(_Front, sandbox=sandbox)
    app.state.sandbox = sandbox
    return app


def run(settings: Settings, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``ready`` is called with the base URL once connections are accepted.

    Port 0 takes a free one. OSError when the port is taken.
    """
    run_app(create_app(settings), port, ready)


@dataclass(frozen=True)
class Running:
    """A sandbox that runs in a thread. Read ``sandbox`` only while no call is under way."""

    url: str
    sandbox: Sandbox


@contextmanager
def serve(
    settings: Settings | None = None, *, port: int = 0, network: Running | None = None
) -> Iterator[Running]:
    """Run a sandbox in a thread of this process for the time of a ``with`` block; ``network``: that of its network
    zone."""
    app = create_app(settings, network.sandbox if network is not None else None)
    with serve_app(app, port=port) as url:
        yield Running(url, app.state.sandbox)
