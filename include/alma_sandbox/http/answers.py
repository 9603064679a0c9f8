"""One answer, two formats: payloads are written once and rendered as Alma's JSON or as its XML.

A payload is a dict in the shape of Alma's JSON (section 1 of Alma's conventions): a coded value is
``{"value", "desc"}``, lists stand under the singular element name, ``*suppress*`` flags are the texts "true" and
"false". Rendering it as XML makes the other keys beside ``value`` attributes, puts ``link`` and
``total_record_count`` into attributes, and puts the wrapper elements back that JSON drops.
"""

import json
from dataclasses import dataclass
from typing import Any

from lxml import etree

from alma_sandbox.catalogue.marc import Record, to_element

Payload = dict[str, Any]

JSON_TYPE = "application/json;charset=UTF-8"
XML_TYPE = "application/xml;charset=UTF-8"
HTML_TYPE = "text/html;charset=UTF-8"
DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'

# Element name of a list's entries -> the wrapper that XML has and JSON drops.
WRAPPERS = {
    "network_number": "network_numbers",
    "address": "addresses",
    "address_type": "address_types",
    "email": "emails",
    "email_type": "email_types",
    "phone": "phones",
    "phone_type": "phone_types",
    "user_identifier": "user_identifiers",
    "user_role": "user_roles",
    "user_block": "user_blocks",
    "user_note": "user_notes",
    "user_statistic": "user_statistics",
    "proxy_for_user": "proxy_for_users",
    "parameter": "parameters",
    "row": "rows",
    "warning": "warnings",
    "alert": "alerts",
    "counter": "counters",
    "fund_distribution": "fund_distributions",
}
# Lists that keep their wrapper in JSON, or have none in XML either, need no entry above.
# Objects that have an element ``value`` among others, and are no coded values.
_STRUCTURED = ("user_identifier", "parameter", "counter")
_ATTRIBUTES = ("link", "total_record_count")


@dataclass(frozen=True)
class Both:
    """A value that JSON and XML spell differently (``IN_PROCESS`` and ``In Process``)."""

    json: str
    xml: str


@dataclass(frozen=True)
class Answer:
    """A successful answer: the root element's name and the payload."""

    root: str
    payload: Payload
    status: int = 200


@dataclass(frozen=True)
class Plain:
    """An answer that is the same whatever format was asked for (204, 302, test end points)."""

    status: int = 204
    body: str = ""
    content_type: str | None = None
    location: str | None = None


def code(value: str, desc: str | None = None) -> Payload:
    """A coded value; no description is written when there is none."""
    return {"value": value} if desc is None or not value else {"value": value, "desc": desc}


def listing(name: str, rows: list[Payload], total: int | None = None) -> Payload:
    """A list with its total; an empty list has no list key (bibs are the exception)."""
    found: Payload = {name: rows} if rows else {}
    return {**found, "total_record_count": len(rows) if total is None else total}


def as_xml(root: str, payload: Payload) -> bytes:
    """Render a payload as XML."""
    element = etree.Element(root)
    _fill(element, payload)
    return (DECLARATION + etree.tostring(element, encoding="unicode")).encode()


def _fill(element: etree._Element, value: object) -> None:
    if isinstance(value, dict):
        if "value" in value and element.tag not in _STRUCTURED:
            for name, attribute in value.items():
                if name != "value" and attribute is not None:
                    element.set(name, _text(attribute))
            element.text = _text(value["value"])
            return
        for name, child in value.items():
            if name in _ATTRIBUTES:
                if child is not None:
                    element.set(name, _text(child))
            else:
                _append(element, name, child)
    elif value is not None:
        element.text = _text(value)


def _append(parent: etree._Element, name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, Record):
        parent.append(to_element(value))
    elif isinstance(value, list):
        holder = etree.SubElement(parent, WRAPPERS[name]) if name in WRAPPERS else parent
        for entry in value:
            _append(holder, name, entry)
    else:
        _fill(etree.SubElement(parent, name), value)


def _text(value: object) -> str:
    if isinstance(value, Both):
        return value.xml
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def as_json(payload: Payload, *, write_nulls: bool = False) -> bytes:
    """Render a payload as JSON; ``write_nulls`` gives the form that Alma wrote until 2023."""
    return json.dumps(_jsonable(payload, write_nulls), ensure_ascii=False, separators=(",", ":")).encode()


def _jsonable(value: object, write_nulls: bool) -> object:
    if isinstance(value, Both):
        return value.json
    if isinstance(value, list):
        return [_jsonable(entry, write_nulls) for entry in value]
    if not isinstance(value, dict):
        return value
    if write_nulls and (not value or set(value) == {"value"}):
        return {"value": value.get("value"), "desc": None}
    found: dict[str, object] = {}
    for name, entry in value.items():
        if isinstance(entry, Record):
            found["anies"] = [_anies(entry)]
        elif entry is not None or write_nulls:
            found[name] = _jsonable(entry, write_nulls)
    return found


def _anies(record: Record) -> str:
    return '<?xml version="1.0" encoding="UTF-16"?>' + etree.tostring(to_element(record), encoding="unicode")
