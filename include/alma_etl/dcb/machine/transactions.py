"""What a mod-dcb transaction's status does to the memory of its side, where the side is a FOLIO library.

A transaction says in one word what Alma says by request, item and loan; the words are those of mod-dcb's
TransactionStatus. A lender's transaction is moved on by ourselves (by PUT) except to OPEN and to CLOSED, which
only a check-in at the lender brings about.
"""

from alma_etl.dcb.machine import alma_words, flags
from alma_etl.dcb.machine.memory import miss_hold, place_item, prove, see_hold
from alma_etl.dcb.machine.observations import Observation
from alma_etl.dcb.machine.run import Run
from alma_etl.dcb.machine.state import Leg
from alma_etl.dcb.machine.vocabulary import Closure, Hold, Item, Loan, Proof, Role, Status, Txn


def project_txn(run: Run, seen: Observation, leg: Leg, text: str) -> None:
    """Take a transaction's status into the memory; an unknown one is kept raw and flagged."""
    leg.raw_txn = text
    word = alma_words.txn_of(text)
    run.stand(flags.UNKNOWN_TXN_STATE, word is None)
    if word is None:
        return
    leg.txn = word
    run.stand(flags.TXN_ERROR, word is Txn.ERROR)
    run.stand(flags.TXN_MISSING, word is Txn.MISSING)
    if word is Txn.CANCELLED:
        miss_hold(run, leg, seen.at, Closure.CANCELED, certain=True)
    elif word is Txn.EXPIRED:
        miss_hold(run, leg, seen.at, Closure.HOLD_SHELF_EXPIRED, certain=True)
    elif word is Txn.MISSING:
        miss_hold(run, leg, seen.at, None, certain=False)
    elif seen.role is Role.SUPPLIER:
        _at_supplier(run, leg, word)
        run.fresh.add(seen.role)
    else:
        _at_patron(run, seen.role, leg, word)


def _at_supplier(run: Run, leg: Leg, word: Txn) -> None:
    if word in (Txn.CREATED, Txn.OPEN, Txn.AWAITING_PICKUP):
        see_hold(leg, Hold.CONFIRMED)
    if word in (Txn.OPEN, Txn.AWAITING_PICKUP, Txn.ITEM_CHECKED_IN):
        place_item(run, leg, Item.TRANSIT)
    elif word is Txn.ITEM_CHECKED_OUT:
        leg.loan, leg.lent = Loan.ACTIVE, True
        place_item(run, leg, Item.LOANED)
    elif word is Txn.CLOSED:
        place_item(run, leg, Item.AVAILABLE)
        leg.loan = Loan.COMPLETE
        if leg.lent and run.status in (Status.LOANED, Status.RETURN_TRANSIT, Status.AWAITING_RETURN):
            leg.closed_in = run.status


def _at_patron(run: Run, role: Role, leg: Leg, word: Txn) -> None:
    run.stand(flags.TXN_CLOSED_EARLY, word is Txn.CLOSED and leg.proof < Proof.LOANED)
    if word is Txn.CREATED:
        see_hold(leg, Hold.CONFIRMED)
    elif word is Txn.OPEN:
        leg.item = Item.TRANSIT  # set by ourselves when the lender shipped
    elif word is Txn.AWAITING_PICKUP:
        see_hold(leg, Hold.READY)
        leg.item = Item.HOLDSHELF
        if leg.proof is Proof.NOTHING:
            prove(run, role, leg, Proof.SHELF)
    elif word is Txn.ITEM_CHECKED_OUT:
        leg.item, leg.loan, leg.lent = Item.LOANED, Loan.ACTIVE, True
        prove(run, role, leg, Proof.LOANED)
    elif word is Txn.ITEM_CHECKED_IN or (word is Txn.CLOSED and leg.proof >= Proof.LOANED):
        leg.item, leg.loan, leg.lent = Item.TRANSIT, Loan.COMPLETE, True
        prove(run, role, leg, Proof.RETURNED)
