"""Serving an application on 127.0.0.1: in the foreground for the commands, in a thread for tests."""

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import uvicorn
from starlette.types import ASGIApp, Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

HOST = "127.0.0.1"
_Key = tuple[Any, Any]
_open: dict[_Key, asyncio.Transport] = {}


class TrackedProtocol(H11Protocol):
    """uvicorn's protocol, entering each connection into a table by its two addresses."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        self._key: _Key = (transport.get_extra_info("sockname"), transport.get_extra_info("peername"))
        _open[self._key] = transport
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        _open.pop(self._key, None)
        super().connection_lost(exc)


async def drop(scope: Scope, receive: Receive, *, flush: bool = False) -> None:
    """Close the connection of a request at once, or after what was already written (``flush``).

    Without a connection of our own (an app called in-process) a ConnectionResetError stands for it.
    """
    server, client = scope.get("server"), scope.get("client")
    transport = _open.get((tuple(server or ()), tuple(client or ())))
    if transport is None:
        raise ConnectionResetError("the sandbox dropped this call on purpose")
    if flush:
        transport.close()
    else:
        transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


class _Server(uvicorn.Server):
    """uvicorn that says when it accepts connections and leaves signals to its caller."""

    def __init__(self, app: ASGIApp, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=TrackedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=120,
                timeout_graceful_shutdown=1,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept, then say so."""
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers."""
        yield


def _listen(port: int) -> socket.socket:
    # The protocol is named because asyncio turns off Nagle's delay only on sockets that name it; without that
    # each answer of two writes would wait 40 ms for the client's acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen(1024)
    return listener


class Keeping(Protocol):
    """What keeps the state of an application while it is served: ``state_file.StateFile``."""

    said: list[str]

    async def keep(self) -> None:
        """Write what calls change, until this is cancelled."""

    def save(self, *, ended: bool = False) -> None:
        """Write the state now."""


def run_app(app: ASGIApp, port: int, ready: Callable[[str], None], file: Keeping | None = None) -> None:
    """Serve any application in the same way."""
    with _listen(port) as listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}"

        def started() -> None:
            ready(url)
            for line in file.said if file is not None else ():
                sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

        asyncio.run(_serve(_Server(app, started), listener, file))


async def _serve(server: _Server, listener: socket.socket, file: Keeping | None) -> None:
    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if file is None:
        await server.serve(sockets=[listener])
        return
    keeping = asyncio.create_task(file.keep())
    await server.serve(sockets=[listener])
    keeping.cancel()
    file.save(ended=True)


@contextmanager
def serve_app(app: ASGIApp, *, port: int = 0) -> Iterator[str]:
    """Run any application in the same way; its base URL."""
    started = threading.Event()
    server = _Server(app, started.set)
    with _listen(port) as listener:
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="alma-sandbox", daemon=True
        )
        thread.start()
        try:
            if not started.wait(30):
                raise RuntimeError("the sandbox did not start within 30 seconds")
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
