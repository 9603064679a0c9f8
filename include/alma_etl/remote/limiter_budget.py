"""What a budget of calls is and how it changes: the rules that every store of the limiter applies.

A budget hands out *slots*: moments of the store's clock at which one request may be sent, `step` seconds
apart. Nothing is held and nothing is given back: a slot that nobody uses has passed, which is all that
happens when a worker dies. The functions here are the rules in Python; `alma_etl.store` states them once
more in SQL and once in Lua, so that a grant costs one round trip and no lock outlives it. The tests
drive all of them with the same random histories and compare every field.

All times are seconds since 1970 by the clock of the store; no process brings its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

PACE = 0.97
"""Slots lie 1 / (PACE * rate) apart. The 3 % keep a second from holding one permit too many when permits are
used up to 1 / PACE - 1 = 31 ms late, whatever the rate."""
PAUSE = 1.0
"""Seconds without any permit after the service refused one (reference: pause all workers about 1 s)."""
SAME_REFUSAL = 0.5
"""Refusals met this long after the pause still belong to the requests that were under way before it."""
SLOWER = 0.7
"""What a refusal multiplies the speed by (1 is the configured rate), ..."""
SLOWEST = 0.1
"""... but not below this ..."""
RECOVERY = 0.01
"""... and how much of the rate returns each second after the pause: full speed again after 30 s."""
RATE_MEMORY = 60.0
"""Of the rates that processes are configured with, the lowest one asked for in this many seconds holds."""
DAY = 86_400.0
SETTLING = 120.0
"""Calls left that were met in the first seconds of a day hold no longer than these: the service's counter may turn a
moment after the store's clock, and what it said of yesterday must not stop all of today."""


@dataclass(frozen=True)
class BudgetState:
    """One budget as its store has it. Times are seconds since 1970, `rate` is in requests per second."""

    clock: float = 0.0  # the store's clock when this was read or changed
    next_slot: float = 0.0
    step: float = 1.0  # seconds between the slots handed out last
    generation: int = 0  # slots of an older generation are void
    rate: float = 0.0
    rate_at: float = 0.0
    speed: float = 1.0  # share of the rate right after the last refusal ...
    speed_at: float = 0.0  # ... and since when it recovers
    closed_until: float = 0.0
    closed_reason: str = ""
    calls_left: int | None = None  # X-Exl-Api-Remaining, less the slots handed out since ...
    calls_left_at: float = 0.0  # ... and when it was met
    day: int = 0  # days since 1970 (UTC), of the two counters
    granted: int = 0
    refused: int = 0
    handed: int = (
        0  # slots that the last `take` handed out: those numbered `granted - handed + 1` to `granted`
    )

    @property
    def closed(self) -> bool:
        """Whether no request may be sent now, as after the daily threshold."""
        return self.closed_until > self.clock


class Budget(Protocol):
    """The store of one budget. Each method is one exchange, atomic over all processes: the state after it.

    All raise `LimiterUnavailable` when the store does not answer after a few tries.
    """

    def take(self, wanted: int, rate: float, floor: int = 0) -> BudgetState:
        """Reserve `wanted` slots, the last of them one `step` before `next_slot`; none when it is closed, and none
        that would leave fewer calls than `floor` for today."""

    def look(self) -> BudgetState:
        """Read the state, changing nothing."""

    def slow_down(self) -> BudgetState:
        """The service refused a request for its per-second threshold."""

    def shut(self, until: float, reason: str) -> BudgetState:
        """Grant nothing before `until`."""

    def note_calls_left(
        self, calls_left: int, day: int | None = None, number: int | None = None
    ) -> BudgetState:
        """Write down the calls left today, as the service said in answer to the call of slot `number` of `day`."""

    def forget_connections(self) -> None:
        """Called first in a forked process: what is open belongs to the parent and must not be touched."""


def touched(state: BudgetState, now: float) -> BudgetState:
    """What every change does first. A clock that was set back must not leave all waiting until it has
    caught up, so the next slot moves back with it."""
    today = int(now // DAY)
    same_day = today == state.day
    return replace(
        state,
        clock=now,
        next_slot=state.next_slot + min(0.0, now - state.clock),
        day=today,
        granted=state.granted if same_day else 0,
        refused=state.refused if same_day else 0,
    )


def speed(state: BudgetState, now: float) -> float:
    """The share of the rate that is given out now."""
    return min(1.0, state.speed + RECOVERY * max(0.0, now - state.speed_at))


def left_today(state: BudgetState, now: float) -> int | None:
    """The calls that today's allowance has when all slots handed out are used; None when nobody knows."""
    midnight = now // DAY * DAY
    met = state.calls_left_at
    if not midnight <= met < midnight + DAY or met < midnight + SETTLING <= now:
        return None
    return state.calls_left


def taken(state: BudgetState, now: float, wanted: int, rate: float, floor: int = 0) -> BudgetState:
    """`wanted` slots are reserved from the first free one on, which never lies in the past: idling saves
    nothing up. Processes configured with different rates all get the lowest. Each slot is taken off the calls left
    at once, so that calls under way cannot carry the institution below the floor."""
    lowest = rate <= state.rate or now - state.rate_at > RATE_MEMORY
    held = rate if lowest else state.rate
    left = left_today(state, now)
    count = 0 if state.closed_until > now else wanted
    if left is not None:
        count = max(0, min(count, left - floor))
    step = 1.0 / (PACE * held * speed(state, now))
    state = touched(state, now)
    return replace(
        state,
        next_slot=max(state.next_slot, now) + count * step,
        step=step,
        rate=held,
        rate_at=now if lowest else state.rate_at,
        granted=state.granted + count,
        calls_left=state.calls_left if left is None else left - count,
        handed=count,
    )


def slowed(state: BudgetState, now: float) -> BudgetState:
    """The service refused a request: no slots for PAUSE seconds, then fewer; those reserved already are void.

    The refusals that follow at once are about the same excess and are only counted.
    """
    known = state.speed_at - PAUSE <= now < state.speed_at + SAME_REFUSAL
    slower = max(SLOWEST, SLOWER * speed(state, now))
    state = touched(state, now)
    state = replace(state, refused=state.refused + 1)
    if known:
        return state
    pause_ends = now + PAUSE
    return replace(
        state, next_slot=pause_ends, speed=slower, speed_at=pause_ends, generation=state.generation + 1
    )


def shut(state: BudgetState, now: float, until: float, reason: str) -> BudgetState:
    """No slots before `until`, and those reserved already are void. The last call wins."""
    return replace(
        touched(state, now), closed_until=until, closed_reason=reason, generation=state.generation + 1
    )


def noted(
    state: BudgetState, now: float, calls_left: int, day: int | None = None, number: int | None = None
) -> BudgetState:
    """The state with what the service said is left in answer to the call of slot `number` of `day`.

    Of the slots handed out after that one, the service may have counted all when it answered, or none: what is left
    lies between the two, and what is known already holds as long as it lies there, too. An answer to a call of another
    day says nothing about today.
    """
    known = left_today(state, now)
    state = touched(state, now)
    if day is not None and day != state.day:
        return state
    later = 0 if number is None else max(0, state.granted - number)
    lowest = max(0, calls_left - later)
    left = lowest if known is None else min(max(known, lowest), calls_left)
    return replace(state, calls_left=left, calls_left_at=now)


class LocalBudget:
    """A budget that only this process knows: the rules above and nothing else."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        started = time.time() - time.monotonic()
        self._clock = clock or (lambda: started + time.monotonic())
        self._state = BudgetState()

    def take(self, wanted: int, rate: float, floor: int = 0) -> BudgetState:
        self._state = taken(self._state, self._clock(), wanted, rate, floor)
        return self._state

    def look(self) -> BudgetState:
        return replace(self._state, clock=self._clock())

    def slow_down(self) -> BudgetState:
        self._state = slowed(self._state, self._clock())
        return self._state

    def shut(self, until: float, reason: str) -> BudgetState:
        self._state = shut(self._state, self._clock(), until, reason)
        return self._state

    def note_calls_left(
        self, calls_left: int, day: int | None = None, number: int | None = None
    ) -> BudgetState:
        self._state = noted(self._state, self._clock(), calls_left, day, number)
        return self._state

    def forget_connections(self) -> None:
        """There are none; the child goes on with a copy of its own."""
