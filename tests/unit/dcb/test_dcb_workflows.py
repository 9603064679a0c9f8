"""Pickup at a third library, walk-ups, local requests, FOLIO sides, failures of our actions, decisions of people."""

import pytest

from alma_etl.dcb.machine.vocabulary import Role, Status, Workflow
from tests.unit.dcb.story import Story, loaned, on_shelf, placed, returned, shipped

PUA = Workflow.PICKUP_ANYWHERE


# --- RET-PUA


def test_pua_places_at_three_systems_before_the_book_may_travel() -> None:
    story = Story(PUA).see("S", "NOT_STARTED", "in place").ack("BORROWER_PLACED")
    assert (story.path, story.actions) == (["REQUEST_PLACED_AT_BORROWING_AGENCY"], [["PLACE_AT_PICKUP"]])
    story.see("S", "IN_PROCESS", "TRANSIT")
    assert story.path == []
    story.ack("PICKUP_PLACED")
    assert story.path == ["REQUEST_PLACED_AT_PICKUP_AGENCY", "PICKUP_TRANSIT"]
    assert story.actions == [["BORROWER_SCAN_IN", "TRANSIT"], ["PICKUP_SCAN_IN", "TRANSIT"]]


def test_pua_the_whole_way_by_the_pickup_library() -> None:
    story = shipped(PUA).see("P", "ON_HOLD_SHELF", "HOLDSHELF")
    assert story.path == ["RECEIVED_AT_PICKUP", "READY_FOR_PICKUP"]
    assert story.actions == [["SUPPLIER_SCAN_IN", "RECEIVED"], ["BORROWER_SCAN_IN", "RECEIVED"]]
    story.see("P", "gone", "LOAN", "Active")
    assert story.path == ["LOANED"]
    assert story.actions == [["CREATE_SUPPLIER_LOAN"], ["CREATE_BORROWER_LOAN"]]
    story.ack("SUPPLIER_LOAN_CREATED", at="T30").ack("BORROWER_LOAN_CREATED", at="T30")
    story.see("B", "gone", "LOAN", "Active", at="T31")
    assert story.path == []
    story.see("P", None, "TRANSIT", "Complete", at="T32")
    assert (story.path, story.actions) == (["RETURN_TRANSIT"], [["BORROWER_CHECK_IN"]])
    story.see("B", None, "LOAN", "Active", at="T33")  # our check-in is still under way
    assert story.standing == set()
    story.see("S", None, "in place", "Complete", at="T34")
    assert story.path == ["COMPLETED"]
    assert story.actions == [["BORROWER_SCAN_IN", "COMPLETED"], ["PICKUP_SCAN_IN", "COMPLETED"], ["CLEANUP"]]


def test_pua_either_side_may_show_the_next_step() -> None:
    story = shipped(PUA).see("B", "gone", "LOAN", "Active")
    assert story.path == ["RECEIVED_AT_PICKUP*", "READY_FOR_PICKUP*", "LOANED"]
    assert story.actions == [["CREATE_SUPPLIER_LOAN"]]  # the borrower's loan is there already


@pytest.mark.parametrize("side", ["B", "P"])
def test_pua_the_patron_cancels_on_either_hold(side: str) -> None:
    story = placed(PUA).see(side, "gone:CANCELED", "in place")
    assert story.path == ["CANCELLED"]
    story = shipped(PUA).see(side, "gone:CANCELED", "TRANSIT")
    assert story.path == ["AWAITING_RETURN_TO_SUPPLIER"]


def test_pua_a_hold_consumed_by_the_loan_of_the_same_cycle_is_no_cancellation() -> None:
    story = shipped(PUA).see("P", "ON_HOLD_SHELF", "HOLDSHELF")
    story.report(
        {"role": "BORROWER", "at": "T40", "request": {"found": False, "closure": "CANCELED"}},
        {
            "role": "PICKUP",
            "at": "T40",
            "request": {"found": False},
            "loan": {"found": True, "loan_status": "ACTIVE"},
        },
    )
    assert story.path == ["LOANED"]


# --- RET-EXP, RET-LOCAL


def test_exp_lends_at_once_and_returns_at_the_lender_s_desk() -> None:
    story = Story(Workflow.EXPEDITED).see("S", "IN_PROCESS", "in place").ack("BORROWER_PLACED")
    assert story.path == ["REQUEST_PLACED_AT_BORROWING_AGENCY", "LOANED"]
    assert story.actions == [["CREATE_BORROWER_LOAN"], ["CREATE_SUPPLIER_LOAN"]]
    story.ack("SUPPLIER_LOAN_CREATED", at="T20").ack("BORROWER_LOAN_CREATED", at="T20")
    story.see("S", None, "in place", at="T21")
    assert story.path == ["RETURN_TRANSIT*", "COMPLETED"]
    assert story.flags == []
    assert ["BORROWER_CHECK_IN"] in story.actions


def test_local_is_handed_off_and_never_placed() -> None:
    story = Story(Workflow.LOCAL).see("S", "IN_PROCESS", "in place")
    assert (story.path, story.actions) == (["CONFIRMED", "HANDED_OFF_AS_LOCAL"], [])
    story.ack("BORROWER_PLACED").see("S", "gone:CANCELED", "in place")
    assert story.path == []


# --- FOLIO sides (mod-dcb)


def test_a_folio_lender_from_end_to_end() -> None:
    story = Story().see("S", txn="CREATED")
    assert story.path == ["CONFIRMED"]
    story.ack("BORROWER_PLACED").see("S", txn="OPEN")
    assert story.path == ["PICKUP_TRANSIT"]
    story.see("B", "ON_HOLD_SHELF", "HOLDSHELF").see("B", "gone", "LOAN", "Active")
    story.ack("SUPPLIER_LOAN_CREATED", at="T10").see("S", txn="ITEM_CHECKED_OUT", at="T11")
    story.see("B", None, "TRANSIT", "Complete", at="T12").see("S", txn="ITEM_CHECKED_IN", at="T13")
    assert story.status is Status.RETURN_TRANSIT
    story.see("S", txn="CLOSED", at="T14")
    assert story.path == ["COMPLETED"]


def test_a_folio_lender_cancels() -> None:
    assert placed().see("S", txn="CANCELLED").path == ["NOT_SUPPLIED_CURRENT_SUPPLIER"]


@pytest.mark.parametrize("first", ["OPEN", "CREATED"])
def test_a_folio_borrower_s_open_is_our_own_doing(first: str) -> None:
    story = placed().see("B", txn=first)
    assert story.path == []


def test_a_folio_borrower_cancels_before_shipping() -> None:
    assert placed().see("B", txn="CANCELLED").path == ["CANCELLED"]


def test_a_folio_borrower_runs_ahead() -> None:
    story = shipped().see("B", txn="ITEM_CHECKED_IN")
    assert story.path == ["RECEIVED_AT_PICKUP*", "READY_FOR_PICKUP*", "LOANED*", "RETURN_TRANSIT"]
    assert story.flags == ["LOAN_MISSED_BETWEEN_POLLS"]


def test_a_folio_transaction_closed_without_a_loan_is_for_people() -> None:
    story = shipped().see("B", txn="AWAITING_PICKUP").see("B", txn="CLOSED")
    assert (story.path, story.standing) == ([], {"TXN_CLOSED_EARLY"})


def test_a_folio_transaction_closed_after_the_loan_is_a_return() -> None:
    story = shipped().see("B", txn="ITEM_CHECKED_OUT").see("B", txn="CLOSED")
    assert story.path == ["RETURN_TRANSIT"]


@pytest.mark.parametrize(
    ("word", "flag"),
    [("ERROR", "TXN_ERROR"), ("MISSING", "TXN_MISSING"), ("ON_THE_MOON", "UNKNOWN_TXN_STATE")],
)
def test_a_troubled_transaction_moves_nothing(word: str, flag: str) -> None:
    story = shipped().see("B", txn=word).see("B", txn=word)
    assert (story.path, story.standing) == ([], {flag})
    story.see("B", txn="AWAITING_PICKUP")
    assert (story.status, story.standing) == (Status.READY_FOR_PICKUP, set())


# --- words that nobody knows


@pytest.mark.parametrize(
    ("seen", "flag"),
    [
        ({"req": "SHIPPED_PHYSICALLY", "it": "in place"}, "UNKNOWN_REQUEST_STATUS"),
        ({"req": "IN_PROCESS", "it": "ON_LOAN_TO_THE_MOON"}, "UNKNOWN_PROCESS_TYPE"),
        ({"req": "IN_PROCESS", "it": "in place", "ln": "Undecided"}, "UNKNOWN_LOAN_STATUS"),
        ({"req": "gone", "it": "LOAN", "ln": "Active/MELTED"}, "UNKNOWN_LOAN_PROCESS_STATUS"),
    ],
)
def test_an_unknown_word_is_kept_raw_flagged_and_over_when_a_known_one_follows(
    seen: dict[str, str], flag: str
) -> None:
    story = loaned().see("S", **seen)  # type: ignore[arg-type]
    assert (story.path, story.actions, story.standing) == ([], [], {flag})
    leg = story.state.leg(Role.SUPPLIER)
    raw = {leg.raw_request, leg.raw_process, leg.raw_loan, leg.raw_loan_process}
    assert raw & {"SHIPPED_PHYSICALLY", "ON_LOAN_TO_THE_MOON", "Undecided", "MELTED"}
    story.see("S", "IN_PROCESS", "LOAN", "Active")
    assert story.standing == set()


def test_an_unknown_request_status_confirms_nothing_and_cancels_nothing() -> None:
    story = Story()
    for _ in range(3):
        story.see("S", "LOCATE_FAILED", "in place")
    assert story.status is Status.RPSA
    story = placed().see("S", "gone", "in place").see("S", "LOCATE_FAILED", "in place")
    story.see("S", "gone", "in place")
    assert story.status is Status.RPBA


def test_an_unknown_place_of_the_item_is_no_ground_for_a_cancellation() -> None:
    story = on_shelf().see("B", "gone", "SOMEWHERE", "none").see("B", "gone", "SOMEWHERE", "none")
    assert story.path == []


@pytest.mark.parametrize("word", ["In Process", "in_process", " IN_PROCESS "])
def test_alma_s_xml_spelling_is_the_same_word(word: str) -> None:
    assert Story().see("S", word, "in place").status is Status.CONFIRMED


def test_codes_may_come_as_value_and_description() -> None:
    story = Story()
    story.report(
        {
            "role": "SUPPLIER",
            "at": "T01",
            "request": {"found": True, "request_status": "IN_PROCESS"},
            "item": {
                "found": True,
                "base_status": {"value": "0", "desc": "Item not in place"},
                "process_type": {"value": "TRANSIT", "desc": "Transit"},
            },
        }
    )
    story.ack("BORROWER_PLACED")
    assert story.status is Status.PICKUP_TRANSIT


# --- the results of our actions


def test_a_placement_that_failed_for_good_rests_in_error_until_somebody_puts_it_back() -> None:
    story = Story().see("S", "IN_PROCESS", "in place").ack("ACTION_FAILED", action="PLACE_AT_BORROWER")
    assert story.path == ["ERROR"]
    assert story.standing == {"PLACE_AT_BORROWER_FAILED"}
    story.see("S", "IN_PROCESS", "TRANSIT").see("B", "IN_PROCESS", "in place")
    assert story.path == []
    story.ack("OPERATOR_ROLLBACK")
    assert story.path == ["CONFIRMED", "REQUEST_PLACED_AT_BORROWING_AGENCY", "PICKUP_TRANSIT"]


def test_a_cleanup_that_failed_is_flagged_and_no_error() -> None:
    story = loaned().see("S", None, "in place", "Complete").ack("ACTION_FAILED", action="CLEANUP")
    assert (story.path, story.standing) == ([], {"CLEANUP_FAILED"})
    story.ack("ACTION_DONE", action="CLEANUP").ack("CLEANED_UP")
    assert (story.status, story.standing) == (Status.FINALISED, set())


@pytest.mark.parametrize(
    "name",
    ["BORROWER_PLACED", "PICKUP_PLACED", "NO_ITEMS", "NEXT_SUPPLIER", "CLEANED_UP", "OPERATOR_ROLLBACK"],
)
def test_an_ack_that_does_not_fit_the_status_changes_nothing(name: str) -> None:
    story = loaned()
    before = story.state
    story.ack(name)
    assert (story.path, story.actions, story.state) == ([], [], before)


def test_dcb_service_placed_the_borrower_s_hold_and_we_see_it() -> None:
    story = Story().see("S", "IN_PROCESS", "in place").see("B", "NOT_STARTED", "in place")
    assert story.path == ["REQUEST_PLACED_AT_BORROWING_AGENCY"]


def test_dcb_service_placed_the_pickup_hold_and_we_see_it() -> None:
    story = Story(PUA).see("S", "IN_PROCESS", "TRANSIT").see("B", "NOT_STARTED", "in place")
    assert story.path == ["REQUEST_PLACED_AT_BORROWING_AGENCY"]
    story.see("P", "NOT_STARTED", "in place")
    assert story.path == ["REQUEST_PLACED_AT_PICKUP_AGENCY", "PICKUP_TRANSIT"]


def test_the_borrower_s_old_hold_does_not_stand_for_the_next_supplier_s_placing() -> None:
    story = placed().see("B", "IN_PROCESS", "in place").see("S", "gone:CANCELED", "in place")
    story.ack("NEXT_SUPPLIER", at="T20").see("S", "IN_PROCESS", "in place", generation=2, at="T21")
    assert (story.path, story.actions) == (["CONFIRMED"], [["PLACE_AT_BORROWER"]])
    story.see("B", "IN_PROCESS", "in place", at="T22")
    assert story.path == []
    story.ack("BORROWER_PLACED", at="T23")
    assert story.path == ["REQUEST_PLACED_AT_BORROWING_AGENCY"]


# --- operators


@pytest.mark.parametrize("story", [shipped(), loaned(), returned()], ids=["shipped", "loaned", "returned"])
def test_an_operator_closes_a_request_whose_book_is_out_only_by_force(story: Story) -> None:
    before = story.status
    story.ack("OPERATOR_CLEANUP")
    assert (story.status, story.flags) == (before, ["OPERATOR_CLEANUP_REFUSED"])
    story.ack("OPERATOR_CLEANUP", force=True)
    assert (story.path, story.actions, story.state.outcome) == (["COMPLETED"], [["CLEANUP"]], "UNKNOWN")


def test_an_operator_closes_a_request_whose_book_never_left() -> None:
    assert placed().ack("OPERATOR_CLEANUP").path == ["COMPLETED"]


def test_nothing_follows_the_end() -> None:
    story = loaned().see("S", None, "in place", "Complete").ack("CLEANED_UP")
    assert story.status is Status.FINALISED
    for name in ("CLEANED_UP", "OPERATOR_CLEANUP", "OPERATOR_CLOSE_LOST", "NO_ITEMS"):
        assert story.ack(name, force=True).path == []
    assert story.see("B", "gone", "LOAN", "Active").path == []
