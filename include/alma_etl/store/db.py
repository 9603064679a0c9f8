"""The state store: its address, its engines, its clock.

PostgreSQL in production, SQLite for tests and trials. It is a database of its own, never Airflow's.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import BigInteger, Double, create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

CONNECT_SECONDS = 10
BUSY_SECONDS = 30
SILENCE_SECONDS = 15


class StoreUnavailable(Exception):
    """The state store cannot be used; one sentence that names it, without the password, and what to do."""


class StoreRefused(Exception):
    """The state store runs, and refused a statement; one sentence that says why, without the password.

    A fault of the program or of the data, not of the connection: others may go on.
    """


class StoreConflict(StoreRefused):
    """What was to be kept contradicts what another has kept meanwhile, such as a key that is taken."""


LONGEST_KEY = 500
"""Characters of a text from a file that is a key of a table: an entry of a PostgreSQL index holds about 2,700 bytes."""


def store_key(text: str) -> str:
    """Return a text as a key of a table: as it is, or the beginning of a long one and a digest of the whole."""
    if len(text) <= LONGEST_KEY:
        return text
    return f"{text[: LONGEST_KEY - 80]} sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def parse_url(url: str) -> URL:
    """The address as SQLAlchemy's, with the driver that we ship. Takes `postgresql+psycopg://`, `postgresql://`
    and `postgres://` (a unix socket by `?host=/folder`) and `sqlite:///file`; StoreUnavailable for others."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreUnavailable(
            "The address of the state store cannot be read: "
            "it must look like postgresql+psycopg://user:password@host:5432/database or sqlite:///file."
        ) from None
    backend = parsed.drivername.partition("+")[0]
    if backend in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise StoreUnavailable(
                "A SQLite state store needs a file, for example sqlite:////srv/alma/store.db."
            )
        return parsed.set(drivername="sqlite")
    raise StoreUnavailable(f"The state store must be PostgreSQL or SQLite, not {backend!r}.")


def place(url: URL) -> str:
    """Where the store is, for messages: no user, no password, no options."""
    if url.get_backend_name() == "sqlite":
        return f"the SQLite file {url.database}"
    host = url.host or url.query.get("host", "localhost")
    port = url.port or url.query.get("port", "")
    return f"the PostgreSQL database {url.database or ''!r} at {host}{f':{port}' if port else ''}"


def first_line(problem: BaseException, url: URL) -> str:
    """What the driver said, in one line and certainly without the password."""
    text = str(getattr(problem, "orig", None) or problem).strip().partition("\n")[0]
    return text.replace(str(url.password), "***") if url.password else text


def store_problem(problem: SQLAlchemyError, url: URL, purpose: str) -> StoreUnavailable | StoreRefused:
    """What an error of the database means: only those of the connection make the store an unavailable one.

    ``purpose`` ends "The state store, ..., cannot be used".
    """
    problem_at = f"The state store, {place(url)}, cannot be used {purpose}: {first_line(problem, url)}"
    if _is_outdated(problem):
        return StoreUnavailable(
            f"{problem_at}. Check that it was upgraded (python -m alma_etl.store upgrade)."
        )
    name = type(getattr(problem, "orig", None) or problem).__name__
    refused = f"{problem_at} ({name}). The store runs and refused it; see the log for the statement."
    if isinstance(problem, IntegrityError) or _sqlstate(problem)[:2] == _ROLLED_BACK:
        return StoreConflict(refused)
    if isinstance(problem, OperationalError | InterfaceError | PoolTimeout) or (
        isinstance(problem, DBAPIError) and problem.connection_invalidated
    ):
        return StoreUnavailable(f"{problem_at}. Check that it runs, and the connection alma_etl_db.")
    return StoreRefused(refused)


_ROLLED_BACK = "40"
"""SQLSTATEs of a transaction that lost against another: a deadlock, a serialization failure."""
_NOT_THERE = frozenset({"42P01", "42703", "3F000"})
"""SQLSTATEs of a table, column or schema that does not exist."""


def _sqlstate(problem: SQLAlchemyError) -> str:
    return str(getattr(getattr(problem, "orig", None), "sqlstate", None) or "")


def _is_outdated(problem: SQLAlchemyError) -> bool:
    words = str(getattr(problem, "orig", ""))  # SQLite has one kind of error for nearly everything
    return _sqlstate(problem) in _NOT_THERE or words.startswith(("no such table", "no such column"))


def open_engine(url: str | URL) -> Engine:
    """An engine for transactions that keep what they promise. Not to be used across a fork."""
    parsed = parse_url(url) if isinstance(url, str) else url
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, connect_args=POSTGRES)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _begin_ourselves)
    # A transaction that reads first and then writes fails at once when another wrote in between, however long
    # it would wait; taking the write lock at the start makes it wait instead.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def open_quick_engine(url: str | URL) -> Engine:
    """An engine for single statements that commit by themselves and need not survive a crash of the server.

    One connection; a statement that cannot get its lock gives up after a few seconds.
    """
    parsed = parse_url(url) if isinstance(url, str) else url
    sqlite = parsed.get_backend_name() == "sqlite"
    options: dict[str, Any] = {"timeout": BUSY_SECONDS / 3} if sqlite else POSTGRES
    engine = create_engine(
        parsed, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=0, connect_args=options
    )
    event.listen(engine, "connect", _do_not_sync if sqlite else _do_not_wait)
    return engine


# A server that vanished without a word must not hold a thread for the quarter of an hour that TCP would.
POSTGRES = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": SILENCE_SECONDS * 1000,
    "keepalives_idle": SILENCE_SECONDS,
    "keepalives_interval": 5,
    "application_name": "alma_etl",
    "prepare_threshold": None,  # statements prepared in a session are lost behind a pooler that shares sessions
}


def _begin_ourselves(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 begins nothing by itself
    connection.execute("PRAGMA foreign_keys = ON")


def _do_not_sync(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = OFF")


def _do_not_wait(connection: Any, _record: Any) -> None:
    connection.execute("SET synchronous_commit TO off")
    connection.execute("SET lock_timeout TO '5s'")
    connection.commit()


class server_now(FunctionElement[float]):  # noqa: N801 - a SQL function
    """The clock of the store at this moment, not at the start of the transaction: seconds since 1970."""

    type = Double()
    inherit_cache = True


class greatest(FunctionElement[float]):  # noqa: N801
    """The greatest of its arguments: `greatest` on PostgreSQL, `max` on SQLite."""

    """The greatest of several numbers, in the words of each database."""

    type = Double()
    inherit_cache = True


class least(FunctionElement[float]):  # noqa: N801
    """The least of its arguments: `least` on PostgreSQL, `min` on SQLite."""

    """The least of several numbers, in the words of each database."""

    type = Double()
    inherit_cache = True


class whole(FunctionElement[int]):  # noqa: N801
    """A number above 0 without its fraction; a plain CAST rounds on PostgreSQL and truncates on SQLite."""

    type = BigInteger()
    inherit_cache = True


def _spell(function: type[FunctionElement[Any]], dialect: str, before: str, after: str = ")") -> None:
    @compiles(function, dialect)
    def compiled(element: Any, compiler: SQLCompiler, **options: Any) -> str:
        return before + compiler.process(element.clauses, **options) + after


_spell(server_now, "postgresql", "CAST(EXTRACT(EPOCH FROM clock_timestamp(", ")) AS DOUBLE PRECISION)")
_spell(server_now, "sqlite", "((julianday('now'", ") - 2440587.5) * 86400.0)")
_spell(greatest, "postgresql", "greatest(")
_spell(greatest, "sqlite", "max(")
_spell(least, "postgresql", "least(")
_spell(least, "sqlite", "min(")
_spell(whole, "postgresql", "CAST(floor(", ") AS BIGINT)")
_spell(whole, "sqlite", "CAST(", " AS INTEGER)")
