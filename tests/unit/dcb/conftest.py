"""A DCB store of one test, on each of the databases that we know."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from alma_etl.dcb.store import DcbStore
from alma_etl.store.bucket import Bucket
from alma_etl.store.upgrade import upgrade
from tests.stores import sqlite_store
from tests.unit.dcb.sides_desk import Desk
from tests.unit.dcb.sides_world import Almas, SandboxSide, two_sandboxes
from tests.unit.dcb.sync_world import SyncWorld, sync_world


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_store(tmp_path / "store.db")
    new_database: Callable[[], str] = request.getfixturevalue("postgres")
    url = new_database()
    upgrade(url)
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[DcbStore]:
    with DcbStore(store_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def sides() -> Iterator[tuple[SandboxSide, SandboxSide]]:
    with two_sandboxes() as found:
        yield found


@pytest.fixture
def almas(sides: tuple[SandboxSide, SandboxSide]) -> Iterator[Almas]:
    """Both Almas as at the start, at a time that stands still."""
    found = Almas(*sides)
    for side in sides:
        side.reset()
    yield found
    found.close()


@pytest.fixture
def sync(almas: Almas, tmp_path: Path) -> Iterator[SyncWorld]:
    """The tasks of a tick between both Almas."""
    with sync_world(almas, tmp_path) as world:
        world.pass_time(timedelta())
        yield world


@pytest.fixture(scope="session")
def placing_bucket(s3_server) -> Bucket:
    client = s3_server.client()
    client.create_bucket(Bucket="placing-tests")
    return Bucket(client, "placing-tests")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("placing") / "empty.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def desk(almas, placing_bucket, empty_store, tmp_path) -> Iterator[Desk]:
    made = Desk(almas, placing_bucket, empty_store, tmp_path)
    yield made
    made.close()
