"""What the DCB jobs need from outside: somebody who reads, somebody who acts, somebody who is told.

The machine and the store know none of them; the Alma and mod-dcb adapters implement these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from alma_etl.dcb.machine.model import ItemRead, LoanRead, PatronRead, RequestRead
from alma_etl.dcb.store.rows import LegRecord, OutboxRow, ReadError, Report, Tracked


class SideReader(Protocol):
    """Reads one Alma. Nothing is raised for a read that failed: its ``found`` is None, and ``errors`` tells why. What
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
        """A hold that the list which was read last does not name."""
        ...

    def item(self, leg: LegRecord) -> ItemRead:
        """The side's item, by its pid, never by its barcode."""
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
        """The latest complete loan of the item to the user, when no active one was found."""
        ...

    def patron(self, leg: LegRecord) -> PatronRead:
        """The user of the side's hold, and whether a block stands against a loan."""
        ...

    @property
    def user_seen(self) -> bool | None:
        """Whether the reads so far show that the user is there; None when they do not tell."""
        ...

    def errors(self) -> Sequence[ReadError]:
        """What failed since this was last asked."""
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
    """The deed is done, or was done already. ``legs``: ids that it made."""

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
    """Acts in a library system. Looks before it writes, so that a deed done twice is done once."""

    def perform(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Do one deed of the outbox."""
        ...


class Sink(Protocol):
    """Is told what happened. ``name`` is the target of its rows."""

    name: str

    def deliver(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Tell one event; delivering it again does no harm."""
        ...
