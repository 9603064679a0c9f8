"""The end of a settled request: holds cancelled, virtual items taken away, once the book is provably not out."""

from __future__ import annotations

from alma_etl.dcb.machine.model import Ack
from alma_etl.dcb.machine.vocabulary import AckName, RequestOutcome, Role
from alma_etl.dcb.sides import folio
from alma_etl.dcb.sides.hand import Hand, Result
from alma_etl.dcb.sides.holds import cancel_hold
from alma_etl.dcb.sides.loans import find_loan
from alma_etl.dcb.sides.removal import remove
from alma_etl.dcb.sides.words import Unsettled
from alma_etl.dcb.store.rows import LegRecord


def clean_up(hand: Hand) -> Result:
    """Cancel what holds are left and delete the virtual items; the virtual patron stays.

    Asked again now, not when it was decided: the lender's loan must be over (unless a person closed the request
    although the book may be out), and a virtual item that is lent stays. Raises Unsettled and Impossible; what was
    done until then stays done, and is found done the next time.
    """
    legs = hand.tracked.legs
    if Role.SUPPLIER in legs:
        _clean_lender(hand, legs[Role.SUPPLIER])
    for role in (Role.BORROWER, Role.PICKUP):
        if role in legs:
            _clean_patron_side(hand, legs[role])
    return Result((Ack(AckName.CLEANED_UP, hand.moment()),))


def _clean_lender(hand: Hand, leg: LegRecord) -> None:
    if leg.system_kind == "MOD_DCB":
        # A lender's transaction is closed by its own check-in, and cancelled by CANCEL_SUPPLIER_HOLD.
        return
    state = hand.tracked.state
    if (
        leg.user_id
        and leg.item_pid
        and state.leg(Role.SUPPLIER).lent
        and state.outcome is not RequestOutcome.UNKNOWN
    ):
        loan = find_loan(hand.alma(leg), leg.user_id, leg.item_pid)
        if loan is not None:
            raise Unsettled(
                f"The lender's loan {loan.loan_id} is not over: nothing is taken away while the book is out"
            )
    _cancel(hand, leg)


def _clean_patron_side(hand: Hand, leg: LegRecord) -> None:
    if leg.system_kind == "MOD_DCB":
        if leg.is_placed:
            folio.close(hand, leg)
        return
    if leg.system_kind != "ALMA":
        return
    _cancel(hand, leg)
    if leg.is_virtual or not leg.is_placed:  # placed by others: theirs to take away
        remove(hand.alma(leg), hand.tracked.pr_id, leg.mms_id)


def _cancel(hand: Hand, leg: LegRecord) -> None:
    if leg.user_id and leg.request_id:
        cancel_hold(hand.alma(leg), leg.user_id, leg.request_id, hand.settings(leg).cancel_reason)
