"""The rows of a file on their way into chunks: keys seen once, groups kept together. On disk, by SQLite."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from alma_etl.jobs.outcomes import Row
from alma_etl.store.scratch import scratch_database


class Staging:
    """The rows that may be loaded. Use `staging()` to make one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TABLE rows (line INTEGER PRIMARY KEY, family TEXT, once TEXT UNIQUE, row TEXT) STRICT"
        )
        connection.execute("CREATE TABLE homes (family TEXT PRIMARY KEY, chunk INTEGER) STRICT")

    def add(self, line: int, row: Row, *, group: str, unique: str | None) -> Row | None:
        """Keep a row, unless one with this `unique` value was there before: then that one is returned."""
        cursor = self._connection.execute(
            "INSERT INTO rows VALUES (?, ?, ?, ?) ON CONFLICT (once) DO NOTHING",
            (line, group, unique, json.dumps(row, ensure_ascii=False)),
        )
        if cursor.rowcount == 1:
            return None
        (text,) = self._connection.execute("SELECT row FROM rows WHERE once = ?", (unique,)).fetchone()
        found: Row = json.loads(text)
        return found

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM rows").fetchone()[0])

    def row_at(self, line: int) -> Row | None:
        """The row that was kept of a line."""
        found = self._connection.execute("SELECT row FROM rows WHERE line = ?", (line,)).fetchone()
        return None if found is None else json.loads(found[0])

    def stays(self, group: str, number: int) -> None:
        """The rows of a group belong to this chunk, since what was finished of them lies there."""
        self._connection.execute("INSERT OR IGNORE INTO homes VALUES (?, ?)", (group, number))

    def chunks(self, size: int, *, known: int = 0, most: int = 1_000) -> Iterator[list[Row]]:
        """The rows by group and line, in lists of about `size`; the rows of a group are never parted.

        First come the ``known`` chunks of earlier attempts, each with the groups that stay in it, perhaps none; then
        those of the other groups, larger ones where there would be more than ``most`` in all.
        """
        for number in range(1, known + 1):
            yield [row for _, row in self._rows(number)]
        (rest,) = self._connection.execute(
            "SELECT count(*) FROM rows LEFT JOIN homes USING (family) WHERE chunk IS NULL"
        ).fetchone()
        size = max(size, -(-rest // max(1, most - known)))
        chunk: list[Row] = []
        last = None
        for group, row in self._rows(None):
            if len(chunk) >= size and group != last:
                yield chunk
                chunk = []
            chunk.append(row)
            last = group
        if chunk:
            yield chunk

    def _rows(self, chunk: int | None) -> Iterator[tuple[str, Row]]:
        """The rows whose group stays in this chunk, or in none, each with its group."""
        for group, text in self._connection.execute(
            "SELECT family, row FROM rows LEFT JOIN homes USING (family) WHERE chunk IS ? ORDER BY family, line",
            (chunk,),
        ):
            yield group, json.loads(text)


@contextmanager
def staging() -> Iterator[Staging]:
    """An empty staging area, which goes when the block ends."""
    with scratch_database() as connection:
        yield Staging(connection)
