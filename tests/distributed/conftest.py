"""Crews of processes that share a limiter over a real store."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alma_etl.store.upgrade import upgrade

HANG = 60  # seconds after which a crew that should have got on counts as stuck


class Worker:
    """A process of worker.py; what it said is read from a file, so that it survives the process."""

    def __init__(self, output: Path, *arguments: object) -> None:
        self._output = output
        program = [sys.executable, Path(__file__).with_name("worker.py"), *map(str, arguments)]
        with output.open("wb") as file:
            self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=file)

    def said(self, word: str) -> list[list[float]]:
        """The numbers of all complete lines that begin with this word."""
        complete = self._output.read_text().rpartition("\n")[0]
        lines = [line.split() for line in complete.splitlines()]
        return [[float(number) for number in line[1:]] for line in lines if line[0] == word]

    def permits(self, after: float = 0.0) -> list[float]:
        return [at for (at,) in self.said("permit") if at > after]

    def start(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def end(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.wait(HANG) == 0:
            self.wasted = int(self.said("wasted")[0][0])


class Crew:
    def __init__(self, workers: list[Worker]) -> None:
        self.workers = workers
        self.wait_until(lambda: all(worker.said("ready") for worker in workers))
        for worker in workers:
            worker.start()

    def wait_until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + HANG
        while not true():
            assert time.monotonic() < deadline, "the crew is stuck"
            assert all(worker.process.poll() in (None, -9) for worker in self.workers)
            time.sleep(0.05)

    def work(self, seconds: float) -> None:
        """Let all of them work until this long after the last of them got its first permit."""
        self.wait_until(lambda: all(worker.permits() for worker in self.workers))
        time.sleep(seconds)

    def permits(self) -> list[float]:
        return sorted(at for worker in self.workers for at in worker.permits())

    def end(self) -> None:
        for worker in self.workers:
            worker.end()


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Callable[..., Crew]]:
    """A factory: `crew(url, size, rate, threads=6, busy=0.3, skews=())` starts so many processes and has them
    take permits until `end()`."""
    started: list[Worker] = []

    def start(
        url: str,
        size: int,
        rate: float,
        threads: int = 6,
        busy: float = 0.3,
        skews: tuple[float, ...] = (0.0,),
    ) -> Crew:
        workers = []
        for number in range(size):
            output = tmp_path / f"worker-{len(started)}.txt"
            arguments = (url, "institution", rate, threads, busy, skews[number % len(skews)])
            workers.append(Worker(output, *arguments))
            started.append(workers[-1])
        return Crew(workers)

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()
        if worker.process.stdin is not None:
            worker.process.stdin.close()


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
