"""Writing bibs and holdings: XML only, what Alma fills in, stale and locked records, what deleting takes along."""

import pytest
from lxml import etree

from alma_sandbox.catalogue import ids
from alma_sandbox.catalogue.titles import network_id
from tests.sandbox.caller import Caller
from tests.sandbox.records import bib_xml, field_xml, holding_xml

BIB = f"/bibs/{ids.mms_id(0)}"
HOLDING = f"{BIB}/holdings/{ids.holding_id(0, 0)}"


def record_of(alma: Caller, path: str) -> etree._Element:
    record = alma.xml(path).find("record")
    assert record is not None
    return record


def control(record: etree._Element, tag: str) -> str:
    return record.findtext(f"controlfield[@tag='{tag}']", "")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/bibs"), ("PUT", BIB), ("POST", f"{BIB}/holdings"), ("PUT", HOLDING)]
)
def test_records_are_written_in_xml_only(alma: Caller, method: str, path: str) -> None:
    assert alma.refusal(method, path, body={"record": {}}) == (400, "60105")


@pytest.mark.parametrize(
    "body",
    [
        "<bib><record>",
        "<bib/>",
        "<bib><record><leader>short</leader></record></bib>",
        '<!DOCTYPE b [<!ENTITY a "x">]><bib><record><leader>&a;</leader></record></bib>',
        "<bib><record><leader>     nam a22     u  4500</leader><surprise/></record></bib>",
    ],
)
def test_bodies_that_are_no_record(alma: Caller, body: str) -> None:
    status, _ = alma.refusal("POST", "/bibs", body=body)
    assert status == 400
    assert alma.control("GET", "state")["bibs"] == {}


def test_a_new_bib_is_suppressed_unless_asked_otherwise(alma: Caller) -> None:
    made = alma.post("/bibs", bib_xml())
    assert made["suppress_from_publishing"] == "true"
    assert made["title"] == "A new title /"
    unsuppressed = alma.post(
        "/bibs", bib_xml(extra="<suppress_from_publishing>false</suppress_from_publishing>")
    )
    assert unsuppressed["suppress_from_publishing"] == "false"
    assert made["mms_id"] != unsuppressed["mms_id"]  # a repeated POST makes a duplicate
    record = record_of(alma, f"/bibs/{made['mms_id']}")
    assert control(record, "001") == made["mms_id"]
    assert control(record, "005")
    assert alma.get(f"/bibs/{made['mms_id']}/holdings")["total_record_count"] == 0


def test_checks_that_a_post_can_ask_for(alma: Caller) -> None:
    refused = alma.call(
        "POST", "/bibs?normalization=nonsense", data=bib_xml(), headers={"Content-Type": "application/xml"}
    )
    error = refused.json()["errorList"]["error"][0]
    assert error["errorCode"] == "4022030"
    assert "marc21: 5001 (MARC21 Bib normalize on save)" in error["errorMessage"]
    assert alma.refusal("POST", "/bibs?override_warning=false", body=bib_xml()) == (400, "401873")
    untitled = bib_xml().replace('tag="245"', 'tag="246"')
    assert alma.refusal("POST", "/bibs?validate=true", body=untitled) == (400, "4022032")
    number = alma.get(BIB)["network_number"][1]
    same = bib_xml(
        fields=f'<datafield ind1=" " ind2=" " tag="035"><subfield code="a">{number}</subfield></datafield>'
    )
    checked = "/bibs?check_match=true&override_warning=false"
    assert alma.refusal("POST", checked, body=same) == (400, "60307")
    assert alma.post("/bibs?import_profile=1", same)["mms_id"] == ids.mms_id(0)
    assert alma.get(BIB)["title"] == "A new title /"


def test_a_local_copy_of_a_network_record(alma: Caller) -> None:
    made = alma.post(f"/bibs?from_nz_mms_id={network_id(3)}", "<bib/>")
    assert made["linked_record_id"] == {"value": network_id(3), "type": "NZ"}
    assert made["title"] == alma.get(f"/bibs/{ids.mms_id(3)}")["title"]
    assert alma.get("/bibs", params={"nz_mms_id": network_id(3)})["bib"][0]["mms_id"] == made["mms_id"]
    assert alma.refusal("POST", "/bibs?from_nz_mms_id=99123", body="<bib/>") == (400, "33007")
    local = field_xml("590", a="Ours", _9="local")
    path = f"/bibs/{made['mms_id']}"
    changed = alma.put(path, bib_xml("Another title", fields=local))
    assert changed["title"] == made["title"]  # only local fields are replaced
    assert "Ours" in changed["anies"][0]
    alma.post(f"{path}?op=unlink_from_nz")
    assert alma.put(path, bib_xml("Another title"))["title"] == "Another title"


def test_an_update_replaces_the_record_and_stamps_it(alma: Caller) -> None:
    before = control(record_of(alma, BIB), "005")
    changed = alma.put(BIB, bib_xml("Changed"))
    record = record_of(alma, BIB)
    assert changed["title"] == "Changed"
    assert changed["suppress_from_publishing"] == "false"
    assert control(record, "005") > before
    assert control(record, "001") == ids.mms_id(0)
    assert record.find("datafield[@tag='264']") is None


def test_availability_rows_that_come_back_are_dropped(alma: Caller) -> None:
    body = alma.xml(f"{BIB}?expand=p_avail")
    assert body.find("record/datafield[@tag='AVA']") is not None
    alma.put(BIB, etree.tostring(body, encoding="unicode"))
    assert record_of(alma, BIB).find("datafield[@tag='AVA']") is None


def test_a_stale_version_is_refused_only_when_asked(alma: Caller) -> None:
    alma.control("POST", "clock", {"stopped": True})  # 005 moves on even when the clock does not
    body = etree.tostring(alma.xml(BIB), encoding="unicode")
    alma.put(f"{BIB}?stale_version_check=true", body)
    assert alma.refusal("PUT", f"{BIB}?stale_version_check=true", body=body) == (400, "4022034")
    alma.put(BIB, body)


def test_a_record_that_is_open_in_the_editor(alma: Caller) -> None:
    alma.control("POST", "locks", {"lock": [ids.mms_id(0)]})
    assert alma.refusal("PUT", f"{BIB}?override_lock=false", body=bib_xml())[0] == 400
    alma.put(BIB, bib_xml())  # the default writes over it
    alma.control("POST", "locks", {"unlock": [ids.mms_id(0)]})
    alma.put(f"{BIB}?override_lock=false", bib_xml())


def test_deleting_a_bib(alma: Caller) -> None:
    assert alma.refusal("DELETE", BIB) == (400, "40166454")
    response = alma.call("DELETE", f"{BIB}?override=true")
    assert (response.status_code, response.content) == (204, b"")
    assert alma.refusal("GET", BIB) == (400, "402203")
    assert alma.refusal("GET", HOLDING)[0] == 400
    assert alma.get("/bibs", params={"mms_id": ids.mms_id(0)})["bib"] == []


def test_a_new_holding_gets_its_ids_and_a_missing_call_number(alma: Caller) -> None:
    number = field_xml("050", a="QK1", b=".X2")
    bib = alma.post("/bibs", bib_xml(fields=number))
    made = alma.post(f"/bibs/{bib['mms_id']}/holdings", holding_xml("LAW", "stacks", call_number=""))
    record = etree.fromstring(made["anies"][0].partition("?>")[2])
    assert control(record, "001") == made["holding_id"]
    assert control(record, "004") == bib["mms_id"]
    row = alma.get(f"/bibs/{bib['mms_id']}/holdings")["holding"][0]
    assert (row["library"]["value"], row["location"]["value"]) == ("LAW", "stacks")
    assert row["call_number"] == "QK1 .X2"


def test_a_holding_needs_a_place_that_exists(alma: Caller) -> None:
    assert alma.refusal("POST", f"{BIB}/holdings", body=holding_xml("MAIN", "nowhere")) == (400, "402212")
    assert alma.refusal("POST", f"/bibs/{ids.mms_id(9999)}/holdings", body=holding_xml()) == (400, "402203")
    before = alma.get(f"{BIB}/holdings")["total_record_count"]
    alma.post(f"{BIB}/holdings", holding_xml())
    alma.post(f"{BIB}/holdings", holding_xml())  # nothing stops a second holding at the same place
    assert alma.get(f"{BIB}/holdings")["total_record_count"] == before + 2


def test_an_update_of_a_holding_replaces_everything_and_can_move_it(alma: Caller) -> None:
    suppressed = "<suppress_from_publishing>true</suppress_from_publishing>"
    changed = alma.put(HOLDING, holding_xml("SCI", "periodicals", extra=suppressed))
    assert changed["suppress_from_publishing"] == "true"
    assert "583" not in changed["anies"][0]
    row = alma.get(f"{BIB}/holdings")["holding"][0]
    assert (row["library"]["value"], row["location"]["value"]) == ("SCI", "periodicals")
    assert alma.put(HOLDING, holding_xml("SCI", "periodicals"))["suppress_from_publishing"] == "false"


def test_two_libraries_in_852_are_accepted_and_hide_the_holding(alma: Caller) -> None:
    doubled = holding_xml().replace(
        '<subfield code="c">', '<subfield code="b">LAW</subfield><subfield code="c">'
    )
    alma.put(HOLDING, doubled)
    rows = alma.xml(f"{BIB}?expand=p_avail").findall("record/datafield[@tag='AVA']")
    assert ids.holding_id(0, 0) not in [row.findtext("subfield[@code='8']") for row in rows]


def test_deleting_a_holding(alma: Caller) -> None:
    title = alma.variant("no_items")
    path = f"/bibs/{title['mms_id']}"
    assert alma.refusal("DELETE", HOLDING) == (400, "60213")
    assert alma.call("DELETE", f"{path}/holdings/{title['holding_ids'][0]}?bib=suppress").status_code == 204
    assert alma.get(path)["suppress_from_publishing"] == "true"
    assert alma.get(f"{path}/holdings")["total_record_count"] == 0


def test_what_calls_changed_can_be_read_whole_and_set_back(alma: Caller) -> None:
    made = alma.post("/bibs", bib_xml())
    alma.put(HOLDING, holding_xml())
    state = alma.control("GET", "state")
    assert set(state["bibs"]) == {made["mms_id"]}
    assert set(state["holdings"]) == {ids.holding_id(0, 0)}
    assert state["counts"]["bibs"] == 1
    alma.control("POST", "reset")
    again = alma.control("GET", "state")
    assert again["bibs"] == again["holdings"] == again["items"] == {}


def test_lists_and_availability_lag_behind_a_new_holding_that_can_be_read_at_once(alma: Caller) -> None:
    alma.control("POST", "clock", {"stopped": True})
    alma.settings(list_lag_s=30)
    before = alma.get(f"{BIB}/holdings")["total_record_count"]
    made = alma.post(f"{BIB}/holdings", holding_xml("LAW", "stacks"))

    def shown() -> tuple[int, bool]:
        root = alma.xml("/bibs", params={"mms_id": BIB.rpartition("/")[2], "expand": "p_avail"})
        rows = root.iterfind("bib/record/datafield[@tag='AVA']/subfield[@code='8']")
        listed = alma.get(f"{BIB}/holdings")["total_record_count"]
        return listed - before, made["holding_id"] in {row.text for row in rows}

    assert shown() == (0, False)
    assert alma.get(f"{BIB}/holdings/{made['holding_id']}")["holding_id"] == made["holding_id"]
    alma.control("POST", "clock", {"advance_s": 29})
    assert shown() == (0, False)
    alma.control("POST", "clock", {"advance_s": 1})
    assert shown() == (1, True)
