"""What staff do in Alma's own pages and no API call can do: for tests that need such a state.

Reached by the control surface: ``POST /sandbox/desk``, ``/sandbox/items/{pid}``, ``/sandbox/loans/{id}``,
``/sandbox/requests/{id}``, ``/sandbox/users/{id}``, ``/sandbox/locks``. Webhooks report it as they report a call.
"""

from datetime import timedelta
from typing import Any

from alma_sandbox.catalogue.conf_data import CODE_TABLES, LIBRARIES
from alma_sandbox.circulation.loans import Loan
from alma_sandbox.circulation.users import OVERRIDABLE
from alma_sandbox.control.acting import moment, only, staff_call
from alma_sandbox.control.rearranging import merge_users, move_item
from alma_sandbox.http.answers import Payload
from alma_sandbox.http.call import Call, Handler
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import items, loans, notices, users
from alma_sandbox.sandbox import Sandbox
from alma_sandbox.state.clock import timestamp


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
    only(body, "barcode", "pid", "library", "circ_desk", "lend_to")
    barcode, library = str(body.get("barcode", "")), str(body.get("library", ""))
    desk = str(body.get("circ_desk", "DEFAULT_CIRC_DESK"))
    found = sandbox.catalogue.item_by_barcode(barcode) if barcode else None
    item = found or sandbox.catalogue.item(str(body.get("pid", "")))
    if item is None:
        raise ValueError(f"no item {barcode or body.get('pid', '')}")
    if "lend_to" in body:
        lent = {"circ_desk": {"value": desk}, "library": {"value": library}}
        path = {"user_id": str(body["lend_to"])}
        _done(loans.create_for_user, staff_call(sandbox, path, {"item_pid": item.pid}, lent))
    else:
        path = {"mms_id": item.mms_id, "holding_id": item.holding_id, "item_pid": item.pid}
        query = {"op": "scan", "library": library, "circ_desk": desk, "register_in_house_use": "false"}
        _done(items.operate, staff_call(sandbox, path, query))
    loan = sandbox.loans.active_of_item(item.pid)
    return {"pid": item.pid, "process_type": item.process_type, "loan_id": loan.id if loan else None}


def change_item(sandbox: Sandbox, pid: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set ``process_type`` (declare lost or missing, find again with an empty one) or ``barcode``, move the item to the
    holding ``holding_id``, or scan it in at ``library`` as staff do."""
    only(body, "process_type", "library", "barcode", "holding_id")
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
    if "holding_id" in body:
        move_item(sandbox, item, str(body["holding_id"]))
    if "process_type" in body:
        if body["process_type"] and body["process_type"] not in CODE_TABLES["PROCESSTYPE"]:
            raise ValueError(f"no process type {body['process_type']}")
        item.process_type = str(body["process_type"])
        sandbox.catalogue.keep_item(item)
        sandbox.requests.assign(item.mms_id)
    if "library" not in body:
        notices.item(staff_call(sandbox), item, "ITEM_UPDATED", "Item updated")
    return {"pid": pid, "process_type": item.process_type}


def change_loan(sandbox: Sandbox, loan_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set ``process_status`` (``LOST``, ``CLAIMED_RETURN``, ``RECALL``, and ``NORMAL`` when a recall is withdrawn; the
    item follows) or ``due_date``; or the patron ``paid`` for a lost book: the loan ends without a return."""
    only(body, "process_status", "due_date", "paid")
    loan = sandbox.loans.by_id.get(loan_id)
    if loan is None:
        raise ValueError(f"no loan {loan_id}")
    if "due_date" in body:
        loan.due_date = moment(str(body["due_date"]))
        notices.loan(staff_call(sandbox), loan, "LOAN_DUE_DATE", "Loan due date changed")
    if "process_status" in body:
        loan.process_status = str(body["process_status"])
        item = sandbox.catalogue.item(loan.item_pid)
        process = {"LOST": "LOST_LOAN", "CLAIMED_RETURN": "CLAIM_RETURNED_LOAN"}.get(
            loan.process_status, "LOAN"
        )
        if item is not None and loan.status == "ACTIVE":
            item.process_type = process
            sandbox.catalogue.keep_item(item)
    if body.get("paid"):
        _pay(sandbox, loan)
    return {"loan_id": loan_id, "process_status": loan.process_status, "due_date": loan.due_date.isoformat()}


def _pay(sandbox: Sandbox, loan: Loan) -> None:
    if loan.status != "ACTIVE":
        raise ValueError(f"the loan {loan.id} has ended")
    loan.process_status = "LOST"
    sandbox.loans.complete(loan, returned=False)
    item = sandbox.catalogue.item(loan.item_pid)
    if item is not None:
        item.process_type = "LOST_LOAN_AND_PAID"
        sandbox.catalogue.keep_item(item)


def change_request(sandbox: Sandbox, request_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """End a request as staff or the system do: ``cancel`` with a reason, or ``expire`` on the hold shelf. Or put it
    ``first`` in the queue for its title.

    No webhook reports a request that expires.
    """
    only(body, "cancel", "expire", "first")
    request = sandbox.requests.by_id.get(request_id)
    if request is None or not request.active:
        raise ValueError(f"no active request {request_id}")
    if body.get("first"):
        sandbox.requests.put_first(request)
        return {"request_id": request_id, "status": request.status}
    sandbox.requests.close(request, str(body.get("cancel") or "expired"))
    if body.get("cancel"):
        notices.request(staff_call(sandbox), request, "REQUEST_CANCELED", "Request canceled")
    return {"request_id": request_id, "status": request.status}


def change_user(sandbox: Sandbox, user_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Mark fields as ``edited_by_hand``, so that a PUT without ``override`` leaves them alone, and set them;
    ``merge_into`` another user, who may get the identifiers, too (``keep_identifiers``); or ``delete``."""
    only(body, "edited_by_hand", "merge_into", "keep_identifiers", "delete")
    user: Payload | None = sandbox.users.find(user_id)
    if user is None:
        raise ValueError(f"no user {user_id}")
    if "merge_into" in body:
        target = sandbox.users.find(str(body["merge_into"]))
        if target is None:
            raise ValueError(f"no user {body['merge_into']}")
        return merge_users(sandbox, user, target, keep_identifiers=bool(body.get("keep_identifiers")))
    if body.get("delete"):
        _done(users.delete, staff_call(sandbox, {"user_id": user_id}))
        return {"primary_id": str(user["primary_id"]), "deleted": True}
    only(body, "edited_by_hand")
    values = body["edited_by_hand"]
    if not isinstance(values, dict) or set(values) - set(OVERRIDABLE):
        raise ValueError(f"edited_by_hand takes values for {', '.join(OVERRIDABLE)}")
    primary_id = str(user["primary_id"])
    sandbox.users.keep({**user, **values})
    sandbox.users.edited_by_hand.setdefault(primary_id, set()).update(values)
    return {"primary_id": primary_id, "edited_by_hand": sorted(sandbox.users.edited_by_hand[primary_id])}


def change_locks(sandbox: Sandbox, body: dict[str, Any]) -> dict[str, Any]:
    """Open bibs in the editor (``lock``: a list of MMS ids), ``by`` somebody and for so many ``minutes`` (else until
    they are closed), or close them (``unlock``)."""
    only(body, "lock", "unlock", "by", "minutes")
    now, minutes = sandbox.clock.now(), float(body.get("minutes", 0))
    until = timestamp(now + timedelta(minutes=minutes)) if minutes else ""
    for mms_id in body.get("lock", []):
        sandbox.editors[mms_id] = [str(body.get("by", "cataloguer1")), timestamp(now), until]
    for mms_id in body.get("unlock", []):
        sandbox.editors.pop(mms_id, None)
    sandbox.locks |= set(body.get("lock", []))
    sandbox.locks -= set(body.get("unlock", []))
    return {"locked": sorted(sandbox.locks)}
