"""What one item load came to: the numbers of its reports, and whether it is acceptable."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict

from alma_etl.counted import counted, verb
from alma_etl.errors import NotAcceptable
from alma_etl.items.outcomes import LOADED, NOT_ACCEPTABLE
from alma_etl.items.run import LoadFolder

SUMMARY = "summary.json"


class Summary(BaseModel):
    """The result of a load. ``problem`` is why the file could not be read, "" when it could; ``keys`` are the
    reports by kind (csv, xlsx, html, missing, rejects)."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    key: str
    profile: str = ""
    form: str = ""
    dry_run: bool = False
    problem: str = ""
    rows: int = 0
    counts: dict[str, int] = {}
    repeated: int = 0
    holdings_used: int = 0
    holdings_made: int = 0
    without_call_number: int = 0
    unfinished: dict[int, str] = {}
    remarks: tuple[str, ...] = ()
    keys: dict[str, str] = {}

    @property
    def loaded(self) -> int:
        """Rows whose item is in Alma now, or would be."""
        return sum(self.counts.get(outcome, 0) for outcome in LOADED)

    @property
    def rejected(self) -> int:
        """Rows that were not loaded."""
        return sum(self.counts.values()) - self.loaded


def write_summary(folder: LoadFolder, summary: Summary) -> None:
    """Save the summary."""
    folder.bucket.put(folder.key(SUMMARY), summary.model_dump_json(indent=1).encode(), "application/json")


def find_summary(folder: LoadFolder) -> Summary | None:
    """The summary, None before the report was written."""
    found = folder.bucket.find(folder.key(SUMMARY))
    return None if found is None else Summary.model_validate_json(found)


def problems_of(summary: Summary | None, task_states: Mapping[str, str]) -> list[str]:
    """The sentences that say why a load is not acceptable; none when it is."""
    if summary is None:
        return [f"The load has no report ({_states(task_states)}): see the log of the first of these tasks"]
    return list(_problems(summary, task_states))


def check_outcome(folder: LoadFolder, task_states: Mapping[str, str]) -> str:
    """The last word: a sentence when the load is acceptable. Raises NotAcceptable with what is wrong when not.

    Acceptable is a load in which every row has its end and none is `failed` or `unconfirmed`; rows that were
    rejected are for their sender to mend, unless no row at all could be loaded.
    """
    folder.stop_if_superseded()
    summary = find_summary(folder)
    problems = problems_of(summary, task_states)
    if problems or summary is None:
        raise NotAcceptable(" ".join(problems))
    return verdict_of(summary)


def verdict_of(summary: Summary) -> str:
    """The sentence about a load that is acceptable."""
    done = "would be loaded (dry run)" if summary.dry_run else "loaded"
    rejected = (
        f", {summary.rejected:,} rejected, see {summary.keys.get('rejects', 'the report')} and docs/files.md"
    )
    return (
        f"{summary.loaded:,} of {counted(summary.rows, 'row')} {done}{rejected if summary.rejected else ''}."
    )


def _problems(summary: Summary, task_states: Mapping[str, str]) -> Iterator[str]:
    if summary.problem:
        yield f"The file could not be loaded. {summary.problem}."
        return
    if sum(summary.counts.values()) != summary.rows or summary.repeated:
        yield (
            f"Counts do not add up: the file has {counted(summary.rows, 'row')}, the report "
            f"{sum(summary.counts.values()):,}, and {counted(summary.repeated, 'line')} came twice; please report this."
        )
    for outcome in sorted(NOT_ACCEPTABLE):
        if count := summary.counts.get(outcome):
            yield (
                f"{count:,} of {counted(summary.rows, 'row')} {verb(count, 'is', 'are')} {outcome.value}: clear the "
                "failed tasks to go on, or drop the rejects file again when the cause is fixed."
            )
    for number, reason in list(summary.unfinished.items())[:5]:
        yield f"Chunk {number:04d} did not finish{': ' if reason else ''}{reason}."
    if not summary.loaded and not any(summary.counts.get(outcome) for outcome in NOT_ACCEPTABLE):
        yield "No row could be loaded: see the report for what is wrong with each, mend the file and drop it again."
    if task_states and not summary.unfinished:
        yield f"Not every task did its work: {_states(task_states)}."


def _states(task_states: Mapping[str, str]) -> str:
    return ", ".join(f"{task} {state}" for task, state in task_states.items()) or "no task failed"
