"""Access to the TCP connection of a request, so that a fault can close it in the middle of an answer."""

import asyncio
from typing import Any

from starlette.types import Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

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
