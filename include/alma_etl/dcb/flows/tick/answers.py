"""One call to a system for one or several sides, and what it means for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from alma_etl.dcb.machine.model import LoanRead, RequestRead
from alma_etl.dcb.plan import Part
from alma_etl.dcb.sides.alma_read import AlmaReader
from alma_etl.dcb.sides.folio import FolioReader
from alma_etl.dcb.sides.ports import SideReader
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store.rows import LegRecord, ReadError
from alma_etl.errors import InputProblem


@dataclass(frozen=True)
class Question:
    """A part of one side to be read; ``patron``: and its user's blocks with it."""

    leg: LegRecord
    part: Part
    patron: bool = False


@dataclass(frozen=True)
class Told:
    """What a call told of one side: parts of its observation by their names."""

    parts: Mapping[str, Any]
    errors: Sequence[ReadError] = ()
    user_seen: bool | None = None


class Sources(Protocol):
    """Whom to ask. `open` is called from one thread, `ask` from many."""

    def budget_of(self, system: str) -> str:
        """Whose calls a system's reads are."""
        ...

    def open(self, system: str, kind: str) -> None:
        """Make ready to ask a system. Raises RunStopped when its settings or connection cannot be used."""
        ...

    def ask(self, questions: Sequence[Question], *, listed: bool) -> list[Told]:
        """What one call tells of each of the sides, all in one system; ``listed``: of one user, by one list.

        Raises RemoteStop when no further call to this system makes sense.
        """
        ...


class SystemSources:
    """Implements `Sources` with the clients of the library systems."""

    def __init__(self, systems: Systems) -> None:
        self._systems = systems

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
        else:
            self._systems.alma(system)

    def ask(self, questions: Sequence[Question], *, listed: bool) -> list[Told]:
        """See `Sources.ask`."""
        leg = questions[0].leg
        if leg.system_kind == "MOD_DCB":
            return [self._transaction(each.leg) for each in questions]
        reader: SideReader = AlmaReader(self._systems.alma(leg.system_code))
        if not listed:
            return [_single(reader, each) for each in questions]
        return _list_of_user(reader, questions)

    def _transaction(self, leg: LegRecord) -> Told:
        reader = FolioReader(self._systems.mod_dcb(leg.system_code))
        # What could not be read leaves an observation without any part, which says just that.
        status = reader.transaction(leg.txn_id or "")
        return Told({"txn": status}, reader.errors())


def _single(reader: SideReader, question: Question) -> Told:
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
    return Told(parts, reader.errors(), reader.user_seen)


def _list_of_user(reader: SideReader, questions: Sequence[Question]) -> list[Told]:
    user_id, part = questions[0].leg.user_id or "", questions[0].part
    if part is Part.REQUEST:
        holds = reader.requests_of(user_id)
        shared = reader.errors()
        return [
            _told(reader, each, shared, {"request": _hold(reader, holds, each.leg)}) for each in questions
        ]
    loans = reader.loans_of(user_id)
    shared = reader.errors()
    return [_told(reader, each, shared, {"loan": _loan(reader, loans, each.leg)}) for each in questions]


def _told(reader: SideReader, question: Question, shared: Sequence[ReadError], parts: dict[str, Any]) -> Told:
    """What a list says of one side. ``shared``: what failed of the list; what else has failed is this side's own."""
    if question.patron:
        parts["patron"] = reader.patron(question.leg)
    return Told(parts, (*shared, *reader.errors()), reader.user_seen)


def _hold(reader: SideReader, holds: Mapping[str, RequestRead] | None, leg: LegRecord) -> RequestRead:
    if holds is None:
        return RequestRead(None)
    return holds.get(leg.request_id or "") or reader.unnamed_request(leg)


def _loan(reader: SideReader, loans: Mapping[str, LoanRead] | None, leg: LegRecord) -> LoanRead:
    if loans is None:
        return LoanRead(None)
    return loans.get(leg.item_pid or "") or reader.ended_loan(leg)
