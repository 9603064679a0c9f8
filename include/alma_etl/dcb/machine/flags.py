"""Flags: what people should know about a request beyond its status.

A *standing* flag is a condition that holds until it is seen to be over, and asks for a person; an *event* happened
at one moment. docs/dcb.md explains each.
"""

from alma_etl.dcb.machine.vocabulary import ActionType, ItemState, LoanProcess, Role

# Events
STALE_OBSERVATION_DROPPED = "STALE_OBSERVATION_DROPPED"
LOAN_MISSED_BETWEEN_POLLS = "LOAN_MISSED_BETWEEN_POLLS"
SUPPLIER_LOANED_EARLY = "SUPPLIER_LOANED_EARLY"
RETURNED_DIRECT_TO_SUPPLIER = "RETURNED_DIRECT_TO_SUPPLIER"
RENEWED = "RENEWED"
RECALLED = "RECALLED"

# Standing
SUPPLIER_PATRON_BLOCKED = "SUPPLIER_PATRON_BLOCKED"
SUPPLIER_LOAN_FAILED = "SUPPLIER_LOAN_FAILED"
SUPPLIER_ITEM_BACK_EARLY = "SUPPLIER_ITEM_BACK_EARLY"
DISPATCH_ON_WRONG_DESK = "DISPATCH_ON_WRONG_DESK"
COMPLETION_UNPROVEN = "COMPLETION_UNPROVEN"
RETURN_UNPROVEN = "RETURN_UNPROVEN"
PATRON_GONE = "PATRON_GONE"

# Ours: events
LOAN_DUE_CHANGED = "LOAN_DUE_CHANGED"
SUPPLIER_ITEM_CHANGED = "SUPPLIER_ITEM_CHANGED"
OPERATOR_CLEANUP_REFUSED = "OPERATOR_CLEANUP_REFUSED"

# Ours: standing
ADOPTED_DISAGREES = "ADOPTED_DISAGREES"
CANCELLED_IN_TRANSIT = "CANCELLED_IN_TRANSIT"
UNKNOWN_REQUEST_STATUS = "UNKNOWN_REQUEST_STATUS"
UNKNOWN_PROCESS_TYPE = "UNKNOWN_PROCESS_TYPE"
UNKNOWN_LOAN_STATUS = "UNKNOWN_LOAN_STATUS"
UNKNOWN_LOAN_PROCESS_STATUS = "UNKNOWN_LOAN_PROCESS_STATUS"
UNKNOWN_TXN_STATE = "UNKNOWN_TXN_STATE"
TXN_ERROR = "TXN_ERROR"
TXN_MISSING = "TXN_MISSING"
TXN_CLOSED_EARLY = "TXN_CLOSED_EARLY"
CLOSED_WITHOUT_LOAN = "CLOSED_WITHOUT_LOAN"
LOANED_AGAIN = "LOANED_AGAIN"
LOANED_AFTER_CANCEL = "LOANED_AFTER_CANCEL"


def barcode_changed(role: Role) -> str:
    """The side's item has another barcode than before (event)."""
    return f"{role}_BARCODE_CHANGED"


def action_failed(action: ActionType) -> str:
    """An action of ours failed permanently (standing, until it succeeds)."""
    if action is ActionType.CREATE_SUPPLIER_LOAN:
        return SUPPLIER_LOAN_FAILED
    return f"{action}_FAILED"


TROUBLE_ITEMS = {
    ItemState.LOST: "ITEM_LOST",
    ItemState.MISSING: "ITEM_MISSING",
    ItemState.CLAIMED_RETURNED: "ITEM_CLAIMED_RETURNED",
    ItemState.GONE: "ITEM_GONE",
}
TROUBLE_LOANS = {
    LoanProcess.LOST: ItemState.LOST,
    LoanProcess.CLAIMED_RETURN: ItemState.CLAIMED_RETURNED,
}


def item_trouble(role: Role, item: ItemState) -> str:
    """The side's item is lost, missing, claimed returned or gone (standing)."""
    return f"{role}_{TROUBLE_ITEMS[item]}"


def is_item_trouble(flag: str) -> bool:
    """Whether a flag is one of `item_trouble`: such requests are read once a day, on all sides."""
    return any(flag.endswith(f"_{trouble}") for trouble in TROUBLE_ITEMS.values())
