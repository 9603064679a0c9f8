"""Step 2: read all sides of the requests of one group, in waves, and keep what was seen.

Each wave asks the one next thing of every side. A side is read in the order hold, item, loan; the patron's sides after
the lender's, since a book that was just shipped makes them worth reading. What several requests of one user need is
read by one list. A system that cannot be reached freezes the requests that needed it: nothing of what was read of them
counts.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from alma_etl.dcb.faults import fault_of
from alma_etl.dcb.flows.tick.folder import Deadline, Polled, SyncFolder, seen_row
from alma_etl.dcb.flows.tick.select import STEP_BACK
from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import ItemRead, LoanRead, Moment, Observation, PatronRead, RequestRead
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.plan import Look, Part, ReadCall, Wish, calls_for, is_shipping, parts_wanted
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.alma_read import AlmaReader, HistoryKept
from alma_etl.dcb.sides.folio import FolioReader
from alma_etl.dcb.sides.other import DCB_SERVICE, read_sides
from alma_etl.dcb.sides.ports import SideReader
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore, LegRecord, ReadError, Report, Tracked
from alma_etl.dcb.store.rows import changed_ids
from alma_etl.errors import InputProblem, RunStopped
from alma_etl.remote.errors import RemoteStop
from alma_etl.remote.parallel import in_parallel
from alma_etl.store.db import StoreUnavailable

log = logging.getLogger(__name__)

_AT_ONCE = 50
"""Requests whose reads go out together: what a kill can cost, and how finely the deadline cuts."""


def poll(
    folder: SyncFolder,
    number: int,
    *,
    store: DcbStore,
    settings: DcbSettings,
    systems: Systems,
    now: Callable[[], datetime],
    deadline: Deadline,
) -> Polled:
    """Read the requests of a group. Restarted, it reads only those that are missing."""
    plan = folder.plan()
    finished = folder.polled(number, plan)
    if finished is not None:
        return finished
    pr_ids = next(group.pr_ids for group in plan.groups if group.number == number)
    circuits, meter = Circuits(), _Meter(store, systems, now)
    gather = Gather(SystemSources(systems), settings, circuits, now=now, deadline=deadline)
    counts: Counter[str] = Counter()
    with folder.seen(number, plan) as seen:
        known = set(seen.rows())
        counts["polled"] = len(known)
        missing = [pr_id for pr_id in pr_ids if pr_id not in known]
        for start in range(0, len(missing), _AT_ONCE):
            part = missing[start : start + _AT_ONCE]
            if deadline.over:
                counts["late"] += len(part)
                continue
            try:
                looked = gather.read(_tracked(store, part))
            finally:
                meter.read()
            seen.add_all(_rows(looked, counts))
            if plan.full and not plan.dry_run:
                frozen = [each.tracked.pr_id for each in looked if each.frozen is not None]
                store.wait(frozen, now() + STEP_BACK)
    polled = Polled(
        started=plan.started,
        polled=counts["polled"],
        frozen=counts["frozen"],
        late=counts["late"],
        failed_reads=counts["failed_reads"],
        calls=dict(meter.made),
        answered=dict(circuits.answered),
        closed=circuits.closed,
    )
    folder.save_polled(number, polled)
    log.info(
        "%s polled, %s frozen, %s late; calls: %s", polled.polled, polled.frozen, polled.late, polled.calls
    )
    return polled


def _tracked(store: DcbStore, pr_ids: Sequence[str]) -> list[Tracked]:
    found = store.get_many(pr_ids)
    return [found[pr_id] for pr_id in pr_ids if pr_id in found]


def _rows(looked: Sequence[Looked], counts: Counter[str]) -> list[dict[str, object]]:
    rows = []
    for each in looked:
        if each.frozen is not None or each.late:
            counts["frozen" if each.frozen else "late"] += 1
            continue
        reports = each.reports()
        counts["polled"] += 1
        counts["failed_reads"] += sum(len(report.errors) for report in reports)
        rows.append(seen_row(each.tracked.pr_id, reports, each.tracked.nudges, each.failed))
    return rows


class _Meter:
    """Adds the calls made to the day's count, each connection's to its own."""

    def __init__(self, store: DcbStore, systems: Systems, now: Callable[[], datetime]) -> None:
        self._store = store
        self._systems = systems
        self._now = now
        self._before: Counter[str] = Counter(
            {conn_id: alma.calls_made for conn_id, alma in systems.opened.items()}
        )
        self.made: Counter[str] = Counter()

    def read(self) -> None:
        """Read the clients' counters."""
        for conn_id, alma in self._systems.opened.items():
            made = alma.calls_made - self._before[conn_id]
            if made:
                self._before[conn_id] += made
                self.made[conn_id] += made
                self._store.count_calls(self._now().date(), conn_id, made)


# --- one call to a system for one or several sides, and what it means for each


@dataclass(frozen=True)
class Question:
    """A part of one side of a request to be read; ``patron``: and its user's blocks with it; ``item_read``: this look
    has found the item already."""

    leg: LegRecord
    part: Part
    patron: bool = False
    pr_id: str = ""
    item_read: bool = False


@dataclass(frozen=True)
class Answered:
    """What a call answered of one side: parts of its observation by their names, and the side's ids."""

    parts: Mapping[str, Any]
    errors: Sequence[ReadError] = ()
    user_seen: bool | None = None
    ids: Mapping[str, str] = field(default_factory=dict)


class Sources(Protocol):
    """Whom to ask. `open` is called from one thread, `ask` from many."""

    def budget_of(self, system: str) -> str:
        """Whose calls a system's reads are."""
        ...

    def open(self, system: str, kind: str) -> None:
        """Make ready to ask a system. Raises RunStopped when its settings or connection cannot be used."""
        ...

    def ask(self, questions: Sequence[Question], *, listed: bool) -> list[Answered]:
        """What one call answers of each of the sides, all in one system; ``listed``: of one user, by one list.

        Raises RemoteStop when no further call to this system makes sense.
        """
        ...


class SystemSources:
    """Implements `Sources` with the clients of the library systems."""

    def __init__(self, systems: Systems) -> None:
        self._systems = systems
        self._histories: dict[str, HistoryKept] = {}

    def budget_of(self, system: str) -> str:
        """The connection; for a system that is not in the settings any more, its code."""
        try:
            return self._systems.budget_of(system)
        except InputProblem:
            return system

    def open(self, system: str, kind: str) -> None:
        """Open the system's client."""
        if kind == "MOD_DCB":
            self._systems.mod_dcb(system)
        elif kind == "OTHER":
            self._systems.dcb_service()
        else:
            self._systems.alma(system)

    def ask(self, questions: Sequence[Question], *, listed: bool) -> list[Answered]:
        """See `Sources.ask`."""
        leg = questions[0].leg
        if leg.system_kind == "MOD_DCB":
            return [self._transaction(each.leg) for each in questions]
        if leg.system_kind == "OTHER":
            sides = [(each.pr_id, each.leg.role) for each in questions]
            return [Answered(*found) for found in read_sides(self._systems.dcb_service(), sides)]
        code = leg.system_code
        history = self._histories.setdefault(self.budget_of(code), HistoryKept())
        reader: SideReader = AlmaReader(self._systems.alma(code), self._systems.settings(code).zone, history)
        for each in questions:
            if each.item_read:
                reader.item_was_read(each.leg)
        if not listed:
            return [_single(reader, each) for each in questions]
        return _list_of_user(reader, questions)

    def _transaction(self, leg: LegRecord) -> Answered:
        reader = FolioReader(self._systems.mod_dcb(leg.system_code))
        # What could not be read leaves an observation without any part, which says just that.
        status = reader.transaction(leg.txn_id or "")
        return Answered({"txn": status}, reader.errors())


def _single(reader: SideReader, question: Question) -> Answered:
    leg, part = question.leg, question.part
    parts: dict[str, Any] = {}
    if part is Part.REQUEST:
        parts["request"] = reader.request(leg)
    elif part is Part.ITEM:
        parts["item"] = reader.item(leg)
    else:
        parts["loan"] = reader.loan(leg)
    if question.patron:
        parts["patron"] = reader.patron(leg)
    return Answered(parts, reader.errors(), reader.user_seen, reader.ids_of(leg))


def _list_of_user(reader: SideReader, questions: Sequence[Question]) -> list[Answered]:
    user_id, part = questions[0].leg.user_id or "", questions[0].part
    if part is Part.REQUEST:
        holds = reader.requests_of(user_id)
        if holds is None and reader.user_seen is False:
            holds = {}  # what a merged user had is another's: each hold is looked for at its item
        shared = reader.errors()
        return [
            _of_list(reader, each, shared, {"request": _hold(reader, holds, each.leg)}) for each in questions
        ]
    loans = reader.loans_of(user_id)
    if loans is None and reader.user_seen is False:
        loans = {}
    shared = reader.errors()
    return [_of_list(reader, each, shared, {"loan": _loan(reader, loans, each.leg)}) for each in questions]


def _of_list(
    reader: SideReader, question: Question, shared: Sequence[ReadError], parts: dict[str, Any]
) -> Answered:
    """What a list says of one side. ``shared``: what failed of the list; what else has failed is this side's own."""
    leg = question.leg
    if question.patron:
        parts["patron"] = reader.patron(leg)
    return Answered(parts, (*shared, *reader.errors()), reader.user_seen, reader.ids_of(leg))


def _hold(reader: SideReader, holds: Mapping[str, RequestRead] | None, leg: LegRecord) -> RequestRead:
    if holds is None:
        return RequestRead(None)
    return holds.get(leg.request_id or "") or reader.unnamed_request(leg)


def _loan(reader: SideReader, loans: Mapping[str, LoanRead] | None, leg: LegRecord) -> LoanRead:
    if loans is None:
        return LoanRead(None)
    return loans.get(leg.item_pid or "") or reader.ended_loan(leg)


# --- the waves

_THREADS = 24
_SILENCE = frozenset({"RemoteTimeout", "RemoteConnectionError", "RemoteNoConnectionError"})
_PATRON_ROLES = (Role.BORROWER, Role.PICKUP)
_NOT_ANSWERED = "NOT_ANSWERED"
_IDS_FOR: Mapping[Part, tuple[str, ...]] = {
    Part.REQUEST: ("user_id", "request_id"),
    Part.ITEM: ("mms_id", "item_pid"),
    Part.LOAN: ("user_id", "item_pid"),
}
_UNKNOWN: Mapping[Part, Any] = {
    Part.REQUEST: RequestRead(None),
    Part.ITEM: ItemRead(None),
    Part.LOAN: LoanRead(None),
}


@dataclass
class SideRead:
    """One side of a request, as far as it was read. ``leg`` has its ids as the rows of this look show them, ``ids`` are
    those of the rows."""

    leg: LegRecord
    seen: Observation | None = None
    errors: list[ReadError] = field(default_factory=list)
    user_seen: bool | None = None
    ids: dict[str, str] = field(default_factory=dict)


@dataclass
class Looked:
    """One request under way. ``frozen``: the system that it waits for; ``late``: time ran out; ``failed``: what is to
    be read of it could not be found out, by a fault of ours."""

    tracked: Tracked
    sides: dict[Role, SideRead]
    frozen: str | None = None
    late: bool = False
    failed: str = ""

    def reports(self) -> list[Report]:
        """What was read of each side."""
        gone = any(side.user_seen is False for side in self.sides.values())
        return [
            Report(_with_user(self.tracked, side, gone), "POLL", tuple(side.errors), self._new_ids(side))
            for side in self.sides.values()
            if side.seen is not None
        ]

    def _new_ids(self, side: SideRead) -> dict[str, str]:
        before = self.tracked.legs[side.leg.role]
        return {name: value for name, value in side.ids.items() if value != getattr(before, name)}


@dataclass
class Circuits:
    """Which systems' reading has ended, by budget, and how many calls each answered. One for each task."""

    closed: dict[str, str] = field(default_factory=dict)
    answered: Counter[str] = field(default_factory=Counter)


class Gather:
    """Reads requests; ``now`` stamps the reads."""

    def __init__(
        self,
        sources: Sources,
        settings: DcbSettings,
        circuits: Circuits,
        *,
        now: Callable[[], datetime],
        deadline: Deadline,
    ) -> None:
        self._sources = sources
        self._settings = settings
        self._circuits = circuits
        self._now = now
        self._deadline = deadline

    def read(self, requests: Iterable[Tracked]) -> list[Looked]:
        """Everything that the plan wants to know of these requests now."""
        all_looked = [Looked(each, _sides(each)) for each in requests]
        began = self._now()
        waiting = {each.tracked.pr_id: each for each in all_looked}
        while waiting:
            wishes = [wish for each in waiting.values() for wish in self._wishes(each, began)]
            wanted = {wish.pr_id for wish in wishes}
            waiting = {pr_id: each for pr_id, each in waiting.items() if pr_id in wanted}
            if wishes and self._deadline.over:
                for each in waiting.values():
                    each.late = True
                break
            for call, answered in self._asked(calls_for(wishes), waiting):
                for wish, own in zip(call.wishes, answered, strict=True):
                    _take(waiting[wish.pr_id], wish, own)
            waiting = {pr_id: each for pr_id, each in waiting.items() if each.frozen is None}
        return all_looked

    # --- what to ask next

    def _wishes(self, looked: Looked, began: datetime) -> list[Wish]:
        try:
            return self._next(looked, began)
        except Exception as problem:  # noqa: BLE001  one request's trouble must not stop the others
            looked.failed = fault_of(problem)
            log.error("What to read of %s cannot be found out: %s", looked.tracked.pr_id, looked.failed)
            return []

    def _next(self, looked: Looked, began: datetime) -> list[Wish]:
        lender = looked.sides.get(Role.SUPPLIER)
        if lender and (wish := self._wish(looked, lender, began)):
            return [wish]
        sides = [looked.sides[role] for role in _PATRON_ROLES if role in looked.sides]
        return [wish for side in sides if (wish := self._wish(looked, side, began))]

    def _wish(self, looked: Looked, side: SideRead, began: datetime) -> Wish | None:
        tracked, leg = looked.tracked, side.leg
        if leg.system_kind == "MOD_DCB":
            if side.seen is not None:
                return None
            return Wish(tracked.pr_id, leg.role, Part.REQUEST, leg.system_code, None)
        if leg.system_kind == "OTHER":  # all of them by one call
            return None if side.seen else Wish(tracked.pr_id, leg.role, Part.REQUEST, DCB_SERVICE, "")
        lender = looked.sides.get(Role.SUPPLIER)
        look = Look(began, tracked.nudged, is_shipping(lender.seen if lender else None))
        wanted = parts_wanted(tracked.state, leg.role, look, self._settings, side.seen)
        if not tracked.is_ours:  # it may have been reported without some ids
            wanted = tuple(part for part in wanted if all(getattr(leg, name) for name in _IDS_FOR[part]))
        if not wanted:
            return None
        return Wish(tracked.pr_id, leg.role, wanted[0], leg.system_code, leg.user_id)

    # --- asking

    def _asked(
        self, calls: Sequence[ReadCall], waiting: Mapping[str, Looked]
    ) -> list[tuple[ReadCall, Sequence[Timed]]]:
        """Ask all; of a system that has not answered yet first one alone, so that an outage costs one call."""
        orders = [
            _Order(
                call, self._sources.budget_of(call.system), [_question(waiting, wish) for wish in call.wishes]
            )
            for call in calls
        ]
        for order in orders:
            self._open(order)
        # Another one each time, so that a call which always takes too long does not speak for its system for ever.
        began = int(self._now().timestamp()) % len(orders) if orders else 0
        first: dict[str, _Order] = {}
        for order in orders[began:] + orders[:began]:
            if not self._circuits.answered[order.budget]:
                first.setdefault(order.budget, order)
        answers = [(order.call, self._ask(order)) for order in first.values()]
        rest = [order for order in orders if first.get(order.budget) is not order]
        for order, answer in in_parallel(self._ask, rest, _THREADS):
            answers.append((order.call, answer))
        return answers

    def _open(self, order: _Order) -> None:
        if order.budget in self._circuits.closed:
            return
        try:
            self._sources.open(order.call.system, order.questions[0].leg.system_kind)
        except RunStopped as problem:
            self._circuits.closed[order.budget] = str(problem)

    def _ask(self, order: _Order) -> Sequence[Timed]:
        """One call; None for each of its wishes when its system is not to be reached."""
        if order.budget in self._circuits.closed:
            return [None] * len(order.questions)
        at = self._now()
        try:
            answered = self._sources.ask(order.questions, listed=order.call.listed)
        except (RemoteStop, RunStopped) as problem:
            if order.budget not in self._circuits.closed:
                log.warning("Reading %s ends for this tick: %s", order.call.system, problem)
            self._circuits.closed[order.budget] = str(problem)
            return [None] * len(order.questions)
        except StoreUnavailable:
            raise
        except Exception as problem:  # noqa: BLE001  one answer's trouble must not stop the others
            fault = fault_of(problem)
            log.error("An answer of %s could not be taken: %s", order.call.system, fault)
            answered = [_not_understood(each, fault) for each in order.questions]
        if not self._circuits.answered[order.budget] and all(map(_is_silence, answered)):
            log.warning("Reading %s ends for this tick: no answer in time", order.call.system)
            self._circuits.closed[order.budget] = "it gave no answer in time"
            return [None] * len(order.questions)
        self._circuits.answered[order.budget] += 1
        return [(at, each) for each in answered]


def _not_understood(question: Question, fault: str) -> Answered:
    if question.leg.system_kind == "MOD_DCB":
        return Answered({"txn": None}, [ReadError("txn", None, fault)])
    return Answered({question.part: _UNKNOWN[question.part]}, [ReadError(question.part, None, fault)])


def _is_silence(answered: Answered) -> bool:
    """Whether the system gave no answer at all, not even an error."""
    return bool(answered.errors) and all(error.code in _SILENCE for error in answered.errors)


Timed = tuple[datetime, Answered] | None


@dataclass(frozen=True)
class _Order:
    call: ReadCall
    budget: str
    questions: Sequence[Question]


def _question(waiting: Mapping[str, Looked], wish: Wish) -> Question:
    looked = waiting[wish.pr_id]
    side = looked.sides[wish.role]
    # Whether a block stands is asked where our loan was refused, once a look.
    refused = {flags.SUPPLIER_LOAN_FAILED, flags.SUPPLIER_PATRON_BLOCKED} & set(looked.tracked.state.standing)
    first = side.seen is None
    patron = bool(refused) and wish.role is Role.SUPPLIER and first
    item = side.seen.item if side.seen else None
    return Question(side.leg, wish.part, patron, wish.pr_id, item_read=bool(item and item.found))


def _take(looked: Looked, wish: Wish, answer: Timed) -> None:
    if answer is None:
        looked.frozen = wish.system
        return
    at, answered = answer
    side = looked.sides[wish.role]
    before = side.seen or Observation(wish.role, Moment.at(at), generation=side.leg.generation)
    # What an answer leaves empty takes nothing away that another one has.
    side.seen = replace(before, **{name: part for name, part in answered.parts.items() if part is not None})
    side.errors += answered.errors
    side.ids |= answered.ids
    side.leg = replace(side.leg, **changed_ids(side.leg, answered.ids))
    if side.leg.system_kind != "MOD_DCB" and getattr(side.seen, wish.part) is None:
        # Else the plan would ask for it again, and so without end.
        log.error("%s was asked for the %s of %s and did not answer it", wish.system, wish.part, wish.pr_id)
        side.seen = replace(side.seen, **{wish.part: _UNKNOWN[wish.part]})
        side.errors.append(ReadError(wish.part, None, _NOT_ANSWERED))
    if answered.user_seen is not None:
        side.user_seen = answered.user_seen


def _sides(tracked: Tracked) -> dict[Role, SideRead]:
    return {role: SideRead(leg) for role, leg in tracked.legs.items() if leg.is_placed}


def _with_user(tracked: Tracked, side: SideRead, gone: bool) -> Observation:
    """Say that the user is not there; and that it is there again, where this side's reads had failed for it, or its
    hold was gone with it."""
    assert side.seen is not None
    if side.seen.patron is not None:
        return side.seen
    if side.user_seen is False:
        return replace(side.seen, patron=PatronRead(False))
    memory = tracked.state.leg(side.leg.role)
    missed = memory.failed & {"request", "loan"} or memory.gone
    if side.user_seen and missed and not gone and flags.PATRON_GONE in tracked.state.standing:
        return replace(side.seen, patron=PatronRead(True))
    return side.seen
