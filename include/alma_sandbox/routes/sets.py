"""``/conf/sets``: sets and their members."""

from alma_sandbox import shapes
from alma_sandbox.answers import Answer, Payload, code, listing
from alma_sandbox.call import Call, route
from alma_sandbox.catalogue.conf_data import description
from alma_sandbox.errors import Refusal
from alma_sandbox.sets import AlmaSet

_YES_NO = {True: "Yes", False: "No"}


def lookup(call: Call) -> AlmaSet:
    """The set of the path: 60107 when there is none."""
    set_id = call.path["set_id"]
    found = call.sandbox.sets.by_id.get(set_id)
    if found is None:
        raise Refusal("60107", f"Set ID {set_id} is not valid.")
    return found


def shape(call: Call, found: AlmaSet) -> Payload:
    """A set as all set calls answer it."""
    link = call.link(f"/conf/sets/{found.id}")
    payload: Payload = {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "type": code(found.type, found.type.capitalize()),
        "content": code(found.content, description("SetContentType", found.content)),
        "private": code(shapes.truth(found.private), _YES_NO[found.private]),
        "status": code(found.status, found.status.capitalize()),
        "status_date": found.status_date,
        "created_by": code(found.created_by, "System"),
        "created_date": found.created_date,
    }
    if found.query:
        payload["query"] = code(found.query)
    return {
        **payload,
        "number_of_members": {"value": call.sandbox.sets.size(found), "link": f"{link}/members"},
        "origin": code(found.origin, "Institution only"),
        "link": link,
    }


def read_list(call: Call) -> Answer:
    """``GET /conf/sets``."""
    offset, limit = call.page()
    content, kind = call.query.get("content_type", ""), call.query.get("set_type", "")
    field, _, text = call.query.get("q", "").partition("~")
    words = text.replace("_", " ").lower()
    found = [
        entry
        for entry in call.sandbox.sets.by_id.values()
        if (not content or entry.content == content)
        and (not kind or entry.type == kind)
        and (field != "name" or words in entry.name.lower())
        and (field != "created_by" or words == entry.created_by.replace("_", " ").lower())
    ]
    rows = [shape(call, entry) for entry in found[offset : offset + limit]]
    return Answer("sets", listing("set", rows, len(found)))


def read_one(call: Call) -> Answer:
    """``GET /conf/sets/{set_id}``."""
    return Answer("set", shape(call, lookup(call)))


def read_members(call: Call) -> Answer:
    """``GET /conf/sets/{set_id}/members``: at most 100 a page."""
    found = lookup(call)
    offset, limit = call.page()
    rows = [_member(call, found, member) for member in call.sandbox.sets.page(found, offset, limit)]
    return Answer("members", listing("member", rows, call.sandbox.sets.size(found)))


def _member(call: Call, found: AlmaSet, member: str) -> Payload:
    if found.content == "ITEM":
        item = call.catalogue.item(member)
        holder = "unknown/holdings/unknown" if item is None else f"{item.mms_id}/holdings/{item.holding_id}"
        barcode = "" if item is None else item.barcode
        return {"id": member, "description": barcode, "link": call.link(f"/bibs/{holder}/items/{member}")}
    if found.content == "USER":
        return {"id": member, "description": "", "link": call.link(f"/users/{member}")}
    bib = call.catalogue.bib(member)
    title = "" if bib is None else shapes.title(bib)
    return {"id": member, "description": title, "link": call.link(f"/bibs/{member}")}


ROUTES = [
    route("/conf/sets", get=read_list),
    route("/conf/sets/{set_id}", get=read_one),
    route("/conf/sets/{set_id}/members", get=read_members),
]
