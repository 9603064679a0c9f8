"""What is concluded wrongly from too little, and what must still be concluded: one pair of stories for each rule."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from alma_etl.alma.user_requests import UserRequest
from alma_etl.dcb.machine.model import RULES, State, read_end, read_seen
from alma_etl.dcb.machine.step import is_wanted
from alma_etl.dcb.machine.vocabulary import ActionType, Closure, Role, Status, Workflow
from alma_etl.dcb.plan import Look, Part, interval_of, is_tracked, parts_wanted
from alma_etl.dcb.settings import SystemSettings, shipped_settings
from alma_etl.dcb.sides.alma_read import gone_hold, of_request
from tests.unit.dcb.story import (
    Story,
    cancelled_while_out,
    loaned,
    on_shelf,
    placed,
    placed_at,
    returned,
    shipped,
)

S, B = Role.SUPPLIER, Role.BORROWER
PUA = Workflow.PICKUP_ANYWHERE
NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
SETTINGS = shipped_settings()


def iso(hour: int, minute: int = 0) -> str:
    return f"2026-01-20T{hour:02}:{minute:02}:00Z"


# --- 1. a transit is a dispatch only of a hold that is being worked on


def test_a_transit_before_our_hold_was_started_is_for_somebody_else() -> None:
    story = placed().see("S", "NOT_STARTED", "TRANSIT")
    assert (story.path, story.actions) == ([], [])
    story.see("S", "NOT_STARTED", "HOLDSHELF")
    assert (story.path, story.standing) == ([], set())  # another patron's shelf is no wrong desk of ours
    story.see("S", "IN_PROCESS", "HOLDSHELF")
    assert story.standing == set()


@pytest.mark.parametrize("word", ["IN_PROCESS", "ON_HOLD_SHELF", "In Process"])
def test_a_transit_of_a_hold_that_was_started_is_the_dispatch(word: str) -> None:
    assert placed().see("S", word, "TRANSIT").path == ["PICKUP_TRANSIT"]


def test_a_transit_for_somebody_else_gives_way_to_what_the_patron_s_side_shows() -> None:
    story = placed().see("S", "NOT_STARTED", "TRANSIT").see("B", "ON_HOLD_SHELF", "HOLDSHELF")
    assert story.path == ["PICKUP_TRANSIT*", "RECEIVED_AT_PICKUP", "READY_FOR_PICKUP"]


def test_our_own_hold_on_the_lender_s_shelf_is_the_wrong_desk_until_it_is_seen_to_be_over() -> None:
    story = placed().see("S", "ON_HOLD_SHELF", "HOLDSHELF")
    assert story.standing == {"DISPATCH_ON_WRONG_DESK"}
    story.see("S", "?", "HOLDSHELF")
    assert (story.flags, story.standing) == ([], {"DISPATCH_ON_WRONG_DESK"})
    story.see("S", "IN_PROCESS", "in place")
    assert story.standing == set()


# --- 2. a loan that ended is a return only with the item beside it


@pytest.mark.parametrize(
    "item", [None, "?", "gone", "LOST_LOAN_AND_PAID", "MISSING", "CLAIM_RETURNED_LOAN", "ODD"]
)
def test_a_loan_that_ended_is_no_return_without_the_item_in_hand(item: str | None) -> None:
    story = loaned().see("B", None, item, "Complete")
    assert (story.path, story.status) == ([], Status.LOANED)
    story.see("B", None, "TRANSIT", "Complete")
    assert story.path == ["RETURN_TRANSIT"]


@pytest.mark.parametrize("item", [None, "?", "gone", "LOST_LOAN_AND_PAID"])
def test_nor_does_the_lender_s_loan_complete_the_request(item: str | None) -> None:
    story = returned().see("S", None, item, "Complete")
    assert story.path == []
    story.see("S", None, "HOLDSHELF", "Complete")
    assert story.path == ["COMPLETED"]


@pytest.mark.parametrize("item", ["TRANSIT", "in place", "HOLDSHELF", "REQUESTED", "LOAN"])
def test_a_loan_that_ended_with_the_item_in_hand_is_a_return(item: str) -> None:
    assert loaned().see("B", None, item, "Complete").path == ["RETURN_TRANSIT"]
    assert returned().see("S", None, item, "Complete").path == ["COMPLETED"]


def test_a_loan_that_ended_under_a_vanished_hold_was_at_least_lent() -> None:
    story = on_shelf().see("B", "gone", "?", "Complete")
    assert story.path == ["LOANED"]
    story.see("B", None, "TRANSIT", "Complete")
    assert story.path == ["RETURN_TRANSIT"]


def test_a_loan_that_ended_before_the_hold_was_ever_read_is_an_earlier_one() -> None:
    assert placed().see("B", "?", "TRANSIT", "Complete").path == []


@pytest.mark.parametrize("loan", ["Complete", "?", "none"])
def test_a_loan_that_ended_or_is_unread_makes_the_plan_read_the_item_and_look_again_soon(loan: str) -> None:
    state = loaned().state
    got: Any = read_seen({"role": "BORROWER", "at": "T50", "loan": _loan(loan)})
    assert parts_wanted(state, B, Look(NOW), SETTINGS, got) == (Part.ITEM,)


def _loan(word: str) -> dict[str, Any]:
    if word in ("?", "none"):
        return {"found": None if word == "?" else False}
    return {"found": True, "loan_status": word}


# --- 3. due dates


def test_a_due_date_that_merely_moves_is_neither_a_recall_nor_a_renewal() -> None:
    story = loaned().see("S", None, "LOAN", "Active", due="2026-03-01")
    story.see("S", None, "LOAN", "Active", due="2026-02-20")
    assert (story.flags, story.actions) == (["LOAN_DUE_CHANGED"], [])
    for due in ("2026-03-15", "2026-01-15"):
        story.see("B", None, "LOAN", "Active", due=due)
        assert (story.flags, story.actions) == (["LOAN_DUE_CHANGED"], [])
    story.see("B", None, "LOAN", "Active", due="2026-01-15")
    assert story.flags == []


def test_nor_when_the_loan_was_renewed_once_and_its_date_of_renewal_stays() -> None:
    renewed = "2026-01-20T10:00:00Z"
    story = loaned().see("B", None, "LOAN", "Active/RENEW", due="2026-03-01", last_renew_date=renewed)
    assert story.flags == ["RENEWED"]
    story.see("B", None, "LOAN", "Active/RENEW", due="2026-03-08", last_renew_date=renewed)
    assert (story.flags, story.actions) == (["LOAN_DUE_CHANGED"], [])
    story.see("B", None, "LOAN", "Active/RENEW", due="2026-04-01", last_renew_date="2026-02-20T10:00:00Z")
    assert (story.flags, story.actions) == (["RENEWED"], [["RENEW_SUPPLIER_LOAN"]])


def test_a_recall_that_ends_lets_the_patron_renew_again() -> None:
    story = loaned().see("S", None, "LOAN", "Active/RECALL", due="2026-02-20", other_requests=1)
    assert story.actions == [["PREVENT_RENEWAL_AT_BORROWER"]]  # for two reasons, once
    for loan, waiting in (("Active", 1), ("Active/RECALL", 0), ("?", 0), ("Active/OVERDUENOTIFICATION", 0)):
        story.see("S", None, "LOAN", loan, other_requests=waiting)
        assert ["RESTORE_RENEWAL_AT_BORROWER"] not in story.actions, (loan, waiting)
    story.see("S", None, "LOAN", "Active")  # not counted is not none
    assert story.actions == []
    story.see("S", None, "LOAN", "Active", other_requests=0)
    assert story.actions == [["RESTORE_RENEWAL_AT_BORROWER"]]
    story.see("S", None, "LOAN", "Active", other_requests=0)
    assert story.actions == []
    story.see("S", None, "LOAN", "Active/RECALL", other_requests=0)
    assert (story.flags, story.actions) == (["RECALLED"], [["PREVENT_RENEWAL_AT_BORROWER"]])


@pytest.mark.parametrize(("loan", "waiting"), [("Active/RECALL", 0), ("Active", 1)])
def test_a_recall_that_began_before_the_patron_had_the_book_counts_once_it_is_lent(
    loan: str, waiting: int
) -> None:
    story = on_shelf().see("S", None, "LOAN", loan, other_requests=waiting)
    assert (story.flags, story.actions) == ([], [])
    assert story.see("B", "gone", "LOAN", "Active").path == ["LOANED"]
    story.see("S", None, "LOAN", loan, other_requests=waiting)
    assert (story.flags, story.actions) == (["RECALLED"], [["PREVENT_RENEWAL_AT_BORROWER"]])
    for again in ("Active/OVERDUENOTIFICATION", "Active/RECALL"):
        assert story.see("S", None, "LOAN", again, other_requests=waiting).actions == []
    story.see("S", None, "LOAN", "Active", other_requests=0)
    assert story.actions == [["RESTORE_RENEWAL_AT_BORROWER"]]


def test_nothing_is_restored_that_was_not_prevented_or_once_the_book_is_back() -> None:
    assert loaned().see("S", None, "LOAN", "Active", other_requests=0).actions == []
    story = loaned().see("S", None, "LOAN", "Active/RECALL").see("B", None, "TRANSIT", "Complete")
    assert story.see("S", None, "LOAN", "Active").actions == []
    assert not is_wanted(ActionType.RESTORE_RENEWAL_AT_BORROWER, (), Status.RETURN_TRANSIT)


# --- 4. RET-PUA


def test_pua_a_closed_virtual_loan_at_home_does_not_outvote_the_book() -> None:
    story = shipped(PUA).see("P", "ON_HOLD_SHELF", "HOLDSHELF").see("P", "gone", "LOAN", "Active")
    story.ack("BORROWER_LOAN_CREATED", at="T30").see("B", "gone", "in place", "Complete", at="T31")
    assert (story.path, story.status) == ([], Status.LOANED)
    story.see("P", None, "TRANSIT", "Complete", at="T32")
    assert story.path == ["RETURN_TRANSIT"]


# --- 5. webhooks: closed says not how


def test_closed_is_inferred_as_without_a_webhook() -> None:
    assert gone_hold("CANCELED").closure is Closure.CANCELED
    assert gone_hold("COMPLETED").closure is None  # kept by an earlier version
    story = on_shelf().see("B", "gone:COMPLETED", "HOLDSHELF", "none").see("B", "gone", "HOLDSHELF", "none")
    assert story.path == ["AWAITING_RETURN_TO_SUPPLIER"]
    assert story.standing == set()


def test_what_was_explicit_stays_explicit() -> None:
    story = placed().see("B", "gone:CANCELED", "?").see("B", "gone", "in place", "none")
    assert story.path == ["CANCELLED"]
    assert story.state.closure is Closure.CANCELED


# --- 6. an Alma that forgets loans


@pytest.mark.parametrize("item", ["TRANSIT", "HOLDSHELF", "REQUESTED", "in place"])
def test_a_loan_that_alma_forgot_is_over_when_the_item_is_elsewhere(item: str) -> None:
    story = returned().see("S", None, "LOAN", "Active").see("S", None, item, "none")
    assert story.path == ["COMPLETED"]
    assert loaned().see("B", None, "LOAN", "Active").see("B", None, item, "none").path == ["RETURN_TRANSIT"]


@pytest.mark.parametrize("item", ["?", "LOST_LOAN", "MISSING", "gone", None, "LOAN", "ILL"])
def test_and_is_not_over_while_the_item_does_not_show_it(item: str | None) -> None:
    story = returned().see("S", None, "LOAN", "Active").see("S", None, item, "none")
    assert story.path == []
    story.see("S", None, "TRANSIT", "none")
    assert story.path == ["COMPLETED"]


def lent_at(made: str) -> Story:
    story = Story().see("S", "IN_PROCESS", "TRANSIT", at=iso(1)).ack("BORROWER_PLACED", at=iso(2))
    story.see("B", "gone", "LOAN", "Active", at=iso(3))
    return story.ack("SUPPLIER_LOAN_CREATED", at=made)


def test_a_loan_of_ours_may_end_and_be_forgotten_before_anybody_looked() -> None:
    story = lent_at(iso(4)).see("S", None, "in place", "none", at=iso(10))
    assert (story.path, story.flags) == (["RETURN_TRANSIT*", "COMPLETED"], ["RETURNED_DIRECT_TO_SUPPLIER"])
    assert lent_at(iso(4)).see("S", None, "MISSING", "none", at=iso(10)).path == []
    assert returned().see("S", None, "TRANSIT", "none").path == ["COMPLETED"]


def test_and_a_list_that_is_as_old_as_the_loan_shows_no_end() -> None:
    story = lent_at(iso(4)).see("S", None, "TRANSIT", "none", at=iso(4, 9))
    assert story.path == []
    story.see("S", None, "in place", "none", at=iso(4, 10))
    assert story.path == ["RETURN_TRANSIT*", "COMPLETED"]
    story = lent_at(iso(4)).see("S", None, "TRANSIT", "none", at=iso(4, 9))
    story.see("S", None, "LOAN", "Active", at=iso(5)).see("S", None, "in place", "none", at=iso(5, 1))
    assert story.path == ["RETURN_TRANSIT*", "COMPLETED"]


def test_an_earlier_loan_of_the_same_item_does_not_hide_that_ours_was_forgotten() -> None:
    story = placed().see("S", "IN_PROCESS", "TRANSIT", request_date="2026-01-10")
    story.see("B", "gone", "LOAN", "Active").see("S", None, "LOAN", "Active", loan_date="2026-01-12")
    story.see("B", None, "TRANSIT", "Complete").see("S", None, "TRANSIT", "Complete", loan_date="2025-01-01")
    assert story.path == ["COMPLETED"]


def test_lent_by_somebody_else_once_our_loan_is_over() -> None:
    story = loaned().see("B", None, "LOAN", "Complete", at="T50")
    assert (story.path, story.standing) == (["RETURN_TRANSIT"], set())
    story.see("B", None, "LOAN", "Complete", at="T51")
    assert (story.flags, story.standing) == (["LOANED_AGAIN"], {"LOANED_AGAIN"})
    assert story.see("B", None, "LOAN", "Complete", at="T52").flags == []
    assert story.see("B", None, "TRANSIT", "Complete", at="T53").standing == set()


def test_two_sightings_a_moment_apart_are_one() -> None:
    story = Story().see("S", "IN_PROCESS", "in place", at=iso(1)).ack("BORROWER_PLACED")
    story.see("B", "gone", "LOAN", "Active", at=iso(2)).see("B", None, "LOAN", "none", at=iso(3))
    story.see("B", None, "LOAN", "none", at=iso(3, 9))
    assert story.standing == set()
    story.see("B", None, "LOAN", "none", at=iso(3, 10))
    assert (story.status, story.standing) == (Status.LOANED, {"LOANED_AGAIN"})
    story.see("B", None, "LOAN", "Active", at=iso(4))
    assert story.standing == set()


def test_lent_to_others_at_the_lender_is_home() -> None:
    story = returned().see("S", None, "LOAN", "none")
    assert story.path == []
    assert story.see("S", None, "LOAN", "none").path == ["COMPLETED"]


# --- 7. cancelled, and the lender's item travels


def cancelled(item: str, process: str = "") -> Story:
    story = placed().see("B", "gone:CANCELED", "in place", "none", at="T20")
    assert story.actions == [["CANCEL_SUPPLIER_HOLD"], ["CLEANUP"]]
    read = {"found": True, "base_status": item, "process_type": process}
    return story.ack("ACTION_DONE", at="T21", role="SUPPLIER", action="CANCEL_SUPPLIER_HOLD", item=read)


def wants_cleanup(story: Story) -> bool:
    return is_wanted(ActionType.CLEANUP, (), story.status, story.state.standing)


def test_cancelled_in_transit_waits_for_its_end_and_is_then_cleaned_up() -> None:
    story = cancelled("0", "TRANSIT")
    assert (story.path, story.standing) == ([], {"CANCELLED_IN_TRANSIT"})
    assert not wants_cleanup(story)
    assert is_tracked(story.status, story.state.standing)
    assert interval_of(story.state, NOW, SETTINGS) == SETTINGS.intervals.returning
    assert parts_wanted(story.state, S, Look(NOW), SETTINGS) == (Part.ITEM,)
    assert parts_wanted(story.state, B, Look(NOW, full=True), SETTINGS) == ()
    for item in ("?", "TRANSIT", "MISSING"):
        story.see("S", None, item, at=f"T3{story.count}")
        assert (story.actions, "CANCELLED_IN_TRANSIT" in story.standing) == ([], True)
    story.see("S", None, "in place", at="T50")
    assert (story.actions, story.standing) == ([["CLEANUP"]], set())
    assert wants_cleanup(story)
    assert interval_of(story.state, NOW, SETTINGS) is None
    assert story.ack("CLEANED_UP").path == ["FINALISED"]


def test_cancelled_in_place_is_cleaned_up_at_once() -> None:
    story = cancelled("1")
    assert (story.flags, story.standing, wants_cleanup(story)) == ([], set(), True)
    assert not is_tracked(story.status, story.state.standing)


def test_a_person_may_end_the_wait_by_force() -> None:
    story = cancelled("0", "TRANSIT").ack("OPERATOR_CLEANUP", at="T22")
    assert (story.flags, story.actions) == (["OPERATOR_CLEANUP_REFUSED"], [])
    story.ack("OPERATOR_CLEANUP", at="T23", force=True)
    assert (story.actions, story.standing) == ([["CLEANUP"]], set())


def test_while_the_book_is_out_the_cancelled_hold_shows_nothing_new() -> None:
    story = cancelled_while_out()
    read = {"found": True, "base_status": "1", "process_type": ""}
    story.ack("ACTION_DONE", at="T50", role="SUPPLIER", action="CANCEL_SUPPLIER_HOLD", item=read)
    assert (story.path, story.standing) == ([], set())


def test_a_cancellation_waits_for_a_lender_s_side_that_could_not_be_read() -> None:
    story = placed().see("S", "?", "in place").see("B", "gone:CANCELED", "in place")
    assert story.path == []
    assert story.see("S", "NOT_STARTED", "in place").path == ["CANCELLED"]


# --- 8. gone


def test_an_item_is_gone_when_it_is_missed_twice_apart() -> None:
    story = placed_at(iso(8)).see("S", "IN_PROCESS", "gone", at=iso(9))
    assert story.standing == set()
    assert story.see("S", "IN_PROCESS", "gone", at=iso(9, 9)).standing == set()
    assert story.see("S", "IN_PROCESS", "gone", at=iso(9, 10)).standing == {"SUPPLIER_ITEM_GONE"}
    assert story.see("S", "IN_PROCESS", "gone", at=iso(9, 11)).standing == {"SUPPLIER_ITEM_GONE"}
    assert story.see("S", "IN_PROCESS", "in place", at=iso(10)).standing == set()
    assert story.see("S", "IN_PROCESS", "gone", at=iso(11)).standing == set()


def test_the_day_on_which_a_hold_vanished_decides_whether_it_had_expired() -> None:
    story = placed().see(
        "B", "ON_HOLD_SHELF", "HOLDSHELF", expiry="2026-02-11T00:00:00Z", at="2026-02-01T08:00:00Z"
    )
    story.see("B", "gone", "HOLDSHELF", "none", at="2026-02-10T23:50:00Z")
    story.see("B", "gone", "HOLDSHELF", "none", at="2026-02-11T00:05:00Z")
    assert (story.path, story.state.closure) == (["AWAITING_RETURN_TO_SUPPLIER"], Closure.CANCELED)


def test_the_last_day_of_a_hold_ends_in_the_zone_of_the_institution() -> None:
    raw = {"request_id": "1", "expiry_date": "2026-02-10Z"}
    request = UserRequest("1", "u", "HOLD", "ON_HOLD_SHELF", "", "", "", "", "", "", 0, "", raw)
    zone = SystemSettings(alma_conn_id="a", library="L", timezone="America/Los_Angeles").zone
    assert of_request(request, zone=zone).expiry_date == datetime(2026, 2, 11, 8, tzinfo=UTC)
    assert of_request(request).expiry_date == datetime(2026, 2, 11, tzinfo=UTC)
    assert read_end("2026-02-10T18:00:00Z", zone) == datetime(2026, 2, 10, 18, tzinfo=UTC)
    with pytest.raises(ValueError, match="out of the range"):
        read_end("9999-12-31")


# --- 9. what could not be read is in doubt until it is read


NOTHING: list[tuple[str | None, ...]] = [
    ("?", "?", "?"),
    ("?", None, None),
    (None, "?", None),
    (None, None, "?"),
]


@pytest.mark.parametrize("nothing", NOTHING)
def test_an_empty_look_does_not_make_a_failure_forgotten(nothing: tuple[str | None, ...]) -> None:
    story = placed().see("S", "IN_PROCESS", "in place").see("S", "?", "TRANSIT")
    assert story.see("S", *nothing).path == []
    assert story.see("S", "IN_PROCESS", "TRANSIT").path == ["PICKUP_TRANSIT"]
    story = placed().see("S", "gone", "in place").see("S", "gone", "?", "?")
    assert story.see("S", *nothing).path == []
    assert story.see("S", "gone", "in place", "none").path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]
    story = on_shelf().see("B", "gone", "HOLDSHELF", "none").see("B", "gone", "?", "?")
    assert story.see("B", *nothing).path == []
    assert story.see("B", "gone", "TRANSIT", "none").path == ["AWAITING_RETURN_TO_SUPPLIER"]


def test_hold_and_item_read_long_apart_are_no_dispatch_and_no_end() -> None:
    story = placed_at(iso(8)).see("S", "IN_PROCESS", at=iso(9)).see("S", None, "TRANSIT", at=iso(10))
    assert story.path == []
    story.see("S", "IN_PROCESS", at=iso(10, 9))
    assert story.path == ["PICKUP_TRANSIT"]
    story = placed_at(iso(8)).see("S", "gone", "in place", at=iso(9)).see("S", "gone", at=iso(10))
    assert story.path == []
    assert story.see("S", None, "in place", at=iso(10, 5)).path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]


def test_an_old_answer_about_the_loan_does_not_say_to_whom_the_item_is_lent_now() -> None:
    story = (
        placed_at(iso(8)).see("S", "gone", "in place", "none", at=iso(9)).see("S", "gone", "LOAN", at=iso(10))
    )
    assert story.path == []
    assert story.see("S", "gone", "LOAN", "none", at=iso(11)).path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]


def test_what_failed_is_asked_for_again_until_it_is_read() -> None:
    state = loaned().see("S", None, "LOAN", "?").state
    assert parts_wanted(state, S, Look(NOW), SETTINGS) == (Part.ITEM, Part.LOAN)
    state = shipped().see("B", "NOT_STARTED", "?").state
    state.legs[B].item_at = state.legs[B].at
    assert Part.ITEM in parts_wanted(state, B, Look(NOW), SETTINGS)


# --- what older versions stored


def test_a_state_of_an_older_version_loads_and_says_so() -> None:
    stored = {
        "workflow": "RET-STD",
        "status": "PICKUP_TRANSIT",
        "legs": {
            "SUPPLIER": {"gone": 1, "gone_since": "T02", "gone_last": "T02", "hold": "CONFIRMED", "at": "T02"}
        },
    }
    old = State.from_json(stored)
    assert (old.rules, State().rules) == (1, RULES)
    assert State.from_json(json.loads(json.dumps(State().to_json()))) == State()
    assert State.from_json(json.loads(json.dumps(old.to_json()))) == old
