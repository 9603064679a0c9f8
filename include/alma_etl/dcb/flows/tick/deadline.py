"""A step stops in time for the next tick; what is left is still due then."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """Over after so many seconds of real time, whatever the clock of the requests says."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds

    def share(self, parts: int) -> Deadline:
        """The end of an equal part of what is left, for the first of so many."""
        return Deadline(max(0.0, self._end - self._monotonic()) / parts, self._monotonic)

    @property
    def over(self) -> bool:
        """Whether to begin nothing further."""
        return self._monotonic() >= self._end
