"""What to do about an alert, by its code: shown by `alerts`, by the reports, and in docs/dcb.md, which a test compares.

Sentences are for librarians. Words in brackets are commands of `python -m alma_etl.dcb`.
"""

from __future__ import annotations

from collections.abc import Mapping

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.vocabulary import ActionType, Role, Status

STUCK = "STUCK_"
"""The code of a request that stays where it is for too long is this and its status."""

_WORD = "Report the word, with what it means in Alma; until it is known here, follow the request by hand."
_FOLIO = "Look at the transaction in FOLIO and correct it there, or close the request (operator cleanup)."
_SEARCH = "Search for the book on both sides; when it is not found, close the request as lost (operator close-lost)."
_WHO_HAS_IT = "Ask the pickup library who has the book, and have it sent back."
_SHELF = "Look on the lender's shelf; when the book is there, close the request (operator cleanup --force)."
_SHIP = "Ask the lender why the book was not shipped, or cancel the request (dcb_cancel_request)."
_SHELVED = "Look for the book on the hold shelf; have it lent, or sent back."
_PLACING = "Look at the request's timeline (explain): its placing did not get on."
_TAKE_AWAY = (
    "Take away in Alma what the alert names as left, then have the cleanup tried again (operator retry)."
)

STANDING: Mapping[str, str] = {
    flags.SUPPLIER_LOAN_FAILED: (
        "Lift what the lender's Alma has against the loan, or add the item's library to desks in config/dcb.yaml; then "
        "have it tried again (operator retry), or lend the book to the virtual patron by hand."
    ),
    flags.SUPPLIER_PATRON_BLOCKED: "Lift the block of the virtual patron in the lender's Alma.",
    flags.PATRON_GONE: "Restore the user in Alma, or name the one that took its place (relink).",
    flags.SUPPLIER_ITEM_BACK_EARLY: (
        "Look where the book is: the lender's Alma has it in place while the patron waits for it."
    ),
    flags.DISPATCH_ON_WRONG_DESK: (
        "Scan the book in at another desk of the lender: at this one its own hold is shelved, and nothing ships."
    ),
    flags.COMPLETION_UNPROVEN: _SHELF,
    flags.RETURN_UNPROVEN: _SHELF,
    flags.SUPPLIER_ITEM_CHANGED: "Compare the book that was sent with what the patron asked for.",
    flags.ADOPTED_DISAGREES: (
        "Compare both systems: the request was reported in one status, and is seen in another."
    ),
    flags.CANCELLED_IN_TRANSIT: (
        "Look for whom the lender's item travels; if it is for this request, have it sent back. The cleanup waits "
        "until it has come to rest (operator cleanup --force does not)."
    ),
    flags.UNKNOWN_REQUEST_STATUS: _WORD,
    flags.UNKNOWN_PROCESS_TYPE: _WORD,
    flags.UNKNOWN_LOAN_STATUS: _WORD,
    flags.UNKNOWN_LOAN_PROCESS_STATUS: _WORD,
    flags.UNKNOWN_TXN_STATE: _WORD,
    flags.TXN_ERROR: _FOLIO,
    flags.TXN_MISSING: _FOLIO,
    flags.TXN_CLOSED_EARLY: _FOLIO,
    flags.CLOSED_WITHOUT_LOAN: "Look in Alma for the loan: the hold was fulfilled, and no loan of its user is found.",
    flags.LOANED_AGAIN: _WHO_HAS_IT,
    flags.LOANED_AFTER_CANCEL: _WHO_HAS_IT,
    **{
        f"{role}_{word}": (
            "Look in Alma where the item went; name it (relink), or close the request (operator close-lost)."
            if word == "ITEM_GONE"
            else _SEARCH
        )
        for role in Role
        for word in flags.TROUBLE_ITEMS.values()
    },
    **{
        flags.action_failed(action): (
            "Fix the reason that the alert names and have it tried again (operator retry), or do it by hand in Alma."
        )
        for action in ActionType
        if action is not ActionType.CREATE_SUPPLIER_LOAN
    },
    flags.action_failed(ActionType.CLEANUP): _TAKE_AWAY,
}
"""Standing flags, each an alert until it is seen to be over."""

OTHERS: Mapping[str, str] = {
    "STEP_FAILED": "Report the fault of the program, with its error; the request is looked at again by itself.",
    "SIDE_UNREADABLE": (
        "Look in that Alma at the list and the request that the alert names; the first look that works ends it."
    ),
    "OUTBOX_STALLED": "Fix the reason that the alert names, then have it tried again (operator retry).",
    "FINALISED_WHILE_OUT": "Find the book, then return it in Alma: the request has ended, and a loan is open.",
    "ORPHAN_HOLD": "Cancel the hold in Alma, unless it was placed a moment ago: no open request knows it.",
    "ORPHAN_LOAN": "Find the book, then return it in Alma: a virtual patron has it, and no request knows of it.",
    "LOST_TRACK": "Nothing yet: the request is looked at again at once, and says then what became of its hold.",
    "LEFTOVER_VIRTUAL": "Delete in Alma what the alert names: it was made for a request that is over.",
    "PATRON_EXPIRING": "Extend the virtual patron in Alma: it has open requests and expires soon.",
    "SUPPLIER_LOAN_MISSING": (
        "Lift the block of the virtual patron, or lend the book to it by hand: the patron has the book, and the "
        "lender's Alma shows no loan."
    ),
    "DCB_MISMATCH": "Compare the request's timeline here with that of dcb-service.",
    "TXN_MISMATCH": "Look in FOLIO why the transaction is not where the request is.",
    "VOLUME_ANOMALY": "Look whether one of the systems stands still.",
    STUCK + Status.RPSA: _PLACING,
    STUCK + Status.CONFIRMED: _PLACING,
    STUCK + Status.NOT_SUPPLIED: _PLACING,
    STUCK + Status.RPBA: _SHIP,
    STUCK + Status.RPPA: _SHIP,
    STUCK
    + Status.PICKUP_TRANSIT: "Search for the book at the lender and at the pickup library: it has not arrived.",
    STUCK + Status.RECEIVED_AT_PICKUP: _SHELVED,
    STUCK + Status.READY_FOR_PICKUP: _SHELVED,
    STUCK + Status.LOANED: (
        "Remind the patron that the book is overdue, or close the request as lost (operator close-lost)."
    ),
    STUCK + Status.RETURN_TRANSIT: _SEARCH,
    STUCK + Status.AWAITING_RETURN: _SEARCH,
    STUCK + Status.COMPLETED: _TAKE_AWAY,
    STUCK + Status.CANCELLED: _TAKE_AWAY,
    STUCK + Status.NO_ITEMS: _TAKE_AWAY,
    STUCK + Status.ERROR: (
        "Fix the reason why the action failed, then put the request back to work (operator rollback) or close it "
        "(operator cleanup)."
    ),
}
"""Alerts that are no flags: of the tick, of the nightly comparison, of what stays where it is for too long."""


def advice_of(code: str) -> str:
    """What to do about an alert. A code that a newer version wrote has no sentence here."""
    return STANDING.get(code) or OTHERS.get(code) or "See docs/dcb.md, Flags and alerts."
