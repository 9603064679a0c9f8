"""A ledger on each of the databases, with a clock that stands still."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alma_etl.jobs.ledger import About, Ledger, Results
from alma_etl.jobs.ledger_purge import Purge
from alma_etl.jobs.ledger_reading import FileVersion, RunKey, RunRecord
from alma_etl.store.upgrade import upgrade
from tests.stores import sqlite_store

START = datetime(2026, 3, 2, 8, 15, tzinfo=UTC)
WEST = About("west_holdings", "59000000000004401", "alma.example.org", requested_by="librarian")
RUN = RunKey("west_holdings", "scheduled__2026-03-02")


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, **time: float) -> None:
        self.now += timedelta(**time)


class LedgerWorld:
    """A store with its clock."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock()
        self.ledger = Ledger(url, now=self.clock)
        self.purge = Purge(url, now=self.clock)

    def close(self) -> None:
        self.ledger.close()
        self.purge.close()

    def file(
        self, version: str = "e1@t1", key: str = "items/incoming/main/list.csv", **more: str
    ) -> FileVersion:
        return FileVersion(key, version, 12, "items", "main", self.clock.now, **more)

    def done(self, key: RunKey, records: int = 3, about: About = WEST) -> None:
        """A whole run."""
        attempt = self.ledger.begin(key, about)
        rows = (RunRecord("delivered", symbol="ZZM", mms_id=str(number)) for number in range(records))
        self.ledger.replace(key, Results({"delivered": records}, records=rows), attempt)
        self.ledger.finish(key, "done", "Delivered.", attempt)


@contextmanager
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerWorld]:
    """`request.param` names the database."""
    if request.param == "sqlite":
        url = sqlite_store(tmp_path / "store.db")
    else:
        new_database: Callable[[], str] = request.getfixturevalue("postgres")
        url = new_database()
        upgrade(url)
    world = LedgerWorld(url)
    yield world
    world.close()
