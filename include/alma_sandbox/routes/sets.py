"""``/conf/sets``: sets and their members."""

from alma_sandbox.administration.sets import AlmaSet
from alma_sandbox.http.answers import Answer, Payload, listing
from alma_sandbox.http.call import Call, route
from alma_sandbox.routes import set_shapes, set_writes, shapes


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
    rows = [set_shapes.shape(call, entry) for entry in found[offset : offset + limit]]
    return Answer("sets", listing("set", rows, len(found)))


def read_one(call: Call) -> Answer:
    """``GET /conf/sets/{set_id}``."""
    return Answer("set", set_shapes.shape(call, set_shapes.lookup(call)))


def read_members(call: Call) -> Answer:
    """``GET /conf/sets/{set_id}/members``: at most 100 a page."""
    found = set_shapes.lookup(call)
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
    route("/conf/sets", get=read_list, post=set_writes.create),
    route(
        "/conf/sets/{set_id}",
        get=read_one,
        put=set_writes.update,
        delete=set_writes.delete,
        post=set_writes.operate,
    ),
    route("/conf/sets/{set_id}/members", get=read_members),
]
