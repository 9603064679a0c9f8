"""The steps of `dcb_place_request`, each a task; a step that is done already is passed over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from alma_etl.alma.items import Item
from alma_etl.dcb.flows.place.progress import Placing, Progress, patron_roles, stored_conf, system_of, user_of
from alma_etl.dcb.flows.place.track import undo
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.sides import folio, legs, marks, patrons, virtual_item
from alma_etl.dcb.sides.alma_act import HoldWish, place_hold
from alma_etl.dcb.sides.patrons import ensure_virtual_patron as ensure
from alma_etl.dcb.sides.ports import Impossible, known
from alma_etl.dcb.store import LegRecord
from alma_etl.errors import InputProblem
from alma_etl.remote.answers import ask

log = logging.getLogger(__name__)

_AFTER_A_LOST_ANSWER = (2.0, 8.0, 30.0)


@contextmanager
def _step(placing: Placing, name: str) -> Iterator[Progress]:
    """One step: alone with the request, from where it was, undone when it is refused permanently."""
    with placing.locked():
        progress = placing.load()
        try:
            yield progress
        except Impossible as refusal:
            raise undo(placing, progress, refusal.sentence) from refusal
        finally:
            for line in progress.lines.get(name, []):
                log.info("%s: %s", name, line)
        placing.save(progress)


def _begin(placing: Placing, progress: Progress, name: str, role: Role) -> bool:
    """Note that something will be sent; whether it was noted before, so that an answer may have been lost."""
    placing.check_alone()
    mark = f"{name}:{role}"
    if mark in progress.begun:
        return True
    progress.begun.append(mark)
    placing.save(progress)
    return False


def check_patron(placing: Placing) -> str:
    """Step 1: everything that only has to be read. The primary id of the patron is kept, and no more of him.

    Raises InputProblem when the request cannot be placed as given; nothing was written then. Joins what an earlier
    run of the same conf did.
    """
    with placing.locked():
        try:
            return _check_patron(placing)
        except Impossible as refusal:
            progress = placing.mine()
            if progress is not None and progress.begun:  # an earlier attempt left something
                raise undo(placing, progress, refusal.sentence) from refusal
            raise InputProblem(
                f"The request {placing.place.pr_id} cannot be placed. {refusal.sentence}"
            ) from refusal


def _check_patron(placing: Placing) -> str:
    name = "check_patron"
    tracked = placing.context.store.get(placing.place.pr_id)
    place = placing.with_user(find_patron(placing, able=tracked is None))
    if tracked is not None:
        if tracked.conf != stored_conf(place):
            raise InputProblem(
                f"The request {place.pr_id} cannot be placed: its pr_id was used before, for another one"
            )
        progress = placing.begin(place)
        progress.tracked = tracked.status
        progress.note(name, f"It is tracked already and {tracked.status}: nothing is to be done.")
        placing.save(progress)
        return tracked.status
    check_pickup(placing)
    begun = placing.peek(place)
    barcode = begun.supplier_barcode if begun is not None and begun.supplier is not None else None
    if barcode is None:
        barcode = check_book(placing).barcode
        check_barcodes(placing)
    progress = placing.begin(place)
    progress.user_id, progress.supplier_barcode = place.borrower.user_id, barcode
    progress.problem, progress.undone, progress.left = None, [], []
    progress.note(name, "The patron may have a book sent; the pickup library is known, the book is in place.")
    placing.save(progress)
    return "checked"


def ensure_virtual_patron(placing: Placing) -> str:
    """Step 2: the virtual patron at the lender's, and at the pickup library's where that is a third system."""
    name, outcome = "ensure_virtual_patron", ""
    with _step(placing, name) as progress:
        if progress.tracked:
            return progress.tracked
        wanted = marks.virtual_user(placing.place.borrower.system, progress.user_id)
        for role in (Role.SUPPLIER, Role.PICKUP):
            if role is Role.PICKUP and role not in patron_roles(placing.place):
                continue
            code, system = system_of(placing, role)
            if system.kind == "mod_dcb":
                continue
            alma = placing.context.systems.alma(code)
            if placing.dry_run:
                progress.note(name, f"The virtual patron {wanted} would be found or made at {code}.")
                continue
            placing.check_alone()
            patron = ensure(alma, system, wanted, placing.context.now())
            outcome = patron.outcome
            progress.note(name, f"The virtual patron {patron.user_id} was {patron.outcome} at {code}.")
        progress.virtual_user = wanted
    return outcome or "dry run"


def place_supplier_request(placing: Placing) -> str:
    """Step 3: the hold of the virtual patron on the lender's item, to be fetched at the sharing library."""
    name = "place_supplier_request"
    with _step(placing, name) as progress:
        if progress.tracked:
            return progress.tracked
        code, system = system_of(placing, Role.SUPPLIER)
        library, desk = legs.pickup_at(placing.place, Role.SUPPLIER, system)
        supplier = placing.place.supplier
        if placing.dry_run:
            progress.note(
                name,
                f"A hold on item {supplier.item_pid} of {code} would be placed, for pickup at {library}.",
            )
            return "dry run"
        if progress.supplier is None:
            _begin(placing, progress, name, Role.SUPPLIER)
            wish = HoldWish(
                user_id=progress.virtual_user,
                mms_id=supplier.mms_id,
                holding_id=supplier.holding_id,
                item_pid=supplier.item_pid,
                pickup_library=library,
                pickup_desk=desk,
                mark=marks.hold_mark(placing.place.pr_id, Role.SUPPLIER),
            )
            hold = place_hold(placing.context.systems.alma(code), wish)
            progress.supplier = LegRecord(
                Role.SUPPLIER,
                code,
                user_id=progress.virtual_user,
                request_id=hold.request_id,
                mms_id=supplier.mms_id,
                holding_id=supplier.holding_id,
                item_pid=hold.item_pid or supplier.item_pid,
                barcode=progress.supplier_barcode or placing.place.item.barcode,
                pickup_library=library,
                pickup_desk=desk,
            )
        progress.note(
            name, f"The lender's hold {progress.supplier.request_id} is placed, for pickup at {library}."
        )
        return str(progress.supplier.request_id)


def create_virtual_item(placing: Placing) -> str:
    """Step 4: the virtual item of the borrower, and of the pickup library where that is a third system."""
    name = "create_virtual_item"
    with _step(placing, name) as progress:
        if progress.tracked:
            return progress.tracked
        for role in patron_roles(placing.place):
            code, system = system_of(placing, role)
            if system.kind == "mod_dcb":
                progress.note(name, f"The FOLIO of {code} makes its own virtual item.")
            elif placing.dry_run:
                progress.note(
                    name,
                    f"A virtual item with the book's barcode, which is free, would be made at {code}.",
                )
            elif role not in progress.items:
                sent_before = _begin(placing, progress, name, role)
                item = virtual_item.create(
                    placing.context.systems.alma(code),
                    system,
                    legs.wish_of(placing.place, progress.supplier_barcode),
                    placing.context.now(),
                    pauses=_AFTER_A_LOST_ANSWER if sent_before else (),
                )
                progress.items[role] = item
                progress.note(
                    name, f"The virtual item {item.item_pid} (title {item.mms_id}) is made at {code}."
                )
                placing.save(progress)
    return ", ".join(progress.items[role].item_pid for role in sorted(progress.items)) or "none"


def place_borrower_request(placing: Placing) -> str:
    """Step 5: the patron's hold on the virtual item; or the FOLIO transaction; and that of the pickup library."""
    name = "place_borrower_request"
    with _step(placing, name) as progress:
        if progress.tracked:
            return progress.tracked
        for role in patron_roles(placing.place):
            code, _ = system_of(placing, role)
            if placing.dry_run:
                progress.note(
                    name, f"The hold for pickup at {placing.place.pickup.library} would be placed at {code}."
                )
            elif role not in progress.legs:
                _begin(placing, progress, name, role)
                progress.legs[role] = leg = _place_side(placing, progress, role)
                what = f"hold {leg.request_id}" if leg.request_id else f"FOLIO transaction {leg.txn_id}"
                progress.note(name, f"The {what} is placed at {code}.")
                placing.save(progress)
    return ", ".join(str(leg.request_id or leg.txn_id) for _, leg in sorted(progress.legs.items())) or "none"


def _place_side(placing: Placing, progress: Progress, role: Role) -> LegRecord:
    code, system = system_of(placing, role)
    place = placing.with_user(progress.user_id)
    if system.kind == "mod_dcb":
        _, lender = system_of(placing, Role.SUPPLIER)
        body = folio.transaction_body(place, role, system, lender)
        try:
            folio.begin(placing.context.systems.mod_dcb(code), place.pr_id, body)
        except Impossible:
            progress.begun.remove(f"place_borrower_request:{role}")  # what is there is not ours to undo
            raise
        return legs.folio_leg(place, role, code)
    item = progress.items[role]
    user_id = user_of(place, progress, role)
    hold = legs.hold_on_virtual_item(placing.context.systems.alma(code), system, place, role, user_id, item)
    return legs.virtual_leg(place, role, code, system, item, hold)


# --- what is asked before anything is written: the patron, the pickup library, the book, the barcode


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
    state = patrons.check_patron(placing.context.systems.alma(code), wanted, placing.context.now())
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
    alma, wanted = placing.context.systems.alma(code), placing.place.pickup.library
    libraries = known(ask(alma.conf.libraries, frozenset()), "The list of libraries") or []
    codes = sorted(library.code for library in libraries)
    if wanted not in codes:
        raise Impossible(f"pickup.library: {code} has no library {wanted!r}; it has {', '.join(codes)}")


def check_book(placing: Placing) -> Item:
    """The lender's item: there, in place, with the barcode that was given. Raises Impossible, Unsettled, RemoteStop."""
    place = placing.place
    code, system = system_of(placing, Role.SUPPLIER)
    alma, wanted = placing.context.systems.alma(code), place.supplier
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
            virtual_item.check_barcode(placing.context.systems.alma(code), legs.wish_of(placing.place))
