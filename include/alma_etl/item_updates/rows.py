"""The rows of an item update and their ends: the same for Alma and for Aleph.

A row is a dict:

- `line`: number of the line, or the ordinal in XML
- `target`: `alma` or `aleph`
- `doc_number`, `item_sequence`, `barcode`, `item_pid`, `mms_id`, `holding_id`: what the file says of the item; "" where
  it says nothing
- `item`: by which of these the item is named, as one text; rows of one item share it, so that it is their `turn_of`
- `values`: what is to be written, column -> text; "" clears, a column that is not there stays as it is
- `remarks`: sentences for the row's message, whatever becomes of it

For Alma the columns of `values` are those of `alma_etl.inventory.item_fields`, `library`, `location`, and `barcode` for
a changed barcode. For Aleph they are the names of z30 without `z30-`, such as `call-no-2-type`.

What an item is named by beside its key has to be the item's: a row whose `mms_id`, `holding_id` or `barcode` is another
than the item's is `invalid_row`, since the key of an item cannot be changed.
"""

from collections.abc import Mapping

from alma_etl.jobs.outcomes import DONE, MADE, OPEN, PARTLY, End, Row, RowOutcome, end_of
from alma_etl.jobs.outcomes import REFUSED as NOT_TAKEN  # one of the words below is REFUSED

Changes = Mapping[str, tuple[str, str]]


class ItemUpdateOutcome(RowOutcome):
    """The outcomes of an item update."""

    UPDATED = "updated", "the item has the values of the row now", MADE
    WOULD_UPDATE = "would_update", "the item would be changed; this was a dry run", DONE
    UNCHANGED = "unchanged", "the item had these values already; nothing was written", DONE
    NOT_FOUND = "not_found", "there is no such item", NOT_TAKEN
    INVALID_ROW = (
        "invalid_row",
        "the row cannot be read, names no item, or would change an item's key",
        NOT_TAKEN,
    )
    REFUSED = "refused", "the system does not take these values for this item; nothing was written", NOT_TAKEN
    CONFLICT = (
        "conflict",
        "somebody else changed the item since it was first read; nothing was written",
        NOT_TAKEN,
    )
    NOT_APPLIED = (
        "not_applied",
        "the system said that it had written, and the item does not have all of the values",
        PARTLY,
    )
    UNCONFIRMED = (
        "unconfirmed",
        "the change was sent and no answer came: look at the item whether it has it",
        OPEN,
    )
    FAILED = "failed", "the system could not be asked, or did not answer as it should", OPEN


COLUMNS = (
    "line", "target", "doc_number", "item_sequence", "barcode", "item_pid", "outcome", "changed", "message",
)  # fmt: skip
IDENTITY = ("line",)  # the other columns may be filled in by what the item is found to have


def result(
    row: Row,
    outcome: ItemUpdateOutcome,
    message: str = "",
    *,
    changes: Changes | None = None,
    **values: str,
) -> End:
    """Return a row's end.

    ``changes``: column -> (before, after) for each column of `values` that was compared, those that stayed as they were
    with twice the same, so that the undo file can name them. `after` is what the item has now, in a dry run what it
    would have: of a write that was taken in part, a column that was not taken has its old value twice.
    ``values``: columns of the report that became known, such as `item_pid` and the item's present `barcode`.
    """
    compared = {name: list(pair) for name, pair in (changes or {}).items()}
    changed = ";".join(name for name, (before, after) in compared.items() if before != after)
    return end_of(row, COLUMNS, outcome, message, **values, changed=changed, changes=compared)
