"""The next supplier: when a lender cannot supply, the next of the copies that the request names is asked for.

Done again after a kill or a lost answer it comes to the same: the copies are tried in their order, a hold is known
again by its mark, and while nobody knows whether one is there, no other copy is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from pydantic import ValidationError

from alma_etl.dcb.conf import Copy, PlaceRequest, read_kept
from alma_etl.dcb.machine.model import Ack
from alma_etl.dcb.machine.vocabulary import AckName, Role, Txn, txn_of
from alma_etl.dcb.sides import alma_act, copies, folio
from alma_etl.dcb.sides.ports import Impossible, known
from alma_etl.dcb.sides.systems import ActionContext, ActionResult
from alma_etl.dcb.store.rows import LegRecord

log = logging.getLogger(__name__)


def resolve_next(context: ActionContext) -> ActionResult:
    """Ask for the next copy, as another generation of the lender's side; without one the request ends unsupplied, and
    the patron's holds are cancelled. The virtual items get the new book's barcode once its hold is confirmed.

    Raises Impossible, Unsettled, RemoteStop.
    """
    here, refused = context.leg(Role.SUPPLIER), list[str]()
    try:
        place = read_kept(context.tracked.conf)
    except ValidationError:  # adopted, or placed by others: they choose the next supplier
        return _end(context, refused)
    left = _copies_left(context, place, here)
    if left and _patron_waits(context):
        _let_go(context, here)
        for copy in left:
            try:
                leg = _ask(context, place, copy)
            except Impossible as refusal:
                refused.append(refusal.sentence)
                log.info("%s: the copy %s cannot be had: %s", place.pr_id, copy, refusal.sentence)
                continue
            generation = context.tracked.state.leg(Role.SUPPLIER).generation + 1
            ack = Ack(AckName.NEXT_SUPPLIER, context.moment(), reason=" ".join(refused) or None)
            return ActionResult((ack,), (replace(leg, generation=generation),))
    return _end(context, refused)


def _copies_left(context: ActionContext, place: PlaceRequest, here: LegRecord) -> Sequence[Copy]:
    """The copies after the one that is asked for now. Each supplier so far was a copy of its own, whatever its barcode
    is by now."""
    now = (here.system_code, here.barcode)
    after = [number + 1 for number, copy in enumerate(place.copies) if (copy.system, copy.barcode) == now]
    return place.copies[max(context.tracked.state.leg(Role.SUPPLIER).generation, *after[:1], 0) :]


def _patron_waits(context: ActionContext) -> bool:
    """Whether the patron's holds that were placed are still there. Raises Unsettled, RemoteStop."""
    for leg in context.patron_legs:
        if leg.system_kind == "ALMA" and leg.request_id:
            if not alma_act.has_hold(context.alma(leg), leg):
                return False
        elif leg.system_kind == "MOD_DCB" and leg.is_placed:
            answer = context.systems.mod_dcb(leg.system_code).status(leg.txn_id or context.tracked.pr_id)
            if txn_of(known(answer, "The FOLIO transaction") or "") in (None, Txn.CANCELLED, Txn.CLOSED):
                return False
    return True


def _let_go(context: ActionContext, here: LegRecord) -> None:
    """The hold that was not supplied is gone, whatever it was concluded from."""
    if here.system_kind == "ALMA":
        _cancel(context, here)


def _cancel(context: ActionContext, leg: LegRecord) -> None:
    alma_act.cancel_side(context.alma(leg), leg, context.settings(leg).reason_for("not_supplied"))


def _ask(context: ActionContext, place: PlaceRequest, copy: Copy) -> LegRecord:
    """The hold on a copy, which may be there from an attempt that was cut off."""
    systems = context.systems
    try:
        hold = copies.hold_at(systems, place, copy.system)
        found = copies.look_up(systems, place, copy, known_hold=hold)
        return copies.ask_next(systems, found, context.now())
    except Impossible:
        copies.drop_hold(systems, place.model_copy(update={"supplier_system": copy.system}))
        raise


def _end(context: ActionContext, refused: Sequence[str]) -> ActionResult:
    """No other copy can be had: the patron's holds are cancelled."""
    for leg in context.patron_legs:
        if leg.system_kind == "MOD_DCB":
            folio.close(context, leg)
        elif leg.system_kind == "ALMA":
            _cancel(context, leg)
    return ActionResult((Ack(AckName.NO_ITEMS, context.moment(), reason=" ".join(refused) or None),))
