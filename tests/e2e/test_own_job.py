"""A job of one's own by the operators that all jobs on files share."""

import json
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from alma_airflow.operators import file_jobs
from tests.e2e.conftest import LOGICAL_DATE

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
DAG_FILE = Path(__file__).with_name("own_dags") / "shelving.py"
LocalDagBundle = "airflow.dag_processing.bundles.local.LocalDagBundle"
KEY = "shelving/incoming/hall/march.txt"


class Shelf:
    """The system that the job writes to; it breaks at a book that is too heavy."""

    def __init__(self):
        self.books = []

    def place(self, book):
        """Put a book on the shelf."""
        if book == "too heavy":
            raise RuntimeError("the shelf broke")
        self.books.append(book)


@pytest.fixture
def shelve(jobs, connect_alma, monkeypatch):
    """Runs the DAG on a list of books; the run and the shelf are returned."""
    shelf = Shelf()
    connect_alma("http://127.0.0.1:9")
    opened = []

    def open_shelf(conn_id):
        opened.append(conn_id)
        return nullcontext(shelf)

    bundle = {"name": "own", "classpath": LocalDagBundle, "kwargs": {"path": str(DAG_FILE.parent)}}
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    monkeypatch.setitem(file_jobs.CLIENTS, "shelf", open_shelf)
    jobs.bucket.put("config/shelf_profiles.yaml", b"profiles: {hall: {}}\nchunk_size: 2\n")

    def run(*books):
        jobs.bucket.put(KEY, "".join(f"{book}\n" for book in books).encode())
        dag = DagBag(str(DAG_FILE)).dags["shelving"]
        for task in dag.tasks:
            task.retry_delay, task.retry_exponential_backoff = timedelta(0), 0
        done = dag.test(logical_date=LOGICAL_DATE, run_conf={"key": KEY})
        assert set(opened) == {"shelf_default"}
        return done, shelf

    return run


def states_of(run):
    return {(task.task_id, task.map_index): str(task.state) for task in run.get_task_instances()}


def test_the_operators_do_every_step_of_it(jobs, shelve):
    run, shelf = shelve("a", "b", "c")
    assert run.state == "success"
    assert sorted(shelf.books) == ["a", "b", "c"]
    assert [number for task, number in states_of(run) if task == "load"] == [0, 1]
    names = [task.rendered_map_index for task in run.get_task_instances() if task.task_id == "load"]
    assert sorted(names) == ["chunk 0001: 1-2", "chunk 0002: 3-3"]
    assert jobs.bucket.info(f"shelving/done/march.{run.run_id}.txt") is not None
    assert jobs.bucket.info(f"runs/shelving/{run.run_id}/report.html") is not None


def test_a_chunk_that_fails_for_good_is_reported_and_the_run_is_red(jobs, shelve):
    run, shelf = shelve("a", "b", "too heavy")
    states = states_of(run)
    assert run.state == "failed"
    assert (states["load", 1], states["report", -1], states["file_away", -1]) == (
        "failed",
        "success",
        "success",
    )
    assert (states["check_outcome", -1], sorted(shelf.books)) == ("failed", ["a", "b"])
    rejects = jobs.bucket.get(f"shelving/rejects/march.{run.run_id}.rejected.txt")
    assert rejects == b"too heavy\n"
