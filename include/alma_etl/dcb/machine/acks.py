"""What came of our own deeds, and what operators decide.

An ack carries the time of the write: the side's clock, item and loan are set by it, so that a read that began
before the write is stale, and the effect of our own scan is no news.
"""

from alma_etl.dcb.machine import alma_words, flags
from alma_etl.dcb.machine.edges import BOOK_OUT, SETTLED, TERMINAL
from alma_etl.dcb.machine.memory import place_item
from alma_etl.dcb.machine.observations import Ack, ItemRead
from alma_etl.dcb.machine.result import SeenAs
from alma_etl.dcb.machine.rules import placed_at_borrower, placed_at_pickup
from alma_etl.dcb.machine.run import Run
from alma_etl.dcb.machine.state import Leg
from alma_etl.dcb.machine.vocabulary import (
    AckName,
    ActionType,
    Item,
    Loan,
    Outcome,
    Proof,
    Role,
    Status,
    Workflow,
)

_REQUIRED = frozenset({ActionType.PLACE_AT_BORROWER, ActionType.PLACE_AT_PICKUP})
S = Status


def take(run: Run, ack: Ack) -> SeenAs:
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
            run.state.outcome = Outcome.NOT_SUPPLIED
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


def _lent(run: Run, ack: Ack, role: Role) -> None:
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
    leg.lent, leg.loan, leg.loan_process, leg.closed_in = True, Loan.ACTIVE, None, None
    if ack.loan is not None:
        leg.due = ack.loan.due_date or leg.due
    place_item(run, leg, Item.LOANED)
    if role is not Role.SUPPLIER:
        leg.proof = Proof.LOANED


def _written(run: Run, ack: Ack, role: Role) -> None:
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
        word = alma_words.loan_of(ack.loan.loan_status) if ack.loan.loan_status else None
        leg.loan = word or leg.loan


def _item_after_scan(run: Run, leg: Leg, read: ItemRead) -> None:
    """Where our scan put the item. It came there by our hand, so it is no edge and proves nothing."""
    word = alma_words.item_of(read.base_status, read.process_type)
    leg.raw_base, leg.raw_process = read.base_status, read.process_type
    if word is not None:
        place_item(run, leg, word)
        leg.back = None


def _failed(run: Run, action: ActionType) -> None:
    """A deed failed for good. Without a required one the request cannot go on; the others are for people."""
    if action in _REQUIRED and run.status not in TERMINAL | SETTLED | {S.ERROR}:
        run.state.previous = run.status
        run.go(S.ERROR, "ActionFailed")
    if action is ActionType.CREATE_SUPPLIER_LOAN and run.leg(Role.SUPPLIER).lent:
        return
    run.stand(flags.action_failed(action), True)


def _may_be_closed(run: Run) -> bool:
    return run.status not in TERMINAL | SETTLED


def _is_out(run: Run) -> bool:
    status = run.state.previous if run.status is S.ERROR else run.status
    return status in BOOK_OUT


def _close(run: Run, handler: str) -> None:
    run.go(S.COMPLETED, handler)
    run.state.outcome = Outcome.UNKNOWN
    run.do(ActionType.CLEANUP)
