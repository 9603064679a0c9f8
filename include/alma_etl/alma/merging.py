"""Changing what GET gave, so that a PUT sends everything back and the change can be recognised afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lxml import etree

from alma_etl.alma import shapes, xml
from alma_etl.alma.shapes import Json


def covers(actual: Any, wanted: Any) -> bool:
    """Whether `actual` says all that `wanted` says. Alma adds descriptions and defaults, and writes one value
    in several ways: {"value": "x", "desc": ...} covers "x", true covers "true", {} and a missing key cover
    ""."""
    if isinstance(wanted, list):
        rows = actual if isinstance(actual, list) else []
        return len(rows) == len(wanted) and all(any(covers(row, each) for row in rows) for each in wanted)
    if isinstance(wanted, Mapping) and "value" not in wanted and wanted:
        return isinstance(actual, Mapping) and all(covers(actual.get(key), wanted[key]) for key in wanted)
    if isinstance(actual, list):
        return False
    return shapes.text(actual) == shapes.text(wanted)


def merged(base: Json, changes: Mapping[str, Any]) -> Json:
    """`base` with the keys of `changes` set; what `base` covers already stays as it is."""
    return base | {key: value for key, value in changes.items() if not covers(base.get(key), value)}


def merged_sections(base: Json, changes: Mapping[str, Mapping[str, Any]]) -> Json:
    """Like `merged`, inside sections such as item_data and holding_data."""
    return base | {name: merged(base.get(name) or {}, section) for name, section in changes.items()}


def in_record(change: Callable[[etree._Element], None]) -> Callable[[bytes], bytes]:
    """A change of the MARC <record> in a whole <bib> or <holding>. `change` works on the <record> in place."""

    def changed(whole: bytes) -> bytes:
        root = xml.parse(whole)
        record = xml.child(root, "record")
        if record is None:
            raise ValueError("there is no <record> to change")
        change(record)
        return xml.serialise(root)

    return changed
