"""Runs that a page starts, as Airflow's own form does: the route has checked that this user may trigger the DAG."""

import re
import uuid
from collections.abc import Mapping
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.exceptions import DagNotFound, DagRunAlreadyExists
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy.exc import IntegrityError
from starlette.datastructures import FormData

from alma_airflow.ui.airflow_state import paused_dags
from alma_airflow.ui.forms import field
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

    Raises InputProblem, one sentence, where the DAG is paused (its run would wait, and nobody would know why), where
    Airflow does not know it, or where its Params refuse the conf.
    """
    if paused_dags([dag_id]):
        raise InputProblem(
            f"{dag_id} is paused in Airflow, so that nothing was started: switch it on at the top of its page, and "
            "send the form again"
        )
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


def new_form_id() -> str:
    """The field `form_id` of a form that starts a run."""
    return uuid.uuid4().hex


def form_id_of(form: FormData) -> str:
    """The id of the form that was sent; a new one where there is none that can be."""
    number = field(form, "form_id")
    return number if re.fullmatch(r"[0-9a-f]{32}", number) else new_form_id()


def run_id_of(form_id: str) -> str:
    """The id of the run that a form starts: the same however often the form is sent."""
    return f"page__{form_id}"
