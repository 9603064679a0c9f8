"""Whether a patron may have a book sent: known, active, not expired, not blocked (seed 004, "patron blocks")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.users import User
from alma_etl.dcb.sides.words import known

_KINDS = {
    "USER": "assigned by an operator",
    "LOAN": "for overdue items",
    "CASH": "for a limit of fines",
    "GENERAL": "by a limit of the library",
}


@dataclass(frozen=True, slots=True)
class PatronState:
    """``user_id``: the primary id, by whatever identifier was asked. ``problems``: empty when nothing is in the way;
    codes of dcb-service's pre-flight check, each with what it means."""

    user_id: str
    expiry_date: date | None
    problems: tuple[str, ...]


def check_patron(alma: AlmaClient, user_id: str, now: datetime) -> PatronState | None:
    """The state of a user, None when there is no such user. Raises Unsettled, RemoteStop."""
    user = known(alma.users.read(user_id), "The patron")
    return None if user is None else state_of(user, now)


def state_of(user: User, now: datetime) -> PatronState:
    """What is in the way of a request of this user."""
    today, expiry = now.date(), _day(user.expiry_date)
    problems = []
    if user.status == "DELETED":
        problems.append("PATRON_DELETED: the user is deleted")
    elif user.status != "ACTIVE":
        problems.append("PATRON_INACTIVE: the user is not active")
    if expiry is not None and expiry < today:
        problems.append(f"PATRON_EXPIRED: the user expired on {expiry}")
    for kind in sorted(
        {block.type for block in user.blocks if _blocks(block.status, block.expiry_date, today)}
    ):
        problems.append(f"PATRON_BLOCKED: the user has a block {_KINDS.get(kind, f'of type {kind}')}")
    return PatronState(user.primary_id, expiry, tuple(problems))


def _blocks(status: str, expiry_date: str, today: date) -> bool:
    # A block without a status, or with an end that cannot be read, counts: nobody said that it is over.
    expiry = _day(expiry_date)
    return status in ("ACTIVE", "") and (expiry is None or expiry >= today)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None
