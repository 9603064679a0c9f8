"""Items: lists, barcodes, creating, the swap-all PUT with its dangers, withdrawing."""

import copy
from typing import Any

import pytest

from alma_sandbox.catalogue import ids
from alma_sandbox.catalogue.records import ITEM_CODES, ITEM_TEXTS
from tests.sandbox.caller import Caller
from tests.sandbox.records import DESK, HOLD, item_body

BIB = f"/bibs/{ids.mms_id(0)}"
ITEMS = f"{BIB}/holdings/{ids.holding_id(0, 0)}/items"


@pytest.fixture
def first(alma: Caller) -> dict[str, Any]:
    """The first item of the first holding."""
    return alma.get(f"{ITEMS}/{ids.item_pid(0, 0, 0)}")


def path_of(item: dict[str, Any]) -> str:
    data = item["bib_data"]["mms_id"], item["holding_data"]["holding_id"], item["item_data"]["pid"]
    return "/bibs/{}/holdings/{}/items/{}".format(*data)


def test_an_item_in_both_formats(alma: Caller, first: dict[str, Any]) -> None:
    data = first["item_data"]
    assert data["base_status"] == {"value": "1", "desc": "Item in place"}
    assert data["process_type"] == {"value": ""}
    assert data["requested"] is False
    assert data["physical_condition"] == {}
    assert first["holding_data"]["temp_library"] == {}
    assert "expected_arrival_date" not in data
    root = alma.xml(path_of(first))
    assert root.findtext("item_data/barcode") == data["barcode"]
    assert root.find("item_data/base_status").attrib == {"desc": "Item in place"}  # type: ignore[union-attr]
    assert root.findtext("item_data/requested") == "false"
    assert root.findtext("bib_data/network_numbers/network_number") == first["bib_data"]["network_number"][0]
    assert root.get("link") == first["link"]


def test_reading_does_not_check_the_holding_in_the_path(alma: Caller, first: dict[str, Any]) -> None:
    item = alma.get(f"{BIB}/holdings/999/items/{ids.item_pid(0, 0, 0)}")
    assert item["holding_data"]["holding_id"] == ids.holding_id(0, 0)
    assert alma.refusal("GET", f"{ITEMS}/{ids.item_pid(9, 0, 0)}") == (400, "401688")


def test_all_items_of_a_bib_with_paging_sorting_and_filters(alma: Caller) -> None:
    title = alma.variant("three_holdings")
    path = f"/bibs/{title['mms_id']}/holdings/{title['holding_ids'][0]}/items"
    for number in range(12):
        alma.post(
            path, item_body(f"sorted{number}", enumeration_a=str(number + 5), description=f"part {number}")
        )
    everything = f"/bibs/{title['mms_id']}/holdings/ALL/items"
    total = alma.get(everything)["total_record_count"]
    assert len(alma.get(everything)["item"]) == 10  # the silent default
    found = [
        item["item_data"]["enumeration_a"]
        for offset in range(0, total, 4)
        for item in alma.get(f"{everything}?limit=4&offset={offset}&order_by=enum_a&direction=asc")["item"]
    ]
    assert len(found) == total
    assert found == sorted(found, key=int)
    down = alma.get(f"{everything}?limit=1&order_by=enum_a")["item"][0]
    assert down["item_data"]["enumeration_a"] == "16"
    assert alma.get(f"{everything}?q=description~part_3")["total_record_count"] == 1
    assert alma.get(f"{everything}?current_library=NONE") == {"total_record_count": 0}
    assert alma.get(f"{everything}?create_date_from=2025-01-01")["total_record_count"] == 12
    assert alma.get(f"{everything}?create_date_to=2025-01-01&limit=0")["total_record_count"] == total - 12


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=101", "40166411"),
        ("offset=999", "60217"),
        ("order_by=colour", "60216"),
        ("q=colour~red", "60106"),
        ("modify_date_from=yesterday", "402217"),
        ("order_by=library&direction=sideways", "40166411"),
    ],
)
def test_lists_refuse_what_they_do_not_know(alma: Caller, query: str, code: str) -> None:
    assert alma.refusal("GET", f"{ITEMS}?{query}") == (400, code)


def test_an_empty_list_has_no_list(alma: Caller) -> None:
    title = alma.variant("no_items")
    path = f"/bibs/{title['mms_id']}/holdings/{title['holding_ids'][0]}/items"
    assert alma.get(path) == {"total_record_count": 0}
    assert alma.refusal("GET", f"{BIB}/holdings/22123/items") == (400, "401688")
    assert alma.refusal("GET", "/bibs/99123/holdings/ALL/items") == (400, "402203")


def test_a_barcode_is_looked_up_by_a_redirect_that_costs_a_second_call(
    alma: Caller, first: dict[str, Any]
) -> None:
    barcode = first["item_data"]["barcode"]
    before = alma.control("GET", "counts")["calls_left"]
    response = alma.call("GET", f"/items?item_barcode={barcode}")
    assert response.status_code == 302
    assert response.headers["Location"] == f"{alma.url}/almaws/v1{path_of(first)}"
    headers = {"Authorization": "apikey sandbox", "Accept": "application/json"}
    followed = alma.session.get(
        f"{alma.url}/almaws/v1/items?item_barcode={barcode}", headers=headers, timeout=30
    )
    assert followed.json()["item_data"]["pid"] == first["item_data"]["pid"]
    assert alma.control("GET", "counts")["calls_left"] == before - 3
    assert alma.refusal("GET", "/items?item_barcode=123") == (400, "401689")
    assert alma.refusal("GET", "/items") == (400, "401689")


def test_creating_an_item(alma: Caller) -> None:
    made = alma.post(ITEMS, item_body("new-1", description="v. 9", library={"value": "LAW"}))
    data = made["item_data"]
    assert (data["barcode"], data["description"], data["policy"]["desc"]) == ("new-1", "v. 9", "Loan 28 days")
    holding = alma.get(f"{BIB}/holdings")["holding"][0]
    assert (
        data["library"]["value"] == holding["library"]["value"]
    )  # taken from the holding, not from the body
    assert alma.get(path_of(made)) == made


def test_creating_an_item_from_xml(alma: Caller) -> None:
    body = (
        "<item><holding_data><copy_id>3</copy_id></holding_data><item_data><barcode>xml-1</barcode>"
        '<physical_material_type desc="Book">BOOK</physical_material_type><is_magnetic>true</is_magnetic>'
        "</item_data></item>"
    )
    made = alma.post(ITEMS, body)
    assert (made["item_data"]["barcode"], made["item_data"]["is_magnetic"]) == ("xml-1", True)
    assert made["item_data"]["physical_material_type"]["value"] == "BOOK"
    assert made["holding_data"]["copy_id"] == "3"


def test_a_barcode_belongs_to_one_item(alma: Caller, first: dict[str, Any]) -> None:
    alma.post(ITEMS, item_body("twice"))
    assert alma.refusal("POST", ITEMS, body=item_body("twice")) == (400, "40166404")
    assert alma.refusal("POST", ITEMS, body=item_body(first["item_data"]["barcode"])) == (400, "40166404")
    count = alma.get(f"{BIB}/holdings/ALL/items?limit=0")["total_record_count"]
    assert len(alma.control("GET", "state")["items"]) == 1
    assert count >= 2


def test_without_a_barcode_alma_makes_one_up_each_time(alma: Caller) -> None:
    made = [alma.post(ITEMS, item_body())["item_data"]["barcode"] for _ in range(2)]
    assert all(made)
    assert made[0] != made[1]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"policy": {"value": "NOPE"}}, "40166404"),
        ({"physical_material_type": {"value": "NOPE"}}, "40166404"),
        ({"arrival_date": "yesterday"}, "40166404"),
        ({"po_line": "POL-0"}, "401885"),
    ],
)
def test_fields_that_are_not_valid(alma: Caller, values: dict[str, Any], code: str) -> None:
    assert alma.refusal("POST", ITEMS, body=item_body("bad", **values)) == (400, code)
    assert alma.refusal("GET", "/items?item_barcode=bad") == (400, "401689")


def test_an_item_of_an_order_is_in_acquisition_until_it_arrives(alma: Caller) -> None:
    made = alma.post(ITEMS, item_body("ordered", po_line="POL-1001"))
    assert made["item_data"]["process_type"]["value"] == "ACQ"
    made["item_data"]["arrival_date"] = "2026-05-01Z"
    assert alma.put(path_of(made), made)["item_data"]["base_status"]["value"] == "1"


def test_a_generated_description(alma: Caller) -> None:
    values = {"enumeration_a": "4", "enumeration_b": "2", "chronology_i": "1999"}
    made = alma.post(f"{ITEMS}?generate_description=true", item_body("described", **values))
    assert made["item_data"]["description"] == "v.4:no.2 (1999)"


def test_what_a_put_leaves_out_is_emptied_even_the_barcode(alma: Caller, first: dict[str, Any]) -> None:
    assert first["item_data"]["description"]
    changed = alma.put(path_of(first), item_body())["item_data"]
    assert changed["pid"] == first["item_data"]["pid"]
    assert changed["description"] == ""
    assert changed["barcode"] != first["item_data"]["barcode"]
    assert alma.refusal("GET", f"/items?item_barcode={first['item_data']['barcode']}") == (400, "401689")


def test_what_get_gave_can_be_put_back_unchanged(alma: Caller, first: dict[str, Any]) -> None:
    again = alma.put(path_of(first), first)
    for part in (first, again):
        part["item_data"].pop("modification_date")
    assert again == first


def test_a_barcode_that_moves_on_is_free_again(alma: Caller, first: dict[str, Any]) -> None:
    changed = copy.deepcopy(first)
    changed["item_data"]["barcode"] = "renamed"
    alma.put(path_of(first), changed)
    assert alma.call("GET", "/items?item_barcode=renamed").status_code == 302
    alma.post(ITEMS, item_body(first["item_data"]["barcode"]))
    changed["item_data"]["barcode"] = first["item_data"]["barcode"]
    assert alma.refusal("PUT", path_of(first), body=changed) == (400, "40166404")


def test_another_location_moves_the_item_to_another_holding(alma: Caller, first: dict[str, Any]) -> None:
    first["item_data"]["library"], first["item_data"]["location"] = {"value": "STOR"}, {"value": "archive"}
    first["item_data"]["location"] = {"value": "microform"}
    moved = alma.put(path_of(first), first)
    assert moved["item_data"]["pid"] == first["item_data"]["pid"]
    assert moved["holding_data"]["holding_id"] != first["holding_data"]["holding_id"]
    rows = alma.get(f"{BIB}/holdings")["holding"]
    assert ("STOR", "microform") in {(row["library"]["value"], row["location"]["value"]) for row in rows}
    moved["item_data"]["library"] = {"value": "MAIN"}
    assert alma.refusal(
        "PUT", path_of(moved), body={**moved, "item_data": {**moved["item_data"], "location": "x"}}
    ) == (
        400,
        "40166404",
    )
    second = alma.post(ITEMS, item_body("second"))
    second["item_data"] |= {"library": {"value": "STOR"}, "location": {"value": "microform"}}
    joined = alma.put(path_of(second), second)
    assert joined["holding_data"]["holding_id"] == moved["holding_data"]["holding_id"]


def test_a_temporary_location(alma: Caller, first: dict[str, Any]) -> None:
    first["holding_data"] |= {"in_temp_location": True, "temp_library": "MAIN", "temp_location": "reserves"}
    changed = alma.put(path_of(first), first)
    assert changed["holding_data"]["temp_location"] == {"value": "reserves", "desc": "Course Reserves"}
    assert changed["holding_data"]["holding_id"] == ids.holding_id(0, 0)
    found = alma.get(f"{BIB}/holdings/ALL/items?current_location=reserves")
    assert found["total_record_count"] == 1
    first["holding_data"]["temp_location"] = "nowhere"
    assert alma.refusal("PUT", path_of(first), body=first) == (400, "40166404")


def test_withdrawing_an_item(alma: Caller) -> None:
    made = alma.post(ITEMS, item_body("gone"))
    pid = made["item_data"]["pid"]
    alma.post(f"/users/patron001/requests?item_pid={pid}", HOLD)
    assert alma.refusal("DELETE", path_of(made)) == (400, "401849")
    assert alma.call("DELETE", f"{path_of(made)}?override=true").status_code == 204
    assert alma.refusal("GET", path_of(made)) == (400, "401688")
    assert alma.get("/users/patron001/requests") == {"total_record_count": 0}
    lent = alma.post(ITEMS, item_body("lent"))
    alma.post("/users/patron002/loans?item_barcode=lent", DESK)
    assert alma.refusal("DELETE", path_of(lent)) == (400, "401849")


def test_withdrawing_the_last_item_can_take_holding_and_bib_along(alma: Caller) -> None:
    title = alma.variant("no_items")
    path = f"/bibs/{title['mms_id']}/holdings/{title['holding_ids'][0]}/items"
    made = alma.post(path, item_body("last"))
    assert alma.call("DELETE", f"{path_of(made)}?holdings=delete&bib=delete").status_code == 204
    assert alma.refusal("GET", f"/bibs/{title['mms_id']}") == (400, "402203")


# One value for each field that a client may write, other than what the item has at first.
_TEXTS = {name: f"new {name}" for name in ITEM_TEXTS} | {
    "issue_date": "2020-01-02Z", "arrival_date": "2020-01-03Z", "expected_arrival_date": "2020-01-04Z",
    "inventory_date": "2020-01-05Z", "weeding_date": "2020-01-06Z", "pieces": "7", "po_line": "POL-1001",
}  # fmt: skip
_CODES = {
    "physical_material_type": "MAP", "policy": "02", "provenance": "GIFT", "break_indicator": "G", "pattern_type": "1",
    "alternative_call_number_type": "8", "physical_condition": "BRITTLE", "committed_to_retain": "true",
    "retention_reason": "WEST",
}  # fmt: skip
_HOLDING_DATA = {
    "copy_id": "9", "in_temp_location": True, "temp_library": {"value": "MAIN"}, "temp_location": {"value": "reserves"},
    "temp_call_number": "QA1", "temp_call_number_type": {"value": "8"}, "temp_call_number_source": "own",
    "temp_policy": {"value": "03"},
}  # fmt: skip


def value_of(field: object) -> object:
    return field.get("value", "") if isinstance(field, dict) else field


def changed_everywhere(item: dict[str, Any]) -> dict[str, Any]:
    """The item with another value in every field that can be written."""
    changed = copy.deepcopy(item)
    changed["item_data"] |= {**_TEXTS, "barcode": "written", "is_magnetic": True}
    changed["item_data"] |= {name: {"value": value} for name, value in _CODES.items()}
    changed["holding_data"] |= _HOLDING_DATA
    return changed


def test_every_writable_field_is_kept_and_emptied_when_it_is_left_out(
    alma: Caller, first: dict[str, Any]
) -> None:
    wanted = changed_everywhere(first)
    answer = alma.put(path_of(first), wanted)
    for found in (answer, alma.get(path_of(first))):
        for part in ("item_data", "holding_data"):
            names = {*_TEXTS, *_CODES, "barcode", "is_magnetic", *_HOLDING_DATA} & set(wanted[part])
            names -= {"type_of_unit"}  # Alma's own
            assert {name: value_of(found[part][name]) for name in names} == {
                name: value_of(wanted[part][name]) for name in names
            }
    emptied = alma.put(path_of(first), {"item_data": {"barcode": "written"}})
    left = {name for name in _TEXTS if emptied["item_data"].get(name)}
    assert left == {"pieces"}  # 1 when it is left out
    assert not any(value_of(emptied["item_data"][name]) for name in _CODES)
    assert emptied["holding_data"]["temp_call_number_source"] == ""


def test_what_alma_writes_itself_is_not_looked_at_though_the_answer_is_200(
    alma: Caller, first: dict[str, Any]
) -> None:
    sent = copy.deepcopy(first)
    sent["item_data"] |= {
        "pid": "23123", "creation_date": "1999-01-01Z", "modification_date": "1999-01-01Z", "requested": True,
        "base_status": {"value": "0"}, "process_type": {"value": "MISSING"}, "awaiting_reshelving": True,
        "type_of_unit": "box", "work_order_type": {"value": "Binding"},
    }  # fmt: skip
    sent["holding_data"] |= {
        "holding_id": ids.holding_id(9, 0), "permanent_call_number": "ZZ9", "call_number": "ZZ9",
        "permanent_call_number_type": {"value": "8"}, "accession_number": "1",
    }  # fmt: skip
    sent["bib_data"] |= {"title": "Another", "mms_id": ids.mms_id(9)}
    answer = alma.put(path_of(first), sent)
    for item in (answer, first):
        item["item_data"].pop("modification_date")
    assert answer == first


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (["public_note", "policy"], {"public_note", "policy"}),
        (["barcode", "library", "temp_policy"], {"barcode", "temp_policy"}),
        (["*"], {"public_note", "policy", "barcode", "temp_policy", "copy_id"}),
    ],
)
def test_a_put_that_changes_nothing_of_some_fields_on_demand(
    alma: Caller, first: dict[str, Any], fields: list[str], kept: set[str]
) -> None:
    alma.fault(kind="ignore", method="PUT", path="/items/", fields=fields, times=1)
    sent = changed_everywhere(first)
    sent["item_data"]["location"] = {"value": "microform"}
    sent["item_data"]["library"] = {"value": "STOR"}
    answer = alma.put(path_of(first), sent)
    flat = {**first["holding_data"], **first["item_data"]}
    got, wanted = (
        {**answer["holding_data"], **answer["item_data"]},
        {**sent["holding_data"], **sent["item_data"]},
    )
    for name in ("public_note", "policy", "barcode", "temp_policy", "copy_id"):
        assert value_of(got[name]) == value_of(flat[name] if name in kept else wanted[name]), name
    stays = bool({"library", "*"} & set(fields))
    assert (got["holding_id"] == flat["holding_id"]) is stays
    assert alma.get(path_of(answer)) == answer


def test_a_holding_that_a_put_makes_is_missing_in_lists_for_a_while(
    alma: Caller, first: dict[str, Any]
) -> None:
    """So that a client that looks into the list alone makes a second one."""
    alma.settings(list_lag_s=60)
    first["item_data"] |= {"library": {"value": "STOR"}, "location": {"value": "microform"}}
    moved = alma.put(path_of(first), first)["holding_data"]["holding_id"]
    assert alma.call("GET", f"{BIB}/holdings/{moved}").status_code == 200
    assert moved not in {row["holding_id"] for row in alma.get(f"{BIB}/holdings")["holding"]}
    alma.control("POST", "clock", {"advance_s": 61})
    assert moved in {row["holding_id"] for row in alma.get(f"{BIB}/holdings")["holding"]}


def test_every_coded_field_has_its_code_table_and_no_other_codes(alma: Caller, first: dict[str, Any]) -> None:
    named = {**ITEM_CODES, "temp_policy": "ItemPolicy", "temp_call_number_type": "CallNumberType"}
    for name, table in named.items():
        codes = {row["code"] for row in alma.get(f"/conf/code-tables/{table}")["row"]}
        part = "holding_data" if name.startswith("temp_") else "item_data"
        body = copy.deepcopy(first)
        for value in sorted(codes):
            body[part][name] = {"value": value}
            assert value_of(alma.put(path_of(first), body)[part][name]) == value
        body[part][name] = {"value": "no such code"}
        assert alma.refusal("PUT", path_of(first), body=body) == (400, "40166404"), name
