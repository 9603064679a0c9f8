"""Loans: lent once, renewed once."""

from __future__ import annotations

from datetime import datetime, time

from alma_etl.alma import writes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.loans import Loan
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides import shapes
from alma_etl.dcb.sides.words import Impossible, known, settled


def find_loan(alma: AlmaClient, user_id: str, item_pid: str) -> Loan | None:
    """The active loan of an item to a user, None when there is none. Raises Unsettled, RemoteStop."""
    rows = known(alma.loans.of_user(user_id), "The user's loans")
    return next((each for each in rows or () if each.item_pid == item_pid), None)


def lend(
    alma: AlmaClient, system: SystemSettings, user_id: str, item_pid: str, request_id: str | None
) -> Loan:
    """Lend an item to a user at the system's desk, or adopt the loan that is there; ``request_id`` is the hold that
    it fulfils. Raises Impossible with Alma's code when it refuses, Unsettled, RemoteStop."""
    written = writes.create_loan(
        alma,
        user_id,
        item_pid=item_pid,
        library=system.library or "",
        circ_desk=system.circ_desk,
        return_circ_desk=system.circ_desk,
        request_id=request_id,
    )
    return settled(written, "The item could not be lent")


def renew(
    alma: AlmaClient, user_id: str, item_pid: str, since: datetime, known_due: datetime | None = None
) -> Loan:
    """Renew the active loan of an item, once: one that was renewed at or after ``since``, or that is due later than
    it was when last seen (``known_due``), is done.

    Raises Impossible when there is no loan or it cannot be renewed, Unsettled, RemoteStop.
    """
    before = find_loan(alma, user_id, item_pid)
    if before is None:
        raise Impossible("The loan could not be renewed: there is none any more")
    if _is_renewed(before, since, known_due):
        return before
    return settled(writes.renew_loan(alma, before), "The loan could not be renewed")


def _is_renewed(loan: Loan, since: datetime, known_due: datetime | None) -> bool:
    read = shapes.of_loan(loan)
    if known_due is not None and read.due_date is not None and read.due_date > known_due:
        return True
    renewed = read.last_renew_date
    if renewed is None:
        return False
    # Where Alma tells the day alone, one renewal a day is enough.
    day_alone = renewed.time() == time.min
    return renewed.date() >= since.date() if day_alone else renewed >= since
