"""Scan-in at a desk or department: the one call that returns, forwards, shelves and repairs."""

from dataclasses import dataclass

from alma_sandbox.catalogue.conf_data import library_name, location_name
from alma_sandbox.catalogue.records import Holding, Item
from alma_sandbox.circulation.loans import Loan
from alma_sandbox.circulation.requests import HOLD_SHELF, IN_PROCESS, ON_HOLD_SHELF, TRANSIT, UserRequest
from alma_sandbox.sandbox import Sandbox


@dataclass(frozen=True)
class Outcome:
    """What a scan-in did. ``text`` is Alma's ``additional_info``."""

    text: str
    returned: Loan | None = None
    shelved: UserRequest | None = None


def _info(destination: str, request_type: str = "", requester: str = "", queue: int = 0) -> str:
    return (
        f"Item's destination is: {destination}. Request/Process Type: {request_type}. "
        f"Requester: {requester}. Requester ID: {requester}. Place in Queue: {queue}"
    )


def home(item: Item, holding: Holding) -> tuple[str, str]:
    """(library, location) where an item belongs now."""
    if item.in_temp_location:
        return item.temp_library, item.temp_location
    return holding.library, holding.location


def at_desk(sandbox: Sandbox, item: Item, holding: Holding, library: str, *, in_house: bool) -> Outcome:
    """Scan an item in at a circulation desk of a library."""
    returned = _give_back(sandbox, item)
    request = sandbox.requests.bound(item) or sandbox.requests.waiting(item)
    if request is not None:
        outcome = _forward(sandbox, item, request, library, returned)
    else:
        if in_house and returned is None and item.process_type == "":
            sandbox.in_house_uses[item.pid] = sandbox.in_house_uses.get(item.pid, 0) + 1
        outcome = _shelve(item, holding, library, returned)
    _end_work_order(item)
    sandbox.catalogue.keep_item(item)
    if item.process_type == "":
        sandbox.requests.assign(item.mms_id)
    return outcome


def at_department(
    sandbox: Sandbox,
    item: Item,
    holding: Holding,
    department: str,
    library: str,
    work_order: str,
    status: str,
    *,
    done: bool,
) -> Outcome:
    """Scan an item in at a department: start or go on with a work order, or finish it."""
    returned = _give_back(sandbox, item)
    if done:
        _end_work_order(item)
        outcome = _shelve(item, holding, library, returned)
    else:
        item.process_type = "WORK_ORDER_DEPARTMENT"
        item.work_order_type = work_order or item.work_order_type
        item.work_order_at, item.work_order_status = department, status
        outcome = Outcome(_info(department, item.work_order_type), returned)
    sandbox.catalogue.keep_item(item)
    if item.process_type == "":
        sandbox.requests.assign(item.mms_id)
    return outcome


def _give_back(sandbox: Sandbox, item: Item) -> Loan | None:
    loan = sandbox.loans.active_of_item(item.pid)
    if loan is not None:
        sandbox.loans.complete(loan)
        sandbox.requests.note_change(item)
    return loan


def _forward(
    sandbox: Sandbox, item: Item, request: UserRequest, library: str, returned: Loan | None
) -> Outcome:
    """To the hold shelf of this library, or on the way to another one."""
    queue = len(sandbox.requests.active(item.mms_id))
    # Requests that name no library (home delivery, institution) are kept where they are scanned.
    if request.pickup_library in ("", library):
        item.process_type = "HOLDSHELF"
        newly = request.status != ON_HOLD_SHELF
        sandbox.requests.bind(request, item, ON_HOLD_SHELF, HOLD_SHELF)
        text = _info("On Hold Shelf", "Patron physical item request", request.user_id, queue)
        return Outcome(text, returned, request if newly else None)
    item.process_type = "TRANSIT"
    sandbox.requests.bind(request, item, IN_PROCESS, TRANSIT)
    destination = library_name(request.pickup_library)
    return Outcome(_info(destination, "Patron physical item request", request.user_id, queue), returned)


def _shelve(item: Item, holding: Holding, library: str, returned: Loan | None) -> Outcome:
    """Back to the shelf, or on the way to the library that owns it."""
    own, location = home(item, holding)
    if library == own:
        item.process_type = ""
        return Outcome(_info(f"Reshelve to {location_name(own, location)}"), returned)
    item.process_type = "TRANSIT"
    return Outcome(_info(library_name(own), "Transit for reshelving"), returned)


def _end_work_order(item: Item) -> None:
    item.work_order_type = item.work_order_at = item.work_order_status = ""
