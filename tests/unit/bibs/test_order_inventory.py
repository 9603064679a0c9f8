"""Update inventory by the reference of an order: barcodes for the items that Alma made with the PO line, received."""

from datetime import date

import pytest
import requests

from alma_etl.alma.po_lines import PoLineItem, PoLines
from alma_etl.inventory.waiting_titles import SqlWaitingTitles, all_waiting
from alma_etl.remote.answers import Found
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.bibs.conftest import Run
from tests.unit.bibs.test_bib_imports import new, to_iso2709
from tests.unit.bibs.test_order_imports import gobi
from tests.unit.bibs.test_order_imports import lines as po_lines
from tests.unit.bibs.test_order_match import change_line, forget_orders

pytestmark = pytest.mark.heavy
PROFILES = """profiles:
  gobi:
    orders: {layout: 980_981, po_line_type: PRINTED_BOOK_OT, owner: MAIN, vendor: GOBI, vendor_account: GOBI-1}
  wcp: &wcp
    match: [order, oclc]
    order_reference: &982 {source: "982$a", vendor: GOBI}
    on_match: skip
    on_no_match: skip
    inventory: &items
      field: "949"
      subfields: {barcode: b, item_policy: c, library: d, location: e, internal_note_1: n}
      of_order: true
      call_number_from: ["050"]
      receive: {department: AcqDeptMAIN, library: MAIN}
  no-receipt: {<<: *wcp, inventory: {<<: *items, receive: null}}
  generated: {<<: *wcp, inventory: {<<: *items, generated_barcode: 'AUTO\\d+'}}
  dry: {<<: *wcp, dry_run: true}
  elsewhere: {<<: *wcp, inventory: {<<: *items, receive: {department: Nowhere, library: MAIN}}}
  other-library: {<<: *wcp, inventory: {<<: *items, receive: {department: AcqDeptSCI, library: MAIN}}}
  without-reference: {match: [oclc], inventory: *items}
"""


@pytest.fixture
def imports(imports):
    imports.profiles(PROFILES)
    imports.alma.settings(po_line_barcodes="none")
    yield imports
    imports.alma.settings(po_line_barcodes="made")


def order(imports, number=801, reference="R1", quantity=2):
    [row] = imports.load(gobi(number, reference, quantity=quantity), name="eod.mrc", profile="gobi").rows
    assert row["outcome"] == "created", row
    imports.alma.forget()
    return row["mms_id"]


def wcp(*barcodes, number=801, reference="R1", place="$dMAIN$estacks", more=""):
    fields = (f"949 __ $b{barcode}$c01{place}{more}" for barcode in barcodes)
    return new(number, f"982 __ $a{reference}", "050 00 $a QA1 $b .M3", *fields)


def items(imports, reference="R1"):
    """The items of the PO line: barcode, policy, note, arrival date, department."""
    found = imports.client.po_lines.items(po_lines(imports)[reference].number).value
    read = [imports.client.items.read(*entry.place).value for entry in found]
    return [
        (
            item.barcode,
            item.item_policy,
            item.raw["item_data"]["internal_note_1"],
            bool(item.raw["item_data"].get("arrival_date")),
        )
        for item in read
    ]


def test_each_field_gives_an_ordered_item_its_barcode_and_receives_it_and_again_nothing(imports):
    mms_id = order(imports, quantity=3)
    before = len(imports.alma.state()["items"])
    run = imports.load(wcp("B1", "B2", more="$nsigned"), profile="wcp")
    [row] = run.rows
    assert (row["outcome"], row["mms_id"]) == ("merged", mms_id), row
    assert "2 items: received" in row["message"]
    assert items(imports) == [("B1", "01", "signed", True), ("B2", "01", "signed", True), ("", "", "", False)]
    assert len(imports.alma.state()["items"]) == before
    [holding] = imports.client.holdings.list(mms_id).value
    assert holding.call_number == "QA1 .M3"
    received = [call for call in imports.alma.calls() if "op=receive" in call["path"] + call.get("query", "")]
    assert len(received) == 2
    writes = imports.writes()
    assert sorted(writes) == ["POST", "POST", "PUT", "PUT", "PUT"]  # two items, their holding, two receipts
    again = imports.load(wcp("B1", "B2", more="$nsigned"), name="b.mrc", profile="wcp")
    assert again.outcomes == ["unchanged"], again.rows
    assert imports.writes() == writes


def test_a_cleared_run_stays_with_what_it_has_given_to_items(imports):
    order(imports)
    run = imports.load(wcp("B1"), profile="wcp")
    writes = imports.writes()
    imports.profiles(PROFILES.replace("barcode: b", "barcode: z"))
    run.whole()
    assert imports.writes() == writes
    assert run.outcomes == ["not_applied"], run.rows  # not invalid_record: its items have been written
    assert [each[0] for each in items(imports)] == ["B1", ""]


def test_what_an_item_costs(imports):
    order(imports, quantity=3)
    imports.profiles(PROFILES.replace('      call_number_from: ["050"]\n', ""))
    run = Run(imports, to_iso2709(wcp("B1", "B2", "B3")), "a.mrc", "wcp")
    run.read()
    imports.alma.forget()
    run.match()
    assert len(imports.alma.calls()) == 3  # the PO line, its title, and the OCLC number
    run.write()
    imports.alma.forget()
    run.inventory()
    assert len(imports.alma.calls()) == 3 * 4 + 1


def test_items_elsewhere_are_read_once(imports):
    order(imports, quantity=4)
    run = imports.load(*[wcp("B1", "B2", "B3", place="$dMAIN$ereserves")], profile="wcp")
    assert run.outcomes == ["not_applied"]
    reads = [call for call in imports.alma.calls() if call["method"] == "GET" and "/items/23" in call["path"]]
    assert len(reads) == 4


def test_an_item_that_is_no_longer_there_is_passed_over(imports):
    order(imports, quantity=2)
    gone = {"kind": "refuse", "method": "GET", "path": "/holdings", "first": 1, "code": "401683"}
    imports.alma.faults(gone)
    assert imports.load(wcp("B1"), profile="no-receipt").outcomes == ["merged"]
    assert [item[0] for item in items(imports)] == ["", "B1"]


def test_what_staff_changed_since_stays(imports):
    order(imports, quantity=1)
    imports.load(wcp("B1"), profile="no-receipt")
    imports.load(wcp("B1", more="$nnew"), name="b.mrc", profile="no-receipt")
    assert items(imports) == [("B1", "01", "", False)]
    assert imports.load(wcp("B1"), name="c.mrc", profile="wcp").outcomes == ["merged"]
    assert items(imports) == [("B1", "01", "", True)]


def test_a_barcode_that_alma_made_up_is_replaced_by_option_alone(imports):
    imports.alma.settings(po_line_barcodes="made")
    order(imports, quantity=1)
    run = imports.load(wcp("B1"), profile="wcp")
    assert run.outcomes == ["not_applied"]
    assert "AUTO" in run.rows[0]["message"]
    assert "generated_barcode" in run.rows[0]["message"]
    assert imports.load(wcp("B1"), name="b.mrc", profile="generated").outcomes == ["merged"]
    assert [item[0] for item in items(imports)] == ["B1"]


def test_more_fields_than_items_and_another_place_and_a_used_barcode(imports):
    order(imports, quantity=1)
    run = imports.load(wcp("B1", "B2"), profile="wcp")
    assert run.outcomes == ["not_applied"]
    assert "1 item: received" in run.rows[0]["message"]
    assert "item B2: no_item, the PO line has no item at MAIN/stacks" in run.rows[0]["message"]
    order(imports, 802, "R2", quantity=1)
    other = imports.load(wcp("B3", number=802, reference="R2", place="$dMAIN$ereserves"), profile="wcp")
    assert other.outcomes == ["not_applied"], other.rows
    used = imports.load(wcp("B1", number=802, reference="R2"), name="b.mrc", profile="wcp")
    assert used.outcomes == ["not_applied"]
    assert "the barcode belongs to an item of the title" in used.rows[0]["message"]
    anywhere = imports.load(wcp("B4", number=802, reference="R2", place=""), name="c.mrc", profile="wcp")
    assert anywhere.outcomes == ["merged"]
    assert items(imports, "R2") == [("B4", "01", "", True)]


def test_a_title_whose_order_no_import_placed_is_found_in_its_own_lines(imports):
    order(imports, quantity=1)
    forget_orders(imports)
    assert imports.load(wcp("B1"), profile="wcp").outcomes == ["merged"]
    unknown = imports.load(wcp("B2", reference="R9"), name="b.mrc", profile="wcp")
    assert unknown.outcomes == ["not_applied"]
    assert "no PO line of the title has the reference r9" in unknown.rows[0]["message"]


def test_the_items_of_a_po_line_that_was_relinked_may_be_another_titles_which_is_said(imports):
    mms_id = order(imports, quantity=1)
    other = imports.add("035 __ $a (OCoLC)999", "245 00 $a In the library already")
    change_line(imports, po_lines(imports)["R1"].number, mms_id=other)
    [row] = imports.load(wcp("B1", number=999), profile="wcp").rows
    assert (row["outcome"], row["mms_id"]) == ("merged", other), row
    assert f"the item is one of title {mms_id}" in row["message"]


def test_an_order_in_review_is_not_received_and_is_once_it_was_released(imports):
    order(imports, quantity=1)
    change_line(imports, po_lines(imports)["R1"].number, status="INREVIEW")
    run = imports.load(wcp("B1"), profile="wcp")
    assert run.outcomes == ["not_applied"]
    assert "was not received" in run.rows[0]["message"]
    assert "waits in review" in run.rows[0]["message"]
    assert items(imports) == [("B1", "01", "", False)]
    change_line(imports, po_lines(imports)["R1"].number, status="SENT")
    assert imports.load(wcp("B1"), name="b.mrc", profile="wcp").outcomes == ["merged"]
    assert items(imports) == [("B1", "01", "", True)]


def test_a_dry_run_says_which_items_and_writes_nothing(imports):
    order(imports, quantity=1)
    run = imports.load(wcp("B1", "B2"), profile="dry")
    assert run.outcomes == ["not_applied"]
    assert "1 item: would get its barcode" in run.rows[0]["message"]
    assert imports.writes() == []
    assert imports.load(wcp("B1"), name="b.mrc", profile="dry").outcomes == ["would_merge"]


def test_a_field_without_a_barcode_is_refused_before_anything_is_written(imports):
    order(imports)
    no_barcode = new(801, "982 __ $aR1", "949 __ $c01$dMAIN$estacks")
    run = imports.load(no_barcode, profile="wcp")
    assert run.outcomes == ["invalid_record"]
    assert "no barcode to give" in run.rows[0]["message"]
    assert imports.load(wcp("B1", place="$dMAIN$enowhere"), profile="wcp").outcomes == ["invalid_record"]
    assert imports.writes() == []


def test_the_items_of_a_title_that_is_linked_to_the_network_zone_are_the_institutions(imports):
    mms_id = order(imports, quantity=1)
    change = {"linked": ["NZ", "99900001"]}
    requests.post(f"{imports.alma.url}/sandbox/bibs/{mms_id}", json=change, timeout=30).raise_for_status()
    assert imports.load(wcp("B1"), profile="wcp").outcomes == ["merged"]
    assert items(imports) == [("B1", "01", "", True)]


def test_a_record_that_is_older_than_its_title_gives_its_items_all_the_same(imports):
    order(imports, quantity=1)
    imports.profiles(PROFILES.replace("    on_match: skip\n", ""))
    old = wcp("B1")
    old["005"].data = "20000101000000.0"
    run = imports.load(old, profile="wcp")
    assert run.outcomes == ["not_added_old"]
    assert "1 item: received" in run.rows[0]["message"]
    assert items(imports) == [("B1", "01", "", True)]


def test_a_department_of_another_library_is_refused_by_alma_in_its_words(imports):
    order(imports, quantity=1)
    run = imports.load(wcp("B1"), profile="other-library")
    assert run.outcomes == ["not_applied"]
    assert "such as the department or its library" in run.rows[0]["message"]
    assert items(imports) == [("B1", "01", "", False)]


@pytest.mark.parametrize(
    ("profile", "words"),
    [("elsewhere", "no department Nowhere"), ("without-reference", "say by `order_reference`")],
)
def test_settings_that_do_not_fit_stop_the_run(imports, profile, words):
    run = imports.load(wcp("B1"), profile=profile)
    assert set(run.outcomes) <= {"failed", "invalid_record"}
    assert words in imports.bucket.get(run.keys["html"]).decode()
    assert imports.writes() == []


def test_lost_answers_are_looked_for(imports):
    order(imports, quantity=1)
    imports.alma.faults(
        {"kind": "drop", "method": "PUT", "path": "/items", "first": 1},
        {"kind": "drop", "method": "POST", "path": "/acq/po-lines", "first": 1},
    )
    assert imports.load(wcp("B1"), profile="wcp").outcomes == ["merged"]
    assert items(imports) == [("B1", "01", "", True)]


def test_a_run_that_is_cleared_once_the_receipt_is_set_receives_what_it_gave_barcodes(imports):
    order(imports, quantity=1)
    run = imports.load(wcp("B1"), profile="no-receipt")
    assert items(imports) == [("B1", "01", "", False)]
    imports.profiles(PROFILES.replace("receive: null", "receive: {department: AcqDeptMAIN, library: MAIN}"))
    run.whole()
    assert run.outcomes == ["merged"]
    assert "1 item: received" in run.rows[0]["message"]
    assert items(imports) == [("B1", "01", "", True)]


def test_what_a_cleared_run_has_written_stays_so_whatever_else_its_settings_say(imports):
    order(imports, quantity=1)
    run = imports.load(wcp("B1"), profile="no-receipt")
    writes = imports.writes()
    imports.profiles(PROFILES.replace("receive: null", "receive: null, fields: {internal_note_1: New}"))
    run.whole()
    assert run.outcomes == ["merged"]
    assert "1 item: got its barcode" in run.rows[0]["message"]
    assert imports.writes() == writes


def test_a_list_that_is_older_than_the_barcode_of_an_item_does_not_bring_the_old_one_back(
    imports, monkeypatch
):
    order(imports, quantity=1)
    imports.load(wcp("NEW"), profile="no-receipt")
    link = imports.client.po_lines.items(po_lines(imports)["R1"].number).value[0].link
    monkeypatch.setattr(PoLines, "items", lambda *_: Found([PoLineItem("OLD", link)]))
    run = imports.load(wcp("OLD"), name="b.mrc", profile="no-receipt")
    assert run.outcomes == ["not_applied"]
    assert "its items have NEW at MAIN/stacks" in run.rows[0]["message"]


def test_two_runs_at_once_take_an_item_each(imports):
    order(imports, quantity=2)
    one, two = (Run(imports, to_iso2709(wcp(barcode)), f"{barcode}.mrc", "wcp") for barcode in ("B1", "B2"))
    for run in (one, two):
        run.read()
        run.match()
        run.write()
    for run in (two, one):
        run.inventory()
        run.finish()
        assert run.outcomes == ["merged"]
    assert [item[0] for item in items(imports)] == ["B2", "B1"]


@pytest.mark.parametrize("kills", [(5, 11), pytest.param(range(1, 40), marks=pytest.mark.nightly)])
def test_killed_at_every_action_each_barcode_is_given_once_and_its_item_received(imports, monkeypatch, kills):
    reaper = Reaper(monkeypatch)
    for kill_at in kills:
        reference = f"R{kill_at}"
        reaper.fresh_process()
        order(imports, 800 + kill_at, reference)
        barcodes = f"A{kill_at}", f"B{kill_at}"
        body = to_iso2709(wcp(*barcodes, number=800 + kill_at, reference=reference))
        run = Run(imports, body, f"{kill_at}.mrc", "wcp")
        run.read()
        run.match()
        run.write()
        reaper.fresh_process(kill_at)
        try:
            run.inventory()
        except WorkerKilled:
            pass
        else:
            break
        reaper.fresh_process()
        run.inventory()
        run.finish()
        assert run.outcomes == ["merged"], (kill_at, run.rows)
        assert items(imports, reference) == [(barcode, "01", "", True) for barcode in barcodes], kill_at
    assert kill_at > 10


def listed(imports):
    titles = SqlWaitingTitles(imports.store, "whichever")
    with titles.transaction() as connection:
        found = {row.mms_id: row.received_at for row in connection.execute(all_waiting())}
    titles.close()
    return found


def test_the_list_of_titles_that_wait_knows_of_the_receipt_and_loses_the_title_with_its_full_record(imports):
    full = "  full: {match: [order, oclc], order_reference: *982, on_match: overlay, check_005: false}\n"
    imports.profiles(PROFILES.replace("  gobi:\n", "  gobi:\n    awaits_full_record: true\n") + full)
    mms_id = order(imports, quantity=1)
    assert listed(imports) == {mms_id: None}
    imports.load(wcp("B1"), profile="dry")
    assert listed(imports) == {mms_id: None}
    imports.load(wcp("B1"), profile="wcp")  # which leaves the title as it is
    assert listed(imports)[mms_id] is not None
    imports.load(wcp(number=999), name="b.mrc", profile="full", dry_run=True)
    assert mms_id in listed(imports)
    assert imports.load(wcp(number=999), name="c.mrc", profile="full").outcomes == ["overlaid"]
    assert listed(imports) == {}


def test_the_list_has_the_day_on_which_staff_received_an_item(imports):
    imports.profiles(PROFILES.replace("  gobi:\n", "  gobi:\n    awaits_full_record: true\n"))
    mms_id = order(imports, quantity=1)
    imports.load(wcp("B1"), profile="no-receipt")
    number = po_lines(imports)["R1"].number
    [entry] = imports.client.po_lines.items(number).value
    imports.client.po_lines.receive(
        number,
        entry.place[2],
        department="AcqDeptMAIN",
        department_library="MAIN",
        received=date(2026, 11, 3),
    )
    imports.load(wcp("B1"), name="b.mrc", profile="wcp")
    assert listed(imports)[mms_id].date() == date(2026, 11, 3)
