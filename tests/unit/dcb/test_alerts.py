"""Whatever waits for a person is an open alert with what to do, also by ticks alone; what people say is kept."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alma_etl.dcb.__main__ import main
from alma_etl.dcb.advice import OTHERS, STANDING, STUCK, advice_of
from alma_etl.dcb.decisions import decide
from alma_etl.dcb.flows.reconcile.findings import Code
from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import Ack, Moment, State
from alma_etl.dcb.machine.vocabulary import TERMINAL, AckName, ActionType, Role, Status
from alma_etl.dcb.overdue import judge_overdue, limit_of, stuck_since
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import Alert, DcbStore, LegRecord, NewRequest, Report
from alma_etl.dcb.store.applying import SIDE_UNREADABLE, STEP_FAILED
from alma_etl.dcb.store.rows import do_about
from alma_etl.store.dcb_models import request_table
from tests.unit.dcb.records import SETTINGS, START, new_request, reports_of
from tests.unit.dcb.sync_world import SyncWorld

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LEGS = (
    LegRecord(Role.SUPPLIER, "LENDER", user_id="vp-1", request_id="HOLD-1", item_pid="23", loan_id="LOAN-1"),
    LegRecord(
        Role.BORROWER,
        "BORROWER",
        user_id="p-1",
        request_id="HOLD-2",
        mms_id="99",
        item_pid="24",
        is_virtual=True,
    ),
)


# --- every alert has a sentence


@pytest.mark.parametrize(
    "code",
    [
        *Code,
        STEP_FAILED,
        SIDE_UNREADABLE,
        "OUTBOX_STALLED",
        *(f"STUCK_{status}" for status in Status if status not in TERMINAL),
        *(flags.action_failed(action) for action in ActionType),
        *(flags.item_trouble(role, state) for role in Role for state in flags.TROUBLE_ITEMS),
    ],
)
def test_every_alert_says_what_to_do(code: str) -> None:
    assert code in STANDING or code in OTHERS
    assert advice_of(code).endswith(".")


def test_what_the_machine_can_leave_standing_has_a_sentence() -> None:
    source = Path(flags.__file__).parent
    text = "\n".join(path.read_text("utf-8") for path in source.glob("*.py"))
    constants = {
        name: value for name, value in vars(flags).items() if name.isupper() and isinstance(value, str)
    }
    standing = {value for name, value in constants.items() if f"stand(flags.{name}" in text.replace("\n", "")}
    assert len(standing) > 5
    assert standing - set(STANDING) == set()


def test_an_unknown_code_points_to_the_documents() -> None:
    assert "docs/dcb.md" in advice_of("OF_A_LATER_VERSION")


def test_what_a_check_found_says_more_than_its_code() -> None:
    alert = Alert(
        "A:1", "CLEANUP_FAILED", "warning", "PR-1", {"do": "Delete 99.", "left": "BORROWER: hold 1"}
    )
    assert do_about(alert) == "Delete 99. Left: BORROWER: hold 1."
    assert do_about(replace(alert, detail={})) == STANDING["CLEANUP_FAILED"]


# --- nothing stays for longer than its threshold


def in_status(store: DcbStore, status: Status, change: Callable[[State], None] = lambda state: None) -> None:
    """A request that has been in a status since START."""
    store.add(NewRequest("PR-1", LEGS, conf={}), START)
    state = State(status=status)
    change(state)
    store._write(
        request_table.update().values(
            status=status, status_since=START, state=state.to_json(), next_poll_at=None
        )
    )


def stuck_codes(store: DcbStore) -> list[str]:
    return [alert.code for alert in store.open_alerts() if alert.code.startswith(STUCK)]


@pytest.mark.parametrize("status", [status for status in Status if status not in TERMINAL])
def test_a_request_that_stays_has_an_alert_when_its_time_is_over_and_not_before(
    store: DcbStore, status: Status
) -> None:
    in_status(store, status)
    tracked = store.get("PR-1")
    assert tracked is not None
    limit = stuck_since(tracked, SETTINGS)
    assert limit is not None
    judge_overdue(store, SETTINGS, limit)
    assert stuck_codes(store) == []
    for later in (HOUR, DAY):
        judge_overdue(store, SETTINGS, limit + later)
        assert stuck_codes(store) == [f"STUCK_{status}"]
    (alert,) = store.open_alerts()
    assert (alert.first_seen, alert.severity) == (limit + HOUR, "urgent" if status == "ERROR" else "warning")


def test_what_has_ended_may_stay(store: DcbStore) -> None:
    in_status(store, Status.FINALISED)
    judge_overdue(store, SETTINGS, START + 1000 * DAY)
    assert stuck_codes(store) == []
    assert {status for status in Status if limit_of(status, SETTINGS) is None} == set(TERMINAL)


def test_the_alert_closes_when_the_request_moves_on_and_opens_for_the_next_status(store: DcbStore) -> None:
    in_status(store, Status.RETURN_TRANSIT)
    judge_overdue(store, SETTINGS, START + 15 * DAY)
    now = START + 16 * DAY
    ack = Ack(AckName.OPERATOR_CLOSE_LOST, Moment.at(now))
    store.apply("PR-1", [Report(ack, "MANUAL")], settings=SETTINGS, now=now)
    judge_overdue(store, SETTINGS, now + HOUR)
    assert stuck_codes(store) == []
    judge_overdue(store, SETTINGS, now + 8 * DAY)
    assert stuck_codes(store) == ["STUCK_COMPLETED"]


def test_a_loan_that_was_renewed_is_no_longer_overdue(store: DcbStore) -> None:
    def due(days: int) -> Callable[[State], None]:
        def change(state: State) -> None:
            state.legs[Role.BORROWER] = replace(state.leg(Role.BORROWER), due=START + days * DAY)

        return change

    in_status(store, Status.LOANED, due(10))
    judge_overdue(store, SETTINGS, START + 25 * DAY)
    assert stuck_codes(store) == ["STUCK_LOANED"]
    state = State(status=Status.LOANED)
    due(40)(state)
    store._write(request_table.update().values(state=state.to_json()))
    judge_overdue(store, SETTINGS, START + 26 * DAY)
    assert stuck_codes(store) == []


def test_an_acknowledged_alert_stays_acknowledged(store: DcbStore) -> None:
    in_status(store, Status.PICKUP_TRANSIT)
    judge_overdue(store, SETTINGS, START + 11 * DAY)
    (alert,) = store.open_alerts()
    assert store.acknowledge(alert.key, "ada")
    judge_overdue(store, SETTINGS, START + 12 * DAY)
    (alert,) = store.open_alerts()
    assert (alert.acked_by, alert.last_seen) == ("ada", START + 11 * DAY)


@pytest.mark.heavy
def test_a_tick_judges_and_its_page_says_what_to_do_although_no_system_can_be_read(sync: SyncWorld) -> None:
    sync.place()
    sync.tick()
    sync.later(8 * 24)
    for side in (sync.almas.lender, sync.almas.borrower):
        side.strike("drop", "GET", "", applied=False)
    summary = sync.later(24)
    code = "STUCK_REQUEST_PLACED_AT_BORROWING_AGENCY"
    (alert,) = [each for each in summary.alerts if each.code == code]
    assert (alert.pr_id, alert.do, alert.severity) == ("PR-1", OTHERS[code], "warning")
    page = sync.bucket.get(sync.folder().key("report.html")).decode()
    assert "Waiting for a person" in page
    assert "Ask the lender why the book was not shipped" in page
    for side in (sync.almas.lender, sync.almas.borrower):
        side.control("DELETE", "faults")
    sync.ship()
    assert code not in {each.code for each in sync.later().alerts}


@pytest.mark.heavy
def test_a_dry_run_judges_nothing(sync: SyncWorld) -> None:
    sync.place()
    sync.pass_time(8 * DAY)
    sync.tick(dry_run=True)
    assert sync.store.open_alerts() == []


# --- closing as lost


def closed_as_lost(sync: SyncWorld) -> None:
    """The book is lent to the patron, and somebody closes the request as lost."""
    sync.place()
    sync.tick()
    sync.ship()
    sync.later()
    sync.arrive()
    sync.later()
    sync.borrow()
    sync.later()
    assert status_of(sync) == "LOANED"
    now = sync.clock()
    ack = Ack(AckName.OPERATOR_CLOSE_LOST, Moment.at(now), reason="paid for")
    sync.store.apply("PR-1", [Report(ack, "MANUAL")], settings=sync.almas.settings, now=now, actor="user:ada")


def status_of(sync: SyncWorld) -> str:
    tracked = sync.store.get("PR-1")
    assert tracked is not None
    return str(tracked.status)


@pytest.mark.heavy
def test_a_request_closed_as_lost_whose_book_the_patron_has_names_what_is_left(sync: SyncWorld) -> None:
    closed_as_lost(sync)
    for _ in range(10):
        sync.later(12)
    assert status_of(sync) == "COMPLETED"
    left = [alert for alert in sync.store.open_alerts() if alert.code in ("CLEANUP_FAILED", "OUTBOX_STALLED")]
    assert len(left) == 1
    said = do_about(left[0])
    borrower = sync.store.get("PR-1").legs[Role.BORROWER]  # type: ignore[union-attr]
    assert f"virtual title {borrower.mms_id}" in said
    assert f"BORROWER at BORROWER: hold {borrower.request_id}" in said
    assert left[0].detail["error"]
    sync.give_back()  # in the end the patron finds it
    decide(sync.store, SETTINGS, "PR-1", "retry", by="ada", now=sync.clock(), reason="the book was found")
    sync.later(12)
    assert status_of(sync) == "FINALISED"
    assert sync.store.open_alerts() == []


@pytest.mark.heavy
def test_a_request_closed_as_lost_whose_book_has_been_written_off_ends(sync: SyncWorld) -> None:
    closed_as_lost(sync)
    sync.give_back()
    sync.later(12)
    assert status_of(sync) == "FINALISED"


# --- what people say


def explained(url: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["explain", url, "PR-1"]) == 0
    return capsys.readouterr().out


def begun(store: DcbStore, settings: DcbSettings = SETTINGS) -> None:
    store.add(new_request(), START)
    for at, each in reports_of("V01")[:3]:
        store.apply("PR-1", [each], settings=settings, now=at)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nudge", "URL", "PR-1", "--by", "ada"], "OPERATOR_NOTED: reason nudged; by ada"),
        (
            ["nudge", "URL", "PR-1", "--by", "ada", "--reason", "the van is here"],
            "OPERATOR_NOTED: reason nudged: the van is here; by ada",
        ),
        (
            ["operator", "URL", "PR-1", "close-lost", "--by", "ada", "--reason", "fell into the river"],
            "OPERATOR_CLOSE_LOST: reason fell into the river",
        ),
        (
            ["operator", "URL", "PR-1", "cleanup", "--force", "--by", "ada", "--reason", "by error"],
            "OPERATOR_CLEANUP: force True; reason by error",
        ),
    ],
)
def test_a_reason_is_kept_and_explained(
    store: DcbStore, store_url: str, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(store)
    assert main([store_url if word == "URL" else word for word in arguments]) == 0
    text = explained(store_url, capsys)
    assert line in text
    assert "lead to the same state" in text


def test_retrying_and_acknowledging_are_kept_as_well(
    store: DcbStore, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(store)
    (row, *_) = store.lease_outbox("EVENT", START + DAY, 1, "me")
    store.settle(row.outbox_id, "DEAD", START + DAY, error="no answer")
    (alert,) = store.open_alerts()
    assert main(["acknowledge", store_url, alert.key, "--by", "ada", "--reason", "asked the vendor"]) == 0
    assert main(["alerts", store_url]) == 0
    listed = capsys.readouterr().out
    assert f"{alert.key}\tada: asked the vendor\t{OTHERS['OUTBOX_STALLED']}\n" in listed
    assert main(["operator", store_url, "PR-1", "retry", "--by", "bea", "--reason", "it answers again"]) == 0
    text = explained(store_url, capsys)
    assert f"OPERATOR_NOTED: reason acknowledged {alert.key}: asked the vendor; by ada" in text
    assert "OPERATOR_NOTED: reason tried again: it answers again; by bea" in text


def test_a_note_changes_nothing_of_the_request(store: DcbStore, store_url: str) -> None:
    begun(store)
    before = store.get("PR-1")
    assert before is not None
    assert main(["nudge", store_url, "PR-1", "--by", "ada", "--reason", "why"]) == 0
    after = store.get("PR-1")
    assert after is not None
    assert (after.state, after.status_since, after.legs) == (before.state, before.status_since, before.legs)
    assert after.nudged


def test_notes_are_kept_as_long_as_the_history(
    store: DcbStore, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(store)
    assert main(["nudge", store_url, "PR-1", "--by", "ada", "--reason", "why"]) == 0
    later = START + timedelta(days=500)
    store.thin_out(SETTINGS.model_copy(update={"keep_history": timedelta(days=5000)}), later + 365 * DAY)
    assert "OPERATOR_NOTED: reason nudged: why; by ada" in explained(store_url, capsys)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--reason", "why"], "Give your login by --by"),
        (["--by", "Ada Lovelace"], "Give your login by --by"),
        (["--by", "ada", "--reason", "x" * 501], "at most 500 characters"),
        (["--by", "ada", "--reason", "a\x07b"], "at most 500 characters"),
    ],
)
def test_a_reason_that_may_not_be_kept_is_refused(
    store: DcbStore, store_url: str, more: list[str], words: str, capsys: pytest.CaptureFixture[Any]
) -> None:
    begun(store)
    assert main(["nudge", store_url, "PR-1", *more]) == 1
    assert words in capsys.readouterr().err
    assert not store.get("PR-1").nudged  # type: ignore[union-attr]
