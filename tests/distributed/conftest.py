"""Crews of processes that share a limiter over a real store."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alma_etl.store.upgrade import upgrade
from tests.waiting import wait_until

Nursery = Callable[[dict[str, Any]], int]


class Worker:
    """A process of worker.py; what it said is read from a file, so that it survives the process."""

    def __init__(self, nursery: Nursery, output: Path, **job: Any) -> None:
        self._output = output
        output.touch()
        self.pid = nursery(job | {"output": str(output)})

    def said(self, word: str) -> list[list[float]]:
        """The numbers of all complete lines that begin with this word."""
        complete = self._output.read_text().rpartition("\n")[0]
        lines = [line.split() for line in complete.splitlines()]
        return [[float(number) for number in line[1:]] for line in lines if line[0] == word]

    def permits(self, after: float = 0.0) -> list[float]:
        return [at for (at,) in self.said("permit") if at > after]

    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        if self.alive():
            os.kill(self.pid, number)


class Crew:
    def __init__(self, workers: list[Worker]) -> None:
        self.workers = workers
        wait_until(lambda: all(worker.said("ready") for worker in workers))
        for worker in workers:
            worker.signal(signal.SIGUSR1)

    def wait_until(self, true: Callable[[], bool]) -> None:
        wait_until(true)

    def work(self, seconds: float) -> None:
        """Let all of them work until this long after the last of them got its first permit."""
        wait_until(lambda: all(worker.permits() for worker in self.workers))
        time.sleep(seconds)

    def permits(self) -> list[float]:
        return sorted(at for worker in self.workers for at in worker.permits())

    def end(self) -> None:
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        wait_until(lambda: not any(worker.alive() for worker in self.workers))


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Gives birth to the processes of worker.py; its answer is the new one's id."""
    program = [sys.executable, Path(__file__).with_name("worker.py")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def born(job: dict[str, Any]) -> int:
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
            return int(stdout.readline())

        yield born


@pytest.fixture
def crew(tmp_path: Path, nursery: Nursery) -> Iterator[Callable[..., Crew]]:
    """A factory: `crew(url, size, rate, threads=6, busy=0.3, skews=(0.0,), call=None, alma=None, floors=(0, 0),
    writes=False)` starts so many processes and has them take permits, or call Alma, until `end()`."""
    started: list[Worker] = []

    def start(
        url: str,
        size: int,
        rate: float,
        threads: int = 6,
        busy: float = 0.3,
        skews: tuple[float, ...] = (0.0,),
        call: str | None = None,
        alma: str | None = None,
        floors: tuple[int, int] = (0, 0),
        writes: bool = False,
    ) -> Crew:
        mine = len(started)
        for number in range(size):
            output = tmp_path / f"worker-{len(started)}.txt"
            job: dict[str, Any] = {"url": url, "rate": rate, "threads": threads, "busy": busy, "call": call}
            job |= {"alma": alma, "floors": floors, "writes": writes}
            started.append(Worker(nursery, output, **job, skew=skews[number % len(skews)]))
        return Crew(started[mine:])

    yield start
    for worker in started:
        worker.signal(signal.SIGKILL)
    wait_until(lambda: not any(worker.alive() for worker in started))


@pytest.fixture
def postgres_store(postgres: Callable[[], str]) -> str:
    url = postgres()
    upgrade(url)
    return url


@pytest.fixture
def sqlite_store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    upgrade(url)
    return url


@pytest.fixture(params=["postgres_store", "valkey", "sqlite_store"])
def store(request: pytest.FixtureRequest) -> str:
    """The URL of each kind of store in turn."""
    url: str = request.getfixturevalue(request.param)
    return url
