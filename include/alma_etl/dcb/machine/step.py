"""The machine: one pure function from a state and what was seen to the next state and what it brings about.

An ack carries the time of the write: the side's clock, item and loan are set by it, so that a read that began
before the write is stale, and the effect of our own scan is no news.
"""

from collections.abc import Collection, Sequence

from alma_etl.dcb.machine import adopting, flags
from alma_etl.dcb.machine.evidence import project
from alma_etl.dcb.machine.memory import place_item
from alma_etl.dcb.machine.model import (
    Ack,
    Action,
    ItemRead,
    Leg,
    Policy,
    Seen,
    SeenAs,
    State,
    StepContext,
    StepResult,
)
from alma_etl.dcb.machine.relinking import relink
from alma_etl.dcb.machine.rules import judge, placed_at_borrower, placed_at_pickup, settle
from alma_etl.dcb.machine.vocabulary import (
    BEFORE_SHIPPING,
    BOOK_OUT,
    SETTLED,
    TERMINAL,
    AckName,
    ActionType,
    ItemState,
    LoanState,
    Proof,
    RequestOutcome,
    Role,
    Status,
    Workflow,
    item_of,
    loan_of,
)

A, S = ActionType, Status
DEFAULT_POLICY = Policy()


def step(state: State, seen: Sequence[Seen], policy: Policy = DEFAULT_POLICY) -> StepResult:
    """Take one cycle of one request: what was seen of all its sides, and the results of our actions.

    All sides are taken into the memory first (the lender's, the borrower's, the pickup library's, whatever order
    they come in), then the rules are applied until none holds, so one cycle may bring several transitions. In
    ERROR observations are remembered, and the rules rest. ``state`` is not changed. Raises ValueError when
    labels and times are mixed, IllegalTransition when a rule asks for a change that is not legal.
    """
    ctx = StepContext(state, policy)
    verdicts: dict[int, SeenAs] = {}
    for index in sorted(range(len(seen)), key=lambda place: _rank(seen[place])):
        each = seen[index]
        verdicts[index] = _take(ctx, each) if isinstance(each, Ack) else project(ctx, each)
    if ctx.status is not Status.ERROR and not adopting.is_adoption(ctx.transitions):
        settle(ctx)
    judge(ctx)
    changed = bool(ctx.transitions or ctx.actions or ctx.flags)
    return StepResult(
        state=ctx.state,
        transitions=tuple(ctx.transitions),
        actions=tuple(ctx.actions),
        flags=tuple(ctx.flags),
        seen=tuple(
            SeenAs.UNCHANGED if verdicts[index] is SeenAs.APPLIED and not changed else verdicts[index]
            for index in range(len(seen))
        ),
    )


def _rank(seen: Seen) -> int:
    """Acks first: a write is known before what was read after it."""
    return -1 if isinstance(seen, Ack) else list(Role).index(seen.role)


# --- acks: the results of our actions, and what operators decide

_REQUIRED = frozenset({ActionType.PLACE_AT_BORROWER, ActionType.PLACE_AT_PICKUP})


def _take(ctx: StepContext, ack: Ack) -> SeenAs:  # noqa: C901, PLR0912 - a case for each ack
    """Take an ack. One that does not fit the status, or comes again, changes nothing."""
    match ack.name:
        case AckName.BORROWER_PLACED if (
            ctx.status is S.CONFIRMED and ctx.state.workflow is not Workflow.LOCAL
        ):
            _written(ctx, ack, Role.BORROWER)
            placed_at_borrower(ctx)
        case AckName.PICKUP_PLACED if ctx.status is S.RPBA:
            _written(ctx, ack, Role.PICKUP)
            placed_at_pickup(ctx)
        case AckName.SUPPLIER_LOAN_CREATED:
            _lent(ctx, ack, Role.SUPPLIER)
        case AckName.BORROWER_LOAN_CREATED:
            _lent(ctx, ack, Role.BORROWER)
        case AckName.SUPPLIER_LOAN_FAILED:
            _failed(ctx, ActionType.CREATE_SUPPLIER_LOAN)
        case AckName.SCANNED_IN | AckName.LOAN_RENEWED | AckName.BARCODE_SYNCED if ack.role is not None:
            _written(ctx, ack, ack.role)
        case AckName.NEXT_SUPPLIER if ctx.status is S.NOT_SUPPLIED:
            generation = ctx.leg(Role.SUPPLIER).generation + 1
            ctx.state.legs[Role.SUPPLIER] = Leg(generation=generation, at=ack.at)
            ctx.go(S.RPSA, "ResolveNextSupplier")
        case AckName.NO_ITEMS if ctx.status is S.NOT_SUPPLIED:
            ctx.go(S.NO_ITEMS, "ResolveNextSupplier")
            ctx.state.outcome = RequestOutcome.NOT_SUPPLIED
        case AckName.NEXT_SUPPLIER if adopting.may_resolve_again(ctx):
            adopting.resolve_again(ctx, ack)
        case AckName.ADOPTED if adopting.may_adopt(ctx, ack):
            adopting.adopt(ctx, ack)
        case AckName.CLEANED_UP if ctx.status in SETTLED:
            ctx.go(S.FINALISED, "FinaliseRequest")
        case AckName.ACTION_FAILED if ack.action is not None:
            _failed(ctx, ack.action)
        case AckName.ACTION_DONE if ack.action is not None:
            _done(ctx, ack, ack.action)
        case AckName.OPERATOR_ROLLBACK if ctx.status is S.ERROR and ctx.state.previous is not None:
            ctx.go(ctx.state.previous, "RollbackToPrevious", by_operator=True)
            ctx.state.previous = None
        case AckName.OPERATOR_CLOSE_LOST if _may_be_closed(ctx):
            _close(ctx, "CloseLost")
        case AckName.OPERATOR_CLEANUP if _may_be_closed(ctx) or _travels_on(ctx):
            _clean_up_by_hand(ctx, ack)
        case AckName.OPERATOR_RELINKED if ack.role is not None:
            relink(ctx, ack, ack.role)
        case _:
            return SeenAs.UNCHANGED
    return SeenAs.APPLIED


def _is_newer(ack: Ack, leg: Leg) -> bool:
    return ack.at is None or leg.at is None or ack.at.is_after(leg.at)


def _lent(ctx: StepContext, ack: Ack, role: Role) -> None:
    leg = ctx.leg(role)
    action = ActionType.CREATE_SUPPLIER_LOAN if role is Role.SUPPLIER else ActionType.CREATE_BORROWER_LOAN
    ctx.stand(flags.action_failed(action), False)
    if ack.loan is not None:
        leg.loan_id = ack.loan.loan_id or leg.loan_id
    if not _is_newer(ack, leg):
        # What was read after the write stands. But now we know that the book was lent in between, so that a place
        # on the shelf must be seen once more to prove a return.
        leg.lent, leg.away, leg.back = True, True, None
        return
    leg.at, leg.loan_at, leg.raw_loan = ack.at or leg.at, ack.at, None  # made, and not yet seen
    leg.lent, leg.loan, leg.loan_process, leg.closed_in = True, LoanState.ACTIVE, None, None
    if ack.loan is not None:
        leg.due = ack.loan.due_date or leg.due
    place_item(ctx, leg, ItemState.LOANED)
    if role is not Role.SUPPLIER:
        leg.proof = Proof.LOANED


def _written(ctx: StepContext, ack: Ack, role: Role) -> None:
    leg = ctx.leg(role)
    leg.barcode = ack.barcode or leg.barcode
    if not _is_newer(ack, leg):
        return
    leg.at = ack.at or leg.at
    if ack.item is not None and ack.item.found:
        _item_after_scan(ctx, leg, ack.item)
    if ack.loan is not None and ack.loan.found:
        leg.due = ack.loan.due_date or leg.due
        leg.renewed = ack.loan.last_renew_date or leg.renewed
        leg.loan = loan_of(ack.loan.loan_status) or leg.loan


def _item_after_scan(ctx: StepContext, leg: Leg, read: ItemRead) -> None:
    """Where our scan put the item. We moved it ourselves, so it is no news and proves nothing."""
    word = item_of(read.base_status, read.process_type)
    leg.raw_base, leg.raw_process = read.base_status, read.process_type
    if word is not None:
        place_item(ctx, leg, word)
        leg.back = None


def _done(ctx: StepContext, ack: Ack, action: ActionType) -> None:
    """What had failed before is done. Of a cancelled hold: the lender's item as it is then, which may have been shipped
    a moment before."""
    ctx.stand(flags.action_failed(action), False)
    leg, read = ctx.leg(Role.SUPPLIER), ack.item
    if action is not ActionType.CANCEL_SUPPLIER_HOLD:
        return
    if ctx.status is S.CANCELLED and read is not None and read.found and _is_newer(ack, leg):
        leg.at = ack.at or leg.at
        _item_after_scan(ctx, leg, read)
        travels = item_of(read.base_status, read.process_type) is ItemState.TRANSIT
        ctx.stand(flags.CANCELLED_IN_TRANSIT, travels)


def _failed(ctx: StepContext, action: ActionType) -> None:
    """An action failed permanently. Without a required one the request cannot go on; the others are for people."""
    if action in _REQUIRED and ctx.status not in TERMINAL | SETTLED | {S.ERROR}:
        ctx.state.previous = ctx.status
        ctx.go(S.ERROR, "ActionFailed", by_operator=True)
    if action is ActionType.CREATE_SUPPLIER_LOAN and ctx.leg(Role.SUPPLIER).lent:
        return
    ctx.stand(flags.action_failed(action), True)


def _may_be_closed(ctx: StepContext) -> bool:
    return ctx.status not in TERMINAL | SETTLED


def _is_out(ctx: StepContext) -> bool:
    status = ctx.state.previous if ctx.status is S.ERROR else ctx.status
    return status in BOOK_OUT


def _travels_on(ctx: StepContext) -> bool:
    return flags.CANCELLED_IN_TRANSIT in ctx.state.standing


def _clean_up_by_hand(ctx: StepContext, ack: Ack) -> None:
    """While the book is out, or a cancelled request's book travels, only by force."""
    if not ack.force and (_is_out(ctx) or _travels_on(ctx)):
        ctx.flag(flags.OPERATOR_CLEANUP_REFUSED)
    elif _travels_on(ctx):
        ctx.stand(flags.CANCELLED_IN_TRANSIT, False)
        ctx.do(ActionType.CLEANUP)
    else:
        _close(ctx, "CleanupPatronRequest")


def _close(ctx: StepContext, handler: str) -> None:
    ctx.go(S.COMPLETED, handler, by_operator=True)
    ctx.state.outcome = RequestOutcome.UNKNOWN
    ctx.do(ActionType.CLEANUP)


# --- which actions are wanted in a status

_SCANS: dict[str, Collection[Status]] = {
    "TRANSIT": {S.PICKUP_TRANSIT},
    "RECEIVED": {S.READY_FOR_PICKUP},
    "COMPLETED": {S.COMPLETED},
}
_WANTED: dict[ActionType, Collection[Status]] = {
    A.PLACE_AT_BORROWER: {S.CONFIRMED},
    A.PLACE_AT_PICKUP: {S.RPBA},
    A.CREATE_SUPPLIER_LOAN: {S.LOANED},
    A.CREATE_BORROWER_LOAN: {S.LOANED},
    A.CANCEL_SUPPLIER_HOLD: {S.CANCELLED, S.AWAITING_RETURN, S.RETURN_TRANSIT, S.COMPLETED},
    A.VERIFY_SUPPLIER_HOLD_GONE: {S.AWAITING_RETURN, S.CANCELLED},
    A.RENEW_SUPPLIER_LOAN: {S.LOANED},
    A.PREVENT_RENEWAL_AT_BORROWER: {S.LOANED},
    A.RESTORE_RENEWAL_AT_BORROWER: {S.LOANED},
    A.SYNC_BARCODE: BEFORE_SHIPPING | BOOK_OUT,
    A.BORROWER_CHECK_IN: {S.RETURN_TRANSIT, S.COMPLETED},
    A.RESOLVE_NEXT_SUPPLIER: {S.NOT_SUPPLIED},
    A.CLEANUP: SETTLED,
}

FOLLOW_UPS: dict[Status, Action] = {
    S.NOT_SUPPLIED: Action(A.RESOLVE_NEXT_SUPPLIER),
    S.NO_ITEMS: Action(A.CLEANUP),
}
"""What a status asks for by itself, whatever led to it. The machine leaves it to whoever runs the request."""


def is_wanted(
    action: ActionType, args: Sequence[str], status: Status, standing: Collection[str] = ()
) -> bool:
    """Whether an action still makes sense in ``status``; else it was overtaken by events.

    It may be done long after the step that asked for it. What a scan is for stands in its first argument. Of the flags
    that stand, CANCELLED_IN_TRANSIT puts an end to CLEANUP: the machine asks for it again when the transit is over.
    """
    if action is A.CLEANUP and flags.CANCELLED_IN_TRANSIT in standing:
        return False
    return status in (_WANTED.get(action) or _SCANS.get(args[0] if args else "", ()))
