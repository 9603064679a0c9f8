"""The invented catalogue: the same for the same seed, with every variant, and what each variant looks like."""

import re
import time

import pytest
import requests
from lxml import etree

from alma_sandbox.catalogue import holdings, ids, titles, variants
from alma_sandbox.catalogue.marc import Record, from_element, to_element
from alma_sandbox.catalogue.store import Catalogue
from tests.sandbox.caller import Caller


def first_holding(name: str, seed: int = 7) -> Record:
    """The first holding of the first title of a variant."""
    title = next(number for number in range(400) if variants.variant_of(seed, number) == name)
    return holdings.holding(seed, title, 0).record


def notes(name: str) -> list[tuple[tuple[str, str], ...]]:
    return [entry.subfields for entry in first_holding(name).data("583")]


@pytest.mark.parametrize("seed", [0, 1, 7, 12345])
def test_every_variant_occurs_whatever_the_seed(seed: int) -> None:
    places = sum(variant.places for variant in variants.VARIANTS.values())
    assert places < variants.CYCLE  # the rest is good
    for start in (0, variants.CYCLE):
        found = [variants.variant_of(seed, number) for number in range(start, start + variants.CYCLE)]
        for name, variant in variants.VARIANTS.items():
            assert found.count(name) == variant.places, name
        assert found.count(variants.GOOD) == variants.CYCLE - places


def test_the_data_are_a_function_of_seed_and_titles(alma: Caller) -> None:
    for number in range(50):
        assert titles.bib(7, number, 400) == titles.bib(7, number, 400)
    assert [titles.bib(7, n, 400).record for n in range(20)] != [
        titles.bib(8, n, 400).record for n in range(20)
    ]
    before = alma.xml(f"/bibs/{ids.mms_id(5)}")
    alma.control("POST", "reset")
    assert etree.tostring(before) == etree.tostring(alma.xml(f"/bibs/{ids.mms_id(5)}"))


def test_ids_have_the_form_of_alma_and_turn_back_into_their_numbers() -> None:
    assert re.fullmatch(r"99\d{12}4401", ids.mms_id(12))
    assert re.fullmatch(r"22\d{12}4401", ids.holding_id(12, 2))
    assert re.fullmatch(r"23\d{12}4401", ids.item_pid(12, 2, 1))
    assert ids.title_of_mms_id(ids.mms_id(12)) == 12
    assert ids.place_of_holding_id(ids.holding_id(12, 2)) == (12, 2)
    assert ids.place_of_item_pid(ids.item_pid(12, 2, 1)) == (12, 2, 1)
    assert ids.place_of_barcode(ids.barcode(12, 2, 1)) == (12, 2, 1)
    for text in ("", "99", "9" * 18, ids.mms_id(3) + "0", "٣" * 18):
        assert ids.title_of_mms_id(text) is None


@pytest.mark.parametrize(
    ("number", "expected"), [(378595, "0378-5955"), (2434561, "2434-561X"), (317847, "0317-8471")]
)
def test_issn_check_characters(number: int, expected: str) -> None:
    found = titles.issn(number if number > 999_999 else int(expected[:4] + expected[5:8]))
    assert found == expected
    assert titles.issn(number, right=False) != titles.issn(number)


def test_oclc_numbers_are_unique_and_come_in_all_forms() -> None:
    fields = [titles.bib(7, number, 400).record.data("035")[1:] for number in range(400)]
    values = [entry[0].all("a") for entry in fields if entry]
    forms = {re.sub(r"\d+", "", value[0]) for value in values if value}
    assert forms == {"(OCoLC)", "(OCoLC)ocm", "(OCoLC)ocn", "(OCoLC)on"}
    assert [] in fields  # missing
    assert [] in values  # only a cancelled one, in $z
    numbers = [int(re.sub(r"\D", "", value[0])) for value in values if value]
    assert len(numbers) == len(set(numbers))


def test_titles_in_many_scripts() -> None:
    text = "".join(titles.bib(7, number, 400).record.data("245")[0].first("a") for number in range(400))
    for low, high in [("А", "я"), ("一", "龥"), ("ا", "ي"), ("א", "ת"), ("ぁ", "ん"), ("\u0300", "\u036f")]:
        assert any(low <= char <= high for char in text), (low, high)
    assert any(ord(char) > 0xFFFF for char in text)


def test_what_the_583_variants_look_like() -> None:
    good = dict(notes("good")[0])
    assert good == {
        "a": "committed to retain",
        "c": "20180101",
        "d": "20351231",
        "f": "WEST",
        "2": "pda",
        "5": "ZzSB",
    }
    assert notes("no_583") == []
    assert dict(notes("empty_583")[0]) == {"a": ""}
    assert dict(notes("other_action")[0])["a"] == "digitized"
    assert dict(notes("expired")[0])["d"] == "20201231"
    assert dict(notes("other_programme")[0])["f"] == "EAST"
    assert "f" not in dict(notes("no_583f")[0])
    assert [value for code, value in notes("several_583f")[0] if code == "f"] == ["WEST", "WEST Bronze"]
    assert dict(notes("capital_583a")[0])["a"] == "Committed to retain"
    assert dict(notes("583_dates_reversed")[0])["c"] > dict(notes("583_dates_reversed")[0])["d"]
    assert "d" not in dict(notes("no_583d")[0])
    assert "c" not in dict(notes("no_583c")[0])
    assert len(notes("reviewed_and_committed")) == 2


def test_what_the_record_variants_look_like() -> None:
    assert len(first_holding("good").control("008") or "") == 32
    assert len(first_holding("short_008").control("008") or "") == 30
    assert len(first_holding("long_008").control("008") or "") == 34
    assert first_holding("no_008").control("008") is None
    assert first_holding("leader_of_bib").leader[6] == "a"
    assert first_holding("good").leader[6] == "y"
    assert all(
        len(first_holding(name).leader) == 24 for name in ("good", "leader_of_bib", "leader_not_unicode")
    )
    assert not first_holding("no_852").data("852")
    assert not first_holding("no_852b").data("852")[0].all("b")
    assert not first_holding("no_statement").data("863", "866", "867", "868")
    assert first_holding("paired_statement").data("853")
    assert not first_holding("paired_statement").data("866")
    assert (first_holding("migrated").control("001") or "").isdigit()
    assert len(first_holding("migrated").control("001") or "") < 10


def test_what_is_too_long_for_iso_2709() -> None:
    longest = max(len(entry.first("a").encode()) for entry in first_holding("field_too_long").data("866"))
    assert longest > 9_999
    record = first_holding("record_too_long")
    assert max(len(entry.first("a").encode()) for entry in record.data("866")) < 9_999
    assert sum(len(entry.first("a").encode()) for entry in record.data("866")) > 99_999


def test_marc_survives_its_element() -> None:
    for number in range(100):
        record = titles.bib(7, number, 400).record
        assert from_element(etree.fromstring(etree.tostring(to_element(record)))) == record


def test_the_set_of_all_titles_page_by_page(alma: Caller) -> None:
    path = f"/conf/sets/{ids.ALL_TITLES_SET}"
    assert alma.get(path)["number_of_members"]["value"] == 400
    assert alma.get(path)["name"] == "WEST archive titles"
    pages = [alma.get(f"{path}/members?limit=100&offset={offset}") for offset in range(0, 500, 100)]
    assert [len(page.get("member", [])) for page in pages] == [100, 100, 100, 100, 0]
    assert pages[4] == {"total_record_count": 400}
    members = [member["id"] for page in pages for member in page.get("member", [])]
    assert members == [ids.mms_id(title) for title in range(400)]
    assert len(alma.get(f"{path}/members")["member"]) == 10


def test_set_members_in_xml(alma: Caller) -> None:
    root = alma.xml(f"/conf/sets/{ids.ALL_TITLES_SET}/members?limit=2")
    assert root.get("total_record_count") == "400"
    assert [member.findtext("id") for member in root] == [ids.mms_id(0), ids.mms_id(1)]
    assert root[0].get("link") == f"{alma.url}/almaws/v1/bibs/{ids.mms_id(0)}"


def test_the_other_sets(alma: Caller) -> None:
    assert alma.get(f"/conf/sets/{ids.EMPTY_SET}/members") == {"total_record_count": 0}
    member = alma.get(f"/conf/sets/{ids.ITEM_SET}/members?limit=1")["member"][0]
    assert alma.get(f"/conf/sets/{ids.ITEM_SET}")["content"]["value"] == "ITEM"
    assert re.search(rf"/bibs/99\d+/holdings/22\d+/items/{member['id']}$", member["link"])
    found = alma.get("/conf/sets", params={"q": "name~WEST_archive", "content_type": "ITEM"})
    assert [entry["id"] for entry in found["set"]] == [ids.ITEM_SET]


def test_members_that_are_gone(alma: Caller) -> None:
    alma.settings(vanished_members=5)
    path = f"/conf/sets/{ids.ALL_TITLES_SET}/members?limit=100&offset="
    members = [
        row["id"] for offset in range(0, 500, 100) for row in alma.get(path + str(offset)).get("member", [])
    ]
    assert len(members) == len(set(members)) == 405
    found = alma.get("/bibs", params={"mms_id": ",".join(members[:20]), "view": "brief"})
    assert found["total_record_count"] == 15


def test_pages_that_repeat_a_member_and_drop_one(alma: Caller) -> None:
    alma.settings(set_paging="shifting")
    path = f"/conf/sets/{ids.ALL_TITLES_SET}/members?limit=100&offset="
    members = [row["id"] for offset in range(0, 400, 100) for row in alma.get(path + str(offset))["member"]]
    assert len(members) == 400
    assert len(set(members)) == 397


def test_a_large_catalogue_costs_nothing_until_it_is_read() -> None:
    catalogue = Catalogue(7, 5_000_000)
    mms_id = ids.mms_id(4_999_999)
    bib = catalogue.bib(mms_id)
    assert bib is not None
    assert catalogue.bib(ids.mms_id(5_000_000)) is None
    assert not catalogue.bibs


def test_configuration(alma: Caller) -> None:
    assert alma.get("/conf/general")["institution"]["value"] == "01ZZ_INST"
    codes = [library["code"] for library in alma.get("/conf/libraries")["library"]]
    assert codes == ["MAIN", "SCI", "LAW", "STOR", "RES_SHARE"]
    locations = alma.get("/conf/libraries/MAIN/locations")["location"]
    assert {"microform", "closed"} <= {location["code"] for location in locations}
    table = alma.get("/conf/code-tables/ItemPolicy")
    assert {"code", "description"} <= set(table["row"][0])
    assert alma.refusal("GET", "/conf/libraries/NONE/locations") == (400, "402263")
    desks = alma.get("/conf/libraries/MAIN/circ-desks/")
    assert "DEFAULT_CIRC_DESK" in [desk["code"] for desk in desks["circ_desk"]]
    assert alma.get("/conf/libraries/MAIN/circ-desks/DEFAULT_CIRC_DESK")["has_hold_shelf"] is True
    assert alma.get("/conf/libraries/MAIN/circ-desks/RETURNS")["has_hold_shelf"] is False
    sharing = {each["code"]: each["resource_sharing"] for each in alma.get("/conf/libraries")["library"]}
    assert [code for code, is_one in sharing.items() if is_one] == ["RES_SHARE"]
    reasons = alma.get("/conf/code-tables/RequestCancellationReasons")["row"]
    assert {row["code"]: row["enabled"] for row in reasons}["AdditionalReason02"] == "false"


def test_connection_tests_of_every_area(alma: Caller) -> None:
    for path in ("/bibs/test", "/conf/test", "/acq/test", "/analytics/test", "/users/operation/test"):
        assert b"GET - OK - institutionCode: 01ZZ_INST" in alma.call("GET", path).content
        assert b"POST - OK" in alma.call("POST", path).content


def test_the_clock_can_be_stopped_set_and_moved(alma: Caller) -> None:
    alma.control("POST", "clock", {"stopped": True, "now": "2026-03-01T12:00:00Z"})
    assert alma.control("POST", "clock", {"advance_s": 90}) == {
        "now": "2026-03-01T12:01:30.000Z",
        "stopped": True,
    }
    assert alma.control("POST", "clock", {"stopped": False})["stopped"] is False
    assert alma.control("GET", "clock")["now"] >= "2026-03-01T12:01:30.000Z"


def test_log_entries_tell_when_a_call_came_and_went(alma: Caller) -> None:
    before = time.monotonic()
    alma.call("GET", f"/bibs/{ids.mms_id(0)}", params={"view": "brief"})
    alma.call("GET", "/bibs/1")
    log = alma.control("GET", "log")
    first, second = log["entries"]
    assert before <= first["received"] <= first["answered"] <= second["received"]
    assert (first["path"], first["query"]) == (f"/almaws/v1/bibs/{ids.mms_id(0)}", "view=brief")
    assert (second["status"], second["code"]) == (400, "402203")
    params = {"status": 400, "path": "/bibs/1$"}
    assert requests.get(f"{alma.url}/sandbox/log", params=params, timeout=30).json()["matching"] == 1
    assert log["counts"]["by_status"] == {"200": 1, "400": 1}
    cleared = alma.control("DELETE", "log")
    assert (cleared["total"], cleared["in_flight"], cleared["by_route"]) == (0, 0, {})
