"""What a request's conf means for each side: its system, its user, where the book is fetched, its hold and its leg."""

from __future__ import annotations

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.user_requests import UserRequest
from alma_etl.dcb.conf import PlaceRequest
from alma_etl.dcb.machine.vocabulary import Role, Workflow
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides.alma_act import INDEX_LAG, HoldWish, place_hold
from alma_etl.dcb.sides.marks import hold_mark, virtual_user
from alma_etl.dcb.sides.ports import Impossible
from alma_etl.dcb.sides.virtual_item import LentCopy, VirtualItem, VirtualWish
from alma_etl.dcb.store.rows import LegRecord

_FETCHED_AT = {
    Workflow.STANDARD: Role.BORROWER,
    Workflow.PICKUP_ANYWHERE: Role.PICKUP,
    Workflow.LOCAL: Role.SUPPLIER,
}
"""The side of the pickup library; with RET-EXP nobody fetches anything."""


def code_of(place: PlaceRequest, role: Role) -> str:
    """The code of a side's system."""
    codes = {Role.SUPPLIER: place.supplier_system, Role.BORROWER: place.borrower_system}
    return codes.get(role, place.fetched_at)


def virtual_roles(place: PlaceRequest) -> tuple[Role, ...]:
    """The sides that stand on a virtual item: the patron's at home, and that of a third system where the book is
    fetched; none where the book is the patron's own library's."""
    if place.workflow is Workflow.LOCAL:
        return ()
    return (Role.BORROWER, Role.PICKUP) if place.workflow is Workflow.PICKUP_ANYWHERE else (Role.BORROWER,)


def with_copy_of(place: PlaceRequest, supplier: LegRecord | None) -> PlaceRequest:
    """What was asked for, with the copy that the lender's side stands for now: another lender's, or relabelled."""
    if supplier is None:
        return place
    copy = {
        "supplier_system": supplier.system_code,
        "supplier_mms_id": supplier.mms_id,
        "supplier_holding_id": supplier.holding_id,
        "supplier_item_pid": supplier.item_pid,
        "item_barcode": supplier.barcode or place.item_barcode,
    }
    return place.model_copy(update=copy)


def wish_of(place: PlaceRequest, copy: LentCopy | None = None) -> VirtualWish:
    """What the virtual item of a request shows; ``copy``: the lender's item as it is there."""
    return VirtualWish(
        pr_id=place.pr_id,
        barcode=place.item_barcode or "",
        material_type=place.material_type or "BOOK",
        title=place.title or "",
        author=place.author,
        isbn=place.isbn,
        copy=copy,
    )


def user_at(place: PlaceRequest, role: Role) -> str:
    """In whose name the hold of a side stands: the patron's own at home, elsewhere the virtual patron's."""
    if role is Role.BORROWER or place.workflow is Workflow.LOCAL:
        return place.user_id
    return virtual_user(place.borrower_system, place.user_id)


def pickup_at(
    place: PlaceRequest, role: Role, system: SystemSettings, owner: str | None = None
) -> tuple[str, str | None]:
    """Pickup library and desk of the hold of a side; ``owner``: the library of the lender's copy, if it is known.

    The book is fetched at the pickup library alone: all other holds name the sharing library, where no patron waits.
    Raises Impossible when that owns the item that is to travel.
    """
    if role is _FETCHED_AT.get(place.workflow):
        return place.pickup_library or "", place.pickup_desk
    if place.workflow is Workflow.EXPEDITED:
        return system.sharing_library or "", system.sharing_desk
    return shared_at(system, owner if role is Role.SUPPLIER else system.library)


def shared_at(system: SystemSettings, owner: str | None, what: str = "The item") -> tuple[str, str | None]:
    """The sharing library (and desk) to which an item of ``owner`` is sent. Raises Impossible when there is none."""
    found = system.sharing_place(owner)
    if found is None:
        raise Impossible(
            f"{what} belongs to the sharing library {owner} itself: sent there it would never be in transit. Choose "
            "another copy, or name an alternative_sharing_library in config/dcb.yaml"
        )
    return found


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
        barcode=place.item_barcode,
        pickup_library=place.pickup_library,
    )
