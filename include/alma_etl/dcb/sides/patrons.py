"""Patrons: whether one may have a book sent, and the virtual patron, which stands for one at another library.

A virtual patron is made once, extended, never deleted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Literal

from alma_etl.alma import shapes, writes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.shapes import Json, coded
from alma_etl.alma.users import User
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides.marks import VIRTUAL_LAST_NAME
from alma_etl.dcb.sides.ports import Impossible, Unsettled, describe, known, settled

log = logging.getLogger(__name__)

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
    elif user.status not in ("ACTIVE", ""):  # without a word it is active: some institutions show none
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


# --- the virtual patron


LASTS = timedelta(days=120)
RENEWED_BEFORE = timedelta(days=30)
_A_DAY = timedelta(days=1)
_TAKEN = "401851"
_BARCODE = "BARCODE"


@dataclass(frozen=True, slots=True)
class VirtualPatron:
    """Its primary id, and what was done."""

    user_id: str
    outcome: Literal["found", "extended", "created"]


@dataclass(frozen=True, slots=True)
class Card:
    """What another library may know of the patron whom a virtual one stands for: the user group at home, and the
    barcode of the card, "" where none is to be known. Nothing of it is kept in the store."""

    group: str = ""
    barcode: str = ""


def read_card(alma: AlmaClient, user_id: str) -> Card:
    """Group and barcode of a user at home. Raises Unsettled, RemoteStop."""
    user = known(alma.users.read(user_id), "The patron")
    if user is None:
        return Card()
    rows = shapes.listed(user.raw, "user_identifier")
    barcodes = [
        shapes.text(row.get("value"))
        for row in rows
        if shapes.text(row.get("id_type")) == _BARCODE and shapes.text(row.get("status")) in ("ACTIVE", "")
    ]
    return Card(user.user_group, barcodes[0] if barcodes else "")


def ensure_virtual_patron(
    alma: AlmaClient, system: SystemSettings, user_id: str, now: datetime, card: Card = Card()
) -> VirtualPatron:
    """Find the virtual patron ``user_id`` (see `marks.virtual_user`), extend one that expires within 30 days by
    120, or create it. It bears no name. One that is there gets the group (`user_groups`) and the barcode
    (`barcode_prefix`) that it lacks.

    Raises Impossible when it is blocked or inactive, since the lender's loan would be refused, or when Alma does not
    take it; Unsettled when nobody knows, in which case none is created; RemoteStop.
    """
    user = known(alma.users.read(user_id), "The patron")
    if user is not None:
        return _usable(alma, system, user, now, card)
    body = _body(system, user_id, now) | _marked(system, user_id, card, {})
    written = writes.create_user(alma, body)
    if (
        written.error is not None and written.error.code == _TAKEN
    ):  # another run was quicker, or has the barcode
        user = known(alma.users.read(user_id), "The virtual patron")
        if user is not None:
            return _usable(alma, system, user, now, card)
        if body.pop("user_identifier", None):
            log.warning("another user has the barcode of the virtual patron %s, which gets none", user_id)
            written = writes.create_user(alma, body)
    made = settled(written, f"The virtual patron {user_id} could not be created")
    return VirtualPatron(made.primary_id, "created")


def is_expiring(state: PatronState, now: datetime) -> bool:
    """Whether it would end within 30 days, or has."""
    return state.expiry_date is not None and state.expiry_date <= (now + RENEWED_BEFORE).date()


def extend(alma: AlmaClient, user_id: str, until: datetime) -> None:
    """Let the virtual patron last until that day, or longer if it does already. Raises Impossible, Unsettled,
    RemoteStop."""

    def later(user: Json) -> Json:
        expiry = _day(shapes.text(user.get("expiry_date")))
        return {} if expiry is not None and expiry >= until.date() else {"expiry_date": _date(until)}

    written = writes.update_user(alma, user_id, later, override=["user_group"])
    settled(written, f"The virtual patron {user_id} could not be extended")


def outlast(alma: AlmaClient, user_id: str, due: datetime | None, now: datetime) -> None:
    """Let the virtual patron last longer than the patron's loan: Alma neither lends nor renews beyond a user's end.

    ``due``: when the patron's loan is, if it is known. Raises Impossible, Unsettled, RemoteStop.
    """
    state = check_patron(alma, user_id, now)
    until = max(now, due or now)
    if state is not None and is_expiring(state, until):
        extend(alma, user_id, max(now + LASTS, until + RENEWED_BEFORE + _A_DAY))


def _usable(alma: AlmaClient, system: SystemSettings, user: User, now: datetime, card: Card) -> VirtualPatron:
    state = state_of(user, now)
    _mark(alma, system, user, card)
    expiring = is_expiring(state, now)
    if expiring:
        extend(alma, state.user_id, now + LASTS)
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


def _mark(alma: AlmaClient, system: SystemSettings, user: User, card: Card) -> None:
    """Give it the group and the barcode that it lacks. It served without them, so a refusal is no reason to stop."""
    changes = partial(_marked, system, user.primary_id, card)
    if not changes(user.raw):
        return
    written = writes.update_user(alma, user.primary_id, changes, override=["user_group"])
    if not written.done:
        log.warning("group and barcode of %s could not be set: %s", user.primary_id, describe(written.error))


def _marked(system: SystemSettings, user_id: str, card: Card, user: Json) -> Json:
    """What a virtual patron lacks, as the fields to send."""
    fields: Json = {}
    group = system.user_groups.get(card.group)
    if group and shapes.text(user.get("user_group")) != group:
        fields["user_group"] = coded(group)
    prefix = system.barcode_prefix
    if prefix:
        rows = shapes.listed(user, "user_identifier")
        ours = [row for row in rows if _is_ours(row, prefix)]
        barcode = prefix + (card.barcode or user_id.rsplit("-", 1)[-1])
        has = any(shapes.text(row.get("value")).casefold() == barcode.casefold() for row in ours)
        if not has and (card.barcode or not ours):
            others = [row for row in rows if row not in ours]
            new = {"id_type": coded(_BARCODE), "value": barcode, "status": "ACTIVE"}
            fields["user_identifier"] = [*others, new]
    return fields


def _is_ours(row: Json, prefix: str) -> bool:
    return shapes.text(row.get("id_type")) == _BARCODE and shapes.text(row.get("value")).startswith(prefix)


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
