"""Sinks: what each is sent, how often, and what becomes of what it answers."""

import hashlib
import hmac
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.settings import DcbSettings, SinkSettings, SystemSettings
from alma_etl.dcb.sides.ports import Done, Later, Refused, Sink
from alma_etl.dcb.sinks import (
    APART,
    EVENT_HEADER,
    SIGNATURE_HEADER,
    STEPS,
    close_sinks,
    open_sinks,
    pause_after,
)
from alma_etl.dcb.store import DcbStore, OutboxRow
from alma_etl.dcb.store.rows import LegRecord, Tracked
from alma_etl.errors import InputProblem
from alma_etl.remote.service import HttpAccess
from alma_etl.store.upgrade import upgrade
from tests.unit.alma.scripted import KEY, Say, Scripted, as_json, serve
from tests.unit.dcb.records import SETTINGS, START, play

MINUTE = timedelta(minutes=1)
ALL = tuple(
    SinkSettings.model_validate(each)
    for each in (
        {"type": "mod_dcb", "conn_id": "folio"},
        {"type": "dcb_nudge", "conn_id": "dcb"},
        {"type": "webhook", "conn_id": "hook"},
    )
)
WITH_ALL: DcbSettings = SETTINGS.model_copy(
    update={
        "sinks": ALL,
        "systems": {**SETTINGS.systems, "FOLIO": SystemSettings(kind="mod_dcb", conn_id="folio")},
    }
)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serve() as running:
        yield running


class Clock:
    """The time of a test."""

    def __init__(self) -> None:
        self.time = START + timedelta(days=1)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sinks(server: Scripted, clock: Clock) -> Iterator[Mapping[str, Sink]]:
    def access(conn_id: str) -> HttpAccess:
        return HttpAccess(f"{server.url}/{conn_id}", api_key=KEY)

    opened = open_sinks(WITH_ALL, access, now=clock)
    yield {sink.name: sink for sink in opened}
    close_sinks(opened)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """A request with a FOLIO on the patron's side."""
    url = f"sqlite:///{tmp_path_factory.mktemp('sinks') / 'store.db'}"
    upgrade(url)
    with DcbStore(url) as store:
        play(store, "V02")
        found = store.get("PR-1")
    assert found is not None
    folio = LegRecord(Role.BORROWER, "FOLIO", "MOD_DCB", user_id="patron-1", txn_id="PR-1")
    return replace(found, legs={**found.legs, Role.BORROWER: folio})


def row(to: str = "PICKUP_TRANSIT", txn: str | None = "OPEN", **changes: Any) -> OutboxRow:
    event = {
        "event_id": "11111111-2222-5333-8444-555555555555",
        "type": "dcb.status.changed",
        "pr_id": "PR-1",
        "seq": 3,
        "to": to,
        "txn_state": txn,
    }
    values: dict[str, Any] = {
        "outbox_id": "o-1",
        "pr_id": "PR-1",
        "seq": 3,
        "ord": 3,
        "kind": "EVENT",
        "target": "x",
        "type": event["type"],
        "payload": event,
        "state": "PENDING",
        "attempts": 0,
        "next_attempt_at": START,
        "last_error": None,
        "created_at": START,
    }
    return OutboxRow(**(values | changes))


def test_the_log_is_always_sent_to(tracked: Tracked, caplog: pytest.LogCaptureFixture) -> None:
    (log,) = open_sinks(SETTINGS, lambda _: HttpAccess("https://nobody.invalid"))
    with caplog.at_level(logging.INFO, logger="alma_etl.dcb.sinks"):
        assert log.deliver(row(), tracked) == Done()
    (line,) = caplog.messages
    assert json.loads(line.removeprefix("DCB event ")) == row().payload


def test_each_sink_of_the_settings_is_opened_late(tracked: Tracked) -> None:
    def nothing(conn_id: str) -> HttpAccess:
        raise InputProblem(f"There is no connection {conn_id}")

    opened = {sink.name: sink for sink in open_sinks(WITH_ALL, nothing)}
    assert tuple(opened) == WITH_ALL.sink_names == ("log", "mod_dcb:folio", "dcb_nudge:dcb", "webhook:hook")
    for name, sink in opened.items():
        answer = sink.deliver(row(), tracked)
        assert isinstance(answer, Done if name == "log" else Later)
        if isinstance(answer, Later):
            assert "There is no connection" in answer.reason


def test_the_pauses_grow_and_differ_a_little() -> None:
    for failures in range(9):
        step = STEPS[min(failures, 4)]
        pauses = {pause_after(row(attempts=failures, outbox_id=f"o-{n}")) for n in range(50)}
        assert len(pauses) == 50
        assert all(step * 0.85 <= pause <= step * 1.15 for pause in pauses)
    assert pause_after(row()) == pause_after(row())


# --- webhook


def test_a_receiver_can_check_the_signature(
    sinks: Mapping[str, Sink], server: Scripted, tracked: Tracked
) -> None:
    server.says(Say(b"thanks", 202))
    assert sinks["webhook:hook"].deliver(row(), tracked) == Done()
    assert sinks["webhook:hook"].deliver(row(), tracked) == Done()
    asked, again = server.asked
    assert (asked.method, asked.target) == ("POST", "/hook")
    expected = "sha256=" + hmac.new(KEY.encode(), asked.body, hashlib.sha256).hexdigest()
    assert asked.headers[SIGNATURE_HEADER] == expected
    assert asked.headers[EVENT_HEADER] == row().payload["event_id"]
    assert asked.headers["Content-Type"] == "application/json"
    assert json.loads(asked.body) == row().payload
    assert again.body == asked.body
    assert "Authorization" not in asked.headers
    assert KEY not in str(asked)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Done) for status in (200, 201, 204, 409, 410)),
        *((status, Later) for status in (408, 425, 429, 500, 502, 503, 504)),
        *((status, Refused) for status in (302, 400, 401, 403, 404, 413, 422)),
    ],
)
def test_what_a_receiver_answers(
    sinks: Mapping[str, Sink], server: Scripted, tracked: Tracked, status: int, kind: type
) -> None:
    server.says(Say(b"", status))
    answer = sinks["webhook:hook"].deliver(row(attempts=2), tracked)
    assert isinstance(answer, kind)
    if isinstance(answer, Later):
        assert answer.after == pause_after(row(attempts=2))


def test_a_webhook_needs_a_secret(server: Scripted, tracked: Tracked) -> None:
    settings = SETTINGS.model_copy(update={"sinks": ALL[2:]})
    _, hook = open_sinks(settings, lambda _: HttpAccess(server.url))
    answer = hook.deliver(row(), tracked)
    assert isinstance(answer, Later)
    assert "secret" in answer.reason
    assert server.asked == []


# --- mod_dcb


def test_a_transaction_follows_the_request(
    sinks: Mapping[str, Sink], server: Scripted, tracked: Tracked
) -> None:
    role = {"role": "BORROWING-PICKUP"}
    server.says(as_json({"status": "CREATED"} | role), as_json({}), as_json({"status": "OPEN"} | role))
    assert sinks["mod_dcb:folio"].deliver(row(), tracked) == Done()
    assert [(asked.method, asked.target) for asked in server.asked] == [
        ("GET", "/folio/transactions/PR-1/status"),
        ("PUT", "/folio/transactions/PR-1/status"),
        ("GET", "/folio/transactions/PR-1/status"),
    ]
    assert json.loads(server.asked[1].body) == {"status": "OPEN"}
    server.asked.clear()
    server.says(as_json({"status": "ITEM_CHECKED_OUT"} | role))
    assert sinks["mod_dcb:folio"].deliver(row(), tracked) == Done()
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "no_concern",
    [
        row(type="dcb.loan.renewed"),
        row("NO_ITEMS_SELECTABLE_AT_ANY_AGENCY", None),
        row("REQUEST_PLACED_AT_BORROWING_AGENCY", "CREATED"),
    ],
)
def test_what_does_not_concern_a_transaction_is_not_asked_about(
    sinks: Mapping[str, Sink], server: Scripted, tracked: Tracked, no_concern: OutboxRow
) -> None:
    server.says(as_json({}, 500))
    assert sinks["mod_dcb:folio"].deliver(no_concern, tracked) == Done()
    without = replace(tracked, legs={role: leg for role, leg in tracked.legs.items() if leg.txn_id is None})
    assert sinks["mod_dcb:folio"].deliver(row(), without) == Done()
    assert server.asked == []


def test_a_wrong_key_holds_events_up_and_loses_none(
    sinks: Mapping[str, Sink], server: Scripted, tracked: Tracked
) -> None:
    server.says(as_json({}, 401))
    for name in ("mod_dcb:folio", "dcb_nudge:dcb"):
        answer = sinks[name].deliver(row(), tracked)
        assert isinstance(answer, Later)
        assert answer.after == pause_after(row())


# --- dcb_nudge


def test_a_nudge_serves_what_was_before_it_and_they_keep_their_distance(
    sinks: Mapping[str, Sink], server: Scripted, tracked: Tracked, clock: Clock
) -> None:
    nudge = sinks["dcb_nudge:dcb"]
    server.says(as_json({"id": "PR-1"}), as_json({"status": "LOANED"}))
    assert nudge.deliver(row(created_at=clock.time - 2 * MINUTE), tracked) == Done()
    assert [(asked.method, asked.target) for asked in server.asked] == [
        ("POST", "/dcb/patrons/requests/PR-1/update"),
        ("GET", "/dcb/admin/patrons/requests/PR-1"),
    ]
    # happened before the nudge
    assert nudge.deliver(row(created_at=clock.time - MINUTE), tracked) == Done()
    assert nudge.deliver(row(type="dcb.loan.renewed", created_at=clock.time + MINUTE), tracked) == Done()
    assert len(server.asked) == 2
    # after it, but too soon
    clock.time += 2 * MINUTE
    later = row(created_at=clock.time - MINUTE)
    assert nudge.deliver(later, tracked) == Later(
        "dcb-service was asked to look at this request a moment ago", APART - 2 * MINUTE
    )
    # another request has its own distance
    assert nudge.deliver(replace(later, pr_id="PR-2"), tracked) == Done()
    clock.time += 3 * MINUTE
    asked_before = len(server.asked)
    assert nudge.deliver(later, tracked) == Done()
    assert len(server.asked) == asked_before + 2


def test_nudges_keep_their_distance_over_runs(server: Scripted, tracked: Tracked, clock: Clock) -> None:
    settings = SETTINGS.model_copy(update={"sinks": ALL[1:2]})
    asked_for = []

    def last_sent(sink: str, pr_id: str) -> datetime:
        asked_for.append((sink, pr_id))
        return clock.time - MINUTE

    _, nudge = open_sinks(settings, lambda _: HttpAccess(server.url), now=clock, last_sent=last_sent)
    assert nudge.deliver(row(), tracked) == Later(
        "dcb-service was asked to look at this request a moment ago", 4 * MINUTE
    )
    assert asked_for == [("dcb_nudge:dcb", "PR-1")]
    assert server.asked == []


def test_a_request_that_dcb_service_does_not_know(
    sinks: Mapping[str, Sink], server: Scripted, tracked: Tracked
) -> None:
    server.says(as_json({}, 404))
    assert isinstance(sinks["dcb_nudge:dcb"].deliver(row(), tracked), Refused)
    server.says(as_json({}, 500))
    assert isinstance(sinks["dcb_nudge:dcb"].deliver(row(), tracked), Later)


def test_a_failed_comparison_does_no_harm(
    sinks: Mapping[str, Sink], server: Scripted, tracked: Tracked
) -> None:
    server.says(as_json({}), as_json({}, 404))
    assert sinks["dcb_nudge:dcb"].deliver(row(), tracked) == Done()


def test_the_store_knows_when_a_change_was_last_published(store: DcbStore) -> None:
    play(store, "V01")
    assert store.last_sent("log", "PR-1") is None
    now = START + timedelta(days=2)
    for moment in (now, now + MINUTE):
        (first,) = store.lease_outbox("EVENT", moment, 1, "me")
        assert store.settle(first.outbox_id, "SENT", moment)
    assert store.last_sent("log", "PR-1") == now + MINUTE
    assert store.last_sent("other", "PR-1") is None
    (third,) = store.lease_outbox("EVENT", now + 2 * MINUTE, 1, "me")
    assert store.settle(third.outbox_id, "FAILED", now + 2 * MINUTE)
    assert store.last_sent("log", "PR-1") == now + MINUTE
