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

    def chunks(self, size: int) -> Iterator[list[ItemRow]]:
        """The rows by title and line, in lists of about `size`; the rows of a title are never parted."""
        chunk: list[ItemRow] = []
        for (text,) in self._connection.execute("SELECT row FROM rows ORDER BY mms_id, line"):
            row: ItemRow = json.loads(text)
            if len(chunk) >= size and row["mms_id"] != chunk[-1]["mms_id"]:
                yield chunk
                chunk = []
            chunk.append(row)
        if chunk:
            yield chunk


@contextmanager
def staging() -> Iterator[Staging]:
    """An empty staging area, which goes when the block ends."""
    with scratch_database() as connection:
        yield Staging(connection)
