"""The rules that change a status, in words of the patron request workflow of OpenRS.

For each status: positive physical proof comes first (loan, hold shelf, transit), then the lender's end of the
hold, then the borrower's. The guards of one status exclude each other, so the order decides nothing; they are
asked again after each transition until none holds. A step that nobody saw, but that must have been, is taken
all the same and marked as inferred; it asks for no action that has been overtaken.
"""

from collections.abc import Callable
from dataclasses import dataclass

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.adopting import judge_adopted
from alma_etl.dcb.machine.evidence import Evidence
from alma_etl.dcb.machine.memory import NOT_IN_HAND
from alma_etl.dcb.machine.model import StepContext
from alma_etl.dcb.machine.vocabulary import (
    BEFORE_SHIPPING,
    TERMINAL,
    UNDER_WAY,
    ItemState,
    LoanState,
    Proof,
    RequestOutcome,
    Role,
    Status,
    Workflow,
)
from alma_etl.dcb.machine.vocabulary import ActionType as A

S = Status


@dataclass(frozen=True, slots=True)
class Rule:
    """``when`` must not change anything; ``then`` must change the status."""

    name: str
    when: Callable[[Evidence], bool]
    then: Callable[[StepContext, Evidence], None]


# --- placed, not yet shipped


def _confirm(ctx: StepContext, _seen: Evidence) -> None:
    ctx.go(S.CONFIRMED, "HandleSupplierRequestConfirmed", role=Role.SUPPLIER)
    if ctx.state.workflow is not Workflow.LOCAL:
        ctx.do(A.PLACE_AT_BORROWER)


def _hand_off(ctx: StepContext, _seen: Evidence) -> None:
    ctx.go(S.HANDED_OFF_AS_LOCAL, "HandOffAsLocalRequest")


def _placed_by_others(ctx: StepContext, _seen: Evidence) -> None:
    placed_at_borrower(ctx, role=Role.BORROWER)


def placed_at_borrower(ctx: StepContext, role: Role | None = None) -> None:
    """The borrower's hold exists: we placed it, or it is seen there because dcb-service did."""
    ctx.go(S.RPBA, "PlaceAtBorrowingAgency", role=role)
    if ctx.state.workflow is Workflow.PICKUP_ANYWHERE:
        ctx.do(A.PLACE_AT_PICKUP)


def placed_at_pickup(ctx: StepContext, role: Role | None = None) -> None:
    """The hold at the third system exists as well."""
    ctx.go(S.RPPA, "PlaceAtPickupAgency", role=role)


def _expedite(ctx: StepContext, _seen: Evidence) -> None:
    """The patron stands at the lender's desk with the book: nothing travels."""
    ctx.go(S.LOANED, "ExpeditedCheckoutTransition")
    ctx.do(A.CREATE_BORROWER_LOAN)
    ctx.do(A.CREATE_SUPPLIER_LOAN)


def _not_supplied(ctx: StepContext, seen: Evidence) -> None:
    ctx.go(S.NOT_SUPPLIED, "HandleSupplierRequestCancelled", role=Role.SUPPLIER)
    _keep_closure(ctx, seen, Role.SUPPLIER)


def _cancelled_in_time(ctx: StepContext, seen: Evidence) -> None:
    role = seen.patron_gone
    ctx.go(S.CANCELLED, "CancelledPatronRequestTransition", role=role)
    ctx.state.outcome = RequestOutcome.CANCELLED
    _keep_closure(ctx, seen, role)
    ctx.do(A.CANCEL_SUPPLIER_HOLD)
    ctx.do(A.CLEANUP)


# --- shipped


def _in_transit(ctx: StepContext, seen: Evidence) -> None:
    ctx.go(S.PICKUP_TRANSIT, "HandleSupplierInTransit", role=Role.SUPPLIER)
    if seen.proof is Proof.NOTHING:
        _scan_out(ctx)


def _loaned_early(ctx: StepContext, seen: Evidence) -> None:
    ctx.go(S.PICKUP_TRANSIT, "SupplierLoanedEarly", role=Role.SUPPLIER)
    ctx.flag(flags.SUPPLIER_LOANED_EARLY)
    if seen.proof is Proof.NOTHING:
        _scan_out(ctx)


def _transit_missed(ctx: StepContext, seen: Evidence) -> None:
    ctx.go(S.PICKUP_TRANSIT, "HandleSupplierInTransit", inferred=True, role=seen.proof_role)


def _scan_out(ctx: StepContext) -> None:
    """The virtual items go into transit, as the book does."""
    ctx.do(A.BORROWER_SCAN_IN, "TRANSIT")
    if ctx.state.workflow is Workflow.PICKUP_ANYWHERE:
        ctx.do(A.PICKUP_SCAN_IN, "TRANSIT")


# --- at the pickup library


def _received(ctx: StepContext, seen: Evidence) -> None:
    inferred = seen.proof is not Proof.SHELF
    ctx.go(S.RECEIVED_AT_PICKUP, "HandleBorrowerItemReceived", inferred=inferred, role=seen.proof_role)


def _on_hold_shelf(ctx: StepContext, seen: Evidence) -> None:
    inferred = seen.proof is not Proof.SHELF
    ctx.go(S.READY_FOR_PICKUP, "HandleBorrowerItemOnHoldShelf", inferred=inferred, role=seen.proof_role)
    if not inferred:
        ctx.do(A.SUPPLIER_SCAN_IN, "RECEIVED")
        if ctx.state.workflow is Workflow.PICKUP_ANYWHERE:
            ctx.do(A.BORROWER_SCAN_IN, "RECEIVED")


def _loaned(ctx: StepContext, seen: Evidence) -> None:
    missed = seen.proof is Proof.RETURNED
    ctx.go(S.LOANED, "HandleBorrowerItemLoaned", inferred=missed, role=seen.proof_role)
    if missed:
        ctx.flag(flags.LOAN_MISSED_BETWEEN_POLLS)
        return
    ctx.do(A.CREATE_SUPPLIER_LOAN)
    if ctx.state.workflow is Workflow.PICKUP_ANYWHERE and not ctx.leg(Role.BORROWER).lent:
        ctx.do(A.CREATE_BORROWER_LOAN)


def _cancelled_too_late(ctx: StepContext, seen: Evidence) -> None:
    role = seen.patron_gone
    ctx.go(S.AWAITING_RETURN, "HandleCancelledRequestItemOut", role=role)
    _keep_closure(ctx, seen, role)
    ctx.do(A.CANCEL_SUPPLIER_HOLD)
    ctx.do(A.VERIFY_SUPPLIER_HOLD_GONE)


# --- on the way back


def _returned(ctx: StepContext, seen: Evidence) -> None:
    ctx.go(S.RETURN_TRANSIT, "HandleBorrowerRequestReturnTransit", role=seen.proof_role)
    _supersede_loan(ctx, seen)
    if ctx.state.workflow is Workflow.PICKUP_ANYWHERE and ctx.leg(Role.BORROWER).proof is Proof.LOANED:
        ctx.do(A.BORROWER_CHECK_IN)


def _supersede_loan(ctx: StepContext, seen: Evidence) -> None:
    if not seen.supplier.lent:
        # The hold that our loan would have consumed is still open, and would catch the book when it returns.
        ctx.do(A.CANCEL_SUPPLIER_HOLD)


def _returned_direct(ctx: StepContext, _seen: Evidence) -> None:
    ctx.go(S.RETURN_TRANSIT, "SupplierLoanClosed", inferred=True, role=Role.SUPPLIER)
    if ctx.state.workflow is not Workflow.EXPEDITED:
        ctx.flag(flags.RETURNED_DIRECT_TO_SUPPLIER)
    ctx.do(A.BORROWER_CHECK_IN)


def _back(ctx: StepContext, _seen: Evidence) -> None:
    ctx.go(S.COMPLETED, "HandleSupplierItemAvailable", role=Role.SUPPLIER)
    ctx.state.outcome = RequestOutcome.SUPPLIED
    ctx.do(A.BORROWER_SCAN_IN, "COMPLETED")
    if ctx.state.workflow is Workflow.PICKUP_ANYWHERE:
        ctx.do(A.PICKUP_SCAN_IN, "COMPLETED")
    ctx.do(A.CLEANUP)


def _back_unused(ctx: StepContext, _seen: Evidence) -> None:
    ctx.go(S.CANCELLED, "HandleCancelledRequestItemReturned", role=Role.SUPPLIER)
    ctx.state.outcome = RequestOutcome.CANCELLED
    ctx.do(A.CLEANUP)


def _keep_closure(ctx: StepContext, seen: Evidence, role: Role | None) -> None:
    if role is not None:
        leg, state = seen.state.leg(role), ctx.state
        state.closure, state.evidence, state.confidence = leg.closure, leg.evidence, leg.confidence


# --- the table


def _back_without_check_in(seen: Evidence) -> bool:
    """The lender shows the book back although nobody on the patron's side took it back."""
    leg = seen.supplier
    if seen.proof is Proof.RETURNED or not leg.lent:
        return False
    walk_up = seen.state.workflow is Workflow.EXPEDITED
    return leg.closed_in is S.LOANED or (walk_up and leg.back is S.LOANED)


_CONFIRM = Rule(
    "confirmed", lambda seen: seen.supplier.hold_alive or seen.lent_early or seen.was_placed, _confirm
)
_NOT_SUPPLIED = Rule("supplier gone", lambda seen: seen.supplier_gone and not seen.proof, _not_supplied)
_PLACED_BY_OTHERS = Rule(
    "placed by others",
    # With the next supplier the borrower's hold is there from before, but its virtual item is not the new book's.
    # Where another service runs the request, that is its business.
    lambda seen: (
        seen.was_placed
        or (
            seen.state.leg(Role.BORROWER).hold_alive
            and (seen.supplier.generation == 1 or seen.state.adopted is not None)
        )
    ),
    _placed_by_others,
)
_PICKUP_PLACED_BY_OTHERS = Rule(
    "pickup placed by others",
    lambda seen: (
        seen.was_placed
        or (seen.state.leg(Role.PICKUP).hold_alive and not seen.supplier_gone and seen.patron_gone is None)
    ),
    lambda ctx, _seen: placed_at_pickup(ctx, role=Role.PICKUP),
)
_BEFORE_SHIPPING = (
    Rule(
        "in transit",
        lambda seen: seen.way_is_open and seen.dispatched and not seen.lent_early,
        _in_transit,
    ),
    Rule("lent early", lambda seen: seen.way_is_open and seen.lent_early, _loaned_early),
    Rule(
        "transit missed",
        lambda seen: seen.way_is_open and not seen.shipped and bool(seen.proof),
        _transit_missed,
    ),
    _NOT_SUPPLIED,
    Rule(
        "cancelled in time",
        lambda seen: (
            seen.patron_gone is not None
            and not (seen.supplier_gone or seen.shipped or seen.supplier_travels or seen.proof)
            and not seen.supplier_unread
        ),
        _cancelled_in_time,
    ),
)
_CANCELLED_TOO_LATE = Rule(
    "cancelled too late",
    lambda seen: seen.patron_gone is not None and not seen.proof,
    _cancelled_too_late,
)

_RULES: dict[Status, tuple[Rule, ...]] = {
    S.RPSA: (_CONFIRM, _NOT_SUPPLIED),
    S.CONFIRMED: (_PLACED_BY_OTHERS,),
    S.RPBA: _BEFORE_SHIPPING,
    S.RPPA: _BEFORE_SHIPPING,
    S.PICKUP_TRANSIT: (
        Rule("received", lambda seen: bool(seen.proof), _received),
        _CANCELLED_TOO_LATE,
    ),
    S.RECEIVED_AT_PICKUP: (
        Rule("on hold shelf", lambda seen: bool(seen.proof), _on_hold_shelf),
        _CANCELLED_TOO_LATE,
    ),
    S.READY_FOR_PICKUP: (
        Rule("loaned", lambda seen: seen.proof >= Proof.LOANED, _loaned),
        Rule("cancelled on the shelf", lambda seen: seen.patron_gone is not None, _cancelled_too_late),
    ),
    S.LOANED: (
        Rule("returned", lambda seen: seen.proof is Proof.RETURNED, _returned),
        Rule("returned to the lender", _back_without_check_in, _returned_direct),
    ),
    S.RETURN_TRANSIT: (Rule("back", lambda seen: seen.lender_has_it, _back),),
    S.AWAITING_RETURN: (Rule("back unused", lambda seen: seen.lender_has_it, _back_unused),),
}
_EXPEDITE = Rule("walk-up", lambda seen: True, _expedite)
_HAND_OFF = Rule("local", lambda seen: True, _hand_off)


def rules_for(status: Status, workflow: Workflow) -> tuple[Rule, ...]:
    """The rules that may change a status; none for one that waits for an action of ours or is settled."""
    if workflow is Workflow.EXPEDITED and status is S.RPBA:
        return (_EXPEDITE,)
    if workflow is Workflow.LOCAL and status is S.CONFIRMED:
        return (_HAND_OFF,)
    if workflow is Workflow.PICKUP_ANYWHERE and status is S.RPBA:
        return (*_BEFORE_SHIPPING, _PICKUP_PLACED_BY_OTHERS)
    return _RULES.get(status, ())


def settle(ctx: StepContext) -> None:
    """Apply the rules until none holds any more."""
    while True:
        seen = Evidence(ctx.state, ctx.policy)
        rule = next((rule for rule in rules_for(ctx.status, ctx.state.workflow) if rule.when(seen)), None)
        if rule is None:
            return
        rule.then(ctx, seen)


# --- conditions that depend on the status: judged again at the end of each step

_UNPROVEN = {
    S.RETURN_TRANSIT: flags.COMPLETION_UNPROVEN,
    S.AWAITING_RETURN: flags.RETURN_UNPROVEN,
}
_STANDS_IN = {
    flags.SUPPLIER_LOAN_FAILED: {S.LOANED, S.RETURN_TRANSIT},
    flags.LOANED_AGAIN: {S.LOANED, S.RETURN_TRANSIT},
    flags.LOANED_AFTER_CANCEL: {S.AWAITING_RETURN},
    flags.CANCELLED_IN_TRANSIT: {S.CANCELLED},
}


def judge(ctx: StepContext) -> None:
    """Raise the conditions that have begun to hold, and end those that are over."""
    seen = Evidence(ctx.state, ctx.policy)
    supplier, status = seen.supplier, ctx.status
    if status in TERMINAL:
        ctx.state.standing = ()
        return
    placed = status in (S.RPBA, S.RPPA)
    if not (placed and seen.supplier_unread):
        ctx.stand(flags.DISPATCH_ON_WRONG_DESK, placed and seen.on_lender_s_shelf)
    waits = not any(leg.gone or leg.certain for leg in seen.patron_legs.values())
    ctx.stand(flags.SUPPLIER_ITEM_BACK_EARLY, status in UNDER_WAY and supplier.back in UNDER_WAY and waits)
    open_hold = status in BEFORE_SHIPPING | UNDER_WAY
    ctx.stand(flags.CLOSED_WITHOUT_LOAN, open_hold and seen.closed_without_loan)
    judge_adopted(ctx, seen)
    _unproven(ctx, seen)
    _travels_on(ctx, seen)
    for flag, statuses in _STANDS_IN.items():
        if status not in statuses:
            ctx.stand(flag, False)


def _unproven(ctx: StepContext, seen: Evidence) -> None:
    """The item is in place at the lender, but nothing shows that it ever left: no proof of a return."""
    status, supplier = ctx.status, seen.supplier
    in_place = supplier.item is ItemState.AVAILABLE
    looked = status is ctx.initial and Role.SUPPLIER in ctx.fresh
    for waiting, flag in _UNPROVEN.items():
        if status is not waiting or not in_place:
            ctx.stand(flag, False)
        elif looked:
            ctx.stand(flag, True)


def _travels_on(ctx: StepContext, seen: Evidence) -> None:
    """Cancelled in time, as it seemed, and the lender's item was in transit afterwards: what was made for the request
    stays until that is over, and is only then cleaned up."""
    if flags.CANCELLED_IN_TRANSIT not in ctx.state.standing or Role.SUPPLIER not in ctx.fresh:
        return
    leg = seen.supplier
    out = leg.item is ItemState.TRANSIT or leg.item in NOT_IN_HAND or leg.loan is LoanState.ACTIVE
    if not out:
        ctx.stand(flags.CANCELLED_IN_TRANSIT, False)
        ctx.do(A.CLEANUP)
