"""Item records of Aleph (table Z30): the key, the fields, when two values are the same, and the XML of a record.

Fields are called as in the XML without `z30-`, such as `call-no-2-type`. Values are texts in Aleph's own form: codes,
dates as yyyymmdd, numbers with or without zeros in front.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

PREFIX = "z30-"
KEY = ("doc-number", "item-sequence")
MAX_BYTES = 20_000
"""What the X-Server takes of one record, declaration included. Above it, it closes the connection without a word."""

CODES = {"sub-library": 5, "material": 5, "item-status": 2, "collection": 5, "item-process-status": 2}
"""Coded fields, with the length of their codes."""
DATES = frozenset(
    {
        "open-date", "update-date", "date-last-return", "inventory-number-date", "last-shelf-report-date",
        "on-shelf-date", "issue-date", "expected-arrival-date", "arrival-date", "process-status-date",
    }
)  # fmt: skip
NUMBERS = frozenset(
    {
        *KEY, "no-loans", "on-shelf-seq", "doc-number-2", "schedule-sequence-2", "copy-sequence-2", "line-number",
        "hol-doc-number", "linking-number", "maintenance-count",
    }
)  # fmt: skip
OWN = frozenset(
    {"update-date", "cataloger", "call-no-key", "call-no-2-key", "process-status-date", "upd-time-stamp"}
)
"""Fields that Aleph writes itself whenever it saves an item: what is sent for them is not what is there after."""
_OTHERS = frozenset(
    {
        "barcode", "hour-last-return", "ip-last-return", "alpha", "call-no-type", "call-no", "call-no-2-type",
        "call-no-2", "description", "note-opac", "note-circulation", "note-internal", "order-number",
        "inventory-number", "price", "shelf-report-number", "vendor-code", "invoice-number", "pages",
        "item-statistic", "copy-id", "temp-location", "supp-index-o", "85x-type", "depository-id", "gap-indicator",
        "ip-last-return-v6",
        *(f"enumeration-{letter}" for letter in "abcdefgh"), *(f"chronological-{letter}" for letter in "ijklm"),
    }
)  # fmt: skip
FIELDS = frozenset({*CODES, *DATES, *NUMBERS, *OWN, *_OTHERS})

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
_WORD = re.compile(r"[A-Z][a-z]+")
_SLASHED = re.compile(r"\d{1,2}/\d{1,2}/\d{4}")


@dataclass(frozen=True)
class ItemKey:
    """What names an item in Aleph and cannot change: its administrative document, its sequence there (10, 20, ...).

    Numbers, with zeros in front or not: two keys that differ in these alone are equal. Raises ValueError for others."""

    doc_number: str
    item_sequence: str
    _numbers: tuple[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, text, width in (
            ("doc_number", self.doc_number, 9),
            ("item_sequence", self.item_sequence, 6),
        ):
            if not (text.isascii() and text.isdigit()) or len(text.lstrip("0")) > width or not int(text):
                raise ValueError(f"{name} {text!r} is no number of at most {width} digits")
        object.__setattr__(self, "_numbers", (int(self.doc_number), int(self.item_sequence)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ItemKey) and self._numbers == other._numbers

    def __hash__(self) -> int:
        return hash(self._numbers)

    def __str__(self) -> str:
        return "{}/{}".format(*self._numbers)

    @property
    def padded(self) -> tuple[str, str]:
        """Document number and sequence as they are sent: the first with its nine digits, which Aleph 21 needs."""
        return f"{self._numbers[0]:09d}", str(self._numbers[1])


@dataclass(frozen=True)
class AlephItem:
    """An item as Aleph shows it: every field that it sent, without `z30-`."""

    key: ItemKey
    fields: Mapping[str, str]

    @property
    def barcode(self) -> str:
        """Its barcode, "" when it has none."""
        return self.fields.get("barcode", "")

    @property
    def in_temporary_location(self) -> bool:
        """Whether its permanent place and status wait in the administrative record, for when it is restored."""
        return comparable("temp-location", self.fields.get("temp-location", "")) == "Y"


def comparable(name: str, text: str) -> str:
    """A value in the form in which two values of a field are the same: without blanks around it, numbers without
    zeros in front, no date as "", Yes and No as Y and N."""
    text = text.strip()
    if name in DATES:
        return text if text.strip("0") else ""
    if name in NUMBERS:
        return text.lstrip("0")
    if name == "temp-location":
        return "Y" if text.casefold() in ("y", "yes") else "N"
    return text


def has(item: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether an item has all of the wanted values."""
    return not differing(item, wanted)


def differing(item: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The fields in which an item has other values than those wanted."""
    return [
        name
        for name, text in wanted.items()
        if comparable(name, item.get(name, "")) != comparable(name, text)
    ]


def is_corrected(sent: str, there: str) -> bool:
    """Whether a barcode that is there is the one that was sent with another check digit, or with one more."""
    sent, there = sent.strip().casefold(), there.strip().casefold()
    return bool(sent) and there[:-1] in (sent, sent[:-1])


def translated(name: str, text: str) -> str:
    """The sentence against a value that is what Aleph shows people instead of what it keeps; "" for any other.

    Such values come out of a read without `translate=N` and must not be written.
    """
    text = text.strip()
    if name in DATES and text and not (text.isascii() and text.isdigit() and len(text) == 8):
        how = "is a translated date" if _SLASHED.fullmatch(text) else "is no date"
        return f"{name}: {text!r} {how}, write it as yyyymmdd"
    if name == "hour-last-return" and ":" in text:
        return f"{name}: {text!r} is a translated time, write it as hhmm"
    if name not in CODES:
        return ""
    longest = CODES[name]
    if len(text) > longest or any(map(str.isspace, text)) or _WORD.fullmatch(text):
        return f"{name}: {text!r} is no code but the words that stand for one (codes have at most {longest} characters)"
    return ""


def record_xml(root: str, key: ItemKey | None, values: Mapping[str, str]) -> bytes:
    """The XML of a full or partial record, without line breaks or blanks between its elements.

    Raises ValueError for a value that XML cannot hold, and for a field that Aleph does not have.
    """
    document = etree.Element(root)
    z30 = etree.SubElement(document, "z30")
    named = dict(zip(KEY, key.padded, strict=True)) if key else {}
    for name, text in {**named, **values}.items():
        if name not in FIELDS:
            raise ValueError(f"{PREFIX}{name} is no field of an item")
        etree.SubElement(z30, f"{PREFIX}{name}").text = text or None
    return _DECLARATION + etree.tostring(document, encoding="utf-8", xml_declaration=False)


def read_record(z30: etree._Element) -> AlephItem:
    """The item of a `<z30>` element. Raises ValueError when it has no key."""
    fields = {
        str(each.tag).removeprefix(PREFIX): (each.text or "").strip()
        for each in z30
        if str(each.tag).startswith(PREFIX)
    }
    return AlephItem(ItemKey(*(fields.get(name, "") for name in KEY)), fields)
