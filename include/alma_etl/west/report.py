"""The end of a run: the page for the librarian, and the last word on whether the run is acceptable."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from alma_etl.errors import NotAcceptable
from alma_etl.reports.pages import render
from alma_etl.reports.tables import read_csv
from alma_etl.store.bucket import NoSuchObject
from alma_etl.west.assembly import assembled_key, read_assembly
from alma_etl.west.delivery import delivered_keys
from alma_etl.west.explained import MEANING_OF_CODE
from alma_etl.west.gates import Assembly
from alma_etl.west.outcomes import MEANING, Outcome
from alma_etl.west.run import Plan, RunFolder
from alma_etl.west.settings import ListMode

log = logging.getLogger(__name__)

REPORT = "report.html"
_REASONS_SHOWN = 40

# What makes each failure's sentence its own; without it, failures of one kind are one line of the page.
_PARTICULARS = re.compile(r"tracking id [^],]+|\d{8,}")

_MODES = {
    ListMode.BATCH: (
        "List mode batch: holdings were found by the availability of 100 titles a call. Holdings that availability "
        "hides, suppressed ones above all, are not seen in this mode and have no row; the exact mode sees them."
    ),
    ListMode.EXACT: "List mode exact: every title was asked for its list of holdings, suppressed ones included.",
}


@dataclass(frozen=True)
class ReasonLine:
    """A line of the page: how many holdings of an outcome have a reason, what it means, one of them."""

    outcome: str
    reason: str
    meaning: str
    count: int
    example: str


def write_report(folder: RunFolder, task_states: Mapping[str, str]) -> str:
    """Write the run's page, however far it got, and return its key.

    ``task_states`` are tasks that did not succeed, by name with their state, for a run that stopped early.
    """
    plan, assembly = _progress(folder)
    delivered = delivered_keys(folder)
    rehearsal = plan is not None and plan.settings.dry_run
    problems = _problems(folder, plan, assembly, task_states)
    sentences = problems or [_success(plan, assembly)]
    reasons = _reasons(folder, assembly)
    page = render(
        "west_delivery.html",
        run_id=folder.run_id,
        day=None if plan is None else plan.day.isoformat(),
        plan=plan,
        assembly=assembly,
        delivered=delivered,
        sentences=sentences,
        verdict_class="bad" if problems else ("rehearsal" if rehearsal else ""),
        meaning={outcome.value: text for outcome, text in MEANING.items()},
        tables=[] if delivered else _waiting_tables(folder, assembly),
        mode_sentence="" if plan is None else _MODES[plan.settings.effective_list_mode],
        kept_out=[line for line in reasons if line.outcome != Outcome.DELIVERED],
        warnings=[line for line in reasons if line.outcome == Outcome.DELIVERED],
    )
    key = folder.key(REPORT)
    folder.bucket.put(key, page, "text/html; charset=utf-8")
    for sentence in sentences:
        log.info("%s", sentence)
    if assembly is not None:
        log.info("%s", ", ".join(f"{count} {word}" for word, count in assembly.counts.items()))
    log.info("Report: %s in the bucket %s", key, folder.bucket.name)
    return key


def check_outcome(folder: RunFolder, task_states: Mapping[str, str]) -> str:
    """The last word: a sentence when the run is acceptable. Raises NotAcceptable with what is wrong when it is not."""
    plan, assembly = _progress(folder)
    problems = _problems(folder, plan, assembly, task_states)
    if problems:
        raise NotAcceptable(" ".join(problems))
    return _success(plan, assembly)


def _progress(folder: RunFolder) -> tuple[Plan | None, Assembly | None]:
    try:
        plan = folder.plan()
    except NoSuchObject:
        return None, None
    try:
        return plan, read_assembly(folder)
    except NoSuchObject:
        return plan, None


def _problems(
    folder: RunFolder, plan: Plan | None, assembly: Assembly | None, task_states: Mapping[str, str]
) -> list[str]:
    problem = folder.problem()
    if problem:
        return [f"Nothing was delivered. {problem}"]
    if plan is None or assembly is None:
        states = ", ".join(f"{task} {state}" for task, state in task_states.items())
        return [
            f"Nothing was delivered: the run did not get to its assembly ({states}); see the log of the first of these"
        ]
    if assembly.shut:
        return ["Nothing was delivered.", *(f"{sentence}." for sentence in assembly.shut)]
    if not plan.settings.dry_run and not delivered_keys(folder):
        return [
            "The files are assembled, but their delivery did not end well: see the log of deliver, then clear it"
        ]
    done = "Assembled" if plan.settings.dry_run else "Delivered"
    if assembly.unfinished_chunks:
        numbers = ", ".join(f"{number:04d}" for number in assembly.unfinished_chunks)
        return [f"{done}, but chunk {numbers} did not finish: clear its failed tasks and those after them."]
    if task_states:
        states = ", ".join(f"{task} {state}" for task, state in task_states.items())
        return [f"{done}, but not every task did its work: {states}."]
    return []


def _success(plan: Plan | None, assembly: Assembly | None) -> str:
    records = sum(symbol.records for symbol in assembly.symbols) if assembly else 0
    rehearsal = plan is not None and plan.settings.dry_run
    sentence = f"Dry run: {records:,} records would be" if rehearsal else f"{records:,} records"
    passed_over = plan.counts.bad_records if plan else 0
    beside = f" {passed_over:,} records of the export could not be used." if passed_over else ""
    return f"{sentence} delivered.{beside}"


def _waiting_tables(folder: RunFolder, assembly: Assembly | None) -> list[str]:
    """Where the tables of outcomes are when there is no delivery that has them."""
    symbols = assembly.symbols if assembly else ()
    return [
        assembled_key(folder, f"{symbol.stem}.outcomes.csv")
        for symbol in symbols
        if any(symbol.counts.values())
    ]


def _reasons(folder: RunFolder, assembly: Assembly | None) -> list[ReasonLine]:
    """The reasons by outcome with their counts and one holding as an example, the most frequent first."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for symbol in assembly.symbols if assembly else ():
        with folder.bucket.reader(assembled_key(folder, f"{symbol.stem}.outcomes.csv")) as stream:
            for row in read_csv(stream):
                for reason in filter(None, row["reasons"].split(";")):
                    key = (row["outcome"], _PARTICULARS.sub("…", reason))
                    count, example = found.get(key, (0, row["holding_id"] or row["mms_id"]))
                    if key in found or len(found) < 10 * _REASONS_SHOWN:
                        found[key] = (count + 1, example)
    lines = (
        ReasonLine(outcome, reason, MEANING_OF_CODE.get(reason, ""), count, example)
        for (outcome, reason), (count, example) in found.items()
    )
    return sorted(lines, key=lambda line: (-line.count, line.outcome, line.reason))[:_REASONS_SHOWN]
