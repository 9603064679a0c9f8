"""The pretend mod-dcb and dcb-service: the rules by which transactions move, and what guards them."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from alma_sandbox.consortium import RunningConsortium, serve_consortium
from alma_sandbox.consortium.transactions import (
    AWAITING_PICKUP,
    CANCELLED,
    CHAIN,
    CHECKED_IN,
    CHECKED_OUT,
    CLOSED,
    CREATED,
    EXPIRED,
    OPEN,
    ROLES,
)
from tests.sandbox.restarts import check_survives_a_restart

TOKEN = "/realms/dcb/protocol/openid-connect/token"
CLIENT = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"}


class Folio:
    """A caller of one consortium."""

    def __init__(self, running: RunningConsortium) -> None:
        self.url = running.url
        self.session = requests.Session()

    def call(
        self, method: str, path: str, body: Any = None, key: str = "sandbox", **more: Any
    ) -> requests.Response:
        headers = {"Authorization": key}
        return self.session.request(method, self.url + path, json=body, headers=headers, timeout=30, **more)

    def control(self, path: str, body: Any = None, method: str = "POST") -> Any:
        answer = self.session.request(method, f"{self.url}/sandbox/{path}", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def begin(self, role: str, txn: str = "t-1") -> str:
        body = {
            "role": role,
            "item": {"id": "i-1", "barcode": "b-1", "title": "A title"},
            "patron": {"id": "p-1", "group": "staff", "barcode": "pb-1"},
        }
        answer = self.call("POST", f"/transactions/{txn}", body)
        assert (answer.status_code, answer.json()["status"]) == (201, CREATED)
        return txn

    def at(self, role: str, status: str) -> str:
        txn = self.begin(role)
        if status != CREATED:
            self.control(f"transactions/{txn}", {"status": status})
        return txn

    def status(self, txn: str = "t-1") -> str:
        return str(self.call("GET", f"/transactions/{txn}/status").json()["status"])

    def put(self, status: str, txn: str = "t-1") -> int:
        return self.call("PUT", f"/transactions/{txn}/status", {"status": status}).status_code


@pytest.fixture(scope="module")
def running() -> Iterator[RunningConsortium]:
    with serve_consortium() as found:
        yield found


@pytest.fixture
def folio(running: RunningConsortium) -> Iterator[Folio]:
    requests.post(f"{running.url}/sandbox/reset", timeout=30).raise_for_status()
    caller = Folio(running)
    yield caller
    caller.session.close()
    check_survives_a_restart(running.consortium)


def _may_put(role: str, before: str, after: str) -> bool:
    """The rules once more, as a table: what a PUT may do."""
    if after == CANCELLED:
        return before in (CREATED, OPEN, AWAITING_PICKUP)
    if before == EXPIRED or after == EXPIRED or CHAIN.index(after) <= CHAIN.index(before):
        return False
    if role in ("PICKUP", "BORROWING-PICKUP"):
        return (before, after) in ((CREATED, OPEN), (CHECKED_IN, CLOSED))
    if role == "LENDER":
        return before != CREATED and after != CLOSED
    return True


@pytest.mark.parametrize("role", ROLES)
def test_a_put_moves_what_the_role_allows_and_nothing_else(folio: Folio, role: str) -> None:
    states = (*CHAIN, EXPIRED)
    for before in states:
        for after in (*states, CANCELLED):
            folio.control("reset")
            folio.at(role, before)
            allowed = _may_put(role, before, after)
            assert folio.put(after) == (200 if allowed else 400), (role, before, after)
            assert folio.status() == (after if allowed else before)


@pytest.mark.parametrize(
    ("role", "before", "event", "after"),
    [
        ("LENDER", CREATED, "CHECK_IN", OPEN),
        ("LENDER", CHECKED_IN, "CHECK_IN", CLOSED),
        ("LENDER", OPEN, "REQUEST_CANCELLED", CANCELLED),
        ("PICKUP", OPEN, "AWAITING_PICKUP", AWAITING_PICKUP),
        ("BORROWING-PICKUP", AWAITING_PICKUP, "CHECK_OUT", CHECKED_OUT),
        ("BORROWING-PICKUP", CHECKED_OUT, "CHECK_IN", CHECKED_IN),
        ("BORROWING-PICKUP", AWAITING_PICKUP, "HOLD_SHELF_EXPIRED", EXPIRED),
        ("BORROWING-PICKUP", EXPIRED, "CHECK_IN", CLOSED),
        ("BORROWING-PICKUP", CREATED, "REQUEST_CANCELLED", CANCELLED),
    ],
)
def test_circulation_makes_its_own_steps(
    folio: Folio, role: str, before: str, event: str, after: str
) -> None:
    folio.at(role, before)
    assert folio.control("transactions/t-1", {"event": event})["status"] == after
    assert folio.status() == after


@pytest.mark.parametrize(
    ("role", "event"), [("BORROWER", "CHECK_IN"), ("LENDER", "CHECK_OUT"), ("PICKUP", "X")]
)
def test_an_event_that_nobody_listens_to_is_an_error_of_the_script(
    folio: Folio, role: str, event: str
) -> None:
    folio.begin(role)
    answer = requests.post(f"{folio.url}/sandbox/transactions/t-1", json={"event": event}, timeout=30)
    assert answer.status_code == 400
    assert f"takes no {event}" in answer.json()["error"]


def test_a_lender_may_accept_a_cancellation_and_change_nothing(folio: Folio) -> None:
    folio.control("settings", {"cancelling": "by_event"})
    folio.at("LENDER", OPEN)
    assert folio.put(CANCELLED) == 200
    assert folio.status() == OPEN
    folio.control("transactions/t-1", {"event": "REQUEST_CANCELLED"})
    assert folio.status() == CANCELLED
    assert folio.begin("BORROWER", "t-2")
    assert folio.put(CANCELLED, "t-2") == 200
    assert folio.status("t-2") == CANCELLED


def test_creating_reading_and_changing(folio: Folio) -> None:
    folio.begin("BORROWING-PICKUP")
    again = folio.call("POST", "/transactions/t-1", {"role": "LENDER"})
    assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "DUPLICATE_ERROR")
    shown = folio.call("GET", "/dcbService/transactions/t-1/status").json()
    assert (shown["role"], shown["item"]["barcode"]) == ("BORROWING-PICKUP", "b-1")
    assert "patron" not in shown
    assert folio.call("PUT", "/transactions/t-1", {"item": {"barcode": "b-2"}}).status_code == 204
    assert folio.call("GET", "/transactions/t-1/status").json()["item"]["barcode"] == "b-2"
    folio.put(OPEN)
    assert folio.call("PUT", "/transactions/t-1", {"item": {"barcode": "b-3"}}).status_code == 400
    assert folio.call("GET", "/transactions/t-9/status").status_code == 404
    assert folio.put(OPEN, "t-9") == 404
    for body in ({"role": "READER"}, {"role": "LENDER", "item": {"id": "1"}}, {"role": "LENDER"}):
        assert folio.call("POST", "/transactions/t-3", body).status_code == 400


def test_what_changed_in_a_window_comes_in_pages(folio: Folio) -> None:
    for number in range(5):
        folio.control("clock", {"now": f"2026-03-0{number + 1}T12:00:00Z", "stopped": True})
        folio.begin("BORROWER", f"t-{number}")
    window = {"fromDate": "2026-03-02T00:00:00Z", "toDate": "2026-03-04T23:00:00.000Z", "pageSize": 2}
    pages = [
        folio.call("GET", "/transactions/status", params={**window, "pageNumber": number}).json()
        for number in range(3)
    ]
    assert [[row["id"] for row in page["transactions"]] for page in pages] == [["t-1", "t-2"], ["t-3"], []]
    assert {page["totalRecords"] for page in pages} == {3}
    assert folio.call("GET", "/transactions/status", params={"fromDate": "2026-03-02"}).status_code == 422


def test_renewals(folio: Folio) -> None:
    folio.at("LENDER", CHECKED_OUT)
    assert folio.call("PUT", "/transactions/t-1/renew").json()["item"]["renewalInfo"]["renewalCount"] == 1
    assert folio.call("PUT", "/transactions/t-1/block-renewal").status_code == 204
    assert folio.call("PUT", "/transactions/t-1/renew").status_code == 400
    assert folio.call("PUT", "/transactions/t-1/unblock-renewal").status_code == 204
    assert folio.call("PUT", "/transactions/t-1/renew").status_code == 200
    folio.control("reset")
    folio.at("BORROWER", CHECKED_OUT)
    assert folio.call("PUT", "/transactions/t-1/renew").status_code == 400


def test_keys_and_tokens(folio: Folio) -> None:
    folio.begin("LENDER")
    assert folio.call("GET", "/transactions/t-1/status", key="wrong").status_code == 401
    folio.control("patron-requests/p-1", {"status": "LOANED"})
    path = "/admin/patrons/requests/p-1"
    assert folio.call("GET", path, key="sandbox").status_code == 401
    refused = requests.post(folio.url + TOKEN, data={**CLIENT, "client_secret": "wrong"}, timeout=30)
    assert refused.status_code == 401
    folio.control("clock", {"stopped": True, "now": "2026-03-01T12:00:00Z"})
    token = requests.post(folio.url + TOKEN, data=CLIENT, timeout=30).json()
    bearer = f"Bearer {token['access_token']}"
    assert folio.call("GET", path, key=bearer).json() == {"id": "p-1", "status": "LOANED"}
    folio.control("clock", {"now": "2026-03-01T12:05:00Z"})
    assert folio.call("GET", path, key=bearer).status_code == 401


def test_dcb_service_finds_something_new_when_it_looks(folio: Folio) -> None:
    bearer = f"Bearer {requests.post(folio.url + TOKEN, data=CLIENT, timeout=30).json()['access_token']}"
    folio.control("patron-requests/p-1", {"status": "READY_FOR_PICKUP", "next_status": "LOANED"})
    path = "/admin/patrons/requests/p-1"
    assert folio.call("GET", path, key=bearer).json()["status"] == "READY_FOR_PICKUP"
    assert folio.call("POST", "/patrons/requests/p-1/update", key=bearer).json() == "p-1"
    assert folio.call("GET", path, key=bearer).json()["status"] == "LOANED"
    assert folio.call("POST", "/patrons/requests/p-9/update", key=bearer).status_code == 404


def test_faults_and_the_log(folio: Folio) -> None:
    folio.begin("BORROWER")
    folio.control("faults", {"kind": "drop", "method": "PUT", "first": 1})
    with pytest.raises(requests.ConnectionError):
        folio.put(OPEN)
    assert folio.status() == OPEN
    folio.control("faults", method="DELETE")
    folio.control("faults", {"kind": "bad_gateway", "method": "PUT", "first": 1})
    assert folio.put(AWAITING_PICKUP) == 502
    assert folio.status() == OPEN
    counts = folio.control("counts", method="GET")
    assert counts["by_route"]["PUT /transactions/{txn_id}/status"] == 2
    seen = folio.control("log", method="GET")["entries"]
    assert [entry["status"] for entry in seen] == [201, 0, 200, 502, 200]
    assert "sandbox" not in str(seen)


def test_the_log_the_clock_and_the_faults_are_controlled_as_those_of_a_sandbox(folio: Folio) -> None:
    folio.begin("BORROWER")
    folio.control("clock", {"stopped": True, "now": "2026-03-01T12:00:00Z"})
    folio.control("clock", {"advance_s": 60})
    assert folio.control("clock", method="GET")["now"] == "2026-03-01T12:01:00.000Z"
    assert folio.control("log?status=404", method="GET")["entries"] == []
    assert folio.control("log?status=201", method="GET")["matching"] == 1
    refused = requests.post(f"{folio.url}/sandbox/faults", json={"kind": "truncated"}, timeout=30)
    assert (refused.status_code, folio.control("faults", method="GET")) == (400, [])
    assert "drop, slow, body, bad_gateway" in refused.json()["error"]
    assert requests.post(f"{folio.url}/sandbox/settings", json={"odd": 1}, timeout=30).status_code == 400


# --- dcb-service's GraphQL

PAGE = 'query($q:String,$n:Int){ patronRequests(query:$q,pageno:$n,pagesize:2,order:"id",orderBy:"DESC")'


def ask(folio: Folio, fields: str, query: str = "", number: int = 0) -> Any:
    token = folio.session.post(folio.url + TOKEN, data=CLIENT, timeout=30).json()["access_token"]
    body = {"query": f"{PAGE}{{ totalSize content{{{fields}}} }} }}", "variables": {"q": query, "n": number}}
    return folio.call("POST", "/graphql", body, key=f"Bearer {token}").json()


def test_requests_are_listed_by_graphql_in_pages(folio: Folio) -> None:
    for number, status in enumerate(("LOANED", "CONFIRMED", "LOANED", "ERROR")):
        fields = {
            "suppliers": [{"isActive": True, "localId": f"s-{number}", "virtualPatron": {"localId": "v"}}]
        }
        folio.control(f"patron-requests/p-{number}", {"status": status, **fields})
    fields = "id status suppliers{localId virtualPatron{localId}}"
    found = ask(folio, fields, 'status:"LOANED" OR status:"ERROR"')["data"]["patronRequests"]
    assert found["totalSize"] == 3
    assert found["content"][0] == {
        "id": "p-3",
        "status": "ERROR",
        "suppliers": [{"localId": "s-3", "virtualPatron": {"localId": "v"}}],
    }
    rest = ask(folio, "id", 'status:"LOANED" OR status:"ERROR"', 1)["data"]["patronRequests"]["content"]
    assert rest == [{"id": "p-0"}]


def test_graphql_needs_a_token_and_names_what_the_schema_has_not(folio: Folio) -> None:
    assert folio.call("POST", "/graphql", {"query": "{patronRequests{totalSize}}"}).status_code == 401
    (error,) = ask(folio, "id suppliers{colour}")["errors"]
    assert "Field 'colour' in type 'SupplierRequest' is undefined" in error["message"]
    assert ask(folio, "id {")["errors"]
