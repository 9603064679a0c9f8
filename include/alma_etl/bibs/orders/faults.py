"""Which records are not to be written at all since their orders cannot be placed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from alma_etl.alma.acq_writes import lines_of_title
from alma_etl.alma.client import AlmaClient
from alma_etl.bibs.orders.order import Order
from alma_etl.bibs.orders.placing import OrderChecks, placed_before, sender_part
from alma_etl.bibs.rows import BibOutcome
from alma_etl.inventory.loaded_orders import KnownOrder, LoadedOrders, OrderReference
from alma_etl.jobs.file_job import Refusal
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.outcomes import Row
from alma_etl.remote.answers import Found, Unknown, rows_of


@dataclass(frozen=True)
class _Record:
    """A record's orders that this run has not sent yet, and the title that it is to be part of, "" for none. ``known``:
    what others than this record in this run have ordered, by its references."""

    orders: tuple[Order, ...]
    mms_id: str
    known: Mapping[OrderReference, KnownOrder]

    def placed(self, order: Order) -> tuple[str, KnownOrder] | None:
        """By which of its references an order was placed before, and what is known of that."""
        for key, reference in order.keys.items():
            before = self.known.get(key)
            if before is not None and before.po_line:
                return reference, before
        return None

    @property
    def to_place(self) -> list[Order]:
        """Its orders that were not placed before."""
        return [order for order in self.orders if self.placed(order) is None]

    @property
    def barcodes(self) -> Iterator[str]:
        """Those that the copies of these are to have."""
        return (copy.barcode for order in self.to_place for copy in order.copies if copy.barcode)

    def fault(self, checks: OrderChecks, *, matched: bool) -> Refusal | None:
        """Why it is not to be written, by what is known without asking Alma once more. ``matched``: its title is
        known. Orders that are left of a record whose others stand in the PO lines of its title are no conflict."""
        problems = list(dict.fromkeys(problem for order in self.orders for problem in order.problems))
        if problems:
            return Refusal("; ".join(problems), BibOutcome.INVALID_ORDER)
        placed = list(filter(None, map(self.placed, self.orders)))
        elsewhere = [each for each in placed if matched and each[1].mms_id != self.mms_id]
        if placed and (elsewhere or not self.to_place):
            return Refusal(placed_before(*(elsewhere or placed)[0]), BibOutcome.CONFLICT)
        for order in self.to_place:
            for key, reference in order.keys.items():
                line = checks.orders.vendors[order.vendor].lines.get(key.reference)
                if line:
                    message = f"the reference {reference} stands in PO line {line} of vendor {order.vendor}"
                    return Refusal(f"{message}: nothing is ordered twice", BibOutcome.CONFLICT)
        return None


def order_faults(
    client: AlmaClient, run: FileRun, number: int, memory: LoadedOrders, titles: Mapping[int, str] | None
) -> dict[int, Refusal]:
    """Return the records of a chunk whose orders cannot be placed, by line; an order that this run has sent before is
    judged no more. ``titles``: the title that each is to be part of, where these are known: its PO lines are looked
    through for the references, one call each, and the barcodes of the copies are looked up, one call each."""
    checks = OrderChecks.of(run)
    found = {row["line"]: checks.orders_of(row) for row in run.rows(number)}
    records = _records(run, found, memory, titles or {})
    faults = {
        line: fault
        for line, record in records.items()
        if (fault := record.fault(checks, matched=titles is not None)) is not None
    }
    if titles is None:
        return faults
    to_look_up = [line for line, record in records.items() if record.orders and line not in faults]
    for line, fault in client.in_parallel(lambda line: _fault_in_alma(client, records[line]), to_look_up):
        if fault is not None:
            faults[line] = fault
    return faults


def fault_of_late_title(
    client: AlmaClient, run: FileRun, row: Row, memory: LoadedOrders, mms_id: str
) -> Refusal | None:
    """Why the orders of a record are not to be placed on a title that nobody knew when `order_faults` judged them: one
    of its PO lines has a reference of theirs. Costs a call."""
    checks = OrderChecks.of(run)
    record = _records(run, {row["line"]: checks.orders_of(row)}, memory, {row["line"]: mms_id})[row["line"]]
    if not record.orders:
        return None
    return record.fault(checks, matched=True) or _fault_of_title(client, record)


def _records(
    run: FileRun,
    orders: Mapping[int, tuple[Order, ...]],
    memory: LoadedOrders,
    titles: Mapping[int, str],
) -> dict[int, _Record]:
    """What is known of records with these orders, by line."""
    sent = _sent(run, orders, memory)
    unsent = {line: _unsent(run, line, each, sent) for line, each in orders.items()}
    named = (order for each in unsent.values() for order in each if not order.problems)
    known = memory.find({key for order in named for key in order.keys})
    return {
        line: _Record(each, titles.get(line, ""), _of_others(known, run, line))
        for line, each in unsent.items()
    }


def _unsent(run: FileRun, line: int, orders: Sequence[Order], sent: Collection[str]) -> tuple[Order, ...]:
    return tuple(order for at, order in enumerate(orders, 1) if _sender(run, line, at) not in sent)


def _sent(
    run: FileRun, orders: Mapping[int, tuple[Order, ...]], memory: LoadedOrders
) -> Mapping[str, Mapping[OrderReference, KnownOrder]]:
    return memory.of_senders(
        {_sender(run, line, at) for line, each in orders.items() for at in range(1, len(each) + 1)}
    )


def _sender(run: FileRun, line: int, ordinal: int) -> str:
    return f"{run.run_id} {sender_part(line, ordinal)}"


def _of_others(
    known: Mapping[OrderReference, KnownOrder], run: FileRun, line: int
) -> dict[OrderReference, KnownOrder]:
    """What others have ordered than this record in this run, of which the step that places orders knows more."""
    ours = _sender(run, line, 0).removesuffix("0")
    return {key: order for key, order in known.items() if not order.sender.startswith(ours)}


def _fault_in_alma(client: AlmaClient, record: _Record) -> Refusal | None:
    return (_fault_of_title(client, record) if record.mms_id else None) or _fault_of_barcodes(client, record)


def _fault_of_title(client: AlmaClient, record: _Record) -> Refusal | None:
    mms_id, wanted = record.mms_id, {key for order in record.to_place for key in order.keys}
    # What one file has for the vendor's reference alone, another may have for the only one. Several orders of a title
    # may share it, such as an invoice: it is compared with what orders are known by.
    own = {OrderReference.of(order.vendor, order.reference) for order in record.to_place if order.reference}
    listed = lines_of_title(client, mms_id)
    for line in rows_of(listed):
        for reference, known in (
            (line.additional_reference, wanted | own),
            (line.vendor_reference, wanted),
        ):
            if reference and OrderReference.of(line.vendor, reference) in known:
                message = f"the reference {reference} stands in PO line {line.number} of title {mms_id}"
                return Refusal(f"{message}: nothing is ordered twice", BibOutcome.CONFLICT)
    if not isinstance(listed, Found):
        error = listed.error if isinstance(listed, Unknown) else "the list was not whole"
        return Refusal(f"the PO lines of title {mms_id} could not be read: {error}", BibOutcome.FAILED)
    return None


def _fault_of_barcodes(client: AlmaClient, record: _Record) -> Refusal | None:
    taken = []
    for barcode in record.barcodes:
        match client.items.locate(barcode):
            case Found(place):
                taken.append(f"{barcode} (title {place.mms_id})")
            case Unknown(error):
                message = f"whether there is an item {barcode} could not be looked up: {error}"
                return Refusal(message, BibOutcome.FAILED)
    if not taken:
        return None
    message = f"items in Alma have barcodes of its copies already: {', '.join(taken)}: give each copy its own"
    return Refusal(message, BibOutcome.INVALID_ORDER)
