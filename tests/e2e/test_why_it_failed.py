"""A run that failed says why where people look: at the end of the log, and on the page of the run."""

import html

import pytest
from airflow.api_fastapi.app import create_app, get_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models import TaskInstance
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from sqlalchemy import update

from alma_airflow.operators.base import say_why
from alma_airflow.ui.run_page import failed_tasks

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
KEY = "items/incoming/gifts/march.pdf"


@pytest.fixture
def page(jobs, connect_alma):
    """The page of a run, as a member of staff sees it; no test asks an Alma anything."""
    for conn_id in ("alma_default", "alma_borrower"):
        connect_alma("http://127.0.0.1:9", conn_id=conn_id)
    purge_cached_app()
    client = TestClient(create_app(apps="core"), base_url="http://localhost:8080")
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="staff", role="ADMIN"))

    def look(run):
        answer = client.get(
            f"/alma/report/{run.dag_id}/{run.run_id}", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 200
        return html.unescape(answer.text)

    yield look
    purge_cached_app()


def test_each_failed_task_ends_its_log_with_its_sentence(jobs, page, caplog):
    jobs.bucket.put(KEY, b"%PDF-1.7 ...")
    run = jobs.run("item_creation", {"key": KEY})
    assert run.state == "failed"
    first, last = (
        record.getMessage()
        for record in caplog.records
        if record.levelname == "ERROR" and record.name == say_why.__module__
    )
    assert first.startswith("The file is a PDF document")
    assert last.startswith("The file could not be loaded. The file is a PDF document")
    assert "The file is a PDF document" in page(run)


def test_a_run_without_a_report_has_a_page_that_says_why(jobs, page, monkeypatch):
    """The store's connection is missing, so that not even the tasks that run always get anywhere."""
    monkeypatch.delenv("AIRFLOW_CONN_ALMA_ETL_DB")
    run = jobs.run("dcb_reconcile", {})
    assert run.state == "failed"
    assert "There is no connection alma_etl_db" in page(run)


def test_a_bucket_that_is_away_is_named_on_the_page(jobs, page, monkeypatch):
    monkeypatch.setenv("ALMA_ETL_BUCKET", "no-such-bucket")
    run = jobs.run("item_creation", {"key": KEY})
    assert run.state == "failed"
    told = page(run)
    assert "The bucket cannot be used" in told
    assert "cannot be read now" in told


def test_a_task_that_was_cleared_and_succeeds_is_no_longer_on_the_page(jobs, page, monkeypatch):
    jobs.bucket.put(KEY, b"%PDF-1.7 ...")
    run = jobs.run("item_creation", {"key": KEY})
    found = [(each.task_id, each.map_index) for each in failed_tasks(run.dag_id, run.run_id)]
    assert found == [("read_file", -1), ("check_outcome", -1)]
    with create_session() as session:
        session.execute(update(TaskInstance).where(TaskInstance.run_id == run.run_id).values(state="success"))
    assert failed_tasks(run.dag_id, run.run_id) == []
