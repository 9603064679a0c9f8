"""Holdings and items of imported records: which fields of a record they come from, and how they count for its end.

The items of a chunk's records are loaded as those of a table are: `RecordItems` is a view of the run in which they are
the rows, with working files of their own beside those of the records.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pymarc import Field as MarcField
from pymarc import Record

from alma_etl.bibs.rows import KEPT, BibOutcome, sender_of
from alma_etl.counted import counted
from alma_etl.identifiers import read_identifier
from alma_etl.inventory.call_numbers import NO_SCHEME
from alma_etl.inventory.item_fields import FIELDS
from alma_etl.inventory.item_loading import ItemEnds
from alma_etl.inventory.item_rows import BadRow, ItemOutcome, check_barcode, check_values
from alma_etl.inventory.item_rules import ItemRules
from alma_etl.inventory.loaded_bibs import DueItem
from alma_etl.jobs.checkpoint import Rank
from alma_etl.jobs.file_run import FilePlan, FileRun
from alma_etl.jobs.outcomes import End, Row, RowOutcome
from alma_etl.jobs.settings_files import Code, Form, unknown
from alma_etl.marc.xml import record_from_xml
from alma_etl.store.db import store_key

_CALL_NUMBER = "call_number"
_COLUMNS = ("barcode", "library", "location", _CALL_NUMBER, *FIELDS)
HAVE_ITEMS = frozenset(
    (
        BibOutcome.CREATED, BibOutcome.MERGED, BibOutcome.OVERLAID, BibOutcome.UNCHANGED, BibOutcome.WOULD_CREATE,
        BibOutcome.WOULD_MERGE, BibOutcome.WOULD_OVERLAY, *KEPT,
    )
)  # fmt: skip
"""Ends of records whose items are loaded, and whose orders are placed."""


class Receiving(BaseModel):
    """Where items are received: Alma takes any department at random where none is named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    department: Code
    library: Code


class Inventory(ItemRules):
    """The part `inventory` of a profile; the comments of the shipped file explain each setting."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    tag: Annotated[
        Code, Form(r"^(?!00)[0-9]{3}$", "a tag from 010 on, in quotes, such as '949'"), Field(alias="field")
    ]
    subfields: dict[str, Annotated[Code, Form(r"^[a-z0-9]+$", "codes of subfields, such as b or hi")]]
    of_order: bool = False
    generated_barcode: str | None = None
    receive: Receiving | None = None

    @field_validator("subfields")
    @classmethod
    def _columns(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name not in _COLUMNS:
                raise ValueError(f"{name}: {unknown(name, _COLUMNS)}")
        return value

    @field_validator("generated_barcode")
    @classmethod
    def _expression(cls, value: str | None) -> str | None:
        return None if value is None else cls._is_pattern(value)

    @model_validator(mode="after")
    def _fits_orders(self) -> Inventory:
        if not self.of_order:
            if self.receive is not None or self.generated_barcode is not None:
                raise ValueError(
                    "receive and generated_barcode are for items that were ordered: set of_order"
                )
            return self
        if "barcode" not in self.subfields:
            raise ValueError("of_order gives items that were ordered their barcodes: name its subfield")
        for name in ("po_line", "arrival_date"):
            if name in self.subfields or name in self.fields:
                raise ValueError(
                    f"with of_order an item keeps its PO line, and receive receives it: leave out {name}"
                )
        return self

    @field_validator("dry_run")
    @classmethod
    def _of_the_profile(cls, value: bool) -> bool:
        if value:
            raise ValueError("a dry run is one of the whole profile: write it beside inventory, not into it")
        return value

    def sentences(self) -> list[str]:
        codes = ", ".join(f"${code} {name.replace('_', ' ')}" for name, code in self.subfields.items())
        if not self.of_order:
            return [
                f"Each {self.tag} of a record makes an item, and its holding where there is none ({codes})."
            ]
        found = [
            f"Each {self.tag} of a record is of an item that was ordered and gets its barcode ({codes})."
        ]
        if self.receive is not None:
            found.append(f"That is received in {self.receive.department} of {self.receive.library}.")
        return found

    def defaults(self, day: date) -> dict[str, str]:
        """What the profile gives to each item; to one that was ordered no more than it states for these."""
        values = self.values(day)
        if not self.of_order:
            return values
        stated = {"library", "location", "item_policy", *self.fields}
        return {name: value for name, value in values.items() if name in stated}


def items_of(record: Record, rules: Inventory, day: date) -> list[Row]:
    """Return the items that a record asks for, without a title yet: one for each field, `refused` with the reason where
    it cannot be one. Those without a barcode are holdings that are to be there."""
    defaults = rules.defaults(day)
    return [_item(each, rules, defaults) for each in record.get_fields(rules.tag)]


def _item(marc: MarcField, rules: Inventory, defaults: Mapping[str, str]) -> Row:
    given: dict[str, str] = {}
    faults = []
    for column, codes in rules.subfields.items():
        found = [text for text in (value.strip() for value in marc.get_subfields(*codes)) if text]
        if len(found) > len(codes) and column != _CALL_NUMBER:
            faults.append(f"it has ${' $'.join(codes)} more than once, for one {column.replace('_', ' ')}")
        given[column] = " ".join(found)
    barcode = read_identifier(given.get("barcode", ""))
    values = {**defaults, **{name: value for name, value in given.items() if value}}
    row: dict[str, Any] = {
        "barcode": barcode.value,
        "library": values.get("library", ""),
        "location": values.get("location", ""),
        "values": {name: values[name] for name in FIELDS if name in values},
    }
    number = _call_number(marc, rules.subfields.get(_CALL_NUMBER, ""))
    if number:
        row[_CALL_NUMBER] = number
    try:
        if barcode.problem:
            raise BadRow(f"barcode {barcode.problem}")
        if barcode.value:
            check_barcode(barcode.value, rules.barcode_pattern)
        elif rules.of_order:
            raise BadRow("it has no barcode to give to the item that was ordered")
        check_values(row, anywhere=rules.of_order)
    except BadRow as problem:
        faults.append(str(problem))
    if faults:
        row["refused"] = f"its {rules.tag}: {'; '.join(faults)}"
    return row


def _call_number(marc: MarcField, codes: str) -> list[str] | None:
    """Scheme, class and item part, as 852 has them; the first code is the class, the others are the item part."""
    classification, rest = (
        " ".join(value.strip() for value in marc.get_subfields(*part)) if part else ""
        for part in (codes[:1], codes[1:])
    )
    if not classification:
        return None
    return [marc.indicator1 if marc.tag == "852" else NO_SCHEME, classification, rest]


class RecordEnds(ItemEnds[Inventory]):
    """How the items of records end."""

    def is_open(self, end: End | None) -> bool:
        """Whether an item is to come that ended so, or not at all."""
        return end is None or self.rank_of(end) is Rank.OPEN


ITEMS = RecordEnds()


class RecordItems(FileRun):
    """The run with the items of its records for rows. ``ends`` gives those of the records of a chunk, by `row_key`.

    `line` of an item is its ordinal among all that the records of its chunk ask for, whatever became of these.
    """

    folder: ClassVar[str] = "items"

    def __init__(
        self,
        run: FileRun,
        row_key: Callable[[Row], Hashable],
        ends: Callable[[int], Mapping[Hashable, End]],
    ) -> None:
        super().__init__(run.bucket, run.run_id, "", FilePlan[Any])
        self.prefix = run.prefix
        self._run = run
        self._row_key = row_key
        self._ends = ends
        plan = run.plan()
        rules = plan.profile.inventory.model_copy(update={"dry_run": plan.dry_run})
        self._plan = plan.model_copy(update={"profile": rules})
        self._rows: dict[int, list[Row]] = {}

    def plan(self) -> FilePlan[Any]:
        return self._plan

    def chunk_key(self, number: int, name: str) -> str:
        return super().chunk_key(number, f"{self.folder}/{name}")

    def problem(self, number: int | None = None) -> str | None:
        return self._run.problem(number)

    def rows(self, number: int) -> Iterator[Row]:
        if number not in self._rows:
            self._rows = {number: list(self._rows_of(number))}
        yield from self._rows[number]

    def _rows_of(self, number: int) -> Iterator[Row]:
        ends, line = self._ends(number), 0
        for row in self._run.rows(number):
            end = ends.get(self._row_key(row))
            for item in self._items_of(row):
                line += 1
                if end is not None and end["outcome"] in HAVE_ITEMS:
                    name = f"Record {row['line']}, {item['barcode'] or 'no barcode'}"
                    yield {
                        **item,
                        "line": line,
                        "mms_id": end["mms_id"],
                        "record": row["line"],
                        "name": name,
                    }

    def _items_of(self, row: Row) -> list[Row]:
        if "marc" not in row:  # refused by the present settings
            return []
        return items_of(record_from_xml(row["marc"].encode()), self._plan.profile, self._plan.day)


@dataclass
class Inventoried:
    """What became of the items of one record."""

    outcomes: ClassVar[type[RowOutcome]] = ItemOutcome
    written: ClassVar[Sequence[RowOutcome]] = (ItemOutcome.CREATED,)
    would_be_written: ClassVar[Sequence[RowOutcome]] = (ItemOutcome.WOULD_CREATE,)
    ends: list[End] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all of them are in Alma, or would be."""
        return all(self.outcomes(end["outcome"]).weight.loaded for end in self.ends)

    @property
    def in_part(self) -> bool:
        """Whether any of them is in Alma, or would be."""
        return any(self.outcomes(end["outcome"]).weight.loaded for end in self.ends)

    def outcome(self, title: BibOutcome) -> BibOutcome:
        """How the record ends whose title ended so."""
        words = {end["outcome"] for end in self.ends}
        for word, open_end in (
            (ItemOutcome.UNCONFIRMED, BibOutcome.UNCONFIRMED),
            (ItemOutcome.FAILED, BibOutcome.FAILED),
        ):
            if word in words:
                return open_end
        if title in KEPT:
            return title
        if not self.complete:
            return BibOutcome.NOT_APPLIED
        if title is BibOutcome.UNCHANGED and words.intersection(self.written):
            return BibOutcome.MERGED
        if title is BibOutcome.UNCHANGED and words.intersection(self.would_be_written):
            return BibOutcome.WOULD_MERGE
        return title

    def message(self, title: BibOutcome, tag: str) -> str:
        """What is said of them beside what is said of the title."""
        if not self.ends:
            return f"it has no {tag}: no holding or item was asked for"
        return "; ".join(self._said(title))

    def _said(self, title: BibOutcome) -> Iterator[str]:
        if self.outcome(title) is not title:
            yield "the title had all of it" if title is BibOutcome.UNCHANGED else f"the title: {title.value}"
        items = [end for end in self.ends if end["barcode"]]
        for outcome, words in _WORDS.items():
            count = sum(end["outcome"] == outcome for end in items)
            if count:
                yield f"{counted(count, 'item')} {words}"
        for end in self.ends:
            name = f"item {end['barcode']}" if end["barcode"] else f"{end['library']}/{end['location']}"
            if not ItemOutcome(end["outcome"]).weight.loaded:
                yield f"{name}: {end['outcome']}, {end['message']}"
            elif not end["barcode"]:
                yield f"{name}: {_HOLDING[ItemOutcome(end['outcome'])]}, and no item, since no barcode was given"
            elif end["message"]:
                yield f"{name}: {end['message']}"


_WORDS = {
    ItemOutcome.CREATED: "created",
    ItemOutcome.ALREADY_EXISTS: "there already",
    ItemOutcome.WOULD_CREATE: "would be created",
}
_HOLDING = {
    ItemOutcome.CREATED: "a holding was created",
    ItemOutcome.ALREADY_EXISTS: "the holding is there",
    ItemOutcome.WOULD_CREATE: "a holding would be created",
}


def by_record(
    rows: Iterable[Row], ends: Iterable[End], kind: type[Inventoried] = Inventoried
) -> dict[int, Inventoried]:
    """Return the ends of items by the `line` of their record."""
    records = {row["line"]: row["record"] for row in rows}
    found: dict[int, Inventoried] = {}
    for end in ends:
        found.setdefault(records[end["line"]], kind()).ends.append(end)
    return found


def due_items(run: FileRun, number: int, items: Iterable[Row]) -> dict[str, set[DueItem]]:
    """Return what titles wait for as long as these items are to come, by sender: of every record of a chunk, also of
    one that has none of them."""
    due: dict[str, set[DueItem]] = {sender_of(run.run_id, row["record"]): set() for row in run.rows(number)}
    for item in items:
        due[sender_of(run.run_id, item["record"])].add(due_item(item))
    return due


def due_item(item: Row) -> DueItem:
    """Return what the title of an item waits for."""
    name = item["barcode"] or f"{item['library']}/{item['location']}"
    return DueItem(item["mms_id"], store_key(name))
