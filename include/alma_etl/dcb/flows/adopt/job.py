"""The steps of `dcb_adopt_requests`: read a source, adopt what it offers, report, check."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from alma_etl.counted import counted
from alma_etl.dcb.flows.adopt.request import AdoptedAs, RefusalCode, adopted_as
from alma_etl.dcb.flows.adopt.sources import (
    LISTS,
    Offered,
    of_alma,
    of_dcb_service,
    of_file,
    of_lists,
    unknown_transactions,
)
from alma_etl.dcb.machine import flags
from alma_etl.dcb.settings import AdoptSource, DcbSettings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import Alert, DcbStore
from alma_etl.dcb.store.adoption import Adoption
from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.jobs.folder import RunFiles
from alma_etl.jobs.ledger import Results, run_artefacts
from alma_etl.jobs.pages import render
from alma_etl.jobs.report_tables import CsvWriter
from alma_etl.remote.errors import RemoteRefused, RemoteTransient
from alma_etl.store.bucket import Bucket

log = logging.getLogger(__name__)

ADOPT_DAG = "dcb_adopt_requests"
_OFFERED, _RESULTS, _TABLE = "source.jsonl", "results.jsonl", "results.csv"
_COLUMNS = ("pr_id", "place", "outcome", "reason", "message")
_OUTCOMES: tuple[Adoption, ...] = ("created", "updated", "same", "refused")
_SHOWN = 500
ADOPT_DISAGREES = "ADOPT_DISAGREES"
_FINDINGS = (RefusalCode.ADOPT_NO_SYSTEM, RefusalCode.ADOPT_NO_IDS)

WHAT_TO_DO: Mapping[str, str] = {
    RefusalCode.BAD_ROW: "Correct the row of the list and drop the list again",
    RefusalCode.NOT_READ: "It is read again by the next run; look at the connection if it stays",
    RefusalCode.NOT_PLACED_YET: "Nothing: it is adopted when its hold is placed",
    RefusalCode.OVER: "Nothing: it has ended there",
    RefusalCode.OURS: "Nothing: we run it ourselves",
    RefusalCode.HOLD_TAKEN: "End the other request, if Alma has given the id of its hold again",
    RefusalCode.ADOPT_NO_SYSTEM: "Give the system of config/dcb.yaml dcb-service's code of it as host_lms_code",
    RefusalCode.ADOPT_NO_IDS: "Look at the request in dcb-service: it names neither hold nor item of a side",
    RefusalCode.ORPHAN_LOAN: "Find the request of the loan in dcb-service, or return the book in Alma",
    RefusalCode.UNKNOWN_TXN: "Adopt its request from dcb-service or a list, or close it in FOLIO",
    ADOPT_DISAGREES: "Compare both systems: what was reported is not what the library systems show",
}


class AdoptPlan(BaseModel):
    """What a run reads: its source, the time that it goes by, and how many rows there were."""

    model_config = ConfigDict(frozen=True)

    source: AdoptSource
    dry_run: bool
    started: datetime
    offered: int = 0


@dataclass(frozen=True)
class AdoptContext:
    """What the steps of one run work with."""

    settings: DcbSettings
    store: DcbStore
    systems: Systems
    bucket: Bucket
    now: Callable[[], datetime]


class AdoptFolder(RunFiles):
    """The working files of one run, ``runs/dcb_adopt_requests/{run_id}/``. They hold ids, and no names."""

    def __init__(self, bucket: Bucket, run_id: str, dag_id: str = ADOPT_DAG) -> None:
        super().__init__(bucket, run_id, dag_id)

    def find_plan(self) -> AdoptPlan | None:
        """What the run reads; None when it did not get that far."""
        return self.find_model("plan.json", AdoptPlan)

    def results(self) -> Iterator[dict[str, str]]:
        """What came of each row."""
        if self.bucket.info(self.key(_RESULTS)) is None:
            return
        for row in self.bucket.read_rows(self.key(_RESULTS)):
            yield {name: str(row.get(name) or "") for name in _COLUMNS}


def asked_source(given: str | None, settings: DcbSettings) -> AdoptSource | None:
    """The source that a run's form names, else that of the settings; None: there is nothing to do. Raises
    InputProblem for another word."""
    if given is None:
        return settings.adopt.source
    match given:
        case "dcb_service" | "list" | "alma_scan":
            return given
    raise InputProblem(f"source: there is no {given!r}; give dcb_service, list or alma_scan")


def read_source(folder: AdoptFolder, context: AdoptContext, source: AdoptSource, *, dry_run: bool) -> int:
    """Step 1: read the source; return the number of rows. A retry reads it again.

    Raises RemoteStop, InputProblem, and NotAcceptable when the source could not be read, with a sentence.
    """
    offered = 0

    def rows() -> Iterator[dict[str, object]]:
        nonlocal offered
        for each in _read(context, source):
            offered += 1
            yield each.to_json()

    try:
        folder.bucket.write_rows(folder.key(_OFFERED), rows())
    except (RemoteRefused, RemoteTransient) as problem:
        raise NotAcceptable(f"The source {source} could not be read: {problem.message}") from problem
    plan = AdoptPlan(source=source, dry_run=dry_run, started=context.now(), offered=offered)
    folder.write_model("plan.json", plan)
    log.info("%s read from %s", counted(offered, "row"), source)
    return offered


def _read(context: AdoptContext, source: AdoptSource) -> Iterator[Offered]:
    settings = context.settings
    match source:
        case "dcb_service":
            yield from of_dcb_service(context.systems.dcb_service(), settings)
        case "list":
            yield from of_lists(context.bucket)
        case "alma_scan":
            yield from of_alma(context.store, settings, context.systems)


def adopt_offered(folder: AdoptFolder, context: AdoptContext) -> dict[str, int]:
    """Step 2: adopt what the source offers; return the counts by outcome. Safe to repeat."""
    plan = folder.find_plan()
    if plan is None:
        raise InputProblem("The source was not read: clear the run from read_source on")
    counts: Counter[str] = Counter()
    refused: dict[str, AdoptedAs] = {}

    def rows() -> Iterator[dict[str, object]]:
        for each, place in _verdicts(folder, context, plan):
            counts[each.outcome] += 1
            if each.reason in _FINDINGS:
                refused[f"{each.reason}:{each.pr_id}"] = each
            yield {**asdict(each), "place": place}

    folder.bucket.write_rows(folder.key(_RESULTS), rows())
    if not plan.dry_run:
        _keep_findings(context, plan, refused)
    log.info("%s", verdict_of(counts, plan))
    return {name: counts[name] for name in _OUTCOMES}


def _verdicts(folder: AdoptFolder, context: AdoptContext, plan: AdoptPlan) -> Iterator[tuple[AdoptedAs, str]]:
    for row in folder.bucket.read_rows(folder.key(_OFFERED)):
        offered = Offered.from_json(row)
        yield _adopted(offered, folder, context, plan), offered.place
    for unknown in unknown_transactions(context.store, context.settings, context.systems, context.now()):
        yield _refused(unknown), unknown.place


def _adopted(offered: Offered, folder: AdoptFolder, context: AdoptContext, plan: AdoptPlan) -> AdoptedAs:
    if offered.request is None:
        return _refused(offered)
    return adopted_as(
        context.store,
        offered.request,
        settings=context.settings,
        now=context.now(),
        run_id=folder.run_id,
        dry_run=plan.dry_run,
    )


def _refused(offered: Offered) -> AdoptedAs:
    return AdoptedAs(offered.pr_id, "refused", offered.reason, offered.message)


def _keep_findings(context: AdoptContext, plan: AdoptPlan, refused: Mapping[str, AdoptedAs]) -> None:
    """One alert for each request that people have to do something about; over when the same source says so."""
    now = context.now()
    for key, each in refused.items():
        detail = {"message": each.message, "source": plan.source}
        context.store.open_alert(Alert(key, str(each.reason), "warning", each.pr_id, detail), now)
    for alert in context.store.open_alerts():
        if alert.code in _FINDINGS and alert.key not in refused and alert.detail.get("source") == plan.source:
            context.store.close_alert(alert.key, now, looked_at=now)


def disagreeing(store: DcbStore) -> list[dict[str, str]]:
    """The adopted requests whose looks contradict what was reported of them."""
    return [
        {
            "pr_id": each.pr_id,
            "place": ", ".join(sorted({leg.system_code for leg in each.legs.values()})),
            "outcome": each.status,
            "reason": ADOPT_DISAGREES,
            "message": f"reported as {each.state.adopted}, which the library systems do not show",
        }
        for each in store.live()
        if flags.ADOPTED_DISAGREES in each.state.standing
    ]


# --- the report


def write_report(folder: AdoptFolder, store: DcbStore, task_states: Mapping[str, str]) -> dict[str, str]:
    """Step 3: `results.csv` and `report.html`; return their keys. Is to run always."""
    plan, counts = folder.find_plan(), _counts(folder)
    reasons = Counter(row["reason"] for row in folder.results() if row["reason"])
    found = [] if plan is None else disagreeing(store)
    if found:
        reasons[ADOPT_DISAGREES] = len(found)
    folder.bucket.put(folder.key(_TABLE), _table([*folder.results(), *found]), "text/csv; charset=utf-8")
    shown = [row for row in folder.results() if row["reason"]][:_SHOWN]
    problems = _problems(folder, task_states)
    page = render(
        "dcb_adopt.html",
        run_id=folder.run_id,
        plan=plan,
        sentences=problems or [verdict_of(counts, plan)],
        verdict_class="bad" if problems else ("dry-run" if plan and plan.dry_run else ""),
        counts=[(name, counts[name]) for name in _OUTCOMES],
        reasons=[(reason, number, WHAT_TO_DO.get(reason, "")) for reason, number in sorted(reasons.items())],
        rows=[*found, *shown],
    )
    folder.bucket.put(folder.key("report.html"), page, "text/html; charset=utf-8")
    return {"html": folder.key("report.html"), "csv": folder.key(_TABLE)}


def check_outcome(folder: AdoptFolder, task_states: Mapping[str, str]) -> str:
    """The final check: one sentence. Raises NotAcceptable when the source could not be read, a task failed, or a list
    has no row that can be used."""
    problems = _problems(folder, task_states)
    if problems:
        raise NotAcceptable(" ".join(problems))
    return verdict_of(_counts(folder), folder.find_plan())


def _problems(folder: AdoptFolder, task_states: Mapping[str, str]) -> list[str]:
    problem, plan = folder.problem(), folder.find_plan()
    failed = [f"The task {task} is {state}." for task, state in sorted(task_states.items())]
    if problem or plan is None:
        return [f"{problem.rstrip('.')}."] if problem else failed or ["The source was not read."]
    rows = [row["reason"] for row in folder.results()]
    if plan.source == "list" and not plan.offered:
        failed.append(f"No list lies below {LISTS} in the bucket.")
    elif plan.source == "list" and rows and all(reason == RefusalCode.BAD_ROW for reason in rows):
        failed.append("No row of the lists can be used: the page says what is wrong with each.")
    if unread := sum(reason == RefusalCode.NOT_READ for reason in rows):
        failed.append(f"{counted(unread, 'part')} of the source could not be read.")
    return failed


def _counts(folder: AdoptFolder) -> Counter[str]:
    return Counter(row["outcome"] for row in folder.results())


def verdict_of(counts: Mapping[str, int], plan: AdoptPlan | None) -> str:
    """A run in one sentence."""
    words = ", ".join(f"{counts.get(name, 0)} {name}" for name in _OUTCOMES)
    return f"Dry run, nothing was kept: {words}." if plan and plan.dry_run else f"{words}."


def _table(rows: Iterable[Mapping[str, str]]) -> bytes:
    stream = io.BytesIO()
    table = CsvWriter(stream, _COLUMNS)
    for row in rows:
        table.add([row[name] for name in _COLUMNS])
    return stream.getvalue()


def results_of(folder: AdoptFolder) -> Results:
    """Return for the ledger the rows by what became of them, and the refused ones by their reasons."""
    plan = folder.find_plan()
    reasons = Counter(row["reason"] for row in folder.results() if row["reason"])
    return Results(
        dict(_counts(folder)),
        {"offered": plan.offered, "source": plan.source, "reasons": dict(reasons)} if plan else {},
        run_artefacts(folder, table=_TABLE),
        subject=plan.source if plan else None,
        dry_run=plan.dry_run if plan else None,
    )


# --- by command


def adopt_file(
    store: DcbStore, path: Path, *, settings: DcbSettings, now: datetime
) -> tuple[dict[str, int], list[str]]:
    """Adopt the rows of one list; return the counts by outcome, and why each refused row is refused."""
    verdicts = [
        _refused(each)
        if each.request is None
        else adopted_as(store, each.request, settings=settings, now=now)
        for each in of_file(path, path.name)
    ]
    counts = Counter(each.outcome for each in verdicts)
    refused = [f"{each.reason}: {each.message}" for each in verdicts if each.outcome == "refused"]
    return {name: counts[name] for name in _OUTCOMES}, refused
