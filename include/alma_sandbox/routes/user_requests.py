"""User requests in their three trees: user, bib, item (section 7)."""

from datetime import timedelta

from alma_sandbox.catalogue.conf_data import CODE_TABLES, DISABLED, LIBRARIES
from alma_sandbox.catalogue.records import Item
from alma_sandbox.circulation.requests import UserRequest
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import Answer, Payload, Plain, code, listing
from alma_sandbox.http.call import Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import lookups, notices, shapes

_CREATABLE = ("HOLD", "BOOKING", "DIGITIZATION")
_TYPES = (*_CREATABLE, "MOVE", "WORK_ORDER")
_PICKUPS = ("LIBRARY", "CIRCULATION_DESK", "INSTITUTION", "USER_HOME_ADDRESS", "USER_WORK_ADDRESS")
_VALUES = (
    "comment", "description", "manual_description", "volume", "issue", "part", "last_interest_date",
    "pickup_location_institution", "target_destination", "partial_digitization", "chapter_or_article_title",
    "chapter_or_article_author", "required_pages", "booking_start_date", "booking_end_date",
    "copyrights_declaration_signed_by_patron", "material_type",
)  # fmt: skip
_KEEP_DAYS = 15


def create_for_user(call: Call) -> Answer:
    """``POST /users/{user_id}/requests``: ``mms_id`` or ``item_pid`` says on what."""
    user = lookups.user(call)
    pid, mms_id = call.query.get("item_pid", ""), call.query.get("mms_id", "")
    if pid:
        item = call.catalogue.item(pid)
        if item is None:
            raise Refusal("401684", f"Search failed for item {pid}.")
        return _create(call, user, item.mms_id, item)
    if not mms_id:
        raise Refusal("401664", "Mandatory field is missing: mms_id or item_pid")
    return _create(call, user, lookups.bib_by_id(call, mms_id).mms_id, None)


def _user_of_query(call: Call) -> Payload | None:
    user_id = call.query.get("user_id", "")
    return lookups.user_by_id(call, user_id) if user_id else None


def create_for_bib(call: Call) -> Answer:
    """``POST /bibs/{mms_id}/requests``: without ``user_id`` only a library's digitisation."""
    return _create(call, _user_of_query(call), lookups.bib(call).mms_id, None)


def create_for_item(call: Call) -> Answer:
    """``POST …/items/{item_pid}/requests``: the holding in the path must be the item's."""
    item = lookups.item(call, strict=True)
    return _create(call, _user_of_query(call), item.mms_id, item)


def _create(call: Call, user: Payload | None, mms_id: str, item: Item | None) -> Answer:
    body = bodies.read(call)
    kind = bodies.text(body.get("request_type"))
    if not kind:
        raise Refusal("401664", "Mandatory field is missing: request_type")
    if kind not in _CREATABLE:
        raise Refusal("40166410", f"Parameter value is invalid: request_type={kind}.")
    if user is None and kind != "DIGITIZATION":
        raise Refusal("401664", "Mandatory field is missing: user_id")
    if kind == "BOOKING" and not (body.get("booking_start_date") and body.get("booking_end_date")):
        raise Refusal("401664", "Mandatory field is missing: booking_start_date, booking_end_date")
    user_id = str(user["primary_id"]) if user is not None else ""
    _refuse_duplicate(call, user_id, mms_id, item)
    if user is not None and not call.sandbox.users.may_request(user):
        raise Refusal("401129", "No items can fulfill the submitted request.")
    items = [item] if item is not None else call.catalogue.items_of_bib(mms_id)
    if not any(call.sandbox.requests.requestable(found) for found in items):
        raise Refusal("401129", "No items can fulfill the submitted request.")
    request = UserRequest(
        id=call.sandbox.number("request"),
        type=kind,
        user_id=user_id,
        mms_id=mms_id,
        created=call.sandbox.clock.now(),
        item_level=item is not None,
        item_pid=item.pid if item is not None else "",
    )
    _fill(call, request, body)
    request.expiry_date = f"{request.created + timedelta(days=_KEEP_DAYS):%Y-%m-%d}Z"
    call.sandbox.requests.add(request)
    notices.request(call, request, "REQUEST_CREATED", "Request created")
    return Answer("user_request", shapes.user_request(call, request))


def _refuse_duplicate(call: Call, user_id: str, mms_id: str, item: Item | None) -> None:
    if call.flag("allow_same_request", False) or not user_id:
        return
    for found in call.sandbox.requests.active(mms_id):
        same = found.item_level is (item is not None) and (item is None or found.item_pid == item.pid)
        if found.user_id == user_id and same:
            raise Refusal(
                "401136", "Failed to save the request: Patron has active request for selected item."
            )


def _fill(call: Call, request: UserRequest, body: Payload) -> None:
    """Pickup place and the other fields from the body; what is missing becomes empty."""
    pickup = bodies.text(body.get("pickup_location_type"))
    library = bodies.text(body.get("pickup_location_library"))
    desk = bodies.text(body.get("pickup_location_circulation_desk"))
    if request.type == "HOLD":
        if pickup not in _PICKUPS:
            raise Refusal("401664", "Mandatory field is missing: pickup_location_type")
        if pickup in ("LIBRARY", "CIRCULATION_DESK") and not library:
            raise Refusal("401664", "Mandatory field is missing: pickup_location_library")
    if desk and library and (library not in LIBRARIES or desk not in LIBRARIES[library].desks):
        text = f"Pickup circulation desk with code {desk} and library code {library} was not found."
        raise Refusal("401895", text)
    if library and library not in LIBRARIES:
        raise Refusal("401652", lookups.GENERAL)
    if library and LIBRARIES[library].resource_sharing:  # no patron's hold is delivered there
        raise Refusal("401129", "No items can fulfill the submitted request.")
    _check_address(call, request.user_id, pickup)
    request.pickup_type = pickup or "LIBRARY"
    request.pickup_library, request.pickup_desk = library, desk
    request.values = {name: value for name in _VALUES if (value := bodies.text(body.get(name)))}


def _check_address(call: Call, user_id: str, pickup: str) -> None:
    """Delivery to a patron's home or work, where the institution offers it."""
    kind = {"USER_HOME_ADDRESS": "home", "USER_WORK_ADDRESS": "work"}.get(pickup)
    if kind is None:
        return
    if not call.sandbox.settings.personal_delivery:
        raise Refusal("60308", "Delivery to personal address is not supported.")
    user = call.sandbox.users.find(user_id)
    addresses = user["contact_info"]["address"] if user is not None else []
    if not any(kind in map(bodies.text, address["address_type"]) for address in addresses):
        raise Refusal("60309", "User does not have address for personal delivery.")


def _list(call: Call, found: list[UserRequest], *, paged: bool) -> Answer:
    status = call.choice("status", "active", ("active", "history"))
    kind = call.query.get("request_type", "")
    if kind and kind not in _TYPES:
        raise Refusal("40166410", f"Parameter value is invalid: request_type={kind}.")
    kept = call.sandbox.settings.closed_requests != "gone"
    rows = [
        request
        for request in found
        if (request.active if status == "active" else kept and not request.active)
        and kind in ("", request.type)
    ]
    offset, limit = call.page() if paged else (0, len(rows))
    shown = [shapes.user_request(call, request) for request in rows[offset : offset + limit]]
    return Answer("user_requests", listing("user_request", shown, len(rows)))


def list_of_user(call: Call) -> Answer:
    """``GET /users/{user_id}/requests``: paged."""
    user_id = lookups.user(call)["primary_id"]
    return _list(call, call.sandbox.requests.of_user(str(user_id)), paged=True)


def list_of_bib(call: Call) -> Answer:
    """``GET /bibs/{mms_id}/requests``: not paged."""
    return _list(call, call.sandbox.requests.of_title(lookups.bib(call).mms_id), paged=False)


def list_of_item(call: Call) -> Answer:
    """``GET …/items/{item_pid}/requests``: not paged."""
    item = lookups.item(call, strict=True)
    found = [
        request for request in call.sandbox.requests.of_title(item.mms_id) if request.item_pid == item.pid
    ]
    return _list(call, found, paged=False)


def read_one(call: Call) -> Answer:
    """``GET …/requests/{request_id}`` in each tree."""
    return Answer("user_request", shapes.user_request(call, lookups.request(call)))


def update(call: Call) -> Answer:
    """``PUT …/requests/{request_id}``: the full object; closed requests are gone."""
    request = _active(call)
    _fill(call, request, bodies.read(call))
    return Answer("user_request", shapes.user_request(call, request))


def _active(call: Call) -> UserRequest:
    request = lookups.request(call)
    if not request.active:
        raise Refusal("401694", f"Request Identifier not found: {request.id}.")
    return request


def operate(call: Call) -> Answer:
    """``POST …/requests/{request_id}?op=next_step``: digitisation only; its next step is its end."""
    request = _active(call)
    if call.query.get("op") != "next_step":
        raise Refusal("40166410", f"Parameter value is invalid: op={call.query.get('op', '')}.")
    if request.type != "DIGITIZATION":
        raise Refusal("401652", "Only digitization requests can be moved to their next step.")
    call.sandbox.requests.close(request, "next_step")
    notices.request(call, request, "REQUEST_CLOSED", "Request closed")
    return Answer("user_request", shapes.user_request(call, request))


def cancel(call: Call) -> Plain:
    """``DELETE …/requests/{request_id}``: needs a ``reason``; mails the patron unless ``notify_user=false``."""
    reason = call.query.get("reason", "")
    if not reason:
        raise Refusal("401664", "Mandatory field is missing: reason")
    known = set(CODE_TABLES["RequestCancellationReasons"]) - DISABLED["RequestCancellationReasons"]
    if reason not in known:
        raise Refusal("401666", f"Parameter value is invalid: reason={reason}.")
    request = _active(call)
    if call.flag("notify_user", True) and request.user_id:
        call.sandbox.letters.append(
            {"user_id": request.user_id, "letter": "RequestCanceled", "request_id": request.id}
        )
    call.sandbox.requests.close(request, reason)
    notices.request(call, request, "REQUEST_CANCELED", "Request canceled")
    return Plain()


def options(call: Call) -> Answer:
    """``GET …/request-options``: what this user may request here."""
    items = (
        [lookups.item(call)]
        if "item_pid" in call.path
        else call.catalogue.items_of_bib(lookups.bib(call).mms_id)
    )
    user = _user_of_query(call) if call.query.get("user_id", "GUEST") != "GUEST" else None
    able = user is None or call.sandbox.users.may_request(user)
    rows: list[Payload] = []
    if able and any(call.sandbox.requests.requestable(item) for item in items):
        rows = [
            {"type": code("HOLD", "Hold"), "request_url": ""},
            {"type": code("DIGITIZATION", "Digitization"), "request_url": ""},
        ]
    found = listing("request_option", rows)
    del found["total_record_count"]
    return Answer("request_options", found)


_ITEM = "/bibs/{mms_id}/holdings/{holding_id}/items/{item_pid}"
ROUTES = [
    route("/users/{user_id}/requests", get=list_of_user, post=create_for_user),
    route("/bibs/{mms_id}/requests", get=list_of_bib, post=create_for_bib),
    route(f"{_ITEM}/requests", get=list_of_item, post=create_for_item),
    *(
        route(f"{tree}/requests/{{request_id}}", get=read_one, put=update, post=operate, delete=cancel)
        for tree in ("/users/{user_id}", "/bibs/{mms_id}", _ITEM)
    ),
    route("/bibs/{mms_id}/request-options", get=options),
    route(f"{_ITEM}/request-options", get=options),
]
