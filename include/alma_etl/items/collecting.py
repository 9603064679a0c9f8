"""The ends of all rows of a file, one a line, in the order of the lines: also of chunks that did not finish."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from alma_etl.items.ends import ends_of, sent_lines
from alma_etl.items.groups import GroupResult, group_key, is_settled
from alma_etl.items.holdings import begun_groups, holdings_of, resolved
from alma_etl.items.outcomes import ItemRow, Outcome, RowResult, rank_of, result, row_key
from alma_etl.items.run import REJECTED, LoadFolder, Plan
from alma_etl.jobs.checkpoint import Rank
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
            collection.add(_ends(folder, plan, number, collection.unfinished))
        yield collection


def used_holdings(folder: LoadFolder, plan: Plan) -> Iterator[GroupResult]:
    """The holdings that the steps found or made."""
    for number in range(1, plan.chunks + 1):
        for each in holdings_of(folder, plan, number).rows(of_any_settings=True).values():
            if "line" not in each and each["holding_id"]:
                yield each  # type: ignore[misc]


def _ends(folder: LoadFolder, plan: Plan, number: int, unfinished: dict[int, str]) -> Iterator[RowResult]:
    """The rows of a chunk: how each ended, or what is known of those that no attempt came to the end of."""
    checkpoint = ends_of(folder, plan, number)
    ends = checkpoint.rows()
    unsure: _Unsure | None = None
    for row in folder.rows(number):
        end = ends.get(row_key(row))
        if end is None or rank_of(end) < Rank.SETTLED:
            unsure = unsure or _Unsure(folder, number, checkpoint.scope)
            if end is None:
                unfinished[number] = unsure.reason
            yield unsure.end_of(row, end)  # type: ignore[arg-type]
        else:
            yield end  # type: ignore[misc]


class _Unsure:
    """What is known of the rows of a chunk whose items are not in Alma for certain."""

    def __init__(self, folder: LoadFolder, number: int, scope: str | None) -> None:
        self._sent = sent_lines(folder, number, scope)
        self._begun = begun_groups(folder, number)
        self._groups, _ = resolved(folder, number)
        self.reason = (
            folder.problem(number)
            or folder.problem()
            or f"chunk {number:04d} did not finish, the logs of its tasks say why"
        )

    def end_of(self, row: ItemRow, end: RowResult | None) -> RowResult:
        """The end of a row; `end` is what some attempt noted, which does not count if it was sent again later."""
        group = self._groups.get(group_key(row))
        open_group = group is None or not is_settled(group)
        if row["line"] in self._sent:
            if end is not None and end["outcome"] == Outcome.UNCONFIRMED:
                return end
            return result(row, Outcome.UNCONFIRMED, f"it may have been sent when work ended: {self.reason}")
        if end is not None:
            return end
        if group is not None and group["outcome"] == Outcome.UNCONFIRMED:
            return result(row, Outcome.UNCONFIRMED, group["message"])
        if open_group and group_key(row) in self._begun:
            message = (
                f"a holding for it may have been made when work ended, the item was not sent: {self.reason}"
            )
            return result(row, Outcome.UNCONFIRMED, message)
        return result(row, Outcome.FAILED, f"not tried: {self.reason}")
