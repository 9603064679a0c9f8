"""From a row of the table to a row that may be loaded, or the reason why it may not."""

import re
from collections.abc import Mapping

from alma_etl.identifiers import is_mms_id, read_identifier
from alma_etl.items.fields import FIELDS, field_problem
from alma_etl.jobs.outcomes import Row
from alma_etl.tabular.tables import SourceRow

MAX_BARCODE = 100  # characters
# What a barcode is unless a profile has a pattern of its own: no blank, and no begin as of a formula. That all of it
# can be printed holds for every identifier.
BARCODE_PATTERN = rf"[^\s=+\-@]\S{{0,{MAX_BARCODE - 1}}}"
# Words for nothing that may be codes elsewhere: of a library or a location Alma says whether it has it.
_NO_BARCODES = frozenset(("na", "n.a.", "n.a", "nil"))


class BadRow(ValueError):
    """The row cannot be loaded; the message says why and what to do."""


def item_row(source: SourceRow, defaults: Mapping[str, str]) -> Row:
    """The row with the profile's `defaults` filled in. What is wrong with it is the business of `check`."""
    values = {**defaults, **{name: value for name, value in source.cells.items() if value}}
    row = {
        "line": source.line,
        "mms_id": source.cells.get("mms_id", ""),
        "barcode": source.cells.get("barcode", ""),
        "library": values.get("library", ""),
        "location": values.get("location", ""),
        "values": {name: values[name] for name in FIELDS if name in values},
    }
    return row | {"cleaned": "; ".join(source.changes)} if source.changes else row


def check(source: SourceRow, row: Row, barcode_pattern: str = BARCODE_PATTERN) -> None:
    """Raises BadRow for what can be seen without asking Alma."""
    if source.problem:
        raise BadRow(source.problem)
    for column in ("mms_id", "barcode"):
        problem = read_identifier(source.cells.get(column, "")).problem  # a row need not come from a table
        if problem:
            raise BadRow(f"{column} {problem}")
    _check_mms_id(row["mms_id"])
    _check_barcode(row["barcode"], barcode_pattern)
    for name in ("library", "location"):
        if not row[name]:
            raise BadRow(f"{name} is empty, and the profile names none")
    for name, value in row["values"].items():
        fault = field_problem(name, value)
        if fault is not None:
            raise BadRow(fault)


def _check_mms_id(mms_id: str) -> None:
    if not mms_id:
        raise BadRow("mms_id is empty")
    if not is_mms_id(mms_id):
        raise BadRow(f"mms_id {mms_id[:60]!r} is not an MMS id: those are 10 to 19 digits and begin with 99")


def _check_barcode(barcode: str, pattern: str) -> None:
    if not barcode:
        raise BadRow("barcode is empty; Alma would make one up")
    if barcode.lower() in _NO_BARCODES:
        raise BadRow(f"barcode {barcode!r} is a word for nothing; Alma would make one up for an empty cell")
    if barcode.endswith('"') and barcode.count('"') == 1:
        raise BadRow(
            f"barcode {barcode!r} ends with a quotation mark that may not belong to it: enter it without"
        )
    if re.fullmatch(pattern, barcode):
        return
    if pattern != BARCODE_PATTERN:
        raise BadRow(
            f"barcode {barcode[:60]!r} is not of the form {pattern} that barcode_pattern of the profile asks for"
        )
    if len(barcode) > MAX_BARCODE:
        raise BadRow(f"barcode is longer than {MAX_BARCODE} characters")
    if " " in barcode:
        raise BadRow(f"barcode {barcode!r} has a space in it")
    raise BadRow(f"barcode {barcode!r} begins with {barcode[0]}, as a formula: enter the barcode itself")
