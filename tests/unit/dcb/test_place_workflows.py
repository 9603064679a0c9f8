"""RET-EXP and RET-LOCAL: a book in hand at the lender's desk, and one of the patron's own library."""

from dataclasses import replace

import pytest

from alma_etl.dcb.flows.place.track import track
from alma_etl.dcb.machine.vocabulary import ActionType, Role, Status
from tests.unit.dcb.sides_desk import NOTHING, ONE, STEPS, VP, kills, refused
from tests.unit.dcb.sides_world import PATRON
from tests.unit.dcb.sync_world import PICKUP

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

S = Status


def expedited(almas, **changes):
    return almas.conf(workflow="RET-EXP", **{"pickup_library": "", **changes})


def local(almas, number=0):
    """A conf for a book of the borrower's own, and the book."""
    book = almas.borrower.lendable(almas.at_borrower)[number]
    conf = almas.conf(workflow="RET-LOCAL", supplier_system="BORROWER", item_barcode=book.barcode)
    return {
        name: value for name, value in conf.items() if not name.startswith("supplier_") or "system" in name
    }, book


@pytest.fixture(autouse=True)
def drives(desk, almas):
    """RET-EXP lends, which only `drive` does."""
    almas.settings = almas.settings.model_copy(update={"mode": "drive"})
    desk.context = replace(desk.context, settings=almas.settings)


# --- the patron stands at the lender's desk


@pytest.mark.quick
def test_a_book_in_hand_is_placed_and_asks_for_both_loans(desk, almas):
    assert desk.place(expedited(almas)) == S.LOANED
    assert desk.left() == ONE
    kept = desk.context.store.get("PR-1")
    assert kept.legs[Role.SUPPLIER].pickup_library == kept.legs[Role.BORROWER].pickup_library == "STOR"
    assert kept.legs[Role.BORROWER].user_id == PATRON
    assert desk.place(expedited(almas)) == S.LOANED


def test_a_book_in_hand_is_lent_at_both_sides_and_ends_when_it_is_back(desk, almas, sync):
    desk.place(expedited(almas))
    sync.store.close()
    sync.store = desk.context.store
    sync.later(1)
    loans = {
        side.suffix: [(each["user_id"], each["item_pid"]) for each in side.contents()["loans"].values()]
        for side in (almas.lender, almas.borrower)
    }
    virtual = sync.store.get("PR-1").legs[Role.BORROWER].item_pid
    assert loans == {"4401": [(VP, almas.book().pid)], "4402": [(PATRON, virtual)]}
    assert sync.status() == "LOANED"
    done = {each.type: each.state for each in sync.history().outbox if each.kind == "ALMA_ACTION"}
    assert done == {
        ActionType.PLACE_AT_BORROWER: "SUPERSEDED",  # the placing did it
        ActionType.CREATE_BORROWER_LOAN: "SENT",
        ActionType.CREATE_SUPPLIER_LOAN: "SENT",
    }
    sync.come_home()
    for _ in range(4):
        sync.later()
    assert sync.status() == "FINALISED"
    assert desk.left() == NOTHING
    assert almas.borrower.contents()["loans"] == {}


def test_a_pickup_library_of_a_book_in_hand_is_one_of_the_lenders(desk, almas):
    said = refused(desk, expedited(almas, pickup_library="NOWHERE"))
    assert "LENDER has no library 'NOWHERE'" in said
    assert desk.place(expedited(almas, pickup_library=PICKUP)) == S.LOANED


# --- a book of the patron's own library


@pytest.mark.quick
def test_a_book_of_the_patrons_own_library_is_handed_over_to_its_alma(desk, almas):
    conf, book = local(almas)
    assert desk.place(conf, run_id="run-1") == S.HANDED_OFF_AS_LOCAL
    assert desk.left() == {**NOTHING, "borrower holds": 1}
    assert almas.lender.contents()["requests"] == {}
    (hold,) = almas.borrower.contents()["requests"].values()
    assert (hold["user_id"], hold["item_pid"], hold["pickup_library"]) == (PATRON, book.pid, PICKUP)
    kept = desk.context.store.get("PR-1")
    assert [*kept.legs] == [Role.SUPPLIER]
    assert kept.next_poll_at is None
    assert "in the patron's own name" in desk.page("run-1").replace("&#39;", "'")
    assert desk.place(conf) == S.HANDED_OFF_AS_LOCAL
    assert desk.left() == {**NOTHING, "borrower holds": 1}
    assert not [each for each in almas.borrower.contents()["users"] if each.startswith("DCB-")]


def test_the_next_copy_of_the_own_library_is_taken_when_the_first_is_out(desk, almas):
    conf, book = local(almas)
    _, other = local(almas, 1)
    almas.borrower.control("POST", f"items/{book.pid}", {"process_type": "LOAN"})
    assert "is on loan" in refused(desk, conf)
    assert desk.place({**conf, "suppliers": f"BORROWER {other.barcode}"}) == S.HANDED_OFF_AS_LOCAL
    (hold,) = almas.borrower.contents()["requests"].values()
    assert hold["item_pid"] == other.pid


def test_a_dry_run_of_either_writes_nothing(desk, almas):
    for number, conf in enumerate((expedited(almas), local(almas)[0])):
        assert desk.place(conf, run_id=f"dry-{number}", dry_run=True) == "dry run"
    assert desk.left() == NOTHING


def test_a_worker_killed_at_any_action_hands_a_local_book_over_once(desk, almas, monkeypatch):
    conf, book = local(almas)

    def begin():
        desk.forget()
        for side in (almas.lender, almas.borrower):
            side.reset()
        return desk.placing(conf)

    for action in kills(monkeypatch, begin, *STEPS, lambda placing: track(placing, {})):
        (hold,) = almas.borrower.contents()["requests"].values()
        assert hold["item_pid"] == book.pid, f"killed at action {action}"
        assert desk.context.store.get("PR-1").status is S.HANDED_OFF_AS_LOCAL
