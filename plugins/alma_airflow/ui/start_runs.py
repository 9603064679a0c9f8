"""Runs that a page starts, as Airflow's own form does: the route has checked that this user may trigger the DAG."""

from collections.abc import Mapping
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.exceptions import DagNotFound, DagRunAlreadyExists
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy.exc import IntegrityError

from alma_etl.errors import InputProblem
from alma_etl.jobs.ledger_reading import RunKey


def start_run(
    user: BaseUser,
    dag_id: str,
    conf: Mapping[str, Any],
    *,
    run_id: str | None = None,
    note: str | None = None,
) -> RunKey:
    """Start a run of a DAG and return it; of a `run_id` that there is already, the run that there is.

    Raises InputProblem, one sentence, where Airflow does not know the DAG or its Params refuse the conf.
    """
    try:
        run = trigger_dag(
            dag_id,
            triggered_by=DagRunTriggeredByType.UI,
            triggering_user_name=user.get_name(),
            run_id=run_id,
            conf=dict(conf),
            note=note,
        )
    except (DagRunAlreadyExists, IntegrityError):
        if run_id is None:
            raise
        return RunKey(dag_id, run_id)
    except DagNotFound as problem:
        raise InputProblem(
            f"Airflow does not know the DAG {dag_id}: see whether its DAG processor runs, and import errors"
        ) from problem
    except ValueError as problem:  # what its Params say of the conf
        raise InputProblem(f"The run of {dag_id} cannot be started: {problem}") from problem
    assert run is not None
    return RunKey(dag_id, run.run_id)
