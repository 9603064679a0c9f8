"""State stores of tests in SQLite."""

import tempfile
from functools import cache
from pathlib import Path

from alma_etl.store.upgrade import upgrade


def sqlite_store(path: Path) -> str:
    """The URL of a new, empty store in this file: a copy of one that was upgraded once, since that takes its time."""
    path.write_bytes(_empty_store())
    return f"sqlite:///{path}"


@cache
def _empty_store() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        upgrade(f"sqlite:///{path}")
        return path.read_bytes()
