"""Events and actions: each request's in order, at least once, overtaken ones dropped, given-up ones reported."""

from datetime import timedelta

import pytest

from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import Alert, DcbStore, Hint, OutboxRow
from tests.unit.dcb.records import HOUR, SETTINGS, START, dump, new_request, play, report, reports_of, seen

pytestmark = pytest.mark.heavy

MINUTE = timedelta(minutes=1)
FAR = START + timedelta(days=30)


def types(rows: list[OutboxRow]) -> list[str]:
    return [" ".join([row.type, *row.payload.get("args", ())]) for row in rows]


def drain(store: DcbStore, kind: str = "EVENT") -> list[OutboxRow]:
    """Deliver one after the other, as a job would."""
    done = []
    while rows := store.lease_outbox(kind, FAR, 10, "me"):  # type: ignore[arg-type]
        for row in rows:
            assert store.settle(row.outbox_id, "SENT", FAR)
            done.append(row)
    return done


def test_the_events_of_a_course_come_in_their_order(store: DcbStore) -> None:
    play(store, "V13")
    reported = drain(store)
    assert [row.payload["to"] for row in reported if row.type == "dcb.status.changed"] == [
        "CONFIRMED",
        "REQUEST_PLACED_AT_BORROWING_AGENCY",
        "PICKUP_TRANSIT",
        "RECEIVED_AT_PICKUP",
        "READY_FOR_PICKUP",
        "LOANED",
        "RETURN_TRANSIT",
        "COMPLETED",
    ]
    assert [row.type for row in reported][-2:] == [
        "dcb.alert.returned_direct_to_supplier",
        "dcb.request.closed",
    ]
    last = next(row.payload for row in reported if row.payload.get("to") == "COMPLETED")
    assert last["txn_state"] == "CLOSED"
    assert last["item_status"] == "AVAILABLE"
    assert last["occurred_at"] == (START + 7 * HOUR).isoformat()
    assert len({row.payload["event_id"] for row in reported}) == len(reported)


def test_each_sink_has_its_own_rows(store: DcbStore) -> None:
    settings = DcbSettings.model_validate(
        SETTINGS.model_dump(mode="json", exclude={"intervals", "stuck", "sinks"}, exclude_defaults=True)
        | {"sinks": [{"type": "webhook", "conn_id": "hook"}]}
    )
    store.add(new_request(), START)
    store.apply("PR-1", [seen("SUPPLIER", START, "IN_PROCESS", "in place")], settings=settings, now=START)
    assert [row.target for row in store.lease_outbox("EVENT", START, 9, "me")] == ["log", "webhook:hook"]
    assert store.lease_outbox("EVENT", START, 9, "me", target="webhook:hook") == []


def test_a_row_waits_for_those_before_it_and_not_for_other_requests(store: DcbStore) -> None:
    play(store, "V08", "PR-1")
    play(store, "V08", "PR-2")
    rows = store.lease_outbox("EVENT", FAR, 10, "me")
    assert sorted((row.pr_id, row.payload["to"]) for row in rows) == [
        ("PR-1", "CONFIRMED"),
        ("PR-2", "CONFIRMED"),
    ]
    assert store.lease_outbox("EVENT", FAR, 10, "other") == []
    store.settle(rows[0].outbox_id, "SENT", FAR)
    (row,) = store.lease_outbox("EVENT", FAR, 10, "other")
    assert row.pr_id == rows[0].pr_id


def test_a_lease_that_ran_out_is_free_again(store: DcbStore) -> None:
    play(store, "V08")
    (row,) = store.lease_outbox("EVENT", FAR, 10, "killed")
    (again,) = store.lease_outbox("EVENT", FAR + HOUR, 10, "me")
    assert again.outbox_id == row.outbox_id


def test_a_row_that_was_given_up_blocks_its_request_and_raises_an_alert(store: DcbStore) -> None:
    play(store, "V08", "PR-1")
    (row,) = store.lease_outbox("EVENT", FAR, 1, "me")
    assert store.settle(row.outbox_id, "DEAD", FAR, error="no answer")
    assert store.lease_outbox("EVENT", FAR + HOUR, 10, "me") == []
    (alert,) = store.open_alerts(pr_id="PR-1")
    assert (alert.code, alert.detail["error"]) == ("OUTBOX_STALLED", "no answer")
    assert store.revive(row.outbox_id, FAR + HOUR)
    assert store.open_alerts() == []
    (again,) = store.lease_outbox("EVENT", FAR + HOUR, 10, "me")
    assert (again.outbox_id, again.attempts) == (row.outbox_id, 0)


def test_a_row_that_was_refused_blocks_nothing(store: DcbStore) -> None:
    play(store, "V08")
    (row,) = store.lease_outbox("EVENT", FAR, 1, "me")
    store.settle(row.outbox_id, "FAILED", FAR, error="404")
    (following,) = store.lease_outbox("EVENT", FAR, 1, "me")
    assert following.seq == row.seq + 1


def test_a_row_is_tried_again_when_its_time_comes(store: DcbStore) -> None:
    play(store, "V08")
    (row,) = store.lease_outbox("EVENT", FAR, 1, "me")
    store.postpone(row.outbox_id, FAR + HOUR, "503")
    assert store.lease_outbox("EVENT", FAR, 1, "me") == []
    (again,) = store.lease_outbox("EVENT", FAR + HOUR, 1, "me")
    assert (again.attempts, again.last_error) == (1, "503")


def test_settling_twice_is_noticed(store: DcbStore) -> None:
    play(store, "V08")
    (row,) = store.lease_outbox("EVENT", FAR, 1, "me")
    assert store.settle(row.outbox_id, "SENT", FAR)
    assert not store.settle(row.outbox_id, "FAILED", FAR)


# --- actions


def test_overtaken_deeds_are_dropped_and_the_others_come_in_order(store: DcbStore) -> None:
    reported = reports_of("V09")
    store.add(new_request(), START)
    for at, each in reported[:5]:
        store.apply("PR-1", [each], settings=SETTINGS, now=at)
    # Nobody acted so far: placing and scanning make no sense any more for a request that waits for its book.
    assert types(drain(store, "ALMA_ACTION")) == ["CANCEL_SUPPLIER_HOLD", "VERIFY_SUPPLIER_HOLD_GONE"]
    states = {(row.type, row.state) for row in store.history("PR-1").outbox if row.kind == "ALMA_ACTION"}
    assert ("PLACE_AT_BORROWER", "SUPERSEDED") in states
    assert ("BORROWER_SCAN_IN", "SUPERSEDED") in states


def test_a_deed_that_was_given_up_is_dropped_too_once_it_is_overtaken(store: DcbStore) -> None:
    reported = reports_of("V09")
    store.add(new_request(), START)
    for at, each in reported[:3]:
        store.apply("PR-1", [each], settings=SETTINGS, now=at)
    (row,) = store.lease_outbox("ALMA_ACTION", FAR, 9, "me")
    assert types([row]) == ["BORROWER_SCAN_IN TRANSIT"]
    store.settle(row.outbox_id, "DEAD", FAR, error="no answer")
    for at, each in reported[3:5]:
        store.apply("PR-1", [each], settings=SETTINGS, now=at)
    assert types(drain(store, "ALMA_ACTION")) == ["CANCEL_SUPPLIER_HOLD", "VERIFY_SUPPLIER_HOLD_GONE"]
    assert store.open_alerts() == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"mode": "observe"}, []),
        ({}, ["CLEANUP"]),
        ({"renew_supplier_loan": True, "supplier_receive_scan": True}, ["CLEANUP"]),
    ],
)
def test_observe_does_nothing_and_switches_gate_deeds(
    store: DcbStore, settings: dict[str, object], expected: list[str]
) -> None:
    chosen = SETTINGS.model_copy(update=settings)
    store.add(new_request(), START)
    for at, each in reports_of("V12"):
        store.apply("PR-1", [each], settings=chosen, now=at)
    asked = [row.type for row in store.history("PR-1").outbox if row.kind == "ALMA_ACTION"]
    assert asked[-1:] == expected
    assert ("RENEW_SUPPLIER_LOAN" in asked) == bool(settings.get("renew_supplier_loan"))
    assert ("SUPPLIER_SCAN_IN" in asked) == bool(settings.get("supplier_receive_scan"))


def test_a_request_that_nobody_supplies_asks_for_the_next_supplier_and_then_for_cleaning_up(
    store: DcbStore,
) -> None:
    play(store, "V03")
    asked = [row.type for row in store.history("PR-1").outbox if row.kind == "ALMA_ACTION"]
    assert asked == ["PLACE_AT_BORROWER", "RESOLVE_NEXT_SUPPLIER", "CLEANUP"]


# --- alerts


def test_a_standing_flag_is_an_alert_until_it_is_over(store: DcbStore) -> None:
    store.add(new_request(), START)
    for at, each in reports_of("V12")[:10]:
        store.apply("PR-1", [each], settings=SETTINGS, now=at)
    (alert,) = store.open_alerts()
    assert (alert.code, alert.severity, alert.pr_id) == ("BORROWER_ITEM_LOST", "urgent", "PR-1")
    for at, each in reports_of("V12")[10:]:
        store.apply("PR-1", [each], settings=SETTINGS, now=at)
    assert store.open_alerts() == []


def test_one_condition_is_one_alert_however_often_it_is_seen(store: DcbStore) -> None:
    alert = Alert("STUCK:PR-1", "STUCK_LOANED", "warning", None, {"days": 3})
    assert store.open_alert(alert, START)
    assert not store.open_alert(alert, START + HOUR)
    (seen_twice,) = store.open_alerts()
    assert (seen_twice.repeat_count, seen_twice.first_seen, seen_twice.last_seen) == (1, START, START + HOUR)
    assert store.acknowledge("STUCK:PR-1", "somebody")
    store.close_alert("STUCK:PR-1", START + 2 * HOUR)
    assert store.open_alerts() == []
    assert not store.acknowledge("STUCK:PR-1", "somebody")
    assert store.open_alert(alert, START + 3 * HOUR)
    (anew,) = store.open_alerts()
    assert (anew.repeat_count, anew.first_seen, anew.acked_by) == (0, START + 3 * HOUR, None)


# --- hints


def test_a_webhook_makes_us_look_and_is_kept_once(store: DcbStore) -> None:
    store.add(new_request(), START)
    store.apply("PR-1", [seen("SUPPLIER", START, "IN_PROCESS", "in place")], settings=SETTINGS, now=START)
    hint = Hint("4711", "LENDER", "REQUEST_CANCELED", request_id="PR-1-S")
    assert store.keep_hint(hint, START + MINUTE)
    assert not store.keep_hint(hint, START + MINUTE)
    assert store.keep_hint(Hint("4712", "LENDER", "LOAN_CREATED", item_pid="of another"), START + MINUTE)
    assert store.keep_hint(Hint("4713", "BORROWER", "REQUEST_CANCELED", request_id="PR-1-S"), START + MINUTE)
    assert store.follow_hints(START + 2 * MINUTE) == 1
    assert store.follow_hints(START + 2 * MINUTE) == 0
    (due,) = store.lease_due(START + 2 * MINUTE, 5, "me")
    assert due.nudged
    assert due.legs[Role.SUPPLIER].closure_hint == "CANCELED"


# --- retention


def test_what_decided_nothing_goes_after_a_while_and_users_are_forgotten(
    store: DcbStore, store_url: str
) -> None:
    play(store, "V01", "ENDED")
    play(store, "V11", "LOANED")
    quiet = START + timedelta(days=2)
    store.apply("LOANED", [seen("BORROWER", quiet, None, None, "Active")], settings=SETTINGS, now=quiet)
    thinned = store.thin_out(SETTINGS, START + timedelta(days=29))
    assert (thinned.observations, thinned.anonymised) == (0, 0)
    thinned = store.thin_out(SETTINGS, START + timedelta(days=40))
    assert (thinned.observations, thinned.anonymised, thinned.requests) == (0, 1, 0)
    ended, kept = store.get("ENDED"), store.get("LOANED")
    assert ended is not None
    assert kept is not None
    assert kept.legs[Role.BORROWER].user_id == "patron-1"
    assert str(ended.legs[Role.BORROWER].user_id).startswith("sha256:")
    assert ended.conf["borrower"]["user_id"] == ended.legs[Role.BORROWER].user_id
    assert "note" not in ended.conf
    assert store.thin_out(SETTINGS, START + timedelta(days=40)).anonymised == 0

    thinned = store.thin_out(SETTINGS, START + timedelta(days=120))
    assert thinned.observations > 0
    for pr_id in ("ENDED", "LOANED"):
        history = store.history(pr_id)
        cited = {each.obs_id for each in history.transitions}
        assert {seen.obs_id for step in history.steps for seen in step.observations} == cited
        tracked = store.get(pr_id)
        assert tracked is not None
        assert tracked.thinned
    thinned = store.thin_out(SETTINGS, START + timedelta(days=800))
    assert thinned.requests == 1
    assert store.get("ENDED") is None
    assert store.get("LOANED") is not None
    assert {row["pr_id"] for rows in dump(store_url).values() for row in rows if row.get("pr_id")} == {
        "LOANED"
    }


def test_explain_says_that_an_old_history_cannot_be_replayed(
    store: DcbStore, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from alma_etl.dcb.__main__ import main

    play(store, "V01")
    store.thin_out(SETTINGS, START + timedelta(days=120))
    assert main(["explain", store_url, "PR-1"]) == 0
    assert "not possible any more" in capsys.readouterr().out


def test_an_ack_of_a_person_names_who(store: DcbStore) -> None:
    play(store, "V11")
    now = START + timedelta(days=3)
    ack = report({"ack": "OPERATOR_CLOSE_LOST"}, now)
    store.apply("PR-1", [ack], settings=SETTINGS, now=now, actor="user:desk")
    assert store.history("PR-1").transitions[-1].actor == "user:desk"
