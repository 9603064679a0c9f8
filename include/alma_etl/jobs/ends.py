"""What attempts leave of a chunk's rows: the record of what was sent, what was there before, and the ends that the rows
came to.

The record names the rows that an attempt is about to send, before it sends them: after a kill nobody knows more. Of a
row that changes what is there already, the values that were first read are kept before they are overwritten.
"""

import json
import sqlite3
import threading
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

from alma_etl.jobs.checkpoint import Rank, digest
from alma_etl.jobs.file_run import REJECTED, FileRun
from alma_etl.jobs.folder import RunFiles
from alma_etl.jobs.outcomes import End, Row, RowOutcome
from alma_etl.store.bucket import NoSuchObject, json_line
from alma_etl.store.scratch import scratch_database

if TYPE_CHECKING:
    from alma_etl.jobs.row_ends import RowEnds

ENDS = "results.jsonl"
FOLDER = "announced/"  # a name that runs under way have
FIRST_READ = "first_read/"


@dataclass(frozen=True)
class Sent:
    """That a row may have been sent: the first day of it, and the places (a holding) it was sent to, where known."""

    day: date
    places: frozenset[str]

    def __or__(self, other: "Sent") -> "Sent":
        return Sent(min(self.day, other.day), self.places | other.places)


def sent_lines(folder: RunFiles, number: int, scope: str | None) -> dict[int, Sent]:
    """Return the rows of a chunk that may have been sent and whose end is not known, by line.

    ``scope``: the digest of the system that is meant, None for whichever.
    """
    found: dict[int, Sent] = {}
    for record in _records(folder, number, scope).values():
        for line, sent in record.items():
            found[line] = found[line] | sent if line in found else sent
    return found


@dataclass
class SentRecord:
    """The record that one attempt keeps; what earlier attempts noted is `before`. ``target``: the system that is
    written to, by address and institution."""

    folder: RunFiles
    number: int
    target: str
    _earlier: dict[str, dict[int, Sent]] = field(init=False)
    _own: dict[str, dict[int, Sent]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._scope = digest(self.target)
        self._earlier = _records(self.folder, self.number, self._scope)
        self.before = sent_lines(self.folder, self.number, self._scope)

    def note(self, places: Mapping[int, str], day: date) -> None:
        """Note rows that are about to be sent: the place of each, by line."""
        key = self.folder.chunk_key(self.number, f"{FOLDER}{uuid.uuid4().hex}.jsonl")
        lines = {line: Sent(day, frozenset({place})) for line, place in places.items()}
        self._put(key, lines)
        self._own[key] = lines

    def withdraw(self, *, ended: Collection[int], not_sent: Collection[int]) -> None:
        """Take back the rows that have an end which says what is in Alma, and those that this attempt did not send.

        ``ended`` rows were looked for if an earlier attempt may have sent them, so that its note of them goes as well;
        that this attempt did not send a row says nothing about what earlier ones did.
        """
        for records, known in ((self._own, {*ended, *not_sent}), (self._earlier, set(ended))):
            for key, lines in records.items():
                left = {line: sent for line, sent in lines.items() if line not in known}
                if not left:
                    self.folder.bucket.delete([key])
                elif len(left) < len(lines):
                    self._put(key, left)

    def _put(self, key: str, lines: Mapping[int, Sent]) -> None:
        record: dict[str, Any] = {
            "alma": self._scope,
            "day": min(sent.day for sent in lines.values()).isoformat(),
            "lines": list(lines),
            "holding_ids": [sorted(sent.places) for sent in lines.values()],
        }
        self.folder.bucket.put(key, json_line(record), "application/x-ndjson")


def _records(folder: RunFiles, number: int, scope: str | None) -> dict[str, dict[int, Sent]]:
    found = {}
    for part in folder.bucket.list(folder.chunk_key(number, FOLDER)):
        try:
            saved: Sequence[dict[str, Any]] = list(folder.bucket.read_rows(part.key))
        except NoSuchObject:  # withdrawn in the meantime
            continue
        for each in saved:
            if scope is not None and each.get("alma", scope) != scope:
                continue
            day = date.fromisoformat(each["day"])
            places = each.get("holding_ids") or [[] for _ in each["lines"]]
            found[part.key] = {
                line: Sent(day, frozenset(ids)) for line, ids in zip(each["lines"], places, strict=True)
            }
    return found


class FirstRead:
    """What the rows of a chunk were first found to have, by line: kept before anything is overwritten, and as long as
    the run's files are, so that any later attempt knows its own values and those of others from it.

    ``target``: the system that is written to, by address and institution. Safe for many threads; what several threads
    keep at the same time goes into one object of the bucket.
    """

    def __init__(self, folder: RunFiles, number: int, target: str) -> None:
        self._folder = folder
        self._number = number
        self._scope = digest(target)
        self._mutex = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[int, dict[str, str]] = {}
        self._read: set[str] = set()  # objects that are known, own ones too

    @cached_property
    def _kept(self) -> dict[int, dict[str, str]]:
        """By line; of several that were kept of one row the first counts. Read when it is first asked for."""
        kept: dict[int, dict[str, str]] = {}
        for row in self._unread():
            kept.setdefault(row["line"], row["values"])
        return kept

    def _unread(self) -> Iterator[dict[str, Any]]:
        listed = self._folder.bucket.list(self._folder.chunk_key(self._number, FIRST_READ))
        for part in sorted(listed, key=lambda each: (each.last_modified, each.key)):
            if part.key not in self._read:
                self._read.add(part.key)
                rows = self._folder.bucket.read_rows(part.key)
                yield from (row for row in rows if row["target"] == self._scope)

    def by_others(self) -> list[int]:
        """Return the lines of which another worker has kept something since this one began; none where this one never
        asked for any."""
        if "_kept" not in self.__dict__:
            return []
        with self._mutex:
            new = {row["line"]: row["values"] for row in self._unread() if row["line"] not in self._kept}
            self._kept.update(new)
        return list(new)

    def of(self, line: int) -> Mapping[str, str] | None:
        """Return what was kept of a row; None when nothing was, so that nothing was sent for it either."""
        with self._mutex:
            return self._kept.get(line)

    def keep(self, line: int, values: Mapping[str, str]) -> None:
        """Keep what a row was found to have, unless something is kept of it; it is in the bucket when this returns."""
        with self._mutex:
            if line in self._kept:
                return
            self._waiting[line] = dict(values)
        with self._writing:
            with self._mutex:
                together, self._waiting = self._waiting, {}
            if not together:
                return  # another thread took it along
            try:
                self._put(together)
            except BaseException:
                with self._mutex:  # who waits for it tries again
                    self._waiting = together | self._waiting
                raise
            with self._mutex:
                self._kept.update({line: each for line, each in together.items() if line not in self._kept})

    def _put(self, values: Mapping[int, Mapping[str, str]]) -> None:
        key = self._folder.chunk_key(self._number, f"{FIRST_READ}{uuid.uuid4().hex}.jsonl")
        rows = ({"target": self._scope, "line": line, "values": each} for line, each in values.items())
        self._folder.bucket.put(key, b"".join(map(json_line, rows)), "application/x-ndjson")
        self._read.add(key)


class _Unsure:
    """What is known of the rows of a chunk that are not settled."""

    def __init__(self, job: "RowEnds[Any]", run: FileRun, number: int, scope: str | None) -> None:
        self._job = job
        self._sent = sent_lines(run, number, scope)
        self._known = job.end_of_unfinished(run, number)
        self.reason = (
            run.problem(number)
            or run.problem()
            or f"chunk {number:04d} did not finish, the logs of its tasks say why"
        )

    def end_of(self, row: Row, end: End | None) -> End:
        """The end of a row; `end` is what some attempt noted, which does not count if it was sent again later."""
        if row["line"] in self._sent:
            if end is not None and end["outcome"] == self._job.unconfirmed:
                return end
            message = f"it may have been sent when work ended: {self.reason}"
            return self._job.end(row, self._job.unconfirmed, message)
        not_tried = f"not tried: {self.reason}"
        return end or self._known(row, self.reason) or self._job.end(row, self._job.failed, not_tried)


def ends_of_chunk(
    job: "RowEnds[Any]", run: FileRun, number: int, unfinished: dict[int, str]
) -> Iterator[End]:
    """Yield how each row of a chunk ended, or what is known of one that no attempt came to the end of; of a chunk that
    has such rows note the reason in ``unfinished``."""
    checkpoint = job.ends_of(run, number)
    ends = checkpoint.rows()
    unsure: _Unsure | None = None
    for row in run.rows(number):
        end = ends.get(job.row_key(row))
        if end is not None and job.rank_of(end) >= Rank.SETTLED:
            yield end
            continue
        unsure = unsure or _Unsure(job, run, number, checkpoint.scope)
        if end is None:
            unfinished[number] = unsure.reason
        yield unsure.end_of(row, end)


class CollectedEnds:
    """The ends of all rows of a file, by line. Use `collecting()` to make one."""

    def __init__(self, connection: sqlite3.Connection, outcomes: type[RowOutcome]) -> None:
        self._connection = connection
        self._outcomes = outcomes
        self.repeated = 0
        self.unfinished: dict[int, str] = {}  # chunks, each with the reason, "" when nobody knows
        connection.execute("CREATE TABLE ends (line INTEGER PRIMARY KEY, outcome TEXT, row TEXT) STRICT")

    def add(self, ends: Iterable[Row]) -> None:
        """Take the ends of rows; a line that has one already is counted as repeated."""
        for end in ends:
            cursor = self._connection.execute(
                "INSERT OR IGNORE INTO ends VALUES (?, ?, ?)",
                (end["line"], end["outcome"], json.dumps(end, ensure_ascii=False)),
            )
            self.repeated += cursor.rowcount != 1

    def collect(self, job: "RowEnds[Any]", run: FileRun, chunks: int) -> None:
        """Take everything that the steps of a run left behind, however far they got."""
        self.add(run.bucket.read_rows(run.key(REJECTED)))
        for number in range(1, chunks + 1):
            ends = ends_of_chunk(job, run, number, self.unfinished)
            self.add(job.completed(run, number, ends, self.unfinished))

    def remark_same(
        self, column: str, outcomes: Collection[str], text: str, *, outcome_column: str = "outcome"
    ) -> None:
        """Add ``text``, which has `%d` for a line, to the message of each row that has the same value in a column as an
        earlier one of the rows that ended so. ``outcome_column``: where an end has that, and not `outcome`."""
        self._connection.execute(
            "WITH same AS (SELECT line, min(line) OVER (PARTITION BY json_extract(row, ?)) AS first FROM ends "
            "WHERE coalesce(json_extract(row, ?), outcome) IN (SELECT value FROM json_each(?))) "
            "UPDATE ends SET row = json_set(row, '$.message', "
            "ltrim(json_extract(row, '$.message') || '; ' || printf(?, first), '; ')) "
            "FROM same WHERE ends.line = same.line AND first < ends.line",
            (f"$.{column}", f"$.{outcome_column}", json.dumps(list(outcomes)), text),
        )

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM ends").fetchone()[0])

    def __iter__(self) -> Iterator[End]:
        for (text,) in self._connection.execute("SELECT row FROM ends ORDER BY line"):
            yield json.loads(text)

    def counts(self) -> dict[str, int]:
        """Return the counts by outcome word, every word present, zeros shown."""
        found = dict(self._connection.execute("SELECT outcome, count(*) FROM ends GROUP BY outcome"))
        return {outcome.value: found.get(outcome.value, 0) for outcome in self._outcomes}


@contextmanager
def collecting(outcomes: type[RowOutcome]) -> Iterator[CollectedEnds]:
    """An empty collection, on disk, which goes when the block ends."""
    with scratch_database() as connection:
        yield CollectedEnds(connection, outcomes)
