"""Questions about many requests, on each database."""

from datetime import timedelta

import pytest

from alma_etl.dcb.machine.vocabulary import ActionType, Role, Status
from alma_etl.dcb.store import DcbStore, LegRecord, NewRequest
from alma_etl.dcb.store.rows import Side
from tests.unit.dcb.records import SETTINGS, START, new_request, play

DAY = timedelta(days=1)


def finish(store: DcbStore, pr_id: str) -> None:
    play(store, "V01", pr_id)


def test_live_and_ended_requests_page_by_page(store: DcbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alma_etl.dcb.store.overview._PAGE", 2)
    for n in range(5):
        store.add(new_request(f"PR-{n}"), START)
    finish(store, "PR-9")
    assert [each.pr_id for each in store.live()] == [f"PR-{n}" for n in range(5)]
    assert [each.pr_id for each in store.ended(START)] == ["PR-9"]
    assert list(store.ended(START + 2 * DAY)) == []
    assert store.counts() == {Status.RPSA: 5, Status.FINALISED: 1}


def test_virtual_patrons_and_their_sides(store: DcbStore) -> None:
    store.add(new_request("PR-1"), START)
    finish(store, "PR-2")
    pickup = LegRecord(Role.PICKUP, "THIRD", user_id="vp-9", request_id="h-9", item_pid="23-9")
    folio = LegRecord(Role.SUPPLIER, "FOLIO", "MOD_DCB", user_id="u-1", txn_id="PR-3")
    store.add(NewRequest("PR-3", (folio, pickup)), START)
    assert store.virtual_users() == [("LENDER", "vp-1"), ("THIRD", "vp-9")]
    sides = store.sides_of("LENDER", "vp-1")
    assert sides == [
        Side("PR-1", Role.SUPPLIER, Status.RPSA, "PR-1-S", "PR-1-23"),
        Side("PR-2", Role.SUPPLIER, Status.FINALISED, "PR-2-S", "PR-2-23"),
    ]
    assert [side.is_live for side in sides] == [True, False]
    assert store.is_ours("THIRD", request_id=None, item_pid="23-9")
    assert not store.is_ours("LENDER", request_id="h-9", item_pid=None)
    store.thin_out(SETTINGS, START + 60 * DAY)  # the ended one's user is a digest now
    assert [side.pr_id for side in store.sides_of("LENDER", "vp-1")] == ["PR-1"]
    assert store.virtual_users() == [("LENDER", "vp-1"), ("THIRD", "vp-9")]


def test_rows_that_do_not_get_on(store: DcbStore) -> None:
    play(store, "V11")  # lent: the loan at the lender is still to be made
    now = START + 2 * DAY
    assert store.stalled(START, now) == []
    waiting = store.stalled(now, now)
    assert {row.state for row in waiting} == {"PENDING"}
    (action,) = store.lease_outbox("ALMA_ACTION", now, 1, "me")
    assert store.not_done("PR-1", ActionType(action.type)) == []
    store.settle(action.outbox_id, "FAILED", now, error="refused")
    assert store.not_done("PR-1", ActionType(action.type)) == [action.outbox_id]
    assert action.outbox_id not in [row.outbox_id for row in store.stalled(now + DAY, now)]
    (event,) = store.lease_outbox("EVENT", now, 1, "me")
    store.settle(event.outbox_id, "FAILED", now, error="refused")
    assert [row.state for row in store.stalled(START, now)] == ["FAILED"]
    assert store.stalled(START, now + timedelta(seconds=1)) == []
    (event,) = store.lease_outbox("EVENT", now, 1, "me")
    store.settle(event.outbox_id, "DEAD", now, error="it does not answer")
    assert [row.state for row in store.stalled(START, now + DAY)] == ["DEAD"]
