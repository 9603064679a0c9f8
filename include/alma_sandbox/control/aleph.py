"""What only Aleph's own staff can do or see: items, bookings, ILL requests, ADM documents, sessions, tables of codes.

Reached by the control surface at ``/sandbox/aleph/…``.
"""

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from alma_sandbox.aleph.checks import corrected
from alma_sandbox.aleph.fields import FIELDS, KEY, tables
from alma_sandbox.aleph.records import Booking, StoredZ30, blank, key_of
from alma_sandbox.aleph.world import AlephWorld
from alma_sandbox.control.acting import only
from alma_sandbox.control.common import mapping, routes_at
from alma_sandbox.sandbox import Sandbox

_PERMANENT = ("sub-library", "collection", "item-status")


def routes(sandbox: Sandbox) -> list[Route]:
    """The routes of the Aleph side of the control surface."""

    async def read_counts(_: Request) -> object:
        world = sandbox.aleph
        return {
            "library": sandbox.settings.aleph_library,
            "items": sum(1 for _ in world.all_keys()),
            "changed": len(world.changed),
            "bookings": len(world.bookings),
            "ill_requests": len(world.ill_barcodes),
            "sessions": len(world.sessions),
        }

    async def read_tables(_: Request) -> object:
        return tables()

    async def read_items(request: Request) -> object:
        query = request.query_params
        limit, offset = int(query.get("limit", "100")), int(query.get("offset", "0"))
        keys = [
            key
            for key in sandbox.aleph.all_keys()
            if _asked(sandbox.aleph, key, query.get("doc"), query.get("barcode"))
        ]
        rows = [described(sandbox, key) for key in keys[offset : offset + limit]]
        return {"items": rows, "total": len(keys)}

    async def add_items(request: Request) -> object:
        body = await mapping(request)
        only(body, "items")
        if not isinstance(body["items"], list):
            raise ValueError("items is a list of z30 records")
        return {"items": [described(sandbox, add_item(sandbox.aleph, values)) for values in body["items"]]}

    async def read_item(request: Request) -> object:
        return described(sandbox, _key(sandbox.aleph, request))

    async def change(request: Request) -> object:
        key = _key(sandbox.aleph, request)
        change_item(sandbox.aleph, key, await mapping(request))
        return described(sandbox, key)

    async def change_document(request: Request) -> object:
        body, number = await mapping(request), _document(request.path_params["document"])
        only(body, "deleted")
        sandbox.aleph.documents[number] = "" if body["deleted"] else number
        return {"document": number, "exists": sandbox.aleph.has_document(number)}

    async def end_sessions(_: Request) -> object:
        ended = len(sandbox.aleph.sessions)
        sandbox.aleph.sessions.clear()
        return {"ended": ended}

    return [
        *routes_at("aleph", get=read_counts),
        *routes_at("aleph/tables", get=read_tables),
        *routes_at("aleph/items", get=read_items, post=add_items),
        *routes_at("aleph/items/{document}/{sequence}", get=read_item, post=change),
        *routes_at("aleph/documents/{document}", post=change_document),
        *routes_at("aleph/sessions", delete=end_sessions),
    ]


def _document(text: str) -> str:
    key = key_of(text, "0")
    if key is None:
        raise ValueError(f"{text} is no document number")
    return key[:9]


def _key(world: AlephWorld, request: Request) -> str:
    document, sequence = request.path_params["document"], request.path_params["sequence"]
    key = key_of(document, sequence)
    if key is None or world.item(key) is None:
        raise ValueError(f"no item {document}/{sequence}")
    return key


def _asked(world: AlephWorld, key: str, document: str | None, barcode: str | None) -> bool:
    if document is not None and key[:9] != document.zfill(9):
        return False
    if barcode is None:
        return True
    item = world.item(key)
    return item is not None and item.values["barcode"] == barcode


def described(sandbox: Sandbox, key: str) -> dict[str, Any]:
    """An item as the control surface shows it: its codes, what hangs on it, and the Alma item of its barcode."""
    world, item = sandbox.aleph, sandbox.aleph.item(key)
    if item is None:
        return {"key": key, "values": None}
    booking, twin = world.bookings.get(key), sandbox.catalogue.item_by_barcode(item.values["barcode"])
    return {
        "key": key,
        "values": item.values,
        "permanent": item.permanent,
        "ill": item.ill,
        "ill_barcode": world.ill_barcodes.get(key),
        "booking": None if booking is None else vars(booking),
        "alma": None
        if twin is None
        else {"mms_id": twin.mms_id, "holding_id": twin.holding_id, "item_pid": twin.pid},
    }


def add_item(world: AlephWorld, values: object) -> str:
    """Put an item into the library, or another in its place, unchecked; returns its key. ValueError for unknown fields.

    ``values``: fields with or without ``z30-``; the key is mandatory.
    """
    if not isinstance(values, dict):
        raise ValueError("an item is an object of z30 fields")
    named = _named(values)
    key = key_of(named.pop("doc-number", ""), named.pop("item-sequence", ""))
    if key is None:
        raise ValueError("an item needs doc-number and item-sequence")
    item = StoredZ30(corrected(blank() | named | {"doc-number": key[:9], "item-sequence": key[9:]}))
    item.values["barcode"] = item.values["barcode"] or key
    world.keep(item)
    if not world.has_document(key[:9]):
        world.documents[key[:9]] = key[:9]
    return key


def _named(values: dict[str, Any]) -> dict[str, str]:
    named = {str(name).removeprefix("z30-"): str(text) for name, text in values.items()}
    unknown = sorted(set(named) - set(FIELDS))
    if unknown:
        raise ValueError(f"no field {', '.join(unknown)} in a z30 record")
    return named


def change_item(world: AlephWorld, key: str, body: dict[str, Any]) -> None:
    """``values`` (edited by hand, unchecked), ``booking`` (``{"requests": n}``), ``ill`` (true: it came by ILL),
    ``temporary`` (``{"sub-library": …}``: it lies elsewhere for a time), ``restore`` (its own place holds again),
    ``delete``."""
    only(body, "values", "booking", "ill", "temporary", "restore", "delete")
    item = world.item(key)
    if item is None:
        raise ValueError(f"no item {key}")
    if not all(isinstance(body.get(name, {}), dict) for name in ("values", "booking", "temporary")):
        raise ValueError("values, booking and temporary are objects")
    if body.get("delete"):
        world.drop(key)
        return
    if "values" in body:
        named = {name: text for name, text in _named(body["values"]).items() if name not in KEY}
        item.values = corrected(item.values | named)
    if "temporary" in body:
        place = _named(body["temporary"])
        if not set(place) <= set(_PERMANENT):
            raise ValueError(f"temporary may hold {', '.join(_PERMANENT)}")
        item.permanent = item.permanent or {name: item.values[name] for name in _PERMANENT}
        item.values |= {**place, "temp-location": "Y"}
    if body.get("restore"):
        item.values |= {**item.permanent, "temp-location": "N"}
        item.permanent = {}
    if "booking" in body:
        requests = int(body["booking"].get("requests", 0))
        world.bookings[key] = Booking(item.values["sub-library"], item.values["item-status"], requests)
    if "ill" in body:
        item.ill = bool(body["ill"])
        world.ill_barcodes.pop(key, None)
        if item.ill:
            world.ill_barcodes[key] = item.values["barcode"]
    world.keep(item)
