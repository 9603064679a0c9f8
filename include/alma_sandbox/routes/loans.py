"""Loans in the trees of users, items and bibs (section 8). ``/loans`` itself does not exist."""

from datetime import UTC, datetime

from alma_sandbox.catalogue.conf_data import LIBRARIES
from alma_sandbox.catalogue.records import Item
from alma_sandbox.circulation.loans import Loan
from alma_sandbox.circulation.requests import IN_LIBRARY_USE, ON_HOLD_SHELF
from alma_sandbox.circulation.scan import home
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import Answer, Payload, listing
from alma_sandbox.http.call import Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import lookups, notices, shapes

_ORDER = ("id", "loan_date", "due_date", "barcode", "title", "author", "return_date")
_LENDABLE = ("", "REQUESTED", "HOLDSHELF", "TRANSIT")


def create_for_user(call: Call) -> Answer:
    """``POST /users/{user_id}/loans``: ``item_barcode`` or ``item_pid`` says what."""
    user = lookups.user(call)
    barcode, pid = call.query.get("item_barcode", ""), call.query.get("item_pid", "")
    if not barcode and not pid:
        raise Refusal("401672", "At least one of the parameters item_pid and item_barcode is required.")
    item = call.catalogue.item(pid) if pid else call.catalogue.item_by_barcode(barcode)
    if item is None:
        raise Refusal(
            "401689" if not pid else "401688",
            f"No items found for {'item' if pid else 'barcode'} {pid or barcode}.",
        )
    return _create(call, user, item)


def create_for_item(call: Call) -> Answer:
    """``POST …/items/{item_pid}/loans``: ``user_id`` is required."""
    item = lookups.item(call, strict=True)
    user_id = call.query.get("user_id", "")
    if not user_id:
        raise Refusal("401664", "Mandatory field is missing: user_id")
    return _create(call, lookups.user_by_id(call, user_id), item)


def _create(call: Call, user: Payload, item: Item) -> Answer:
    body = bodies.read(call)
    desk, library = bodies.text(body.get("circ_desk")), bodies.text(body.get("library"))
    for name, value in (("circ_desk", desk), ("library", library)):
        if not value:
            raise Refusal("401664", f"Mandatory field is missing: {name}")
    user_id = str(user["primary_id"])
    _check_desk(call, item, library, desk)
    _check_item(call, item, user_id)
    _check_request(call, item, user_id, bodies.text(body.get("request_id")))
    _check_user(call, user)
    now = call.sandbox.clock.now()
    loan = Loan(
        id=f"73{call.sandbox.number('loan')}{call.catalogue.suffix}",
        user_id=user_id,
        item_pid=item.pid,
        mms_id=item.mms_id,
        holding_id=item.holding_id,
        barcode=item.barcode,
        library=library,
        desk=desk,
        loan_date=now,
        due_date=call.sandbox.loans.due(item),
    )
    call.sandbox.loans.add(loan)
    _fulfil(call, item, user_id)
    item.process_type = "LOAN"
    call.catalogue.keep_item(item)
    notices.loan(call, loan, "LOAN_CREATED", "Loan created")
    return Answer("item_loan", shapes.loan(call, loan))


def _check_desk(call: Call, item: Item, library: str, desk: str) -> None:
    """A desk lends what its library has, and what lies on its hold shelf."""
    holding = call.catalogue.holding(item.holding_id)
    own = home(item, holding)[0] if holding is not None else ""
    bound = call.sandbox.requests.bound(item)
    shelved = bound is not None and bound.status == ON_HOLD_SHELF and bound.pickup_library in ("", library)
    known = library in LIBRARIES and desk in LIBRARIES[library].desks
    if not known or not (library == own or shelved):
        raise Refusal("401153", f"Item cannot be loaned from this circulation desk: {desk} of {library}.")


def _check_request(call: Call, item: Item, user_id: str, request_id: str) -> None:
    """``request_id`` must be of an active hold of this user on this item or its title.

    No page says what else is answered: of the codes that the page of this call lists, 401652 alone fits.
    """
    found = call.sandbox.requests.by_id.get(request_id)
    if request_id and (
        found is None
        or not found.active
        or found.user_id != user_id
        or (found.item_pid != item.pid if found.item_pid else found.mms_id != item.mms_id)
    ):
        raise Refusal("401652", lookups.GENERAL)


def _check_item(call: Call, item: Item, user_id: str) -> None:
    running = call.sandbox.loans.active_of_item(item.pid)
    if running is not None and running.user_id == user_id:
        raise Refusal("400042", "The item is already on loan to this user.")
    bound = call.sandbox.requests.bound(item)
    for_somebody_else = bound is not None and bound.user_id != user_id
    if running is not None or for_somebody_else or item.process_type not in _LENDABLE:
        raise Refusal("401651", f"Item with barcode {item.barcode} is not loanable.")
    if item.codes.get("policy") == IN_LIBRARY_USE:
        raise Refusal("401651", f"Item with barcode {item.barcode} is not loanable.")


def _check_user(call: Call, user: Payload) -> None:
    if call.sandbox.users.expired(user):
        raise Refusal("401168", "User's card has expired.")
    if bodies.text(user["status"]) != "ACTIVE" or not call.sandbox.users.is_patron(user):
        raise Refusal("401151", "The user is not an active patron.")
    scope = call.catalogue.institution.code
    for block in call.sandbox.users.active_blocks(user):
        kind, reason = bodies.text(block.get("block_type")), block.get("block_description")
        text = reason.get("desc", bodies.text(reason)) if isinstance(reason, dict) else bodies.text(reason)
        raise Refusal("401163", f"{kind}  -   {text}. {block.get('block_note', '')} Scope: {scope}")
    running = [
        loan for loan in call.sandbox.loans.of_user(str(user["primary_id"])) if loan.status == "ACTIVE"
    ]
    if len(running) >= call.sandbox.settings.loan_limit:
        raise Refusal("401161", "The patron has reached the loan limit.")


def _fulfil(call: Call, item: Item, user_id: str) -> None:
    """The loan closes the user's hold on this item, or else the user's hold on its title."""
    requests = call.sandbox.requests
    mine = [
        found for found in requests.active(item.mms_id) if found.user_id == user_id and found.type == "HOLD"
    ]
    found = next((r for r in mine if r.item_pid == item.pid), None) or next(
        (r for r in mine if not r.item_level), None
    )
    if found is not None:
        # On loan from here on, so that closing the request does not offer the item to the next in the queue.
        item.process_type = "LOAN"
        call.catalogue.keep_item(item)
        requests.close(found, "loan")
        notices.request(call, found, "REQUEST_CLOSED", "Request closed")


def _list(call: Call, found: list[Loan], limit: int) -> Answer:
    status = call.choice("loan_status", "Active", ("Active", "Complete")).upper()
    order = call.choice("order_by", "id", _ORDER)
    down = call.query.get("direction", "asc").lower() == "desc"
    rows = [loan for loan in found if loan.status == status and call.sandbox.loans.is_kept(loan)]
    rows.sort(key=lambda loan: (_key(call, loan, order), loan.id), reverse=down)
    offset = call.number("offset", 0)
    limit = call.number("limit", limit, high=max(limit, 100))
    renewable = "renewable" in call.query.get("expand", "").split(",")
    shown = [shapes.loan(call, loan, renewable=renewable) for loan in rows[offset : offset + limit]]
    return Answer("item_loans", listing("item_loan", shown, len(rows)))


def _key(call: Call, loan: Loan, order: str) -> str:
    moments = {"loan_date": loan.loan_date, "due_date": loan.due_date, "return_date": loan.return_date}
    if order in moments:
        moment = moments[order]
        return moment.isoformat() if moment is not None else ""
    if order == "barcode":
        return loan.barcode
    return str(shapes.loan(call, loan).get(order, "")) if order in ("title", "author") else loan.id


def list_of_user(call: Call) -> Answer:
    """``GET /users/{user_id}/loans``: 10 a page unless ``limit`` says otherwise."""
    return _list(call, call.sandbox.loans.of_user(str(lookups.user(call)["primary_id"])), 10)


def list_of_item(call: Call) -> Answer:
    """``GET …/items/{item_pid}/loans``."""
    return _list(call, call.sandbox.loans.of_item(lookups.item(call).pid), 10)


def list_of_bib(call: Call) -> Answer:
    """``GET /bibs/{mms_id}/loans``: all of them unless ``limit`` says otherwise."""
    return _list(call, call.sandbox.loans.of_title(lookups.bib(call).mms_id), 99_999)


def read_one(call: Call) -> Answer:
    """``GET …/loans/{loan_id}`` in each tree."""
    return Answer("item_loan", shapes.loan(call, lookups.loan(call), renewable=True))


def operate(call: Call) -> Answer:
    """``POST …/loans/{loan_id}?op=renew``."""
    if call.query.get("op") != "renew":
        raise Refusal("40166410", f"Parameter value is invalid: op={call.query.get('op', '')}.")
    loan = lookups.loan(call)
    item = call.catalogue.item(loan.item_pid)
    if item is None or not shapes.is_renewable(call, loan):
        raise Refusal(
            "401822", "Cannot renew loan: the item is requested, or its policy or status forbids it."
        )
    loan.due_date = max(loan.due_date, call.sandbox.loans.due(item))
    loan.process_status, loan.last_renew_status = "RENEW", "RENEWED_SUCCESSFULLY"
    loan.last_renew_date = call.sandbox.clock.now()
    notices.loan(call, loan, "LOAN_RENEWED", "Loan renewed")
    return Answer("item_loan", shapes.loan(call, loan))


def update(call: Call) -> Answer:
    """``PUT …/loans/{loan_id}``: changes the due date."""
    loan = lookups.loan(call)
    text = bodies.text(bodies.read(call).get("due_date"))
    if not text:
        raise Refusal("401824", "The due date is missing.")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refusal("401666", f"Parameter value is invalid: due_date={text}.") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= call.sandbox.clock.now():
        raise Refusal("401681", "The due date lies in the past.")
    loan.due_date = moment.astimezone(UTC)
    notices.loan(call, loan, "LOAN_DUE_DATE", "Loan due date changed")
    return Answer("item_loan", shapes.loan(call, loan))


_ITEM = "/bibs/{mms_id}/holdings/{holding_id}/items/{item_pid}"
ROUTES = [
    route("/users/{user_id}/loans", get=list_of_user, post=create_for_user),
    route(f"{_ITEM}/loans", get=list_of_item, post=create_for_item),
    route("/bibs/{mms_id}/loans", get=list_of_bib),
    route("/users/{user_id}/loans/{loan_id}", get=read_one, post=operate, put=update),
    route(f"{_ITEM}/loans/{{loan_id}}", get=read_one, post=operate, put=update),
    route("/bibs/{mms_id}/loans/{loan_id}", get=read_one),
]
