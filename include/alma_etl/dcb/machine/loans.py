"""What a reading of the loan does to the memory of a side: lent, renewed, recalled, lost, returned.

A loan also ends when a lost book is paid for. So its end counts as a return only when the same look shows the item, and
not as lost, missing or claimed.
"""

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.memory import AFTER_LENDING, NOT_IN_HAND, place_item, prove
from alma_etl.dcb.machine.model import Leg, LoanRead, Moment, Observation, StepContext
from alma_etl.dcb.machine.vocabulary import (
    ActionType,
    ItemState,
    LoanProcess,
    LoanState,
    Proof,
    Role,
    Status,
    alma_code,
    loan_of,
    loan_process_of,
)

_SAYS_NOT_LENT = frozenset(
    {ItemState.AVAILABLE, ItemState.REQUESTED, ItemState.TRANSIT, ItemState.HOLDSHELF, ItemState.NOT_IN_PLACE}
)
_ELSEWHERE = _SAYS_NOT_LENT - {ItemState.NOT_IN_PLACE}
_CALM = ("NORMAL", "RENEW")  # a recalled loan that becomes overdue is recalled all the same


def outvotes(loan: LoanRead | None, item: ItemState) -> bool:
    """Whether the loan of the same cycle contradicts the item: two reads a second apart, and the loan wins."""
    if loan is None or not loan.found:
        return False
    word = loan_of(loan.loan_status)
    return (word is LoanState.ACTIVE and item in _SAYS_NOT_LENT) or (
        word is LoanState.COMPLETE and item is ItemState.LOANED
    )


def take_loan(ctx: StepContext, seen: Observation, leg: Leg, read: LoanRead, where: ItemState | None) -> None:
    """Take a reading of the loan into the memory. Without an answer it changes nothing.

    ``where``: the item as the same look shows it; None when it does not.
    """
    if read.found is None:
        return
    if not read.found and _just_made(ctx, leg, seen.at):
        return
    word = loan_of(read.loan_status)
    leg.raw_loan, leg.raw_loan_process = read.loan_status, read.process_status
    ctx.stand(flags.UNKNOWN_LOAN_STATUS, read.found and word is None)
    if read.found and word is None:
        leg.failed |= {"loan"}
        return
    ran = leg.loan is LoanState.ACTIVE and leg.loan_at is not None
    leg.loan_at = seen.at or leg.loan_at
    before_ours = read.loan_date and leg.requested and read.loan_date < leg.requested
    if not read.found or before_ours:
        _not_there(ctx, seen.role, leg, where, ran=ran)
    elif word is LoanState.ACTIVE:
        _active(ctx, seen.role, leg, read)
    elif seen.role is Role.SUPPLIER:
        _complete_at_supplier(ctx, leg, read, where)
    else:
        _complete_at_patron(ctx, leg, read, where)
    _lent_to_others(ctx, seen.role, leg, seen.at, where)
    if not before_ours:
        leg.loan_id = read.loan_id or leg.loan_id


def _just_made(ctx: StepContext, leg: Leg, at: Moment | None) -> bool:
    """A loan that we made a moment ago and nobody has seen yet: a list without it may be older than the loan."""
    if leg.loan is not LoanState.ACTIVE or leg.raw_loan is not None or leg.loan_at is None or at is None:
        return False
    return not at.is_apart_from(leg.loan_at, ctx.policy.gap)


# --- active


def _active(ctx: StepContext, role: Role, leg: Leg, read: LoanRead) -> None:
    process = loan_process_of(read.process_status)
    ctx.stand(flags.UNKNOWN_LOAN_PROCESS_STATUS, read.process_status is not None and process is None)
    if ctx.status is Status.LOANED and leg.loan is LoanState.ACTIVE:
        _watch_due(ctx, role, leg, read, process)
    leg.loan, leg.loan_process = LoanState.ACTIVE, process
    leg.due = read.due_date or leg.due
    leg.renewed = read.last_renew_date or leg.renewed
    leg.lent, leg.closed_in = True, None
    if leg.item not in NOT_IN_HAND:
        place_item(ctx, leg, ItemState.LOANED)
    if role is not Role.SUPPLIER:
        prove(ctx, leg, Proof.LOANED)


def _watch_due(ctx: StepContext, role: Role, leg: Leg, read: LoanRead, process: LoanProcess | None) -> None:
    """A due date that merely moves is neither a renewal nor a recall: calendars and bulk changes move it too."""
    if _is_renewed(leg, read, process):
        if role is not Role.SUPPLIER:
            ctx.flag(flags.RENEWED)
            ctx.do(ActionType.RENEW_SUPPLIER_LOAN)
        return
    recalled = process is LoanProcess.RECALL and role is Role.SUPPLIER
    if read.due_date and leg.due and read.due_date != leg.due and not recalled:
        ctx.flag(flags.LOAN_DUE_CHANGED)


def _is_renewed(leg: Leg, read: LoanRead, process: LoanProcess | None) -> bool:
    """By the date of the last renewal; where Alma gives none, by RENEW that is new or comes with a later due date."""
    if read.last_renew_date is not None:
        newer = leg.renewed is None or read.last_renew_date > leg.renewed
        return newer or (process is LoanProcess.RENEW and leg.loan_process is not LoanProcess.RENEW)
    later = read.due_date is not None and leg.due is not None and read.due_date > leg.due
    return process is LoanProcess.RENEW and (leg.loan_process is not LoanProcess.RENEW or later)


def watch_recall(ctx: StepContext, seen: Observation, leg: Leg) -> None:
    """The lender wants the book back, or somebody there waits for it: the patron shall not renew any more, until that
    is over. It counts whenever it began: perhaps before the patron had the book."""
    if ctx.status is not Status.LOANED:
        return
    recalled = leg.loan is LoanState.ACTIVE and leg.loan_process is LoanProcess.RECALL
    if leg.recalled:
        _end_recall(ctx, seen, leg)
    elif recalled or (seen.item is not None and seen.item.other_requests):
        leg.recalled = True
        ctx.flag(flags.RECALLED)
        ctx.do(ActionType.PREVENT_RENEWAL_AT_BORROWER)


def _end_recall(ctx: StepContext, seen: Observation, leg: Leg) -> None:
    """The lender's loan is recalled no more and nobody waits for the book: the patron may renew again."""
    loan, item = seen.loan, seen.item
    if (
        leg.loan is not LoanState.ACTIVE
        or loan is None
        or not loan.found
        or alma_code(loan.process_status) not in _CALM
    ):
        return
    counted = item is not None and item.other_requests is not None
    if leg.other_requests is None or (counted and not leg.other_requests):
        leg.recalled = False
        ctx.do(ActionType.RESTORE_RENEWAL_AT_BORROWER)


# --- over


def _complete_at_supplier(ctx: StepContext, leg: Leg, read: LoanRead, where: ItemState | None) -> None:
    """A complete loan at the lender proves the return, if it is ours and the book was not paid for instead."""
    leg.loan, leg.loan_process = LoanState.COMPLETE, None
    if ctx.status not in AFTER_LENDING:
        leg.lent = False  # an earlier loan to the same user, or one undone before the patron had the book
        return
    if read.loan_date and leg.requested and read.loan_date >= leg.requested:
        leg.lent = True
    if leg.lent and _is_in_hand(where):
        leg.closed_in = ctx.status


def _complete_at_patron(ctx: StepContext, leg: Leg, read: LoanRead, where: ItemState | None) -> None:
    """The patron had the book; and brought it back, unless it was lost and paid for.

    A loan that is over before the hold was seen to be gone did not consume it: it is an earlier one of the same item.
    """
    if leg.proof < Proof.LOANED and not (leg.gone or leg.certain):
        leg.loan = LoanState.NONE
        return
    leg.loan, leg.loan_process, leg.lent = LoanState.COMPLETE, None, True
    leg.due = read.due_date or leg.due
    if _is_in_hand(where):
        prove(ctx, leg, Proof.RETURNED)
    elif leg.proof < Proof.LOANED:
        prove(ctx, leg, Proof.LOANED)


def _is_in_hand(where: ItemState | None) -> bool:
    return where is not None and where not in NOT_IN_HAND


def _not_there(ctx: StepContext, role: Role, leg: Leg, where: ItemState | None, *, ran: bool) -> None:
    """There is no loan. One of ours that ran is over where the item is elsewhere: Alma may forget a loan when it ends.
    As long as the item does not show that, nothing is known to have changed."""
    ran = ran or leg.relent is not None
    if not (ran and leg.lent and ctx.status in AFTER_LENDING):
        leg.loan, leg.loan_process = LoanState.NONE, None
    elif where in _ELSEWHERE:
        _forgotten(ctx, role, leg)
    elif where is ItemState.LOANED:
        leg.loan, leg.loan_process = LoanState.NONE, None


def _forgotten(ctx: StepContext, role: Role, leg: Leg) -> None:
    leg.loan, leg.loan_process = LoanState.COMPLETE, None
    if role is Role.SUPPLIER:
        leg.closed_in = ctx.status
    else:
        prove(ctx, leg, Proof.RETURNED)


def _lent_to_others(
    ctx: StepContext, role: Role, leg: Leg, at: Moment | None, where: ItemState | None
) -> None:
    """The item is lent although our loan is over: to somebody else, when two sightings far enough apart say so."""
    if where is None:
        return
    over = leg.loan is LoanState.COMPLETE or (leg.loan is LoanState.NONE and leg.lent)
    if where is not ItemState.LOANED or not over or ctx.status not in AFTER_LENDING:
        leg.relent = None
        if role is not Role.SUPPLIER and (leg.proof is Proof.RETURNED or ctx.status is Status.LOANED):
            ctx.stand(flags.LOANED_AGAIN, False)
    elif leg.relent is None:
        leg.relent = at
    elif at is None or at.is_apart_from(leg.relent, ctx.policy.gap):
        if role is Role.SUPPLIER:
            _forgotten(ctx, role, leg)
        else:
            ctx.stand(flags.LOANED_AGAIN, True)
