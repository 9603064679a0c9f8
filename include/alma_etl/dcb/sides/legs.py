"""What a request's conf means for each side: its system, its user, where the book is fetched, its hold and its leg."""

from __future__ import annotations

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.user_requests import UserRequest
from alma_etl.dcb.conf import PlaceRequest
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides.alma_act import INDEX_LAG, HoldWish, place_hold
from alma_etl.dcb.sides.marks import hold_mark, virtual_user
from alma_etl.dcb.sides.virtual_item import VirtualItem, VirtualWish
from alma_etl.dcb.store.rows import LegRecord


def wish_of(place: PlaceRequest, barcode: str | None = None) -> VirtualWish:
    """What the virtual item of a request shows; ``barcode``: that of the book now, if it is another than asked."""
    return VirtualWish(
        pr_id=place.pr_id,
        barcode=barcode or place.item.barcode,
        material_type=place.item.material_type,
        title=place.bib.title,
        author=place.bib.author,
        isbn=place.bib.isbn,
    )


def user_at(place: PlaceRequest, role: Role) -> str:
    """In whose name the hold of a side stands: the patron's own at home, elsewhere the virtual patron's."""
    if role is Role.BORROWER:
        return place.borrower.user_id
    return virtual_user(place.borrower.system, place.borrower.user_id)


def pickup_at(place: PlaceRequest, role: Role, system: SystemSettings) -> tuple[str, str | None]:
    """Pickup library and desk of the hold of a side.

    The book is fetched at the pickup library alone: the lender's hold, and the borrower's when the book is fetched
    at a third library, name the sharing library, where no patron waits.
    """
    if role is Role.SUPPLIER or (role is Role.BORROWER and place.workflow == "RET-PUA"):
        return system.sharing_library or "", system.sharing_desk
    return place.pickup.library, place.pickup.circ_desk


def hold_on_virtual_item(
    alma: AlmaClient, system: SystemSettings, place: PlaceRequest, role: Role, user_id: str, item: VirtualItem
) -> UserRequest:
    """The hold of a side on its virtual item. Raises Impossible, Unsettled, RemoteStop."""
    library, desk = pickup_at(place, role, system)
    wish = HoldWish(
        user_id=user_id,
        mms_id=item.mms_id,
        holding_id=item.holding_id,
        item_pid=item.item_pid,
        pickup_library=library,
        pickup_desk=desk,
        mark=hold_mark(place.pr_id, role),
        note=place.note,
    )
    return place_hold(alma, wish, pauses=INDEX_LAG)


def virtual_leg(
    place: PlaceRequest,
    role: Role,
    system_code: str,
    system: SystemSettings,
    item: VirtualItem,
    hold: UserRequest,
) -> LegRecord:
    """The side as it is tracked."""
    library, desk = pickup_at(place, role, system)
    return LegRecord(
        role=role,
        system_code=system_code,
        user_id=hold.user_id or user_at(place, role),
        request_id=hold.request_id,
        mms_id=item.mms_id,
        holding_id=item.holding_id,
        item_pid=item.item_pid,
        barcode=item.barcode,
        pickup_library=library,
        pickup_desk=desk,
        is_virtual=True,
    )


def folio_leg(place: PlaceRequest, role: Role, system_code: str) -> LegRecord:
    """The side of a FOLIO library: its transaction has the request's own id."""
    return LegRecord(
        role=role,
        system_code=system_code,
        system_kind="MOD_DCB",
        user_id=user_at(place, role),
        txn_id=place.pr_id,
        barcode=place.item.barcode,
        pickup_library=place.pickup.library,
    )
