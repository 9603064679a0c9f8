"""How sets look in answers, and finding the one that a path names."""

from alma_sandbox.administration.sets import AlmaSet
from alma_sandbox.catalogue.conf_data import description
from alma_sandbox.http.answers import Payload, code
from alma_sandbox.http.call import Call
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import shapes

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
