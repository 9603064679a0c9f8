"""Reading bibs and holdings: batches, availability and its quirks, errors."""

from typing import Any

import pytest
from lxml import etree

from alma_sandbox.catalogue import ids
from tests.sandbox.caller import Caller

UNKNOWN = ids.mms_id(999_999)


def ava(alma: Caller, mms_id: str) -> list[dict[str, str]]:
    """The AVA rows of a bib; of repeated subfields the last."""
    root = alma.xml("/bibs", params={"mms_id": mms_id, "expand": "p_avail"})
    return [
        {subfield.get("code", ""): subfield.text or "" for subfield in row}
        for row in root.iterfind("bib/record/datafield[@tag='AVA']")
    ]


def test_unknown_ids_are_left_out_and_repeated_ones_come_once(alma: Caller) -> None:
    asked = [ids.mms_id(3), UNKNOWN, ids.mms_id(1), ids.mms_id(3)]
    body = alma.get("/bibs", params={"mms_id": ",".join(asked)})
    assert sorted(bib["mms_id"] for bib in body["bib"]) == [ids.mms_id(1), ids.mms_id(3)]
    assert body["total_record_count"] == 2


def test_nothing_found_still_has_its_list(alma: Caller) -> None:
    assert alma.get("/bibs", params={"mms_id": UNKNOWN}) == {"bib": [], "total_record_count": 0}


def test_a_hundred_ids_and_no_more(alma: Caller) -> None:
    hundred = ",".join(ids.mms_id(title) for title in range(100))
    assert alma.get("/bibs", params={"mms_id": hundred})["total_record_count"] == 100
    assert alma.refusal("GET", f"/bibs?mms_id={hundred},{ids.mms_id(100)}") == (400, "402203")


@pytest.mark.parametrize("query", ["", "?mms_id=", "?mms_id=99x", "?mms_id=1&holdings_id=2"])
def test_lists_that_are_not_valid(alma: Caller, query: str) -> None:
    assert alma.refusal("GET", "/bibs" + query) == (400, "402203")


def test_a_parameter_that_does_not_exist(alma: Caller) -> None:
    assert alma.refusal("GET", "/bibs?q=title~x") == (400, "401873")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/bibs/{UNKNOWN}", "402203"),
        ("/bibs/abc", "402204"),
        (f"/bibs/{UNKNOWN}/holdings", "402203"),
        ("/bibs/abc/holdings", "402204"),
        (f"/bibs/{ids.mms_id(0)}/holdings/221", "402208"),
        (f"/bibs/{ids.mms_id(0)}/holdings/{ids.holding_id(1, 0)}", "402208"),
        ("/conf/sets/123", "60107"),
        ("/conf/sets/123/members", "60107"),
        (f"/conf/sets/{ids.ALL_TITLES_SET}/members?limit=101", "40166411"),
    ],
)
def test_what_is_not_there(alma: Caller, path: str, code: str) -> None:
    assert alma.refusal("GET", path) == (400, code)
    assert alma.refusal("GET", path, accept="application/xml") == (400, code)


def test_a_bib_in_both_formats(alma: Caller) -> None:
    body = alma.get(f"/bibs/{ids.mms_id(0)}")
    root = alma.xml(f"/bibs/{ids.mms_id(0)}")
    assert root.findtext("title") == body["title"]
    assert [number.text for number in root.iterfind("network_numbers/network_number")] == body[
        "network_number"
    ]
    assert body["suppress_from_publishing"] == "false"
    assert body["holdings"] == {"value": "", "link": f"{alma.url}/almaws/v1/bibs/{ids.mms_id(0)}/holdings"}
    record = root.find("record")
    assert record is not None
    assert body["anies"][0].startswith('<?xml version="1.0" encoding="UTF-16"?><record>')
    assert etree.tostring(record, encoding="unicode") in body["anies"][0]
    assert list(record.find("datafield").attrib) == ["ind1", "ind2", "tag"]  # type: ignore[union-attr]


def test_brief_view_has_no_marc(alma: Caller) -> None:
    assert "anies" not in alma.get(f"/bibs/{ids.mms_id(0)}?view=brief")


def test_availability_in_the_order_that_alma_writes(alma: Caller) -> None:
    title = alma.variant("good")
    (row,) = ava(alma, title["mms_id"])
    assert "".join(row) == "08abcdefgvjkpqt"
    assert (row["0"], row["8"]) == (title["mms_id"], title["holding_ids"][0])
    holding = alma.get(f"/bibs/{title['mms_id']}/holdings")["holding"][0]
    assert (row["b"], row["j"]) == (holding["library"]["value"], holding["location"]["value"])


def test_availability_of_a_holding_without_items(alma: Caller) -> None:
    (row,) = ava(alma, alma.variant("no_items")["mms_id"])
    assert "".join(row) == "08abcdejkpqt"
    assert row["e"] == "check_holdings"


def test_availability_of_items_in_temporary_locations_lacks_the_holding_id(alma: Caller) -> None:
    rows = ava(alma, alma.variant("all_items_temporary")["mms_id"])
    assert ["".join(row) for row in rows] == ["0abcdefgjkpq"] * 2
    rows = ava(alma, alma.variant("some_items_temporary")["mms_id"])
    assert ["8" in row for row in rows] == [True, False]


def test_a_bound_with_shows_the_rows_of_its_host_and_has_no_holding(alma: Caller) -> None:
    title = alma.variant("bound_with")
    rows = ava(alma, title["mms_id"])
    assert {row["0"] for row in rows} == {title["host_mms_id"]}
    assert rows == ava(alma, title["host_mms_id"])
    body = alma.get(f"/bibs/{title['mms_id']}/holdings")
    assert body["total_record_count"] == 0
    assert "holding" not in body


@pytest.mark.parametrize("name", ["suppressed_holding", "suppressed_location"])
def test_what_is_suppressed_hides_from_availability_unless_switched_on(alma: Caller, name: str) -> None:
    title = alma.variant(name)
    assert ava(alma, title["mms_id"]) == []
    listed = alma.get(f"/bibs/{title['mms_id']}/holdings")["holding"]
    assert listed[0]["suppress_from_publishing"] == ("true" if name == "suppressed_holding" else "false")
    holding = alma.get(f"/bibs/{title['mms_id']}/holdings/{title['holding_ids'][0]}")
    assert holding["calculated_suppress_from_publishing"] == "true"
    alma.settings(suppressed_in_availability=True)
    assert len(ava(alma, title["mms_id"])) == 1


def test_a_holding_without_a_library_has_no_availability(alma: Caller) -> None:
    assert ava(alma, alma.variant("no_852b")["mms_id"]) == []


def test_electronic_availability(alma: Caller) -> None:
    query = {"mms_id": ",".join(ids.mms_id(title) for title in range(100)), "expand": "e_avail"}
    root = alma.xml("/bibs", params=query)
    rows = root.findall("bib/record/datafield[@tag='AVE']")
    assert rows
    assert root.find("bib/record/datafield[@tag='AVA']") is None


def identifiers(alma: Caller) -> list[tuple[str, str, str]]:
    bib = alma.get(f"/bibs/{ids.mms_id(0)}")
    return [("other_system_id", number, bib["mms_id"]) for number in bib["network_number"]] + [
        ("holdings_id", ids.holding_id(0, 0), bib["mms_id"])
    ]


def test_look_up_by_one_other_identifier(alma: Caller) -> None:
    for name, value, mms_id in identifiers(alma):
        found: Any = alma.get("/bibs", params={name: value})
        assert [bib["mms_id"] for bib in found["bib"]] == [mms_id], (name, value)
    assert alma.get("/bibs", params={"other_system_id": "(OCoLC)1"})["bib"] == []


def test_the_holdings_list_in_both_formats(alma: Caller) -> None:
    title = alma.variant("three_holdings")
    body = alma.get(f"/bibs/{title['mms_id']}/holdings")
    root = alma.xml(f"/bibs/{title['mms_id']}/holdings")
    assert body["total_record_count"] == 3
    assert root.get("total_record_count") == "3"
    assert [row["holding_id"] for row in body["holding"]] == title["holding_ids"]
    assert [row.findtext("holding_id") for row in root.iterfind("holding")] == title["holding_ids"]
    assert body["bib_data"]["mms_id"] == title["mms_id"]
    places = {(row["library"]["value"], row["location"]["value"]) for row in body["holding"]}
    assert len(places) == 3


def test_nulls_as_alma_wrote_them_until_2023(alma: Caller) -> None:
    assert alma.get(f"/bibs/{ids.mms_id(0)}")["linked_record_id"] == {}
    alma.settings(nulls="written")
    assert alma.get(f"/bibs/{ids.mms_id(0)}")["linked_record_id"] == {"value": None, "desc": None}
