"""A request that another service runs: it begins at the status that was reported, and proof leads on from there.

What was reported is kept apart from what was seen. A side of which something was only reported is marked
(`Leg.adopted`) until a look shows it, and a look that shows less takes it back. The status itself stays: proof leads
forwards, never backwards, and where both disagree people are to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import Ack, Leg, Observation, StepContext, Transition
from alma_etl.dcb.machine.vocabulary import (
    BEFORE_SHIPPING,
    TERMINAL,
    TXN_OF,
    UNDER_WAY,
    HoldState,
    ItemState,
    LoanState,
    Proof,
    RequestOutcome,
    Role,
    Status,
    Txn,
    Workflow,
    hold_of,
    item_of,
    loan_of,
    txn_of,
)

if TYPE_CHECKING:
    from alma_etl.dcb.machine.evidence import Evidence

S = Status
HANDLER = "Adopted"
_RESOLVED_AGAIN = "ResolveNextSupplier"
_IN_PLACE = frozenset({ItemState.AVAILABLE, ItemState.REQUESTED})
_PROOFS = {S.LOANED: Proof.LOANED, S.RETURN_TRANSIT: Proof.RETURNED}
_NOT_LENT_YET = frozenset({Txn.CREATED, Txn.OPEN, Txn.AWAITING_PICKUP})
_OUTCOMES = {
    S.COMPLETED: RequestOutcome.SUPPLIED,
    S.CANCELLED: RequestOutcome.CANCELLED,
    S.NO_ITEMS: RequestOutcome.NOT_SUPPLIED,
}


def may_adopt(ctx: StepContext, ack: Ack) -> bool:
    """Whether a request may begin at the status of an ack: one that nothing has happened to, or an adopted one that has
    ended here and goes on there."""
    state = ctx.state
    ended = state.adopted is not None and state.status in TERMINAL
    return ack.status is not None and ack.status not in TERMINAL and (state.seq == 0 or ended)


def adopt(ctx: StepContext, ack: Ack) -> None:
    """Begin at the status that was reported: one transition, inferred, without any action."""
    state, status = ctx.state, ack.status
    assert status is not None
    if state.status in TERMINAL:
        state.legs = {role: Leg(generation=leg.generation + 1) for role, leg in state.legs.items()}
        state.closure = state.evidence = state.confidence = None
        state.standing = ()
    state.outcome, state.adopted, state.previous = _OUTCOMES.get(status), status, None
    if status is S.ERROR:  # says nothing of the book: whoever puts it back to work lets the looks decide
        state.previous = S.RPPA if state.workflow is Workflow.PICKUP_ANYWHERE else S.RPBA
    if status in UNDER_WAY or status is S.AWAITING_RETURN:
        supplier = ctx.leg(Role.SUPPLIER)
        supplier.away = supplier.adopted = True
    if status in _PROOFS:
        patron = ctx.leg(Role.PICKUP if state.workflow is Workflow.PICKUP_ANYWHERE else Role.BORROWER)
        patron.lent = patron.adopted = True
        patron.proof = _PROOFS[status]
    _enter(ctx, status, HANDLER)


def is_adoption(transitions: Sequence[Transition]) -> bool:
    """Whether a request was adopted by these: the looks come next, and they decide."""
    return any(each.handler == HANDLER for each in transitions)


def may_resolve_again(ctx: StepContext) -> bool:
    """Whether the service that runs a request may have chosen another lender."""
    return ctx.state.adopted is not None and ctx.status in BEFORE_SHIPPING


def resolve_again(ctx: StepContext, ack: Ack) -> None:
    """The service that runs the request has chosen another lender: what was seen of the one before counts no more."""
    leg = ctx.leg(Role.SUPPLIER)
    ctx.state.legs[Role.SUPPLIER] = Leg(generation=leg.generation + 1, at=ack.at)
    _enter(ctx, S.RPSA, _RESOLVED_AGAIN)


def _enter(ctx: StepContext, to: Status, handler: str) -> None:
    """A change of status by what was reported, which the table of legal ones does not have."""
    state = ctx.state
    state.seq += 1
    ctx.transitions.append(Transition(state.seq, state.status, to, handler, True, TXN_OF.get(to)))
    state.status = to


def with_other_ids(leg: Leg, generation: int) -> Leg:
    """The memory of a side that has another hold or item from now on: how far the book is stays, what was seen of the
    hold and the item before does not."""
    return Leg(
        generation=generation,
        at=leg.at,
        away=leg.away,
        lent=leg.lent,
        closed_in=leg.closed_in,
        proof=leg.proof,
        adopted=leg.adopted,
        due=leg.due,
    )


def weigh(ctx: StepContext, leg: Leg, seen: Observation) -> None:
    """Before a look at an adopted side is taken in: what was reported of it ends with the first look that shows how it
    is, and counts no further where that shows less."""
    if not leg.adopted:
        return
    item, txn = _item(seen), txn_of(seen.txn or "")
    loan = loan_of(seen.loan.loan_status) if seen.loan is not None and seen.loan.found else None
    if seen.role is Role.SUPPLIER:
        if item is not None or txn is not None:
            leg.adopted = False
            leg.away = leg.away and not (ctx.status in UNDER_WAY and item in _IN_PLACE)
    elif (
        loan is LoanState.ACTIVE or (item is ItemState.LOANED and loan is None) or txn is Txn.ITEM_CHECKED_OUT
    ):
        leg.adopted, leg.proof = False, Proof.LOANED
    elif _has_hold(seen) or item is ItemState.HOLDSHELF or txn in _NOT_LENT_YET:
        leg.adopted = leg.lent = False
        leg.proof = Proof.NOTHING
    elif loan is not None or item is not None or txn is not None:
        leg.adopted = False


def _has_hold(seen: Observation) -> bool:
    """Whether the hold is there; a loan would have consumed it."""
    read = seen.request
    return read is not None and bool(read.found) and hold_of(read.request_status) is not None


def _item(seen: Observation) -> ItemState | None:
    read = seen.item
    return item_of(read.base_status, read.process_type) if read is not None and read.found else None


def judge_adopted(ctx: StepContext, seen: Evidence) -> None:
    """Raise ADOPTED_DISAGREES while the status is the reported one and what was seen contradicts it."""
    ctx.stand(flags.ADOPTED_DISAGREES, seen.state.adopted is ctx.status and _disagrees(seen))


def _disagrees(seen: Evidence) -> bool:
    supplier, status, legs = seen.supplier, seen.state.status, seen.patron_legs.values()
    never_left = supplier.item in _IN_PLACE and not supplier.away and supplier.back is None
    if status is S.CONFIRMED:
        return seen.supplier_gone and not seen.proof
    if status in UNDER_WAY:
        waits = any(leg.hold_alive and leg.hold is not HoldState.READY for leg in legs)
        return seen.proof is Proof.NOTHING and (never_left or (waits and status is not S.PICKUP_TRANSIT))
    if status is S.LOANED:
        return seen.proof < Proof.LOANED or (never_left and not supplier.lent)
    if status is S.RETURN_TRANSIT:
        return seen.proof < Proof.RETURNED
    return status is S.AWAITING_RETURN and any(leg.hold_alive for leg in legs)
