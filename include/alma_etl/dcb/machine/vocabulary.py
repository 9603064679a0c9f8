"""The words of direct consortial borrowing (DCB): statuses and their legal order, sides, evidence, actions.

A word of Alma is translated by the functions at the end.

Statuses, outcomes and transaction states are those of OpenRS's dcb-service and FOLIO's mod-dcb.
"""

from enum import IntEnum, StrEnum


class Status(StrEnum):
    """A patron request's status, from "placed at the supplying agency" to "finalised"."""

    RPSA = "REQUEST_PLACED_AT_SUPPLYING_AGENCY"
    CONFIRMED = "CONFIRMED"
    HANDED_OFF_AS_LOCAL = "HANDED_OFF_AS_LOCAL"
    RPBA = "REQUEST_PLACED_AT_BORROWING_AGENCY"
    RPPA = "REQUEST_PLACED_AT_PICKUP_AGENCY"
    PICKUP_TRANSIT = "PICKUP_TRANSIT"
    RECEIVED_AT_PICKUP = "RECEIVED_AT_PICKUP"
    READY_FOR_PICKUP = "READY_FOR_PICKUP"
    LOANED = "LOANED"
    RETURN_TRANSIT = "RETURN_TRANSIT"
    COMPLETED = "COMPLETED"
    AWAITING_RETURN = "AWAITING_RETURN_TO_SUPPLIER"
    CANCELLED = "CANCELLED"
    NOT_SUPPLIED = "NOT_SUPPLIED_CURRENT_SUPPLIER"
    NO_ITEMS = "NO_ITEMS_SELECTABLE_AT_ANY_AGENCY"
    FINALISED = "FINALISED"
    ERROR = "ERROR"


class Workflow(StrEnum):
    """Who takes part: two systems, a third one for pickup, a walk-up at the supplier, or nobody else."""

    STANDARD = "RET-STD"
    PICKUP_ANYWHERE = "RET-PUA"
    EXPEDITED = "RET-EXP"
    LOCAL = "RET-LOCAL"


# --- the statuses in groups, and which may follow which

S = Status

TERMINAL = frozenset({S.FINALISED, S.HANDED_OFF_AS_LOCAL})
"""Nothing follows; these are not polled."""

SETTLED = frozenset({S.COMPLETED, S.CANCELLED, S.NO_ITEMS})
"""Decided; only the cleanup is left, so these are not polled either."""

BEFORE_SHIPPING = frozenset({S.RPSA, S.CONFIRMED, S.RPBA, S.RPPA})
UNDER_WAY = frozenset({S.PICKUP_TRANSIT, S.RECEIVED_AT_PICKUP, S.READY_FOR_PICKUP})
BOOK_OUT = UNDER_WAY | {S.LOANED, S.RETURN_TRANSIT, S.AWAITING_RETURN}
"""The lender's book is away from the lender, as far as anybody has shown."""

_NEXT: dict[Status, set[Status]] = {
    S.RPSA: {S.CONFIRMED, S.NOT_SUPPLIED},
    S.CONFIRMED: {S.RPBA},
    S.RPBA: {S.RPPA, S.PICKUP_TRANSIT, S.NOT_SUPPLIED, S.CANCELLED},
    S.RPPA: {S.PICKUP_TRANSIT, S.NOT_SUPPLIED, S.CANCELLED},
    S.PICKUP_TRANSIT: {S.RECEIVED_AT_PICKUP, S.AWAITING_RETURN},
    S.RECEIVED_AT_PICKUP: {S.READY_FOR_PICKUP, S.AWAITING_RETURN},
    S.READY_FOR_PICKUP: {S.LOANED, S.AWAITING_RETURN},
    S.LOANED: {S.RETURN_TRANSIT},
    S.RETURN_TRANSIT: {S.COMPLETED},
    S.AWAITING_RETURN: {S.CANCELLED},
    S.NOT_SUPPLIED: {S.RPSA, S.NO_ITEMS},
    S.COMPLETED: {S.FINALISED},
    S.CANCELLED: {S.FINALISED},
    S.NO_ITEMS: {S.FINALISED},
}
_NEXT_IN_WORKFLOW: dict[tuple[Workflow, Status], Status] = {
    (Workflow.LOCAL, S.CONFIRMED): S.HANDED_OFF_AS_LOCAL,
    (Workflow.EXPEDITED, S.RPBA): S.LOANED,
}


def is_legal(frm: Status, to: Status, workflow: Workflow = Workflow.STANDARD) -> bool:
    """Whether observations, or the results of our actions, may lead from ``frm`` to ``to``. Nothing goes backwards."""
    return to in _NEXT.get(frm, ()) or to is _NEXT_IN_WORKFLOW.get((workflow, frm))


def is_legal_for_operator(frm: Status, to: Status, previous: Status | None) -> bool:
    """Whether a person (or the final failure of a required action) may lead from ``frm`` to ``to``.

    ``previous`` is the status in which the request stood before ERROR.
    """
    if frm in TERMINAL | SETTLED:
        return False
    if to is S.ERROR:
        return frm is not S.ERROR
    return to is S.COMPLETED or (frm is S.ERROR and to is previous)


# --- who takes part, and what is seen of them


class Role(StrEnum):
    """The part that one library system plays in a request."""

    SUPPLIER = "SUPPLIER"
    BORROWER = "BORROWER"
    PICKUP = "PICKUP"


class HoldState(StrEnum):
    """The state of a hold request that is visible."""

    CONFIRMED = "CONFIRMED"
    READY = "READY"


class ItemState(StrEnum):
    """Where an item is, as far as its system says."""

    AVAILABLE = "AVAILABLE"
    REQUESTED = "REQUESTED"
    TRANSIT = "TRANSIT"
    HOLDSHELF = "HOLDSHELF"
    LOANED = "LOANED"
    MISSING = "MISSING"
    LOST = "LOST"
    CLAIMED_RETURNED = "CLAIMED_RETURNED"
    NOT_IN_PLACE = "NOT_IN_PLACE"
    OTHER = "OTHER"
    GONE = "GONE"


class LoanState(StrEnum):
    """The loan of the request's item to the request's user."""

    ACTIVE = "ACTIVE"
    COMPLETE = "COMPLETE"
    NONE = "NONE"


class LoanProcess(StrEnum):
    """What has happened to an active loan."""

    NORMAL = "NORMAL"
    RENEW = "RENEW"
    RECALL = "RECALL"
    LOST = "LOST"
    CLAIMED_RETURN = "CLAIMED_RETURN"


class Txn(StrEnum):
    """A mod-dcb transaction's status; MISSING stands for "the transaction does not exist" (404)."""

    CREATED = "CREATED"
    OPEN = "OPEN"
    AWAITING_PICKUP = "AWAITING_PICKUP"
    ITEM_CHECKED_OUT = "ITEM_CHECKED_OUT"
    ITEM_CHECKED_IN = "ITEM_CHECKED_IN"
    EXPIRED = "EXPIRED"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"
    MISSING = "MISSING"


class Closure(StrEnum):
    """How a hold request came to its end. Alma never says so by itself; see `evidence.classify`."""

    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    HOLD_SHELF_EXPIRED = "HOLD_SHELF_EXPIRED"
    UNKNOWN = "UNKNOWN"


class Confidence(StrEnum):
    """How sure a conclusion is."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class RequestOutcome(StrEnum):
    """What the patron got in the end."""

    SUPPLIED = "SUPPLIED"
    NOT_SUPPLIED = "NOT_SUPPLIED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


class Proof(IntEnum):
    """How far the book has provably come on the patron's side, the later the greater."""

    NOTHING = 0
    SHELF = 1
    LOANED = 2
    RETURNED = 3


TXN_OF: dict[Status, Txn] = {
    S.CONFIRMED: Txn.CREATED,
    S.RPBA: Txn.CREATED,
    S.RPPA: Txn.CREATED,
    S.PICKUP_TRANSIT: Txn.OPEN,
    S.RECEIVED_AT_PICKUP: Txn.AWAITING_PICKUP,
    S.READY_FOR_PICKUP: Txn.AWAITING_PICKUP,
    S.LOANED: Txn.ITEM_CHECKED_OUT,
    S.RETURN_TRANSIT: Txn.ITEM_CHECKED_IN,
    S.COMPLETED: Txn.CLOSED,
    S.AWAITING_RETURN: Txn.CANCELLED,
    S.CANCELLED: Txn.CANCELLED,
}
"""The mod-dcb transaction state that a status stands for; a status that is not named stands for none."""

ITEM_OF: dict[Status, str] = {
    S.CONFIRMED: "AVAILABLE",
    S.RPBA: "AVAILABLE",
    S.RPPA: "AVAILABLE",
    S.PICKUP_TRANSIT: "TRANSIT",
    S.RECEIVED_AT_PICKUP: "HOLDSHELF",
    S.READY_FOR_PICKUP: "HOLDSHELF",
    S.LOANED: "LOANED",
    S.RETURN_TRANSIT: "TRANSIT",
    S.COMPLETED: "AVAILABLE",
}
"""The canonical word for the item that dcb-service expects with a status."""


# --- what we do


class ActionType(StrEnum):
    """An action in Alma (or in a partner's system) that a transition asks for."""

    PLACE_AT_BORROWER = "PLACE_AT_BORROWER"
    PLACE_AT_PICKUP = "PLACE_AT_PICKUP"
    BORROWER_SCAN_IN = "BORROWER_SCAN_IN"
    PICKUP_SCAN_IN = "PICKUP_SCAN_IN"
    SUPPLIER_SCAN_IN = "SUPPLIER_SCAN_IN"
    CREATE_SUPPLIER_LOAN = "CREATE_SUPPLIER_LOAN"
    CREATE_BORROWER_LOAN = "CREATE_BORROWER_LOAN"
    CANCEL_SUPPLIER_HOLD = "CANCEL_SUPPLIER_HOLD"
    VERIFY_SUPPLIER_HOLD_GONE = "VERIFY_SUPPLIER_HOLD_GONE"
    RENEW_SUPPLIER_LOAN = "RENEW_SUPPLIER_LOAN"
    PREVENT_RENEWAL_AT_BORROWER = "PREVENT_RENEWAL_AT_BORROWER"
    RESTORE_RENEWAL_AT_BORROWER = "RESTORE_RENEWAL_AT_BORROWER"
    SYNC_BARCODE = "SYNC_BARCODE"
    BORROWER_CHECK_IN = "BORROWER_CHECK_IN"
    RESOLVE_NEXT_SUPPLIER = "RESOLVE_NEXT_SUPPLIER"
    CLEANUP = "CLEANUP"


class AckName(StrEnum):
    """The result of an action of ours, or an operator's decision."""

    BORROWER_PLACED = "BORROWER_PLACED"
    PICKUP_PLACED = "PICKUP_PLACED"
    SUPPLIER_LOAN_CREATED = "SUPPLIER_LOAN_CREATED"
    SUPPLIER_LOAN_FAILED = "SUPPLIER_LOAN_FAILED"
    BORROWER_LOAN_CREATED = "BORROWER_LOAN_CREATED"
    SCANNED_IN = "SCANNED_IN"
    LOAN_RENEWED = "LOAN_RENEWED"
    BARCODE_SYNCED = "BARCODE_SYNCED"
    NEXT_SUPPLIER = "NEXT_SUPPLIER"
    NO_ITEMS = "NO_ITEMS"
    CLEANED_UP = "CLEANED_UP"
    ACTION_DONE = "ACTION_DONE"
    ACTION_FAILED = "ACTION_FAILED"
    OPERATOR_ROLLBACK = "OPERATOR_ROLLBACK"
    OPERATOR_CLOSE_LOST = "OPERATOR_CLOSE_LOST"
    OPERATOR_CLEANUP = "OPERATOR_CLEANUP"
    OPERATOR_RELINKED = "OPERATOR_RELINKED"
    OPERATOR_NOTED = "OPERATOR_NOTED"
    ADOPTED = "ADOPTED"


# --- Alma's words in ours
#
# Each function returns None for a word nobody knows: the caller keeps it raw, raises a flag, and never acts on
# it. Sources: the fields ``request_status``, ``base_status``, ``process_type``, ``loan_status`` and
# ``process_status`` of Alma's user request, item and item loan, and Alma's code table PROCESSTYPE.

HISTORY = "HISTORY"
"""The request_status of a closed request, where Alma still shows it."""

_HOLD = {
    "NOT_STARTED": HoldState.CONFIRMED,
    "IN_PROCESS": HoldState.CONFIRMED,
    "ON_HOLD_SHELF": HoldState.READY,
}

STARTED = frozenset({"IN_PROCESS", "ON_HOLD_SHELF"})
"""The request_status of a hold that is being worked on: what is done with the item may be done for it."""

_PROCESS = {
    "LOAN": ItemState.LOANED,
    "TRANSIT": ItemState.TRANSIT,
    "HOLDSHELF": ItemState.HOLDSHELF,
    "REQUESTED": ItemState.REQUESTED,
    "MISSING": ItemState.MISSING,
    "LOST_LOAN": ItemState.LOST,
    "LOST_LOAN_AND_PAID": ItemState.LOST,
    "LOST_ILL": ItemState.LOST,
    "CLAIM_RETURNED_LOAN": ItemState.CLAIMED_RETURNED,
    # Away from the shelf, but for the lender's own reasons: never a dispatch and never a return.
    "TRANSIT_TO_REMOTE_STORAGE": ItemState.OTHER,
    "ILL": ItemState.OTHER,
    "WORK_ORDER_DEPARTMENT": ItemState.OTHER,
    "ACQ": ItemState.OTHER,
    "TECHNICAL": ItemState.OTHER,
}

_BASE = {"1": ItemState.AVAILABLE, "0": ItemState.NOT_IN_PLACE}

_LOAN_PROCESS = {process.value: process for process in LoanProcess} | {
    "CLAIM_RETURN": LoanProcess.CLAIMED_RETURN  # documents and tenants differ in the spelling
}


def alma_code(word: str | None) -> str:
    """A word as Alma's JSON spells it, "" for none; the XML form of a status is a phrase ("In Process")."""
    return (word or "").strip().upper().replace(" ", "_")


def hold_of(request_status: str | None) -> HoldState | None:
    """The state of an open hold request. The words of resource sharing (SHIPPED_PHYSICALLY, ...) are unknown here."""
    return _HOLD.get(alma_code(request_status))


def item_of(base_status: str | None, process_type: str | None) -> ItemState | None:
    """Where an item is: by the process type, or by the base status when there is none."""
    if process_type:
        return _PROCESS.get(alma_code(process_type))
    return _BASE.get(base_status or "")


def loan_of(loan_status: str | None) -> LoanState | None:
    """ACTIVE or COMPLETE, in whatever case."""
    word = alma_code(loan_status)
    return LoanState(word) if word in (LoanState.ACTIVE, LoanState.COMPLETE) else None


def loan_process_of(process_status: str | None) -> LoanProcess | None:
    """What has happened to a loan; the many kinds of overdue notice count as NORMAL."""
    word = alma_code(process_status)
    return LoanProcess.NORMAL if word.startswith("OVERDUE") else _LOAN_PROCESS.get(word)


def txn_of(status: str) -> Txn | None:
    """A mod-dcb transaction's status."""
    word = alma_code(status)
    return Txn(word) if word in Txn.__members__ else None
