"""The call number of a new holding, from the classification fields of its bib; and the holding's record.

Sources: MARC 21 Bibliographic 050-099 and MARC 21 Holdings leader, 008 and 852 (Library of Congress).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated

from lxml import etree
from pydantic import BeforeValidator

if TYPE_CHECKING:
    from pymarc import Field, Record

# Field of the bib -> first indicator of 852 (shelving scheme).
SCHEMES = {
    "050": "0",  # Library of Congress
    "090": "0",  # Library of Congress, assigned locally
    "060": "2",  # National Library of Medicine
    "096": "2",  # National Library of Medicine, assigned locally
    "082": "1",  # Dewey
    "092": "1",  # Dewey, assigned locally
    "086": "3",  # Superintendent of Documents
    "055": "8",  # Canada
    "070": "8",  # National Agricultural Library
    "080": "8",  # Universal Decimal
    "084": "8",  # other classifications
    "099": "8",  # free text, local
}
NO_SCHEME = " "
_DEWEY = ("082", "092")


def _tag(value: object) -> str:
    """A tag as it was meant: YAML reads an unquoted 050 as the octal number 40."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = next((tag for tag in (f"{value:03o}", f"{value:03d}") if tag in SCHEMES), str(value))
    if value not in SCHEMES:
        raise ValueError(f"{value!r} is no field with a call number; known are {', '.join(SCHEMES)}")
    return str(value)


def _tags(value: object) -> object:
    if value is None or value == "none":
        return ()
    tags = [value] if isinstance(value, str | int) else value
    return tuple(_tag(tag) for tag in tags) if isinstance(tags, list | tuple) else value


Tags = Annotated[tuple[str, ...], BeforeValidator(_tags)]
"""Fields with a call number, in the order in which a profile wants them tried; `none` and [] are no field."""


@dataclass(frozen=True)
class CallNumber:
    """A call number as 852 holds it: scheme (first indicator), class ($h), item part ($i)."""

    scheme: str
    classification: str
    item_part: str

    def __str__(self) -> str:
        return f"{self.classification} {self.item_part}".strip()


def call_number_of(record: Record, tags: Sequence[str]) -> CallNumber | None:
    """The call number in the first of these fields that has one, in the order of `tags`; None when none has.

    Dewey numbers lose the prime marks that show where they may be cut. A repeated `$a` is an alternative: the
    first counts.
    """
    for tag in tags:
        for field in record.get_fields(tag):
            found = _of_field(field)
            if found:
                return found
    return None


def _of_field(field: Field) -> CallNumber | None:
    first: dict[str, str] = {}
    for subfield in field.subfields:
        first.setdefault(subfield.code, " ".join(subfield.value.split()))
    classification, item_part = first.get("a", ""), first.get("b", "")
    if field.tag in _DEWEY:
        classification = classification.replace("/", "").replace("'", "")
    if field.tag == "099":  # its parts are repeated $a
        classification, item_part = " ".join(filter(None, map(str.strip, field.get_subfields("a")))), ""
    return CallNumber(SCHEMES[field.tag], classification, item_part) if classification else None


def holding_record(library: str, location: str, call_number: CallNumber | None, day: date) -> bytes:
    """The MARC <record> of a new holding of a single-part printed item, serialised in UTF-8.

    Leader: new, single-part item holdings, holdings level 1, no item information in the record. 008: complete,
    retention not stated, one copy. 852: library, location, and the call number where there is one; without one
    Alma may take it from the bib by its own configuration.
    """
    record = etree.Element("record")
    etree.SubElement(record, "leader").text = "     nx  a22     1n 4500"
    control = etree.SubElement(record, "controlfield", tag="008")
    control.text = f"{day:%y%m%d}2u    0   4001uu   0000000"
    scheme = call_number.scheme if call_number else NO_SCHEME
    field = etree.SubElement(record, "datafield", ind1=scheme, ind2=" ", tag="852")
    parts = [("b", library), ("c", location)]
    if call_number:
        parts += [("h", call_number.classification), ("i", call_number.item_part)]
    for code, value in parts:
        if value:
            etree.SubElement(field, "subfield", code=code).text = value
    return etree.tostring(record, encoding="utf-8")


def call_number_in(record: Record) -> str:
    """The call number of a holdings record: 852 $h and $i (and $k, $j, $l, $m, $t are not looked at)."""
    for field in record.get_fields("852"):
        first: dict[str, str] = {}
        for subfield in field.subfields:
            first.setdefault(subfield.code, subfield.value.strip())
        return " ".join(part for part in (first.get("h", ""), first.get("i", "")) if part)
    return ""


def call_number_of_holding(record: Record) -> CallNumber | None:
    """The call number of a holdings record for another holding of its title: scheme, $h and $i of its first 852 with a
    $h; None when it has none."""
    for field in record.get_fields("852"):
        classification = (field.get("h") or "").strip()
        if classification:
            return CallNumber(field.indicator1, classification, (field.get("i") or "").strip())
    return None
