"""The rows of a file on their way into chunks: keys seen once, groups kept together. On disk, by SQLite."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from alma_etl.jobs.outcomes import Row
from alma_etl.store.scratch import scratch_database


class Staging:
    """The rows that may be loaded. Use `staging()` to make one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE rows (line INTEGER PRIMARY KEY, family TEXT, row TEXT) STRICT")
        connection.execute("CREATE TABLE once (value TEXT PRIMARY KEY, line INTEGER) STRICT, WITHOUT ROWID")
        connection.execute("CREATE TABLE homes (family TEXT PRIMARY KEY, chunk INTEGER) STRICT")
        connection.execute("CREATE TABLE links (name TEXT PRIMARY KEY, family TEXT) STRICT")
        self._may_join = False
        self._homes = False

    def add(
        self, line: int, row: Row, *, group: str, unique: Collection[str], links: Sequence[str] = ()
    ) -> Row | None:
        """Keep a row, unless one that has one of its `unique` values was there before: then that one is returned.
        Groups of rows that share one of their `links` stay together as well."""
        for value in unique:
            found = self._connection.execute("SELECT line FROM once WHERE value = ?", (value,)).fetchone()
            if found is not None:
                return self.row_at(found[0])
        family = self._family(group, links) if links or self._may_join else group
        text = json.dumps(row, ensure_ascii=False)
        self._connection.execute("INSERT INTO rows VALUES (?, ?, ?)", (line, family, text))
        self._connection.executemany("INSERT INTO once VALUES (?, ?)", [(value, line) for value in unique])
        return None

    def _family(self, group: str, links: Sequence[str]) -> str:
        """The family of a row: that of its links, to which those of other links are joined. Groups that stay in a chunk
        keep to themselves: what was finished of them lies there."""
        execute = self._connection.execute
        if not self._may_join:
            execute("CREATE INDEX by_family ON rows (family)")
            execute("CREATE INDEX linked_family ON links (family)")
            self._may_join = True
        names = list(dict.fromkeys((group, *links)))
        known = [
            family
            for name in names
            for (family,) in execute("SELECT family FROM links WHERE name = ?", (name,)).fetchall()
        ]
        settled = [
            family
            for family in dict.fromkeys((group, *known))
            if self._homes and execute("SELECT 1 FROM homes WHERE family = ?", (family,)).fetchone()
        ]
        family = next(iter((*settled, *known)), group)
        for other in set(known) - {family, *settled}:
            execute("UPDATE rows SET family = ? WHERE family = ?", (family, other))
            execute("UPDATE links SET family = ? WHERE family = ?", (family, other))
        self._connection.executemany(
            "INSERT OR IGNORE INTO links VALUES (?, ?)", [(name, family) for name in names]
        )
        return family

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM rows").fetchone()[0])

    def row_at(self, line: int) -> Row | None:
        """The row that was kept of a line."""
        found = self._connection.execute("SELECT row FROM rows WHERE line = ?", (line,)).fetchone()
        return None if found is None else json.loads(found[0])

    def stays(self, group: str, number: int) -> None:
        """The rows of a group belong to this chunk, since what was finished of them lies there."""
        self._homes = True
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
