"""DAGs run by `dag.test()`, without the work that it repeats for each run and the seconds that it sleeps."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pytest
from airflow.dag_processing import dagbag
from airflow.sdk import DAG
from jsonschema import Draft202012Validator

from tests.airflow_home import CHECKOUT


def run_dag(dag_id: str, conf: dict[str, Any], at: datetime) -> Any:
    """Run a DAG to its end, with retries at once; the DAG run, with `state`, `run_id` and task instances."""
    # A DAG of its own for each run: dag.test() writes the run's conf into the params of the DAG object.
    dag = dagbag.DagBag(str(CHECKOUT / "dags" / f"{dag_id}.py")).dags[dag_id]
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
        task.retry_exponential_backoff = 0
    return dag.test(logical_date=at, run_conf=conf)


@contextmanager
def without_repetition() -> Iterator[None]:
    """For the time of a ``with`` block `dag.test()` does once what comes out the same each time.

    Before each run it parses all DAGs and writes them to the database; for each task it checks the JSON schema of
    every Param. And it sleeps a second whenever states changed and no task can run, as behind a failed task.
    """
    sleep, check_schema = time.sleep, Draft202012Validator.check_schema
    checked = cache(lambda schema: check_schema(json.loads(schema)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dagbag, "BundleDagBag", cache(dagbag.BundleDagBag))
        patch.setattr(dagbag, "sync_bag_to_db", cache(dagbag.sync_bag_to_db))
        patch.setattr(Draft202012Validator, "check_schema", lambda schema: checked(json.dumps(schema)))
        patch.setattr(time, "sleep", lambda seconds: sleep(0 if _called_by_dag_test() else seconds))
        yield


def _called_by_dag_test() -> bool:
    return sys._getframe(2).f_code is DAG.test.__code__
