"""Step 4 of an item load: the items themselves (`POST /bibs/{mms_id}/holdings/{holding_id}/items`)."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any, TypeVar

from alma_etl.alma import shapes, writes
from alma_etl.alma.bibs import NO_BIB
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.inventory.chunk_holdings import begun_groups, resolved
from alma_etl.inventory.codes import alma_of, read_check, unknown_titles
from alma_etl.inventory.existing_items import already_there, known_of, look_by_barcode
from alma_etl.inventory.holdings import GroupResult, group_key, is_settled
from alma_etl.inventory.item_fields import as_date, item_body
from alma_etl.inventory.item_rows import COLUMNS, ItemOutcome, result, row_key, verdict
from alma_etl.inventory.item_rules import ItemRules
from alma_etl.inventory.loaded_items import LoadedItems
from alma_etl.jobs.ends import Sent
from alma_etl.jobs.file_run import FilePlan, FileRun
from alma_etl.jobs.loading import RowWriter, write_rows
from alma_etl.jobs.outcomes import End, Row
from alma_etl.jobs.row_ends import RowEnds
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import RemoteError
from alma_etl.remote.safe_write import WriteOutcome
from alma_etl.store.bucket import NoSuchObject

log = logging.getLogger(__name__)

# 40166404: a field of the item has a value that Alma does not take; 401885: the PO line.
_BAD_VALUE = frozenset({"40166404", "401885"})
_CONFIRMED = "no answer came; a look confirmed it"

X = TypeVar("X")
Y = TypeVar("Y")


RulesT = TypeVar("RulesT", bound=ItemRules)


class ItemEnds(RowEnds[RulesT]):
    """How the rows end whose items are created."""

    outcomes = ItemOutcome
    columns = COLUMNS
    identity = ("line", "mms_id", "barcode")

    def made_under(self, plan: FilePlan[RulesT]) -> Mapping[str, object]:
        return {"dry_run": plan.dry_run, "values": plan.profile.values(plan.day)}

    def end_of_unfinished(self, run: FileRun, number: int) -> Callable[[Row, str], End | None]:
        begun = begun_groups(run, number)
        groups, _ = resolved(run, number)

        def end_of(row: Row, reason: str) -> End | None:
            key = group_key(row)
            group = groups.get(key)
            if group is not None and group["outcome"] == ItemOutcome.UNCONFIRMED:
                return self.end(row, ItemOutcome.UNCONFIRMED, group["message"])
            if (group is None or not is_settled(group)) and key in begun:
                message = (
                    f"a holding for it may have been made when work ended, the item was not sent: {reason}"
                )
                return self.end(row, ItemOutcome.UNCONFIRMED, message)
            return None

        return end_of


def create_items(
    job: RowEnds[Any], client: AlmaClient, folder: FileRun, number: int, *, memory: LoadedItems
) -> dict[str, int]:
    """Create the items of a chunk, those of one title one after the other; return counts by outcome.

    A row that can be sent costs one request. A refusal is explained by a look-up of the barcode, since Alma has no
    code of its own for "in use". Items that are in Alma by an earlier attempt stay; what Alma refused then is tried
    again.
    """
    alma = alma_of(client, folder)
    results = write_rows(job, folder, number, ItemWriter(client, folder, number, alma), target=alma)
    if not folder.plan().dry_run:
        memory.remember(known_of(results), folder.run_id)
    counts = Counter(each["outcome"] for each in results)
    log.info("Chunk %04d: %s", number, ", ".join(f"{n} {word}" for word, n in counts.items()))
    return dict(counts)


class ItemWriter(RowWriter):
    """Sends the rows of a chunk to the holdings that `resolve_holdings` found or made."""

    def __init__(self, client: AlmaClient, folder: FileRun, number: int, alma: str) -> None:
        self._client = client
        self._groups, self._ended = resolved(folder, number, alma)
        self._check = read_check(folder)
        self._unknown = unknown_titles(folder, number, alma)

    def known_end(self, row: Row) -> End | None:
        against = verdict(row, self._check, self._unknown)
        if against is not None:
            return result(row, *against)
        if row_key(row) in self._ended:
            return self._ended[row_key(row)]
        group = self._group(row)
        if group["outcome"]:
            return result(row, ItemOutcome(group["outcome"]), group["message"])
        return None if row["barcode"] else _holding_alone(row, group)

    def turn_of(self, row: Row) -> str:
        return str(row["mms_id"])

    def place_of(self, row: Row) -> str:
        return self._group(row)["holding_id"]

    def name_of(self, row: Row) -> str:
        return str(row.get("name") or f"Line {row['line']}, barcode {row['barcode']}")

    def today(self) -> date:
        return self._client.today()

    def in_parallel(self, function: Callable[[X], Y], rows: Iterable[X]) -> Iterator[tuple[X, Y]]:
        return self._client.in_parallel(function, rows)

    def _group(self, row: Row) -> GroupResult:
        try:
            return self._groups[group_key(row)]
        except KeyError:
            raise NoSuchObject(
                f"line {row['line']} has no holding by the present settings: clear resolve_holdings of its chunk"
            ) from None

    def look_for(self, row: Row, sent: Sent) -> End | None:
        match self._client.items.by_barcode(row["barcode"]):
            case Found(item):
                return self._adopted(row, self._groups.get(group_key(row)), item, sent)
            case Unknown(error):
                return result(
                    row,
                    ItemOutcome.UNCONFIRMED,
                    f"an earlier attempt may have sent it, and a look at the barcode failed: {error}",
                )
            case Absent():
                return None

    def send(self, row: Row, before: Sent | None) -> End:
        group = self._group(row)
        holding_id = group["holding_id"]
        written = writes.create_item(
            self._client, row["mms_id"], holding_id, item_body(row["barcode"], row["values"])
        )
        if written.value is not None and written.outcome is WriteOutcome.CREATED:
            return self._created(row, group, written.value)
        if written.value is not None and written.outcome is WriteOutcome.ADOPTED:
            return self._adopted(row, group, written.value, Sent(self._client.today(), frozenset()))
        if written.outcome is WriteOutcome.UNCONFIRMED:
            return result(
                row,
                ItemOutcome.UNCONFIRMED,
                f"it was sent and no answer came, nor could the barcode be looked up: {written.error}",
                holding_id=holding_id,
            )
        if written.outcome is WriteOutcome.REFUSED and written.error is not None:
            return self._explained(row, group, written.error, before)
        return result(row, ItemOutcome.FAILED, f"{written.error}", holding_id=holding_id)

    def dry_run(self, row: Row) -> End:
        group = self._group(row)
        match look_by_barcode(self._client, row):
            case Found(end):
                return end
            case Unknown(error):
                return result(row, ItemOutcome.FAILED, f"the barcode could not be looked up: {error}")
            case Absent():
                return result(row, ItemOutcome.WOULD_CREATE, group["message"], holding_id=group["holding_id"])

    @staticmethod
    def _created(row: Row, group: GroupResult | None, item: Item, remark: str = "") -> End:
        message = "; ".join(part for part in (group["message"] if group else "", remark) if part)
        return result(row, ItemOutcome.CREATED, message, holding_id=item.holding_id, item_pid=item.pid)

    def _adopted(self, row: Row, group: GroupResult | None, item: Item, sent: Sent) -> End:
        """The end of a row whose barcode was found after its answer was lost: ours, unless it is older than that."""
        here = group is not None and item.holding_id == group["holding_id"]
        if item.mms_id != row["mms_id"] or not (here or item.holding_id in sent.places):
            return already_there(row, item)
        if _is_older(item, sent.day):
            return already_there(row, item)
        if here:
            return self._created(row, group, item, _CONFIRMED)
        # sent by an attempt whose settings gave the row another place
        there = {**row, "library": item.library, "location": item.location}
        return self._created(there, None, item, _CONFIRMED)

    def _explained(self, row: Row, group: GroupResult, refusal: RemoteError, before: Sent | None) -> End:
        if before is not None:
            end = self.look_for(row, before)
            return end or result(row, _outcome_of(refusal), f"Alma refused it: {refusal}")
        match look_by_barcode(self._client, row):
            case Found(end):
                return end
            case Unknown(error):
                return result(
                    row,
                    ItemOutcome.FAILED,
                    f"Alma refused it: {refusal}; a look at the barcode failed: {error}",
                )
            case Absent():
                return result(row, _outcome_of(refusal), f"Alma refused it: {refusal}")


def _holding_alone(row: Row, group: GroupResult) -> End:
    """The end of a row without a barcode: it makes no item, only its holding is to be there."""
    outcome = ItemOutcome.CREATED if group["made"] else ItemOutcome.ALREADY_EXISTS
    if not group["holding_id"]:
        outcome = ItemOutcome.WOULD_CREATE
    return result(row, outcome, group["message"], holding_id=group["holding_id"])


def _outcome_of(refusal: RemoteError) -> ItemOutcome:
    if refusal.code in _BAD_VALUE:
        return ItemOutcome.INVALID_CODE
    return ItemOutcome.BIB_NOT_FOUND if refusal.code in NO_BIB else ItemOutcome.FAILED


def _is_older(item: Item, since: date) -> bool:
    """Whether the item was there before; Alma has the day, and its day may begin elsewhere than ours."""
    created = as_date(shapes.text(item.raw.get("item_data", {}).get("creation_date")))
    return created is not None and created < since - timedelta(days=1)
