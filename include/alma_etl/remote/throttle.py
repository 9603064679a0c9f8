"""How one client sends: so many requests at once, each with a permit of the limiter that it shares with others.

And what silence means: a service that answers nothing at all ends the run, since every further record would wait for it
as long and learn as little.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from alma_etl.remote.errors import (
    BudgetUnknown,
    RemoteConnectionError,
    RemoteError,
    RemoteNoConnectionError,
    RemoteTimeout,
    RemoteUnreachable,
)
from alma_etl.remote.limiter import Limiter, LimiterUnavailable, Permit

_log = logging.getLogger(__name__)

SILENT_CALLS = 20  # about what is in flight at once: by then an outage has outlasted every retry


class Throttle:
    """`limiter`: the budget that is shared; `max_in_flight`: requests of this client under way at once. Safe for
    many threads."""

    def __init__(self, limiter: Limiter, max_in_flight: int) -> None:
        if max_in_flight < 1:
            raise ValueError("A connection needs at least one request in flight.")
        self.max_in_flight = max_in_flight
        self._limiter = limiter
        self._slots = threading.BoundedSemaphore(max_in_flight)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the places in flight for the block."""
        with self._slots:
            yield

    def acquire(self, call: str, floor: int = 0) -> Permit | None:
        """Wait until `call` may be sent. Raises BudgetUnknown when the limiter's store does not answer; LimiterAtFloor
        and LimiterClosed as the limiter does."""
        try:
            return self._limiter.acquire(floor)
        except LimiterUnavailable as problem:
            raise BudgetUnknown(
                call, None, "", f"no call was made, since the shared rate limiter failed: {problem}"
            ) from problem

    def slow_down(self) -> None:
        """The service refused a request for the rate: everybody slows."""
        try:
            self._limiter.throttled()
        except LimiterUnavailable as problem:  # the next call will stop at it; this one has its own error
            _log.warning("%s", problem)


class Silence:
    """Whether a service answers: what its client counts. Safe for many threads."""

    def __init__(self, service: str, advice: str) -> None:
        """``service``: its name and address; ``advice``: what to check when it does not answer."""
        self._service = service
        self._advice = advice
        self._lock = threading.Lock()
        self._answered = False
        self._silent = 0

    @property
    def is_long(self) -> bool:
        """Whether so many calls in a row got no answer that a single try is enough to learn that it is back."""
        return self._silent >= SILENT_CALLS

    def broken(self) -> None:
        """An answer came, whatever it says."""
        with self._lock:
            self._answered, self._silent = True, 0

    def goes_on(
        self, error: RemoteTimeout | RemoteConnectionError, *, first_counts: bool = True
    ) -> RemoteError:
        """Count a call that got no answer at all, and return what to raise: ``error``, or RemoteUnreachable when it is
        one too many, or by ``first_counts`` when no call of this client ever got through. A write whose effect is
        unknown keeps its own error, since somebody has to look."""
        with self._lock:
            self._silent += 1
            first = first_counts and not self._answered and isinstance(error, RemoteNoConnectionError)
            over = first or self._silent >= SILENT_CALLS
        if not over or error.effect_unknown:
            return error
        words = f"{self._service} does not answer: {error.message}; {self._advice}, then run again"
        return RemoteUnreachable(error.call, None, "", words)
