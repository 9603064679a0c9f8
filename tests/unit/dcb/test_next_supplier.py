"""The next supplier: when the lender cannot supply, the next copy of the list is asked for once, or the end."""

from dataclasses import replace
from datetime import timedelta

import pytest

from alma_etl.dcb.conf import read_kept
from alma_etl.dcb.explain import explain
from alma_etl.dcb.flows.place.track import track
from alma_etl.dcb.machine.vocabulary import AckName, ActionType, Role, Status
from alma_etl.dcb.sides.ports import Later
from alma_etl.dcb.store import LegRecord
from alma_etl.remote.exchange import Exchange
from tests.unit.dcb.merging import merge_users
from tests.unit.dcb.sides_course import acks
from tests.unit.dcb.sides_desk import NOTHING, ONE, STEPS, VP, kills
from tests.unit.dcb.sides_world import PATRON, row, tracked
from tests.unit.dcb.sync_world import SyncWorld
from tests.unit.dcb.test_sides_folio import folio  # noqa: F401 - a fixture
from tests.unit.dcb.test_sync_kills import Moment, Reaper, attempt, result

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

A, S = ActionType, Status


def lines(almas, *numbers):
    return [f"LENDER {almas.book(number).barcode}" for number in numbers]


def holds(almas):
    """The open holds at the lender, by the pid of their item."""
    return {each["item_pid"]: each for each in almas.lender.contents()["requests"].values()}


# --- at placing


@pytest.mark.quick
def test_a_first_copy_that_is_out_is_passed_over_for_the_next(desk, almas):
    almas.lender.control("POST", f"items/{almas.book().pid}", {"process_type": "LOAN"})
    conf = almas.conf(title="", suppliers=["LENDER NO-SUCH-BARCODE", *lines(almas, 1, 2)])
    assert desk.place(conf, run_id="run-1") == S.RPBA
    assert desk.left() == ONE
    kept = desk.context.store.get("PR-1")
    assert kept.legs[Role.SUPPLIER].item_pid == almas.book(1).pid
    assert kept.legs[Role.BORROWER].barcode == kept.legs[Role.SUPPLIER].barcode == almas.book(1).barcode
    page = desk.page("run-1")
    for words in ("is on loan", "has the barcode NO-SUCH-BARCODE", "Passed over."):
        assert words in page
    assert desk.place(conf) == S.RPBA  # the same conf is the same request, whichever copy it became
    assert read_kept(kept.conf).copies == read_kept(conf).copies


def test_when_no_copy_can_be_had_all_reasons_are_said(desk, almas):
    for number in (0, 1):
        almas.lender.control("POST", f"items/{almas.book(number).pid}", {"process_type": "MISSING"})
    said = desk.place(almas.conf(suppliers=lines(almas, 1)))
    assert said.count("is missing: choose another copy") == 2
    assert desk.left() == NOTHING


@pytest.mark.parametrize("times", [1, 2])
def test_a_hold_that_is_refused_goes_to_the_next_copy(times, desk, almas):
    pid = almas.book().pid
    almas.lender.strike("refuse", "POST", "/requests", code="401652", first=times)
    said = desk.place(almas.conf(suppliers=lines(almas, 1)), run_id="run-1")
    if times == 1:
        assert said == S.RPBA
        assert [*holds(almas)] == [almas.book(1).pid]
        assert desk.left() == ONE
        assert "Passed over." in desk.page("run-1")
    else:
        assert "401652" in said
        assert desk.left() == NOTHING
    assert pid not in holds(almas)


def test_a_worker_killed_while_copies_are_passed_over_asks_for_one(desk, almas, monkeypatch):
    numbers = [almas.book(number) for number in (0, 1)]
    conf = almas.conf(suppliers=lines(almas, 1))

    def begin():
        desk.forget()
        for side in (almas.lender, almas.borrower):
            side.reset()
        almas.lender.strike("refuse", "POST", f"item_pid={numbers[0].pid}", code="401652")
        return desk.placing(conf)

    for action in kills(monkeypatch, begin, *STEPS[:3]):
        assert [*holds(almas)] == [numbers[1].pid], f"killed at action {action}"
    track_it = desk.placing(conf)
    for step in STEPS[3:]:
        step(track_it)
    assert track(track_it, {}) == S.RPBA


# --- when the lender cannot supply


@pytest.fixture
def refused(sync: SyncWorld, almas):
    """A request whose lender cancels it; two more copies are named."""
    sync.place(suppliers=lines(almas, 1, 2), title="A title")
    sync.tick()
    assert sync.status() == "RPBA"
    give_up(sync, almas)
    return sync


def give_up(sync, almas):
    leg = sync.store.get("PR-1").legs[Role.SUPPLIER]
    almas.lender.control("POST", f"requests/{leg.request_id}", {"cancel": "CannotBeFulfilled"})


def until(sync, status, ticks=6):
    """Let time pass until the request has a status."""
    for _ in range(ticks):
        sync.later()
        if sync.status() == status:
            return
    raise AssertionError(sync.path())


def until_next(sync, generation):
    """Let time pass until the next supplier's side is placed."""
    for _ in range(6):
        sync.later()
        if sync.store.get("PR-1").legs[Role.SUPPLIER].generation == generation:
            return until(sync, "RPBA", 2)
    raise AssertionError(sync.path())


def test_the_next_copy_is_asked_for_and_the_virtual_item_is_that_book(refused: SyncWorld, almas):
    before = refused.store.get("PR-1").legs[Role.BORROWER]
    until_next(refused, 2)
    assert refused.path() == [
        S.CONFIRMED,
        S.RPBA,
        S.NOT_SUPPLIED,
        S.RPSA,
        S.CONFIRMED,
        S.RPBA,
    ]
    now = refused.store.get("PR-1")
    assert [*holds(almas)] == [almas.book(1).pid]
    assert (now.legs[Role.SUPPLIER].generation, now.legs[Role.SUPPLIER].item_pid) == (2, almas.book(1).pid)
    assert now.state.leg(Role.SUPPLIER).generation == 2
    after = now.legs[Role.BORROWER]
    assert (after.request_id, after.item_pid) == (before.request_id, before.item_pid)
    assert after.barcode == almas.book(1).barcode
    item = almas.at_borrower.items.read(after.mms_id, after.holding_id, after.item_pid).value
    assert item.barcode == almas.book(1).barcode
    assert len(almas.borrower.contents()["requests"]) == 1
    refused.ship(1)
    until(refused, "PICKUP_TRANSIT", 2)


def test_after_the_last_copy_the_request_ends_unsupplied(refused: SyncWorld, almas):
    almas.lender.control("POST", f"items/{almas.book(1).pid}", {"process_type": "MISSING"})
    until_next(refused, 2)
    assert [*holds(almas)] == [almas.book(2).pid]  # the second is missing: the third
    give_up(refused, almas)
    until(refused, "FINALISED", 6)
    assert refused.path()[-3:] == [S.NOT_SUPPLIED, S.NO_ITEMS, S.FINALISED]
    assert holds(almas) == {}
    assert almas.borrower.contents()["requests"] == almas.borrower.contents()["bibs"] == {}
    (reason,) = [
        body["reason"]
        for step in refused.history().steps
        for body in (seen.body for seen in step.observations)
        if body.get("ack") == AckName.NEXT_SUPPLIER
    ]
    assert "is missing" in reason


def test_a_patron_who_was_merged_meanwhile_still_gets_another_book(refused: SyncWorld, almas):
    merge_users(almas.borrower, PATRON, "patron002")
    until_next(refused, 2)
    assert [*holds(almas)] == [almas.book(1).pid]
    assert len(almas.borrower.contents()["requests"]) == 1


def test_a_patron_who_has_cancelled_meanwhile_gets_no_other_book(refused: SyncWorld, almas):
    hold = refused.store.get("PR-1").legs[Role.BORROWER].request_id
    almas.borrower.control("POST", f"requests/{hold}", {"cancel": "CancelledAtPatronRequest"})
    until(refused, "FINALISED", 6)
    assert S.RPSA not in refused.path()
    assert holds(almas) == {}


def test_a_patron_who_cancels_after_the_next_copy_was_asked_for_stays_cancelled(refused: SyncWorld, almas):
    for _ in range(4):
        refused.later()
        if refused.status() == "RPSA":
            break
    assert refused.status() == "RPSA"
    hold = refused.store.get("PR-1").legs[Role.BORROWER].request_id
    almas.borrower.control("POST", f"requests/{hold}", {"cancel": "CancelledAtPatronRequest"})
    until(refused, "FINALISED", 6)
    assert refused.path()[-2:] == [S.CANCELLED, S.FINALISED]
    assert almas.borrower.contents()["requests"] == holds(almas) == {}


@pytest.mark.parametrize(("more", "status"), [(1, "RPSA"), (0, "FINALISED")])
def test_a_kill_after_any_action_of_asking_for_the_next_copy_changes_nothing(
    more, status, sync: SyncWorld, almas, tmp_path, monkeypatch
):
    sync.place(suppliers=lines(almas, 1)[:more], title="A title")
    sync.tick()
    give_up(sync, almas)
    for _ in range(3):
        sync.pass_time(timedelta(hours=1))
        sync.new_run()
        for number in sync.select(["PR-1"]):
            sync.poll(number)
        sync.apply()
        if sync.status() == "NOT_SUPPLIED":
            break
    reaper, moment = Reaper(monkeypatch), Moment(sync, tmp_path)
    attempt(sync, reaper, "act", None)
    actions, expected = reaper.done, result(sync)
    assert sync.status() == status
    assert actions > 10
    for kill_at in range(1, actions + 1):
        moment.put_back()
        assert attempt(sync, reaper, "act", kill_at), f"there is no action {kill_at}"
        sync.act()
        assert result(sync) == expected, f"killed after action {kill_at} and begun again"
        assert explain(sync.store, "PR-1").agrees


# --- the action by itself: done again, by two, with lost answers


@pytest.fixture
def asked(almas):
    """The request as it stands when the next supplier is looked for: the first lender's hold is gone."""
    place = almas.place(suppliers=lines(almas, 1), title="A title")
    book = almas.book()
    supplier = LegRecord(
        Role.SUPPLIER,
        "LENDER",
        user_id=VP,
        request_id="1",
        mms_id=book.mms_id,
        holding_id=book.holding_id,
        item_pid=book.pid,
        barcode=book.barcode,
    )
    return tracked(place, S.NOT_SUPPLIED, supplier, LegRecord(Role.BORROWER, "BORROWER"))


def resolve(almas, asked):
    return almas.actor().perform(row(A.RESOLVE_NEXT_SUPPLIER), asked)


@pytest.mark.parametrize("kind", ["drop", "truncated", "server_error"])
def test_lost_answers_place_one_hold(kind, almas, asked):
    almas.lender.strike(kind, "POST", "/users$", applied=True, first=1)
    almas.lender.strike(kind, "POST", "/requests", applied=True, first=1)
    answer = resolve(almas, asked)
    if isinstance(answer, Later):
        answer = resolve(almas, asked)
    assert acks(answer) == acks(resolve(almas, asked)) == [AckName.NEXT_SUPPLIER]
    assert [*holds(almas)] == [almas.book(1).pid]


def test_two_who_ask_for_the_next_copy_at_once_place_one_hold(almas, asked, monkeypatch):
    """The second does all of it between any two calls of the first."""
    send, state = Exchange.send, {"calls": 0, "at": 0}

    def meanwhile(target, call, *args, **kwargs):
        state["calls"] += 1
        if state["calls"] == state["at"]:
            state["other"] = resolve(almas, asked)
        return send(target, call, *args, **kwargs)

    monkeypatch.setattr(Exchange, "send", meanwhile)
    resolve(almas, asked)
    for at in range(1, state["calls"] + 1):
        almas.lender.reset()
        state |= {"calls": 0, "at": at}
        answers = (resolve(almas, asked), state["other"])
        ((request_id, hold),) = almas.lender.contents()["requests"].items()
        for answer in answers:
            assert acks(answer) == [AckName.NEXT_SUPPLIER]
            assert answer.legs[0].request_id == request_id
        assert hold["item_pid"] == almas.book(1).pid


def test_a_copy_that_is_on_its_way_for_us_already_is_not_passed_over(almas, asked):
    (leg,) = resolve(almas, asked).legs
    almas.lender.control("POST", "desk", {"pid": leg.item_pid, "library": almas.book(1).library})
    again = resolve(almas, asked)
    assert again.legs == (leg,)
    assert acks(again) == [AckName.NEXT_SUPPLIER]


def test_while_nobody_knows_no_other_copy_is_asked_for(almas, asked):
    more = replace(asked, conf={**asked.conf, "suppliers": lines(almas, 1, 2)})
    almas.lender.strike("server_error", "GET", f"items/{almas.book(1).pid}", applied=False)
    almas.lender.strike("server_error", "GET", "/items", applied=False)
    assert isinstance(resolve(almas, more), Later)
    assert holds(almas) == {}


def test_a_copy_whose_barcode_the_borrower_uses_is_passed_over(almas, asked):
    real = almas.borrower.lendable(almas.at_borrower)[0]
    almas.lender.control("POST", f"items/{almas.book(1).pid}", {"barcode": real.barcode})
    more = replace(asked, conf={**asked.conf, "suppliers": [f"LENDER {real.barcode}", *lines(almas, 2)]})
    (leg,) = resolve(almas, more).legs
    assert leg.item_pid == almas.book(2).pid


def test_a_relabelled_book_does_not_begin_the_list_again(almas, asked):
    more = replace(asked, conf={**asked.conf, "suppliers": lines(almas, 1, 2)})
    legs_now = {
        **more.legs,
        Role.SUPPLIER: replace(more.legs[Role.SUPPLIER], barcode="NEW-LABEL", generation=2),
    }
    more.state.legs[Role.SUPPLIER] = replace(more.state.leg(Role.SUPPLIER), generation=2)
    (leg,) = resolve(almas, replace(more, legs=legs_now)).legs
    assert (leg.item_pid, leg.generation) == (almas.book(2).pid, 3)


def test_a_folio_transaction_is_about_the_next_book(folio):  # noqa: F811
    almas = folio.almas
    folio.do(A.PLACE_AT_BORROWER, S.CONFIRMED)
    transaction = folio.running.consortium.transactions.by_id["PR-1"]
    assert transaction.details["item"]["barcode"] == almas.book().barcode
    folio.supplier = replace(folio.supplier, barcode=almas.book(1).barcode, generation=2)
    for _ in range(2):
        answer = folio.do(A.PLACE_AT_BORROWER, S.CONFIRMED)
        assert acks(answer) == [AckName.BORROWER_PLACED]
        assert transaction.details["item"]["barcode"] == almas.book(1).barcode
        assert answer.legs[0].barcode == almas.book(1).barcode
    assert transaction.status == "CREATED"
    waits = {**almas.conf(suppliers=lines(almas, 1)), "pickup_system": "FOLIO", "borrower_system": "FOLIO"}
    folio.do(A.CLEANUP, S.CANCELLED)
    gone = replace(folio.tracked(S.NOT_SUPPLIED), conf=waits)
    assert acks(folio.actor.perform(row(A.RESOLVE_NEXT_SUPPLIER), gone)) == [AckName.NO_ITEMS]
