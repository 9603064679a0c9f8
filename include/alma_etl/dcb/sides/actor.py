"""`AlmaActor`: does the actions of the outbox, in Alma and in mod-dcb."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from alma_etl.alma.items import Item
from alma_etl.dcb.conf import read_kept
from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import Ack, ItemRead, Moment
from alma_etl.dcb.machine.step import is_wanted
from alma_etl.dcb.machine.vocabulary import (
    AckName,
    ActionType,
    Closure,
    LoanState,
    RequestOutcome,
    Role,
    Status,
)
from alma_etl.dcb.settings import CancelCause
from alma_etl.dcb.sides import alma_act, alma_read, desk_notes, folio, legs, virtual_item
from alma_etl.dcb.sides.alma_read import AlmaReader
from alma_etl.dcb.sides.copies import ensure_patron_at
from alma_etl.dcb.sides.lending import lend, renew
from alma_etl.dcb.sides.next_supplier import resolve_next
from alma_etl.dcb.sides.ports import Done, Impossible, Later, Refused, Unsettled
from alma_etl.dcb.sides.systems import NOTHING_TO_REPORT, ActionContext, ActionResult, Systems
from alma_etl.dcb.sides.virtual_item import remove
from alma_etl.dcb.store.rows import LegRecord, OutboxRow, Report, Tracked
from alma_etl.errors import InputProblem

A = ActionType
_AT_ONCE = timedelta()
_AFTER_A_LOST_ANSWER = (2.0, 8.0)


# --- the actions at a side that is an Alma


def place_side(context: ActionContext, role: Role) -> ActionResult:
    """Virtual item and hold (or FOLIO transaction) of the patron's or the pickup library's side, by the conf that
    the request was placed with. What was begun is taken away again when it is refused."""
    try:
        place = legs.with_copy_of(read_kept(context.tracked.conf), context.tracked.legs.get(Role.SUPPLIER))
    except ValidationError:
        raise Impossible(
            "What was asked for is not known: the request was not placed by dcb_place_request"
        ) from None
    code = legs.code_of(place, role)
    name = AckName.BORROWER_PLACED if role is Role.BORROWER else AckName.PICKUP_PLACED
    system, before = context.systems.settings(code), context.tracked.legs.get(role)
    if system.kind == "mod_dcb":
        lender = context.settings(context.leg(Role.SUPPLIER))
        body = folio.transaction_body(place, role, system, lender)
        mod_dcb = context.systems.mod_dcb(code)
        begin = folio.begin_again if before is not None and before.is_placed else folio.begin
        begin(mod_dcb, place.pr_id, body)
        return ActionResult((Ack(name, context.moment(), role),), (legs.folio_leg(place, role, code),))
    alma = context.systems.alma(code)
    wish = legs.wish_of(place, desk_notes.lent_copy(context.systems, context.leg(Role.SUPPLIER)))
    if before is not None and before.is_placed:
        # For the next supplier's book: the hold stays, or has gone with the patron's leave, and is not placed again.
        item = virtual_item.create(alma, system, wish, context.now(), pauses=_AFTER_A_LOST_ANSWER)
        leg = replace(before, barcode=item.barcode)
        return ActionResult((Ack(name, context.moment(), role, barcode=item.barcode),), (leg,))
    try:
        user_id = legs.user_at(place, role)
        if role is Role.PICKUP:
            user_id = ensure_patron_at(context.systems, place, role, context.now()).user_id
        item = virtual_item.create(alma, system, wish, context.now(), pauses=_AFTER_A_LOST_ANSWER)
        hold = legs.hold_on_virtual_item(alma, system, place, role, user_id, item)
    except Impossible:
        remove(alma, place.pr_id)
        raise
    leg = legs.virtual_leg(place, role, code, system, item, hold)
    return ActionResult((Ack(name, context.moment(), role, barcode=item.barcode),), (leg,))


def scan(context: ActionContext, leg: LegRecord) -> ActionResult:
    """A scan-in, by what it is for: TRANSIT, RECEIVED or COMPLETED."""
    ways: dict[str, Callable[..., Item]] = {
        "TRANSIT": alma_act.send_out,
        "RECEIVED": alma_act.receive,
        "COMPLETED": alma_act.put_in_place,
    }
    way = ways[context.args[0]]
    return _scanned(context, leg, way(context.alma(leg), context.settings(leg), leg))


def check_in(context: ActionContext, leg: LegRecord) -> ActionResult:
    """The virtual item is returned, where nobody did it at the desk."""
    return _scanned(context, leg, alma_act.check_in(context.alma(leg), context.settings(leg), leg))


def _scanned(context: ActionContext, leg: LegRecord, item: Item) -> ActionResult:
    return ActionResult(
        (Ack(AckName.SCANNED_IN, context.moment(), leg.role, item=alma_read.of_item(item, leg)),)
    )


def cause_of(tracked: Tracked) -> CancelCause:
    """Why a hold of a request is cancelled now."""
    state = tracked.state
    if state.outcome is RequestOutcome.UNKNOWN:
        return "operator"
    if tracked.status in (Status.NOT_SUPPLIED, Status.NO_ITEMS):
        return "not_supplied"
    by_patron = state.closure in (Closure.CANCELED, Closure.UNKNOWN, None)
    if tracked.status in (Status.CANCELLED, Status.AWAITING_RETURN) and by_patron:
        return "patron"
    return "no_longer_needed"


def cancel(context: ActionContext, leg: LegRecord) -> ActionResult:
    """The side's hold is cancelled and seen to be gone."""
    alma = context.alma(leg)
    alma_act.cancel_side(alma, leg, context.settings(leg).reason_for(cause_of(context.tracked)))
    return NOTHING_TO_REPORT


def cancel_supplier(context: ActionContext, leg: LegRecord) -> ActionResult:
    """The lender's hold is cancelled, and only then the item read: it may have been scanned in before, and travel."""
    cancel(context, leg)
    if leg.item_pid is None:
        return NOTHING_TO_REPORT
    at = context.moment()
    ack = Ack(
        AckName.ACTION_DONE, at, leg.role, item=_lenders_item(context, leg), action=A.CANCEL_SUPPLIER_HOLD
    )
    return ActionResult((ack,))


def _lenders_item(context: ActionContext, leg: LegRecord) -> ItemRead:
    reader = AlmaReader(context.alma(leg))
    read = reader.item(leg)
    if read.found is None:
        raise Unsettled(
            f"The lender's item {leg.item_pid} could not be read, so that nobody knows whether it travels"
        )
    return read


def prevent_renewal(context: ActionContext, leg: LegRecord) -> ActionResult:
    """The patron can no longer renew: the lender wants the book back."""
    alma, system = context.alma(leg), context.settings(leg)
    virtual_item.prevent_renewal(alma, system, alma_act.read_item(alma, leg))
    return NOTHING_TO_REPORT


def restore_renewal(context: ActionContext, leg: LegRecord) -> ActionResult:
    """The patron can renew again: the lender does not want the book back any more."""
    alma, system = context.alma(leg), context.settings(leg)
    virtual_item.restore_renewal(alma, system, alma_act.read_item(alma, leg))
    return NOTHING_TO_REPORT


def sync_barcode(context: ActionContext, leg: LegRecord) -> ActionResult:
    """The virtual item takes over the barcode that the book has now."""
    alma, barcode = context.alma(leg), context.args[-1]
    item = virtual_item.set_barcode(alma, alma_act.read_item(alma, leg), barcode)
    return ActionResult((Ack(AckName.BARCODE_SYNCED, context.moment(), leg.role, barcode=item.barcode),))


# --- the end of a settled request


def clean_up(context: ActionContext) -> ActionResult:
    """Cancel what holds are left and delete the virtual items; the virtual patron stays.

    Asked again now, not when it was decided: the lender's loan must be over (unless a person closed the request
    although the book may be out), and a virtual item that is lent stays. Raises Unsettled and Impossible; what was
    done until then stays done, and is found done the next time.
    """
    sides = context.tracked.legs
    if Role.SUPPLIER in sides:
        _clean_lender(context, sides[Role.SUPPLIER])
    for role in (Role.BORROWER, Role.PICKUP):
        if role in sides:
            _clean_patron_side(context, sides[role])
    return ActionResult((Ack(AckName.CLEANED_UP, context.moment()),))


def _clean_lender(context: ActionContext, leg: LegRecord) -> None:
    if leg.system_kind != "ALMA":
        # A lender's transaction is closed by its own check-in, and cancelled by CANCEL_SUPPLIER_HOLD; in other systems
        # nothing is ours.
        return
    state = context.tracked.state
    if (
        leg.user_id
        and leg.item_pid
        and state.leg(Role.SUPPLIER).lent
        and state.outcome is not RequestOutcome.UNKNOWN
    ):
        loan = AlmaReader(context.alma(leg)).loan(leg)
        if loan.found is None:
            raise Unsettled(
                "The lender's loan could not be read: nothing is taken away while the book may be out"
            )
        if loan.loan_status == LoanState.ACTIVE:
            raise Unsettled(
                f"The lender's loan {loan.loan_id} is not over: nothing is taken away while the book is out"
            )
    cancel(context, leg)


def _clean_patron_side(context: ActionContext, leg: LegRecord) -> None:
    if leg.system_kind == "MOD_DCB":
        if leg.is_placed:
            folio.close(context, leg)
        return
    if leg.system_kind != "ALMA":
        return
    cancel(context, leg)
    if leg.is_virtual or not leg.is_placed:  # placed by others: theirs to take away
        remove(context.alma(leg), context.tracked.pr_id, leg.mms_id)


# --- the actor

_ON_A_SIDE: Mapping[ActionType, tuple[Role, Callable[[ActionContext, LegRecord], ActionResult]]] = {
    A.BORROWER_SCAN_IN: (Role.BORROWER, scan),
    A.PICKUP_SCAN_IN: (Role.PICKUP, scan),
    A.SUPPLIER_SCAN_IN: (Role.SUPPLIER, scan),
    A.BORROWER_CHECK_IN: (Role.BORROWER, check_in),
    A.CREATE_SUPPLIER_LOAN: (Role.SUPPLIER, lend),
    A.CREATE_BORROWER_LOAN: (Role.BORROWER, lend),
    A.RENEW_SUPPLIER_LOAN: (Role.SUPPLIER, renew),
    A.CANCEL_SUPPLIER_HOLD: (Role.SUPPLIER, cancel_supplier),
    A.VERIFY_SUPPLIER_HOLD_GONE: (Role.SUPPLIER, cancel),
    A.PREVENT_RENEWAL_AT_BORROWER: (Role.BORROWER, prevent_renewal),
    A.RESTORE_RENEWAL_AT_BORROWER: (Role.BORROWER, restore_renewal),
}

_PLACED_AT = {A.PLACE_AT_BORROWER: Role.BORROWER, A.PLACE_AT_PICKUP: Role.PICKUP}


def role_of(action: ActionType) -> Role | None:
    """The side at which an action is done, if in one system alone."""
    return _ON_A_SIDE[action][0] if action in _ON_A_SIDE else _PLACED_AT.get(action)


class AlmaActor:
    """Implements `ports.Actor`. Safe for several threads once the clients of the requests' systems are open.

    ``now`` is asked after each write, before anything is read back: its time goes into the ack. What ends the run
    (`RemoteStop`: no right, no calls left, a system that does not answer) is raised as it is.
    """

    def __init__(self, systems: Systems, now: Callable[[], datetime]) -> None:
        self._systems = systems
        self._now = now

    def perform(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Do one action, or find it done. Later also when it was overtaken: the store drops it then."""
        action = ActionType(row.type)
        context = ActionContext(self._systems, self._now, tracked, row)
        if not is_wanted(action, context.args, tracked.status, tracked.state.standing):
            return Later(f"{action} was overtaken: the request is {tracked.status}", _AT_ONCE)
        try:
            result = _result(context, action)
        except Impossible as refusal:
            return Refused(refusal.sentence, (_report(self._failed(action)),))
        except (Unsettled, InputProblem) as problem:
            return Later(str(problem))
        acks = [*result.acks]
        said = any(ack.name is AckName.ACTION_DONE for ack in acks)
        if flags.action_failed(action) in tracked.state.standing and not said:
            acks.append(Ack(AckName.ACTION_DONE, Moment.at(self._now()), action=action))
        return Done(tuple(_report(ack) for ack in acks), result.legs)

    def _failed(self, action: ActionType) -> Ack:
        at = Moment.at(self._now())
        if action is A.CREATE_SUPPLIER_LOAN:
            return Ack(AckName.SUPPLIER_LOAN_FAILED, at, Role.SUPPLIER)
        return Ack(AckName.ACTION_FAILED, at, action=action)


def _report(ack: Ack) -> Report:
    return Report(ack, source="ACK")


def _result(context: ActionContext, action: ActionType) -> ActionResult:
    match action:
        case A.PLACE_AT_BORROWER | A.PLACE_AT_PICKUP:
            return place_side(context, _PLACED_AT[action])
        case A.SYNC_BARCODE:
            return _sync_barcode(context)
        case A.RESOLVE_NEXT_SUPPLIER:
            return resolve_next(context)
        case A.CLEANUP:
            return clean_up(context)
    role, do = _ON_A_SIDE[action]
    leg = context.leg(role)
    return folio.perform(context, action, leg) if leg.system_kind == "MOD_DCB" else do(context, leg)


def _sync_barcode(context: ActionContext) -> ActionResult:
    """The virtual items take over the lender's barcode: also that of the pickup library."""
    acks: list[Ack] = []
    for leg in context.patron_legs:
        if not leg.is_placed:
            continue  # it will be made with the barcode of then
        at_folio = leg.system_kind == "MOD_DCB"
        acks += (folio.perform(context, A.SYNC_BARCODE, leg) if at_folio else sync_barcode(context, leg)).acks
    return ActionResult(tuple(acks))
