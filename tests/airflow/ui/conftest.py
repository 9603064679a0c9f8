"""Airflow's API server with the pages, in this process; who asks; and a state store and a bucket that a test fills."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.api.common.delete_dag import delete_dag
from airflow.api_fastapi.app import create_app, get_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.jobs.job import Job
from airflow.models.dag import DagModel, DagTag
from airflow.models.dagbundle import DagBundleModel
from airflow.utils import db
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from sqlalchemy import Engine, delete, event, select

from alma_airflow.ui import connections, correcting, downloads, files, pages, start_runs, store_reading
from alma_etl.jobs.ledger import About, Ledger, Results
from alma_etl.jobs.ledger_reading import RunKey
from alma_etl.store.bucket import Bucket, NoSuchObject
from tests.stores import sqlite_store

NOW = datetime.now(UTC)
HOSTILE = "<script>alert(1)</script> \u202e\u05e9\u05dc\u05d5\u05dd \"'&amp; " + "x" * 300
LOGIN_QUERIES = re.compile(r"revoked_token|^PRAGMA|^SELECT 1$|^BEGIN")
"""What Airflow's own login and the driver ask, on any page."""
ROLES = ("VIEWER", "USER", "OP", "ADMIN")


@pytest.fixture(scope="module")
def server() -> Iterator[TestClient]:
    """Airflow's API server with the plugin, as it is started; an error that it would answer with 500 is raised.

    It knows no DAG yet, whatever other tests of this process ran.
    """
    db.initdb()
    with create_session() as session:
        for dag_id in session.scalars(select(DagModel.dag_id)).all():
            delete_dag(dag_id, session=session)
    purge_cached_app()
    yield TestClient(create_app(apps="core"), base_url="http://localhost:8080", follow_redirects=False)
    purge_cached_app()


def headers_of(role: str | None, name: str = "staff") -> dict[str, str]:
    """What somebody of this role sends; of no role at all, None."""
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=role))
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def login(server: TestClient) -> dict[str, str]:
    return headers_of("ADMIN")


class FakeBucket:
    """A bucket that has what the test put there; it can be away."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False

    def find(self, key: str) -> bytes | None:
        if self.away:
            raise OSError("connection refused")
        assert ".." not in key
        return self.kept.get(key)

    @contextmanager
    def reader(self, key: str) -> Iterator[BytesIO]:
        if key not in self.kept:
            raise NoSuchObject(key)
        yield BytesIO(self.kept[key])


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> FakeBucket:
    found = FakeBucket()
    for module in (pages, correcting, downloads, files):
        monkeypatch.setattr(module, "open_bucket", lambda: found)
    return found


@pytest.fixture
def lying(s3: Any, store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """The bucket that the pages use, beside a sandbox, whose shipped profiles apply."""
    found = Bucket(s3.client(), s3.name)
    for module in (correcting, files, downloads):
        monkeypatch.setattr(module, "open_bucket", lambda: found)
    connection = {"conn_type": "alma", "host": "http://127.0.0.1:9", "password": "sandbox"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_ALMA_DEFAULT", json.dumps({**connection, "extra": {"environment": "sandbox"}})
    )
    connections.forget()
    files._sandbox.cache_clear()
    yield found
    connections.forget()
    files._sandbox.cache_clear()


@pytest.fixture
def store(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a new state store, which the pages read."""
    url = sqlite_store(tmp_path / "store.db")
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", url)
    store_reading.forget()
    yield url
    store_reading.forget()


@pytest.fixture
def ledger(store: str) -> Iterator[Ledger]:
    made = Ledger(store)
    yield made
    made.close()


@pytest.fixture
def dags(server: TestClient) -> Iterator[Callable[..., None]]:
    """Makes a DAG known to Airflow: `dags("west_holdings", paused=True, next_run=...)`."""

    def know(
        dag_id: str, *, tag: str = "alma", paused: bool = False, next_run: datetime | None = None, **more: Any
    ) -> None:
        with create_session() as session:
            if session.get(DagBundleModel, "pages") is None:
                session.add(DagBundleModel(name="pages"))
                session.flush()
            dag = DagModel(dag_id=dag_id, bundle_name="pages", max_active_tasks=16, **more)
            dag.max_consecutive_failed_dag_runs = 0
            dag.is_paused, dag.is_stale, dag.next_dagrun_create_after = paused, False, next_run
            dag.tags = [DagTag(name=tag, dag_id=dag_id)]
            session.add(dag)

    yield know
    with create_session() as session:
        session.execute(delete(DagTag))
        session.execute(delete(DagModel).where(DagModel.bundle_name == "pages"))


@dataclass(frozen=True)
class Triggered:
    """A run that a page started, as Airflow was asked for it."""

    user: str
    dag_id: str
    conf: dict[str, Any]
    run_id: str | None


@pytest.fixture
def triggered(monkeypatch: pytest.MonkeyPatch) -> list[Triggered]:
    """The runs that pages start, which Airflow takes and does not run."""
    runs: list[Triggered] = []

    def trigger(
        dag_id: str, *, triggering_user_name: str, conf: Any, run_id: str | None, **_: Any
    ) -> SimpleNamespace:
        runs.append(Triggered(triggering_user_name, dag_id, conf, run_id))
        return SimpleNamespace(run_id=run_id or "manual__1")

    monkeypatch.setattr(start_runs, "trigger_dag", trigger)
    return runs


@pytest.fixture
def beats(server: TestClient) -> Iterator[Callable[..., None]]:
    """Lets a part of Airflow run, or have died: `beats("SchedulerJob", seconds_ago=0)`."""

    def beat(*kinds: str, seconds_ago: float = 0) -> None:
        with create_session() as session:
            for kind in kinds:
                job = Job(job_type=kind, state="running")
                job.latest_heartbeat = datetime.now(UTC) - timedelta(seconds=seconds_ago)
                session.add(job)

    yield beat
    with create_session() as session:
        session.execute(delete(Job))


@pytest.fixture
def ran(ledger: Ledger) -> Callable[..., RunKey]:
    """A run in the ledger that has ended: `ran("west_holdings", "r1", state="done", counts={...}, records=[...])`."""

    def run(
        dag_id: str,
        run_id: str = "r1",
        *,
        state: str = "done",
        subject: str = "",
        headline: str = "",
        attention: Any = (),
        dry_run: bool = False,
        **results: Any,
    ) -> RunKey:
        key = RunKey(dag_id, run_id)
        attempt = ledger.begin(key, About(dag_id, subject, "alma.example.org", dry_run, "librarian"))
        ledger.replace(key, Results(**{"counts": {}, **results}), attempt)
        if state == "waiting":
            ledger.wait(key, headline)
        elif state != "running":
            ledger.finish(key, state, headline, attempt, attention)  # type: ignore[arg-type]
        return key

    return run


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    """The statements that are sent to any database meanwhile, but for those of Airflow's login."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not LOGIN_QUERIES.search(statement):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)
