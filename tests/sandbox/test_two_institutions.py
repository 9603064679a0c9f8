"""A second institution beside the first: other ids and barcodes, the same kind of catalogue."""

import re
from collections.abc import Iterator

import pytest

from alma_sandbox import Settings, serve
from alma_sandbox.catalogue import ids
from tests.sandbox.caller import Caller
from tests.sandbox.records import bib_xml, holding_xml, item_body

TITLE, HOLDING = ids.mms_id(0, "4402"), ids.holding_id(0, 0, "4402")
_ID = re.compile(r"\b(?:99|22|23|53|59|73)\d{8,14}440[0-9]\b")


@pytest.fixture(scope="module")
def other() -> Iterator[Caller]:
    with serve(Settings(per_second=0, institution="01ZY_INST", suffix="4402", titles=60)) as running:
        caller = Caller(running)
        yield caller
        caller.session.close()


def test_every_id_ends_in_the_suffix(other: Caller) -> None:
    assert other.get("/conf/general")["institution"]["value"] == "01ZY_INST"
    assert b"institutionCode: 01ZY_INST" in other.call("GET", "/bibs/test").content
    made = other.post("/bibs", bib_xml())["mms_id"]
    holding = other.post(f"/bibs/{made}/holdings", holding_xml())["holding_id"]
    pid = other.post(f"/bibs/{made}/holdings/{holding}/items", item_body("own-1"))["item_data"]["pid"]
    assert {made[-4:], holding[-4:], pid[-4:]} == {"4402"}
    seen = [
        other.call("GET", path).text
        for path in (
            f"/bibs?mms_id={','.join(ids.mms_id(number, '4402') for number in range(60))}&expand=p_avail,e_avail",
            f"/bibs/{TITLE}/holdings/ALL/items?limit=100",
            f"/bibs/{TITLE}/holdings",
            "/conf/sets",
            f"/conf/sets/{ids.set_id(0, '4402')}/members?limit=100",
            f"/conf/sets/{ids.set_id(2, '4402')}/members?limit=100",
            "/conf/libraries",
        )
    ]
    found = {text[-4:] for page in seen for text in _ID.findall(page)}
    assert found == {"4402"}
    assert "01ZZ" not in "".join(seen)


def test_the_barcodes_of_two_institutions_differ(alma: Caller, other: Caller) -> None:
    one = alma.get(f"/bibs/{ids.mms_id(0)}/holdings/{ids.holding_id(0, 0)}/items")["item"][0]["item_data"]
    two = other.get(f"/bibs/{TITLE}/holdings/{HOLDING}/items")["item"][0]["item_data"]
    assert (one["barcode"], two["barcode"]) == (ids.barcode(0, 0, 0), ids.barcode(0, 0, 0, "4402"))
    assert one["barcode"] != two["barcode"]
    assert other.refusal("GET", f"/items?item_barcode={one['barcode']}") == (400, "401689")
    assert other.call("GET", f"/items?item_barcode={two['barcode']}").status_code == 302


def test_each_knows_only_its_own(alma: Caller, other: Caller) -> None:
    assert alma.refusal("GET", f"/bibs/{TITLE}") == (400, "402203")
    assert other.refusal("GET", f"/bibs/{ids.mms_id(0)}") == (400, "402203")
    assert other.get(f"/bibs/{TITLE}")["title"] == alma.get(f"/bibs/{ids.mms_id(0)}")["title"]


@pytest.mark.parametrize("wrong", [{"suffix": "44"}, {"suffix": "44a1"}, {"institution": "no code"}])
def test_a_wrong_institution_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)


def test_the_codes_of_direct_borrowing_are_there(other: Caller) -> None:
    assert other.get("/conf/libraries/MAIN/locations/DCB")["code"] == "DCB"
    for table, code in (
        ("ItemPolicy", "DCB"),
        ("ItemPolicy", "DCB_NO_RENEW"),
        ("UserGroups", "DCB"),
        ("RequestCancellationReasons", "CancelledAtPatronRequest"),
        ("PROCESSTYPE", "TRANSIT_TO_REMOTE_STORAGE"),
    ):
        assert code in {row["code"] for row in other.get(f"/conf/code-tables/{table}")["row"]}


def test_a_member_links_a_record_of_its_network_zone_as_it_is_there() -> None:
    zone = serve(Settings(per_second=0, institution="01ZZ_ZONE", suffix="4400", titles=3))
    with zone as network, serve(Settings(per_second=0, titles=2), network=network) as running:
        there, here = Caller(network), Caller(running)
        of_calls = there.post("/bibs", bib_xml())["mms_id"]
        for nz_id in (of_calls, ids.mms_id(2, "4400")):
            linked = here.post(f"/bibs?from_nz_mms_id={nz_id}", "<bib/>")
            assert f"(EXLNZ-01ZZ_ZONE){nz_id}" in linked["network_number"]
            title = there.get(f"/bibs/{nz_id}")["title"]
            assert here.get(f"/bibs?nz_mms_id={nz_id}")["bib"][0]["title"] == title
        nowhere = f"/bibs?from_nz_mms_id={ids.mms_id(9, '4400')}"
        assert here.refusal("POST", nowhere, body="<bib/>") == (400, "33007")
        there.session.close()
        here.session.close()
