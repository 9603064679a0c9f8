"""Which fields of an item a row or a profile may give, and how Alma's item object wants them.

Source: Alma's item object (rest_item.xsd): fields that are output only, and those that say where the item is
now, are not offered; library and location are the holding's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from alma_etl.tabular.cells import Holds

_MAX_TEXT = 1_000  # characters


@dataclass(frozen=True)
class ItemField:
    """One field: its column, where it stands in Alma's object, whether it is a code, and what its column holds."""

    column: str
    section: str
    name: str
    coded: bool = False
    holds: Holds = Holds.IDENTIFIER


def _data(*names: str, coded: bool = False, holds: Holds = Holds.IDENTIFIER) -> list[ItemField]:
    return [ItemField(name, "item_data", name, coded, holds) for name in names]


# In the order of the columns that the job's page names; those after arrival_date are fields beyond them.
FIELDS: dict[str, ItemField] = {
    field.column: field
    for field in (
        ItemField("item_policy", "item_data", "policy", coded=True),
        ItemField("material_type", "item_data", "physical_material_type", coded=True),
        *_data("po_line"),
        ItemField("copy_id", "holding_data", "copy_id"),
        *_data("description", holds=Holds.TEXT),
        *_data(*(f"enumeration_{letter}" for letter in "abcdefgh"), holds=Holds.LABEL),
        *_data(*(f"chronology_{letter}" for letter in "ijklm"), holds=Holds.LABEL),
        *_data("public_note", "internal_note_1", "internal_note_2", "internal_note_3", holds=Holds.TEXT),
        *_data("fulfillment_note", holds=Holds.TEXT),
        *_data("inventory_number"),
        *_data("arrival_date", holds=Holds.DATE),
        *_data("pages", "pieces", "year_of_issue", holds=Holds.LABEL),
        *_data("inventory_price", holds=Holds.AMOUNT),
        *_data("storage_location_id"),
        *_data("statistics_note_1", "statistics_note_2", "statistics_note_3", holds=Holds.TEXT),
        *_data("provenance", "physical_condition", coded=True),
    )
}

_PLACES = ("mms_id", "barcode", "library", "location")
COLUMNS: tuple[str, ...] = (*_PLACES, *FIELDS)
HOLDS: dict[str, Holds] = dict.fromkeys(_PLACES, Holds.IDENTIFIER) | {
    name: field.holds for name, field in FIELDS.items()
}


def field_problem(column: str, value: str) -> str | None:
    """Why a value cannot be sent in this field, before Alma is asked; None when it can."""
    if len(value) > _MAX_TEXT:
        return f"{column} is longer than {_MAX_TEXT} characters"
    if column == "arrival_date" and as_date(value) is None:
        return f"arrival_date {value!r} is not a date of the form 2026-08-01"
    return None


def as_date(value: str) -> date | None:
    """A date as rows and profiles write it: `2026-08-01`, `2026-08-01Z` or `20260801`."""
    match = re.fullmatch(r"(\d{4})-?(\d{2})-?(\d{2})Z?", value, re.ASCII)
    if not match or (value.count("-") not in (0, 2)):
        return None
    try:
        return date(*map(int, match.groups()))
    except ValueError:
        return None


def item_body(barcode: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Alma's item object for a POST: the barcode and the fields that have a value, nothing else."""
    body: dict[str, Any] = {"holding_data": {}, "item_data": {"barcode": barcode}}
    for column, field in FIELDS.items():
        value = values.get(column)
        if not value:
            continue
        if column == "arrival_date":
            day = as_date(value)
            value = f"{day.isoformat()}Z" if day else value
        body[field.section][field.name] = {"value": value} if field.coded else value
    return body
