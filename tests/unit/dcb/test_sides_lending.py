"""Lending and renewing in two sandboxes: at the item's library, for a hold that is there, as long as the patron."""

from dataclasses import replace
from datetime import timedelta

import pytest

from alma_etl.dcb.machine.model import Leg
from alma_etl.dcb.machine.vocabulary import AckName, ActionType, HoldState, Role, Status
from alma_etl.dcb.sides import alma_act, alma_read, marks
from alma_etl.dcb.sides.ports import Impossible, Later, Refused
from alma_etl.dcb.sides.systems import Systems
from tests.unit.dcb.sides_course import Course, acks
from tests.unit.dcb.sides_world import NOW, PATRON, row

pytestmark = pytest.mark.heavy

A, S = ActionType, Status
VP = marks.virtual_user("BORROWER", PATRON)
LENT = "/loans\\?"


@pytest.fixture
def course(almas):
    return Course(almas)


def settings(almas, course, *, align=False, **changes):
    """Other settings of the lender, for those who act from now on."""
    own = almas.lender_settings.model_copy(update=changes)
    systems = {**almas.settings.systems, "LENDER": own}
    almas.systems = Systems(
        almas.settings.model_copy(update={"systems": systems, "align_due_date": align}), almas
    )
    course.actor = almas.actor()
    return own


def hold_seen(state):
    state.legs[Role.SUPPLIER] = Leg(hold=HoldState.CONFIRMED)


def expiry(almas):
    return almas.at_lender.users.read(VP).value.expiry_date


# --- where


@pytest.mark.parametrize("library", ["MAIN", "SCI"])
def test_a_book_is_lent_at_its_own_library_and_desk(library, almas):
    number = next(n for n in range(4) if almas.book(n).library == library)
    course = Course(almas, number=number)
    own = {"library": "LAW", "circ_desk": "LAW_DESK", "desks": {library: "DEFAULT_CIRC_DESK"}}
    loan = alma_act.lend(almas.at_lender, settings(almas, course, **own), course.supplier)
    assert (loan.library, loan.raw["circ_desk"]["value"]) == (library, "DEFAULT_CIRC_DESK")


def test_a_library_without_a_desk_is_named_with_its_setting(course, almas):
    settings(almas, course, library="LAW", desks={})
    answer = course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)
    assert isinstance(answer, Refused)
    assert "for which no desk is named: add it to desks in config/dcb.yaml" in answer.reason
    assert [report.seen.name for report in answer.reports] == [AckName.SUPPLIER_LOAN_FAILED]
    assert almas.lender.contents()["loans"] == {}


@pytest.mark.parametrize(("desks", "desk"), [({"MAIN": "RES_SHARE"}, "RES_SHARE"), ({}, "DEFAULT_CIRC_DESK")])
def test_a_book_is_scanned_at_the_desk_of_its_own_library(desks, desk, almas):
    number = next(n for n in range(4) if almas.book(n).library == "MAIN")
    course = Course(almas, number=number)
    settings(almas, course, library="LAW", circ_desk="LAW_DESK", desks=desks)
    assert acks(course.do(A.SUPPLIER_SCAN_IN, S.READY_FOR_PICKUP, "RECEIVED")) == [AckName.SCANNED_IN]
    (scan,) = [
        entry
        for entry in almas.lender.control("GET", "log?method=POST")["entries"]
        if "op=scan" in entry["query"]
    ]
    assert f"circ_desk={desk}" in scan["query"]
    assert "library=MAIN" in scan["query"]


def test_a_loan_that_staff_made_needs_no_desk(course, almas):
    loan = alma_act.lend(almas.at_lender, almas.lender_settings, course.supplier)
    settings(almas, course, library="LAW", desks={})
    answer = course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)
    assert answer.reports[0].seen.loan.loan_id == loan.loan_id


def test_a_book_in_a_temporary_place_is_lent_there(course, almas):
    item = almas.lender.running.sandbox.catalogue.item(course.supplier.item_pid)
    item.in_temp_location, item.temp_library, item.temp_location = True, "LAW", "stacks"
    almas.lender.running.sandbox.catalogue.keep_item(item)
    loan = alma_act.lend(almas.at_lender, almas.lender_settings, course.supplier)
    assert loan.library == "LAW"


# --- for which hold


def named_holds(almas, monkeypatch):
    """The request ids with which loans are asked for, in order."""
    named, create = [], type(almas.at_lender.loans).create

    def noted(loans, user_id, **fields):
        named.append(fields.get("request_id"))
        return create(loans, user_id, **fields)

    monkeypatch.setattr(type(almas.at_lender.loans), "create", noted)
    return named


def test_the_hold_is_named_if_it_was_there_when_last_looked_for(course, almas, monkeypatch):
    named = named_holds(almas, monkeypatch)
    course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED, change=hold_seen)
    assert named == [course.supplier.request_id]


def test_a_hold_that_was_missed_is_not_named(course, almas, monkeypatch):
    named = named_holds(almas, monkeypatch)

    def missed(state):
        state.legs[Role.SUPPLIER] = Leg(hold=HoldState.CONFIRMED, gone=1)

    assert acks(course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED, change=missed)) == [AckName.SUPPLIER_LOAN_CREATED]
    assert named == [None]


def test_a_hold_that_ended_since_it_was_seen_is_left_out_when_alma_refuses_it(course, almas, monkeypatch):
    named = named_holds(almas, monkeypatch)
    alma_act.cancel_hold(almas.at_lender, VP, course.supplier.request_id, "CannotBeFulfilled")
    almas.lender.strike("refuse", "POST", LENT, code="401652", first=1)
    answer = course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED, change=hold_seen)
    assert acks(answer) == [AckName.SUPPLIER_LOAN_CREATED]
    assert named == [course.supplier.request_id, None]


def test_staff_who_lend_at_the_same_moment_are_no_refusal(course, almas, monkeypatch):
    loans, create = type(almas.at_lender.loans), type(almas.at_lender.loans).create

    def second(self, user_id, **fields):
        monkeypatch.setattr(loans, "create", create)
        create(self, user_id, **fields)
        return create(self, user_id, **fields)

    monkeypatch.setattr(loans, "create", second)
    answer = course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED, change=hold_seen)
    assert acks(answer) == [AckName.SUPPLIER_LOAN_CREATED]
    assert list(almas.lender.contents()["loans"]) == [answer.reports[0].seen.loan.loan_id]


def test_a_refusal_is_believed_while_the_hold_is_there(course, almas, monkeypatch):
    named = named_holds(almas, monkeypatch)
    almas.lender.strike("refuse", "POST", LENT, code="401651", first=1)
    answer = course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED, change=hold_seen)
    assert isinstance(answer, Refused)
    assert named == [course.supplier.request_id]


# --- how long


def due_in(days):
    def change(state):
        state.legs[Role.BORROWER] = Leg(due=NOW + timedelta(days=days), lent=True)

    return change


def test_before_lending_the_virtual_patron_lasts_longer_than_the_patrons_loan(course, almas):
    course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED, change=due_in(180))
    day = NOW + timedelta(days=180)
    assert expiry(almas)[:10] > day.date().isoformat()


def test_before_renewing_it_lasts_longer_as_well_and_is_never_shortened(course, almas):
    alma_act.lend(almas.at_lender, almas.lender_settings, course.supplier)
    user = almas.lender.running.sandbox.users.find(VP)
    for end, days in (("2026-04-01Z", 20), ("2028-01-01Z", 300)):
        almas.lender.running.sandbox.users.keep({**user, "expiry_date": end})
        almas.lender.control("POST", "clock", {"advance_s": 86400})
        assert acks(course.do(A.RENEW_SUPPLIER_LOAN, S.LOANED, change=due_in(days))) == [AckName.LOAN_RENEWED]
        assert expiry(almas) >= end
        assert expiry(almas)[:10] > (NOW + timedelta(days=days)).date().isoformat()
    assert expiry(almas) == "2028-01-01Z"


def test_an_expired_virtual_patron_is_no_reason_not_to_lend(course, almas):
    user = almas.lender.running.sandbox.users.find(VP)
    almas.lender.running.sandbox.users.keep({**user, "expiry_date": "2026-01-01Z"})
    assert acks(course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)) == [AckName.SUPPLIER_LOAN_CREATED]


def test_a_virtual_patron_that_alma_does_not_extend_is_lent_to_all_the_same(course, almas):
    almas.lender.strike("refuse", "PUT", "/users/", code="401858")
    answer = course.do(A.CREATE_SUPPLIER_LOAN, S.LOANED, change=due_in(180))
    assert acks(answer) == [AckName.SUPPLIER_LOAN_CREATED]


# --- the patron's due date


@pytest.fixture
def lent(course, almas):
    """The patron has the book; by the settings both loans are to end together."""
    course.placed()
    course.desk(library="SCI", lend_to=PATRON)
    settings(almas, course, align=True)
    almas.lender.control("POST", "clock", {"advance_s": 3 * 86400})
    return course


def patrons_loan(almas):
    (loan,) = almas.at_borrower.loans.of_user(PATRON).value
    return alma_read.of_loan(loan)


def test_the_patrons_loan_gets_the_lenders_due_date(lent, almas):
    answer = lent.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)
    assert acks(answer) == [AckName.SUPPLIER_LOAN_CREATED, AckName.LOAN_RENEWED]
    made, aligned = (report.seen for report in answer.reports)
    assert aligned.role is Role.BORROWER
    assert patrons_loan(almas).due_date == made.loan.due_date == aligned.loan.due_date
    puts = len(almas.borrower.calls("PUT"))
    assert acks(lent.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)) == acks(answer)
    assert len(almas.borrower.calls("PUT")) == puts
    almas.lender.control("POST", "clock", {"advance_s": 5 * 86400})
    renewed = lent.do(A.RENEW_SUPPLIER_LOAN, S.LOANED)
    assert acks(renewed) == [AckName.LOAN_RENEWED, AckName.LOAN_RENEWED]
    assert patrons_loan(almas).due_date == renewed.reports[0].seen.loan.due_date > made.loan.due_date
    assert almas.borrower.control("GET", "state")["letters"] == {}


def test_without_the_setting_the_patrons_due_date_stays(lent, almas):
    before = patrons_loan(almas).due_date
    settings(almas, lent)
    assert acks(lent.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)) == [AckName.SUPPLIER_LOAN_CREATED]
    assert patrons_loan(almas).due_date == before


@pytest.mark.parametrize("kind", ["drop", "truncated", "server_error"])
def test_a_lost_answer_changes_the_due_date_once(kind, lent, almas):
    almas.borrower.strike(kind, "PUT", "/loans/", applied=True, first=1)
    answer = lent.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)
    assert patrons_loan(almas).due_date == answer.reports[0].seen.loan.due_date


def test_a_borrower_that_does_not_answer_is_waited_for_some_times_and_then_the_loan_is_reported(lent, almas):
    almas.borrower.strike("server_error", "GET", "/loans")
    answer = lent.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)
    assert isinstance(answer, Later)
    assert len(almas.lender.contents()["loans"]) == 1
    again = replace(row(A.CREATE_SUPPLIER_LOAN), attempts=5)
    assert acks(lent.actor.perform(again, lent.tracked(S.LOANED))) == [AckName.SUPPLIER_LOAN_CREATED]


def test_a_due_date_that_alma_refuses_keeps_nobody_from_lending(lent, almas):
    almas.borrower.strike("refuse", "PUT", "/loans/", code="401681")
    assert acks(lent.do(A.CREATE_SUPPLIER_LOAN, S.LOANED)) == [AckName.SUPPLIER_LOAN_CREATED]
    loan = alma_act.find_loan(almas.at_lender, VP, lent.supplier.item_pid)
    with pytest.raises(Impossible, match="in the past"):
        alma_act.align_due_date(almas.at_borrower, PATRON, lent.borrower.item_pid, loan)


# --- renewing is prevented, and allowed again


def prevented(almas):
    course = Course(almas).placed()
    course.do(A.PREVENT_RENEWAL_AT_BORROWER, S.LOANED)
    return course


def fields(course):
    data = course.item().raw["item_data"]
    return course.item().item_policy, data["internal_note_2"], data["fulfillment_note"]


def test_renewals_are_allowed_again_with_the_policy_that_stood_before(almas):
    course = Course(almas).placed()
    before = fields(course)
    for _ in range(2):
        assert acks(course.do(A.PREVENT_RENEWAL_AT_BORROWER, S.LOANED)) == []
        assert fields(course) == ("DCB_NO_RENEW", "[DCB-POLICY:DCB>DCB_NO_RENEW]", before[2])
    for _ in range(2):
        assert acks(course.do(A.RESTORE_RENEWAL_AT_BORROWER, S.LOANED)) == []
        assert fields(course) == before


def test_a_setting_that_changed_in_between_does_not_matter(almas):
    course = prevented(almas)
    own = almas.borrower_settings.model_copy(update={"item_policy": "ILL", "no_renew_policy": "BOOK"})
    systems = {**almas.settings.systems, "BORROWER": own}
    almas.systems = Systems(almas.settings.model_copy(update={"systems": systems}), almas)
    course.actor = almas.actor()
    course.do(A.RESTORE_RENEWAL_AT_BORROWER, S.LOANED)
    assert fields(course)[0] == "DCB"


def test_a_policy_that_staff_set_since_stays(almas):
    course = prevented(almas)
    item = almas.borrower.running.sandbox.catalogue.item(course.borrower.item_pid)
    item.codes["policy"] = "ILL"
    almas.borrower.running.sandbox.catalogue.keep_item(item)
    course.do(A.RESTORE_RENEWAL_AT_BORROWER, S.LOANED)
    assert fields(course)[:2] == ("ILL", "")


@pytest.mark.parametrize("kind", ["drop", "truncated", "server_error"])
def test_a_lost_answer_restores_once(kind, almas):
    course = prevented(almas)
    almas.borrower.strike(kind, "PUT", "/items/", applied=True, first=1)
    assert acks(course.do(A.RESTORE_RENEWAL_AT_BORROWER, S.LOANED)) == []
    assert fields(course)[0] == "DCB"


def test_renewals_are_not_allowed_again_once_the_book_is_on_its_way_back(almas):
    course = prevented(almas)
    assert isinstance(course.do(A.RESTORE_RENEWAL_AT_BORROWER, S.RETURN_TRANSIT), Later)
    assert fields(course)[0] == "DCB_NO_RENEW"
