"""Looking at processes that may end at any moment."""

import contextlib
from collections.abc import Iterable

import psutil


def existing(pids: Iterable[int]) -> list[psutil.Process]:
    """Those of the processes that still are there."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def listening(processes: Iterable[psutil.Process]) -> set[tuple[str, int]]:
    """The addresses and TCP ports that the processes listen on."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add((connection.laddr.ip, connection.laddr.port))
    return found
