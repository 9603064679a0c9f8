"""Cancelling against two sandboxes: as long as the book is not lent, and seen to be gone."""

import itertools
from datetime import timedelta

import pytest

from alma_etl.dcb.conf import CancelRequest
from alma_etl.dcb.flows import cancel
from alma_etl.dcb.flows.cancel import Cancelling
from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import Ack, ItemRead, LoanRead, Moment, Observation, RequestRead
from alma_etl.dcb.machine.vocabulary import AckName, Closure, RequestOutcome, Role, Status
from tests.unit.dcb.merging import delete_user, merge_users
from tests.unit.dcb.sides_desk import NOTHING, ONE, kills
from tests.unit.dcb.sides_world import PATRON

pytestmark = pytest.mark.heavy

ANOTHER = "patron002"


# --- cancelling


@pytest.mark.parametrize("answer", ["401694", "401652"])
def test_before_the_book_is_sent_a_cancellation_ends_the_request(desk, almas, answer):
    almas.borrower.control("POST", "settings", {"closed_requests": "gone", "request_not_found": answer})
    desk.place(almas.conf())
    assert "is cancelled: CANCELLED" in desk.cancel()
    assert desk.left()["borrower holds"] == 0
    tracked = desk.context.store.get("PR-1")
    assert (tracked.state.outcome, tracked.state.closure) == (RequestOutcome.CANCELLED, Closure.CANCELED)
    wanted = desk.context.store.lease_outbox("ALMA_ACTION", almas.now, 10, "test")
    assert [row.type for row in wanted] == ["CANCEL_SUPPLIER_HOLD"]
    assert "is cancelled: CANCELLED" in desk.cancel()
    assert "is cancelled already" in desk.page("cancel-3")
    assert almas.borrower.control("GET", "state")["letters"] == {}


def later(almas, minutes=30):
    almas.now += timedelta(minutes=minutes)
    return Moment.at(almas.now)


def send(desk, almas):
    """The lender sends the book, and a poll sees it."""
    almas.lender.control("POST", "desk", {"pid": almas.book().pid, "library": almas.book().library})
    at = later(almas)
    return desk.apply(
        Observation(
            Role.SUPPLIER, at, request=RequestRead(True, "IN_PROCESS"), item=ItemRead(True, "0", "TRANSIT")
        )
    )


def test_once_the_book_is_out_a_cancellation_waits_for_it_to_come_home(desk, almas):
    desk.place(almas.conf())
    assert send(desk, almas) is Status.PICKUP_TRANSIT
    later(almas)
    assert "is cancelled: AWAITING_RETURN_TO_SUPPLIER" in desk.cancel()
    assert desk.left()["borrower holds"] == 0


def test_a_book_that_left_since_the_last_poll_is_waited_for_as_well(desk, almas):
    desk.place(almas.conf())
    almas.lender.control("POST", "desk", {"pid": almas.book().pid, "library": almas.book().library})
    later(almas)
    assert "AWAITING_RETURN_TO_SUPPLIER" in desk.cancel()


def lend_to_the_patron(desk, almas):
    item = desk.context.store.get("PR-1").legs[Role.BORROWER].item_pid
    almas.borrower.control("POST", "desk", {"pid": item, "library": "SCI"})
    almas.borrower.control("POST", "desk", {"pid": item, "library": "SCI", "lend_to": PATRON})


def test_a_book_that_is_lent_by_now_is_not_cancelled_even_before_a_poll_has_seen_it(desk, almas):
    desk.place(almas.conf())
    send(desk, almas)
    lend_to_the_patron(desk, almas)
    later(almas)
    desk.cancel()
    assert "the book is lent at BORROWER. It ends when the patron has returned it" in desk.problem
    assert almas.borrower.calls("DELETE") == []
    seen = Observation(
        Role.BORROWER, later(almas), request=RequestRead(False), item=ItemRead(True, "0", "LOAN"),
        loan=LoanRead(True, "ACTIVE"),
    )  # fmt: skip
    assert desk.apply(seen) is Status.LOANED
    assert "was not cancelled as asked, cancel failed: The request PR-1 is LOANED" in desk.cancel()
    assert "is LOANED and cannot be cancelled: the patron has had the book" in desk.problem


def test_nothing_is_cancelled_when_nobody_knows_whether_the_book_is_lent(desk, almas):
    desk.place(almas.conf())
    almas.borrower.strike("server_error", "GET", "/loans")
    desk.cancel()
    assert "does not say whether the book is lent; nothing was cancelled" in desk.problem
    assert desk.left() == ONE


def test_a_request_that_is_not_tracked_or_over_cannot_be_cancelled(desk, almas):
    desk.cancel("PR-9")
    assert "There is no request PR-9 here" in desk.problem
    desk.place(almas.conf())
    desk.apply(Ack(AckName.OPERATOR_CLEANUP, later(almas)))
    desk.cancel()
    assert "is COMPLETED and cannot be cancelled: it is over" in desk.problem


@pytest.mark.parametrize("fault", [{"kind": "refuse", "code": "UNAUTHORIZED"}, {"kind": "server_error"}])
def test_a_key_that_may_not_read_the_code_table_may_cancel_all_the_same(fault, desk, almas):
    desk.place(almas.conf())
    almas.borrower.strike(method="GET", path="/conf/code-tables", **fault)
    assert "is cancelled: CANCELLED" in desk.cancel()
    assert desk.left()["borrower holds"] == 0


def test_a_cancellation_that_alma_refuses_is_told(desk, almas):
    desk.place(almas.conf())
    told = desk.cancel(reason="WHIM")
    assert "was not cancelled as asked" in told
    assert "has no reason 'WHIM'; it has AdditionalReason01" in desk.problem
    assert almas.borrower.calls("DELETE") == []
    assert "has no reason 'WHIM'" in desk.cancel(reason="WHIM", dry_run=True)
    assert desk.left() == ONE


def test_when_clocks_run_apart_the_hold_goes_and_the_machine_learns_it_by_its_own_looking(desk, almas):
    desk.place(almas.conf())
    almas.now -= timedelta(hours=1)
    told = desk.cancel()
    assert told.startswith(
        "The patron's hold of the request PR-1 is cancelled. The request is REQUEST_PLACED_AT_BORR"
    )
    assert "decided by dcb_status_sync" in desk.page("cancel-2")
    assert desk.left()["borrower holds"] == 0
    almas.now += timedelta(hours=2)
    gone = RequestRead(False), ItemRead(True, "1"), LoanRead(False)
    for minutes in (0, 11):
        almas.now += timedelta(minutes=minutes)
        status = desk.apply(Observation(Role.BORROWER, Moment.at(almas.now), *gone))
    assert status is Status.CANCELLED


def test_a_cancellation_in_a_dry_run_cancels_nothing(desk, almas):
    desk.place(almas.conf())
    assert "Dry run: the request PR-1 can be cancelled" in desk.cancel(dry_run=True)
    assert desk.left() == ONE
    assert desk.context.store.get("PR-1").status is Status.RPBA


def test_a_dry_run_cleared_as_a_real_one_reports_what_was_done_alone(desk, almas):
    desk.place(almas.conf())
    for dry_run in (True, False):
        run = Cancelling(desk.context, CancelRequest(pr_id="PR-1"), "cleared", dry_run=dry_run)
        cancel.cancel(run)
        cancel.verify(run)
    assert "is cancelled: CANCELLED" in cancel.report(run, {})
    assert "would be cancelled" not in run.files.bucket.get(run.files.key("report.html")).decode()


@pytest.mark.parametrize("kind", ["drop", "server_error"])
def test_a_cancellation_whose_answer_is_lost_is_done_once(kind, desk, almas):
    desk.place(almas.conf())
    almas.borrower.strike(kind, "DELETE", "/requests/", applied=True, first=1)
    assert "is cancelled: CANCELLED" in desk.cancel()


def test_a_worker_killed_at_any_action_and_begun_again_cancels_once(desk, almas, monkeypatch):
    numbers = itertools.count()

    def begin():
        desk.forget()
        for side in (almas.lender, almas.borrower):
            side.reset()
        desk.place(almas.conf())
        return Cancelling(desk.context, CancelRequest(pr_id="PR-1"), f"killed-{next(numbers)}")

    count = 0
    steps = (cancel.cancel, cancel.verify, lambda run: cancel.report(run, {}))
    for count, _ in enumerate(kills(monkeypatch, begin, *steps), 1):
        history = desk.context.store.history("PR-1")
        assert [each.to for each in history.transitions] == [Status.CONFIRMED, Status.RPBA, Status.CANCELLED]
        assert desk.left()["borrower holds"] == 0
        assert "is cancelled: CANCELLED" in desk.page(f"killed-{count}")
    assert count > 4


# --- what the lender's desk did meanwhile


def act(desk, almas):
    """Do the actions that are due, one after the other."""
    store, done = desk.context.store, []
    while rows := store.lease_outbox("ALMA_ACTION", almas.now, 10, "test"):
        for row in rows:
            outcome = almas.actor().perform(row, store.get("PR-1"))
            store.settle_action(
                row,
                "SENT",
                outcome.reports,
                settings=desk.context.settings,
                now=almas.tick(),
                legs=outcome.legs,
            )
            done.append(row.type)
    return done


def test_a_book_that_leaves_between_the_cancellation_and_the_cancelling_of_its_hold_is_seen_to_travel(
    desk, almas
):
    desk.place(almas.conf())
    assert "is cancelled: CANCELLED" in desk.cancel()
    book = almas.book()
    almas.lender.control("POST", "desk", {"pid": book.pid, "library": book.library})
    later(almas)
    act(desk, almas)
    assert almas.lender.contents()["requests"] == {}
    tracked = desk.context.store.get("PR-1")
    assert (tracked.status, tracked.state.standing) == (Status.CANCELLED, (flags.CANCELLED_IN_TRANSIT,))
    assert desk.left() == NOTHING | {"bibs": 1, "items": 1}


def test_a_book_that_stayed_on_its_shelf_is_cleaned_up_at_once(desk, almas):
    desk.place(almas.conf())
    assert "is cancelled: CANCELLED" in desk.cancel()
    later(almas)
    assert act(desk, almas) == ["CANCEL_SUPPLIER_HOLD", "CLEANUP"]
    assert desk.context.store.get("PR-1").status is Status.FINALISED
    assert desk.left() == NOTHING


def test_the_lender_is_looked_at_only_once_the_patrons_hold_is_gone(desk, almas, monkeypatch):
    """It is sent at the very moment of the cancellation: the look after it sees that, and the book is waited for."""
    desk.place(almas.conf())
    book, cancel_side = almas.book(), cancel.cancel_side

    def sent_meanwhile(*args):
        cancel_side(*args)
        almas.lender.control("POST", "desk", {"pid": book.pid, "library": book.library})

    monkeypatch.setattr(cancel, "cancel_side", sent_meanwhile)
    later(almas)
    assert "is cancelled: AWAITING_RETURN_TO_SUPPLIER" in desk.cancel()


def test_the_hold_of_a_patron_who_was_merged_is_cancelled_as_that_of_the_other(desk, almas):
    desk.place(almas.conf())
    merge_users(almas.borrower, PATRON, ANOTHER)
    later(almas)
    assert "is cancelled: CANCELLED" in desk.cancel()
    assert desk.left()["borrower holds"] == 0


def test_a_patron_who_was_deleted_has_no_hold_to_cancel(desk, almas):
    desk.place(almas.conf())
    delete_user(almas.borrower, PATRON)
    later(almas)
    assert "is cancelled: CANCELLED" in desk.cancel()
    assert desk.left()["borrower holds"] == 0
