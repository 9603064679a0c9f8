"""The store: one transaction a step, nothing lost, nothing twice, whoever is killed when."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import event, text

from alma_etl.dcb.__main__ import main
from alma_etl.dcb.machine.model import Ack, Moment, Observation, RequestRead
from alma_etl.dcb.machine.vocabulary import AckName, Role, Status
from alma_etl.dcb.store import DcbStore, LegRecord, ReadError, Report
from alma_etl.dcb.store.rows import UnknownRequest
from alma_etl.store.db import StoreRefused, StoreUnavailable, open_engine
from tests.unit.dcb.records import (
    HOUR,
    SETTINGS,
    START,
    VECTORS,
    dump,
    new_request,
    play,
    report,
    reports_of,
    seen,
)

MINUTE = timedelta(minutes=1)
IDS = [vector["name"][:3] for vector in VECTORS]


@pytest.mark.parametrize("name", IDS)
def test_a_vector_reported_to_the_store_is_kept_explained_and_replayed(
    store: DcbStore, store_url: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    play(store, name)
    vector = next(each for each in VECTORS if each["name"].startswith(name))
    history = store.history("PR-1")
    assert [each.to for each in history.transitions] == vector["expected_transitions"]
    assert [each.seq for each in history.transitions] == list(range(1, len(history.transitions) + 1))
    tracked = store.get("PR-1")
    assert tracked is not None
    flags = [flag for flag in tracked.state.flags if flag != "STALE_OBSERVATION_DROPPED"]
    assert flags == [flag for flag in vector["expected_flags"] if flag != "STALE_OBSERVATION_DROPPED"]
    assert main(["explain", store_url, "PR-1"]) == 0
    printed = capsys.readouterr().out
    assert "steps lead to the same state" in printed
    assert f"is {tracked.status} since" in printed


def test_what_is_reported_twice_is_kept_once(store: DcbStore, store_url: str) -> None:
    play(store, "V13")
    before = dump(store_url)
    for at, each in reports_of("V13"):
        applied = store.apply("PR-1", [each], settings=SETTINGS, now=at + HOUR)
        assert applied.result is None
    assert dump(store_url) == before


def test_tracking_twice_changes_nothing(store: DcbStore, store_url: str) -> None:
    assert store.add(new_request(), START)
    before = dump(store_url)
    assert not store.add(new_request(), START + HOUR)
    assert dump(store_url) == before


@contextmanager
def killed_before_statement(store: DcbStore, number: int) -> Iterator[list[int]]:
    """The process dies before its nth statement: the transaction is never committed."""
    count = [0]

    def die(*_: object) -> None:
        count[0] += 1
        if count[0] == number:
            raise KeyboardInterrupt

    engine = store._engine
    event.listen(engine, "before_cursor_execute", die)
    try:
        yield count
    finally:
        event.remove(engine, "before_cursor_execute", die)


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["V13", "V15"])
def test_killed_before_any_statement_and_run_again_nothing_is_missing_or_doubled(
    store: DcbStore, store_url: str, name: str
) -> None:
    store.add(new_request("PR-1"), START)
    store.add(new_request("PR-2"), START)
    kills = 0
    for at, each in reports_of(name):
        now = at + timedelta(seconds=5)
        store.apply("PR-2", [each], settings=SETTINGS, now=now)
        for number in range(1, 50):
            before = dump(store_url)
            with killed_before_statement(store, number) as count:
                try:
                    store.apply("PR-1", [each], settings=SETTINGS, now=now)
                except KeyboardInterrupt:
                    kills += 1
            if count[0] < number:
                break
            assert dump(store_url) == before
    assert kills > 50
    ids = (
        "pr_id",
        "obs_id",
        "event_id",
        "outbox_id",
        "alert_key",
        "payload",
        "body",
        "request_id",
        "item_pid",
    )
    for table, rows in dump(store_url).items():
        if not rows or "pr_id" not in rows[0]:
            continue
        one, other = (
            sorted(
                json.dumps(
                    {k: v for k, v in row.items() if k not in (*ids, "next_poll_at")},
                    default=str,
                    sort_keys=True,
                )
                for row in rows
                if row["pr_id"] == pr_id
            )
            for pr_id in ("PR-1", "PR-2")
        )
        assert one == other, table


def test_an_action_and_what_came_of_it_are_kept_both_or_neither(store: DcbStore, store_url: str) -> None:
    store.add(new_request(), START)
    store.apply(
        "PR-1",
        [seen("SUPPLIER", START + HOUR, "NOT_STARTED", "in place")],
        settings=SETTINGS,
        now=START + HOUR,
    )
    (row,) = store.lease_outbox("ALMA_ACTION", START + HOUR, 10, "me")
    assert row.type == "PLACE_AT_BORROWER"
    ack = report({"ack": "BORROWER_PLACED"}, START + HOUR + MINUTE)
    leg = LegRecord(
        Role.BORROWER, "BORROWER", user_id="patron-1", request_id="77", item_pid="78", is_virtual=True
    )
    before = dump(store_url)
    with killed_before_statement(store, 6), pytest.raises(KeyboardInterrupt):
        store.settle_action(row, "SENT", [ack], settings=SETTINGS, now=START + HOUR + MINUTE, legs=[leg])
    assert dump(store_url) == before
    applied = store.settle_action(
        row, "SENT", [ack], settings=SETTINGS, now=START + HOUR + MINUTE, legs=[leg]
    )
    assert applied is not None
    assert applied.status is Status.RPBA
    again = store.settle_action(row, "SENT", [ack], settings=SETTINGS, now=START + HOUR + MINUTE, legs=[leg])
    assert again is None
    tracked = store.get("PR-1")
    assert tracked is not None
    assert tracked.legs[Role.BORROWER].request_id == "77"


def test_several_sides_are_one_step(store: DcbStore) -> None:
    store.add(new_request(), START)
    reports = [
        seen("BORROWER", START + HOUR, "NOT_STARTED", "in place"),
        seen("SUPPLIER", START + HOUR, "IN_PROCESS", "TRANSIT"),
    ]
    applied = store.apply("PR-1", reports, settings=SETTINGS, now=START + HOUR)
    assert applied.status is Status.PICKUP_TRANSIT
    history = store.history("PR-1")
    assert [step.number for step in history.steps] == [1]
    of_role = {observation.obs_id: observation.role for observation in history.steps[0].observations}
    assert [of_role[each.obs_id] for each in history.transitions] == ["SUPPLIER", "BORROWER", "SUPPLIER"]


@pytest.mark.heavy
def test_many_workers_at_one_request_lose_nothing(store: DcbStore) -> None:
    store.add(new_request(), START)
    reported = reports_of("V01")

    def work(_: int) -> None:
        for at, each in reported:
            store.apply("PR-1", [each], settings=SETTINGS, now=at)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work, number) for number in range(4)]:
            done.result()
    history = store.history("PR-1")
    assert [each.to for each in history.transitions] == VECTORS[0]["expected_transitions"]
    assert len({(row.target, row.ord) for row in history.outbox}) == len(history.outbox)
    assert len(history.steps) == len(reported)


def test_a_request_that_is_not_tracked(store: DcbStore) -> None:
    with pytest.raises(UnknownRequest, match="PR-9 is not tracked"):
        store.apply("PR-9", [seen("SUPPLIER", START, "gone")], settings=SETTINGS, now=START)


def test_a_report_without_a_time_is_refused(store: DcbStore) -> None:
    store.add(new_request(), START)
    with pytest.raises(ValueError, match="must carry the time"):
        store.apply("PR-1", [Report(Ack(AckName.NO_ITEMS), "ACK")], settings=SETTINGS, now=START)


def test_what_is_stamped_ahead_of_the_clock_is_refused_and_not_kept(store: DcbStore, store_url: str) -> None:
    """It would make everything that is read until then stale."""
    store.add(new_request(), START)
    before = dump(store_url)
    ahead = seen("SUPPLIER", START + timedelta(minutes=5, seconds=1), "NOT_STARTED", "in place")
    with pytest.raises(StoreRefused, match="ahead of the clock"):
        store.apply("PR-1", [ahead], settings=SETTINGS, now=START)
    assert dump(store_url) == before
    nearly = seen("SUPPLIER", START + timedelta(minutes=5), "NOT_STARTED", "in place")
    assert store.apply("PR-1", [nearly], settings=SETTINGS, now=START).status is Status.CONFIRMED


def test_a_part_that_is_in_doubt_is_no_failure_of_a_look_that_did_not_ask_for_it(store: DcbStore) -> None:
    store.add(new_request(), START)
    for hours, report_ in enumerate([seen("SUPPLIER", START + HOUR, "?", "in place"), None], 1):
        now = START + hours * HOUR
        each = report_ or seen("SUPPLIER", now, None, "in place")
        store.apply("PR-1", [each], settings=SETTINGS, now=now)
    tracked = store.get("PR-1")
    assert tracked is not None
    assert tracked.state.leg(Role.SUPPLIER).failed == {"request"}
    leg = tracked.legs[Role.SUPPLIER]
    assert (leg.error_repeat, leg.last_ok_at) == (0, START + 2 * HOUR)


def test_a_store_that_is_not_there_is_reported_in_a_sentence(tmp_path: object) -> None:
    with (
        DcbStore(f"sqlite:///{tmp_path}/none.db") as store,
        pytest.raises(StoreUnavailable, match="was upgraded"),
    ):
        store.get("PR-1")


# --- leases


def test_the_due_are_leased_once_the_urgent_first(store: DcbStore) -> None:
    for name, pr_id in (("V11", "LOANED"), ("V03", "NONE"), ("V16", "TRANSIT"), ("V15", "RETURN")):
        play(store, name, pr_id)
    store.add(new_request("NEW"), START)
    later = START + timedelta(days=60)
    first = store.lease_due(later, 3, "one")
    assert [each.pr_id for each in first] == ["RETURN", "TRANSIT", "NEW"]
    assert [each.pr_id for each in store.lease_due(later, 3, "two")] == ["LOANED"]
    assert store.lease_due(later, 3, "three") == []
    store.release(["RETURN"], "somebody else")
    assert store.lease_due(later, 3, "three") == []
    store.release(["RETURN"], "one")
    assert [each.pr_id for each in store.lease_due(later, 3, "three")] == ["RETURN"]
    after = later + timedelta(minutes=10)
    assert [each.pr_id for each in store.lease_due(after, 9, "four")] == [
        "RETURN",
        "TRANSIT",
        "NEW",
        "LOANED",
    ]


def test_applying_gives_the_lease_back_and_sets_the_next_look(store: DcbStore) -> None:
    store.add(new_request(), START)
    (one,) = store.lease_due(START, 5, "me")
    applied = store.apply(
        "PR-1", [seen("SUPPLIER", START, "IN_PROCESS", "in place")], settings=SETTINGS, now=START, owner="me"
    )
    assert applied.next_poll_at is not None
    assert timedelta(minutes=4) < applied.next_poll_at - START < timedelta(minutes=6)
    assert store.lease_due(START, 5, "other") == []
    assert [each.pr_id for each in store.lease_due(applied.next_poll_at, 5, "other")] == [one.pr_id]


def test_quiet_looks_back_off_and_failed_ones_do_not_count_as_quiet(store: DcbStore) -> None:
    store.add(new_request(), START)
    now = START
    repeats = []
    for words in ("IN_PROCESS", "IN_PROCESS", "?", "IN_PROCESS"):
        now += HOUR
        store.apply(
            "PR-1",
            [seen("SUPPLIER", now, words, "?" if words == "?" else "in place")],
            settings=SETTINGS,
            now=now,
        )
        tracked = store.get("PR-1")
        assert tracked is not None
        repeats.append((tracked.poll_repeat, tracked.legs[Role.SUPPLIER].error_repeat))
    assert repeats == [(0, 0), (1, 0), (1, 1), (2, 0)]


def test_a_failed_read_is_kept_with_what_alma_said_and_changes_nothing(store: DcbStore) -> None:
    store.add(new_request(), START)
    failed = seen("SUPPLIER", START + HOUR, "?", "?")
    errors = (ReadError("request", 500, "GENERAL_ERROR", "E01-1"),)
    store.apply("PR-1", [Report(failed.seen, "POLL", errors)], settings=SETTINGS, now=START + HOUR)
    tracked = store.get("PR-1")
    assert tracked is not None
    leg = tracked.legs[Role.SUPPLIER]
    assert (leg.last_ok_at, leg.last_read_at, leg.error_repeat) == (None, START + HOUR, 1)
    assert leg.last_error == "request 500 GENERAL_ERROR E01-1"
    (past,) = store.history("PR-1").steps
    assert past.observations[0].outcome == "ERROR"
    assert past.observations[0].errors == [errors[0].to_json()]


def test_a_nudge_makes_due_at_once_and_first(store: DcbStore) -> None:
    for pr_id in ("PR-1", "PR-2"):
        store.add(new_request(pr_id), START)
        store.apply(pr_id, [seen("SUPPLIER", START, "IN_PROCESS", "in place")], settings=SETTINGS, now=START)
    assert store.lease_due(START + MINUTE, 5, "me") == []
    assert store.nudge(["PR-2", "PR-9"], START + MINUTE) == 1
    (one,) = store.lease_due(START + MINUTE, 5, "me")
    assert (one.pr_id, one.nudged) == ("PR-2", True)
    unread = Observation(Role.SUPPLIER, Moment.at(START + MINUTE / 2), request=RequestRead(None))
    store.apply("PR-2", [Report(unread)], settings=SETTINGS, now=START + MINUTE)
    tracked = store.get("PR-2")
    assert tracked is not None
    assert tracked.nudged, "a look that failed was none"
    store.apply(
        "PR-2",
        [seen("SUPPLIER", START + MINUTE, "IN_PROCESS", "in place")],
        settings=SETTINGS,
        now=START + MINUTE,
    )
    tracked = store.get("PR-2")
    assert tracked is not None
    assert not tracked.nudged


def test_the_board_shows_what_needs_attention_first(store: DcbStore) -> None:
    for name, pr_id in (("V11", "CALM"), ("V15", "TROUBLED"), ("V01", "ENDED")):
        play(store, name, pr_id)
    assert store.list_by()[0].pr_id == "TROUBLED"
    assert [each.pr_id for each in store.list_by(attention=True)] == ["TROUBLED"]
    assert [each.pr_id for each in store.list_by(statuses=[Status.FINALISED])] == ["ENDED"]
    assert len(store.list_by(limit=2)) == 2
    assert len(store.list_by(limit=2, offset=2)) == 1


# --- explain


def test_explain_tells_what_was_seen_and_what_was_done(
    store: DcbStore, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    play(store, "V06")
    assert main(["explain", store_url, "PR-1"]) == 0
    printed = capsys.readouterr().out
    assert (
        "BORROWER: request not there; item LOAN; loan Active, NORMAL, due_date 2026-02-01T00:00:00+00:00"
        in printed
    )
    assert "5. RECEIVED_AT_PICKUP -> READY_FOR_PICKUP (HandleBorrowerItemOnHoldShelf, inferred" in printed
    assert "for CREATE_SUPPLIER_LOAN: PENDING" in printed
    assert "patron-1" not in printed


def test_explain_notices_a_history_that_does_not_lead_here(
    store: DcbStore, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    play(store, "V03")
    engine = open_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE dcb_transition SET to_status = 'LOANED' WHERE seq = 3"))
    engine.dispose()
    assert main(["explain", store_url, "PR-1"]) == 1
    assert "Replay: DIFFERS" in capsys.readouterr().out


def test_a_history_of_earlier_rules_may_lead_elsewhere_and_is_no_fault(
    store: DcbStore, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Version 1 took a transit for a dispatch although the hold was not started."""
    store.add(new_request(), START)
    store.apply(
        "PR-1",
        [seen("SUPPLIER", START + HOUR, "NOT_STARTED", "in place")],
        settings=SETTINGS,
        now=START + HOUR,
    )
    tracked = store.get("PR-1")
    assert tracked is not None
    old = {name: value for name, value in tracked.state.to_json().items() if name != "rules"}
    old["legs"]["SUPPLIER"].pop("hold_at")
    engine = open_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE dcb_request SET state = :state"), {"state": json.dumps(old)})
    engine.dispose()
    assert main(["explain", store_url, "PR-1"]) == 0
    assert "Replay: differs, and may" in capsys.readouterr().out


def test_explain_of_a_stranger(store: DcbStore, store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", store_url, "PR-9"]) == 1
    assert "There is no request PR-9" in capsys.readouterr().err


def test_nothing_personal_is_kept_in_observations_events_and_alerts(store: DcbStore, store_url: str) -> None:
    play(store, "V15")
    rows = dump(store_url)
    kept = {table: rows[table] for table in ("dcb_observation", "dcb_transition", "dcb_outbox", "dcb_alert")}
    text = json.dumps(kept, default=str)
    assert "patron-1" not in text
    assert "vp-1" not in text
