"""State stores of one test, set up and empty."""

from collections.abc import Callable
from pathlib import Path

import pytest

from alma_etl.store.upgrade import upgrade


@pytest.fixture
def sqlite_store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    upgrade(url)
    return url


@pytest.fixture
def postgres_store(postgres: Callable[[], str]) -> str:
    url = postgres()
    upgrade(url)
    return url
