"""What is in Alma under a barcode, in the words of the report."""

from collections.abc import Sequence

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.inventory.item_rows import ItemOutcome, result
from alma_etl.inventory.loaded_items import KnownItem
from alma_etl.jobs.outcomes import End, Row
from alma_etl.remote.answers import Absent, Answer, Found, Unknown


def already_there(row: Row, item: Item) -> End:
    """The end of a row whose barcode an item has already: on the same title it is loaded, elsewhere it is not."""
    ids = {"holding_id": item.holding_id, "item_pid": item.pid}
    if item.mms_id != row["mms_id"]:
        return result(
            row,
            ItemOutcome.CONFLICT,
            f"the barcode belongs to an item of the title {item.mms_id} ({item.library}/{item.location})",
            **ids,
        )
    elsewhere = (item.library, item.location) != (row["library"], row["location"])
    return result(
        row,
        ItemOutcome.ALREADY_EXISTS,
        f"the item is at {item.library}/{item.location}" if elsewhere else "",
        **ids,
    )


def look_by_barcode(client: AlmaClient, row: Row) -> Answer[End]:
    """Ask for the row's barcode: its end when an item has it, Absent when none has or the row has none.

    Costs two calls, one if absent."""
    if not row["barcode"]:
        return Absent()
    return _ended(row, client.items.by_barcode(row["barcode"]))


def look_where_it_was(client: AlmaClient, row: Row, known: KnownItem) -> Answer[End]:
    """Ask for the item that an earlier load made of this barcode: one call. Absent when it is no longer it."""
    answer = client.items.read(known.mms_id, known.holding_id, known.item_pid)
    if isinstance(answer, Found) and answer.value.barcode != row["barcode"]:
        return Absent()
    return _ended(row, answer)


def known_of(results: Sequence[End]) -> list[KnownItem]:
    """What is worth remembering of a chunk: the items that are in Alma under a row's barcode and title."""
    return [
        KnownItem(row["barcode"], row["mms_id"], row["holding_id"], row["item_pid"])
        for row in results
        if row["outcome"] in (ItemOutcome.CREATED, ItemOutcome.ALREADY_EXISTS) and row["item_pid"]
    ]


def _ended(row: Row, answer: Answer[Item]) -> Answer[End]:
    match answer:
        case Found(item):
            return Found(already_there(row, item))
        case Absent() | Unknown():
            return answer
