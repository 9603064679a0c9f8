"""Publishing to webhooks what a call did. Links in webhooks are relative."""

from dataclasses import replace

from alma_sandbox.catalogue.records import Bib, Item
from alma_sandbox.circulation.loans import Loan
from alma_sandbox.circulation.requests import UserRequest
from alma_sandbox.http.call import BASE, Call
from alma_sandbox.routes import shapes


def _relative(call: Call) -> Call:
    return replace(call, base=BASE)


def bib(call: Call, found: Bib, event: str, text: str) -> None:
    """BIB_CREATED, BIB_UPDATED, BIB_DELETED."""
    call.sandbox.events.emit("BIB", (event, text), "bib", shapes.bib(_relative(call), found))


def item(call: Call, found: Item, event: str, text: str) -> None:
    """ITEM_CREATED, ITEM_UPDATED, ITEM_DELETED."""
    call.sandbox.events.emit("ITEM", (event, text), "item", shapes.item(_relative(call), found))


def loan(call: Call, found: Loan, event: str, text: str) -> None:
    """LOAN_CREATED, LOAN_RENEWED, LOAN_DUE_DATE, LOAN_RETURNED."""
    call.sandbox.events.emit("LOAN", (event, text), "item_loan", shapes.loan(_relative(call), found))


def request(call: Call, found: UserRequest, event: str, text: str) -> None:
    """REQUEST_CREATED, REQUEST_PLACED_ON_SHELF, REQUEST_CANCELED, REQUEST_CLOSED."""
    payload = shapes.user_request(_relative(call), found)
    call.sandbox.events.emit("REQUEST", (event, text), "user_request", payload)
