"""A pooler like pgbouncer in transaction mode: what clients share are the server's sessions, one transaction long.

It knows as little of PostgreSQL's protocol as it needs: where a message ends, and when a session is idle. A
transaction gets the session that was idle longest, so that nobody gets the same one twice by luck.
"""

import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator

_SSL = 80877103


class Pooler:
    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._idle: deque[socket.socket] = deque()
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.transactions = 0
        self._open: list[socket.socket] = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server: socket.socket | None = None
        with contextlib.suppress(OSError, EOFError):
            try:
                self._log_in(client)
                batch = b""
                while True:
                    kind, message = _message(client)
                    if kind == b"X":
                        break
                    batch += message
                    if kind not in (b"Q", b"S"):
                        continue
                    if server is None:
                        with self._lock:
                            server = self._idle.popleft()
                            self.transactions += 1
                    server.sendall(batch)
                    batch = b""
                    if _until_ready(server, client) == b"I":
                        with self._lock:
                            self._idle.append(server)
                        server = None
            finally:
                client.close()
                if server is not None:  # in the middle of a transaction
                    server.close()

    def _log_in(self, client: socket.socket) -> None:
        """Each client brings a session of its own along, and is logged in by the server itself."""
        server = socket.create_connection(self._server)
        self._open.append(server)
        while True:
            (length,) = struct.unpack("!I", head := _exactly(client, 4))
            body = _exactly(client, length - 4)
            if struct.unpack("!I", body[:4])[0] != _SSL:
                break
            client.sendall(b"N")
        server.sendall(head + body)
        while True:
            kind, message = _message(server)
            client.sendall(message)
            if kind == b"Z":
                break
            if kind == b"R" and struct.unpack("!I", message[5:9])[0] not in (0, 12):  # it asks for something
                server.sendall(_message(client)[1])
        with self._lock:
            self._idle.append(server)


def _until_ready(server: socket.socket, client: socket.socket) -> bytes:
    """Pass the answers on; the state in which the session is then: I idle, T in a transaction, E in a failed one."""
    while True:
        kind, message = _message(server)
        client.sendall(message)
        if kind == b"Z":
            return message[5:6]


def _message(stream: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(stream, 5)
    (length,) = struct.unpack("!I", head[1:])
    return head[:1], head + _exactly(stream, length - 4)


def _exactly(stream: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = stream.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found


@contextlib.contextmanager
def pooled(host: str, port: int) -> Iterator[Pooler]:
    pooler = Pooler(host, port)
    try:
        yield pooler
    finally:
        pooler.close()
