"""DAGs run by `dag.test()` against the sandbox, an S3 server and a state store, in this process."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.utils import db

from alma_etl.store.bucket import Bucket
from tests.e2e.running import run_dag, without_repetition
from tests.stores import sqlite_store

# The scripts of the scenarios assert, too, and what they say is kept for the tests.
pytest.register_assert_rewrite("tests.e2e.dcb_scenarios", "tests.e2e.dcb_world")

LOGICAL_DATE = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="session", autouse=True)
def airflow_db() -> Iterator[None]:
    """Airflow's own database, made once."""
    db.initdb()
    with without_repetition():
        yield


class Jobs:
    """Runs DAGs and looks at what they did."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def run(self, dag_id: str, conf: dict[str, Any], *, at: datetime = LOGICAL_DATE) -> Any:
        """Run a DAG with these Params; the DAG run, with `state`, `run_id` and task instances."""
        return run_dag(dag_id, conf, at)


@pytest.fixture
def jobs(s3: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """The jobs with a bucket and a state store of this test; `connect` an Alma before running one."""
    store = sqlite_store(tmp_path / "store.db")
    monkeypatch.setenv("ALMA_ETL_BUCKET", s3.name)
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", store)
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS_DEFAULT",
        json.dumps(
            {
                "conn_type": "aws",
                "login": s3.access_key,
                "password": s3.secret_key,
                "extra": {"endpoint_url": s3.endpoint_url, "region_name": "us-east-1"},
            }
        ),
    )
    return Jobs(Bucket(s3.client(), s3.name))


@pytest.fixture
def connect_alma(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the connection `alma_default`: `connect_alma(url, requests_per_second=200)`."""

    def connect(url: str, key: str = "sandbox", conn_id: str = "alma_default", **extra: object) -> None:
        connection = {"conn_type": "alma", "host": url, "password": key}
        connection["extra"] = {"environment": "sandbox", **extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    return connect
