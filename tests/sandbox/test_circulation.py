"""Requests, loans and scan-in: the state machine that the three form together."""

from typing import Any

import pytest

from alma_sandbox.catalogue import ids
from tests.sandbox.caller import Caller
from tests.sandbox.records import DESK, HOLD, bib_xml, holding_xml, item_body


class Copy:
    """A title with one item in MAIN/stacks, and what tests do with it."""

    def __init__(self, alma: Caller, barcode: str = "copy-1", **item_data: Any) -> None:
        self.alma = alma
        self.mms_id = alma.post("/bibs", bib_xml())["mms_id"]
        holding = alma.post(f"/bibs/{self.mms_id}/holdings", holding_xml())["holding_id"]
        self.items = f"/bibs/{self.mms_id}/holdings/{holding}/items"
        made = alma.post(self.items, item_body(barcode, **item_data))
        self.pid = made["item_data"]["pid"]
        self.path = f"{self.items}/{self.pid}"

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = self.alma.get(self.path)["item_data"]
        return found

    @property
    def state(self) -> tuple[str, str, bool]:
        """(base status, process type, requested)."""
        data = self.data
        return data["base_status"]["value"], data["process_type"]["value"], data["requested"]

    def scan(self, library: str = "MAIN", **more: str) -> dict[str, Any]:
        query = {"op": "scan", "library": library, "circ_desk": "DEFAULT_CIRC_DESK", **more}
        found: dict[str, Any] = self.alma.post(self.path, params={k: v for k, v in query.items() if v})
        return found

    def hold(self, user: str = "patron001", library: str = "MAIN", **more: str) -> dict[str, Any]:
        body = {**HOLD, "pickup_location_library": library}
        found: dict[str, Any] = self.alma.post(
            f"/users/{user}/requests?item_pid={self.pid}", body, params=more
        )
        return found

    def lend(self, user: str = "patron001") -> dict[str, Any]:
        found: dict[str, Any] = self.alma.post(f"/users/{user}/loans?item_pid={self.pid}", DESK)
        return found

    def request(self, request: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.alma.get(f"/bibs/{self.mms_id}/requests/{request['request_id']}")
        return found


@pytest.fixture
def item(alma: Caller) -> Copy:
    return Copy(alma)


def test_a_hold_from_the_shelf_to_the_reader_and_back(alma: Caller, item: Copy) -> None:
    made = item.hold()
    assert (made["request_status"], made["task_name"]) == ("IN_PROCESS", "Pickup From Shelf")
    assert (made["item_id"], made["barcode"], made["user_primary_id"]) == (item.pid, "copy-1", "patron001")
    assert item.state == ("1", "REQUESTED", True)
    shelved = item.scan()
    assert "On Hold Shelf" in shelved["additional_info"]
    assert item.request(made)["request_status"] == "ON_HOLD_SHELF"
    assert item.state == ("0", "HOLDSHELF", True)
    loan = item.lend()
    assert item.state == ("0", "LOAN", False)
    assert alma.get("/users/patron001/requests") == {"total_record_count": 0}
    history = alma.get("/users/patron001/requests?status=history")["user_request"]
    assert [row["request_status"] for row in history] == ["HISTORY"]
    returned = item.scan()
    assert "Reshelve to Main Stacks" in returned["additional_info"]
    assert item.state == ("1", "", False)
    assert alma.get("/users/patron001/loans") == {"total_record_count": 0}
    done = alma.get("/users/patron001/loans?loan_status=Complete")["item_loan"][0]
    assert (done["loan_id"], done["loan_status"]) == (loan["loan_id"], "COMPLETE")
    assert done["return_date"]


def test_a_hold_for_another_library_travels(item: Copy) -> None:
    made = item.hold(library="SCI")
    sent = item.scan()
    assert sent["additional_info"].startswith("Item's destination is: Science Library.")
    assert item.state == ("0", "TRANSIT", True)
    assert (item.request(made)["request_status"], item.request(made)["task_name"]) == (
        "IN_PROCESS",
        "Transit Item",
    )
    item.scan("SCI")
    assert item.request(made)["task_name"] == "On Hold Shelf"
    item.lend()
    back = item.scan("SCI")
    assert "Transit for reshelving" in back["additional_info"]
    assert item.state == ("0", "TRANSIT", False)
    item.scan()
    assert item.state == ("1", "", False)


def test_those_who_wait_are_served_in_order(item: Copy) -> None:
    item.lend("patron009")
    first, second = item.hold("patron001"), item.hold("patron002")
    assert [(r["request_status"], r["place_in_queue"]) for r in (first, second)] == [
        ("NOT_STARTED", 1),
        ("NOT_STARTED", 2),
    ]
    item.scan()
    assert item.request(first)["request_status"] == "ON_HOLD_SHELF"
    assert item.request(second)["place_in_queue"] == 2
    item.lend("patron001")
    item.scan()
    assert item.request(second)["request_status"] == "ON_HOLD_SHELF"


def test_a_hold_on_a_title_takes_whichever_item_is_in(alma: Caller, item: Copy) -> None:
    other = alma.post(item.items, item_body("copy-2"))["item_data"]["pid"]
    item.lend("patron009")
    made = alma.post(f"/users/patron001/requests?mms_id={item.mms_id}", HOLD)
    assert (made["request_status"], made["item_id"]) == ("IN_PROCESS", other)
    waiting = alma.post(f"/bibs/{item.mms_id}/requests?user_id=patron002", HOLD)
    assert waiting["request_status"] == "NOT_STARTED"
    assert "item_id" not in waiting
    item.scan()
    assert item.request(waiting)["item_id"] == item.pid


def test_the_words_of_xml_differ(alma: Caller, item: Copy) -> None:
    made = item.hold()
    root = alma.xml(f"{item.path}/requests")
    assert root.get("total_record_count") == "1"
    assert root.findtext("user_request/request_status") == "In Process"
    assert root.findtext("user_request/request_id") == made["request_id"]


@pytest.mark.parametrize("tree", ["user", "bib", "item"])
def test_a_request_in_each_tree(alma: Caller, item: Copy, tree: str) -> None:
    base = {"user": "/users/patron001", "bib": f"/bibs/{item.mms_id}", "item": item.path}[tree]
    query = {"user": f"item_pid={item.pid}", "bib": "user_id=patron001", "item": "user_id=patron001"}[tree]
    made = alma.post(f"{base}/requests?{query}", {**HOLD, "comment": "[marker]"})
    path = f"{base}/requests/{made['request_id']}"
    assert alma.get(path)["comment"] == "[marker]"
    assert [row["request_id"] for row in alma.get(f"{base}/requests")["user_request"]] == [made["request_id"]]
    assert alma.put(path, {**HOLD, "comment": "changed"})["comment"] == "changed"
    assert alma.refusal("DELETE", path) == (400, "401664")
    assert alma.refusal("DELETE", f"{path}?reason=Whim") == (400, "401666")
    assert alma.call("DELETE", f"{path}?reason=CannotBeFulfilled&notify_user=false").status_code == 204
    assert alma.refusal("DELETE", f"{path}?reason=CannotBeFulfilled") == (400, "401694")
    assert alma.get(path)["request_status"] == "HISTORY"
    alma.settings(closed_requests="gone")
    assert alma.refusal("GET", path) == (400, "401694")
    assert item.state == ("1", "", False)


def test_cancelling_mails_the_patron_unless_asked_not_to(alma: Caller, item: Copy) -> None:
    for notify, letters in [("false", 0), ("", 1)]:
        made = item.hold()
        query = f"reason=CancelledAtPatronRequest{'&notify_user=false' if notify else ''}"
        alma.call("DELETE", f"/users/patron001/requests/{made['request_id']}?{query}")
        assert alma.control("GET", "state")["counts"]["letters"] == letters


def test_requests_that_are_refused(alma: Caller, item: Copy) -> None:
    item.hold()
    again = f"/users/patron001/requests?item_pid={item.pid}"
    assert alma.refusal("POST", again, body=HOLD) == (400, "401136")
    alma.post(f"{again}&allow_same_request=true", HOLD)
    path = f"/users/patron002/requests?item_pid={item.pid}"
    assert alma.refusal("POST", f"/users/nobody/requests?item_pid={item.pid}", body=HOLD) == (400, "401890")
    assert alma.refusal("POST", "/users/patron002/requests?item_pid=1", body=HOLD) == (400, "401684")
    assert alma.refusal("POST", "/users/patron002/requests", body=HOLD) == (400, "401664")
    assert alma.refusal("POST", path, body={}) == (400, "401664")
    assert alma.refusal("POST", path, body={**HOLD, "request_type": "MOVE"}) == (400, "40166410")
    desk = {**HOLD, "pickup_location_type": "CIRCULATION_DESK", "pickup_location_circulation_desk": "NONE"}
    assert alma.refusal("POST", path, body=desk) == (400, "401895")
    assert alma.refusal("POST", path, body={**HOLD, "pickup_location_library": "NONE"}) == (400, "401652")
    nowhere = {**desk, "pickup_location_library": "NONE"}
    assert alma.refusal("POST", path, body=nowhere) == (400, "401895")
    wrong_holding = item.path.replace(item.items.split("/")[4], ids.holding_id(0, 0))
    assert alma.refusal("POST", f"{wrong_holding}/requests?user_id=patron002", body=HOLD) == (400, "401688")
    assert alma.refusal(
        "POST", f"/bibs/{alma.variant('no_items')['mms_id']}/requests?user_id=patron002", body=HOLD
    ) == (
        400,
        "401129",
    )
    reading_room = Copy(alma, "stays", policy={"value": "03"})
    assert alma.refusal("POST", f"/users/patron002/requests?item_pid={reading_room.pid}", body=HOLD) == (
        400,
        "401129",
    )
    assert alma.get(f"{reading_room.path}/request-options") == {}
    assert alma.get(f"{item.path}/request-options?user_id=patron002")["request_option"]


def test_the_index_lags_behind_a_creation_and_a_return(alma: Caller) -> None:
    alma.control("POST", "clock", {"stopped": True})
    alma.settings(index_lag_s=5)
    item = Copy(alma)
    path = f"/users/patron001/requests?item_pid={item.pid}"
    assert alma.refusal("POST", path, body=HOLD) == (400, "401129")
    alma.control("POST", "clock", {"advance_s": 5})
    item.lend("patron002")
    item.scan()
    assert alma.refusal("POST", path, body=HOLD) == (400, "401129")
    alma.control("POST", "clock", {"advance_s": 5})
    alma.post(path, HOLD)


def test_scanning_in_at_the_wrong_place_or_with_the_wrong_words(alma: Caller, item: Copy) -> None:
    base = f"{item.path}?op=scan"
    assert alma.refusal("POST", f"{base}&library=MAIN") == (400, "40166415")
    assert alma.refusal("POST", f"{base}&library=MAIN&circ_desk=A&department=B") == (400, "40166415")
    assert alma.refusal("POST", f"{base}&circ_desk=DEFAULT_CIRC_DESK") == (400, "401664")
    assert alma.refusal("POST", f"{base}&library=LAW&circ_desk=RES_SHARE") == (400, "402502")
    assert alma.refusal("POST", f"{item.path}?op=wave&library=MAIN&circ_desk=DEFAULT_CIRC_DESK") == (
        400,
        "40166410",
    )
    null = (
        f"/bibs/{item.mms_id}/holdings/null/items/{item.pid}?op=scan&library=MAIN&circ_desk=DEFAULT_CIRC_DESK"
    )
    assert alma.refusal("POST", null) == (400, "401688")


def test_in_house_uses_are_counted_unless_asked_not_to(alma: Caller, item: Copy) -> None:
    item.scan(register_in_house_use="false")
    assert alma.control("GET", "state")["in_house_uses"] == {}
    item.scan()
    assert alma.control("GET", "state")["in_house_uses"] == {item.pid: 1}


def test_a_department_starts_and_ends_a_work_order(alma: Caller, item: Copy) -> None:
    item.scan(circ_desk="", department="Conservation", work_order_type="Conservation")
    assert item.state == ("0", "WORK_ORDER_DEPARTMENT", False)
    assert item.data["work_order_type"]["value"] == "Conservation"
    item.scan(circ_desk="", department="Conservation", done="true")
    assert item.state == ("1", "", False)
    assert "work_order_type" not in item.data


def test_a_loan_and_what_it_looks_like(alma: Caller, item: Copy) -> None:
    alma.control("POST", "clock", {"stopped": True, "now": "2026-03-01T12:00:00Z"})
    loan = item.lend()
    assert loan["due_date"] == "2026-03-29T18:00:00Z"
    assert loan["loan_date"] == "2026-03-01T12:00:00.000Z"
    assert (loan["loan_status"], loan["process_status"], loan["item_id"]) == ("ACTIVE", "NORMAL", item.pid)
    assert loan["location_code"] == {"value": "stacks", "name": "Main Stacks"}
    assert loan["item_policy"] == {"value": "01", "description": "Loan 28 days"}
    assert alma.get(f"{item.path}?expand=due_date")["item_data"]["due_date"] == loan["due_date"]
    root = alma.xml("/users/patron001/loans")
    assert root.find("item_loan/location_code").attrib == {"name": "Main Stacks"}  # type: ignore[union-attr]
    for path in (f"/users/patron001/loans/{loan['loan_id']}", f"{item.path}/loans/{loan['loan_id']}"):
        assert alma.get(path)["loan_id"] == loan["loan_id"]
    assert alma.get(f"/bibs/{item.mms_id}/loans")["total_record_count"] == 1
    assert alma.get(f"{item.path}/loans")["total_record_count"] == 1
    assert alma.refusal("GET", f"/users/patron002/loans/{loan['loan_id']}") == (400, "401652")


def test_renewing_and_changing_the_due_date(alma: Caller, item: Copy) -> None:
    alma.control("POST", "clock", {"stopped": True, "now": "2026-03-01T12:00:00Z"})
    loan = item.lend()
    path = f"/users/patron001/loans/{loan['loan_id']}"
    alma.control("POST", "clock", {"advance_s": 86_400 * 3})
    renewed = alma.post(f"{path}?op=renew")
    assert (renewed["due_date"], renewed["process_status"]) == ("2026-04-01T18:00:00Z", "RENEW")
    assert alma.put(path, {"due_date": "2026-12-31T22:00:00Z"})["due_date"] == "2026-12-31T22:00:00Z"
    assert alma.refusal("PUT", path, body={}) == (400, "401824")
    assert alma.refusal("PUT", path, body={"due_date": "2020-01-01T00:00:00Z"}) == (400, "401681")
    assert alma.get(f"{path}?expand=renewable")["renewable"] is True
    item.hold("patron002")
    assert alma.refusal("POST", f"{path}?op=renew") == (400, "401822")
    assert alma.refusal("POST", "/users/patron001/loans/73?op=renew") == (400, "401823")
    strict = Copy(alma, "dcb-1", policy={"value": "DCB_NO_RENEW"})
    other = strict.lend("patron002")
    assert alma.refusal("POST", f"/users/patron002/loans/{other['loan_id']}?op=renew") == (400, "401822")


def test_loans_that_are_refused(alma: Caller, item: Copy) -> None:
    def refused(user: str, query: str = "", body: dict[str, Any] = DESK) -> str:
        found = alma.refusal("POST", f"/users/{user}/loans?{query or f'item_pid={item.pid}'}", body=body)
        assert found[0] == 400
        return found[1]

    assert refused("nobody") == "401890"
    assert refused("patron001", "x=1") == "401672"
    assert refused("patron001", "item_barcode=none") == "401689"
    assert refused("patron001", body={"circ_desk": {"value": "DEFAULT_CIRC_DESK"}}) == "401664"
    assert refused("patron001", body={**DESK, "circ_desk": {"value": "NONE"}}) == "401153"
    assert refused("patron047") == "401163"
    assert refused("patron048") == "401168"
    assert refused("patron049") == "401151"
    assert refused("patron050") == "401163"
    item.hold("patron002")
    assert refused("patron001") == "401651"  # kept for somebody else
    item.lend("patron002")
    assert refused("patron002") == "400042"
    assert refused("patron001") == "401651"
    assert alma.refusal("POST", f"{item.path}/loans", body=DESK) == (400, "401664")
    alma.settings(loan_limit=1)
    other = Copy(alma, "limit-1")
    assert refused("patron002", f"item_pid={other.pid}") == "401161"
    assert (
        alma.refusal("POST", "/loans", body=DESK) if False else alma.call("POST", "/loans").status_code == 404
    )


def test_a_desk_lends_what_its_library_has_and_what_lies_on_its_hold_shelf(alma: Caller, item: Copy) -> None:
    lending = f"/users/patron001/loans?item_pid={item.pid}"
    at_science = {**DESK, "library": {"value": "SCI"}}
    assert alma.refusal("POST", lending, body=at_science) == (400, "401153")
    item.hold(library="SCI")
    item.scan()  # and it travels: only where it belongs can it be lent, or where it arrives
    assert alma.refusal("POST", lending, body=at_science) == (400, "401153")
    item.scan("SCI")
    assert alma.refusal("POST", lending, body={**DESK, "library": {"value": "LAW"}}) == (400, "401153")
    assert alma.post(lending, at_science)["library"]["value"] == "SCI"
    item.scan()
    away = {"in_temp_location": True, "temp_library": {"value": "SCI"}, "temp_location": {"value": "stacks"}}
    alma.put(item.path, {"holding_data": away, "item_data": alma.get(item.path)["item_data"]})
    assert alma.refusal("POST", lending, body=DESK) == (400, "401153")
    assert alma.post(lending, at_science)["library"]["value"] == "SCI"


def test_a_loan_names_an_active_hold_of_its_user_or_none(alma: Caller, item: Copy) -> None:
    def lend(request: dict[str, Any]) -> tuple[int, str]:
        body = {**DESK, "request_id": {"value": request["request_id"]}}
        return alma.refusal("POST", f"/users/patron001/loans?item_pid={item.pid}", body=body)

    dead = item.hold()
    alma.call("DELETE", f"/users/patron001/requests/{dead['request_id']}?reason=CannotBeFulfilled")
    assert lend(dead) == (400, "401652")
    assert lend({"request_id": "1"}) == (400, "401652")
    assert lend(Copy(alma, "copy-2").hold()) == (400, "401652")
    alive = item.hold()
    theirs = item.hold("patron002")
    assert lend(theirs) == (400, "401652")
    assert item.state == ("1", "REQUESTED", True)
    body = {**DESK, "request_id": {"value": alive["request_id"]}}
    alma.post(f"/users/patron001/loans?item_pid={item.pid}", body)
    assert item.request(alive)["request_status"] == "HISTORY"


def test_ended_loans_are_answered_no_more_where_they_are_anonymised(alma: Caller, item: Copy) -> None:
    alma.settings(ended_loans="gone")
    loan = item.lend()
    path = f"/users/patron001/loans/{loan['loan_id']}"
    assert alma.get(path)["loan_status"] == "ACTIVE"
    item.scan()
    assert alma.refusal("GET", path) == (400, "401652")
    assert alma.refusal("POST", f"{path}?op=renew") == (400, "401823")
    for where in ("/users/patron001", item.path, f"/bibs/{item.mms_id}"):
        assert alma.get(f"{where}/loans?loan_status=Complete") == {"total_record_count": 0}
    alma.settings(ended_loans="history")
    assert alma.get(path)["loan_status"] == "COMPLETE"


@pytest.mark.parametrize(("kept", "listed"), [("history", 1), ("listed", 1), ("gone", 0)])
def test_closed_requests_are_answered_as_the_institution_keeps_them(
    alma: Caller, item: Copy, kept: str, listed: int
) -> None:
    alma.settings(closed_requests=kept)
    made = item.hold()
    path = f"/users/patron001/requests/{made['request_id']}"
    alma.call("DELETE", f"{path}?reason=CannotBeFulfilled")
    assert alma.get("/users/patron001/requests?status=history")["total_record_count"] == listed
    if kept == "history":
        assert alma.get(path)["request_status"] == "HISTORY"
        return
    assert alma.refusal("GET", path) == (400, "401694")
    alma.settings(request_not_found="401652")
    assert alma.refusal("GET", path) == (400, "401652")
    assert alma.refusal("DELETE", f"{path}?reason=CannotBeFulfilled") == (400, "401694")


def test_holds_go_to_an_address_where_the_institution_delivers(alma: Caller, item: Copy) -> None:
    path = f"/users/patron001/requests?item_pid={item.pid}"
    body = {"request_type": "HOLD", "pickup_location_type": "USER_HOME_ADDRESS"}
    assert alma.refusal("POST", path, body=body) == (400, "60308")
    alma.settings(personal_delivery=True)
    at_work = {**body, "pickup_location_type": "USER_WORK_ADDRESS"}
    assert alma.refusal("POST", path, body=at_work) == (400, "60309")
    assert alma.post(path, body)["pickup_location_type"] == "USER_HOME_ADDRESS"


def test_an_item_in_transit_for_somebody_else_leaves_the_next_hold_waiting(alma: Caller, item: Copy) -> None:
    """The one whose turn it is has the title on hold, so that the item shows another's transit."""
    first = alma.post(
        f"/users/patron002/requests?mms_id={item.mms_id}", {**HOLD, "pickup_location_library": "SCI"}
    )
    ours = item.hold(library="LAW")
    assert (first["request_status"], ours["request_status"]) == ("IN_PROCESS", "NOT_STARTED")
    item.scan()
    assert item.state == ("0", "TRANSIT", True)
    assert (ours["item_id"], item.request(ours)["request_status"]) == (item.pid, "NOT_STARTED")
    item.scan("SCI")
    assert item.state == ("0", "HOLDSHELF", True)
    assert item.request(ours)["request_status"] == "NOT_STARTED"
    at_science = {**DESK, "library": {"value": "SCI"}}
    alma.post(f"/users/patron002/loans?item_pid={item.pid}", at_science)
    item.scan()
    assert item.request(ours)["task_name"] == "Transit Item"


def test_staff_put_a_request_first(alma: Caller, item: Copy) -> None:
    ours, theirs = item.hold(library="LAW"), item.hold("patron002", library="SCI")
    alma.control("POST", f"requests/{theirs['request_id']}", {"first": True})
    waiting = item.request(ours)
    assert (waiting["request_status"], waiting["place_in_queue"]) == ("NOT_STARTED", 2)
    assert item.request(theirs)["task_name"] == "Pickup From Shelf"
    assert item.state == ("1", "REQUESTED", True)
    item.scan()
    assert item.request(theirs)["task_name"] == "Transit Item"
    alma.control("POST", f"requests/{ours['request_id']}", {"first": True})
    assert item.request(ours)["request_status"] == "NOT_STARTED"  # the book travels already
    item.scan("SCI")
    alma.control("POST", f"requests/{theirs['request_id']}", {"cancel": "CannotBeFulfilled"})
    item.scan("SCI")
    assert item.request(ours)["task_name"] == "Transit Item"
    other = alma.post(item.items, item_body("copy-2"))["item_data"]["pid"]
    title = alma.post(f"/users/patron003/requests?mms_id={item.mms_id}", HOLD)
    last = alma.post(f"/users/patron004/requests?mms_id={item.mms_id}", HOLD)
    assert title["item_id"] == other
    alma.control("POST", f"requests/{last['request_id']}", {"first": True})
    assert item.request(last)["item_id"] == other
    assert "item_id" not in item.request(title)


def test_lists_of_loans_page_and_sort(alma: Caller) -> None:
    for number in range(12):
        Copy(alma, f"many-{number:02d}").lend()
    first = alma.get("/users/patron001/loans?order_by=barcode&direction=DESC")
    assert first["total_record_count"] == 12
    barcodes = [row["item_barcode"] for row in first["item_loan"]]
    assert barcodes == [f"many-{number:02d}" for number in range(11, 1, -1)]
    assert len(alma.get("/users/patron001/loans?limit=100")["item_loan"]) == 12
    assert alma.get("/users/patron001?expand=loans,requests,fees")["loans"]["value"] == 12


def test_what_staff_do_by_hand(alma: Caller, item: Copy) -> None:
    alma.control("POST", f"items/{item.pid}", {"process_type": "MISSING"})
    assert item.state == ("0", "MISSING", False)
    assert alma.refusal("POST", f"/users/patron001/requests?item_pid={item.pid}", body=HOLD) == (
        400,
        "401129",
    )
    alma.control("POST", f"items/{item.pid}", {"process_type": ""})
    loan = item.lend()
    alma.control("POST", f"loans/{loan['loan_id']}", {"process_status": "LOST"})
    assert item.state == ("0", "LOST_LOAN", False)
    alma.control("POST", f"items/{item.pid}", {"library": "MAIN"})
    assert item.state == ("1", "", False)
    made = item.hold()
    alma.control("POST", f"requests/{made['request_id']}", {"expire": True})
    assert item.request(made)["request_status"] == "HISTORY"


def test_a_recalled_loan_is_not_renewed_until_the_recall_is_withdrawn(alma: Caller, item: Copy) -> None:
    loan = item.lend()
    path = f"/users/patron001/loans/{loan['loan_id']}"
    alma.control("POST", f"loans/{loan['loan_id']}", {"process_status": "RECALL"})
    assert alma.get(path)["renewable"] is False
    assert alma.refusal("POST", f"{path}?op=renew") == (400, "401822")
    withdrawn = {"process_status": "NORMAL", "due_date": loan["due_date"]}
    alma.control("POST", f"loans/{loan['loan_id']}", withdrawn)
    assert alma.post(f"{path}?op=renew")["process_status"] == "RENEW"


def test_a_lost_book_that_was_paid_for_leaves_the_active_loans(alma: Caller, item: Copy) -> None:
    loan = item.lend()
    where = f"loans/{loan['loan_id']}"
    alma.control("POST", where, {"process_status": "LOST"})
    alma.control("POST", where, {"paid": True})
    assert item.state == ("0", "LOST_LOAN_AND_PAID", False)
    assert alma.get("/users/patron001/loans") == {"total_record_count": 0}
    (ended,) = alma.get("/users/patron001/loans?loan_status=Complete")["item_loan"]
    assert (ended["loan_status"], ended["process_status"]) == ("COMPLETE", "LOST")
    assert not ended.get("return_date")
    assert alma.refusal("POST", f"/users/patron002/loans?item_pid={item.pid}", body=DESK) == (400, "401651")
    item.scan()  # found after all
    assert item.state == ("1", "", False)


def test_a_digitisation_has_one_step(alma: Caller, item: Copy) -> None:
    body = {"request_type": "DIGITIZATION", "target_destination": "DIGI_DEPT_INST"}
    made = alma.post(f"/bibs/{item.mms_id}/requests", body)
    path = f"/bibs/{item.mms_id}/requests/{made['request_id']}"
    assert alma.post(f"{path}?op=next_step")["request_status"] == "HISTORY"
    hold = item.hold()
    assert alma.refusal("POST", f"/bibs/{item.mms_id}/requests/{hold['request_id']}?op=next_step")[0] == 400
