"""The Overview: each job's last and next run, what needs attention and what to do, the last delivery's files, and the
outcomes of the last nights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import Connection, Select, and_, exists, or_, select

from alma_etl.jobs.ledger_purge import TICKS
from alma_etl.jobs.ledger_reading import Attention, JobRun, RunKey, job_run
from alma_etl.store.ledger_models import run_table
from alma_etl.views.charts import StackedBars, stacked_bars
from alma_etl.views.deliveries import JOB as DELIVERIES
from alma_etl.views.words import ToDo, Tone, outcome

NIGHTS = 14
_RECENTLY = timedelta(days=7)
_MOST = 20  # of what needs attention, of one kind
_SERIES: Sequence[Tone] = ("good", "plain", "wait", "bad")
_CALLED = ("as wanted", "left out", "refused", "failed")


@dataclass(frozen=True)
class Schedule:
    """What Airflow knows of a job's DAG. `description`: what it is for, in a line; `next_run` is None where it does not
    run by the clock, or is paused."""

    dag_id: str
    title: str
    when: str
    description: str = ""
    paused: bool = False
    broken: bool = False
    next_run: datetime | None = None


@dataclass(frozen=True)
class Heartbeat:
    """A part of Airflow that must run: `last` is when it was heard of last, None where it never was."""

    name: str
    alive: bool
    last: datetime | None = None


@dataclass(frozen=True)
class JobLine:
    """A job on the Overview, with its last run."""

    schedule: Schedule
    last: JobRun | None


@dataclass(frozen=True)
class Overview:
    """What the page shows."""

    jobs: Sequence[JobLine]
    attention: Sequence[ToDo]
    delivery: JobRun | None
    nights: StackedBars


def overview(
    connection: Connection,
    schedules: Sequence[Schedule],
    heartbeats: Sequence[Heartbeat],
    now: datetime,
    zone: tzinfo,
) -> Overview:
    """The Overview of the jobs of these DAGs, which are those that the reader may see; two queries."""
    dag_ids = [each.dag_id for each in schedules]
    runs = _runs(connection, dag_ids, now)
    lines = [JobLine(each, _last(runs, each.dag_id)) for each in schedules]
    deliveries = [
        each for each in runs if each.job == DELIVERIES and each.state == "done" and not each.dry_run
    ]
    return Overview(
        jobs=lines,
        attention=[*_of_airflow(heartbeats, schedules), *_of_runs(runs, [line.last for line in lines], now)],
        delivery=max(deliveries, key=lambda each: each.started_at, default=None),
        nights=_nights(connection, dag_ids, now.astimezone(zone), zone),
    )


def _runs(connection: Connection, dag_ids: Sequence[str], now: datetime) -> list[JobRun]:
    """The last run of each DAG, the last delivery, those that wait, and those that failed and were not repeated."""
    table = run_table.c
    keys: list[Select[tuple[str, str]]] = [_newest(table.dag_id == dag_id, most=1) for dag_id in dag_ids]
    if DELIVERIES in dag_ids:
        keys.append(_newest(table.job == DELIVERIES, table.state == "done", table.dry_run.is_(False), most=1))
    if not keys:
        return []
    later = run_table.alias()
    repeated = exists().where(
        later.c.job == table.job, later.c.subject == table.subject, later.c.started_at > table.started_at
    )
    seen = table.dag_id.in_(dag_ids)
    keys.append(_newest(table.state == "waiting", seen, most=_MOST))
    keys.append(
        _newest(table.state == "failed", table.started_at > now - _RECENTLY, ~repeated, seen, most=_MOST)
    )
    united = keys[0].union_all(*keys[1:]).subquery()
    matching = exists().where(and_(united.c.dag_id == table.dag_id, united.c.run_id == table.run_id))
    found = connection.execute(select(run_table).where(matching).order_by(table.started_at.desc()))
    return [job_run(row) for row in found]


def _newest(*where: object, most: int) -> Select[tuple[str, str]]:
    table = run_table.c
    chosen = (
        select(table.dag_id, table.run_id)
        .where(*where)  # type: ignore[arg-type]
        .order_by(table.started_at.desc())
        .limit(most)
        .subquery()
    )
    return select(chosen.c.dag_id, chosen.c.run_id)


def _last(runs: Iterable[JobRun], dag_id: str) -> JobRun | None:
    return next((each for each in runs if each.dag_id == dag_id), None)


def _of_airflow(heartbeats: Sequence[Heartbeat], schedules: Sequence[Schedule]) -> list[ToDo]:
    found = [
        ToDo(
            f"Airflow's {each.name} does not run.",
            f"Nothing starts by itself until somebody starts it: airflow {each.name.replace(' ', '-')}.",
        )
        for each in heartbeats
        if not each.alive
    ]
    if not schedules:
        found.append(
            ToDo(
                "Airflow knows none of the jobs that you may see.",
                "Right after a start this takes a minute. Else see whether the DAG processor runs, and which DAGs your "
                "role may read.",
                "wait",
            )
        )
    for each in schedules:
        if each.broken:
            what = (
                f"The file of {each.dag_id} cannot be read any more; Airflow goes on with the version before."
            )
            found.append(ToDo(what, "See the import error on Airflow's first page.", dag_id=each.dag_id))
        if each.paused:
            what = f"{each.title} is paused: it starts no run, and runs that are asked for wait."
            found.append(ToDo(what, "Switch it on at the top of its page.", "wait", dag_id=each.dag_id))
    return found


def _of_runs(runs: Iterable[JobRun], last: Sequence[JobRun | None], now: datetime) -> list[ToDo]:
    found = []
    for run in runs:
        key = RunKey(run.dag_id, run.run_id)
        if run.state == "waiting":
            found.append(
                ToDo(
                    run.headline or "A run waits for a decision.",
                    "Decide on its page in Airflow.",
                    "wait",
                    key,
                )
            )
        elif run.state == "failed" and (run in last or run.started_at > now - _RECENTLY):
            said: Sequence[Attention] = run.attention or [
                {"what": run.headline or "The run failed.", "what_to_do": "See its log."}
            ]
            found += [ToDo(each["what"], each["what_to_do"], "bad", key) for each in said]
        elif run.state == "done" and run.attention:
            found += [ToDo(each["what"], each["what_to_do"], "wait", key) for each in run.attention]
    return found


def _nights(connection: Connection, dag_ids: Sequence[str], now: datetime, zone: tzinfo) -> StackedBars:
    """Records by how they ended, a bar a day, of all jobs but the ticks of DCB, which count something else."""
    first = (now - timedelta(days=NIGHTS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [(first + timedelta(days=number)).date() for number in range(NIGHTS)]
    bars = {f"{day:%b} {day.day}": [0] * len(_SERIES) for day in days}
    table = run_table.c
    found = connection.execute(
        select(table.job, table.started_at, table.counts).where(
            table.dag_id.in_([each for each in dag_ids if each != TICKS]),
            table.started_at >= first,
            or_(table.state == "done", table.state == "failed"),
            table.dry_run.is_(False),
        )
    )
    for row in found:
        day = row.started_at.astimezone(zone).date()
        values = bars.get(f"{day:%b} {day.day}")
        for word, number in row.counts.items():
            known = outcome(word, row.job)
            if values is not None and known.meaning:
                values[_SERIES.index(known.tone)] += number
    return stacked_bars(f"Records of the last {NIGHTS} days", _CALLED, bars)
