"""The pretend Aleph at ``/X``: the rules of update-item, read-item and create-item, and every message."""

import re
from typing import Any

import pytest
import requests
from lxml import etree

from alma_sandbox import Settings, serve
from alma_sandbox.aleph.checks import with_check_digit
from alma_sandbox.aleph.fields import PLACES
from tests.sandbox.caller import Caller

DOC, SEQ = "000000002", "000010"
DONE = "Item has been updated successfully"
NO_ITEM = "no item exist based on given doc number and item sequence"
NOT_ADM = "Input library must be an Administrative library"
NOT_HIM = "Error in verification of user name or password"
NO_XML = "xml must be provided to update Item"


class Aleph:
    """Speaks to the X-Server of a sandbox."""

    def __init__(self, alma: Caller) -> None:
        self.alma = alma

    def raw(self, method: str = "POST", **form: str) -> requests.Response:
        sent = {"data": form} if method == "POST" else {"params": form}
        return self.alma.session.request(method, f"{self.alma.url}/X", timeout=30, **sent)

    def call(self, op: str = "update-item", method: str = "POST", **form: str) -> etree._Element:
        response = self.raw(method, op=op, **{"library": "USM50", "translate": "N", **form})
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "text/xml; charset=UTF-8"
        return etree.fromstring(response.content)

    def update(self, xml: str | None = None, doc: str = DOC, seq: str = SEQ, **form: str) -> etree._Element:
        """A partial update; ``xml`` holds the fields besides the key."""
        return self.call(xml_full_req=z30(xml or "", doc, seq), **form)

    def read(self, doc: str = DOC, seq: str = SEQ, **form: str) -> dict[str, str]:
        return fields(self.call("read-item", doc_number=doc, item_sequence=seq, **form))

    def item(self, doc: str = DOC, seq: str = SEQ) -> dict[str, Any]:
        """An item as the control surface shows it."""
        return self.alma.control("GET", f"aleph/items/{doc}/{seq}")

    def staff(self, **body: Any) -> dict[str, Any]:
        return self.alma.control("POST", f"aleph/items/{DOC}/{SEQ}", body)


def z30(inner: str, doc: str = DOC, seq: str = SEQ, root: str = "update-item") -> str:
    return (
        f"<{root}><z30><z30-doc-number>{doc}</z30-doc-number><z30-item-sequence>{seq}</z30-item-sequence>"
        f"{inner}</z30></{root}>"
    )


def fields(root: etree._Element) -> dict[str, str]:
    record = root.find("z30")
    assert record is not None, etree.tostring(root)
    return {str(element.tag).removeprefix("z30-"): element.text or "" for element in record}


def errors(root: etree._Element) -> list[str]:
    return [(element.text or "").strip() for element in root.iter("error")]


@pytest.fixture
def aleph(alma: Caller) -> Aleph:
    return Aleph(alma)


@pytest.mark.parametrize("op", ["update-item", "update_item"])
def test_a_partial_record_changes_what_it_names_and_empties_what_is_empty(aleph: Aleph, op: str) -> None:
    before = aleph.read()
    assert (before["description"], before["enumeration-a"]) == ("v.1", "1")
    root = aleph.call(op, xml_full_req=z30("<z30-note-opac>Seen</z30-note-opac><z30-description/>"))
    assert root.tag == "update-item"
    assert errors(root) == [DONE]
    after = fields(root)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"note-opac", "description", "update-date", "cataloger", "upd-time-stamp"}
    assert (after["note-opac"], after["description"], after["cataloger"]) == ("Seen", "", "WWW-X")
    assert aleph.read() == after


def test_a_full_record_that_was_read_can_be_sent_back(aleph: Aleph) -> None:
    before = aleph.read()
    inner = "".join(f"<z30-{name}>{text}</z30-{name}>" for name, text in before.items())
    for xml in (f"<update-item><z30>{inner}</z30></update-item>", f"<z30>{inner}</z30>"):
        after = fields(aleph.call(xml_full_req=xml))
        assert {name for name in after if after[name] != before[name]} <= {
            "update-date", "cataloger", "upd-time-stamp",
        }  # fmt: skip


def test_names_and_dates_unless_codes_are_asked_for(aleph: Aleph) -> None:
    aleph.update("<z30-item-process-status>BD</z30-item-process-status>")
    codes, names = aleph.read(), aleph.read(translate="Y")
    assert (codes["sub-library"], names["sub-library"]) == ("USCI", "Science Library")
    assert (codes["collection"], names["collection"]) == ("GEN", "General")
    assert (codes["material"], names["material"]) == ("ISSBD", "Issue, bound")
    assert (codes["item-status"], names["item-status"]) == ("01", "At bindery")
    assert (codes["item-process-status"], names["item-process-status"]) == ("BD", "BD")
    assert (codes["open-date"], names["open-date"]) == ("20210309", "09/03/2021")
    assert (codes["hour-last-return"], names["hour-last-return"]) == ("1631", "16:31")
    assert names["last-shelf-report-date"] == "00000000"
    assert (codes["temp-location"], names["temp-location"]) == ("N", "No")
    assert re.fullmatch(r"\d{8}", names["process-status-date"])
    assert (
        fields(aleph.call("read-item", doc_number=DOC, item_sequence=SEQ, translate=""))["material"]
        == "Issue, bound"
    )


def test_numbers_are_padded_or_bare_both_ways(aleph: Aleph) -> None:
    for doc, seq in (("2", "10"), ("000000002", "00010"), ("000000002", "000010")):
        assert errors(aleph.update("<z30-pages>3</z30-pages>", doc, seq)) == [DONE]
        found = aleph.read(doc, seq)
        assert (found["doc-number"], found["item-sequence"]) == ("000000002", "00010")
    aleph.alma.settings(aleph_padding="bare", aleph_temp_location="word")
    found = aleph.read()
    assert (found["doc-number"], found["item-sequence"], found["temp-location"]) == ("2", "10", "No")


@pytest.mark.parametrize(
    ("doc", "seq"), [("399999999", "10"), ("2", "90"), ("", "10"), ("2", ""), ("x", "10")]
)
def test_no_item(aleph: Aleph, doc: str, seq: str) -> None:
    root = aleph.update("<z30-pages>3</z30-pages>", doc, seq)
    assert (root.tag, errors(root), root.find("z30")) == ("update-item", [NO_ITEM], None)


@pytest.mark.parametrize("library", ["", "USM01", "USM500", "NOPE"])
@pytest.mark.parametrize("op", ["update-item", "read-item", "create-item"])
def test_a_library_that_is_not_administrative(aleph: Aleph, op: str, library: str) -> None:
    root = aleph.call(
        op, xml_full_req=z30(""), library=library, adm_library=library, doc_number="2", item_sequence="10"
    )
    assert errors(root) == [NOT_ADM]
    assert root.findtext("error") == f"{NOT_ADM} "  # with its blank
    assert errors(aleph.call("update-item", xml_full_req=z30(""), library="usm50")) == [DONE]


@pytest.mark.parametrize("op", ["update-item", "create-item"])
def test_without_xml_and_by_get(aleph: Aleph, op: str) -> None:
    assert errors(aleph.call(op, adm_library="USM50", adm_doc_number="2")) == [NO_XML]
    root = aleph.call(
        op, "GET", adm_library="USM50", adm_doc_number="2", xml_full_req=z30("<z30-pages>3</z30-pages>")
    )
    assert errors(root) == [NO_XML]
    assert aleph.read()["pages"] == ""


@pytest.mark.parametrize(
    "xml",
    [
        "<update-item>",
        "text",
        "<update-item/>",
        '<!DOCTYPE z30 [<!ENTITY a "b">]><z30><z30-pages>&a;</z30-pages></z30>',
    ],
)
def test_xml_that_is_no_z30_record(aleph: Aleph, xml: str) -> None:
    assert errors(aleph.call(xml_full_req=xml)) == ["Input xml is not valid"]


def test_above_20000_bytes_the_connection_is_closed_without_an_answer(aleph: Aleph) -> None:
    shell = len(z30("<z30-note-internal></z30-note-internal>").encode())
    note = "é" * ((20_000 - shell) // 2)
    assert errors(aleph.update(f"<z30-note-internal>{note}</z30-note-internal>")) == [DONE]
    assert aleph.read()["note-internal"] == "é" * 200  # cut to the length of the field
    with pytest.raises(requests.ConnectionError):
        aleph.update(f"<z30-note-internal>{note}é</z30-note-internal>")
    entry = aleph.alma.control("GET", "log", path="^/X", limit=1)["entries"][0]
    assert (entry["status"], entry["applied"]) == (0, False)


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ("<z30-sub-library/>", "Sub-library must be filled in"),
        ("<z30-sub-library>XYZ</z30-sub-library>", "Sub-library XYZ is not valid"),
        ("<z30-collection>RES</z30-collection>", "Collection RES is not valid for sub-library USCI"),
        ("<z30-item-status>77</z30-item-status>", "Item status 77 is not valid"),
        ("<z30-item-status/>", "Item status must be filled in"),
        ("<z30-material>CLAY</z30-material>", "Material CLAY is not valid"),
        ("<z30-item-process-status>ZZ</z30-item-process-status>", "Item process status ZZ is not valid"),
        ("<z30-arrival-date>20211350</z30-arrival-date>", "z30-arrival-date is not a valid date"),
        ("<z30-arrival-date>03/04/20</z30-arrival-date>", "z30-arrival-date is not a valid date"),
        ("<z30-hour-last-return>2561</z30-hour-last-return>", "z30-hour-last-return is not a valid time"),
        ("<z30-no-loans>x</z30-no-loans>", "z30-no-loans must be numeric"),
        ("<z30-call-no-type>z</z30-call-no-type>", "z30-call-no-type z is not valid"),
        ("<z30-barcode>31000000000000</z30-barcode>", "Barcode 31000000000000 already exists"),
    ],
)
def test_the_checks_of_check_z30(aleph: Aleph, inner: str, said: str) -> None:
    before = aleph.item()
    root = aleph.update(inner)
    assert (errors(root), root.find("z30")) == ([said], None)
    assert aleph.item() == before


def test_several_checks_answer_with_several_errors(aleph: Aleph) -> None:
    said = errors(aleph.update("<z30-material>CLAY</z30-material><z30-item-status>77</z30-item-status>"))
    assert said == ["Item status 77 is not valid", "Material CLAY is not valid"]


def test_words_of_a_translated_answer_are_cut_and_refused(aleph: Aleph) -> None:
    said = errors(aleph.update("<z30-sub-library>Science Library</z30-sub-library>"))
    assert said == ["Sub-library Scien is not valid"]


def test_the_key_cannot_be_changed_and_unknown_elements_change_nothing(aleph: Aleph) -> None:
    second = "<z30-doc-number>7</z30-doc-number><z30-colour>red</z30-colour><z30-update-date>19990101</z30-update-date>"
    found = fields(aleph.update(second))
    assert (found["doc-number"], found["item-sequence"]) == (DOC, "00010")
    assert "colour" not in found
    assert not found["update-date"].startswith("1999")


def test_a_document_that_is_gone(aleph: Aleph) -> None:
    aleph.alma.control("POST", "aleph/documents/2", {"deleted": True})
    assert errors(aleph.update("")) == ["Input ADM document doesn’t exist. Item cannot be created"]


def test_failed_to_update_the_item_on_demand(aleph: Aleph) -> None:
    aleph.alma.fault(kind="aleph_error", path="op=update.item", times=1)
    root = aleph.update("<z30-pages>3</z30-pages>")
    assert (root.findtext("error"), root.find("z30")) == ("Failed to update the item ", None)
    assert aleph.read()["pages"] == ""
    assert errors(aleph.update("<z30-pages>3</z30-pages>")) == [DONE]


@pytest.mark.parametrize(
    "change", ["<z30-item-status>02</z30-item-status>", "<z30-sub-library>WID</z30-sub-library>"]
)
def test_an_advance_booking_item_with_short_term_requests(aleph: Aleph, change: str) -> None:
    aleph.update("<z30-item-status>91</z30-item-status>")
    assert aleph.item()["booking"] == {"sub_library": "USCI", "item_status": "91", "requests": 0}
    aleph.staff(booking={"requests": 2})
    root = aleph.update(change)
    assert root.findtext("error") == " Item has Short-term requests. Item Information can’t be updated"
    assert errors(aleph.update("<z30-note-opac>x</z30-note-opac>")) == [
        DONE
    ]  # nothing that concerns the booking
    assert aleph.item()["booking"]["requests"] == 2


def test_an_advance_booking_record_follows_the_item_and_goes_with_its_status(aleph: Aleph) -> None:
    aleph.update("<z30-item-status>91</z30-item-status>")
    aleph.update("<z30-sub-library>WID</z30-sub-library>")
    assert aleph.item()["booking"] == {"sub_library": "WID", "item_status": "91", "requests": 0}
    aleph.update("<z30-item-status>01</z30-item-status>")
    assert aleph.item()["booking"] is None


def test_the_ill_request_of_a_temporary_item_gets_its_new_barcode(aleph: Aleph) -> None:
    old = aleph.staff(ill=True)["values"]["barcode"]
    assert aleph.item()["ill_barcode"] == old
    aleph.update("<z30-barcode>ILL-1</z30-barcode>")
    assert aleph.item()["ill_barcode"] == "ILL-1"


def test_a_barcode_that_moves_on_is_free_again(aleph: Aleph) -> None:
    old = aleph.item()["values"]["barcode"]
    assert fields(aleph.update("<z30-barcode>B51872</z30-barcode>"))["barcode"] == "B51872"
    assert fields(aleph.call("read-item", item_barcode="B51872"))["doc-number"] == DOC
    assert errors(aleph.call("read-item", item_barcode=old)) == ["no item exist based on given barcode"]
    assert errors(aleph.update(f"<z30-barcode>{old}</z30-barcode>", "1")) == [DONE]


def test_the_checksum_mechanism(aleph: Aleph) -> None:
    old = aleph.item()["values"]["barcode"]
    aleph.alma.settings(aleph_barcode_checksum="correct")
    assert fields(aleph.update("<z30-pages>1</z30-pages>"))["barcode"] == old  # none sent, none made
    assert fields(aleph.update("<z30-barcode>79927398710</z30-barcode>"))["barcode"] == "79927398713"
    assert errors(aleph.update("<z30-barcode>nothing</z30-barcode>")) == ["Barcode nothing is not valid"]
    aleph.alma.settings(aleph_barcode_checksum="generate")
    made = fields(aleph.update("<z30-pages>2</z30-pages>"))["barcode"]
    assert made == with_check_digit(made) != "79927398713"
    assert fields(aleph.update("<z30-barcode>79927398713</z30-barcode>"))["barcode"] == "79927398713"


@pytest.mark.parametrize(
    ("messages", "applied"),
    [
        (["Warning: call number is empty"], True),
        (["[0123] Something that no list names"], True),
        (["Item has Short-term requests. Item Information can’t be updated"], True),
        ([DONE, "Item has Short-term requests. Item Information can’t be updated"], False),
    ],
)
def test_several_errors_on_demand(aleph: Aleph, messages: list[str], applied: bool) -> None:
    aleph.alma.fault(kind="aleph_error", path="seq=000010", messages=messages, applied=applied)
    root = aleph.update("<z30-pages>3</z30-pages>")
    assert errors(root) == ([*messages, DONE] if applied else messages)
    aleph.alma.control("DELETE", "faults")
    assert (aleph.read()["pages"] == "3") is applied


def test_another_language_has_another_success_text(aleph: Aleph) -> None:
    said = {language: errors(aleph.update("", con_lng=language))[0] for language in ("ENG", "GER", "ZZZ")}
    assert said["ENG"] == DONE
    assert len(set(said.values())) == 3


def test_a_session_can_be_used_until_it_ends(aleph: Aleph) -> None:
    session = aleph.update("", user_name="WWW-X", user_password="WWW-X").findtext("session-id") or ""
    assert re.fullmatch(r"[0-9A-Z]{50}", session)
    again = aleph.update("<z30-pages>1</z30-pages>", session_id=session)
    assert (errors(again), again.findtext("session-id")) == ([DONE], session)
    aleph.alma.control("POST", "clock", {"advance_s": 3601})
    root = aleph.update("<z30-pages>2</z30-pages>", session_id=session)
    assert (root.tag, root.find("z30")) == ("login", None)
    assert errors(root) == ["Session has expired, please log in again"]
    assert aleph.alma.control("DELETE", "aleph/sessions") == {"ended": 1}
    assert aleph.read()["pages"] == "1"


def test_a_session_ends_on_demand(aleph: Aleph) -> None:
    session = aleph.update("").findtext("session-id") or ""
    aleph.alma.fault(kind="login", path="op=update-item", message="Session is over", times=1)
    root = aleph.update("", session_id=session)
    assert (root.tag, errors(root)) == ("login", ["Session is over"])
    assert aleph.update("", session_id=session).tag == "login"  # it was ended
    assert errors(aleph.update("")) == [DONE]


@pytest.mark.parametrize(
    ("op", "form", "said"),
    [
        ("update-item", {"user_name": "NOBODY", "user_password": "NOBODY"}, NOT_HIM),
        ("update-item", {"user_name": "WWW-X", "user_password": "x"}, NOT_HIM),
        ("update-item", {"user_name": "READER", "user_password": "READER"},
         "User READER is not authorized for WWW-X / UPD-ITEM"),
        ("create-item", {"user_name": "READER", "user_password": "READER"},
         "User READER is not authorized for WWW-X / CREATE-ITEM"),
    ],
)  # fmt: skip
def test_who_may_not_gets_a_login_answer(aleph: Aleph, op: str, form: dict[str, str], said: str) -> None:
    root = aleph.call(op, xml_full_req=z30("<z30-pages>3</z30-pages>"), **form)
    assert (root.tag, errors(root), root.findtext("session-id")) == ("login", [said], None)
    assert aleph.read(user_name="READER", user_password="READER")["pages"] == ""


def test_read_item_needs_its_own_permission(aleph: Aleph) -> None:
    aleph.alma.settings(aleph_users={"WWW-X": ["UPD-ITEM"]})
    assert errors(aleph.call("read-item", doc_number=DOC, item_sequence=SEQ)) == [
        "User WWW-X is not authorized for WWW-X / READ-ITEM"
    ]


@pytest.mark.parametrize(("access", "status", "title"), [
    ("refused", 403, "403 Forbidden"), ("refused_200", 200, "403 Forbidden"), ("off", 404, "404 Not Found"),
])  # fmt: skip
def test_a_host_that_is_not_allowed_gets_a_page(aleph: Aleph, access: str, status: int, title: str) -> None:
    aleph.alma.settings(aleph_access=access)
    response = aleph.raw(op="update-item", library="USM50", xml_full_req=z30(""))
    assert (response.status_code, response.headers["content-type"]) == (status, "text/html;charset=UTF-8")
    assert f"<title>{title}</title>" in response.text


@pytest.mark.parametrize(
    ("fault", "status", "applied"),
    [
        ({"kind": "bad_gateway"}, 502, False),
        ({"kind": "maintenance"}, 200, False),
        ({"kind": "server_error"}, 500, False),
        ({"kind": "malformed"}, 200, True),
        ({"kind": "body", "text": "<html/>", "status": 503}, 503, False),
        ({"kind": "drop"}, None, True),
        ({"kind": "drop", "applied": False}, None, False),
        ({"kind": "truncated"}, None, True),
        ({"kind": "slow", "ms": 20}, 200, True),
        ({"kind": "other_key"}, 200, True),
        ({"kind": "ignore", "fields": ["pages"]}, 200, False),
        ({"kind": "ignore", "fields": ["*"]}, 200, False),
    ],
)
def test_faults(aleph: Aleph, fault: dict[str, Any], status: int | None, applied: bool) -> None:
    aleph.alma.fault(
        method="POST", path=r"^/X\?op=update-item&library=USM50&doc=000000002&seq=000010$", **fault
    )
    xml = z30("<z30-pages>3</z30-pages>")
    if status is None:
        with pytest.raises(requests.RequestException):
            aleph.raw(op="update-item", library="USM50", xml_full_req=xml)
    else:
        response = aleph.raw(op="update-item", library="USM50", xml_full_req=xml, translate="N")
        assert response.status_code == status
        if fault["kind"] == "other_key":
            root = etree.fromstring(response.content)
            assert (fields(root)["doc-number"], errors(root)) == ("000000003", [DONE])
        if fault["kind"] == "ignore":
            assert errors(etree.fromstring(response.content)) == [DONE]
    assert (aleph.read()["pages"] == "3") is applied


def test_a_fault_of_aleph_leaves_alma_alone_and_the_other_way_round(aleph: Aleph) -> None:
    aleph.alma.fault(kind="login")
    assert aleph.alma.get("/conf/general")
    aleph.alma.settings(per_second=1, daily=0)
    aleph.alma.control("DELETE", "faults")
    for _ in range(5):
        assert errors(aleph.update("")) == [DONE]


def test_read_item_by_key_and_by_barcode(aleph: Aleph) -> None:
    barcode = aleph.item()["values"]["barcode"]
    for method in ("GET", "POST"):
        assert fields(aleph.call("read-item", method, item_barcode=barcode))["doc-number"] == DOC
        assert (
            fields(aleph.call("read_item", method, doc_number="2", item_sequence="10"))["barcode"] == barcode
        )
    both = {"doc_number": DOC, "item_sequence": SEQ}
    root = aleph.call("read-item", item_barcode="31000000000000", **both)
    assert fields(root)["doc-number"] == DOC
    assert errors(root) == ["Only the item of the given doc number and item sequence has been retrieved"]
    assert errors(aleph.call("read-item", item_barcode=barcode, **both)) == []
    assert errors(aleph.call("read-item", doc_number="2", item_sequence="90")) == [NO_ITEM]
    assert errors(aleph.call("read-item", barcode=barcode)) == ["no item exist based on given barcode"]
    aleph.alma.settings(aleph_barcode_parameter="barcode")
    assert fields(aleph.call("read-item", barcode=barcode))["doc-number"] == DOC
    assert errors(aleph.call("read-item", item_barcode=barcode)) == ["no item exist based on given barcode"]


def test_create_item_in_an_adm_document(aleph: Aleph) -> None:
    inner = (
        "<z30-barcode>NEW-1</z30-barcode><z30-sub-library>WID</z30-sub-library><z30-material>BOOK</z30-material>"
        "<z30-item-status>01</z30-item-status><z30-no-loans>011</z30-no-loans><z30-open-date>20011017</z30-open-date>"
    )
    for root in ("create-item", "z30"):
        xml = (
            z30(inner, "77", "0", root)
            if root == "create-item"
            else f"<z30>{inner.replace('NEW-1', 'NEW-2')}</z30>"
        )
        made = aleph.call("create-item", adm_library="USM50", adm_doc_number="2", xml_full_req=xml)
        assert errors(made) == ["Item has been created successfully"]
        found = fields(made)
        assert (found["doc-number"], found["no-loans"]) == (DOC, "000")
        assert found["open-date"] == found["update-date"] != "20011017"
    assert int(found["item-sequence"]) == int(aleph.alma.control("GET", "aleph/items", doc="2")["total"]) * 10
    again = aleph.call("create-item", adm_library="USM50", adm_doc_number="2", xml_full_req=z30(inner))
    assert errors(again) == ["Barcode NEW-1 already exists"]


@pytest.mark.parametrize(
    ("form", "made"),
    [
        ({"adm_doc_number": "399999999"}, False),
        ({"bib_library": "USM01", "bib_doc_number": "399999999"}, False),
        ({"bib_library": "USM50", "bib_doc_number": "3"}, False),
        ({}, False),
        ({"bib_library": "USM01", "bib_doc_number": "3"}, True),
    ],
)
def test_create_item_needs_a_document(aleph: Aleph, form: dict[str, str], made: bool) -> None:
    aleph.alma.control("POST", "aleph/documents/3", {"deleted": True})
    inner = "<z30-sub-library>WID</z30-sub-library><z30-material>MAP</z30-material>"
    inner += "<z30-item-status>01</z30-item-status>"
    root = aleph.call("create-item", adm_library="USM50", xml_full_req=z30(inner), **form)
    if made:
        assert fields(root)["doc-number"] == "000000003"
        assert aleph.alma.control("POST", "aleph/documents/3", {"deleted": False})["exists"]
    else:
        assert errors(root) == ["Input ADM document doesn’t exist. Item cannot be created"]


def test_a_process_status_moves_by_itself(aleph: Aleph) -> None:
    aleph.alma.settings(aleph_status_moves={"LO": ""})
    assert (
        fields(aleph.update("<z30-item-process-status>LO</z30-item-process-status>"))["item-process-status"]
        == "LO"
    )
    assert aleph.read()["item-process-status"] == ""


def test_a_restore_writes_over_what_was_updated_in_a_temporary_location(aleph: Aleph) -> None:
    aleph.staff(temporary={"sub-library": "WID", "collection": "RES"})
    assert aleph.read()["temp-location"] == "Y"
    found = fields(aleph.update("<z30-item-status>02</z30-item-status>"))
    assert (found["sub-library"], found["item-status"]) == ("WID", "02")
    aleph.staff(restore=True)
    found = aleph.read()
    assert (found["sub-library"], found["item-status"], found["temp-location"]) == ("USCI", "01", "N")


def test_an_unknown_service(aleph: Aleph) -> None:
    assert aleph.call("sort-set").tag == "error"


def test_the_log_names_the_call_and_nothing_of_the_form_but_the_item(aleph: Aleph) -> None:
    aleph.update("<z30-note-internal>hush</z30-note-internal>", user_name="WWW-X", user_password="WWW-X")
    entry = aleph.alma.control("GET", "log", path="^/X", limit=1)["entries"][0]
    assert entry["query"] == "op=update-item&library=USM50&doc=000000002&seq=000010"
    assert (entry["route"], entry["key"], entry["applied"]) == ("/X update-item", "WWW-X", True)
    assert aleph.alma.control("GET", "counts")["by_route"]["POST /X update-item"] == 1


def test_the_items_at_first_are_those_of_alma(aleph: Aleph) -> None:
    """At least 500 of them, so that one file can be applied to both."""
    rows = aleph.alma.control("GET", "aleph/items", limit=1000)
    assert rows["total"] == len(rows["items"]) == 600
    for row in rows["items"][::40]:
        values, path = row["values"], row["alma"]
        found = aleph.alma.get(
            f"/bibs/{path['mms_id']}/holdings/{path['holding_id']}/items/{path['item_pid']}"
        )
        data = found["item_data"]
        assert data["barcode"] == values["barcode"]
        here = row["permanent"] or values
        assert PLACES[here["sub-library"], here["collection"]] == (
            data["library"]["value"],
            data["location"]["value"],
        )
        assert (data["description"], data["enumeration_a"]) == (
            values["description"],
            values["enumeration-a"],
        )
        assert data["policy"]["value"] == values["item-status"]
        assert found["holding_data"]["permanent_call_number"] == values["call-no"]
    tables = aleph.alma.control("GET", "aleph/tables")
    assert {"sub-library": "WID", "collection": "GEN", "library": "MAIN", "location": "stacks"} in tables[
        "to_alma"
    ]["places"]


def test_items_of_ones_own(aleph: Aleph) -> None:
    key = {"z30-doc-number": "51077", "z30-item-sequence": "10"}
    made = aleph.alma.control(
        "POST", "aleph/items", {"items": [{**key, "sub-library": "WID", "z30-pages": "9"}]}
    )
    assert made["items"][0]["key"] == "000051077000010"
    assert aleph.read("51077", "10")["pages"] == "9"
    assert aleph.alma.control("GET", "aleph") | {"sessions": 0} == {
        "library": "USM50", "items": 601, "changed": 1, "bookings": 0, "ill_requests": 0, "sessions": 0,
    }  # fmt: skip
    response = aleph.alma.session.post(
        f"{aleph.alma.url}/sandbox/aleph/items", json={"items": [{**key, "colour": "red"}]}, timeout=30
    )
    assert (response.status_code, response.json()) == (400, {"error": "no field colour in a z30 record"})
    assert aleph.alma.control("POST", "aleph/items/51077/10", {"delete": True})["values"] is None


def test_how_many_items_there_are_is_chosen_at_the_start() -> None:
    with serve(Settings(titles=40, aleph_items=5, aleph_library="ABC50")) as running:
        found = requests.get(f"{running.url}/sandbox/aleph", timeout=30).json()
        assert (found["items"], found["library"]) == (5, "ABC50")


@pytest.mark.parametrize(
    ("where", "body"),
    [
        ("aleph/items", {"items": 5}),
        ("aleph/items", {"items": ["x"]}),
        ("aleph/items", {"items": [{"doc-number": "2"}]}),
        ("aleph/items/2/10", {"booking": 3}),
        ("aleph/items/2/10", {"values": {"colour": "red"}}),
        ("aleph/items/2/10", {"temporary": {"pages": "3"}}),
        ("aleph/items/2/10", {}),
        ("aleph/items/2/90", {"ill": True}),
        ("aleph/documents/x", {"deleted": True}),
    ],
)
def test_the_control_surface_says_what_is_wrong(aleph: Aleph, where: str, body: dict[str, Any]) -> None:
    response = aleph.alma.session.post(f"{aleph.alma.url}/sandbox/{where}", json=body, timeout=30)
    assert response.status_code == 400
    assert response.json()["error"]
    assert aleph.alma.control("GET", "aleph")["changed"] == 0
