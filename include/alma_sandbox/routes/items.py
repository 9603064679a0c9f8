"""Items: lists, one item, look-up by barcode; create, swap-all update, withdraw; scan-in (sections 5 and 6)."""

import re
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlencode

from alma_sandbox.catalogue.conf_data import CODE_TABLES, LIBRARIES, location_of
from alma_sandbox.catalogue.marc import DataField
from alma_sandbox.catalogue.records import ITEM_CODES, ITEM_TEXTS, TEMPORARY, Holding, Item
from alma_sandbox.circulation import scan
from alma_sandbox.circulation.scan import home
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import Answer, Payload, Plain, listing
from alma_sandbox.http.call import BASE, Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import holdings, lookups, notices, shapes

_DATES = {
    "create_date": lambda item: item.created_date,
    "modify_date": lambda item: item.modified_date,
    "receive_date": lambda item: item.texts.get("arrival_date", ""),
    "expected_receive_date": lambda item: item.texts.get("expected_arrival_date", ""),
}
_Q = {
    "enum_a": "enumeration_a", "enum_b": "enumeration_b", "chron_i": "chronology_i", "chron_j": "chronology_j",
    "description": "description",
}  # fmt: skip
_ORDER = (
    "chron_i", "description", "enum_a", "enum_b", "library", "location", "temporary_location", "receive_date",
    "expected_receive_date",
)  # fmt: skip


def expansions(call: Call) -> frozenset[str]:
    """What ``expand`` asks for."""
    return frozenset(part.strip() for part in call.query.get("expand", "").split(",") if part.strip())


def read_list(call: Call) -> Answer:
    """``GET …/holdings/{holding_id|ALL}/items``: paged; ALL = the items of every holding of the bib."""
    bib = lookups.bib(call)
    holding_id = call.path["holding_id"]
    if holding_id == "ALL":
        items = call.catalogue.items_of_bib(bib.mms_id)
    else:
        holding = call.catalogue.holding(holding_id)
        if holding is None or holding.mms_id != bib.mms_id:
            raise Refusal(
                "401688", f"Search failed for Items with mmsId {bib.mms_id}, holdings id {holding_id}."
            )
        items = call.catalogue.items_of(holding_id)
    items = _ordered(call, [item for item in items if all(test(item) for test in _filters(call))])
    offset, limit = call.page()
    if offset > len(items):
        raise Refusal(
            "60217", f"Parameter value is invalid: offset={offset} is larger than the number of items."
        )
    expand = expansions(call)
    rows = [shapes.item(call, item, expand) for item in items[offset : offset + limit]]
    return Answer("items", listing("item", rows, len(items)))


def _place(call: Call, item: Item) -> tuple[str, str]:
    holding = call.catalogue.holding(item.holding_id)
    return ("", "") if holding is None else home(item, holding)


def _filters(call: Call) -> list[Callable[[Item], bool]]:
    tests: list[Callable[[Item], bool]] = []
    library, location = call.query.get("current_library"), call.query.get("current_location")
    if library:
        tests.append(lambda item: _place(call, item)[0] == library)
    if location:
        tests.append(lambda item: _place(call, item)[1] == location)
    if call.query.get("q"):
        index, separator, words = call.query["q"].partition("~")
        if not separator or index not in _Q:
            raise Refusal("60106", f"Parameter value is invalid: q={call.query['q']}.")
        wanted = words.replace("_", " ").lower()
        tests.append(lambda item: wanted in item.texts.get(_Q[index], "").lower())
    for name, read in _DATES.items():
        for end in ("from", "to"):
            bound = call.query.get(f"{name}_{end}", "")
            if bound:
                tests.append(_date_test(read, _date(bound), end))
    return tests


def _date(text: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}Z?", text):
        raise Refusal("402217", f"Date {text} is not valid: YYYY-MM-DD is expected.")
    return text[:10]


def _date_test(read: Callable[[Item], str], bound: str, end: str) -> Callable[[Item], bool]:
    if end == "from":
        return lambda item: bool(read(item)) and read(item)[:10] >= bound
    return lambda item: bool(read(item)) and read(item)[:10] <= bound


def _ordered(call: Call, items: list[Item]) -> list[Item]:
    """Sorted as ``order_by`` asks, downwards by default; without it in no promised order."""
    name = call.query.get("order_by", "")
    if not name or name == "none":
        return items
    if name not in _ORDER:
        raise Refusal("60216", f"Parameter value is invalid: order_by={name}.")
    down = call.choice("direction", "desc", ("asc", "desc")) == "desc"
    return sorted(items, key=lambda item: (_key(call, item, name), item.pid), reverse=down)


def _key(call: Call, item: Item, name: str) -> tuple[int, str]:
    """Numbers in their order before other texts."""
    if name in _Q:
        text = item.texts.get(_Q[name], "")
    elif name in ("library", "location"):
        text = _place(call, item)[name == "location"]
    elif name == "temporary_location":
        text = item.temp_location
    else:
        text = _DATES[name](item)
    return (int(text), "") if text.isascii() and text.isdigit() else (1 << 62, text)


def read_one(call: Call) -> Answer:
    """``GET …/items/{item_pid}``: the holding in the path is not checked."""
    alone = call.path["mms_id"] == "ALL" and call.sandbox.settings.item_by_pid_alone
    found = call.catalogue.item(call.path["item_pid"]) if alone else None
    return Answer("item", shapes.item(call, found or lookups.item(call), expansions(call)))


def by_barcode(call: Call) -> Plain:
    """``GET /items?item_barcode=``: a redirect (302) to the item, so that a look-up costs two calls."""
    barcode = call.query.get("item_barcode", "")
    found = call.catalogue.item_by_barcode(barcode) if barcode else None
    if found is None:
        raise Refusal("401689", f"No items found for barcode {barcode}.")
    passed = {
        name: call.query[name]
        for name in ("view", "expand", "user_id", "format", "apikey")
        if name in call.query
    }
    target = f"/bibs/{found.mms_id}/holdings/{found.holding_id}/items/{found.pid}"
    host = call.base.removesuffix(BASE)
    return Plain(302, location=f"{host}{BASE}{target}{'?' + urlencode(passed) if passed else ''}")


_DATE_FIELDS = ("issue_date", "arrival_date", "expected_arrival_date", "inventory_date", "weeding_date")
# Alma writes these; what a caller sends for them is not looked at.
_OUTPUT_ONLY = ("type_of_unit",)


def create(call: Call) -> Answer:
    """``POST …/holdings/{holding_id}/items``: library and location are the holding's. Repeating is refused
    only by the barcode; without one, Alma makes one up and a repeat makes another item."""
    holding = lookups.holding(call)
    body = bodies.read(call)
    item = Item(
        pid="",
        mms_id=holding.mms_id,
        holding_id=holding.holding_id,
        barcode="",
        created_date=call.sandbox.clock.date(),
    )
    _fill(call, item, body)
    if call.flag("generate_description", False):
        item.texts["description"] = _description(item)
    # Something ordered and not yet there is in acquisition.
    item.process_type = "ACQ" if item.texts["po_line"] and not item.texts["arrival_date"] else ""
    item.pid = call.catalogue.counter.take("23")
    call.catalogue.keep_item(item)
    call.sandbox.requests.note_change(item)
    notices.item(call, item, "ITEM_CREATED", "Item created")
    return Answer("item", shapes.item(call, item))


def _fill(call: Call, item: Item, body: Payload) -> None:
    """Every writable field from the body: what is missing is emptied, and a missing barcode made up."""
    data, holding_data = bodies.part(body, "item_data"), bodies.part(body, "holding_data")
    barcode = bodies.text(data.get("barcode")).strip()
    owner = call.catalogue.item_by_barcode(barcode) if barcode else None
    if owner is not None and owner.pid != item.pid:
        raise _invalid("barcode", barcode, " Barcode already exists.")
    texts = {name: bodies.text(data.get(name)) for name in ITEM_TEXTS if name not in _OUTPUT_ONLY}
    codes = {name: bodies.text(data.get(name)) for name in ITEM_CODES}
    for name, value in codes.items():
        if value and value not in CODE_TABLES[ITEM_CODES[name]]:
            raise _invalid(name, value)
    for name in _DATE_FIELDS:
        if texts[name] and not re.fullmatch(r"\d{4}-\d{2}-\d{2}Z?", texts[name]):
            raise _invalid(name, texts[name])
    if texts["po_line"] and call.sandbox.po_lines.find(texts["po_line"]) is None:
        raise Refusal("401885", f"PO line {texts['po_line']} is not valid.")
    _fill_temporary(item, holding_data)
    item.texts = {**texts, "type_of_unit": item.texts.get("type_of_unit", "")}
    item.texts["pieces"] = texts["pieces"] or "1"
    item.codes = codes
    item.is_magnetic = bodies.text(data.get("is_magnetic")) == "true"
    item.copy_id = bodies.text(holding_data.get("copy_id"))
    item.barcode = barcode or new_barcode(call)
    item.modified_date = call.sandbox.clock.date()


def _fill_temporary(item: Item, data: Payload) -> None:
    away = bodies.text(data.get("in_temp_location")) == "true"
    library, location = bodies.text(data.get("temp_library")), bodies.text(data.get("temp_location"))
    policy = bodies.text(data.get("temp_policy"))
    if away and location_of(library, location) is None:
        raise _invalid("temp_location", f"{library} {location}")
    call_number_type = bodies.text(data.get("temp_call_number_type"))
    if policy and policy not in CODE_TABLES["ItemPolicy"]:
        raise _invalid("temp_policy", policy)
    if call_number_type and call_number_type not in CODE_TABLES["CallNumberType"]:
        raise _invalid("temp_call_number_type", call_number_type)
    item.in_temp_location = away
    item.temp_library, item.temp_location = (library, location) if away else ("", "")
    item.temp_policy = policy
    item.temp_call_number = bodies.text(data.get("temp_call_number"))
    item.temp_call_number_type = call_number_type
    item.temp_call_number_source = bodies.text(data.get("temp_call_number_source"))


def _invalid(field: str, value: str, more: str = "") -> Refusal:
    return Refusal("40166404", f"Given field {field} has invalid value {value}.{more}")


def new_barcode(call: Call) -> str:
    """A barcode that Alma generates: none that a caller could have meant."""
    while True:
        barcode = f"AUTO{call.catalogue.counter.number('barcode') + 1:010d}"
        if call.catalogue.item_by_barcode(barcode) is None:
            return barcode


def shown(call: Call, item: Item) -> Answer:
    """The answer of a call that changed an item."""
    notices.item(call, item, "ITEM_UPDATED", "Item updated")
    return Answer("item", shapes.item(call, item))


def _description(item: Item) -> str:
    """``v.1:no.2 (2020:5)`` from enumeration and chronology."""
    texts = item.texts
    levels = [
        f"{label}{texts[name]}"
        for label, name in (("v.", "enumeration_a"), ("no.", "enumeration_b"))
        if texts[name]
    ]
    dates = [texts[name] for name in ("chronology_i", "chronology_j") if texts[name]]
    return " ".join(part for part in (":".join(levels), f"({':'.join(dates)})" if dates else "") if part)


def update(call: Call) -> Answer:
    """``PUT …/items/{item_pid}``: swap-all. Another library or location moves the item to another holding."""
    stored = lookups.item(call)
    body = bodies.read(call)
    data = bodies.part(body, "item_data")
    item = replace(stored, texts=dict(stored.texts), codes=dict(stored.codes))
    holding = call.catalogue.holding(item.holding_id)
    if holding is None:
        raise Refusal("402208", f"Search failed for Holdings ID {item.holding_id}")
    library = bodies.text(data.get("library")) or holding.library
    location = bodies.text(data.get("location")) or holding.location
    moved = (library, location) != (holding.library, holding.location)
    moved = moved and not call.ignored & {"library", "location", "*"}
    if moved and location_of(library, location) is None:
        raise _invalid("location", f"{library} {location}")
    _fill(call, item, body)
    if call.flag("generate_description", False):
        item.texts["description"] = _description(item)
    item = _but_for(item, stored, call.ignored)
    if item.process_type == "ACQ" and item.texts["arrival_date"]:
        item.process_type = ""
    if moved:
        call.catalogue.move_item(item, _holding_at(call, holding, library, location))
    else:
        call.catalogue.keep_item(item)
    return shown(call, item)


def _but_for(item: Item, stored: Item, ignored: frozenset[str]) -> Item:
    """The changed item, of which the ignored fields are as they were: what a fault makes of a PUT."""
    every = "*" in ignored
    texts = {name: stored.texts.get(name, "") for name in item.texts if every or name in ignored}
    codes = {name: stored.codes.get(name, "") for name in item.codes if every or name in ignored}
    own = ("barcode", "is_magnetic", "copy_id", "in_temp_location", *TEMPORARY)
    kept = {name: getattr(stored, name) for name in own if every or name in ignored}
    return replace(item, texts=item.texts | texts, codes=item.codes | codes, **kept)


def _holding_at(call: Call, source: Holding, library: str, location: str) -> Holding:
    """The bib's holding at a place; made like ``source`` when there is none yet."""
    for holding in call.catalogue.holdings_of(source.mms_id):
        if (holding.library, holding.location) == (library, location):
            return holding
    places = {"b": library, "c": location}
    record = source.record.copy()
    record.fields = [
        replace(entry, subfields=tuple((code, places.get(code, value)) for code, value in entry.subfields))
        if isinstance(entry, DataField) and entry.tag == "852"
        else entry
        for entry in record.fields
    ]
    made = replace(
        source,
        holding_id=call.catalogue.counter.take("22"),
        record=record,
        suppressed=False,
        created_by="exl_api",
        created_date=call.sandbox.clock.date(),
        made_at=call.sandbox.clock.time(),
    )
    made.record.set_control("001", made.holding_id)
    made.record.set_control("004", made.mms_id)
    call.catalogue.keep_holding(made)
    return made


def withdraw(call: Call) -> Plain:
    """``DELETE …/items/{item_pid}``: refused on loan or with requests, unless overridden."""
    what_of_holding = call.choice("holdings", "retain", ("retain", "delete", "suppress"))
    what_of_bib = call.choice("bib", "retain", ("retain", "delete", "suppress"))
    item = lookups.item(call)
    override = call.flag("override", False)
    loan, waiting = call.sandbox.loans.active_of_item(item.pid), call.sandbox.requests.on_item(item)
    if loan is not None and not override:
        raise Refusal("401849", "Item delete errors: Item is on loan.")
    if waiting and not override:
        raise Refusal("401849", "Item delete errors: Item has requests.")
    if loan is not None:
        call.sandbox.loans.complete(loan)
    for request in waiting:
        call.sandbox.requests.close(request, "CannotBeFulfilled")
    notices.item(call, item, "ITEM_DELETED", "Item deleted")
    call.catalogue.drop_item(item.pid)
    if not call.catalogue.items_of(item.holding_id):
        _tidy_holding(call, item.holding_id, what_of_holding, what_of_bib)
    return Plain()


def _tidy_holding(call: Call, holding_id: str, what: str, what_of_bib: str) -> None:
    holding = call.catalogue.holding(holding_id)
    if holding is None or what == "retain":
        return
    if what == "suppress":
        holding.suppressed = True
        call.catalogue.keep_holding(holding)
        return
    call.catalogue.drop_holding(holding_id)
    holdings.tidy_bib(call, holding.mms_id, what_of_bib)


def operate(call: Call) -> Answer:
    """``POST …/items/{item_pid}?op=scan``: the holding in the path must be the item's."""
    if call.query.get("op") != "scan":
        raise Refusal("40166410", f"Parameter value is invalid: op={call.query.get('op', '')}.")
    library, desk, department = (call.query.get(name, "") for name in ("library", "circ_desk", "department"))
    if bool(desk) == bool(department):
        raise Refusal(
            "40166415", "Must send at least one of the following parameters: [circ_desk,department]"
        )
    if not library:
        raise Refusal("401664", "Mandatory field is missing: library")
    holder = LIBRARIES.get(library)
    if (
        holder is None
        or (desk and desk not in holder.desks)
        or (department and department not in holder.departments)
    ):
        raise Refusal("402502", f"Scan in failed: library {library} has no {desk or department}.")
    item = lookups.item(call, strict=True)
    holding = call.catalogue.holding(item.holding_id)
    if holding is None:
        raise Refusal("402504", f"Failed to retrieve item {item.pid}.")
    if desk:
        in_house = call.flag("register_in_house_use", True)
        outcome = scan.at_desk(call.sandbox, item, holding, library, in_house=in_house)
    else:
        work_order, status = call.query.get("work_order_type", ""), call.query.get("status", "")
        done = call.flag("done", False)
        outcome = scan.at_department(
            call.sandbox, item, holding, department, library, work_order, status, done=done
        )
    if outcome.returned is not None:
        notices.loan(call, outcome.returned, "LOAN_RETURNED", "Loan returned")
    if outcome.shelved is not None:
        notices.request(call, outcome.shelved, "REQUEST_PLACED_ON_SHELF", "Request placed on shelf")
    notices.item(call, item, "ITEM_UPDATED", "Item updated")
    return Answer("item", {**shapes.item(call, item), "additional_info": outcome.text})


ROUTES = [
    route("/items", get=by_barcode),
    route("/bibs/{mms_id}/holdings/{holding_id}/items", get=read_list, post=create),
    route(
        "/bibs/{mms_id}/holdings/{holding_id}/items/{item_pid}",
        get=read_one,
        put=update,
        delete=withdraw,
        post=operate,
    ),
]
