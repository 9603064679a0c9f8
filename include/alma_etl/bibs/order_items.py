"""The items that Alma made with a PO line get what a record says of them: barcode, notes, the call number of their
holding; and are received, where the profile says so.

The fields of a record have no number of an item. So each takes the first item of its PO line at its place that has no
barcode yet, one after the other, one import at a time; what has the barcode already is left as it is.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TypeVar

from lxml import etree

from alma_etl.alma import shapes, writes
from alma_etl.alma.acq_writes import arrival_date, in_words, receive_item
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.alma.po_lines import PoLine, PoLineItem
from alma_etl.bibs.inventory import Inventory
from alma_etl.bibs.order_match import OrderLines
from alma_etl.inventory.call_numbers import CallNumber
from alma_etl.inventory.codes import CodeCheck, read_check
from alma_etl.inventory.item_changes import change_item
from alma_etl.inventory.waiting_titles import WaitingTitles
from alma_etl.jobs.ends import Sent
from alma_etl.jobs.file_run import FilePlan, FileRun
from alma_etl.jobs.loading import RowWriter, write_rows
from alma_etl.jobs.outcomes import DONE, MADE, OPEN, PARTLY, REFUSED, End, Row, RowOutcome
from alma_etl.jobs.row_ends import RowEnds
from alma_etl.remote.answers import Absent, Answer, Found, Unknown, rows_of
from alma_etl.remote.errors import RemoteStop
from alma_etl.remote.safe_write import WriteOutcome, Written
from alma_etl.store.locks import LockBusy, LockLost, Locks

log = logging.getLogger(__name__)

_LOST = "no answer came; a look confirmed it"
_SHOWN = 10  # items that a message names
X = TypeVar("X")
Y = TypeVar("Y")


class OrderedItemOutcome(RowOutcome):
    """The outcomes of items that were ordered."""

    # Not MADE: what settings of later add, such as the receipt, is done when the run is cleared.
    UPDATED = "updated", "the item that was ordered has the barcode now", DONE
    RECEIVED = "received", "the item that was ordered has the barcode and is received now", MADE
    UNCHANGED = "unchanged", "the item has the barcode already, nothing was written", DONE
    WOULD_UPDATE = "would_update", "the item would get the barcode; this was a dry run", DONE
    NOT_APPLIED = "not_applied", "the item has the barcode, and the rest could not be done", PARTLY
    NO_ORDER = "no_order", "no PO line of the title has the reference of the record", REFUSED
    NO_ITEM = "no_item", "the PO line has no item at the place that is without a barcode", REFUSED
    CONFLICT = "conflict", "the barcode is another item's, or somebody else changed the item", REFUSED
    INVALID_ROW = "invalid_row", "the field cannot be used", REFUSED
    INVALID_CODE = "invalid_code", "Alma does not know a code of it", REFUSED
    UNCONFIRMED = "unconfirmed", "it was sent and no answer came: look at the item in Alma", OPEN
    FAILED = "failed", "Alma could not be asked, or refused; nothing was written", OPEN


GIVEN = frozenset((OrderedItemOutcome.UPDATED, OrderedItemOutcome.RECEIVED))
"""Ends of items that this run has written."""


class OrderedItemEnds(RowEnds[Inventory]):
    """How the fields of records end that are of items which were ordered."""

    unit = "item"
    outcomes = OrderedItemOutcome
    columns = (
        "line",
        "mms_id",
        "barcode",
        "library",
        "location",
        "outcome",
        "holding_id",
        "item_pid",
        "message",
    )
    identity = ("line", "mms_id", "barcode")

    def made_under(self, plan: FilePlan[Inventory]) -> Mapping[str, object]:
        return plan.profile.model_dump(mode="json")


ORDERED_ITEMS = OrderedItemEnds()


def give_items(
    client: AlmaClient,
    items: FileRun,
    number: int,
    *,
    lines: OrderLines,
    locks: Locks,
    waiting: WaitingTitles,
    alma: str,
) -> dict[str, int]:
    """Give the items that were ordered what the records of a chunk say of them; return counts by outcome. An item costs
    four requests: the items of its PO line, itself, and the two that write, beside one for the PO line of its record;
    and one, or two, for the call number of its holding."""
    writer = OrderedItemWriter(client, items, number, lines, locks, waiting, alma)
    counts = Counter(end["outcome"] for end in write_rows(ORDERED_ITEMS, items, number, writer, target=alma))
    log.info("Chunk %04d: %s", number, ", ".join(f"{n} {word}" for word, n in counts.items()) or "no items")
    return dict(counts)


class _Ended(Exception):
    """A row has come to its end; the report has it."""

    def __init__(self, end: End) -> None:
        super().__init__(end["message"])
        self.end = end


class OrderedItemWriter(RowWriter):
    """Writes the items of a chunk, those of one title one after the other."""

    in_order = True

    def __init__(
        self,
        client: AlmaClient,
        run: FileRun,
        number: int,
        lines: OrderLines,
        locks: Locks,
        waiting: WaitingTitles,
        alma: str,
    ) -> None:
        self._client = client
        self._rules: Inventory = run.plan().profile
        self._check: CodeCheck = read_check(run)
        self._lines = lines
        self._locks = locks
        self._waiting = waiting
        self._alma = alma
        self._taken: set[str] = set()  # items that a dry run would have used
        self._po_lines: dict[tuple[str, ...], list[PoLine]] = {}  # by title and references
        self._places: dict[str, tuple[str, str]] = {}  # of items that were read, by their link
        earlier = ORDERED_ITEMS.ends_of(run, number, alma).rows(of_any_settings=True)
        self._given_before = {key for key, end in earlier.items() if end["outcome"] in GIVEN}

    def known_end(self, row: Row) -> End | None:
        if row.get("refused"):
            return ORDERED_ITEMS.end(row, OrderedItemOutcome.INVALID_ROW, row["refused"])
        fault = self._check.fault_of(row)
        return ORDERED_ITEMS.end(row, OrderedItemOutcome.INVALID_CODE, fault) if fault else None

    def turn_of(self, row: Row) -> str:
        return str(row["mms_id"])

    def name_of(self, row: Row) -> str:
        return str(row["name"])

    def today(self) -> date:
        return self._client.today()

    def in_parallel(self, function: Callable[[X], Y], rows: Iterable[X]) -> Iterator[tuple[X, Y]]:
        return self._client.in_parallel(function, rows)

    def dry_run(self, row: Row) -> End:
        try:
            with self._locks.hold(self._lock_of(row)):  # two fields would take one item
                line, item = self._item_for(row)
                self._taken.add(item.pid)
        except _Ended as ended:
            return ended.end
        except LockBusy as busy:
            return ORDERED_ITEMS.end(row, OrderedItemOutcome.FAILED, f"{busy}: nothing was looked up")
        if self._is_done(row, item):
            return self._end(row, OrderedItemOutcome.UNCHANGED, item)
        return self._end(
            row, OrderedItemOutcome.WOULD_UPDATE, item, f"item {item.pid} of PO line {line.number}"
        )

    def send(self, row: Row, before: Sent | None) -> End:
        try:
            with self._locks.hold(self._lock_of(row)) as lock:
                line, item = self._item_for(row)
                if item.barcode == row["barcode"]:
                    given = ORDERED_ITEMS.row_key(row) in self._given_before
                    lost = before is not None and not given
                    return self._completed(
                        row, line, item, lock.check, wrote=given or lost, remark=_LOST if lost else ""
                    )
                return self._given(row, line, item, lock.check)
        except _Ended as ended:
            return ended.end
        except LockBusy as busy:
            return ORDERED_ITEMS.end(row, OrderedItemOutcome.FAILED, f"{busy}: nothing was written")
        except LockLost as lost:
            message = f"{lost}: the item may have its barcode, the rest was not done"
            return ORDERED_ITEMS.end(row, OrderedItemOutcome.UNCONFIRMED, message)

    def _lock_of(self, row: Row) -> str:
        return f"ordered items of {row['mms_id']} of {self._alma}"

    # --- which item it is

    def _item_for(self, row: Row) -> tuple[PoLine, Item]:
        """The item that has the barcode, or is to get it; raises _Ended where there is none."""
        entries = [(line, entry) for line in self._lines_of(row) for entry in self._entries(row, line)]
        for line, entry in entries:
            if entry.barcode == row["barcode"]:
                item = self._read(row, entry)
                if item is not None and item.barcode == row["barcode"]:  # the list may be older
                    return line, item
        others = []
        for line, entry in entries:
            if entry.barcode != row["barcode"] and not self._is_free(entry.barcode):
                others.append(entry.barcode)
                continue
            there = self._places.get(entry.link)
            if there is not None and not _fits(there, row):
                others.append(f"{entry.barcode or 'none'} at {'/'.join(there)}")
                continue
            item = self._read(row, entry)
            if item is None:
                continue
            if item.barcode == row["barcode"]:
                return line, item
            there = self._places[entry.link] = (item.library, item.location)
            if self._is_free(item.barcode) and _fits(there, row) and item.pid not in self._taken:
                return line, item
            others.append(f"{item.barcode or 'none'} at {'/'.join(there)}")
        place = f"{row['library']}/{row['location']}" if row["library"] or row["location"] else "any place"
        its_items = ", ".join(others[:_SHOWN]) + (" and more" if len(others) > _SHOWN else "") or "none"
        message = (
            f"the PO line has no item at {place} without a barcode (its items have {its_items}): give the item that is "
            "meant its barcode in Alma"
        )
        if others and not self._rules.generated_barcode:
            message += "; where Alma made these up, set `generated_barcode`"
        raise _Ended(ORDERED_ITEMS.end(row, OrderedItemOutcome.NO_ITEM, message))

    def _is_free(self, barcode: str) -> bool:
        pattern = self._rules.generated_barcode
        return not barcode or (pattern is not None and re.fullmatch(pattern, barcode) is not None)

    def _lines_of(self, row: Row) -> list[PoLine]:
        references: Sequence[str] = row["references"]
        place = (row["mms_id"], *references)
        if place in self._po_lines:
            return self._po_lines[place]
        known = self._lines.known(references)
        found: list[PoLine] = []
        for reference in references:
            match self._lines.find(reference, known.get(reference), title=row["mms_id"]):
                case Found(lines):
                    found += lines
                case Unknown(error):
                    message = f"its PO line could not be looked up: {error}"
                    raise _Ended(ORDERED_ITEMS.end(row, OrderedItemOutcome.FAILED, message))
        here = [line for line in found if line.mms_id == row["mms_id"]]
        if here:
            self._po_lines[place] = here
            return here
        named = " and ".join(references)
        message = f"no PO line of the title has the reference {named}" if named else "it names no order"
        if found:
            of = ", ".join(f"{line.number} of title {line.mms_id}" for line in found)
            message = f"the reference {named} is that of PO line {of}"
        raise _Ended(ORDERED_ITEMS.end(row, OrderedItemOutcome.NO_ORDER, message))

    def _entries(self, row: Row, line: PoLine) -> list[PoLineItem]:
        answer = self._client.po_lines.items(line.number)
        if isinstance(answer, Unknown):
            message = f"the items of PO line {line.number} could not be read: {answer.error}"
            raise _Ended(ORDERED_ITEMS.end(row, OrderedItemOutcome.FAILED, message))
        return rows_of(answer)

    def _read(self, row: Row, entry: PoLineItem) -> Item | None:
        """An item of a PO line; None for one that is not there any more."""
        answer: Answer[Item] = Absent() if entry.place is None else self._client.items.read(*entry.place)
        if isinstance(answer, Unknown):
            message = f"an item of its PO line could not be read ({entry.link}): {answer.error}"
            raise _Ended(ORDERED_ITEMS.end(row, OrderedItemOutcome.FAILED, message))
        return answer.value if isinstance(answer, Found) else None

    def _is_done(self, row: Row, item: Item) -> bool:
        return item.barcode == row["barcode"] and not (self._rules.receive and not arrival_date(item))

    # --- what it gets

    def _given(self, row: Row, line: PoLine, item: Item, check: Callable[[], None]) -> End:
        values = {**row["values"], "barcode": row["barcode"]}
        change = change_item(self._client, item, values, before=check)
        written = change.written
        if written.done and written.value is not None:
            remark = _LOST if written.outcome is WriteOutcome.ADOPTED else ""
            try:
                return self._completed(row, line, written.value, check, wrote=True, remark=remark)
            except RemoteStop as stop:
                stop.effect_unknown = True  # the barcode is there
                raise
        if change.was_ignored:
            message = f"Alma answered, and did not take {', '.join(change.not_taken(values))}"
            return self._end(row, OrderedItemOutcome.NOT_APPLIED, item, message)
        if written.outcome is WriteOutcome.REFUSED:
            other = self._client.items.by_barcode(row["barcode"])
            if (
                isinstance(other, Found) and _po_line_of(other.value) == line.number
            ):  # its list did not say so yet
                return self._completed(row, line, other.value, check, wrote=False)
            if isinstance(other, Found) and other.value.pid != item.pid:
                message = f"the barcode belongs to an item of the title {other.value.mms_id}"
                return self._end(row, OrderedItemOutcome.CONFLICT, item, message)
        return self._not_given(row, item, written)

    def _not_given(self, row: Row, item: Item, written: Written[Item]) -> End:
        match written.outcome:
            case WriteOutcome.UNCONFIRMED:
                message = f"it was sent and no answer came: {written.error}"
                return self._end(row, OrderedItemOutcome.UNCONFIRMED, item, message)
            case WriteOutcome.CONFLICT:
                message = "somebody else changed the item meanwhile: nothing was overwritten"
                return self._end(row, OrderedItemOutcome.CONFLICT, item, message)
            case WriteOutcome.REFUSED:
                message = f"Alma refused it: {written.error}"
                return self._end(row, OrderedItemOutcome.INVALID_CODE, item, message)
        return self._end(row, OrderedItemOutcome.FAILED, item, f"it was not written: {written.error}")

    def _completed(
        self, row: Row, line: PoLine, item: Item, check: Callable[[], None], *, wrote: bool, remark: str = ""
    ) -> End:
        """The end of an item that has its barcode, once its holding has a call number and it is received."""
        remarks = [remark]
        if not _fits((item.library, item.location), row):
            remarks.append(f"the item is at {item.library}/{item.location}")
        if item.mms_id != row["mms_id"]:  # a PO line that was relinked may have left them behind
            remarks.append(f"the item is one of title {item.mms_id}")
        failed = ""
        if row.get("call_number"):
            numbered = self._number_holding(item, CallNumber(*row["call_number"]), check)
            wrote |= numbered.outcome is WriteOutcome.UPDATED
            failed = "" if numbered.done else f"its holding got no call number: {numbered.error}"
        receipt = self._received(line, item, check)
        if receipt is not None and receipt.done:
            item = receipt.value or item
            before = receipt.outcome is WriteOutcome.UNCHANGED
            self._waiting.received([row["mms_id"]], _arrival(item) if before else datetime.now(UTC))
        message = "; ".join(filter(None, (f"PO line {line.number}", *remarks, failed)))
        if receipt is not None and not receipt.done:
            why = in_words(receipt.error) if receipt.error is not None else receipt.outcome.value
            outcome = {
                WriteOutcome.UNCONFIRMED: OrderedItemOutcome.UNCONFIRMED,
                WriteOutcome.FAILED: OrderedItemOutcome.FAILED,
            }.get(receipt.outcome, OrderedItemOutcome.NOT_APPLIED)
            return self._end(row, outcome, item, f"{message}; it was not received: {why}")
        if failed:
            return self._end(row, OrderedItemOutcome.NOT_APPLIED, item, message)
        if receipt is not None and receipt.outcome is not WriteOutcome.UNCHANGED:
            return self._end(row, OrderedItemOutcome.RECEIVED, item, message)
        return self._end(
            row, OrderedItemOutcome.UPDATED if wrote else OrderedItemOutcome.UNCHANGED, item, message
        )

    def _number_holding(self, item: Item, number: CallNumber, check: Callable[[], None]) -> Written[bytes]:
        check()
        return writes.update_holding(
            self._client, item.mms_id, item.holding_id, lambda record: _put_call_number(record, number)
        )

    def _received(self, line: PoLine, item: Item, check: Callable[[], None]) -> Written[Item] | None:
        rule = self._rules.receive
        if rule is None:
            return None
        check()
        return receive_item(
            self._client,
            line.number,
            item,
            department=rule.department,
            department_library=rule.library,
            received=self._client.today(),
        )

    @staticmethod
    def _end(row: Row, outcome: OrderedItemOutcome, item: Item, message: str = "") -> End:
        return ORDERED_ITEMS.end(row, outcome, message, holding_id=item.holding_id, item_pid=item.pid)


def _fits(place: tuple[str, str], row: Row) -> bool:
    """Whether a library and its location are those of the row, as far as it names them."""
    return row["library"] in ("", place[0]) and row["location"] in ("", place[1])


def _arrival(item: Item) -> datetime:
    """The day on which an item was received that was there before; now where it is none that can be read."""
    try:
        day = date.fromisoformat(arrival_date(item)[:10])
    except ValueError:
        return datetime.now(UTC)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _po_line_of(item: Item) -> str:
    return shapes.text(item.raw["item_data"].get("po_line"))


def _put_call_number(record: etree._Element, number: CallNumber) -> None:
    """Give the first 852 of a holdings record a call number, unless it has one."""
    field = next((each for each in record if each.get("tag") == "852"), None)
    if field is None or any(each.get("code") == "h" and (each.text or "").strip() for each in field):
        return
    field.set("ind1", number.scheme)
    for code, value in (("h", number.classification), ("i", number.item_part)):
        if value:
            etree.SubElement(field, "subfield", code=code).text = value
