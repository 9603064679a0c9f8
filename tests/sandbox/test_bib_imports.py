"""What an import of bibs meets: indexes that lag, locks, warnings, normalization, linked titles, brief levels, SRU."""

from typing import Any

import pytest
import requests
from lxml import etree

from alma_sandbox import Settings, serve
from alma_sandbox.catalogue import ids
from alma_sandbox.catalogue.store import standard_number
from tests.sandbox.caller import SRW, Caller, found_by, sru
from tests.sandbox.records import bib_xml, field_xml

MMS = ids.mms_id(0)
BIB = f"/bibs/{MMS}"
DIAGNOSTIC = "{http://www.loc.gov/zing/srw/diagnostic/}"
OCLC = "(OCoLC)987654321"


def message(response: requests.Response) -> tuple[str, str]:
    error = response.json()["errorList"]["error"][0]
    return error["errorCode"], error["errorMessage"]


def send(alma: Caller, method: str, path: str, body: str) -> requests.Response:
    return alma.call(method, path, data=body.encode(), headers={"Content-Type": "application/xml"})


def with_number(number: str = OCLC, title: str = "A new title /", **more: Any) -> str:
    return bib_xml(title, fields=field_xml("035", a=number), **more)


# Indexes that lag


def test_a_number_is_found_after_a_while_and_sru_after_another(alma: Caller) -> None:
    alma.control("POST", "clock", {"stopped": True})
    alma.settings(number_lag_s=30, sru_lag_s=90)
    made = alma.post("/bibs", with_number())["mms_id"]

    def found() -> tuple[list[str], list[str | None], list[str | None]]:
        rows = alma.get("/bibs", params={"other_system_id": OCLC})["bib"]
        by_id = found_by(alma, f"alma.mms_id={made}")
        return (
            [row["mms_id"] for row in rows],
            found_by(alma, "alma.oclc_control_number_035_az=987654321"),
            by_id,
        )

    assert found() == ([], [], [])
    assert alma.get(f"/bibs/{made}")["mms_id"] == made  # by its id at once
    assert (
        alma.post("/bibs?check_match=true&override_warning=false", with_number())["mms_id"] != made
    )  # a duplicate
    alma.control("POST", "clock", {"advance_s": 30})
    assert made in found()[0]
    assert found()[1] == []
    alma.control("POST", "clock", {"advance_s": 60})
    assert len(found()[0]) == len(found()[1]) == 2
    assert found()[2] == [made]


def test_an_index_that_lags_has_the_record_of_before(alma: Caller) -> None:
    alma.control("POST", "clock", {"stopped": True})
    old, new = "9783161484100", "9780306406157"
    made = alma.post("/bibs", bib_xml("Old", fields=field_xml("020", a=old)))["mms_id"]
    alma.settings(sru_lag_s=60)
    for title in ("Between", "New"):
        alma.put(f"/bibs/{made}", bib_xml(title, fields=field_xml("020", a=new)))
        assert found_by(alma, f"alma.isbn={new}") == []
        root = sru(alma, f"alma.isbn={old}")
        assert "Old" in etree.tostring(root, encoding="unicode")
        alma.control("POST", "clock", {"advance_s": 20})
    alma.control("POST", "clock", {"advance_s": 60})
    assert (found_by(alma, f"alma.isbn={old}"), found_by(alma, f"alma.isbn={new}")) == ([], [made])


# Writing


@pytest.mark.parametrize(
    ("says", "who"), [(True, "cataloguer7 since 2026-03-01T12:00:00.000Z"), (False, "another user")]
)
def test_a_lock_is_refused_with_a_code_that_no_document_names(alma: Caller, says: bool, who: str) -> None:
    alma.settings(lock_says=says)
    alma.control("POST", "clock", {"now": "2026-03-01T12:00:00Z", "stopped": True})
    alma.control("POST", "locks", {"lock": [MMS], "by": "cataloguer7", "minutes": 60})
    code, text = message(send(alma, "PUT", f"{BIB}?override_lock=false", bib_xml()))
    assert (code, text) == ("40166489", f"Record {MMS} is locked by {who}.")
    alma.settings(lock_code="401652")
    assert message(send(alma, "PUT", f"{BIB}?override_lock=false", bib_xml()))[0] == "401652"
    alma.control("POST", "clock", {"advance_s": 3600})  # the editor was left
    assert alma.put(f"{BIB}?override_lock=false", bib_xml("Mine"))["title"] == "Mine"


def test_warnings_come_back_or_refuse(alma: Caller) -> None:
    without_008 = bib_xml().replace('tag="008"', 'tag="007"')
    alma.settings(warnings=["Field 245 has no first indicator."])
    for method, path in (("POST", "/bibs"), ("PUT", BIB)):
        answer = send(alma, method, f"{path}?validate=true", without_008)
        assert answer.json()["warning"] == [
            {"message": "Field 245 has no first indicator."},
            {"message": "Field 008 is missing."},
        ]
        refused = send(alma, method, f"{path}?validate=true&override_warning=false", without_008)
        assert message(refused) == (
            "4022033",
            "Failed validation on the record: Field 245 has no first indicator. Field 008 is missing.",
        )
        assert "warning" not in send(alma, method, path, without_008).json()
    response = alma.call(
        "PUT", f"{BIB}?validate=true", accept="application/xml", data=without_008,
        headers={"Content-Type": "application/xml"},
    )  # fmt: skip
    root = etree.fromstring(response.content)
    assert root.findtext("warnings/warning/message") == "Field 245 has no first indicator."


def test_a_match_is_a_warning_of_a_post(alma: Caller) -> None:
    made = alma.post("/bibs", with_number())["mms_id"]
    refused = send(alma, "POST", "/bibs?check_match=true&override_warning=false", with_number())
    assert message(refused) == ("60307", f"The given bib object has matching records: {made}.")
    second = alma.post("/bibs?check_match=true", with_number())  # override_warning is true unless it is said
    assert second["warning"] == [{"message": f"The given bib object has matching records: {made}."}]
    assert second["mms_id"] != made


def test_normalization_profiles(alma: Caller) -> None:
    code, text = message(send(alma, "PUT", f"{BIB}?normalization=9", bib_xml()))
    assert (code, text.startswith("Invalid normalization profile ID 9. Valid IDs: marc21: 5001")) == (
        "4022030",
        True,
    )
    fields = field_xml("500", a="  A note  ", b="") + field_xml("501", a=" ") + field_xml("901", a="ours")
    cleaned = alma.post("/bibs?normalization=5001", bib_xml(fields=fields))["anies"][0]
    assert '<subfield code="a">A note</subfield></datafield>' in cleaned
    assert ('tag="501"' in cleaned, 'tag="901"' in cleaned) == (False, True)
    assert 'tag="901"' not in alma.put(f"{BIB}?normalization=5002", bib_xml(fields=fields))["anies"][0]


@pytest.mark.parametrize(
    "body", ["<bib><record>", "<bib/>", "<bib><record><leader>short</leader></record></bib>"]
)
def test_a_body_that_is_no_bib(alma: Caller, body: str) -> None:
    assert message(send(alma, "POST", "/bibs", body))[0] == "402209"
    assert message(send(alma, "PUT", BIB, body))[0] == "401652"


def test_cataloging_levels(alma: Caller) -> None:
    level = "<cataloging_level>20</cataloging_level>"
    assert alma.put(BIB, bib_xml(extra=level))["cataloging_level"] == {"value": "20", "desc": "Cataloguer"}
    assert message(send(alma, "PUT", f"{BIB}?cataloger_level=10", bib_xml()))[0] == "4022041"
    assert alma.put(f"{BIB}?cataloger_level=30", bib_xml())["cataloging_level"]["value"] == "20"
    assert message(send(alma, "PUT", BIB, bib_xml(extra=level.replace("20", "99"))))[0] == "40166411"
    alma.settings(cataloging_levels=False)
    assert message(send(alma, "PUT", f"{BIB}?cataloger_level=30", bib_xml()))[0] == "4022040"
    assert message(send(alma, "POST", "/bibs", bib_xml(extra=level)))[0] == "4022040"


@pytest.mark.parametrize(
    ("rule", "levels"),
    [
        ("carli", " 10 I10 110 407 K05 804 303 502 u01 J01"),
        ("csu", " 10 I09 108 M06 205 K06 804 502 u02 J01"),
    ],
)
def test_the_brief_level_is_computed_at_each_save(alma: Caller, rule: str, levels: str) -> None:
    """``levels``: the sign of LDR/17 and its level, three characters each, with a blank between them."""
    alma.settings(brief_level_rule=rule)
    pairs = {levels[place]: levels[place + 1 : place + 3] for place in range(0, len(levels), 4)}
    for sign, level in pairs.items():
        body = bib_xml(leader=f"     nam a22     {sign}  4500", extra="<brief_level>06</brief_level>")
        assert alma.put(BIB, body)["brief_level"]["value"] == level, sign
    table = {row["code"] for row in alma.get("/conf/code-tables/BriefLevels")["row"]}
    assert set(pairs.values()) <= table
    alma.settings(brief_level_rule="sent")
    assert alma.put(BIB, body)["brief_level"]["value"] == "06"


@pytest.mark.parametrize("zone", ["NZ", "CZ"])
def test_of_a_linked_title_local_fields_alone_are_taken_and_the_answer_is_200(
    alma: Caller, zone: str
) -> None:
    alma.settings(cz_update="local_fields")
    alma.control("POST", f"bibs/{MMS}", {"linked": [zone, "99123"]})
    before = alma.get(BIB)
    assert before["linked_record_id"] == {"value": "99123", "type": zone}
    assert any(
        number.startswith(f"(EXL{zone}") and number.endswith("99123") for number in before["network_number"]
    )
    body = bib_xml("Another", fields=field_xml("590", a="Ours", _9="local") + field_xml("650", a="Rivers"))
    after = alma.put(BIB, body)
    assert after["title"] == before["title"]
    assert after["network_number"] == before["network_number"]
    assert ("Ours" in after["anies"][0], "Rivers" in after["anies"][0]) == (True, False)
    alma.control("POST", f"bibs/{MMS}", {"linked": None})
    assert alma.put(BIB, body)["title"] == "Another"


def test_a_title_of_the_community_zone_cannot_be_updated(alma: Caller) -> None:
    alma.control("POST", f"bibs/{MMS}", {"linked": ["CZ", "99123"]})
    assert message(send(alma, "PUT", BIB, bib_xml()))[0] == "40166454"


@pytest.mark.parametrize(("fields", "kept"), [(["245"], "245"), (["*"], "264")])
def test_a_put_that_changes_nothing_of_some_fields_on_demand(
    alma: Caller, fields: list[str], kept: str
) -> None:
    before = alma.xml(BIB)
    alma.fault(kind="ignore", method="PUT", fields=fields, times=1)
    answer = alma.put(BIB, bib_xml("Another"))
    after = alma.xml(BIB)
    assert answer["title"] == before.findtext("title")
    path = f"record/datafield[@tag='{kept}']/subfield"
    assert [each.text for each in after.iterfind(path)] == [each.text for each in before.iterfind(path)]
    stamp = "record/controlfield[@tag='005']"
    assert after.findtext(stamp) != before.findtext(stamp)  # it was saved


# SRU


def test_sru_is_off_unless_it_is_switched_on() -> None:
    with serve(Settings(titles=3)) as running:
        url = f"{running.url}/view/sru/01ZZ_INST?version=1.2&operation=searchRetrieve&query=alma.mms_id={MMS}"
        assert requests.get(url, timeout=30).status_code == 404
        requests.post(f"{running.url}/sandbox/settings", json={"sru": True}, timeout=30).raise_for_status()
        answer = requests.get(url, timeout=30)
        assert (answer.status_code, MMS in answer.text) == (200, True)
        assert requests.get(url.replace("01ZZ", "01XX"), timeout=30).status_code == 404


def test_many_numbers_in_one_question(alma: Caller) -> None:
    made = [
        alma.post("/bibs", with_number(f"(OCoLC){number}"))["mms_id"]
        for number in range(500_000_001, 500_000_061)
    ]
    query = " or ".join(
        f'alma.oclc_control_number_035_az="(OCoLC){number}"' for number in range(500_000_001, 500_000_061)
    )
    for most in ("50", "100"):  # never more than 50
        root = sru(alma, query, maximumRecords=most)
        assert (root.findtext(f"{SRW}numberOfRecords"), root.findtext(f"{SRW}nextRecordPosition")) == (
            "60",
            "51",
        )
        first = [row.findtext(f"{SRW}recordIdentifier") for row in root.iter(f"{SRW}record")]
        assert first == made[:50]
    assert found_by(alma, query, startRecord="51", maximumRecords="50") == made[50:]
    assert found_by(alma, f"({query}) and alma.mms_tagSuppressed=false") == []  # new bibs are suppressed
    assert len(found_by(alma, f"({query})", maximumRecords="50")) == 50


def test_the_oclc_index_with_and_without_cancelled_numbers(alma: Caller) -> None:
    fields = field_xml("035", a="(OCoLC)ocn900000001", z="(OCoLC)700000001")
    made = alma.post("/bibs", bib_xml(fields=fields))["mms_id"]
    found = {
        index: [
            bool(found_by(alma, f"alma.oclc_control_number_035_{index}={number}"))
            for number in ("900000001", "700000001")
        ]
        for index in ("a", "z", "az")
    }
    assert found == {"a": [True, False], "z": [False, True], "az": [True, True]}
    assert found_by(alma, 'alma.other_system_number="(OCoLC)ocn900000001"') == [made]
    assert found_by(alma, 'alma.other_system_number="(OCoLC)900000001"') == []


@pytest.mark.parametrize(
    ("field", "query"),
    [
        (field_xml("020", a="9780306406157 (pbk.)"), "alma.isbn=978-0-306-40615-7"),
        (field_xml("020", a="0-306-40615-2"), "alma.isbn=9780306406157"),
        (field_xml("020", z="0306406152"), "alma.isbn=0306406152"),
        (field_xml("022", a="2049-3630"), "alma.issn=20493630"),
        (field_xml("022", l="2049-3630"), "alma.issn=2049-3630"),
        (field_xml("245", a="Is this, or that /"), 'alma.mms_id="1 or 2" or alma.mms_id={made}'),
    ],
)
def test_standard_numbers(alma: Caller, field: str, query: str) -> None:
    made = alma.post("/bibs", bib_xml(fields=field))["mms_id"]
    assert found_by(alma, query.replace("{made}", made)) == [made]
    alma.call("DELETE", f"/bibs/{made}")
    assert found_by(alma, query.replace("{made}", made)) == []


@pytest.mark.parametrize(("tag", "text", "number"), [
    ("020", "0-8044-2957-X", "020 9780804429573"), ("020", "080442957x (cloth)", "020 9780804429573"),
    ("020", "$12.00", None), ("020", "12345", None), ("022", "2434-561x", "022 2434561X"), ("022", "", None),
])  # fmt: skip
def test_what_a_standard_number_is(tag: str, text: str, number: str | None) -> None:
    assert standard_number(tag, text) == number


@pytest.mark.parametrize(
    ("query", "more", "number"),
    [
        ("", {}, "7"),
        ("title", {}, "10"),
        ("alma.colour=red", {}, "16"),
        ("alma.mms_id=1 and alma.title=x", {}, "37"),
        ("alma.mms_id=1", {"maximumRecords": "many"}, "6"),
        ("alma.mms_id=1", {"startRecord": "0"}, "6"),
        ("alma.mms_id=1", {"startRecord": "10001"}, "61"),
        ("alma.mms_id=1", {"version": "2.0"}, "5"),
        ("alma.mms_id=1", {"operation": "scan"}, "4"),
        ("alma.mms_id=1", {"recordSchema": "mods"}, "66"),
    ],
)
def test_diagnostics(alma: Caller, query: str, more: dict[str, str], number: str) -> None:
    root = sru(alma, query, **more)
    assert root.findtext(f".//{DIAGNOSTIC}uri") == f"info:srw/diagnostic/1/{number}"


def test_explain_names_the_indexes(alma: Caller) -> None:
    text = etree.tostring(sru(alma, "", operation="explain"), encoding="unicode")
    assert "oclc_control_number_035_az" in text
    answer = requests.get(f"{alma.url}/view/sru/01ZZ_INST", timeout=30)
    assert etree.fromstring(answer.content).tag == f"{SRW}explainResponse"


def test_sru_is_counted_apart_and_can_fail(alma: Caller) -> None:
    left = alma.control("GET", "counts")["calls_left"]
    assert found_by(alma, f"alma.mms_id={MMS}") == [MMS]
    assert alma.control("GET", "counts")["calls_left"] == left
    assert alma.control("GET", "counts")["by_route"] == {"GET /view/sru": 1}
    alma.fault(kind="bad_gateway", path="^/view/sru")
    answer = requests.get(f"{alma.url}/view/sru/01ZZ_INST?query=alma.mms_id={MMS}", timeout=30)
    assert answer.status_code == 502
    assert alma.get(BIB)["mms_id"] == MMS
