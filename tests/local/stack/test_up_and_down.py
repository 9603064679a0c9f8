"""`make up` and `make down`: the whole stack in the background, in a folder of the test's own."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
import requests

from alma_sandbox.catalogue import ids
from local.airflow_api import AirflowApi, AirflowRefusedError
from local.ownership import FolderLock, end_leftovers, marked
from local.s3 import s3_client
from local.stack import Addresses
from tests.local.processes import listening

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[3]


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended. One that has, and that its parent never asked after, is a zombie until init does: in a
    container there is often no init that does.
    """

    def runs(process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return False

    return [process for process in processes if runs(process)]


class Checkout:
    """The command line of the local stack, with everything that it writes in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = folder / "stack"
        self.log = folder / "logs" / "stack.log"

    def environment(self, **settings: str) -> dict[str, str]:
        return {**os.environ, "ALMA_LOCAL_FOLDER": str(self.folder), **settings}

    def run(self, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "local", command],
            cwd=ROOT,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def addresses(self) -> Addresses:
        return Addresses(**json.loads((self.stack / "state.json").read_text())["addresses"])

    def api(self) -> AirflowApi:
        addresses = self.addresses()
        return AirflowApi(addresses.ui, addresses.user, addresses.password)

    def background(self) -> psutil.Process:
        holder = FolderLock(self.stack).holder()
        assert holder is not None
        return holder


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path / "local")
    yield made
    made.run("down")
    end_leftovers(made.stack)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = Checkout(tmp_path_factory.mktemp("stack") / "local")
    done = made.run("up")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{made.addresses().ui}/alma/" in done.stdout
        yield made
    finally:
        made.run("down")
        end_leftovers(made.stack)


def until(true: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = monotonic() + seconds
    while not true():
        assert monotonic() < deadline, f"not within {seconds:g} s: {what}"
        sleep(0.1)


def test_in_a_new_folder_a_delivery_and_an_item_load_run_by_themselves(running: Checkout) -> None:
    api = running.api()
    for dag_id in ("west_holdings", "item_creation"):

        def ended(dag_id: str = dag_id) -> bool:
            if api.dag(dag_id) is None:  # `make up` does not wait for it
                return False
            runs = api.call("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]
            return len(runs) == 1 and runs[0]["state"] == "success"

        until(ended, 600, f"{dag_id} has run")
    addresses = running.addresses()
    login = {"username": addresses.user, "password": addresses.password}
    token = requests.post(f"{addresses.ui}/auth/token", json=login, timeout=60).json()["access_token"]
    page = requests.get(f"{addresses.ui}/alma/", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert page.status_code == 200
    assert "ZZMAIN.alma.archived" in page.text
    assert "Nothing needs attention." in page.text


def test_a_second_up_says_where_the_first_one_answers(running: Checkout) -> None:
    before = running.background().pid
    again = running.run("up")
    assert again.returncode == 0
    assert "running already" in again.stdout
    addresses = running.addresses()
    for shown in (
        addresses.ui,
        addresses.user,
        addresses.password,
        addresses.s3,
        addresses.s3_page,
        addresses.sandbox,
        addresses.borrower,
    ):
        assert shown in again.stdout
    assert running.background().pid == before


def test_everything_listens_on_127_0_0_1_alone(running: Checkout) -> None:
    found = listening([running.background(), *marked(running.stack)])
    addresses = running.addresses()
    ports = {port for _, port in found}
    assert {ip for ip, _ in found} == {"127.0.0.1"}
    for url in (
        addresses.ui,
        addresses.s3,
        addresses.sandbox,
        addresses.borrower,
        addresses.s3_page,
        f"x://{addresses.database}",
    ):
        assert int(url.rpartition(":")[2]) in ports


def test_the_ui_asks_for_the_generated_password(running: Checkout) -> None:
    addresses = running.addresses()
    assert len(addresses.password) >= 16
    assert requests.get(f"{addresses.ui}/api/v2/dags", timeout=30).status_code == 401
    assert requests.get(f"{addresses.ui}/auth/token", timeout=30).status_code == 403
    with pytest.raises(AirflowRefusedError, match="401"):
        AirflowApi(addresses.ui, "admin", "admin").dag("west_holdings")
    assert running.api().dag("west_holdings") is not None


def test_what_holds_a_secret_is_for_the_owner_alone(running: Checkout) -> None:
    secret = [
        running.stack / "state.json",
        running.stack / "airflow" / "passwords.json",
        running.folder / "env",
    ]
    secret += list(running.stack.glob("*/state.json"))
    secret += list(running.stack.glob("*/credentials.json"))
    assert len(secret) >= 9
    for path in secret:
        assert path.stat().st_mode & 0o077 == 0, path
    assert not list(running.stack.rglob("connections.json"))
    password = running.addresses().password
    for log in (running.folder / "logs").glob("*.log"):
        assert password not in log.read_text(errors="replace"), log
    addresses = running.addresses()
    words = [
        addresses.password,
        addresses.sandbox_key,
        addresses.borrower_key,
        addresses.s3_secret_key,
        addresses.s3_page_password,
        addresses.database_password,
    ]
    for process in marked(running.stack):
        with contextlib.suppress(psutil.NoSuchProcess):
            line = " ".join(process.cmdline())
            assert not [word for word in words if word in line], process.name()


def test_connections_are_seen_in_the_ui_and_answer_its_test_button(running: Checkout) -> None:
    api = running.api()
    found = {each["connection_id"]: each for each in api.call("GET", "connections")["connections"]}
    assert found.keys() == {"alma_default", "alma_borrower", "aleph_default", "aws_default", "alma_etl_db"}
    assert found["alma_borrower"]["host"] == running.addresses().borrower
    assert found["alma_default"]["conn_type"] == "alma"
    assert found["alma_default"]["host"] == running.addresses().sandbox
    fields = ("connection_id", "conn_type", "host", "login", "schema", "port", "extra")
    for connection in found.values():
        assert connection["password"] == (None if connection["conn_type"] == "aleph" else "***")
        answer = api.call("POST", "connections/test", json={name: connection[name] for name in fields})
        assert answer["status"], (connection["connection_id"], answer["message"])


def test_the_pool_and_the_dag_are_there_and_unpaused(running: Checkout) -> None:
    api = running.api()
    assert api.call("GET", "pools/alma_api")["slots"] == 4
    dag = api.dag("west_holdings")
    assert dag is not None
    assert not dag["is_paused"]
    assert api.import_errors() == []


def test_a_part_that_is_killed_comes_back_and_the_log_says_so(running: Checkout) -> None:
    def scheduler() -> psutil.Process | None:
        for process in marked(running.stack):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.cmdline()[1:4] == ["-m", "airflow", "scheduler"]:
                    return process
        return None

    killed = scheduler()
    assert killed is not None
    killed.kill()
    until(lambda: "scheduler: started again" in running.log.read_text(), 60, "the scheduler is started again")
    assert "scheduler: ended with exit code 137" in running.log.read_text()
    until(lambda: scheduler() not in (None, killed), 60, "there is another scheduler")
    until(lambda: running.api().health().get("scheduler") == "healthy", 120, "the scheduler is healthy")


def hold(addresses: Addresses, title: int) -> str:
    """A hold of a patron; its id."""
    answer = requests.post(
        f"{addresses.sandbox}/almaws/v1/users/patron001/requests?mms_id={ids.mms_id(title)}",
        json={"request_type": "HOLD", "pickup_location_type": "LIBRARY", "pickup_location_library": "MAIN"},
        headers={"Authorization": f"apikey {addresses.sandbox_key}", "Accept": "application/json"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["request_id"])


def test_after_a_kill_up_starts_anew_and_keeps_ports_ids_and_what_a_person_changed(running: Checkout) -> None:
    """Two of them at once: one starts it, and both say where it answers."""
    before, api = running.addresses(), running.api()
    bucket = s3_client(before.s3, before.s3_access_key, before.s3_secret_key)
    bucket.put_object(Bucket=before.bucket, Key="config/west.yaml", Body=b"set_id: '59000000000014401'\n")
    api.call("PATCH", "pools/alma_api", json={"name": "alma_api", "slots": 9, "include_deferred": False})
    api.call("PATCH", "dags/west_holdings", json={"is_paused": True})
    elsewhere = {"connection_id": "alma_borrower", "conn_type": "alma", "host": "http://127.0.0.1:9"}
    api.call("PATCH", "connections/alma_borrower?update_mask=host", json=elsewhere)
    request_id = hold(before, 0)
    kept = running.stack / "sandbox" / "state.json"
    until(lambda: request_id in kept.read_text(), 60, "the sandbox writes its state")
    killed = running.background()
    killed.kill()
    killed.wait(30)

    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: running.run("up"), range(2)))
    assert [each.returncode for each in both] == [0, 0], both
    assert sorted("running already" in each.stdout for each in both) == [False, True]
    after = running.addresses()
    assert dataclasses.asdict(after) == dataclasses.asdict(before)
    for each in both:
        assert after.ui in each.stdout
    assert running.background().pid != killed.pid

    api = running.api()
    assert api.call("GET", "pools/alma_api")["slots"] == 9
    assert (api.dag("west_holdings") or {})["is_paused"]
    assert api.call("GET", "connections/alma_borrower")["host"] == "http://127.0.0.1:9"
    kept_object = bucket.get_object(Bucket=before.bucket, Key="config/west.yaml")["Body"].read()
    assert kept_object == b"set_id: '59000000000014401'\n"
    known = requests.get(f"{after.sandbox}/sandbox/state", timeout=30).json()["requests"]
    assert request_id in known
    assert int(hold(after, 1)) > int(request_id)


def test_down_ends_everything(running: Checkout) -> None:
    """Comes last: the stack of this module is gone then."""
    processes = [running.background(), *marked(running.stack)]
    assert len(processes) > 10
    down = running.run("down")
    assert down.returncode == 0
    assert down.stdout.splitlines()[-1] == "Stopped."
    assert still_running(processes) == []
    assert not (running.stack / "state.json").exists()
    assert not (running.folder / "env").exists()
    again = running.run("down")
    assert (again.returncode, again.stdout) == (0, "Nothing is running.\n")


def test_down_ends_what_a_killed_supervisor_left(checkout: Checkout) -> None:
    with (checkout.folder.parent / "up.log").open("w") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "local", "up"],
            cwd=ROOT,
            env=checkout.environment(),
            stdout=output,
            stderr=output,
        )
    until(lambda: checkout.log.exists() and "Airflow's database" in checkout.log.read_text(), 120, "half way")
    background = checkout.background()
    processes = marked(checkout.stack)
    assert len(processes) > 5
    background.send_signal(signal.SIGKILL)
    assert up.wait(60) == 1
    down = checkout.run("down")
    assert down.returncode == 0
    assert still_running(processes) == []


def test_a_port_asked_for_that_is_taken_is_an_error(checkout: Checkout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = checkout.run("up", ALMA_S3_PORT=str(port))
    assert up.returncode == 1
    assert re.search(
        rf"ALMA_S3_PORT asks for port {port} of 127\.0\.0\.1, which another program uses", up.stdout
    )
    assert marked(checkout.stack) == []


def test_a_part_that_does_not_start_is_told_with_its_log(checkout: Checkout) -> None:
    broken = checkout.stack / "postgres" / "data"
    broken.mkdir(parents=True)
    (broken / "PG_VERSION").write_text("9.6\n")
    up = checkout.run("up")
    assert up.returncode == 1
    assert "PostgreSQL ended with exit code" in up.stdout
    assert "The local stack did not start" in up.stderr
    assert marked(checkout.stack) == []
