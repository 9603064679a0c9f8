"""A step stops in time for the next tick; what is left is still due then."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """Over after so many seconds of real time, whatever the clock of the requests says."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether to begin nothing further."""
        return self._monotonic() >= self._end
