"""How each row of a file ends: exactly one outcome."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

from alma_etl.jobs.checkpoint import Rank


class Outcome(StrEnum):
    """The outcome words of an item load."""

    CREATED = "created"
    WOULD_CREATE = "would_create"
    ALREADY_EXISTS = "already_exists"
    CONFLICT = "conflict"
    DUPLICATE_IN_FILE = "duplicate_in_file"
    INVALID_ROW = "invalid_row"
    BIB_NOT_FOUND = "bib_not_found"
    INVALID_CODE = "invalid_code"
    NO_HOLDING = "no_holding"
    SEVERAL_HOLDINGS = "several_holdings"
    UNCONFIRMED = "unconfirmed"
    FAILED = "failed"


MEANING = {
    Outcome.CREATED: "the item is in Alma now",
    Outcome.WOULD_CREATE: "the item would be created; this was a dry run",
    Outcome.ALREADY_EXISTS: "the barcode is in Alma already, on this title",
    Outcome.CONFLICT: "the barcode is in Alma already, on another title",
    Outcome.DUPLICATE_IN_FILE: "the barcode stands on an earlier line of the file",
    Outcome.INVALID_ROW: "the row cannot be read or lacks something; docs/files.md says what is taken",
    Outcome.BIB_NOT_FOUND: "Alma does not know the title",
    Outcome.INVALID_CODE: "Alma does not know a code of the row or of the profile",
    Outcome.NO_HOLDING: "the title has no holding at this place, and the profile forbids creating one",
    Outcome.SEVERAL_HOLDINGS: "the title has several holdings at this place, and the profile does not choose",
    Outcome.UNCONFIRMED: "the item was sent and no answer came: look in Alma whether it is there",
    Outcome.FAILED: "Alma could not be asked, or refused; nothing was created",
}

LOADED = frozenset({Outcome.CREATED, Outcome.WOULD_CREATE, Outcome.ALREADY_EXISTS})
NOT_ACCEPTABLE = frozenset({Outcome.FAILED, Outcome.UNCONFIRMED})

# What Alma refused is asked for again when a run is cleared: a code, a title or a holding may be there by then.
_RANKS = {
    Outcome.CREATED: Rank.MADE,
    Outcome.WOULD_CREATE: Rank.SETTLED,
    Outcome.ALREADY_EXISTS: Rank.SETTLED,
    Outcome.FAILED: Rank.OPEN,
    Outcome.UNCONFIRMED: Rank.OPEN,
}

COLUMNS = (
    "line", "mms_id", "barcode", "library", "location", "outcome", "holding_id", "item_pid", "message",
)  # fmt: skip


class ItemRow(TypedDict):
    """One row that may be loaded: what it says, laid over what the profile says.

    `values` are item fields; `cleaned` names what was done to the values of the row, for its message. `refused` says
    why it is not loaded by the present settings, if by others it may have been sent before.
    """

    line: int
    mms_id: str
    barcode: str
    library: str
    location: str
    values: dict[str, str]
    cleaned: NotRequired[str]  # absent in the rows of a run that began before an upgrade
    refused: NotRequired[str]


class RowResult(TypedDict):
    """One row of the report."""

    line: int
    mms_id: str
    barcode: str
    library: str
    location: str
    outcome: str
    holding_id: str
    item_pid: str
    message: str


def rank_of(row: Mapping[str, Any]) -> Rank:
    """How much a row's end counts beside another end of the same row."""
    return _RANKS.get(Outcome(row["outcome"]), Rank.REFUSED)


def row_key(row: Mapping[str, Any]) -> tuple[int, str, str]:
    """By what a row and its end belong together, whichever attempt read the file."""
    return row["line"], row["mms_id"], row["barcode"]


def result(
    row: ItemRow, outcome: Outcome, message: str = "", *, holding_id: str = "", item_pid: str = ""
) -> RowResult:
    """A row's end; its message names what was cleaned in the row, too."""
    return RowResult(
        line=row["line"],
        mms_id=row["mms_id"],
        barcode=row["barcode"],
        library=row["library"],
        location=row["location"],
        outcome=outcome.value,
        holding_id=holding_id,
        item_pid=item_pid,
        message="; ".join(part for part in (message, row.get("cleaned", "")) if part),
    )


def cells(row: Mapping[str, object]) -> list[str]:
    """A result as text in the order of COLUMNS."""
    return [str(row[column]) for column in COLUMNS]
