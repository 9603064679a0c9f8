"""A house with an Aleph and no connection to an Alma: a dropped file goes in, and no Alma is looked for."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

import alma_sandbox
from alma_airflow.hooks.alma import AlmaHook
from alma_airflow.operators import file_jobs
from alma_airflow.operators.file_jobs import ChunkStep, FinalStep, ReadFile, RunStep, file_job
from alma_etl.aleph.z30 import ItemKey
from alma_etl.jobs.file_job import NoLedger
from alma_etl.remote.answers import Found
from alma_etl.store.bucket import Bucket
from tests.stores import sqlite_store

KEY = "item-updates/incoming/aleph/notes.csv"
JOB = file_job("alma_etl.item_updates.job.ItemUpdates", area="item-updates", dag_id="item_update")


@pytest.fixture
def bucket(s3, monkeypatch, tmp_path):
    """The bucket; connections to it, to the store and to an Aleph, and to no Alma."""
    monkeypatch.delenv("AIRFLOW_CONN_ALMA_DEFAULT", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", sqlite_store(tmp_path / "store.db"))
    made = Bucket(s3.client(), s3.name)
    monkeypatch.setattr(file_jobs, "open_bucket", lambda: made)
    with alma_sandbox.serve(alma_sandbox.Settings(titles=5, per_second=0)) as running:
        connection = {"conn_type": "aleph", "host": running.url, "extra": {"library": "USM50"}}
        monkeypatch.setenv("AIRFLOW_CONN_ALEPH_DEFAULT", json.dumps(connection))
        yield made


@pytest.fixture
def asked(monkeypatch):
    """The Almas that are looked for, by the id of their connection."""
    found = []
    get_connection = AlmaHook.get_connection

    def noted(conn_id):
        found.append(conn_id)
        return get_connection(conn_id)

    monkeypatch.setattr(AlmaHook, "get_connection", noted)
    return found


def test_a_file_for_aleph_is_worked_by_the_shipped_profile_where_there_is_no_alma(bucket, asked, monkeypatch):
    bucket.put(KEY, b"doc_number,item_sequence,note_opac\n2,10,Seen\n")
    run = SimpleNamespace(
        run_id="notes", dag_id="item_update", logical_date=datetime(2026, 11, 3, tzinfo=UTC), run_after=None
    )
    context = {"dag_run": run, "params": {"key": KEY}}
    monkeypatch.setattr(file_jobs, "unsuccessful_tasks", lambda context: {})

    def work(operator, **arguments):
        task = operator(job=JOB, **arguments)
        task.ledger = NoLedger()
        return task.work(context)

    (chunk,) = work(ReadFile, task_id="read_file")
    work(RunStep, task_id="check_codes", step="check")
    assert work(ChunkStep, task_id="update_items", step="update", chunk=chunk) == {"updated": 1}
    for step in ("report", "file_away", "check_outcome"):
        work(FinalStep, task_id=step)
    assert asked == []
    with file_jobs.CLIENTS["aleph"]("aleph_default") as aleph:
        item = aleph.read_item(ItemKey("2", "10"))
    assert isinstance(item, Found)
    assert item.value.fields["note-opac"] == "Seen"
    assert [each.key.rpartition("/")[0] for each in bucket.list("item-updates/done/")] == [
        "item-updates/done"
    ]
