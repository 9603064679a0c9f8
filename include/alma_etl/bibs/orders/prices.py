"""Prices and percentages as vendors write them, read by one locale and never guessed.

Separators, grouping and currencies are those of CLDR, by Babel (docs/adr/0006-prices-by-babel.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

from babel import Locale
from babel.core import UnknownLocaleError, get_global
from babel.numbers import (
    NumberFormatError,
    format_decimal,
    get_currency_precision,
    get_decimal_symbol,
    get_group_symbol,
    parse_decimal,
)

_NUMBER = re.compile(r"\D*?(\d(?:[\d.,'’ ]*\d)?)\D*", re.ASCII)
_MINUS = re.compile(r"[-−–()]")
_NO_CENTS = re.compile(r"[.,][-−–]{1,2}")  # of 12.- and 12,--
_UNCLEAR = re.compile(r"[1-9]\d{0,2}([.,])\d{3}", re.ASCII)
_SPACES = re.compile(r"[\s\u00a0\u2009\u202f]")
_APOSTROPHES = re.compile("['’]")
_LONGEST = 20  # signs of a number; no price has more
_DECIMALS = 2  # of a price in a currency that is not known yet
_DOLLARS = "USD CAD AUD NZD SGD HKD TWD MXN ARS CLP COP BRL BBD BMD BSD BZD FJD JMD LRD NAD TTD XCD"
_SIGNS: Mapping[str, frozenset[str]] = {
    sign: frozenset(codes.split())
    for sign, codes in {
        "$": _DOLLARS,
        "US$": "USD",
        "€": "EUR",
        "£": "GBP EGP FKP GIP LBP SHP SYP",
        "¥": "JPY CNY",
        "￥": "JPY CNY",
        "₹": "INR",
        "₩": "KRW",
        "₪": "ILS",
        "kr": "DKK ISK NOK SEK",
        "kr.": "DKK ISK NOK SEK",
        "Fr": "CHF",
        "Fr.": "CHF",
        "SFr.": "CHF",
        "zł": "PLN",
        "Kč": "CZK",
        "Ft": "HUF",
        "R": "ZAR",
    }.items()
}


class PriceProblem(ValueError):
    """A price that is not taken; the message says why, and what to do."""


@dataclass(frozen=True)
class Price:
    """The price of one copy. `currency` is "" where neither record nor profile names one: then it is the vendor's.
    `sign`: what stood beside the number and names no single currency, such as `$`."""

    amount: Decimal
    currency: str = ""
    sign: str = ""

    @property
    def decimals(self) -> int:
        """How many decimals an amount in its currency has."""
        return decimals_of(self.currency)

    def in_currency(self, currency: str) -> "Price":
        """Return the price in the currency of its vendor. Raises PriceProblem where the sign beside it, or its
        decimals, are none of that currency's."""
        _refuse_sign(self.sign, _SIGNS.get(self.sign, frozenset()), currency)
        return replace(self, currency=currency, amount=_rounded(self.amount, currency))

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}".strip()


@dataclass(frozen=True)
class CurrencyHint:
    """What is known of a price's currency beside its text: `named` by the record, else `usual` by the profile."""

    named: str = ""
    usual: str = ""


def read_price(text: str, locale: str, hint: CurrencyHint) -> Price:
    """Read a price such as `12,50 $` or `EUR 1.234,50`; PriceProblem says why it is none.

    A currency that the record names, beside the price or as a code in its text, wins over the usual one; a sign such
    as `$` names none, and must be one of the currency's.
    """
    number, code, sign = _parted(text, locale)
    if code and hint.named and code != hint.named:
        raise PriceProblem(f"{text!r} is in {code}, and the record says {hint.named}: correct one of them")
    currency = hint.named or code or hint.usual
    signed = _signs(locale).get(sign, frozenset())
    _refuse_sign(sign, signed, currency)
    if not currency and len(signed) == 1:
        currency = next(iter(signed))
    amount = _read_number(number, text, locale, decimals_of(currency) if currency else None)
    return Price(_rounded(amount, currency), currency, sign)


def read_percent(text: str, locale: str, *, zero: bool = False) -> Decimal:
    """Read a percentage above 0 and up to 100, with or without its sign; by option 0, too. Raises PriceProblem."""
    number = text.strip().removesuffix("%").strip()
    if not number[:1].isdigit() or not re.fullmatch(r"[\d.,]{1,12}", number, re.ASCII):
        written = format_decimal(Decimal("33.3"), locale=_locale(locale))
        raise PriceProblem(f"{text!r} is no percentage: write it like {written}")
    # No percentage is above 999, so that one separator is never that of thousands.
    found = _grouped(number, text, locale)
    if not (0 < found <= 100 or (zero and not found)):
        above = "from 0" if zero else "above 0 and"
        raise PriceProblem(f"{text!r} is no percentage {above} up to 100: correct it")
    return found


def read_currency(text: str) -> str:
    """Return the code of a currency that is in use somewhere. Raises PriceProblem for all else."""
    code = text.strip().upper()
    if code not in _in_use():
        raise PriceProblem(f"{text!r} is no currency in use: write its code of three letters, such as USD")
    return code


def is_locale(name: str) -> bool:
    """Whether CLDR knows a locale, `en_US` or `en-US`."""
    try:
        Locale.parse(name, sep="-" if "-" in name else "_")
    except (ValueError, UnknownLocaleError):
        return False
    return True


def decimals_of(currency: str) -> int:
    """How many decimals amounts in a currency have (ISO 4217, by CLDR); 2 where none is known."""
    return get_currency_precision(currency) if currency else _DECIMALS


# --- the text around a number


def _parted(text: str, locale: str) -> tuple[str, str, str]:
    """The number of a price, and the code and the sign beside it."""
    found = _NUMBER.fullmatch(_SPACES.sub(" ", text).strip())
    if found is None:
        raise PriceProblem(f"{text!r} is no price: give one number, such as {_example(locale)}")
    start, end = found.span(1)
    around = [*found.string[:start].split(), *found.string[end:].split()]
    if _MINUS.search("".join(each for each in around if not _NO_CENTS.fullmatch(each))):
        raise PriceProblem(f"{text!r} is negative: an order has a price; credits go by invoices")
    code = sign = ""
    for each in around:
        if each in _signs(locale) and not sign:
            sign = each
        elif re.fullmatch(r"[A-Za-z]{3}", each) and not code:
            code = read_currency(each)
        else:
            raise PriceProblem(
                f"{text!r} is no price: {each!r} is no currency; write it like {_example(locale)}"
            )
    return found[1], code, sign


def _refuse_sign(sign: str, meant: frozenset[str], currency: str) -> None:
    if currency and meant and currency not in meant:
        raise PriceProblem(
            f"the sign {sign} beside the price is none of {currency}'s: correct it, or name the currency in the record"
        )


@lru_cache(64)
def _signs(locale: str) -> Mapping[str, frozenset[str]]:
    """The signs that stand for currencies, those of the locale too (`CA$`)."""
    found = dict(_SIGNS)
    for code, sign in _locale(locale).currency_symbols.items():
        if code in _in_use() and sign != code and not sign.isdigit():
            found.setdefault(sign, frozenset((code,)))
    return found


@lru_cache(1)
def _in_use() -> frozenset[str]:
    """The currencies that are legal tender somewhere."""
    used = (each for territory in get_global("territory_currencies").values() for each in territory)
    return frozenset(code for code, _, until, tender in used if tender and until is None)


# --- the number


def _read_number(number: str, text: str, locale: str, decimals: int | None) -> Decimal:
    if len(number) > _LONGEST:
        raise PriceProblem(f"{text[:40]!r} has too many digits for a price: correct it")
    unclear = _UNCLEAR.fullmatch(number)
    # Three digits behind the only separator are decimals of no currency but those that have three, and thousands
    # without a doubt only where there are no decimals at all.
    if unclear and not (
        (unclear[1] == get_decimal_symbol(_locale(locale)) and decimals == 3)
        or (unclear[1] == get_group_symbol(_locale(locale)) and decimals == 0)
    ):
        raise PriceProblem(
            f"{text!r} is ambiguous, thousands or decimals: write both, as in {_example(locale)}, or neither"
        )
    return _grouped(number, text, locale)


def _grouped(number: str, text: str, locale: str) -> Decimal:
    """The value of a number whose separators are where the locale has them."""
    group = get_group_symbol(_locale(locale))
    for kind in (_SPACES, _APOSTROPHES):
        if kind.fullmatch(group):
            number = kind.sub(group, number)
    try:
        return parse_decimal(number, _locale(locale), strict=True)
    except NumberFormatError as error:
        raise PriceProblem(
            f"{text!r} is not as {locale} writes numbers, {_example(locale)}: correct it, or set `locale` of `orders`"
        ) from error


def _rounded(amount: Decimal, currency: str) -> Decimal:
    """The amount with the decimals of its currency, none of it lost."""
    places = decimals_of(currency)
    rounded = amount.quantize(Decimal(1).scaleb(-places))
    if rounded != amount:
        raise PriceProblem(
            f"{amount} has more than {places} decimals, which {currency or 'a price'} has: correct it"
        )
    return rounded


def _example(locale: str) -> str:
    return _SPACES.sub(" ", format_decimal(Decimal("1234.5"), "#,##0.00", _locale(locale)))


@lru_cache(64)
def _locale(name: str) -> Locale:
    return Locale.parse(name, sep="-" if "-" in name else "_")
