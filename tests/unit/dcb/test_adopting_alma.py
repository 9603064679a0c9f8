"""Adopted requests between two pretend Almas: followed by ticks whatever they are in, and nothing is ever written."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from alma_etl.dcb.conf import CancelRequest
from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.decisions import decide
from alma_etl.dcb.explain import explain
from alma_etl.dcb.flows.adopt.request import AdoptedRequest, adopt, read_adopted
from alma_etl.dcb.flows.adopt.sources import of_alma
from alma_etl.dcb.flows.cancel import Cancelling, cancel
from alma_etl.dcb.flows.place.progress import RequestContext
from alma_etl.dcb.flows.reconcile.findings import Code
from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides.marks import request_of_comment
from alma_etl.dcb.sides.other import of_hold, of_item
from alma_etl.dcb.sides.systems import Systems
from alma_etl.errors import InputProblem
from alma_etl.remote.service import HttpAccess
from alma_etl.store.locks import open_locks
from alma_sandbox.consortium import RunningConsortium, serve_consortium
from alma_sandbox.consortium.app import TOKEN_PATH
from tests.unit.dcb.adopting import PR_ID
from tests.unit.dcb.reconcile_world import Nights
from tests.unit.dcb.sides_world import Almas
from tests.unit.dcb.sync_world import SyncWorld, sync_world

S = Status


@pytest.fixture
def watching(almas: Almas, tmp_path: Path) -> Iterator[SyncWorld]:
    """Another installation beside `sync`, which plays dcb-service; it drives requests of its own."""
    folder = tmp_path / "watching"
    folder.mkdir()
    with sync_world(almas, folder) as world:
        yield world


def reported(running: SyncWorld, **changes: Any) -> AdoptedRequest:
    """The request as whoever runs it reports it."""
    tracked = running.store.get(PR_ID)
    assert tracked is not None
    sides = {
        role.lower(): {"system": leg.system_code}
        | {name: getattr(leg, name) for name in ("user_id", "request_id", "mms_id", "item_pid", "holding_id")}
        for role, leg in tracked.legs.items()
    }
    since = tracked.status_since.isoformat()
    told = {"status": tracked.status, "since": since, "by": "dcb_service"}
    data = {"pr_id": PR_ID, "told": told, **sides}
    data["supplier"] |= {"holding_id": None}  # 8.71 does not say it
    return read_adopted(data | changes)


def writes(almas: Almas) -> list[str]:
    """What was written to both Almas so far."""
    entries = [
        entry
        for side in (almas.lender, almas.borrower)
        for entry in side.control("GET", "log")["entries"]
        if entry["method"] != "GET"
    ]
    return [f"{entry['method']} {entry['path']}" for entry in entries]


def placed(running: SyncWorld) -> None:
    running.place(PR_ID)
    running.tick()


def shipped(running: SyncWorld) -> None:
    placed(running)
    running.ship()
    running.later()


def ready(running: SyncWorld) -> None:
    shipped(running)
    running.arrive()
    running.later()


def loaned(running: SyncWorld) -> None:
    ready(running)
    running.borrow()
    running.later()


def returning(running: SyncWorld) -> None:
    loaned(running)
    running.give_back()
    running.later()


def awaiting_return(running: SyncWorld) -> None:
    ready(running)
    leg = running.store.get_many([PR_ID])[PR_ID].legs[Role.BORROWER]
    reason = "CancelledAtPatronRequest"
    running.almas.at_borrower.requests.cancel(str(leg.user_id), str(leg.request_id), reason=reason)
    for _ in range(3):
        running.pass_time(running.almas.settings.missing_min_gap * 2)
        running.tick([PR_ID])


COURSE: dict[str, tuple[Callable[[SyncWorld], None], Status, list[str]]] = {
    "placed": (placed, S.RPBA, ["ship", "arrive", "borrow", "give_back", "come_home"]),
    "in transit": (shipped, S.PICKUP_TRANSIT, ["arrive", "borrow", "give_back", "come_home"]),
    "ready": (ready, S.READY_FOR_PICKUP, ["borrow", "give_back", "come_home"]),
    "lent": (loaned, S.LOANED, ["give_back", "come_home"]),
    "on the way home": (returning, S.RETURN_TRANSIT, ["come_home"]),
}


@pytest.mark.heavy
@pytest.mark.parametrize("name", COURSE)
def test_a_request_is_followed_home_from_whatever_state_and_nothing_is_written(
    sync: SyncWorld, watching: SyncWorld, name: str
) -> None:
    begin, status, steps = COURSE[name]
    begin(sync)
    assert sync.status(PR_ID) == status.name
    settings = watching.almas.settings.model_copy(update={"mode": "drive"})
    assert adopt(watching.store, reported(sync), settings=settings, now=watching.clock()) == "created"
    for step in ["", *steps]:
        if step:
            getattr(sync, step)()
            sync.later()
        before = writes(sync.almas)
        watching.clock.time = sync.clock.time
        watching.tick([PR_ID])
        assert writes(sync.almas) == before
        tracked = watching.store.get(PR_ID)
        assert tracked is not None
        assert tracked.state.standing == (), step
    assert watching.path(PR_ID)[-1] == "COMPLETED"
    assert [row for row in watching.history(PR_ID).outbox if row.kind == "ALMA_ACTION"] == []
    explained = explain(watching.store, PR_ID)
    assert explained is not None
    assert explained.agrees, explained.text


@pytest.mark.heavy
def test_what_is_cancelled_on_its_way_comes_home(sync: SyncWorld, watching: SyncWorld) -> None:
    awaiting_return(sync)
    assert sync.status(PR_ID) == "AWAITING_RETURN"
    adopt(watching.store, reported(sync), settings=watching.almas.settings, now=watching.clock())
    watching.tick([PR_ID])
    assert watching.status(PR_ID) == "AWAITING_RETURN"
    sync.give_back()
    sync.come_home()
    sync.pass_time(sync.almas.settings.missing_min_gap * 6)
    watching.clock.time = sync.clock.time
    watching.tick([PR_ID])
    assert watching.status(PR_ID) == "CANCELLED"


@pytest.mark.heavy
def test_a_first_look_that_contradicts_the_report_reads_what_it_takes_to_see_that(
    sync: SyncWorld, watching: SyncWorld
) -> None:
    ready(sync)
    wrong = {"status": "LOANED", "by": "dcb_service"}
    adopt(watching.store, reported(sync, told=wrong), settings=watching.almas.settings, now=watching.clock())
    watching.tick()
    assert watching.store.get_many([PR_ID])[PR_ID].state.standing == ("ADOPTED_DISAGREES",)
    sync.borrow()
    sync.later()
    watching.clock.time = sync.clock.time
    watching.tick([PR_ID])
    assert watching.store.get_many([PR_ID])[PR_ID].state.standing == ()


@pytest.mark.heavy
def test_people_cannot_make_us_write_for_it(sync: SyncWorld, watching: SyncWorld, tmp_path: Path) -> None:
    ready(sync)
    settings = watching.almas.settings.model_copy(update={"mode": "drive"})
    adopt(watching.store, reported(sync), settings=settings, now=watching.clock())
    before = writes(sync.almas)
    with open_locks(watching.url) as locks:
        context = RequestContext(
            settings, watching.store, watching.almas.systems, watching.bucket, locks, watching.clock
        )
        for dry_run in (True, False):
            run = Cancelling(context, CancelRequest(pr_id=PR_ID), "run-1", dry_run=dry_run)
            with pytest.raises(InputProblem, match="is run by dcb-service and only watched here"):
                cancel(run)
    decide(watching.store, settings, PR_ID, "cleanup", by="librarian", now=watching.clock(), force=True)
    watching.tick()
    watching.pass_time(watching.almas.settings.other_side * 4)
    nights = Nights(watching.store, settings, watching.bucket, watching.almas.systems)
    nights.night(watching.clock())
    assert writes(sync.almas) == before
    assert watching.status(PR_ID) == "COMPLETED"


@pytest.mark.heavy
def test_what_ended_there_and_left_nothing_ends_here(sync: SyncWorld, watching: SyncWorld) -> None:
    returning(sync)
    settings = watching.almas.settings.model_copy(update={"mode": "drive"})
    adopt(watching.store, reported(sync), settings=settings, now=watching.clock())
    watching.tick()
    sync.come_home()
    sync.pass_time(sync.almas.settings.missing_min_gap * 12)
    watching.clock.time = sync.clock.time
    watching.tick([PR_ID])
    assert watching.status(PR_ID) == "COMPLETED"
    nights = Nights(watching.store, settings, watching.bucket, watching.almas.systems)
    nights.night(watching.clock())
    assert watching.status(PR_ID) == "COMPLETED"  # its virtual item is there
    sync.later()  # dcb-service cleans up
    watching.clock.time = sync.clock.time
    found = nights.night(watching.clock())
    assert found.finalised == (PR_ID,)
    assert watching.status(PR_ID) == "FINALISED"
    assert Code.LEFTOVER_VIRTUAL not in [each.code for each in found.open]


# --- a scan of Alma


@pytest.mark.heavy
def test_a_scan_finds_the_lenders_side_by_the_marks_of_holds(sync: SyncWorld, watching: SyncWorld) -> None:
    placed(sync)
    almas = watching.almas
    (found,) = of_alma(watching.store, almas.settings, almas.systems)
    assert found.request is not None
    assert (found.pr_id, found.request.reported.status) == (PR_ID, S.RPBA)
    assert adopt(watching.store, found.request, settings=almas.settings, now=watching.clock()) == "created"
    assert adopt(watching.store, reported(sync), settings=almas.settings, now=watching.clock()) == "updated"
    assert set(watching.store.get_many([PR_ID])[PR_ID].legs) == {Role.SUPPLIER, Role.BORROWER}
    for report in (found.request, reported(sync)):
        assert adopt(watching.store, report, settings=almas.settings, now=watching.clock()) == "same"
    sync.ship()
    sync.later()
    watching.clock.time = sync.clock.time
    watching.tick([PR_ID])
    assert watching.status(PR_ID) == "PICKUP_TRANSIT"


@pytest.mark.heavy
def test_a_scan_names_loans_that_no_known_request_has(sync: SyncWorld, watching: SyncWorld) -> None:
    loaned(sync)
    almas = watching.almas
    (found,) = of_alma(watching.store, almas.settings, almas.systems)
    assert (found.request, found.reason) == (None, "ORPHAN_LOAN")
    adopt(watching.store, reported(sync), settings=almas.settings, now=watching.clock())
    assert list(of_alma(watching.store, almas.settings, almas.systems)) == []


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        (f"[DCB-REQUEST:{PR_ID}:SUPPLIER]", PR_ID),
        (f"Ship it. [DCB-REQUEST:{PR_ID}]", PR_ID),
        (f"Consortial Hold. tno={PR_ID} For 2100@ab Pickup MAIN@x", PR_ID),
        ("Consortial Hold. tno=17 For 2100@ab", None),
        ("[DCB-REQUEST:own-1:SUPPLIER]", "own-1"),
        ("", None),
    ],
)
def test_the_marks_of_all_versions_are_known(comment: str, expected: str | None) -> None:
    assert request_of_comment(comment) == expected


# --- a library that is no Alma and no FOLIO


@pytest.fixture(scope="module")
def running() -> Iterator[RunningConsortium]:
    with serve_consortium() as consortium:
        yield consortium


@pytest.mark.heavy
def test_a_side_of_another_system_is_read_through_dcb_service(
    sync: SyncWorld, watching: SyncWorld, running: RunningConsortium
) -> None:
    shipped(sync)
    almas, given = watching.almas, running.consortium.settings
    access = HttpAccess(
        running.url,
        client_id=given.client_id,
        client_secret=given.client_secret,
        token_url=running.url + TOKEN_PATH,
    )
    other = SystemSettings(kind="other", host_lms_code="koha-lms")
    almas.settings = almas.settings.model_copy(
        update={"systems": {**almas.settings.systems, "KOHA": other}, "mode": "drive"}
    )
    with DcbService(access, sleep=lambda _: None) as service:
        almas.dcb_service = lambda _: service  # type: ignore[attr-defined]
        almas.systems = Systems(almas.settings, almas)  # type: ignore[arg-type]

        def shows(hold: str, item: str) -> None:
            body = {"status": "PICKUP_TRANSIT", "localRequestStatus": hold, "localItemStatus": item}
            requests.post(
                f"{running.url}/sandbox/patron-requests/{PR_ID}", json=body, timeout=30
            ).raise_for_status()

        request = reported(sync, borrower={"system": "koha-lms", "user_id": "k-1", "request_id": "77"})
        assert adopt(watching.store, request, settings=almas.settings, now=watching.clock()) == "created"
        leg = watching.store.get_many([PR_ID])[PR_ID].legs[Role.BORROWER]
        assert (leg.system_code, leg.system_kind) == ("KOHA", "OTHER")
        for hold, item, status in (
            ("CONFIRMED", "TRANSIT", "PICKUP_TRANSIT"),
            ("READY", "HOLDSHELF", "READY_FOR_PICKUP"),
            ("MISSING", "LOANED", "LOANED"),
            ("MISSING", "TRANSIT", "RETURN_TRANSIT"),
        ):
            shows(hold, item)
            watching.pass_time(watching.almas.settings.other_side)
            watching.tick([PR_ID])
            assert watching.status(PR_ID) == status
        requests.post(f"{running.url}/sandbox/reset", timeout=30).raise_for_status()
        watching.pass_time(watching.almas.settings.other_side)
        watching.tick([PR_ID])
        leg = watching.store.get_many([PR_ID])[PR_ID].legs[Role.BORROWER]
        assert "UNKNOWN_THERE" in str(leg.last_error)


def test_words_of_dcb_service_become_those_of_an_observation() -> None:
    assert (of_hold("CONFIRMED").request_status, of_hold("PLACED").request_status) == (
        "IN_PROCESS",
        "NOT_STARTED",
    )
    assert (of_hold("CANCELLED").found, of_hold("CANCELLED").closure) == (False, "CANCELED")
    assert of_hold(None).found is None
    assert of_hold("A_NEW_WORD").request_status == "A_NEW_WORD"
    assert of_item("RECEIVED", Role.SUPPLIER).base_status == "1"
    assert of_item("RECEIVED", Role.BORROWER).process_type == "HOLDSHELF"
    assert of_item("AVAILABLE", Role.BORROWER).base_status == "1"
    assert of_item("LOANED", Role.BORROWER).process_type == "LOAN"
    assert of_item("A_NEW_WORD", Role.BORROWER).process_type == "A_NEW_WORD"
