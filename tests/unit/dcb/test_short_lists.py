"""A user's list that names fewer than it counts: the named are used, the rest is read singly, or is unknown."""

from datetime import timedelta

import pytest

from alma_etl.dcb.machine.model import LoanRead, RequestRead
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.sides.alma_read import AlmaReader
from alma_etl.dcb.store import ReadError, Report
from tests.unit.dcb.records import SETTINGS, START, new_request, seen
from tests.unit.dcb.sync_world import SyncWorld

B, S = Role.BORROWER, Role.SUPPLIER
PATRON = "patron003"
HOUR = timedelta(hours=1)
LIST = r"/users/[^/]+/requests(\?|$)"
ONE = r"/users/[^/]+/requests/[^/?]+"
LOANS = r"/users/[^/]+/loans(\?|$)"


@pytest.fixture
def two(sync: SyncWorld) -> SyncWorld:
    """Two requests of one patron, both placed everywhere."""
    for number in (0, 1):
        sync.place(f"PR-{number}", number, patron=PATRON)
    sync.tick()
    assert [sync.status(f"PR-{number}") for number in (0, 1)] == ["RPBA"] * 2
    return sync


def always_one_too_many(sync: SyncWorld) -> None:
    for side in (sync.almas.lender, sync.almas.borrower):
        for path in (LIST, LOANS):
            side.strike("miscount", "GET", path)


@pytest.mark.heavy
def test_lists_that_always_count_one_too_many_hold_up_no_request(two: SyncWorld) -> None:
    always_one_too_many(two)
    for step, status in (
        (two.ship, "PICKUP_TRANSIT"),
        (two.arrive, "READY_FOR_PICKUP"),
        (two.borrow, "LOANED"),
        (two.give_back, "RETURN_TRANSIT"),
        (two.come_home, "FINALISED"),
    ):
        step(0)
        two.later()
        assert two.status("PR-0") == status
    assert two.status("PR-1") == "RPBA"
    assert two.store.get("PR-1").legs[B].error_repeat == 0
    assert two.store.open_alerts() == []


@pytest.mark.heavy
def test_a_hold_that_such_a_list_does_not_name_is_gone_when_the_single_read_says_so(two: SyncWorld) -> None:
    leg = two.store.get("PR-0").legs[B]
    two.almas.borrower.control("POST", "settings", {"closed_requests": "gone"})
    two.almas.borrower.control("POST", f"requests/{leg.request_id}", {"cancel": "x"})
    always_one_too_many(two)
    for _ in range(2):
        two.tick(pr_ids=["PR-0", "PR-1"])
        two.pass_time(HOUR)
    two.tick()
    assert two.status("PR-0") == "FINALISED"
    assert two.status("PR-1") == "RPBA"


@pytest.mark.heavy
def test_what_a_short_list_leaves_out_is_read_singly_and_else_unknown(two: SyncWorld) -> None:
    legs = {pr_id: two.store.get(pr_id).legs[B] for pr_id in ("PR-0", "PR-1")}
    last = legs["PR-1"]
    two.almas.borrower.strike("short", "GET", LIST, text=last.request_id)
    reader = AlmaReader(two.almas.at_borrower)
    holds = reader.requests_of(PATRON)
    assert list(holds) == [legs["PR-0"].request_id]
    assert reader.unnamed_request(last).found is True
    assert reader.errors() == ()
    two.almas.borrower.strike("server_error", "GET", ONE)
    assert reader.unnamed_request(last) == RequestRead(None)
    assert [error.code for error in reader.errors()][-1] == "SHORT_LIST"
    two.almas.borrower.control("DELETE", "faults")
    assert set(reader.requests_of(PATRON)) == {leg.request_id for leg in legs.values()}
    assert reader.unnamed_request(last).found is False  # of a whole list what it does not name is gone


@pytest.mark.heavy
def test_a_loan_that_a_short_list_leaves_out_is_found_at_its_item(two: SyncWorld) -> None:
    for number in (0, 1):
        two.ship(number)
    two.later()
    for number in (0, 1):
        two.arrive(number)
    two.later()
    for number in (0, 1):
        two.borrow(number)
    leg = two.store.get("PR-1").legs[B]
    two.almas.borrower.strike("short", "GET", LOANS, text=leg.item_pid)
    reader = AlmaReader(two.almas.at_borrower)
    assert leg.item_pid not in reader.loans_of(PATRON)
    assert reader.ended_loan(leg).loan_status == "ACTIVE"
    assert reader.loan(leg).loan_status == "ACTIVE"
    two.almas.borrower.strike("server_error", "GET", r"/items/[^/]+/loans")
    assert reader.ended_loan(leg) == LoanRead(None)
    two.almas.borrower.control("DELETE", "faults")
    two.almas.borrower.strike("short", "GET", LOANS, text=leg.item_pid)
    two.later()
    assert [two.status(pr_id) for pr_id in ("PR-0", "PR-1")] == ["LOANED"] * 2


# --- what stays unknown


def unread(at, code="SHORT_LIST"):
    failed = seen("SUPPLIER", at, "?", "in place")
    return Report(failed.seen, "POLL", (ReadError("request", None, code),))


def test_what_stays_unknown_for_three_looks_and_a_day_is_an_alert_that_ends_by_itself(store) -> None:
    store.add(new_request(), START)
    fine = seen("SUPPLIER", START, "IN_PROCESS", "in place")
    store.apply("PR-1", [fine], settings=SETTINGS, now=START)
    for hours in (1, 2, 3, 23):
        store.apply("PR-1", [unread(START + hours * HOUR)], settings=SETTINGS, now=START + hours * HOUR)
        assert store.open_alerts() == []  # not for a day yet
    store.apply("PR-1", [unread(START + 25 * HOUR)], settings=SETTINGS, now=START + 25 * HOUR)
    (alert,) = store.open_alerts()
    assert (alert.key, alert.pr_id) == ("SIDE_UNREADABLE:SUPPLIER:PR-1", "PR-1")
    assert alert.detail["list"] == "the user's list of requests"
    assert (alert.detail["system"], alert.detail["request_id"]) == ("LENDER", "PR-1-S")
    assert "SHORT_LIST" in alert.detail["error"]
    assert "vp-1" not in str(alert.detail)
    store.apply("PR-1", [unread(START + 30 * HOUR)], settings=SETTINGS, now=START + 30 * HOUR)
    assert len(store.open_alerts()) == 1
    fine = seen("SUPPLIER", START + 31 * HOUR, "IN_PROCESS", "in place")
    store.apply("PR-1", [fine], settings=SETTINGS, now=START + 31 * HOUR)
    assert store.open_alerts() == []


def test_two_looks_that_fail_in_a_month_are_no_alert(store) -> None:
    store.add(new_request(), START)
    for days in (10, 30):
        now = START + timedelta(days=days)
        store.apply("PR-1", [unread(now)], settings=SETTINGS, now=now)
    assert store.open_alerts() == []
