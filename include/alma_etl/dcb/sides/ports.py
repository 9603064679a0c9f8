"""What the DCB jobs need from outside: who reads, who acts, who is notified; and how that ends.

The machine and the store know none of them; the Alma and mod-dcb adapters implement these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

from alma_etl.dcb.machine.model import ItemRead, LoanRead, PatronRead, RequestRead
from alma_etl.dcb.store.rows import LegRecord, OutboxRow, ReadError, Report, Tracked
from alma_etl.remote.answers import Answer, Found, Unknown
from alma_etl.remote.errors import RemoteError, RemoteRefused
from alma_etl.remote.safe_write import WriteOutcome, Written


class SideReader(Protocol):
    """Reads one Alma. Nothing is raised for a read that failed: its ``found`` is None, and ``errors`` says why. What
    ends all reading of this system (no right, no calls left) is raised as it is. One for each thread.
    """

    def request(self, leg: LegRecord) -> RequestRead:
        """The side's hold, by its id."""
        ...

    def requests_of(self, user_id: str) -> Mapping[str, RequestRead] | None:
        """The open holds of a user by request id, all pages read; None when the list could not be read.

        Ask `unnamed_request` for what it does not name: the list may name fewer than it counts.
        """
        ...

    def unnamed_request(self, leg: LegRecord) -> RequestRead:
        """A hold that the list which was read last does not name, or could not, since the user is not there."""
        ...

    def item_was_read(self, leg: LegRecord) -> None:
        """The item was read a moment ago, by the ids that the side has now."""
        ...

    def item(self, leg: LegRecord) -> ItemRead:
        """The side's item, by its pid; one with its barcode only where it is the same item."""
        ...

    def loan(self, leg: LegRecord) -> LoanRead:
        """The loan of the item to the user: the active one, else the latest complete one."""
        ...

    def loans_of(self, user_id: str) -> Mapping[str, LoanRead] | None:
        """The active loans of a user by item pid, all pages read; None when the list could not be read.

        Ask `ended_loan` for what it does not name.
        """
        ...

    def ended_loan(self, leg: LegRecord) -> LoanRead:
        """The latest complete loan of the item to the user, when no active one was found, or the user is not there."""
        ...

    def patron(self, leg: LegRecord) -> PatronRead:
        """The user of the side's hold, and whether a block stands against a loan."""
        ...

    @property
    def user_seen(self) -> bool | None:
        """Whether the reads so far show that the user is there; None when they do not show it."""
        ...

    def errors(self) -> Sequence[ReadError]:
        """What failed since this was last asked."""
        ...

    def ids_of(self, leg: LegRecord) -> Mapping[str, str]:
        """What the rows read so far show of the side's ids, by the names of `store.rows.FOLLOWED`."""
        ...


class TransactionReader(Protocol):
    """Reads one mod-dcb; raises what ends all reading of it."""

    def transaction(self, txn_id: str) -> str | None:
        """The status of a transaction: MISSING when there is none, None when it could not be read."""
        ...

    def errors(self) -> Sequence[ReadError]:
        """What failed since this was last asked."""
        ...


@dataclass(frozen=True, slots=True)
class Done:
    """The action is done, or was done already. ``legs``: ids that it made."""

    reports: tuple[Report, ...] = ()
    legs: tuple[LegRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Later:
    """Try again after a while: nothing is known to have been done, or it could not be verified."""

    reason: str
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """It will not be done, however often it is tried. ``reports``: what the machine should know of it."""

    reason: str
    reports: tuple[Report, ...] = ()


class Actor(Protocol):
    """Acts in a library system. Looks before it writes, so that an action done twice is done once."""

    def perform(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Do one action of the outbox."""
        ...


class Sink(Protocol):
    """Is notified of what happened. ``name`` is the target of its rows."""

    name: str

    def deliver(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Deliver one event; delivering it again does no harm."""
        ...


# --- how an action ends, in sentences for librarians: Alma's own texts are left out, which may name people


T = TypeVar("T")

_MEANINGS = {
    "400042": "the user has the item on loan already",
    "401129": "no item can fulfil the request by Alma's fulfilment rules",
    "401136": "the user has another request for it",
    "401151": "the user is not an active patron",
    "401153": "this desk may not lend the item; look at circ_desk and desks in config/dcb.yaml",
    "401161": "the user has reached the loan limit",
    "401163": "the user is blocked",
    "401168": "the user has expired",
    "401201": "the user is blocked",
    "401651": "the item cannot be lent",
    "401664": "Alma wants a field that was not sent",
    "401666": "Alma does not know one of the codes; look at config/dcb.yaml",
    "401676": "Alma cannot read the user that was sent",
    "401681": "the due date is in the past",
    "401822": "the loan cannot be renewed",
    "401861": "Alma does not know the user",
    "401890": "Alma does not know the user",
    "401851": "another user has this identifier",
    "401852": "Alma does not know the user group; look at user_group and user_groups in config/dcb.yaml",
    "401854": "an external user needs an external id",
    "401857": "Alma does not know the account type",
    "401864": "Alma does not know a type of identifier, address or note",
    "401895": "the library has no such desk",
    "402212": "the holding could not be made; look at library and location in config/dcb.yaml",
    "402502": "the scan failed; look at circ_desk and desks in config/dcb.yaml, and at the item",
    "60258": "the profile of the API key does not allow this",
    "60308": "Alma does not deliver to a personal address",
    "60340": "the API key is restricted to other libraries",
    "40166404": "Alma does not take a code or the barcode; look at item_policy and material_types in config/dcb.yaml",
    "BARCODE_ELSEWHERE": "the barcode belongs to another item",
    "NOT_AS_SENT": "Alma answered, but did not keep what was sent",
}


class Impossible(Exception):
    """It will not be done, however often it is tried: one sentence, and Alma's error code ("" when it is not
    Alma that forbids it)."""

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(sentence, code)
        self.sentence = sentence
        self.code = code

    def __str__(self) -> str:
        return self.sentence


class Unsettled(Exception):
    """Nobody knows whether it is done, or it cannot be done now: one sentence."""


def describe(error: RemoteError | None) -> str:
    """What an error says, without Alma's text and without the path, which may name a user."""
    if error is None:
        return "Alma does not know it"
    facts = [f"HTTP {error.status}" if error.status else "", error.code]
    facts.append(f"tracking id {error.tracking_id}" if error.tracking_id else "")
    meaning = _MEANINGS.get(error.code) or (
        "Alma refuses" if isinstance(error, RemoteRefused) else "no usable answer"
    )
    known = ", ".join(fact for fact in facts if fact)
    return f"{meaning} [{known}]" if known else meaning


def known(answer: Answer[T], what: str) -> T | None:
    """The value, None when Alma said that it is not there. Raises Unsettled; ``what`` begins its sentence."""
    if isinstance(answer, Unknown):
        raise Unsettled(f"{what} could not be read: {describe(answer.error)}")
    return answer.value if isinstance(answer, Found) else None


def settled(written: Written[T], what: str) -> T:
    """What is now there. Raises Impossible and Unsettled; ``what`` begins their sentences."""
    if written.done and written.value is not None:
        return written.value
    code = written.error.code if written.error else ""
    if written.outcome is WriteOutcome.NOT_FOUND:
        raise Impossible(f"{what}: it is not in Alma", code)
    if written.outcome is WriteOutcome.REFUSED:
        raise Impossible(f"{what}: {describe(written.error)}", code)
    raise Unsettled(f"{what}: {describe(written.error)}")


def gone(answer: Answer[None], what: str) -> None:
    """Something was deleted or is not there. Raises Impossible when Alma refuses, else Unsettled."""
    if not isinstance(answer, Unknown):
        return
    if isinstance(answer.error, RemoteRefused):
        raise Impossible(f"{what}: {describe(answer.error)}", answer.error.code)
    raise Unsettled(f"{what}: {describe(answer.error)}")


# --- reads that failed


class Failures:
    """Reads that failed, for the observation: codes and ids, never what Alma says in words."""

    def __init__(self) -> None:
        self._failed: list[ReadError] = []

    def add(self, part: str, error: RemoteError | None = None, *, code: str | None = None) -> None:
        """A part could not be read: ``error`` is Alma's, ``code`` ours when it was not asked at all."""
        if error is None:
            self._failed.append(ReadError(part, None, code))
            return
        name = error.code or type(error).__name__
        self._failed.append(ReadError(part, error.status, name, error.tracking_id or None))

    def mark(self) -> int:
        """How far it has come, for `forget`."""
        return len(self._failed)

    def forget(self, mark: int) -> None:
        """What has failed since then was read in another way."""
        del self._failed[mark:]

    def take(self) -> tuple[ReadError, ...]:
        """What has come together; none is left."""
        taken, self._failed = tuple(self._failed), []
        return taken
