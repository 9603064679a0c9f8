"""Locks by name that all workers share, kept with the state store: one at a time, on whatever host.

A lock lasts as long as its holder lives: a killed worker's locks are free at once. PostgreSQL keeps them as
advisory locks of a session. Beside a SQLite store, which serves one host, they are locked files.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from alma_etl.store.db import StoreUnavailable, first_line, parse_url, place

log = logging.getLogger(__name__)

_STRIPES = 256  # names share this many files, so that the folder does not grow
_POLL = 0.25  # seconds


class LockBusy(Exception):
    """Somebody else held the lock for longer than one is willing to wait; the message names it."""


class Locks:
    """Locks of one task. Close them when done. Safe for many threads; a thread holds one lock at a time."""

    def __init__(
        self, keeper: _Keeper, *, patience: float = 900, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._keeper = keeper
        self._patience = patience
        self._sleep = sleep
        self._mutex = threading.Lock()
        self._held: set[str] = set()

    def __enter__(self) -> Locks:
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.close()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the lock for the block. Raises LockBusy after `patience` seconds of waiting, StoreUnavailable."""
        waited = 0.0
        while not self._try(name):
            if waited >= self._patience:
                raise LockBusy(
                    f"somebody else has been working on {name} for {self._patience / 60:.0f} minutes"
                )
            self._sleep(_POLL)
            waited += _POLL
        try:
            yield
        finally:
            with self._mutex:
                self._held.discard(name)
                self._keeper.release(name)

    def _try(self, name: str) -> bool:
        with self._mutex:
            # A session of PostgreSQL gives itself a lock twice.
            if name in self._held or not self._keeper.take(name):
                return False
            self._held.add(name)
            return True


def open_locks(url: str, *, patience: float = 900) -> Locks:
    """The locks of the deployment, by the address of its state store."""
    parsed = parse_url(url)
    keeper = _Files(parsed) if parsed.get_backend_name() == "sqlite" else _Session(parsed)
    return Locks(keeper, patience=patience)


class _Keeper(Protocol):
    def take(self, name: str) -> bool: ...
    def release(self, name: str) -> None: ...
    def close(self) -> None: ...


class _Session:
    """Advisory locks of one PostgreSQL session, which is opened when the first is asked for."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            max_overflow=0,
            connect_args={"connect_timeout": 10, "keepalives_idle": 15, "keepalives_interval": 5},
        )
        self._connection: Connection | None = None

    def take(self, name: str) -> bool:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            answer = self._connection.execute(
                text("SELECT pg_try_advisory_lock(:key)"), {"key": _number(name)}
            )
            return bool(answer.scalar_one())
        except SQLAlchemyError as problem:
            raise StoreUnavailable(
                f"The state store, {place(self._url)}, gives no locks: {first_line(problem, self._url)}"
            ) from problem

    def release(self, name: str) -> None:
        if self._connection is None:
            return
        try:
            self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _number(name)})
        except SQLAlchemyError as problem:  # the session is gone, and its locks with it
            log.warning("A lock ended with its session: %s", first_line(problem, self._url))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()


class _Files:
    """Locked files beside a SQLite file."""

    def __init__(self, url: URL) -> None:
        self._folder = Path(f"{url.database}.locks")
        self._open: dict[str, IO[bytes]] = {}

    def take(self, name: str) -> bool:
        self._folder.mkdir(exist_ok=True)
        stream = (self._folder / str(_number(name) % _STRIPES)).open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            return False
        self._open[name] = stream
        return True

    def release(self, name: str) -> None:
        self._open.pop(name).close()

    def close(self) -> None:
        for stream in self._open.values():
            stream.close()


def _number(name: str) -> int:
    """The 64-bit number by which PostgreSQL knows the lock."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
