"""The copies of a book that may be asked for: found in the lender's Alma, checked, and requested.

Nothing is written by looking one up. A copy that cannot be used raises `Impossible`, and the next one may be tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alma_etl.alma import shapes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.conf import Library
from alma_etl.alma.items import Item
from alma_etl.alma.user_requests import UserRequest
from alma_etl.dcb.conf import LOOKED_UP, Copy, PlaceRequest
from alma_etl.dcb.machine.vocabulary import Role, Workflow
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides import desk_notes, legs, marks, virtual_item
from alma_etl.dcb.sides.alma_act import HoldWish, cancel_hold, find_hold, is_open, place_hold
from alma_etl.dcb.sides.patrons import VirtualPatron, ensure_virtual_patron
from alma_etl.dcb.sides.ports import Impossible, Unsettled, known
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store.rows import LegRecord
from alma_etl.remote.answers import ask

_TRAVELLING = (Workflow.STANDARD, Workflow.PICKUP_ANYWHERE)
_TROUBLES = {
    "LOAN": "is on loan",
    "TRANSIT": "is in transit",
    "HOLDSHELF": "is on the hold shelf for somebody",
    "REQUESTED": "is requested by somebody",
    "MISSING": "is missing",
}


@dataclass(frozen=True)
class CopyPreview:
    """A copy as its lender's Alma has it, for a person who is about to ask for it. ``trouble``: why it cannot be sent,
    None for one that is in place."""

    system: str
    barcode: str
    title: str
    author: str
    library: str
    trouble: str | None


def preview(systems: Systems, copy: Copy) -> CopyPreview:
    """What a copy is and whether it is in place; two calls. Raises Impossible where there is none, Unsettled,
    RemoteStop."""
    item = _find(systems.alma(copy.system), copy)
    bib: dict[str, Any] = item.raw.get("bib_data") or {}
    library = shapes.desc((item.raw.get("item_data") or {}).get("library"))
    return CopyPreview(
        copy.system,
        item.barcode,
        _tidy(bib, "title"),
        _tidy(bib, "author"),
        f"{item.library} ({library})" if library and library != item.library else item.library,
        _trouble(item),
    )


def libraries_of(systems: Systems, code: str) -> list[Library]:
    """The libraries of an Alma; one call. Raises Unsettled, RemoteStop."""
    return known(ask(systems.alma(code).conf.libraries, frozenset()), "The list of libraries") or []


def look_up(
    systems: Systems, place: PlaceRequest, copy: Copy, *, known_hold: UserRequest | None = None
) -> PlaceRequest:
    """The request for this copy, with what its lender's Alma knows: ids, barcode, title, author, ISBN, material type;
    what the conf names stays. The copy is in place, and its barcode free where virtual items will be made.

    ``known_hold``: our hold at this lender, if there is one; a copy that has it may be on its way already.
    Raises Impossible with the reason when it cannot be used, Unsettled, RemoteStop.
    """
    system, alma = systems.settings(copy.system), systems.alma(copy.system)
    item = _find(alma, copy)
    what = f"The item {item.pid} of {copy.system}"
    _check_owner(place, system, item, what)
    if known_hold is None or known_hold.item_pid != item.pid:
        _check_place(alma, place, item, what)
    found = place.model_copy(update=_facts(place, copy, item, what))
    for role in legs.virtual_roles(place):
        code = legs.code_of(place, role)
        if systems.settings(code).kind == "alma":
            virtual_item.check_barcode(systems.alma(code), legs.wish_of(found))
    return found


def _find(alma: AlmaClient, copy: Copy) -> Item:
    if copy.mms_id and copy.holding_id and copy.item_pid:
        what = f"The item {copy.item_pid} of {copy.system}"
        item = known(alma.items.read(copy.mms_id, copy.holding_id, copy.item_pid), what)
        if item is None:
            raise Impossible(
                f"{what} does not exist: look at supplier_mms_id, supplier_holding_id and supplier_item_pid"
            )
        if copy.barcode and item.barcode != copy.barcode:
            raise Impossible(
                f"{what} has the barcode {item.barcode}, not {copy.barcode}: look at item_barcode"
            )
    else:
        item = known(alma.items.by_barcode(copy.barcode or ""), f"The item with the barcode {copy}")
        if item is None:
            raise Impossible(f"No item of {copy.system} has the barcode {copy.barcode}: look at item_barcode")
        for field, given, real in (
            ("supplier_mms_id", copy.mms_id, item.mms_id),
            ("supplier_holding_id", copy.holding_id, item.holding_id),
            ("supplier_item_pid", copy.item_pid, item.pid),
        ):
            if given and given != real:
                raise Impossible(
                    f"The item with the barcode {copy} has the id {real}, not {given}: look at {field}"
                )
    if not item.barcode:
        raise Impossible(
            f"The item {item.pid} of {copy.system} has no barcode, without which it cannot be lent"
        )
    return item


def _check_owner(place: PlaceRequest, system: SystemSettings, item: Item, what: str) -> None:
    if place.workflow in _TRAVELLING:
        legs.shared_at(system, item.library, what)


def _check_place(alma: AlmaClient, place: PlaceRequest, item: Item, what: str) -> None:
    """It is on its shelf, or requested by this very request. Raises Impossible, Unsettled, RemoteStop."""
    trouble = _trouble(item)
    if trouble is None:
        return
    rows = known(alma.requests.of_item(item.mms_id, item.holding_id, item.pid), "The item's requests") or []
    mark = marks.hold_mark(place.pr_id, Role.SUPPLIER)
    if item.process_type == "REQUESTED" and any(mark in row.comment for row in rows):
        return
    raise Impossible(f"{what} {trouble}: choose another copy")


def _trouble(item: Item) -> str | None:
    """Why an item cannot be sent, None for one that is in place."""
    if not item.process_type and item.base_status != "0":
        return None
    usual = f"is not in place ({item.process_type or 'no reason given'})"
    return _TROUBLES.get(item.process_type, usual)


def _facts(place: PlaceRequest, copy: Copy, item: Item, what: str) -> dict[str, Any]:
    bib: dict[str, Any] = item.raw.get("bib_data") or {}
    title = place.title or _tidy(bib, "title")[:500]
    if not title:
        raise Impossible(f"{what} has no title in its Alma: give one in the field title")
    return {
        "supplier_system": copy.system,
        "supplier_mms_id": item.mms_id,
        "supplier_holding_id": item.holding_id,
        "supplier_item_pid": item.pid,
        "item_barcode": item.barcode,
        "title": title,
        "author": place.author or _tidy(bib, "author")[:500] or None,
        "isbn": place.isbn or _tidy(bib, "isbn")[:100] or None,
        "material_type": place.material_type or item.material_type or "BOOK",
    }


def _tidy(bib: dict[str, Any], name: str) -> str:
    """A field of the title without the punctuation of the catalogue card at its end."""
    return " ".join(shapes.text(bib.get(name)).split()).rstrip(" /:;,=")


def facts_of(place: PlaceRequest) -> dict[str, str]:
    """What a request says of its copy: what the conf named and what was looked up, by field."""
    return {
        name: value for name in ("supplier_system", *sorted(LOOKED_UP)) if (value := getattr(place, name))
    }


def sent_to(systems: Systems, place: PlaceRequest) -> tuple[str, str | None]:
    """Pickup library and desk of the lender's hold. Raises Impossible, Unsettled, RemoteStop."""
    code = place.supplier_system
    system = systems.settings(code)
    ids = place.supplier_mms_id, place.supplier_holding_id, place.supplier_item_pid
    owner = None
    if system.alternative_sharing_library is not None:  # else there is but one place
        item = known(systems.alma(code).items.read(*(each or "" for each in ids)), "The lender's item")
        owner = item.library if item is not None else None
    return legs.pickup_at(place, Role.SUPPLIER, system, owner)


def ensure_patron_at(systems: Systems, place: PlaceRequest, role: Role, now: datetime) -> VirtualPatron:
    """The virtual patron at the lender, or at a third system where the book is fetched. Raises Impossible, Unsettled,
    RemoteStop."""
    code, wanted = legs.code_of(place, role), legs.user_at(place, role)
    system = systems.settings(code)
    home, fetches = place.borrower_system, role is Role.PICKUP
    card = desk_notes.card_for(systems, home, place.user_id, system, fetches=fetches)
    return ensure_virtual_patron(systems.alma(code), system, wanted, now, card)


def ask_for_copy(systems: Systems, place: PlaceRequest) -> LegRecord:
    """The lender's side: the hold on the copy that was looked up, placed, or adopted by its mark.

    Raises Impossible, Unsettled, RemoteStop.
    """
    code, role = place.supplier_system, Role.SUPPLIER
    library, desk = sent_to(systems, place)
    note = place.note if place.workflow is Workflow.LOCAL else None
    if place.workflow in _TRAVELLING:
        note = desk_notes.ship_note(systems, place.fetched_at, place.pickup_library or "")
    wish = HoldWish(
        user_id=legs.user_at(place, role),
        mms_id=place.supplier_mms_id or "",
        holding_id=place.supplier_holding_id or "",
        item_pid=place.supplier_item_pid or "",
        pickup_library=library,
        pickup_desk=desk,
        mark=marks.hold_mark(place.pr_id, role),
        note=note,
    )
    hold = place_hold(systems.alma(code), wish)
    return LegRecord(
        role,
        code,
        user_id=wish.user_id,
        request_id=hold.request_id,
        mms_id=wish.mms_id,
        holding_id=wish.holding_id,
        item_pid=hold.item_pid or wish.item_pid,
        barcode=place.item_barcode,
        pickup_library=library,
        pickup_desk=desk,
    )


def ask_next(systems: Systems, place: PlaceRequest, now: datetime) -> LegRecord:
    """`ask_for_copy` for one that is not the first: its lender may not know the virtual patron, and its lists may still
    name a hold that was cancelled a moment ago. Raises Impossible, Unsettled, RemoteStop."""
    code = place.supplier_system
    alma, user_id = systems.alma(code), legs.user_at(place, Role.SUPPLIER)
    if place.workflow is not Workflow.LOCAL:
        ensure_patron_at(systems, place, Role.SUPPLIER, now)
    hold = hold_at(systems, place, code)
    if hold is not None and hold.item_pid != place.supplier_item_pid:
        drop_hold(systems, place)
    leg = ask_for_copy(systems, place)
    if leg.request_id is None or not is_open(alma, user_id, leg.request_id):
        raise Unsettled(f"The list of {code} still names the hold {leg.request_id}, which is cancelled")
    return leg


def hold_at(systems: Systems, place: PlaceRequest, code: str) -> UserRequest | None:
    """The hold of this request at a lender, by its mark; None when there is none. Raises Unsettled, RemoteStop."""
    mark = marks.hold_mark(place.pr_id, Role.SUPPLIER)
    return find_hold(systems.alma(code), legs.user_at(place, Role.SUPPLIER), mark)


def drop_hold(systems: Systems, place: PlaceRequest) -> None:
    """Cancel the hold on a copy, if there is one by its mark. Raises Impossible, Unsettled, RemoteStop."""
    code = place.supplier_system
    hold = hold_at(systems, place, code)
    if hold is not None:
        reason = systems.settings(code).reason_for("no_longer_needed")
        cancel_hold(systems.alma(code), legs.user_at(place, Role.SUPPLIER), hold.request_id, reason)
