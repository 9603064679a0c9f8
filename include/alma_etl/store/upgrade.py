"""Create or upgrade the tables of the state store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from tenacity import retry, retry_if_exception_message, stop_after_delay, wait_random

from alma_etl.store.db import (
    BUSY_SECONDS,
    StoreUnavailable,
    first_line,
    open_engine,
    open_quick_engine,
    parse_url,
    place,
)

# Not Alembic's own name: should somebody give us Airflow's database by mistake, neither harms the other.
VERSION_TABLE = "alma_etl_version"
_LOCK = 0x414C4D41  # "ALMA": any number that no other program is likely to lock


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings, as code: the scripts lie in this package, wherever it is installed."""
    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(url: str) -> str:
    """Bring the store to the newest revision and return its id. Safe to repeat, and to run several at once.

    Raises StoreUnavailable, one sentence, when it cannot be reached or was made by a newer version.
    """
    parsed = parse_url(url)
    engine = open_engine(parsed)
    try:
        if engine.dialect.name == "sqlite":
            _prepare_file(parsed)
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            return _upgrade(connection, parsed)
    except (SQLAlchemyError, OSError) as problem:
        raise StoreUnavailable(
            f"The state store, {place(parsed)}, cannot be upgraded: {first_line(problem, parsed)}. "
            "Check that it runs, and the address, user and password of the connection alma_etl_db."
        ) from problem
    finally:
        engine.dispose()


def _upgrade(connection: Connection, url: URL) -> str:
    config = alembic_config(connection)
    head = ScriptDirectory.from_config(config).get_current_head()
    try:
        command.upgrade(config, "head")
    except CommandError as problem:
        raise StoreUnavailable(
            f"The state store, {place(url)}, is not one that this version knows ({problem}): "
            "install the version of Alma Airflow that upgraded it last, or a newer one."
        ) from problem
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    current = context.get_current_revision()
    if current is None or current != head:
        raise StoreUnavailable(f"The state store, {place(url)}, stands at {current}, not at {head}.")
    return current


@retry(
    retry=retry_if_exception_message(match=".*locked"),  # by another process that prepares the same file
    stop=stop_after_delay(BUSY_SECONDS),
    wait=wait_random(0.05, 0.2),
    reraise=True,
)
def _prepare_file(url: URL) -> None:
    """Make the folder, and let readers and a writer work side by side; the file keeps that setting."""
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = open_quick_engine(url)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    finally:
        engine.dispose()


@dataclass(frozen=True)
class StoreVersion:
    """At which revision a store is (None: it has no tables yet), and which one this version of the code works with;
    ``known``: whether this version has the store's revision at all."""

    current: str | None
    head: str
    known: bool

    @property
    def fits(self) -> bool:
        """Whether the store is as the code needs it."""
        return self.current == self.head

    @property
    def sentence(self) -> str:
        """What is to be said of it."""
        if self.fits:
            return f"It is at revision {self.current}, the newest that this version knows."
        if self.current is None:
            return f"It has no tables yet; this version needs revision {self.head}."
        if not self.known:
            return f"It is at revision {self.current}, which a newer version of Alma Airflow made."
        return f"It is at revision {self.current}; this version needs {self.head}."

    @property
    def advice(self) -> str:
        """What puts it right; "" when nothing is to be done."""
        if self.fits:
            return ""
        if self.known:
            return UPGRADE
        return "Install the version that upgraded it, or a newer one."


UPGRADE = (
    "Stop the workers, run `python -m alma_airflow.prepare STORE_URL` on one host, and start them again."
)


def store_version(connection: Connection) -> StoreVersion:
    """Read at which revision the store of a connection is."""
    scripts = ScriptDirectory.from_config(alembic_config())
    head = str(scripts.get_current_head())
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    current = context.get_current_revision()
    known = current is None or current in {each.revision for each in scripts.walk_revisions()}
    return StoreVersion(current, head, known)
