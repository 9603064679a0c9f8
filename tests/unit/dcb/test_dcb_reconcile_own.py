"""The reconciliation's checks of our own book, its alerts, tables and last word."""

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from alma_etl.dcb.__main__ import main
from alma_etl.dcb.flows.reconcile.compare import last_run
from alma_etl.dcb.flows.reconcile.findings import Code
from alma_etl.dcb.flows.reconcile.patrons import tonight
from alma_etl.dcb.flows.reconcile.report import COLUMNS, check_outcome, write_report
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import AckName, ActionType, Role, Status
from alma_etl.dcb.overdue import stuck_since
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import DcbStore, Report
from alma_etl.errors import NotAcceptable
from alma_etl.store.upgrade import upgrade
from tests.unit.dcb.reconcile_world import Nights
from tests.unit.dcb.records import SETTINGS, START, dump, new_request, play, reports_of, seen
from tests.unit.dcb.sync_world import MemoryBucket

pytestmark = pytest.mark.heavy

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
OBSERVING: DcbSettings = SETTINGS.model_copy(update={"mode": "observe"})


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("reconcile") / "store.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def store_url(tmp_path: Path, empty_store: Path) -> str:
    """One database is enough here: the queries are tried on both in test_dcb_overview."""
    shutil.copy(empty_store, tmp_path / "store.db")
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def nights(store: DcbStore, monkeypatch: pytest.MonkeyPatch) -> Nights:
    """Comparisons that ask no Alma: there are no virtual patrons to be read, nothing has ended."""
    monkeypatch.setattr(store, "virtual_users", list)
    return Nights(store, OBSERVING, MemoryBucket())


def reported(store: DcbStore, *reports: Report, at: datetime, settings: DcbSettings = OBSERVING) -> None:
    store.apply("PR-1", reports, settings=settings, now=at)


def deliver_all(store: DcbStore, now: datetime) -> None:
    while rows := store.lease_outbox("EVENT", now, 50, "me"):
        for row in rows:
            store.settle(row.outbox_id, "SENT", now)


def follow(store: DcbStore, name: str, only: int | None = None) -> datetime:
    """Tell a vector's first observations, all events delivered; the time of the last change."""
    store.add(new_request(), START)
    for at, each in reports_of(name)[:only]:
        reported(store, each, at=at + timedelta(seconds=5))
    tracked = store.get("PR-1")
    assert tracked is not None
    deliver_all(store, tracked.status_since)
    return tracked.status_since


def test_nothing_to_find_in_an_empty_book(nights: Nights) -> None:
    compared = nights.night(START)
    assert compared.findings == ()
    assert check_outcome(nights.folder(), {}) == "The books agree."
    assert nights.table() == []


@pytest.mark.parametrize(
    ("vector", "told_of", "status", "limit"),
    [
        ("V01", 0, "REQUEST_PLACED_AT_SUPPLYING_AGENCY", 1 * DAY),
        ("V01", 1, "CONFIRMED", 1 * DAY),
        ("V01", 2, "REQUEST_PLACED_AT_BORROWING_AGENCY", 7 * DAY),
        ("V01", 3, "PICKUP_TRANSIT", 10 * DAY),
        ("V01", 4, "READY_FOR_PICKUP", 12 * DAY),  # the hold shelf's ten and two
        ("V01", 8, "RETURN_TRANSIT", 14 * DAY),
        ("V09", 5, "AWAITING_RETURN_TO_SUPPLIER", 14 * DAY),
        ("V03", 4, "NOT_SUPPLIED_CURRENT_SUPPLIER", 1 * DAY),
    ],
)
def test_what_stays_too_long_is_stuck_and_looked_at_again(
    nights: Nights, vector: str, told_of: int, status: str, limit: timedelta
) -> None:
    since = follow(nights.store, vector, told_of)
    tracked = nights.store.get("PR-1")
    assert tracked is not None
    assert tracked.status == status
    assert f"STUCK_{status}" not in nights.codes(since + limit)
    found = [each for each in nights.night(since + limit + HOUR).open if each.code.startswith("STUCK")]
    assert [(each.code, each.pr_id, each.status) for each in found] == [(f"STUCK_{status}", "PR-1", status)]
    tracked = nights.store.get("PR-1")
    assert tracked is not None
    assert tracked.nudged is (tracked.next_poll_at is not None)


def test_a_loan_is_stuck_by_its_due_date(nights: Nights) -> None:
    since = follow(nights.store, "V11")
    tracked = nights.store.get("PR-1")
    assert tracked is not None
    assert tracked.status is Status.LOANED
    due = tracked.state.leg(Role.BORROWER).due
    assert due is not None
    assert stuck_since(tracked, SETTINGS) == due + 14 * DAY
    tracked.state.legs[Role.BORROWER].due = None
    assert stuck_since(tracked, SETTINGS) == since + 56 * DAY + 14 * DAY
    tracked.state.legs[Role.SUPPLIER].due = due + DAY
    assert stuck_since(tracked, SETTINGS) == due + 15 * DAY


def test_what_is_over_is_no_longer_stuck(nights: Nights) -> None:
    since = follow(nights.store, "V01", 3)
    assert "STUCK_PICKUP_TRANSIT" in nights.codes(since + 11 * DAY)
    assert "STUCK_PICKUP_TRANSIT" in nights.codes(since + 12 * DAY)
    (alert,) = [each for each in nights.store.open_alerts() if each.code.startswith("STUCK")]
    assert (alert.first_seen, alert.last_seen, alert.repeat_count) == (since + 11 * DAY, since + 12 * DAY, 1)
    arrived = since + 12 * DAY + HOUR
    reported(nights.store, seen("BORROWER", arrived, "ON_HOLD_SHELF", "HOLDSHELF"), at=arrived)
    assert not [code for code in nights.codes(arrived + HOUR) if code.startswith("STUCK")]
    assert not [code for code in nights.alerts() if code.startswith("STUCK")]


def test_an_error_is_urgent_at_once_until_somebody_takes_note(
    nights: Nights, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    since = follow(nights.store, "V01", 1)
    failed = Ack(AckName.ACTION_FAILED, Moment.at(since + HOUR), action=ActionType.PLACE_AT_BORROWER)
    reported(nights.store, Report(failed, "ACK"), at=since + HOUR)
    deliver_all(nights.store, since + HOUR)
    assert "STUCK_ERROR" in nights.codes(since + 2 * HOUR)
    with pytest.raises(NotAcceptable, match="STUCK_ERROR PR-1"):
        check_outcome(nights.folder(), {})
    assert main(["alerts", store_url]) == 0
    listed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(line[0], line[2]) for line in listed if "STUCK" in line[2]] == [("urgent", "STUCK_ERROR:PR-1")]
    assert main(["acknowledge", store_url, "STUCK_ERROR:PR-1", "--by", "Ada Lovelace"]) == 1
    assert main(["acknowledge", store_url, "STUCK_ERROR:PR-9", "--by", "ada"]) == 1
    assert main(["acknowledge", store_url, "STUCK_ERROR:PR-1", "--by", "ada"]) == 0
    assert "STUCK_ERROR" in nights.codes(since + 3 * HOUR)
    assert "1 findings" in check_outcome(nights.folder(), {})


def test_a_book_on_the_wrong_desk_names_the_desk(nights: Nights) -> None:
    since = follow(nights.store, "V01", 2)
    at = since + HOUR
    reported(nights.store, seen("SUPPLIER", at, "ON_HOLD_SHELF", "HOLDSHELF"), at=at)
    deliver_all(nights.store, at)
    (found,) = nights.night(at + HOUR).open
    assert found.code == Code.DISPATCH_ON_WRONG_DESK
    assert found.detail["system"] == "LENDER"
    at += 2 * HOUR
    reported(nights.store, seen("SUPPLIER", at, "IN_PROCESS", "TRANSIT"), at=at)
    deliver_all(nights.store, at)
    assert nights.codes(at) == []
    assert nights.alerts() == []


@pytest.mark.parametrize(("mode", "did"), [("drive", "the loan is tried again"), ("observe", "")])
def test_a_missing_loan_is_tried_again_where_we_act(nights: Nights, mode: str, did: str) -> None:
    nights.settings = SETTINGS.model_copy(update={"mode": mode})
    store = nights.store
    store.add(new_request(), START)
    for at, each in reports_of("V15")[:5]:
        reported(store, each, at=at + timedelta(seconds=5), settings=nights.settings)
        while rows := store.lease_outbox("ALMA_ACTION", at + HOUR, 50, "me"):
            for row in rows:
                store.settle(row.outbox_id, "FAILED", at, error="refused")
    tracked = store.get("PR-1")
    assert tracked is not None
    assert tracked.status is Status.LOANED
    deliver_all(store, tracked.status_since)
    assert Code.SUPPLIER_LOAN_MISSING not in nights.codes(tracked.status_since + HOUR / 2)
    later = tracked.status_since + 2 * HOUR
    (found,) = [each for each in nights.night(later).open if each.code == Code.SUPPLIER_LOAN_MISSING]
    assert found.did == did
    again = [row.type for row in store.lease_outbox("ALMA_ACTION", later, 50, "me")]
    assert again == (["CREATE_SUPPLIER_LOAN"] if did else [])


def test_events_that_nobody_takes(nights: Nights) -> None:
    store = nights.store
    play(store, "V01")
    now = START + 2 * DAY
    while rows := store.lease_outbox("ALMA_ACTION", now, 50, "me"):
        for row in rows:
            store.settle(row.outbox_id, "SENT", now)
    found = [each for each in nights.night(now).open if each.code == Code.OUTBOX_STALLED]
    assert [(each.severity, each.detail["target"], each.detail["state"]) for each in found] == [
        ("warning", "log", "PENDING")  # the others wait for the first
    ]
    assert int(found[0].detail["rows"]) > 5
    (first,) = store.lease_outbox("EVENT", now, 1, "me")
    store.settle(first.outbox_id, "DEAD", now, error="it does not answer")
    (found_dead,) = [each for each in nights.night(now + HOUR).open if each.code == Code.OUTBOX_STALLED]
    assert (found_dead.severity, found_dead.detail["error"]) == ("urgent", "it does not answer")
    with pytest.raises(NotAcceptable, match="OUTBOX_STALLED PR-1"):
        check_outcome(nights.folder(), {})
    assert nights.alerts().count("OUTBOX_STALLED") == 1
    store.revive(first.outbox_id, now + HOUR)
    (first,) = store.lease_outbox("EVENT", now + HOUR, 1, "me")
    store.settle(first.outbox_id, "FAILED", now + HOUR, error="refused")
    deliver_all(store, now + HOUR)
    (refused,) = [each for each in nights.night(now + DAY).open if each.code == Code.OUTBOX_STALLED]
    assert (refused.severity, refused.detail["state"]) == ("warning", "FAILED")
    assert Code.OUTBOX_STALLED not in nights.codes(now + 9 * DAY)  # the page has reported it for a week
    assert "OUTBOX_STALLED" not in nights.alerts()


def test_odd_numbers_against_the_day_before(nights: Nights) -> None:
    store = nights.store
    for n in range(30):
        store.add(new_request(f"PR-{n}"), START)
    assert nights.codes(START + HOUR) == []  # nothing to compare with
    assert nights.codes(START + 2 * HOUR) == []  # nor on the same day
    for n in range(30, 45):
        store.add(new_request(f"PR-{n}"), START + 20 * HOUR)
    assert nights.codes(START + 20 * HOUR + DAY / 8) == []  # from 30 to 45 is just half
    store.add(new_request("PR-45"), START + 20 * HOUR)
    found = [each for each in nights.night(START + 20 * HOUR).open if each.code == Code.VOLUME_ANOMALY]
    assert [each.detail for each in found] == [
        {"status": "REQUEST_PLACED_AT_SUPPLYING_AGENCY", "now": "46", "before": "30"}
    ]
    assert Code.VOLUME_ANOMALY not in nights.codes(
        START + 20 * HOUR + 3 * DAY
    )  # no numbers of the day before


def test_small_numbers_are_never_odd(nights: Nights) -> None:
    nights.store.add(new_request(), START)
    nights.night(START)
    for n in range(2, 19):
        nights.store.add(new_request(f"PR-{n}"), START + DAY)
    assert Code.VOLUME_ANOMALY not in nights.codes(START + DAY)


def test_the_table_has_its_columns_and_the_page_the_rest(nights: Nights) -> None:
    since = follow(nights.store, "V01", 3)
    nights.night(since + 11 * DAY)
    (row,) = nights.table()
    assert tuple(row) == COLUMNS
    assert row["pr_id"] == "PR-1"
    assert row["status"] == "PICKUP_TRANSIT"
    assert row["since"] == since.isoformat(timespec="seconds")
    assert row["legs"] == "BORROWER BORROWER; SUPPLIER LENDER PR-1-S"
    assert row["last_ok_at"]
    assert row["code"] == "STUCK_PICKUP_TRANSIT"
    assert "Search for the book at the lender" in row["suggested_action"]
    page = nights.bucket.get(nights.folder().key("report.html")).decode()
    assert "STUCK_PICKUP_TRANSIT" in page
    assert "PR-1" in page
    written = "".join(body.decode() for body in nights.bucket.objects.values())  # type: ignore[attr-defined]
    assert "patron-1" not in written
    assert "vp-1" not in written


def test_a_dry_run_changes_nothing(nights: Nights, store_url: str) -> None:
    since = follow(nights.store, "V01", 3)
    before, files = dump(store_url), dict(nights.bucket.objects)  # type: ignore[attr-defined]
    compared = nights.night(since + 11 * DAY, dry_run=True)
    assert [found.code for found in compared.open] == ["STUCK_PICKUP_TRANSIT"]
    assert compared.open[0].did.startswith("would be done")
    assert dump(store_url) == before
    kept = {key for key in nights.bucket.objects if not key.startswith("runs/")}  # type: ignore[attr-defined]
    assert kept == set(files)


def test_a_comparison_that_failed_is_reported(nights: Nights) -> None:
    folder = nights.folder()
    write_report(folder, {"compare": "failed"})
    page = nights.bucket.get(folder.key("report.html")).decode()
    assert "Nothing was compared" in page
    with pytest.raises(NotAcceptable, match=r"Nothing was compared\. The task compare is failed"):
        check_outcome(folder, {"compare": "failed"})


def test_the_last_run_is_remembered(nights: Nights) -> None:
    assert last_run(nights.bucket) is None
    nights.night(START, dry_run=True)
    assert last_run(nights.bucket) is None
    nights.night(START)
    assert last_run(nights.bucket) == START
    assert json.loads(nights.bucket.get("dcb/reconcile/counts/2026-03-02.json")) == {}


def test_everybody_has_a_turn() -> None:
    users = [("LENDER", f"vp-{n}") for n in range(95)]
    assert tonight(users, START, 95) == users
    turns = [tonight(users, START + n * DAY, 20) for n in range(5)]
    assert sorted(user for turn in turns for user in turn) == sorted(users)
    assert all(turns)
    assert tonight([], START, 10) == []


def test_each_night_drops_what_is_not_kept_for_ever(nights: Nights) -> None:
    ended = follow(nights.store, "V01")
    nights.night(ended + 31 * DAY, dry_run=True)
    users = {leg["user_id"] for leg in dump(str(nights.store._url))["dcb_leg"]}
    assert users == {"vp-1", "patron-1"}
    nights.night(ended + 31 * DAY)
    users = {leg["user_id"] for leg in dump(str(nights.store._url))["dcb_leg"]}
    assert all(user.startswith("sha256:") for user in users)
