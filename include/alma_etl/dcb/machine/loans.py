"""What a reading of the loan does to the memory of its side: lent, renewed, recalled, lost, returned."""

from alma_etl.dcb.machine import alma_words, flags
from alma_etl.dcb.machine.memory import place_item, prove, recall
from alma_etl.dcb.machine.observations import LoanRead, Observation
from alma_etl.dcb.machine.run import Run
from alma_etl.dcb.machine.state import Leg
from alma_etl.dcb.machine.vocabulary import ActionType, Item, Loan, LoanProcess, Proof, Role, Status

_AFTER_LENDING = frozenset({Status.LOANED, Status.RETURN_TRANSIT, Status.AWAITING_RETURN})
_NOT_IN_HAND = frozenset({Item.LOST, Item.MISSING, Item.CLAIMED_RETURNED, Item.GONE})
_SAYS_NOT_LENT = frozenset({Item.AVAILABLE, Item.REQUESTED, Item.TRANSIT, Item.HOLDSHELF, Item.NOT_IN_PLACE})


def outvotes(loan: LoanRead | None, item: Item) -> bool:
    """Whether the loan of the same cycle contradicts the item: two reads a second apart, and the loan wins."""
    if loan is None or not loan.found or loan.loan_status is None:
        return False
    word = alma_words.loan_of(loan.loan_status)
    return (word is Loan.ACTIVE and item in _SAYS_NOT_LENT) or (word is Loan.COMPLETE and item is Item.LOANED)


def project_loan(run: Run, seen: Observation, leg: Leg, read: LoanRead) -> None:
    """Take a reading of the loan into the memory. Without an answer it changes nothing."""
    if read.found is None:
        return
    word = alma_words.loan_of(read.loan_status) if read.loan_status else None
    leg.raw_loan, leg.raw_loan_process = read.loan_status, read.process_status
    run.stand(flags.UNKNOWN_LOAN_STATUS, read.found and word is None)
    if read.found and word is None:
        leg.failed |= {"loan"}
        return
    leg.loan_at = seen.at or leg.loan_at
    before_ours = read.loan_date and leg.requested and read.loan_date < leg.requested
    if not read.found or before_ours:
        leg.loan, leg.loan_process = Loan.NONE, None
        return
    if word is Loan.ACTIVE:
        _active(run, seen.role, leg, read)
    elif seen.role is Role.SUPPLIER:
        _complete_at_supplier(run, leg, read)
    else:
        _complete_at_patron(run, seen.role, leg, read)
    leg.loan_id = read.loan_id or leg.loan_id


def _active(run: Run, role: Role, leg: Leg, read: LoanRead) -> None:
    process = alma_words.loan_process_of(read.process_status) if read.process_status else None
    run.stand(flags.UNKNOWN_LOAN_PROCESS_STATUS, read.process_status is not None and process is None)
    if run.status is Status.LOANED:
        if role is Role.SUPPLIER:
            _watch_recall(run, leg, read, process)
        elif leg.loan is Loan.ACTIVE:
            _watch_renewal(run, leg, read, process)
    leg.loan, leg.loan_process = Loan.ACTIVE, process
    leg.due = read.due_date or leg.due
    leg.renewed = read.last_renew_date or leg.renewed
    leg.lent, leg.closed_in = True, None
    if leg.item not in _NOT_IN_HAND:
        place_item(run, leg, Item.LOANED)
    if role is not Role.SUPPLIER:
        prove(run, role, leg, Proof.LOANED)


def _watch_renewal(run: Run, leg: Leg, read: LoanRead, process: LoanProcess | None) -> None:
    """The patron's loan runs longer than it did when last seen."""
    later = read.due_date and leg.due and read.due_date > leg.due
    newer = read.last_renew_date and (leg.renewed is None or read.last_renew_date > leg.renewed)
    marked = process is LoanProcess.RENEW and leg.loan_process is not LoanProcess.RENEW
    if later or newer or marked:
        run.flag(flags.RENEWED)
        run.do(ActionType.RENEW_SUPPLIER_LOAN)


def _watch_recall(run: Run, leg: Leg, read: LoanRead, process: LoanProcess | None) -> None:
    """The lender's loan was recalled, or shall end earlier than it did when last seen."""
    if leg.loan_process is LoanProcess.RECALL:
        return
    earlier = read.due_date and leg.due and read.due_date < leg.due
    if process is LoanProcess.RECALL or earlier:
        recall(run)


def _complete_at_supplier(run: Run, leg: Leg, read: LoanRead) -> None:
    """A complete loan at the lender proves the return, if it is ours and the book was not paid for instead."""
    leg.loan, leg.loan_process = Loan.COMPLETE, None
    if run.status not in _AFTER_LENDING:
        leg.lent = False  # an earlier loan to the same user, or one undone before the patron had the book
        return
    if read.loan_date and leg.requested and read.loan_date >= leg.requested:
        leg.lent = True
    if leg.lent and leg.item not in _NOT_IN_HAND:
        leg.closed_in = run.status


def _complete_at_patron(run: Run, role: Role, leg: Leg, read: LoanRead) -> None:
    """The patron brought the book back, unless it was lost and paid for.

    A hold that is still there was not consumed by this loan, which is then an earlier one of the same item.
    """
    if leg.proof < Proof.LOANED and leg.hold_alive:
        leg.loan = Loan.NONE
        return
    leg.loan, leg.loan_process, leg.lent = Loan.COMPLETE, None, True
    leg.due = read.due_date or leg.due
    if leg.item not in _NOT_IN_HAND:
        prove(run, role, leg, Proof.RETURNED)
