"""``/bibs``: reading bibs, alone and in batches; create, update, delete, unlink (sections 3.4-3.7).

Bodies are XML.
"""

from collections.abc import Sequence
from dataclasses import replace

from alma_sandbox.catalogue.conf_data import CODE_TABLES
from alma_sandbox.catalogue.marc import ControlField, DataField, Record, data_field
from alma_sandbox.catalogue.records import Bib
from alma_sandbox.catalogue.titles import NETWORK, network_record
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
        return catalogue.bibs_with_number(value, call.sandbox.numbers_see)
    if name == "holdings_id":
        holding = catalogue.holding(value)
        bib = None if holding is None else catalogue.bib(holding.mms_id)
        return [] if bib is None else [bib]
    if name == "nz_mms_id":
        linked = [bib for bib in catalogue.bibs.values() if bib and bib.linked_record == ("NZ", value)]
        found = [bib for bib in linked if call.sandbox.numbers_see(bib) is not None]
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


NORMALIZATIONS = {"5001": "MARC21 Bib normalize on save", "5002": "MARC21 Bib delete local fields"}
_SYNC = ("NONE", "BIBS", "HOLDINGS")


def create(call: Call) -> Answer:
    """``POST /bibs``: a new bib, suppressed unless the body says otherwise. A repeated POST makes another one."""
    bodies.require_xml(call)
    _check_parameters(call)
    body = _body(call)
    if call.query.get("from_nz_mms_id") or call.query.get("from_cz_mms_id"):
        return _created(call, _from_network(call))
    record = _normalised(call, bodies.record(body, "402209", "Given bib xml is invalid"))
    warnings = _validate(call, record)
    match = _match(call, record)
    if match is not None and call.query.get("import_profile"):
        return _updated(call, match, record, body, warnings)
    if match is not None and call.flag("check_match", False):  # a match is a warning like others
        said = f"The given bib object has matching records: {match.mms_id}."
        if not call.flag("override_warning", True):
            raise Refusal("60307", said)
        warnings = [*warnings, said]
    bib = Bib(
        mms_id=call.catalogue.counter.take("99"),
        record=record,
        suppressed=True,
        created_by="exl_api",
        created_date=call.sandbox.clock.date(),
        originating_system="API",
    )
    _apply_settings(call, bib, body)
    return _created(call, bib, warnings)


def _body(call: Call) -> Payload:
    """The body of a write: 402209 where it is no XML or its record is none."""
    try:
        return bodies.read(call)
    except Refusal as error:
        raise Refusal("402209", f"Given bib xml is invalid. {error.message}") from error


def _created(call: Call, bib: Bib, warnings: Sequence[str] = ()) -> Answer:
    bib.record.set_control("001", bib.mms_id)
    _save(call, bib, None)
    notices.bib(call, bib, "BIB_CREATED", "Bib created")
    return _shown(call, bib, warnings)


def _shown(call: Call, bib: Bib, warnings: Sequence[str] = ()) -> Answer:
    """The bib with the warnings that were overridden."""
    payload = shapes.bib(call, bib)
    if not warnings:
        return Answer("bib", payload)
    rows = [{"message": text} for text in warnings]
    return Answer("bib", {"warning": rows, **payload})


def _from_network(call: Call) -> Bib:
    """A local record linked to one of the network zone, with its fields; there is no community zone here."""
    nz_id, network = call.query.get("from_nz_mms_id", ""), call.sandbox.network
    if network is None:
        code, record = NETWORK, network_record(call.catalogue.seed, nz_id)
    else:
        there = network.catalogue.bib(nz_id)
        code, record = network.settings.institution, None if there is None else there.record.copy()
    if record is None:
        asked = nz_id or call.query.get("from_cz_mms_id", "")
        raise Refusal("33007", f"No record found for MMS id {asked}.")
    record.fields.append(data_field("035", "  ", ("a", f"(EXLNZ-{code}){nz_id}")))
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
            f"Invalid normalization profile ID {normalization}. Valid IDs: marc21: "
            + ", ".join(f"{number} ({name})" for number, name in NORMALIZATIONS.items()),
        )
    checks = call.flag("validate", False) or call.flag("check_match", False)
    if not call.flag("override_warning", True) and not checks:
        raise Refusal("401873", "override_warning=false requires validate=true or check_match=true.")
    level = call.query.get("cataloger_level", "")
    if level and not call.sandbox.settings.cataloging_levels:
        raise Refusal("4022040", "Cataloging level is not enabled for your institution.")
    if level and level not in CODE_TABLES["CatalogerLevel"]:
        raise Refusal("40166411", f"Parameter value is invalid: cataloger_level={level}.")


def _normalised(call: Call, record: Record) -> Record:
    """The record after the normalization process that the caller asked for."""
    process = call.query.get("normalization", "")
    fields: list[ControlField | DataField] = []
    for entry in record.fields:
        if isinstance(entry, DataField) and process == "5001":
            kept = tuple((code, value.strip()) for code, value in entry.subfields if value.strip())
            fields += [replace(entry, subfields=kept)] if kept else []
        elif process != "5002" or not entry.tag.startswith("9"):
            fields.append(entry)
    return Record(record.leader, fields)


def _validate(call: Call, record: Record) -> list[str]:
    """Warnings of the validation that the caller asked for; an error or a warning not overridden refuses."""
    if not call.flag("validate", False):
        return []
    if not record.data("245"):
        raise Refusal("4022032", "The record failed validation: field 245 is mandatory.")
    warnings = list(call.sandbox.settings.warnings)
    if record.control("008") is None:
        warnings.append("Field 008 is missing.")
    if warnings and not call.flag("override_warning", True):
        raise Refusal("4022033", f"Failed validation on the record: {' '.join(warnings)}")
    return warnings


def _match(call: Call, record: Record) -> Bib | None:
    """A bib that shares an 035 with an OCLC number."""
    for entry in record.data("035"):
        for number in entry.all("a"):
            seen = call.sandbox.numbers_see
            found = call.catalogue.bibs_with_oclc(number, "a", seen) if number.startswith("(OCoLC)") else []
            if found:
                return found[0]
    return None


def _apply_settings(call: Call, bib: Bib, body: Payload) -> None:
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
    level = bodies.text(body.get("cataloging_level")) or bib.cataloging_level
    if level != bib.cataloging_level and not call.sandbox.settings.cataloging_levels:
        raise Refusal("4022040", "Cataloging level is not enabled for your institution.")
    if level not in CODE_TABLES["CatalogerLevel"]:
        raise Refusal("40166411", f"Parameter value is invalid: cataloging_level={level}.")
    bib.cataloging_level = level
    if call.sandbox.settings.brief_level_rule == "sent":
        bib.brief_level = bodies.text(body.get("brief_level")) or bib.brief_level
    else:
        bib.brief_level = ""


def _save(call: Call, bib: Bib, before: Record | None) -> None:
    """Stamp 005 (never the one before, so that a stale copy shows) and keep the bib."""
    stamp, last = call.sandbox.clock.marc(), bib.record.control("005")
    if last is not None and stamp <= last:
        stamp = f"{float(last) + 0.1:.1f}"
    bib.record.set_control("005", stamp)
    bib.modified_by, bib.modified_date = "exl_api", call.sandbox.clock.date()
    call.sandbox.note_saving(bib, before)
    call.catalogue.keep_bib(bib)


def update(call: Call) -> Answer:
    """``PUT /bibs/{mms_id}``: the whole record is replaced; of a network record only the local fields."""
    bodies.require_xml(call)
    bib = lookups.bib(call)
    _check_parameters(call)
    body = bodies.read(call)
    record = _normalised(call, bodies.record(body, "401652", "Failed to update the bib"))
    _admit(call, bib, record)
    warnings = _validate(call, record)
    return _updated(call, bib, record, body, warnings)


def _admit(call: Call, bib: Bib, record: Record) -> None:
    """Refuse an update for its level, a stale version, a lock, or a record that is not ours."""
    level = call.query.get("cataloger_level", "")
    if level and level < bib.cataloging_level:
        raise Refusal(
            "4022041", "The caller has insufficient cataloger level privileges to update this record."
        )
    stored = bib.record.control("005")
    if call.flag("stale_version_check", False) and record.control("005") != stored:
        raise Refusal("4022034", "A newer version of this record exists in the repository.")
    lock = call.sandbox.lock_of(bib.mms_id)
    if lock is not None and not call.flag("override_lock", True):
        more = (
            f" {lock[0]} since {lock[1]}" if call.sandbox.settings.lock_says and lock[0] else " another user"
        )
        raise Refusal(call.sandbox.settings.lock_code, f"Record {bib.mms_id} is locked by{more}.")
    of_community = bib.linked_record is not None and bib.linked_record[0] == "CZ"
    if of_community and call.sandbox.settings.cz_update == "refused":
        raise Refusal("40166454", "Update is not supported for a record from the community zone.")


def _updated(call: Call, bib: Bib, record: Record, body: Payload, warnings: Sequence[str]) -> Answer:
    changed = replace(bib, record=_but_for(_merged(bib, record), bib.record, call.ignored))
    _apply_settings(call, changed, body)
    changed.record.set_control("001", bib.mms_id)
    changed.record.set_control("005", bib.record.control("005") or "0")
    _save(call, changed, bib.record)
    notices.bib(call, changed, "BIB_UPDATED", "Bib updated")
    return _shown(call, changed, warnings)


def _but_for(record: Record, stored: Record, ignored: frozenset[str]) -> Record:
    """The new record, of which the fields with an ignored tag are as they were: what a fault makes of a PUT."""
    if not ignored:
        return record
    if "*" in ignored:
        return stored.copy()
    fields = [entry for entry in record.fields if entry.tag not in ignored]
    for entry in stored.fields:
        if entry.tag in ignored:
            place = next((n for n, other in enumerate(fields) if other.tag > entry.tag), len(fields))
            fields.insert(place, entry)
    return Record(record.leader, fields)


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
    _save(call, bib, bib.record.copy())
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
