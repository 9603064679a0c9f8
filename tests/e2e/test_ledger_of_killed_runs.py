"""What the ledger says of DCB runs and of the intake whose worker was killed in each of their tasks.

Each job runs once. The first attempt of each of its tasks dies, and the next one goes on from there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
import requests
from airflow.sdk.exceptions import DagRunTriggerException
from airflow.sdk.execution_time import task_runner

from alma_airflow.operators.base import EtlOperator
from alma_airflow.operators.intake import StartLoad
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.store import DcbStore
from alma_etl.jobs.ledger import Ledger
from alma_etl.jobs.ledger_reading import FileRow, JobRun, RunKey
from local.servers import S3Server
from tests.conftest import Bucket as S3Bucket
from tests.e2e.dcb_world import Library, Request, World, small_world
from tests.e2e.death import Reaper, WorkerKilled

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

Execute = Callable[[Any, Any], Any]

STORE_WRITES = (
    "add", "apply", "note_failed_step", "postpone", "put_off", "release", "release_outbox", "settle", "settle_action",
)  # fmt: skip
WRITES = (*((DcbStore, name) for name in STORE_WRITES), (Ledger, "replace"))
AT_THE_END = 0  # when its work is done and nobody knows it yet
DEATHS = {
    "dcb_place_request": {
        "check_patron": 2,
        "ensure_virtual_patron": 2,
        "place_supplier_request": 2,
        "create_virtual_item": AT_THE_END,  # earlier, and its retry waits 40 seconds for the index of Alma
        "place_borrower_request": 2,
        "track": 2,
    },
    "dcb_status_sync": {
        "select_due": 2,
        "poll": 2,
        "apply": 1,
        "act": 1,
        "publish": 1,
        "report": 1,
        "check_outcome": AT_THE_END,
    },
    "dcb_cancel_request": {"cancel": 2, "verify": 1, "report": 1},
    "dcb_reconcile": {"compare": 4, "report": 1, "check_outcome": AT_THE_END},
    "file_intake": {"list_new_files": AT_THE_END, "start_load": AT_THE_END, "report": 1},
}
TASKS = [(dag_id, task_id) for dag_id, tasks in DEATHS.items() for task_id in tasks]
PR_ID, KEY = "pr-killed", "items/incoming/gifts/march.txt"
COUNTS: dict[str, dict[str, int]] = {
    "dcb_place_request": {"REQUEST_PLACED_AT_BORROWING_AGENCY": 1},
    "dcb_status_sync": {"polled": 1},
    "dcb_cancel_request": {"cancelled": 1},
    "dcb_reconcile": {"ORPHAN_HOLD": 1},
    "file_intake": {"already_started": 1},
}
ARTEFACTS: dict[str, set[str]] = {
    "dcb_place_request": {"report"},
    "dcb_status_sync": {"report", "summary"},
    "dcb_cancel_request": {"report"},
    "dcb_reconcile": {"report", "table", "summary"},
    "file_intake": set(),
}
SUBJECTS = {"dcb_place_request": PR_ID, "dcb_cancel_request": PR_ID}


class Gone(BaseException):
    """The end of the process: what keeps the trouble of one request from the others does not catch it."""


@dataclass
class Killed:
    """A run, the calls that the Almas got from it, and what the ledger said at each death, by task."""

    state: str = ""
    calls: dict[str, int] = field(default_factory=dict)
    deaths: dict[str, JobRun] = field(default_factory=dict)
    end: JobRun | None = None


@dataclass
class Played:
    """The runs by DAG, the files as the ledger had them in the end, and the world in which it happened."""

    world: World
    runs: dict[str, Killed] = field(default_factory=dict)
    files: list[FileRow] = field(default_factory=list)


@pytest.fixture(scope="module")
def played(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    s3_server.client().create_bucket(Bucket="killed-runs")
    s3 = S3Bucket("killed-runs", s3_server.endpoint_url, s3_server.access_key, s3_server.secret_key)
    with small_world(s3, tmp_path_factory.mktemp("killed")) as world:
        ledger = Ledger(world.store_url)
        found = Played(world)
        _play(found, ledger)
        found.files = ledger.files()
        ledger.close()
        yield found


def _play(played: Played, ledger: Ledger) -> None:
    world = played.world

    def run(dag_id: str, conf: dict[str, Any] | None = None) -> None:
        played.runs[dag_id] = _killed(world, ledger, dag_id, conf)

    mine, strange = world.lender.books(2)
    request = Request(world, PR_ID, mine, "patron001")
    run("dcb_place_request", request.conf)
    hold = {
        "request_type": "HOLD",
        "pickup_location_type": "LIBRARY",
        "pickup_location_library": "STOR",
        "comment": "[DCB-REQUEST:pr-of-nobody:SUPPLIER]",
    }
    user_id = request.tracked.legs[Role.SUPPLIER].user_id
    world.lender.call("POST", f"/users/{user_id}/requests?item_pid={strange.pid}", hold)
    request.ship()
    world.tick()
    run("dcb_status_sync")
    run("dcb_cancel_request", {"pr_id": PR_ID})
    run("dcb_reconcile")
    world.bucket.put(KEY, b"991|12")
    run("file_intake")


def _dying(work: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def worked(context: Any) -> Any:
        try:
            work(context)
        except DagRunTriggerException as start:  # which Airflow does after `execute`
            task_runner._handle_trigger_dag_run(start, context, context["ti"], mock.Mock())
        raise Gone

    return worked


def _killed(world: World, ledger: Ledger, dag_id: str, conf: dict[str, Any] | None) -> Killed:
    """Run a DAG whose tasks all die once."""
    found, waiting = Killed(), dict(DEATHS[dag_id])
    libraries = {"alma_default": world.lender, "alma_borrower": world.borrower}
    before = {conn_id: _calls(library) for conn_id, library in libraries.items()}
    with pytest.MonkeyPatch.context() as patch:
        reaper = Reaper(patch, *WRITES, death=Gone)

        def mortal(execute: Execute) -> Execute:
            def executed(operator: Any, context: Any) -> Any:
                kill_at = waiting.pop(operator.task_id, None)
                reaper.fresh_process(kill_at or None)
                try:
                    if kill_at != AT_THE_END:
                        return execute(operator, context)
                    with mock.patch.object(operator, "work", _dying(operator.work)):
                        return execute(operator, context)
                except Gone:
                    run = context["dag_run"]
                    row = ledger.run(RunKey(run.dag_id, run.run_id))
                    assert row is not None
                    found.deaths[operator.task_id] = row
                    if operator.retries:
                        raise WorkerKilled(operator.task_id) from None  # Airflow tries it again
                    return executed(operator, context)  # somebody cleared the task
                finally:
                    reaper.fresh_process()

            return executed

        patch.setattr(EtlOperator, "execute", mortal(EtlOperator.execute))
        patch.setattr(StartLoad, "work", StartLoad.execute, raising=False)
        patch.setattr(StartLoad, "execute", mortal(lambda operator, context: operator.work(context)))
        run = world.run(dag_id, conf)
    found.state = str(run.state)
    found.calls = {
        conn_id: made for conn_id, library in libraries.items() if (made := _calls(library) - before[conn_id])
    }
    found.end = ledger.run(RunKey(dag_id, run.run_id))
    return found


def _calls(library: Library) -> int:
    """The calls of its API that reached it."""
    return len(requests.get(f"{library.url}/sandbox/log", timeout=30).json()["entries"])


@pytest.mark.parametrize(("dag_id", "task_id"), TASKS)
def test_with_its_worker_killed_in_a_task_a_run_says_that_it_runs(
    played: Played, dag_id: str, task_id: str
) -> None:
    found = played.runs[dag_id].deaths[task_id]
    assert (found.state, found.ended_at, found.attention) == ("running", None, [])
    assert (found.dag_id, found.job, found.subject) == (dag_id, dag_id, SUBJECTS.get(dag_id, ""))
    assert found.institution == _institution(played.world, dag_id)


@pytest.mark.parametrize("dag_id", DEATHS)
def test_once_it_went_on_it_is_done_with_counts_and_artefacts_and_calls_added_up(
    played: Played, dag_id: str
) -> None:
    run = played.runs[dag_id]
    assert [*run.deaths] == [*DEATHS[dag_id]]
    found = run.end
    assert found is not None
    assert (run.state, found.state, found.attention) == ("success", "done", [])
    assert found.ended_at is not None
    assert found.headline
    assert found.institution == _institution(played.world, dag_id)
    assert {word: count for word, count in found.counts.items() if count} == COUNTS[dag_id]
    assert {each["role"] for each in found.artefacts} == ARTEFACTS[dag_id]
    for each in found.artefacts:
        info = played.world.bucket.info(each["key"])
        assert info is not None
        assert info.size == each["size"]
    assert found.calls == run.calls
    assert bool(found.calls) == (dag_id != "file_intake")


def test_a_file_whose_start_was_cut_off_is_known_once(played: Played) -> None:
    (file,) = played.files
    assert (file.key, file.state) == (KEY, "arrived")


def _institution(world: World, dag_id: str) -> str:
    if dag_id == "file_intake":
        return ""
    return ", ".join(
        sorted(library.url.removeprefix("http://") for library in (world.lender, world.borrower))
    )
