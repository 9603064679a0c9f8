"""Which calls a poll needs: one list where a user has several requests, and no more calls than there are.

Alma's lists of a user's requests and loans hold up to 100 rows; there is no list of what changed across users.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.plan import Part


@dataclass(frozen=True, slots=True)
class Wish:
    """A part of one side that is to be read."""

    pr_id: str
    role: Role
    part: Part
    system: str
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Call:
    """One call (a list of more than 100 rows takes another for each further page).

    ``listed``: the user's list of requests or loans; else the one request, item or loan of the one wish.
    """

    part: Part
    system: str
    wishes: tuple[Wish, ...]
    listed: bool


def calls_for(wishes: Iterable[Wish]) -> list[Call]:
    """The calls that fulfil the wishes, in the order of reading: all holds, then all items, then all loans."""
    grouped: dict[tuple[Part, str, str], list[Wish]] = defaultdict(list)
    calls: list[Call] = []
    for wish in wishes:
        if wish.part is Part.ITEM or wish.user_id is None:
            calls.append(Call(wish.part, wish.system, (wish,), listed=False))
        else:
            grouped[wish.part, wish.system, wish.user_id].append(wish)
    for (part, system, _user), together in grouped.items():
        calls.append(Call(part, system, tuple(together), listed=len(together) > 1))
    order = list(Part)
    return sorted(calls, key=lambda call: order.index(call.part))


@dataclass(frozen=True, slots=True)
class Due:
    """A request whose time has come, and what reading it costs. ``system`` is whose budget pays (the lender's
    and the borrower's each their own)."""

    pr_id: str
    priority: int
    since: datetime
    costs: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Allowance:
    """What one tick may spend at each institution: its share of what is left of the day's budget.

    A day is ``ticks_left`` ticks, this one included; what a quiet tick leaves is there for the rest of the day.
    """

    calls_left: dict[str, float]
    ticks_left: int
    burst: float = 4.0

    def of(self, system: str) -> float:
        """Up to ``burst`` even shares, so that a batch which comes due together need not wait for hours."""
        left = self.calls_left.get(system, 0.0)
        return min(left, left / max(self.ticks_left, 1) * self.burst)


def admit(due: Sequence[Due], allowance: Allowance) -> list[Due]:
    """Those of the due requests that this tick can afford: by priority, then the longest waiting first.

    One that does not fit is left for a later tick, and so are all after it that need the same institution: a cheap
    one of low priority must not overtake for ever.
    """
    left = {system: allowance.of(system) for system in allowance.calls_left}
    shut: set[str] = set()
    taken: list[Due] = []
    for each in sorted(due, key=lambda one: (one.priority, one.since, one.pr_id)):
        systems = {system for system, _ in each.costs}
        if systems & shut:
            continue
        if any(left.get(system, 0.0) < cost for system, cost in each.costs):
            shut |= {system for system, cost in each.costs if left.get(system, 0.0) < cost}
            continue
        for system, cost in each.costs:
            left[system] -= cost
        taken.append(each)
    return taken
