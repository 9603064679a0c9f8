"""Random faults over a batch of writes: it ends as without faults, or in named outcomes that account for each
difference."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alma_etl.alma import writes
from alma_etl.remote.errors import RemoteStop
from alma_etl.remote.safe_write import DONE, WriteOutcome
from alma_sandbox import Running, Settings, serve
from tests.unit.alma.matrix import FAULTS, KEY, Bench
from tests.unit.alma.writing import HOLD, HOLDING_RECORD, NEW_USER, PATRON, item_body, known_holdings, scene

pytestmark = pytest.mark.heavy

BARCODES = [f"TEST{n}" for n in range(5)]
NOTES = [f"Noted {n}" for n in range(3)]
NOT_DONE = {WriteOutcome.REFUSED, WriteOutcome.FAILED, WriteOutcome.NOT_FOUND}
# All kinds but those that only take time.
KINDS = [name for name, fault in FAULTS.items() if not name.startswith(("slow", "huge"))]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serve(Settings(per_second=0, titles=40, api_key=KEY)) as found:
        yield found


def run_batch(bench, client, at):
    """The outcome of each write by what it should leave behind; a stop ends the batch, as it ends a run."""
    outcomes = {}
    work = [
        *[
            (
                "barcode",
                barcode,
                lambda barcode=barcode: writes.create_item(
                    client, at.mms_id, at.holding_id, item_body(barcode)
                ),
            )
            for barcode in BARCODES
        ],
        *[
            (
                "holding",
                at.location,
                lambda: writes.create_holding(
                    client, at.mms_id, HOLDING_RECORD.format(at.location).encode(), known=at.more
                ),
            )
        ],
        ("user", NEW_USER["primary_id"], lambda: writes.create_user(client, NEW_USER)),
        (
            "request",
            "[TEST:1]",
            lambda: writes.create_request(client, PATRON, HOLD, marker="[TEST:1]", item_pid=at.pid),
        ),
        *[
            (
                "note",
                note,
                lambda note=note: writes.update_item(
                    client,
                    at.mms_id,
                    at.holding_id,
                    at.pid,
                    {"item_data": {f"internal_note_{NOTES.index(note) + 1}": note}},
                ),
            )
            for note in NOTES
        ],
    ]
    for kind, name, act in work:
        try:
            outcomes[kind, name] = act().outcome
        except RemoteStop:
            break
    return outcomes


def left_behind(bench, at):
    """How often each thing that the batch should leave behind is in the sandbox, and what else has changed."""
    bench.come_to_rest()
    sandbox = bench.running.sandbox
    items = [item for item in sandbox.catalogue.items.values() if item is not None]
    found = Counter()
    found.update(("barcode", item.barcode) for item in items if item.pid != at.pid)
    found.update(("holding", holding.location) for holding in sandbox.catalogue.holdings.values() if holding)
    found.update(("user", user) for user in sandbox.users.by_id if not user.startswith("patron"))
    found.update(("request", each.values.get("comment", "")) for each in sandbox.requests.by_id.values())
    for item in items:
        if item.pid == at.pid:
            found.update(("note", item.texts.get(f"internal_note_{n + 1}", "")) for n in range(3))
            assert item.barcode == at.barcode  # nothing took it away by the way
    del found["note", ""]
    return found


def check(outcomes, found):
    for thing, outcome in outcomes.items():
        if outcome in DONE:
            assert found[thing] == 1, (thing, outcome)
        elif outcome in NOT_DONE:
            assert found[thing] == 0, (thing, outcome)
        else:
            assert outcome is WriteOutcome.UNCONFIRMED
            assert found[thing] <= 1, (thing, outcome)
    assert set(found) <= set(outcomes) | {thing for thing in found if not found[thing]}


def prepared(running):
    bench = Bench(running)
    client = bench.client(attempts=3)
    at = scene(client)
    at.more = known_holdings(client, at)
    return bench, client, at


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.integers(1, 40), st.sampled_from(KINDS), max_size=25))
def test_random_faults_over_a_batch_of_writes(running, faults):
    """`faults`: which of the calls of the batch is struck by which kind."""
    bench, client, at = prepared(running)
    try:
        for kind in set(faults.values()):
            positions = [number for number, name in faults.items() if name == kind]
            bench.strike(FAULTS[kind], path="", nth=positions)
        outcomes = run_batch(bench, client, at)
        assert bench.limiter.granted == bench.sent() <= 400
        found = left_behind(bench, at)
        check(outcomes, found)
        if not faults:
            assert set(outcomes.values()) == {WriteOutcome.CREATED, WriteOutcome.UPDATED}
    finally:
        bench.close()


@pytest.mark.parametrize("seed", range(6))
def test_random_faults_over_writes_in_parallel(running, seed):
    """A third of all calls goes wrong; 60 items are made by 12 threads, each exactly once or with the reason
    why not."""
    bench = Bench(running)
    try:
        client = bench.client(max_in_flight=12, attempts=4)
        at = scene(client)
        for number, kind in enumerate(
            ("500 after", "dropped before", "200 html after", "truncated", "per second")
        ):
            bench.strike(FAULTS[kind], path="", probability=0.08, seed=100 * seed + number)
        barcodes = [f"TEST{n:03d}" for n in range(60)]
        outcomes = {
            ("barcode", barcode): written.outcome
            for barcode, written in client.in_parallel(
                lambda barcode: writes.create_item(client, at.mms_id, at.holding_id, item_body(barcode)),
                barcodes,
            )
        }
        assert len(outcomes) == len(barcodes)
        bench.come_to_rest()
        items = bench.running.sandbox.catalogue.items.values()
        check(outcomes, Counter(("barcode", item.barcode) for item in items if item is not None))
        assert Counter(outcomes.values())[WriteOutcome.UNCONFIRMED] < 10
        assert bench.running.sandbox.log.max_in_flight <= 12
        assert bench.limiter.granted == bench.sent()
    finally:
        bench.close()
