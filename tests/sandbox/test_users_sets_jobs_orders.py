"""Users, sets, jobs, PO lines, webhooks and SRU."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from lxml import etree

from alma_sandbox.administration.events import signature
from alma_sandbox.catalogue import ids
from tests.sandbox.caller import SRW, Caller, found_by, sru
from tests.sandbox.records import DESK, HOLD, bib_xml, item_body
from tests.waiting import wait_until

USER: dict[str, Any] = {
    "record_type": {"value": "PUBLIC"},
    "account_type": {"value": "EXTERNAL"},
    "external_id": "SIS",
    "primary_id": "u1",
    "first_name": "First",
    "last_name": "Last",
    "status": {"value": "ACTIVE"},
    "user_group": {"value": "UGRD"},
    "contact_info": {
        "email": [
            {"email_address": "f@example.org", "preferred": True, "email_type": [{"value": "personal"}]}
        ],
        "address": [],
        "phone": [],
    },
    "user_identifier": [{"id_type": {"value": "BARCODE"}, "value": "2100001"}],
}


@pytest.mark.parametrize("name", ["patron003", "PATRON003", "21000000000003", "I000003"])
def test_any_unique_identifier_finds_a_user(alma: Caller, name: str) -> None:
    assert alma.get(f"/users/{name}")["primary_id"] == "patron003"


def test_a_user_that_is_not_there(alma: Caller) -> None:
    assert alma.refusal("GET", "/users/nobody") == (400, "401861")
    assert alma.refusal("GET", "/users/patron003?user_id_type=BARCODE") == (400, "401861")
    assert alma.refusal("GET", "/users/nobody/loans") == (400, "401890")


def test_creating_reading_and_changing_a_user(alma: Caller) -> None:
    made = alma.post("/users", USER)
    assert made["user_group"] == {"value": "UGRD", "desc": "Undergraduate"}
    assert made["user_block"] == []
    assert alma.get("/users/2100001") == made
    root = alma.xml("/users/u1")
    assert root.findtext("contact_info/emails/email/email_address") == "f@example.org"
    assert root.findtext("user_identifiers/user_identifier/value") == "2100001"
    changed = alma.put("/users/u1", {**made, "last_name": "New", "user_identifier": []})
    assert changed["last_name"] == "New"
    assert changed["full_name"] == "First New"
    assert alma.refusal("GET", "/users/2100001") == (400, "401861")  # swap-all took the barcode away
    assert alma.put("/users/u1", etree.tostring(root, encoding="unicode"))["last_name"] == "Last"
    assert alma.call("DELETE", "/users/u1").status_code == 204
    assert alma.refusal("GET", "/users/u1") == (400, "401861")


def test_put_keeps_roles_and_what_staff_edited_by_hand(alma: Caller) -> None:
    user = alma.get("/users/patron003")  # external
    assert user["user_role"]
    changed = alma.put("/users/patron003", {**user, "user_role": []})
    assert changed["user_role"] == user["user_role"]
    alma.control(
        "POST", "users/patron003", {"edited_by_hand": {"user_group": {"value": "FACULTY", "desc": "Faculty"}}}
    )
    body = {**user, "user_group": {"value": "STAFF"}}
    assert alma.put("/users/patron003", body)["user_group"]["value"] == "FACULTY"
    assert alma.put("/users/patron003?override=user_group", body)["user_group"]["value"] == "STAFF"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"last_name": ""}, "401664"),
        ({"primary_id": "PATRON001"}, "401851"),
        ({"user_identifier": [{"id_type": {"value": "BARCODE"}, "value": "21000000000001"}]}, "401851"),
        ({"user_identifier": [{"id_type": {"value": "BARCODE"}, "value": "u1"}]}, "401851"),
        ({"external_id": ""}, "401854"),
        ({"account_type": {"value": "INTERNAL"}}, "401853"),
        ({"user_group": {"value": "KINGS"}}, "401852"),
        ({"account_type": {"value": "HIRED"}}, "401857"),
        ({"record_type": {"value": "GHOST"}}, "401864"),
        ({"user_identifier": [{"id_type": {"value": "SHOE"}, "value": "44"}]}, "401864"),
        ({"user_block": [{"block_type": {"value": "USER"}}]}, "401664"),
    ],
)
def test_users_that_are_refused(alma: Caller, change: dict[str, Any], code: str) -> None:
    assert alma.refusal("POST", "/users", body={**USER, **change}) == (400, code)
    assert alma.control("GET", "state")["counts"]["users"] == 50


@pytest.mark.parametrize("body", ["", "<user>", "no XML"])
def test_a_user_needs_a_body_that_can_be_read(alma: Caller, body: str) -> None:
    assert alma.refusal("POST", "/users", body=body) == (400, "401676")


def test_searching_users(alma: Caller) -> None:
    assert alma.get("/users", params={"q": "last_name~patron_7"})["total_record_count"] == 1
    assert alma.get("/users", params={"q": "identifiers~I000009"})["user"][0]["primary_id"] == "patron009"
    page = alma.get("/users?limit=3&offset=2")
    assert [user["primary_id"] for user in page["user"]] == ["patron003", "patron004", "patron005"]
    assert "contact_info" not in page["user"][0]
    assert "contact_info" in alma.get("/users?limit=1&expand=full")["user"][0]
    assert alma.refusal("GET", "/users?q=colour~red") == (400, "40166411")
    assert alma.refusal("GET", "/users?q=last_name~x&modify_date_from=2026-01-01") == (400, "401666")


def test_signing_in(alma: Caller) -> None:
    good = alma.call(
        "POST", "/users/patron001?op=auth", headers={"Exl-User-Pw": "patron001-password"}, key="sandbox-ro"
    )
    assert good.status_code == 204
    assert alma.refusal("POST", "/users/patron001?op=auth", headers={"Exl-User-Pw": "x"}) == (400, "401866")


def test_a_user_with_loans_stays(alma: Caller) -> None:
    alma.post(f"/users/patron001/loans?item_pid={ids.item_pid(0, 0, 0)}", DESK)
    assert alma.refusal("DELETE", "/users/patron001") == (400, "401850")


NEW_SET = {
    "name": "Mine",
    "type": {"value": "ITEMIZED"},
    "content": {"value": "BIB_MMS"},
    "private": {"value": "false"},
    "status": {"value": "ACTIVE"},
}


def members(*found: str) -> dict[str, Any]:
    return {"members": {"member": [{"id": member} for member in found]}}


def test_a_set_from_its_making_to_its_end(alma: Caller) -> None:
    made = alma.post("/conf/sets", NEW_SET)
    path = f"/conf/sets/{made['id']}"
    added = alma.post(f"{path}?op=add_members", members(ids.mms_id(1), ids.mms_id(2)))
    assert added["number_of_members"]["value"] == 2
    assert alma.refusal("POST", f"{path}?op=add_members", body=members(ids.mms_id(2))) == (400, "60115")
    assert alma.refusal("POST", f"{path}?op=add_members", body=members(ids.mms_id(3), ids.mms_id(3))) == (
        400,
        "60119",
    )
    assert alma.refusal("POST", f"{path}?op=add_members", body=members("99123"))[0] == 400
    assert alma.get(path)["number_of_members"]["value"] == 2  # one bad id failed the whole call
    body = members("99123", ids.mms_id(4))
    assert (
        alma.post(f"{path}?op=add_members&fail_on_invalid_id=false", body)["number_of_members"]["value"] == 3
    )
    alma.post(f"{path}?op=delete_members", members(ids.mms_id(1)))
    xml = f"<set><members><member><id>{ids.mms_id(9)}</id></member></members></set>"
    alma.post(f"{path}?op=add_members", xml)
    found = [row["id"] for row in alma.get(f"{path}/members")["member"]]
    assert found == [ids.mms_id(2), ids.mms_id(4), ids.mms_id(9)]
    alma.post(f"{path}?op=replace_members", members(ids.mms_id(7)))
    assert alma.get(f"{path}/members")["total_record_count"] == 1
    assert alma.put(path, {**NEW_SET, "name": "Yours"})["name"] == "Yours"
    assert alma.call("DELETE", path).status_code == 204
    assert alma.refusal("GET", path) == (400, "60107")


def test_sets_take_a_thousand_members_a_call(alma: Caller) -> None:
    path = f"/conf/sets/{ids.EMPTY_SET}?op=add_members&fail_on_invalid_id=false"
    many = [ids.mms_id(number) for number in range(1001)]
    assert alma.refusal("POST", path, body=members(*many)) == (400, "60118")
    assert alma.post(path, members(*many[:1000]))["number_of_members"]["value"] == 400
    assert alma.refusal("POST", f"/conf/sets/{ids.ALL_TITLES_SET}?op=shuffle", body=members("1")) == (
        400,
        "40166410",
    )
    assert alma.refusal("POST", path, body={}) == (400, "60113")


def test_barcodes_and_oclc_numbers_become_members(alma: Caller) -> None:
    items = alma.post("/conf/sets", {**NEW_SET, "content": {"value": "ITEM"}})["id"]
    path = f"/conf/sets/{items}?op=add_members&id_type=BARCODE"
    alma.post(path, members(ids.barcode(0, 0, 0)))
    row = alma.get(f"/conf/sets/{items}/members")["member"][0]
    assert row["id"] == ids.item_pid(0, 0, 0)
    assert row["link"].endswith(f"/holdings/{ids.holding_id(0, 0)}/items/{row['id']}")
    number = alma.get(f"/bibs/{ids.mms_id(0)}")["network_number"][1].removeprefix("(OCoLC)")
    bibs = alma.post("/conf/sets", NEW_SET)["id"]
    alma.post(f"/conf/sets/{bibs}?op=add_members&id_type=OCLC_NUMBER", members(number))
    assert alma.get(f"/conf/sets/{bibs}/members")["member"][0]["id"] == ids.mms_id(0)
    assert alma.refusal("POST", f"/conf/sets/{bibs}?op=add_members&id_type=COLOUR", body=members("x")) == (
        400,
        "60120",
    )


def test_sets_combine_and_freeze(alma: Caller) -> None:
    one = alma.post("/conf/sets", {**NEW_SET, **members(ids.mms_id(1), ids.mms_id(2))})["id"]
    frozen = alma.post(f"/conf/sets?from_logical_set={ids.ALL_TITLES_SET}", NEW_SET)
    assert frozen["number_of_members"]["value"] == 400
    for how, count in [("AND", 2), ("NOT", 398), ("OR", 400)]:
        query = f"combine={how}&set1={frozen['id']}&set2={one}"
        assert alma.post(f"/conf/sets?{query}", NEW_SET)["number_of_members"]["value"] == count


def run_job(alma: Caller, job: str = "M48") -> dict[str, Any]:
    body = {"parameter": [{"name": {"value": "set_id"}, "value": ids.ALL_TITLES_SET}]} if job == "M48" else {}
    found: dict[str, Any] = alma.post(f"/conf/jobs/{job}?op=run", body)
    return found


def test_a_job_goes_through_its_statuses_by_the_clock(alma: Caller) -> None:
    alma.control("POST", "clock", {"stopped": True})
    link = run_job(alma)["additional_info"]["link"]
    path = link.partition("/almaws/v1")[2]
    assert path.startswith("/conf/jobs/M48/instances/")
    seen = []
    for _ in range(3):
        found = alma.get(path)
        seen.append((found["status"]["value"], found["progress"]))
        alma.control("POST", "clock", {"advance_s": 2})
    assert seen == [("QUEUED", 0), ("RUNNING", 50), ("COMPLETED_SUCCESS", 100)]
    assert alma.get(path)["counter"][0]["value"] == "400"
    assert alma.get(f"/conf/jobs/ALL/instances/{path.rsplit('/', 1)[1]}")["job_info"]["id"] == "M48"
    assert alma.xml(path).findtext("status") == "COMPLETED_SUCCESS"


def test_a_job_that_fails_never_reaches_a_hundred(alma: Caller) -> None:
    alma.settings(job_outcome="COMPLETED_FAILED", job_step_s=0)
    path = run_job(alma)["additional_info"]["link"].partition("/almaws/v1")[2]
    found = alma.get(path)
    assert found["status"]["value"] == "COMPLETED_FAILED"
    assert found["progress"] < 100
    assert found["alert"]


def test_three_at_once_and_five_an_hour(alma: Caller) -> None:
    alma.control("POST", "clock", {"stopped": True, "now": "2026-03-01T12:00:00Z"})
    for _ in range(3):
        run_job(alma)
    assert alma.refusal("POST", "/conf/jobs/S101?op=run", body={}) == (400, "402222")
    alma.control("POST", "clock", {"advance_s": 60})
    run_job(alma)
    run_job(alma)
    alma.control("POST", "clock", {"advance_s": 60})
    body = {"parameter": [{"name": {"value": "set_id"}, "value": ids.ALL_TITLES_SET}]}
    assert alma.refusal("POST", "/conf/jobs/M48?op=run", body=body) == (400, "402223")
    run_job(alma, "S101")
    alma.control("POST", "clock", {"advance_s": 3600})
    run_job(alma)
    query = "submit_date_from=2026-03-01&submit_date_to=2026-03-01"
    assert alma.get(f"/conf/jobs/M48/instances?{query}")["total_record_count"] == 6
    assert alma.refusal("GET", "/conf/jobs/M48/instances") == (400, "402219")


def test_jobs_that_cannot_be_run(alma: Caller) -> None:
    assert alma.refusal("POST", "/conf/jobs/M1?op=run", body={}) == (400, "402215")
    assert alma.refusal("POST", "/conf/jobs/M48?op=stop", body={}) == (400, "402220")
    assert alma.refusal("POST", "/conf/jobs/M48?op=run", body={}) == (400, "402229")
    wrong = {"parameter": [{"name": {"value": "colour"}, "value": "red"}]}
    assert alma.refusal("POST", "/conf/jobs/M48?op=run", body=wrong) == (400, "402228")
    assert alma.refusal("GET", "/conf/jobs/M48/instances/1") == (400, "402218")
    xml = "<job><parameters><parameter><name>set_id</name><value>{}</value></parameter></parameters></job>"
    assert alma.post("/conf/jobs/M48?op=run", xml.format(ids.ALL_TITLES_SET))["id"] == "M48"
    assert alma.get("/conf/md-import-profiles")["import_profile"][0]["job_id"] == "S101"


def order(**more: Any) -> dict[str, Any]:
    return {
        "owner": {"value": "MAIN"},
        "type": {"value": "PRINTED_BOOK_OT"},
        "vendor": {"value": "VENDOR1"},
        "vendor_account": "VENDOR1",
        "price": {"sum": "54.10", "currency": {"value": "EUR"}},
        "fund_distribution": [{"fund_code": {"value": "BOOKS"}, "percent": "100"}],
        "resource_metadata": {"title": "Ordered title"},
        "location": [{"quantity": 2, "library": {"value": "MAIN"}, "shelving_location": "stacks"}],
        **more,
    }


def test_an_order_makes_inventory_that_can_be_received(alma: Caller) -> None:
    made = alma.post("/acq/po-lines", order())
    assert made["status"]["value"] == "SENT"
    mms_id = made["resource_metadata"]["mms_id"]["value"]
    assert alma.get(f"/bibs/{mms_id}")["title"] == "Ordered title"
    path = f"/acq/po-lines/{made['number']}"
    rows = alma.get(f"{path}/items")["item"]
    assert len(rows) == 2
    pid = rows[0]["link"].rsplit("/", 1)[1]
    item = rows[0]["link"].partition("/almaws/v1")[2]
    assert alma.get(item)["item_data"]["process_type"]["value"] == "ACQ"
    received = alma.post(f"{path}/items/{pid}?op=receive&receive_date=2026-05-01Z")
    assert received["item_data"]["arrival_date"] == "2026-05-01Z"
    assert alma.refusal("POST", f"{path}/items/{pid}?op=receive", body={}) == (400, "401877")
    assert alma.refusal("POST", f"{path}/items/1?op=receive", body={}) == (400, "401875")


def test_orders_in_review_closed_and_with_a_slash(alma: Caller) -> None:
    wrong_case = order(fund_distribution=[{"fund_code": {"value": "books"}}])
    assert alma.post("/acq/po-lines", wrong_case)["status"]["value"] == "INREVIEW"
    assert alma.refusal("POST", "/acq/po-lines", body=order(owner=None)) == (400, "401664")
    assert alma.refusal("POST", "/acq/po-lines", body=order(resource_metadata={})) == (400, "401664")
    assert alma.get("/acq/po-lines/123456/0005")["number"] == "123456/0005"
    assert alma.get("/acq/po-lines/123456/0005/items") == {"total_record_count": 0}
    assert alma.refusal("GET", "/acq/po-lines/POL-0") == (400, "401871")
    statuses = {row["status"]["value"] for row in alma.get("/acq/po-lines?status=ALL&limit=100")["po_line"]}
    assert "CLOSED" not in statuses
    assert "CANCELLED" in statuses
    assert alma.refusal("DELETE", "/acq/po-lines/POL-1001") == (400, "401664")
    assert alma.call("DELETE", "/acq/po-lines/POL-1001?reason=LIBRARY_CANCELLED").status_code == 204
    assert alma.get("/acq/po-lines/POL-1001")["status"]["value"] == "CANCELLED"
    assert alma.get("/acq/vendors/VENDOR1")["name"] == "First Vendor"


class Listener(BaseHTTPRequestHandler):
    """Echoes challenges and keeps what it is sent."""

    received: list[tuple[bytes, str]]
    arrived: threading.Semaphore

    def do_GET(self) -> None:
        text = parse_qs(urlsplit(self.path).query)["challenge"][0]
        self._answer(f'{{"challenge":"{text}"}}'.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((body, self.headers["X-Exl-Signature"]))
        self._answer(b"{}")
        self.arrived.release()

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listener() -> Iterator[tuple[str, type[Listener]]]:
    kind = type("OneListener", (Listener,), {"received": [], "arrived": threading.Semaphore(0)})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", kind
        finally:
            server.shutdown()
            thread.join()


def test_webhooks_are_challenged_signed_and_delivered(alma: Caller) -> None:
    with listener() as (url, kind):
        alma.settings(webhook_url=url, webhook_secret="shared", webhook_copies=2)
        assert alma.control("POST", "webhooks/challenge", {"challenge": "xyz"}) == {
            "accepted": True,
            "status": 200,
        }
        alma.post("/bibs", bib_xml())
        for _ in range(2):
            assert kind.arrived.acquire(timeout=30)
        (body, signed), again = kind.received
        assert again == (body, signed)  # at least once
        assert signed == signature("shared", body)
        assert signed != signature("other", body)
        assert b'"BIB_CREATED"' in body
        assert b'"link": "/almaws/v1/bibs/' in body  # relative in webhooks
        wait_until(
            lambda: len(alma.control("GET", "webhooks")[-1]["deliveries"]) == 2
        )  # the answers are noted


def test_events_are_kept_even_without_a_listener(alma: Caller) -> None:
    item = alma.post(f"/bibs/{ids.mms_id(0)}/holdings/{ids.holding_id(0, 0)}/items", item_body("hooked"))
    pid, path = item["item_data"]["pid"], item["link"].partition("/almaws/v1")[2]
    alma.post(f"/users/patron001/requests?item_pid={pid}", {**HOLD, "pickup_location_library": "STOR"})
    alma.post(f"{path}?op=scan&library=STOR&circ_desk=DEFAULT_CIRC_DESK")
    alma.post(f"/users/patron001/loans?item_pid={pid}", DESK)
    alma.post(f"{path}?op=scan&library=STOR&circ_desk=DEFAULT_CIRC_DESK")
    bodies = [event["body"] for event in alma.control("GET", "webhooks")]
    named = [body["event"]["value"] for body in bodies]
    expected = [
        "ITEM_CREATED", "REQUEST_CREATED", "REQUEST_PLACED_ON_SHELF", "ITEM_UPDATED", "REQUEST_CLOSED",
        "LOAN_CREATED", "LOAN_RETURNED", "ITEM_UPDATED",
    ]  # fmt: skip
    assert named == expected
    loan = next(body for body in bodies if body["action"] == "LOAN")
    assert loan["item_loan"]["item_id"] == pid
    assert loan["bib"] is None
    assert len({body["id"] for body in bodies}) == len(bodies)


def test_the_end_of_a_job_is_an_event(alma: Caller) -> None:
    alma.control("POST", "clock", {"stopped": True})
    run_job(alma)
    assert alma.control("GET", "webhooks") == []
    alma.control("POST", "clock", {"advance_s": 10})
    (event,) = alma.control("GET", "webhooks")
    assert event["body"]["event"] is None
    assert "/conf/jobs/M0/instances/" in event["body"]["job_instance"]["link"]


def test_webhooks_go_to_this_machine_only(alma: Caller) -> None:
    url = f"{alma.url}/sandbox/settings"
    refused = requests.post(url, json={"webhook_url": "https://example.org/hook"}, timeout=30)
    assert refused.status_code == 400


def test_sru_finds_by_number_without_a_key(alma: Caller) -> None:
    bib = alma.get(f"/bibs/{ids.mms_id(2)}")
    number = bib["network_number"][1].removeprefix("(OCoLC)")
    for query in (
        f"alma.mms_id={ids.mms_id(2)}",
        f"alma.oclc_control_number_035_a={number}",
        f'alma.oclc_control_number_035_az="(OCoLC){number}"',
        f"alma.issn={bib['issn']}",
        f"alma.barcode={ids.barcode(2, 0, 0)}",
    ):
        assert found_by(alma, query) == [ids.mms_id(2)], query
    both = f"alma.mms_id={ids.mms_id(1)} or alma.mms_id={ids.mms_id(2)} and alma.mms_tagSuppressed=false"
    assert set(found_by(alma, both)) == {ids.mms_id(1), ids.mms_id(2)}
    record = sru(alma, f"alma.mms_id={ids.mms_id(2)}").find(
        f".//{SRW}recordData/{{http://www.loc.gov/MARC21/slim}}record"
    )
    assert record is not None


def test_sru_finds_nothing_pages_and_explains_errors(alma: Caller) -> None:
    root = sru(alma, "alma.mms_id=99123")
    assert root.findtext(f"{SRW}numberOfRecords") == "0"
    assert len(root.find(f"{SRW}records")) == 0  # type: ignore[arg-type]
    many = " or ".join(f"alma.mms_id={ids.mms_id(number)}" for number in range(5))
    root = sru(alma, many, maximumRecords="2", startRecord="2")
    assert [row.findtext(f"{SRW}recordPosition") for row in root.iter(f"{SRW}record")] == ["2", "3"]
    assert root.findtext(f"{SRW}nextRecordPosition") == "4"
    for query in ("", "title", "alma.colour=red", "alma.mms_id=1 and alma.title=x"):
        assert sru(alma, query).find(f"{SRW}diagnostics") is not None, query
    suppressed = alma.variant("suppressed_bib")["mms_id"]
    assert found_by(alma, f"alma.mms_id={suppressed}") == [suppressed]
    assert found_by(alma, f"alma.mms_id={suppressed} and alma.mms_tagSuppressed=false") == []
