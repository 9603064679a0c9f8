"""Merged users and titles, moved holdings and items, due dates in bulk, and the nightly look at the hold shelf."""

from typing import Any

import pytest
import requests

from tests.sandbox.caller import Caller
from tests.sandbox.records import HOLD, bib_xml, holding_xml, item_body
from tests.sandbox.test_circulation import Copy
from tests.sandbox.test_desk import events


def rows(found: dict[str, Any], name: str, *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(row[key] for key in keys) for row in found.get(name, [])]


@pytest.mark.parametrize("keep", [False, True])
def test_a_merged_user_leaves_loans_and_requests_to_the_other(alma: Caller, keep: bool) -> None:
    lent, held, before = Copy(alma, "lent"), Copy(alma, "held"), Copy(alma, "before")
    before.lend("patron001")
    before.scan()
    loan, request = lent.lend("patron001"), held.hold("patron001")
    own = Copy(alma, "own").lend("patron002")
    alma.control("POST", "users/patron001", {"merge_into": "patron002", "keep_identifiers": keep})
    loans = alma.get("/users/patron002/loans")
    assert rows(loans, "item_loan", "loan_id", "user_id") == [
        (loan["loan_id"], "patron002"),
        (own["loan_id"], "patron002"),
    ]
    assert alma.get("/users/patron002/loans?loan_status=Complete")["total_record_count"] == 1
    requests_ = alma.get("/users/patron002/requests")
    assert rows(requests_, "user_request", "request_id", "user_primary_id") == [
        (request["request_id"], "patron002")
    ]
    if keep:
        for old in ("patron001", "21000000000001"):
            assert alma.get(f"/users/{old}")["primary_id"] == "patron002"
        assert alma.get(f"/users/patron001/loans/{loan['loan_id']}")["user_id"] == "patron002"
        assert alma.refusal("POST", "/users", body=alma.get("/users/patron003")) == (400, "401851")
    else:
        assert alma.refusal("GET", "/users/patron001") == (400, "401861")
        assert alma.refusal("GET", "/users/patron001/requests") == (400, "401890")
        assert alma.refusal("GET", f"/users/patron001/loans/{loan['loan_id']}") == (400, "401890")


def test_a_user_is_deleted_unless_books_are_out(alma: Caller) -> None:
    item = Copy(alma)
    made = item.hold()
    lent = Copy(alma, "copy-2")
    lent.lend()
    refused = requests.post(f"{alma.url}/sandbox/users/patron001", json={"delete": True}, timeout=30)
    assert (refused.status_code, "401850" in refused.text) == (400, True)
    lent.scan()
    alma.control("POST", "users/patron001", {"delete": True})
    assert alma.refusal("GET", "/users/patron001/requests") == (400, "401890")
    assert item.request(made)["request_status"] == "HISTORY"
    assert item.state == ("1", "", False)


@pytest.mark.parametrize("then", ["delete", "suppress", "keep"])
def test_a_merged_title_leaves_its_inventory_to_the_other(alma: Caller, then: str) -> None:
    lent, other = Copy(alma, "lent"), Copy(alma, "other")
    public = bib_xml(extra="<suppress_from_publishing>false</suppress_from_publishing>")
    alma.put(f"/bibs/{lent.mms_id}", public)
    held = alma.post(lent.items, item_body("held"))["item_data"]["pid"]
    loan = lent.lend()
    request = alma.post(f"/users/patron002/requests?item_pid={held}", HOLD)
    waiting = alma.post(f"/users/patron003/requests?mms_id={lent.mms_id}", HOLD)
    assert waiting["request_status"] == "NOT_STARTED"
    alma.control("POST", f"bibs/{lent.mms_id}", {"merge_into": other.mms_id, "then": then})

    items = alma.get(f"/bibs/{other.mms_id}/holdings/ALL/items")["item"]
    assert {row["item_data"]["barcode"] for row in items} == {"lent", "held", "other"}
    assert {row["bib_data"]["mms_id"] for row in items} == {other.mms_id}
    holdings = alma.get(f"/bibs/{other.mms_id}/holdings")
    assert holdings["total_record_count"] == 2
    there = alma.call("GET", "/items?item_barcode=lent").headers["Location"]
    assert f"/bibs/{other.mms_id}/" in there
    (row,) = alma.get("/users/patron001/loans")["item_loan"]
    assert (row["loan_id"], row["mms_id"], row["item_id"]) == (loan["loan_id"], other.mms_id, lent.pid)
    (row,) = alma.get("/users/patron002/requests")["user_request"]
    assert (row["request_id"], row["mms_id"], row["item_id"]) == (request["request_id"], other.mms_id, held)
    (row,) = alma.get("/users/patron003/requests")["user_request"]
    assert (row["mms_id"], row["request_status"]) == (other.mms_id, "IN_PROCESS")  # the other copy serves it
    gone = then == "delete"
    assert alma.refusal("GET", lent.path) == (400, "402203" if gone else "401688")
    if not gone:
        bib = alma.get(f"/bibs/{lent.mms_id}")
        assert bib["suppress_from_publishing"] == ("true" if then == "suppress" else "false")


def test_a_title_of_the_formula_is_merged_like_any(alma: Caller) -> None:
    source, target = (alma.variant(name) for name in ("good", "expired"))
    before = alma.get(f"/bibs/{source['mms_id']}/holdings/ALL/items?limit=100")["total_record_count"]
    others = alma.get(f"/bibs/{target['mms_id']}/holdings/ALL/items?limit=100")["total_record_count"]
    alma.control("POST", f"bibs/{source['mms_id']}", {"merge_into": target["mms_id"]})
    after = alma.get(f"/bibs/{target['mms_id']}/holdings/ALL/items?limit=100")["total_record_count"]
    assert before
    assert after == before + others
    holding = alma.get(f"/bibs/{target['mms_id']}/holdings/{source['holding_ids'][0]}")
    assert holding["holding_id"] == source["holding_ids"][0]


def test_a_holding_and_an_item_move(alma: Caller) -> None:
    item, other = Copy(alma, "moves"), Copy(alma, "stays")
    loan = item.lend()
    second = alma.post(f"/bibs/{item.mms_id}/holdings", holding_xml("SCI", "stacks"))["holding_id"]
    alma.control("POST", f"items/{item.pid}", {"holding_id": second})
    path = f"/bibs/{item.mms_id}/holdings/{second}/items/{item.pid}"
    assert alma.get(path)["item_data"]["library"]["value"] == "SCI"
    assert alma.refusal("POST", f"{item.path}?op=scan&library=SCI&circ_desk=DEFAULT_CIRC_DESK") == (
        400,
        "401688",
    )
    (row,) = alma.get("/users/patron001/loans")["item_loan"]
    assert (row["loan_id"], row["holding_id"]) == (loan["loan_id"], second)
    waiting = item.hold("patron002")
    alma.control("POST", f"holdings/{second}", {"mms_id": other.mms_id})
    (row,) = alma.get(f"/bibs/{other.mms_id}/loans")["item_loan"]
    assert (row["loan_id"], row["mms_id"], row["holding_id"]) == (loan["loan_id"], other.mms_id, second)
    assert alma.get(f"/bibs/{item.mms_id}/loans") == {"total_record_count": 0}
    (row,) = alma.get(f"/bibs/{other.mms_id}/requests")["user_request"]
    assert (row["request_id"], row["mms_id"], row["holding_id"]) == (
        waiting["request_id"],
        other.mms_id,
        second,
    )
    alma.control("POST", f"items/{item.pid}", {"library": "SCI"})
    assert alma.get("/users/patron001/loans") == {"total_record_count": 0}


def test_due_dates_in_bulk_leave_recalled_and_lost_loans_alone(alma: Caller) -> None:
    loans = {name: Copy(alma, name).lend() for name in ("plain", "renewed", "recalled", "lost", "over")}
    alma.post(f"/users/patron001/loans/{loans['renewed']['loan_id']}?op=renew")
    for name, word in (("recalled", "RECALL"), ("lost", "LOST")):
        alma.control("POST", f"loans/{loans[name]['loan_id']}", {"process_status": word})
    ended = Copy(alma, "ended")
    ended.lend()
    ended.scan()
    before = len(events(alma))
    moved = alma.control("POST", "loans", {"due_date": "2099-01-02T18:00:00Z"})
    assert moved["changed"] == [loans[name]["loan_id"] for name in ("plain", "renewed", "over")]
    assert events(alma)[before:] == ["LOAN_DUE_DATE"] * 3
    found = {
        row["item_barcode"]: (row["due_date"], row["process_status"])
        for row in alma.get("/users/patron001/loans")["item_loan"]
    }
    assert found["plain"] == ("2099-01-02T18:00:00Z", "NORMAL")
    assert found["renewed"] == ("2099-01-02T18:00:00Z", "RENEW")
    assert found["recalled"] == (loans["recalled"]["due_date"], "RECALL")
    assert alma.control("POST", "loans", {"by_days": -1, "library": "LAW"})["changed"] == []
    chosen = {
        "by_days": -1,
        "library": "MAIN",
        "loans": [loans["plain"]["loan_id"], loans["lost"]["loan_id"]],
    }
    assert alma.control("POST", "loans", chosen)["changed"] == [loans["plain"]["loan_id"]]
    path = f"/users/patron001/loans/{loans['plain']['loan_id']}"
    assert alma.get(path)["due_date"] == "2099-01-01T18:00:00Z"


def test_the_last_day_on_the_hold_shelf_is_a_whole_day(alma: Caller) -> None:
    alma.control("POST", "clock", {"now": "2026-03-01T12:00:00Z", "stopped": True})
    alma.settings(hold_shelf_days=2)
    item, travelling = Copy(alma), Copy(alma, "copy-2")
    made, sent = item.hold(), travelling.hold(library="SCI")
    item.scan()
    travelling.scan()
    assert item.request(made)["expiry_date"] == "2026-03-03Z"
    alma.control("POST", "clock", {"now": "2026-03-03T23:59:00Z"})
    assert alma.control("POST", "hold-shelf") == {"expired": []}
    alma.control("POST", "clock", {"now": "2026-03-20T00:00:00Z"})
    assert alma.control("POST", "hold-shelf", {}) == {"expired": [made["request_id"]]}
    assert travelling.request(sent)["request_status"] == "IN_PROCESS"  # it is on no shelf yet
    assert item.state == ("0", "HOLDSHELF", False)
    item.scan()
    assert item.state == ("1", "", False)


@pytest.mark.parametrize(
    ("where", "body", "says"),
    [
        ("users/patron001", {"merge_into": "nobody"}, "no user"),
        ("users/patron001", {"merge_into": "21000000000001"}, "itself"),
        ("users/patron001", {"keep_identifiers": True}, "not keep_identifiers"),
        ("bibs/990010000000004401", {"merge_into": "99"}, "no bib 99"),
        ("bibs/990010000000004401", {"merge_into": "990010000000004401"}, "itself"),
        ("bibs/990010000000004401", {"merge_into": "990010000000014401", "then": "burn"}, "not burn"),
        ("holdings/22", {"mms_id": "990010000000004401"}, "no holding 22"),
        ("loans", {"due_date": "2099-01-01", "by_days": 1}, "due_date or by_days"),
        ("loans", {"by_days": 1, "library": "NONE"}, "no library"),
        ("hold-shelf", {"days": 1}, "no days"),
    ],
)
def test_what_cannot_be_done_is_said(alma: Caller, where: str, body: dict[str, Any], says: str) -> None:
    response = requests.post(f"{alma.url}/sandbox/{where}", json=body, timeout=30)
    assert (response.status_code, says in response.text) == (400, True), response.text
