"""``/bibs/{mms_id}/holdings``: list, read, create, update, delete (sections 4.3, 4.4). Bodies are XML."""

from dataclasses import replace

from alma_sandbox.catalogue.conf_data import location_of
from alma_sandbox.catalogue.marc import DataField, Record
from alma_sandbox.catalogue.records import Bib, Holding
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import Answer, Plain, listing
from alma_sandbox.http.call import Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import bibs, lookups, shapes


def read_list(call: Call) -> Answer:
    """``GET /bibs/{mms_id}/holdings``: all of them, suppressed ones too, never paged."""
    bib = lookups.bib(call)
    rows = [
        shapes.holding_row(call, holding)
        for holding in call.catalogue.holdings_of(bib.mms_id)
        if call.sandbox.is_listed(holding)
    ]
    found = listing("holding", rows)
    total = found.pop("total_record_count")
    return Answer("holdings", {**found, "bib_data": shapes.bib_data(call, bib), "total_record_count": total})


def read_one(call: Call) -> Answer:
    """``GET /bibs/{mms_id}/holdings/{holding_id}``."""
    return Answer("holding", shapes.holding(lookups.holding(call)))


def create(call: Call) -> Answer:
    """``POST /bibs/{mms_id}/holdings``: 001, 004 and 005 are Alma's. A repeated POST makes another one."""
    bodies.require_xml(call)
    bib = lookups.bib(call)
    body = bodies.read(call)
    record = bodies.record(body, "402211", "Failed to create the holding").copy()
    _check_852(record)
    holding = Holding(
        holding_id=call.catalogue.counter.take("22"),
        mms_id=bib.mms_id,
        record=_with_call_number(record, bib),
        suppressed=bodies.text(body.get("suppress_from_publishing")) == "true",
        created_by="exl_api",
        created_date=call.sandbox.clock.date(),
        originating_system="API",
        made_at=call.sandbox.clock.time(),
    )
    holding.record.set_control("001", holding.holding_id)
    holding.record.set_control("004", bib.mms_id)
    _save(call, holding)
    return Answer("holding", shapes.holding(holding))


def _check_852(record: Record) -> None:
    """The first 852 must name a library and a location that exist; further subfields are not looked at."""
    fields = record.data("852")
    library, location = (fields[0].first("b"), fields[0].first("c")) if fields else ("", "")
    if location_of(library, location) is None:
        raise Refusal(
            "402212", f"Holding's library {library!r} and location {location!r} in 852 are not valid."
        )


def _with_call_number(record: Record, bib: Bib) -> Record:
    """An 852 without a call number gets the one of the bib's 050 or 090."""
    source = next(iter(bib.record.data("050", "090")), None)
    place = next(n for n, entry in enumerate(record.fields) if entry.tag == "852")
    entry = record.fields[place]
    if source is not None and isinstance(entry, DataField) and not entry.first("h"):
        kept = tuple(pair for pair in entry.subfields if pair[0] not in ("h", "i"))
        number = tuple(
            (to, source.first(code)) for code, to in (("a", "h"), ("b", "i")) if source.first(code)
        )
        record.fields[place] = replace(entry, subfields=kept + number)
    return record


def _save(call: Call, holding: Holding) -> None:
    holding.record.set_control("005", call.sandbox.clock.marc())
    holding.modified_by, holding.modified_date = "exl_api", call.sandbox.clock.date()
    call.catalogue.keep_holding(holding)


def update(call: Call) -> Answer:
    """``PUT …/holdings/{holding_id}``: replaces the entire record; 001 and 004 stay as they were."""
    bodies.require_xml(call)
    holding = lookups.holding(call)
    body = bodies.read(call)
    record = bodies.record(body, "401652", "Failed to update the holding").copy()
    _check_852(record)
    for tag in ("001", "004"):
        record.set_control(tag, holding.record.control(tag) or "")
    changed = replace(
        holding, record=record, suppressed=bodies.text(body.get("suppress_from_publishing")) == "true"
    )
    _save(call, changed)
    return Answer("holding", shapes.holding(changed))


def delete(call: Call) -> Plain:
    """``DELETE …/holdings/{holding_id}``: refused while it has items."""
    what_of_bib = call.choice("bib", "retain", ("retain", "delete", "suppress"))
    holding = lookups.holding(call)
    if call.catalogue.items_of(holding.holding_id):
        raise Refusal("60213", f"The holding {holding.holding_id} has items.")
    call.catalogue.drop_holding(holding.holding_id)
    tidy_bib(call, holding.mms_id, what_of_bib)
    return Plain()


def tidy_bib(call: Call, mms_id: str, what: str) -> None:
    """What becomes of a bib whose last holding has gone: it stays, goes, or is suppressed."""
    bib = call.catalogue.bib(mms_id)
    if bib is None or call.catalogue.holdings_of(mms_id):
        return
    if what == "delete":
        bibs.remove(call, bib)
    elif what == "suppress":
        bib.suppressed = True
        call.catalogue.keep_bib(bib)


ROUTES = [
    route("/bibs/{mms_id}/holdings", get=read_list, post=create),
    route(
        "/bibs/{mms_id}/holdings/{holding_id}",
        get=read_one,
        put=update,
        delete=delete,
    ),
]
