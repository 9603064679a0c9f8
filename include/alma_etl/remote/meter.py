"""Counting the requests of one connection: every attempt counts, repeats and redirects too, as the service counts."""

from __future__ import annotations

import threading
from dataclasses import dataclass

_REFUSED = 429


@dataclass(frozen=True, slots=True)
class CallCounts:
    """Requests sent, and those of them that were refused for their number (HTTP 429)."""

    sent: int = 0
    refused: int = 0

    def __bool__(self) -> bool:
        return self.sent > 0 or self.refused > 0


class CallMeter:
    """What a client counts and somebody else keeps. Safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = 0
        self._refused = 0

    def sent(self) -> None:
        """A request is on its way."""
        with self._lock:
            self._sent += 1

    def answered(self, status: int) -> None:
        """It was answered with this HTTP status."""
        if status == _REFUSED:
            with self._lock:
                self._refused += 1

    def take(self) -> CallCounts:
        """The counts since they were taken last."""
        with self._lock:
            counts = CallCounts(self._sent, self._refused)
            self._sent = self._refused = 0
        return counts

    def give_back(self, counts: CallCounts) -> None:
        """They could not be kept: they are taken again with those to come."""
        with self._lock:
            self._sent += counts.sent
            self._refused += counts.refused
