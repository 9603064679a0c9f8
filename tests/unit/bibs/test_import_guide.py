"""Each step of the cataloguers' guide that docs/imports.md says is built, by a dropped file; and that the page names
no test that is not here."""

import re

import pytest
import requests

from alma_etl.bibs.keys import keys_of
from alma_etl.inventory.codes import alma_of
from alma_etl.inventory.waiting_titles import SqlWaitingTitles
from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.marc.xml import record_from_xml, xml_from_record
from alma_sandbox import Settings, serve
from alma_sandbox.catalogue import ids
from local.settings import ROOT
from tests.unit.bibs.conftest import Run
from tests.unit.bibs.records import lines, record
from tests.unit.bibs.test_bib_imports import F008, brief, locks, new

pytestmark = pytest.mark.heavy
PAGE = ROOT / "docs" / "imports.md"
PROFILE_RUNS = ROOT / "tests" / "e2e" / "test_import_profile_run.py"
HEADING = "## The cataloguers' guide, step by step"
LATER, STAFF = "to come", "staff"


def link(imports, mms_id: str, zone: str) -> None:
    rearrange(imports, mms_id, linked=[zone, "99900001"])


def rearrange(imports, mms_id: str, **change) -> None:
    answer = requests.post(f"{imports.alma.url}/sandbox/bibs/{mms_id}", json=change, timeout=30)
    answer.raise_for_status()


def old(imports, number: int = 901, *fields: str) -> str:
    return imports.add(f"035 __ $a (OCoLC){number}", "245 00 $a Old", *fields)


def older(number: int):
    return record("005 20000101000000.0", F008, f"035 __ $a (OCoLC){number}", "245 00 $a Older")


# --- the page


def guide_rows() -> list[list[str]]:
    """The rows of the page's tables: what the guide says, what it is here, and what tries it."""
    section = PAGE.read_text().split(HEADING)[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0] != "the guide" and not row[0].startswith("---")]


def test_the_page_names_the_test_of_every_step_that_is_built():
    there = {name for name in globals() if name.startswith("test_")}
    rows = guide_rows()
    assert len(rows) > 40
    named = set()
    for row in rows:
        tried = re.findall(r"`(test_\w+)`", row[-1])
        assert len(row) == 3, row
        assert tried or row[-1] in (LATER, STAFF), row
        named |= set(tried)
    of_profiles = set(re.findall(r"def (test_\w+)", PROFILE_RUNS.read_text()))
    assert named - there - of_profiles == set()
    assert there - named == {"test_the_page_names_the_test_of_every_step_that_is_built"}


# --- cataloguing only


def test_a_title_that_the_library_has_is_reported(imports):
    imports.profiles("profiles:\n  search: {search_first: true}\n")
    there = old(imports)
    imports.alma.add_holding(there, "MAIN", "stacks")
    imports.alma.forget()
    run = imports.load(new(901), new(902), profile="search")
    assert [(row["outcome"], bool(row["mms_id"])) for row in run.rows] == [
        ("already_owned", True),
        ("created", True),
    ]
    assert run.rows[0]["mms_id"] == there
    assert imports.writes() == ["POST"]


def test_the_mms_id_or_the_oclc_number_that_was_noted_finds_the_title(imports):
    by_id, by_number = old(imports, 901), old(imports, 902)
    noted = record(f"001 {by_id}", "005 20400101000000.0", F008, "245 00 $a By id")
    run = imports.load(noted, new(902, title="By number"))
    assert [(row["outcome"], row["mms_id"]) for row in run.rows] == [
        ("merged", by_id),
        ("merged", by_number),
    ]


@pytest.mark.parametrize("form", ["mrc", "xml"])
def test_records_of_worldcat_that_match_nothing_are_created_and_their_mms_ids_reported(imports, form):
    records = [new(901, title="Café"), new(902, title="Łódź")]
    if form == "xml":
        body = b"<collection>" + b"".join(map(xml_from_record, records)) + b"</collection>"
    else:
        body = b"".join(map(to_iso2709, records))
    run = Run(imports, body, f"connexion.{form}")
    run.whole()
    assert run.outcomes == ["created", "created"]
    titles = [lines(imports.title(row["mms_id"]), "245") for row in run.rows]
    assert titles == [["245 00 $a Café"], ["245 00 $a Łódź"]]


def test_a_title_open_in_the_editor_is_left_and_taken_once_it_is_released(imports):
    there = old(imports)
    locks(imports, lock=[there], by="cataloguer1")
    run = imports.load(new(901), lock_wait_minutes=0)
    assert run.outcomes == ["not_added_locked"]
    assert "cataloguer1" in run.rows[0]["message"]
    assert b"901" in imports.bucket.get(run.keys["rejects"])
    locks(imports, unlock=[there])
    again = Run(imports, imports.bucket.get(run.keys["rejects"]), "released.mrc")
    again.whole()
    assert again.outcomes == ["merged"]


def test_a_record_brings_its_holding_and_items(imports):
    imports.profiles(
        "profiles:\n  pals:\n    inventory:\n      field: '949'\n"
        "      subfields: {barcode: b, item_policy: c, library: d, location: e}\n"
    )
    copies = [f"949 __ $b A{number} $c 01 $d MAIN $e stacks" for number in (1, 2)]
    run = imports.load(new(901, *copies), profile="pals")
    assert run.outcomes == ["created"]
    items, holdings = imports.alma.made()
    mms_id = run.rows[0]["mms_id"]
    assert holdings == {(mms_id, "MAIN", "stacks"): 1}
    assert {barcode: item["mms_id"] for barcode, item in items.items()} == {"A1": mms_id, "A2": mms_id}
    imports.alma.forget()
    again = imports.load(new(901, *copies), name="b.mrc", profile="pals")
    assert again.outcomes == ["unchanged"]
    assert imports.writes() == []


@pytest.mark.parametrize("of", ["nz", "catalog"])
def test_the_network_zone_gets_no_inventory(imports, of):
    zone = "  catalog: {zone: nz}\n  nz:\n" if of == "catalog" else "  nz:\n    zone: nz\n"
    imports.profiles(f"profiles:\n{zone}    inventory: {{field: '949', subfields: {{barcode: b}}}}\n")
    run = imports.load(new(901), profile="nz")
    assert "network zone" in run.problem
    assert imports.count() == 0


def test_a_record_of_the_network_zone_is_copied_to_the_catalog(imports):
    with serve(Settings(per_second=0, titles=30, institution="01ZZ_NETWORK", suffix="4400")) as zone:
        client = imports.new_client(zone.url)
        imports.further["alma", "network"] = client
        imports.profiles("profiles:\n  catalog: {network: network}\n")
        zone_ids = (ids.mms_id(title, "4400") for title in range(20, 30))  # the institution has none of these
        there, number = next(
            (each, number)
            for each in (record_from_xml(client.bibs.read(mms_id).value.record) for mms_id in zone_ids)
            for number in keys_of(each).oclc
            if f"035 __ $a (OCoLC){number}" in lines(each, "035")
        )
        run = imports.load(new(number, title="The vendor's"), new(903))
        client.close()
    assert run.outcomes == ["created", "created"]
    copied = imports.title(run.rows[0]["mms_id"])
    assert lines(copied, "245") == lines(there, "245")
    assert f"035 __ $a (EXLNZ-01ZZ_NETWORK){there['001'].data}" in lines(copied, "035")
    assert lines(imports.title(run.rows[1]["mms_id"]), "245") == ["245 00 $a Made up"]


# --- messages of the gateway


def test_a_profile_that_does_not_exist_is_named_with_those_that_do(imports):
    run = imports.load(new(901), profile="01ZZ_NONE")
    assert run.problem
    assert "01ZZ_NONE" in run.problem
    assert "catalog" in run.problem
    assert run.filed.startswith("bibs/failed/")
    assert imports.count() == 0


def test_a_key_that_alma_does_not_take_stops_the_run_before_anything_is_written(imports):
    imports.alma.faults(
        {"kind": "refuse", "status": 401, "code": "UNAUTHORIZED", "message": "Invalid API Key"}
    )
    run = imports.load(new(901))
    assert "key" in run.problem
    assert set(run.outcomes) == {"failed"}
    imports.alma.heal()
    assert imports.count() == 0


def test_an_alma_that_closes_the_connection_leaves_records_to_be_dropped_again(imports):
    imports.alma.faults({"kind": "drop", "path": "."})
    run = imports.load(new(901))
    assert run.problem
    assert set(run.outcomes) == {"failed"}
    imports.alma.heal()
    again = Run(imports, imports.bucket.get(run.keys["rejects"]), "again.mrc")
    again.whole()
    assert again.outcomes == ["created"]


def test_several_titles_are_named_and_once_merged_take_the_record(imports):
    one, other = old(imports, 901), imports.add("035 __ $z (OCoLC)901", "035 __ $a (OCoLC)902", "245 00 $a B")
    record_ = new(902, "019 __ $a 901")
    run = imports.load(record_)
    assert run.outcomes == ["multi_match"]
    assert one in run.rows[0]["message"]
    assert other in run.rows[0]["message"]
    rearrange(imports, one, merge_into=other, then="delete")
    again = Run(imports, imports.bucket.get(run.keys["rejects"]), "merged.mrc")
    again.whole()
    assert [(row["outcome"], row["mms_id"]) for row in again.rows] == [("merged", other)]


@pytest.mark.parametrize("why", ["multi_match", "not_added_brief", "not_added_old", "not_added_locked"])
def test_by_another_profile_what_was_refused_is_added_for_a_merge_by_hand(imports, why):
    imports.profiles("profiles:\n  beside: {on_refused: create}\n")
    there = old(imports)
    if why == "multi_match":
        old(imports)
    if why == "not_added_locked":
        locks(imports, lock=[there])
    file = {"not_added_brief": brief, "not_added_old": older}.get(why, new)(901)
    assert imports.load(file, lock_wait_minutes=0).outcomes == [why]
    before = imports.count()
    run = imports.load(file, name="b.mrc", profile="beside")
    assert [(row["outcome"], why.upper() in row["reasons"]) for row in run.rows] == [("created", True)]
    assert imports.count() == before + 1


def test_a_briefer_record_is_added_by_a_profile_that_compares_no_levels(imports):
    imports.profiles("profiles:\n  any: {brief_level: none}\n")
    there = old(imports)
    refused = imports.load(brief(901))
    assert refused.outcomes == ["not_added_brief"]
    assert "03 < 10" in refused.rows[0]["message"]
    run = imports.load(brief(901), name="b.mrc", profile="any")
    assert [(row["outcome"], row["mms_id"]) for row in run.rows] == [("merged", there)]


def test_an_older_record_is_added_by_a_profile_that_does_not_compare_005(imports):
    imports.profiles("profiles:\n  any: {check_005: false}\n")
    there = old(imports)
    assert imports.load(older(901)).outcomes == ["not_added_old"]
    run = imports.load(older(901), name="b.mrc", profile="any")
    assert [(row["outcome"], row["mms_id"]) for row in run.rows] == [("merged", there)]


def test_every_record_has_its_row_with_what_became_of_it(imports):
    old(imports, 901)
    run = imports.load(new(901), new(902), new(902), record(F008, "245 00 $a No number"))
    assert [row["record"] for row in run.rows] == ["1", "2", "3", "4"]
    assert run.outcomes == ["merged", "created", "unchanged", "no_key"]
    assert all(row["mms_id"] for row in run.rows[:3])
    assert sum(run.counts.values()) == 4


# --- the metadata editor's external search


def test_the_number_finds_its_title_however_it_is_spelled_and_in_z(imports):
    titles = [
        imports.add("035 __ $a (OCoLC)00000901", "245 00 $a A"),
        imports.add("035 __ $a (OCoLC)902", "245 00 $a B"),
    ]
    spelled = record(
        "005 20400101000000.0", F008, "035 __ $a (OCoLC)ocm00000902 ", "245 00 $a Spelled otherwise"
    )
    replaced = new(905, "019 __ $a 901", title="By its former number")
    former = imports.add("035 __ $a (OCoLC)903 $z (OCoLC)904", "245 00 $a C")
    imports.with_sru()
    run = imports.load(spelled, new(904, title="By $z of the title"), replaced)
    assert [(row["outcome"], row["mms_id"]) for row in run.rows] == [
        ("merged", titles[1]),
        ("merged", former),
        ("merged", titles[0]),
    ]


def test_a_look_at_a_record_before_it_is_saved_is_a_dry_run(imports):
    old(imports)
    imports.alma.forget()
    run = imports.load(new(901), new(902), dry_run=True)
    assert run.outcomes == ["would_merge", "would_create"]
    assert "- 245 00 $a Old\n+ 245 00 $a Made up" in run.text("changes")
    assert '<table class="diff">' in run.text("html")
    assert imports.writes() == []


def test_overlay_takes_the_whole_record(imports):
    imports.profiles("profiles:\n  over: {on_match: overlay}\n")
    there = old(imports, 901, "500 __ $a A note", "590 __ $a Ours $9 local")
    run = imports.load(new(901), profile="over")
    assert run.outcomes == ["overlaid"]
    assert lines(imports.title(there), "245", "500", "590") == [
        "245 00 $a Made up",
        "590 __ $a Ours $9 local",
    ]


def test_merge_keeps_what_the_rule_protects(imports):
    there = old(imports, 901, "500 __ $a A note", "979 __ $a ours")
    imports.profiles("profiles:\n  notes: {replace: ['245', '650'], protect: [9XX, '500']}\n")
    run = imports.load(new(901, "500 __ $a Theirs", "650 _0 $a New"), profile="notes")
    assert run.outcomes == ["merged"]
    assert lines(imports.title(there), "245", "500", "650", "979") == [
        "245 00 $a Made up", "500 __ $a A note", "650 _0 $a New", "979 __ $a ours",
    ]  # fmt: skip


@pytest.mark.parametrize(("zone", "outcome"), [("CZ", "linked_cz"), ("NZ", "linked_nz")])
def test_a_title_of_another_zone_is_never_changed_nor_said_to_be(imports, zone, outcome):
    there = old(imports)
    link(imports, there, zone)
    imports.alma.forget()
    run = imports.load(new(901))
    assert [(row["outcome"], row["mms_id"]) for row in run.rows] == [(outcome, there)]
    assert imports.writes() == []


# --- import profiles


def test_a_long_file_is_worked_on_in_parts_that_add_up(imports):
    imports.profiles("profiles:\n  catalog: {}\nchunk_size: 4\n")
    run = Run(imports, b"".join(to_iso2709(new(number)) for number in range(901, 911)))
    assert run.read() == 3
    for number in (1, 2, 3):
        run.match(number)
        run.write(number)
    run.finish()
    assert run.counts == {"created": 10}
    assert len({row["mms_id"] for row in run.rows}) == 10


def test_what_could_not_be_loaded_is_a_file_to_correct_and_drop_again(imports):
    old(imports, 901)
    bad = record(F008, "245 00 $a No number")
    run = imports.load(new(902), bad, brief(901))
    assert run.outcomes == ["created", "no_key", "not_added_brief"]
    assert imports.bucket.get(run.keys["rejects"]) == to_iso2709(bad) + to_iso2709(brief(901))


def test_holding_and_item_come_with_the_record(imports):
    imports.profiles(
        'profiles:\n  new-books:\n    inventory: {field: "949", subfields: {barcode: b, library: d, location: e}}\n'
    )
    run = imports.load(new(901, "949 __ $b A1 $d MAIN $e stacks"), profile="new-books")
    assert (run.outcomes, run.rows[0]["message"]) == (["created"], "1 item created")


def test_an_order_in_a_record_becomes_a_po_line(imports):
    orders = (
        "{layout: 980_981, po_line_type: PRINTED_BOOK_OT, owner: MAIN, vendor: GOBI, vendor_account: GOBI-1}"
    )
    imports.profiles(f"profiles:\n  gobi:\n    orders: {orders}\n")
    order = ("049 __ $a MAIN/stacks", "980 __ $b 27.95 $f 90000000001 $g 1", "981 __ $b HIST")
    run = imports.load(new(901, *order), profile="gobi")
    assert run.outcomes == ["created"], run.rows
    [line] = imports.client.po_lines.find(q=f"mms_id~{run.rows[0]['mms_id']}")
    assert run.rows[0]["message"] == f"PO line {line.number} 27.95 USD"


WCP = """profiles:
  gobi:
    suppress: true
    sync_with_oclc: NONE
    orders: {layout: 980_981, po_line_type: PRINTED_BOOK_OT, owner: MAIN, vendor: GOBI, vendor_account: GOBI-1}
  items: &items
    match: [order, oclc]
    order_reference: {source: "982$a", vendor: GOBI}
    on_match: skip
    on_no_match: skip
    inventory:
      field: "949"
      subfields: {barcode: b, library: d, location: e}
      of_order: true
      generated_barcode: 'AUTO\\d+'
      receive: {department: AcqDeptMAIN, library: MAIN}
  full: {<<: *items, on_match: overlay, flags_on_match: set, sync_with_oclc: BIBS, check_005: false}
"""


def ordered(imports) -> tuple[str, str]:
    """The title and the PO line of a vendor's record, whose reference is 90000000001."""
    imports.profiles(WCP)
    order = ("049 __ $a MAIN/stacks", "980 __ $b 27.95 $f 90000000001 $g 1", "981 __ $b HIST")
    [row] = imports.load(new(901, *order), name="eod.mrc", profile="gobi").rows
    [line] = imports.client.po_lines.find(q=f"mms_id~{row['mms_id']}")
    return row["mms_id"], line.number


def item_of(imports, number: str):
    [entry] = imports.client.po_lines.items(number).value
    return imports.client.items.read(*entry.place).value


def test_inventory_is_updated_by_the_orders_reference_and_received(imports):
    mms_id, number = ordered(imports)
    partners = new(905, "949 __ $b BC1 $d MAIN $e stacks", "982 __ $a 90000000001")
    run = imports.load(partners, profile="items")
    assert (run.outcomes, run.rows[0]["mms_id"]) == (["merged"], mms_id)
    assert "1 item: received" in run.rows[0]["message"]
    item = item_of(imports, number)
    assert (item.mms_id, item.barcode, bool(item.raw["item_data"]["arrival_date"])) == (mms_id, "BC1", True)
    assert lines(imports.title(mms_id), "035") == ["035 __ $a (OCoLC)901"]
    imports.profiles(WCP.replace("    match: [order", "    zone: nz\n    match: [order"))
    in_the_network = imports.load(partners, name="b.mrc", profile="items")
    assert in_the_network.outcomes == ["invalid_record"]
    assert "need `zone: iz`" in in_the_network.rows[0]["message"]


def test_the_full_record_replaces_the_vendors_by_its_order_and_sets_its_tags_back(imports):
    mms_id, number = ordered(imports)
    full = new(905, "949 __ $b BC1 $d MAIN $e stacks", "982 __ $a 90000000001", title="Full")
    run = imports.load(full, profile="full")
    assert (run.outcomes, run.rows[0]["mms_id"]) == (["overlaid"], mms_id)
    assert lines(imports.title(mms_id), "035", "245") == ["035 __ $a (OCoLC)905", "245 00 $a Full"]
    bib = imports.alma.state()["bibs"][mms_id]
    assert (bib["suppressed"], bib["sync_with_oclc"]) == (False, "BIBS")
    assert imports.client.po_lines.read(number).value.mms_id == mms_id
    assert item_of(imports, number).barcode == "BC1"


TO_ORDER = """profiles:
  to_order:
    match: [system]
    suppress: true
    sync_with_oclc: NONE
    awaits_full_record: true
    template:
      fields:
        - "008 ######n########xx############000#0#und#d"
        - "035 __ $a(L){reference}"
        - "049 __ $aMAIN/stacks"
        - "245 00 $a{title}"
        - "980 __ $b{price}$f{reference}"
        - "981 __ $bHIST"
    orders: {layout: 980_981, po_line_type: PRINTED_BOOK_OT, owner: MAIN, vendor: GOBI, vendor_account: GOBI-1}
"""
TITLES = b"title,reference,price\nA history,R-1,27.95\nAnother,R-2,12.50\n"


def test_a_list_of_titles_becomes_brief_titles_that_wait(imports):
    imports.profiles(TO_ORDER)
    run = Run(imports, TITLES, "list.csv", "to_order")
    run.whole()
    assert run.outcomes == ["created", "created"], run.rows
    for row in run.rows:
        title = imports.alma.get(f"/bibs/{row['mms_id']}")
        assert (title["suppress_from_publishing"], title["sync_with_oclc"]) == ("true", "NONE")
    waiting = SqlWaitingTitles(imports.store, alma_of(imports.client, run.folder))
    assert waiting.waiting([row["mms_id"] for row in run.rows]) == {row["mms_id"] for row in run.rows}
    waiting.close()


def test_the_titles_of_a_list_are_ordered(imports):
    imports.profiles(TO_ORDER)
    run = Run(imports, TITLES, "list.csv", "to_order")
    run.whole()
    for row, cost in zip(run.rows, ("27.95", "12.50"), strict=True):
        [line] = imports.client.po_lines.find(q=f"mms_id~{row['mms_id']}")
        assert row["message"] == f"PO line {line.number} {cost} USD"


def test_a_file_of_one_record_is_enough(imports):
    assert imports.load(new(901)).outcomes == ["created"]
