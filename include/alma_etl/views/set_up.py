"""Whether the installation can work: what the checks found last, connection by connection, the store, and what to do.

Nothing is asked of an Alma for it: what is shown is what the last run of each check wrote down.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, tuple_

from alma_etl.counted import counted
from alma_etl.jobs.ledger_reading import JobRun, RunKey, RunRecord, job_run
from alma_etl.store.ledger_models import record_table, run_table
from alma_etl.store.upgrade import UPGRADE, StoreVersion, store_version
from alma_etl.views.words import CHECKS, ToDo, Tone, Word

HEALTH = "alma_health_check"
_ENDED = ("done", "failed")
_MOST = 1_000  # rows of a check that are shown
_WORST: Sequence[str] = ("missing", "unknown", "warning", "ok")
_STATES: Mapping[str, tuple[str, Tone]] = {
    "missing": ("broken", "bad"),
    "unknown": ("not known", "wait"),
    "warning": ("half-configured", "wait"),
    "ok": ("healthy", "good"),
}
_NOT_NAMED = Word(
    "not checked",
    "plain",
    "It was made after the last check, or no settings name it and no job called it in the last 30 days.",
)
_NOT_YET = Word("not checked", "plain", "No check has run yet whose findings are kept.")

_OPTIONAL: Mapping[str, Word] = {
    "aleph_default": Word("not set up", "plain", "Optional: updates of items in Aleph."),
    "west_sftp": Word("not set up", "plain", "Optional: a copy of each delivery by SFTP."),
    "smtp_default": Word("not set up", "plain", "Optional: mail."),
}
"""The connections of which a check says nothing where they are not there."""


@dataclass(frozen=True)
class LastCheck:
    """A job that checks: the run whose findings are shown, a later one that has not ended, and its rows."""

    dag_id: str
    title: str
    run: JobRun | None
    under_way: JobRun | None
    rows: Sequence[RunRecord]


@dataclass(frozen=True)
class CheckedSystem:
    """A connection, or a part of the installation, as the last health check found it."""

    name: str
    state: Word
    findings: Sequence[RunRecord]


@dataclass(frozen=True)
class PoolSlots:
    """The pool of the tasks that ask an Alma: all its slots, those in use, and tasks that wait for one."""

    name: str
    slots: int
    used: int
    waiting: int


@dataclass(frozen=True)
class SetUpPage:
    """What the page shows."""

    attention: Sequence[ToDo]
    systems: Sequence[CheckedSystem]
    checks: Sequence[LastCheck]
    version: StoreVersion
    pool: PoolSlots | None


def set_up_page(
    connection: Connection,
    seen: Collection[str],
    conn_ids: Iterable[str],
    pool: PoolSlots | None,
) -> SetUpPage:
    """The last findings of the checks whose runs the reader may see (`seen`); four queries. `conn_ids`: connections to
    Almas and Alephs, of which those that no check looked at are named, too."""
    version = store_version(connection)
    checks = _last_checks(connection, [each for each in CHECKS if each in seen])
    health = [row for each in checks if each.dag_id == HEALTH for row in each.rows]
    return SetUpPage(
        attention=[*_of_the_house(version, pool), *_never_run(checks), *_found(checks)],
        systems=_systems(health, conn_ids),
        checks=checks,
        version=version,
        pool=pool,
    )


def _last_checks(connection: Connection, jobs: Sequence[str]) -> list[LastCheck]:
    runs = _runs(connection, jobs)
    ended = {run.job: run for run in runs if run.state in _ENDED}
    going = {run.job: run for run in runs if run.state not in _ENDED}
    rows = _rows(connection, [RunKey(run.dag_id, run.run_id) for run in ended.values()])
    return [
        LastCheck(
            job,
            CHECKS[job],
            ended.get(job),
            going.get(job),
            rows.get(RunKey(ended[job].dag_id, ended[job].run_id), []) if job in ended else [],
        )
        for job in jobs
    ]


def _runs(connection: Connection, jobs: Sequence[str]) -> list[JobRun]:
    """The last run of each job, and the last one that has ended."""
    if not jobs:
        return []
    table = run_table.c
    wanted = [
        select(table.dag_id, table.run_id).where(table.job == job, *ended)
        for job in jobs
        for ended in ((), (table.state.in_(_ENDED),))
    ]
    newest = [each.order_by(table.started_at.desc()).limit(1).subquery() for each in wanted]
    keys = select(newest[0]).union(*(select(each) for each in newest[1:])).subquery()
    found = connection.execute(
        select(run_table).join(keys, (table.dag_id == keys.c.dag_id) & (table.run_id == keys.c.run_id))
    )
    return [job_run(row) for row in found]


def _rows(connection: Connection, keys: Sequence[RunKey]) -> dict[RunKey, list[RunRecord]]:
    if not keys:
        return {}
    table = record_table.c
    columns = [getattr(table, name) for name in RunRecord._fields]
    asked = (
        select(table.dag_id, table.run_id, *columns)
        .where(tuple_(table.dag_id, table.run_id).in_(keys))
        .order_by(table.dag_id, table.run_id, table.ord)
        .limit(_MOST * len(keys))
    )
    found: dict[RunKey, list[RunRecord]] = {}
    for dag_id, run_id, *values in connection.execute(asked):
        found.setdefault(RunKey(dag_id, run_id), []).append(RunRecord(*values))
    return {key: sorted(rows, key=_rank) for key, rows in found.items()}


def _rank(row: RunRecord) -> int:
    return _WORST.index(row.outcome) if row.outcome in _WORST else 0


def _systems(rows: Iterable[RunRecord], conn_ids: Iterable[str]) -> list[CheckedSystem]:
    by_name: dict[str, list[RunRecord]] = {}
    for row in rows:
        by_name.setdefault(row.symbol, []).append(row)
    found = [
        CheckedSystem(
            name,
            Word(
                *_STATES.get(min(each, key=_rank).outcome, ("not known", "wait")),
                f"{counted(len(each), 'check')} passed.",
            ),
            [row for row in each if row.outcome != "ok"],
        )
        for name, each in by_name.items()
    ]
    found.sort(key=lambda each: each.name.casefold())
    unchecked = _NOT_NAMED if by_name else _NOT_YET
    optional = _OPTIONAL if by_name else {}
    there = set(conn_ids)
    return [
        *found,
        *(CheckedSystem(each, unchecked, []) for each in sorted(there - set(by_name))),
        *(CheckedSystem(*each, []) for each in optional.items() if each[0] not in there | set(by_name)),
    ]


def _of_the_house(version: StoreVersion, pool: PoolSlots | None) -> list[ToDo]:
    found = []
    if not version.fits:
        found.append(ToDo(f"The state store: {version.sentence}", version.advice))
    if pool is None:
        found.append(
            ToDo("The pool alma_api does not exist: no task that asks an Alma ever starts.", UPGRADE)
        )
    elif pool.slots == 0:
        found.append(
            ToDo(f"The pool {pool.name} has no slots: its tasks wait.", "Airflow: Admin > Pools.", "bad")
        )
    return found


def _never_run(checks: Iterable[LastCheck]) -> list[ToDo]:
    return [
        ToDo(f"{each.dag_id} has not run yet.", "Run it with its button below.", "wait", dag_id=each.dag_id)
        for each in checks
        if each.run is None and each.under_way is None and each.dag_id == HEALTH
    ]


def _found(checks: Iterable[LastCheck]) -> list[ToDo]:
    return [
        ToDo(
            f"{row.symbol}: {row.label}",
            row.message,
            _STATES[row.outcome][1],
            RunKey(each.run.dag_id, each.run.run_id),
        )
        for each in checks
        for row in each.rows
        if each.run is not None and row.outcome in ("missing", "unknown")
    ]
