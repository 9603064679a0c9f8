"""Who runs a stack's folder, and which processes belong to it.

A lock file says that a stack runs: the system frees it when its holder ends, in whatever way. A mark in the
environment, which children inherit, marks the processes that a stack started; no other process is ever touched.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from time import monotonic, sleep
from typing import IO

import psutil

MARK = "ALMA_LOCAL_STACK"
HOLDER_SECONDS = 10.0
CLOCK_STEP = 5.0
"""How far times of start are apart, when the machine's clock was set between two looks at one process."""
ORDERLY_SECONDS = 25.0
"""What the parts of a stack may take to end in order after their supervisor was killed."""


class FolderLock:
    """The lock of a stack's folder, or of a step in it by `name`; it is held until this process ends.

    The file names its holder by process id and time of start: the id of an earlier holder may be any process's by now.
    """

    def __init__(self, folder: Path, name: str = "lock") -> None:
        self._path = folder / name
        self._file: IO[str] | None = None

    def take(self, wait: float = 1.0) -> bool:
        """Take the lock; False when another process still holds it after `wait` seconds.

        The default is longer than a look at the holder takes, which holds the lock for a moment.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._path.open("a+")
        deadline = monotonic() + wait
        while not _flock(file, fcntl.LOCK_EX):
            if monotonic() > deadline:
                file.close()
                return False
            sleep(0.05)
        file.truncate(0)
        file.write(f"{os.getpid()} {psutil.Process().create_time()}")
        file.flush()
        self._file = file
        return True

    def holder(self) -> psutil.Process | None:
        """The process that holds the lock; None when it is free."""
        deadline = monotonic() + HOLDER_SECONDS
        while monotonic() < deadline:
            try:
                with self._path.open() as file:
                    if _flock(file, fcntl.LOCK_SH):
                        return None
                    written = file.read()
            except FileNotFoundError:
                return None
            with contextlib.suppress(ValueError, psutil.Error):
                pid, started = written.split()
                process = psutil.Process(int(pid))
                if abs(process.create_time() - float(started)) < CLOCK_STEP:
                    return process
            sleep(0.02)  # its new holder has not written its name yet
        raise RuntimeError(
            f"Nobody knows who holds {self._path}: end what runs in its folder, then try again."
        )

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _flock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def mark(folder: Path) -> dict[str, str]:
    """The environment variable that marks the processes of the stack in this folder."""
    return {MARK: str(folder.resolve())}


def marked(folder: Path) -> list[psutil.Process]:
    """All processes of the stack in this folder, this process apart."""
    wanted = str(folder.resolve())
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == wanted:
                found.append(process)
        except psutil.Error:  # gone, or another user's
            continue
    return found


def end_leftovers(folder: Path) -> int:
    """End what a stack left behind whose supervisor was killed; returns how many processes that were.

    Their guards notice by themselves, and end the servers in order: they get the time for it.
    """
    first = left = marked(folder)
    psutil.wait_procs(left, timeout=ORDERLY_SECONDS)
    left = marked(folder)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        psutil.wait_procs(left, timeout=10)
        left = marked(folder)
    return len(first)
