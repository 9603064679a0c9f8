"""What a run on a file came to: the numbers of its reports, and whether it is acceptable."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict

from alma_etl.counted import counted, verb
from alma_etl.jobs.outcomes import RowOutcome

SUMMARY = "summary.json"


class FileSummary(BaseModel):
    """The result of a run. ``problem`` is why the file could not be read, "" when it could; ``keys`` are the reports
    by kind (csv, xlsx, html, rejects, and those of the job); ``figures`` are what the job counts beyond the outcomes.
    ``in_part``: rows of which a part was loaded although their outcome by itself does not say so.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    key: str
    profile: str = ""
    form: str = ""
    dry_run: bool = False
    problem: str = ""
    rows: int = 0
    counts: dict[str, int] = {}
    in_part: int = 0
    repeated: int = 0
    figures: dict[str, int] = {}
    unfinished: dict[int, str] = {}
    remarks: tuple[str, ...] = ()
    keys: dict[str, str] = {}

    def loaded(self, outcomes: type[RowOutcome]) -> int:
        """Return how many rows ask for nothing more."""
        return sum(self.counts.get(each, 0) for each in outcomes if each.weight.loaded)

    def arrived(self, outcomes: type[RowOutcome]) -> int:
        """Return of how many rows at least a part was loaded."""
        partly = sum(self.counts.get(each, 0) for each in outcomes if each.weight.in_part)
        return self.loaded(outcomes) + partly + self.in_part


def problems_of(
    summary: FileSummary | None, task_states: Mapping[str, str], outcomes: type[RowOutcome], unit: str
) -> list[str]:
    """Return the sentences that say why a run is not acceptable; none when it is. ``unit``: row, or record."""
    if summary is None:
        return [f"The load has no report ({_states(task_states)}): see the log of the first of these tasks"]
    return list(_problems(summary, task_states, outcomes, unit))


def verdict_of(summary: FileSummary, outcomes: type[RowOutcome], unit: str, guide: str) -> str:
    """Return the sentence about a run that is acceptable. ``guide``: the page that says why rows are refused."""
    loaded = summary.loaded(outcomes)
    rejected = sum(summary.counts.values()) - loaded
    done = "would be loaded (dry run)" if summary.dry_run else "loaded"
    see = f", {rejected:,} rejected, see {summary.keys.get('rejects', 'the report')} and {guide}"
    return f"{loaded:,} of {counted(summary.rows, unit)} {done}{see if rejected else ''}."


def _problems(
    summary: FileSummary, task_states: Mapping[str, str], outcomes: type[RowOutcome], unit: str
) -> Iterator[str]:
    if summary.problem:
        yield f"The file could not be loaded. {summary.problem}."
        return
    if sum(summary.counts.values()) != summary.rows or summary.repeated:
        yield (
            f"Counts do not add up: the file has {counted(summary.rows, unit)}, the report "
            f"{sum(summary.counts.values()):,}, and {counted(summary.repeated, 'line')} came twice; please report this."
        )
    open_ones = [each for each in sorted(outcomes) if not each.weight.acceptable and summary.counts.get(each)]
    for outcome in open_ones:
        count = summary.counts[outcome]
        yield (
            f"{count:,} of {counted(summary.rows, unit)} {verb(count, 'is', 'are')} {outcome.value}: clear the "
            "failed tasks to go on, or drop the rejects file again when the cause is fixed."
        )
    for number, reason in list(summary.unfinished.items())[:5]:
        yield f"Chunk {number:04d} did not finish{': ' if reason else ''}{reason}."
    if not summary.arrived(outcomes) and not open_ones:
        yield f"No {unit} could be loaded: see the report for what is wrong with each, fix the file and drop it again."
    if task_states and not summary.unfinished:
        yield f"Not every task did its work: {_states(task_states)}."


def _states(task_states: Mapping[str, str]) -> str:
    return ", ".join(f"{task} {state}" for task, state in task_states.items()) or "no task failed"
