"""The calls: how many are left today for each Alma, how fast they may go, who made how many, and what waits for them.

A day is Alma's: it counts calls from midnight to midnight UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select

from alma_etl.jobs.ledger_reading import ApiUse, JobRun, RunKey, job_run
from alma_etl.remote.limiter_budget import BudgetState, left_today, speed
from alma_etl.store.ledger_models import run_table, use_table
from alma_etl.store.models import ApiBudget
from alma_etl.views.charts import StackedBars, stacked_bars
from alma_etl.views.words import Tone

HOURS = 24
OTHERS = "others"
_SERIES = 5  # jobs in a chart; the rest of them are one more
_MOST = 50  # runs


@dataclass(frozen=True)
class AlmaBudget:
    """What a connection to an Alma says of its calls: the limiter's name of the budget, calls a second, and how many
    calls must be left for a read and for a write."""

    connection: str
    budget: str
    rate: float
    floor: int
    floor_writes: int


@dataclass(frozen=True)
class BudgetLine:
    """The calls by a connection. `left` is None where nobody knows; `rate` is what may be sent a second now, 0 for a
    connection to something else than an Alma."""

    connection: str
    calls: int
    refused: int
    left: int | None = None
    met: datetime | None = None
    rate: float = 0.0
    floor: int = 0
    floor_writes: int = 0
    tone: Tone = "plain"
    sentence: str = ""


@dataclass(frozen=True)
class JobCalls:
    """The calls of a DAG by a connection today."""

    connection: str
    dag_id: str
    calls: int
    refused: int


@dataclass(frozen=True)
class WaitingTasks:
    """Tasks of a run that Airflow has not started since the pool is full, or that will be tried again."""

    run: RunKey
    state: str
    number: int


@dataclass(frozen=True)
class WaitingRun:
    """A run that cannot go on now, and why."""

    run: RunKey
    why: str


@dataclass(frozen=True)
class CallsPage:
    """What the page shows."""

    lines: Sequence[BudgetLine]
    jobs: Sequence[JobCalls]
    charts: Mapping[str, StackedBars]
    waiting: Sequence[WaitingRun]


def calls_page(
    connection: Connection,
    budgets: Sequence[AlmaBudget],
    states: Mapping[str, BudgetState] | None,
    tasks: Iterable[WaitingTasks],
    seen: Collection[str],
    now: datetime,
) -> CallsPage:
    """The calls of the last 24 hours; three queries. `states` by budget, None where the state store keeps them; `seen`:
    the DAGs that the reader may see, those of others are counted together."""
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    uses = [
        ApiUse(**row._mapping)
        for row in connection.execute(select(use_table).where(use_table.c.hour >= since))
    ]
    known = _states(connection, budgets) if states is None else states
    today = [each for each in uses if each.hour.astimezone(UTC).date() == now.astimezone(UTC).date()]
    lines = [_alma(each, known.get(each.budget), _sum(today, each.connection), now) for each in budgets]
    named = {each.connection for each in budgets}
    lines += [
        BudgetLine(each, *_sum(today, each)) for each in sorted({use.connection for use in uses} - named)
    ]
    return CallsPage(
        lines=lines,
        jobs=_jobs(today, seen),
        charts={
            each.connection: _chart([use for use in uses if use.connection == each.connection], since, seen)
            for each in lines
            if any(use.connection == each.connection for use in uses)
        },
        waiting=[*_stopped(connection, lines, seen), *_queued(tasks, seen)],
    )


def _states(connection: Connection, budgets: Iterable[AlmaBudget]) -> dict[str, BudgetState]:
    wanted = [getattr(ApiBudget, each.name) for each in fields(BudgetState)]
    rows = connection.execute(
        select(ApiBudget.name.label("budget_name"), *wanted).where(
            ApiBudget.name.in_([each.budget for each in budgets])
        )
    )
    return {name: BudgetState(*state) for name, *state in rows}


def _sum(uses: Iterable[ApiUse], connection: str) -> tuple[int, int]:
    found = [each for each in uses if each.connection == connection]
    return sum(each.calls for each in found), sum(each.refused for each in found)


def _alma(budget: AlmaBudget, state: BudgetState | None, used: tuple[int, int], now: datetime) -> BudgetLine:
    seconds = now.timestamp()
    left = None if state is None else left_today(state, seconds)
    share = 1.0 if state is None else speed(state, seconds)
    tone, sentence = _verdict(budget, state, left, share, seconds)
    return BudgetLine(
        budget.connection,
        *used,
        left=left,
        met=None if state is None or left is None else datetime.fromtimestamp(state.calls_left_at, UTC),
        rate=round(budget.rate * share, 1),
        floor=budget.floor,
        floor_writes=budget.floor_writes,
        tone=tone,
        sentence=sentence,
    )


def _verdict(
    budget: AlmaBudget, state: BudgetState | None, left: int | None, share: float, now: float
) -> tuple[Tone, str]:
    if state is not None and state.closed_until > now:
        until = datetime.fromtimestamp(state.closed_until, UTC)
        return "bad", f"No call is sent before {until:%Y-%m-%d %H:%M} UTC: {state.closed_reason}"
    if left is not None and left <= budget.floor_writes:
        return "bad", "The reserve is reached: nothing is read or written before midnight UTC."
    if left is not None and left <= budget.floor:
        return "bad", "The reserve for reading is reached: only writes go on before midnight UTC."
    if left is not None and left <= 2 * budget.floor:
        return "wait", "The reserve is near: the next large run may stop at it."
    if share < 0.995:
        return (
            "wait",
            f"Slowed to {share:.0%} of the rate, since calls were refused; full speed within half a minute.",
        )
    if left is None:
        return "plain", "How many are left is known after the first answer of the day."
    return "good", "Calls go on at full speed."


def _jobs(today: Iterable[ApiUse], seen: Collection[str]) -> list[JobCalls]:
    calls: Counter[tuple[str, str]] = Counter()
    refused: Counter[tuple[str, str]] = Counter()
    for each in today:
        key = (each.connection, _called(each.dag_id, seen))
        calls[key] += each.calls
        refused[key] += each.refused
    return [JobCalls(*key, number, refused[key]) for key, number in calls.most_common()]


def _called(dag_id: str, seen: Collection[str]) -> str:
    """The name under which a reader sees a DAG's calls; those of pages and triggers have no DAG."""
    return dag_id if dag_id in seen else OTHERS


def _chart(uses: Sequence[ApiUse], since: datetime, seen: Collection[str]) -> StackedBars:
    totals: Counter[str] = Counter()
    for each in uses:
        totals[_called(each.dag_id, seen)] += each.calls
    largest = [name for name, _ in totals.most_common() if name != OTHERS][:_SERIES]
    series = [*largest, *([OTHERS] if len(totals) > len(largest) else [])]
    hours = [since + timedelta(hours=number) for number in range(HOURS)]
    bars = {f"{hour:%H}:00": [0] * len(series) for hour in hours}
    for each in uses:
        name = _called(each.dag_id, seen)
        at = series.index(name) if name in series else len(series) - 1
        bars[f"{each.hour.astimezone(UTC):%H}:00"][at] += each.calls
    return stacked_bars(f"Calls by {uses[0].connection} in the last {HOURS} hours (UTC)", series, bars)


def _stopped(connection: Connection, lines: Iterable[BudgetLine], seen: Collection[str]) -> list[WaitingRun]:
    """Runs under way that made calls by a connection that gives none now."""
    shut = {each.connection: each.sentence for each in lines if each.tone == "bad"}
    if not shut:
        return []
    table = run_table.c
    rows = connection.execute(
        select(run_table)
        .where(table.state == "running", table.dag_id.in_(seen))
        .order_by(table.started_at.desc())
        .limit(_MOST)
    )
    runs: list[JobRun] = [job_run(row) for row in rows]
    return [
        WaitingRun(RunKey(run.dag_id, run.run_id), f"{name}: {shut[name]}")
        for run in runs
        for name in run.calls
        if name in shut
    ]


_WHY = {
    "scheduled": "waits for a slot of the pool alma_api",
    "queued": "waits for a worker",
    "deferred": "waits for a job in Alma",
    "up_for_retry": "will be tried again by itself",
    "up_for_reschedule": "looks again later",
}


def _queued(tasks: Iterable[WaitingTasks], seen: Collection[str]) -> list[WaitingRun]:
    return [
        WaitingRun(each.run, f"{each.number:,} × {_WHY.get(each.state, each.state)}")
        for each in tasks
        if each.run.dag_id in seen
    ]
