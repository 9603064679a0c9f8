"""The exceptional paths X1 to X31 on both sides, beyond the published vectors."""

import pytest

from alma_etl.dcb.machine.vocabulary import Status
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

# --- X1, X2: ends before shipping


def test_x1_the_lender_cancels_before_it_confirmed() -> None:
    story = Story().see("S", "gone", "in place").see("S", "gone", "in place")
    assert story.path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]


def test_x1_what_vanished_during_placing_acts_once_the_borrower_is_placed() -> None:
    story = (
        Story().see("S", "IN_PROCESS", "in place").see("S", "gone", "in place").see("S", "gone", "in place")
    )
    assert story.status is Status.CONFIRMED
    story.ack("BORROWER_PLACED")
    assert story.path == ["REQUEST_PLACED_AT_BORROWING_AGENCY", "NOT_SUPPLIED_CURRENT_SUPPLIER"]


def test_x1_the_next_supplier_starts_with_an_empty_memory() -> None:
    story = placed().see("S", "gone:CANCELED", "in place").ack("NEXT_SUPPLIER")
    assert story.path == ["REQUEST_PLACED_AT_SUPPLYING_AGENCY"]
    story.see("S", "gone", "in place", generation=1)
    assert story.flags == ["STALE_OBSERVATION_DROPPED"]
    story.see("S", "IN_PROCESS", "in place", generation=2)
    assert story.path == ["CONFIRMED"]
    assert story.actions == [["PLACE_AT_BORROWER"]]


def test_x2_a_book_in_transit_is_not_cancelled_before_its_hold_is_read() -> None:
    story = placed().see("S", "gone", "TRANSIT").see("B", "gone:CANCELED", "in place")
    assert story.path == []
    story.see("S", "IN_PROCESS", "TRANSIT")
    assert story.path == ["PICKUP_TRANSIT", "AWAITING_RETURN_TO_SUPPLIER"]


def test_x2_both_ends_vanish_and_the_lender_s_comes_first() -> None:
    story = placed().see("B", "gone", "in place").see("S", "gone", "in place")
    story.report(
        {
            "role": "BORROWER",
            "at": "T08",
            "request": {"found": False},
            "item": {"found": True, "base_status": "1"},
        },
        {
            "role": "SUPPLIER",
            "at": "T08",
            "request": {"found": False},
            "item": {"found": True, "base_status": "1"},
        },
    )
    assert story.path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]


# --- X3, X4: ends while the book is out


def test_x3_received_and_cancelled_between_two_polls() -> None:
    story = shipped().see("B", "gone:CANCELED", "HOLDSHELF", "none")
    assert story.path == ["RECEIVED_AT_PICKUP", "READY_FOR_PICKUP", "AWAITING_RETURN_TO_SUPPLIER"]


def test_x3_shipped_and_cancelled_in_one_cycle() -> None:
    story = placed()
    story.report(
        {
            "role": "BORROWER",
            "at": "T05",
            "request": {"found": False, "closure": "CANCELED"},
            "item": {"found": True, "base_status": "1"},
        },
        {
            "role": "SUPPLIER",
            "at": "T05",
            "request": {"found": True, "request_status": "IN_PROCESS"},
            "item": {"found": True, "base_status": "0", "process_type": "TRANSIT"},
        },
    )
    assert story.path == ["PICKUP_TRANSIT", "AWAITING_RETURN_TO_SUPPLIER"]
    assert story.actions == [
        ["BORROWER_SCAN_IN", "TRANSIT"],
        ["CANCEL_SUPPLIER_HOLD"],
        ["VERIFY_SUPPLIER_HOLD_GONE"],
    ]


def test_x3_it_stays_parked_until_the_book_is_home() -> None:
    story = cancelled_while_out()
    for word in ("TRANSIT", "?", "HOLDSHELF", "REQUESTED", "WORK_ORDER_DEPARTMENT"):
        story.see("S", "gone", word)
        assert story.path == []
    story.see("S", "gone", "in place")
    assert story.path == ["CANCELLED"]
    assert story.actions == [["CLEANUP"]]


# --- X5, X6, X7: states between two polls


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("HOLDSHELF", ["PICKUP_TRANSIT*", "RECEIVED_AT_PICKUP", "READY_FOR_PICKUP"]),
        ("LOAN", ["PICKUP_TRANSIT*", "RECEIVED_AT_PICKUP*", "READY_FOR_PICKUP*", "LOANED"]),
    ],
)
def test_x6_a_dispatch_that_nobody_saw_is_inferred_from_the_pickup_library(
    word: str, expected: list[str]
) -> None:
    story = placed().see("B", "ON_HOLD_SHELF", word)
    assert story.path == expected
    assert ["BORROWER_SCAN_IN", "TRANSIT"] not in story.actions


def test_x6_seen_on_the_shelf_while_the_lender_still_ships() -> None:
    story = placed()
    story.report(
        {"role": "BORROWER", "at": "T05", "request": {"found": True, "request_status": "ON_HOLD_SHELF"}},
        {
            "role": "SUPPLIER",
            "at": "T05",
            "request": {"found": True, "request_status": "IN_PROCESS"},
            "item": {"found": True, "base_status": "0", "process_type": "TRANSIT"},
        },
    )
    assert story.path == ["PICKUP_TRANSIT", "RECEIVED_AT_PICKUP", "READY_FOR_PICKUP"]
    assert story.actions == [
        ["SUPPLIER_SCAN_IN", "RECEIVED"]
    ]  # a scan for transit would take it off the shelf


def test_x7_everything_was_missed() -> None:
    story = placed().see("B", "gone", "TRANSIT", "Complete")
    assert story.path == [
        "PICKUP_TRANSIT*",
        "RECEIVED_AT_PICKUP*",
        "READY_FOR_PICKUP*",
        "LOANED*",
        "RETURN_TRANSIT",
    ]
    assert story.flags == ["LOAN_MISSED_BETWEEN_POLLS"]
    assert story.actions == [["CANCEL_SUPPLIER_HOLD"]]


# --- X8: lost, claimed, missing, and found again


@pytest.mark.parametrize(
    ("item", "loan", "flag"),
    [
        ("LOST_LOAN", "Active/LOST", "BORROWER_ITEM_LOST"),
        ("LOAN", "Active/LOST", "BORROWER_ITEM_LOST"),
        ("CLAIM_RETURNED_LOAN", "Active/CLAIMED_RETURN", "BORROWER_ITEM_CLAIMED_RETURNED"),
        ("LOAN", "Active/CLAIM_RETURN", "BORROWER_ITEM_CLAIMED_RETURNED"),
        ("MISSING", "Active", "BORROWER_ITEM_MISSING"),
        ("gone", "Active", "BORROWER_ITEM_GONE"),
    ],
)
def test_x8_trouble_with_the_item_changes_no_status_and_ends_when_it_is_found(
    item: str, loan: str, flag: str
) -> None:
    story = loaned()
    if item == "gone":
        assert story.see("B", "gone", item, loan).flags == []  # it may be a failure, if it is not seen again
    story.see("B", "gone", item, loan)
    assert (story.path, story.flags, story.standing) == ([], [flag], {flag})
    story.see("B", "gone", item, loan)
    assert story.flags == []
    story.see("B", "gone", "LOAN", "Active")
    assert story.standing == set()
    assert flag in story.state.flags


def test_x8_lost_and_paid_is_no_return_on_either_side() -> None:
    story = loaned().see("B", None, "LOST_LOAN_AND_PAID", "Complete")
    assert story.path == []
    story.see("S", None, "LOST_LOAN_AND_PAID", "Complete")
    assert story.path == []
    assert story.standing == {"BORROWER_ITEM_LOST", "SUPPLIER_ITEM_LOST"}
    story.ack("OPERATOR_CLOSE_LOST")
    assert story.path == ["COMPLETED"]
    assert story.state.outcome == "UNKNOWN"


def test_x8_lost_then_found_and_brought_back() -> None:
    story = loaned().see("B", None, "LOST_LOAN", "Active/LOST").see("B", None, "TRANSIT", "Complete")
    assert story.path == ["RETURN_TRANSIT"]
    assert story.standing == set()


def test_x8_lost_again_is_reported_again() -> None:
    story = loaned().see("B", None, "LOST_LOAN", "Active/LOST").see("B", None, "LOAN", "Active")
    story.see("B", None, "LOST_LOAN", "Active/LOST")
    assert story.flags == ["BORROWER_ITEM_LOST"]
    assert story.state.flags == ("BORROWER_ITEM_LOST",)


# --- X9, X10: recalls and renewals


def test_x9_recalled_by_the_process_status_once() -> None:
    story = loaned().see("S", None, "LOAN", "Active/RECALL", due="2026-02-20")
    assert (story.flags, story.actions) == (["RECALLED"], [["PREVENT_RENEWAL_AT_BORROWER"]])
    story.see("S", None, "LOAN", "Active/RECALL", due="2026-02-18")
    assert (story.flags, story.actions) == ([], [])


def test_x9_somebody_else_at_the_lender_waits_for_the_book() -> None:
    story = loaned().see("S", None, "LOAN", "Active", other_requests=0)
    assert story.flags == []
    story.see("S", None, "LOAN", "Active")  # not counted is not none
    story.see("S", None, "LOAN", "Active", other_requests=2)
    assert story.flags == ["RECALLED"]
    story.see("S", None, "LOAN", "Active", other_requests=3)
    assert story.flags == []


def test_x9_a_recall_before_the_patron_has_the_book_asks_for_nothing() -> None:
    story = on_shelf().see("S", "gone", "LOAN", "Active/RECALL")
    assert (story.flags, story.actions) == ([], [])


@pytest.mark.parametrize(
    "change",
    [
        {"ln": "Active/RENEW", "due": "2026-02-01"},
        {"ln": "Active", "due": "2026-02-01", "last_renew_date": "2026-01-20T10:00:00Z"},
    ],
)
def test_x10_a_renewal_shows_in_the_status_or_the_date_of_renewal(
    change: dict[str, str],
) -> None:
    story = loaned().see("B", None, "LOAN", **change)  # type: ignore[arg-type]
    assert (story.flags, story.actions) == (["RENEWED"], [["RENEW_SUPPLIER_LOAN"]])
    story.see("B", None, "LOAN", **change)  # type: ignore[arg-type]
    assert (story.flags, story.actions) == ([], [])


def test_x10_each_renewal_is_an_event_of_its_own() -> None:
    story = loaned()
    for due in ("2026-03-01", "2026-04-01"):
        story.see("B", None, "LOAN", "Active/RENEW", due=due)
        assert (story.flags, story.actions) == (["RENEWED"], [["RENEW_SUPPLIER_LOAN"]])
    assert story.state.flags == ("RENEWED",)


def test_x10_our_own_renewal_at_the_lender_is_no_news() -> None:
    story = loaned().see("S", None, "LOAN", "Active", due="2026-03-01")
    loan = {"found": True, "loan_status": "ACTIVE", "due_date": "2026-04-01"}
    story.ack("LOAN_RENEWED", role="SUPPLIER", at="T80", loan=loan)
    story.see("S", None, "LOAN", "Active", due="2026-04-01", at="T81")
    assert story.flags == []


# --- X11, X13, X14: the lender's side runs ahead


def test_x11_both_loans_closed_in_one_cycle_is_an_ordinary_return() -> None:
    story = loaned()
    loan = {"found": True, "loan_status": "COMPLETE"}
    in_place = {"found": True, "base_status": "1", "process_type": None}
    story.report(
        {"role": "SUPPLIER", "at": "T50", "item": in_place, "loan": loan},
        {"role": "BORROWER", "at": "T50", "item": in_place, "loan": loan},
    )
    assert story.path == ["RETURN_TRANSIT", "COMPLETED"]
    assert story.flags == []


def test_x11_an_item_in_place_alone_waits_for_the_patron_s_side() -> None:
    story = loaned().see("S", None, "in place")
    assert story.path == []
    story.see("B", None, "TRANSIT", "Complete")
    assert story.path == ["RETURN_TRANSIT", "COMPLETED"]


def test_x13_back_in_place_while_the_patron_still_waits() -> None:
    story = shipped().see("S", "IN_PROCESS", "in place")
    assert (story.path, story.flags) == ([], ["SUPPLIER_ITEM_BACK_EARLY"])
    story.see("S", "IN_PROCESS", "in place")
    assert story.flags == []
    story.see("S", "IN_PROCESS", "TRANSIT")
    assert story.standing == set()


def test_x13_an_item_that_was_in_place_all_the_time_is_not_back() -> None:
    story = placed().see("B", "ON_HOLD_SHELF", "HOLDSHELF").see("S", "IN_PROCESS", "in place")
    assert story.flags == []


def test_x14_the_early_loan_counts_as_ours_to_the_end() -> None:
    story = placed().see("S", "gone", "LOAN", "Active")
    assert (story.path, story.flags) == (["PICKUP_TRANSIT"], ["SUPPLIER_LOANED_EARLY"])
    story.see("B", "gone", "LOAN", "Active")
    assert story.actions == [["CREATE_SUPPLIER_LOAN"]]  # finds the loan there
    story.see("B", None, "TRANSIT", "Complete")
    assert story.actions == []  # no hold is left at the lender that could be cancelled
    story.see("S", None, "in place", "Complete")
    assert story.path == ["COMPLETED"]


def test_x14_lent_before_we_ever_saw_the_hold() -> None:
    story = Story().see("S", "gone", "LOAN", "Active").ack("BORROWER_PLACED")
    assert story.path == ["REQUEST_PLACED_AT_BORROWING_AGENCY", "PICKUP_TRANSIT"]
    assert story.flags == ["SUPPLIER_LOANED_EARLY"]


def test_x14_an_early_loan_that_was_undone_is_not_ours() -> None:
    story = placed().see("S", "gone", "LOAN", "Active").see("S", "gone", "in place", "Complete")
    assert story.flags == ["SUPPLIER_ITEM_BACK_EARLY"]
    story.see("B", "gone", "LOAN", "Active").see("B", None, "TRANSIT", "Complete")
    story.see("S", "gone", "in place", "Complete")
    assert (story.path, story.flags) == ([], ["COMPLETION_UNPROVEN"])


# --- X15, X16, X17


def test_x15_scanned_at_the_sharing_library() -> None:
    story = placed().see("S", "ON_HOLD_SHELF", "HOLDSHELF")
    assert (story.path, story.standing) == ([], {"DISPATCH_ON_WRONG_DESK"})
    story.see("S", "IN_PROCESS", "TRANSIT")
    assert (story.path, story.standing) == (["PICKUP_TRANSIT"], set())


def test_x16_a_transit_is_a_dispatch_only_while_our_hold_is_seen() -> None:
    story = placed().see("S", "?", "TRANSIT")
    assert story.path == []
    story.see("B", "IN_PROCESS", "in place")
    assert story.path == []
    story.see("S", "IN_PROCESS", "TRANSIT")
    assert story.path == ["PICKUP_TRANSIT"]


# --- X18, X19: what was not there, and what could not be read


def test_x18_ten_minutes_in_between() -> None:
    story = placed_at("2026-01-01T09:00:00Z")
    story.see("S", "gone", "in place", at="2026-01-01T10:00:00Z")
    story.see("S", "gone", "in place", at="2026-01-01T10:09:59Z")
    assert story.path == []
    story.see("S", "gone", "in place", at="2026-01-01T10:10:00Z")
    assert story.path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]


def test_x19_a_failed_read_does_not_make_a_later_one_stale() -> None:
    story = placed().see("S", "?", "?", at="T50").see("S", "IN_PROCESS", "TRANSIT", at="T49")
    assert story.path == ["PICKUP_TRANSIT"]


# --- X20, X21: patrons


def test_x20_blocked_and_the_loan_refused_until_it_succeeds() -> None:
    story = on_shelf().see("B", "gone", "LOAN", "Active").ack("SUPPLIER_LOAN_FAILED")
    story.see("S", "IN_PROCESS", "TRANSIT", patron={"blocked": True})
    assert story.standing == {"SUPPLIER_LOAN_FAILED", "SUPPLIER_PATRON_BLOCKED"}
    story.see("S", "IN_PROCESS", "TRANSIT", patron={"blocked": False})
    story.ack("SUPPLIER_LOAN_CREATED", at="T70")
    assert story.standing == set()
    story.ack("SUPPLIER_LOAN_FAILED")  # an older answer that comes late
    assert story.standing == set()


def test_x21_the_virtual_patron_is_gone() -> None:
    story = placed().see("S", "IN_PROCESS", "in place", patron={"found": False})
    assert (story.path, story.standing) == ([], {"PATRON_GONE"})
    story.see("S", "IN_PROCESS", "in place", patron={"found": True})
    assert story.standing == set()


# --- X22, X23: another barcode, another copy


def test_x22_the_virtual_item_follows_and_its_new_barcode_is_no_news() -> None:
    story = placed().see("B", "IN_PROCESS", "in place", barcode="31")
    story.see("S", "IN_PROCESS", "in place", barcode="32")
    assert story.actions == [["SYNC_BARCODE", "SUPPLIER", "32"]]
    story.see("B", "IN_PROCESS", "in place", barcode="32")
    assert story.flags == []
    story.see("B", "IN_PROCESS", "in place", barcode="99")
    assert (story.flags, story.actions) == (["BORROWER_BARCODE_CHANGED"], [])


def test_x23_another_copy_before_shipping_is_an_event_and_afterwards_a_trouble() -> None:
    story = placed().see("S", "IN_PROCESS", "in place", item_id="231")
    story.see("S", "IN_PROCESS", "in place", item_id="232")
    assert (story.flags, story.standing) == (["SUPPLIER_ITEM_CHANGED"], set())
    story.see("S", "IN_PROCESS", "TRANSIT", item_id="232").see("S", "IN_PROCESS", "TRANSIT", item_id="233")
    assert story.standing == {"SUPPLIER_ITEM_CHANGED"}


# --- X25: lent again


def test_x25_lent_again_on_the_way_home() -> None:
    story = returned().see("B", None, "LOAN", "Active")
    assert (story.path, story.standing) == ([], {"LOANED_AGAIN"})
    story.see("B", None, "TRANSIT", "Complete")
    assert story.standing == set()


def test_x25_lent_after_the_cancellation() -> None:
    story = cancelled_while_out().see("B", "gone", "LOAN", "Active")
    assert (story.path, story.standing) == ([], {"LOANED_AFTER_CANCEL"})


# --- X29: nobody scanned the book out


def test_x29_cancelled_but_the_item_never_left_its_shelf() -> None:
    story = placed().see("B", "ON_HOLD_SHELF", "HOLDSHELF").see("B", "gone:CANCELED", "HOLDSHELF")
    story.see("S", "gone", "in place")
    assert (story.path, story.flags) == ([], ["RETURN_UNPROVEN"])
    story.see("S", "gone", "in place")
    assert story.flags == []
    story.see("S", "gone", "TRANSIT").see("S", "gone", "in place")
    assert (story.path, story.standing) == (["CANCELLED"], set())


def test_x29_returned_but_the_item_never_left_its_shelf() -> None:
    story = placed().see("B", "ON_HOLD_SHELF", "HOLDSHELF").see("B", "gone", "LOAN", "Active")
    story.see("B", None, "TRANSIT", "Complete").see("S", None, "in place")
    assert (story.path, story.flags) == ([], ["COMPLETION_UNPROVEN"])
    assert story.status is Status.RETURN_TRANSIT


@pytest.mark.parametrize("word", ["REQUESTED", "WORK_ORDER_DEPARTMENT", "TRANSIT_TO_REMOTE_STORAGE"])
def test_x29_being_about_in_the_lender_s_own_house_is_not_having_been_away(word: str) -> None:
    story = placed().see("B", "ON_HOLD_SHELF", "HOLDSHELF").see("B", "gone:CANCELED", "HOLDSHELF")
    story.see("S", "gone", word).see("S", "gone", "in place")
    assert (story.path, story.flags) == ([], ["RETURN_UNPROVEN"])


def test_x29_a_place_that_our_own_scan_gave_is_no_return() -> None:
    story = on_shelf()
    item = {"found": True, "base_status": "1", "process_type": ""}
    story.ack("SCANNED_IN", role="SUPPLIER", at="T10", item=item)
    story.see("S", "IN_PROCESS", "in place", at="T11")
    assert story.flags == []
    story.see("B", "gone:CANCELED", "HOLDSHELF", "none", at="T12").see("S", "gone", "in place", at="T13")
    assert (story.path, story.flags) == ([], ["RETURN_UNPROVEN"])


# --- X30, X31: reads that disagree, reads that come too late


@pytest.mark.parametrize("word", ["in place", "TRANSIT", "HOLDSHELF"])
def test_x30_the_loan_outvotes_the_item_on_both_sides(word: str) -> None:
    story = loaned().see("B", "gone", word, "Active")
    assert story.path == []
    story.see("S", "gone", word, "Active")
    assert story.path == []
    assert story.standing == set()


def test_x30_collected_between_the_read_of_the_item_and_of_the_loan() -> None:
    story = on_shelf().see("B", "gone", "HOLDSHELF", "Active")
    assert story.path == ["LOANED"]


def test_x31_a_read_that_began_before_our_loan_is_stale() -> None:
    story = on_shelf().see("B", "gone", "LOAN", "Active").ack("SUPPLIER_LOAN_CREATED", at="T10")
    story.see("S", "IN_PROCESS", "in place", at="T09")
    assert (story.path, story.flags) == ([], ["STALE_OBSERVATION_DROPPED"])
    story.see("B", None, "TRANSIT", "Complete", at="T11")
    assert story.actions == []
    assert story.status is Status.RETURN_TRANSIT


def test_x31_after_a_late_ack_the_item_must_be_seen_in_place_once_more() -> None:
    story = on_shelf().see("B", "gone", "LOAN", "Active").see("S", "gone", "in place", at="T20")
    story.ack("SUPPLIER_LOAN_CREATED", at="T19")
    story.see("B", None, "TRANSIT", "Complete", at="T21")
    assert (story.path, story.actions) == (["RETURN_TRANSIT"], [])
    story.see("S", None, "in place", at="T22")
    assert story.path == ["COMPLETED"]
