"""mod-dcb's transactions and the rules by which they move.

A PUT moves what the API may move; the rest comes from FOLIO's own circulation (``happened``). A lender's and a
borrower's transaction walk the chain of states, so that a PUT may skip some; where the patron fetches the book
(PICKUP, BORROWING-PICKUP) only the first and the last step, and cancelling, are the API's.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

CREATED, OPEN, AWAITING_PICKUP = "CREATED", "OPEN", "AWAITING_PICKUP"
CHECKED_OUT, CHECKED_IN, CLOSED = "ITEM_CHECKED_OUT", "ITEM_CHECKED_IN", "CLOSED"
CANCELLED, EXPIRED, ERROR = "CANCELLED", "EXPIRED", "ERROR"
CHAIN = (CREATED, OPEN, AWAITING_PICKUP, CHECKED_OUT, CHECKED_IN, CLOSED)
STATES = (*CHAIN, CANCELLED, EXPIRED, ERROR)
LENDER, BORROWER, PICKUP, BORROWING_PICKUP = "LENDER", "BORROWER", "PICKUP", "BORROWING-PICKUP"
ROLES = (LENDER, BORROWER, PICKUP, BORROWING_PICKUP)

_FETCHES = (PICKUP, BORROWING_PICKUP)
_PUT_AT_PICKUP = {(CREATED, OPEN), (CHECKED_IN, CLOSED)}
_BY_HAND = {(CREATED, OPEN), (CHECKED_IN, CLOSED)}  # steps of a lender that only a check-in makes
# role group -> event of FOLIO's circulation -> {state before: state after}
_EVENTS: dict[str, dict[str, dict[str, str]]] = {
    LENDER: {
        "CHECK_IN": {CREATED: OPEN, CHECKED_IN: CLOSED},
        "REQUEST_CANCELLED": {CREATED: CANCELLED, OPEN: CANCELLED, AWAITING_PICKUP: CANCELLED},
    },
    PICKUP: {
        "AWAITING_PICKUP": {OPEN: AWAITING_PICKUP},
        "CHECK_OUT": {AWAITING_PICKUP: CHECKED_OUT},
        "CHECK_IN": {CHECKED_OUT: CHECKED_IN, EXPIRED: CLOSED},
        "HOLD_SHELF_EXPIRED": {AWAITING_PICKUP: EXPIRED},
        "REQUEST_CANCELLED": {CREATED: CANCELLED, OPEN: CANCELLED, AWAITING_PICKUP: CANCELLED},
    },
    BORROWER: {},
}


class Refused(ValueError):
    """mod-dcb says no: an HTTP status, the code of its error, and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Transaction:
    """One transaction; ``details`` is what it was created with (item, patron, pickup)."""

    id: str
    role: str
    details: dict[str, Any]
    status: str
    updated: datetime
    cancelling: bool = False
    renewal_blocked: bool = False
    renewals: int = 0
    history: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """As the API shows it."""
        item = dict(self.details.get("item") or {})
        if self.role == LENDER and self.status == CHECKED_OUT:
            item["renewalInfo"] = {"renewalCount": self.renewals, "renewable": not self.renewal_blocked}
        return {"status": self.status, "role": self.role, "item": item}

    def move(self, status: str, now: datetime) -> None:
        """Go to a state, and note when."""
        self.history.append(self.status)
        self.status, self.updated = status, now


def put(found: Transaction, wanted: str, now: datetime, *, cancel_by_event: bool) -> None:
    """Move a transaction as a PUT of ``status`` does. Raises Refused as mod-dcb would."""
    if wanted not in STATES:
        raise Refused(400, "VALIDATION_ERROR", f"Unexpected value '{wanted}'")
    if wanted == found.status:
        raise Refused(
            400, "VALIDATION_ERROR", f"Current transaction status equal to new transaction status: {wanted}"
        )
    if found.status == CLOSED or (wanted == CANCELLED and found.status in (CHECKED_OUT, CHECKED_IN)):
        raise Refused(
            400, "VALIDATION_ERROR", f"Cannot cancel transaction. Already in status: {found.status}"
        )
    refusal = Refused(
        400, "VALIDATION_ERROR", f"Status transition will not be possible from {found.status} to {wanted}"
    )
    if found.status not in CHAIN or wanted in (EXPIRED, ERROR):
        raise refusal
    if wanted == CANCELLED:
        if found.role == LENDER and cancel_by_event:
            found.cancelling = True
        else:
            found.move(CANCELLED, now)
        return
    before, after = CHAIN.index(found.status), CHAIN.index(wanted)
    if after < before:
        raise refusal
    steps = list(zip(CHAIN[before:after], CHAIN[before + 1 : after + 1], strict=True))
    if found.role in _FETCHES and (found.status, wanted) not in _PUT_AT_PICKUP:
        raise refusal
    if found.role == LENDER and any(step in _BY_HAND for step in steps):
        raise refusal
    for _, state in steps:
        found.move(state, now)


def happened(found: Transaction, event: str, now: datetime) -> None:
    """Move a transaction as FOLIO's circulation does. ValueError when nothing listens to that event in its state."""
    events = _EVENTS[PICKUP if found.role in _FETCHES else found.role]
    after = events.get(event, {}).get(found.status)
    if after is None:
        known = ", ".join(name for name, steps in events.items() if found.status in steps) or "none"
        raise ValueError(f"a {found.role} that is {found.status} takes no {event}; it takes {known}")
    found.cancelling = False
    found.move(after, now)


class Transactions:
    """All transactions by id."""

    def __init__(self) -> None:
        self.by_id: dict[str, Transaction] = {}

    def create(self, txn_id: str, body: dict[str, Any], now: datetime) -> Transaction:
        """Begin one. Raises Refused for one that exists (409) and for a body that lacks something (400)."""
        if txn_id in self.by_id:
            message = f"unable to create transaction with id {txn_id} as it already exists"
            raise Refused(409, "DUPLICATE_ERROR", message)
        role = body.get("role")
        if role not in ROLES:
            raise Refused(400, "VALIDATION_ERROR", "role: must be one of " + ", ".join(ROLES))
        for part, needed in (("item", ("id", "barcode")), ("patron", ("id",))):
            given = body.get(part)
            missing = [name for name in needed if not isinstance(given, dict) or not given.get(name)]
            if missing:
                raise Refused(400, "VALIDATION_ERROR", f"{part}.{missing[0]}: must not be null")
        details: dict[str, Any] = {name: body[name] for name in ("item", "patron", "pickup") if name in body}
        made = self.by_id[txn_id] = Transaction(txn_id, str(role), details, CREATED, now)
        return made

    def get(self, txn_id: str) -> Transaction:
        """One by its id. Raises Refused (404)."""
        found = self.by_id.get(txn_id)
        if found is None:
            raise Refused(404, "NOT_FOUND_ERROR", f"DCB Transaction was not found by id= {txn_id}")
        return found

    def changed(self, since: datetime, until: datetime) -> list[Transaction]:
        """Those that changed in a window, by the time of their last change."""
        found = [each for each in self.by_id.values() if since <= each.updated <= until]
        return sorted(found, key=lambda each: (each.updated, each.id))
