"""The reconciliation against dcb-service and mod-dcb, played by the consortium of the sandbox."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.flows.reconcile.findings import Code
from alma_etl.dcb.flows.reconcile.partners import agrees
from alma_etl.dcb.machine.vocabulary import Role, Status, Txn
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.settings import DcbSettings, SinkSettings, SystemSettings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore
from alma_etl.dcb.store.rows import LegRecord
from alma_etl.remote.service import HttpAccess
from alma_etl.store.upgrade import upgrade
from alma_sandbox.consortium import RunningConsortium, serve_consortium
from alma_sandbox.consortium.app import TOKEN_PATH
from tests.unit.dcb.reconcile_world import Nights
from tests.unit.dcb.records import SETTINGS, START, new_request, reports_of
from tests.unit.dcb.sync_world import MemoryBucket

HOUR = timedelta(hours=1)
SINK = "dcb_nudge:dcb_default"
S = Status
PR_ID = "0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11"


@pytest.fixture(scope="module")
def running() -> Iterator[RunningConsortium]:
    with serve_consortium() as consortium:
        yield consortium


class World(Nights):
    """One request with a FOLIO on the patron's side, which dcb-service knows as well."""

    def __init__(self, running: RunningConsortium, folder: Path) -> None:
        url = f"sqlite:///{folder / 'store.db'}"
        upgrade(url)
        self.url = running.url
        self.running = running.consortium.settings
        self.key = self.running.api_key
        folio = SystemSettings(kind="mod_dcb", conn_id="mod_dcb_default")
        settings: DcbSettings = SETTINGS.model_copy(
            update={"mode": "observe", "systems": {**SETTINGS.systems, "FOLIO": folio}}
        )
        super().__init__(DcbStore(url), settings, MemoryBucket(), Systems(settings, self))
        self.store.virtual_users = list  # type: ignore[method-assign, assignment]
        self.opened: list[ModDcb] = []
        requests.post(f"{self.url}/sandbox/reset", timeout=30).raise_for_status()

    def alma(self, conn_id: str) -> Any:
        raise AssertionError(conn_id)

    def mod_dcb(self, conn_id: str) -> ModDcb:
        self.opened.append(
            ModDcb(HttpAccess(f"{self.url}/dcbService", api_key=self.key), sleep=lambda _: None)
        )
        return self.opened[-1]

    def agreed(self, now: datetime) -> bool:
        """Whether everything could be read, and nothing is wrong."""
        compared = self.night(now)
        return not compared.findings and not compared.unread and not compared.missed

    def watch_dcb_service(self, **access: Any) -> None:
        given = {
            "client_id": self.running.client_id,
            "client_secret": self.running.client_secret,
            "token_url": self.url + TOKEN_PATH,
        } | access
        self.services = {SINK: lambda: DcbService(HttpAccess(self.url, **given), sleep=lambda _: None)}

    def follow(self, count: int) -> datetime:
        """The first observations of a request; when it came into its status."""
        new = new_request(PR_ID)
        self.store.add(replace(new, legs=new.legs[:1]), START)
        leg = LegRecord(Role.BORROWER, "FOLIO", "MOD_DCB", txn_id=PR_ID)
        for at, each in reports_of("V02")[:count]:
            self.store.apply(PR_ID, [each], settings=self.settings, now=at, legs=[leg])
        tracked = self.store.get(PR_ID)
        assert tracked is not None
        while rows := self.store.lease_outbox("EVENT", tracked.status_since, 50, "me"):
            for row in rows:
                self.store.settle(row.outbox_id, "SENT", tracked.status_since)
        return tracked.status_since

    def begin(self, status: str, role: str = "BORROWING-PICKUP") -> None:
        """The transaction as it stands in FOLIO."""
        body = {
            "role": role,
            "item": {"id": "1", "barcode": "31", "title": "A title", "lendingLibraryCode": "L"},
            "patron": {"id": "2", "barcode": "p", "group": "g", "borrowingLibraryCode": "B"},
            "pickup": {"servicePointId": "3", "servicePointName": "desk", "libraryCode": "B"},
        }
        folio = self.systems.mod_dcb("FOLIO")
        assert folio.create(PR_ID, body).done
        self.play(f"transactions/{PR_ID}", {"status": status})

    def shows(self, status: str, then: str = "") -> None:
        """What dcb-service shows, and will show when it has looked."""
        self.play(f"patron-requests/{PR_ID}", {"status": status, "next_status": then})

    def play(self, path: str, body: dict[str, str]) -> None:
        answer = requests.post(f"{self.url}/sandbox/{path}", json=body, timeout=30)
        assert answer.ok, answer.text


@pytest.fixture
def world(running: RunningConsortium, tmp_path: Path) -> Iterator[World]:
    found = World(running, tmp_path)
    yield found
    for each in found.opened:
        each.close()
    found.store.close()


def test_a_transaction_that_stands_elsewhere_is_reported_after_two_hours(world: World) -> None:
    since = world.follow(3)
    world.begin("OPEN")
    assert world.agreed(since + 3 * HOUR)
    world.play(f"transactions/{PR_ID}", {"status": "CREATED"})
    assert world.agreed(since + HOUR)
    (found,) = world.night(since + 3 * HOUR).open
    assert (found.code, found.pr_id, found.detail["theirs"], found.detail["expected"]) == (
        Code.TXN_MISMATCH,
        PR_ID,
        "CREATED",
        "OPEN",
    )
    assert found.did == ""  # we only watch, and no sink is named
    assert world.alerts() == ["TXN_MISMATCH"]
    sink = SinkSettings(type="mod_dcb", conn_id="mod_dcb_default")
    world.settings = world.settings.model_copy(update={"sinks": (sink,)})
    dry_run = world.night(since + 3 * HOUR, dry_run=True)
    assert [each.did for each in dry_run.open] == ["would be done: sent again"]
    (fixed,) = world.night(since + 4 * HOUR).fixed
    assert (fixed.code, fixed.did) == (Code.TXN_MISMATCH, "sent again")
    assert world.alerts() == []
    assert world.agreed(since + 5 * HOUR)


def test_what_only_circulation_can_do_is_waited_for(world: World) -> None:
    since = world.follow(4)
    world.settings = world.settings.model_copy(update={"mode": "drive"})
    world.begin("OPEN")
    (found,) = world.night(since + 3 * HOUR).open
    assert (found.detail["expected"], found.did) == (
        "AWAITING_PICKUP",
        "it waits for FOLIO's own circulation",
    )


def test_a_transaction_that_is_ahead_makes_us_look(world: World) -> None:
    since = world.follow(3)
    world.begin("ITEM_CHECKED_OUT")
    compared = world.night(since + 3 * HOUR)
    assert [each.code for each in compared.open] == [Code.TXN_MISMATCH]
    assert compared.nudged == 1


def test_a_transaction_that_is_not_there(world: World) -> None:
    since = world.follow(3)
    (found,) = world.night(since + 3 * HOUR).open
    assert (found.code, found.detail["theirs"], found.did) == (Code.TXN_MISMATCH, "MISSING", "")


def test_a_mod_dcb_that_does_not_take_the_key(world: World) -> None:
    since = world.follow(3)
    world.begin("CREATED")
    assert world.codes(since + 3 * HOUR) == [Code.TXN_MISMATCH]
    world.key = "wrong"
    world.systems = Systems(world.settings, world)
    compared = world.night(since + 4 * HOUR)
    assert (compared.open, list(compared.unread)) == ([], ["FOLIO"])
    assert world.alerts() == ["TXN_MISMATCH"]


def test_dcb_service_is_asked_to_look_before_a_difference_counts(world: World) -> None:
    since = world.follow(3)
    world.begin("OPEN")
    world.watch_dcb_service()
    world.shows("PICKUP_TRANSIT")
    assert world.agreed(since + 3 * HOUR)
    world.shows("CONFIRMED", then="PICKUP_TRANSIT")
    assert world.agreed(since + HOUR)
    assert world.agreed(since + 3 * HOUR)
    world.shows("CONFIRMED")
    dry_run = world.night(since + 3 * HOUR, dry_run=True)
    assert [(each.code, each.did) for each in dry_run.open] == [(Code.DCB_MISMATCH, "")]
    (found,) = world.night(since + 3 * HOUR).open
    assert (found.code, found.detail["theirs"], found.did) == (
        Code.DCB_MISMATCH,
        "CONFIRMED",
        "dcb-service was asked to look",
    )
    assert world.alerts() == ["DCB_MISMATCH"]
    world.shows("PICKUP_TRANSIT")
    assert world.agreed(since + 4 * HOUR)
    assert world.alerts() == []


def test_a_request_that_dcb_service_does_not_know(world: World) -> None:
    since = world.follow(3)
    world.begin("OPEN")
    world.watch_dcb_service()
    (found,) = world.night(since + 3 * HOUR).open
    assert (found.code, found.detail["theirs"]) == (Code.DCB_MISMATCH, "unknown there")


def test_a_dcb_service_that_does_not_take_the_client(world: World) -> None:
    since = world.follow(3)
    world.begin("OPEN")
    world.watch_dcb_service(client_secret="wrong")
    compared = world.night(since + 3 * HOUR)
    assert (compared.open, list(compared.unread)) == ([], [SINK])


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        (S.LOANED, "LOANED", True),
        (S.LOANED, "READY_FOR_PICKUP", False),
        (S.READY_FOR_PICKUP, "RECEIVED_AT_PICKUP", True),
        (S.AWAITING_RETURN, "CANCELLED", True),
        (S.AWAITING_RETURN, "LOANED", False),
        (S.COMPLETED, "FINALISED", True),
        (S.COMPLETED, "LOANED", False),
        (S.LOANED, "A_NEW_WORD", False),
    ],
)
def test_words_that_say_the_same(ours: Status, theirs: str, same: bool) -> None:
    assert agrees(ours, theirs) is same


def test_every_transaction_state_has_a_place() -> None:
    from alma_etl.dcb.flows.reconcile.partners import _CHAIN

    assert _CHAIN[0] is Txn.CREATED
    assert _CHAIN[-1] is Txn.CLOSED
