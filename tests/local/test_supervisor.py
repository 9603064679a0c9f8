"""Parts that end are started again, after pauses that grow; what does not start is reported with its log."""

import os
import signal
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from local.process import Process, StartFailedError
from local.supervisor import LONGEST_PAUSE, STEADY_AFTER, Supervisor


class FakeProcess:
    """Runs until `code` is set."""

    def __init__(self, name: str = "The part", log: Path = Path("part.log")) -> None:
        self.name = name
        self.log = log
        self.code: int | None = None
        self.stopped = False

    def exit_code(self) -> int | None:
        return self.code

    def ask_to_stop(self) -> None:
        self.code = 0

    def stop(self) -> None:
        self.stopped = True


class Site:
    """A supervisor with a clock of its own and one part that starts when it may."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reported: list[str] = []
        self.started: list[FakeProcess] = []
        self.refuses = False
        self.supervisor = Supervisor(self.reported.append, clock=lambda: self.now)
        self.supervisor.add("part", self.start)

    def start(self) -> FakeProcess:
        if self.refuses:
            raise StartFailedError("no port")
        self.started.append(FakeProcess())
        return self.started[-1]

    def after(self, seconds: float) -> int:
        """How often the part has been started in all, `seconds` later."""
        self.now += seconds
        self.supervisor.look()
        return len(self.started)

    def pause(self) -> float:
        """Ends the part; the seconds until it is started again."""
        self.started[-1].code = 1
        count = self.after(0)
        begun = self.now
        while self.after(0.5) == count:
            assert self.now - begun < 10 * LONGEST_PAUSE
        return self.now - begun


def test_what_runs_is_left_alone() -> None:
    site = Site()
    assert site.after(1000) == 1
    assert site.reported == []


def test_what_ends_starts_again_after_pauses_that_grow_to_a_limit() -> None:
    site = Site()
    pauses = [site.pause() for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert "part: ended with exit code 1 (log: part.log); starting it again in 1 s" in site.reported
    assert site.reported.count("part: started again") == 9


def test_a_part_that_ran_steadily_starts_again_at_once() -> None:
    site = Site()
    for _ in range(5):
        site.pause()
    site.after(STEADY_AFTER)
    assert site.pause() == 1


def test_a_part_that_cannot_start_is_tried_again_later() -> None:
    site = Site()
    site.refuses = True
    site.started[-1].code = 1
    site.after(0)
    site.after(1)
    assert "could not be started again: no port" in site.reported[-1]
    site.refuses = False
    assert site.after(1) == 1
    assert site.after(1) == 2


def test_while_the_stack_starts_an_end_is_a_fault_with_its_log(tmp_path: Path) -> None:
    site = Site()
    site.supervisor.check_started()
    log = tmp_path / "part.log"
    log.write_text("no such table")
    site.started[-1].log = log
    site.started[-1].code = 3
    with pytest.raises(StartFailedError, match=r"The part ended with exit code 3[\s\S]*no such table"):
        site.supervisor.check_started()


def test_higher_layers_end_before_lower_ones() -> None:
    order: list[str] = []

    class Ordered(FakeProcess):
        def stop(self) -> None:
            order.append(self.name)

    supervisor = Supervisor(lambda line: None)
    for name, layer in (("database", 0), ("scheduler", 1), ("api", 1), ("files", 0)):
        supervisor.add(name, lambda name=name: Ordered(name), layer)
    supervisor.stop()
    supervisor.stop()
    assert order == ["scheduler", "api", "database", "files"]


@pytest.mark.heavy
def test_a_killed_process_is_replaced_by_a_new_one(tmp_path: Path) -> None:
    reported: list[str] = []
    supervisor = Supervisor(reported.append)
    command = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(600)"]
    try:
        first = supervisor.add("sleeper", lambda: Process("Sleeper", command, tmp_path / "log"))
        first.wait_until(lambda: "up" in first.log.read_text(), 30)
        os.kill(first.pids()[1], signal.SIGKILL)
        deadline = monotonic() + 60
        while "sleeper: started again" not in reported and monotonic() < deadline:
            supervisor.look()
            sleep(0.05)
        second = supervisor.parts[0].process
        assert second is not None
        assert second is not first
        assert second.exit_code() is None
        assert f"sleeper: ended with exit code {128 + signal.SIGKILL}" in reported[0]
    finally:
        supervisor.stop()
    assert second.exit_code() is not None
