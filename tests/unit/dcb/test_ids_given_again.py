"""Ids that Alma gives again, as every restart of a sandbox does, and what a placing left that was never tracked."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic import command
from sqlalchemy import text

from alma_etl.dcb.flows.place.track import track
from alma_etl.dcb.flows.reconcile.findings import Code
from alma_etl.dcb.flows.reconcile.report import check_outcome
from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.dcb.sides.alma_act import cancel_hold
from alma_etl.dcb.store import DcbStore, Hint, HoldTaken, LegRecord, NewRequest
from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.store.db import StoreUnavailable, open_engine
from alma_etl.store.upgrade import alembic_config, upgrade
from tests.unit.dcb.reconcile_world import Nights
from tests.unit.dcb.records import HOUR, SETTINGS, START, dump, new_request, play, report, seen
from tests.unit.dcb.sides_desk import NOTHING, ONE, STEPS, Desk
from tests.unit.dcb.sides_world import Almas
from tests.unit.dcb.sync_world import MemoryBucket

B, S = Role.BORROWER, Role.SUPPLIER
MINUTE = timedelta(minutes=1)


def again(pr_id: str, of: str = "PR-1") -> NewRequest:
    """A request whose holds and items have the ids of another's."""
    lender = LegRecord(S, "LENDER", user_id="vp-1", request_id=f"{of}-S", item_pid=f"{of}-23")
    return NewRequest(pr_id, (lender, LegRecord(B, "BORROWER", user_id="patron-1")))


# --- in the store


def test_the_id_of_an_ended_requests_hold_is_free_for_another(store: DcbStore) -> None:
    play(store, "V01")
    assert store.get("PR-1").status is Status.FINALISED
    assert store.add(again("PR-2"), START + 99 * HOUR)
    assert store.get("PR-2").legs[S].request_id == store.get("PR-1").legs[S].request_id == "PR-1-S"


def test_the_id_of_an_open_requests_hold_is_not_and_nothing_is_half_tracked(store: DcbStore) -> None:
    store.add(new_request(), START)
    with pytest.raises(HoldTaken, match=r"the hold PR-1-S of LENDER is that of the open request PR-1"):
        store.add(again("PR-2"), START)
    assert store.get("PR-2") is None


def test_the_id_of_an_earlier_suppliers_hold_is_free(store: DcbStore, store_url: str) -> None:
    store.add(new_request(), START)
    second = LegRecord(S, "LENDER", generation=2, user_id="vp-1", request_id="of-the-second")
    at = START + HOUR
    store.apply(
        "PR-1", [seen("SUPPLIER", at, "IN_PROCESS", "in place")], settings=SETTINGS, now=at, legs=[second]
    )
    assert [
        (row["generation"], bool(row["is_open"]))
        for row in dump(store_url)["dcb_leg"]
        if row["role"] == "SUPPLIER"
    ] == [
        (1, False),
        (2, True),
    ]
    assert store.add(again("PR-2"), at)


def test_a_webhook_about_an_id_given_again_goes_to_the_open_request(store: DcbStore) -> None:
    play(store, "V01")
    later = START + 99 * HOUR
    store.add(again("PR-2"), later)
    store.apply("PR-2", [seen("SUPPLIER", later, "IN_PROCESS", "in place")], settings=SETTINGS, now=later)
    assert store.is_ours("LENDER", request_id="PR-1-S", item_pid=None)
    store.keep_hint(Hint("1", "LENDER", "REQUEST_CANCELED", "PR-1-S"), later + MINUTE)
    assert store.follow_hints(later + MINUTE) == 1
    assert store.get("PR-2").nudged
    assert store.get("PR-2").legs[S].closure_hint == "CANCELED"
    assert store.get("PR-1").legs[S].closure_hint is None


def test_a_webhook_about_an_ended_request_is_about_none(store: DcbStore) -> None:
    play(store, "V01")
    assert not store.is_ours("LENDER", request_id="PR-1-S", item_pid="PR-1-23")
    store.keep_hint(Hint("1", "LENDER", "REQUEST_CANCELED", "PR-1-S"), START + 90 * HOUR)
    store.add(again("PR-2"), START + 99 * HOUR)  # after the message: it was about the one before
    store.follow_hints(START + 99 * HOUR)
    assert store.get("PR-2").legs[S].closure_hint is None


def test_a_hold_placed_anew_is_not_taken_for_the_one_before(store: DcbStore) -> None:
    store.add(new_request(), START)
    now = START + HOUR
    first = LegRecord(B, "BORROWER", user_id="patron-1", request_id="1")
    ack = report({"ack": "BORROWER_PLACED", "role": "BORROWER"}, now)
    store.apply("PR-1", [ack], settings=SETTINGS, now=now, legs=[first])
    store.keep_hint(Hint("1", "BORROWER", "REQUEST_CANCELED", "1"), now)
    store.follow_hints(now)
    assert store.get("PR-1").legs[B].closure_hint == "CANCELED"
    other = LegRecord(B, "BORROWER", user_id="patron-1", request_id="2")
    ack = report({"ack": "BORROWER_PLACED", "role": "BORROWER"}, now + MINUTE)
    store.apply("PR-1", [ack], settings=SETTINGS, now=now + MINUTE, legs=[other])
    assert store.get("PR-1").legs[B].closure_hint is None


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)])
def test_a_store_of_the_version_before_keeps_its_requests_and_frees_ids_of_ended_ones(
    kind: str, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    new_database: Callable[[], str] = (
        request.getfixturevalue("postgres")
        if kind == "postgresql"
        else lambda: f"sqlite:///{tmp_path}/old.db"
    )
    url = new_database()
    upgrade(url)
    with DcbStore(url) as store:
        play(store, "V01", "PR-ENDED")
        play(store, "V11", "PR-OPEN")
        store.nudge(["PR-OPEN"], START + HOUR)
    before = dump(url)
    engine = open_engine(url)
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0005")
        columns = connection.execute(text("SELECT * FROM dcb_leg")).mappings().first()
        assert "is_open" not in columns
    engine.dispose()
    upgrade(url)
    after = dump(url, leave_out=["nudges"])
    assert after["dcb_leg"] == before["dcb_leg"]
    for row in before["dcb_request"]:
        row.pop("nudges")
    assert after == before
    with DcbStore(url) as store:
        assert store.get("PR-OPEN").nudges == 0
        assert store.get("PR-OPEN").nudged
        assert store.add(again("PR-2", "PR-ENDED"), START)
        with pytest.raises(HoldTaken):
            store.add(again("PR-3", "PR-OPEN"), START)


# --- a placing that cannot be tracked


def first_ids(almas: Almas, desk: Desk) -> dict[Role, str]:
    """The ids that a fresh sandbox gives the two holds of the first request."""
    assert desk.place(almas.conf()) == Status.RPBA
    legs = desk.context.store.get("PR-1").legs
    for side in (almas.lender, almas.borrower):
        side.reset()
    return {role: str(legs[role].request_id) for role in (S, B)}


@pytest.mark.heavy
def test_a_request_whose_ids_an_ended_one_had_is_placed_and_tracked(desk: Desk, almas: Almas) -> None:
    ids = first_ids(almas, desk)
    now = desk.context.now()
    ended = report({"ack": "OPERATOR_CLOSE_LOST"}, now)
    desk.context.store.apply("PR-1", [ended], settings=desk.context.settings, now=now)
    cleaned = report({"ack": "CLEANED_UP"}, now + MINUTE)
    assert (
        desk.context.store.apply("PR-1", [cleaned], settings=desk.context.settings, now=now).status
        == "FINALISED"
    )
    assert desk.place(almas.conf(pr_id="PR-2")) == Status.RPBA
    legs = desk.context.store.get("PR-2").legs
    assert {role: legs[role].request_id for role in (S, B)} == ids
    assert desk.left() == ONE


@pytest.mark.heavy
def test_a_placing_that_can_never_be_tracked_is_undone_and_says_why_on_its_page(
    desk: Desk, almas: Almas
) -> None:
    first_ids(almas, desk)  # and PR-1 is open still
    told = desk.place(almas.conf(pr_id="PR-2"), run_id="the-second")
    assert told.startswith("The request PR-2 was not placed. It cannot be tracked: the hold ")
    assert "is that of the open request PR-1" in told
    assert "Undone: the hold of the borrower, the virtual item at the borrower, the lender's hold." in told
    assert "Check that it runs" not in told
    assert desk.left() == NOTHING
    assert desk.context.store.get("PR-2") is None
    page = desk.page("the-second")
    assert "is that of the open request PR-1" in page
    assert "Undone: " in page
    placing = desk.placing(almas.conf(pr_id="PR-2"), run_id="the-second")
    with pytest.raises(InputProblem):
        track(placing, {})
    assert "Undone: " in desk.page("the-second")  # the task cleared alone says the same


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (StoreUnavailable("The state store does not answer."), "The state store does not answer"),
        (KeyError("Jane Doe"), "an unexpected KeyError at "),
    ],
)
def test_a_placing_that_cannot_be_tracked_now_says_on_its_page_what_stands(
    problem: Exception, words: str, desk: Desk, almas: Almas, monkeypatch: pytest.MonkeyPatch
) -> None:
    placing = desk.placing(almas.conf(), run_id="run-1")
    for step in STEPS:
        step(placing)

    def refuse(*_: Any) -> bool:
        raise problem

    with monkeypatch.context() as patched:
        patched.setattr(DcbStore, "add", refuse)
        with pytest.raises(type(problem)):
            track(placing, {})
    page = desk.page("run-1")
    assert words in page
    assert "Jane" not in page
    assert re.search(
        r"What stands: borrower&#39;s hold \d+; virtual item \d+ .*; lender&#39;s hold \d+", page
    )
    assert desk.left() == ONE
    assert track(placing, {}) == Status.RPBA
    assert "is placed and tracked" in desk.page("run-1")


@pytest.mark.heavy
def test_a_failed_step_is_reported_while_the_store_does_not_answer(
    desk: Desk, almas: Almas, monkeypatch: pytest.MonkeyPatch
) -> None:
    placing = desk.placing(almas.conf(), run_id="run-1")
    for step in STEPS[:3]:
        step(placing)

    def down(*_: Any) -> None:
        raise StoreUnavailable("The state store does not answer.")

    monkeypatch.setattr(DcbStore, "get", down)
    with pytest.raises(NotAcceptable, match="What stands: lender's hold"):
        track(placing, {"create_virtual_item": "failed"})
    assert "What stands" in desk.page("run-1")


# --- found by the comparison


@pytest.mark.heavy
@pytest.mark.parametrize(
    "left", ["both sides", "the borrower's side", "both sides, and nothing in the bucket"]
)
def test_what_an_untracked_placing_left_is_found_on_both_sides_until_it_is_gone(
    left: str, desk: Desk, almas: Almas
) -> None:
    placing = desk.placing(almas.conf())
    for step in STEPS:
        step(placing)
    progress = placing.find()
    lender, bucket = progress.supplier, desk.context.bucket
    now = datetime.now(UTC) + timedelta(
        hours=3
    )  # files have the time of their server, the sandboxes one of their own
    if left == "the borrower's side":
        cancel_hold(almas.at_lender, lender.user_id, lender.request_id, almas.lender_settings.cancel_reason)
    if (
        "nothing" in left
    ):  # some other request was lent by the same Alma: its virtual patrons are looked for there
        bucket, now = MemoryBucket(), almas.now + timedelta(hours=3)
        desk.context.store.add(new_request("PR-9"), almas.now)
    nights = Nights(desk.context.store, almas.settings, bucket, almas.systems)
    expected = {(Code.ORPHAN_HOLD, "BORROWER"), (Code.LEFTOVER_VIRTUAL, "BORROWER")}
    if left != "the borrower's side":
        expected |= {(Code.ORPHAN_HOLD, "LENDER")}

    def orphans(at: datetime) -> dict[tuple[str, str], Any]:
        found = [
            each for each in nights.night(at).open if each.code in (Code.ORPHAN_HOLD, Code.LEFTOVER_VIRTUAL)
        ]
        return {(each.code, each.detail["system"]): each for each in found}

    assert orphans(almas.now) == {}  # it may be about to be tracked
    found = orphans(now)
    assert set(found) == expected
    assert {each.pr_id for each in found.values()} == {"PR-1"}
    assert found[Code.ORPHAN_HOLD, "BORROWER"].detail["request_id"] == progress.legs[B].request_id
    assert found[Code.LEFTOVER_VIRTUAL, "BORROWER"].detail["mms_id"] == progress.items[B].mms_id
    for each in found.values():
        assert "in Alma" in each.advice
    assert check_outcome(nights.folder(), {}) != "The books agree."
    assert {(each, "BORROWER") for each in nights.alerts()} >= expected - {(Code.ORPHAN_HOLD, "LENDER")}
    track(placing, {})  # somebody clears the task
    assert orphans(now) == {}
    assert not {Code.ORPHAN_HOLD, Code.LEFTOVER_VIRTUAL} & set(nights.alerts())
