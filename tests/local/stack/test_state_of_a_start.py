"""What is said of a start is true of this start alone: locks, `state.json`, addresses that answer. Starts no stack."""

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from local import daemon, ownership, postgres
from local.answering import silent_parts
from local.folders import write_private
from local.ownership import FolderLock
from local.ports import free_ports
from local.shell import shell_environment
from local.stack import Addresses
from tests.waiting import wait_until

pytestmark = pytest.mark.quick


def addresses(**changes: str) -> Addresses:
    """Addresses at which nothing listens."""
    ports = iter(free_ports(6))
    values = {field.name: f"a {field.name} with 'quotes' & $signs" for field in dataclasses.fields(Addresses)}
    for name in ("ui", "s3", "s3_page", "sandbox", "borrower"):
        values[name] = f"http://127.0.0.1:{next(ports)}"
    return Addresses(**{**values, "database": f"127.0.0.1:{next(ports)}", **changes})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(daemon, "FOLDER", tmp_path)
    monkeypatch.setattr(daemon, "STATE", tmp_path / "state.json")
    monkeypatch.setattr(daemon, "ENVIRONMENT", tmp_path / "env")
    return tmp_path


def test_the_state_of_another_start_is_not_taken_for_this_one(folder: Path) -> None:
    where = addresses()
    written = {"start": "one", "addresses": dataclasses.asdict(where)}
    write_private(folder / "state.json", json.dumps(written))
    assert daemon.read_state("one") == where
    assert daemon.read_state("two") is None
    assert daemon.read_state() == where


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        '{"start": "one"}',
        '{"start": "one", "addresses": {"ui": "x"}}',
        "[]",
        '{"ui": "http://of.before"}',
    ],
)
def test_a_state_that_is_damaged_or_of_another_version_is_none(content: str, folder: Path) -> None:
    (folder / "state.json").write_text(content)
    assert daemon.read_state("one") is None
    assert daemon.read_state() is None


def test_nothing_half_written_is_ever_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_private(path, "whole")

    def killed(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        write_private(path, "the next")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o077 == 0


class Other(BaseHTTPRequestHandler):
    """Another program's server: it answers, and not as ours."""

    def do_GET(self) -> None:
        self.send_error(404)

    do_POST = do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def test_addresses_are_printed_as_good_only_when_all_of_them_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(daemon, "ANSWER_SECONDS", 0.0)
    server = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        where = addresses(ui=url, s3=url, s3_page=url)
        silent = silent_parts(where)
        assert daemon._print_addresses(where) == 1
    finally:
        server.shutdown()
        server.server_close()
    said = capsys.readouterr().err
    names = (
        "Airflow",
        "The S3 server",
        "The page of the S3 server",
        "The sandbox",
        "The second sandbox",
        "PostgreSQL",
    )
    assert len(silent) == len(names)
    for name in names:
        assert f"{name} does not answer at " in said


def test_the_lock_names_its_holder_and_no_process_that_has_its_old_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = FolderLock(tmp_path)
    assert lock.take()
    holder = FolderLock(tmp_path).holder()
    assert holder is not None
    assert holder.pid == os.getpid()
    # What an earlier holder wrote, whose number is another process's now.
    (tmp_path / "lock").write_text(f"{os.getpid()} {psutil.Process().create_time() - 1000}")
    monkeypatch.setattr(ownership, "HOLDER_SECONDS", 0.1)
    with pytest.raises(RuntimeError, match="Nobody knows who holds"):
        FolderLock(tmp_path).holder()
    lock.release()
    assert (
        FolderLock(tmp_path).holder() is None
    )  # after a restart of the machine the file is there, and nobody holds it


def test_a_look_at_the_holder_keeps_nobody_from_the_lock(tmp_path: Path) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            FolderLock(tmp_path).holder()

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(20):
            lock = FolderLock(tmp_path)
            assert lock.take(wait=30)
            lock.release()
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


def test_of_two_commands_one_waits_for_the_other(tmp_path: Path) -> None:
    first = FolderLock(tmp_path, "command.lock")
    assert first.take()
    assert not FolderLock(tmp_path, "command.lock").take(wait=0)
    threading.Timer(0.2, first.release).start()
    second = FolderLock(tmp_path, "command.lock")
    assert second.take(wait=30)
    second.release()


def test_a_server_that_a_crash_ended_is_forgotten_when_its_number_is_another_process_s(
    tmp_path: Path,
) -> None:
    pid_file = tmp_path / "postmaster.pid"
    for content in (f"{os.getpid()}\n{tmp_path}\n", "1\n"):
        pid_file.write_text(content)
        postgres._remove_stale_pid_file(tmp_path)
        assert not pid_file.exists()
    for content in ("", "no number\n", f"{2**22 + 7}\n"):  # PostgreSQL itself judges these
        pid_file.write_text(content)
        postgres._remove_stale_pid_file(tmp_path)
        assert pid_file.exists()


def test_the_environment_for_a_shell_is_what_a_shell_reads(tmp_path: Path) -> None:
    where = addresses()
    path = tmp_path / "env"
    write_private(
        path, shell_environment(where, {"AIRFLOW_HOME": "/a b", "HOME": "/elsewhere", "ALMA_ETL_BUCKET": "b"})
    )
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    script = f". {shlex.quote(str(path))}; exec {shlex.quote(sys.executable)} -c '{code}'"
    done = subprocess.run(
        ["sh", "-euc", script], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    found = json.loads(done.stdout)
    assert found["AIRFLOW_HOME"] == "/a b"
    assert found["ALMA_ETL_BUCKET"] == "b"
    assert found["PGPASSWORD"] == where.database_password
    assert where.database_password not in found["ALMA_STORE_URL"]
    assert found["AWS_SECRET_ACCESS_KEY"] == where.s3_secret_key
    assert found["PATH"].startswith(str(Path(sys.executable).parent))
    assert "HOME" not in found or found["HOME"] != "/elsewhere"
    assert ownership.MARK not in found  # or what is started from that shell would be ended with the stack
    assert path.stat().st_mode & 0o077 == 0


def test_leftovers_get_the_time_to_end_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "said"
    code = f"import time; time.sleep(0.5); open({str(said)!r}, 'w').write('in order')"
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **ownership.mark(tmp_path)})
    wait_until(lambda: bool(ownership.marked(tmp_path)))
    assert ownership.end_leftovers(tmp_path) == 1
    assert child.wait(10) == 0
    assert said.read_text() == "in order"
