"""The command: the first line, the arguments, and a clean end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

INCLUDE = Path(__file__).parents[2] / "include"


@contextmanager
def command(*arguments: str, module: str = "alma_sandbox") -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(INCLUDE)}
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_its_url_serves_and_ends_quietly(number: signal.Signals) -> None:
    with command(
        "--port", "0", "--seed", "3", "--titles", "12", "--api-key", "other", "--daily", "9"
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        headers = {"Authorization": "apikey other", "Accept": "application/json"}
        path = f"{url}/almaws/v1/conf/sets/59000000000004401"
        with requests.Session() as session:  # an open connection must not hold the end up
            response = session.get(path, headers=headers, timeout=30)
            assert response.json()["number_of_members"]["value"] == 12
            assert response.headers["X-Exl-Api-Remaining"] == "8"
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.heavy
def test_two_processes_with_one_seed_answer_alike() -> None:
    bodies = []
    for _ in range(2):
        with command("--titles", "5") as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            query = "mms_id=990010000000004401,990010000000014401&expand=p_avail&apikey=sandbox"
            text = requests.get(f"{url}/almaws/v1/bibs?{query}", timeout=30).text
            bodies.append(text.replace(url, ""))
    assert bodies[0] == bodies[1]


@pytest.mark.heavy
def test_a_port_that_is_taken_and_a_bad_argument_are_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with command("--port", port) as second:
            _, err = second.communicate(timeout=30)
            assert second.returncode == 2
            assert err.startswith(f"cannot listen on port {port}")
    with command("--titles", "-1") as third:
        _, err = third.communicate(timeout=30)
        assert third.returncode == 2
        assert err.startswith("--titles: ")


@pytest.mark.heavy
def test_a_second_institution_and_a_consortium_are_started_by_command() -> None:
    with command("--institution", "01ZY_INST", "--suffix", "4402") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        headers = {"Authorization": "apikey sandbox", "Accept": "application/json"}
        answer = requests.get(f"{url}/almaws/v1/conf/general", headers=headers, timeout=30).json()
        assert answer["institution"]["value"] == "01ZY_INST"
    with command("--api-key", "other", module="alma_sandbox.consortium") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        path = f"{url}/transactions/t-1/status"
        assert requests.get(path, headers={"Authorization": "other"}, timeout=30).status_code == 404
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.heavy
def test_sru_and_the_items_of_aleph_are_chosen_by_command() -> None:
    with command("--titles=9", "--sru=on", "--aleph-items=4") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        explained = requests.get(f"{url}/view/sru/01ZZ_INST?operation=explain", timeout=30)
        assert "alma" in explained.text
        assert requests.get(f"{url}/sandbox/aleph", timeout=30).json()["items"] == 4
