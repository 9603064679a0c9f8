"""What came of our own deeds, and what operators decide.

An ack carries the time of the write: the side's clock, item and loan are set by it, so that a read that began
before the write is stale, and the effect of our own scan is no news.
"""

from collections.abc import Sequence

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.evidence import place_item, project
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

_REQUIRED = frozenset({ActionType.PLACE_AT_BORROWER, ActionType.PLACE_AT_PICKUP})
S = Status


def take(run: StepContext, ack: Ack) -> SeenAs:
    """Take an ack. One that does not fit the status, or comes again, changes nothing."""
    match ack.name:
        case AckName.BORROWER_PLACED if (
            run.status is S.CONFIRMED and run.state.workflow is not Workflow.LOCAL
        ):
            _written(run, ack, Role.BORROWER)
            placed_at_borrower(run)
        case AckName.PICKUP_PLACED if run.status is S.RPBA:
            _written(run, ack, Role.PICKUP)
            placed_at_pickup(run)
        case AckName.SUPPLIER_LOAN_CREATED:
            _lent(run, ack, Role.SUPPLIER)
        case AckName.BORROWER_LOAN_CREATED:
            _lent(run, ack, Role.BORROWER)
        case AckName.SUPPLIER_LOAN_FAILED:
            _failed(run, ActionType.CREATE_SUPPLIER_LOAN)
        case AckName.SCANNED_IN | AckName.LOAN_RENEWED | AckName.BARCODE_SYNCED if ack.role is not None:
            _written(run, ack, ack.role)
        case AckName.NEXT_SUPPLIER if run.status is S.NOT_SUPPLIED:
            generation = run.leg(Role.SUPPLIER).generation + 1
            run.state.legs[Role.SUPPLIER] = Leg(generation=generation, at=ack.at)
            run.go(S.RPSA, "ResolveNextSupplier")
        case AckName.NO_ITEMS if run.status is S.NOT_SUPPLIED:
            run.go(S.NO_ITEMS, "ResolveNextSupplier")
            run.state.outcome = RequestOutcome.NOT_SUPPLIED
        case AckName.CLEANED_UP if run.status in SETTLED:
            run.go(S.FINALISED, "FinaliseRequest")
        case AckName.ACTION_FAILED if ack.action is not None:
            _failed(run, ack.action)
        case AckName.ACTION_DONE if ack.action is not None:
            run.stand(flags.action_failed(ack.action), False)
        case AckName.OPERATOR_ROLLBACK if run.status is S.ERROR and run.state.previous is not None:
            run.go(run.state.previous, "RollbackToPrevious")
            run.state.previous = None
        case AckName.OPERATOR_CLOSE_LOST if _may_be_closed(run):
            _close(run, "CloseLost")
        case AckName.OPERATOR_CLEANUP if _may_be_closed(run):
            if _is_out(run) and not ack.force:
                run.flag(flags.OPERATOR_CLEANUP_REFUSED)
            else:
                _close(run, "CleanupPatronRequest")
        case _:
            return SeenAs.UNCHANGED
    return SeenAs.APPLIED


def _is_newer(ack: Ack, leg: Leg) -> bool:
    return ack.at is None or leg.at is None or ack.at.is_after(leg.at)


def _lent(run: StepContext, ack: Ack, role: Role) -> None:
    leg = run.leg(role)
    action = ActionType.CREATE_SUPPLIER_LOAN if role is Role.SUPPLIER else ActionType.CREATE_BORROWER_LOAN
    run.stand(flags.action_failed(action), False)
    if ack.loan is not None:
        leg.loan_id = ack.loan.loan_id or leg.loan_id
    if not _is_newer(ack, leg):
        # What was read after the write stands. But now we know that the book was lent in between, so that a place
        # on the shelf must be seen once more to prove a return.
        leg.lent, leg.away, leg.back = True, True, None
        return
    leg.at = ack.at or leg.at
    leg.lent, leg.loan, leg.loan_process, leg.closed_in = True, LoanState.ACTIVE, None, None
    if ack.loan is not None:
        leg.due = ack.loan.due_date or leg.due
    place_item(run, leg, ItemState.LOANED)
    if role is not Role.SUPPLIER:
        leg.proof = Proof.LOANED


def _written(run: StepContext, ack: Ack, role: Role) -> None:
    leg = run.leg(role)
    leg.barcode = ack.barcode or leg.barcode
    if not _is_newer(ack, leg):
        return
    leg.at = ack.at or leg.at
    if ack.item is not None and ack.item.found:
        _item_after_scan(run, leg, ack.item)
    if ack.loan is not None and ack.loan.found:
        leg.due = ack.loan.due_date or leg.due
        leg.renewed = ack.loan.last_renew_date or leg.renewed
        word = loan_of(ack.loan.loan_status) if ack.loan.loan_status else None
        leg.loan = word or leg.loan


def _item_after_scan(run: StepContext, leg: Leg, read: ItemRead) -> None:
    """Where our scan put the item. It came there by our hand, so it is no edge and proves nothing."""
    word = item_of(read.base_status, read.process_type)
    leg.raw_base, leg.raw_process = read.base_status, read.process_type
    if word is not None:
        place_item(run, leg, word)
        leg.back = None


def _failed(run: StepContext, action: ActionType) -> None:
    """A deed failed for good. Without a required one the request cannot go on; the others are for people."""
    if action in _REQUIRED and run.status not in TERMINAL | SETTLED | {S.ERROR}:
        run.state.previous = run.status
        run.go(S.ERROR, "ActionFailed")
    if action is ActionType.CREATE_SUPPLIER_LOAN and run.leg(Role.SUPPLIER).lent:
        return
    run.stand(flags.action_failed(action), True)


def _may_be_closed(run: StepContext) -> bool:
    return run.status not in TERMINAL | SETTLED


def _is_out(run: StepContext) -> bool:
    status = run.state.previous if run.status is S.ERROR else run.status
    return status in BOOK_OUT


def _close(run: StepContext, handler: str) -> None:
    run.go(S.COMPLETED, handler)
    run.state.outcome = RequestOutcome.UNKNOWN
    run.do(ActionType.CLEANUP)


# --- When a deed is still wanted. It may be done long after the step that asked for it, so it is asked again then.

A, S = ActionType, Status

_SCANS: dict[str, frozenset[Status]] = {
    "TRANSIT": frozenset({S.PICKUP_TRANSIT}),
    "RECEIVED": frozenset({S.READY_FOR_PICKUP}),
    "COMPLETED": frozenset({S.COMPLETED}),
}
_WANTED: dict[ActionType, frozenset[Status]] = {
    A.PLACE_AT_BORROWER: frozenset({S.CONFIRMED}),
    A.PLACE_AT_PICKUP: frozenset({S.RPBA}),
    A.CREATE_SUPPLIER_LOAN: frozenset({S.LOANED}),
    A.CREATE_BORROWER_LOAN: frozenset({S.LOANED}),
    A.CANCEL_SUPPLIER_HOLD: frozenset({S.CANCELLED, S.AWAITING_RETURN, S.RETURN_TRANSIT, S.COMPLETED}),
    A.VERIFY_SUPPLIER_HOLD_GONE: frozenset({S.AWAITING_RETURN, S.CANCELLED}),
    A.RENEW_SUPPLIER_LOAN: frozenset({S.LOANED}),
    A.PREVENT_RENEWAL_AT_BORROWER: frozenset({S.LOANED}),
    A.SYNC_BARCODE: BEFORE_SHIPPING | BOOK_OUT,
    A.BORROWER_CHECK_IN: frozenset({S.RETURN_TRANSIT, S.COMPLETED}),
    A.RESOLVE_NEXT_SUPPLIER: frozenset({S.NOT_SUPPLIED}),
    A.CLEANUP: SETTLED,
}

FOLLOW_UPS: dict[Status, Action] = {
    S.NOT_SUPPLIED: Action(A.RESOLVE_NEXT_SUPPLIER),
    S.NO_ITEMS: Action(A.CLEANUP),
}
"""What a status asks for by itself, whatever led to it. The machine leaves it to whoever runs the request."""


def is_wanted(action: ActionType, args: Sequence[str], status: Status) -> bool:
    """Whether a deed makes sense in ``status``; else it was overtaken by events."""
    statuses = _SCANS.get(args[0] if args else "") if action not in _WANTED else _WANTED[action]
    return statuses is not None and status in statuses


# --- The machine: one pure function from a state and what was seen to the next state and what it brings about.

DEFAULT_POLICY = Policy()
_ORDER = {Role.SUPPLIER: 0, Role.BORROWER: 1, Role.PICKUP: 2}


def step(state: State, seen: Sequence[Seen], policy: Policy = DEFAULT_POLICY) -> StepResult:
    """One cycle of one request: what was seen of all its sides, and what came of our deeds.

    All sides are taken into the memory first (the lender's, the borrower's, the pickup library's, whatever order
    they come in), then the rules are applied until none holds, so one cycle may bring several transitions. In
    ERROR observations are remembered, and the rules rest. ``state`` is not changed. Raises ValueError when
    labels and times are mixed.
    """
    run = StepContext(state, policy)
    verdicts: dict[int, SeenAs] = {}
    for index in sorted(range(len(seen)), key=lambda place: _rank(seen[place])):
        each = seen[index]
        verdicts[index] = take(run, each) if isinstance(each, Ack) else project(run, each)
    if run.status is not Status.ERROR:
        settle(run)
    judge(run)
    changed = bool(run.transitions or run.actions or run.flags)
    return StepResult(
        state=run.state,
        transitions=tuple(run.transitions),
        actions=tuple(run.actions),
        flags=tuple(run.flags),
        seen=tuple(
            SeenAs.UNCHANGED if verdicts[index] is SeenAs.APPLIED and not changed else verdicts[index]
            for index in range(len(seen))
        ),
    )


def _rank(seen: Seen) -> int:
    """Acks first: a write is known before what was read after it."""
    return -1 if isinstance(seen, Ack) else _ORDER[seen.role]
