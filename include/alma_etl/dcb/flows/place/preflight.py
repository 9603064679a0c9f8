"""What is asked before anything is written: the patron, the pickup library, the book, the barcode."""

from __future__ import annotations

from alma_etl.alma.items import Item
from alma_etl.dcb.flows.place.progress import Placing
from alma_etl.dcb.flows.place.sides import patron_roles, system_of
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.sides import marks
from alma_etl.dcb.sides.legs import wish_of
from alma_etl.dcb.sides.patrons import check_patron
from alma_etl.dcb.sides.ports import Impossible, known
from alma_etl.dcb.sides.virtual_item import is_free
from alma_etl.remote.answers import ask

_TROUBLES = {
    "LOAN": "is on loan",
    "TRANSIT": "is in transit",
    "HOLDSHELF": "is on the hold shelf for somebody",
    "REQUESTED": "is requested by somebody",
    "MISSING": "is missing",
}


def find_patron(placing: Placing, *, able: bool = True) -> str:
    """The primary id of the patron. Raises Impossible for one who is not known or, if ``able``, may not have a book
    sent; Unsettled; RemoteStop.

    The patron of a FOLIO library is checked by FOLIO, when the transaction begins.
    """
    code, system = system_of(placing, Role.BORROWER)
    wanted = placing.place.borrower.user_id
    if system.kind == "mod_dcb":
        return wanted
    state = check_patron(placing.tools.systems.alma(code), wanted, placing.tools.now())
    if state is None:
        raise Impossible(f"The Alma of {code} knows no such user: look at borrower.user_id")
    if able and state.problems:
        raise Impossible("The patron may not have a book sent: " + "; ".join(state.problems))
    return state.user_id


def check_pickup(placing: Placing) -> None:
    """The pickup library must exist. Raises Impossible, Unsettled, RemoteStop."""
    role = patron_roles(placing.place)[-1]
    code, system = system_of(placing, role)
    if system.kind == "mod_dcb":
        return
    alma, wanted = placing.tools.systems.alma(code), placing.place.pickup.library
    libraries = known(ask(alma.conf.libraries, frozenset()), "The list of libraries") or []
    codes = sorted(library.code for library in libraries)
    if wanted not in codes:
        raise Impossible(f"pickup.library: {code} has no library {wanted!r}; it has {', '.join(codes)}")


def check_book(placing: Placing) -> Item:
    """The lender's item: there, in place, with the barcode that was given. Raises Impossible, Unsettled, RemoteStop."""
    place = placing.place
    code, system = system_of(placing, Role.SUPPLIER)
    alma, wanted = placing.tools.systems.alma(code), place.supplier
    what = f"The item {wanted.item_pid} of {code}"
    item = known(alma.items.read(wanted.mms_id, wanted.holding_id, wanted.item_pid), what)
    if item is None:
        raise Impossible(f"{what} does not exist: look at supplier.mms_id, holding_id and item_pid")
    if item.barcode != place.item.barcode:
        raise Impossible(
            f"{what} has the barcode {item.barcode}, not {place.item.barcode}: look at item.barcode"
        )
    if item.library == system.sharing_library and not system.sharing_desk:
        raise Impossible(
            f"{what} belongs to the sharing library {item.library} itself: sent there it would never be in transit. "
            "Choose another copy, or a sharing_library that owns no lent items"
        )
    if item.process_type or item.base_status == "0":
        rows = (
            known(alma.requests.of_item(item.mms_id, item.holding_id, item.pid), "The item's requests") or []
        )
        mark = marks.hold_mark(place.pr_id, Role.SUPPLIER)
        if not (item.process_type == "REQUESTED" and any(mark in row.comment for row in rows)):
            trouble = _TROUBLES.get(
                item.process_type, f"is not in place ({item.process_type or 'no reason given'})"
            )
            raise Impossible(f"{what} {trouble}: choose another copy")
    return item


def check_barcodes(placing: Placing) -> None:
    """The book's barcode must be free where virtual items will be made. Raises Impossible, Unsettled, RemoteStop."""
    for role in patron_roles(placing.place):
        code, system = system_of(placing, role)
        if system.kind == "alma":
            is_free(placing.tools.systems.alma(code), wish_of(placing.place))
