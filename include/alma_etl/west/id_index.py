"""Large collections of ids in flat memory: distinct, counted, sorted, compared; on disk, by SQLite."""

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class IdIndex:
    """Distinct ids. Use `id_index()` to make one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, ids: Iterable[str]) -> None:
        """Add ids; those that are there stay."""
        self._connection.executemany("INSERT OR IGNORE INTO ids VALUES (?)", ((id_,) for id_ in ids))

    def add_new(self, id_: str) -> bool:
        """Add one id; whether it was not there before."""
        cursor = self._connection.execute("INSERT OR IGNORE INTO ids VALUES (?)", (id_,))
        return cursor.rowcount == 1

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM ids").fetchone()[0])

    def __contains__(self, id_: str) -> bool:
        return self._connection.execute("SELECT 1 FROM ids WHERE id = ?", (id_,)).fetchone() is not None

    def in_order(self, limit: int | None = None) -> Iterator[str]:
        """The ids in ascending order of their text."""
        for (id_,) in self._connection.execute(
            "SELECT id FROM ids ORDER BY id LIMIT ?", (-1 if limit is None else limit,)
        ):
            yield id_


@contextmanager
def id_index() -> Iterator[IdIndex]:
    """An empty index, in a temporary file of its own that goes when the block ends."""
    with tempfile.TemporaryDirectory(prefix="id-index-") as folder:
        # Nothing here outlives the block, so durability is not paid for.
        connection = sqlite3.connect(f"{folder}/ids.sqlite", isolation_level=None)
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -16000")
        try:
            connection.execute("BEGIN")
            yield IdIndex(connection)
        finally:
            connection.close()
