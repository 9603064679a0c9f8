"""Runs one command and ends all that it started when it ends or when the parent is gone.

    python guard.py LIFELINE_FD STOP_SIGNAL GRACE_SECONDS [--remove PATH]... -- COMMAND...

The parent holds the other end of the pipe LIFELINE_FD. When it closes, because the parent says so or because the
parent died in any way (SIGKILL too), the command's process group gets STOP_SIGNAL; who is left after
GRACE_SECONDS gets SIGKILL. Files named by --remove are deleted at the end. The exit code is the command's
(128 + n when signal n ended it).

Standard library only and run with `-S`: it starts in a few hundredths of a second and needs no package.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the lifeline and the process group are all there is."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


class Guard:
    def __init__(self, command: list[str], stop_signal: int) -> None:
        self.stop_signal = stop_signal
        self.status: int | None = None  # the command's, once it ended
        # Descendants whose parent ends become our children, also those that left the process group.
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self.pid = subprocess.Popen(
            command,
            start_new_session=True,
            preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, stop_signal),  # when even the guard is killed
            stdin=subprocess.DEVNULL,
        ).pid

    def reap(self) -> bool:
        """Takes note of who ended; False when nobody is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                self.status = status

    def watch(self, lifeline: int, signals: int) -> None:
        """Returns when the command ended, the parent is gone, or this process is asked to end."""
        while self.reap() and self.status is None:
            ready, _, _ = select.select([lifeline, signals], [], [])
            if lifeline in ready or (signals in ready and os.read(signals, 1)[0] != signal.SIGCHLD):
                return

    def end(self, grace: float) -> None:
        """Ends the group, then whoever is left below this process."""
        self._signal_group(self.stop_signal)
        deadline = time.monotonic() + grace
        while self.reap():
            if time.monotonic() > deadline:
                self._signal_group(signal.SIGKILL)
                for pid in _children_of_this_process():
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _children_of_this_process() -> list[int]:
    """From /proc; empty where there is none."""
    children = []
    with contextlib.suppress(OSError):
        for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - see `-S` above
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    children.append(int(name))
    return children


def main(arguments: list[str]) -> int:
    split = arguments.index("--")
    lifeline, stop_signal, grace = int(arguments[0]), int(arguments[1]), float(arguments[2])
    signals, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    guard = Guard(arguments[split + 1 :], stop_signal)
    guard.watch(lifeline, signals)
    guard.end(grace)
    for path in arguments[4:split:2]:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
    code = os.waitstatus_to_exitcode(guard.status or 0)
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
