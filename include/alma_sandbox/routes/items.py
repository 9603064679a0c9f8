"""Items: lists, one item, look-up by barcode (sections 5.1-5.4)."""

import re
from collections.abc import Callable
from urllib.parse import urlencode

from alma_sandbox.catalogue.records import Item
from alma_sandbox.circulation.scan import home
from alma_sandbox.http.answers import Answer, Plain, listing
from alma_sandbox.http.call import BASE, Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import item_shapes, item_writes, lookups

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
    rows = [item_shapes.item(call, item, expand) for item in items[offset : offset + limit]]
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
    return Answer("item", item_shapes.item(call, lookups.item(call), expansions(call)))


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


ROUTES = [
    route("/items", get=by_barcode),
    route("/bibs/{mms_id}/holdings/{holding_id}/items", get=read_list, post=item_writes.create),
    route(
        "/bibs/{mms_id}/holdings/{holding_id}/items/{item_pid}",
        get=read_one,
        put=item_writes.update,
        delete=item_writes.withdraw,
        post=item_writes.operate,
    ),
]
