"""Who runs a stack's folder, and which processes belong to it.

A lock file says that a stack runs: the system frees it when its holder ends, in whatever way. A mark in the
environment, which children inherit, tells the processes that a stack started; no other process is ever touched.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

import psutil

MARK = "ALMA_LOCAL_STACK"


class Lock:
    """The lock of a stack's folder. `take` says whether it was free; it is held until this process ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """Takes the lock and writes this process's id into it; False when another process holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return True

    def holder(self) -> int | None:
        """The id of the process that holds the lock; None when it is free."""
        try:
            with self._path.open("r+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    return int(file.read() or 0) or None
        except FileNotFoundError:
            pass
        return None

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


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
    """Ends what a stack left behind whose supervisor was killed; returns how many processes that were."""
    first = left = marked(folder)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        psutil.wait_procs(left, timeout=10)
        left = marked(folder)
    return len(first)
