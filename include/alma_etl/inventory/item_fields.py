"""The fields of an item that a row or a profile may give, and how Alma's item object holds them.

Source: Alma's item object (rest_item.xsd). `FIELDS` are those that a new item may have; `UPDATE_FIELDS` are those of an
item that is there, by Alma's own names where the columns of item files have none: those of a temporary place, and
library and location, which move the item to another holding. `READ_ONLY` are names of what Alma sets itself.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from alma_etl.alma import shapes
from alma_etl.tabular.cells import Holds

_MAX_TEXT = 1_000  # characters


@dataclass(frozen=True)
class ItemField:
    """One field: its column, where it stands in Alma's object, and what its column holds. ``coded``: Alma's object has
    it as a code; ``table``: the code table with its codes, "" where there is none. ``flag``: it is true or false."""

    column: str
    section: str
    name: str
    coded: bool = False
    holds: Holds = Holds.IDENTIFIER
    table: str = ""
    flag: bool = False

    def sent(self, value: str) -> Any:
        """Return a column's value as Alma's object wants it; "" empties the field."""
        if self.coded:
            return shapes.coded(value)
        if self.flag:
            return _truth(value) == "true"
        day = as_date(value) if self.holds is Holds.DATE else None
        return f"{day.isoformat()}Z" if day else value

    def shown(self, item: Mapping[str, Any]) -> str:
        """Return what an item of Alma's has, in the words of the column."""
        return self.normal(shapes.text((item.get(self.section) or {}).get(self.name)))

    def normal(self, value: str) -> str:
        """Return a value in the one way to write it, so that equal values are equal texts."""
        if self.flag:
            return _truth(value) or "false"
        if self.holds is Holds.DATE:
            day = as_date(value) or as_date(value[:10])
            return day.isoformat() if day else value
        return re.sub("\r\n?", "\n", value).strip()

    def equal(self, one: str, other: str) -> bool:
        """Whether two values are the same to Alma."""
        one, other = self.normal(one), self.normal(other)
        return one == other or (self.holds is Holds.AMOUNT and _amount(one) == _amount(other) is not None)


def _data(*names: str, table: str = "", holds: Holds = Holds.IDENTIFIER) -> list[ItemField]:
    return [ItemField(name, "item_data", name, bool(table), holds, table) for name in names]


def _holding(*names: str, table: str = "", holds: Holds = Holds.IDENTIFIER) -> list[ItemField]:
    return [ItemField(name, "holding_data", name, bool(table), holds, table) for name in names]


def _by_column(*fields: ItemField) -> dict[str, ItemField]:
    return {field.column: field for field in fields}


# In the order of the columns that the job's page names; those after arrival_date are fields beyond them.
FIELDS: dict[str, ItemField] = _by_column(
    ItemField("item_policy", "item_data", "policy", coded=True, table="ItemPolicy"),
    ItemField(
        "material_type", "item_data", "physical_material_type", coded=True, table="PhysicalMaterialType"
    ),
    *_data("po_line"),
    *_holding("copy_id"),
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
    *_data("provenance", table="provenanceCodes"),
    *_data("physical_condition", table="PhysicalCondition"),
)

# Of items that are there alone: what a load leaves to Alma, and what depends on where the item is.
UPDATE_FIELDS: dict[str, ItemField] = _by_column(
    *_data("barcode"),
    ItemField("library", "item_data", "library", coded=True),
    ItemField("location", "item_data", "location", coded=True),
    *FIELDS.values(),
    *_data("issue_date", "expected_arrival_date", "inventory_date", "weeding_date", holds=Holds.DATE),
    *_data("replacement_cost", holds=Holds.AMOUNT),
    *_data("receive_number", "weeding_number", "receiving_operator", holds=Holds.LABEL),
    *_data("alternative_call_number", "alt_number_source", holds=Holds.TEXT),
    *_data("alternative_call_number_type", table="CallNumberType"),
    *_data("break_indicator", table="BreakIndicator"),
    *_data("pattern_type", table="PatternType"),
    *_data("linking_number"),
    ItemField("is_magnetic", "item_data", "is_magnetic", flag=True),
    *_data("committed_to_retain", table="YesNo"),
    *_data("retention_reason", table="RetentionReason"),
    *_data("retention_note", holds=Holds.TEXT),
    ItemField("in_temp_location", "holding_data", "in_temp_location", flag=True),
    ItemField("temp_library", "holding_data", "temp_library", coded=True),
    ItemField("temp_location", "holding_data", "temp_location", coded=True),
    *_holding("temp_policy", table="ItemPolicy"),
    *_holding("temp_call_number_type", table="CallNumberType"),
    *_holding("temp_call_number", "temp_call_number_source", holds=Holds.TEXT),
    *_holding("due_back_date", holds=Holds.DATE),
)

_BY_ALMA = "Alma sets it itself"
_OF_HOLDING = "it is the holding's"
_OF_TITLE = "it is the title's"
READ_ONLY: dict[str, str] = {
    **dict.fromkeys(
        (
            "pid", "creation_date", "modification_date", "base_status", "process_type", "work_order_type",
            "work_order_at", "requested", "awaiting_reshelving", "reshelving_time", "due_date",
            "due_date_policy", "type_of_unit", "additional_info", "electronic",
        ),
        _BY_ALMA,
    ),
    **dict.fromkeys(
        (
            "call_number", "call_number_type", "permanent_call_number", "permanent_call_number_type",
            "accession_number", "holding_suppress_from_publishing", "calculated_suppress_from_publishing",
        ),
        _OF_HOLDING,
    ),
    **dict.fromkeys(
        (
            "title", "author", "isbn", "issn", "network_number", "complete_edition", "place_of_publication",
            "date_of_publication", "publisher_const", "bib_suppress_from_publishing",
        ),
        _OF_TITLE,
    ),
}  # fmt: skip
"""Columns that are known and cannot be written, each with the reason: a row that names one is to say so."""

_PLACES = ("mms_id", "barcode", "library", "location")
COLUMNS: tuple[str, ...] = (*_PLACES, *FIELDS)
HOLDS: dict[str, Holds] = dict.fromkeys(_PLACES, Holds.IDENTIFIER) | {
    name: field.holds for name, field in (FIELDS | UPDATE_FIELDS).items()
}
_NEVER_EMPTY = ("barcode", "library", "location")
_TRUE = ("true", "yes", "y", "1")
_FALSE = ("", "false", "no", "n", "0")
PLACE_PAIRS = (("library", "location"), ("temp_library", "temp_location"))


def field_problem(column: str, value: str) -> str | None:
    """Why a value cannot be sent in this field, before Alma is asked; None when it can."""
    if len(value) > _MAX_TEXT:
        return f"{column} is longer than {_MAX_TEXT} characters"
    field = UPDATE_FIELDS.get(column)
    if field is None:
        return None
    if field.holds is Holds.DATE and as_date(value) is None:
        return f"{column} {value!r} is not a date of the form 2026-08-01"
    if field.flag and not _truth(value):
        return f"{column} {value!r} is neither true nor false"
    return None


def change_problem(column: str, value: str) -> str | None:
    """Why a value cannot replace what an item has, before Alma is asked; "" empties a field where Alma lets it be
    empty."""
    if value:
        return field_problem(column, value)
    return f"{column} cannot be emptied" if column in _NEVER_EMPTY else None


def as_date(value: str) -> date | None:
    """A date as rows and profiles write it: `2026-08-01`, `2026-08-01Z` or `20260801`."""
    match = re.fullmatch(r"(\d{4})-?(\d{2})-?(\d{2})Z?", value, re.ASCII)
    if not match or (value.count("-") not in (0, 2)):
        return None
    try:
        return date(*map(int, match.groups()))
    except ValueError:
        return None


def _truth(value: str) -> str:
    """`true` or `false`, "" for another word."""
    word = value.strip().lower()
    return "true" if word in _TRUE else "false" if word in _FALSE else ""


def _amount(value: str) -> Decimal | None:
    try:
        return Decimal(value)
    except InvalidOperation:
        return None


def item_body(barcode: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Alma's item object for a POST: the barcode and the fields that have a value, nothing else."""
    body: dict[str, Any] = {"holding_data": {}, "item_data": {"barcode": barcode}}
    for column, field in FIELDS.items():
        value = values.get(column)
        if value:
            body[field.section][field.name] = field.sent(value)
    return body


def coded_values(values: Mapping[str, str]) -> Iterator[tuple[str, str | tuple[str, str]]]:
    """Yield the codes among these values that Alma is to be asked for before anything is written, as `FileJob.codes_of`
    wants them: places that are named whole, PO lines, and the codes of all fields that have a code table."""
    if values.get("po_line"):
        yield "po_lines", values["po_line"]
    for column, value in values.items():
        if value and UPDATE_FIELDS[column].table:
            yield "fields", (column, value)
    for library, location in PLACE_PAIRS:
        if values.get(library) and values.get(location):
            yield "places", (values[library], values[location])
