"""Where a record holds which part of its order: layouts as data, those that ship and those of a profile."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from pymarc import Field

from alma_etl.bibs.field_patterns import LEADER, FieldPattern
from alma_etl.counted import counted

OrderPart = Literal[
    "reference", "additional_reference", "po_line_type", "acquisition_method", "owner", "vendor", "vendor_account",
    "price", "net_price", "discount", "currency", "fund", "fund_percent", "fund_amount", "quantity",
    "library", "location", "item_policy", "barcode", "description", "material_type", "rush",
    "note", "vendor_note", "receiving_note", "reporting_code", "order_date", "expected_receipt_date",
    "interested_user",
]  # fmt: skip
"""What a layout can name a subfield for."""
PARTS: tuple[OrderPart, ...] = get_args(OrderPart)
QuantityFrom = Literal["subfield", "repeated"]
LayoutName = Literal["980_981", "949_980", "960_961", "fields"]
_OF_A_COPY: tuple[OrderPart, ...] = ("barcode", "item_policy", "location", "library", "description")
_FILLER = re.compile(r"[-\s]*")
_TAG = re.compile(r"\d{3}", re.ASCII)

Slice = Mapping[str, Sequence[Field]]
"""The fields of one order, by their tag and indicators as the layout writes them."""


class UnclearFields(ValueError):
    """Fields of several orders of which nobody can say which belong together; the message says what to do."""


@dataclass(frozen=True)
class FieldSource:
    """The subfield that one part of an order stands in: `980$b`, `035 _9$a`; a field of text without subfields
    (`001`); without a subfield all of the field (`961`)."""

    pattern: FieldPattern

    @classmethod
    def parse(cls, text: str) -> "FieldSource":
        """Read a source. Raises ValueError, a sentence that says how one is written."""
        pattern = FieldPattern.parse(text.strip().replace(" $", "$"))
        if pattern.tag == LEADER or not _TAG.fullmatch(pattern.tag) or pattern.value:
            raise ValueError(
                f"{text!r} is no subfield: write tag and subfield, as in 980$b, with indicators after a blank "
                "(035 _9$a)"
            )
        return cls(pattern)

    @cached_property
    def group(self) -> str:
        """Tag and indicators, without the subfield: fields that are of one kind."""
        return str(self._bare)

    @cached_property
    def _bare(self) -> FieldPattern:
        return FieldPattern(self.pattern.tag, self.pattern.indicators)

    def values(self, fields: Iterable[Field]) -> list[str]:
        """What stands there, without blanks around it; fillers and empty subfields are nothing."""
        meant = (field for field in fields if field.tag == self.pattern.tag and self._bare.fits(field))
        return [found for field in meant for value in self._of(field) if (found := cleaned(value))]

    def _of(self, field: Field) -> list[str]:
        if field.is_control_field():
            return [field.data or ""]
        return (
            field.get_subfields(self.pattern.code)
            if self.pattern.code
            else [each[1] for each in field.subfields]
        )

    def __str__(self) -> str:
        return str(self.pattern)


def cleaned(value: str) -> str:
    """A value with single blanks and none around it; "" for a filler of hyphens."""
    return "" if _FILLER.fullmatch(value) else " ".join(value.split())


@dataclass(frozen=True)
class OrderLayout:
    """A layout: the sources of each part, the first that holds anything counts (of funds: all of them)."""

    parts: Mapping[OrderPart, tuple[FieldSource, ...]]
    quantity_from: QuantityFrom

    @classmethod
    def of(
        cls, parts: Mapping[OrderPart, Sequence[str]], quantity_from: QuantityFrom | None = None
    ) -> "OrderLayout":
        """A layout of sources as they are written. The quantity is by default that of its subfield, where there is
        one."""
        sources = {part: tuple(map(FieldSource.parse, texts)) for part, texts in parts.items()}
        return cls(sources, quantity_from or ("subfield" if "quantity" in parts else "repeated"))

    def sources(self, part: OrderPart) -> tuple[FieldSource, ...]:
        """Where a part stands."""
        return self.parts.get(part, ())

    @property
    def item_group(self) -> str:
        """The fields of which one stands for each place or copy; "" where the layout names no places."""
        return next((self.sources(part)[0].group for part in _OF_A_COPY if self.sources(part)), "")

    @property
    def order_group(self) -> str:
        """The field of the price: where it is repeated, a profile says whether these are orders."""
        return next((source.group for source in self.sources("price")), "")

    def fields_of(self, fields: Sequence[Field]) -> Slice:
        """The fields of a record in which anything of an order stands."""
        by_group: dict[str, list[FieldSource]] = {}
        for source in (each for sources in self.parts.values() for each in sources):
            by_group.setdefault(source.group, []).append(source)
        return {
            group: [field for field in fields if any(source.values([field]) for source in sources)]
            for group, sources in by_group.items()
        }

    def orders(self, fields: Slice) -> list[Slice]:
        """The fields of each order, where each field of the price is an order of its own: of fields that are there as
        often the one at the same place, of fields that are there once that one. Raises UnclearFields."""
        number = len(fields.get(self.order_group, ()))
        unclear = [group for group, found in fields.items() if len(found) not in (0, 1, number)]
        if number > 1 and unclear:
            raise UnclearFields(
                f"each of {counted(number, 'field')} {self.order_group} is an order, and beside them stand "
                f"{counted(len(fields[unclear[0]]), 'field')} {unclear[0]}: give one for all, or one for each"
            )
        return [
            {group: found[at : at + 1] if len(found) == number else found for group, found in fields.items()}
            for at in range(number)
        ] or [fields]


SHIPPED: Mapping[LayoutName, OrderLayout] = {
    # GOBI (YBP): FOLIO's default mapping and its samples, Duke's MARC invoices.
    "980_981": OrderLayout.of({
        "reference": ("980$f", "035 _9$a"),
        "additional_reference": ("035 _9$a", "980$f"),
        "price": ("980$b",), "net_price": ("980$e",), "quantity": ("980$g",), "order_date": ("980$a",),
        "fund": ("981$b", "982$b"), "vendor_account": ("981$g",), "rush": ("981$h",),
        "reporting_code": ("981$c",), "note": ("981$d", "981$e"), "receiving_note": ("981$f",),
        "location": ("049$a",), "description": ("993$a",),
    }),
    # PALS, "MARC BIB 9XX"; the 980 as GOBI's.
    "949_980": OrderLayout.of({
        "reference": ("980$f", "035$b"), "additional_reference": ("982$a",),
        "price": ("980$b",), "net_price": ("980$e",), "quantity": ("980$g",), "order_date": ("980$a",),
        "fund": ("981$a",), "rush": ("981$h",),
        "barcode": ("949$b",), "item_policy": ("949$c",), "library": ("949$d",), "location": ("949$e",),
    }, "repeated"),
    # Innovative: Sierra's "Importing Order Data", the table of Kent State and YBP, OLIB. Its types, forms and statuses
    # are codes of Sierra's, which Alma does not know: a profile names its own type.
    "960_961": OrderLayout.of({
        "reference": ("935$a",), "price": ("960$s",), "currency": ("960$z",), "quantity": ("960$o",),
        "location": ("960$t",), "fund": ("960$u",), "order_date": ("960$q",),
        "vendor_note": ("960$h",), "note": ("961",),
    }),
}  # fmt: skip
"""The layouts that ship, by the fields they are known by."""
