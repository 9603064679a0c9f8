"""A small physical world: books that travel, and what both Almas show of them at a given time.

It knows nothing of the machine. `poll` plays the poller: it reads what the plan wants, call by call.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alma_etl.dcb.machine.model import Ack, ItemRead, LoanRead, Moment, Observation, RequestRead, State
from alma_etl.dcb.machine.step import step
from alma_etl.dcb.machine.vocabulary import AckName, ActionType, Role, Status
from alma_etl.dcb.plan import Look, Part, is_shipping, next_poll, parts_wanted
from alma_etl.dcb.settings import DcbSettings

S, B = Role.SUPPLIER, Role.BORROWER


@dataclass
class Book:
    """When what happens to one book; a time that is None never comes."""

    placed: datetime
    shipped: datetime | None = None
    arrived: datetime | None = None
    fetched: datetime | None = None
    cancelled: datetime | None = None
    returned: datetime | None = None
    home: datetime | None = None
    lent_at_supplier: datetime | None = None
    days: int = 28

    def has(self, event: str, now: datetime) -> bool:
        moment: datetime | None = getattr(self, event)
        return moment is not None and moment <= now

    def request(self, role: Role, now: datetime) -> RequestRead:
        if role is S:
            if self.has("lent_at_supplier", now):
                return RequestRead(False)
            word = "Transit Item" if self.has("shipped", now) else "Pickup From Shelf"
            return RequestRead(True, "IN_PROCESS", word)
        if self.has("fetched", now) or self.has("cancelled", now):
            return RequestRead(False)
        return RequestRead(True, "ON_HOLD_SHELF" if self.has("arrived", now) else "NOT_STARTED")

    def item(self, role: Role, now: datetime) -> ItemRead:
        if role is S:
            if self.has("home", now) or not self.has("shipped", now):
                return ItemRead(True, "1", None, "31")
            return ItemRead(True, "0", "LOAN" if self.has("lent_at_supplier", now) else "TRANSIT", "31")
        for event, word in (("returned", "TRANSIT"), ("fetched", "LOAN"), ("arrived", "HOLDSHELF")):
            if self.has(event, now):
                return ItemRead(True, "0", word)
        return ItemRead(True, "1")

    def loan(self, role: Role, now: datetime) -> LoanRead:
        lent = self.lent_at_supplier if role is S else self.fetched
        back = "home" if role is S else "returned"
        if lent is None or lent > now:
            return LoanRead(False)
        status = "COMPLETE" if self.has(back, now) else "ACTIVE"
        return LoanRead(True, status, "NORMAL", lent + timedelta(days=self.days))


@dataclass
class Tracked:
    """One request as the poller keeps it."""

    pr_id: str
    book: Book
    state: State
    next_poll: datetime | None
    repeat: int = 0
    since: dict[Status, datetime] = field(default_factory=dict)


def poll(one: Tracked, now: datetime, settings: DcbSettings, calls: Counter[str]) -> None:
    """One poll: read, decide, act at once, and set the time of the next."""
    got: dict[Role, Observation] = {}
    for role in (S, B):
        if role is B and one.state.status is Status.RPSA:
            continue
        look = Look(now, shipping=is_shipping(got.get(S)))
        while wanted := parts_wanted(one.state, role, look, settings, got.get(role)):
            seen = got.get(role) or Observation(role, Moment.at(now))
            calls[wanted[0]] += 1
            read = {
                Part.REQUEST: one.book.request,
                Part.ITEM: one.book.item,
                Part.LOAN: one.book.loan,
            }[wanted[0]](role, now)
            got[role] = Observation(
                role,
                seen.at,
                read if isinstance(read, RequestRead) else seen.request,
                read if isinstance(read, ItemRead) else seen.item,
                read if isinstance(read, LoanRead) else seen.loan,
            )
    changed = _take(one, list(got.values()), now, calls)
    one.repeat = 0 if changed else one.repeat + 1
    one.next_poll = next_poll(one.state, now, settings, pr_id=one.pr_id, repeat=one.repeat)


def _take(one: Tracked, seen: list[Observation], now: datetime, calls: Counter[str]) -> bool:
    result = step(one.state, seen)
    changed = bool(result.transitions)
    while True:
        one.state = result.state
        for transition in result.transitions:
            one.since[transition.to] = now
        acks = [ack for action in result.actions for ack in _act(one, action.type, now)]
        if not acks:
            return changed
        result = step(one.state, acks)


def _act(one: Tracked, action: ActionType, now: datetime) -> list[Ack]:
    at = Moment.at(now + timedelta(seconds=1))
    if action is ActionType.PLACE_AT_BORROWER:
        return [Ack(AckName.BORROWER_PLACED, at)]
    if action is ActionType.CREATE_SUPPLIER_LOAN:
        one.book.lent_at_supplier = now
        return [Ack(AckName.SUPPLIER_LOAN_CREATED, at)]
    if action is ActionType.CLEANUP:
        return [Ack(AckName.CLEANED_UP, at)]
    return []


COURSE = (
    ("shipped", 2, 72),
    ("arrived", 12, 72),
    ("fetched", 1, 120),
    ("returned", 24, 672),
    ("home", 12, 72),
)
STAGES = {"new": 0, "placed": 0, "shipped": 1, "shelf": 2, "parked": 2, "loaned": 3, "returning": 4}


def a_book(dice: random.Random, stage: str, now: datetime) -> Book:
    """A book at a stage of its course, and what will become of it, in hours from the least to the most."""
    passed = STAGES[stage]
    book = Book(placed=now if stage == "new" else now - timedelta(days=1), days=dice.choice([2, 14, 28, 120]))
    ahead = now
    for number, (event, least, most) in enumerate(COURSE):
        if number < passed:
            setattr(book, event, now - timedelta(minutes=10 * (passed - number)))
        else:
            share = dice.random() if number == passed else 1.0
            ahead += timedelta(hours=dice.uniform(least, most) * share)
            setattr(book, event, ahead)
    if stage == "parked" or (stage in ("placed", "shelf") and dice.random() < 0.1):
        book.cancelled = (
            now - timedelta(minutes=5) if stage == "parked" else now + timedelta(hours=dice.uniform(0, 24))
        )
        if stage == "placed" and book.shipped and book.cancelled < book.shipped:
            book.shipped = book.arrived = book.fetched = book.returned = book.home = None
        elif book.fetched and book.cancelled < book.fetched:
            book.fetched = book.returned = None
            book.home = max(book.cancelled, book.arrived or now) + timedelta(hours=dice.uniform(6, 72))
    return book
