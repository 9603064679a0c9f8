"""A sandbox whose clock stands still, and runs against it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import alma_sandbox
from tests.stores import sqlite_store
from tests.unit.profile_runs.import_world import ImportWorld


@pytest.fixture(scope="package")
def import_sandbox() -> Iterator[alma_sandbox.Running]:
    with alma_sandbox.serve(alma_sandbox.Settings(titles=30, per_second=0, job_step_s=60)) as running:
        yield running


@pytest.fixture
def world(import_sandbox: alma_sandbox.Running, tmp_path: Path) -> Iterator[ImportWorld]:
    found = ImportWorld(import_sandbox.url, sqlite_store(tmp_path / "store.db"))
    found.control("POST", "reset")
    found.control("POST", "clock", {"stopped": True, "now": datetime.now(UTC).isoformat()})
    yield found
    found.client.close()


@pytest.fixture
def fault(world: ImportWorld) -> Callable[..., None]:
    """Adds a fault rule of the sandbox."""
    return lambda **rule: world.control("POST", "faults", rule)
