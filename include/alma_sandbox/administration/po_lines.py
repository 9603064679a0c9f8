"""PO lines: kept in the shape in which they were sent, with a number and a status."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alma_sandbox.http.answers import Payload

if TYPE_CHECKING:
    from alma_sandbox.sandbox import Sandbox

# Numbers may hold a slash, which must go into the path as it is.
_AT_FIRST = (
    ("POL-1001", "ACTIVE", "Standing order for gifts"),
    ("POL-1002", "CLOSED", "A closed order"),
    ("POL-1003", "CANCELLED", "A cancelled order"),
    ("123456/0005", "ACTIVE", "An order of an older system"),
)


@dataclass
class PoLine:
    """One PO line; ``body`` is what the caller sent."""

    number: str
    status: str
    body: Payload
    mms_id: str = ""
    created_date: str = "2021-01-01Z"
    items: list[str] = field(default_factory=list)
    receipts: dict[str, str] = field(default_factory=dict)  # item pid -> date
    alerts: list[str] = field(default_factory=list)  # why it waits in review
    encumbers: dict[str, str] = field(default_factory=dict)  # fund -> sum, once it is out of review
    manual_review: bool = False
    made_at: str = ""  # when a call created it


class PoLines:
    """All PO lines of a sandbox by number."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.by_number: dict[str, PoLine] = {}
        for number, status, title in _AT_FIRST:
            body: Payload = {
                "owner": {"value": "MAIN", "desc": "Main Library"},
                "type": {"value": "PRINTED_BOOK_OT", "desc": "Print Book - One Time"},
                "vendor": {"value": "VENDOR1", "desc": "First Vendor"},
                "vendor_account": "VENDOR1",
                "resource_metadata": {"title": title},
            }
            self.by_number[number] = PoLine(number, status, body)

    def find(self, number: str) -> PoLine | None:
        """A PO line by its number."""
        return self.by_number.get(number)

    def new_number(self) -> str:
        """The next free number."""
        while True:
            number = f"POL-{2001 + self._sandbox.catalogue.counter.number('po_line')}"
            if number not in self.by_number:
                return number
