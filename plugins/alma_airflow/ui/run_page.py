"""The page of a run: the reasons of the tasks that failed, above the report that the run wrote."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from markupsafe import escape
from sqlalchemy import and_, select

from alma_airflow.operators.base import PROBLEM
from alma_etl.jobs.pages import render

_SHOWN = 20
_BODY = re.compile(rb"<body[^>]*>")
_STATES = {"failed": "failed", "up_for_retry": "failed and will be tried again"}


@dataclass(frozen=True)
class FailedTask:
    """Tasks of one name that failed for one reason; ``reason`` is "" where the log alone says it.

    ``map_index`` is that of the first of them, -1 for a task that is not mapped.
    """

    task_id: str
    state: str
    reason: str
    times: int = 1
    map_index: int = -1


def failed_tasks(dag_id: str, run_id: str) -> list[FailedTask]:
    """The tasks of a run that have failed, in the order in which they did."""
    said = and_(
        XComModel.key == PROBLEM,
        XComModel.dag_id == TaskInstance.dag_id,
        XComModel.run_id == TaskInstance.run_id,
        XComModel.task_id == TaskInstance.task_id,
        XComModel.map_index == TaskInstance.map_index,
    )
    asked = (
        select(TaskInstance.task_id, TaskInstance.state, XComModel.value, TaskInstance.map_index)
        .join(XComModel, said, isouter=True)
        .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.state.in_(_STATES))
        .order_by(TaskInstance.end_date, TaskInstance.map_index)
    )
    indexes: dict[tuple[str, str, str], list[int]] = {}
    with create_session() as session:
        for task_id, state, value, map_index in session.execute(asked):
            indexes.setdefault((task_id, _STATES[str(state)], str(value or "")), []).append(map_index)
    return [FailedTask(*key, len(found), found[0]) for key, found in indexes.items()]


def run_page(
    dag_id: str, run_id: str, failed: Sequence[FailedTask], written: bytes | None, remark: str = ""
) -> bytes:
    """The run's own report with the reasons above it, or a page of reasons where it has none."""
    # A report that says it already need not say it twice.
    missing = [each for each in failed if not (written and each.reason and _says(written, each.reason))]
    values = {"failed": missing[:_SHOWN], "hidden": len(missing) - len(missing[:_SHOWN])}
    if written is None:
        remark = remark or "This run has no report yet."
        return render("failed_run.html", dag_id=dag_id, run_id=run_id, remark=remark, **values)
    if not missing:
        return written
    banner = render("failed_tasks.html", **values)
    return _BODY.sub(lambda match: match[0] + banner, written, count=1)


def _says(page: bytes, sentence: str) -> bool:
    return str(escape(sentence)).encode() in page
