"""Item loads step by step against the sandbox: what is made, what is not, and what is said about it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from alma_etl.alma.errors import AlmaDailyThreshold
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
            "library 'NOWHERE' is unknown to Alma; there are LAW, MAIN, RES_SHARE, SCI, STOR",
        ),
        ("library,location", "LAW,archive", "invalid_code", "location 'archive' is unknown in library LAW"),
        ("item_policy", "99", "invalid_code", "item policy '99' is not in Alma's table ItemPolicy"),
        ("material_type", "SCROLL", "invalid_code", "material type 'SCROLL'"),
        ("po_line", "POL-0", "invalid_code", "PO line 'POL-0' is unknown to Alma"),
        ("po_line", "POL-1002", "invalid_code", "PO line 'POL-1002' is closed"),
        ("po_line", "POL-1003", "invalid_code", "PO line 'POL-1003' is cancelled"),
        ("po_line", "../../conf", "invalid_code", "PO line '../../conf' is unknown"),
        ("provenance", "LOOT", "invalid_code", "provenance 'LOOT' is not in Alma's table provenanceCodes"),
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


def test_codes_of_a_table_that_alma_does_not_list_are_left_to_its_refusal(loader, alma, gift):
    alma.faults({"kind": "refuse", "path": "code-tables/provenanceCodes", "code": "402119"})
    try:
        loaded = loader.load(f"mms_id,barcode,provenance\n{gift},A,LOOT\n{gift},B,GIFT\n", "codes.csv")
    finally:
        alma.heal()
    assert loaded.ends() == [(2, "invalid_code"), (3, "created")]
    assert "Given field provenance has invalid value LOOT" in loaded.message(2)
    assert "the codes of provenance were not asked for beforehand" in loaded.page()


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
