"""Every action of the outbox, against two sandboxes and a pretend mod-dcb: done once, refused, or put off."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alma_etl.dcb.conf import read_place
from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import Leg
from alma_etl.dcb.machine.vocabulary import AckName, ActionType, Closure, RequestOutcome, Role, Status
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides import alma_act, alma_read, legs, marks
from alma_etl.dcb.sides.alma_act import cancel_hold
from alma_etl.dcb.sides.ports import Later, Refused
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.sides.virtual_item import remove
from alma_etl.dcb.store import LegRecord
from alma_etl.remote.errors import RemoteUnauthorized
from tests.unit.dcb.merging import merge_title, move_item
from tests.unit.dcb.sides_course import Course, acks
from tests.unit.dcb.sides_world import NOW, PATRON, row, supplier_leg, tracked

pytestmark = pytest.mark.heavy

A, S = ActionType, Status
VP = marks.virtual_user("BORROWER", PATRON)


@pytest.fixture
def course(almas):
    return Course(almas)


# --- placing


def test_the_borrowers_side_is_placed_once(course, almas):
    answer = course.do(A.PLACE_AT_BORROWER, S.CONFIRMED)
    assert acks(answer) == [AckName.BORROWER_PLACED]
    (leg,) = answer.legs
    assert (leg.role, leg.user_id, leg.pickup_library, leg.is_virtual) == (Role.BORROWER, PATRON, "SCI", True)
    assert course.do(A.PLACE_AT_BORROWER, S.CONFIRMED).legs == (leg,)
    contents = almas.borrower.contents()
    assert [len(contents[kind]) for kind in ("bibs", "holdings", "requests")] == [1, 1, 1]


def test_a_placing_that_is_refused_leaves_nothing_and_says_that_it_failed(course, almas):
    almas.borrower.strike("refuse", "POST", "/requests", code="401652")
    answer = course.do(A.PLACE_AT_BORROWER, S.CONFIRMED)
    assert isinstance(answer, Refused)
    assert "401652" in answer.reason
    (report,) = answer.reports
    assert (report.seen.name, report.seen.action) == (AckName.ACTION_FAILED, A.PLACE_AT_BORROWER)
    assert almas.borrower.contents()["bibs"] == {}


def test_a_request_that_others_placed_is_not_placed_by_guessing(course):
    request = replace(course.tracked(S.CONFIRMED), conf={})
    answer = course.actor.perform(row(A.PLACE_AT_BORROWER), request)
    assert isinstance(answer, Refused)
    assert "not placed by dcb_place_request" in answer.reason


def test_with_the_next_lender_the_virtual_item_follows_and_the_hold_stays(course, almas):
    course.placed()
    hold = course.borrower.request_id
    course.supplier = replace(course.supplier, generation=2, barcode="NEXT-BOOK")
    (leg,) = course.do(A.PLACE_AT_BORROWER, S.CONFIRMED).legs
    assert (leg.request_id, leg.barcode, leg.item_pid) == (hold, "NEXT-BOOK", course.borrower.item_pid)
    assert course.item().barcode == "NEXT-BOOK"


def test_at_a_third_library_a_virtual_patron_waits(almas):
    almas.settings = DcbSettings(
        systems={**almas.settings.systems, "THIRD": almas.settings.systems["BORROWER"]}, mode="drive"
    )
    almas.systems = type(almas.systems)(almas.settings, almas)
    conf = almas.conf(workflow="RET-PUA", pickup_system="THIRD", pickup_library="LAW")
    place = read_place(conf, almas.settings)
    request = tracked(place, S.RPBA, supplier_leg(almas, None, VP))
    answer = almas.actor().perform(row(A.PLACE_AT_PICKUP), request)
    assert acks(answer) == [AckName.PICKUP_PLACED]
    (leg,) = answer.legs
    assert (leg.role, leg.system_code, leg.user_id, leg.pickup_library) == (Role.PICKUP, "THIRD", VP, "LAW")
    assert legs.pickup_at(place, Role.BORROWER, almas.borrower_settings) == ("STOR", None)


# --- scans


def test_the_virtual_item_goes_on_its_way_and_is_left_alone_then(course, almas):
    course.placed()
    answer = course.do(A.BORROWER_SCAN_IN, S.PICKUP_TRANSIT, "TRANSIT")
    assert acks(answer) == [AckName.SCANNED_IN]
    (report,) = answer.reports
    assert (report.seen.role, report.seen.item.process_type) == (Role.BORROWER, "TRANSIT")
    assert report.seen.at.time <= almas.now
    posts = len(almas.borrower.calls("POST"))
    course.do(A.BORROWER_SCAN_IN, S.PICKUP_TRANSIT, "TRANSIT")
    assert len(almas.borrower.calls("POST")) == posts
    course.desk(library="SCI")
    assert (
        course.do(A.BORROWER_SCAN_IN, S.PICKUP_TRANSIT, "TRANSIT").reports[0].seen.item.process_type
        == "HOLDSHELF"
    )


def test_where_the_pickup_library_owns_the_virtual_item_it_is_not_scanned(almas):
    course = Course(almas, pickup_library="MAIN").placed()
    posts = len(almas.borrower.calls("POST"))
    assert acks(course.do(A.BORROWER_SCAN_IN, S.PICKUP_TRANSIT, "TRANSIT")) == [AckName.SCANNED_IN]
    assert len(almas.borrower.calls("POST")) == posts
    assert course.item().process_type == "REQUESTED"


@pytest.mark.parametrize("kind", ["drop", "truncated", "server_error"])
def test_a_scan_whose_answer_is_lost_is_not_done_twice(kind, course, almas):
    course.placed()
    almas.borrower.strike(kind, "POST", "op=scan", applied=True, first=1)
    assert acks(course.do(A.BORROWER_SCAN_IN, S.PICKUP_TRANSIT, "TRANSIT")) == [AckName.SCANNED_IN]
    assert course.item().process_type == "TRANSIT"
    assert (
        len([path for path in almas.borrower.calls("POST") if path.endswith(course.borrower.item_pid)]) == 1
    )


def test_the_holding_of_the_lenders_item_is_found_where_it_is_not_known(course):
    course.supplier = replace(course.supplier, holding_id=None)
    course.ship()
    answer = course.do(A.SUPPLIER_SCAN_IN, S.READY_FOR_PICKUP, "RECEIVED")
    assert acks(answer) == [AckName.SCANNED_IN]
    assert answer.reports[0].seen.role is Role.SUPPLIER


def test_an_item_that_is_gone_is_not_tried_for_ever(course, almas):
    course.placed()
    cancel_hold(almas.at_borrower, PATRON, course.borrower.request_id, "CancelledAtPatronRequest")
    remove(almas.at_borrower, "PR-1")
    answer = course.do(A.BORROWER_SCAN_IN, S.PICKUP_TRANSIT, "TRANSIT")
    assert isinstance(answer, Refused)
    assert "is not in the Alma of BORROWER any more" in answer.reason


@pytest.mark.parametrize("elsewhere", [merge_title, move_item])
def test_an_item_that_is_elsewhere_by_now_is_found_by_its_barcode(elsewhere, course, almas):
    elsewhere(almas.lender, course.supplier.item_pid)
    assert acks(course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)) == [AckName.SUPPLIER_LOAN_CREATED]


def test_another_book_with_its_barcode_is_not_lent(course, almas):
    merge_title(almas.lender, course.supplier.item_pid)
    course.supplier = replace(course.supplier, barcode=almas.book(1).barcode)
    answer = course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)
    assert isinstance(answer, Refused)
    assert "is not in the Alma of LENDER any more" in answer.reason


@pytest.mark.parametrize(
    ("action", "status", "args"),
    [
        (A.CREATE_SUPPLIER_LOAN, S.LOANED, ()),
        (A.RENEW_SUPPLIER_LOAN, S.LOANED, ()),
        (A.SUPPLIER_SCAN_IN, S.READY_FOR_PICKUP, ("RECEIVED",)),
        (A.CANCEL_SUPPLIER_HOLD, S.CANCELLED, ()),
    ],
)
def test_in_another_library_system_nothing_is_tried(action, status, args, course):
    course.supplier = replace(course.supplier, system_code="KOHA", system_kind="OTHER")
    answer = course.do(action, status, *args)
    assert isinstance(answer, Refused)
    assert answer.reason.startswith("KOHA is no Alma and no FOLIO")
    assert f"have {action} done in dcb-service" in answer.reason


def test_a_request_with_another_library_system_is_cleaned_up_in_the_almas(course, almas):
    course.placed()
    course.supplier = replace(course.supplier, system_code="KOHA", system_kind="OTHER")
    assert acks(course.do(A.CLEANUP, S.CANCELLED)) == [AckName.CLEANED_UP]
    assert almas.borrower.contents()["bibs"] == {}


def test_a_loan_that_nobody_took_back_is_ended(course):
    course.placed()
    course.desk(library="MAIN", lend_to=PATRON)
    assert course.item().process_type == "LOAN"
    assert acks(course.do(A.BORROWER_CHECK_IN, S.RETURN_TRANSIT)) == [AckName.SCANNED_IN]
    assert course.item().process_type == ""
    assert acks(course.do(A.BORROWER_CHECK_IN, S.RETURN_TRANSIT)) == [AckName.SCANNED_IN]
    assert acks(course.do(A.BORROWER_SCAN_IN, S.COMPLETED, "COMPLETED")) == [AckName.SCANNED_IN]


# --- loans


def test_the_lenders_loan_is_made_once_and_told_with_its_due_date(course, almas):
    course.ship()
    answer = course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)
    assert acks(answer) == [AckName.SUPPLIER_LOAN_CREATED]
    (loan,) = almas.lender.contents()["loans"].values()
    seen = answer.reports[0].seen
    assert (seen.role, seen.loan.loan_id, seen.loan.loan_status) == (Role.SUPPLIER, loan["id"], "ACTIVE")
    assert seen.loan.due_date > NOW
    assert acks(course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)) == [AckName.SUPPLIER_LOAN_CREATED]
    assert len(almas.lender.contents()["loans"]) == 1
    assert almas.lender.contents()["requests"] == {}


def test_a_refused_loan_is_told_to_the_machine_by_its_own_name(course, almas):
    user = almas.lender.running.sandbox.users.find(VP)
    almas.lender.running.sandbox.users.keep({**user, "status": {"value": "INACTIVE"}})
    answer = course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)
    assert isinstance(answer, Refused)
    assert "the user is not an active patron" in answer.reason
    assert [report.seen.name for report in answer.reports] == [AckName.SUPPLIER_LOAN_FAILED]


def test_an_action_that_failed_before_and_is_done_now_says_so(course):
    course.placed()

    def failed_before(state):
        state.standing = (flags.action_failed(A.BORROWER_SCAN_IN),)

    answer = course.do(A.BORROWER_SCAN_IN, S.PICKUP_TRANSIT, "TRANSIT", change=failed_before)
    assert acks(answer) == [AckName.SCANNED_IN, AckName.ACTION_DONE]
    assert answer.reports[1].seen.action is A.BORROWER_SCAN_IN


def test_the_patrons_loan_is_made_at_home_when_the_book_was_lent_elsewhere(course, almas):
    course.placed()
    assert acks(course.do(A.CREATE_BORROWER_LOAN, S.LOANED)) == [AckName.BORROWER_LOAN_CREATED]
    (loan,) = almas.borrower.contents()["loans"].values()
    assert (loan["user_id"], loan["item_pid"]) == (PATRON, course.borrower.item_pid)


def test_the_lenders_loan_is_renewed_once_for_one_renewal_of_the_patrons(course, almas):
    loan = alma_act.lend(almas.at_lender, almas.lender_settings, course.supplier)
    almas.lender.control("POST", "clock", {"advance_s": 86400})
    answer = course.do(A.RENEW_SUPPLIER_LOAN, S.LOANED)
    assert acks(answer) == [AckName.LOAN_RENEWED]
    renewed = answer.reports[0].seen.loan.due_date
    assert renewed.isoformat()[:10] > loan.due_date[:10]
    almas.lender.control("POST", "clock", {"advance_s": 86400})
    assert course.do(A.RENEW_SUPPLIER_LOAN, S.LOANED).reports[0].seen.loan.due_date == renewed


@pytest.mark.parametrize(
    ("known_days", "writes"), [(-1, 0), (0, 1)], ids=["due later than known", "as known"]
)
def test_a_loan_that_runs_longer_than_was_known_was_renewed(course, almas, known_days, writes):
    """Where Alma tells no date of renewal, the due date tells."""
    loan = alma_act.lend(almas.at_lender, almas.lender_settings, course.supplier)
    due = alma_read.of_loan(loan).due_date
    almas.lender.control("POST", "clock", {"advance_s": 86400})
    before = len(almas.lender.calls("POST"))
    never = datetime(9000, 1, 1, tzinfo=UTC)
    alma_act.renew(almas.at_lender, VP, course.supplier.item_pid, never, due + timedelta(days=known_days))
    assert len(almas.lender.calls("POST")) - before == writes


def test_renewals_are_prevented_and_the_barcode_follows_the_book(course):
    course.placed()
    assert acks(course.do(A.PREVENT_RENEWAL_AT_BORROWER, S.LOANED)) == []
    assert course.item().item_policy == "DCB_NO_RENEW"
    answer = course.do(A.SYNC_BARCODE, S.PICKUP_TRANSIT, "SUPPLIER", "NEW-BARCODE")
    assert acks(answer) == [AckName.BARCODE_SYNCED]
    assert (answer.reports[0].seen.barcode, course.item().barcode) == ("NEW-BARCODE", "NEW-BARCODE")


def test_before_there_is_a_virtual_item_a_new_barcode_has_nobody_to_follow(course):
    assert acks(course.do(A.SYNC_BARCODE, S.CONFIRMED, "SUPPLIER", "NEW-BARCODE")) == []


# --- endings


def test_the_lenders_hold_is_cancelled_and_seen_to_be_gone(course, almas):
    answer = course.do(A.CANCEL_SUPPLIER_HOLD, S.CANCELLED)
    assert acks(answer) == [AckName.ACTION_DONE]
    ack = answer.reports[0].seen
    assert (ack.role, ack.action, ack.item.found) == (Role.SUPPLIER, A.CANCEL_SUPPLIER_HOLD, True)
    assert (ack.item.process_type, ack.item.base_status) == (None, "1")
    assert almas.lender.contents()["requests"] == {}
    assert acks(course.do(A.VERIFY_SUPPLIER_HOLD_GONE, S.AWAITING_RETURN)) == []


def test_the_lenders_item_is_read_only_once_its_hold_is_cancelled(course, almas):
    """Scanned in before that, it is in transit, and nobody may take it for one on the shelf."""
    course.ship()
    answer = course.do(A.CANCEL_SUPPLIER_HOLD, S.CANCELLED)
    calls = almas.lender.control("GET", "log")["entries"]
    item = f"/items/{course.supplier.item_pid}"
    order = [
        entry["method"] for entry in calls if "/requests/" in entry["path"] or entry["path"].endswith(item)
    ]
    assert order[-3:] == ["DELETE", "GET", "GET"]
    assert answer.reports[0].seen.item.process_type == course.item(Role.SUPPLIER).process_type or None


def test_a_cancellation_after_which_the_item_cannot_be_read_is_tried_again(course, almas):
    almas.lender.strike("server_error", "GET", "/items/")
    answer = course.do(A.CANCEL_SUPPLIER_HOLD, S.CANCELLED)
    assert isinstance(answer, Later)
    assert "nobody knows whether it travels" in answer.reason
    assert almas.lender.contents()["requests"] == {}
    almas.lender.control("DELETE", "faults")
    assert acks(course.do(A.CANCEL_SUPPLIER_HOLD, S.CANCELLED)) == [AckName.ACTION_DONE]


def test_while_a_cancelled_request_leaves_the_lenders_item_in_transit_the_virtual_item_stays(course, almas):
    course.placed()

    def in_transit(state):
        state.standing = (flags.CANCELLED_IN_TRANSIT,)

    answer = course.do(A.CLEANUP, S.CANCELLED, change=in_transit)
    assert isinstance(answer, Later)
    assert (
        answer.after == timedelta()
    )  # the store drops it, and the machine asks for it again when the transit is over
    assert len(almas.borrower.contents()["bibs"]) == 1
    assert acks(course.do(A.CLEANUP, S.CANCELLED)) == [AckName.CLEANED_UP]
    assert almas.borrower.contents()["bibs"] == {}


@pytest.mark.parametrize(
    ("action", "status", "closure", "outcome", "reason"),
    [
        (A.CANCEL_SUPPLIER_HOLD, S.CANCELLED, Closure.CANCELED, RequestOutcome.CANCELLED, "patron"),
        (A.CANCEL_SUPPLIER_HOLD, S.AWAITING_RETURN, None, None, "patron"),
        (A.CANCEL_SUPPLIER_HOLD, S.AWAITING_RETURN, Closure.HOLD_SHELF_EXPIRED, None, "no_longer_needed"),
        (A.CANCEL_SUPPLIER_HOLD, S.RETURN_TRANSIT, None, None, "no_longer_needed"),
        (A.VERIFY_SUPPLIER_HOLD_GONE, S.AWAITING_RETURN, Closure.CANCELED, None, "patron"),
        (A.CLEANUP, S.CANCELLED, Closure.CANCELED, RequestOutcome.CANCELLED, "patron"),
        (A.CLEANUP, S.NO_ITEMS, Closure.CANCELED, RequestOutcome.NOT_SUPPLIED, "not_supplied"),
        (A.CLEANUP, S.COMPLETED, None, RequestOutcome.SUPPLIED, "no_longer_needed"),
        (A.CLEANUP, S.COMPLETED, None, RequestOutcome.UNKNOWN, "operator"),
    ],
)
def test_a_hold_is_cancelled_for_its_reason(action, status, closure, outcome, reason, course, almas):
    codes = {
        "patron": "CancelledAtPatronRequest",
        "not_supplied": "CannotBeFulfilled",
        "no_longer_needed": "AdditionalReason01",
        "operator": "AdditionalReason02",
    }
    own = almas.lender_settings.model_copy(update={"cancel_reasons": codes})
    almas.systems = Systems(
        almas.settings.model_copy(update={"systems": {**almas.settings.systems, "LENDER": own}}), almas
    )
    course.actor = almas.actor()

    def change(state):
        state.closure, state.outcome = closure, outcome

    course.do(action, status, change=change)
    (deleted,) = almas.lender.control("GET", "log?method=DELETE")["entries"]
    assert f"reason={codes[reason]}&" in deleted["query"]


def test_without_another_lender_the_patrons_hold_is_cancelled(course, almas):
    course.placed()
    assert acks(course.do(A.RESOLVE_NEXT_SUPPLIER, S.NOT_SUPPLIED)) == [AckName.NO_ITEMS]
    assert almas.borrower.contents()["requests"] == {}
    assert len(almas.borrower.contents()["bibs"]) == 1


@pytest.mark.parametrize("status", [S.COMPLETED, S.CANCELLED, S.NO_ITEMS])
def test_a_settled_request_is_cleaned_up_at_both_sides(status, course, almas):
    course.placed()
    assert acks(course.do(A.CLEANUP, status)) == [AckName.CLEANED_UP]
    lender, borrower = almas.lender.contents(), almas.borrower.contents()
    assert lender["requests"] == borrower["requests"] == borrower["bibs"] == {}
    assert VP in lender["users"]
    assert acks(course.do(A.CLEANUP, status)) == [AckName.CLEANED_UP]


def test_a_virtual_item_that_came_about_without_our_knowing_is_cleaned_up_as_well(course, almas):
    course.placed()
    course.borrower = LegRecord(Role.BORROWER, "BORROWER", user_id=PATRON)
    cancel_hold(
        almas.at_borrower, PATRON, next(iter(almas.borrower.contents()["requests"])), "CannotBeFulfilled"
    )
    assert acks(course.do(A.CLEANUP, S.CANCELLED)) == [AckName.CLEANED_UP]
    assert almas.borrower.contents()["bibs"] == {}


def test_what_others_placed_is_theirs_to_take_away(course, almas):
    course.placed()
    course.borrower = replace(course.borrower, is_virtual=False)
    assert acks(course.do(A.CLEANUP, S.CANCELLED)) == [AckName.CLEANED_UP]
    assert len(almas.borrower.contents()["bibs"]) == 1


def test_nothing_is_taken_away_while_a_book_is_out(course, almas):
    course.placed()
    course.desk(library="MAIN", lend_to=PATRON)
    answer = course.do(A.CLEANUP, S.COMPLETED)
    assert isinstance(answer, Later)
    assert "is lent" in answer.reason
    assert len(almas.borrower.contents()["loans"]) == 1


def test_nothing_is_taken_away_while_the_lenders_loan_is_open_unless_a_person_said_so(course, almas):
    course.placed()
    alma_act.lend(almas.at_lender, almas.lender_settings, course.supplier)

    def lent(state):
        state.legs[Role.SUPPLIER] = Leg(lent=True)

    answer = course.do(A.CLEANUP, S.COMPLETED, change=lent)
    assert isinstance(answer, Later)
    assert "nothing is taken away while the book is out" in answer.reason
    assert len(almas.borrower.contents()["bibs"]) == 1

    def closed_by_hand(state):
        lent(state)
        state.outcome = RequestOutcome.UNKNOWN

    assert acks(course.do(A.CLEANUP, S.COMPLETED, change=closed_by_hand)) == [AckName.CLEANED_UP]


# --- what comes between


def test_an_action_that_was_overtaken_is_not_done(course, almas):
    for action, status, args in (
        (A.CREATE_SUPPLIER_LOAN, S.RETURN_TRANSIT, ()),
        (A.CLEANUP, S.LOANED, ()),
        (A.BORROWER_SCAN_IN, S.LOANED, ("TRANSIT",)),
    ):
        posts = len(almas.lender.calls("POST"))
        answer = course.do(action, status, *args)
        assert isinstance(answer, Later)
        assert (answer.after, len(almas.lender.calls("POST"))) == (timedelta(), posts)


def test_an_alma_that_does_not_answer_is_asked_later(course, almas):
    almas.lender.strike("server_error", "GET", "/loans")
    answer = course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)
    assert isinstance(answer, Later)
    assert answer.reason.startswith("The user's loans could not be read: ")
    assert VP not in answer.reason


def test_what_ends_the_run_is_no_outcome_of_one_request(course, almas):
    almas.lender.strike("refuse", "POST", "/loans", code="UNAUTHORIZED")
    with pytest.raises(RemoteUnauthorized):
        course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)


def test_a_system_that_left_the_settings_waits_for_somebody(course):
    course.supplier = replace(course.supplier, system_code="GONE")
    answer = course.do(A.CANCEL_SUPPLIER_HOLD, S.CANCELLED)
    assert isinstance(answer, Later)
    assert "There is no system 'GONE' in config/dcb.yaml" in answer.reason
