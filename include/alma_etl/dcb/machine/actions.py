"""When a deed is still wanted. It may be done long after the step that asked for it, so it is asked again then."""

from collections.abc import Sequence

from alma_etl.dcb.machine.edges import BEFORE_SHIPPING, BOOK_OUT, SETTLED
from alma_etl.dcb.machine.result import Action
from alma_etl.dcb.machine.vocabulary import ActionType, Status

A, S = ActionType, Status

_SCANS: dict[str, frozenset[Status]] = {
    "TRANSIT": frozenset({S.PICKUP_TRANSIT}),
    "RECEIVED": frozenset({S.READY_FOR_PICKUP}),
    "COMPLETED": frozenset({S.COMPLETED}),
}
_WANTED: dict[ActionType, frozenset[Status]] = {
    A.PLACE_AT_BORROWER: frozenset({S.CONFIRMED}),
    A.PLACE_AT_PICKUP: frozenset({S.RPBA}),
    A.CREATE_SUPPLIER_LOAN: frozenset({S.LOANED}),
    A.CREATE_BORROWER_LOAN: frozenset({S.LOANED}),
    A.CANCEL_SUPPLIER_HOLD: frozenset({S.CANCELLED, S.AWAITING_RETURN, S.RETURN_TRANSIT, S.COMPLETED}),
    A.VERIFY_SUPPLIER_HOLD_GONE: frozenset({S.AWAITING_RETURN, S.CANCELLED}),
    A.RENEW_SUPPLIER_LOAN: frozenset({S.LOANED}),
    A.PREVENT_RENEWAL_AT_BORROWER: frozenset({S.LOANED}),
    A.SYNC_BARCODE: BEFORE_SHIPPING | BOOK_OUT,
    A.BORROWER_CHECK_IN: frozenset({S.RETURN_TRANSIT, S.COMPLETED}),
    A.RESOLVE_NEXT_SUPPLIER: frozenset({S.NOT_SUPPLIED}),
    A.CLEANUP: SETTLED,
}

FOLLOW_UPS: dict[Status, Action] = {
    S.NOT_SUPPLIED: Action(A.RESOLVE_NEXT_SUPPLIER),
    S.NO_ITEMS: Action(A.CLEANUP),
}
"""What a status asks for by itself, whatever led to it. The machine leaves it to whoever runs the request."""


def is_wanted(action: ActionType, args: Sequence[str], status: Status) -> bool:
    """Whether a deed makes sense in ``status``; else it was overtaken by events."""
    statuses = _SCANS.get(args[0] if args else "") if action not in _WANTED else _WANTED[action]
    return statuses is not None and status in statuses
