"""What Airflow's own database says of the jobs: schedules, pauses, and whether its parts run."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from airflow.configuration import conf
from airflow.jobs.job import Job
from airflow.models.connection import Connection
from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import func, select

from alma_etl.jobs.ledger_reading import RunKey
from alma_etl.views.budget import WaitingTasks
from alma_etl.views.file_jobs import FILE_JOBS
from alma_etl.views.overview import Heartbeat, Schedule
from alma_etl.views.set_up import PoolSlots

TAG = "alma"
"""The tag of a DAG that the pages show."""
_PARTS = {"SchedulerJob": "scheduler", "DagProcessorJob": "dag processor", "TriggererJob": "triggerer"}
_WAITING = ("scheduled", "queued", "deferred", "up_for_retry", "up_for_reschedule")
_BY_HAND = "when somebody starts it"
_OF_FILES = {job.area.dag_id for job in FILE_JOBS.values()}


def zone() -> tzinfo:
    """The time zone of Airflow's setting `default_timezone`, in which the pages show times."""
    name = conf.get("core", "default_timezone", fallback="utc")
    if name == "system":
        return datetime.now().astimezone().tzinfo or UTC
    return UTC if name.lower() == "utc" else ZoneInfo(name)


def schedules() -> list[Schedule]:
    """The DAGs with the tag `alma`, those that start by themselves first; one query."""
    asked = (
        select(DagModel)
        .where(DagModel.is_stale.is_(False), DagModel.tags.any(DagTag.name == TAG))
        .order_by(DagModel.dag_id)
    )
    with create_session() as session:
        found = [_schedule(each) for each in session.scalars(asked)]
    return sorted(found, key=lambda each: (each.when == _BY_HAND, each.dag_id))


def _schedule(dag: DagModel) -> Schedule:
    summary = dag.timetable_summary or ""
    when = _BY_HAND if summary in ("", "None") else dag.timetable_description or summary
    if summary == "Asset":
        when = "when files arrive"
    elif dag.dag_id in _OF_FILES:
        when = "when a file of its folder arrives"
    return Schedule(
        dag_id=dag.dag_id,
        title=dag.dag_display_name,
        when=when,
        description=dag.description or "",
        paused=bool(dag.is_paused),
        broken=bool(dag.has_import_errors),
        next_run=None if dag.is_paused else dag.next_dagrun_create_after,
    )


def heartbeats() -> list[Heartbeat]:
    """The scheduler, the DAG processor and the triggerer; one query."""
    newest = (
        select(Job.job_type, func.max(Job.latest_heartbeat).label("beat"))
        .where(Job.job_type.in_(_PARTS))
        .group_by(Job.job_type)
        .subquery()
    )
    asked = select(Job).join(
        newest, (Job.job_type == newest.c.job_type) & (Job.latest_heartbeat == newest.c.beat)
    )
    with create_session() as session:
        found = {each.job_type: (each.is_alive(), each.latest_heartbeat) for each in session.scalars(asked)}
    return [Heartbeat(name, *found.get(kind, (False, None))) for kind, name in _PARTS.items()]


def connections_of(*kinds: str) -> set[str]:
    """The ids of the connections of these types in Airflow's database; one query. Others are known by name alone."""
    with create_session() as session:
        return set(session.scalars(select(Connection.conn_id).where(Connection.conn_type.in_(kinds))))


def waiting_tasks(pool: str = "alma_api") -> list[WaitingTasks]:
    """Tasks of the pool that wait, by run and state; one query."""
    asked = (
        select(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.state, func.count())
        .where(TaskInstance.pool == pool, TaskInstance.state.in_(_WAITING))
        .group_by(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.state)
        .order_by(TaskInstance.dag_id, TaskInstance.run_id)
        .limit(100)
    )
    with create_session() as session:
        return [
            WaitingTasks(RunKey(dag_id, run_id), str(state), number)
            for dag_id, run_id, state, number in session.execute(asked)
        ]


def paused_dags(dag_ids: Sequence[str]) -> set[str]:
    """Those of the DAGs that are paused; one query."""
    asked = select(DagModel.dag_id).where(DagModel.dag_id.in_(dag_ids), DagModel.is_paused.is_(True))
    with create_session() as session:
        return set(session.scalars(asked))


def pool_slots(name: str) -> PoolSlots | None:
    """A pool, with the tasks that hold a slot of it and those that wait for one; None when there is none; one query."""
    states = {
        "used": (TaskInstanceState.RUNNING, TaskInstanceState.QUEUED),
        "waiting": (TaskInstanceState.SCHEDULED,),
    }
    counts = [
        select(func.count())
        .where(TaskInstance.pool == Pool.pool, TaskInstance.state.in_(wanted))
        .scalar_subquery()
        for wanted in states.values()
    ]
    with create_session() as session:
        row = session.execute(select(Pool.slots, *counts).where(Pool.pool == name)).one_or_none()
    return None if row is None else PoolSlots(name, *row)


def is_under_way(dag_id: str) -> bool:
    """Whether a run of a DAG waits to begin or runs; one query."""
    going = select(func.count()).where(
        DagRun.dag_id == dag_id, DagRun.state.in_((DagRunState.QUEUED, DagRunState.RUNNING))
    )
    with create_session() as session:
        return bool(session.scalar(going))
