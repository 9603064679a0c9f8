"""How bibs, holdings, items, requests and loans look in answers."""

from datetime import datetime

from alma_sandbox.catalogue import availability, conf_data, levels
from alma_sandbox.catalogue.conf_data import description, library_name, location_name
from alma_sandbox.catalogue.marc import Record
from alma_sandbox.catalogue.records import ITEM_CODES, ITEM_TEXTS, Bib, Holding, Item
from alma_sandbox.catalogue.store import network_numbers
from alma_sandbox.circulation import requests as states
from alma_sandbox.circulation.loans import NOT_RENEWABLE, Loan
from alma_sandbox.circulation.requests import UserRequest
from alma_sandbox.http.answers import Both, Payload, code
from alma_sandbox.http.call import Call
from alma_sandbox.state.clock import timestamp

# Fields of item_data that Alma leaves out when they are empty.
_ONLY_WHEN_SET = {
    "alt_number_source",
    "issue_date",
    "replacement_cost",
    "expected_arrival_date",
    "inventory_date",
    "receive_number",
    "weeding_number",
    "weeding_date",
}
_EMPTY_OBJECTS = {"physical_condition", "committed_to_retain"}
_STATUS_XML = {
    states.NOT_STARTED: "Not Started",
    states.IN_PROCESS: "In Process",
    states.ON_HOLD_SHELF: "On Hold Shelf",
    states.HISTORY: "History",
}
_SUB_TYPES = {
    "HOLD": ("PATRON_PHYSICAL", "Patron physical item request"),
    "DIGITIZATION": ("PHYSICAL_TO_DIGITIZATION", "Patron digitization request"),
    "BOOKING": ("BOOKING", "Patron booking request"),
}


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
    record, level = found.record, found.brief_level or levels.brief_level(call.sandbox.settings, found.record)
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
        "network_number": network_numbers(found.record),
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
        "cataloging_level": code(
            found.cataloging_level, description("CatalogerLevel", found.cataloging_level)
        ),
        "brief_level": code(level, description("BriefLevels", level)),
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
        "network_number": network_numbers(found.record),
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


def due(moment: datetime) -> str:
    """A due date: no milliseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def item(call: Call, found: Item, expand: frozenset[str] = frozenset()) -> Payload:
    """An item: ``bib_data``, ``holding_data`` and ``item_data``."""
    bib, holding = call.catalogue.bib(found.mms_id), call.catalogue.holding(found.holding_id)
    if bib is None or holding is None:
        raise LookupError(f"item {found.pid} has no bib or no holding")
    link = call.link(f"/bibs/{found.mms_id}/holdings/{found.holding_id}/items/{found.pid}")
    return {
        "bib_data": _bib_data(call, bib),
        "holding_data": _holding_data(call, found, holding),
        "item_data": _item_data(call, found, holding, expand),
        "link": link,
    }


def _bib_data(call: Call, bib: Bib) -> Payload:
    data = bib_data(call, bib)
    link, publisher = data.pop("link"), data.pop("publisher")
    return {
        **data,
        "bib_suppress_from_publishing": truth(bib.suppressed),
        "complete_edition": "",
        "publisher_const": publisher,
        "link": link,
    }


def _holding_data(call: Call, found: Item, holding: Holding) -> Payload:
    kind = code(holding.call_number_type, description("CallNumberType", holding.call_number_type))
    away = found.in_temp_location
    temp_kind = found.temp_call_number_type
    return {
        "holding_id": holding.holding_id,
        "holding_suppress_from_publishing": truth(holding.suppressed),
        "calculated_suppress_from_publishing": truth(availability.calculated_suppressed(holding)),
        "permanent_call_number_type": kind,
        "permanent_call_number": holding.call_number,
        "call_number_type": code(temp_kind, description("CallNumberType", temp_kind)) if temp_kind else kind,
        "call_number": found.temp_call_number or holding.call_number,
        "accession_number": "",
        "copy_id": found.copy_id,
        "in_temp_location": away,
        "temp_library": code(found.temp_library, library_name(found.temp_library))
        if found.temp_library
        else {},
        "temp_location": code(found.temp_location, location_name(found.temp_library, found.temp_location))
        if found.temp_location
        else {},
        "temp_call_number_type": code(temp_kind, description("CallNumberType", temp_kind)),
        "temp_call_number": found.temp_call_number,
        "temp_call_number_source": found.temp_call_number_source,
        "temp_policy": code(found.temp_policy, description("ItemPolicy", found.temp_policy)),
        "link": call.link(f"/bibs/{found.mms_id}/holdings/{holding.holding_id}"),
    }


def _item_data(call: Call, found: Item, holding: Holding, expand: frozenset[str]) -> Payload:
    base = "1" if found.in_place else "0"
    process = found.process_type
    data: Payload = {
        "pid": found.pid,
        "barcode": found.barcode,
        "creation_date": found.created_date,
        "modification_date": found.modified_date,
        "base_status": code(base, description("BaseStatus", base)),
        "awaiting_reshelving": found.awaiting_reshelving,
        "process_type": code(process, description("PROCESSTYPE", process)),
        "library": code(holding.library, library_name(holding.library)),
        "location": code(holding.location, location_name(holding.library, holding.location)),
        "requested": bool(call.sandbox.requests.on_item(found)),
        "is_magnetic": found.is_magnetic,
    }
    for name, table in ITEM_CODES.items():
        value = found.codes.get(name, "")
        data[name] = {} if name in _EMPTY_OBJECTS and not value else code(value, description(table, value))
    for name in ITEM_TEXTS:
        value = found.texts.get(name, "")
        if value or name not in _ONLY_WHEN_SET:
            data[name] = value
    if found.work_order_type or found.work_order_at:
        data["work_order_type"] = code(
            found.work_order_type, description("WorkOrderType", found.work_order_type)
        )
        data["work_order_at"] = code(found.work_order_at, found.work_order_at)
    if "due_date" in expand:
        loan = call.sandbox.loans.active_of_item(found.pid)
        if loan is not None:
            data["due_date"] = due(loan.due_date)
    if "due_date_policy" in expand:
        data["due_date_policy"] = description("ItemPolicy", found.codes.get("policy", ""))
    return data


def user_request(call: Call, found: UserRequest) -> Payload:
    """A request (section 7.3): item and barcode only once an item is bound to it."""
    bib = call.catalogue.bib(found.mms_id)
    bound = call.catalogue.item(found.item_pid) if found.item_pid else None
    payload: Payload = {
        "title": title(bib) if bib is not None else "",
        "author": first(bib.record, ("100", "110", "111"), "a") if bib is not None else "",
        "description": found.values.get("description", ""),
        "volume": found.values.get("volume", ""),
        "issue": found.values.get("issue", ""),
        "part": found.values.get("part", ""),
        "comment": found.values.get("comment", ""),
        "user_primary_id": found.user_id,
        "request_id": found.id,
        "request_type": found.type,
        "request_sub_type": code(*_SUB_TYPES[found.type]),
        "mms_id": found.mms_id,
    }
    if bound is not None:
        payload |= {"holding_id": bound.holding_id, "item_id": bound.pid, "barcode": bound.barcode}
    if found.pickup_library:
        payload |= {
            "pickup_location": library_name(found.pickup_library),
            "pickup_location_type": found.pickup_type,
            "pickup_location_library": found.pickup_library,
        }
    else:
        payload["pickup_location_type"] = found.pickup_type
    if found.pickup_desk:
        payload["pickup_location_circulation_desk"] = found.pickup_desk
    managing = found.pickup_library or "MAIN"
    kind = bound.codes.get("physical_material_type", "") if bound is not None else ""
    return {
        **payload,
        **optional(
            pickup_location_institution=found.values.get("pickup_location_institution", ""),
            target_destination=found.values.get("target_destination", ""),
            last_interest_date=found.values.get("last_interest_date", ""),
            booking_start_date=found.values.get("booking_start_date", ""),
            booking_end_date=found.values.get("booking_end_date", ""),
        ),
        "managed_by_library": library_name(managing),
        "managed_by_circulation_desk": "Circulation Desk",
        "managed_by_library_code": managing,
        "managed_by_circulation_desk_code": "DEFAULT_CIRC_DESK",
        "material_type": code(kind, description("PhysicalMaterialType", kind)),
        "date_of_publication": "",
        "request_status": Both(found.status, _STATUS_XML[found.status]),
        "place_in_queue": call.sandbox.requests.place_in_queue(found)
        if found.status == states.NOT_STARTED
        else None,
        "request_date": f"{found.created:%Y-%m-%d}Z",
        "request_time": timestamp(found.created),
        "task_name": found.task or None,
        "expiry_date": found.expiry_date or None,
        "link": call.link(f"/users/{found.user_id}/requests/{found.id}") if found.user_id else None,
    }


def loan(call: Call, found: Loan, *, renewable: bool = False) -> Payload:
    """A loan (section 8), with the odd inner keys ``location_code.name`` and ``item_policy.description``."""
    bib, kept = call.catalogue.bib(found.mms_id), call.catalogue.item(found.item_pid)
    holding = call.catalogue.holding(kept.holding_id if kept is not None else found.holding_id)
    policy = kept.codes.get("policy", "") if kept is not None else ""
    location = holding.location if holding is not None else ""
    desk = code(found.desk, found.desk.replace("_", " ").title())
    payload: Payload = {
        "loan_id": found.id,
        "circ_desk": desk,
        "return_circ_desk": {},
        "library": code(found.library, library_name(found.library)),
        "user_id": found.user_id,
        "item_barcode": kept.barcode if kept is not None else found.barcode,
        "due_date": due(found.due_date),
        "loan_status": Both(found.status, found.status.capitalize()),
        "loan_date": timestamp(found.loan_date),
        "return_date": timestamp(found.return_date) if found.return_date else None,
        "process_status": found.process_status,
        "mms_id": found.mms_id,
        "holding_id": kept.holding_id if kept is not None else found.holding_id,
        "item_id": found.item_pid,
        "title": title(bib) if bib is not None else "",
        "author": first(bib.record, ("100", "110", "111"), "a") if bib is not None else "",
        "description": kept.texts.get("description", "") if kept is not None else "",
        "publication_year": "",
        "location_code": {
            "value": location,
            "name": location_name(holding.library if holding is not None else "", location),
        },
        "item_policy": {"value": policy, "description": description("ItemPolicy", policy)},
        "call_number": holding.call_number if holding is not None else "",
    }
    if renewable:
        payload["renewable"] = is_renewable(call, found)
    if found.last_renew_date is not None:
        payload["last_renew_date"] = timestamp(found.last_renew_date)
        payload["last_renew_status"] = code(found.last_renew_status, "Renewed Successfully")
    return {**payload, "link": call.link(f"/users/{found.user_id}/loans/{found.id}")}


def is_renewable(call: Call, found: Loan) -> bool:
    """Whether a loan can be renewed: active, neither recalled nor lost, of a policy that allows it, and nobody waiting
    for the item."""
    kept = call.catalogue.item(found.item_pid)
    if kept is None or found.status != "ACTIVE" or kept.codes.get("policy") in NOT_RENEWABLE:
        return False
    if found.process_status in ("RECALL", "LOST", "CLAIMED_RETURN"):
        return False
    return call.sandbox.requests.waiting(kept) is None
