"""Orders out of records: the layouts, what is refused, and the PO line that is sent."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pymarc import Field, Indicators, Subfield

from alma_etl.bibs.orders.layouts import PARTS, SHIPPED, FieldSource
from alma_etl.bibs.orders.order import references_of
from alma_etl.bibs.orders.profile import OrderProfile
from alma_etl.bibs.orders.reading import FREE, MADE, orders_of
from alma_etl.inventory.loaded_orders import OrderReference
from tests.unit.bibs.records import record

TITLE = "245 10 $aA title"
OCLC = "035 __ $a(OCoLC)900"
GOBI = (
    "035 _9 $a90000000001$bYBP", "049 __ $aMAIN/stacks", "980 __ $a20261101$b27.95$f90000000001$g1",
    "981 __ $bHIST$dAB/cd$eAB$g137000$hfalse",
)  # fmt: skip
PALS = (
    "949 __ $b30112000000001$c01$dMAIN$estacks", "980 __ $b18.50", "981 __ $aGIFTS$hY", "982 __ $aPALS-0001",
)  # fmt: skip
FUNDS = {"fund_percent": "981$p", "fund_amount": "981$m"}
SIERRA = ("960 __ $e-$o2$s13.95$tmain1$ubooks$zgbp", "961 __ $dOrdered for B3458")


def profile(layout="980_981", **given):
    base = {"po_line_type": "PRINTED_BOOK_OT", "owner": "MAIN", "vendor": "GOBI"}
    return OrderProfile.model_validate({"layout": layout, **base, **given})


def one(*lines, **given):
    (order,) = orders_of(record(TITLE, OCLC, *lines), profile(**given))
    return order


def swapped(lines, tag, *instead):
    """The lines with those of one tag replaced."""
    return (*(line for line in lines if not line.startswith(tag)), *instead)


def refused(order):
    assert order.problems, order
    with pytest.raises(ValueError, match="cannot be sent"):
        order.body("991")
    return "; ".join(order.problems)


# --- the layouts, each by its example


def test_gobi():
    order = one(*GOBI, currency="USD")
    assert order.problems == order.remarks == ()
    assert order.body("991000000000001234") == {
        "owner": {"value": "MAIN"},
        "type": {"value": "PRINTED_BOOK_OT"},
        "acquisition_method": {"value": "VENDOR_SYSTEM"},
        "vendor": {"value": "GOBI"},
        "vendor_account": "137000",
        "price": {"sum": "27.95", "currency": {"value": "USD"}},
        "fund_distribution": [
            {"fund_code": {"value": "HIST"}, "amount": {"sum": "27.95", "currency": {"value": "USD"}}}
        ],
        "vendor_reference_number": "90000000001",
        "additional_order_reference": "90000000001",
        "rush": "false",
        "note": [{"note_text": "AB/cd"}, {"note_text": "AB"}],
        "resource_metadata": {"mms_id": {"value": "991000000000001234"}},
        "location": [{"quantity": 1, "library": {"value": "MAIN"}, "shelving_location": "stacks"}],
    }
    assert order.order_date == date(2026, 11, 1)


def test_pals():
    order = one(*PALS, layout="949_980", currency="USD", vendor_account="GOBI-1")
    body = order.body("991")
    assert order.problems == ()
    assert body["location"] == [
        {
            "quantity": 1,
            "library": {"value": "MAIN"},
            "shelving_location": "stacks",
            "copy": [{"barcode": "30112000000001", "item_policy": {"value": "01"}}],
        }
    ]
    assert (body["rush"], body["additional_order_reference"], body["vendor_account"]) == (
        "true", "PALS-0001", "GOBI-1",
    )  # fmt: skip
    assert "vendor_reference_number" not in body


def test_innovative():
    order = one(*SIERRA, layout="960_961", currency="USD")
    assert order.problems == ()
    assert (order.quantity, str(order.price), str(order.total)) == (2, "13.95 GBP", "27.90")
    assert [(fund.code, str(fund.amount)) for fund in order.funds] == [("books", "27.90")]
    assert {(copy.library, copy.location) for copy in order.copies} == {("MAIN", "main1")}
    assert order.notes == ("Ordered for B3458",)


def test_fields_of_a_profile_are_a_layout_like_those_that_ship():
    fields = {
        "price": "962$p", "quantity": "962$q", "fund": "962$f", "library": "962$b", "location": "962$c",
        "item_policy": "962$g", "barcode": "962$u", "reference": "001",
    }  # fmt: skip
    order = orders_of(
        record("001 pines-1", TITLE, "962 __ $bMAIN$cADULT$fGENFIC$gBOOK$jFIC ABC$p12.50$q1$u-$xholdable"),
        profile("fields", fields=fields),
    )[0]
    assert order.problems == ()
    assert order.in_currency("USD").body("991")["location"] == [
        {
            "quantity": 1,
            "library": {"value": "MAIN"},
            "shelving_location": "ADULT",
            "copy": [{"item_policy": {"value": "BOOK"}}],
        }
    ]
    assert order.additional_reference == "pines-1"


def test_fields_replace_parts_of_a_shipped_layout_and_codes_translate():
    order = one(
        *SIERRA,
        "935 __ $aORD 7",
        layout="960_961",
        fields={"po_line_type": ["960$a", "960$b"], "reference": "935$a"},
        codes={"location": {"main1": "LAW/reserve"}, "fund": {"books": "BOOKS"}},
    )
    assert {(copy.library, copy.location) for copy in order.copies} == {("LAW", "reserve")}
    assert order.funds[0].code == "BOOKS"
    assert order.key == OrderReference("GOBI", "ord 7")


# --- traps


@pytest.mark.parametrize(
    ("text", "rush"),
    [("false", False), ("N", False), ("0", False), ("-", False), ("Y", True), ("1", True), ("TRUE", True)],
)
def test_rush(text, rush):
    order = one(*swapped(GOBI, "981", f"981 __ $bHIST$h{text}"))
    assert (order.rush, order.problems) == (rush, ())


def test_characters_that_cannot_be_seen_are_no_part_of_a_value_and_stay_in_notes():
    lines = (
        "035 _9 $a9000\u200b1$bYBP", "049 __ $a\ufeffMAIN/stacks", "980 __ $b\u200e27.95\u200f$f\u200b$g1",
        "981 __ $bHI\u00adST$d\u0645\u06cc\u200c\u062e",
    )  # fmt: skip
    order = one(*lines, currency="USD")
    assert order.problems == ()
    assert (order.reference, order.additional_reference, order.notes) == (
        "90001",
        "90001",
        ("\u0645\u06cc\u200c\u062e",),
    )
    assert [(fund.code, str(fund.amount)) for fund in order.funds] == [("HIST", "27.95")]
    assert (order.copies[0].library, order.copies[0].location) == ("MAIN", "stacks")
    assert order.key == OrderReference.of("GOBI", "\uff190001\u00a0")


def test_blanks_and_fillers_are_no_values():
    made = record(TITLE, *swapped(GOBI, "981"))
    made.add_field(
        Field(
            "981",
            Indicators(" ", " "),
            [Subfield("b", " HIST\u00a0 "), Subfield("d", "AAH/bsc "), Subfield("g", " - ")],
        )
    )
    order = orders_of(made, profile(vendor_account="137"))[0]
    assert (order.shares[0].code, order.notes, order.vendor_account) == ("HIST", ("AAH/bsc",), "137")


@pytest.mark.parametrize("text", ["20261101", "261101", "2026-11-01", "01-11-26"])
def test_dates_of_eight_and_of_six_digits(text):
    order = one(*swapped(GOBI, "980", f"980 __ $a{text}$b27.95$f1"))
    assert (order.order_date, order.remarks) == (date(2026, 11, 1), ())


def test_a_date_that_is_none_stops_only_what_would_be_sent():
    lines = swapped(GOBI, "980", "980 __ $a20261301$b27.95$f1")
    assert one(*lines).problems == ()
    assert [remark.code for remark in one(*lines).remarks] == ["ORDER_DATE"]
    assert "no date" in refused(one(*lines, fields={"expected_receipt_date": "980$a"}))


def test_a_price_of_nothing_is_for_gifts():
    lines = ("980 __ $b0.00$f1", "049 __ $aMAIN/stacks")
    assert [remark.code for remark in one(*lines).remarks] == ["ZERO_PRICE"]
    assert one(*lines).problems == ()
    for method in FREE:
        gift = one(*lines, acquisition_method=method, currency="USD")
        assert (gift.remarks, gift.body("991")["price"]["sum"]) == ((), "0.00")


def test_a_net_price_is_what_the_funds_are_charged():
    order = one(*swapped(GOBI, "980", "980 __ $b20.00$e18.00$f1$g3"), currency="USD")
    body = order.body("991")
    assert (body["price"]["sum"], body["discount"]) == ("20.00", "10.00")
    assert body["fund_distribution"][0]["amount"]["sum"] == "54.00"
    assert "above its list price" in refused(one(*swapped(GOBI, "980", "980 __ $b20.00$e28.00$f1")))


def reckoned(body):
    """What Alma makes of the price, the discount and the copies of a PO line."""
    copies = sum(place["quantity"] for place in body["location"])
    net = Decimal(body["price"]["sum"]) * copies * (100 - Decimal(body.get("discount") or 0)) / 100
    return net.quantize(Decimal("0.01"), ROUND_HALF_UP)


def charged(body):
    return sum(Decimal(fund["amount"]["sum"]) for fund in body["fund_distribution"])


@pytest.mark.parametrize("funds", [["981 __ $bA"], ["981 __ $bA$m0.01", "981 __ $bB$m12345.59"]])
def test_what_the_funds_are_charged_is_what_the_rounded_discount_makes_of_the_price(funds):
    lines = (*swapped(GOBI, "98"), "980 __ $b1999.99$e1234.56$f1$g10")
    order = one(*lines, *funds, fields=FUNDS, currency="USD")
    assert order.problems == ()
    body = order.body("991")
    assert charged(body) == reckoned(body) == order.total != order.stated_total == Decimal("12345.60")
    assert "12345.60 by its net price" in order.remarks[0].text


@given(st.integers(1, 300_000), st.integers(0, 300_000), st.integers(1, 30))
def test_the_funds_have_the_line_s_net_price_to_the_cent(price, less, quantity):
    net = max(0, price - less)
    field = f"980 __ $b{Decimal(price) / 100:.2f}$e{Decimal(net) / 100:.2f}$fR1$g{quantity}"
    order = one(GOBI[0], GOBI[1], field, "981 __ $bHIST", currency="USD")
    body = order.body("991")
    assert charged(body) == reckoned(body)


@pytest.mark.parametrize("discount", ["33.333", "12.5"])
def test_a_stated_discount_is_sent_as_it_is_reckoned_with(discount):
    order = one(
        *GOBI[:2],
        f"980 __ $b999.99$fR1$g7$d{discount}",
        GOBI[3],
        fields={"discount": "980$d"},
        currency="USD",
    )
    body = order.body("991")
    assert charged(body) == reckoned(body)


@pytest.mark.parametrize(
    ("discount", "sent", "remarks"), [("0", None, []), ("0.00%", None, []), ("100", "100.00", ["ZERO_PRICE"])]
)
def test_a_discount_of_nothing_and_one_of_all(discount, sent, remarks):
    lines = (*swapped(GOBI, "980"), f"980 __ $b10.00$fR1$d{discount}")
    order = one(*lines, fields={"discount": "980$d"}, currency="USD")
    assert order.problems == ()
    assert order.body("991").get("discount") == sent
    assert [remark.code for remark in order.remarks] == remarks


# --- several of something

TWO_960 = ("960 __ $o1$s10.00$tmain1$uBOOKS", "960 __ $o2$s10.00$tmain2$uHIST")


@pytest.mark.parametrize(
    ("price", "share", "said"),
    [
        ("$b27.95$eEUR 25.00", "", "names a currency, and its price 27.95 none"),
        ("$bUSD 27.95$eEUR 25.00", "", "in EUR"),
        ("$b27.95", "$mEUR 27.95", "names a currency, and its price 27.95 none"),
        ("$bUSD 27.95", "$mEUR 27.95", "in EUR"),
    ],
)
def test_amounts_beside_the_price_are_in_its_currency(price, share, said):
    lines = (GOBI[0], GOBI[1], f"980 __ {price}$fR1$g1", f"981 __ $bHIST{share}")
    assert said in refused(one(*lines, fields={"fund_amount": "981$m"}))
    alike = [line.replace("EUR", "USD").replace("$b2", "$bUSD 2") for line in lines]
    assert one(*alike, fields={"fund_amount": "981$m"}).problems == ()


def test_a_net_price_of_nothing_is_remarked_like_a_price_of_nothing():
    free = one(GOBI[0], GOBI[1], "980 __ $b27.95$e0.00$fR1$g1", GOBI[3])
    assert [remark.code for remark in free.remarks] == ["ZERO_PRICE"]


def test_a_repeated_field_is_copies_of_one_order():
    order = one(*TWO_960, layout="960_961")
    assert order.problems == ()
    assert [copy.location for copy in order.copies] == ["main1", "main2", "main2"]
    assert [(fund.code, str(fund.amount)) for fund in order.funds] == [("BOOKS", "10.00"), ("HIST", "20.00")]
    prices = one(TWO_960[0], TWO_960[1].replace("10.00", "12.00"), layout="960_961")
    assert "names 2 values for price" in refused(prices)


def test_a_repeated_field_is_orders_where_the_profile_says_so():
    lines = (*TWO_960, "935 __ $aORD-1", "935 __ $aORD-2", "961 __ $dfor both")
    found = orders_of(record(TITLE, *lines), profile("960_961", repeated="orders"))
    assert [(each.reference, each.quantity, each.notes) for each in found] == [
        ("ORD-1", 1, ("for both",)), ("ORD-2", 2, ("for both",)),
    ]  # fmt: skip
    assert [each.problems for each in found] == [(), ()]
    assert references_of(found) == (OrderReference("GOBI", "ord-1"), OrderReference("GOBI", "ord-2"))
    (unclear,) = orders_of(
        record(TITLE, *lines, "961 __ $dthird", "961 __ $dfourth"), profile("960_961", repeated="orders")
    )
    assert "beside them stand 3 fields 961" in refused(unclear)


def test_orders_of_one_record_need_references_of_their_own():
    same = orders_of(record(TITLE, *TWO_960, "935 __ $aORD-1"), profile("960_961", repeated="orders"))
    assert all("give each its own" in refused(each) for each in same)


def test_an_order_without_a_reference_is_known_again_by_what_is_ordered():
    lines = (TITLE, OCLC, *TWO_960, TWO_960[0])
    first, second, third = orders_of(record(*lines), profile("960_961", repeated="orders"))
    again = orders_of(record("001 other", *lines, "650 _0 $aNew"), profile("960_961", repeated="orders"))
    assert [each.key for each in again] == [first.key, second.key, third.key]
    assert len({first.key, second.key, third.key}) == 3
    assert first.additional_reference.startswith(MADE)
    assert first.remarks[0].code == "NO_REFERENCE"
    other = orders_of(record(TITLE, "035 __ $a(OCoLC)901", TWO_960[0]), profile("960_961"))[0]
    assert other.key != first.key


@pytest.mark.parametrize(
    "given", [{"currency": "USD"}, {"codes": {"fund": {"BOOKS": "B"}}}, {"owner": "LAW"}]
)
def test_a_made_reference_depends_on_the_record_and_neither_on_its_sequence_nor_on_settings(given):
    def references(*lines, **given):
        found = orders_of(record(TITLE, OCLC, *lines), profile("960_961", repeated="orders", **given))
        return [each.additional_reference for each in found]

    first = references(*TWO_960, TWO_960[0])
    assert references(*TWO_960, TWO_960[0], **given) == first
    assert set(references(*reversed(TWO_960))) == set(first[:2])


@pytest.mark.parametrize(
    ("fields", "charged"),
    [
        (["981 __ $bA$p50", "981 __ $bB$p50"], {"A": "13.97", "B": "13.98"}),
        (["981 __ $bA$m7.95", "981 __ $bB$m20.00"], {"A": "7.95", "B": "20.00"}),
        (["981 __ $bA$p50", "981 __ $bA$p50"], {"A": "27.95"}),
        (["981 __ $bA", "981 __ $bA"], {"A": "27.95"}),
        (["981 __ $bA$p25$bB$p75"], {"A": "6.98", "B": "20.97"}),
    ],
)
def test_several_funds_are_charged_the_whole_one_entry_each(fields, charged):
    order = one(*swapped(GOBI, "981", *fields), fields=FUNDS, currency="USD")
    assert order.problems == ()
    assert {fund.code: str(fund.amount) for fund in order.funds} == charged


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (["981 __ $bA$p50", "981 __ $bB$p40"], "90 percent together"),
        (["981 __ $bA$m7.95", "981 __ $bB$m2.00"], "27.95 is charged"),
        (["981 __ $bA", "981 __ $bB"], "have no shares"),
        (["981 __ $bA$p1,5", "981 __ $bB$p40"], "not as en_US"),
        (["981 __ $bA$bB$p40"], "give each fund one"),
        ([], "names no fund"),
    ],
)
def test_funds_that_do_not_add_up_are_refused(fields, said):
    assert said in refused(one(*swapped(GOBI, "981", *fields), fields=FUNDS))


def test_copies_are_charged_to_the_funds_beside_them_only_where_each_names_one():
    third = "960 __ $o1$s10.00$tmain3"
    assert "have no shares" in refused(one(*TWO_960, third, layout="960_961", currency="USD"))
    [fund] = one(TWO_960[0], third, layout="960_961", currency="USD").funds
    assert (fund.code, str(fund.amount)) == ("BOOKS", "20.00")


@pytest.mark.parametrize("barcode", ["3.0112E+13", "30112 001", "n/a", "#REF!"])
def test_what_is_no_barcode_of_an_item_is_none_of_a_copy(barcode):
    lines = swapped(PALS, "949", f"949 __ $b{barcode}$dMAIN$estacks")
    assert "949$b: barcode" in refused(one(*lines, layout="949_980", currency="USD"))


def test_fund_codes_that_alma_writes_alike_become_one_entry():
    order = one(*swapped(GOBI, "981", "981 __ $bhist$p50", "981 __ $bHIST$p50"), fields=FUNDS)
    assert [fund.code for fund in order.with_fund_codes({"hist": "HIST"}).funds] == ["HIST"]


@pytest.mark.parametrize(
    ("source", "lines", "quantity"),
    [
        ("subfield", ["980 __ $b1.00$f1$g3", "949 __ $estacks"], 3),
        ("subfield", ["980 __ $b1.00$f1", "949 __ $estacks", "949 __ $estacks"], None),
        ("subfield", ["980 __ $b1.00$f1$g2", "949 __ $estacks", "949 __ $estacks"], 2),
        ("subfield", ["980 __ $b1.00$f1$g3", "949 __ $estacks", "949 __ $estacks"], None),
        ("repeated", ["980 __ $b1.00$f1", "949 __ $estacks", "949 __ $estacks"], 2),
        ("repeated", ["980 __ $b1.00$f1$g2", "949 __ $estacks"], None),
        ("subfield", ["980 __ $b1.00$f1$g0", "949 __ $estacks"], None),
        ("subfield", ["980 __ $b1.00$f1$g1.5", "949 __ $estacks"], None),
        ("subfield", ["980 __ $b1.00$f1$g9999", "949 __ $estacks"], None),
        ("subfield", ["980 __ $b1.00$f1$g1", "949 __ $estacks$b1$b2"], None),
    ],
)
def test_quantity_by_subfield_or_by_repeated_fields_and_never_both_unequal(source, lines, quantity):
    order = one(*lines, "981 __ $aF", layout="949_980", quantity_from=source)
    if quantity is None and "$g" not in lines[0]:
        quantity = 2  # nothing was stated that could disagree
    if quantity is None:
        refused(order)
    else:
        assert (order.problems, order.quantity) == ((), quantity)


# --- what is refused


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (swapped(GOBI, "980", "980 __ $b1,234$f1"), "980$b: '1,234' is ambiguous"),
        (swapped(GOBI, "980", "980 __ $b-3.00$f1"), "negative"),
        (swapped(GOBI, "980", "980 __ $f1"), "no price"),
        (swapped(GOBI, "049"), "no location"),
        (swapped(GOBI, "981", "981 __ $bHIST$hmaybe"), "urgent"),
        ((*GOBI, "981 __ $g2"), "names 2 values for vendor account (137000, 2)"),
        (swapped(GOBI, "980", "980 __ $b1.00$f" + "9" * 500), "500 characters"),
        ((), "no order data in 980, 049"),
    ],
)
def test_an_order_that_cannot_be_used_says_why(lines, said):
    assert said in refused(one(*lines))


def test_four_records_of_pals_three_of_them_with_faults():
    faults = {
        "": PALS,
        "no currency in use": swapped(PALS, "980", "980 __ $b18.50 EUX"),
        "names no fund": swapped(PALS, "981", "981 __ $a-$hY"),
        "orders 3 copies, and 1 field 949 names one": swapped(PALS, "980", "980 __ $b18.50$g3"),
    }
    for said, lines in faults.items():
        order = one(*lines, layout="949_980")
        assert said in "; ".join(order.problems)
        assert bool(order.problems) == bool(said)


def test_the_currency_that_nobody_names_is_the_vendor_s():
    order = one(*swapped(GOBI, "980", "980 __ $b27$f1"))
    with pytest.raises(ValueError, match="no currency"):
        order.body("991")
    assert order.in_currency("JPY").body("991")["price"] == {"sum": "27", "currency": {"value": "JPY"}}
    assert one(*GOBI, currency="USD").in_currency("EUR").price.currency == "USD"
    assert "decimals" in refused(one(*GOBI).in_currency("JPY"))


VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(st.tuples(st.sampled_from(["035", "049", "949", "960", "961", "980", "981", "982"]),
                          st.lists(st.tuples(st.sampled_from("abcdefghostuz"), VALUES), max_size=4)), max_size=6),
       st.sampled_from(list(SHIPPED)), st.sampled_from(["copies", "orders"]))  # fmt: skip
def test_whatever_stands_in_the_fields_gives_orders_or_sentences(fields, layout, repeated):
    made = record(TITLE)
    for tag, subfields in fields:
        made.add_field(Field(tag, Indicators(" ", " "), [Subfield(*each) for each in subfields]))
    found = orders_of(made, profile(layout, repeated=repeated, currency="USD"))
    assert found
    for order in found:
        if order.problems:
            assert all(order.problems)
        else:
            body = order.body("991")
            charged = sum(Decimal(fund["amount"]["sum"]) for fund in body.get("fund_distribution", []))
            assert charged == order.total or not order.total
            assert sum(place["quantity"] for place in body["location"]) == order.quantity
            assert body["resource_metadata"]["mms_id"]["value"] == "991"


# --- the profile


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"layout": "980"}, "980_981"),
        ({"layout": "fields"}, "where the order stands"),
        ({"layout": "fields", "fields": {"price": "980$b", "fund": "981$b"}}, "no subfield for location"),
        ({"vendor": None}, "give vendor"),
        ({"currency": "EURO"}, "no currency"),
        ({"locale": "klingon"}, "no locale"),
        ({"fields": {"price": "XXX$b"}}, "no subfield"),
        ({"fields": {"price": "980$b=3"}}, "no subfield"),
        ({"fields": {"cost": "980$b"}}, "reference"),
        ({"fund": "HIST"}, "not permitted"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        profile(**given)


def test_a_profile_outlives_a_run_s_plan_and_says_what_it_does():
    kept = profile(
        fields={"note": ["981$d", "961"]}, codes={"fund": {"a": "b"}}, repeated="orders", currency="usd"
    )
    assert OrderProfile.model_validate_json(kept.model_dump_json()) == kept
    said = " ".join(kept.sentences())
    assert all(word in said for word in ("980/981", "GOBI", "USD", "en_US", "order of its own"))


def test_sources_are_written_back_as_they_are_read():
    for text in ("980$b", "035 _9$a", "961", "001"):
        assert str(FieldSource.parse(text)) == text
    assert str(FieldSource.parse("980 $b")) == "980$b"
    assert {part for layout in SHIPPED.values() for part in layout.parts} <= set(PARTS)
