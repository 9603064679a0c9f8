"""The Alma pages over a full ledger, beside the 300 ms in which each must answer.

    python -m benchmarks.pages

Starts PostgreSQL on 127.0.0.1 and Airflow's API server with the pages in this process, and fills the state store with
200,000 records of one run, 2,000 dropped files and a month of runs and calls of every job. Prints JSON: for each page
the median in milliseconds over several requests, its ratio to 300 ms, and its queries to the state store. Returns 1
when a ratio is above 1.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local import folders, servers
from tests import airflow_home

RECORDS, FILES, REQUESTS, LOOKS = 200_000, 2_000, 5_000, 300
TICKS_A_DAY, DAYS, FILES_A_DAY = 288, 30, 60
MOST_MS = 300.0
TIMES = 15
NIGHT = ("west_holdings", "scheduled__2026-11-20T09:30:00+00:00")
OUTCOMES = ["delivered"] * 17 + ["no_commitment", "bad_marc", "suppressed"]
DAGS = (
    "west_holdings",
    "item_creation",
    "file_intake",
    "dcb_status_sync",
    "dcb_reconcile",
    "dcb_place_request",
)


def paths() -> dict[str, str]:
    """Every page, and those of its forms that ask most of the database."""
    night = f"/alma/runs/{NIGHT[0]}/{NIGHT[1].replace('+', '%2B')}"
    return {
        "overview": "/alma/",
        "deliveries": "/alma/deliveries",
        "API budget": "/alma/budget",
        "files": "/alma/files",
        "files, searched": "/alma/files?search=17",
        "files, by name": "/alma/files?sort=key&state=arrived",
        "set-up": "/alma/set-up",
        "runs of a job": "/alma/jobs/dcb_status_sync",
        "runs of a job, searched": "/alma/jobs/item_creation?search=17.csv",
        "requests": "/alma/requests",
        "requests, searched": "/alma/requests?search=3100000123",
        "requests, by title": "/alma/requests?sort=title",
        "requests, stuck": "/alma/requests?needs=stuck",
        "a request": "/alma/requests/PR-00017",
        "a run": night,
        "a run, one outcome": f"{night}?outcome=bad_marc",
        "a run, one reason": f"{night}?reason=583c",
        "a run, by title": f"{night}?sort=-label",
        "a run, searched": f"{night}?search=19999",
        "a run, searched in vain": f"{night}?search=nothing+of+the+kind",
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the figures."""
    folders.reach_this_machine_directly()
    home = airflow_home.prepare()
    try:
        with tempfile.TemporaryDirectory() as name:
            server = servers.start_postgres(Path(name), durable=True)
            try:
                url = server.create_database("pages")
                fill(url)
                figures = measured(url)
            finally:
                server.stop()
    finally:
        airflow_home.remove(home)
    print(json.dumps(figures, indent=2))
    return int(any(each["ratio"] > 1 for each in figures.values()))


def fill(url: str) -> None:
    """The state store, upgraded and filled."""
    from alma_etl.store.upgrade import upgrade

    upgrade(url)
    fill_ledger(url)
    fill_requests(url)
    analyse(url)


def fill_ledger(url: str) -> None:
    """A night with its records, a month of other runs, and the dropped files."""
    from alma_etl.jobs.ledger import About, Ledger, Results
    from alma_etl.jobs.ledger_reading import FileVersion, RunKey, RunState
    from alma_etl.remote.meter import CallCounts

    clock = Clock()
    ledger = Ledger(url, now=clock)
    attempt = ledger.begin(RunKey(*NIGHT), About("west_holdings", "59000000000004401"))
    ledger.replace(RunKey(*NIGHT), Results(dict.fromkeys(OUTCOMES, RECORDS // 20), records=night()), attempt)
    ledger.finish(RunKey(*NIGHT), "done", "3 files delivered", attempt)
    for day in range(DAYS):
        for number in range(FILES_A_DAY):
            clock.now -= timedelta(minutes=20)
            key = RunKey("item_creation", f"file__{day:02}{number:03}")
            about = About("item_creation", f"items/incoming/gifts/{day}-{number}.csv")
            attempt = ledger.begin(key, about)
            ledger.replace(key, Results({"created": 50, "conflict": 2}), attempt)
            state: RunState = "failed" if number == 7 else "done"
            ledger.finish(
                key, state, "52 rows", attempt, [{"what": "Two conflicts.", "what_to_do": "See the rejects."}]
            )
    for number in range(FILES):
        version = FileVersion(
            f"items/incoming/gifts/{number}.csv", "e@t", 12_345, "items", "gifts", clock.now
        )
        clock.now += timedelta(seconds=30)
        ledger.arrive(version)
    for hour in range(24 * DAYS):
        clock.now = datetime.now(UTC) - timedelta(hours=hour)
        for dag_id in DAGS:
            ledger.add_calls(RunKey(dag_id, "none"), "alma_default", CallCounts(900, 1))
    ledger.close()
    fill_ticks(url)


def fill_ticks(url: str) -> None:
    """A month of ticks of DCB, written at once."""
    from sqlalchemy import create_engine

    from alma_etl.store.ledger_models import run_table

    now = datetime.now(UTC)
    empty: dict[str, Any] = {
        "measures": {},
        "calls": {},
        "attention": [],
        "artefacts": [],
        "attempts": 1,
        "written": 1,
    }
    rows = [
        {
            "dag_id": "dcb_status_sync",
            "run_id": f"scheduled__{number}",
            "job": "dcb_status_sync",
            "institution": "",
            "subject": "",
            "dry_run": False,
            "requested_by": "",
            "started_at": now - timedelta(minutes=5 * number),
            "ended_at": now - timedelta(minutes=5 * number),
            "state": "done",
            "headline": "40 requests looked at",
            "counts": {"polled": 40},
            **empty,
        }
        for number in range(TICKS_A_DAY * DAYS)
    ]
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(run_table.insert(), rows)
    engine.dispose()


def fill_requests(url: str) -> None:
    """5,000 patron requests with both sides, one in ten with an open alert; one of them with a long history."""
    from alma_etl.dcb import decisions
    from alma_etl.dcb.machine.vocabulary import Role
    from alma_etl.dcb.settings import shipped_settings
    from alma_etl.dcb.store import Alert, DcbStore, LegRecord, NewRequest

    now, settings = datetime.now(UTC), shipped_settings()
    with DcbStore(url) as store, store.together():
        for number in range(REQUESTS):
            pr_id, barcode = f"PR-{number:05}", f"3100000{number:05}"
            title = f"Annals of the history of libraries, series {number}"
            legs = tuple(
                LegRecord(role, code, request_id=f"{role}-{number}", barcode=barcode, item_pid=f"23{number}")
                for role, code in ((Role.SUPPLIER, "LENDER"), (Role.BORROWER, "BORROWER"))
            )
            began = now - timedelta(minutes=number)
            store.add(NewRequest(pr_id, legs, conf={"title": title, "item_barcode": barcode}), began)
            if number % 10 == 0:
                code = "STUCK_LOANED" if number % 20 else "SIDE_UNREADABLE"
                store.open_alert(
                    Alert(f"{code}:{pr_id}", code, "warning", pr_id, {"system": "LENDER"}), began
                )
        for number in range(LOOKS):
            decisions.note(
                store, settings, "PR-00017", f"look {number}", by="staff", now=now + timedelta(minutes=number)
            )


def analyse(url: str) -> None:
    """What autovacuum does a minute after such a night."""
    from sqlalchemy import create_engine, text

    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def night() -> Iterator[Any]:
    """Records as those of a delivery."""
    from alma_etl.jobs.ledger_reading import RunRecord

    for number in range(RECORDS):
        outcome = OUTCOMES[number % len(OUTCOMES)]
        yield RunRecord(
            outcome,
            "ZZMAIN",
            mms_id=f"99{number:012d}4401",
            holding_id=f"22{number:012d}4401",
            label=f"Annals of the history of libraries, series {number}",
            reasons="" if outcome == "delivered" else "583c;STMT",
        )


def measured(url: str) -> dict[str, dict[str, float]]:
    """Each page's figures."""
    os.environ["AIRFLOW_CONN_ALMA_ETL_DB"] = url.replace("postgresql+psycopg://", "postgres://")
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.utils import db
    from fastapi.testclient import TestClient

    db.initdb()
    know_dags()
    client = TestClient(create_app(apps="core"), base_url="http://localhost:8080")
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="staff", role="VIEWER"))
    headers = {"Authorization": f"Bearer {token}"}
    figures = {}
    for name, path in paths().items():
        queries = count(client, path, headers)
        taken = statistics.median(timed(client, path, headers) for _ in range(TIMES))
        figures[name] = {"median_ms": round(taken, 1), "ratio": round(taken / MOST_MS, 2), "queries": queries}
    return figures


def know_dags() -> None:
    """The DAGs in Airflow's database, as its DAG processor would have put them there."""
    from airflow.models.dag import DagModel, DagTag
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(DagBundleModel(name="bench"))
        session.flush()
        for dag_id in DAGS:
            dag = DagModel(dag_id=dag_id, bundle_name="bench", max_active_tasks=16)
            dag.max_consecutive_failed_dag_runs, dag.is_stale = 0, False
            dag.tags = [DagTag(name="alma", dag_id=dag_id)]
            session.add(dag)


def count(client: Any, path: str, headers: dict[str, str]) -> int:
    """How many statements a page sends to the state store; the page must be there."""
    from sqlalchemy import Engine, event

    seen: list[str] = []

    def note(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if connection.dialect.name == "postgresql":
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    answer = client.get(path, headers=headers)
    event.remove(Engine, "before_cursor_execute", note)
    assert answer.status_code == 200, (path, answer.status_code)
    return len(seen)


def timed(client: Any, path: str, headers: dict[str, str]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    client.get(path, headers=headers)
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
