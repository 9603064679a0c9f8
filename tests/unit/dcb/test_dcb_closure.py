"""How a vanished hold ended: the six closures that Alma's pages know, concluded from what can be read."""

import pytest

from alma_etl.dcb.machine.vocabulary import Closure, Confidence, RequestOutcome, Role, Status
from tests.unit.dcb.story import loaned, on_shelf, placed, placed_at, shipped

B = Role.BORROWER


def test_completed_the_item_is_lent_to_the_user() -> None:
    story = on_shelf().see("B", "gone", "LOAN", "Active")
    assert story.status is Status.LOANED
    assert story.state.leg(B).closure is Closure.COMPLETED
    assert story.state.leg(B).confidence is Confidence.HIGH


def test_completed_the_loan_is_over_already() -> None:
    story = on_shelf().see("B", "gone", "TRANSIT", "Complete")
    assert story.path == ["LOANED*", "RETURN_TRANSIT"]
    assert story.state.leg(B).closure is Closure.COMPLETED


def test_a_loan_from_before_the_request_is_not_its_fulfilment() -> None:
    story = placed()
    story.see("B", "IN_PROCESS", "in place", request_date="2026-01-10")
    story.see("S", "IN_PROCESS", "TRANSIT")
    story.see("B", "gone", "TRANSIT", "Complete", loan_date="2026-01-09T10:00:00Z")
    assert story.path == []
    story.see("B", "gone", "TRANSIT", "Complete", loan_date="2026-01-09T10:00:00Z")
    assert story.path == ["AWAITING_RETURN_TO_SUPPLIER"]


def test_a_complete_loan_under_a_living_hold_is_an_earlier_one() -> None:
    story = shipped().see("B", "IN_PROCESS", "in place", "Complete")
    assert story.path == []
    assert story.status is Status.PICKUP_TRANSIT


def test_fulfilled_says_alma_but_no_loan_is_found() -> None:
    story = on_shelf()
    for _ in range(3):
        story.see("B", "gone:COMPLETED", "TRANSIT", "none")
        assert story.path == []
    assert story.standing == {"CLOSED_WITHOUT_LOAN"}
    story.see("B", "gone:COMPLETED", "TRANSIT", "Complete")
    assert story.path == ["LOANED*", "RETURN_TRANSIT"]
    assert story.standing == set()


SHELF = {"req": "ON_HOLD_SHELF", "it": "HOLDSHELF", "expiry": "2026-02-10"}


@pytest.mark.parametrize(
    ("first", "second", "closure"),
    [
        ("2026-02-11T08:00:00Z", "2026-02-11T09:00:00Z", Closure.HOLD_SHELF_EXPIRED),
        ("2026-02-10T08:00:00Z", "2026-02-10T09:00:00Z", Closure.CANCELED),
        ("2026-02-08T08:00:00Z", "2026-02-08T09:00:00Z", Closure.CANCELED),
    ],
)
def test_gone_from_the_hold_shelf_after_or_before_its_last_day(
    first: str, second: str, closure: Closure
) -> None:
    story = placed()
    story.see("B", at="2026-02-01T08:00:00Z", **SHELF)
    assert story.status is Status.READY_FOR_PICKUP
    story.see("B", "gone", "HOLDSHELF", "none", at=first)
    assert story.path == []
    story.see("B", "gone", "HOLDSHELF", "none", at=second)
    assert story.path == ["AWAITING_RETURN_TO_SUPPLIER"]
    assert (story.state.closure, story.state.confidence) == (closure, Confidence.MEDIUM)


def test_canceled_by_explicit_evidence_needs_one_sighting() -> None:
    story = shipped().see("B", "gone:CANCELED", "TRANSIT", "none")
    assert story.path == ["AWAITING_RETURN_TO_SUPPLIER"]
    assert (story.state.closure, story.state.confidence) == (Closure.CANCELED, Confidence.HIGH)


def test_expired_at_the_lender_never_picked_from_its_shelf() -> None:
    story = placed_at("2026-01-31T08:00:00Z")
    story.see("S", "IN_PROCESS", "REQUESTED", at="2026-02-01T08:00:00Z", expiry="2026-02-05")
    story.see("S", "gone", "MISSING", "none", at="2026-02-06T01:00:00Z")
    story.see("S", "gone", "MISSING", "none", at="2026-02-06T02:00:00Z")
    assert story.path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]
    assert story.state.closure is Closure.EXPIRED
    assert story.standing == {"SUPPLIER_ITEM_MISSING"}


@pytest.mark.parametrize(
    ("word", "flag"),
    [
        ("MISSING", "SUPPLIER_ITEM_MISSING"),
        ("LOST_LOAN_AND_PAID", "SUPPLIER_ITEM_LOST"),
        ("gone", "SUPPLIER_ITEM_GONE"),
    ],
)
def test_failed_at_the_lender(word: str, flag: str) -> None:
    story = placed().see("S", "gone", word, "none").see("S", "gone", word, "none")
    assert story.path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]
    assert story.state.closure is Closure.FAILED
    assert flag in story.standing


def test_failed_at_the_borrower_waits_for_a_person() -> None:
    story = on_shelf().see("B", "gone", "MISSING", "none").see("B", "gone", "MISSING", "none")
    assert story.path == []
    assert story.state.leg(B).closure is Closure.FAILED
    assert story.standing == {"BORROWER_ITEM_MISSING"}
    story.see("B", "gone", "HOLDSHELF", "none")
    assert story.path == ["AWAITING_RETURN_TO_SUPPLIER"]
    assert story.standing == set()


@pytest.mark.parametrize("reported", ["REJECTED", "EXPIRED", "FAILED", "UNKNOWN", "HOLD_SHELF_EXPIRED"])
def test_any_other_end_reported_at_the_lender_needs_two_sightings(reported: str) -> None:
    story = placed().see("S", f"gone:{reported}", "in place")
    assert story.path == []
    story.see("S", f"gone:{reported}", "in place")
    assert story.path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]
    assert story.state.closure == reported


def test_unknown_when_nothing_tells() -> None:
    story = placed().see("S", "gone", "in place").see("S", "gone", "in place")
    assert (story.state.closure, story.state.confidence) == (Closure.UNKNOWN, Confidence.LOW)


def test_a_row_of_history_is_a_request_that_is_gone() -> None:
    story = placed().see("S", "HISTORY", "in place")
    assert story.path == []
    story.see("S", "HISTORY", "in place")
    assert story.path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]


# --- two sightings


def iso(minute: int, second: int = 0) -> str:
    return f"2026-03-01T10:{minute:02}:{second:02}Z"


@pytest.mark.parametrize(
    ("minutes", "gone"),
    [
        ([0, 10], True),
        ([0, 5], False),
        ([0, 5, 9], False),
        ([0, 5, 10], True),
        ([0, 9, 11], True),
    ],
)
def test_two_sightings_count_when_ten_minutes_lie_between(minutes: list[int], gone: bool) -> None:
    story = placed_at("2026-03-01T09:00:00Z")
    for minute in minutes:
        story.see("S", "gone", "in place", at=iso(minute))
    assert story.status is (Status.NOT_SUPPLIED if gone else Status.RPBA)


def test_a_second_too_few_is_too_few() -> None:
    story = placed_at("2026-03-01T09:00:00Z")
    story.see("S", "gone", "in place", at=iso(0, 1)).see("S", "gone", "in place", at=iso(10, 0))
    assert story.status is Status.RPBA
    story.see("S", "gone", "in place", at=iso(10, 1))
    assert story.status is Status.NOT_SUPPLIED


def test_a_request_seen_again_starts_the_count_anew() -> None:
    story = placed_at("2026-03-01T09:00:00Z")
    story.see("S", "gone", "in place", at=iso(0))
    story.see("S", "IN_PROCESS", "in place", at=iso(15))
    story.see("S", "gone", "in place", at=iso(30))
    assert story.status is Status.RPBA
    story.see("S", "gone", "in place", at=iso(45))
    assert story.status is Status.NOT_SUPPLIED


def test_a_failed_read_counts_neither_way() -> None:
    story = placed().see("S", "gone", "in place").see("S", "?", "?").see("S", "?", "in place")
    assert story.status is Status.RPBA
    story.see("S", "gone", "in place")
    assert story.status is Status.NOT_SUPPLIED


# --- an absence is concluded only with the item in view


def test_gone_twice_is_not_enough_when_the_item_could_not_be_read() -> None:
    story = on_shelf()
    for _ in range(3):
        story.see("B", "gone", "?", "?")
        assert story.path == []
    story.see("B", "gone", "LOAN", "Active")
    assert story.path == ["LOANED"]


def test_gone_twice_is_not_enough_when_the_loan_could_not_be_read() -> None:
    story = on_shelf().see("B", "gone", "TRANSIT", "?").see("B", "gone", "TRANSIT", "?")
    assert story.path == []
    story.see("B", "gone", "TRANSIT", "Complete")
    assert story.path == ["LOANED*", "RETURN_TRANSIT"]


def test_an_item_seen_before_the_hold_vanished_proves_nothing() -> None:
    story = on_shelf().see("B", "gone").see("B", "gone")
    assert story.path == []


def test_a_loan_alone_is_proof_when_the_item_could_not_be_read() -> None:
    story = on_shelf().see("B", "gone", "?", "Active")
    assert story.path == ["LOANED"]


def test_at_the_lender_a_loan_to_somebody_else_is_the_end_of_ours() -> None:
    story = placed().see("S", "gone", "LOAN").see("S", "gone", "LOAN")
    assert story.path == []  # to whom? it may be our own early loan
    story.see("S", "gone", "LOAN", "none")
    assert story.path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]


def test_the_outcome_is_kept_with_the_last_status() -> None:
    assert loaned().see("S", None, "in place", "Complete").state.outcome is RequestOutcome.SUPPLIED
    cancelled = placed().see("B", "gone:CANCELED", "in place")
    assert (cancelled.status, cancelled.state.outcome) == (Status.CANCELLED, RequestOutcome.CANCELLED)
    unfilled = placed().see("S", "gone:CANCELED", "in place").ack("NO_ITEMS")
    assert (unfilled.status, unfilled.state.outcome) == (Status.NO_ITEMS, RequestOutcome.NOT_SUPPLIED)
