"""What staff do in Alma's own pages and no API call can do: for tests that need such a state.

Reached by the control surface: ``POST /sandbox/desk``, ``/sandbox/items/{pid}``, ``/sandbox/loans/{id}``,
``/sandbox/requests/{id}``, ``/sandbox/users/{id}``, ``/sandbox/locks``. Webhooks report it as they report a call.
"""

import json
from datetime import UTC, datetime
from typing import Any

from alma_sandbox.catalogue.conf_data import CODE_TABLES, LIBRARIES
from alma_sandbox.circulation.users import OVERRIDABLE
from alma_sandbox.http.answers import Payload
from alma_sandbox.http.call import BASE, Call, Handler
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import items, loans, notices
from alma_sandbox.sandbox import Sandbox


def _only(body: dict[str, Any], *names: str) -> None:
    unknown = sorted(set(body) - set(names))
    if unknown or not body:
        raise ValueError(f"give {' or '.join(names)}" + (f", not {', '.join(unknown)}" if unknown else ""))


def _call(sandbox: Sandbox, path: dict[str, str], query: dict[str, str], body: Payload | None = None) -> Call:
    raw = json.dumps(body).encode() if body else b""
    return Call(sandbox, "POST", path, query, {"content-type": "application/json"}, raw, True, BASE)


def _done(work: Handler, call: Call) -> None:
    """Do what a call would do; ValueError with Alma's words when it would be refused."""
    try:
        work(call)
    except Refusal as error:
        raise ValueError(str(error)) from error


def at_desk(sandbox: Sandbox, body: dict[str, Any]) -> dict[str, Any]:
    """A book lies on a desk: scan it in there, or lend it to ``lend_to``.

    ``barcode`` or ``pid`` names it, ``library`` (and ``circ_desk``) the desk. A barcode that this Alma does not know,
    and whatever Alma would refuse, is a ValueError.
    """
    _only(body, "barcode", "pid", "library", "circ_desk", "lend_to")
    barcode, library = str(body.get("barcode", "")), str(body.get("library", ""))
    desk = str(body.get("circ_desk", "DEFAULT_CIRC_DESK"))
    found = sandbox.catalogue.item_by_barcode(barcode) if barcode else None
    item = found or sandbox.catalogue.item(str(body.get("pid", "")))
    if item is None:
        raise ValueError(f"no item {barcode or body.get('pid', '')}")
    if "lend_to" in body:
        lent = {"circ_desk": {"value": desk}, "library": {"value": library}}
        path = {"user_id": str(body["lend_to"])}
        _done(loans.create_for_user, _call(sandbox, path, {"item_pid": item.pid}, lent))
    else:
        path = {"mms_id": item.mms_id, "holding_id": item.holding_id, "item_pid": item.pid}
        query = {"op": "scan", "library": library, "circ_desk": desk, "register_in_house_use": "false"}
        _done(items.operate, _call(sandbox, path, query))
    loan = sandbox.loans.active_of_item(item.pid)
    return {"pid": item.pid, "process_type": item.process_type, "loan_id": loan.id if loan else None}


def change_item(sandbox: Sandbox, pid: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set ``process_type`` (declare lost or missing, find again with an empty one) or ``barcode``, or scan the item in
    at ``library`` as staff do."""
    _only(body, "process_type", "library", "barcode")
    item = sandbox.catalogue.item(pid)
    if item is None:
        raise ValueError(f"no item {pid}")
    if "library" in body:
        if body["library"] not in LIBRARIES:
            raise ValueError(f"no library {body['library']}")
        at_desk(sandbox, {"pid": pid, "library": body["library"]})
    if "barcode" in body:
        if not body["barcode"] or sandbox.catalogue.item_by_barcode(str(body["barcode"])) not in (None, item):
            raise ValueError(f"the barcode {body['barcode']} is used already")
        item.barcode = str(body["barcode"])
        sandbox.catalogue.keep_item(item)
    if "process_type" in body:
        if body["process_type"] and body["process_type"] not in CODE_TABLES["PROCESSTYPE"]:
            raise ValueError(f"no process type {body['process_type']}")
        item.process_type = str(body["process_type"])
        sandbox.catalogue.keep_item(item)
        sandbox.requests.assign(item.mms_id)
    if "library" not in body:
        notices.item(_call(sandbox, {}, {}), item, "ITEM_UPDATED", "Item updated")
    return {"pid": pid, "process_type": item.process_type}


def change_loan(sandbox: Sandbox, loan_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set ``process_status`` (``LOST``, ``CLAIMED_RETURN``, ``RECALL``, ...; the item follows) or ``due_date``."""
    _only(body, "process_status", "due_date")
    loan = sandbox.loans.by_id.get(loan_id)
    if loan is None:
        raise ValueError(f"no loan {loan_id}")
    if "due_date" in body:
        moment = datetime.fromisoformat(str(body["due_date"]))
        loan.due_date = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        notices.loan(_call(sandbox, {}, {}), loan, "LOAN_DUE_DATE", "Loan due date changed")
    if "process_status" in body:
        loan.process_status = str(body["process_status"])
        item = sandbox.catalogue.item(loan.item_pid)
        process = {"LOST": "LOST_LOAN", "CLAIMED_RETURN": "CLAIM_RETURNED_LOAN"}.get(
            loan.process_status, "LOAN"
        )
        if item is not None and loan.status == "ACTIVE":
            item.process_type = process
            sandbox.catalogue.keep_item(item)
    return {"loan_id": loan_id, "process_status": loan.process_status, "due_date": loan.due_date.isoformat()}


def change_request(sandbox: Sandbox, request_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """End a request as staff or the system do: ``cancel`` with a reason, or ``expire`` on the hold shelf.

    No webhook reports a request that expires.
    """
    _only(body, "cancel", "expire")
    request = sandbox.requests.by_id.get(request_id)
    if request is None or not request.active:
        raise ValueError(f"no active request {request_id}")
    sandbox.requests.close(request, str(body.get("cancel") or "expired"))
    if body.get("cancel"):
        notices.request(_call(sandbox, {}, {}), request, "REQUEST_CANCELED", "Request canceled")
    return {"request_id": request_id, "status": request.status}


def change_user(sandbox: Sandbox, user_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Mark fields as ``edited_by_hand``, so that a PUT without ``override`` leaves them alone; set them, too."""
    _only(body, "edited_by_hand")
    user: Payload | None = sandbox.users.find(user_id)
    if user is None:
        raise ValueError(f"no user {user_id}")
    values = body["edited_by_hand"]
    if not isinstance(values, dict) or set(values) - set(OVERRIDABLE):
        raise ValueError(f"edited_by_hand takes values for {', '.join(OVERRIDABLE)}")
    primary_id = str(user["primary_id"])
    sandbox.users.keep({**user, **values})
    sandbox.users.edited_by_hand.setdefault(primary_id, set()).update(values)
    return {"primary_id": primary_id, "edited_by_hand": sorted(sandbox.users.edited_by_hand[primary_id])}


def change_locks(sandbox: Sandbox, body: dict[str, Any]) -> dict[str, Any]:
    """Open bibs in the editor (``lock``: a list of MMS ids) or close them (``unlock``)."""
    _only(body, "lock", "unlock")
    sandbox.locks |= set(body.get("lock", []))
    sandbox.locks -= set(body.get("unlock", []))
    return {"locked": sorted(sandbox.locks)}
