"""Item loads step by step against the sandbox: what is made, what is not, and what is said about it."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import openpyxl
import pytest

from alma_etl.alma.errors import AlmaDailyThreshold
from alma_etl.errors import RunStopped
from alma_etl.jobs.arrivals import remember_started
from alma_etl.jobs.file_run import Superseded
from alma_etl.jobs.starting import new_starts, note_starts
from alma_etl.jobs.summary import SUMMARY, FileSummary
from tests.e2e.items import PROFILES
from tests.unit.items.conftest import Load

pytestmark = pytest.mark.heavy


def lines(*pairs):
    return "".join(f"{mms_id}|{barcode}\r\n" for mms_id, barcode in pairs)


@pytest.fixture
def titles(alma):
    return alma.titles()


@pytest.fixture
def gift(alma):
    """A title without any holding."""
    return alma.add_title(("090", "PN1", ".A1"), ("050", "QA76", ".D6 2020"))


def test_a_gift_gets_a_holding_with_the_call_number_of_its_bib_and_an_item(loader, alma, gift):
    loaded = loader.load(lines((gift, "G1")))
    (row,) = loaded.rows()
    assert (row["line"], row["outcome"], row["library"], row["location"]) == (
        "1",
        "created",
        "MAIN",
        "stacks",
    )
    state = alma.state()
    item, holding = state["items"][row["item_pid"]], state["holdings"][row["holding_id"]]
    assert (item["mms_id"], item["holding_id"], item["barcode"]) == (gift, row["holding_id"], "G1")
    assert (item["codes"]["policy"], item["codes"]["physical_material_type"]) == ("01", "BOOK")
    assert holding["mms_id"] == gift
    assert not holding["suppressed"]
    expected = (
        '<subfield code="b">MAIN</subfield><subfield code="c">stacks</subfield>'
        '<subfield code="h">QA76</subfield><subfield code="i">.D6 2020</subfield>'
    )
    assert expected in holding["record"]
    assert loaded.state == "success"
    assert loaded.report(".missing-call-numbers.txt") == b"MMS ID\tHolding ID\tLibrary\tLocation\n"
    assert loaded.rejects() is None
    assert "1 of 1 row loaded" in loaded.page()


def test_rows_of_a_title_share_one_holding_at_a_place_and_existing_ones_are_used(loader, alma, gift):
    law = alma.add_holding(gift, "LAW", "stacks")
    rows = ("A,,", "B,LAW,stacks", "C,MAIN,stacks", "D,LAW,stacks")
    body = "mms_id,barcode,library,location\n" + "".join(f"{gift},{row}\n" for row in rows)
    loaded = loader.load(body, "some.csv")
    holdings = {row["barcode"]: row["holding_id"] for row in loaded.rows()}
    assert holdings["B"] == holdings["D"] == law
    assert holdings["A"] == holdings["C"] != law
    _, made = alma.made()
    assert made == {(gift, "MAIN", "stacks"): 1, (gift, "LAW", "stacks"): 1}


def test_all_fields_of_a_row_reach_the_item(loader, alma, gift):
    given = {
        "item_policy": "03", "material_type": "DVD", "po_line": "POL-1001", "copy_id": "2", "description": "v.1",
        "enumeration_a": "1", "enumeration_h": "8", "chronology_i": "2020", "chronology_m": "5",
        "public_note": "Schenkung Müller, «Band 1»", "internal_note_1": "a", "internal_note_3": "c",
        "fulfillment_note": "fragile", "inventory_number": "I-1", "arrival_date": "2026-08-01", "pages": "12 p.",
        "provenance": "GIFT",
    }  # fmt: skip
    header, cells = ";".join(["mms_id", "barcode", *given]), ";".join([gift, "F1", *given.values()])
    loader.load(f"{header}\r\n{cells}\r\n".encode("cp1252"), "f.csv")
    (item,) = [each for each in alma.state()["items"].values() if each["barcode"] == "F1"]
    assert (item["codes"]["policy"], item["codes"]["physical_material_type"], item["copy_id"]) == (
        "03",
        "DVD",
        "2",
    )
    assert item["codes"]["provenance"] == "GIFT"
    texts = item["texts"]
    assert texts["arrival_date"] == "2026-08-01Z"
    for name in given.keys() - {"item_policy", "material_type", "copy_id", "provenance", "arrival_date"}:
        assert texts[name] == given[name]


def test_holdings_used_that_have_no_call_number_are_listed(loader, alma):
    bare = alma.add_title()
    loaded = loader.load(lines((bare, "N1")))
    row = loaded.rows()[0]
    text = loaded.report(".missing-call-numbers.txt").decode()
    assert text.splitlines()[1:] == [f"{bare}\t{row['holding_id']}\tMAIN\tstacks"]
    assert row["holding_id"] in loaded.page()


@pytest.mark.parametrize(
    ("header", "cells", "outcome", "words"),
    [
        (
            "library",
            "NOWHERE",
            "invalid_code",
            "library 'NOWHERE' is unknown to Alma; there are LAW, MAIN, SCI, STOR",
        ),
        ("library,location", "LAW,archive", "invalid_code", "location 'archive' is unknown in library LAW"),
        ("item_policy", "99", "invalid_code", "item policy '99' is not in Alma's table ItemPolicy"),
        ("material_type", "SCROLL", "invalid_code", "material type 'SCROLL'"),
        ("po_line", "POL-0", "invalid_code", "PO line 'POL-0' is unknown to Alma"),
        ("po_line", "POL-1002", "invalid_code", "PO line 'POL-1002' is closed"),
        ("po_line", "POL-1003", "invalid_code", "PO line 'POL-1003' is cancelled"),
        ("po_line", "../../conf", "invalid_code", "PO line '../../conf' is unknown"),
        ("provenance", "LOOT", "invalid_code", "Given field provenance has invalid value LOOT"),
    ],
)
def test_a_wrong_code_is_the_end_of_its_rows_alone(loader, alma, gift, header, cells, outcome, words):
    empty = "," * (header.count(","))
    body = f"mms_id,barcode,{header}\n{gift},A,{cells}\n{gift},B,{empty}\n"
    loaded = loader.load(body, "codes.csv")
    assert loaded.ends() == [(2, outcome), (3, "created")]
    assert words in loaded.message(2)
    assert alma.made()[0].keys() == {"B"}
    assert loaded.rejects().decode() == f"mms_id,barcode,{header}\n{gift},A,{cells}\n"
    assert loaded.state == "success"


def test_a_po_line_with_a_slash_is_found(loader, gift):
    loaded = loader.load(f"mms_id,barcode,po_line\n{gift},A,123456/0005\n", "po.csv")
    assert loaded.ends() == [(2, "created")]


def test_codes_are_asked_for_before_anything_is_written(loader, alma, gift):
    alma.forget()
    loader.load(f"mms_id,barcode,po_line\n{gift},A,POL-1001\n", "po.csv")
    calls = [(call["method"], call["path"].removeprefix("/almaws/v1")) for call in alma.calls()]
    first_write = next(number for number, call in enumerate(calls) if call[0] == "POST")
    before = {path for _, path in calls[:first_write]}
    assert before >= {
        "/conf/libraries", "/conf/libraries/MAIN/locations", "/conf/code-tables/ItemPolicy",
        "/conf/code-tables/PhysicalMaterialType", "/acq/po-lines/POL-1001", "/bibs",
    }  # fmt: skip


def test_unknown_titles_are_told_and_the_others_load(loader, alma, titles):
    loaded = loader.load(lines(("990019999999994401", "A"), (titles[0], "B"), ("99001234567", "C")))
    assert loaded.ends() == [(1, "bib_not_found"), (2, "created"), (3, "bib_not_found")]
    assert "990019999999994401" in loaded.message(1)


def test_barcodes_that_are_in_alma_end_as_they_must_and_no_empty_holding_is_left(loader, alma, gift):
    other = alma.add_title()
    theirs = alma.add_item(other, alma.add_holding(other, "SCI", "stacks"), "TAKEN")
    mine = alma.add_item(gift, alma.add_holding(gift, "LAW", "stacks"), "MINE")
    holdings = alma.state()["counts"]["holdings"]
    loaded = loader.load(lines((gift, "TAKEN"), (gift, "MINE")))
    rows = loaded.rows()
    assert [(row["outcome"], row["item_pid"]) for row in rows] == [
        ("conflict", theirs),
        ("already_exists", mine),
    ]
    assert other in rows[0]["message"]
    assert "SCI/stacks" in rows[0]["message"]
    assert "LAW/stacks" in rows[1]["message"]
    assert alma.state()["counts"]["holdings"] == holdings
    assert loaded.rejects().decode() == f"{gift}|TAKEN\r\n"


def test_barcodes_in_use_where_the_holding_exists_are_explained_by_a_look_after_the_refusal(
    loader, alma, gift
):
    holding = alma.add_holding(gift, "MAIN", "stacks")
    pid = alma.add_item(gift, holding, "MINE")
    alma.forget()
    loaded = loader.load(lines((gift, "MINE"), (gift, "NEW")))
    assert [(row["outcome"], row["item_pid"] == pid) for row in loaded.rows()] == [
        ("already_exists", True),
        ("created", False),
    ]
    assert sum(call["method"] == "POST" for call in alma.calls()) == 2


def test_a_barcode_twice_in_the_file_loads_once_and_the_line_of_the_first_is_named(
    loader, alma, gift, titles
):
    loaded = loader.load(lines((gift, "A"), (gift, "A"), (titles[0], "A"), ("bad", "B"), (gift, "B")))
    assert loaded.ends() == [
        (1, "created"), (2, "duplicate_in_file"), (3, "duplicate_in_file"), (4, "invalid_row"), (5, "created"),
    ]  # fmt: skip
    assert loaded.message(2) == "the barcode stands on line 1 already, for the same title"
    assert loaded.message(3) == f"the barcode stands on line 1 already, for the title {gift}"


def test_several_holdings_at_the_place(loader, alma, gift):
    first, second = alma.add_holding(gift, "MAIN", "stacks"), alma.add_holding(gift, "MAIN", "stacks")
    loaded = loader.load(lines((gift, "A")))
    assert loaded.rows()[0]["holding_id"] == min(first, second)
    assert "the first of 2 holdings" in loaded.message(1)
    left = loader.load(lines((gift, "B")), profile="fail")
    assert left.ends() == [(1, "several_holdings")]
    assert (left.state, left.rejects()) == ("failed", f"{gift}|B\r\n".encode())


def test_a_profile_may_forbid_making_holdings(loader, alma, gift):
    loaded = loader.load(lines((gift, "A")), profile="existing")
    assert loaded.ends() == [(1, "no_holding")]
    assert alma.state()["counts"]["holdings"] == 0


def test_a_suppressed_holding_is_used_rather_than_a_second_one_made(loader, alma):
    for mms_id in alma.titles():
        held = alma.get(f"/bibs/{mms_id}/holdings").get("holding", [])
        if len(held) == 1 and held[0]["suppress_from_publishing"] == "true":
            break
    place = held[0]["library"]["value"], held[0]["location"]["value"]
    loaded = loader.load(f"mms_id,barcode,library,location\n{mms_id},S1,{','.join(place)}\n", "s.csv")
    assert loaded.rows()[0]["holding_id"] == held[0]["holding_id"]
    assert "suppressed" in loaded.message(2)
    assert alma.state()["counts"]["holdings"] == 0


@pytest.mark.parametrize("kind", ["server_error", "maintenance", "drop", "truncated", "malformed"])
def test_a_holdings_list_that_cannot_be_read_is_no_missing_holding(loader, alma, gift, kind):
    alma.faults({"kind": kind, "method": "GET", "path": "/holdings$"})
    load = Load(loader, loader.drop(lines((gift, "A"))))
    loaded = load.whole()
    assert loaded.ends() == [(1, "failed")]
    assert "could not be read" in loaded.message(1)
    assert alma.state()["counts"]["holdings"] == 0
    assert (load.state, "1 of 1 row is failed" in load.problem) == ("failed", True)

    alma.heal()  # the cleared tasks go on
    load.resolve()
    load.create()
    again = load.finish()
    assert again.ends() == [(1, "created")]
    assert load.state == "success"
    assert again.keys("items/failed/") == []
    assert len(again.keys("items/done/")) == 1
    assert again.rejects() is None


def test_a_title_whose_availability_cannot_be_read_spoils_no_other(loader, alma, titles):
    alma.faults({"kind": "server_error", "method": "GET", "path": f"/bibs\\?.*{titles[3]}.*p_avail"})
    loaded = loader.load(lines(*((mms_id, f"B{n}") for n, mms_id in enumerate(titles[:8]))))
    assert [outcome for _, outcome in loaded.ends()] == ["created"] * 3 + ["failed"] + ["created"] * 4


@pytest.mark.parametrize("kind", ["drop", "truncated", "malformed", "server_error", "maintenance"])
@pytest.mark.parametrize("what", ["items", "holdings"])
def test_an_answer_lost_after_the_post_took_effect_makes_nothing_twice(loader, alma, kind, what):
    gifts = [alma.add_title() for _ in range(6)]
    alma.faults({"kind": kind, "method": "POST", "path": f"/{what}$", "applied": True, "every": 2})
    loaded = loader.load(lines(*((mms_id, f"B{n}") for n, mms_id in enumerate(gifts))))
    assert loaded.counts() == {"created": 6}
    items, holdings = alma.made()
    assert len(items) == len(holdings) == 6
    assert set(holdings.values()) == {1}


@pytest.mark.parametrize("what", ["items", "holdings"])
def test_a_post_that_never_arrived_is_repeated_after_a_look(loader, alma, gift, what):
    alma.faults({"kind": "server_error", "method": "POST", "path": f"/{what}$", "first": 1})
    loaded = loader.load(lines((gift, "A")))
    assert loaded.ends() == [(1, "created")]
    assert alma.made()[1] == {(gift, "MAIN", "stacks"): 1}


def test_an_item_that_nobody_can_confirm_is_unconfirmed_and_a_cleared_task_finds_out(loader, alma, gift):
    alma.add_holding(gift, "MAIN", "stacks")
    alma.faults(
        {"kind": "drop", "method": "POST", "path": "/items$"},
        {"kind": "server_error", "method": "GET", "path": "/items\\?"},
    )
    load = Load(loader, loader.drop(lines((gift, "A"))))
    loaded = load.whole()
    assert loaded.ends() == [(1, "unconfirmed")]
    assert "1 of 1 row is unconfirmed" in load.problem
    assert loaded.rejects().decode() == f"{gift}|A\r\n"
    alma.heal()
    load.create()
    assert load.finish().ends() == [(1, "created")]
    assert (load.state, len(alma.made()[0])) == ("success", 1)


def test_a_holding_that_nobody_can_confirm_gets_no_item_and_is_not_made_twice(loader, alma, gift):
    alma.faults({"kind": "drop", "method": "POST", "path": "/holdings$"})
    alma.faults({"kind": "server_error", "method": "GET", "path": "/holdings$", "nth": list(range(2, 99))})
    load = Load(loader, loader.drop(lines((gift, "A"))))
    assert load.whole().ends() == [(1, "unconfirmed")]
    assert alma.state()["counts"]["items"] == 0
    alma.heal()
    load.resolve()
    load.create()
    loaded = load.finish()
    assert loaded.ends() == [(1, "created")]
    assert alma.made()[1] == {(gift, "MAIN", "stacks"): 1}
    assert "1 holding was made" in loaded.page()


def test_the_same_file_dropped_again_writes_nothing(loader, alma, titles):
    body = lines(*((mms_id, f"B{n}") for n, mms_id in enumerate(titles[:20])))
    first = loader.load(body)
    alma.forget()
    again = loader.load(body)
    assert again.counts() == {"already_exists": 20}
    assert [row["item_pid"] for row in again.rows()] == [row["item_pid"] for row in first.rows()]
    assert alma.writes() == []
    assert again.state == "success"
    assert len(again.keys("items/done/")) == 2


def test_an_item_that_was_deleted_since_is_loaded_again(loader, alma, gift):
    first = loader.load(lines((gift, "A"))).rows()[0]
    alma.delete(f"/bibs/{gift}/holdings/{first['holding_id']}/items/{first['item_pid']}")
    again = loader.load(lines((gift, "A")))
    assert again.ends() == [(1, "created")]
    assert alma.made()[0]["A"]["pid"] != first["item_pid"]


def test_every_step_of_a_finished_run_can_be_cleared_without_a_call_that_writes(loader, alma, titles):
    load = Load(loader, loader.drop(lines(*((mms_id, f"B{n}") for n, mms_id in enumerate(titles[:5])))))
    before = load.whole().rows()
    alma.forget()
    assert load.whole().rows() == before
    assert alma.writes() == []
    assert load.state == "success"


def test_a_dry_run_tells_what_it_would_do_and_writes_nothing(loader, alma, gift, titles):
    holding = alma.add_holding(gift, "LAW", "stacks")
    alma.add_item(gift, holding, "TAKEN")
    alma.add_item(gift, holding, "MINE")
    alma.forget()
    loaded = loader.load(lines((gift, "A"), (titles[0], "TAKEN"), (gift, "MINE"), (gift, "")), dry_run=True)
    assert [outcome for _, outcome in loaded.ends()] == [
        "would_create",
        "conflict",
        "already_exists",
        "invalid_row",
    ]
    assert loaded.message(1) == "a holding at MAIN/stacks would be created"
    assert alma.writes() == []
    assert "dry run" in loaded.page()
    real = loader.load(lines((gift, "A")))
    assert real.ends() == [(1, "created")]


@pytest.mark.parametrize("body", ["990019999999994401|A\n", "%PDF-1.7 ..."], ids=["a list", "no list"])
@pytest.mark.parametrize(
    ("profile", "asked"), [("gifts", {"dry_run": True}), ("trial", {}), ("gifts-trial", {})]
)
def test_a_dry_run_leaves_the_file_and_intake_does_not_start_it_again(loader, bucket, body, profile, asked):
    if profile == "gifts-trial":  # a shipped one
        bucket.delete(["config/item_profiles.yaml"])
    else:
        bucket.put("config/item_profiles.yaml", f"{PROFILES}  trial: {{dry_run: true}}\n".encode())
    key = loader.drop(body, profile=profile)
    starts = new_starts(bucket, at_most=9, settle=timedelta(0))
    note_starts(bucket, starts, ["success"])
    loaded = Load(loader, key, **asked).whole()
    assert bucket.info(key) is not None
    assert loaded.keys("items/done/") == loaded.keys("items/failed/") == []
    remember_started(bucket, [])  # as intake does when another file arrives
    assert new_starts(bucket, at_most=9, settle=timedelta(0)) == []

    Load(loader, key, dry_run=False).whole()  # by hand with the key
    assert bucket.info(key) is None


def test_a_dry_run_that_is_cleared_as_a_real_one_files_the_file(loader, bucket, gift):
    load = Load(loader, loader.drop(lines((gift, "A"))), dry_run=True)
    load.whole()
    load.params["dry_run"] = False
    loaded = load.whole()
    assert bucket.info(load.params["key"]) is None
    assert len(loaded.keys("items/done/")) == 1


def test_a_run_of_the_version_before_that_is_cleared_leaves_each_report_once(loader, bucket, gift):
    load = Load(loader, loader.drop(lines((gift, "A"), (gift, ""))))
    loaded = load.whole()
    summary = load.folder.find_model(SUMMARY, FileSummary)
    former = {kind: key.replace("march.", "march.file__", 1) for kind, key in summary.keys.items()}
    for kind, key in summary.keys.items():
        bucket.copy(key, former[kind])
    load.folder.write_model(SUMMARY, summary.model_copy(update={"keys": former}))
    load.whole()
    assert set(loaded.keys("items/reports/") + loaded.keys("items/rejects/")) == set(summary.keys.values())


def test_the_rejects_file_corrected_and_dropped_again_loads_the_rest(loader, alma, gift, titles):
    body = f"MMS ID,Barcode,Library\r\n{gift},A,\r\n{gift},,\r\n{titles[0]},C,MIAN\r\n9.9E+17,D,\r\n".encode(
        "utf-16"
    )
    loaded = loader.load(body, "list.csv")
    assert loaded.ends() == [(2, "created"), (3, "invalid_row"), (4, "invalid_code"), (5, "invalid_row")]
    rejects = loaded.rejects().decode("utf-16")
    assert rejects == f"MMS ID,Barcode,Library\r\n{gift},,\r\n{titles[0]},C,MIAN\r\n9.9E+17,D,\r\n"
    mended = rejects.replace(f"{gift},,", f"{gift},B,").replace("MIAN", "MAIN").replace("9.9E+17", titles[1])
    again = loader.load(mended.encode("utf-16"), "list.rejected.csv")
    assert again.counts() == {"created": 3}
    assert alma.made()[0].keys() == {"A", "B", "C", "D"}


def workbook(*rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def test_a_workbook_is_loaded_and_its_rejects_are_a_workbook(loader, alma, gift):
    loaded = loader.load(
        workbook(["mms_id", "barcode"], [gift, 31166002949495], [int(gift), "X"]), "list.xlsx"
    )
    assert loaded.ends() == [(2, "created"), (3, "invalid_row")]
    assert "31166002949495" in alma.made()[0]
    again = openpyxl.load_workbook(io.BytesIO(loaded.rejects())).active
    assert [row[1].value for row in again.rows] == ["barcode", "X"]
    assert loaded.keys("items/rejects/")[0].endswith(".rejected.xlsx")


def test_reports_keep_every_digit_and_run_no_formula(loader, gift):
    body = (
        f'mms_id,barcode,library\n{gift},31166002949495,\n{gift},B,"=HYPERLINK(""http://x"")"\n{gift},-1+1,\n'
    )
    loaded = loader.load(body, "f.csv")
    sheet = openpyxl.load_workbook(io.BytesIO(loaded.report(".xlsx"))).active
    cells = [[cell.value for cell in row] for row in sheet.rows]
    assert cells[1][:3] == ["2", gift, "31166002949495"]
    assert cells[1][6:8] == [loaded.rows()[0]["holding_id"], loaded.rows()[0]["item_pid"]]
    assert cells[2][3].startswith("=HYPERLINK")
    assert {(cell.data_type, cell.number_format) for row in sheet.rows for cell in row if cell.value} == {
        ("s", "@")
    }
    raw = loaded.report(".csv").decode()
    assert "'=HYPERLINK" in raw
    assert "'-1+1" in raw
    assert b"<script" not in loaded.report(".html")


@pytest.mark.parametrize(
    ("body", "name", "profile", "words"),
    [
        (b"%PDF-1.7 x", "list.txt", "gifts", "PDF document"),
        (b"", "list.txt", "gifts", "empty"),
        (b"991|1\n" * 40_000, "list.txt", "gifts", "more than the 0.2 MB"),
        (b"Dear all,\n", "list.txt", "gifts", "neither lines of the form"),
        (b"\n \n", "list.txt", "gifts", "empty"),
        (b"mms_id,barcode\n\n", "list.csv", "gifts", "no rows"),
        (b"991|1\n", "list.txt", "nobody", "There is no profile 'nobody'"),
        (b"PK\x03\x04", "list.xlsx", "gifts", "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_red_says_why_and_goes_to_failed(loader, body, name, profile, words):
    loader.bucket.put("config/item_profiles.yaml", f"{PROFILES_WITH_BOUND}".encode())
    load = Load(loader, loader.drop(body, name, profile))
    loaded = load.whole()
    assert load.state == "failed"
    assert words in load.problem
    assert words in loaded.page()
    (row,) = loaded.rows()
    assert (row["line"], row["outcome"]) == ("1", "invalid_row")
    assert words in row["message"]
    (kept,) = loaded.keys("items/failed/")
    assert loaded.bucket.get(kept) == body
    assert loaded.keys("items/incoming/") == []


PROFILES_WITH_BOUND = "profiles:\n  gifts: {library: MAIN, location: stacks}\nmax_file_mb: 0.2\n"


def test_every_row_below_a_header_that_cannot_be_used_is_told_and_nothing_is_loaded(loader, alma, gift):
    body = f"mms_id,barcode,lcoation\n{gift},A,law\n{gift},B,law\n"
    loaded = loader.load(body, "typo.csv")
    assert loaded.ends() == [(2, "invalid_row"), (3, "invalid_row")]
    assert "line 1 cannot be used: unknown column 'lcoation'" in loaded.message(2)
    assert (loaded.state, loaded.rejects()) == ("failed", body.encode())
    assert alma.state()["counts"]["items"] == 0


@pytest.mark.parametrize(
    "key",
    [
        "config/item_profiles.yaml",
        "items/incoming/x.txt",
        "",
        "west/deliveries/x",
        "items/incoming/gifts/../x",
        "items/x",
    ],
)
def test_a_key_from_elsewhere_is_refused_and_its_file_left_alone(loader, bucket, key):
    before = [info.key for info in bucket.list("")]
    load = Load(loader, key)
    load.whole()
    assert load.state == "failed"
    assert set(before) <= {info.key for info in bucket.list("")}


def test_a_name_with_control_characters_is_refused_and_filed_under_a_harmless_one(loader, bucket):
    bucket.put("items/incoming/gifts/a\x01b\nc.txt", b"991|1")
    load = Load(loader, "items/incoming/gifts/a\x01b\nc.txt")
    load.whole()
    assert "control character" in load.problem
    assert [info.key for info in bucket.list("items/failed/")] == [f"items/failed/a_b_c.{load.run_id}.txt"]
    assert list(bucket.list("items/incoming/")) == []


def test_a_file_replaced_while_it_loads_is_filed_as_it_was_read_and_the_new_one_stays(loader, gift):
    key = loader.drop(lines((gift, "A")))
    load = Load(loader, key)
    load.read()
    loader.drop(lines((gift, "A"), (gift, "B")))
    load.check()
    load.resolve()
    load.create()
    loaded = load.finish()
    assert loaded.ends() == [(1, "created")]
    assert loader.bucket.get(loaded.keys("items/done/")[0]).decode() == lines((gift, "A"))
    assert loader.bucket.get(key).decode() == lines((gift, "A"), (gift, "B"))


def test_a_file_replaced_before_it_is_read_is_left_to_the_run_of_the_new_version(loader, gift):
    key = loader.drop(lines((gift, "A")))
    load = Load(loader, key, version="0123@2026-11-20T00:00:00+00:00")
    for step in (load.read, load.finish):
        with pytest.raises(Superseded, match="replaced before"):
            step()
    assert loader.bucket.info(key) is not None
    assert list(loader.bucket.list("items/reports/")) == []


def test_a_run_cleared_after_its_profile_was_added_reads_the_filed_file(loader, gift):
    load = Load(loader, loader.drop(lines((gift, "A")), profile="maps"))
    load.whole()
    assert load.state == "failed"
    loader.bucket.put("config/item_profiles.yaml", b"profiles:\n  maps: {library: SCI, location: stacks}\n")
    loaded = load.whole()
    assert loaded.ends() == [(1, "created")]
    assert (load.state, loaded.keys("items/failed/")) == ("success", [])


def test_a_run_cleared_after_broken_settings_were_mended_reads_the_filed_file(loader, gift):
    loader.bucket.put("config/item_profiles.yaml", b"profiles: [")
    load = Load(loader, loader.drop(lines((gift, "A"))))
    load.whole()
    assert "config/item_profiles.yaml, line 1" in load.problem
    loader.bucket.put("config/item_profiles.yaml", b"profiles:\n  gifts: {library: SCI, location: stacks}\n")
    assert load.whole().ends() == [(1, "created")]


def test_a_chunk_that_never_finished_is_accounted_for_row_by_row(loader, alma, titles):
    loader.bucket.put("config/item_profiles.yaml", PROFILES_SMALL.encode())
    load = Load(loader, loader.drop(lines(*((mms_id, f"B{n}") for n, mms_id in enumerate(titles[:9])))))
    assert load.read() == 3
    load.check()
    for number in (1, 2):
        load.resolve(number)
        load.create(number)
    loaded = load.finish({"create_items_2": "failed"})
    assert loaded.counts() == {"created": 6, "failed": 3}
    assert "chunk 0003 did not finish" in loaded.message(9)
    assert load.state == "failed"
    assert loaded.rejects().decode() == lines(*((mms_id, f"B{n}") for n, mms_id in enumerate(titles[6:9], 6)))
    load.resolve(3)
    load.create(3)
    assert load.finish().counts() == {"created": 9}


PROFILES_SMALL = "profiles:\n  gifts: {library: MAIN, location: stacks}\nchunk_size: 3\n"


def test_all_rows_of_a_title_stay_in_one_chunk(loader, titles):
    loader.bucket.put("config/item_profiles.yaml", PROFILES_SMALL.encode())
    pairs = [(titles[n % 4], f"B{n}") for n in range(20)]
    load = Load(loader, loader.drop(lines(*pairs)))
    chunks = [list(load.folder.rows(number)) for number in range(1, load.read() + 1)]
    assert sorted(row["barcode"] for chunk in chunks for row in chunk) == sorted(
        barcode for _, barcode in pairs
    )
    seen = [{row["mms_id"] for row in chunk} for chunk in chunks]
    assert sum(len(each) for each in seen) == len(set.union(*seen)) == 4


def test_a_key_that_may_not_write_stops_the_load_with_a_sentence(loader, alma, gift):
    loader.fresh_client(read_only=True)
    load = Load(loader, loader.drop(lines((gift, "A"))))
    load.read()
    load.check()
    with pytest.raises(Exception, match="read-only"):
        load.resolve()
    loaded = load.finish({"resolve_holdings_0": "failed"})
    assert "read-only" in loaded.message(1)
    assert load.state == "failed"


def test_the_summary_is_there_for_other_pages(loader, gift):
    loaded = loader.load(lines((gift, "A"), (gift, "")))
    summary = json.loads(loader.bucket.get(f"{loaded.run.folder.prefix}summary.json"))
    assert (summary["rows"], summary["counts"]["created"], summary["counts"]["invalid_row"]) == (2, 1, 1)
    assert set(summary["keys"]) == {"csv", "xlsx", "html", "missing", "rejects"}
    assert all(loader.bucket.info(key) for key in summary["keys"].values())


def test_a_file_that_is_gone_is_told(loader):
    load = Load(loader, "items/incoming/gifts/none.txt")
    with pytest.raises(RunStopped, match="There is no file"):
        load.read()


def test_two_loads_of_the_same_titles_at_once_make_each_holding_once(loader, alma, tmp_path):
    gifts = [alma.add_title() for _ in range(12)]
    alma.settings(latency_ms=20)
    loads = [
        Load(
            loader,
            loader.drop(lines(*((mms_id, f"{name}{n}") for n, mms_id in enumerate(gifts))), f"{name}.txt"),
        )
        for name in ("first", "second", "third")
    ]
    with ThreadPoolExecutor(len(loads)) as pool:
        done = list(pool.map(Load.whole, loads))
    assert [loaded.counts() for loaded in done] == [{"created": 12}] * 3
    items, holdings = alma.made()
    assert len(items) == 36
    assert holdings == {(mms_id, "MAIN", "stacks"): 1 for mms_id in gifts}
    assert sum("12 holdings were made" in loaded.page() for loaded in done) <= 1


def test_rows_whose_holding_exists_cost_at_most_a_tenth_more_than_one_request(loader, alma):
    places = []
    for mms_id in alma.titles():
        for held in alma.get(f"/bibs/{mms_id}/holdings").get("holding", []):
            if held["suppress_from_publishing"] == "false" and held["location"]["value"] not in (
                "closed",
                "UNASSIGNED",
            ):
                places.append((mms_id, held["library"]["value"], held["location"]["value"]))
    rows = [(*places[n % len(places)], f"R{n}") for n in range(400)]
    body = "mms_id,library,location,barcode\n" + "".join(",".join(row) + "\n" for row in rows)
    alma.forget()
    loaded = loader.load(body, "many.csv")
    assert loaded.counts() == {"created": 400}
    assert alma.state()["counts"]["holdings"] == 0
    assert len(alma.calls()) <= 1.1 * 400


def test_a_used_up_allowance_leaves_rows_done_or_not_sent_and_nothing_in_between(loader, alma, titles):
    load = Load(loader, loader.drop(lines(*((mms_id, f"B{n}") for n, mms_id in enumerate(titles[:40])))))
    load.read()
    load.check()
    load.resolve()
    alma.faults({"kind": "daily", "method": "POST", "path": "/items$", "nth": list(range(11, 99))})
    with pytest.raises(AlmaDailyThreshold):
        load.create()
    loaded = load.finish({"create_items_0": "failed"})
    created = len(alma.made()[0])
    assert loaded.counts() == {"created": created, "failed": 40 - created}
    assert created >= 10
    assert "used up" in next(row["message"] for row in loaded.rows() if row["outcome"] == "failed")
    alma.heal()
    loader.fresh_client()
    load.create()
    assert load.finish().counts() == {"created": 40}
    assert len(alma.made()[0]) == 40
