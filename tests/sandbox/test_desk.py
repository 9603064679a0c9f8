"""What staff do at a desk, and what webhooks report of it."""

from typing import Any

import pytest
import requests

from tests.sandbox.caller import Caller
from tests.sandbox.test_circulation import Copy


def events(alma: Caller) -> list[str]:
    return [kept["body"]["event"]["value"] for kept in alma.control("GET", "webhooks")]


def test_a_book_goes_out_and_comes_back_over_desks(alma: Caller) -> None:
    item = Copy(alma)
    made = item.hold(library="SCI")
    assert alma.control("POST", "desk", {"barcode": "copy-1", "library": "MAIN"})["process_type"] == "TRANSIT"
    shelved = alma.control("POST", "desk", {"barcode": "copy-1", "library": "SCI"})
    assert shelved["process_type"] == "HOLDSHELF"
    lent = alma.control("POST", "desk", {"pid": item.pid, "library": "SCI", "lend_to": "patron001"})
    assert item.state == ("0", "LOAN", False)
    (loan,) = alma.get("/users/patron001/loans")["item_loan"]
    assert (loan["loan_id"], loan["item_id"], loan["library"]["value"]) == (lent["loan_id"], item.pid, "SCI")
    back = alma.control("POST", "desk", {"barcode": "copy-1", "library": "MAIN"})
    assert (back["process_type"], back["loan_id"]) == ("", None)
    assert item.request(made)["request_status"] == "HISTORY"
    published = events(alma)
    for event in ("REQUEST_PLACED_ON_SHELF", "REQUEST_CLOSED", "LOAN_CREATED", "LOAN_RETURNED"):
        assert event in published


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"barcode": "nobody's", "library": "MAIN"}, "no item"),
        ({"barcode": "copy-1", "library": "NOWHERE"}, "402502"),
        ({"barcode": "copy-1", "library": "MAIN", "lend_to": "patron047"}, "401163"),
        ({"barcode": "copy-1", "library": "MAIN", "lend_to": "nobody"}, "401890"),
        ({"barcode": "copy-1", "shelf": "MAIN"}, "not shelf"),
    ],
)
def test_a_desk_says_what_it_cannot_do(alma: Caller, body: dict[str, Any], says: str) -> None:
    Copy(alma)
    response = requests.post(f"{alma.url}/sandbox/desk", json=body, timeout=30)
    assert response.status_code == 400
    assert says in response.json()["error"]


def test_the_hold_shelf_keeps_a_book_for_its_days(alma: Caller) -> None:
    alma.control("POST", "clock", {"now": "2026-03-01T12:00:00Z", "stopped": True})
    alma.settings(hold_shelf_days=4, closed_requests="gone")
    item = Copy(alma)
    made = item.hold()
    assert made["expiry_date"] == "2026-03-16Z"
    alma.control("POST", "clock", {"advance_s": 86_400})
    item.scan()
    assert item.request(made)["expiry_date"] == "2026-03-06Z"
    alma.control("POST", "clock", {"advance_s": 3_600})
    item.scan()  # once more, as somebody tidies the shelf: its days do not begin again
    assert item.request(made)["expiry_date"] == "2026-03-06Z"
    before = events(alma)
    alma.control("POST", f"requests/{made['request_id']}", {"expire": True})
    assert alma.refusal("GET", f"/users/patron001/requests/{made['request_id']}") == (400, "401694")
    assert item.state == ("0", "HOLDSHELF", False)
    assert events(alma) == before


def test_staff_cancel_and_correct(alma: Caller) -> None:
    item = Copy(alma)
    made = item.hold()
    alma.control("POST", f"requests/{made['request_id']}", {"cancel": "CannotBeFulfilled"})
    alma.control("POST", f"items/{item.pid}", {"barcode": "copy-1b"})
    assert item.data["barcode"] == "copy-1b"
    assert events(alma)[-2:] == ["REQUEST_CANCELED", "ITEM_UPDATED"]
    Copy(alma, "copy-2")
    used = requests.post(f"{alma.url}/sandbox/items/{item.pid}", json={"barcode": "copy-2"}, timeout=30)
    assert (used.status_code, "used already" in used.text) == (400, True)
