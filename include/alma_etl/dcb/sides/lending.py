"""The loans of a request, as actions of the outbox: made, renewed, and their due dates brought into line."""

from __future__ import annotations

import logging

from alma_etl.alma.loans import Loan
from alma_etl.dcb.machine.model import Ack
from alma_etl.dcb.machine.vocabulary import AckName, Role
from alma_etl.dcb.sides import alma_act, alma_read
from alma_etl.dcb.sides.patrons import outlast
from alma_etl.dcb.sides.ports import Impossible, Unsettled, describe
from alma_etl.dcb.sides.systems import ActionContext, ActionResult
from alma_etl.dcb.store.rows import LegRecord
from alma_etl.errors import RunStopped
from alma_etl.remote.errors import RemoteStop

log = logging.getLogger(__name__)

_ALIGNING = 4
"""Attempts at the lender's loan for which the patron's due date is waited for."""


def lend(context: ActionContext, leg: LegRecord) -> ActionResult:
    """The side's item is lent to the side's user. The hold is named only if it was there when last looked for."""
    alive = context.tracked.state.leg(leg.role).hold_alive
    _outlast(context, leg)
    loan = alma_act.lend(context.alma(leg), context.settings(leg), leg, leg.request_id if alive else None)
    name = AckName.SUPPLIER_LOAN_CREATED if leg.role is Role.SUPPLIER else AckName.BORROWER_LOAN_CREATED
    ack = Ack(name, context.moment(), leg.role, loan=alma_read.of_loan(loan))
    return ActionResult((ack, *_align_due_date(context, leg, loan)))


def renew(context: ActionContext, leg: LegRecord) -> ActionResult:
    """The lender's loan is renewed, as the patron renewed his."""
    user_id, pid = alma_act.user_and_item(leg)
    known_due = context.tracked.state.leg(leg.role).due
    _outlast(context, leg)
    loan = alma_act.renew(context.alma(leg), user_id, pid, context.row.created_at, known_due)
    ack = Ack(AckName.LOAN_RENEWED, context.moment(), leg.role, loan=alma_read.of_loan(loan))
    return ActionResult((ack, *_align_due_date(context, leg, loan)))


def _outlast(context: ActionContext, leg: LegRecord) -> None:
    """The lender's virtual patron lasts longer than the patron's loan. A refusal forbids no loan: it may be shorter."""
    if leg.role is not Role.SUPPLIER or leg.user_id is None:
        return
    dues = [each.due for role, each in context.tracked.state.legs.items() if role is not Role.SUPPLIER]
    try:
        outlast(context.alma(leg), leg.user_id, max(filter(None, dues), default=None), context.now())
    except Impossible as refusal:
        log.warning("%s: %s", context.tracked.pr_id, refusal)


def _align_due_date(context: ActionContext, leg: LegRecord, loan: Loan) -> list[Ack]:
    """By the setting, the patron's loans get the due date of the lender's.

    The lender's loan is what matters: after some attempts, or when it is refused, it is reported without this.
    """
    if leg.role is not Role.SUPPLIER or not context.systems.align_due_date:
        return []
    return [ack for side in context.patron_legs for ack in _aligned(context, side, loan)]


def _aligned(context: ActionContext, leg: LegRecord, lenders: Loan) -> list[Ack]:
    if leg.system_kind != "ALMA" or leg.user_id is None or leg.item_pid is None:
        return []
    try:
        loan = alma_act.align_due_date(context.alma(leg), leg.user_id, leg.item_pid, lenders)
    except (Impossible, Unsettled, RunStopped, RemoteStop) as problem:
        text = describe(problem) if isinstance(problem, RemoteStop) else str(problem)
        if not isinstance(problem, Impossible) and context.row.attempts < _ALIGNING:
            raise Unsettled(text) from problem
        log.warning("%s: %s", context.tracked.pr_id, text)
        return []
    if loan is None:
        return []
    return [Ack(AckName.LOAN_RENEWED, context.moment(), leg.role, loan=alma_read.of_loan(loan))]
