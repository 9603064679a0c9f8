"""Locks by name that all workers share, kept with the state store: one at a time, on whatever host.

A lock lasts as long as its holder lives: a killed worker's locks are free at once. PostgreSQL keeps them as
advisory locks of a session. Beside a SQLite store, which serves one host, they are locked files.

A session may end while its holder lives on, and others get the lock then. So whoever is about to write something
that must not be written twice asks `Lock.check` right before.
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
from sqlalchemy.pool import NullPool

from alma_etl.store.db import POSTGRES, StoreUnavailable, first_line, parse_url, place

log = logging.getLogger(__name__)

_STRIPES = 256  # names of a kind share this many files, so that the folder does not grow
_POLL = 0.25  # seconds


class LockBusy(Exception):
    """Somebody else held the lock for longer than one is willing to wait; the message names it."""


class LockLost(Exception):
    """The lock ended with its database session, others may have it now; the message names it."""


class Lock:
    """A lock that is held, as far as its holder knows."""

    def __init__(self, name: str, is_held: Callable[[], bool]) -> None:
        self._name = name
        self._is_held = is_held

    def check(self) -> None:
        """Ask whether it is held still. Raises LockLost when it is not, or when nobody answers."""
        if not self._is_held():
            raise LockLost(
                f"the lock on {self._name} was lost with the connection to the state store, somebody else may be "
                "working on it: nothing more was written"
            )


class Locks:
    """Locks of one task. Close them when done. Safe for many threads. A thread that holds several takes them by the
    first word of their names in one order (`bib`, then `nz` or `title`), and never two with the same one."""

    def __init__(
        self, keeper: _Keeper, *, timeout: float = 900, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._keeper = keeper
        self._timeout = timeout
        self._sleep = sleep
        self._mutex = threading.Lock()
        self._held: set[str] = set()

    def __enter__(self) -> Locks:
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.close()

    @contextmanager
    def hold(self, name: str) -> Iterator[Lock]:
        """Hold the lock for the block. Raises LockBusy after `timeout` seconds of waiting, StoreUnavailable."""
        waited = 0.0
        while (session := self._try(name)) is None:
            if waited >= self._timeout:
                raise LockBusy(
                    f"somebody else has been working on {name} for {self._timeout / 60:.0f} minutes"
                )
            self._sleep(_POLL)
            waited += _POLL
        try:
            yield Lock(name, lambda: self._is_held(name, session))
        finally:
            with self._mutex:
                self._held.discard(name)
                self._keeper.release(name, session)

    def _try(self, name: str) -> object | None:
        with self._mutex:
            # A session of PostgreSQL gives itself a lock twice.
            if name in self._held:
                return None
            session = self._keeper.take(name)
            if session is not None:
                self._held.add(name)
            return session

    def _is_held(self, name: str, session: object) -> bool:
        with self._mutex:
            return self._keeper.holds(name, session)


def open_locks(url: str, *, timeout: float = 900) -> Locks:
    """The locks of the deployment, by the address of its state store."""
    parsed = parse_url(url)
    keeper = _Files(parsed) if parsed.get_backend_name() == "sqlite" else _Session(parsed)
    return Locks(keeper, timeout=timeout)


class _Keeper(Protocol):
    def take(self, name: str) -> object | None:
        """What holds the lock from now on, None when somebody else has it."""

    def holds(self, name: str, session: object) -> bool: ...
    def release(self, name: str, session: object) -> None: ...
    def close(self) -> None: ...


class _Session:
    """Advisory locks of one PostgreSQL session, which is opened when the first is asked for, and again when it has
    ended.

    The session stays in one transaction all the time: a pooler that shares sessions by transaction (pgbouncer) gives
    it nobody else meanwhile, and ends it when its client dies. Such a transaction sees every statement's own snapshot
    and keeps nothing from being cleaned up.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine = create_engine(
            url, poolclass=NullPool, isolation_level="READ COMMITTED", connect_args=POSTGRES
        )
        self._connection: Connection | None = None

    def take(self, name: str) -> object | None:
        try:
            try:
                return self._take(name)
            except SQLAlchemyError as problem:
                if self._connection is None:
                    raise
                self._drop(problem)
                return self._take(name)  # in a new session
        except SQLAlchemyError as problem:
            raise StoreUnavailable(
                f"The state store, {place(self._url)}, gives no locks: {first_line(problem, self._url)}"
            ) from problem

    def holds(self, name: str, session: object) -> bool:
        if self._connection is None or session is not self._connection:
            return False
        try:
            return bool(self._connection.execute(_HELD, {"key": _number(name)}).scalar_one())
        except SQLAlchemyError as problem:
            self._drop(problem)
            return False

    def release(self, name: str, session: object) -> None:
        if self._connection is None or session is not self._connection:
            return
        try:
            self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _number(name)})
        except SQLAlchemyError as problem:
            self._drop(problem)

    def close(self) -> None:
        if self._connection is not None:
            try:
                # Behind a pooler the session outlives the connection.
                self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
                self._connection.close()
                self._connection = None
            except SQLAlchemyError as problem:
                self._drop(problem)
        self._engine.dispose()

    def _take(self, name: str) -> object | None:
        if self._connection is None:
            connection = self._engine.connect()
            try:
                connection.execute(_MAY_BE_IDLE)
            except SQLAlchemyError:
                connection.invalidate()
                raise
            self._connection = connection
        answer = self._connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _number(name)})
        return self._connection if answer.scalar_one() else None

    def _drop(self, problem: SQLAlchemyError) -> None:
        """The session is gone, and its locks with it."""
        log.warning("The locks of a session ended with it: %s", first_line(problem, self._url))
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None


# For this transaction alone. Servers differ in which of these settings they know.
_MAY_BE_IDLE = text(
    "SELECT set_config(name, '0', true) FROM pg_settings "
    "WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"
)
_HELD = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() "
    "AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = :key"
)


class _Files:
    """Locked files beside a SQLite file."""

    def __init__(self, url: URL) -> None:
        self._folder = Path(f"{url.database}.locks")
        self._open: dict[str, IO[bytes]] = {}

    def take(self, name: str) -> object | None:
        self._folder.mkdir(exist_ok=True)
        # Names of two kinds never share a file: whoever holds both would wait for itself.
        kind, _, of_a_kind = name.partition(" ")
        stripe = f"{_number(kind) if of_a_kind else 0:x}-{_number(name) % _STRIPES}"
        stream = (self._folder / stripe).open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            return None
        self._open[name] = stream
        return stream

    def holds(self, name: str, session: object) -> bool:
        return self._open.get(name) is session

    def release(self, name: str, session: object) -> None:
        self._open.pop(name).close()

    def close(self) -> None:
        for stream in self._open.values():
            stream.close()


def _number(name: str) -> int:
    """The 64-bit number by which PostgreSQL knows the lock."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
