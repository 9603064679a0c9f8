"""Steps 6 and 7: what the tick did, for people and for programs, and whether it is acceptable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from alma_etl.counted import counted, verb
from alma_etl.dcb.faults import fault_of
from alma_etl.dcb.flows.tick.folder import Polled, SyncFolder, TickPlan, Worked, reports_of, rows_of
from alma_etl.dcb.machine.step import step
from alma_etl.dcb.overdue import judge_overdue
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import DcbStore
from alma_etl.dcb.store.rows import Severity, do_about
from alma_etl.errors import NotAcceptable
from alma_etl.jobs.ledger import Results, run_artefacts
from alma_etl.jobs.pages import render

PAGE = "report.html"
_SHOWN = 200
_ALERTS = 50


def report(
    folder: SyncFolder,
    *,
    store: DcbStore,
    settings: DcbSettings,
    task_states: Mapping[str, str],
    now: datetime,
) -> dict[str, str]:
    """Judge what is overdue, write `summary.json` and `report.html`; return their keys. ``task_states``: tasks that did
    not succeed."""
    plan = folder.find_plan()
    if plan is not None and not plan.dry_run:
        judge_overdue(store, settings, now)
    summary = summed_up(folder, store, settings.mode)
    if summary.dry_run:
        summary = summary.model_copy(update={"would": tuple(_would(folder, store, settings))})
    folder.save(SUMMARY, summary)
    _write_page(folder, summary, problems_of(summary, task_states, folder.problem()))
    return {"json": folder.key(SUMMARY), "html": folder.key(PAGE)}


def report_problem(folder: SyncFolder, problem: str) -> dict[str, str]:
    """Write the page of a tick whose settings cannot be used, and return its key."""
    _write_page(folder, TickSummary(run_id=folder.run_id), problems_of(None, {}, folder.problem() or problem))
    return {"html": folder.key(PAGE)}


def _write_page(folder: SyncFolder, summary: TickSummary, problems: list[str]) -> None:
    rows = summary.would if summary.dry_run else summary.changed
    page = render(
        "dcb_sync.html",
        summary=summary,
        sentences=problems or [verdict_of(summary)],
        verdict_class="bad" if problems else ("dry-run" if summary.dry_run else ""),
        rows=rows[:_SHOWN],
        hidden=max(0, len(rows) - _SHOWN),
    )
    folder.bucket.put(folder.key(PAGE), page, "text/html; charset=utf-8")


def _would(folder: SyncFolder, store: DcbStore, settings: DcbSettings) -> Iterator[tuple[str, str, str]]:
    """What the machine would make of what was read."""
    for row in rows_of(folder, folder.plan()):
        tracked = store.get(row["pr_id"])
        if tracked is None:
            continue
        try:
            result = step(tracked.state, [each.seen for each in reports_of(row)], settings.policy)
        except Exception as problem:  # noqa: BLE001  one request's trouble must not stop the others
            yield tracked.pr_id, str(tracked.status), f"cannot be taken in: {fault_of(problem)}"
            continue
        path = [str(each.to) for each in result.transitions]
        asked = [" ".join([action.type, *action.args]) for action in result.actions]
        if path or asked:
            words = " -> ".join(path) + (f"; then {', '.join(asked)}" if asked else "")
            yield tracked.pr_id, str(tracked.status), words


# --- the numbers


SUMMARY = "summary.json"


class OpenAlert(BaseModel):
    """Something that waits for a person. ``do``: what to do about it; ``by``: who is at it, if anybody."""

    model_config = ConfigDict(frozen=True)

    severity: Severity
    code: str
    pr_id: str = ""
    since: datetime | None = None
    do: str
    by: str = ""


class TickSummary(BaseModel):
    """The result of a tick. ``changed``: (request, from, path); ``actions`` and ``events``: counts by type or target
    and state; ``waiting``: rows of the outbox still open, by target; ``would``: what a dry run would change;
    ``alerts``: those that are open, first what nobody is at, then the urgent, then the newest; ``more_alerts``: how
    many are not among them."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    run_id: str
    dry_run: bool = False
    mode: str = ""
    started: datetime | None = None
    due: int = 0
    left: int = 0
    asked: int = 0
    unknown: tuple[str, ...] = ()
    hints: int = 0
    polled: int = 0
    frozen: int = 0
    late: int = 0
    failed_reads: int = 0
    calls: dict[str, int] = {}
    calls_left: dict[str, int] = {}
    closed: dict[str, str] = {}
    unread: tuple[str, ...] = ()
    changed: tuple[tuple[str, str, str], ...] = ()
    would: tuple[tuple[str, str, str], ...] = ()
    actions: dict[str, dict[str, int]] = Field({}, alias="deeds")
    events: dict[str, dict[str, int]] = {}
    waiting: dict[str, int] = {}
    skipped: dict[str, str] = {}
    problems: tuple[tuple[str, str, str], ...] = ()
    remarks: tuple[str, ...] = ()
    alerts: tuple[OpenAlert, ...] = ()
    more_alerts: int = 0


def summed_up(folder: SyncFolder, store: DcbStore, mode: str) -> TickSummary:
    """From the run's files and the store. A run that made no plan has an empty summary."""
    plan = folder.find_plan()
    if plan is None:
        return TickSummary(run_id=folder.run_id, mode=mode)
    groups = [polled for group in plan.groups if (polled := folder.polled(group.number, plan))]
    steps = {name: folder.worked(f"{name}.json") for name in ("acted", "published")}
    settled = [] if plan.dry_run else store.settled_since(plan.started)
    closed = {name: why for polled in groups for name, why in polled.closed.items()}
    actions: dict[str, dict[str, int]] = {}
    events: dict[str, dict[str, int]] = {}
    for each in settled:
        by, name = (actions, each.type) if each.kind == "ALMA_ACTION" else (events, each.target)
        states = by.setdefault(name, {})
        states[each.state] = states.get(each.state, 0) + each.rows
    alerts = _open_alerts(store)
    return TickSummary(
        run_id=plan.run_id,
        dry_run=plan.dry_run,
        mode=mode,
        started=plan.started,
        due=plan.due,
        left=plan.left,
        asked=len(plan.asked),
        unknown=plan.unknown,
        hints=plan.hints,
        polled=sum(each.polled for each in groups),
        frozen=sum(each.frozen for each in groups),
        late=sum(each.late for each in groups),
        failed_reads=sum(each.failed_reads for each in groups),
        calls=_added(each.calls for each in groups),
        calls_left=_left(plan, groups),
        closed=closed,
        unread=tuple(name for name in sorted(closed) if not any(name in each.answered for each in groups)),
        changed=() if plan.dry_run else _changed(store, plan),
        actions=actions,
        events=events,
        waiting={**store.count_open("ALMA_ACTION"), **store.count_open("EVENT")},
        skipped={name: worked.skipped for name, worked in steps.items() if worked and worked.skipped},
        problems=tuple(problem for worked in steps.values() if worked for problem in worked.problems),
        remarks=tuple(_remarks(plan, groups, steps)),
        alerts=alerts[:_ALERTS],
        more_alerts=max(0, len(alerts) - _ALERTS),
    )


def _open_alerts(store: DcbStore) -> tuple[OpenAlert, ...]:
    newest = reversed(store.open_alerts())
    found = sorted(newest, key=lambda alert: (alert.acked_by is not None, alert.severity != "urgent"))
    return tuple(
        OpenAlert(
            severity=alert.severity,
            code=alert.code,
            pr_id=alert.pr_id or "",
            since=alert.first_seen,
            do=do_about(alert),
            by=alert.acked_by or "",
        )
        for alert in found
    )


def _added(counts: Iterator[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def _left(plan: TickPlan, groups: list[Polled]) -> dict[str, int]:
    used = _added(each.calls for each in groups)
    return {name: max(0, left - used.get(name, 0)) for name, left in plan.budgets.items()}


def _changed(store: DcbStore, plan: TickPlan) -> tuple[tuple[str, str, str], ...]:
    changes = store.changes_since(plan.started)
    return tuple((each.pr_id, each.frm, " -> ".join(each.path)) for each in changes)


def _remarks(plan: TickPlan, groups: list[Polled], steps: Mapping[str, Worked | None]) -> Iterator[str]:
    if plan.left:
        yield (
            f"{counted(plan.left, 'due request')} {verb(plan.left, 'waits', 'wait')}: the calls of the day "
            "are to last until midnight UTC"
        )
    if late := sum(each.late for each in groups):
        yield f"{counted(late, 'request')} {verb(late, 'waits', 'wait')} for the next tick: time was up"
    if frozen := sum(each.frozen for each in groups):
        waits = f"{counted(frozen, 'request')} {verb(frozen, 'waits', 'wait')}"
        yield f"{waits}, with nothing changed, for a system that could not be reached"
    if plan.unknown:
        yield (
            f"{counted(len(plan.unknown), 'request')} asked for and not polled, since settled or not tracked"
        )
    for name, worked in steps.items():
        if worked and worked.late:
            yield f"{'actions' if name == 'acted' else 'events'} are left for the next tick: time was up"
        if worked and worked.held:
            yield (
                f"{counted(worked.held, 'action')} {verb(worked.held, 'waits', 'wait')} for a system that could "
                "not be reached"
            )
        if worked and worked.given_up:
            yield f"{counted(worked.given_up, 'row')} given up after eight attempts; each has an alert"


def read_summary(folder: SyncFolder) -> TickSummary | None:
    """What the report has written; None when it has not."""
    found = folder.bucket.find(folder.key(SUMMARY))
    return None if found is None else TickSummary.model_validate_json(found)


def problems_of(
    summary: TickSummary | None, task_states: Mapping[str, str], problem: str | None = None
) -> list[str]:
    """Why the tick is not acceptable, one sentence each. A single request's trouble is none of them.

    ``problem`` is what stopped the first step.
    """
    if problem:
        return [f"Nothing was polled. {problem.rstrip('.')}."]
    problems = [
        f"The task {task} is {state}: see the last line of its log. What was not done stays due."
        for task, state in task_states.items()
    ]
    if summary is None or summary.started is None:
        return problems or ["No plan was made: see the log of select_due."]
    problems += [
        f"Nothing could be read by the connection {name}: {summary.closed[name]}" for name in summary.unread
    ]
    taken = summary.due - summary.left
    if taken and not summary.polled and not summary.unread:
        problems.append(f"None of {counted(taken, 'request')} could be polled: see the log of poll.")
    return problems


def verdict_of(summary: TickSummary) -> str:
    """A good tick in one sentence."""
    if summary.dry_run:
        read = counted(summary.polled, "request")
        return f"Dry run: {read} read, {len(summary.would)} would change. Nothing was written."
    actions = sum(states.get("SENT", 0) for states in summary.actions.values())
    published = sum(states.get("SENT", 0) for states in summary.events.values())
    return (
        f"{counted(summary.polled, 'request')} read, {len(summary.changed)} changed, "
        f"{counted(actions, 'action')} done, {counted(published, 'event')} published."
    )


def check_outcome(folder: SyncFolder, task_states: Mapping[str, str]) -> str:
    """The tick in one sentence. Raises NotAcceptable when people have to do something about it."""
    summary = read_summary(folder)
    problems = problems_of(summary, task_states, folder.problem())
    if problems or summary is None:
        raise NotAcceptable(" ".join(problems))
    return verdict_of(summary)


def results_of(folder: SyncFolder) -> Results:
    """Return for the ledger the requests by what became of their turn, and how much was changed, done and published."""
    summary = read_summary(folder)
    if summary is None:
        return Results({}, artefacts=run_artefacts(folder))
    return Results(
        {name: getattr(summary, name) for name in ("polled", "frozen", "late", "left")},
        {
            "due": summary.due,
            "changed": len(summary.changed),
            "failed_reads": summary.failed_reads,
            "actions": _by_state(summary.actions),
            "events": _by_state(summary.events),
        },
        run_artefacts(folder, summary="summary.json"),
        dry_run=summary.dry_run,
    )


def _by_state(counts: dict[str, dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for states in counts.values():
        total.update(states)
    return dict(total)
