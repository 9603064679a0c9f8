"""A child process that always ends: with `stop()`, or when this process ends in any way."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import psutil

GUARD = Path(__file__).with_name("guard.py")


class StartFailedError(RuntimeError):
    """A part did not start; the message holds the end of its log."""


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log file, for messages; empty when there is none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


class Process:
    """One command in its own process group behind `guard.py`; its output is appended to `log`.

    `stop_signal` is what asks it to end in order, `grace` the seconds until SIGKILL. `remove` names files
    (sockets) that the command may leave behind outside its folder.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 10.0,
        remove: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        self.name = name
        self.log = log
        self.grace = grace
        self.remove = remove
        log.parent.mkdir(parents=True, exist_ok=True)
        lifeline_read, self._lifeline = os.pipe()
        removals = [str(part) for path in remove for part in ("--remove", path)]
        guard = [
            sys.executable,
            "-S",
            "-E",
            str(GUARD),
            str(lifeline_read),
            str(int(stop_signal)),
            str(grace),
        ]
        try:
            with log.open("ab") as output:
                self._guard = subprocess.Popen(
                    [*guard, *removals, "--", *map(str, command)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=None if env is None else dict(env),
                    cwd=cwd,
                    pass_fds=(lifeline_read,),
                    start_new_session=True,  # Ctrl-C reaches this process alone, which stops its children
                )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(lifeline_read)

    def pids(self) -> list[int]:
        """The ids of the guard and of all processes below it."""
        try:
            guard = psutil.Process(self._guard.pid)
            return [guard.pid, *(child.pid for child in guard.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def exit_code(self) -> int | None:
        """None while it runs; 128 + n when signal n ended it."""
        return self._guard.poll()

    def stop(self) -> None:
        """Ends the process and all that it started; returns when nothing is left. Harmless when repeated."""
        self.ask_to_stop()
        children = []
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._guard.pid).children(recursive=True)
        try:
            self._guard.wait(self.grace + 5)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=5)
        for path in self.remove:  # the guard did it, unless it was killed
            Path(path).unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """Begins the end without waiting for it."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def wait_until(self, answers: Callable[[], bool], seconds: float) -> None:
        """Waits until `answers()`; raises StartFailedError with the log's end if it ends or takes longer."""
        deadline = monotonic() + seconds
        try:
            while (code := self.exit_code()) is None and monotonic() < deadline:
                if answers():
                    return
                sleep(0.05)
        except BaseException:  # asked to end while waiting
            self.stop()
            raise
        self.stop()
        how = f"did not answer within {seconds:g} s" if code is None else f"ended with exit code {code}"
        raise StartFailedError(f"{self.name} {how}. The end of its log ({self.log}):\n{tail(self.log)}")


@dataclass
class Server:
    """A running server: the address that clients use, its log, and `stop()`."""

    url: str
    log: Path
    process: Process

    def stop(self) -> None:
        self.process.stop()
