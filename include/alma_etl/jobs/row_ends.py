"""How the rows of a job end: the words for it, by what a row is known again, and where its end is kept."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from functools import cached_property
from typing import ClassVar, Generic, final

from alma_etl.jobs.checkpoint import Checkpoint, Rank, Step
from alma_etl.jobs.ends import ENDS
from alma_etl.jobs.file_run import FilePlan, FileRun, ProfileT
from alma_etl.jobs.outcomes import End, Row, RowOutcome, end_of


class RowEnds(Generic[ProfileT]):
    """What `write_rows` and the report have to know of the rows of a run; every `FileJob` is one."""

    unit: ClassVar[str] = "row"  # what one of its records is called
    outcomes: ClassVar[type[RowOutcome]]
    columns: ClassVar[tuple[str, ...]]  # of the report; `outcome` and `message` among them
    beside: ClassVar[tuple[str, ...]] = ()  # what else of a row that has it stands in its end
    identity: ClassVar[tuple[str, ...]] = ("line",)  # by what a row and its end belong together

    def made_under(self, plan: FilePlan[ProfileT]) -> Mapping[str, object]:
        """Return the settings that the ends of rows depend on, and no more."""
        return {"dry_run": plan.dry_run}

    def end_of_unfinished(self, run: FileRun, number: int) -> Callable[[Row, str], End | None]:
        """Return a function that says, of a row that no attempt sent or came to the end of, what is known all the same:
        its arguments are the row and why work on its chunk ended. None: it was not tried."""
        return lambda row, reason: None

    def completed(
        self, run: FileRun, number: int, ends: Iterable[End], unfinished: dict[int, str]
    ) -> Iterable[End]:
        """Return the ends of a chunk's rows as they are reported, where more than `load` decides on them.
        ``unfinished`` takes the reason why the work on the chunk did not come to its end."""
        return ends

    @final
    def end(self, row: Row, outcome: RowOutcome, message: str = "", **values: object) -> End:
        """Return the end of a row; ``values`` are those of `columns` that the row does not have."""
        beside = {name: row[name] for name in self.beside if name in row}
        return end_of(row, self.columns, outcome, message, **beside, **values)

    @final
    def refused_end(self, row: Row) -> End | None:
        """Return the end of a row that the present settings refuse, if by others it may have been sent before."""
        if not row.get("refused"):
            return None
        outcome = self.outcomes(row.get("refused_as") or self.invalid)
        return self.end(row, outcome, row["refused"])

    @final
    def row_key(self, row: Row) -> tuple[Hashable, ...]:
        """Return by what a row and its end belong together, whichever attempt read the file."""
        return tuple(row[name] for name in self.identity)

    @final
    def outcome_of(self, end: Row) -> RowOutcome:
        """Return the outcome of an end."""
        return self.outcomes(end["outcome"])

    @final
    def rank_of(self, end: Row) -> Rank:
        """Return how much an end counts beside another end of the same row."""
        return self.outcome_of(end).weight.rank

    @cached_property
    def invalid(self) -> RowOutcome:
        """The outcome of what cannot be read; of a job that has none, `failed`."""
        return self._outcome("invalid_row", "invalid_record")

    @cached_property
    def failed(self) -> RowOutcome:
        """The outcome of rows that were not tried."""
        return self.outcomes("failed")

    @cached_property
    def unconfirmed(self) -> RowOutcome:
        """The outcome of rows that may have been written; of a job that has none, `failed`."""
        return self._outcome("unconfirmed")

    def _outcome(self, *words: str) -> RowOutcome:
        return next((each for each in self.outcomes if each in words), self.failed)

    def ends_of(self, run: FileRun, number: int, target: str | None = None) -> Checkpoint:
        """Return the ends of a chunk's rows, with what they depend on. ``target``: the system that they are written to;
        without it they can be read only."""
        step = Step(ENDS, key=self.row_key, rank=self.rank_of)
        settings = self.made_under(run.plan())
        return Checkpoint(run.bucket, run.chunk_key(number, ENDS), step, settings=settings, alma=target)

    @final
    def made_rows(self, run: FileRun, number: int, target: str | None = None) -> Collection[Hashable]:
        """Return the rows of a chunk that this run has written, under whatever settings, by `row_key`."""
        ends = self.ends_of(run, number, target).rows()
        return {key for key, end in ends.items() if self.rank_of(end) is Rank.MADE}
