"""Loans: lending, renewing, due dates. A return is a scan-in; there is no call for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from alma_sandbox.catalogue.records import Item

if TYPE_CHECKING:
    from alma_sandbox.sandbox import Sandbox

_DAYS = {"01": 28, "02": 7, "ILL": 21, "DCB_NO_RENEW": 21}
_DEFAULT_DAYS = 28
NOT_RENEWABLE = ("DCB_NO_RENEW",)


@dataclass
class Loan:
    """A loan; ``status`` is ACTIVE or COMPLETE."""

    id: str
    user_id: str
    item_pid: str
    mms_id: str
    holding_id: str
    barcode: str
    library: str
    desk: str
    loan_date: datetime
    due_date: datetime
    status: str = "ACTIVE"
    process_status: str = "NORMAL"
    return_date: datetime | None = None
    last_renew_date: datetime | None = None
    last_renew_status: str = ""


class Loans:
    """All loans of a sandbox by id, oldest first."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.by_id: dict[str, Loan] = {}
        self._of_item: dict[str, list[Loan]] = {}
        self._of_user: dict[str, list[Loan]] = {}
        self._of_title: dict[str, list[Loan]] = {}

    def add(self, loan: Loan) -> None:
        """Enter a new loan."""
        self.by_id[loan.id] = loan
        for index, key in (
            (self._of_item, loan.item_pid),
            (self._of_user, loan.user_id),
            (self._of_title, loan.mms_id),
        ):
            index.setdefault(key, []).append(loan)

    def active_of_item(self, pid: str) -> Loan | None:
        """The loan that an item is out on."""
        return next((loan for loan in self._of_item.get(pid, ()) if loan.status == "ACTIVE"), None)

    def of_item(self, pid: str) -> list[Loan]:
        """Every loan of an item, oldest first."""
        return list(self._of_item.get(pid, ()))

    def of_user(self, user_id: str) -> list[Loan]:
        """Every loan of a user, oldest first."""
        return list(self._of_user.get(user_id, ()))

    def of_title(self, mms_id: str) -> list[Loan]:
        """Every loan of a title's items, oldest first."""
        return list(self._of_title.get(mms_id, ()))

    def is_kept(self, loan: Loan) -> bool:
        """Whether calls know a loan (still): ended ones are anonymised where the settings say so."""
        return loan.status == "ACTIVE" or self._sandbox.settings.ended_loans == "history"

    def move(self, loan: Loan, *, user_id: str = "", mms_id: str = "", holding_id: str = "") -> None:
        """Give a loan to another user, or let it follow its item to another title or holding."""
        for index, old, new in (
            (self._of_user, loan.user_id, user_id or loan.user_id),
            (self._of_title, loan.mms_id, mms_id or loan.mms_id),
        ):
            if old != new:
                index[old].remove(loan)
                index[new] = sorted([*index.get(new, ()), loan], key=lambda each: each.loan_date)
        loan.user_id, loan.mms_id = user_id or loan.user_id, mms_id or loan.mms_id
        loan.holding_id = holding_id or loan.holding_id

    def due(self, item: Item) -> datetime:
        """When an item that is lent or renewed now is due: at 18:00 after the days of its policy."""
        policy = (
            item.temp_policy if item.in_temp_location and item.temp_policy else item.codes.get("policy", "")
        )
        day = self._sandbox.clock.now() + timedelta(days=_DAYS.get(policy, _DEFAULT_DAYS))
        return day.replace(hour=18, minute=0, second=0, microsecond=0)

    def complete(self, loan: Loan, *, returned: bool = True) -> None:
        """Complete a loan: the item was returned, or is lost and was paid for."""
        loan.status, loan.return_date = "COMPLETE", self._sandbox.clock.now() if returned else None
