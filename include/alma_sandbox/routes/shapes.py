"""How records look in answers: payloads of bibs and holdings."""

from alma_sandbox.catalogue import availability, conf_data
from alma_sandbox.catalogue.marc import Record
from alma_sandbox.catalogue.records import Bib, Holding
from alma_sandbox.catalogue.store import network_numbers
from alma_sandbox.http.answers import Payload, code
from alma_sandbox.http.call import Call


def truth(value: bool) -> str:
    """A suppress flag: a text in JSON, too."""
    return "true" if value else "false"


def first(record: Record, tags: tuple[str, ...], subfield: str) -> str:
    """The first value of a subfield in one of several tags."""
    return next((value for entry in record.data(*tags) if (value := entry.first(subfield))), "")


def title(bib: Bib) -> str:
    """Title of a bib: 245 $a and $b."""
    parts = (first(bib.record, ("245",), name) for name in "ab")
    return " ".join(part for part in parts if part)


def optional(**values: str) -> Payload:
    """Only the values that are not empty."""
    return {name: value for name, value in values.items() if value}


def bib(call: Call, found: Bib, *, view: str = "full", expand: frozenset[str] = frozenset()) -> Payload:
    """A bib as ``GET /bibs`` answers it."""
    record = found.record
    payload: Payload = {
        "mms_id": found.mms_id,
        "record_format": "marc21",
        "linked_record_id": {"value": found.linked_record[1], "type": found.linked_record[0]}
        if found.linked_record
        else {},
        "title": title(found),
        **optional(
            author=first(record, ("100", "110", "111"), "a"),
            issn=first(record, ("022",), "a"),
            isbn=first(record, ("020",), "a"),
        ),
        "network_number": network_numbers(found),
        **optional(
            place_of_publication=first(record, ("260", "264"), "a"),
            date_of_publication=first(record, ("260", "264"), "c"),
            publisher_const=first(record, ("260", "264"), "b"),
        ),
        "holdings": {"value": "", "link": call.link(f"/bibs/{found.mms_id}/holdings")},
        "created_by": found.created_by,
        "created_date": found.created_date,
        "last_modified_by": found.modified_by,
        "last_modified_date": found.modified_date,
        "suppress_from_publishing": truth(found.suppressed),
        "suppress_from_external_search": truth(found.suppressed_external),
        "sync_with_oclc": found.sync_with_oclc,
        "originating_system": found.originating_system,
        "originating_system_id": found.originating_system_id,
        "cataloging_level": code(found.cataloging_level, "Default Level"),
        "brief_level": code(found.brief_level),
        "warnings": None,
    }
    if view != "brief":
        payload["record"] = _expanded(call, found, expand)
    if "requests" in expand:
        count = len(call.sandbox.requests.active(found.mms_id))
        payload["requests"] = {"value": count, "link": call.link(f"/bibs/{found.mms_id}/requests")}
    payload["link"] = call.link(f"/bibs/{found.mms_id}")
    return payload


def _expanded(call: Call, found: Bib, expand: frozenset[str]) -> Record:
    """The bib's MARC with the availability fields asked for."""
    record = found.record.copy()
    if "p_avail" in expand:
        show = call.sandbox.settings.suppressed_in_availability
        listed = call.sandbox.is_listed
        record.fields += availability.physical(call.catalogue, found, listed, show_suppressed=show)
    if "e_avail" in expand:
        record.fields += availability.electronic(call.catalogue.institution, found)
    return record


def bib_data(call: Call, found: Bib) -> Payload:
    """The short description of the bib in a list of holdings (``publisher``, not ``publisher_const``)."""
    record = found.record
    return {
        "mms_id": found.mms_id,
        "title": title(found),
        **optional(
            author=first(record, ("100", "110", "111"), "a"),
            issn=first(record, ("022",), "a"),
            isbn=first(record, ("020",), "a"),
        ),
        "network_number": network_numbers(found),
        "place_of_publication": first(record, ("260", "264"), "a"),
        "date_of_publication": first(record, ("260", "264"), "c"),
        "publisher": first(record, ("260", "264"), "b"),
        "link": call.link(f"/bibs/{found.mms_id}"),
    }


def holding_row(call: Call, found: Holding) -> Payload:
    """A holding in the list of a bib's holdings."""
    return {
        "holding_id": found.holding_id,
        "library": code(found.library, conf_data.library_name(found.library)),
        "location": code(found.location, conf_data.location_name(found.library, found.location)),
        "call_number": found.call_number,
        "accession_number": "",
        "suppress_from_publishing": truth(found.suppressed),
        "link": call.link(f"/bibs/{found.mms_id}/holdings/{found.holding_id}"),
    }


def holding(found: Holding) -> Payload:
    """A holding with its MARC record; library and location stand in its 852 only."""
    return {
        "holding_id": found.holding_id,
        "created_by": found.created_by,
        "created_date": found.created_date,
        "last_modified_by": found.modified_by,
        "last_modified_date": found.modified_date,
        "originating_system": found.originating_system,
        "originating_system_id": found.originating_system_id,
        "suppress_from_publishing": truth(found.suppressed),
        "calculated_suppress_from_publishing": truth(availability.calculated_suppressed(found)),
        "record": found.record,
    }
