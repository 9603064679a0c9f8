"""Sides whose library system is no Alma and no FOLIO (Sierra, Polaris, Koha, ...): read through dcb-service.

dcb-service keeps for each side how its request and its item stand, in words of its own (its classes HostLmsRequest and
HostLmsItem), which become Alma's here, since those are what an observation holds. They are as old as dcb-service's last
look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.machine.model import ItemRead, RequestRead
from alma_etl.dcb.machine.vocabulary import Closure, Role
from alma_etl.dcb.sides.ports import Failures
from alma_etl.dcb.store.rows import ReadError
from alma_etl.remote.errors import RemoteRefused, RemoteTransient

DCB_SERVICE = "dcb-service"
"""The system that all these sides are read in."""

_UNKNOWN_THERE, _NOT_SHOWN = "UNKNOWN_THERE", "NOT_SHOWN"
_HOLDS = {
    "PLACED": "NOT_STARTED",
    "CONFIRMED": "IN_PROCESS",
    "TRANSIT": "IN_PROCESS",
    "READY": "ON_HOLD_SHELF",
}
_ENDED_HOLDS = {"CANCELLED": Closure.CANCELED, "MISSING": None, "LOANED": None}
_ITEMS = {
    "TRANSIT": "TRANSIT",
    "HOLDSHELF": "HOLDSHELF",
    "ON_HOLDSHELF": "HOLDSHELF",
    "LOANED": "LOAN",
    "REQUESTED": "REQUESTED",
    "MISSING": "MISSING",
    "LOST": "LOST_LOAN",
}
_FIELDS = {
    Role.BORROWER: ("localRequestStatus", "localItemStatus"),
    Role.PICKUP: ("pickupRequestStatus", "pickupItemStatus"),
}

SideParts = tuple[Mapping[str, Any], Sequence[ReadError]]
"""The parts of an observation, and what could not be read."""


def read_sides(service: DcbService, sides: Sequence[tuple[str, Role]]) -> list[SideParts]:
    """How these sides (request and role) stand, a call for each hundred of them. Raises RemoteStop."""
    failures = Failures()
    try:
        shown = service.sides_of_requests([pr_id for pr_id, _ in sides])
    except (RemoteRefused, RemoteTransient) as problem:
        failures.add("request", problem)
        errors = failures.take()
        return [({"request": RequestRead(None), "item": ItemRead(None)}, errors) for _ in sides]
    return [_side(shown.get(pr_id), role) for pr_id, role in sides]


def _side(row: Mapping[str, Any] | None, role: Role) -> SideParts:
    failures = Failures()
    if row is None:
        failures.add("request", code=_UNKNOWN_THERE)
        return {"request": RequestRead(None), "item": ItemRead(None)}, failures.take()
    if role is Role.SUPPLIER:
        suppliers = [each for each in row.get("suppliers") or () if each.get("isActive")]
        supplier: Mapping[str, Any] = suppliers[0] if suppliers else {}
        hold, item, barcode = (
            supplier.get(name) for name in ("localStatus", "localItemStatus", "localItemBarcode")
        )
    else:
        hold, item = (row.get(name) for name in _FIELDS[role])
        barcode = None
    parts: dict[str, RequestRead | ItemRead] = {
        "request": of_hold(hold),
        "item": of_item(item, role, barcode),
    }
    for part, read in parts.items():
        if read.found is None:
            failures.add(part, code=_NOT_SHOWN)
    return parts, failures.take()


def of_hold(word: str | None) -> RequestRead:
    """A hold by dcb-service's word; one that nobody knows is kept as it is."""
    if not word:
        return RequestRead(None)
    if word in _ENDED_HOLDS:
        return RequestRead(False, closure=_ENDED_HOLDS[word])
    return RequestRead(True, request_status=_HOLDS.get(word, word))


def of_item(word: str | None, role: Role, barcode: str | None = None) -> ItemRead:
    """An item by dcb-service's word. RECEIVED at the lender is checked in at home, elsewhere on the hold shelf."""
    if not word:
        return ItemRead(None)
    if word == "AVAILABLE" or (word == "RECEIVED" and role is Role.SUPPLIER):
        return ItemRead(True, base_status="1", barcode=barcode)
    process = "HOLDSHELF" if word == "RECEIVED" else _ITEMS.get(word, word)
    return ItemRead(True, base_status="0", process_type=process, barcode=barcode)
