"""`AlmaActor`: does the deeds of the outbox, in Alma and in mod-dcb."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.step import is_wanted
from alma_etl.dcb.machine.vocabulary import AckName, ActionType, Role
from alma_etl.dcb.sides import circulation, folio
from alma_etl.dcb.sides.cleanup import clean_up
from alma_etl.dcb.sides.hand import Hand, Result
from alma_etl.dcb.sides.ports import Done, Later, Refused
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.sides.words import Impossible, Unsettled
from alma_etl.dcb.store.rows import LegRecord, OutboxRow, Report, Tracked
from alma_etl.errors import InputProblem

A = ActionType
_AT_ONCE = timedelta()

_ON_A_SIDE: Mapping[ActionType, tuple[Role, Callable[[Hand, LegRecord], Result]]] = {
    A.BORROWER_SCAN_IN: (Role.BORROWER, circulation.scan),
    A.PICKUP_SCAN_IN: (Role.PICKUP, circulation.scan),
    A.SUPPLIER_SCAN_IN: (Role.SUPPLIER, circulation.scan),
    A.BORROWER_CHECK_IN: (Role.BORROWER, circulation.check_in),
    A.CREATE_SUPPLIER_LOAN: (Role.SUPPLIER, circulation.lend),
    A.CREATE_BORROWER_LOAN: (Role.BORROWER, circulation.lend),
    A.RENEW_SUPPLIER_LOAN: (Role.SUPPLIER, circulation.renew),
    A.CANCEL_SUPPLIER_HOLD: (Role.SUPPLIER, circulation.cancel),
    A.VERIFY_SUPPLIER_HOLD_GONE: (Role.SUPPLIER, circulation.cancel),
    A.PREVENT_RENEWAL_AT_BORROWER: (Role.BORROWER, circulation.prevent_renewal),
}


class AlmaActor:
    """Implements `ports.Actor`. Safe for several threads once the clients of the requests' systems are open.

    ``now`` is asked after each write, before anything is read back: its time goes into the ack. What ends the run
    (`RemoteStop`: no right, no calls left, a system that does not answer) is raised as it is.
    """

    def __init__(self, systems: Systems, now: Callable[[], datetime]) -> None:
        self._systems = systems
        self._now = now

    def perform(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Do one deed, or find it done. Later also when it was overtaken: the store drops it then."""
        action = ActionType(row.type)
        hand = Hand(self._systems, self._now, tracked, row)
        if not is_wanted(action, hand.args, tracked.status):
            return Later(f"{action} was overtaken: the request is {tracked.status}", _AT_ONCE)
        try:
            result = _deed(hand, action)
        except Impossible as refusal:
            return Refused(refusal.sentence, (_report(self._failed(action)),))
        except (Unsettled, InputProblem) as problem:
            return Later(str(problem))
        acks = [*result.acks]
        if flags.action_failed(action) in tracked.state.standing:
            acks.append(Ack(AckName.ACTION_DONE, Moment.at(self._now()), action=action))
        return Done(tuple(_report(ack) for ack in acks), result.legs)

    def _failed(self, action: ActionType) -> Ack:
        at = Moment.at(self._now())
        if action is A.CREATE_SUPPLIER_LOAN:
            return Ack(AckName.SUPPLIER_LOAN_FAILED, at, Role.SUPPLIER)
        return Ack(AckName.ACTION_FAILED, at, action=action)


def _report(ack: Ack) -> Report:
    return Report(ack, source="ACK")


def _deed(hand: Hand, action: ActionType) -> Result:
    match action:
        case A.PLACE_AT_BORROWER:
            return circulation.place_side(hand, Role.BORROWER)
        case A.PLACE_AT_PICKUP:
            return circulation.place_side(hand, Role.PICKUP)
        case A.SYNC_BARCODE:
            return _sync_barcode(hand)
        case A.RESOLVE_NEXT_SUPPLIER:
            return _end_without_supplier(hand)
        case A.CLEANUP:
            return clean_up(hand)
    role, deed = _ON_A_SIDE[action]
    leg = hand.leg(role)
    return folio.perform(hand, action, leg) if leg.system_kind == "MOD_DCB" else deed(hand, leg)


def _patron_sides(hand: Hand) -> list[LegRecord]:
    return [leg for role in (Role.BORROWER, Role.PICKUP) if (leg := hand.tracked.legs.get(role)) is not None]


def _sync_barcode(hand: Hand) -> Result:
    """The virtual items take over the lender's barcode: also that of the pickup library."""
    acks: list[Ack] = []
    for leg in _patron_sides(hand):
        if not leg.is_placed:
            continue  # it will be made with the barcode of then
        deed = folio.perform(hand, A.SYNC_BARCODE, leg) if leg.system_kind == "MOD_DCB" else None
        acks += (deed or circulation.sync_barcode(hand, leg)).acks
    return Result(tuple(acks))


def _end_without_supplier(hand: Hand) -> Result:
    """No other lender is known here: the patron's holds are cancelled, and the request ends unsupplied."""
    for leg in _patron_sides(hand):
        if leg.system_kind == "MOD_DCB":
            folio.close(hand, leg)
        elif leg.system_kind == "ALMA":
            circulation.cancel(hand, leg)
    return Result((Ack(AckName.NO_ITEMS, hand.moment()),))
