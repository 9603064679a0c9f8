"""The step of a chunk that writes: each row looked for where it may have been sent, then sent, in turns by key.

Before a row is sent this is noted in the run's folder: rows whose end no attempt could note, after a kill or a lost
answer, are looked for first. What an attempt has finished is saved every few rows.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from alma_etl.counted import counted
from alma_etl.jobs.checkpoint import Rank
from alma_etl.jobs.ends import FirstRead, Sent, SentRecord
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.outcomes import End, Row
from alma_etl.remote.errors import RemoteStop
from alma_etl.remote.parallel import in_parallel

if TYPE_CHECKING:
    from alma_etl.jobs.row_ends import RowEnds

log = logging.getLogger(__name__)

PROGRESS_EVERY = 250
_NOTED_AT_ONCE = 50  # rows that are looked up after a kill, because they may have been sent

X = TypeVar("X")
Y = TypeVar("Y")


class RowWriter(ABC):
    """How the rows of one chunk get into the system that a job writes to; ends are made by `FileJob.end`.

    `look_for`, `send` and `dry_run` are called by many threads; rows of one turn are never sent at the same time.
    They raise RemoteStop to end the work; anything that concerns one row is that row's end.

    ``in_order``: whether the rows of one turn may change the same thing, so that a row is sent only when it is known,
    and saved, how those before it ended. ``first_read``: what the rows were found to have, for those that overwrite it.
    """

    in_order: ClassVar[bool] = False
    first_read: FirstRead

    def begin(self, rows: Sequence[Row]) -> None:  # noqa: B027 - most need none
        """Get ready for the rows that no attempt has finished, before any of them is asked about."""

    def known_end(self, row: Row) -> End | None:
        """Return the end of a row that need not be sent; None when it is to be."""
        return None

    def look_for(self, row: Row, sent: Sent) -> End | None:
        """Return the end of a row that an earlier attempt may have sent; None when it is not there, to be sent."""
        return None

    @abstractmethod
    def send(self, row: Row, before: Sent | None) -> End:
        """Send a row. ``before``: that an earlier attempt may have sent it, whose worker may still be at work although
        `look_for` did not find anything."""

    @abstractmethod
    def dry_run(self, row: Row) -> End:
        """Return what `send` would come to, without doing it."""

    def turn_of(self, row: Row) -> Hashable:
        """Return the key of what a row writes to."""
        return int(row["line"])

    def thing_of(self, row: Row) -> Hashable:
        """Return the key of what a row is known to change: behind a row whose end is not known others of it wait."""
        return self.turn_of(row)

    def place_of(self, row: Row) -> str:
        """Return where a row is sent, for the record of what was sent; "" where that is no question."""
        return ""

    def name_of(self, row: Row) -> str:
        """Return what a row is called in the log."""
        return f"Line {row['line']}"

    def today(self) -> date:
        """Return the date in UTC by the clock of whoever sends."""
        return datetime.now(UTC).date()

    def in_parallel(self, function: Callable[[X], Y], rows: Iterable[X]) -> Iterator[tuple[X, Y]]:
        """Apply `function` to the rows, several at once; see `alma_etl.remote.parallel`."""
        return in_parallel(function, rows, threads=4)


def write_rows(
    job: "RowEnds[Any]",
    run: FileRun,
    number: int,
    writer: RowWriter,
    *,
    target: str,
    only: Collection[Hashable] | None = None,
) -> list[End]:
    """Do what earlier attempts left of a chunk, save the whole, and return the ends of its rows.

    ``target`` names the system that is written to, by address and institution: what was finished in another one does
    not count. What is there by an earlier attempt stays; what was refused then is tried again, or of it only those rows
    that ``only`` names by `row_key`. Raises RemoteStop.
    """
    return _Writing(job, run, number, writer, target, only).run()


class _Writing:
    """The work on one chunk."""

    def __init__(
        self,
        job: "RowEnds[Any]",
        run: FileRun,
        number: int,
        writer: RowWriter,
        target: str,
        only: Collection[Hashable] | None,
    ) -> None:
        self._job = job
        self._writer = writer
        self._chunk = f"Chunk {number:04d}"
        self._dry_run = run.plan().dry_run
        self._checkpoint = job.ends_of(run, number, target)
        self._sent = SentRecord(run, number, target)
        writer.first_read = FirstRead(run, number, target)
        self._only = only
        self._rows = list(run.rows(number))
        self._done: dict[int, End] = {}
        self._noted: set[int] = set()  # lines that this attempt was about to send
        self._tried: set[int] = set()  # those of them that it may have sent
        self._open: dict[Hashable, int] = {}  # things, each with its first line whose end is not known

    def run(self) -> list[End]:
        settled = self._checkpoint.settled()
        if self._only is not None:
            refused = self._checkpoint.rows().items()
            settled |= {
                key: end
                for key, end in refused
                if key not in self._only and self._job.rank_of(end) is Rank.REFUSED
            }
        for row in self._rows:
            key = self._job.row_key(row)
            if key in settled:
                self._done[row["line"]] = settled[key]
        if self._done:
            log.info("%s: %s done before", self._chunk, counted(len(self._done), self._job.unit))
        try:
            with self._checkpoint:
                self._writer.begin([row for row in self._rows if row["line"] not in self._done])
                self._look_for_sent()
                to_send = list(self._without_sending())
                if to_send and not self._dry_run:
                    self._send(to_send)
                elif to_send:
                    for row, end in self._writer.in_parallel(self._writer.dry_run, to_send):
                        self._keep(row, end)
                self._look_for_late()
        except Exception:
            if self._checkpoint.is_saved:
                self._withdraw()
            raise
        ends = self._checkpoint.complete(self._done[row["line"]] for row in self._rows)
        self._withdraw()
        return ends

    def _withdraw(self) -> None:
        """Take rows off the record of what was sent, all whose end says what is there."""
        ended = [line for line, end in self._done.items() if end["outcome"] != self._job.unconfirmed]
        self._sent.withdraw(ended=ended, not_sent=self._noted - self._tried)

    def _without_sending(self) -> Iterator[Row]:
        """End the rows whose end is known without a request; yield those that are to be sent."""
        for row in self._rows:
            if row["line"] in self._done:
                continue
            end = self._job.refused_end(row) or self._writer.known_end(row)
            if end is None:
                yield row
            else:
                self._note_end(row, end)

    def _look_for_sent(self) -> None:
        """The rows that an earlier attempt may have sent, whatever is to become of them now."""
        before = self._sent.before
        waiting = [row for row in self._rows if row["line"] in before and row["line"] not in self._done]
        for row, end in self._writer.in_parallel(
            lambda row: self._writer.look_for(row, before[row["line"]]), waiting
        ):
            if end is not None:
                self._keep(row, end)

    def _look_for_late(self) -> None:
        """Rows that were found to be done because another worker of this chunk, taken for dead, did them meanwhile."""
        late = set(self._writer.first_read.by_others())
        rows = [row for row in self._rows if row["line"] in late]
        unwritten = [row for row in rows if self._job.rank_of(self._done[row["line"]]) is Rank.SETTLED]
        sent = Sent(self._writer.today(), frozenset())
        for row, end in self._writer.in_parallel(lambda row: self._writer.look_for(row, sent), unwritten):
            if end is not None:
                self._keep(row, end)

    def _send(self, rows: Sequence[Row]) -> None:
        finished = 0
        for turn in _turns(rows, self._writer.turn_of):
            for row, end in self._writer.in_parallel(self._send_one, self._noting(self._in_order(turn))):
                self._keep(row, end)
                finished += 1
                if finished % PROGRESS_EVERY == 0:
                    log.info("%s: %d of %s sent", self._chunk, finished, counted(len(rows), self._job.unit))
            if self._writer.in_order:
                self._checkpoint.save()

    def _in_order(self, turn: Sequence[Row]) -> list[Row]:
        """The rows of a turn that may be sent: not those behind one whose end is not known, which would change what
        that one may still have to change."""
        if not self._writer.in_order:
            return list(turn)
        may_go = []
        for row in turn:
            open_line = self._open.get(self._writer.thing_of(row))
            if open_line is None or open_line > row["line"]:
                may_go.append(row)
            else:
                message = f"not sent, since line {open_line} is for the same thing and has to come first"
                self._keep(row, self._job.end(row, self._job.failed, message))
        return may_go

    def _send_one(self, row: Row) -> End:
        self._tried.add(row["line"])
        try:
            return self._writer.send(row, self._sent.before.get(row["line"]))
        except RemoteStop as stop:
            if not stop.effect_unknown:
                self._tried.discard(row["line"])
            raise

    def _keep(self, row: Row, end: End) -> None:
        self._note_end(row, end)
        if not self._job.outcome_of(end).weight.acceptable:
            log.warning("%s: %s: %s", self._writer.name_of(row), end["outcome"], end["message"])
        self._checkpoint.add(end)

    def _note_end(self, row: Row, end: End) -> None:
        line = row["line"]
        self._done[line] = end
        if self._writer.in_order and self._job.rank_of(end) is Rank.OPEN:
            thing = self._writer.thing_of(row)
            self._open[thing] = min(line, self._open.get(thing, line))

    def _noting(self, rows: Sequence[Row]) -> Iterator[Row]:
        """The rows again, each after it was noted as sent; a few at a time, as they are taken."""
        for start in range(0, len(rows), _NOTED_AT_ONCE):
            part = rows[start : start + _NOTED_AT_ONCE]
            places = {row["line"]: self._writer.place_of(row) for row in part}
            self._noted |= places.keys()
            self._sent.note(places, self._writer.today())
            yield from part


def _turns(rows: Sequence[Row], key: Callable[[Row], Hashable]) -> Iterator[list[Row]]:
    """The first row of every key by line, then the second of every key, and so on: writes to one record never meet."""
    by_key: dict[Hashable, list[Row]] = {}
    for row in rows:
        by_key.setdefault(key(row), []).append(row)
    for same in by_key.values():
        same.sort(key=lambda row: int(row["line"]))
    turn = 0
    while by_key:
        yield [waiting[turn] for waiting in by_key.values()]
        turn += 1
        by_key = {each: waiting for each, waiting in by_key.items() if len(waiting) > turn}
