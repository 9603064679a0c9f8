"""The words of direct consortial borrowing (DCB): statuses, sides, evidence, deeds.

Statuses, outcomes and transaction states are those of OpenRS's dcb-service and FOLIO's mod-dcb; what Alma
itself calls a thing is translated by `alma_words`.
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


class Role(StrEnum):
    """The part that one library system plays in a request."""

    SUPPLIER = "SUPPLIER"
    BORROWER = "BORROWER"
    PICKUP = "PICKUP"


class Hold(StrEnum):
    """What a visible hold request is at."""

    CONFIRMED = "CONFIRMED"
    READY = "READY"


class Item(StrEnum):
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


class Loan(StrEnum):
    """The loan of the request's item to the request's user."""

    ACTIVE = "ACTIVE"
    COMPLETE = "COMPLETE"
    NONE = "NONE"


class LoanProcess(StrEnum):
    """What has befallen an active loan."""

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
    """How a hold request came to its end. Alma never says so by itself; see `closure`."""

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


class Outcome(StrEnum):
    """What the patron had of it in the end."""

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


class ActionType(StrEnum):
    """A deed in Alma (or in a partner's system) that a transition asks for."""

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
    SYNC_BARCODE = "SYNC_BARCODE"
    BORROWER_CHECK_IN = "BORROWER_CHECK_IN"
    RESOLVE_NEXT_SUPPLIER = "RESOLVE_NEXT_SUPPLIER"
    CLEANUP = "CLEANUP"


class AckName(StrEnum):
    """What came of a deed of ours, or what an operator decided."""

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
