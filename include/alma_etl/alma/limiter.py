"""The rate limiter as the Alma client sees it.

Alma counts calls per second for a whole institution, over all keys, hosts and integrations, so every
request first asks a limiter that all of them share. What stands behind it (a database row, a Valkey hash,
this process alone) is the business of `alma_etl.store.open_limiter`; the reasons are in
docs/adr/0001-shared-rate-limiter.md.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class LimiterClosed(Exception):  # noqa: N818 - a state that callers handle, not a fault
    """No request may be sent by anybody before `until` (aware, UTC); `reason` is a sentence for the log."""

    def __init__(self, until: datetime, reason: str) -> None:
        super().__init__(until, reason)
        self.until = until
        self.reason = reason

    def __str__(self) -> str:
        return f"No Alma calls until {self.until:%Y-%m-%d %H:%M:%S %Z}: {self.reason}"


class LimiterUnavailable(Exception):  # noqa: N818 - reads as what it says
    """The store that keeps the shared budget did not answer: nobody knows whether a request may be sent."""


class Limiter(Protocol):
    """One budget of Alma calls per second. All methods may be called from any thread."""

    def acquire(self) -> None:
        """Block this thread until it may send one request, now.

        Raises LimiterClosed while the budget is closed, LimiterUnavailable when its store cannot be reached.
        """

    def throttled(self) -> None:
        """Alma refused a request (PER_SECOND_THRESHOLD): all pause for a second, then go slower."""

    def close(self, until: datetime, reason: str) -> None:
        """Let nobody send before `until` (aware, UTC): the daily threshold. It opens again by itself.

        The last word wins; a time that is past opens the budget at once.
        """

    def note_remaining(self, calls_left: int) -> None:
        """Record the calls left today (`X-Exl-Api-Remaining`) for the pages; cheap, so call it every time."""
