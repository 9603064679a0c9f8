"""The ledger of the jobs of one test, read from the state store."""

import os
from collections.abc import Iterator

import pytest

from alma_etl.jobs.ledger import Ledger
from alma_etl.jobs.ledger_reading import JobRun, RunKey


@pytest.fixture
def ledger(jobs: object) -> Iterator[Ledger]:
    opened = Ledger(os.environ["AIRFLOW_CONN_ALMA_ETL_DB"])
    yield opened
    opened.close()


def entry(ledger: Ledger, run: object) -> JobRun:
    """The ledger's row of an Airflow run."""
    found = ledger.run(RunKey(run.dag_id, run.run_id))  # type: ignore[attr-defined]
    assert found is not None
    return found
