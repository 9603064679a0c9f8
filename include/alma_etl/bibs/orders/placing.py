"""The orders of imported records become PO lines, once their titles are in Alma.

An order is placed once: it is reserved in the state store before it is sent, by one sender, and what may have been sent
is looked for among the PO lines of its title, never sent again before these must show it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from alma_etl.alma.acq_writes import create_po_line, lines_of_title, not_taken
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.po_lines import PoLine
from alma_etl.bibs.orders.checking import OrderCheck, read_order_check
from alma_etl.bibs.orders.order import Order
from alma_etl.bibs.orders.profile import OrderProfile
from alma_etl.bibs.orders.reading import orders_of
from alma_etl.bibs.rows import KEPT, BibOutcome
from alma_etl.inventory.codes import CodeCheck, read_check
from alma_etl.inventory.loaded_orders import KnownOrder, LoadedOrders, OrderReference
from alma_etl.jobs.checkpoint import Rank
from alma_etl.jobs.ends import Sent
from alma_etl.jobs.file_run import FilePlan, FileRun
from alma_etl.jobs.loading import RowWriter, write_rows
from alma_etl.jobs.outcomes import DONE, MADE, OPEN, REFUSED, End, Row, RowOutcome
from alma_etl.jobs.row_ends import RowEnds
from alma_etl.marc.xml import record_from_xml
from alma_etl.remote.answers import Answer, Found, Unknown, first_of
from alma_etl.remote.errors import RemoteStop
from alma_etl.remote.safe_write import WriteOutcome

log = logging.getLogger(__name__)

LISTED_AFTER = timedelta(hours=1)  # a PO line of before is in the lists by now, whatever they lag
X = TypeVar("X")
Y = TypeVar("Y")


class OrderOutcome(RowOutcome):
    """The outcomes of orders."""

    ORDERED = "ordered", "the PO line is in Alma", MADE
    WOULD_ORDER = "would_order", "the PO line would be created; this was a dry run", DONE
    CONFLICT = "conflict", "its reference was ordered before; nothing was ordered", REFUSED
    INVALID_ORDER = "invalid_order", "the order cannot be used, or Alma does not take it", REFUSED
    UNCONFIRMED = "unconfirmed", "it was sent and no answer came: look in Alma whether it is there", OPEN
    FAILED = "failed", "Alma could not be asked, or did not answer as it should", OPEN


COLUMNS = (
    "record", "key", "title", "mms_id", "vendor", "reference", "quantity", "total", "currency", "funds", "outcome",
    "po_line", "message",
)  # fmt: skip


class OrderEnds(RowEnds[Any]):
    """How the orders of records end."""

    unit = "order"
    outcomes = OrderOutcome
    columns = (*COLUMNS, "line")
    identity = ("line", "reference", "mms_id")

    def made_under(self, plan: FilePlan[Any]) -> Mapping[str, object]:
        return {"dry_run": plan.dry_run, "orders": plan.profile.orders.model_dump(mode="json")}


ORDERS = OrderEnds()


@dataclass(frozen=True)
class OrderChecks:
    """What Alma said before anything was written, applied to the orders of each record."""

    profile: OrderProfile
    orders: OrderCheck
    codes: CodeCheck

    @classmethod
    def of(cls, run: FileRun) -> OrderChecks:
        """The checks of a run. Raises NoSuchObject when they were not made."""
        return cls(run.plan().profile.orders, read_order_check(run), read_check(run))

    def orders_of(self, row: Row) -> tuple[Order, ...]:
        """The orders of a record; none of one that was refused before."""
        if row.get("refused") or "marc" not in row:
            return ()
        found = orders_of(record_from_xml(row["marc"].encode()), self.profile)
        return tuple(self.orders.applied(order, self.codes) for order in found)


# --- the orders of a chunk as rows


class RecordOrders(FileRun):
    """The run with the orders of its records for rows. ``ends`` gives those of the records of a chunk, by `row_key`.

    `line` of an order is its ordinal among all those of its chunk, whatever became of their records.
    """

    def __init__(
        self,
        run: FileRun,
        row_key: Callable[[Row], Hashable],
        ends: Callable[[int], Mapping[Hashable, End]],
        have_orders: Iterable[BibOutcome],
    ) -> None:
        super().__init__(run.bucket, run.run_id, "", FilePlan[Any])
        self.prefix = run.prefix
        self._run = run
        self._row_key = row_key
        self._ends = ends
        self._have_orders = frozenset(have_orders)
        self._rows: dict[int, list[Row]] = {}

    def plan(self) -> FilePlan[Any]:
        return self._run.plan()

    def chunk_key(self, number: int, name: str) -> str:
        return super().chunk_key(number, f"orders/{name}")

    def problem(self, number: int | None = None) -> str | None:
        return self._run.problem(number)

    def rows(self, number: int) -> Iterator[Row]:
        if number not in self._rows:
            self._rows = {number: list(self._rows_of(number))}
        yield from self._rows[number]

    def _rows_of(self, number: int) -> Iterator[Row]:
        ends, line = self._ends(number), 0
        if not any(end["outcome"] in self._have_orders for end in ends.values()):
            return  # a run that stopped has no checks yet
        checks = OrderChecks.of(self._run)
        for row in self._run.rows(number):
            end = ends.get(self._row_key(row))
            for ordinal, order in enumerate(checks.orders_of(row), 1):
                line += 1
                if end is not None and end["outcome"] in self._have_orders:
                    yield _row(line, row, end["mms_id"], ordinal, order)


def placed_of(orders: RecordOrders, number: int) -> dict[int, list[End]]:
    """Return the ends of the orders of a chunk that this run has placed, by whatever settings, by the `line` of their
    record."""
    found: dict[int, list[End]] = {}
    for end in ORDERS.ends_of(orders, number).rows().values():
        if ORDERS.rank_of(end) is Rank.MADE:
            found.setdefault(end["record"], []).append(end)
    return found


def sender_part(line: int, ordinal: int) -> str:
    """Who sends an order, beside the run: its record by line, and which of its orders it is, from 1."""
    return f"record {line} order {ordinal}"


def _row(line: int, record: Row, mms_id: str, ordinal: int, order: Order) -> Row:
    row = {
        "line": line,
        "record": record["line"],
        "key": record["key"],
        "title": record["title"],
        "mms_id": mms_id,
        "sender": sender_part(record["line"], ordinal),
        "vendor": order.vendor,
        "reference": order.additional_reference,
        "also": list(order.also),
        "quantity": order.quantity,
        "remarks": [remark.text for remark in order.remarks],
    }
    if order.problems:  # by settings that came after its title was written
        return {**row, "problem": "; ".join(order.problems)}
    return {
        **row,
        "total": f"{order.total:f}",
        "currency": order.price.currency if order.price else "",
        "funds": "; ".join(f"{fund.code} {fund.amount:f}" for fund in order.funds),
        "body": order.body(mms_id),
    }


def place_orders(
    client: AlmaClient, orders: RecordOrders, number: int, *, memory: LoadedOrders, alma: str
) -> dict[str, int]:
    """Place the orders of a chunk; return counts by outcome. One request each; what was ordered before is not."""
    writer = OrderWriter(client, orders, memory)
    counts = Counter(end["outcome"] for end in write_rows(ORDERS, orders, number, writer, target=alma))
    log.info("Chunk %04d: %s", number, ", ".join(f"{n} {word}" for word, n in counts.items()) or "no orders")
    return dict(counts)


class _TakenOverError(Exception):
    """An order that was reserved, and that ``by`` has taken over since."""

    def __init__(self, by: KnownOrder) -> None:
        super().__init__(by)
        self.by = by


class OrderWriter(RowWriter):
    """Places the orders of a chunk."""

    def __init__(self, client: AlmaClient, run: FileRun, memory: LoadedOrders) -> None:
        self._client = client
        self._run_id = run.run_id
        self._memory = memory
        self._review = run.plan().profile.orders.manual_review
        self._ours: Mapping[str, Mapping[OrderReference, KnownOrder]] = {}

    def begin(self, rows: Sequence[Row]) -> None:
        # What the run placed before its settings changed may stand under another vendor or reference.
        self._ours = self._memory.of_senders({self._sender(row) for row in rows})

    def turn_of(self, row: Row) -> Hashable:
        return _reference(row)

    def name_of(self, row: Row) -> str:
        return f"Record {row['record']}, order {row['reference']}"

    def today(self) -> date:
        return self._client.today()

    def in_parallel(self, function: Callable[[X], Y], rows: Iterable[X]) -> Iterator[tuple[X, Y]]:
        return self._client.in_parallel(function, rows)

    def known_end(self, row: Row) -> End | None:
        """The end of an order that cannot be used by the present settings, and that others may have placed before."""
        if "problem" not in row:
            return None
        placed = self._placed(row) or self.look_for(row)
        return placed or ORDERS.end(row, OrderOutcome.INVALID_ORDER, row["problem"])

    def look_for(self, row: Row, sent: Sent | None = None) -> End | None:
        key = _reference(row)
        known = self._memory.find([key]).get(key)
        if known is not None and known.sender == self._sender(row):
            return self._as_known(row, key, known)
        return self._under_another(row) or (
            self._as_known(row, key, known) if known is not None and "problem" not in row else None
        )

    def send(self, row: Row, before: Sent | None) -> End:
        end = self._under_another(row)
        if end is not None:
            return end
        key, instead_of = _reference(row), None
        while True:
            pending = self._pending(row)
            known = self._memory.reserve(key, pending, instead_of=instead_of)
            if known is None:
                return self._send(row, pending)
            end = self._as_known(row, key, known)
            if end is not None:
                return end
            if instead_of is not None:  # another one was quicker to take it over
                return self._placed_by(row, known)
            instead_of = known

    def dry_run(self, row: Row) -> End:
        placed = self._placed(row)
        if placed is not None:
            return placed
        for reference in (row["reference"], *row["also"]):
            key = OrderReference.of(row["vendor"], reference)
            known = self._memory.find([key]).get(key)
            if known is not None and known.po_line:
                return ORDERS.end(row, OrderOutcome.CONFLICT, placed_before(reference, known))
        return ORDERS.end(row, OrderOutcome.WOULD_ORDER)

    def _send(self, row: Row, pending: KnownOrder) -> End:
        key = _reference(row)

        def renew() -> None:
            """Who was held up since the order was reserved may have been taken for dead."""
            other = self._memory.reserve(key, self._pending(row), instead_of=pending)
            if other is not None:
                raise _TakenOverError(other)

        try:
            written = create_po_line(self._client, row["body"], manual_review=self._review, before=renew)
        except _TakenOverError as taken:
            return self._as_known(row, key, taken.by) or self._placed_by(row, taken.by)
        except RemoteStop as stop:
            if not stop.effect_unknown:
                self._memory.forget([key], self._sender(row))
            raise
        if written.value is not None and written.done:
            remark = "" if written.outcome is WriteOutcome.CREATED else "no answer came; a look confirmed it"
            return self._ordered(row, written.value, remark)
        if written.outcome is WriteOutcome.UNCONFIRMED:
            message = (
                f"it was sent and no answer came, nor do the PO lines of its title show it: {written.error}"
            )
            return ORDERS.end(row, OrderOutcome.UNCONFIRMED, message)
        self._memory.forget([key], self._sender(row))
        refused = written.outcome is WriteOutcome.REFUSED
        outcome = OrderOutcome.INVALID_ORDER if refused else OrderOutcome.FAILED
        return ORDERS.end(
            row, outcome, f"Alma refused it: {written.error}" if refused else f"{written.error}"
        )

    def _placed_by(self, row: Row, other: KnownOrder) -> End:
        return ORDERS.end(row, OrderOutcome.UNCONFIRMED, f"{other.sender} is placing it")

    def _placed(self, row: Row) -> End | None:
        """The end of an order whose PO line this run has noted, by whatever settings."""
        for key, known in self._ours.get(self._sender(row), {}).items():
            if known.po_line:
                return self._ordered_as(row, key, known)
        return None

    def _under_another(self, row: Row) -> End | None:
        """The end of an order that this run has sent under another vendor or reference, by settings of before, or
        whose record has one that was; None where it has not, or is known not to have been placed."""
        before = self._ours.get(self._sender(row), {})
        for key, known in sorted(before.items(), key=lambda each: not each[1].po_line):
            if key == _reference(row):
                continue
            end = self._as_known(row, key, known)
            if end is not None:
                return end
            self._memory.forget([key], known.sender)
        also = {OrderReference.of(row["vendor"], reference) for reference in row["also"]}
        for key, known in sorted(self._memory.find(also - before.keys()).items()) if also else ():
            end = self._as_known(row, key, known)
            if end is not None:
                return end
        return None

    def _as_known(self, row: Row, key: OrderReference, known: KnownOrder) -> End | None:
        """The end of an order that was reserved before, as ``key``; None where it is known not to have been placed."""
        ours = known.sender == self._sender(row)
        if known.po_line and ours:
            return self._ordered_as(row, key, known)
        if known.po_line:
            return ORDERS.end(row, OrderOutcome.CONFLICT, placed_before(_named(row, key), known))
        match _find_line(self._client, known.mms_id, key):
            case Found(line):
                if ours and key == _reference(row) and "body" in row:
                    return self._ordered(row, line, "no answer came; a look confirmed it")
                placed = KnownOrder(line.number, known.mms_id, known.sender, known.sent_at)
                self._memory.note(key, placed)
                if ours:
                    return self._ordered_as(row, key, placed)
                return ORDERS.end(row, OrderOutcome.CONFLICT, placed_before(_named(row, key), placed))
            case Unknown(error):
                message = (
                    f"it may have been sent before, and the PO lines of its title could not be read: {error}"
                )
                return ORDERS.end(row, OrderOutcome.UNCONFIRMED, message)
        if known.sent_at + LISTED_AFTER < self._now():
            return None
        message = (
            f"it may have been sent at {known.sent_at:%Y-%m-%d %H:%M} UTC, and Alma does not show a PO line yet: drop "
            "it again an hour later"
        )
        return ORDERS.end(row, OrderOutcome.UNCONFIRMED, message)

    def _ordered_as(self, row: Row, key: OrderReference, placed: KnownOrder) -> End:
        """The end of an order that this run placed, as ``key``; it is known by the row's reference, too."""
        if key == _reference(row):
            return ORDERS.end(row, OrderOutcome.ORDERED, po_line=placed.po_line)
        if row["reference"] and not self._memory.find([_reference(row)]):
            self._memory.note(_reference(row), placed)
        message = f"it was placed as {key} before the settings changed"
        return ORDERS.end(row, OrderOutcome.ORDERED, message, po_line=placed.po_line)

    def _ordered(self, row: Row, line: PoLine, remark: str) -> End:
        self._memory.note(
            _reference(row), KnownOrder(line.number, row["mms_id"], self._sender(row), self._now())
        )
        missing = not_taken(line, row["body"])
        why = f": {', '.join(line.alerts)}" if line.alerts else ""
        parts = [
            remark,
            f"Alma left out {', '.join(missing)}: complete it there" if missing else "",
            f"it waits for a review{why}" if line.in_review else "",
        ]
        return ORDERS.end(row, OrderOutcome.ORDERED, "; ".join(filter(None, parts)), po_line=line.number)

    def _pending(self, row: Row) -> KnownOrder:
        return KnownOrder("", row["mms_id"], self._sender(row), self._now())

    def _sender(self, row: Row) -> str:
        return f"{self._run_id} {row['sender']}"

    def _now(self) -> datetime:
        return datetime.now(UTC)


def placed_before(reference: str, before: KnownOrder) -> str:
    """The sentence of an order whose reference stands in a PO line that an import placed."""
    return (
        f"the reference {reference} was ordered before, PO line {before.po_line} of title {before.mms_id}, on "
        f"{before.sent_at:%Y-%m-%d}: nothing is ordered twice"
    )


def _named(row: Row, key: OrderReference) -> str:
    """A reference of a row as it is written."""
    written = (row["reference"], *row["also"])
    return next((each for each in written if OrderReference.of(row["vendor"], each) == key), key.reference)


def _reference(row: Row) -> OrderReference:
    return OrderReference.of(row["vendor"], row["reference"])


def _find_line(client: AlmaClient, mms_id: str, key: OrderReference) -> Answer[PoLine]:
    """The PO line that has an order's reference, among those of its title; its other fields may have been sent by other
    settings. Absent only when the list is whole."""
    return first_of(
        lines_of_title(client, mms_id),
        lambda line: OrderReference.of(line.vendor, line.additional_reference) == key,
    )


# --- what they come to for their record


@dataclass
class Ordered:
    """What became of the orders of one record."""

    ends: list[End] = field(default_factory=list)

    @property
    def in_part(self) -> bool:
        """Whether any of them is in Alma, or would be."""
        return any(OrderOutcome(end["outcome"]).weight.loaded for end in self.ends)

    def outcome(self, title: BibOutcome) -> BibOutcome:
        """How the record ends whose title ended so."""
        words = {OrderOutcome(end["outcome"]) for end in self.ends}
        if OrderOutcome.UNCONFIRMED in words:
            return BibOutcome.UNCONFIRMED
        if OrderOutcome.FAILED in words:
            return BibOutcome.FAILED
        if title in KEPT:
            return title
        if not all(word.weight.loaded for word in words):
            return BibOutcome.NOT_APPLIED
        if title is BibOutcome.UNCHANGED and OrderOutcome.ORDERED in words:
            return BibOutcome.MERGED
        if title is BibOutcome.UNCHANGED and OrderOutcome.WOULD_ORDER in words:
            return BibOutcome.WOULD_MERGE
        return title

    def message(self, title: BibOutcome) -> str:
        """What is said of them beside what is said of the title."""
        said = [] if self.outcome(title) is title else [f"the title: {title.value}"]
        for end in self.ends:
            outcome = OrderOutcome(end["outcome"])
            what = (
                f"PO line {end['po_line']}" if end["po_line"] else f"order {end['reference']} {outcome.value}"
            )
            cost = f" {end['total']} {end['currency']}" if outcome.weight.loaded else ""
            said.append(f"{what}{cost}{', ' if end['message'] else ''}{end['message']}")
        return "; ".join(said)


def by_record(rows: Iterable[Row], ends: Iterable[End]) -> dict[int, Ordered]:
    """Return the ends of orders by the `line` of their record."""
    records = {row["line"]: row["record"] for row in rows}
    found: dict[int, Ordered] = {}
    for end in ends:
        found.setdefault(records[end["line"]], Ordered()).ends.append(end)
    return found
