"""The virtual patron: stands at the lender for a patron of another library. Made once, extended, never deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from alma_etl.alma import writes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.shapes import Json, coded
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides.marks import VIRTUAL_LAST_NAME
from alma_etl.dcb.sides.patron_check import PatronState, check_patron, state_of
from alma_etl.dcb.sides.words import Impossible, Unsettled, known, settled

LASTS = timedelta(days=120)
RENEWED_BEFORE = timedelta(days=30)
_TAKEN = "401851"


@dataclass(frozen=True, slots=True)
class VirtualPatron:
    """Its primary id, and what was done."""

    user_id: str
    outcome: Literal["found", "extended", "created"]


def ensure_virtual_patron(
    alma: AlmaClient, system: SystemSettings, user_id: str, now: datetime
) -> VirtualPatron:
    """Find the virtual patron ``user_id`` (see `marks.virtual_user`), extend one that expires within 30 days by
    120, or create it. It bears no name.

    Raises Impossible when it is blocked or inactive, since the lender's loan would be refused, or when Alma does not
    take it; Unsettled when nobody knows, in which case none is created; RemoteStop.
    """
    state = check_patron(alma, user_id, now)
    if state is not None:
        return _usable(alma, state, now)
    written = writes.create_user(alma, _body(system, user_id, now))
    if written.error is not None and written.error.code == _TAKEN:  # another run was quicker
        user = known(alma.users.read(user_id), "The virtual patron")
        if user is not None:
            return _usable(alma, state_of(user, now), now)
    made = settled(written, f"The virtual patron {user_id} could not be created")
    return VirtualPatron(made.primary_id, "created")


def is_expiring(state: PatronState, now: datetime) -> bool:
    """Whether it would end within 30 days, or has."""
    return state.expiry_date is not None and state.expiry_date <= (now + RENEWED_BEFORE).date()


def extend(alma: AlmaClient, user_id: str, now: datetime) -> None:
    """Let the virtual patron last 120 days from now. Raises Impossible, Unsettled, RemoteStop."""
    changes = {"expiry_date": _date(now + LASTS)}
    written = writes.update_user(alma, user_id, changes, override=["user_group"])
    settled(written, f"The virtual patron {user_id} could not be extended")


def _usable(alma: AlmaClient, state: PatronState, now: datetime) -> VirtualPatron:
    expiring = is_expiring(state, now)
    if expiring:
        extend(alma, state.user_id, now)
        again = check_patron(alma, state.user_id, now)
        if again is None:
            raise Unsettled(f"The virtual patron {state.user_id} is not there after it was extended")
        state = again
    if state.problems:
        problems = "; ".join(state.problems)
        raise Impossible(
            f"The virtual patron {state.user_id} cannot be used ({problems}): put it right in Alma"
        )
    return VirtualPatron(state.user_id, "extended" if expiring else "found")


def _body(system: SystemSettings, user_id: str, now: datetime) -> Json:
    return {
        "record_type": coded("PUBLIC"),
        "account_type": coded("EXTERNAL"),
        "external_id": user_id,
        "primary_id": user_id,
        "first_name": "DCB",
        "last_name": VIRTUAL_LAST_NAME,
        "status": coded("ACTIVE"),
        "user_group": coded(system.user_group or ""),
        "expiry_date": _date(now + LASTS),
    }


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}Z"
