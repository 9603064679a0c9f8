"""The steps of `dcb_place_request`, each a task; a step that is done already is passed over."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from alma_etl.dcb.conf import PlaceRequest, is_same
from alma_etl.dcb.explain import name_of
from alma_etl.dcb.flows.place.progress import Placing, Progress, system_of
from alma_etl.dcb.flows.place.track import undo
from alma_etl.dcb.machine.vocabulary import Role, Workflow
from alma_etl.dcb.sides import desk_notes, folio, legs, patrons, virtual_item
from alma_etl.dcb.sides.copies import (
    ask_for_copy,
    ask_next,
    drop_hold,
    ensure_patron_at,
    facts_of,
    libraries_of,
    look_up,
    sent_to,
)
from alma_etl.dcb.sides.ports import Impossible
from alma_etl.dcb.store import LegRecord
from alma_etl.errors import InputProblem

log = logging.getLogger(__name__)

_AFTER_A_LOST_ANSWER = (2.0, 8.0, 30.0)
_ASKED = f"place_supplier_request:{Role.SUPPLIER}"


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
        if not tracked.is_ours:
            raise InputProblem(
                f"The request {place.pr_id} cannot be placed: it is run by {name_of(tracked.owner)} already, and only "
                "watched here"
            )
        if not is_same(place, tracked.conf):
            raise InputProblem(
                f"The request {place.pr_id} cannot be placed: its pr_id was used before, for another one"
            )
        progress = placing.begin(place, is_tracked=True)
        progress.tracked = tracked.status
        progress.note(name, f"It is tracked already and {tracked.status}: nothing is to be done.")
        placing.save(progress)
        return tracked.status
    check_pickup(placing)
    begun = placing.peek(place)
    chosen = None
    if begun is None or not (begun.supplier or _ASKED in begun.begun):
        check_locations(placing)
        chosen = _choose(placing, place)
    progress = placing.begin(place)
    progress.user_id = place.user_id
    progress.problem, progress.undone, progress.left = None, [], []
    if chosen is not None:
        chosen.settle(progress)
    placing.take_in(progress)
    for line in _looked_up(placing, progress):
        progress.note(name, line)
    progress.note(name, "The patron may have a book sent; the pickup library is known, the book is in place.")
    placing.save(progress)
    return "checked"


@dataclass(frozen=True)
class _Chosen:
    """The copy that will be asked for, what is known of it, and why those before it cannot be had."""

    number: int
    place: PlaceRequest
    refused: Sequence[str]

    def settle(self, progress: Progress) -> None:
        """Note it. Whatever was chosen before is forgotten."""
        progress.copy_number, progress.found = self.number, facts_of(self.place)
        for reason in self.refused:
            progress.note("check_patron", f"{reason} Passed over.")


def _choose(placing: Placing, place: PlaceRequest, start: int = 0, refused: Sequence[str] = ()) -> _Chosen:
    """The first copy from ``start`` on that can be had. Raises Impossible with all reasons, Unsettled, RemoteStop."""
    reasons = list(refused)
    for number, copy in enumerate(place.copies):
        if number < start:
            continue
        try:
            found = look_up(placing.context.systems, place, copy)
        except Impossible as refusal:
            reasons.append(refusal.sentence.rstrip(".") + ".")
            continue
        return _Chosen(number, found, reasons)
    raise Impossible(" ".join(reasons))


def _looked_up(placing: Placing, progress: Progress) -> Iterator[str]:
    """What the conf left empty and was looked up, for the page."""
    for field, value in progress.found.items():
        if getattr(placing.asked, field) != value:
            yield f"{field}: {value} (looked up)"


def ensure_virtual_patron(placing: Placing) -> str:
    """Step 2: the virtual patron at the lender's, and at the pickup library's where that is a third system."""
    name, outcome = "ensure_virtual_patron", ""
    with _step(placing, name) as progress:
        if progress.tracked:
            return progress.tracked
        wanted = legs.user_at(placing.place, Role.SUPPLIER)
        if placing.place.workflow is Workflow.LOCAL:
            progress.virtual_user = wanted
            progress.note(name, "None is needed: the book is asked for in the patron's own name.")
            return "none"
        for role in (Role.SUPPLIER, *legs.virtual_roles(placing.place)):
            if role is Role.BORROWER:
                continue
            code, system = system_of(placing, role)
            if system.kind == "mod_dcb":
                continue
            if placing.dry_run:
                progress.note(name, f"The virtual patron {wanted} would be found or made at {code}.")
                continue
            placing.check_alone()
            patron = ensure_patron_at(placing.context.systems, placing.place, role, placing.context.now())
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
        if placing.dry_run:
            place = placing.place
            library, _ = sent_to(placing.context.systems, place)
            progress.note(
                name,
                f"A hold on item {place.supplier_item_pid} of {place.supplier_system} would be placed, for pickup at "
                f"{library}.",
            )
            return "dry run"
        while progress.supplier is None:
            _begin(placing, progress, name, Role.SUPPLIER)
            try:
                progress.supplier = _lender_hold(placing, progress)
            except Impossible as refusal:
                _go_on_to_next(placing, progress, refusal)
        lender = progress.supplier
        progress.note(
            name,
            f"The lender's hold {lender.request_id} is placed at {lender.system_code}, for pickup at "
            f"{lender.pickup_library}.",
        )
        return str(lender.request_id)


def _lender_hold(placing: Placing, progress: Progress) -> LegRecord:
    systems = placing.context.systems
    if progress.copy_number:
        return ask_next(systems, placing.place, placing.context.now())
    return ask_for_copy(systems, placing.place)


def _go_on_to_next(placing: Placing, progress: Progress, refusal: Impossible) -> None:
    """This copy cannot be had after all: choose the next one. Raises Impossible where there is none, Unsettled,
    RemoteStop."""
    place, next_one = placing.with_user(progress.user_id), progress.copy_number + 1
    if next_one >= len(place.copies):
        raise refusal
    placing.check_alone()
    drop_hold(placing.context.systems, placing.place)
    _choose(placing, place, next_one, [refusal.sentence.rstrip(".") + "."]).settle(progress)
    placing.take_in(progress)
    for line in _looked_up(placing, progress):
        progress.note("place_supplier_request", line)
    placing.save(progress)


def create_virtual_item(placing: Placing) -> str:
    """Step 4: the virtual item of the borrower, and of the pickup library where that is a third system."""
    name = "create_virtual_item"
    with _step(placing, name) as progress:
        if progress.tracked:
            return progress.tracked
        for role in legs.virtual_roles(placing.place):
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
                systems = placing.context.systems
                assert progress.supplier is not None
                copy = desk_notes.lent_copy(systems, progress.supplier)
                item = virtual_item.create(
                    systems.alma(code),
                    system,
                    legs.wish_of(placing.place, copy),
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
        for role in legs.virtual_roles(placing.place):
            code, _ = system_of(placing, role)
            if placing.dry_run:
                progress.note(
                    name, f"The hold for pickup at {placing.place.pickup_library} would be placed at {code}."
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
    place = placing.place
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
    user_id = legs.user_at(place, role)
    hold = legs.hold_on_virtual_item(placing.context.systems.alma(code), system, place, role, user_id, item)
    return legs.virtual_leg(place, role, code, system, item, hold)


# --- what is asked before anything is written: the patron, the pickup library, the book, the barcode


def find_patron(placing: Placing, *, able: bool = True) -> str:
    """The primary id of the patron. Raises Impossible for one who is not known or, if ``able``, may not have a book
    sent; Unsettled; RemoteStop.

    The patron of a FOLIO library is checked by FOLIO, when the transaction begins.
    """
    code, system = system_of(placing, Role.BORROWER)
    wanted = placing.asked.user_id
    if system.kind == "mod_dcb":
        return wanted
    state = patrons.check_patron(placing.context.systems.alma(code), wanted, placing.context.now())
    if state is None:
        raise Impossible(f"The Alma of {code} knows no such user: look at user_id")
    if able and state.problems:
        raise Impossible("The patron may not have a book sent: " + "; ".join(state.problems))
    return state.user_id


def check_pickup(placing: Placing) -> None:
    """The pickup library must be given and exist. Raises Impossible, Unsettled, RemoteStop."""
    place = placing.place
    wanted, code = place.pickup_library, place.fetched_at
    if wanted is None and place.workflow is Workflow.EXPEDITED:
        return
    system = placing.context.systems.settings(code)
    if system.kind == "mod_dcb":
        if wanted is None:
            raise Impossible(f"pickup_library is missing: the UUID of a service point of {code}")
        return
    libraries = libraries_of(placing.context.systems, code)
    if wanted in [library.code for library in libraries]:
        return
    choices = ", ".join(
        sorted(f"{each.code} ({each.name})" if each.name else each.code for each in libraries)
    )
    fault = f"pickup_library: {code} has no library {wanted!r}" if wanted else "pickup_library is missing"
    raise Impossible(f"{fault}; {code} has {choices}")


def check_locations(placing: Placing) -> None:
    """Where virtual items will be made, their location must exist. Raises Impossible, Unsettled, RemoteStop."""
    for role in legs.virtual_roles(placing.place):
        code, system = system_of(placing, role)
        if system.kind == "alma":
            virtual_item.check_location(placing.context.systems.alma(code), system)
