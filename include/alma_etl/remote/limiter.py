"""The rate limiter of a service, such as Alma, as its client sees it.

Alma counts calls per second for a whole institution, over all keys, hosts and integrations, so every
request first asks a limiter that all of them share. What stands behind it (a database row, a Valkey hash,
this process alone) is the business of `alma_etl.store.open_limiter`; the reasons are in
docs/adr/0001-shared-rate-limiter.md.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from alma_etl.remote.limiter_budget import Budget, BudgetState, LocalBudget, left_today

log = logging.getLogger(__name__)

SLACK = 0.015
"""Seconds after its slot that a permit may still be used; a later one is thrown away, so that a process that
was held up cannot send a burst. Half of what PACE allows: the rest is for what happens after the check."""
FRESH = 0.5
"""No permit is used on knowledge older than these seconds: so soon a pause or a closure reaches everybody."""
LEAD = 0.05
"""The store is asked this many seconds before a slot; twice the last round trip where that is longer."""
BATCH = 0.25
"""A process reserves at most the slots of about this many seconds: what is lost when it dies."""
NOTE_EVERY = 5.0
"""Seconds between two notes of the calls left, ..."""
NEAR = 1000
"""... but with so few calls above the floor, or fewer, each answer is noted at once."""


class LimiterClosed(Exception):
    """No request may be sent by anybody before `until` (aware, UTC); `reason` is a sentence for the log."""

    def __init__(self, until: datetime, reason: str) -> None:
        super().__init__(until, reason)
        self.until = until
        self.reason = reason

    def __str__(self) -> str:
        return f"No calls until {self.until:%Y-%m-%d %H:%M:%S %Z}: {self.reason}"


class LimiterAtFloor(Exception):
    """No request may be sent that keeps this floor: so many calls, `calls_left`, are left for today."""

    def __init__(self, calls_left: int) -> None:
        super().__init__(calls_left)
        self.calls_left = calls_left


class LimiterUnavailable(Exception):
    """The store that keeps the shared budget did not answer: nobody knows whether a request may be sent."""


@dataclass(frozen=True)
class Permit:
    """The right to send one request; `number` counts those of the `day` (since 1970, UTC) over all processes."""

    due: float  # time.monotonic()
    generation: int
    day: int
    number: int


class Limiter(Protocol):
    """One budget of calls per second. All methods may be called from any thread."""

    def acquire(self, floor: int = 0) -> Permit | None:
        """Block this thread until it may send one request, now. `floor`: the calls that it must leave for today.

        Raises LimiterClosed while the budget is closed, LimiterAtFloor when no more calls than the floor are left
        by what all processes know of today, LimiterUnavailable when its store cannot be reached.
        """

    def throttled(self) -> None:
        """The service refused a request for the rate (PER_SECOND_THRESHOLD): all pause for a second, then go slower."""

    def close(self, until: datetime, reason: str) -> None:
        """Let nobody send before `until` (aware, UTC): the daily threshold. It opens again by itself.

        The last call wins; a time that is past opens the budget at once.
        """

    def note_remaining(self, calls_left: int, permit: Permit | None = None) -> None:
        """Share the calls left today (`X-Exl-Api-Remaining` of the answer to `permit`'s request) with all
        processes; cheap, so call it every time."""


def bounded(offset: float, lowest: float, highest: float) -> float:
    """What is now known of the time between `time.monotonic()` and the clock of a store.

    The store read its clock after the question was sent (`lowest`) and before its answer came (`highest`).
    To stay inside the bounds of every exchange keeps the estimate of the quickest one, whatever held up the
    others, and follows a clock that drifts or is set.
    """
    return min(max(offset, lowest), highest)


class PacedLimiter:
    """A `Limiter` over any `Budget`: the threads of one process share its batches of slots.

    Slots come in the store's time. They are turned into `time.monotonic()`, so no process' wall clock
    matters, and threads sleep until theirs. It runs no thread of its own: of those that wait, one asks the
    store for all. `requests_per_second` is any number above 0; no second holds more permits than that,
    rounded up.
    """

    def __init__(self, budget: Budget, requests_per_second: float) -> None:
        if not (math.isfinite(requests_per_second) and requests_per_second > 0):
            raise ValueError(f"requests_per_second must be a number above 0, not {requests_per_second}")
        self._budget = budget
        self._rate = requests_per_second
        self.wasted = 0  # permits thrown away because this process came too late for them, or void
        self._start_over()

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._line = threading.Lock()  # held during an exchange with the store: one at a time
        self._lock = threading.Lock()  # held for moments; never while waiting for the line
        self._granted = threading.Condition(self._lock)  # wakes threads that have no permit yet
        self._changed = threading.Condition(self._lock)  # wakes threads that sleep until their slot
        self._permits: deque[Permit] = deque()
        self._waiting = 0  # threads without a permit
        self._asking = False  # one of them is about to fetch
        self._looking = False
        self._failed: tuple[int, str] = (0, "")  # how often fetching failed, and the last time why
        self._last_due = -math.inf
        self._state: BudgetState | None = None
        self._offset = math.inf  # time.monotonic() minus the store's clock
        self._seen_at = -math.inf
        self._lead = LEAD
        self._noted_at = -math.inf
        self._floor = 0  # the highest that was asked for

    # What the client calls

    def acquire(self, floor: int = 0) -> Permit:
        self._mind_forks()
        with self._lock:
            self._floor = max(self._floor, floor)
            while True:
                permit = self._next_permit(floor)
                if self._in_time(permit):
                    left = self._left_before(permit)
                    if left is None or left > floor:
                        return permit
                    self.wasted += 1
                    raise LimiterAtFloor(left)
                self.wasted += 1

    def throttled(self) -> None:
        self._mind_forks()
        self._exchange(self._budget.slow_down)

    def close(self, until: datetime, reason: str) -> None:
        if until.tzinfo is None:
            raise ValueError("`until` needs a time zone")
        self._mind_forks()
        self._exchange(lambda: self._budget.shut(until.timestamp(), reason))

    def note_remaining(self, calls_left: int, permit: Permit | None = None) -> None:
        self._mind_forks()
        with self._lock:
            now = time.monotonic()
            if now - self._noted_at < NOTE_EVERY and calls_left > self._floor + NEAR:
                return
            self._noted_at = now
        day, number = (permit.day, permit.number) if permit else (None, None)
        try:
            self._exchange(lambda: self._budget.note_calls_left(calls_left, day, number))
        except LimiterUnavailable as problem:  # the call that brought the number was good
            log.warning("The number of calls left was not recorded. %s", problem)

    def state(self) -> BudgetState:
        """The budget as all processes see it, for the pages and the reports."""
        self._mind_forks()
        return self._exchange(self._budget.look)

    # How a thread comes by its permit. The lock is held, but for the exchanges.

    def _next_permit(self, floor: int) -> Permit:
        failures = self._failed[0]
        self._waiting += 1
        try:
            while True:
                if time.monotonic() - self._seen_at <= FRESH:
                    self._refuse(floor)
                if self._permits:
                    return self._permits.popleft()
                if self._asking:
                    self._granted.wait()
                    if self._failed[0] != failures:
                        raise LimiterUnavailable(self._failed[1])
                else:
                    self._fetch(floor)
                    if not self._permits:
                        self._refuse(floor)
        finally:
            self._waiting -= 1

    def _fetch(self, floor: int) -> None:
        """Ask for as many slots as threads wait, when the last one reserved is about to be due."""
        self._asking = True
        fetched = 0
        try:
            while (early := self._last_due - self._lead - time.monotonic()) > 0:
                self._granted.wait(early)
            wanted = min(self._waiting, self._batch())
            self._lock.release()
            try:
                self._exchange(lambda: self._budget.take(wanted, self._rate, floor), taking=True)
            finally:
                self._lock.acquire()
            fetched = len(self._permits)
        except LimiterUnavailable as problem:
            self._failed = (self._failed[0] + 1, str(problem))
            raise
        finally:
            self._asking = False
            # The asking thread takes one of them, so one of those woken finds none and asks next.
            self._granted.notify(fetched or self._waiting)

    def _in_time(self, permit: Permit) -> bool:
        """Sleep until the slot. False if the permit is void or its time has passed."""
        while permit.generation == self._generation:
            fresh = self._seen_at + FRESH >= permit.due
            early = permit.due - (0 if fresh else self._lead) - time.monotonic()
            if early > 0:
                self._changed.wait(early)
            elif fresh:
                return time.monotonic() - permit.due <= SLACK
            elif self._looking:
                self._changed.wait()
            else:
                self._look()
        return False

    def _look(self) -> None:
        self._looking = True
        self._lock.release()
        try:
            self._exchange(self._budget.look)
        finally:
            self._lock.acquire()
            self._looking = False
            self._changed.notify_all()

    # What is known of the budget

    @property
    def _generation(self) -> int:
        return self._state.generation if self._state else -1

    def _batch(self) -> int:
        # At the pace of the last answer, which may be far below our own rate: others are slower, or met a refusal.
        return max(1, round(BATCH / self._state.step)) if self._state else 1

    def _refuse(self, floor: int) -> None:
        """Raise what keeps a thread from sending, by what was learnt last."""
        state = self._state
        if state is None:
            return
        now = time.monotonic() - self._offset
        left = left_today(state, now)
        if state.closed_until > now:
            problem: Exception = LimiterClosed(
                datetime.fromtimestamp(state.closed_until, UTC), state.closed_reason
            )
        elif left is not None and left <= floor and not self._permits:
            problem = LimiterAtFloor(left)
        else:
            return
        self._granted.notify()  # this thread may have been the one woken to ask for all
        raise problem

    def _left_before(self, permit: Permit) -> int | None:
        """The calls left for today when the permits before this one are used."""
        state = self._state
        left = left_today(state, time.monotonic() - self._offset) if state else None
        if state is None or left is None or permit.day != state.day:
            return left
        return left + 1 + max(0, state.granted - permit.number)

    def _exchange(self, question: Callable[[], BudgetState], *, taking: bool = False) -> BudgetState:
        """Ask the store and learn from its answer; without the lock, since it takes a round trip."""
        with self._line:
            sent = time.monotonic()
            state = question()
            received = time.monotonic()
            with self._lock:
                self._learn(state, sent, received)
                if taking:
                    self._keep(state)
        return state

    def _learn(self, state: BudgetState, sent: float, received: float) -> None:
        self._offset = bounded(self._offset, sent - state.clock, received - state.clock)
        self._lead = max(LEAD, 2 * (received - sent))
        self._seen_at = sent
        void = state.generation != self._generation
        self._state = state
        if void:
            self._permits.clear()
            self._last_due = -math.inf
            self._changed.notify_all()
            self._granted.notify_all()

    def _keep(self, state: BudgetState) -> None:
        first = state.next_slot - state.handed * state.step + self._offset
        for number in range(state.handed):
            self._last_due = first + number * state.step
            granted = state.granted - state.handed + number + 1
            self._permits.append(Permit(self._last_due, state.generation, state.day, granted))

    def _mind_forks(self) -> None:
        if self._pid != os.getpid():
            self._start_over()
            self._budget.forget_connections()


class LocalLimiter(PacedLimiter):
    """A limiter that shares its budget with no other process: for tests and a connection's Test button."""

    def __init__(self, requests_per_second: float) -> None:
        super().__init__(LocalBudget(), requests_per_second)
