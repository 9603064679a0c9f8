"""Ids that change in Alma while a request is under way: its sides follow what rows of Alma say, and no refusal by an
old id is taken for an absence."""

from dataclasses import replace
from datetime import timedelta

import pytest

from alma_etl.dcb.explain import explain
from alma_etl.dcb.machine.model import ItemRead, LoanRead, RequestRead
from alma_etl.dcb.machine.vocabulary import Closure, Role
from alma_etl.dcb.sides.alma_read import AlmaReader, HistoryKept
from alma_etl.remote.answers import Absent, Found
from tests.unit.dcb.merging import delete_user, forget_loan, merge_title, merge_users, move_item
from tests.unit.dcb.records import SETTINGS, START, new_request, seen
from tests.unit.dcb.sync_world import SyncWorld

pytestmark = pytest.mark.heavy

B, S = Role.BORROWER, Role.SUPPLIER
OLD, NEW = "patron003", "patron009"
ONE_LOAN = r"/users/[^/]+/loans/[^/?]+"
ONE_REQUEST = r"/users/[^/]+/requests/[^/?]+"
ITEMS_LOANS = r"/items/[^/]+/loans"
GENERAL = {"code": "401652", "message": "General Error"}


@pytest.fixture
def placed(sync: SyncWorld) -> SyncWorld:
    sync.place()
    sync.tick()
    assert sync.status() == "RPBA"
    return sync


@pytest.fixture
def lent(placed: SyncWorld) -> SyncWorld:
    for go in (placed.ship, placed.arrive, placed.borrow):
        go()
        placed.later()
    assert placed.status() == "LOANED"
    assert leg(placed).loan_id
    return placed


def leg(world, role=B, pr_id="PR-1"):
    return world.store.get(pr_id).legs[role]


def standing(world):
    return world.store.get("PR-1").state.standing


def replaced(world, role=B):
    return [(each["name"], each["from"], each["to"]) for each in leg(world, role).earlier]


def reader(world, role=B):
    almas = world.almas
    return AlmaReader(almas.at_lender if role is S else almas.at_borrower)


# --- users


@pytest.mark.parametrize("keep_id", [False, True])
def test_a_merged_patrons_request_goes_on_in_the_name_of_the_surviving_one(placed, keep_id):
    merge_users(placed.almas.borrower, OLD, NEW, keep_id=keep_id)
    placed.ship()
    placed.later()
    assert placed.status() == "PICKUP_TRANSIT"
    assert (leg(placed).user_id, standing(placed)) == (NEW, ())
    assert replaced(placed) == [("user_id", OLD, NEW)]
    for go in (placed.arrive, lambda: placed.borrow(patron=NEW), placed.give_back, placed.come_home):
        go()
        placed.later()
    assert placed.status() == "FINALISED"
    assert placed.store.open_alerts() == []
    assert f"user_id {OLD} -> {NEW}" in explain(placed.store, "PR-1").text
    assert explain(placed.store, "PR-1").agrees


def test_a_patron_merged_with_the_book_in_hand_still_has_it(lent):
    merge_users(lent.almas.borrower, OLD, NEW)
    lent.later()
    assert (lent.status(), leg(lent).user_id, standing(lent)) == ("LOANED", NEW, ())
    lent.give_back()
    lent.later()
    assert lent.status() == "RETURN_TRANSIT"


def test_two_requests_of_a_merged_patron_are_both_found_again(placed):
    placed.place("PR-2", 1)
    placed.tick()
    merge_users(placed.almas.borrower, OLD, NEW)
    placed.later(pr_ids=["PR-1", "PR-2"])
    assert [leg(placed, pr_id=pr_id).user_id for pr_id in ("PR-1", "PR-2")] == [NEW, NEW]
    assert [placed.status(pr_id) for pr_id in ("PR-1", "PR-2")] == ["RPBA", "RPBA"]
    assert placed.store.open_alerts() == []


def test_of_two_requests_of_a_user_who_is_gone_the_one_that_is_gone_too_says_so(placed):
    placed.place("PR-2", 1)
    placed.tick()
    placed.almas.borrower.control("POST", f"requests/{leg(placed).request_id}", {"cancel": "x"})
    merge_users(placed.almas.borrower, OLD, NEW)
    placed.later(pr_ids=["PR-1", "PR-2"])
    assert (leg(placed).user_id, leg(placed, pr_id="PR-2").user_id) == (OLD, NEW)
    assert standing(placed) == ("PATRON_GONE",)
    assert placed.store.get("PR-2").state.standing == ()
    placed.later()
    assert (placed.status(), placed.status("PR-2")) == ("FINALISED", "RPBA")


def test_the_request_of_a_deleted_patron_ends_and_is_cleaned_up(placed):
    side = placed.almas.borrower
    delete_user(side, OLD)
    placed.later()
    assert standing(placed) == ("PATRON_GONE",)
    placed.later()
    assert placed.status() == "FINALISED"
    assert placed.store.get("PR-1").state.outcome == "CANCELLED"
    assert placed.store.open_alerts() == []
    assert side.contents()["bibs"] == {}
    assert placed.almas.lender.contents()["requests"] == {}


def test_a_deleted_patron_of_a_book_on_its_way_ends_when_it_is_home(placed):
    placed.ship()
    placed.later()
    delete_user(placed.almas.borrower, OLD)
    placed.later()
    placed.later()
    assert placed.status() == "AWAITING_RETURN"
    placed.come_home()
    placed.later()
    assert placed.status() == "FINALISED"
    assert placed.almas.borrower.contents()["bibs"] == {}


def test_a_patron_merged_after_the_end_loses_the_hold_that_is_left(placed):
    placed.almas.lender.control("POST", f"requests/{leg(placed, S).request_id}", {"cancel": "x"})
    placed.tick(pr_ids=["PR-1"])
    placed.pass_time(timedelta(hours=1))
    placed.new_run()
    placed.select(["PR-1"])
    placed.poll()
    placed.apply()
    assert placed.status() == "NOT_SUPPLIED"
    merge_users(placed.almas.borrower, OLD, NEW)  # before its hold was cancelled
    placed.act()
    assert placed.status() == "FINALISED"
    assert placed.almas.borrower.contents()["requests"] == {}


def test_a_users_ids_of_before_go_when_the_users_do(placed):
    merge_users(placed.almas.borrower, OLD, NEW)
    placed.ship()
    placed.later()
    for go in (placed.arrive, lambda: placed.borrow(patron=NEW), placed.give_back, placed.come_home):
        go()
        placed.later()
    placed.store.thin_out(placed.almas.settings, placed.clock() + timedelta(days=40))
    (each,) = leg(placed).earlier
    assert (each["name"], each["to"]) == ("user_id", leg(placed).user_id)
    assert OLD not in str(leg(placed))
    assert NEW not in str(leg(placed))


# --- titles, holdings, items


def test_a_book_whose_title_is_merged_while_it_is_out_is_the_same_book(lent):
    book = lent.almas.book()
    into, holding = merge_title(lent.almas.lender, book.pid)
    lent.give_back()
    lent.later()
    assert (lent.status(), standing(lent)) == ("RETURN_TRANSIT", ())
    assert (leg(lent, S).mms_id, leg(lent, S).holding_id) == (into, holding)
    assert replaced(lent, S) == [("mms_id", book.mms_id, into), ("holding_id", book.holding_id, holding)]
    item = lent.almas.at_lender.items.by_barcode(book.barcode).value
    lent.desk("lender", book.barcode, item.library)
    lent.later()
    assert lent.status() == "FINALISED"
    assert "SUPPLIER_ITEM_GONE" not in lent.store.get("PR-1").state.flags
    assert explain(lent.store, "PR-1").agrees


def test_a_title_merged_before_the_book_travels_is_followed_by_the_hold(placed):
    into, holding = merge_title(placed.almas.lender, placed.almas.book().pid)
    before = len(placed.almas.lender.calls("GET"))
    placed.later()
    asked = placed.almas.lender.calls("GET")[before:]
    assert (leg(placed, S).mms_id, leg(placed, S).holding_id) == (into, holding)
    assert not [path for path in asked if path.endswith("/items")]  # by the hold's row, in the same look


def test_a_moved_item_is_found_and_its_real_holding_kept(placed):
    holding = move_item(placed.almas.lender, placed.almas.book().pid)
    placed.later()
    assert (leg(placed, S).holding_id, standing(placed)) == (holding, ())


def test_another_item_with_the_books_barcode_is_not_the_book(placed):
    seen_by = reader(placed, S)
    gone = replace(leg(placed, S), item_pid="2399999999994401")
    assert seen_by.item(gone) == ItemRead(False)
    assert seen_by.ids_of(gone) == {}
    assert seen_by.errors() == ()


def test_an_item_that_could_not_be_looked_for_by_its_barcode_is_not_gone(placed):
    merge_title(placed.almas.lender, placed.almas.book().pid)
    placed.almas.lender.strike("server_error", "GET", "/almaws/v1/items")
    seen_by = reader(placed, S)
    assert seen_by.item(leg(placed, S)) == ItemRead(None)
    assert [error.part for error in seen_by.errors()][-1:] == ["item"]


# --- a loan's id that is answered no more


def test_a_loan_refused_by_its_id_is_found_among_the_users(lent):
    lent.almas.borrower.strike("refuse", "GET", ONE_LOAN, **GENERAL)
    before = lent.almas.now
    lent.later()
    tracked = lent.store.get("PR-1")
    assert (tracked.status.name, tracked.legs[B].last_error) == ("LOANED", None)
    assert tracked.legs[B].last_ok_at > before
    assert tracked.state.leg(B).loan == "ACTIVE"


@pytest.mark.parametrize("code", ["401652", "401823"])
def test_a_loan_that_ended_and_is_refused_by_its_id_is_found_at_its_item(lent, code):
    lent.almas.borrower.strike("refuse", "GET", ONE_LOAN, code=code, message="no")
    lent.give_back()
    lent.later()
    assert lent.status() == "RETURN_TRANSIT"


def test_a_loan_that_was_made_anonymous_is_read_as_not_there_with_its_item(lent):
    lent.give_back()
    forget_loan(lent.almas.borrower, leg(lent).loan_id)
    lent.almas.borrower.strike("refuse", "GET", ONE_LOAN, **GENERAL)
    assert reader(lent).loan(leg(lent)) == LoanRead(False)
    lent.later()
    assert lent.status() == "RETURN_TRANSIT"
    assert leg(lent).last_error is None


def test_what_no_list_could_answer_stays_unknown(lent):
    side = lent.almas.borrower
    side.strike("refuse", "GET", ONE_LOAN, **GENERAL)
    side.strike("refuse", "GET", ITEMS_LOANS, **GENERAL)
    side.strike("short", "GET", r"/users/[^/]+/loans(\?|$)", text=leg(lent).item_pid)
    seen_by = reader(lent)
    assert seen_by.loan(leg(lent)) == LoanRead(None)
    assert [error.code for error in seen_by.errors()] == ["401652", "401652", "SHORT_LIST"]
    lent.later()
    assert lent.status() == "LOANED"


def test_an_answer_for_a_stale_holding_proves_nothing(lent):
    """The item's loans are asked once more by its real holding."""
    known, book = leg(lent, S), lent.almas.book()
    for path in (ONE_LOAN, "/holdings/(ALL|2299999999994401)/items/[^/]+/loans"):
        lent.almas.lender.strike("refuse", "GET", path, **GENERAL)
    lent.desk("lender", book.barcode, book.library)
    for holding in ("2299999999994401", None):
        stale = replace(known, holding_id=holding)
        seen_by = reader(lent, S)
        assert seen_by.loan(stale).loan_status == "COMPLETE"
        assert seen_by.ids_of(stale)["holding_id"] == book.holding_id
        assert seen_by.errors() == ()
    lent.almas.lender.strike("server_error", "GET", f"/items/{book.pid}$")
    assert reader(lent, S).loan(replace(known, holding_id="2299999999994401")) == LoanRead(None)


def test_an_item_that_the_look_has_read_is_not_read_again_for_an_empty_list(placed):
    placed.ship()
    placed.later()
    placed.almas.borrower.control("POST", "settings", {"closed_requests": "gone"})
    placed.almas.borrower.control("POST", f"requests/{leg(placed).request_id}", {"cancel": "x"})
    before = len(placed.almas.borrower.calls("GET"))
    placed.later()
    asked = placed.almas.borrower.calls("GET")[before:]
    pid = leg(placed).item_pid
    assert len([path for path in asked if path.endswith(f"/items/{pid}")]) == 1
    assert len([path for path in asked if f"/items/{pid}/loans" in path]) == 1


# --- a hold's id that is refused


def test_a_hold_refused_by_its_id_is_found_in_the_users_list(placed):
    placed.almas.borrower.strike("refuse", "GET", ONE_REQUEST, **GENERAL)
    seen_by = reader(placed)
    assert seen_by.request(leg(placed)).request_status == "IN_PROCESS"
    assert seen_by.errors() == ()


def test_a_whole_list_without_the_hold_proves_that_it_is_gone_and_no_other_does(placed):
    side, known = placed.almas.borrower, leg(placed)
    side.strike("refuse", "GET", ONE_REQUEST, **GENERAL)
    side.strike("server_error", "GET", r"/users/[^/]+/requests(\?|$)")
    assert reader(placed).request(known) == RequestRead(None)
    side.control("DELETE", "faults")
    side.strike("refuse", "GET", ONE_REQUEST, **GENERAL)
    side.strike("short", "GET", r"/users/[^/]+/requests(\?|$)", text=known.request_id)
    assert reader(placed).request(known).found is True  # at its item
    side.strike("server_error", "GET", r"/items/[^/]+/requests")
    seen_by = reader(placed)
    assert seen_by.request(known) == RequestRead(None)
    assert seen_by.errors()[0].code == "401652"
    side.control("DELETE", "faults")
    side.strike("refuse", "GET", ONE_REQUEST, **GENERAL)
    side.control("POST", f"requests/{known.request_id}", {"cancel": "x"})
    assert reader(placed).request(known) == RequestRead(False)


def history_of(rows):
    """An Alma with a user of no open request whose closed ones are ``rows``, and the calls that it gets."""

    class Requests:
        calls = 0

        def read(self, user_id, request_id):
            return Absent()

        def of_user(self, user_id, *, request_type, status="active"):
            Requests.calls += status == "history"
            return Found(rows if status == "history" else [])

    class Alma:
        requests = Requests()

    return Alma(), Requests


@pytest.mark.quick
def test_how_a_vanished_hold_ended_is_read_where_the_institution_keeps_it(placed):
    from alma_etl.alma.user_requests import request

    known = leg(placed)
    closed = {"request_id": known.request_id, "request_status": "HISTORY"}
    alma, calls = history_of([request({**closed, "cancel_reason": {"value": "PatronNotInterested"}})])
    assert AlmaReader(alma).request(known) == RequestRead(False, closure=Closure.CANCELED)
    assert AlmaReader(history_of([request(closed)])[0]).request(known) == RequestRead(False)
    hinted = replace(known, closure_hint="CANCELED")  # reported already: nothing to ask
    assert AlmaReader(alma).request(hinted) == RequestRead(False, closure=Closure.CANCELED)
    assert calls.calls == 1


@pytest.mark.quick
def test_an_institution_that_keeps_no_history_is_asked_once(placed):
    alma, calls = history_of([])
    kept = HistoryKept()
    for _ in range(3):
        assert AlmaReader(alma, history=kept).request(leg(placed)) == RequestRead(False)
    assert calls.calls == 1


# --- in the store


@pytest.mark.quick
def test_what_a_late_look_read_of_ids_changes_nothing(store):
    store.add(new_request(), START)
    hour = timedelta(hours=1)
    late = replace(seen("SUPPLIER", START + hour, "IN_PROCESS", "in place"), ids={"user_id": "vp-old"})
    store.apply(
        "PR-1", [seen("SUPPLIER", START + 2 * hour, "IN_PROCESS")], settings=SETTINGS, now=START + 2 * hour
    )
    store.apply("PR-1", [late], settings=SETTINGS, now=START + 3 * hour)
    assert store.get("PR-1").legs[S].user_id == "vp-1"


@pytest.mark.quick
def test_a_row_of_another_copy_says_nothing_of_this_ones_place_until_it_is_the_one(store):
    store.add(new_request(), START)
    other = {"item_pid": "2300000000009", "mms_id": "990000009", "holding_id": "220000009"}
    report = replace(seen("SUPPLIER", START, "IN_PROCESS", "in place"), ids=other)
    store.apply("PR-1", [report], settings=SETTINGS, now=START)
    assert (leg_of := store.get("PR-1").legs[S]).mms_id is None
    assert leg_of.earlier == []
    now = START + timedelta(hours=1)
    read = seen("SUPPLIER", now, "IN_PROCESS")
    chosen = replace(read.seen, request=replace(read.seen.request, item_id="2300000000009"))
    store.apply("PR-1", [replace(report, seen=chosen)], settings=SETTINGS, now=now)
    found = store.get("PR-1").legs[S]
    assert (found.item_pid, found.mms_id, found.holding_id) == ("2300000000009", "990000009", "220000009")
    assert [(each["name"], each["from"]) for each in found.earlier] == [("item_pid", "PR-1-23")]
