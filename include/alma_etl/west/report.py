"""The end of a run: the page for the librarian, and the final check whether the run is acceptable."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from alma_etl.counted import counted
from alma_etl.errors import NotAcceptable
from alma_etl.jobs.pages import render
from alma_etl.jobs.report_tables import read_csv
from alma_etl.store.bucket import NoSuchObject
from alma_etl.west.assembly import assembled_key, read_assembly
from alma_etl.west.delivery import delivered_keys
from alma_etl.west.explained import MEANING_OF_CODE, WARNINGS
from alma_etl.west.gates import Assembly
from alma_etl.west.outcomes import MEANING, Outcome
from alma_etl.west.run import RunFolder, WestPlan
from alma_etl.west.settings import SETTINGS, ListMode

log = logging.getLogger(__name__)

REPORT = "report.html"
_REASONS_SHOWN = 40

# What makes each failure's sentence its own; without it, failures of one kind are one line of the page.
_PARTICULARS = re.compile(r"tracking id [^],]+|\d{8,}")

_LIMIT_OF_FILE = (
    f"Attention: limit is set in {SETTINGS.key}. While it is there no run delivers, the nightly one neither: take it "
    "out of the file, and give a limit in the form of a single run."
)

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
    plan, assembly = progress(folder)
    delivered = delivered_keys(folder)
    delivers = plan is None or plan.settings.delivers
    problems = _problems(folder, plan, assembly, task_states)
    sentences = problems or [_success(plan, assembly)]
    if plan is not None and plan.limit_of_file:
        sentences.append(_LIMIT_OF_FILE)
    reasons = _reasons(folder, assembly)
    page = render(
        "west_delivery.html",
        run_id=folder.run_id,
        day=None if plan is None else plan.day.isoformat(),
        plan=plan,
        assembly=assembly,
        delivered=delivered,
        sentences=sentences,
        verdict_class="bad" if problems else ("" if delivers else "dry-run"),
        meaning={outcome.value: text for outcome, text in MEANING.items()},
        tables=[] if delivered else _waiting_tables(folder, assembly),
        mode_sentence="" if plan is None else _MODES[plan.settings.effective_list_mode],
        kept_out=[line for line in reasons if not _only_warns(line)][:_REASONS_SHOWN],
        warnings=[line for line in reasons if _only_warns(line)][:_REASONS_SHOWN],
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
    """The final check: a sentence when the run is acceptable. Raises NotAcceptable with what is wrong otherwise."""
    plan, assembly = progress(folder)
    problems = _problems(folder, plan, assembly, task_states)
    if problems:
        raise NotAcceptable(" ".join(problems))
    remark = f" {_LIMIT_OF_FILE}" if plan is not None and plan.limit_of_file else ""
    return _success(plan, assembly) + remark


def progress(folder: RunFolder) -> tuple[WestPlan | None, Assembly | None]:
    """The plan and the assembly, None for what the run did not get to."""
    try:
        plan = folder.plan()
    except NoSuchObject:
        return None, None
    try:
        return plan, read_assembly(folder)
    except NoSuchObject:
        return plan, None


def _problems(
    folder: RunFolder, plan: WestPlan | None, assembly: Assembly | None, task_states: Mapping[str, str]
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
    if plan.settings.delivers and not delivered_keys(folder):
        return [
            "The files are assembled, but their delivery did not end well: see the log of deliver, then clear it"
        ]
    done = "Delivered" if plan.settings.delivers else "Assembled"
    if assembly.unfinished_chunks:
        numbers = ", ".join(f"{number:04d}" for number in assembly.unfinished_chunks)
        return [f"{done}, but chunk {numbers} did not finish: clear its failed tasks and those after them."]
    if task_states:
        states = ", ".join(f"{task} {state}" for task, state in task_states.items())
        return [f"{done}, but not every task did its work: {states}."]
    return []


def _success(plan: WestPlan | None, assembly: Assembly | None) -> str:
    records = counted(sum(symbol.records for symbol in assembly.symbols) if assembly else 0, "record")
    if plan is not None and plan.settings.limit is not None:
        sentence = (
            f"Trial of the first {counted(plan.titles, 'title')} (limit): {records} would be delivered. A run with a "
            "limit delivers nothing and is not compared with the last delivery."
        )
    elif plan is not None and plan.settings.dry_run:
        sentence = f"Dry run: {records} would be delivered."
    else:
        sentence = f"{records} delivered."
    passed_over = plan.counts.bad_records if plan else 0
    return (
        f"{sentence} {counted(passed_over, 'record')} of the export could not be used."
        if passed_over
        else sentence
    )


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
    return sorted(lines, key=lambda line: (-line.count, line.outcome, line.reason))


def _only_warns(line: ReasonLine) -> bool:
    """Whether a reason keeps nothing out: a warning is noted for a record that other reasons keep out too."""
    return line.outcome == Outcome.DELIVERED or line.reason in WARNINGS
