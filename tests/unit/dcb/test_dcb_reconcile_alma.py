"""The reconciliation against two sandboxes: nothing found where nothing is wrong, and what is planted is found."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from alma_etl.alma import writes
from alma_etl.alma.client import AlmaClient
from alma_etl.dcb.flows.reconcile.findings import Code
from alma_etl.dcb.flows.reconcile.report import check_outcome
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import AckName, Role
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.sides.alma_act import HoldWish, cancel_hold, place_hold
from alma_etl.dcb.sides.marks import hold_mark, virtual_user
from alma_etl.dcb.sides.patrons import ensure_virtual_patron
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.sides.virtual_item import remove
from alma_etl.dcb.store import Report
from alma_etl.errors import NotAcceptable
from alma_etl.remote.limiter import LocalLimiter
from tests.unit.dcb.reconcile_world import Nights
from tests.unit.dcb.records import dump
from tests.unit.dcb.sides_world import KEY, PATRON
from tests.unit.dcb.sync_world import SyncWorld

pytestmark = pytest.mark.heavy

VIRTUAL = virtual_user("BORROWER", PATRON)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def nights(sync: SyncWorld) -> Nights:
    return Nights(sync.store, sync.almas.settings, sync.bucket, sync.almas.systems)


def place_untracked(sync: SyncWorld, pr_id: str, number: int) -> str:
    """A hold of ours that no request knows; its id."""
    book = sync.almas.book(number)
    ensure_virtual_patron(sync.almas.at_lender, sync.almas.lender_settings, VIRTUAL, sync.clock())
    mark = hold_mark(pr_id, Role.SUPPLIER)
    wish = HoldWish(VIRTUAL, book.mms_id, book.holding_id, book.pid, "STOR", None, mark)
    return place_hold(sync.almas.at_lender, wish).request_id


def settle_rows(sync: SyncWorld) -> None:
    """Events are published, and actions fail: the outbox is empty."""
    sync.publish()
    while rows := sync.store.lease_outbox("ALMA_ACTION", sync.clock(), 9, "me"):
        for row in rows:
            sync.store.settle(row.outbox_id, "FAILED", sync.clock(), error="refused")


@contextmanager
def wrong_key(sync: SyncWorld, nights: Nights) -> Iterator[None]:
    """The lender's Alma does not accept the key for a while."""

    class Wrong:
        def alma(self, conn_id: str) -> AlmaClient:
            if conn_id != "alma_default":
                return sync.almas.at_borrower
            return AlmaClient(
                sync.almas.lender.url, "another-key", limiter=LocalLimiter(1000), sleep=lambda _: None
            )

        def mod_dcb(self, conn_id: str) -> ModDcb:
            raise AssertionError(conn_id)

    systems, nights.systems = nights.systems, Systems(nights.settings, Wrong())
    yield
    nights.systems.alma("LENDER").close()
    nights.systems = systems


def to_loaned(sync: SyncWorld) -> None:
    sync.place()
    sync.tick()
    sync.ship()
    sync.later()
    sync.arrive()
    sync.later()
    sync.borrow()
    sync.later()
    assert sync.status() == "LOANED"


def test_nothing_is_wrong_at_any_step_of_a_course(sync: SyncWorld, nights: Nights) -> None:
    sync.place()
    sync.tick()
    assert nights.codes(sync.clock()) == []
    for step in (sync.ship, sync.arrive, sync.borrow, sync.give_back, sync.come_home):
        step()
        sync.later()
        compared = nights.night(sync.clock())
        assert (compared.findings, compared.unread, compared.missed) == ((), {}, {})
    assert sync.status() == "FINALISED"
    sync.pass_time(3 * DAY)
    assert nights.codes(sync.clock()) == []
    assert check_outcome(nights.folder(), {}) == "The books agree."
    assert nights.alerts() == []


def test_holds_and_loans_that_no_request_knows(sync: SyncWorld, nights: Nights) -> None:
    sync.place()
    hold = place_untracked(sync, "PR-LOST", 1)
    sync.tick()
    assert nights.codes(sync.clock()) == []  # it may be about to be tracked
    sync.pass_time(2 * HOUR)
    sync.tick()
    (found,) = nights.night(sync.clock()).open
    assert (found.code, found.pr_id, found.detail["request_id"]) == (Code.ORPHAN_HOLD, "PR-LOST", hold)
    assert f"LENDER: no open request has the hold {hold}" in nights.table()[0]["suggested_action"]
    assert "none of them urgent" in check_outcome(nights.folder(), {})
    # lent to the virtual patron by somebody: the hold is consumed
    book = sync.almas.book(1)
    writes.create_loan(
        sync.almas.at_lender, VIRTUAL, item_pid=book.pid, library=book.library, circ_desk="DEFAULT_CIRC_DESK"
    )
    found_codes = nights.codes(sync.clock())
    assert found_codes == [Code.ORPHAN_LOAN]
    assert nights.alerts() == ["ORPHAN_LOAN"]
    sync.come_home(1)
    assert nights.codes(sync.clock()) == []
    assert nights.alerts() == []


def test_a_hold_without_our_mark_is_not_ours(sync: SyncWorld, nights: Nights) -> None:
    sync.place()
    sync.tick()
    book = sync.almas.book(1)
    body = {"request_type": "HOLD", "pickup_location_type": "LIBRARY", "pickup_location_library": "STOR"}
    sync.almas.at_lender.requests.create(VIRTUAL, body, item_pid=book.pid)
    sync.pass_time(2 * HOUR)
    assert nights.codes(sync.clock()) == []


def test_a_hold_that_vanished_is_looked_for_at_once(sync: SyncWorld, nights: Nights) -> None:
    sync.place()
    sync.tick()
    tracked = sync.store.get("PR-1")
    hold = tracked.legs[Role.SUPPLIER].request_id
    cancel_hold(sync.almas.at_lender, VIRTUAL, hold, "CancelledAtPatronRequest")
    compared = nights.night(sync.clock())
    assert [(found.code, found.severity) for found in compared.open] == [(Code.LOST_TRACK, "info")]
    assert compared.nudged == 1
    assert sync.tick().polled == 1
    assert nights.codes(sync.clock()) == []  # the machine knows that it was missed


def test_a_request_that_ended_while_its_book_is_out(sync: SyncWorld, nights: Nights) -> None:
    to_loaned(sync)
    now = sync.clock()
    for name in (AckName.OPERATOR_CLEANUP, AckName.CLEANED_UP):
        ack = Ack(name, Moment.at(now), force=True)
        sync.store.apply("PR-1", [Report(ack, "ACK")], settings=sync.almas.settings, now=now)
    settle_rows(sync)
    assert sync.status() == "FINALISED"
    compared = nights.night(sync.clock())
    found = [each for each in compared.open if each.code == Code.FINALISED_WHILE_OUT]
    assert [(each.pr_id, each.severity, each.detail["system"]) for each in found] == [
        ("PR-1", "urgent", "BORROWER"),
        ("PR-1", "urgent", "LENDER"),
    ]
    with pytest.raises(NotAcceptable, match="FINALISED_WHILE_OUT PR-1"):
        check_outcome(nights.folder(), {})
    assert nights.alerts().count("FINALISED_WHILE_OUT") == 2
    # nobody forgets it with the time, and nothing is deleted meanwhile
    sync.pass_time(10 * DAY)
    assert nights.codes(sync.clock()).count(Code.FINALISED_WHILE_OUT) == 2
    sync.give_back()
    sync.come_home()
    compared = nights.night(sync.clock())
    assert compared.open == []
    assert [(each.code, each.did) for each in compared.fixed] == [(Code.LEFTOVER_VIRTUAL, "taken away")]
    assert nights.alerts() == []


def settled_but_left(sync: SyncWorld) -> None:
    """The request comes to its end, and the actions are not done."""
    to_loaned(sync)
    sync.give_back()
    sync.later()
    sync.come_home()
    sync.pass_time(30 * HOUR)
    sync.new_run()
    for number in sync.select():
        sync.poll(number)
    sync.apply()
    assert sync.status() == "COMPLETED"


def test_a_cleanup_that_failed_is_tried_again(sync: SyncWorld, nights: Nights) -> None:
    settled_but_left(sync)
    settle_rows(sync)
    sync.pass_time(DAY)
    assert Code.LEFTOVER_VIRTUAL not in nights.codes(sync.clock())
    sync.pass_time(2 * DAY)
    (found,) = nights.night(sync.clock()).open
    assert (found.code, found.status, found.did) == (
        Code.LEFTOVER_VIRTUAL,
        "COMPLETED",
        "the cleanup is tried again",
    )
    sync.act()
    sync.publish()
    assert sync.status() == "FINALISED"
    assert not sync.almas.borrower.contents()["bibs"]
    assert nights.codes(sync.clock()) == []
    assert nights.alerts() == []


def test_a_virtual_title_that_outlived_its_request_is_taken_away(sync: SyncWorld, nights: Nights) -> None:
    settled_but_left(sync)
    now = sync.clock()
    ack = Ack(AckName.CLEANED_UP, Moment.at(now))
    sync.store.apply("PR-1", [Report(ack, "ACK")], settings=sync.almas.settings, now=now)
    settle_rows(sync)
    assert nights.codes(sync.clock()) == []
    sync.pass_time(DAY)
    assert nights.codes(sync.clock()) == []
    sync.pass_time(DAY + HOUR)
    rehearsal = nights.night(sync.clock(), dry_run=True)
    assert [(found.code, found.did) for found in rehearsal.open] == [
        (Code.LEFTOVER_VIRTUAL, "would be done: taken away")
    ]
    assert sync.almas.borrower.contents()["bibs"]
    compared = nights.night(sync.clock())
    assert [(found.code, found.did) for found in compared.fixed] == [(Code.LEFTOVER_VIRTUAL, "taken away")]
    assert not sync.almas.borrower.contents()["bibs"]


def test_dcb_service_cleans_up_and_the_request_ends_here_too(sync: SyncWorld, nights: Nights) -> None:
    settled_but_left(sync)
    settle_rows(sync)
    nights.settings = sync.almas.settings.model_copy(update={"mode": "observe"})
    assert nights.night(sync.clock()).finalised == ()
    assert sync.status() == "COMPLETED"
    sync.pass_time(3 * DAY)
    assert nights.codes(sync.clock()) == [Code.LEFTOVER_VIRTUAL]
    tracked = sync.store.get("PR-1")
    remove(sync.almas.at_borrower, "PR-1", tracked.legs[Role.BORROWER].mms_id)
    assert nights.night(sync.clock(), dry_run=True).finalised == ("PR-1",)
    assert sync.status() == "COMPLETED"
    assert nights.night(sync.clock()).finalised == ("PR-1",)
    assert sync.status() == "FINALISED"
    assert nights.alerts() == []


def test_where_nothing_virtual_is_known_a_settled_request_ends(sync: SyncWorld, nights: Nights) -> None:
    settled_but_left(sync)
    leg = sync.store.get("PR-1").legs[Role.BORROWER]
    unknown = replace(leg, mms_id=None, holding_id=None, item_pid=None, is_virtual=False)
    with sync.store._transaction():
        sync.store._put_leg("PR-1", unknown)
    nights.settings = sync.almas.settings.model_copy(update={"mode": "observe"})
    assert nights.night(sync.clock()).finalised == ("PR-1",)
    assert sync.status() == "FINALISED"


def test_a_virtual_patron_is_extended_in_time(sync: SyncWorld, nights: Nights) -> None:
    sync.place()
    sync.tick()
    expires = sync.almas.at_lender.users.read(VIRTUAL).value.expiry_date
    sync.pass_time(91 * DAY)
    nights.settings = sync.almas.settings.model_copy(update={"mode": "observe"})
    found = [each for each in nights.night(sync.clock()).open if each.code == Code.PATRON_EXPIRING]
    assert [each.did for each in found] == [""]
    assert "PATRON_EXPIRING" in nights.alerts()
    nights.settings = sync.almas.settings
    compared = nights.night(sync.clock())
    assert [each.code for each in compared.fixed] == [Code.PATRON_EXPIRING]
    assert sync.almas.at_lender.users.read(VIRTUAL).value.expiry_date > expires
    assert "PATRON_EXPIRING" not in nights.alerts()
    assert Code.PATRON_EXPIRING not in [each.code for each in nights.night(sync.clock()).findings]


def test_what_could_not_be_read_is_neither_found_nor_over(sync: SyncWorld, nights: Nights) -> None:
    sync.place()
    place_untracked(sync, "PR-LOST", 1)
    sync.tick()
    sync.pass_time(2 * HOUR)
    assert Code.ORPHAN_HOLD in nights.codes(sync.clock())
    sync.almas.lender.strike("server_error", "GET", r"/users/[^/]+/loans", times=9)
    compared = nights.night(sync.clock())
    assert (compared.open, compared.missed, compared.unread) == ([], {"LENDER": 1}, {})
    assert nights.alerts() == ["ORPHAN_HOLD"]
    assert check_outcome(nights.folder(), {}) == "The books agree."
    sync.almas.lender.control("DELETE", "faults")
    with wrong_key(sync, nights):
        compared = nights.night(sync.clock())
    assert list(compared.unread) == ["LENDER"]
    assert "key is not accepted" in compared.unread["LENDER"]
    assert nights.alerts() == ["ORPHAN_HOLD"]
    with pytest.raises(NotAcceptable, match="LENDER could not be read"):
        check_outcome(nights.folder(), {})
    assert Code.ORPHAN_HOLD in nights.codes(sync.clock())


def test_doing_it_again_changes_only_counters(sync: SyncWorld, nights: Nights) -> None:
    to_loaned(sync)
    place_untracked(sync, "PR-LOST", 1)
    sync.pass_time(2 * HOUR)
    now = sync.clock()
    nights.night(now)
    before = dump(sync.url, leave_out=["repeat_count", "last_seen"])
    at_lender, at_borrower = sync.almas.lender.contents(), sync.almas.borrower.contents()
    nights.night(now)
    assert dump(sync.url, leave_out=["repeat_count", "last_seen"]) == before
    assert (sync.almas.lender.contents(), sync.almas.borrower.contents()) == (at_lender, at_borrower)


def test_nobody_is_named(sync: SyncWorld, nights: Nights, caplog: pytest.LogCaptureFixture) -> None:
    to_loaned(sync)
    place_untracked(sync, "PR-LOST", 1)
    sync.pass_time(100 * DAY)
    nights.settings = sync.almas.settings.model_copy(update={"mode": "observe"})
    with wrong_key(sync, nights):
        nights.night(sync.clock())
    codes = nights.codes(sync.clock())
    assert {Code.ORPHAN_HOLD, Code.PATRON_EXPIRING, "STUCK_LOANED"} <= set(codes)
    prefix = "runs/dcb_reconcile/"
    written = [body.decode() for key, body in sync.bucket.objects.items() if key.startswith(prefix)]
    assert len(written) == 6
    alerts = json.dumps([[each.key, dict(each.detail)] for each in sync.store.open_alerts()])
    patron = sync.almas.at_borrower.users.read(PATRON).value.raw
    assert patron["last_name"]
    logged = "\n".join(each.getMessage() for each in caplog.records if each.name.startswith("alma_etl"))
    assert "ORPHAN_HOLD" in logged
    for text in [*written, alerts, logged]:
        for word in (PATRON, VIRTUAL, KEY, patron["last_name"], "@"):
            assert word not in text.replace("@media", "")
