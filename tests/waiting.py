"""Waiting for what another thread or process does, without a guess at how long that takes."""

import time
from collections.abc import Callable

HANG = 60  # seconds after which what should have come counts as stuck


def wait_until(true: Callable[[], bool], what: str = "it") -> None:
    """Look again and again until ``true``; AssertionError after `HANG` seconds, so that a test names what it missed."""
    deadline = time.monotonic() + HANG
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.01)
