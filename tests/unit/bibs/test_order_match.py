"""Full records find the title that was ordered, by the reference of the order."""

import pytest
import requests

from alma_etl.bibs.profiles import BibProfile
from alma_etl.inventory.loaded_orders import SqlLoadedOrders
from tests.unit.bibs.records import lines, record
from tests.unit.bibs.test_bib_imports import F008, new
from tests.unit.bibs.test_order_imports import gobi
from tests.unit.bibs.test_order_imports import lines as po_lines

pytestmark = pytest.mark.heavy
PROFILES = """profiles:
  gobi:
    suppress: true
    sync_with_oclc: NONE
    orders: {layout: 980_981, po_line_type: PRINTED_BOOK_OT, owner: MAIN, vendor: GOBI, vendor_account: GOBI-1}
  other-vendor:
    orders: {layout: 980_981, po_line_type: PRINTED_BOOK_OT, owner: MAIN, vendor: VENDOR1, vendor_account: VENDOR1}
  full: &full
    match: [order, oclc, "019"]
    order_reference: {source: ["982$a", "035 _9$a"], vendor: GOBI}
    on_match: overlay
    on_no_match: skip
    flags_on_match: set
    sync_with_oclc: BIBS
    check_005: false
  swept: {<<: *full, order_reference: {source: "982$a", vendor: GOBI, search_vendor_lines: true}}
  swept-of-nobody: {<<: *full, order_reference: {source: "982$a", vendor: NOBODY, search_vendor_lines: true}}
  of-nobody: {<<: *full, order_reference: {source: "982$a", vendor: NOBODY}}
  without-reference: {match: [order, oclc]}
  alone: {<<: *full, match: [order]}
  network: {<<: *full, zone: nz}
  create: {<<: *full, on_refused: create, on_no_match: create}
"""


@pytest.fixture
def imports(imports):
    imports.profiles(PROFILES)
    return imports


@pytest.fixture
def ordered(imports):
    """A title that was ordered, as R1, with the OCLC number that its vendor chose."""
    [row] = imports.load(gobi(801, "R1"), name="eod.mrc", profile="gobi").rows
    imports.alma.forget()
    return row["mms_id"]


def full(number, reference, *fields):
    return new(number, f"982 __ $a{reference}", *fields, title="Full")


def forget_orders(imports):
    memory = SqlLoadedOrders(imports.store, "x")
    with memory.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM loaded_orders")
    memory.close()


def change_line(imports, number, **change):
    requests.post(f"{imports.alma.url}/sandbox/po-lines/{number}", json=change, timeout=30).raise_for_status()


@pytest.mark.parametrize("with_sru", [False, True])
@pytest.mark.parametrize("number", [801, 999])
def test_the_full_record_overlays_the_title_that_was_ordered_whatever_its_number(
    imports, ordered, number, with_sru
):
    if with_sru:
        imports.with_sru()
    run = imports.load(full(number, "r1 "), full(number + 1, "R2"), profile="full")
    assert run.outcomes == ["overlaid", "no_key"], run.rows
    assert run.rows[0]["mms_id"] == ordered
    assert ("ORDER_MATCH" in run.rows[0]["reasons"]) == (number == 999)
    assert ("OCLC number" in run.rows[0]["message"]) == (number == 999)
    assert lines(imports.title(ordered), "035", "245")[0] == f"035 __ $a (OCoLC){number}"
    assert lines(imports.title(ordered), "245") == ["245 00 $a Full"]
    bib = imports.alma.state()["bibs"][ordered]
    assert (bib["suppressed"], bib["sync_with_oclc"]) == (False, "BIBS")
    assert po_lines(imports)["R1"].mms_id == ordered
    again = imports.load(full(number, "r1 "), name="b.mrc", profile="full")
    assert again.outcomes == ["unchanged"]
    assert imports.writes() == ["PUT"]


def test_a_vendor_may_name_the_number_of_the_po_line(imports, ordered):
    number = po_lines(imports)["R1"].number
    imports.alma.forget()
    run = imports.load(full(999, number), full(998, "POL-77"), full(997, "POL-1001"), profile="full")
    assert run.outcomes == ["overlaid", "no_key", "no_key"], run.rows  # POL-1001 is another vendor's
    assert run.rows[0]["mms_id"] == ordered
    asked = [call["path"] for call in imports.alma.calls() if "/acq/po-lines" in call["path"]]
    assert len(asked) == 3


def test_the_orders_title_and_the_numbers_are_two(imports, ordered):
    other = imports.add("035 __ $a (OCoLC)999", "245 00 $a In the library already")
    imports.alma.forget()
    for profile in ("full", "create"):
        run = imports.load(full(999, "R1"), profile=profile)
        assert run.outcomes == ["multi_match"], run.rows
        for words in (
            f"{ordered} by order r1",
            f"{other} by 035 $a 999",
            "relink the PO line",
            "no API does",
        ):
            assert words in run.rows[0]["message"]
    assert imports.writes() == []


def test_two_titles_of_one_order_are_named_and_get_no_third(imports, ordered):
    twice = imports.load(new(802, "035 _9 $aR1$bYBP", "049 __ $aMAIN/stacks", "980 __ $b27.95$fR1$g1",
                             "981 __ $bHIST"), name="c.mrc", profile="other-vendor")  # fmt: skip
    assert twice.outcomes == ["created"], twice.rows
    forget_orders(imports)
    second = po_lines(imports)["R1"]
    answer = requests.put(
        f"{imports.alma.url}/almaws/v1/acq/po-lines/{second.number}",
        json={**second.raw, "vendor": {"value": "GOBI"}, "vendor_account": "GOBI-1"},
        headers={"Authorization": "apikey sandbox"},
        timeout=30,
    )
    answer.raise_for_status()
    imports.profiles(PROFILES.replace("swept: {<<: *full,", "swept: {<<: *full, on_refused: create,"))
    imports.alma.forget()
    run = imports.load(full(999, "R1"), profile="swept")
    assert run.outcomes == ["multi_match"], run.rows
    assert run.rows[0]["message"].count("by order r1") == 2
    assert imports.writes() == []


def test_a_line_that_was_relinked_leads_to_its_present_title(imports, ordered):
    other = imports.add("035 __ $a (OCoLC)999", "245 00 $a In the library already")
    change_line(imports, po_lines(imports)["R1"].number, mms_id=other)
    [row] = imports.load(full(999, "R1"), profile="full").rows
    assert (row["outcome"], row["mms_id"]) == ("overlaid", other)


def test_a_cancelled_order_and_another_vendors_find_nothing(imports, ordered):
    change_line(imports, po_lines(imports)["R1"].number, status="CANCELLED")
    assert imports.load(full(999, "R1"), profile="full").outcomes == ["no_key"]
    assert imports.load(full(999, "R1"), profile="swept").outcomes == ["no_key"]


def test_what_no_import_ordered_is_found_among_the_vendors_lines_by_option(imports, ordered):
    forget_orders(imports)
    assert imports.load(full(999, "R1"), profile="full").outcomes == ["no_key"]
    [row] = imports.load(full(999, "R1"), name="b.mrc", profile="swept").rows
    assert (row["outcome"], row["mms_id"]) == ("overlaid", ordered)


def test_vendors_lines_whose_list_shows_no_references_are_read(imports, ordered):
    forget_orders(imports)
    imports.alma.settings(po_line_lists="brief")
    [row] = imports.load(full(999, "R1"), profile="swept").rows
    imports.alma.settings(po_line_lists="full")
    assert (row["outcome"], row["mms_id"]) == ("overlaid", ordered)


def test_a_general_refusal_of_the_vendor_stops_the_run_with_its_words(imports):
    imports.alma.faults({"kind": "refuse", "path": "/acq/vendors"})
    [row] = imports.load(full(999, "R1"), profile="full").rows
    assert row["outcome"] == "failed"
    assert "General Error" in row["message"]
    assert "no vendor" not in row["message"]


def test_a_title_that_alma_no_longer_has(imports, ordered):
    imports.alma.delete(f"/bibs/{ordered}?override=true")
    assert imports.load(full(999, "R1"), profile="full").outcomes == ["no_key"]


def test_a_po_line_that_cannot_be_read_creates_nothing(imports, ordered):
    imports.alma.faults({"kind": "server_error", "method": "GET", "path": "/acq/po-lines", "first": 9})
    run = imports.load(full(999, "R1"), profile="create")
    assert run.outcomes == ["failed"], run.rows
    assert "could not be looked up" in run.rows[0]["message"]
    assert imports.writes() == []


def test_records_of_one_order_in_one_file_do_not_overwrite_each_other(imports, ordered):
    run = imports.load(full(999, "R1"), full(998, "R1", "300 __ $a 2 v."), profile="full")
    assert run.outcomes == ["overlaid", "duplicate_in_file"]
    assert lines(imports.title(ordered), "035")[0] == "035 __ $a (OCoLC)999"


def test_a_record_without_a_reference_is_matched_by_its_number(imports, ordered):
    plain = record("001 x", F008, "035 __ $a (OCoLC)801", "245 00 $a Full")
    [row] = imports.load(plain, profile="full").rows
    assert (row["outcome"], row["mms_id"]) == ("overlaid", ordered)
    assert [call for call in imports.alma.calls() if "/po-lines" in call["path"]] == []


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("of-nobody", "no vendor NOBODY"),
        ("swept-of-nobody", "no vendor NOBODY"),
        ("without-reference", "order_reference"),
        ("alone", "name oclc beside it"),
        ("network", "need `zone: iz`"),
    ],
)
def test_settings_that_do_not_fit_stop_the_run(imports, profile, words):
    run = imports.load(full(999, "R1"), profile=profile)
    assert set(run.outcomes) <= {"failed", "invalid_record"}
    assert imports.writes() == []
    assert words in imports.bucket.get(run.keys["html"]).decode().replace("&#39;", "'")


def test_a_source_that_names_no_subfield_is_refused():
    with pytest.raises(ValueError, match="is no subfield"):
        BibProfile(match=("order", "oclc"), order_reference={"source": "LDR", "vendor": "GOBI"})
