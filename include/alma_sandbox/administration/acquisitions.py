"""What orders name: funds by fiscal period, vendors with accounts, currencies, types and methods of PO lines.

A fiscal period is a calendar year of the sandbox's clock, so that a fund is closed, open or not open yet whatever the
clock says.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from alma_sandbox.administration.po_lines import PoLine
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import Payload

CENT = Decimal("0.01")
CURRENCY = "USD"
RATES = {"USD": Decimal(1), "EUR": Decimal("1.10"), "GBP": Decimal("1.25"), "JPY": Decimal("0.01")}
"""What one unit of a currency is in the institution's: invented, and the same every day."""
_WITHOUT_DECIMALS = frozenset({"JPY"})


@dataclass(frozen=True)
class Fund:
    """A fund of the fiscal period that lies ``period`` years from the clock's. ``owner``: a library, or empty for the
    institution. ``type``: only from an ALLOCATED one something is bought."""

    code: str
    name: str
    type: str = "ALLOCATED"
    owner: str = ""
    status: str = "ACTIVE"
    period: int = 0
    allocated: Decimal = Decimal(10_000)


FUNDS: dict[str, Fund] = {
    fund.code: fund
    for fund in (
        Fund("BOOKS", "Books"),
        Fund("SERIALS", "Serials"),
        Fund("HIST", "History"),
        Fund("GIFTS", "Gifts"),
        Fund("SCIENCE", "Science", owner="SCI"),
        Fund("TINY", "A fund that is soon spent", allocated=Decimal(50)),
        Fund("ART&MUSIC", "Art & Music"),
        Fund("OLDBOOKS", "Books of the last year", status="INACTIVE", period=-1),
        Fund("NEXTBOOKS", "Books of the next year", period=1),
        Fund("ASLEEP", "A fund that is not in use", status="INACTIVE"),
        Fund("GENERAL", "General ledger", type="LEDGER", allocated=Decimal(60_000)),
        Fund("MONOGRAPHS", "All monographs", type="SUMMARY", allocated=Decimal(30_000)),
    )
}  # codes are case-sensitive


@dataclass(frozen=True)
class Account:
    """An account at a vendor."""

    code: str
    status: str = "ACTIVE"


@dataclass(frozen=True)
class Vendor:
    """A vendor, what it is paid in, and the accounts that the institution has there."""

    code: str
    name: str
    currencies: tuple[str, ...]
    accounts: tuple[Account, ...]
    status: str = "ACTIVE"

    def account(self, code: str) -> Account | None:
        """The account with this code, if it is the vendor's."""
        return next((account for account in self.accounts if account.code == code), None)


VENDORS: dict[str, Vendor] = {
    vendor.code: vendor
    for vendor in (
        Vendor("VENDOR1", "First Vendor", ("USD", "EUR"), (Account("VENDOR1"),)),
        Vendor("VENDOR2", "Second Vendor", ("USD",), (Account("VENDOR2"), Account("V2-OLD", "INACTIVE"))),
        Vendor(
            "GOBI", "Books on Approval", ("USD",), (Account("GOBI-1"), Account("GOBI-2"), Account("137000"))
        ),
        Vendor("UKBOOKS", "British Books", ("GBP",), (Account("UK-1"),)),
        Vendor("GONE", "A vendor of the past", ("USD",), (Account("GONE-1"),), status="INACTIVE"),
    )
}

PHYSICAL = {
    "PRINTED_BOOK_OT": "Print Book - One Time",
    "PRINTED_BOOK_SO": "Print Book - Standing Order",
    "PRINTED_JOURNAL_CO": "Print Journal - Subscription",
    "PHYSICAL_SCORE_OT": "Score - One Time",
    "PHYSICAL_DVD_OT": "DVD - One Time",
}
"""Types of lines that make holdings and items."""
TYPES = {
    **PHYSICAL,
    "ELECTRONIC_BOOK_OT": "Electronic Book - One Time",
    "OTHER_SERVICES_OT": "Other Services",
}
METHODS = {
    "PURCHASE": "Purchase",
    "PURCHASE_NOLETTER": "Purchase at Vendor System",
    "VENDOR_SYSTEM": "Purchase at Vendor System",
    "APPROVAL": "Approval Plan",
    "GIFT": "Gift",
    "DEPOSITORY": "Depository",
    "LEGAL_DEPOSIT": "Legal Deposit",
    "EXCHANGE": "Exchange",
    "TECHNICAL": "Technical",
}
WITHOUT_CHARGE = frozenset({"GIFT", "DEPOSITORY", "LEGAL_DEPOSIT", "EXCHANGE", "TECHNICAL"})
"""Acquisition methods under which nothing is paid: neither price nor fund is needed."""

_NOT_ENCUMBERED = ("INREVIEW", "CANCELLED", "CLOSED")


def amount(value: object) -> tuple[Decimal, str]:
    """A sum and its currency, ``{"sum": "27.95", "currency": {"value": "USD"}}``. ValueError for what is no number."""
    money = value if isinstance(value, dict) else {"sum": value}
    text = bodies.text(money.get("sum"))
    if not text.replace(".", "", 1).isdigit() or not text.isascii():
        raise ValueError(f"{text!r} is no sum")
    return Decimal(text), bodies.text(money.get("currency")) or CURRENCY


def converted(total: Decimal, currency: str) -> Decimal:
    """A sum in the institution's currency."""
    return (total * RATES[currency]).quantize(CENT, ROUND_HALF_UP)


def net_price(body: Payload) -> Decimal | None:
    """What a line costs in its own currency: list price of one copy, less the discount, times the copies."""
    if not body.get("price"):
        return None
    rows = [row for row in bodies.many(body.get("location")) if isinstance(row, dict)]
    copies = sum(int(bodies.text(row.get("quantity")) or "1") for row in rows) or 1
    discount = Decimal(bodies.text(body.get("discount")) or "0")
    price, currency = amount(body["price"])
    unit = Decimal(1) if currency in _WITHOUT_DECIMALS else CENT
    return (price * copies * (100 - discount) / 100).quantize(unit, ROUND_HALF_UP)


def shares(body: Payload) -> list[tuple[str, Decimal, str]]:
    """Of each fund of a line: its code, the sum and the currency, by amount or by percentage of the price."""
    found = []
    price = net_price(body) or Decimal(0)
    for row in bodies.many(body.get("fund_distribution")):
        if not isinstance(row, dict):
            continue
        fund = bodies.text(row.get("fund_code"))
        if row.get("amount"):
            found.append((fund, *amount(row["amount"])))
        else:
            percent = Decimal(bodies.text(row.get("percent")) or "0")
            currency = amount(body["price"])[1] if body.get("price") else CURRENCY
            found.append((fund, (price * percent / 100).quantize(CENT, ROUND_HALF_UP), currency))
    return found


def encumbrances(body: Payload) -> dict[str, str]:
    """What a line encumbers of each fund, in the institution's currency."""
    found: dict[str, Decimal] = {}
    for fund, total, currency in shares(body):
        found[fund] = found.get(fund, Decimal(0)) + converted(total, currency)
    return {fund: f"{total:.2f}" for fund, total in found.items()}


def uncovered(body: Payload) -> bool:
    """Whether the funds' sums are not the price of a line. Percentages and other currencies are rounded each."""
    price = net_price(body)
    if price is None:
        return False
    currency = amount(body["price"])[1]
    charged = shares(body)
    rows = [row for row in bodies.many(body.get("fund_distribution")) if isinstance(row, dict)]
    if all(row.get("amount") for row in rows) and {each for _, _, each in charged} == {currency}:
        return sum(total for _, total, _ in charged) != price
    total = sum(converted(total, each) for _, total, each in charged)
    return abs(total - converted(price, currency)) > CENT * max(1, len(charged))


def encumbered(lines: list[PoLine]) -> dict[str, Decimal]:
    """What all lines together encumber of each fund: one that waits in review, or has ended, nothing."""
    found = dict.fromkeys(FUNDS, Decimal(0))
    for line in lines:
        if line.status not in _NOT_ENCUMBERED:
            for fund, total in line.encumbers.items():
                found[fund] += Decimal(total)
    return found


def balances(lines: list[PoLine]) -> dict[str, dict[str, str]]:
    """Of each fund: allocated, encumbered and what is left, as texts with two decimals."""
    taken = encumbered(lines)
    return {
        code: {
            "allocated": f"{fund.allocated:.2f}",
            "encumbered": f"{taken[code]:.2f}",
            "available": f"{fund.allocated - taken[code]:.2f}",
        }
        for code, fund in FUNDS.items()
    }
