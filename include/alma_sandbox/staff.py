"""What staff do in Alma's own pages and no API call can do: for tests that need such a state.

Reached by the control surface: ``POST /sandbox/items/{pid}``, ``/sandbox/loans/{id}``, ``/sandbox/requests/{id}``,
``/sandbox/users/{id}``, ``/sandbox/locks``.
"""

from datetime import UTC, datetime
from typing import Any

from alma_sandbox.answers import Payload
from alma_sandbox.catalogue.conf_data import CODE_TABLES, LIBRARIES
from alma_sandbox.circulation import scan
from alma_sandbox.circulation.users import OVERRIDABLE
from alma_sandbox.sandbox import Sandbox


def _only(body: dict[str, Any], *names: str) -> None:
    unknown = sorted(set(body) - set(names))
    if unknown or not body:
        raise ValueError(f"give {' or '.join(names)}" + (f", not {', '.join(unknown)}" if unknown else ""))


def change_item(sandbox: Sandbox, pid: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set ``process_type`` (declare lost or missing, find again with an empty one), or scan the item in at
    ``library`` as staff do."""
    _only(body, "process_type", "library")
    item = sandbox.catalogue.item(pid)
    if item is None:
        raise ValueError(f"no item {pid}")
    if "library" in body:
        holding = sandbox.catalogue.holding(item.holding_id)
        if holding is None or body["library"] not in LIBRARIES:
            raise ValueError(f"no library {body['library']}")
        scan.at_desk(sandbox, item, holding, str(body["library"]), in_house=False)
    if "process_type" in body:
        if body["process_type"] and body["process_type"] not in CODE_TABLES["PROCESSTYPE"]:
            raise ValueError(f"no process type {body['process_type']}")
        item.process_type = str(body["process_type"])
        sandbox.catalogue.keep_item(item)
        sandbox.requests.assign(item.mms_id)
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
    """End a request as staff or the system do: ``cancel`` with a reason, or ``expire`` on the hold shelf."""
    _only(body, "cancel", "expire")
    request = sandbox.requests.by_id.get(request_id)
    if request is None or not request.active:
        raise ValueError(f"no active request {request_id}")
    sandbox.requests.close(request, str(body.get("cancel") or "expired"))
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
