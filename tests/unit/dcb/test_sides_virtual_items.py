"""Virtual items against two sandboxes: made once, changed, and taken away only where they are provably ours."""

from dataclasses import replace

import pytest

from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.sides import alma_act, marks, virtual_item
from alma_etl.dcb.sides.alma_act import INDEX_LAG, HoldWish, cancel_hold, place_hold
from alma_etl.dcb.sides.legs import wish_of
from alma_etl.dcb.sides.patrons import ensure_virtual_patron
from alma_etl.dcb.sides.ports import Impossible, Unsettled
from alma_etl.dcb.sides.virtual_item import remove
from alma_etl.dcb.store import LegRecord
from tests.unit.dcb.sides_world import NOW, PATRON, supplier_leg

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


# --- virtual items


def create(almas, pr_id="PR-1", number=0, **more):
    wanted = wish_of(almas.place(pr_id, number))
    return virtual_item.create(almas.at_borrower, almas.borrower_settings, wanted, NOW, **more)


def made_at(almas):
    contents = almas.borrower.contents()
    return {kind: len(contents[kind]) for kind in ("bibs", "holdings", "items")}


ONE = {"bibs": 1, "holdings": 1, "items": 1}
NONE = {"bibs": 0, "holdings": 0, "items": 0}


def test_a_virtual_item_is_made_once_suppressed_and_marked(almas):
    made = create(almas)
    assert create(almas) == made
    assert made_at(almas) == ONE
    bib = almas.at_borrower.bibs.read(made.mms_id).value
    assert bib.suppressed
    assert marks.owner_of(bib) == "PR-1"
    item = almas.at_borrower.items.by_barcode(almas.book().barcode).value
    assert (item.pid, item.library, item.location, item.item_policy) == (made.item_pid, "MAIN", "DCB", "DCB")
    (holding,) = almas.at_borrower.holdings.list(made.mms_id).value
    assert holding.call_number == marks.VIRTUAL_CALL_NUMBER


@pytest.mark.parametrize("path", ["/bibs$", "/holdings$", "/items$"])
@pytest.mark.parametrize("kind", LOST)
def test_a_lost_answer_makes_nothing_twice(kind, path, almas):
    almas.borrower.strike(kind, "POST", path, applied=True, first=1)
    made = create(almas)
    assert made_at(almas) == ONE
    assert almas.at_borrower.items.by_barcode(made.barcode).value.pid == made.item_pid


@pytest.mark.parametrize("path", ["/bibs$", "/holdings$", "/items$"])
def test_an_attempt_that_died_is_gone_on_with(path, almas):
    """The write took effect, and everything after it failed."""
    almas.borrower.strike("drop", "POST", path, applied=True, first=1)
    almas.borrower.strike("server_error", "GET", "", nth=list(range(3, 40)))
    with pytest.raises(Unsettled):
        create(almas)
    almas.borrower.control("DELETE", "faults")
    create(almas, pauses=(2.0,))
    assert made_at(almas) == ONE


def test_the_barcode_of_a_real_item_is_never_taken(almas):
    real = almas.borrower.lendable(almas.at_borrower)[0]
    book = almas.book()
    wanted = wish_of(almas.place(item_barcode=real.barcode))
    with pytest.raises(Impossible, match=f"belongs to another item.*{real.pid}"):
        virtual_item.create(almas.at_borrower, almas.borrower_settings, wanted, NOW)
    assert made_at(almas) == NONE
    assert book.barcode != real.barcode


def test_a_leftover_of_a_request_that_is_over_makes_way_and_one_under_way_does_not(almas):
    old = create(almas, "PR-OLD")
    hold = place_hold(
        almas.at_borrower,
        wish(
            almas,
            user_id=PATRON,
            mms_id=old.mms_id,
            holding_id=old.holding_id,
            item_pid=old.item_pid,
            pickup_library="SCI",
            mark=marks.hold_mark("PR-OLD", Role.BORROWER),
        ),
    )
    with pytest.raises(Impossible, match="in use by the request PR-OLD"):
        create(almas)
    cancel_hold(almas.at_borrower, PATRON, hold.request_id, "CancelledAtPatronRequest")
    made = create(almas)
    assert made.mms_id != old.mms_id
    assert made_at(almas) == ONE


def test_with_another_lender_the_virtual_item_gets_the_barcode_of_that_book(almas):
    first = create(almas)
    second = virtual_item.create(
        almas.at_borrower,
        almas.borrower_settings,
        wish_of(almas.place(item_barcode=almas.book(1).barcode)),
        NOW,
    )
    assert (second.mms_id, second.item_pid, second.barcode) == (
        first.mms_id,
        first.item_pid,
        almas.book(1).barcode,
    )
    assert made_at(almas) == ONE


def test_the_hold_waits_until_the_index_knows_the_new_item(almas):
    almas.borrower.control("POST", "settings", {"index_lag_s": 12})
    made = create(almas)
    wanted = wish(
        almas,
        user_id=PATRON,
        mms_id=made.mms_id,
        holding_id=made.holding_id,
        item_pid=made.item_pid,
        pickup_library="SCI",
    )
    assert place_hold(almas.at_borrower, wanted, pauses=INDEX_LAG).item_pid == made.item_pid
    assert almas.pauses == [5.0, 10.0]


def leg_of(made, **more):
    return LegRecord(
        Role.BORROWER, "BORROWER", user_id=PATRON, mms_id=made.mms_id, holding_id=made.holding_id,
        item_pid=made.item_pid, barcode=made.barcode, is_virtual=True, **more,
    )  # fmt: skip


def test_renewals_are_prevented_by_policy_or_else_by_a_note(almas):
    made = create(almas)
    alma, system = almas.at_borrower, almas.borrower_settings
    item = virtual_item.prevent_renewal(alma, system, alma_act.read_item(alma, leg_of(made)))
    assert item.item_policy == "DCB_NO_RENEW"
    puts = len(almas.borrower.calls("PUT"))
    virtual_item.prevent_renewal(alma, system, item)
    assert len(almas.borrower.calls("PUT")) == puts
    for policy in ("UNKNOWN", None):
        other = system.model_copy(update={"no_renew_policy": policy})
        item = virtual_item.prevent_renewal(alma, other, alma_act.read_item(alma, leg_of(made)))
        assert item.raw["item_data"]["fulfillment_note"] == "The lender wants it back: do not renew"


def test_items_that_are_not_virtual_are_not_changed(almas):
    real = almas.borrower.lendable(almas.at_borrower)[0]
    for change in (
        lambda: virtual_item.set_barcode(almas.at_borrower, real, "ANOTHER"),
        lambda: virtual_item.prevent_renewal(almas.at_borrower, almas.borrower_settings, real),
    ):
        with pytest.raises(Impossible, match="not a virtual one"):
            change()
    assert almas.borrower.calls("PUT") == []


# --- removal


def test_a_virtual_item_is_taken_away_whole_and_only_once(almas):
    made = create(almas)
    assert remove(almas.at_borrower, "PR-1", made.mms_id)
    assert made_at(almas) == NONE
    assert not remove(almas.at_borrower, "PR-1", made.mms_id)
    assert not remove(almas.at_borrower, "PR-1")
    create(almas)
    assert remove(almas.at_borrower, "PR-1")
    assert made_at(almas) == NONE


@pytest.mark.parametrize("path", ["/items/", "/holdings/\\d+.bib", "/bibs/\\d+.override"])
@pytest.mark.parametrize("kind", ["drop", "server_error"])
def test_a_deletion_whose_answer_is_lost_is_found_done(kind, path, almas):
    made = create(almas)
    almas.borrower.strike(kind, "DELETE", path, applied=True, first=1)
    remove(almas.at_borrower, "PR-1", made.mms_id)
    assert made_at(almas) == NONE
    assert any(entry["fault"] for entry in almas.borrower.control("GET", "log?method=DELETE")["entries"])


def change_bib(almas, mms_id, change):
    whole = almas.at_borrower.bibs.whole(mms_id).value.decode()
    almas.at_borrower.bibs.update(mms_id, change(whole).encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole.replace("<suppress_from_publishing>true", "<suppress_from_publishing>false"),
        lambda whole: whole.replace(marks.BIB_NOTE, "A note of the cataloguers"),
        lambda whole: whole.replace("(DCB)PR-1", "(DCB)PR-2"),
    ],
)
def test_a_title_that_is_not_provably_ours_stays(change, almas):
    made = create(almas)
    change_bib(almas, made.mms_id, change)
    with pytest.raises(Impossible, match="not provably"):
        remove(almas.at_borrower, "PR-1", made.mms_id)
    assert made_at(almas) == ONE
    assert almas.borrower.calls("DELETE") == []


def test_a_foreign_holding_on_a_virtual_title_keeps_it(almas):
    made = create(almas)
    record = (
        b'<record><leader>     nx  a22     1n 4500</leader><datafield ind1="0" ind2=" " tag="852">'
        b'<subfield code="b">MAIN</subfield><subfield code="c">stacks</subfield></datafield></record>'
    )
    almas.at_borrower.holdings.create(made.mms_id, record)
    with pytest.raises(Impossible, match="that is not ours"):
        remove(almas.at_borrower, "PR-1", made.mms_id)
    assert almas.borrower.calls("DELETE") == []


def test_a_virtual_item_that_is_lent_or_wanted_by_others_stays(almas):
    made = create(almas)
    leg = replace(leg_of(made), user_id=PATRON)
    loan = alma_act.lend(almas.at_borrower, almas.borrower_settings, leg)
    assert alma_act.lend(almas.at_borrower, almas.borrower_settings, leg).loan_id == loan.loan_id
    with pytest.raises(Unsettled, match="is lent"):
        remove(almas.at_borrower, "PR-1", made.mms_id)
    alma_act.check_in(almas.at_borrower, almas.borrower_settings, leg_of(made))
    place_hold(
        almas.at_borrower,
        wish(
            almas,
            user_id="patron004",
            mms_id=made.mms_id,
            holding_id=made.holding_id,
            item_pid=made.item_pid,
            pickup_library="SCI",
            mark="mine",
        ),
    )
    with pytest.raises(Impossible, match="Somebody else requested"):
        remove(almas.at_borrower, "PR-1", made.mms_id)
    assert made_at(almas) == ONE


# --- loans


@pytest.mark.parametrize("kind", LOST)
def test_a_lost_answer_lends_and_renews_once(kind, almas):
    virtual_patron(almas)
    book = almas.book()
    almas.lender.strike(kind, "POST", "/loans", applied=True, first=1)
    loan = alma_act.lend(almas.at_lender, almas.lender_settings, supplier_leg(almas, None, VP))
    assert list(almas.lender.contents()["loans"]) == [loan.loan_id]
    almas.lender.control("DELETE", "faults")
    almas.lender.control("POST", "clock", {"advance_s": 86400 * 3})
    almas.lender.strike(kind, "POST", "op=renew", applied=True, first=1)
    renewed = alma_act.renew(almas.at_lender, VP, book.pid, NOW)
    assert renewed.due_date > loan.due_date
    assert alma_act.renew(almas.at_lender, VP, book.pid, NOW).due_date == renewed.due_date
    assert len([path for path in almas.lender.calls("POST") if path.endswith(loan.loan_id)]) == 1


def test_a_loan_that_alma_refuses_is_told_without_its_words(almas):
    virtual_patron(almas)
    edit_user(
        almas,
        VP,
        user_block=[
            {
                "block_type": {"value": "USER"},
                "block_description": {"value": "02-GLOBAL", "desc": "a remark about a person"},
                "block_status": "ACTIVE",
                "block_note": "a remark about a person",
            }
        ],
    )
    with pytest.raises(Impossible, match=r"the user is blocked \[HTTP 400, 401163, tracking id") as refused:
        alma_act.lend(almas.at_lender, almas.lender_settings, supplier_leg(almas, None, VP))
    assert "remark" not in str(refused.value)
    assert VP not in str(refused.value)
    with pytest.raises(Impossible, match="there is none any more"):
        alma_act.renew(almas.at_lender, VP, almas.book().pid, NOW)
