"""The rows of an item load: from a row of the table to one that may be loaded, or the reason why it may not."""

import re
from collections.abc import Mapping

from alma_etl.identifiers import is_mms_id, read_identifier
from alma_etl.inventory.codes import CodeCheck
from alma_etl.inventory.item_fields import FIELDS, field_problem
from alma_etl.jobs.outcomes import DONE, MADE, OPEN, REFUSED, End, Row, RowOutcome, end_of
from alma_etl.tabular.tables import SourceRow

MAX_BARCODE = 100  # characters
# What a barcode is unless a profile has a pattern of its own: no blank, and no begin as of a formula. That all of it
# can be printed holds for every identifier.
BARCODE_PATTERN = rf"[^\s=+\-@]\S{{0,{MAX_BARCODE - 1}}}"
# Words for nothing that may be codes elsewhere: of a library or a location Alma says whether it has it.
_NO_BARCODES = frozenset(("na", "n.a.", "n.a", "nil"))


class ItemOutcome(RowOutcome):
    """The outcomes of an item load."""

    CREATED = "created", "the item is in Alma now", MADE
    WOULD_CREATE = "would_create", "the item would be created; this was a dry run", DONE
    ALREADY_EXISTS = "already_exists", "the barcode is in Alma already, on this title", DONE
    CONFLICT = "conflict", "the barcode is in Alma already, on another title", REFUSED
    DUPLICATE_IN_FILE = "duplicate_in_file", "the barcode stands on an earlier line of the file", REFUSED
    INVALID_ROW = (
        "invalid_row",
        "the row cannot be read or lacks something; docs/files.md says what is taken",
        REFUSED,
    )
    BIB_NOT_FOUND = "bib_not_found", "Alma does not know the title", REFUSED
    INVALID_CODE = "invalid_code", "Alma does not know a code of the row or of the profile", REFUSED
    NO_HOLDING = (
        "no_holding",
        "the title has no holding at this place, and the profile forbids creating one",
        REFUSED,
    )
    SEVERAL_HOLDINGS = (
        "several_holdings",
        "the title has several holdings at this place, and the profile does not choose",
        REFUSED,
    )
    UNCONFIRMED = (
        "unconfirmed",
        "the item was sent and no answer came: look in Alma whether it is there",
        OPEN,
    )
    FAILED = "failed", "Alma could not be asked, or refused; nothing was created", OPEN


COLUMNS = (
    "line", "mms_id", "barcode", "library", "location", "outcome", "holding_id", "item_pid", "message",
)  # fmt: skip


def row_key(row: Row) -> tuple[int, str, str]:
    """By what a row and its end belong together, whichever attempt read the file."""
    return row["line"], row["mms_id"], row["barcode"]


def result(row: Row, outcome: ItemOutcome, message: str = "", **ids: str) -> End:
    """Return a row's end, with its `holding_id` and `item_pid` as far as they are known."""
    return end_of(row, COLUMNS, outcome, message, **ids)


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
    check_barcode(row["barcode"], barcode_pattern)
    check_values(row)


def check_values(row: Row, *, anywhere: bool = False) -> None:
    """Raises BadRow for a place that is not named, unless it may be ``anywhere``, and for a field's value that can be
    seen to be wrong."""
    for name in () if anywhere else ("library", "location"):
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


def check_barcode(barcode: str, pattern: str = BARCODE_PATTERN) -> None:
    """Raises BadRow for what is no barcode, or not one as the profile says they are."""
    if not barcode:
        raise BadRow("barcode is empty; Alma would make one up")
    if barcode.lower() in _NO_BARCODES:
        raise BadRow(f"barcode {barcode!r} is a word for nothing; Alma would make one up for an empty cell")
    if barcode.endswith('"') and barcode.count('"') == 1:
        raise BadRow(
            f"barcode {barcode!r} ends with a quotation mark that may not belong to it: enter it without"
        )
    if len(barcode) > MAX_BARCODE:
        raise BadRow(f"barcode is longer than {MAX_BARCODE} characters")
    if re.fullmatch(pattern, barcode):
        return
    if pattern != BARCODE_PATTERN:
        raise BadRow(
            f"barcode {barcode[:60]!r} is not of the form {pattern} that barcode_pattern of the profile asks for"
        )
    if " " in barcode:
        raise BadRow(f"barcode {barcode!r} has a space in it")
    raise BadRow(f"barcode {barcode!r} begins with {barcode[0]}, as a formula: enter the barcode itself")


def verdict(row: Row, check: CodeCheck, unknown: Mapping[str, str]) -> tuple[ItemOutcome, str] | None:
    """The end of a row that cannot be loaded, by itself or by what the check found; None when nothing stands against
    it."""
    if row.get("refused"):
        return ItemOutcome.INVALID_ROW, row["refused"]
    fault = check.fault_of(row)
    if fault:
        return ItemOutcome.INVALID_CODE, fault
    if row["mms_id"] in unknown:
        return ItemOutcome.BIB_NOT_FOUND, unknown[row["mms_id"]]
    return None
