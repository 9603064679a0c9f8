"""The settings `orders` of a bib profile: where the order stands in a record, and what holds where it says nothing."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from alma_etl.bibs.orders.layouts import (
    SHIPPED,
    FieldSource,
    LayoutName,
    OrderLayout,
    OrderPart,
    QuantityFrom,
)
from alma_etl.bibs.orders.prices import PriceProblem, is_locale, read_currency
from alma_etl.jobs.settings_files import Code

_GIVEN: tuple[OrderPart, ...] = ("po_line_type", "owner", "vendor")
_READ: tuple[OrderPart, ...] = ("price", "fund", "location")
_DATES: tuple[OrderPart, ...] = ("order_date", "expected_receipt_date")
_IDENTIFIERS: tuple[OrderPart, ...] = ("reference", "additional_reference", "barcode")


def _is_source(text: str) -> str:
    FieldSource.parse(text)
    return text


def _is_currency(text: str) -> str:
    try:
        return read_currency(text)
    except PriceProblem as error:
        raise ValueError(str(error)) from error


def _known_locale(text: str) -> str:
    if not is_locale(text):
        raise ValueError(f"there is no locale {text!r}; write language and country, such as en_US or de_DE")
    return text


def _layout_name(value: Any) -> Any:
    # YAML takes 980_981 for the number 980981.
    return next((name for name in SHIPPED if str(value) == name.replace("_", "")), value)


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Sources = Annotated[
    tuple[Annotated[Code, AfterValidator(_is_source)], ...], BeforeValidator(_as_list), Field(min_length=1)
]


class OrderProfile(BaseModel):
    """`orders` of a profile (docs/order-data.md explains each). What a record names wins over what stands here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Annotated[LayoutName, BeforeValidator(_layout_name)] = "fields"
    fields: Mapping[OrderPart, Sources] = {}
    codes: Mapping[OrderPart, Mapping[Code, Code]] = {}
    repeated: Literal["copies", "orders"] = "copies"
    quantity_from: QuantityFrom | None = None
    po_line_type: Code | None = None
    acquisition_method: Code = "VENDOR_SYSTEM"
    owner: Code | None = None
    vendor: Code | None = None
    vendor_account: Code | None = None
    reference_type: Code | None = None
    material_type: Code | None = None
    currency: Annotated[Code, AfterValidator(_is_currency)] | None = None
    locale: Annotated[Code, AfterValidator(_known_locale)] = "en_US"
    fund_case: Literal["exact", "correct"] = "exact"
    manual_review: bool = False
    search_vendor_lines: bool = False

    @model_validator(mode="after")
    def _is_whole(self) -> "OrderProfile":
        if self.layout == "fields" and not self.fields:
            raise ValueError(
                f"say where the order stands: `layout` ({', '.join(SHIPPED)}), or `fields` of your own"
            )
        unread = [part for part in _READ if not self.reading.sources(part)]
        if unread:
            raise ValueError(f"`fields` names no subfield for {' and '.join(unread)}: each order has one")
        missing = [part for part in _GIVEN if not getattr(self, part) and not self.reading.sources(part)]
        if missing:
            raise ValueError(f"give {' and '.join(missing)}: the records name none by these fields")
        return self

    @cached_property
    def reading(self) -> OrderLayout:
        """The layout that holds: the shipped one, its parts replaced by those of `fields`."""
        base = SHIPPED.get(self.layout)
        shipped = {part: tuple(map(str, sources)) for part, sources in base.parts.items()} if base else {}
        kept = self.quantity_from or (base.quantity_from if base else None)
        return OrderLayout.of({**shipped, **self.fields}, kept)

    @property
    def dates(self) -> frozenset[tuple[str, str]]:
        """Tag and code of the subfields that hold dates."""
        return self._subfields(_DATES)

    @property
    def identifiers(self) -> frozenset[tuple[str, str]]:
        """Tag and code of the subfields that hold references and barcodes."""
        return self._subfields(_IDENTIFIERS)

    def _subfields(self, parts: Iterable[OrderPart]) -> frozenset[tuple[str, str]]:
        sources = (source for part in parts for source in self.reading.sources(part))
        return frozenset((source.pattern.tag, source.pattern.code) for source in sources)

    def sentences(self) -> list[str]:
        """What becomes of the order data, for people who choose a profile."""
        where = f"layout {self.layout.replace('_', '/')}" if self.layout != "fields" else "fields of its own"
        given = {
            "type": self.po_line_type, "owner": self.owner, "vendor": self.vendor, "account": self.vendor_account,
            "acquisition method": self.acquisition_method,
        }  # fmt: skip
        named = ", ".join(f"{name} {code}" for name, code in given.items() if code)
        usual = self.currency or "the currency of the vendor"
        found = [
            f"A record has an order with it ({where}), which becomes a PO line. Where the record names no other: "
            f"{named}, {usual}.",
            f"Prices are read as {self.locale} writes them.",
            f"Each of several fields {self.reading.order_group} is "
            f"{'an order of its own' if self.repeated == 'orders' else 'copies of one order'}.",
        ]
        if self.fund_case == "correct":
            found.append("A fund code in other case is written as Alma has it.")
        if self.manual_review:
            found.append("The PO lines wait in Alma for a review.")
        return found
