"""The building blocks against two sandboxes: looked for, done, verified; whatever answer is lost."""

from datetime import timedelta

import pytest

from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.sides import marks
from alma_etl.dcb.sides.alma_act import HoldWish, cancel_hold, find_hold, is_open, place_hold
from alma_etl.dcb.sides.patrons import check_patron, ensure_virtual_patron
from alma_etl.dcb.sides.ports import Impossible, Unsettled
from tests.unit.dcb.sides_world import NOW, PATRON

pytestmark = pytest.mark.heavy

VP = marks.virtual_user("BORROWER", PATRON)
LOST = ["drop", "truncated", "server_error"]


def wish(almas, number=0, user_id=VP, **changes):
    book = almas.book(number)
    values = {
        "user_id": user_id,
        "mms_id": book.mms_id,
        "holding_id": book.holding_id,
        "item_pid": book.pid,
        "pickup_library": "STOR",
        "pickup_desk": None,
        "mark": marks.hold_mark("PR-1", Role.SUPPLIER),
    }
    return HoldWish(**{**values, **changes})


def virtual_patron(almas):
    return ensure_virtual_patron(almas.at_lender, almas.lender_settings, VP, NOW)


def edit_user(almas, user_id, **fields):
    user = almas.lender.running.sandbox.users.find(user_id)
    almas.lender.running.sandbox.users.keep({**user, **fields})


# --- patrons


@pytest.mark.parametrize(
    ("user_id", "problem"),
    [
        ("patron003", None),
        ("patron047", "PATRON_BLOCKED: the user has a block assigned by an operator"),
        ("patron048", "PATRON_EXPIRED: the user expired on 2020-12-31"),
        ("patron049", "PATRON_INACTIVE: the user is not active"),
        ("patron050", "PATRON_BLOCKED: the user has a block for overdue items"),
    ],
)
def test_a_patron_may_or_may_not_have_a_book_sent(user_id, problem, almas):
    state = check_patron(almas.at_borrower, user_id, NOW)
    assert state.user_id == user_id
    assert state.problems == ((problem,) if problem else ())


def test_a_user_without_a_status_is_active(almas):
    edit_user(almas, PATRON, status={"value": ""})
    assert check_patron(almas.at_lender, PATRON, NOW).problems == ()


def test_a_block_of_limits_counts_and_one_that_is_over_does_not(almas):
    def block(status, expiry):
        return {
            "block_type": {"value": "CASH"},
            "block_description": {"value": "03-LIMIT"},
            "block_status": status,
            "expiry_date": expiry,
        }

    edit_user(almas, PATRON, user_block=[block("ACTIVE", "2026-03-01Z"), block("INACTIVE", "")])
    assert check_patron(almas.at_lender, PATRON, NOW).problems == ()
    edit_user(almas, PATRON, user_block=[block("ACTIVE", "2026-03-02Z")])
    assert check_patron(almas.at_lender, PATRON, NOW).problems == (
        "PATRON_BLOCKED: the user has a block for a limit of fines",
    )


def test_a_patron_is_found_by_any_identifier_and_named_by_the_primary_one(almas):
    assert check_patron(almas.at_borrower, "I000003", NOW).user_id == PATRON
    assert check_patron(almas.at_borrower, "nobody", NOW) is None
    almas.borrower.strike("server_error", "GET", "/users/")
    with pytest.raises(Unsettled):
        check_patron(almas.at_borrower, PATRON, NOW)


# --- the virtual patron


def test_a_virtual_patron_is_made_once_and_bears_no_name(almas):
    assert virtual_patron(almas).outcome == "created"
    assert virtual_patron(almas).outcome == "found"
    user = almas.at_lender.users.read(VP).value
    assert (user.record_type, user.account_type, user.user_group) == ("PUBLIC", "EXTERNAL", "DCB")
    assert (user.expiry_date, user.raw["last_name"]) == ("2026-06-30Z", "VPATRON")
    assert PATRON not in VP
    assert len(almas.lender.calls("POST")) == 1
    assert marks.virtual_user("BORROWER", PATRON.upper()) == VP != marks.virtual_user("OTHER", PATRON)


@pytest.mark.parametrize(("days", "outcome"), [(31, "found"), (30, "extended"), (-400, "extended")])
def test_a_virtual_patron_that_is_about_to_end_is_extended(days, outcome, almas):
    virtual_patron(almas)
    expiry = f"{NOW + timedelta(days=days):%Y-%m-%d}Z"
    edit_user(almas, VP, expiry_date=expiry)
    assert virtual_patron(almas).outcome == outcome
    assert almas.at_lender.users.read(VP).value.expiry_date == (
        expiry if outcome == "found" else "2026-06-30Z"
    )


def test_a_blocked_virtual_patron_is_not_used(almas):
    virtual_patron(almas)
    edit_user(almas, VP, status={"value": "INACTIVE"})
    with pytest.raises(Impossible, match=r"PATRON_INACTIVE.*put it right in Alma"):
        virtual_patron(almas)


def test_no_virtual_patron_is_made_when_nobody_knows_whether_there_is_one(almas):
    almas.lender.strike("server_error", "GET", "/users/")
    with pytest.raises(Unsettled):
        virtual_patron(almas)
    assert almas.lender.calls("POST") == []


@pytest.mark.parametrize("kind", LOST)
def test_a_lost_answer_makes_no_second_virtual_patron(kind, almas):
    almas.lender.strike(kind, "POST", "/users$", applied=True, first=1)
    assert virtual_patron(almas).user_id == VP
    users = almas.lender.contents()["users"]
    assert [user_id for user_id in users if user_id.startswith("DCB-")] == [VP]


# --- holds


def test_a_hold_is_placed_once(almas):
    virtual_patron(almas)
    made = place_hold(almas.at_lender, wish(almas, note="For the desk"))
    assert made.comment == "For the desk [DCB-REQUEST:PR-1:SUPPLIER]"
    assert (made.pickup_library, made.item_pid) == ("STOR", almas.book().pid)
    assert place_hold(almas.at_lender, wish(almas)).request_id == made.request_id
    assert len(almas.lender.contents()["requests"]) == 1


def test_a_hold_can_wait_at_a_desk(almas):
    virtual_patron(almas)
    place_hold(almas.at_lender, wish(almas, pickup_library="MAIN", pickup_desk="RES_SHARE"))
    (request,) = almas.lender.contents()["requests"].values()
    assert (request["pickup_type"], request["pickup_desk"]) == ("CIRCULATION_DESK", "RES_SHARE")


@pytest.mark.parametrize("kind", LOST)
def test_a_lost_answer_places_no_second_hold(kind, almas):
    virtual_patron(almas)
    almas.lender.strike(kind, "POST", "/requests", applied=True, first=1)
    made = place_hold(almas.at_lender, wish(almas))
    assert list(almas.lender.contents()["requests"]) == [made.request_id]


def test_another_request_of_the_same_patron_for_the_item_is_not_taken_for_ours(almas):
    virtual_patron(almas)
    place_hold(almas.at_lender, wish(almas))
    with pytest.raises(Impossible, match="another request for this item") as refused:
        place_hold(almas.at_lender, wish(almas, mark=marks.hold_mark("PR-2", Role.SUPPLIER)))
    assert refused.value.code == "401136"
    assert len(almas.lender.contents()["requests"]) == 1


def test_a_mark_on_another_title_is_no_reason_to_adopt(almas):
    virtual_patron(almas)
    place_hold(almas.at_lender, wish(almas))
    other = next(n for n in range(4) if almas.book(n).mms_id != almas.book().mms_id)
    with pytest.raises(Impossible, match="on another title"):
        place_hold(almas.at_lender, wish(almas, number=other))


def test_what_the_rules_do_not_allow_is_explained(almas):
    virtual_patron(almas)
    almas.lender.control("POST", f"items/{almas.book().pid}", {"process_type": "MISSING"})
    with pytest.raises(Impossible, match="may request of the item: nothing") as refused:
        place_hold(almas.at_lender, wish(almas))
    assert refused.value.code == "401129"


def test_a_pickup_library_that_does_not_exist_is_refused(almas):
    virtual_patron(almas)
    with pytest.raises(Impossible, match="Alma has no library 'NOWHERE'; it has LAW, MAIN"):
        place_hold(almas.at_lender, wish(almas, pickup_library="NOWHERE"))


def test_a_hold_is_cancelled_and_nobody_is_mailed(almas):
    virtual_patron(almas)
    made = place_hold(almas.at_lender, wish(almas))
    for _ in range(2):
        cancel_hold(almas.at_lender, VP, made.request_id, "CancelledAtPatronRequest")
    assert not is_open(almas.at_lender, VP, made.request_id)
    assert find_hold(almas.at_lender, VP, wish(almas).mark) is None
    assert almas.lender.control("GET", "state")["letters"] == {}


@pytest.mark.parametrize("kind", ["drop", "server_error"])
def test_a_cancellation_whose_answer_is_lost_is_found_done(kind, almas):
    virtual_patron(almas)
    made = place_hold(almas.at_lender, wish(almas))
    almas.lender.strike(kind, "DELETE", "/requests/", applied=True, first=1)
    cancel_hold(almas.at_lender, VP, made.request_id, "CancelledAtPatronRequest")
    assert almas.lender.contents()["requests"] == {}


def test_an_accepted_cancellation_that_changes_nothing_is_not_believed(almas):
    virtual_patron(almas)
    made = place_hold(almas.at_lender, wish(almas))
    almas.lender.strike("body", "DELETE", "/requests/", text="", status=204, applied=False)
    with pytest.raises(Unsettled, match="still there"):
        cancel_hold(almas.at_lender, VP, made.request_id, "CancelledAtPatronRequest")


def test_a_reason_that_alma_does_not_know_is_refused(almas):
    virtual_patron(almas)
    made = place_hold(almas.at_lender, wish(almas))
    with pytest.raises(Impossible, match=r"no reason 'WHIM'; it has AdditionalReason01, .*CannotBeFulfilled"):
        cancel_hold(almas.at_lender, VP, made.request_id, "WHIM")
    assert is_open(almas.at_lender, VP, made.request_id)
    almas.lender.strike("server_error", "GET", "/conf/code-tables")
    with pytest.raises(Impossible, match="does not know one of the codes"):
        cancel_hold(almas.at_lender, VP, made.request_id, "WHIM")


def test_a_list_that_is_cut_short_still_shows_the_hold_that_it_names(almas):
    virtual_patron(almas)
    made = place_hold(almas.at_lender, wish(almas))
    almas.lender.strike("miscount", "GET", "/requests")
    assert find_hold(almas.at_lender, VP, wish(almas).mark).request_id == made.request_id
    with pytest.raises(Unsettled):
        find_hold(almas.at_lender, VP, "[ANOTHER]")
