"""From a row of the table to a row that may be loaded, or the reason why it may not."""

import re
from collections.abc import Mapping

from alma_etl.alma.ids import is_mms_id
from alma_etl.items.fields import FIELDS, field_problem
from alma_etl.items.outcomes import ItemRow
from alma_etl.tabular.tables import SourceRow

MAX_BARCODE = 100  # characters
_ROUNDED = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE | re.ASCII)


class BadRow(ValueError):
    """The row cannot be loaded; the message says why and what to do."""


def item_row(source: SourceRow, defaults: Mapping[str, str]) -> ItemRow:
    """The row with the profile's `defaults` filled in. What is wrong with it is the business of `check`."""
    values = {**defaults, **source.cells}
    return ItemRow(
        line=source.line,
        mms_id=source.cells.get("mms_id", ""),
        barcode=source.cells.get("barcode", ""),
        library=values.get("library", ""),
        location=values.get("location", ""),
        values={name: values[name] for name in FIELDS if name in values},
    )


def check(source: SourceRow, row: ItemRow) -> None:
    """Raises BadRow for what can be seen without asking Alma."""
    if source.problem:
        raise BadRow(source.problem)
    _check_mms_id(row["mms_id"])
    _check_barcode(row["barcode"])
    for name in ("library", "location"):
        if not row[name]:
            raise BadRow(f"{name} is empty, and the profile names none")
    for name, value in row["values"].items():
        problem = field_problem(name, value)
        if problem:
            raise BadRow(problem)


def _check_mms_id(mms_id: str) -> None:
    if not mms_id:
        raise BadRow("mms_id is empty")
    if _ROUNDED.fullmatch(mms_id):
        raise BadRow(
            f"mms_id {mms_id} was turned into a rounded number by Excel, its last digits are lost: "
            "format the column as Text and enter the ids again"
        )
    if not is_mms_id(mms_id):
        raise BadRow(f"mms_id {mms_id[:60]!r} is not an MMS id: those are 10 to 19 digits and begin with 99")


def _check_barcode(barcode: str) -> None:
    if not barcode:
        raise BadRow("barcode is empty; Alma would make one up")
    if _ROUNDED.fullmatch(barcode):
        raise BadRow(
            f"barcode {barcode} was turned into a rounded number by Excel: "
            "format the column as Text and enter the barcodes again"
        )
    if len(barcode) > MAX_BARCODE:
        raise BadRow(f"barcode is longer than {MAX_BARCODE} characters")
    if " " in barcode:
        raise BadRow(f"barcode {barcode!r} has a space in it")
