"""Runs one command and ends its whole process group when the command ends or when the parent is gone.

    python guard.py LIFELINE_FD STOP_SIGNAL GRACE_SECONDS [--remove PATH]... -- COMMAND...

The parent holds the other end of the pipe LIFELINE_FD. When it closes, because the parent says so or
because the parent died in any way (SIGKILL too), the group gets STOP_SIGNAL, and SIGKILL after
GRACE_SECONDS. Files named by --remove are deleted at the end. The exit code is the command's (128 + n when
signal n ended it).

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


def _end_with_guard(stop_signal: int) -> None:
    """On Linux the command is told when even the guard was killed; elsewhere only the lifeline watches."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, stop_signal)


def _signal_group(group: int, number: int) -> bool:
    """False when nobody is left in the group."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _end_group(child: "subprocess.Popen[bytes]", stop_signal: int, grace: float) -> None:
    deadline = time.monotonic() + grace
    _signal_group(child.pid, stop_signal)
    while time.monotonic() < deadline:
        child.poll()
        if not _signal_group(child.pid, 0):
            return
        time.sleep(0.02)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def main(arguments: list[str]) -> int:
    split = arguments.index("--")
    lifeline, stop_signal, grace = int(arguments[0]), int(arguments[1]), float(arguments[2])
    remove = arguments[4:split:2]
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)

    child = subprocess.Popen(
        arguments[split + 1 :],
        start_new_session=True,
        preexec_fn=lambda: _end_with_guard(stop_signal),  # safe: one thread
        stdin=subprocess.DEVNULL,
    )
    while child.poll() is None:
        ready, _, _ = select.select([lifeline, wake_read], [], [])
        if lifeline in ready:
            break
        if os.read(wake_read, 1)[0] != signal.SIGCHLD:
            break
    _end_group(child, stop_signal, grace)
    for path in remove:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - pathlib would double the start time
    code = child.returncode
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
