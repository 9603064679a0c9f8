"""The steps of `dcb_place_request`, each a task; a step that is done already is passed over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from alma_etl.dcb.conf import PlaceRequest
from alma_etl.dcb.flows.place import preflight
from alma_etl.dcb.flows.place.progress import Placing, Progress, stored_conf
from alma_etl.dcb.flows.place.sides import patron_roles, system_of, user_of
from alma_etl.dcb.flows.place.undo import undo
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.sides import folio, legs, marks, virtual_item
from alma_etl.dcb.sides.alma_act import HoldWish, place_hold
from alma_etl.dcb.sides.patrons import ensure_virtual_patron as ensure
from alma_etl.dcb.sides.ports import Impossible
from alma_etl.dcb.store import LegRecord
from alma_etl.errors import InputProblem

log = logging.getLogger(__name__)

_AFTER_A_LOST_ANSWER = (2.0, 8.0, 30.0)


@contextmanager
def _step(placing: Placing, name: str) -> Iterator[Progress]:
    """One step: alone with the request, from where it was, undone when it is refused for good."""
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
    tracked = placing.tools.store.get(placing.place.pr_id)
    place = _with_user(placing, preflight.find_patron(placing, able=tracked is None))
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
    preflight.check_pickup(placing)
    begun = placing.peek(place)
    barcode = begun.supplier_barcode if begun is not None and begun.supplier is not None else None
    if barcode is None:
        barcode = preflight.check_book(placing).barcode
        preflight.check_barcodes(placing)
    progress = placing.begin(place)
    progress.user_id, progress.supplier_barcode = place.borrower.user_id, barcode
    progress.problem, progress.undone, progress.left = None, [], []
    progress.note(name, "The patron may have a book sent; the pickup library is known, the book is in place.")
    placing.save(progress)
    return "checked"


def _with_user(placing: Placing, user_id: str) -> PlaceRequest:
    borrower = placing.place.borrower.model_copy(update={"user_id": user_id})
    return placing.place.model_copy(update={"borrower": borrower})


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
            alma = placing.tools.systems.alma(code)
            if placing.dry_run:
                progress.note(name, f"The virtual patron {wanted} would be found or made at {code}.")
                continue
            placing.check_alone()
            patron = ensure(alma, system, wanted, placing.tools.now())
            outcome = patron.outcome
            progress.note(name, f"The virtual patron {patron.user_id} was {patron.outcome} at {code}.")
        progress.virtual_user = wanted
    return outcome or "rehearsed"


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
            return "rehearsed"
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
            hold = place_hold(placing.tools.systems.alma(code), wish)
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
                    placing.tools.systems.alma(code),
                    system,
                    legs.wish_of(placing.place, progress.supplier_barcode),
                    placing.tools.now(),
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
    place = _with_user(placing, progress.user_id)
    if system.kind == "mod_dcb":
        _, lender = system_of(placing, Role.SUPPLIER)
        body = folio.transaction_body(place, role, system, lender)
        try:
            folio.begin(placing.tools.systems.mod_dcb(code), place.pr_id, body)
        except Impossible:
            progress.begun.remove(f"place_borrower_request:{role}")  # what is there is not ours to undo
            raise
        return legs.folio_leg(place, role, code)
    item = progress.items[role]
    user_id = user_of(place, progress, role)
    hold = legs.hold_on_virtual_item(placing.tools.systems.alma(code), system, place, role, user_id, item)
    return legs.virtual_leg(place, role, code, system, item, hold)


def conf_to_track(placing: Placing, progress: Progress) -> dict[str, object]:
    """The conf that is kept with the request."""
    return stored_conf(_with_user(placing, progress.user_id))
