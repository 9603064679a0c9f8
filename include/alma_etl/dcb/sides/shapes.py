"""Alma's request, item and loan as the parts of an observation: codes as they came, "" for absent, nothing personal."""

from __future__ import annotations

from datetime import datetime

from alma_etl.alma import shapes
from alma_etl.alma.items import Item
from alma_etl.alma.loans import Loan
from alma_etl.alma.user_requests import UserRequest
from alma_etl.dcb.machine.model import ItemRead, LoanRead, RequestRead, read_time
from alma_etl.dcb.machine.vocabulary import HISTORY, Closure, Role, alma_code
from alma_etl.dcb.store.rows import LegRecord

_NEVER = 9000


def gone(hint: str | None) -> RequestRead:
    """The hold is not there; ``hint`` is how it ended, where a webhook told it."""
    return RequestRead(False, closure=_hinted(hint))


def of_request(request: UserRequest, hint: str | None = None) -> RequestRead:
    """A hold that Alma shows: an open one, or a closed one in the history."""
    raw = request.raw
    closed = alma_code(request.status) == HISTORY
    return RequestRead(
        found=True,
        request_status=request.status or None,
        task_name=request.task_name or None,
        expiry_date=_time(raw.get("expiry_date")),
        request_date=_time(raw.get("request_time")) or _time(raw.get("request_date")),
        item_id=request.item_pid or None,
        closure=_ended(request, hint) if closed else None,
    )


def _ended(request: UserRequest, hint: str | None) -> Closure | None:
    cancelled = shapes.text(request.raw.get("cancel_reason"))
    return Closure.CANCELED if cancelled else _hinted(hint)


def _hinted(hint: str | None) -> Closure | None:
    return Closure(hint) if hint and hint in Closure.__members__ else None


def of_item(item: Item, leg: LegRecord) -> ItemRead:
    """An item. Whether others want it is counted only while our loan has taken our own hold out of the queue."""
    data = item.raw.get("item_data", {})
    lent = leg.role is Role.SUPPLIER and leg.loan_id is not None and item.process_type == "LOAN"
    return ItemRead(
        found=True,
        base_status=item.base_status or None,
        process_type=item.process_type or None,
        barcode=item.barcode or None,
        other_requests=int(item.requested) if lent and "requested" in data else None,
    )


def of_loan(loan: Loan) -> LoanRead:
    """A loan, active or complete."""
    return LoanRead(
        found=True,
        loan_status=loan.loan_status or None,
        process_status=loan.process_status or None,
        due_date=_time(loan.due_date),
        loan_date=_time(loan.loan_date),
        last_renew_date=_time(loan.raw.get("last_renew_date")),
        loan_id=loan.loan_id,
    )


def _time(value: object) -> datetime | None:
    """A date or time of Alma's. One that cannot be read says nothing, and must not spoil what is beside it; no more
    does one that means "never", from which nothing can be reckoned on."""
    text = shapes.text(value)
    try:
        moment = read_time(text) if text else None
    except ValueError:
        return None
    return moment if moment is None or moment.year < _NEVER else None
