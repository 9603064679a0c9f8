"""What staff and Alma's jobs do to many records at once: merging users and titles, moving holdings and items, changing
due dates in bulk, clearing the hold shelf.

Reached by the control surface: ``POST /sandbox/users/{id}``, ``/sandbox/bibs/{mms_id}``, ``/sandbox/holdings/{id}``,
``/sandbox/items/{pid}``, ``/sandbox/po-lines/{number}``, ``/sandbox/loans``, ``/sandbox/hold-shelf``.
"""

from datetime import timedelta
from typing import Any

from alma_sandbox.catalogue.conf_data import LIBRARIES
from alma_sandbox.catalogue.marc import DataField, data_field
from alma_sandbox.catalogue.records import Bib, Holding, Item
from alma_sandbox.catalogue.titles import NETWORK
from alma_sandbox.circulation.requests import ON_HOLD_SHELF
from alma_sandbox.circulation.users import normalise
from alma_sandbox.control.acting import moment, only, staff_call
from alma_sandbox.http.answers import Payload
from alma_sandbox.routes import notices
from alma_sandbox.sandbox import Sandbox

# Of the active loans the job that changes due dates leaves out those that are not plainly lent.
_NOT_IN_BULK = ("RECALL", "LOST", "CLAIMED_RETURN")


def merge_users(
    sandbox: Sandbox, source: Payload, target: Payload, *, keep_identifiers: bool
) -> dict[str, Any]:
    """Merge a user into another, as "Merge users" does: loans and requests move, ended ones too, and the user is
    deleted. ``keep_identifiers``: what named the one names the other from then on, the primary id as an additional one.
    """
    old, new = str(source["primary_id"]), str(target["primary_id"])
    if old == new:
        raise ValueError(f"{old} cannot be merged into itself")
    for loan in sandbox.loans.of_user(old):
        sandbox.loans.move(loan, user_id=new)
    for request in sandbox.requests.of_user(old):
        sandbox.requests.move(request, user_id=new)
    sandbox.users.drop(old)
    if keep_identifiers:
        primary = {"id_type": "OTHER_ID_1", "value": old, "status": "ACTIVE"}
        entries = [*target["user_identifier"], primary, *source["user_identifier"]]
        sandbox.users.keep(normalise({**target, "user_identifier": entries}))
    return {"primary_id": new, "merged": old}


def change_bib(sandbox: Sandbox, mms_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Link a title, ``linked`` (``["CZ", id]``, ``["NZ", id]`` or null), or merge it into another, ``merge_into``:
    holdings, items, requests, loans and PO lines are the other title's from then
    on, with their own ids. ``then``: what becomes of the title, ``delete`` (unless said otherwise), ``suppress``
    or ``keep``."""
    only(body, "merge_into", "then", "linked")
    if "linked" in body:
        return _link(sandbox, _bib(sandbox, mms_id), body["linked"])
    then = body.get("then", "delete")
    if then not in ("delete", "suppress", "keep"):
        raise ValueError(f"then is delete, suppress or keep, not {then}")
    source, target = _bib(sandbox, mms_id), _bib(sandbox, str(body.get("merge_into", "")))
    if source.mms_id == target.mms_id:
        raise ValueError(f"{mms_id} cannot be merged into itself")
    for holding in sandbox.catalogue.holdings_of(mms_id):
        _relink(sandbox, holding, target.mms_id)
    for request in sandbox.requests.of_title(mms_id):
        sandbox.requests.move(request, mms_id=target.mms_id)
    for line in sandbox.po_lines.by_number.values():
        if line.mms_id == mms_id:
            line.mms_id = target.mms_id
    call = staff_call(sandbox)
    if then == "delete":
        notices.bib(call, source, "BIB_DELETED", "Bib deleted")
        sandbox.catalogue.drop_bib(mms_id)
    elif then == "suppress":
        source.suppressed = True
        sandbox.catalogue.keep_bib(source)
        notices.bib(call, source, "BIB_UPDATED", "Bib updated")
    sandbox.requests.assign(target.mms_id)
    return {"mms_id": target.mms_id, "merged": mms_id}


def change_po_line(sandbox: Sandbox, number: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set the ``status`` of a PO line (``SENT`` releases it from review), or relink it to the
    title ``mms_id``; its inventory stays where it is (see ``change_holding``)."""
    only(body, "status", "mms_id")
    line = sandbox.po_lines.find(number)
    if line is None:
        raise ValueError(f"no PO line {number}")
    if "mms_id" in body:
        line.mms_id = _bib(sandbox, str(body["mms_id"])).mms_id
    if "status" in body:
        if body["status"] not in ("INREVIEW", "SENT", "CLOSED", "CANCELLED"):
            raise ValueError(f"status is INREVIEW, SENT, CLOSED or CANCELLED, not {body['status']}")
        line.status = str(body["status"])
    return {"number": number, "status": line.status, "mms_id": line.mms_id}


def _link(sandbox: Sandbox, bib: Bib, linked: list[str] | None) -> dict[str, Any]:
    """Link a title to a record of another zone, whose number it gets as a 035; ``None`` unlinks it."""
    bib.record.fields = [
        entry
        for entry in bib.record.fields
        if not (isinstance(entry, DataField) and entry.tag == "035" and entry.first("a").startswith("(EXL"))
    ]
    bib.linked_record = None
    if linked:
        zone, number = linked
        if zone not in ("CZ", "NZ"):
            raise ValueError(f"a title is linked to CZ or NZ, not to {zone}")
        bib.linked_record = (zone, str(number))
        prefix = "(EXLCZ)" if zone == "CZ" else f"(EXLNZ-{NETWORK})"
        bib.record.fields.append(data_field("035", "  ", ("a", f"{prefix}{number}")))
    sandbox.catalogue.keep_bib(bib)
    return {"mms_id": bib.mms_id, "linked": bib.linked_record}


def _bib(sandbox: Sandbox, mms_id: str) -> Bib:
    found = sandbox.catalogue.bib(mms_id)
    if found is None:
        raise ValueError(f"no bib {mms_id}")
    return found


def change_holding(sandbox: Sandbox, holding_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Relink a holding to another title, ``mms_id``: its items move with it and keep their ids."""
    only(body, "mms_id")
    holding = _holding(sandbox, holding_id)
    target = _bib(sandbox, str(body["mms_id"])).mms_id
    _relink(sandbox, holding, target)
    sandbox.requests.assign(target)
    return {"holding_id": holding_id, "mms_id": target}


def _holding(sandbox: Sandbox, holding_id: str) -> Holding:
    found = sandbox.catalogue.holding(holding_id)
    if found is None:
        raise ValueError(f"no holding {holding_id}")
    return found


def _relink(sandbox: Sandbox, holding: Holding, mms_id: str) -> None:
    before = holding.mms_id
    items = sandbox.catalogue.move_holding(holding, mms_id)
    for item in items:
        _follow(sandbox, item, before)


def move_item(sandbox: Sandbox, item: Item, holding_id: str) -> None:
    """Put an item under another holding, of its title or of another."""
    before = item.mms_id
    sandbox.catalogue.move_item(item, _holding(sandbox, holding_id))
    _follow(sandbox, item, before)
    sandbox.requests.assign(item.mms_id)


def _follow(sandbox: Sandbox, item: Item, before: str) -> None:
    """Loans of an item, and requests made on it or bound to it, go with it."""
    for loan in sandbox.loans.of_item(item.pid):
        sandbox.loans.move(loan, mms_id=item.mms_id, holding_id=item.holding_id)
    for request in sandbox.requests.of_title(before):
        if request.item_pid == item.pid:
            sandbox.requests.move(request, mms_id=item.mms_id)


def change_due_dates(sandbox: Sandbox, body: dict[str, Any]) -> dict[str, Any]:
    """Change due dates in bulk: to ``due_date``, or ``by_days``; of a ``library`` or a set of ``loans``, else of all.

    As Alma's job: of loans that are active and not recalled.
    """
    only(body, "due_date", "by_days", "library", "loans")
    if ("due_date" in body) == ("by_days" in body):
        raise ValueError("give due_date or by_days")
    if body.get("library", "MAIN") not in LIBRARIES:
        raise ValueError(f"no library {body['library']}")
    changed = []
    for loan in sandbox.loans.by_id.values():
        if loan.status != "ACTIVE" or loan.process_status in _NOT_IN_BULK:
            continue
        if body.get("library", loan.library) != loan.library or loan.id not in body.get("loans", [loan.id]):
            continue
        if "by_days" in body:
            loan.due_date += timedelta(days=float(body["by_days"]))
        else:
            loan.due_date = moment(str(body["due_date"]))
        notices.loan(staff_call(sandbox), loan, "LOAN_DUE_DATE", "Loan due date changed")
        changed.append(loan.id)
    return {"changed": changed}


def clear_hold_shelf(sandbox: Sandbox, body: dict[str, Any]) -> dict[str, Any]:
    """End the holds whose last day on the shelf (``expiry_date``) is over, as Alma does every night. The last day
    itself is a whole day; the books stay on the shelf until somebody scans them, and no webhook reports it."""
    if body:
        raise ValueError(f"no {', '.join(sorted(body))} can be given")
    today = f"{sandbox.clock.now():%Y-%m-%d}"
    expired = [
        request
        for request in sandbox.requests.by_id.values()
        if request.status == ON_HOLD_SHELF and request.expiry_date[:10] < today
    ]
    for request in expired:
        sandbox.requests.close(request, "expired")
    return {"expired": [request.id for request in expired]}
