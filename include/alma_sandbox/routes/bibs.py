"""``/bibs``: reading bibs, alone and in batches."""

from alma_sandbox.catalogue.records import Bib
from alma_sandbox.http.answers import Answer
from alma_sandbox.http.call import Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import bib_writes, lookups, shapes

_BATCH = 100
_KEYS = (
    "mms_id", "nz_mms_id", "cz_mms_id", "holdings_id", "representation_id", "ie_id", "other_system_id", "lod_uri",
)  # fmt: skip
_PARAMETERS = {*_KEYS, "view", "expand", "format", "apikey", "lang"}
_EXPANSIONS = {"p_avail", "e_avail", "d_avail", "requests", "none", "None", ""}


def read_many(call: Call) -> Answer:
    """``GET /bibs``: up to 100 bibs by id, or by one other identifier; unknown ids are left out."""
    unknown = sorted(set(call.query) - _PARAMETERS)
    if unknown:
        raise Refusal("401873", f"The parameter {unknown[0]} is not supported.")
    given = [name for name in _KEYS if call.query.get(name)]
    if len(given) != 1:
        raise Refusal("402203", "Input parameters must hold exactly one identifier.")
    value = call.query[given[0]]
    found = _by_mms_ids(call, value) if given[0] == "mms_id" else _by_other(call, given[0], value)
    view, expand = _view(call, ("full", "brief")), _expand(call)
    rows = [shapes.bib(call, bib, view=view, expand=expand) for bib in found]
    # Unlike other lists an empty one has its key.
    return Answer("bibs", {"bib": rows, "total_record_count": len(rows)})


def _by_mms_ids(call: Call, text: str) -> list[Bib]:
    asked = [value.strip() for value in text.split(",") if value.strip()]
    if not asked or len(asked) > _BATCH or not all(value.isascii() and value.isdigit() for value in asked):
        raise Refusal("402203", f"Input parameters mmsId {text[:200]} is not valid.")
    found = [bib for mms_id in dict.fromkeys(asked) if (bib := call.catalogue.bib(mms_id)) is not None]
    # The order of the answer is not the order of the question: nobody should rely on it.
    return sorted(found, key=lambda bib: bib.mms_id[::-1])


def _by_other(call: Call, name: str, value: str) -> list[Bib]:
    catalogue = call.catalogue
    if name == "other_system_id":
        return catalogue.bibs_with_number(value)
    if name == "holdings_id":
        holding = catalogue.holding(value)
        bib = None if holding is None else catalogue.bib(holding.mms_id)
        return [] if bib is None else [bib]
    if name == "nz_mms_id":
        found = [bib for bib in catalogue.bibs.values() if bib and bib.linked_record == ("NZ", value)]
        if not found:  # unlike the others this look-up refuses what it does not find
            raise Refusal("402203", f"Input parameters nz_mms_id {value} is not valid.")
        return found
    return []  # there are no digital titles and no community zone here


def _view(call: Call, views: tuple[str, ...]) -> str:
    return call.choice("view", "full", views)


def _expand(call: Call) -> frozenset[str]:
    asked = frozenset(part.strip() for part in call.query.get("expand", "").split(","))
    wrong = sorted(asked - _EXPANSIONS)
    if wrong:
        raise Refusal("40166411", f"Parameter value is invalid: expand={wrong[0]}.")
    return asked


def read_one(call: Call) -> Answer:
    """``GET /bibs/{mms_id}``."""
    found = lookups.bib(call)
    view = _view(call, ("full", "brief", "local_fields", "ld_enrich"))
    return Answer("bib", shapes.bib(call, found, view=view, expand=_expand(call)))


ROUTES = [
    route("/bibs", get=read_many, post=bib_writes.create),
    route(
        "/bibs/{mms_id}",
        get=read_one,
        put=bib_writes.update,
        delete=bib_writes.delete,
        post=bib_writes.operate,
    ),
]
