"""The calls for bibs, holdings and items as they go out, and what is made of the answers."""

import pytest
from lxml import etree

from alma_etl.alma.items import item
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import RemoteMalformed, RemoteRefused, RemoteServerError
from tests.unit.alma.samples import item_object
from tests.unit.alma.scripted import BASE, KEY, Say, as_json, as_xml, refusal, sent

RECORD = (
    b'<record><leader>x</leader><datafield ind1=" " ind2=" " tag="852">'
    b'<subfield code="b">MAIN</subfield></datafield></record>'
)


# bibs and holdings


def test_a_bib_is_created_as_xml_and_never_suppressed_by_silence(alma, client):
    alma.says(as_xml("<bib><mms_id>991</mms_id><title>T</title></bib>"))
    assert client.bibs.create(RECORD, suppressed=False, check_match=True).mms_id == "991"
    asked = alma.asked[-1]
    assert (asked.method, asked.target) == ("POST", f"{BASE}/bibs?check_match=true")
    assert asked.headers["Content-Type"] == asked.headers["Accept"] == "application/xml"
    assert (
        asked.body == b"<bib><suppress_from_publishing>false</suppress_from_publishing>" + RECORD + b"</bib>"
    )


def test_a_bib_is_updated_with_the_stale_check_and_without_breaking_locks(alma, client):
    whole = (
        b"<bib><mms_id>991</mms_id><suppress_from_publishing>true</suppress_from_publishing><record/></bib>"
    )
    alma.says(Say(whole, 200, "application/xml"))
    assert client.bibs.whole("991") == Found(whole)
    assert client.bibs.update("991", whole) == whole
    asked = alma.asked[-1]
    assert (asked.method, asked.target, asked.body) == (
        "PUT",
        f"{BASE}/bibs/991?stale_version_check=true&override_lock=false",
        whole,
    )


def test_bibs_are_found_by_an_exact_035(alma, client):
    alma.says(as_xml("<bibs total_record_count='1'><bib><mms_id>991</mms_id></bib></bibs>"))
    assert [bib.mms_id for bib in client.bibs.by_system_number("(OCoLC)12").value] == ["991"]
    assert alma.asked[-1].target == f"{BASE}/bibs?other_system_id=%28OCoLC%2912&view=full"
    alma.says(as_xml("<bibs total_record_count='0'/>"))
    assert client.bibs.by_system_number("(OCoLC)12") == Found([])


def test_a_holding_is_created_and_updated_as_xml(alma, client):
    whole = b"<holding><holding_id>221</holding_id><record/></holding>"
    alma.says(Say(whole, 200, "application/xml"))
    assert client.holdings.create("991", RECORD).holding_id == "221"
    assert alma.asked[-1].target == f"{BASE}/bibs/991/holdings"
    assert RECORD in alma.asked[-1].body
    assert client.holdings.whole("991", "221") == Found(whole)
    assert client.holdings.update("991", "221", whole) == whole
    assert (alma.asked[-1].method, alma.asked[-1].body) == ("PUT", whole)


# items


def test_an_item_by_its_barcode_through_the_redirect(alma, client, limiter):
    there = f"{alma.url}{BASE}/bibs/991/holdings/221/items/231"
    alma.says(Say(b"", 302, headers={"Location": there}), as_json(item_object()))
    found = client.items.by_barcode("B 1").value
    assert (found.pid, found.mms_id, found.holding_id, found.barcode) == ("231", "991", "221", "B1")
    assert (found.item_policy, found.material_type, found.process_type, found.base_status) == (
        "",
        "BOOK",
        "LOAN",
        "0",
    )
    assert found.raw == item_object()
    assert "T" not in repr(found).replace("Item(", "")
    assert [asked.target for asked in alma.asked] == [
        f"{BASE}/items?item_barcode=B+1",
        there.removeprefix(alma.url),
    ]
    assert alma.asked[1].headers["Authorization"] == f"apikey {KEY}"
    assert limiter.granted == 2
    alma.says(refusal("401689", "No items found for barcode B1."))
    assert isinstance(client.items.by_barcode("B1"), Absent)


def pages(*counts, total):
    numbers = iter(range(1000))
    return [
        as_json(
            {"item": [item_object(str(next(numbers))) for _ in range(count)], "total_record_count": total}
        )
        for count in counts
    ]


def test_items_are_listed_over_all_pages(alma, client):
    alma.says(*pages(100, 100, 7, total=207))
    assert [each.pid for each in client.items.list("991").value] == [str(n) for n in range(207)]
    assert [asked.target.rpartition("?")[2] for asked in alma.asked] == [
        f"order_by=description&direction=asc&limit=100&offset={offset}" for offset in (0, 100, 200)
    ]
    assert alma.asked[0].target.startswith(f"{BASE}/bibs/991/holdings/ALL/items?")


def test_no_items_and_no_bib_are_different(alma, client):
    alma.says(as_json({"total_record_count": 0}))
    assert client.items.list("991", "221") == Found([])
    alma.says(refusal("401688"))
    assert isinstance(client.items.list("991", "221"), Absent)


def test_a_list_that_shifts_while_it_is_read_is_read_again(alma, client):
    twice = as_json({"item": [item_object("99")], "total_record_count": 101})  # was on the first page already
    alma.says(pages(100, total=101)[0], twice, *pages(100, 1, total=101))
    assert len(client.items.list("991").value) == 101
    assert len(alma.asked) == 4


def test_a_list_that_never_fits_its_count_is_unknown_not_short(alma, client):
    alma.says(as_json({"item": [item_object()], "total_record_count": 2}), as_json({"total_record_count": 2}))
    answer = client.items.list("991")
    assert isinstance(answer, Unknown)
    assert "GET /bibs/991/holdings/ALL/items: the list counts 2 rows but gives" in str(answer.error)


def test_an_item_is_created_with_its_barcode_or_not_at_all(alma, client):
    body = {"holding_data": {"copy_id": "1"}, "item_data": {"barcode": "B1", "policy": {"value": "P"}}}
    alma.says(as_json(item_object()))
    assert client.items.create("991", "221", body).pid == "231"
    assert sent(alma) == ("POST", "/bibs/991/holdings/221/items", body)
    for wrong in ({"item_data": {}}, {"item_data": {"barcode": ""}}, {}):
        with pytest.raises(ValueError, match="barcode"):
            client.items.create("991", "221", wrong)
    assert len(alma.asked) == 1


def test_an_item_is_never_updated_without_its_barcode(alma, client):
    alma.says(as_json(item_object()))
    client.items.update("991", "221", "231", item_object())
    assert sent(alma) == ("PUT", "/bibs/991/holdings/221/items/231", item_object())
    with pytest.raises(ValueError, match="barcode"):
        client.items.update("991", "221", "231", {"item_data": {"pid": "231"}})
    assert len(alma.asked) == 1


def test_a_scan_in_counts_no_in_house_use(alma, client):
    alma.says(as_json({**item_object(), "additional_info": "Item's destination is: ..."}))
    client.items.scan_in("991", "221", "231", library="MAIN", circ_desk="DESK")
    assert sent(alma) == (
        "POST",
        "/bibs/991/holdings/221/items/231?op=scan&library=MAIN&circ_desk=DESK&register_in_house_use=false",
        {},
    )
    client.items.scan_in("991", "221", "231", library="MAIN", department="D", work_order_type="W", done=True)
    assert sent(alma)[1].endswith("department=D&work_order_type=W&done=true&register_in_house_use=false")
    for both in ({}, {"circ_desk": "DESK", "department": "D"}):
        with pytest.raises(ValueError, match="either"):
            client.items.scan_in("991", "221", "231", library="MAIN", **both)


def test_items_holdings_and_bibs_are_deleted_one_by_one(alma, client):
    alma.says(Say(b"", 204))
    assert client.items.withdraw("991", "221", "231") == Found(None)
    assert sent(alma)[:2] == (
        "DELETE",
        "/bibs/991/holdings/221/items/231?override=false&holdings=retain",
    )
    assert client.holdings.delete("991", "221") == Found(None)
    assert sent(alma)[:2] == ("DELETE", "/bibs/991/holdings/221?bib=retain")
    assert client.bibs.delete("991", override=True) == Found(None)
    assert sent(alma)[:2] == ("DELETE", "/bibs/991?override=true")


@pytest.mark.parametrize(
    ("delete", "code"),
    [
        (lambda client: client.items.withdraw("991", "221", "231"), "401688"),
        (lambda client: client.holdings.delete("991", "221"), "402208"),
        (lambda client: client.bibs.delete("991"), "402203"),
    ],
)
def test_what_is_gone_already_is_absent_and_what_alma_keeps_is_not(delete, code, alma, client):
    alma.says(Say(b"", 500), refusal(code))
    assert isinstance(delete(client), Absent)
    assert len(alma.asked) == 2
    alma.says(refusal("401849", "Item is on loan"))
    assert delete(client).error.code == "401849"


@pytest.mark.parametrize("missing", ["bib_data", "holding_data", "item_data"])
def test_half_an_item_is_malformed(missing, alma, client):
    half = item_object()
    del half[missing]
    alma.says(as_json(half))
    assert isinstance(client.items.read("991", "221", "231").error, RemoteMalformed)


def test_an_item_in_the_old_form_with_nulls():
    old = item_object(
        policy={"value": None, "desc": None}, process_type={"value": "", "desc": None}, barcode=None
    )
    assert (item(old).item_policy, item(old).process_type, item(old).barcode) == ("", "", "")


def test_records_are_xml_that_others_can_read(alma, client):
    alma.says(as_xml("<holding><holding_id>221</holding_id><record><leader>ä</leader></record></holding>"))
    assert etree.fromstring(client.holdings.read("1", "221").value.record)[0].text == "ä"


# errors of writes


def test_a_refused_write_is_refused_at_once(alma, client):
    alma.says(refusal("40166404", "Given field policy has invalid value X"))
    with pytest.raises(RemoteRefused, match="POST /bibs/991/holdings/221/items: Given field policy"):
        client.items.create("991", "221", {"item_data": {"barcode": "B"}})
    assert len(alma.asked) == 1


def test_a_failed_write_is_not_repeated_by_the_client(alma, client):
    alma.says(Say(b"", 500))
    with pytest.raises(RemoteServerError) as caught:
        client.holdings.create("991", RECORD)
    assert caught.value.effect_unknown
    assert len(alma.asked) == 1
