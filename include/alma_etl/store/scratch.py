"""A database on disk for one step of one task: what would not fit into memory, sorted and joined by SQLite."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def scratch_database() -> Iterator[sqlite3.Connection]:
    """An empty database in a temporary file of its own, which goes when the block ends."""
    with tempfile.TemporaryDirectory(prefix="scratch-") as folder:
        # Nothing here outlives the block, so durability is not paid for.
        connection = sqlite3.connect(f"{folder}/scratch.sqlite", isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA cache_size = -16000")
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.close()
