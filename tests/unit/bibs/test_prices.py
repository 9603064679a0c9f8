"""Prices and percentages as vendors write them, and how an order's price goes to its funds."""

from contextlib import suppress
from decimal import Decimal

import pytest
from babel.numbers import format_decimal
from hypothesis import assume, given
from hypothesis import strategies as st

from alma_etl.bibs.orders.funds import FundProblem, FundShare, charge
from alma_etl.bibs.orders.prices import (
    CurrencyHint,
    Price,
    PriceProblem,
    is_locale,
    read_currency,
    read_percent,
    read_price,
)

LOCALES = ("en_US", "de_DE", "fr_FR", "de_CH", "en_IN", "sv_SE")
NONE = CurrencyHint()


@pytest.mark.parametrize(
    ("text", "locale", "hint", "amount", "currency"),
    [
        ("12,50 $", "de_DE", CurrencyHint(usual="USD"), "12.50", "USD"),
        ("EUR 1.234,50", "de_DE", NONE, "1234.50", "EUR"),
        ("27.95", "en_US", NONE, "27.95", ""),
        ("550.00", "en_US", CurrencyHint("GBP", "USD"), "550.00", "GBP"),
        ("$45.00", "en_US", CurrencyHint(usual="CAD"), "45.00", "CAD"),
        ("USD 45", "en_US", CurrencyHint(usual="EUR"), "45.00", "USD"),  # the record names it
        ("45.00 eur", "en_US", CurrencyHint(named="EUR"), "45.00", "EUR"),
        ("€3.5", "en_US", NONE, "3.50", "EUR"),
        ("1 234,50", "fr_FR", NONE, "1234.50", ""),
        ("1\u00a0234,50", "sv_SE", NONE, "1234.50", ""),
        ("1'234.50", "de_CH", NONE, "1234.50", ""),
        ("1,23,456.00", "en_IN", NONE, "123456.00", ""),
        ("1,234,567", "en_US", NONE, "1234567.00", ""),
        ("1.250", "en_US", CurrencyHint(usual="KWD"), "1.250", "KWD"),  # it has three decimals
        ("1,250", "en_US", CurrencyHint(usual="JPY"), "1250", "JPY"),  # it has none
        ("0.00", "en_US", NONE, "0.00", ""),
    ],
)
def test_a_price_is_read_by_its_locale(text, locale, hint, amount, currency):
    found = read_price(text, locale, hint)
    assert (str(found.amount), found.currency) == (amount, currency)


@pytest.mark.parametrize(
    ("text", "locale", "hint", "said"),
    [
        ("1,234", "en_US", NONE, "ambiguous"),
        ("1,234", "de_DE", NONE, "ambiguous"),
        ("1.234 EUR", "de_DE", NONE, "ambiguous"),
        ("1,250", "en_US", CurrencyHint(usual="KWD"), "ambiguous"),
        ("-3.00", "en_US", NONE, "negative"),
        ("(3.00)", "en_US", NONE, "negative"),
        ("12.-", "de_CH", NONE, "write it like"),
        ("12,-- €", "de_DE", NONE, "write it like"),
        ("", "en_US", NONE, "no price"),
        ("free", "en_US", NONE, "no price"),
        ("12,50 $", "en_US", NONE, "1,234.50"),  # how it is written there
        ("27.95", "de_DE", NONE, "1.234,50"),
        ("12.345,6", "en_US", NONE, "not as en_US"),
        ("$45.00", "en_US", CurrencyHint(usual="EUR"), "none of EUR's"),
        ("CA$45.00", "en_US", CurrencyHint(named="USD"), "none of USD's"),
        ("EUR 45.00", "en_US", CurrencyHint(named="USD"), "the record says USD"),
        ("45.00 DEM", "en_US", NONE, "no currency in use"),
        ("45.00 XXX", "en_US", NONE, "no currency in use"),
        ("45.00 EURO", "en_US", NONE, "no currency"),
        ("USD 45.00 EUR", "en_US", NONE, "no currency"),
        ("12.505", "en_US", NONE, "ambiguous"),
        ("0.125", "en_US", NONE, "more than 2 decimals"),
        ("1.50", "en_US", CurrencyHint(usual="JPY"), "more than 0 decimals"),
        ("2 x 12.50", "en_US", NONE, "no price"),
        ("12.50 13.50", "en_US", NONE, "not as en_US"),
        ("1e5", "en_US", NONE, "no price"),
        ("1_000", "en_US", NONE, "no price"),
        ("NaN", "en_US", NONE, "no price"),
        ("٣.٥", "en_US", NONE, "no price"),
        ("9" * 5_000, "en_US", NONE, "too many digits"),
    ],
)
def test_what_is_no_price_is_refused_and_never_guessed(text, locale, hint, said):
    with pytest.raises(PriceProblem, match=said):
        read_price(text, locale, hint)


def test_the_vendor_s_currency_has_to_fit_the_sign_and_the_decimals():
    assert Price(Decimal("45.00"), sign="$").in_currency("AUD") == Price(Decimal("45.00"), "AUD", "$")
    with pytest.raises(PriceProblem, match="none of EUR's"):
        Price(Decimal("45.00"), sign="$").in_currency("EUR")
    with pytest.raises(PriceProblem, match="decimals"):
        Price(Decimal("45.50")).in_currency("JPY")


@given(st.text(max_size=30), st.sampled_from(LOCALES))
def test_any_text_is_a_price_or_refused_in_a_sentence(text, locale):
    with suppress(PriceProblem):
        assert read_price(text, locale, NONE).amount >= 0


@given(st.integers(0, 10**9), st.sampled_from(LOCALES), st.sampled_from(["{}", "USD {}", "{} usd"]))
def test_a_price_that_a_locale_writes_is_read_as_it_was(cents, locale, around):
    amount = Decimal(cents) / 100
    text = around.format(format_decimal(amount, "#,##,##0.00" if locale == "en_IN" else "#,##0.00", locale))
    assert read_price(text, locale, NONE).amount == amount


def test_percentages():
    assert read_percent("33.333%", "en_US") == Decimal("33.333")
    assert read_percent("12,5 %", "de_DE") == Decimal("12.5")
    for text in ("0", "100.1", "-5", "half", "12,5", "", "33,333"):
        with pytest.raises(PriceProblem):
            read_percent(text, "en_US")


def test_currencies_and_locales():
    assert read_currency(" gbp ") == "GBP"
    for text in ("EURO", "", "DEM", "XAU", "U$D"):
        with pytest.raises(PriceProblem):
            read_currency(text)
    assert is_locale("de-AT")
    assert not is_locale("klingon_")


# --- funds

AMOUNTS = st.integers(0, 10**8).map(lambda cents: Decimal(cents) / 100)


@given(AMOUNTS, st.lists(st.integers(1, 10_000), min_size=1, max_size=12), st.integers(1, 12))
def test_percentages_charge_the_whole_of_it_whatever_the_rounding(total, weights, codes):
    whole = Decimal(sum(weights))
    percents = [(Decimal(weight) * 100 / whole).quantize(Decimal("0.01")) for weight in weights[:-1]]
    last = 100 - sum(percents)
    assume(last > 0 and all(percents))
    shares = [FundShare(f"F{at % codes}", percent) for at, percent in enumerate([*percents, last])]
    check(charge(total, shares, 2), total, shares)


@given(AMOUNTS, st.lists(st.integers(1, 99), min_size=1, max_size=12), st.sampled_from([0, 2, 3]))
def test_copies_charge_the_whole_of_it(total, numbers, decimals):
    total = total.quantize(Decimal(1).scaleb(-decimals))
    shares = [FundShare(f"F{at}", copies=number) for at, number in enumerate(numbers)]
    check(charge(total, shares, decimals), total, shares)


@given(st.lists(st.tuples(st.sampled_from("ABC"), AMOUNTS), min_size=1, max_size=8))
def test_amounts_are_charged_as_they_are_and_a_fund_once(stated):
    shares = [FundShare(code, amount=amount) for code, amount in stated]
    total = sum((amount for _, amount in stated), Decimal(0))
    check(charge(total, shares, 2), total, shares)
    with pytest.raises(FundProblem, match="together"):
        charge(total + Decimal("0.01"), shares, 2)


def check(funds, total, shares):
    assert sum(fund.amount for fund in funds) == total
    assert all(fund.amount >= 0 for fund in funds)
    assert [fund.code for fund in funds] == list(dict.fromkeys(share.code for share in shares))


def test_the_rest_of_the_rounding_goes_to_the_last_fund():
    shares = [
        FundShare("A", Decimal("33.33")),
        FundShare("B", Decimal("33.33")),
        FundShare("C", Decimal("33.34")),
    ]
    assert [str(fund.amount) for fund in charge(Decimal("27.95"), shares, 2)] == ["9.31", "9.31", "9.33"]


@pytest.mark.parametrize(
    "shares",
    [
        [FundShare("A"), FundShare("B")],
        [FundShare("A", Decimal(50)), FundShare("B")],
        [FundShare("A", Decimal(50)), FundShare("B", amount=Decimal(5))],
        [FundShare("A", Decimal(60)), FundShare("B", Decimal(60))],
        [FundShare("A", Decimal(50))],
    ],
)
def test_shares_that_do_not_add_up_are_refused(shares):
    with pytest.raises(FundProblem):
        charge(Decimal(10), shares, 2)
