"""``/conf/sets``: sets and their members (section 10): at most 1000 members a call that changes a set."""

from alma_sandbox.administration.sets import AlmaSet
from alma_sandbox.catalogue.conf_data import CODE_TABLES, description
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import Answer, Payload, Plain, code, listing
from alma_sandbox.http.call import Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import shapes

_YES_NO = {True: "Yes", False: "No"}
_MOST = 1000
_COMBINE = ("AND", "OR", "NOT")
_ID_TYPES = {
    "ITEM": ("", "BARCODE"),
    "BIB_MMS": ("", "SYSTEM_NUMBER", "OCLC_NUMBER"),
    "USER": ("", "BARCODE", "INST_ID", "PRIMARY_ID", "all_unique"),
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


def lookup(call: Call) -> AlmaSet:
    """The set of the path: 60107 when there is none."""
    return _set(call, call.path["set_id"])


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


def create(call: Call) -> Answer:
    """``POST /conf/sets``: an empty set, one frozen from a logical set, or one combined from two."""
    body = bodies.read(call)
    name = bodies.text(body.get("name"))
    if not name:
        raise Refusal("401664", "Mandatory field is missing: name")
    source = call.query.get("from_logical_set", "")
    combine = call.query.get("combine", "")
    members: list[str] = []
    content = bodies.text(body.get("content"))
    if source:
        frozen = _set(call, source)
        members, content = _members(call, frozen), frozen.content
    elif combine:
        members, content = _combined(call, combine)
    if content not in CODE_TABLES["SetContentType"]:
        raise Refusal("401664", "Mandatory field is missing: content")
    now = call.sandbox.clock.time()
    made = AlmaSet(
        id=f"59{call.catalogue.counter.number('set') + 100_000_000:011d}{call.catalogue.suffix}",
        name=name,
        content=content,
        type=bodies.text(body.get("type")) or "ITEMIZED",
        description=bodies.text(body.get("description")),
        private=bodies.text(body.get("private")) == "true",
        query=bodies.text(body.get("query")),
        created_by="exl_api",
        created_date=now,
        status_date=now,
        members=members,
    )
    _check_type(made)
    call.sandbox.sets.by_id[made.id] = made
    given = _given(body)
    if given:
        _add(call, made, given)
    return Answer("set", shape(call, made))


def _check_type(made: AlmaSet) -> None:
    if made.type not in ("ITEMIZED", "LOGICAL"):
        raise Refusal("40166411", f"Parameter value is invalid: type={made.type}.")


def _set(call: Call, set_id: str) -> AlmaSet:
    found = call.sandbox.sets.by_id.get(set_id)
    if found is None:
        raise Refusal("60107", f"Set ID {set_id} is not valid.")
    return found


def _members(call: Call, found: AlmaSet) -> list[str]:
    if found.members is not None:
        return list(found.members)
    return call.catalogue.title_ids(0, call.sandbox.settings.titles)


def _combined(call: Call, how: str) -> tuple[list[str], str]:
    if how not in _COMBINE:
        raise Refusal("40166411", f"Parameter value is invalid: combine={how}.")
    one, two = _set(call, call.query.get("set1", "")), _set(call, call.query.get("set2", ""))
    if one.content != two.content:
        raise Refusal("40166411", "The two sets hold different kinds of records.")
    first, second = _members(call, one), _members(call, two)
    if how == "OR":
        return list(dict.fromkeys([*first, *second])), one.content
    known = set(second)
    return [member for member in first if (member in known) is (how == "AND")], one.content


def update(call: Call) -> Answer:
    """``PUT /conf/sets/{set_id}``: swap-all of name, description, private and status."""
    found = lookup(call)
    body = bodies.read(call)
    name = bodies.text(body.get("name"))
    if not name:
        raise Refusal("401664", "Mandatory field is missing: name")
    found.name, found.description = name, bodies.text(body.get("description"))
    found.private = bodies.text(body.get("private")) == "true"
    found.status = bodies.text(body.get("status")) or "ACTIVE"
    return Answer("set", shape(call, found))


def delete(call: Call) -> Plain:
    """``DELETE /conf/sets/{set_id}``."""
    del call.sandbox.sets.by_id[lookup(call).id]
    return Plain()


def operate(call: Call) -> Answer:
    """``POST /conf/sets/{set_id}?op=add_members|delete_members|replace_members``."""
    found = lookup(call)
    operation = call.query.get("op", "")
    if operation not in ("add_members", "delete_members", "replace_members"):
        raise Refusal("40166410", f"Parameter value is invalid: op={operation}.")
    if found.members is None or found.type != "ITEMIZED":
        raise Refusal("60114", "Members can be managed for itemized sets only.")
    given = _given(bodies.read(call))
    if not given:
        raise Refusal("60113", "No members were given.")
    if operation == "add_members":
        _add(call, found, given)
    elif operation == "delete_members":
        gone = set(_resolved(call, found, given, must_be_in=True))
        found.members = [member for member in found.members if member not in gone]
    else:
        found.members = _resolved(call, found, given)
    return Answer("set", shape(call, found))


def _given(body: Payload) -> list[str]:
    rows = bodies.many(bodies.part(body, "members").get("member"))
    return [bodies.text(row.get("id")) for row in rows if isinstance(row, dict)]


def _add(call: Call, found: AlmaSet, given: list[str]) -> None:
    resolved = _resolved(call, found, given, must_be_out=True)
    found.members = [*(found.members or []), *resolved]


def _resolved(
    call: Call, found: AlmaSet, given: list[str], *, must_be_in: bool = False, must_be_out: bool = False
) -> list[str]:
    """Ids of the members given: one that is wrong fails the whole call, unless ``fail_on_invalid_id=false``."""
    if len(given) > _MOST:
        raise Refusal("60118", f"The number of members ({len(given)}) is more than the {_MOST} allowed.")
    strict = call.flag("fail_on_invalid_id", True)
    known = set(found.members or [])
    resolved: dict[str, None] = {}
    for text in given:
        member = _resolve(call, found.content, text)
        problem = None
        if member is None:
            problem = Refusal("60117", f"The member id {text} is not valid.")
        elif member in resolved:
            problem = Refusal("60119", f"The member {text} was given more than once.")
        elif must_be_out and member in known:
            problem = Refusal("60115", f"The member {text} is already in the set.")
        elif must_be_in and member not in known:
            problem = Refusal("60116", f"The member {text} is not in the set.")
        if problem is not None and strict:
            raise problem
        if problem is None and member is not None:
            resolved[member] = None
    return list(resolved)


def _resolve(call: Call, content: str, text: str) -> str | None:
    kind = call.query.get("id_type", "")
    if kind not in _ID_TYPES.get(content, ("",)):
        raise Refusal("60120", f"The id type {kind} is not valid for sets of {content}.")
    catalogue = call.catalogue
    if content == "ITEM":
        item = catalogue.item_by_barcode(text) if kind == "BARCODE" else catalogue.item(text)
        return None if item is None else item.pid
    if content == "USER":
        user = call.sandbox.users.find(text, kind)
        return None if user is None else str(user["primary_id"])
    if content == "HOLDING":
        holding = catalogue.holding(text)
        return None if holding is None else holding.holding_id
    if kind:
        found = (
            catalogue.bibs_with_oclc(text, "a") if kind == "OCLC_NUMBER" else catalogue.bibs_with_number(text)
        )
        return found[0].mms_id if found else None
    return text if catalogue.bib(text) is not None else None


ROUTES = [
    route("/conf/sets", get=read_list, post=create),
    route(
        "/conf/sets/{set_id}",
        get=read_one,
        put=update,
        delete=delete,
        post=operate,
    ),
    route("/conf/sets/{set_id}/members", get=read_members),
]
