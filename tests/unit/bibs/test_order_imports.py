"""Orders with their records: what is ordered in Alma, what is refused before anything is written, again, at once."""

import csv
import io

import pytest

from alma_etl.inventory.loaded_orders import SqlLoadedOrders
from alma_etl.marc.iso2709 import to_iso2709
from tests.unit.bibs.conftest import Run
from tests.unit.bibs.test_bib_imports import new

pytestmark = pytest.mark.heavy
PROFILES = """profiles:
  gobi:
    suppress: true
    orders: &gobi
      layout: 980_981
      po_line_type: PRINTED_BOOK_OT
      owner: MAIN
      vendor: GOBI
      vendor_account: GOBI-1
  pals: {orders: {<<: *gobi, layout: 949_980}}
  sierra:
    orders: {<<: *gobi, layout: 960_961, fund_case: correct, vendor: UKBOOKS, vendor_account: UK-1,
             codes: {location: {main1: MAIN/stacks}}}
  swept: {orders: {<<: *gobi, search_vendor_lines: true}}
  dry: {dry_run: true, orders: *gobi}
"""


@pytest.fixture
def imports(imports):
    imports.profiles(PROFILES)
    return imports


def gobi(
    number, reference, *, price="27.95", fund="HIST", place="MAIN/stacks", account="", quantity=1, more=""
):
    account = f"$g{account}" if account else ""
    return new(
        number, f"035 _9 $a{reference}$bYBP", f"049 __ $a{place}",
        f"980 __ $a20261101$b{price}$f{reference}$g{quantity}{more}", f"981 __ $b{fund}$hfalse{account}",
    )  # fmt: skip


def load(imports, *records, name="march.mrc", profile="gobi", **params):
    return imports.load(*records, name=name, profile=profile, **params)


def lines(imports):
    """The PO lines that imports made, by their additional reference."""
    found = imports.client.po_lines.find(status="ALL_WITH_CLOSED")
    whole = [imports.client.po_lines.read(line.number).value for line in found]
    return {line.additional_reference: line for line in whole if line.additional_reference}


def orders(run):
    return list(csv.DictReader(io.StringIO(run.text("orders"))))


def posts(imports):
    return [call for call in imports.alma.calls() if call["method"] == "POST" and "/po-lines" in call["path"]]


def test_each_layout_becomes_a_title_and_a_po_line_and_again_nothing_is_ordered(imports):
    file = [gobi(801, "90000000001", account="137000")]
    run = load(imports, *file)
    assert run.outcomes == ["created"], run.rows
    assert run.problem == ""
    [order] = orders(run)
    line = lines(imports)["90000000001"]
    assert (order["outcome"], order["total"], order["currency"]) == ("ordered", "27.95", "USD")
    assert order["po_line"] in run.rows[0]["message"]
    assert line.vendor_account == "137000"
    assert "review" not in order["message"]
    pals = new(
        802,
        "949 __ $b30112000000001$c01$dMAIN$estacks",
        "980 __ $b18.50",
        "981 __ $aGIFTS$hY",
        "982 __ $aPALS-0001",
    )
    assert load(imports, pals, profile="pals").outcomes == ["created"]
    sierra = new(803, "960 __ $e-$o2$s13.95$tmain1$ubooks$zgbp", "961 __ $dOrdered for B3458")
    third = load(imports, sierra, profile="sierra")
    assert third.outcomes == ["created"], third.rows
    assert [(each["total"], each["currency"], each["funds"]) for each in orders(third)] == [
        ("27.90", "GBP", "BOOKS 27.90")
    ]
    imports.alma.forget()
    for records, profile in ((file, "gobi"), ([pals], "pals"), ([sierra], "sierra")):
        again = load(imports, *records, name="again.mrc", profile=profile)
        assert again.outcomes == ["conflict"], again.rows
        assert "ordered before, PO line" in again.rows[0]["message"]
    assert imports.writes() == []


def test_what_alma_does_not_know_is_refused_before_anything_is_written(imports):
    file = [
        gobi(801, "R1", fund="NOPE"), gobi(802, "R2", fund="hist"), gobi(803, "R3", fund="OLDBOOKS"),
        gobi(804, "R4", fund="GENERAL"), gobi(805, "R5", account="UK-1"), gobi(806, "R6", place="MAIN/nowhere"),
        gobi(807, "R7", price="12,50"), gobi(808, "R8", price="12.50 DEM"), gobi(809, "R9"),
        gobi(810, "r9"), gobi(811, "R11", quantity=0),
    ]  # fmt: skip
    before = imports.count()
    run = load(imports, *file)
    assert run.outcomes == [*["invalid_order"] * 8, "created", "duplicate_in_file", "invalid_order"], run.rows
    said = [row["message"] for row in run.rows]
    for message, words in zip(
        said,
        ["no fund NOPE", "is HIST in Alma", "fiscal period", "ledger", "no account UK-1", "nowhere", "en_US",
         "currency in use", "PO line", "record 9", "number of copies"],
        strict=True,
    ):  # fmt: skip
        assert words in message
    assert imports.count() == before + 1
    assert set(lines(imports)) == {"R9"}
    assert [row["outcome"] for row in orders(run)].count("invalid_order") == 9
    assert "rejects" in run.keys


def of_vendor(reference, *more):
    return new(801, *more, "049 __ $aMAIN/stacks", f"980 __ $b27.95$f{reference}", "981 __ $bHIST")


@pytest.mark.parametrize("first", [0, 1])
def test_an_order_whose_other_reference_one_of_two_files_lacks_is_placed_once(imports, first):
    files = [of_vendor("V1"), of_vendor("V1", "035 _9 $aR1$bYBP")]
    assert load(imports, files[first]).outcomes == ["created"]
    again = load(imports, files[1 - first], name="b.mrc")
    assert again.outcomes == ["conflict"], again.rows
    assert "the reference V1 stands in PO line" in again.rows[0]["message"]


def test_two_orders_of_a_title_may_share_an_invoice(imports):
    load(imports, of_vendor("V1", "035 _9 $aR1$bYBP"))
    again = load(imports, of_vendor("V1", "035 _9 $aR2$bYBP"), name="b.mrc")
    assert set(lines(imports)) == {"R1", "R2"}, again.rows


def test_the_table_of_orders_names_those_of_records_that_were_not_loaded(imports):
    load(imports, gobi(801, "R1"))
    both = (gobi(801, "R1"), gobi(802, "R2", fund="NOPE"), gobi(803, "R3", price="1,234"), gobi(804, "r3"))
    plain = new(805)
    run = load(imports, *both, plain, name="b.mrc")
    assert [(each["outcome"], each["vendor"], each["reference"]) for each in orders(run)] == [
        ("conflict", "GOBI", "R1"), ("invalid_order", "GOBI", "R2"), ("invalid_order", "GOBI", "R3"),
        ("invalid_order", "", ""), ("ordered", "GOBI", "r3"),
    ]  # fmt: skip


def test_an_owned_title_gets_its_order_and_a_reference_in_its_lines_is_a_conflict(imports):
    there = imports.add("035 __ $a (OCoLC)801", "245 00 $a Old")
    run = load(imports, gobi(801, "R1"))
    assert run.outcomes == ["merged"]
    assert run.rows[0]["mms_id"] == there
    # another store: nothing is remembered, Alma's own lines are
    memory = SqlLoadedOrders(imports.store, "x")
    with memory.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM loaded_orders")
    memory.close()
    imports.alma.forget()
    again = load(imports, gobi(801, "r1"), name="b.mrc")
    assert again.outcomes == ["conflict"]
    assert "of title" in again.rows[0]["message"]
    with_sweep = load(imports, gobi(999, "R1"), name="c.mrc", profile="swept")
    assert with_sweep.outcomes == ["conflict"]
    assert "of vendor GOBI" in with_sweep.rows[0]["message"]
    assert imports.writes() == []


def test_a_dry_run_orders_nothing_and_leaves_nothing_behind(imports):
    imports.alma.forget()
    run = load(imports, gobi(801, "R1"), profile="dry")
    assert run.outcomes == ["would_create"]
    assert [(each["outcome"], each["total"]) for each in orders(run)] == [("would_order", "27.95")]
    assert imports.writes() == []
    assert load(imports, gobi(801, "R1")).outcomes == ["created"]


def test_a_lost_answer_gives_one_po_line(imports):
    imports.alma.faults({"kind": "drop", "method": "POST", "path": "/acq/po-lines", "first": 1})
    run = load(imports, gobi(801, "R1"))
    assert run.outcomes == ["created"], run.rows
    assert "a look confirmed it" in run.rows[0]["message"]
    assert len(posts(imports)) == 1


def test_a_run_that_stops_before_its_orders_are_checked_says_so(imports):
    imports.alma.faults({"kind": "server_error", "path": "/acq/vendors", "first": 99})
    run = load(imports, gobi(801, "R1"), gobi(802, "R2", price="-1"))
    assert run.outcomes == ["failed", "invalid_order"], run.rows
    assert "not tried" in run.rows[0]["message"]
    assert imports.writes() == []


def test_an_order_that_alma_refuses_leaves_its_title_and_says_so(imports):
    imports.alma.faults(
        {"kind": "refuse", "method": "POST", "path": "/acq/po-lines", "first": 1, "code": "401872"}
    )
    run = load(imports, gobi(801, "R1"), gobi(802, "R2"))
    assert run.counts == {"not_applied": 1, "created": 1}, run.rows
    assert "the title: created" in next(row["message"] for row in run.rows if row["outcome"] == "not_applied")
    again = load(imports, gobi(801, "R1"), gobi(802, "R2"), name="b.mrc")
    assert sorted(again.outcomes) == ["conflict", "merged"], again.rows
    assert set(lines(imports)) == {"R1", "R2"}


def test_several_orders_of_a_record_and_a_second_record_of_its_title(imports):
    imports.profiles(PROFILES.replace("layout: 960_961,", "layout: 960_961, repeated: orders,"))
    both = ("960 __ $o1$s10.00$tmain1$uBOOKS", "960 __ $o2$s12.00$tmain1$uHIST", "935 __ $aS1", "935 __ $aS2")
    run = load(imports, new(801, *both), new(801, both[0], "935 __ $aS3"), profile="sierra")
    assert run.outcomes == ["created", "merged"], run.rows
    assert len({line.mms_id for line in lines(imports).values()}) == 1
    assert [(each["reference"], each["quantity"], each["total"]) for each in orders(run)] == [
        ("S1", "1", "10.00"), ("S2", "2", "24.00"), ("S3", "1", "10.00"),
    ]  # fmt: skip
    assert "S2" in imports.bucket.get(run.keys["html"]).decode()


def test_an_order_costs_one_request_and_three_more_for_the_file(imports):
    imports.alma.forget()
    run = load(imports, *(gobi(800 + n, f"R{n}") for n in range(10)))
    assert run.counts == {"created": 10}
    acq = [
        f"{call['method']} {call['path'].split('?')[0].split('/v1')[-1]}"
        for call in imports.alma.calls()
        if "/acq/" in call["path"]
    ]
    assert sorted(set(acq)) == ["GET /acq/funds", "GET /acq/vendors/GOBI", "POST /acq/po-lines"]
    assert len(acq) == 12


def test_orders_beside_inventory_stop_the_run(imports):
    inventory = 'inventory: {field: "949", subfields: {barcode: b, library: d, location: e}}'
    imports.profiles(PROFILES.replace("suppress: true", inventory))
    run = load(imports, gobi(801, "R1"))
    assert run.outcomes == ["failed"]
    assert "make holdings and items themselves" in run.rows[0]["message"]


def test_two_runs_at_once_order_once(imports):
    one, two = (Run(imports, to_iso2709(gobi(801, "R1")), name, "gobi") for name in ("a.mrc", "b.mrc"))
    for run in (one, two):
        run.read()
        run.match()
        run.write()
    one.inventory()
    two.inventory()
    for run in (one, two):
        run.finish()
    assert one.outcomes == ["created"]
    assert two.outcomes == ["not_applied"]
    assert "conflict" in two.rows[0]["message"]
    assert len(posts(imports)) == 1
