"""When to look at a request again, what to read, by which calls, and what a tick can afford: pure functions.

Each quiet poll doubles the interval; a change, an operator's nudge or a webhook resets it. A failed read does not
count as quiet. Nothing that is not settled is ever dropped, however long it takes.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import Leg, Observation, State
from alma_etl.dcb.machine.vocabulary import SETTLED, TERMINAL, UNDER_WAY, LoanState, Role, Status, loan_of
from alma_etl.dcb.settings import DcbSettings, Interval

S = Status

_JITTER = 0.15
_LENT = frozenset({S.LOANED, S.RETURN_TRANSIT, S.AWAITING_RETURN})
_LOAN_ENDS = timedelta(days=3)
_CONFIRM = 1.25  # the second sighting of a vanished hold, in gaps

PRIORITY: dict[Status, int] = {
    S.RETURN_TRANSIT: 1,
    S.AWAITING_RETURN: 1,
    S.READY_FOR_PICKUP: 2,
    S.RECEIVED_AT_PICKUP: 2,
    S.PICKUP_TRANSIT: 2,
    S.RPBA: 3,
    S.RPPA: 3,
    S.RPSA: 3,
    S.CONFIRMED: 3,
    S.LOANED: 4,
    S.ERROR: 5,
}
"""Which requests come first when calls are short; 0 is for our own writes."""


class Part(StrEnum):
    """What one call reads of a side, in the order of reading.

    The hold comes first: when a checkout consumes it between two reads, the later reading of the item shows the loan;
    the other way round it would look like a cancellation.
    """

    REQUEST = "request"
    ITEM = "item"
    LOAN = "loan"


def is_tracked(status: Status, standing: Collection[str] = ()) -> bool:
    """Whether a request in this status, with these flags, is polled: also a cancelled one whose book may travel."""
    travels = status is S.CANCELLED and flags.CANCELLED_IN_TRANSIT in standing
    return travels or status not in TERMINAL | SETTLED | {S.NOT_SUPPLIED}


def interval_of(state: State, now: datetime, settings: DcbSettings) -> Interval | None:
    """The interval that applies, None when the request is not polled."""
    intervals, status = settings.intervals, state.status
    if not is_tracked(status, state.standing):
        return None
    if status is S.ERROR or any(flags.is_item_trouble(flag) for flag in state.standing):
        return intervals.trouble
    if status in (S.RPSA, S.CONFIRMED):
        return intervals.placing
    if status in (S.RPBA, S.RPPA):
        return intervals.placed
    if status in UNDER_WAY:
        return intervals.under_way
    if status is S.LOANED:
        due = patron_due(state)
        return intervals.loan_ending if due and now >= due - _LOAN_ENDS else intervals.loaned
    return intervals.returning


def next_poll(
    state: State, now: datetime, settings: DcbSettings, *, pr_id: str, repeat: int, failures: int = 0
) -> datetime | None:
    """When to look again. ``repeat``: quiet polls in a row; ``failures``: failed ones in a row, which back off alike.

    The jitter of 15 % is the same for the same poll of the same request.
    """
    interval = interval_of(state, now, settings)
    if interval is None:
        return None
    doubled = min(max(repeat, failures), 20)
    span: timedelta = min(interval.first * 2**doubled, interval.longest)
    if not failures and _waits_for_confirmation(state, settings):
        span = min(span, settings.missing_min_gap * _CONFIRM)
    if failures and _waits_for_item(state):
        span = min(span, settings.missing_min_gap * _CONFIRM * 2 ** min(failures - 1, 20))
    if state.status is S.LOANED and (due := patron_due(state)) and due - _LOAN_ENDS > now:
        span = min(span, max(due - _LOAN_ENDS - now, interval.first))
    return now + span * (1 + _JITTER * _dice(pr_id, state.seq, repeat, failures))


def patron_due(state: State) -> datetime | None:
    """When the patron's loan is due: the latest known of the borrower's and the pickup library's."""
    legs = (leg for role, leg in state.legs.items() if role is not Role.SUPPLIER)
    return max((leg.due for leg in legs if leg.due), default=None)


def _waits_for_confirmation(state: State, settings: DcbSettings) -> bool:
    """A hold or an item was missed, and one more sighting would decide."""
    if any(leg.missed for leg in state.legs.values()):
        return True
    sides = {
        S.RPSA: (Role.SUPPLIER,),
        S.RPBA: tuple(Role),
        S.RPPA: tuple(Role),
        **dict.fromkeys(UNDER_WAY, (Role.BORROWER, Role.PICKUP)),
    }.get(state.status, ())
    return any(0 < state.leg(role).gone < settings.missing_confirmations for role in sides)


def _waits_for_item(state: State) -> bool:
    """A loan is over, and the item, which decides whether that is a return, could not be read."""
    lent = state.status in _LENT
    return lent and any(
        leg.loan is LoanState.COMPLETE and "item" in leg.failed for leg in state.legs.values()
    )


def _dice(*parts: object) -> float:
    """A number from -1 to 1 that depends on nothing but the parts."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4]) / 2**31 - 1


# --- what to read


@dataclass(frozen=True, slots=True)
class Look:
    """The circumstances of one poll.

    ``full``: a webhook or a person asked, so read what else is not read each time. ``shipping``: the lender's
    item was just seen in transit, so the patron's side is read as well, lest a cancellation be missed.
    """

    now: datetime
    full: bool = False
    shipping: bool = False


def parts_wanted(
    state: State, role: Role, look: Look, settings: DcbSettings, got: Observation | None = None
) -> tuple[Part, ...]:
    """What is still to be read of an Alma side, in order, after what this cycle ``got`` of it so far.

    Ask again after each answer: what the hold shows decides whether the item is read, and the item whether the loan.
    Ask only for a side that is placed. A FOLIO side has one part, its transaction, and one list call reads them all.
    """
    if not is_tracked(state.status, state.standing):
        return ()
    leg = state.leg(role)
    reported = state.adopted is not None and (leg.at is None or leg.adopted)  # nothing has shown it yet
    if reported or state.status is S.ERROR or any(flags.is_item_trouble(flag) for flag in state.standing):
        wanted = {Part.REQUEST, Part.ITEM, Part.LOAN}
    elif role is Role.SUPPLIER:
        wanted = _of_supplier(state.status, leg, look, settings)
    else:
        wanted = _of_patron_side(state.status, leg, look, settings)
    if flags.PATRON_GONE in state.standing:
        wanted.add(Part.ITEM)  # holds and loans are read by their user; the item is read by itself
    if leg.failed & {Part.ITEM, Part.LOAN}:
        # Where a loan runs the two are weighed together.
        wanted |= {Part.ITEM, Part.LOAN} if state.status in _LENT else {Part(name) for name in leg.failed}
    if got is not None:
        wanted |= _raised_by(leg, got)
        wanted -= {part for part in (Part.REQUEST, Part.ITEM, Part.LOAN) if getattr(got, part) is not None}
    return tuple(part for part in Part if part in wanted)


def _of_supplier(status: Status, leg: Leg, look: Look, settings: DcbSettings) -> set[Part]:
    if status in (S.RPSA, S.CONFIRMED, S.RPBA, S.RPPA):
        return {Part.REQUEST, Part.ITEM}
    if status is S.RETURN_TRANSIT:
        return {Part.ITEM, Part.LOAN}
    if status is S.AWAITING_RETURN:
        return {Part.ITEM, Part.LOAN} if leg.lent else {Part.ITEM}
    if status is S.CANCELLED:
        return {Part.ITEM}
    if not (look.full or _is_old(leg, look, settings)):
        return set()
    if status is S.LOANED:
        return {Part.ITEM, Part.LOAN}  # the item shows whether somebody there waits for the book
    return {Part.ITEM}


def _of_patron_side(status: Status, leg: Leg, look: Look, settings: DcbSettings) -> set[Part]:
    old = _is_old(leg, look, settings)
    if status is S.LOANED:
        return {Part.LOAN}
    if status in UNDER_WAY:
        item_old = (
            leg.item_at is None or leg.item_at.time is None or _is_past(leg.item_at.time, look, settings)
        )
        return {Part.REQUEST, Part.ITEM} if look.full or item_old else {Part.REQUEST}
    if status is S.CONFIRMED:  # placed by dcb-service, perhaps
        return {Part.REQUEST}
    if status in (S.RPBA, S.RPPA):
        return {Part.REQUEST} if look.full or look.shipping or old or leg.gone else set()
    if status in (S.RETURN_TRANSIT, S.AWAITING_RETURN) and (look.full or old):
        return {Part.ITEM}  # it may have been lent again
    return set()


def _raised_by(leg: Leg, got: Observation) -> set[Part]:
    """What an answer makes worth knowing: a hold that vanished or changed, an item lent, a loan that ended or that
    could not be read, which the item may show to have ended."""
    raised: set[Part] = set()
    if got.request is not None and got.request.found is not None:
        before = (leg.raw_request, leg.task_name)
        changed = got.request.found and (got.request.request_status, got.request.task_name) != before
        if not got.request.found:
            raised |= {Part.ITEM, Part.LOAN}
        elif changed and leg.raw_request is not None:
            raised.add(Part.ITEM)
    if got.item is not None and got.item.process_type == "LOAN":
        raised.add(Part.LOAN)
    if got.loan is not None and not (got.loan.found and loan_of(got.loan.loan_status) is LoanState.ACTIVE):
        raised.add(Part.ITEM)
    return raised


def _is_old(leg: Leg, look: Look, settings: DcbSettings) -> bool:
    return leg.at is None or leg.at.time is None or _is_past(leg.at.time, look, settings)


def _is_past(seen: datetime, look: Look, settings: DcbSettings) -> bool:
    # A little early, so that jitter does not put it off to the poll after next.
    return look.now - seen >= settings.other_side * (1 - _JITTER)


def is_shipping(got: Observation | None) -> bool:
    """Whether the lender's answers of this cycle show a book on its way or lent."""
    return bool(got and got.item and got.item.process_type in ("TRANSIT", "LOAN"))


# --- by which calls
#
# Alma's lists of a user's requests and loans hold up to 100 rows; there is no list of what changed across users.


@dataclass(frozen=True, slots=True)
class Wish:
    """A part of one side that is to be read."""

    pr_id: str
    role: Role
    part: Part
    system: str
    user_id: str | None


@dataclass(frozen=True, slots=True)
class ReadCall:
    """One call (a list of more than 100 rows takes another for each further page).

    ``listed``: the user's list of requests or loans; else the one request, item or loan of the one wish.
    """

    part: Part
    system: str
    wishes: tuple[Wish, ...]
    listed: bool


def calls_for(wishes: Iterable[Wish]) -> list[ReadCall]:
    """The calls that fulfil the wishes, in the order of reading: all holds, then all items, then all loans."""
    grouped: dict[tuple[Part, str, str], list[Wish]] = defaultdict(list)
    calls: list[ReadCall] = []
    for wish in wishes:
        if wish.part is Part.ITEM or wish.user_id is None:
            calls.append(ReadCall(wish.part, wish.system, (wish,), listed=False))
        else:
            grouped[wish.part, wish.system, wish.user_id].append(wish)
    for (part, system, _user), together in grouped.items():
        calls.append(ReadCall(part, system, tuple(together), listed=len(together) > 1))
    order = list(Part)
    return sorted(calls, key=lambda call: order.index(call.part))


# --- what a tick can afford


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
    one of low priority must not overtake forever.
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
