"""What is read of an Alma: three answers, raw words, as few calls as will do."""

from dataclasses import replace

import pytest

from alma_etl.alma.loans import loan
from alma_etl.dcb.machine.model import ItemRead, LoanRead, PatronRead, RequestRead
from alma_etl.dcb.machine.vocabulary import Closure, Role
from alma_etl.dcb.sides import alma_read
from alma_etl.dcb.sides.alma_read import AlmaReader
from alma_etl.dcb.sides.folio import FolioReader
from alma_etl.remote.errors import RemoteUnauthorized
from tests.unit.dcb.sides_world import NOW
from tests.unit.dcb.sync_world import PICKUP

pytestmark = pytest.mark.heavy

PATRON = "patron003"
OWN = "MAIN"
"""Whose desk lends the virtual item while it is not on the hold shelf of the pickup library."""


@pytest.fixture
def placed(sync):
    """A request with both sides placed, its legs by role."""
    sync.place()
    sync.tick()
    return sync


def leg(world, role=Role.BORROWER, pr_id="PR-1"):
    return world.store.get(pr_id).legs[role]


def reader(world, role=Role.BORROWER):
    almas = world.almas
    return AlmaReader(almas.at_lender if role is Role.SUPPLIER else almas.at_borrower)


def calls(world, work):
    """What a piece of work asks the borrower's Alma."""
    before = len(world.almas.borrower.calls("GET"))
    work()
    return world.almas.borrower.calls("GET")[before:]


@pytest.mark.quick
def test_an_open_hold_is_read_with_its_raw_words_and_dates(placed):
    read = reader(placed).request(leg(placed))
    assert (read.found, read.request_status, read.task_name) == (True, "IN_PROCESS", "Pickup From Shelf")
    assert read.item_id == leg(placed).item_pid
    assert read.expiry_date > read.request_date
    assert read.closure is None


@pytest.mark.parametrize(
    "told", ["9999-12-31Z", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "soon", "", None]
)
def test_a_date_that_means_never_or_nothing_spoils_no_answer(told):
    row = loan(
        {"loan_id": "1", "loan_status": "ACTIVE", "due_date": told, "loan_date": "2026-03-02T08:00:00Z"}
    )
    read = alma_read.of_loan(row)
    assert (read.due_date, read.loan_status) == (None, "ACTIVE")
    assert read.loan_date == NOW


def test_a_hold_that_is_gone_is_found_to_be_gone(placed):
    placed.almas.borrower.control("POST", "settings", {"closed_requests": "gone"})
    placed.almas.borrower.control("POST", f"requests/{leg(placed).request_id}", {"cancel": "x"})
    seen = reader(placed)
    assert seen.request(leg(placed)) == RequestRead(False)
    hinted = replace(leg(placed), closure_hint="CANCELED")
    assert seen.request(hinted) == RequestRead(False, closure=Closure.CANCELED)
    assert seen.errors() == ()


def test_a_row_of_the_history_is_no_open_hold_and_takes_what_a_webhook_told(placed):
    placed.almas.borrower.control("POST", f"requests/{leg(placed).request_id}", {"cancel": "x"})
    read = reader(placed).request(replace(leg(placed), closure_hint="CANCELED"))
    assert (read.found, read.request_status, read.closure) == (True, "HISTORY", Closure.CANCELED)
    assert reader(placed).request(leg(placed)).closure is None


@pytest.mark.parametrize("kind", ["server_error", "malformed", "drop"])
def test_a_read_that_fails_says_that_nobody_knows_and_why(kind, placed):
    side = placed.almas.borrower
    side.strike(kind, "GET", "/users/")
    side.strike(kind, "GET", "/items/")
    seen = reader(placed)
    assert seen.request(leg(placed)) == RequestRead(None)
    assert seen.item(leg(placed)) == ItemRead(None)
    assert seen.loan(leg(placed)) == LoanRead(None)
    assert seen.requests_of(PATRON) is None
    assert seen.loans_of(PATRON) is None
    assert seen.user_seen is None
    errors = seen.errors()
    assert [error.part for error in errors] == ["request", "item", "loan", "request", "loan"]
    assert all(error.code for error in errors)
    assert PATRON not in str(errors)
    assert seen.errors() == ()


def test_another_refusal_is_no_proof_that_a_thing_is_gone(placed):
    side, general = placed.almas.borrower, {"code": "401652", "message": "General Error"}
    side.strike("refuse", "GET", "/requests", **general)
    seen = reader(placed)
    assert seen.request(leg(placed)).found is None
    assert {(error.http_status, error.code) for error in seen.errors()} == {(400, "401652")}
    side.control("DELETE", "faults")
    side.strike("refuse", "GET", "/requests/", status=404, code="499999", message="No")
    assert reader(placed).request(leg(placed)).found is True  # the list has it
    side.control("POST", f"requests/{leg(placed).request_id}", {"cancel": "x"})
    assert reader(placed).request(leg(placed)).found is False


def test_a_user_who_is_gone_is_told_apart_from_a_hold_that_is_gone(placed):
    stranger = replace(leg(placed), user_id="nobody-of-that-id", request_id="19")
    seen = reader(placed)
    assert seen.request(stranger).found is False  # its item, which is asked then, has no such hold
    assert seen.user_seen is False
    placed.almas.borrower.strike("server_error", "GET", "/items/")
    assert reader(placed).request(stranger).found is None
    assert seen.patron(stranger) == PatronRead(False)
    assert reader(placed).requests_of("nobody-of-that-id") is None
    assert reader(placed).loans_of("nobody-of-that-id") is None


def test_a_block_is_seen_and_nothing_else_of_the_user(placed):
    almas = placed.almas
    assert reader(placed).patron(leg(placed)) == PatronRead(True, blocked=False)
    blocked = replace(leg(placed), user_id="patron047")
    assert AlmaReader(almas.at_borrower).patron(blocked) == PatronRead(True, blocked=True)


def test_an_item_is_read_as_it_came_with_nothing_where_alma_writes_nothing(placed):
    side = placed.almas.borrower
    read = reader(placed).item(leg(placed))
    assert (read.base_status, read.process_type, read.barcode) == ("1", "REQUESTED", leg(placed).barcode)
    side.control("POST", f"items/{leg(placed).item_pid}", {"process_type": ""})
    side.control("POST", f"requests/{leg(placed).request_id}", {"cancel": "x"})
    read = reader(placed).item(replace(leg(placed), holding_id=None))
    assert (read.found, read.base_status, read.process_type) == (True, "1", None)
    assert reader(placed).item(replace(leg(placed), item_pid="2399999999994402")) == ItemRead(False)
    seen = reader(placed)
    assert seen.item(replace(leg(placed), item_pid=None)) == ItemRead(None)
    assert seen.errors()[0].code == "NO_ID"


def lent(world):
    world.desk("borrower", leg(world).barcode, OWN, lend_to=PATRON)


def test_a_loan_is_found_running_then_known_by_its_id_then_ended(placed):
    assert reader(placed).loan(leg(placed)) == LoanRead(False)
    lent(placed)
    first = reader(placed).loan(leg(placed))
    assert (first.found, first.loan_status, first.process_status) == (True, "ACTIVE", "NORMAL")
    assert first.due_date > first.loan_date
    known = replace(leg(placed), loan_id=first.loan_id)
    asked = calls(placed, lambda: reader(placed).loan(known))
    assert asked == [f"/almaws/v1/users/{PATRON}/loans/{first.loan_id}"]
    placed.desk("borrower", leg(placed).barcode, PICKUP)
    assert reader(placed).loan(known).loan_status == "COMPLETE"
    assert reader(placed).loan(leg(placed)).loan_id == first.loan_id
    assert reader(placed).ended_loan(known).loan_status == "COMPLETE"


def test_a_second_loan_after_the_first_ended_is_not_overlooked(placed):
    lent(placed)
    first = reader(placed).loan(leg(placed))
    placed.desk("borrower", leg(placed).barcode, PICKUP)
    lent(placed)
    again = reader(placed).loan(replace(leg(placed), loan_id=first.loan_id))
    assert again.loan_status == "ACTIVE"
    assert again.loan_id != first.loan_id


def test_somebody_elses_loan_of_the_item_is_not_the_patrons(placed):
    placed.almas.borrower.control("POST", f"requests/{leg(placed).request_id}", {"cancel": "x"})
    placed.desk("borrower", leg(placed).barcode, OWN, lend_to="patron009")
    placed.desk("borrower", leg(placed).barcode, PICKUP)
    assert reader(placed).loan(leg(placed)) == LoanRead(False)


def test_that_others_want_the_lenders_book_shows_once_our_loan_has_replaced_our_hold(placed):
    supplier = leg(placed, Role.SUPPLIER)
    assert reader(placed, Role.SUPPLIER).item(supplier).other_requests is None
    placed.desk("lender", supplier.barcode, "MAIN", lend_to=supplier.user_id)
    known = replace(supplier, loan_id="1")
    assert reader(placed, Role.SUPPLIER).item(known).other_requests == 0
    placed.almas.at_lender.requests.create(
        "patron011",
        {"request_type": "HOLD", "pickup_location_type": "LIBRARY", "pickup_location_library": "MAIN"},
        item_pid=supplier.item_pid,
    )
    assert reader(placed, Role.SUPPLIER).item(known).other_requests == 1


def test_what_ends_all_reading_is_raised(placed):
    placed.almas.borrower.strike("refuse", "GET", "/requests/", code="UNAUTHORIZED", message="no")
    with pytest.raises(RemoteUnauthorized):
        reader(placed).request(leg(placed))


def test_a_transaction_is_read_in_one_word(monkeypatch):
    from alma_etl.remote.answers import Absent, Found, Unknown
    from alma_etl.remote.errors import RemoteServerError

    told = {"1": Found("OPEN"), "2": Absent(), "3": Unknown(RemoteServerError("GET /x", 500, "", "down"))}

    class Folio:
        status = staticmethod(told.get)

    seen = FolioReader(Folio())
    assert [seen.transaction(each) for each in "123"] == ["OPEN", "MISSING", None]
    (error,) = seen.errors()
    assert (error.part, error.http_status, error.code) == ("txn", 500, "RemoteServerError")
