"""From a record to its orders: every check that needs no Alma. A fault is a sentence of the order, never an error."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import TypeVar

from pymarc import Field, Record

from alma_etl.bibs.keys import keys_of
from alma_etl.bibs.orders.funds import FundProblem, FundShare
from alma_etl.bibs.orders.layouts import FieldSource, OrderPart, Slice, UnclearFields, cleaned
from alma_etl.bibs.orders.order import Order, OrderedCopy
from alma_etl.bibs.orders.prices import (
    CurrencyHint,
    Price,
    PriceProblem,
    read_currency,
    read_percent,
    read_price,
)
from alma_etl.bibs.orders.profile import OrderProfile
from alma_etl.counted import counted, verb
from alma_etl.identifiers import read_identifier, visible
from alma_etl.inventory.item_rows import BadRow, check_barcode
from alma_etl.marc.source_record import Remark, title_of

# Codes of remarks.
NO_REFERENCE, ZERO_PRICE, ORDER_DATE, NET_ROUNDED = "NO_REFERENCE", "ZERO_PRICE", "ORDER_DATE", "NET_ROUNDED"
MADE = "MADE-"  # begins a reference that no vendor gave
FREE = frozenset(("GIFT", "DEPOSITORY", "LEGAL_DEPOSIT"))  # acquisition methods by which nothing is paid
MOST_COPIES = 999
_LONGEST_CODE, _LONGEST_TEXT = 100, 2_000
_TEXTS: frozenset[OrderPart] = frozenset(("note", "vendor_note", "receiving_note", "description"))
_DISTINCTIVE: tuple[OrderPart, ...] = (
    "po_line_type", "fund", "fund_percent", "fund_amount", "quantity", "library", "location", "barcode",
)  # fmt: skip
_RUSH = {
    **dict.fromkeys(("true", "y", "yes", "1", "rush"), True),
    **dict.fromkeys(("false", "n", "no", "0"), False),
}
_DATE = re.compile(r"(\d{4}|\d{2})-?(\d{2})-?(\d{2})Z?", re.ASCII)
_DAY_FIRST = re.compile(r"(\d{2})-(\d{2})-(\d{2}|\d{4})", re.ASCII)

Value = TypeVar("Value")


def orders_of(record: Record, profile: OrderProfile) -> tuple[Order, ...]:
    """Return the orders of a record, at least one: without order data one that says so."""
    found = _orders(record, profile)
    if len(profile.reading.fields_of(record.fields).get(profile.reading.order_group, ())) < 2:
        return found
    otherwise = profile.model_copy(
        update={"repeated": "copies" if profile.repeated == "orders" else "orders"}
    )
    own = {order.key for order in found}
    others = [each for each in _orders(record, otherwise) if each.additional_reference]
    also = tuple(dict.fromkeys(each.additional_reference for each in others if each.key not in own))
    return tuple(replace(order, also=also) for order in found)


def _orders(record: Record, profile: OrderProfile) -> tuple[Order, ...]:
    layout = profile.reading
    fields = layout.fields_of(record.fields)
    if not any(fields.get(group) for group in (layout.order_group, layout.item_group)):
        where = ", ".join(dict.fromkeys((layout.order_group, layout.item_group)))
        problem = (
            f"it has no order data in {where}: add it, or use a profile without `orders` for such records"
        )
        return (Order(problems=(problem,)),)
    try:
        slices = layout.orders(fields) if profile.repeated == "orders" else [fields]
    except UnclearFields as error:
        return (Order(problems=(str(error),)),)
    readers = [_OrderReader(each, profile) for each in slices]
    return _distinct(_referenced(record, [(reader.order(), reader.stated()) for reader in readers]))


class _Wrong(ValueError):
    """A value that cannot be used: what is wrong with it, and what to do."""


class _OrderReader:
    """Reads one order out of its fields, and collects what is wrong with them."""

    def __init__(self, fields: Slice, profile: OrderProfile) -> None:
        self._fields = fields
        self._profile = profile
        self._layout = profile.reading
        self._problems: list[str] = []
        self._remarks: list[Remark] = []

    def order(self) -> Order:
        profile = self._profile
        copies, per_field = self._copies()
        order = Order(
            reference=self._one("reference") or "",
            additional_reference=self._one("additional_reference") or self._one("reference") or "",
            po_line_type=self._given("po_line_type", profile.po_line_type),
            acquisition_method=self._given("acquisition_method", profile.acquisition_method),
            owner=self._owner(),
            vendor=self._given("vendor", profile.vendor),
            vendor_account=self._one("vendor_account") or profile.vendor_account or "",
            reference_type=profile.reference_type or "",
            copies=copies,
            rush=bool(self._one("rush", _rush)),
            notes=tuple(dict.fromkeys(self._every("note"))),
            vendor_note="; ".join(dict.fromkeys(self._every("vendor_note"))),
            receiving_note="; ".join(dict.fromkeys(self._every("receiving_note"))),
            reporting_code=self._one("reporting_code") or "",
            material_type=self._one("material_type") or profile.material_type or "",
            interested_user=self._one("interested_user") or "",
            order_date=self._order_date(),
            expected_receipt_date=self._one("expected_receipt_date", _date),
        )
        order = self._priced(order)
        order = self._charged(order, per_field)
        return replace(
            order, problems=tuple(dict.fromkeys(self._problems)), remarks=(*order.remarks, *self._remarks)
        )

    def stated(self) -> list[tuple[str, list[str]]]:
        """What the record says of the order and not of others, in its own codes: no setting but the fields
        that are read has a part in it."""
        return [
            (
                part,
                sorted(
                    value
                    for source in self._layout.sources(part)
                    for value in source.values(self._at(source))
                ),
            )
            for part in _DISTINCTIVE
        ]

    # --- values

    def _values(
        self, part: OrderPart, fields: Iterable[Field], sources: Sequence[FieldSource] | None = None
    ) -> list[str]:
        """What the first source that holds anything has, in codes of Alma's."""
        for source in self._layout.sources(part) if sources is None else sources:
            found = source.values(fields)
            if part not in _TEXTS:  # in these some characters that cannot be seen are of the spelling
                found = list(filter(None, map(visible, found)))
            if found:
                codes = self._profile.codes.get(part, {})
                return [self._bounded(part, source, codes.get(value, value)) for value in found]
        return []

    def _bounded(self, part: OrderPart, source: FieldSource, value: str) -> str:
        longest = _LONGEST_TEXT if part in _TEXTS else _LONGEST_CODE
        if len(value) > longest:
            self._problems.append(
                f"{source} ({_words(part)}) is {counted(len(value), 'character')} long, {longest} are the most: "
                "correct it"
            )
            return value[:longest]
        return value

    def _every(self, part: OrderPart) -> list[str]:
        """What all sources of a part hold."""
        sources = self._layout.sources(part)
        return [
            value for source in sources for value in self._values(part, self._at(source), [source]) if value
        ]

    def _one(self, part: OrderPart, read: Callable[[str], Value] = str) -> Value | None:  # type: ignore[assignment]
        """The one value of a part; None where there is none, or where it is a problem."""
        for source in self._layout.sources(part):
            texts = self._values(part, self._at(source), [source])
            if not texts:
                continue
            try:
                found = list(dict.fromkeys(map(read, texts)))
            except (PriceProblem, _Wrong) as error:
                self._problems.append(f"{source}: {error}")
                return None
            if len(found) > 1:
                named = ", ".join(map(str, found[:4]))
                self._problems.append(
                    f"{source} names {counted(len(found), 'value')} for {_words(part)} ({named}): leave one, or set "
                    "`repeated: orders` where each is an order of its own"
                )
                return None
            return found[0]
        return None

    def _given(self, part: OrderPart, usual: str | None) -> str:
        found = self._one(part) or usual or ""
        if not found:
            self._problems.append(f"it names no {_words(part)}: add it, or set `{part}` of `orders`")
        return found

    def _at(self, source: FieldSource) -> Sequence[Field]:
        return self._fields.get(source.group, ())

    def _where(self, part: OrderPart) -> str:
        return " or ".join(map(str, self._layout.sources(part)))

    # --- copies

    def _owner(self) -> str:
        return self._given("owner", self._profile.owner)

    def _copies(self) -> tuple[tuple[OrderedCopy, ...], list[int]]:
        """The copies, and how many of them each item field stands for."""
        items: Sequence[Field | None] = [*self._fields.get(self._layout.item_group, ())] or [None]
        try:
            numbers = self._numbers(items)
        except _Wrong as error:
            self._problems.append(str(error))
            numbers = [1] * len(items)
        copies = [
            copy for item, number in zip(items, numbers, strict=True) for copy in self._of(item, number)
        ]
        barcodes = Counter(copy.barcode for copy in copies if copy.barcode)
        for barcode in (each for each, count in barcodes.items() if count > 1):
            self._problems.append(f"the barcode {barcode} stands twice in it: give each copy its own")
        return tuple(copies), numbers

    def _numbers(self, items: Sequence[Field | None]) -> list[int]:
        """How many copies each item field stands for."""
        source = next(iter(self._layout.sources("quantity")), None)
        named = len([item for item in items if item is not None])
        if source is None:
            return [1] * len(items)
        per_item = source.group == self._layout.item_group
        stated = [_quantity(value) for value in self._values("quantity", self._at(source))]
        total = sum(stated)
        if total > MOST_COPIES:
            raise _Wrong(f"{self._where('quantity')} orders {_copies(total)}, {MOST_COPIES} are the most")
        if self._layout.quantity_from == "subfield" and per_item:
            return [self._quantity_of(item) for item in items]
        if self._layout.quantity_from == "subfield" and named <= 1:
            return [total or 1]
        if stated and total != named:
            raise _Wrong(
                f"{self._where('quantity')} orders {_copies(total)}, and "
                f"{counted(named, 'field')} {self._layout.item_group} {verb(named, 'names', 'name')} one: "
                "make them agree"
            )
        return [1] * len(items)

    def _quantity_of(self, item: Field | None) -> int:
        found = [_quantity(value) for value in self._values("quantity", [item] if item else [])]
        return sum(found) or 1

    def _of(self, item: Field | None, number: int) -> list[OrderedCopy]:
        """The copies that an item field stands for."""
        location = self._of_item("location", item)
        library = self._of_item("library", item)
        if "/" in location and not library:
            library, _, location = map(str.strip, location.partition("/"))
        library = library or self._one("owner") or self._profile.owner or ""
        if not location:
            self._problems.append(f"it names no location: add it in {self._where('location')}")
        first = OrderedCopy(
            library, location, self._of_item("item_policy", item), "", self._of_item("description", item)
        )
        barcodes = [*map(self._barcode, self._values("barcode", self._fields_for("barcode", item)))]
        if len(barcodes) > number:
            self._problems.append(
                f"{self._where('barcode')} names {counted(len(barcodes), 'barcode')} for {_copies(number)}: "
                "make them agree"
            )
        given = [*barcodes[:number], *[""] * (number - len(barcodes))]
        return [replace(first, barcode=barcode) for barcode in given]

    def _barcode(self, text: str) -> str:
        barcode = read_identifier(text)
        try:
            if barcode.problem:
                raise BadRow(f"barcode {barcode.problem}")
            check_barcode(barcode.value)
        except BadRow as fault:
            self._problems.append(f"{self._where('barcode')}: {fault}")
        return barcode.value

    def _of_item(self, part: OrderPart, item: Field | None) -> str:
        """What an item field says of its copies, or what another field says of all of them."""
        source = next(iter(self._layout.sources(part)), None)
        if source is None or source.group != self._layout.item_group:
            return self._one(part) or ""
        found = list(dict.fromkeys(self._values(part, self._fields_for(part, item))))
        if len(found) > 1:
            self._problems.append(f"{source} names {', '.join(found[:4])} in one field: leave one")
        return found[0] if found else ""

    def _fields_for(self, part: OrderPart, item: Field | None) -> Sequence[Field]:
        source = next(iter(self._layout.sources(part)), None)
        if source is None or source.group == self._layout.item_group:
            return [item] if item is not None else []
        return self._at(source)

    # --- money

    def _priced(self, order: Order) -> Order:
        currency = self._one("currency", read_currency) or ""
        hint = CurrencyHint(currency, self._profile.currency or "")
        before = len(self._problems)
        price = self._one("price", lambda text: read_price(text, self._profile.locale, hint))
        if price is None:
            if len(self._problems) == before:
                self._problems.append(f"it has no price: add it in {self._where('price')}, 0.00 for a gift")
            return order
        net = self._one("net_price", lambda text: self._beside_price("net_price", text, price))
        discount = _rounded(
            self._one("discount", lambda text: read_percent(text, self._profile.locale, zero=True))
            or Decimal(0)
        )
        if net is not None and net.amount > price.amount:
            self._problems.append(
                f"its net price {net} is above its list price {price}: correct {self._where('net_price')}"
            )
        elif net is not None and price.amount:
            discount = _rounded((1 - net.amount / price.amount) * 100)
        order = replace(order, price=price, net_price=net, discount=discount)
        if order.acquisition_method not in FREE and not order.total:
            which = "net price" if price.amount else "price"
            self._remarks.append(
                Remark(f"its {which} is 0, and {order.acquisition_method} is no gift", ZERO_PRICE)
            )
        if order.total != order.stated_total:
            self._remarks.append(
                Remark(
                    f"it costs {order.total}, and {order.stated_total} by its net price: Alma keeps a discount to "
                    "0.01 percent",
                    NET_ROUNDED,
                )
            )
        return order

    def _charged(self, order: Order, per_field: Sequence[int]) -> Order:
        try:
            shares = self._shares(per_field, order.price)
            order = replace(order, shares=tuple(shares))
            if order.price is None:
                return order
            if not shares and order.total:
                self._problems.append(f"it names no fund: add it in {self._where('fund')}")
            _ = order.funds
        except (FundProblem, _Wrong, PriceProblem) as error:
            self._problems.append(str(error))
        return order

    def _beside_price(self, part: OrderPart, text: str, price: Price | None) -> Price:
        """An amount in the currency of the price."""
        found = read_price(text, self._profile.locale, CurrencyHint(price.currency if price else "", ""))
        if price is not None and found.currency != price.currency:
            raise _Wrong(
                f"its {_words(part)} {found} names a currency, and its price {price} none: name it beside both, or "
                "beside the price alone"
            )
        return found

    def _shares(self, per_field: Sequence[int], price: Price | None) -> list[FundShare]:
        shares: list[FundShare] = []
        for source in self._layout.sources("fund"):
            fields = self._at(source)
            found = [self._shares_in(source, field, price) for field in fields]
            of_copies = source.group == self._layout.item_group and len(fields) == len(per_field)
            if of_copies and all(len(each) == 1 for each in found):
                found = [
                    [replace(each[0], copies=copies)] for each, copies in zip(found, per_field, strict=True)
                ]
            shares += chain.from_iterable(found)
        return shares

    def _shares_in(self, source: FieldSource, field: Field, price: Price | None) -> list[FundShare]:
        """The funds of one field, with the shares that stand beside them."""
        codes = self._values("fund", [field], [source])
        percents = [
            read_percent(each, self._profile.locale) for each in self._beside("fund_percent", source, field)
        ]
        amounts = [
            self._beside_price("fund_amount", each, price).amount
            for each in self._beside("fund_amount", source, field)
        ]
        for stated in (percents, amounts):
            if stated and len(stated) != len(codes):
                raise _Wrong(
                    f"{source} names {counted(len(codes), 'fund')} and {counted(len(stated), 'share')}: "
                    "give each fund one"
                )
        return [
            FundShare(code, percents[at] if percents else None, amounts[at] if amounts else None)
            for at, code in enumerate(codes)
        ]

    def _beside(self, part: OrderPart, fund: FieldSource, field: Field) -> list[str]:
        sources = [each for each in self._layout.sources(part) if each.group == fund.group]
        return self._values(part, [field], sources)

    # --- dates

    def _order_date(self) -> date | None:
        """The day of the order, which Alma sets itself: one that cannot be read stops nothing."""
        texts = self._every("order_date")
        try:
            days = {_date(text) for text in texts}
        except _Wrong as error:
            self._remarks.append(Remark(f"the date of the order was left out: {error}", ORDER_DATE))
            return None
        return min(days, default=None)


def _referenced(record: Record, orders: Iterable[tuple[Order, object]]) -> list[Order]:
    """Each order with a reference: one that the record lacks is made of its title and of what is ordered, so that the
    same order is known again in another file. Orders that are alike are numbered by how many came before."""
    found: list[Order] = []
    alike: Counter[str] = Counter()
    title: object = None
    for order, stated in orders:
        if order.additional_reference or order.price is None:
            found.append(order)
            continue
        title = title or _title(record)
        ordered = json.dumps([title, order.vendor, f"{order.price.amount.normalize():f}", stated])
        reference = f"{MADE}{_hashed(f'{ordered} {alike[ordered]}')}"
        alike[ordered] += 1
        remark = Remark(f"it has no reference, and is known as {reference}", NO_REFERENCE)
        found.append(replace(order, additional_reference=reference, remarks=(*order.remarks, remark)))
    return found


def _title(record: Record) -> object:
    keys = keys_of(record)
    return next(
        filter(None, (keys.oclc, keys.isbn, keys.issn, keys.system, keys.mms_id)),
        cleaned(title_of(record)).casefold(),
    )


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _distinct(orders: Sequence[Order]) -> tuple[Order, ...]:
    """The orders of a record; one whose reference another one has is refused."""
    keys = Counter(order.key for order in orders)
    return tuple(
        order.with_problems(
            f"two orders of the record have the reference {order.additional_reference}: give each its own"
        )
        if order.additional_reference and keys[order.key] > 1
        else order
        for order in orders
    )


def _rounded(discount: Decimal) -> Decimal:
    """A discount as it is sent, so that what it makes of a price is reckoned with what Alma has."""
    return discount.quantize(Decimal("0.01"))


def _copies(number: int) -> str:
    return counted(number, "copy", "copies")


def _words(part: OrderPart) -> str:
    return part.replace("_", " ").replace("po line", "PO line")


def _quantity(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII) or not int(text):
        raise _Wrong(f"{text[:40]!r} is no number of copies: write a whole number from 1")
    return int(text)


def _rush(text: str) -> bool:
    found = _RUSH.get(text.casefold())
    if found is None:
        raise _Wrong(f"{text[:40]!r} says neither that it is urgent nor that it is not: write true or false")
    return found


def _date(text: str) -> date:
    day_first = _DAY_FIRST.fullmatch(text)
    parts = _DATE.fullmatch(text)
    if day_first and not (parts and len(parts[1]) == 4):
        day, month, year = day_first.groups()
    elif parts:
        year, month, day = parts.groups()
    else:
        year = month = day = "0"
    try:
        return date(int(year) + (2000 if len(year) == 2 else 0), int(month), int(day))
    except ValueError as error:
        raise _Wrong(
            f"{text[:40]!r} is no date: write year, month and day, as in 20261101 or 261101"
        ) from error
