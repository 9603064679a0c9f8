"""What is asked of Alma before anything of a record with orders is written, and what is judged by itself."""

import pytest

from alma_etl.alma.funds import Fund, FundCheck, Funds, FundState
from alma_etl.alma.vendors import Vendors
from alma_etl.inventory.loaded_orders import SqlLoadedOrders
from alma_etl.remote.answers import Found
from tests.unit.bibs.test_bib_imports import new
from tests.unit.bibs.test_order_imports import PROFILES, gobi, lines, load, orders, posts

pytestmark = pytest.mark.heavy


@pytest.fixture
def imports(imports):
    imports.profiles(PROFILES)
    yield imports
    imports.alma.settings(po_line_lists="full")


def forget_orders(imports):
    """Another store: nothing is remembered, Alma's own lines are."""
    memory = SqlLoadedOrders(imports.store, "x")
    with memory.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM loaded_orders")
    memory.close()


def page(run):
    return run.imports.bucket.get(run.keys["html"]).decode()


def of_profile(imports, line):
    """The profile gobi with a setting of its orders instead of the one of that name."""
    name = line.split(":")[0]
    before = next(each for each in PROFILES.splitlines() if each.startswith(f"      {name}:"))
    imports.profiles(PROFILES.replace(before, f"      {line}", 1))


def test_a_fund_is_not_chosen_among_several_that_differ_in_capitals(imports, monkeypatch):
    several = FundCheck(FundState.OTHER_CASE, Fund("HIST", "", "", "", "", "", {}), ("HIST", "Hist"))
    monkeypatch.setattr(Funds, "check", lambda self, codes, library: dict.fromkeys(codes, Found(several)))
    imports.profiles(PROFILES.replace("layout: 980_981\n", "layout: 980_981\n      fund_case: correct\n"))
    run = load(imports, gobi(801, "R1", fund="hist"))
    assert run.outcomes == ["invalid_order"], run.rows
    assert "is none of HIST, Hist" in run.rows[0]["message"]
    assert imports.writes() == []


def test_a_vendor_is_written_as_alma_has_it(imports, monkeypatch):
    """Else one reference would be ordered once by each spelling."""
    read = Vendors.read
    monkeypatch.setattr(Vendors, "read", lambda self, code: read(self, code.upper()))
    of_profile(imports, "vendor: gobi")
    run = load(imports, gobi(801, "R1"))
    assert run.outcomes == ["invalid_order"], run.rows
    assert "vendor gobi is GOBI in Alma" in run.rows[0]["message"]
    assert imports.writes() == []


# --- the lines of a vendor


def test_a_vendor_s_lines_whose_list_shows_no_references_are_read_one_by_one(imports):
    load(imports, gobi(801, "R1"))
    forget_orders(imports)
    imports.alma.settings(po_line_lists="brief")
    imports.alma.forget()
    run = load(imports, gobi(999, "r1"), profile="swept", name="b.mrc")
    assert run.outcomes == ["conflict"], run.rows
    assert "of vendor GOBI" in run.rows[0]["message"]
    assert imports.writes() == []
    assert (
        "1 PO line of vendor GOBI searched for the references of orders: 2 requests, 1 of them read"
        in page(run)
    )


def test_a_vendor_s_line_that_cannot_be_read_stops_the_run_and_is_named(imports):
    load(imports, gobi(801, "R1"))
    number = lines(imports)["R1"].number
    imports.alma.settings(po_line_lists="brief")
    imports.alma.forget()
    imports.alma.faults({"kind": "server_error", "path": f"/acq/po-lines/{number}", "first": 99})
    run = load(imports, gobi(999, "R2"), profile="swept", name="b.mrc")
    assert run.outcomes == ["failed"]
    assert f"/acq/po-lines/{number}" in run.rows[0]["message"]
    assert imports.writes() == []


# --- codes


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("po_line_type: BOOK_NOPE", "PO line type 'BOOK_NOPE' is not in Alma's table PurchaseType"),
        ("owner: NOPE", "library 'NOPE' is unknown to Alma"),
        (
            "layout: 980_981\n      acquisition_method: NOPE",
            "'NOPE' is not in Alma's table AcquisitionMethod",
        ),
    ],
)
def test_a_code_of_the_order_that_alma_does_not_know_is_refused_before_its_title_is_written(
    imports, line, said
):
    of_profile(imports, line)
    imports.alma.forget()
    run = load(imports, gobi(801, "R1"))
    assert run.outcomes == ["invalid_order"], run.rows
    assert said in run.rows[0]["message"]
    assert imports.writes() == []


def test_an_owner_without_a_copy_of_its_own_needs_no_location(imports):
    of_profile(imports, "owner: LAW")
    assert load(imports, gobi(801, "R1")).outcomes == ["created"]


@pytest.mark.parametrize(
    "fault", [{"kind": "refuse", "code": "90100"}, {"kind": "short", "text": "PRINTED_BOOK_OT"}]
)
def test_a_table_of_codes_that_this_alma_does_not_have_is_remarked_and_not_in_the_way(imports, fault):
    imports.alma.faults({**fault, "path": "/code-tables/PurchaseType"})
    run = load(imports, gobi(801, "R1"))
    assert run.outcomes == ["created"], run.rows
    assert "the codes of po_line_type were not asked for beforehand" in page(run)


def pals(number, *barcodes, reference="P1", fund="GIFTS"):
    items = [f"949 __ $b{barcode}$c01$dMAIN$estacks" for barcode in barcodes]
    return new(number, *items, "980 __ $b18.50", f"981 __ $a{fund}", f"982 __ $a{reference}")


def test_a_barcode_that_an_item_has_already_is_refused_before_its_title_is_written(imports):
    taken = "NEW-0"
    assert load(imports, pals(800, taken, reference="P0"), profile="pals").outcomes == ["created"]
    file = [pals(801, "NEW-1", taken), pals(802, "NEW-2", reference="P2")]
    run = load(imports, *file, profile="pals", name="a.mrc")
    assert run.outcomes == ["invalid_order", "created"], run.rows
    assert f"barcodes of its copies already: {taken} (title " in run.rows[0]["message"]
    assert set(lines(imports)) == {"P0", "P2"}
    imports.alma.faults({"kind": "server_error", "path": "item_barcode=NEW-3", "first": 99})
    unknown = load(imports, pals(803, "NEW-3", reference="P3"), profile="pals", name="b.mrc")
    assert unknown.outcomes == ["failed"], unknown.rows
    assert "whether there is an item NEW-3" in unknown.rows[0]["message"]


# --- twins in a file


def test_a_record_whose_twin_ordered_nothing_is_judged_by_itself(imports):
    file = [gobi(801, "R1", fund="NOPE"), gobi(802, "r1"), gobi(803, "R1")]
    run = load(imports, *file)
    assert run.outcomes == ["invalid_order", "created", "duplicate_in_file"], run.rows
    assert "record 2 of the file" in run.rows[2]["message"]
    assert len(posts(imports)) == 1


def test_a_record_whose_twin_has_several_titles_is_judged_by_itself(imports):
    for title in ("One", "Two"):
        imports.add("035 __ $a (OCoLC)801", f"245 00 $a {title}")
    run = load(imports, gobi(801, "R1"), gobi(802, "R1"))
    assert run.outcomes == ["multi_match", "created"], run.rows


def test_a_barcode_of_a_record_whose_codes_are_wrong_is_free_for_a_later_one(imports):
    taken = pals(801, "NEW-1", fund="NOPE")
    run = load(imports, taken, pals(802, "NEW-1", reference="P2"), profile="pals")
    assert run.outcomes == ["invalid_order", "created"], run.rows
    rules = "{field: '949', subfields: {barcode: b, library: d, location: e, item_policy: c}}"
    imports.profiles(f"profiles:\n  items: {{suppress: true, inventory: {rules}}}\n")
    wrong = new(803, "949 __ $bNEW-2$c01$dMAIN$enowhere")
    right = [new(number, "949 __ $bNEW-2$c01$dMAIN$estacks") for number in (804, 805)]
    items = load(imports, wrong, *right, profile="items", name="b.mrc")
    assert items.outcomes == ["invalid_record", "created", "duplicate_in_file"], items.rows


def test_a_cleared_run_does_not_order_for_the_first_record_what_it_ordered_for_its_twin(imports):
    run = load(imports, gobi(801, "R1", fund="hist"), gobi(802, "R1"))
    assert run.outcomes == ["invalid_order", "created"], run.rows
    imports.profiles(PROFILES.replace("layout: 980_981\n", "layout: 980_981\n      fund_case: correct\n"))
    imports.alma.forget()
    run.whole()
    assert run.outcomes == ["conflict", "created"], run.rows
    assert imports.writes() == []


# --- questions that Alma refuses whatever the code


@pytest.mark.parametrize("path", ["/acq/vendors", "/acq/funds"])
@pytest.mark.parametrize(
    ("code", "status", "words"),
    [("401652", 400, "General Error"), ("UNAUTHORIZED", 400, "does not accept this API key"),
     ("X", 401, "does not accept this API key"), ("X", 403, "gateway refuses this key"),
     ("DAILY_THRESHOLD", 429, "used up")],
)  # fmt: skip
def test_a_refusal_that_is_of_no_code_stops_the_run_with_its_words(imports, path, code, status, words):
    imports.alma.faults({"kind": "refuse", "path": path, "code": code, "status": status})
    run = load(imports, gobi(801, "R1"))
    assert run.outcomes == ["failed"], run.rows
    assert words in run.rows[0]["message"]
    imports.alma.heal()


def test_why_an_order_waits_for_a_review_is_said(imports):
    run = load(imports, gobi(801, "R1", fund="TINY", price="60.00"))
    [order] = orders(run)
    assert order["message"] == "it waits for a review: FUND_IS_OVER_ENCUMBERED"


def test_as_many_copies_as_are_read_are_ordered(imports):
    run = load(imports, gobi(801, "R1", quantity=120))
    assert run.outcomes == ["created"], run.rows
    assert len(imports.alma.made()[0]) == 120
