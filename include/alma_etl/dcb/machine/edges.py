"""Which status may follow which. Nothing goes backwards by itself; only an operator takes a request out of ERROR."""

from alma_etl.dcb.machine.vocabulary import Status, Txn, Workflow

S = Status

TERMINAL = frozenset({S.FINALISED, S.HANDED_OFF_AS_LOCAL})
"""Nothing follows; these are not polled."""

SETTLED = frozenset({S.COMPLETED, S.CANCELLED, S.NO_ITEMS})
"""Decided; only the cleaning up is left, so these are not polled either."""

BEFORE_SHIPPING = frozenset({S.RPSA, S.CONFIRMED, S.RPBA, S.RPPA})
UNDER_WAY = frozenset({S.PICKUP_TRANSIT, S.RECEIVED_AT_PICKUP, S.READY_FOR_PICKUP})
BOOK_OUT = UNDER_WAY | {S.LOANED, S.RETURN_TRANSIT, S.AWAITING_RETURN}
"""The lender's book is away from the lender, as far as anybody has shown."""

_BY_ITSELF: dict[Status, frozenset[Status]] = {
    S.RPSA: frozenset({S.CONFIRMED, S.NOT_SUPPLIED}),
    S.CONFIRMED: frozenset({S.RPBA}),
    S.RPBA: frozenset({S.RPPA, S.PICKUP_TRANSIT, S.NOT_SUPPLIED, S.CANCELLED}),
    S.RPPA: frozenset({S.PICKUP_TRANSIT, S.NOT_SUPPLIED, S.CANCELLED}),
    S.PICKUP_TRANSIT: frozenset({S.RECEIVED_AT_PICKUP, S.AWAITING_RETURN}),
    S.RECEIVED_AT_PICKUP: frozenset({S.READY_FOR_PICKUP, S.AWAITING_RETURN}),
    S.READY_FOR_PICKUP: frozenset({S.LOANED, S.AWAITING_RETURN}),
    S.LOANED: frozenset({S.RETURN_TRANSIT}),
    S.RETURN_TRANSIT: frozenset({S.COMPLETED}),
    S.AWAITING_RETURN: frozenset({S.CANCELLED}),
    S.NOT_SUPPLIED: frozenset({S.RPSA, S.NO_ITEMS}),
    S.COMPLETED: frozenset({S.FINALISED}),
    S.CANCELLED: frozenset({S.FINALISED}),
    S.NO_ITEMS: frozenset({S.FINALISED}),
}

_OF_WORKFLOW: dict[Workflow, dict[Status, frozenset[Status]]] = {
    Workflow.LOCAL: {S.CONFIRMED: frozenset({S.HANDED_OFF_AS_LOCAL})},
    Workflow.EXPEDITED: {S.RPBA: frozenset({S.LOANED})},
}


def is_legal(frm: Status, to: Status, workflow: Workflow = Workflow.STANDARD) -> bool:
    """Whether observations may lead from ``frm`` to ``to``."""
    extra = _OF_WORKFLOW.get(workflow, {}).get(frm, frozenset())
    return to in _BY_ITSELF.get(frm, frozenset()) or to in extra


def is_legal_for_operator(frm: Status, to: Status, previous: Status | None) -> bool:
    """Whether a person (or the final failure of a required deed of ours) may lead from ``frm`` to ``to``.

    ``previous`` is the status in which the request stood before ERROR.
    """
    if frm in TERMINAL or frm in SETTLED:
        return False
    if to is S.ERROR:
        return frm is not S.ERROR
    if frm is S.ERROR and to is previous:
        return True
    return to is S.COMPLETED


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
