"""An order as a record states it, and the PO line that it becomes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from typing import Any

from alma_etl.bibs.orders.funds import FundAmount, FundProblem, FundShare, charge
from alma_etl.bibs.orders.prices import Price, PriceProblem
from alma_etl.inventory.loaded_orders import OrderReference
from alma_etl.marc.source_record import Remark


@dataclass(frozen=True)
class OrderedCopy:
    """One copy and its place."""

    library: str
    location: str
    item_policy: str = ""
    barcode: str = ""
    description: str = ""


@dataclass(frozen=True)
class Order:
    """One order of a record. With `problems` it is `invalid_order`: each says what is wrong and what to do.

    `additional_reference` is what it is known by; `reference` is the vendor's own number, "" where there is none.
    `also`: references that orders of its record have where `repeated` of the profile is set otherwise.
    `price` is that of one copy before `discount` (percent, to two decimals), which is sent; `net_price` is what the
    record states after it. Texts that are not given are "".
    """

    reference: str = ""
    additional_reference: str = ""
    po_line_type: str = ""
    acquisition_method: str = ""
    owner: str = ""
    vendor: str = ""
    vendor_account: str = ""
    reference_type: str = ""
    price: Price | None = None
    net_price: Price | None = None
    discount: Decimal = Decimal(0)
    shares: tuple[FundShare, ...] = ()
    copies: tuple[OrderedCopy, ...] = ()
    rush: bool = False
    notes: tuple[str, ...] = ()
    vendor_note: str = ""
    receiving_note: str = ""
    reporting_code: str = ""
    material_type: str = ""
    interested_user: str = ""
    order_date: date | None = None
    expected_receipt_date: date | None = None
    problems: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def key(self) -> OrderReference:
        """What no two orders of a vendor share."""
        return OrderReference.of(self.vendor, self.additional_reference)

    @property
    def keys(self) -> dict[OrderReference, str]:
        """All that it may have been ordered as, by an earlier run too, each with the reference as it is written."""
        return {
            OrderReference.of(self.vendor, each): each for each in (self.additional_reference, *self.also)
        }

    @property
    def quantity(self) -> int:
        """The number of copies."""
        return len(self.copies)

    @property
    def total(self) -> Decimal:
        """What the line costs by the price and the discount that are sent, as Alma reckons it: that of all copies,
        rounded once. ValueError without a price."""
        if self.price is None:
            raise ValueError("an order without a price has no total")
        net = self.price.amount * (100 - self.discount) / 100 * self.quantity
        return net.quantize(Decimal(1).scaleb(-self.price.decimals), ROUND_HALF_UP)

    @property
    def stated_total(self) -> Decimal:
        """What the line costs by the record: it may differ from `total` by what rounding the discount makes."""
        return self.net_price.amount * self.quantity if self.net_price else self.total

    @property
    def funds(self) -> tuple[FundAmount, ...]:
        """What each fund is charged with, one entry a fund, together the total. Raises FundProblem."""
        if not self.shares or self.price is None:
            return ()
        return charge(self.total, self.shares, self.price.decimals, stated=self.stated_total)

    def in_currency(self, currency: str) -> "Order":
        """Return the order in the vendor's currency, where the record and the profile name none."""
        if self.price is None or self.price.currency:
            return self
        try:
            price = self.price.in_currency(currency)
            net = self.net_price.in_currency(currency) if self.net_price else None
        except PriceProblem as error:
            return self.with_problems(f"the currency of vendor {self.vendor}: {error}")
        return replace(self, price=price, net_price=net)._charged()

    def with_fund_codes(self, codes: Mapping[str, str]) -> "Order":
        """Return the order with fund codes as Alma writes them; those that became one are charged once."""
        shares = (replace(share, code=codes.get(share.code, share.code)) for share in self.shares)
        return replace(self, shares=tuple(shares))._charged()

    def with_problems(self, *problems: str) -> "Order":
        """Return the order with further problems, each named once."""
        return replace(self, problems=tuple(dict.fromkeys((*self.problems, *problems))))

    def _charged(self) -> "Order":
        try:
            _ = self.funds
        except FundProblem as error:
            return self.with_problems(str(error))
        return self

    def body(self, mms_id: str) -> dict[str, Any]:
        """Return the PO line for `POST /acq/po-lines`, of one title: without its MMS id Alma would choose a title by
        itself, of several at random.

        ValueError for an order with problems, or whose currency is not known yet.
        """
        if self.problems or self.price is None or not self.price.currency:
            raise ValueError(f"{self.key} cannot be sent: {'; '.join(self.problems) or 'it has no currency'}")
        found: dict[str, Any] = {
            "owner": _coded(self.owner),
            "type": _coded(self.po_line_type),
            "acquisition_method": _coded(self.acquisition_method),
            "vendor": _coded(self.vendor),
            "vendor_account": self.vendor_account,
            "price": self._money(self.price.amount),
            "discount": f"{self.discount:f}" if self.discount else "",
            "fund_distribution": [
                {"fund_code": _coded(fund.code), "amount": self._money(fund.amount)} for fund in self.funds
            ],
            "vendor_reference_number": self.reference,
            "vendor_reference_number_type": _coded(self.reference_type) if self.reference else None,
            "additional_order_reference": self.additional_reference,
            "rush": "true" if self.rush else "false",
            "material_type": _coded(self.material_type),
            "reporting_code": _coded(self.reporting_code),
            "note": [{"note_text": text} for text in self.notes],
            "vendor_note": self.vendor_note,
            "receiving_note": self.receiving_note,
            "expected_receipt_date": f"{self.expected_receipt_date:%Y-%m-%d}Z"
            if self.expected_receipt_date
            else "",
            "interested_user": [{"primary_id": self.interested_user}] if self.interested_user else [],
            "resource_metadata": {"mms_id": _coded(mms_id)},
            "location": self._places(),
        }
        return {name: value for name, value in found.items() if value}

    def _money(self, amount: Decimal) -> dict[str, Any]:
        assert self.price is not None
        return {"sum": f"{amount:f}", "currency": _coded(self.price.currency)}

    def _places(self) -> list[dict[str, Any]]:
        by_place = sorted(self.copies, key=_place)
        places = []
        for (library, location), group in groupby(by_place, key=_place):
            copies = list(group)
            place: dict[str, Any] = {
                "quantity": len(copies),
                "library": _coded(library),
                "shelving_location": location,
            }
            details = [_details(copy) for copy in copies]
            if any(details):
                place["copy"] = details
            places.append(place)
        return places


def references_of(orders: Iterable[Order]) -> tuple[OrderReference, ...]:
    """What the orders of a record are known by: records that share one have to meet in one chunk."""
    return tuple(dict.fromkeys(order.key for order in orders if order.additional_reference))


def _place(copy: OrderedCopy) -> tuple[str, str]:
    return copy.library, copy.location


def _details(copy: OrderedCopy) -> dict[str, Any]:
    found = {
        "barcode": copy.barcode,
        "item_policy": _coded(copy.item_policy),
        "description": copy.description,
    }
    return {name: value for name, value in found.items() if value}


def _coded(code: str) -> dict[str, str] | None:
    return {"value": code} if code else None
