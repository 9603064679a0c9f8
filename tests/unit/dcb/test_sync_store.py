"""What the sync asks of the store, on both databases."""

from datetime import date, timedelta

from alma_etl.dcb.store.rows import Change, Settled
from tests.unit.dcb.records import HOUR, SETTINGS, START, new_request, play, seen

DAY = date(2026, 3, 2)
FAR = START + timedelta(days=30)


def test_the_calls_of_a_day_add_up_for_each_connection(store):
    for budget, made in (("alma_default", 3), ("alma_borrower", 2), ("alma_default", 4)):
        store.count_calls(DAY, budget, made)
    store.count_calls(DAY + timedelta(days=1), "alma_default", 1)
    assert store.calls_of(DAY) == {"alma_default": 7, "alma_borrower": 2}
    store.thin_out(SETTINGS, START + timedelta(days=91))
    assert store.calls_of(DAY) == {}
    assert store.calls_of(DAY + timedelta(days=1)) == {"alma_default": 1}


def test_what_is_due_can_be_seen_without_taking_it_and_the_owner_gets_its_own_back(store):
    store.add(new_request(), START)
    assert [each.pr_id for each in store.find_due(START, 9)] == ["PR-1"]
    assert [each.pr_id for each in store.lease_due(START, 9, "run-1")] == ["PR-1"]
    assert store.find_due(START, 9) == []
    assert store.lease_due(START, 9, "run-2") == []
    assert [each.pr_id for each in store.lease_due(START, 9, "run-1")] == ["PR-1"]


def test_a_request_without_anything_to_read_is_put_off_and_freed(store):
    store.add(new_request(), START)
    store.nudge(["PR-1"], START)
    store.lease_due(START, 9, "run-1")
    store.put_off("PR-1", START + HOUR, "run-1")
    tracked = store.get("PR-1")
    assert (tracked.next_poll_at, tracked.poll_repeat, tracked.nudged) == (START + HOUR, 1, False)
    assert [each.pr_id for each in store.lease_due(START + HOUR, 9, "run-2")] == ["PR-1"]


def test_rows_that_were_not_tried_are_given_back_and_those_settled_are_not(store):
    play(store, "V08")
    (row,) = store.lease_outbox("EVENT", FAR, 9, "run-1")
    store.release_outbox("run-2")
    assert store.lease_outbox("EVENT", FAR, 9, "run-3") == []
    store.release_outbox("run-1")
    (again,) = store.lease_outbox("EVENT", FAR, 9, "run-3")
    assert (again.outbox_id, again.attempts) == (row.outbox_id, 0)


def test_what_has_happened_since_a_moment(store):
    store.add(new_request(), START)
    shown = seen("SUPPLIER", START + HOUR, "IN_PROCESS", "in place")
    store.apply("PR-1", [shown], settings=SETTINGS, now=START + HOUR)
    (row,) = store.lease_outbox("EVENT", START + HOUR, 9, "me")
    store.settle(row.outbox_id, "SENT", START + 2 * HOUR)
    assert store.changes_since(START + HOUR) == [
        Change("PR-1", "REQUEST_PLACED_AT_SUPPLYING_AGENCY", ("CONFIRMED",))
    ]
    assert store.changes_since(START + 2 * HOUR) == []
    assert store.settled_since(START + 2 * HOUR) == [Settled("EVENT", "dcb.status.changed", "log", "SENT", 1)]
    assert store.settled_since(START + 3 * HOUR) == []
    assert store.count_open("ALMA_ACTION") == {"alma": 1}
    assert store.count_open("EVENT") == {}
