"""``/conf``: the institution, libraries, locations, desks and code tables."""

from alma_sandbox.administration import acquisitions
from alma_sandbox.catalogue import conf_data
from alma_sandbox.catalogue.conf_data import Library, Location
from alma_sandbox.http.answers import Answer, Payload, code, listing
from alma_sandbox.http.call import Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import shapes

_TABLES = {
    **conf_data.CODE_TABLES,
    "PurchaseType": acquisitions.TYPES,
    "AcquisitionMethod": acquisitions.METHODS,
}


def general(call: Call) -> Answer:
    """``GET /conf/general``."""
    here = call.catalogue.institution
    return Answer(
        "general",
        {
            "institution": code(here.code, here.name),
            "alma_url": "https://sandbox.alma.invalid",
            "non_sso_alma_url": "https://sandbox.alma.invalid/institution/" + here.code,
            "environment_type": "SANDBOX",
            "time_zone": "UTC",
            "date_format": "yyyy-MM-dd",
        },
    )


def _library(call: Call) -> Library:
    found = conf_data.LIBRARIES.get(call.path["library"])
    if found is None:
        raise Refusal("402263", f"Library code {call.path['library']} is not valid.")
    return found


def _library_shape(call: Call, library: Library) -> Payload:
    return {
        "id": library.id + call.catalogue.suffix,
        "code": library.code,
        "path": f"{call.catalogue.institution.code}.{library.code}",
        "name": library.name,
        "description": "",
        "resource_sharing": library.resource_sharing,
        "campus": code("MAINCAMPUS", "Main Campus"),
        "proxy": "",
        "default_location": code(library.locations[0].code, library.locations[0].name),
        "link": call.link(f"/conf/libraries/{library.code}"),
    }


def libraries(call: Call) -> Answer:
    """``GET /conf/libraries``: not paged."""
    rows = [_library_shape(call, library) for library in conf_data.LIBRARIES.values()]
    return Answer("libraries", listing("library", rows))


def library(call: Call) -> Answer:
    """``GET /conf/libraries/{library}``."""
    return Answer("library", _library_shape(call, _library(call)))


def _location_shape(call: Call, holder: Library, location: Location) -> Payload:
    return {
        "code": location.code,
        "name": location.name,
        "external_name": location.name,
        "type": code(location.type, location.type.capitalize()),
        "remote_storage": "",
        "map": "",
        "suppress_from_publishing": shapes.truth(location.suppressed),
        "fulfillment_unit": code("GENERAL", "General"),
        "accession_placement": code(""),
        "call_number_type": code("0", conf_data.description("CallNumberType", "0")),
        "link": call.link(f"/conf/libraries/{holder.code}/locations/{location.code}"),
    }


def locations(call: Call) -> Answer:
    """``GET /conf/libraries/{library}/locations``: not paged; codes are unique within the library only."""
    holder = _library(call)
    return Answer(
        "locations", listing("location", [_location_shape(call, holder, row) for row in holder.locations])
    )


def location(call: Call) -> Answer:
    """``GET /conf/libraries/{library}/locations/{location}``."""
    holder = _library(call)
    found = holder.location(call.path["location"])
    if found is None:
        raise Refusal("60298", f"Location code {call.path['location']} is not valid.")
    return Answer("location", _location_shape(call, holder, found))


def _desk_shape(call: Call, holder: Library, desk: str) -> Payload:
    """As the list shows it; what the desk is for stands in the desk itself alone."""
    return {
        "code": desk,
        "name": f"{holder.name} {desk.replace('_', ' ').title()}",
        "primary": desk == holder.desks[0],
        "library": code(holder.code, holder.name),
        "link": call.link(f"/conf/libraries/{holder.code}/circ-desks/{desk}"),
    }


def desks(call: Call) -> Answer:
    """``GET /conf/libraries/{library}/circ-desks/``."""
    holder = _library(call)
    offset, limit = call.page()
    rows = [_desk_shape(call, holder, desk) for desk in holder.desks]
    return Answer("circ_desks", listing("circ_desk", rows[offset : offset + limit], len(rows)))


def desk(call: Call) -> Answer:
    """``GET /conf/libraries/{library}/circ-desks/{desk}``."""
    holder = _library(call)
    wanted = call.path["desk"]
    if wanted not in holder.desks:
        raise Refusal("401895", f"Circulation desk {wanted} is not valid.")
    shape = _desk_shape(call, holder, wanted)
    return Answer("circ_desk", {**shape, "has_hold_shelf": wanted not in holder.shelfless})


def departments(call: Call) -> Answer:
    """``GET /conf/departments``: ``library`` narrows the list."""
    wanted = call.query.get("library", "")
    rows = [
        {
            "code": name,
            "name": name,
            "type": code("PROCESSING", "Processing"),
            "library": code(holder.code, holder.name),
        }
        for holder in conf_data.LIBRARIES.values()
        for name in holder.departments
        if wanted in ("", holder.code)
    ]
    return Answer("departments", listing("department", rows))


def code_tables(call: Call) -> Answer:
    """``GET /conf/code-tables``."""
    rows: list[Payload] = [
        {"name": name, "link": call.link(f"/conf/code-tables/{name}")} for name in sorted(_TABLES)
    ]
    return Answer("code_tables", listing("code_table", rows))


def code_table(call: Call) -> Answer:
    """``GET /conf/code-tables/{name}``: ``row`` stands at the top level in JSON."""
    name, here = call.path["name"], call.catalogue.institution
    if name not in _TABLES:
        raise Refusal("90100", f"Code table {name} is not valid.")
    rows = [
        {
            "code": key,
            "description": text,
            "default": "false",
            "enabled": shapes.truth(key not in conf_data.DISABLED.get(name, ())),
            "updated_by": "-",
        }
        for key, text in _TABLES[name].items()
    ]
    return Answer(
        "code_table",
        {
            "name": name,
            "description": name,
            "language": call.query.get("lang", "en"),
            "sub_system": code("INFRA", "Infra"),
            "patron_facing": "false",
            "scope": {"institution_id": code(here.code, here.name)},
            "row": rows,
            "link": call.link(f"/conf/code-tables/{name}"),
        },
    )


ROUTES = [
    route("/conf/general", get=general),
    route("/conf/libraries", get=libraries),
    route("/conf/libraries/{library}", get=library),
    route("/conf/libraries/{library}/locations", get=locations),
    route("/conf/libraries/{library}/locations/{location}", get=location),
    route("/conf/libraries/{library}/circ-desks", get=desks),
    route("/conf/libraries/{library}/circ-desks/", get=desks),
    route("/conf/libraries/{library}/circ-desks/{desk}", get=desk),
    route("/conf/departments", get=departments),
    route("/conf/code-tables", get=code_tables),
    route("/conf/code-tables/{name}", get=code_table),
]
