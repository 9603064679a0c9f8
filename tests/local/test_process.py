"""The guard of child processes, free ports, and what a failing start tells."""

import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from local import folders, ports
from local.process import Process, StartFailedError

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""
FAMILY = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print("up", flush=True)
time.sleep(600)
"""


def python(code: str, *arguments: str, tmp_path: Path, grace: float = 10) -> Process:
    return Process("The trial", [sys.executable, "-S", "-c", code, *arguments], tmp_path / "log", grace=grace)


def up(process: Process, times: int = 1) -> bool:
    return process.log.read_text().count("up") == times


@pytest.mark.heavy
def test_a_command_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    process = python(STUBBORN, tmp_path=tmp_path, grace=0.2)
    process.wait_until(lambda: up(process), 30)
    process.stop()
    assert process.exit_code() == 128 + signal.SIGKILL


@pytest.mark.heavy
def test_what_the_command_started_ends_with_it(tmp_path: Path) -> None:
    process = python(FAMILY, STUBBORN, tmp_path=tmp_path, grace=0.2)
    process.wait_until(lambda: up(process, 2), 30)
    pids = process.pids()
    assert len(pids) == 3
    process.stop()
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []


@pytest.mark.heavy
def test_what_the_command_left_behind_ends_when_it_ends_by_itself(tmp_path: Path) -> None:
    process = python(FAMILY, STUBBORN, tmp_path=tmp_path, grace=0.2)
    process.wait_until(lambda: up(process, 2), 30)
    guard, command, child = (psutil.Process(pid) for pid in process.pids())
    os.kill(command.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs([guard, child], timeout=30)
    process.stop()
    assert alive == []


@pytest.mark.heavy
@pytest.mark.parametrize(("code", "expected"), [("raise SystemExit(3)", 3), ("import os; os.abort()", 134)])
def test_the_exit_code_is_the_commands(code: str, expected: int, tmp_path: Path) -> None:
    process = python(code, tmp_path=tmp_path)
    with pytest.raises(StartFailedError, match=f"The trial ended with exit code {expected}"):
        process.wait_until(lambda: False, 30)


@pytest.mark.heavy
def test_a_failing_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    process = python("print('first'); print('cannot read the moon'); raise SystemExit(1)", tmp_path=tmp_path)
    with pytest.raises(StartFailedError, match=r"exit code 1[\s\S]*cannot read the moon"):
        process.wait_until(lambda: False, 30)


@pytest.mark.heavy
def test_a_start_that_never_answers_is_ended(tmp_path: Path) -> None:
    process = python("import time; time.sleep(600)", tmp_path=tmp_path)
    with pytest.raises(StartFailedError, match=r"did not answer within 0\.2 s"):
        process.wait_until(lambda: False, 0.2)
    assert process.exit_code() is not None


def test_free_ports_are_free_and_different() -> None:
    found = ports.free_ports(50)
    assert len(set(found)) == 50
    assert all(ports.is_free(port) for port in found)


def choose(
    *, usual: int, last: int | None = None, asked_for: int | None = None, second: int = 0
) -> tuple[int, list[str]]:
    said: list[str] = []
    wanted = {"ui": ports.Wanted("Airflow", usual, "ALMA_UI_PORT", asked_for, second)}
    known = {} if last is None else {"ui": last}
    return ports.choose_ports(wanted, known, usual=True, say=said.append)["ui"], said


def test_a_taken_port_is_passed_over_unless_it_was_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not ports.is_free(port)
        assert choose(usual=port)[0] != port
        with pytest.raises(ports.PortTakenError, match=f"ALMA_UI_PORT asks for port {port}"):
            choose(usual=port, asked_for=port)


def test_a_free_port_is_taken_as_asked() -> None:
    usual, asked = ports.free_ports(2)
    assert choose(usual=usual) == (usual, [])
    assert choose(usual=usual, asked_for=asked) == (asked, [])
    assert choose(usual=usual, last=asked, asked_for=usual) == (usual, [])


def test_the_port_of_the_last_start_is_taken_again_while_it_is_free_and_else_another_and_said() -> None:
    usual, last = ports.free_ports(2)
    assert choose(usual=usual, last=last) == (last, [])
    with socket.create_server(("127.0.0.1", last)):
        port, said = choose(usual=usual, last=last)
    assert port == usual
    assert said == [f"Airflow: port {last} is used by another program, so it is {usual} this time."]


def test_a_server_that_needs_a_second_port_is_asked_for_both() -> None:
    usual = next(port for port in ports.free_ports(50) if ports.is_free(port + 10_000))
    with socket.create_server(("127.0.0.1", usual + 10_000)):
        assert choose(usual=usual, second=10_000)[0] != usual
        with pytest.raises(
            ports.PortTakenError, match=rf"port {usual} .*{usual + 10_000}, which goes with it"
        ):
            choose(usual=usual, asked_for=usual, second=10_000)
        with pytest.raises(ports.PortTakenError):
            choose(usual=usual, asked_for=60_000, second=10_000)
    assert choose(usual=usual, second=10_000) == (usual, [])


def test_two_servers_never_get_one_port() -> None:
    (port,) = ports.free_ports(1)
    wanted = {name: ports.Wanted(name, port, name.upper()) for name in ("ui", "s3", "sandbox")}
    chosen = ports.choose_ports(wanted, dict.fromkeys(wanted, port), usual=True, say=lambda _: None)
    assert len(set(chosen.values())) == 3
    asked = {name: ports.Wanted(name, port, name.upper(), asked_for=port) for name in ("ui", "s3")}
    with pytest.raises(ports.PortTakenError):
        ports.choose_ports(asked, {}, usual=True, say=lambda _: None)


def test_credentials_are_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    first = folders.credentials(tmp_path, user="alma")
    assert first["user"] == "alma"
    assert len(first["password"]) >= 24
    assert folders.credentials(tmp_path) == first
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "other").mkdir()
    assert folders.credentials(tmp_path / "other")["password"] != first["password"]


def test_children_inherit_no_steering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "True")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    env = folders.environment(tmp_path, AWS_ACCESS_KEY_ID="a")
    assert env["AWS_ACCESS_KEY_ID"] == "a"
    assert env["HOME"] == env["TMPDIR"] == str(tmp_path)
    assert "127.0.0.1" in env["NO_PROXY"]
    assert not {"AWS_PROFILE", "AIRFLOW__CORE__LOAD_EXAMPLES"} & env.keys()
