"""The ways in which the memory of a side changes, whoever reports it: a read, a transaction, an ack."""

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import Leg, Moment, StepContext
from alma_etl.dcb.machine.vocabulary import Closure, HoldState, ItemState, Proof, Status

AFTER_LENDING = frozenset({Status.LOANED, Status.RETURN_TRANSIT, Status.AWAITING_RETURN})
UNFIT = frozenset({ItemState.MISSING, ItemState.LOST, ItemState.GONE})
NOT_IN_HAND = UNFIT | {ItemState.CLAIMED_RETURNED}
"""Nobody can lay a hand on it, so that no loan of it was ended by a return."""

_AWAY = frozenset(ItemState) - {ItemState.AVAILABLE, ItemState.REQUESTED, ItemState.OTHER, ItemState.GONE}


def see_hold(leg: Leg, word: HoldState | None) -> None:
    """The hold is there; a word that nobody knows leaves the last known one."""
    leg.hold = word or leg.hold
    leg.gone, leg.gone_since, leg.gone_last = 0, None, None
    leg.certain, leg.item_since_gone = False, False
    leg.reported = leg.closure = leg.evidence = leg.confidence = None


def miss_hold(
    ctx: StepContext, leg: Leg, at: Moment | None, reported: Closure | None, *, certain: bool
) -> None:
    """The hold is not there. Sightings closer together than the policy's gap count once.

    ``certain``: by explicit evidence, for which one sighting is enough. What else was reported of its end counts as
    long as the last sighting says it.
    """
    if reported or not leg.certain:
        leg.reported = reported
    leg.certain = leg.certain or certain
    if leg.gone == 0:
        leg.gone, leg.gone_since, leg.gone_last = 1, at, at
    elif leg.gone_last is None or at is None or at.is_apart_from(leg.gone_last, ctx.policy.gap):
        leg.gone, leg.gone_last = leg.gone + 1, at


def place_item(ctx: StepContext, leg: Leg, word: ItemState) -> None:
    """The item is there now. Away and then back in place is an edge, and proof where a remembered place is not."""
    leg.item = word
    if word in _AWAY:
        leg.away, leg.back = True, None
    elif word is ItemState.AVAILABLE and leg.away:
        leg.away, leg.back = False, ctx.status


def prove(ctx: StepContext, leg: Leg, proof: Proof) -> None:
    """How far the book has come on the patron's side."""
    before, leg.proof = leg.proof, proof
    if ctx.status is Status.RETURN_TRANSIT:
        if proof is Proof.LOANED and before is Proof.RETURNED:
            ctx.stand(flags.LOANED_AGAIN, True)
        elif proof is Proof.RETURNED and leg.relent is None:
            ctx.stand(flags.LOANED_AGAIN, False)
    elif ctx.status is Status.AWAITING_RETURN:
        ctx.stand(flags.LOANED_AFTER_CANCEL, proof is Proof.LOANED)
