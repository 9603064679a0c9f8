"""State stores of one test, set up and empty."""

from collections.abc import Callable
from pathlib import Path

import pytest

from alma_etl.store.upgrade import upgrade
from tests import stores


@pytest.fixture
def sqlite_store(tmp_path: Path) -> str:
    return stores.sqlite_store(tmp_path / "store.db")


@pytest.fixture
def postgres_store(postgres: Callable[[], str]) -> str:
    url = postgres()
    upgrade(url)
    return url
