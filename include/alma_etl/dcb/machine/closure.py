"""How a vanished hold came to its end.

Alma drops a closed request from its lists and answers "not found" for it, so the closure statuses that staff
know from Alma's pages (Completed, Canceled, Expired, Rejected, Failed, Hold Shelf Expired) are never read;
they are concluded from what was known before and what the item and the loan show now.
"""

from typing import NamedTuple

from alma_etl.dcb.machine.moments import Moment
from alma_etl.dcb.machine.state import Leg
from alma_etl.dcb.machine.vocabulary import Closure, Confidence, Hold, Item, Loan, Proof

_UNFIT = frozenset({Item.MISSING, Item.LOST, Item.GONE})


class Verdict(NamedTuple):
    """``evidence`` is a short phrase for people."""

    closure: Closure
    evidence: str
    confidence: Confidence


def classify(leg: Leg, now: Moment | None) -> Verdict:
    """How the hold of a side ended that is not there any more; the first rule that fits.

    Call it with the item and the loan of the same cycle in place. Only `Closure.COMPLETED` by a loan and what Alma
    said explicitly are sure; the callers demand two sightings for the rest.
    """
    if leg.proof >= Proof.LOANED or (leg.lent and leg.loan in (Loan.ACTIVE, Loan.COMPLETE)):
        return Verdict(Closure.COMPLETED, "the item was lent to the request's user", Confidence.HIGH)
    if leg.told is not None:
        sure = Confidence.HIGH if leg.certain else Confidence.MEDIUM
        return Verdict(leg.told, "Alma told how the request was closed", sure)
    no_loan = leg.loan is not Loan.ACTIVE
    due = _has_come(leg, now)
    if leg.hold is Hold.READY and no_loan and due is True:
        return Verdict(
            Closure.HOLD_SHELF_EXPIRED, "gone from the hold shelf after its last day", Confidence.MEDIUM
        )
    if leg.hold is Hold.READY and no_loan and due is False:
        return Verdict(Closure.CANCELED, "gone from the hold shelf before its last day", Confidence.MEDIUM)
    if leg.hold is Hold.CONFIRMED and no_loan and due is True:
        return Verdict(
            Closure.EXPIRED, "never picked up from the shelf, past its last day", Confidence.MEDIUM
        )
    if leg.item in _UNFIT and no_loan:
        return Verdict(Closure.FAILED, f"the item is {leg.item.lower()}", Confidence.MEDIUM)
    return Verdict(Closure.UNKNOWN, "the request is not there any more", Confidence.LOW)


def _has_come(leg: Leg, now: Moment | None) -> bool | None:
    """Whether the request's last day is over; None when no dates are known."""
    if leg.expiry is None or now is None or now.time is None:
        return None
    return now.time >= leg.expiry
