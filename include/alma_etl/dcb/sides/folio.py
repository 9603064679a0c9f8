"""One side of a request whose system is a FOLIO: its mod-dcb transaction is begun, moved on, and read."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from alma_etl.dcb.conf import PlaceRequest
from alma_etl.dcb.machine.model import Ack
from alma_etl.dcb.machine.vocabulary import AckName, ActionType, Role, Status, Txn, Workflow
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides import marks
from alma_etl.dcb.sides.ports import Done, Failures, Impossible, Later, Refused, Unsettled, known, settled
from alma_etl.dcb.sides.systems import NOTHING_TO_REPORT, ActionContext, ActionResult
from alma_etl.dcb.store.rows import LegRecord, ReadError
from alma_etl.remote.answers import Absent, Found

A = ActionType
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:alma-airflow:dcb:folio")

_MOVES: dict[tuple[ActionType, str], Txn] = {
    (A.BORROWER_SCAN_IN, "TRANSIT"): Txn.OPEN,
    (A.PICKUP_SCAN_IN, "TRANSIT"): Txn.OPEN,
    (A.BORROWER_SCAN_IN, "RECEIVED"): Txn.AWAITING_PICKUP,
    (A.SUPPLIER_SCAN_IN, "RECEIVED"): Txn.AWAITING_PICKUP,
    (A.BORROWER_SCAN_IN, "COMPLETED"): Txn.CLOSED,
    (A.PICKUP_SCAN_IN, "COMPLETED"): Txn.CLOSED,
    (A.CREATE_SUPPLIER_LOAN, ""): Txn.ITEM_CHECKED_OUT,
    (A.CREATE_BORROWER_LOAN, ""): Txn.ITEM_CHECKED_OUT,
    (A.BORROWER_CHECK_IN, ""): Txn.ITEM_CHECKED_IN,
    (A.CANCEL_SUPPLIER_HOLD, ""): Txn.CANCELLED,
    (A.VERIFY_SUPPLIER_HOLD_GONE, ""): Txn.CANCELLED,
}
_ACKS = {
    A.CREATE_SUPPLIER_LOAN: AckName.SUPPLIER_LOAN_CREATED,
    A.CREATE_BORROWER_LOAN: AckName.BORROWER_LOAN_CREATED,
}


def begin(mod_dcb: ModDcb, txn_id: str, body: Mapping[str, Any]) -> None:
    """Begin a transaction, or adopt it. Raises Impossible, Unsettled, RemoteUnauthorized."""
    settled(mod_dcb.create(txn_id, body), "The FOLIO transaction could not be begun")


def begin_again(mod_dcb: ModDcb, txn_id: str, body: Mapping[str, Any]) -> None:
    """Let a transaction that has begun be about another book; begin it if it has not. Raises as `begin`."""
    if known(mod_dcb.status(txn_id), "The FOLIO transaction") is None:
        begin(mod_dcb, txn_id, body)
    else:
        _done(mod_dcb.change_item(txn_id, body["item"]))


def move(mod_dcb: ModDcb, txn_id: str, target: Txn, role: Role) -> None:
    """See to it that a transaction stands at ``target``. Raises Impossible, Unsettled, RemoteUnauthorized."""
    _done(mod_dcb.move_to(txn_id, target, role))


def transaction_body(
    place: PlaceRequest, role: Role, system: SystemSettings, lender: SystemSettings
) -> dict[str, Any]:
    """A DcbTransaction of mod-dcb for the patron's or the pickup library's side.

    FOLIO knows the patron and the pickup place by their UUIDs: ``user_id`` and ``pickup_library`` of the
    conf. The item's id must be a UUID as well and is made from the lender's; so is that of a patron of another
    library.
    """
    elsewhere = place.workflow is Workflow.PICKUP_ANYWHERE
    kind = {Role.PICKUP: "PICKUP"}.get(role, "BORROWER" if elsewhere else "BORROWING-PICKUP")
    patron = place.user_id
    if role is Role.PICKUP:
        patron = str(uuid.uuid5(_IDS, marks.virtual_user(place.borrower_system, patron)))
    return {
        "role": kind,
        "item": {
            "id": str(uuid.uuid5(_IDS, f"{place.supplier_system}|{place.supplier_item_pid}")),
            "title": place.title,
            "barcode": place.item_barcode,
            "materialType": system.material_type(place.material_type or "BOOK"),
            "lendingLibraryCode": lender.library or place.supplier_system,
        },
        "patron": {
            "id": patron,
            "barcode": patron,
            "group": system.user_group or "",
            "borrowingLibraryCode": system.library or place.borrower_system,
        },
        "pickup": {
            "servicePointId": place.pickup_library,
            "servicePointName": place.pickup_desk or place.pickup_library,
            "libraryCode": system.library or place.fetched_at,
        },
    }


def perform(context: ActionContext, action: ActionType, leg: LegRecord) -> ActionResult:
    """Do what an action means for the transaction of one side. Raises Impossible, Unsettled, RemoteStop."""
    mod_dcb, txn_id = context.systems.mod_dcb(leg.system_code), leg.txn_id or context.tracked.pr_id
    if action is A.PREVENT_RENEWAL_AT_BORROWER:
        _done(mod_dcb.block_renewal(txn_id))
        return NOTHING_TO_REPORT
    if action is A.RESTORE_RENEWAL_AT_BORROWER:
        _done(mod_dcb.unblock_renewal(txn_id))
        return NOTHING_TO_REPORT
    if action is A.RENEW_SUPPLIER_LOAN:
        _done(mod_dcb.renew(txn_id))
        return ActionResult((Ack(AckName.LOAN_RENEWED, context.moment(), leg.role),))
    target = _MOVES.get((action, context.args[0] if context.args else ""))
    if target is None:
        raise Impossible(f"mod-dcb has no way to do {action}: do it in FOLIO")
    move(mod_dcb, txn_id, target, leg.role)
    name = _ACKS.get(action)
    return ActionResult((Ack(name, context.moment(), leg.role),)) if name else NOTHING_TO_REPORT


def close(context: ActionContext, leg: LegRecord) -> None:
    """End the transaction of a settled request, as it was settled. Raises Impossible, Unsettled, RemoteStop."""
    target = Txn.CLOSED if context.tracked.status is Status.COMPLETED else Txn.CANCELLED
    move(context.systems.mod_dcb(leg.system_code), leg.txn_id or context.tracked.pr_id, target, leg.role)


def _done(answer: Done | Later | Refused) -> None:
    if isinstance(answer, Refused):
        raise Impossible(answer.reason)
    if isinstance(answer, Later):
        raise Unsettled(answer.reason)


class FolioReader:
    """Implements `ports.TransactionReader`. One for each thread; the client may be shared."""

    def __init__(self, mod_dcb: ModDcb) -> None:
        self._mod_dcb = mod_dcb
        self._failures = Failures()

    def transaction(self, txn_id: str) -> str | None:
        """GET /transactions/{id}/status, as mod-dcb spells it; MISSING for 404."""
        answer = self._mod_dcb.status(txn_id)
        if isinstance(answer, Found):
            return answer.value
        if isinstance(answer, Absent):
            return Txn.MISSING.value
        self._failures.add("txn", answer.error)
        return None

    def errors(self) -> Sequence[ReadError]:
        """What failed since this was last asked."""
        return self._failures.take()
