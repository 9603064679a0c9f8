"""Alma's words in ours.

Each function returns None for a word nobody knows: the caller keeps it raw, raises a flag, and never acts on
it. Sources: the fields ``request_status``, ``base_status``, ``process_type``, ``loan_status`` and
``process_status`` of Alma's user request, item and item loan, and Alma's code table PROCESSTYPE.
"""

from alma_etl.dcb.machine.vocabulary import Hold, Item, Loan, LoanProcess, Txn

HISTORY = "HISTORY"
"""The request_status of a closed request, where Alma still shows it."""

_HOLD = {
    "NOT_STARTED": Hold.CONFIRMED,
    "IN_PROCESS": Hold.CONFIRMED,
    "ON_HOLD_SHELF": Hold.READY,
}

_PROCESS = {
    "LOAN": Item.LOANED,
    "TRANSIT": Item.TRANSIT,
    "HOLDSHELF": Item.HOLDSHELF,
    "REQUESTED": Item.REQUESTED,
    "MISSING": Item.MISSING,
    "LOST_LOAN": Item.LOST,
    "LOST_LOAN_AND_PAID": Item.LOST,
    "LOST_ILL": Item.LOST,
    "CLAIM_RETURNED_LOAN": Item.CLAIMED_RETURNED,
    # Away from the shelf, but for the lender's own reasons: never a dispatch and never a return.
    "TRANSIT_TO_REMOTE_STORAGE": Item.OTHER,
    "ILL": Item.OTHER,
    "WORK_ORDER_DEPARTMENT": Item.OTHER,
    "ACQ": Item.OTHER,
    "TECHNICAL": Item.OTHER,
}

_BASE = {"1": Item.AVAILABLE, "0": Item.NOT_IN_PLACE}

_LOAN_PROCESS = {process.value: process for process in LoanProcess} | {
    "CLAIM_RETURN": LoanProcess.CLAIMED_RETURN  # documents and tenants differ in the spelling
}


def code(word: str) -> str:
    """A word as Alma's JSON spells it; the XML form of a status is a phrase ("In Process")."""
    return word.strip().upper().replace(" ", "_")


def hold_of(request_status: str) -> Hold | None:
    """What an open hold request is at. The words of resource sharing (SHIPPED_PHYSICALLY, ...) are unknown here."""
    return _HOLD.get(code(request_status))


def item_of(base_status: str | None, process_type: str | None) -> Item | None:
    """Where an item is: the process type tells, and the base status when there is none."""
    if process_type:
        return _PROCESS.get(code(process_type))
    return _BASE.get(base_status or "")


def loan_of(loan_status: str) -> Loan | None:
    """ACTIVE or COMPLETE, in whatever case."""
    word = code(loan_status)
    return Loan(word) if word in (Loan.ACTIVE, Loan.COMPLETE) else None


def loan_process_of(process_status: str) -> LoanProcess | None:
    """What befell a loan; the many kinds of overdue notice befall nothing."""
    word = code(process_status)
    return LoanProcess.NORMAL if word.startswith("OVERDUE") else _LOAN_PROCESS.get(word)


def txn_of(status: str) -> Txn | None:
    """A mod-dcb transaction's status."""
    word = code(status)
    return Txn(word) if word in Txn.__members__ else None
