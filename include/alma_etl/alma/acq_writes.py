"""Ordering and receiving, so that nothing is bought twice.

| write | looked for after a lost answer | does Alma refuse a second one? |
|---|---|---|
| a PO line | among the lines of its title, by vendor and both references, for a minute; not found proves nothing | no |
| an item received | its arrival date | yes (401877) |

No call finds a PO line by its references, and a line is listed late: so one is sent once, and what cannot be seen
afterwards is UNCONFIRMED, for a person to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from alma_etl.alma import shapes
from alma_etl.alma.bib_writes import once
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.alma.po_lines import PoLine, mms_id_of, po_line
from alma_etl.alma.shapes import Json
from alma_etl.alma.writes import covers
from alma_etl.identifiers import comparable
from alma_etl.remote.answers import Absent, Answer, Found, ListAnswer, PartlyFound, Unknown, rows_of
from alma_etl.remote.errors import RemoteError, RemoteRefused
from alma_etl.remote.safe_write import WriteOutcome, Written, write

T = TypeVar("T")

NUMBER_USED = frozenset({"401870"})
NOT_RECEIVED = frozenset({"401877"})  # also of an item that was received already

REFUSALS: Mapping[str, str] = {
    "401664": "Alma needs a field that the order does not have",
    "401870": "another PO line has the number that was sent",
    "401871": "there is no such PO line",
    "401872": "Alma does not know a code of the order, or does not take one of its values",
    "401875": "the item belongs to another PO line",
    "401877": "the item cannot be received: its PO line waits in review, or has ended",
    "401878": "the item could not be added to the PO line",
    "402203": "the title is not in Alma (any more)",
    "40166411": "Alma does not take a value of the call, such as the department or its library",
    "60320": "a PO line of this type and acquisition method cannot be free of charge",
}
"""What Alma's refusals of orders and receipts mean, by its code; its own words name the field or the value."""

_COMPARED = ("vendor", "vendor_account", "price", "fund_distribution", "acquisition_method")
_REFERENCES = ("vendor_reference_number", "additional_order_reference")


def in_words(error: RemoteError) -> str:
    """A refusal of an order or a receipt: what it means, and Alma's own words."""
    meaning = REFUSALS.get(error.code)
    return f"{meaning} ({error.code}: {error.message})" if meaning else str(error)


@dataclass(frozen=True)
class OrderKey:
    """By what an order is known: its title, vendor, and references in their normal form, of which it has at least
    one."""

    mms_id: str
    vendor: str
    vendor_reference: str
    additional_reference: str

    def __post_init__(self) -> None:
        for name in ("vendor_reference", "additional_reference"):
            object.__setattr__(self, name, normal_reference(getattr(self, name)))

    @classmethod
    def of(cls, line: PoLine) -> OrderKey:
        """The key of a line that is there."""
        return cls(line.mms_id, line.vendor, line.vendor_reference, line.additional_reference)


def normal_reference(reference: str) -> str:
    """The one form in which references of orders are compared: case, invisible characters, blanks around one and
    several for one do not count, which Alma may keep or not, nor forms of one character."""
    return comparable(reference).casefold()


def order_key(body: Json) -> OrderKey:
    """The key of a line that is to be created. ValueError when it has no MMS id or no reference, since it could not be
    found again."""
    key = OrderKey.of(po_line({**body, "number": "new"}))
    if not key.mms_id or not (key.vendor_reference or key.additional_reference):
        raise ValueError("a PO line needs an MMS id and a reference, by which it can be found again")
    return key


def lines_of_title(client: AlmaClient, mms_id: str) -> ListAnswer[PoLine]:
    """The PO lines of a title, of every status, each with its references: a row that shows none is read."""
    listed = client.po_lines.of_title(mms_id)
    lines: list[PoLine] = []
    for row in rows_of(listed):
        answer = Found(row) if row.is_whole else client.po_lines.read(row.number)
        if isinstance(answer, Unknown):
            return PartlyFound(answer.error, lines, len(rows_of(listed)))
        if isinstance(answer, Found) and answer.value.mms_id == mms_id:
            lines.append(answer.value)
    if isinstance(listed, PartlyFound):
        return PartlyFound(listed.error, lines, listed.counted)
    return Found(lines) if isinstance(listed, Found) else listed


def lines_of_vendor(client: AlmaClient, code: str) -> tuple[ListAnswer[PoLine], int]:
    """The PO lines of a vendor, each with its references: a row that shows none is read. And how many were."""
    listed = client.po_lines.of_vendor(code)
    lines = [row for row in rows_of(listed) if row.shows_references]
    single = [row.number for row in rows_of(listed) if not row.shows_references]
    for _, answer in client.in_parallel(client.po_lines.read, single):
        if isinstance(answer, Unknown):
            return PartlyFound(answer.error, lines, len(rows_of(listed))), len(single)
        if isinstance(answer, Found):
            lines.append(answer.value)
    if isinstance(listed, PartlyFound):
        return PartlyFound(listed.error, lines, listed.counted), len(single)
    return (Found(lines) if isinstance(listed, Found) else listed), len(single)


def find_order(client: AlmaClient, key: OrderKey, *, known: Collection[str] = ()) -> Answer[PoLine]:
    """A PO line with the vendor and both references of an order, among those of its title. `known`: numbers of lines
    that are another order's, for example of a cancelled one that is ordered again. Absent only when the list of the
    title's lines is whole, which a line made a moment ago may still be missing from."""
    answer = lines_of_title(client, key.mms_id)
    for line in rows_of(answer):
        if line.number not in known and OrderKey.of(line) == key:
            return Found(line)
    return Absent() if isinstance(answer, Found) else answer


def create_po_line(
    client: AlmaClient,
    body: Json,
    *,
    known: Collection[str] = (),
    manual_review: bool = False,
    profile_code: str | None = None,
    before: Callable[[], None] = lambda: None,
) -> Written[PoLine]:
    """POST a PO line, once. `body` has an MMS id and at least one reference (ValueError). After a lost answer it is
    looked for by `find_order`; not seen within a minute it is UNCONFIRMED. `known`: the numbers of the title's lines
    before, which are not taken for this one. A refused `number` of the body (401870) is ADOPTED where the line that has
    it is this order. ``before`` is called right before the POST; what it raises ends this and is passed on.

    Alma takes a line with an unknown fund without a refusal: see `not_taken`."""
    key = order_key(body)

    number = shapes.text(body.get("number"))

    def find() -> Answer[PoLine]:
        answer = Absent() if number in known else _with_number(client, number)
        if isinstance(answer, Found) and OrderKey.of(answer.value) == key:
            return answer
        return find_order(client, key, known=known)

    def attempt() -> PoLine:
        before()
        return client.po_lines.create(body, manual_review=manual_review, profile_code=profile_code)

    written = once(client, attempt, find)
    return _adopted(written, find) if _refused(written, NUMBER_USED) else written


def _with_number(client: AlmaClient, number: str) -> Answer[PoLine]:
    """The line that has a number of our own: one that is not listed yet can be read by it."""
    try:
        return client.po_lines.read(number) if number else Absent()
    except RemoteRefused as error:  # it cannot stand in a path
        return Absent(error)


def _refused(written: Written[T], codes: frozenset[str]) -> bool:
    return (
        written.outcome is WriteOutcome.REFUSED and written.error is not None and written.error.code in codes
    )


def _adopted(refused: Written[T], look: Callable[[], Answer[T]]) -> Written[T]:
    """A refusal since it was done already, where a look shows that it was."""
    answer = look()
    if isinstance(answer, Found):
        return Written(WriteOutcome.ADOPTED, answer.value, refused.error)
    return refused


def not_taken(line: PoLine, body: Json) -> list[str]:
    """The fields of an order that the line does not have as they were sent: Alma leaves out a fund whose code is
    written in other capitals, and a line without one waits in review."""
    missing = [] if line.mms_id == mms_id_of(body) else ["mms_id"]
    missing += [name for name in _COMPARED if not covers(line.raw.get(name), body.get(name))]
    return missing + [name for name in _REFERENCES if _reference(line.raw, name) != _reference(body, name)]


def _reference(row: Json, name: str) -> str:
    return normal_reference(shapes.text(row.get(name)))


def receive_item(
    client: AlmaClient, number: str, before: Item, *, department: str, department_library: str, received: date
) -> Written[Item]:
    """Receive an item of a PO line, in a department that is named. UNCHANGED where `before`, which was read a moment
    ago, has an arrival date; ADOPTED where Alma refuses it as received already and it has one."""
    if arrival_date(before):
        return Written(WriteOutcome.UNCHANGED, before)

    def look() -> Answer[Item]:
        answer = client.items.read(before.mms_id, before.holding_id, before.pid)
        return Absent() if isinstance(answer, Found) and not arrival_date(answer.value) else answer

    def attempt() -> Item:
        return client.po_lines.receive(
            number,
            before.pid,
            department=department,
            department_library=department_library,
            received=received,
        )

    written = write(attempt, look, pause=client.pause, guarded=True)
    return _adopted(written, look) if _refused(written, NOT_RECEIVED) else written


def arrival_date(item: Item) -> str:
    """When an item was received, "" when it was not."""
    return shapes.text(item.raw["item_data"].get("arrival_date"))
