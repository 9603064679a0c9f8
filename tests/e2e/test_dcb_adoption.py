"""Requests of a running dcb-service, adopted in every state and watched to their end; nothing is written for them.

dcb-service is played by our own DAGs over a store of its own: what they do in the Almas is what it does. The watcher
has another store, and learns of the requests from dcb-service's GraphQL.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.dcb.store import DcbStore
from alma_etl.store.upgrade import upgrade
from alma_sandbox.consortium.app import TOKEN_PATH
from local.servers import S3Server
from tests.conftest import Bucket as S3Bucket
from tests.e2e.dcb_world import Request, World, small_world

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

S = Status
Step = Callable[[Request], object]
SHIP, ARRIVE, BORROW, RETURN = Request.ship, Request.arrive, Request.borrow, Request.give_back
HOME, CANCEL, SEND_BACK = Request.come_home, Request.cancelled_by_patron, Request.send_back
LEND = (SHIP, ARRIVE, BORROW, RETURN, HOME)
# By the status in which it is adopted: what people do with the book, and how much of it before the adoption.
COURSES: dict[Status, tuple[tuple[Step, ...], int]] = {
    S.CONFIRMED: (LEND, 0),
    S.RPBA: (LEND, 0),
    S.PICKUP_TRANSIT: (LEND, 1),
    S.RECEIVED_AT_PICKUP: (LEND, 2),
    S.READY_FOR_PICKUP: (LEND, 2),
    S.LOANED: (LEND, 3),
    S.RETURN_TRANSIT: (LEND, 4),
    S.AWAITING_RETURN: ((SHIP, ARRIVE, CANCEL, SEND_BACK, HOME), 3),
}
# dcb-service passes these on its way, and reports them before it has looked again.
REPORTED_LATE = {S.CONFIRMED: S.RPBA, S.RECEIVED_AT_PICKUP: S.READY_FOR_PICKUP}
BEFORE = 6  # ticks: a hold that vanished has to be missed twice


@dataclass
class Adopted:
    """What was seen of the two: the status there and here after each tick, from the adoption on."""

    world: World
    watcher: DcbStore
    requests: dict[Status, Request]
    states: list[Any] = field(default_factory=list)
    statuses: dict[Status, list[tuple[str, str]]] = field(default_factory=dict)
    raised: dict[Status, set[str]] = field(default_factory=dict)
    written: int = 0


@pytest.fixture(scope="module")
def adopted(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopted]:
    """All requests, adopted in their states and played to their end."""
    s3_server.client().create_bucket(Bucket="dcb-adoption")
    s3 = S3Bucket("dcb-adoption", s3_server.endpoint_url, s3_server.access_key, s3_server.secret_key)
    folder = tmp_path_factory.mktemp("adoption")
    with small_world(s3, folder) as world, pytest.MonkeyPatch.context() as patch:
        url = f"sqlite:///{folder}/watcher.db"
        upgrade(url)
        watcher = DcbStore(url)
        service = {
            "conn_type": "http",
            "host": world.consortium_url,
            "login": "sandbox",
            "password": "sandbox",
        }
        extra = {"token_url": world.consortium_url + TOKEN_PATH}
        patch.setenv("AIRFLOW_CONN_DCB_DEFAULT", json.dumps({**service, "extra": extra}))
        found = Adopted(world, watcher, _placed(world))
        _play(found, url, patch)
        yield found
        watcher.close()


def _placed(world: World) -> dict[Status, Request]:
    placed = {}
    for number, (status, book) in enumerate(
        zip(COURSES, world.lender.books(len(COURSES)), strict=True), start=1
    ):
        request = Request(world, f"pr-{status.name.lower()}", book, f"patron{number:03d}")
        assert world.run("dcb_place_request", request.conf).state == "success"
        placed[status] = request
    return placed


def _play(found: Adopted, url: str, patch: pytest.MonkeyPatch) -> None:
    world = found.world
    left = {status: list(steps) for status, (steps, _) in COURSES.items()}
    for _ in range(BEFORE):
        for status, (steps, before) in COURSES.items():
            if len(left[status]) > len(steps) - before:
                left[status].pop(0)(found.requests[status])
        world.tick()
        found.states.append(world.run("dcb_status_sync").state)
    with patch.context() as of_watcher:
        of_watcher.setenv("AIRFLOW_CONN_ALMA_ETL_DB", url)
        _report(found, late=True)
        _watch(found, "dcb_adopt_requests", {"source": "dcb_service"})
        _compare(found)
        _watch(found, "dcb_status_sync")
        _compare(found)
    while any(left.values()):
        for status, steps in left.items():
            if steps:
                steps.pop(0)(found.requests[status])
        world.tick()
        found.states.append(world.run("dcb_status_sync").state)
        with patch.context() as of_watcher:
            of_watcher.setenv("AIRFLOW_CONN_ALMA_ETL_DB", url)
            _report(found)
            _watch(found, "dcb_status_sync")
            _compare(found)
    with patch.context() as of_watcher:
        of_watcher.setenv("AIRFLOW_CONN_ALMA_ETL_DB", url)
        world.tick()
        _watch(found, "dcb_reconcile")
        _compare(found)


def _report(found: Adopted, *, late: bool = False) -> None:
    """dcb-service's GraphQL shows what dcb-service has, or in some a status that it had before."""
    for status, request in found.requests.items():
        tracked = request.tracked
        lender, borrower = tracked.legs[Role.SUPPLIER], tracked.legs[Role.BORROWER]
        supplier = {
            "isActive": True,
            "hostLmsCode": lender.system_code,
            "localId": lender.request_id,
            "localBibId": lender.mms_id,
            "localItemId": lender.item_pid,
            "localItemBarcode": lender.barcode,
            "virtualPatron": {"localId": lender.user_id},
        }
        body = {
            "status": status if late else tracked.status,
            "activeWorkflow": "RET-STD",
            "currentStatusTimestamp": found.world.clock.now().isoformat(),
            "patronHostlmsCode": borrower.system_code,
            "requestingIdentity": {"localId": borrower.user_id},
            "localRequestId": borrower.request_id,
            "localBibId": borrower.mms_id,
            "localHoldingId": borrower.holding_id,
            "localItemId": borrower.item_pid,
            "suppliers": [supplier],
        }
        where = f"{found.world.consortium_url}/sandbox/patron-requests/{request.pr_id}"
        requests.post(where, json=body, timeout=30).raise_for_status()


def _watch(found: Adopted, dag_id: str, conf: dict[str, Any] | None = None) -> None:
    """Run a DAG of the watcher, and count what is written in the Almas meanwhile."""
    logs = [library.sandbox.log for library in (found.world.lender, found.world.borrower)]
    before = sum(entry.method != "GET" for log in logs for entry in log.entries)
    found.states.append(found.world.run(dag_id, conf).state)
    found.written += sum(entry.method != "GET" for log in logs for entry in log.entries) - before


def _compare(found: Adopted) -> None:
    for status, request in found.requests.items():
        seen = found.watcher.get(request.pr_id)
        assert seen is not None, f"{request.pr_id} was not adopted"
        found.statuses.setdefault(status, []).append((str(request.status), str(seen.status)))
        found.raised.setdefault(status, set()).update(seen.state.flags)


def test_every_run_succeeded(adopted: Adopted) -> None:
    assert [str(state) for state in adopted.states] == ["success"] * len(adopted.states)


@pytest.mark.parametrize("status", COURSES)
def test_it_is_adopted_in_its_state_and_watched_to_its_end(adopted: Adopted, status: Status) -> None:
    course = adopted.statuses[status]
    seen = REPORTED_LATE.get(status, status)
    assert course[:2] == [(seen, status), (seen, seen)]
    for there, here in course[1:-1]:
        # What dcb-service has cleaned up is over here, too, when the nightly comparison finds nothing of it.
        assert here == there or (there, here) in [(S.FINALISED, S.COMPLETED), (S.FINALISED, S.CANCELLED)]
    assert course[-1] == (S.FINALISED, S.FINALISED)
    history = adopted.watcher.history(adopted.requests[status].pr_id)
    first = history.transitions[0]
    assert (first.to, first.handler, first.inferred, first.actor) == (
        status,
        "Adopted",
        True,
        "adopt:dcb_service",
    )
    assert flags.ADOPTED_DISAGREES not in adopted.raised[status]


def test_nothing_was_written_for_them(adopted: Adopted) -> None:
    assert adopted.written == 0
    for request in adopted.requests.values():
        rows = adopted.watcher.history(request.pr_id).outbox
        assert {row.target for row in rows if row.kind == "EVENT"} == {"log"}
        assert [row.type for row in rows if row.kind != "EVENT"] == []
