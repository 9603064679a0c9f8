"""The rows of a file on their way into chunks: barcodes seen once, titles kept together. On disk, by SQLite."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from alma_etl.items.outcomes import ItemRow
from alma_etl.store.scratch import scratch_database


class Staging:
    """The rows that may be loaded. Use `staging()` to make one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TABLE rows (line INTEGER PRIMARY KEY, mms_id TEXT, barcode TEXT UNIQUE, row TEXT) STRICT"
        )
        connection.execute("CREATE TABLE homes (mms_id TEXT PRIMARY KEY, chunk INTEGER) STRICT")

    def add(self, row: ItemRow) -> tuple[int, str] | None:
        """Keep a row, unless its barcode was there before: then line and title of that first row come back."""
        cursor = self._connection.execute(
            "INSERT INTO rows VALUES (?, ?, ?, ?) ON CONFLICT (barcode) DO NOTHING",
            (row["line"], row["mms_id"], row["barcode"], json.dumps(row, ensure_ascii=False)),
        )
        if cursor.rowcount == 1:
            return None
        line, mms_id = self._connection.execute(
            "SELECT line, mms_id FROM rows WHERE barcode = ?", (row["barcode"],)
        ).fetchone()
        return int(line), str(mms_id)

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM rows").fetchone()[0])

    def row_at(self, line: int) -> ItemRow | None:
        """The row that was kept of a line."""
        found = self._connection.execute("SELECT row FROM rows WHERE line = ?", (line,)).fetchone()
        return None if found is None else json.loads(found[0])

    def stays(self, mms_id: str, number: int) -> None:
        """A title's rows belong to this chunk, since what was finished of them lies there."""
        self._connection.execute("INSERT OR IGNORE INTO homes VALUES (?, ?)", (mms_id, number))

    def chunks(self, size: int, *, known: int = 0, most: int = 1_000) -> Iterator[list[ItemRow]]:
        """The rows by title and line, in lists of about `size`; the rows of a title are never parted.

        First come the ``known`` chunks of earlier attempts, each with the titles that stay in it, perhaps none; then
        those of the other titles, larger ones where there would be more than ``most`` in all.
        """
        for number in range(1, known + 1):
            yield list(self._rows(number))
        (rest,) = self._connection.execute(
            "SELECT count(*) FROM rows LEFT JOIN homes USING (mms_id) WHERE chunk IS NULL"
        ).fetchone()
        size = max(size, -(-rest // max(1, most - known)))
        chunk: list[ItemRow] = []
        for row in self._rows(None):
            if len(chunk) >= size and row["mms_id"] != chunk[-1]["mms_id"]:
                yield chunk
                chunk = []
            chunk.append(row)
        if chunk:
            yield chunk

    def _rows(self, chunk: int | None) -> Iterator[ItemRow]:
        """The rows whose title stays in this chunk, or in none."""
        for (text,) in self._connection.execute(
            "SELECT row FROM rows LEFT JOIN homes USING (mms_id) WHERE chunk IS ? ORDER BY mms_id, line",
            (chunk,),
        ):
            yield json.loads(text)


@contextmanager
def staging() -> Iterator[Staging]:
    """An empty staging area, which goes when the block ends."""
    with scratch_database() as connection:
        yield Staging(connection)
