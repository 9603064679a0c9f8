"""The ends of all rows of a file, one a line, in the order of the lines: also of chunks that did not finish."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from alma_etl.items.creating import RESULT, announced_lines
from alma_etl.items.groups import GroupResult
from alma_etl.items.holdings import RESULT as HOLDINGS
from alma_etl.items.outcomes import NOT_ACCEPTABLE, Outcome, RowResult, result
from alma_etl.items.run import REJECTED, LoadFolder, Plan
from alma_etl.store.checkpoint import Checkpoint
from alma_etl.store.scratch import scratch_database


class Collection:
    """The ends of the rows. Use `collected()` to make one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.repeated = 0
        self.unfinished: dict[int, str] = {}  # chunks, each with the reason, "" when nobody knows
        connection.execute("CREATE TABLE ends (line INTEGER PRIMARY KEY, outcome TEXT, row TEXT) STRICT")

    def add(self, ends: Iterable[RowResult]) -> None:
        """Take the ends of rows; a line that has one already is counted as repeated."""
        for end in ends:
            cursor = self._connection.execute(
                "INSERT OR IGNORE INTO ends VALUES (?, ?, ?)",
                (end["line"], end["outcome"], json.dumps(end, ensure_ascii=False)),
            )
            self.repeated += cursor.rowcount != 1

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM ends").fetchone()[0])

    def __iter__(self) -> Iterator[RowResult]:
        for (text,) in self._connection.execute("SELECT row FROM ends ORDER BY line"):
            yield json.loads(text)

    def counts(self) -> dict[str, int]:
        """Counts by outcome word, every word present, zeros shown."""
        found = dict(self._connection.execute("SELECT outcome, count(*) FROM ends GROUP BY outcome"))
        return {outcome.value: found.get(outcome.value, 0) for outcome in Outcome}


@contextmanager
def collected(folder: LoadFolder, plan: Plan) -> Iterator[Collection]:
    """Everything that the steps left behind, however far they got."""
    with scratch_database() as connection:
        collection = Collection(connection)
        collection.add(folder.bucket.read_rows(folder.key(REJECTED)))  # type: ignore[arg-type]
        for number in range(1, plan.chunks + 1):
            if folder.bucket.info(folder.chunk_key(number, RESULT)) is None:
                reason = folder.problem(number) or folder.problem() or ""
                collection.unfinished[number] = reason
                collection.add(_unfinished(folder, number, reason))
            else:
                collection.add(folder.bucket.read_rows(folder.chunk_key(number, RESULT)))  # type: ignore[arg-type]
        yield collection


def used_holdings(folder: LoadFolder, plan: Plan) -> Iterator[GroupResult]:
    """The holdings that the steps found or made."""
    for number in range(1, plan.chunks + 1):
        for each in Checkpoint(folder.bucket, folder.chunk_key(number, HOLDINGS)).rows():
            if "line" not in each and each["holding_id"]:
                yield each  # type: ignore[misc]


def _unfinished(folder: LoadFolder, number: int, reason: str) -> Iterator[RowResult]:
    """The rows of a chunk that did not finish: what is known of them, and that nothing is known of the others."""
    done = {
        row["line"]: row
        for row in Checkpoint(folder.bucket, folder.chunk_key(number, RESULT)).rows()
        if row["outcome"] not in NOT_ACCEPTABLE
    }
    announced = announced_lines(folder, number)
    why = f"chunk {number:04d} did not finish{': ' if reason else ''}{reason}"
    for row in folder.rows(number):
        if row["line"] in done:
            yield done[row["line"]]  # type: ignore[misc]
        elif row["line"] in announced:
            yield result(row, Outcome.UNCONFIRMED, f"it may have been sent when work ended: {why}")
        else:
            yield result(row, Outcome.FAILED, f"it was not sent: {why}")
