"""The few ways in which the memory of a side changes, whoever reports it: a reading, a transaction, an ack."""

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.moments import Moment
from alma_etl.dcb.machine.run import Run
from alma_etl.dcb.machine.state import Leg
from alma_etl.dcb.machine.vocabulary import ActionType, Closure, Hold, Item, Proof, Role, Status

_AWAY = frozenset(
    {
        Item.TRANSIT,
        Item.LOANED,
        Item.HOLDSHELF,
        Item.NOT_IN_PLACE,
        Item.MISSING,
        Item.LOST,
        Item.CLAIMED_RETURNED,
    }
)


def see_hold(leg: Leg, word: Hold | None) -> None:
    """The hold is there; a word that nobody knows leaves the last known one."""
    leg.hold = word or leg.hold
    leg.gone, leg.gone_since, leg.gone_last = 0, None, None
    leg.certain, leg.item_since_gone = False, False
    leg.told = leg.closure = leg.evidence = leg.confidence = None


def miss_hold(run: Run, leg: Leg, at: Moment | None, told: Closure | None, *, certain: bool) -> None:
    """The hold is not there. Sightings closer together than the policy's gap count once.

    ``certain``: by explicit evidence, for which one sighting is enough.
    """
    leg.certain = leg.certain or certain
    leg.told = told or leg.told
    if leg.gone == 0:
        leg.gone, leg.gone_since, leg.gone_last = 1, at, at
    elif leg.gone_last is None or at is None or at.is_apart_from(leg.gone_last, run.policy.gap):
        leg.gone, leg.gone_last = leg.gone + 1, at


def place_item(run: Run, leg: Leg, word: Item) -> None:
    """The item is there now. Away and then back in place is an edge, and proof where a remembered place is not."""
    leg.item = word
    if word in _AWAY:
        leg.away, leg.back = True, None
    elif word is Item.AVAILABLE and leg.away:
        leg.away, leg.back = False, run.status


def prove(run: Run, role: Role, leg: Leg, proof: Proof) -> None:
    """How far the book has come on the patron's side."""
    before, leg.proof = leg.proof, proof
    if run.status is Status.RETURN_TRANSIT:
        if proof is Proof.LOANED and before is Proof.RETURNED:
            run.stand(flags.LOANED_AGAIN, True)
        elif proof is Proof.RETURNED:
            run.stand(flags.LOANED_AGAIN, False)
    elif run.status is Status.AWAITING_RETURN:
        run.stand(flags.LOANED_AFTER_CANCEL, proof is Proof.LOANED)


def recall(run: Run) -> None:
    """The lender wants the book back, or somebody there waits for it: the patron shall not renew any more."""
    if run.status is Status.LOANED:
        run.flag(flags.RECALLED)
        run.do(ActionType.PREVENT_RENEWAL_AT_BORROWER)
