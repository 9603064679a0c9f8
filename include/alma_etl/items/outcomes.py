"""How each row of a file ends: exactly one outcome."""

from alma_etl.jobs.outcomes import DONE, MADE, OPEN, REFUSED, End, Row, RowOutcome, end_of


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
