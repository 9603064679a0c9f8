"""A real SFTP server in a thread of the test, with the habits that partners' servers have."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import paramiko


@dataclass
class Habits:
    """How the server behaves, and what it did: (operation, file name...)."""

    posix_rename: bool = True  # OpenSSH's extension, which replaces
    removes: bool = True
    room: int | None = None  # bytes a file may have
    did: list[tuple[str, ...]] = field(default_factory=list)


class _Files(asyncssh.SFTPServer):
    habits: Habits
    root: Path

    def __init__(self, channel: asyncssh.SSHServerChannel) -> None:
        super().__init__(channel, chroot=str(self.root))

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        self._note("open", path)
        return super().open(path, pflags, attrs)

    def write(self, file_obj: object, offset: int, data: bytes) -> object:
        if self.habits.room is not None and offset + len(data) > self.habits.room:
            raise asyncssh.SFTPFailure("the disk is full")
        return super().write(file_obj, offset, data)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        if not self.habits.posix_rename:
            raise asyncssh.SFTPOpUnsupported("posix-rename@openssh.com is not supported")
        self._note("posix_rename", oldpath, newpath)
        super().posix_rename(oldpath, newpath)

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        self._note("rename", oldpath, newpath)
        super().rename(oldpath, newpath)

    def remove(self, path: bytes) -> None:
        if not self.habits.removes:
            raise asyncssh.SFTPPermissionDenied("files may not be removed here")
        self._note("remove", path)
        super().remove(path)

    def _note(self, operation: str, *paths: bytes) -> None:
        self.habits.did.append((operation, *(path.decode().rpartition("/")[2] for path in paths)))


class _NoPasswords(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False


@contextmanager
def sftp_server(root: Path, habits: Habits) -> Iterator[paramiko.SFTPClient]:
    """Serve ``root`` on 127.0.0.1, and give a client that is logged in."""
    files = type("Files", (_Files,), {"habits": habits, "root": root})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(_listen(files), loop).result(30)
    transport = paramiko.Transport(("127.0.0.1", server.get_port()))
    try:
        transport.connect()
        transport.auth_none("partner")
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        yield client
    finally:
        transport.close()
        asyncio.run_coroutine_threadsafe(_close(server), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


async def _listen(files: type[asyncssh.SFTPServer]) -> asyncssh.SSHAcceptor:
    return await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=_NoPasswords,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        sftp_factory=files,
    )


async def _close(server: asyncssh.SSHAcceptor) -> None:
    server.close()
    await server.wait_closed()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
