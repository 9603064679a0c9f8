"""The fault matrix of what is sent once: an order, and a record that is linked from the network zone.

Unlike other writes these are never sent again, whatever was lost: what cannot be seen afterwards is unconfirmed.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alma_etl.alma.acq_writes import create_po_line
from alma_etl.alma.bib_writes import link_network_record
from alma_etl.alma.client import AlmaClient
from alma_etl.remote.errors import RemoteStop, RemoteThrottled, RemoteTimeout
from alma_etl.remote.safe_write import WriteOutcome, Written
from alma_sandbox import Running, Settings, serve
from tests.unit.alma.matrix import FAULTS, KEY, Bench, Fault, cells
from tests.unit.alma.ordering import order
from tests.unit.alma.writing import scene

pytestmark = pytest.mark.heavy

_Act = Callable[[AlmaClient, str], Written[Any]]
WRITES: dict[str, tuple[_Act, str]] = {
    "order": (lambda client, mms_id: create_po_line(client, order(mms_id)), "/acq/po-lines$"),
    "link": (
        lambda client, mms_id: link_network_record(client, f"{mms_id[:-4]}4400"),
        "/bibs.from_nz_mms_id",
    ),
}
CELLS = cells(WRITES, FAULTS)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serve(Settings(per_second=0, titles=40, api_key=KEY)) as found:
        yield found


@pytest.fixture
def bench(running: Running) -> Iterator[Bench]:
    found = Bench(running)
    yield found
    found.close()


def contents(bench: Bench) -> dict[str, Any]:
    state = bench.state()
    return {kind: state[kind] for kind in ("bibs", "holdings", "items", "po_lines", "funds")}


def made(bench: Bench) -> int:
    """How many bibs and PO lines calls have made."""
    found = contents(bench)
    return len(found["bibs"]) + sum(bool(line["made_at"]) for line in found["po_lines"].values())


def outcome_of(act: _Act, client: AlmaClient, mms_id: str) -> WriteOutcome | None:
    try:
        return act(client, mms_id).outcome
    except RemoteStop:
        return None


def expected(fault: Fault, *, stays: bool) -> set[WriteOutcome | None]:
    if issubclass(fault.error, RemoteStop):
        return {None}
    if fault.error is RemoteThrottled:
        return {WriteOutcome.FAILED if stays else WriteOutcome.CREATED}
    if not fault.lost:
        return {WriteOutcome.REFUSED}
    if fault.applied:
        return {WriteOutcome.ADOPTED}
    late = {WriteOutcome.ADOPTED} if fault.error is RemoteTimeout else set()
    return {WriteOutcome.UNCONFIRMED, *late}


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize(("name", "what"), CELLS)
def test_nothing_is_made_twice(name, what, stays, bench):
    (act, path), fault = WRITES[name], FAULTS[what]
    mms_id = scene(bench.client()).mms_id
    bench.strike(fault, method="POST", path=path, **({} if stays else {"first": 1}))
    sent = bench.sent()

    outcome = outcome_of(act, bench.client(timeout=fault.timeout, attempts=2), mms_id)

    assert outcome in expected(fault, stays=stays)
    done = outcome in (WriteOutcome.CREATED, WriteOutcome.ADOPTED)
    late = fault.error is RemoteTimeout
    assert made(bench) == (1 if done else 0) or (late and made(bench) == 1)
    log = bench.control("GET", f"log?since={sent}&method=POST")["entries"]
    assert sum(entry["status"] != 429 for entry in log) <= 1
    assert bench.limiter.granted == bench.sent()


@pytest.mark.parametrize("name", WRITES)
def test_when_no_look_is_answered_it_is_unconfirmed(name, bench):
    act, path = WRITES[name]
    mms_id = scene(bench.client()).mms_id
    reads = 1 if name == "link" else 0
    bench.strike(FAULTS["dropped after"], method="POST", path=path)
    later = list(range(reads + 1, 100))
    bench.strike(FAULTS["200 html before"], method="GET", path="/acq/po-lines|nz_mms_id", nth=later)
    assert outcome_of(act, bench.client(attempts=2), mms_id) is WriteOutcome.UNCONFIRMED
    assert made(bench) == 1
