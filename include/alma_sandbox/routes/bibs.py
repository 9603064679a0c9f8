"""``/bibs``: reading bibs, alone and in batches; create, update, delete, unlink (sections 3.4-3.7).

Bodies are XML.
"""

from dataclasses import replace

from alma_sandbox.catalogue.marc import DataField, Record, data_field
from alma_sandbox.catalogue.records import Bib
from alma_sandbox.catalogue.titles import network_record
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import Answer, Payload, Plain
from alma_sandbox.http.call import Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import lookups, notices, shapes

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


NORMALIZATIONS = ("MARC21 Normalize on save", "MARC21 Delete local fields")
_SYNC = ("NONE", "BIBS", "HOLDINGS")


def create(call: Call) -> Answer:
    """``POST /bibs``: a new bib, suppressed unless the body says otherwise. A repeated POST makes another one."""
    bodies.require_xml(call)
    _check_parameters(call)
    body = bodies.read(call)
    if call.query.get("from_nz_mms_id") or call.query.get("from_cz_mms_id"):
        return _created(call, _from_network(call))
    record = bodies.record(body, "33007", "Failed to create the bib")
    warnings = _validate(call, record)
    match = _match(call, record)
    if match is not None and call.query.get("import_profile"):
        return _updated(call, match, record, body, warnings)
    if match is not None and call.flag("check_match", False):
        raise Refusal("60307", f"Given bib has matching records: {match.mms_id}.")
    bib = Bib(
        mms_id=call.catalogue.counter.take("99"),
        record=record,
        suppressed=True,
        created_by="exl_api",
        created_date=call.sandbox.clock.date(),
        originating_system="API",
    )
    _apply_settings(bib, body)
    return _created(call, bib, warnings)


def _created(call: Call, bib: Bib, warnings: Payload | None = None) -> Answer:
    bib.record.set_control("001", bib.mms_id)
    _save(call, bib)
    notices.bib(call, bib, "BIB_CREATED", "Bib created")
    return Answer("bib", {**shapes.bib(call, bib), **(warnings or {})})


def _from_network(call: Call) -> Bib:
    """A local record linked to one of the network zone; there is no community zone here."""
    nz_id = call.query.get("from_nz_mms_id", "")
    record = network_record(call.catalogue.seed, nz_id)
    if record is None:
        asked = nz_id or call.query.get("from_cz_mms_id", "")
        raise Refusal("402203", f"Input parameters mmsId {asked} is not valid.")
    record.fields.append(data_field("035", "  ", ("a", f"(EXLNZ-01ZZ_NETWORK){nz_id}")))
    return Bib(
        mms_id=call.catalogue.counter.take("99"),
        record=record,
        linked_record=("NZ", nz_id),
        created_by="exl_api",
        created_date=call.sandbox.clock.date(),
        originating_system="API",
    )


def _check_parameters(call: Call) -> None:
    normalization = call.query.get("normalization", "")
    if normalization and normalization not in NORMALIZATIONS:
        raise Refusal(
            "4022030",
            f"Normalization id {normalization} is invalid. Valid ids are: {', '.join(NORMALIZATIONS)}.",
        )
    checks = call.flag("validate", False) or call.flag("check_match", False)
    if not call.flag("override_warning", True) and not checks:
        raise Refusal("401873", "override_warning=false requires validate=true or check_match=true.")


def _validate(call: Call, record: Record) -> Payload:
    """Warnings of the validation that the caller asked for; an error or a warning not overridden refuses."""
    if not call.flag("validate", False):
        return {}
    if not record.data("245"):
        raise Refusal("4022032", "Validation failed: field 245 is mandatory.")
    if record.control("008") is not None:
        return {}
    if not call.flag("override_warning", True):
        raise Refusal("4022033", "Validation failed with warnings: field 008 is missing.")
    return {"warning": [{"message": "Field 008 is missing."}]}


def _match(call: Call, record: Record) -> Bib | None:
    """A bib that shares an 035 with an OCLC number."""
    for entry in record.data("035"):
        for number in entry.all("a"):
            found = call.catalogue.bibs_with_oclc(number, "a") if number.startswith("(OCoLC)") else []
            if found:
                return found[0]
    return None


def _apply_settings(bib: Bib, body: Payload) -> None:
    """The elements beside the record; those that are missing stay as they are."""
    if bodies.text(body.get("suppress_from_publishing")):
        bib.suppressed = bodies.text(body["suppress_from_publishing"]) == "true"
    if bodies.text(body.get("suppress_from_external_search")):
        bib.suppressed_external = bodies.text(body["suppress_from_external_search"]) == "true"
    sync = bodies.text(body.get("sync_with_oclc"))
    if sync:
        if sync not in _SYNC:
            raise Refusal("40166411", f"Parameter value is invalid: sync_with_oclc={sync}.")
        bib.sync_with_oclc = sync
    bib.cataloging_level = bodies.text(body.get("cataloging_level")) or bib.cataloging_level
    bib.brief_level = bodies.text(body.get("brief_level")) or bib.brief_level


def _save(call: Call, bib: Bib) -> None:
    """Stamp 005 (never the one before, so that a stale copy shows) and keep the bib."""
    stamp, before = call.sandbox.clock.marc(), bib.record.control("005")
    if before is not None and stamp <= before:
        stamp = f"{float(before) + 0.1:.1f}"
    bib.record.set_control("005", stamp)
    bib.modified_by, bib.modified_date = "exl_api", call.sandbox.clock.date()
    call.catalogue.keep_bib(bib)


def update(call: Call) -> Answer:
    """``PUT /bibs/{mms_id}``: the whole record is replaced; of a network record only the local fields."""
    bodies.require_xml(call)
    bib = lookups.bib(call)
    _check_parameters(call)
    body = bodies.read(call)
    record = bodies.record(body, "401652", "Failed to update the bib")
    stored = bib.record.control("005")
    if call.flag("stale_version_check", False) and record.control("005") != stored:
        raise Refusal("4022034", "A newer version of the record exists in Alma.")
    if bib.mms_id in call.sandbox.locks and not call.flag("override_lock", True):
        raise Refusal("401652", f"The record {bib.mms_id} is locked by another user.")
    warnings = _validate(call, record)
    return _updated(call, bib, record, body, warnings)


def _updated(call: Call, bib: Bib, record: Record, body: Payload, warnings: Payload) -> Answer:
    changed = replace(bib, record=_merged(bib, record))
    _apply_settings(changed, body)
    changed.record.set_control("001", bib.mms_id)
    changed.record.set_control("005", bib.record.control("005") or "0")
    _save(call, changed)
    notices.bib(call, changed, "BIB_UPDATED", "Bib updated")
    return Answer("bib", {**shapes.bib(call, changed), **warnings})


def _merged(bib: Bib, record: Record) -> Record:
    """The new record; without availability rows, which a caller may send back from ``expand``."""
    fields = [entry for entry in record.fields if entry.tag not in ("AVA", "AVE", "AVD")]
    if bib.linked_record is None:
        return Record(record.leader, fields)
    kept = [entry for entry in bib.record.fields if not _local(entry)]
    return Record(bib.record.leader, [*kept, *(entry for entry in fields if _local(entry))])


def _local(entry: object) -> bool:
    return isinstance(entry, DataField) and any(value.lower() == "local" for value in entry.all("9"))


def delete(call: Call) -> Plain:
    """``DELETE /bibs/{mms_id}``: refused while there is inventory, unless overridden."""
    bib = lookups.bib(call)
    if call.catalogue.holdings_of(bib.mms_id) and not call.flag("override", False):
        raise Refusal("40166454", f"The bib {bib.mms_id} has inventory.")
    busy = [
        item
        for item in call.catalogue.items_of_bib(bib.mms_id)
        if call.sandbox.loans.active_of_item(item.pid)
    ]
    if busy:
        raise Refusal("4022020", f"The bib {bib.mms_id} has items on loan.")
    remove(call, bib)
    return Plain()


def remove(call: Call, bib: Bib) -> None:
    """Delete a bib with everything on it, and its requests."""
    for request in call.sandbox.requests.active(bib.mms_id):
        call.sandbox.requests.close(request, "CannotBeFulfilled")
    notices.bib(call, bib, "BIB_DELETED", "Bib deleted")
    call.catalogue.drop_bib(bib.mms_id)


def operate(call: Call) -> Answer:
    """``POST /bibs/{mms_id}?op=unlink_from_nz``: the only operation there is."""
    bib = lookups.bib(call)
    if call.query.get("op") != "unlink_from_nz":
        raise Refusal("40166410", f"Parameter value is invalid: op={call.query.get('op', '')}.")
    if bib.linked_record is None or bib.linked_record[0] != "NZ":
        raise Refusal("401652", f"Record not linked to Network Zone: {bib.mms_id}.")
    bib.linked_record = None
    _save(call, bib)
    return Answer("bib", shapes.bib(call, bib))


ROUTES = [
    route("/bibs", get=read_many, post=create),
    route(
        "/bibs/{mms_id}",
        get=read_one,
        put=update,
        delete=delete,
        post=operate,
    ),
]
