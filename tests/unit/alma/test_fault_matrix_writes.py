"""The fault matrix, writing calls: every fault, once and without end, at every write that the jobs make.

Each cell compares the sandbox with what it holds after the same write without a fault (nothing lost, nothing
doubled), checks the outcome, that the number of calls is bounded and each had a permit, and that the error
names the call and the tracking id and not the key."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from alma_etl.alma.errors import AlmaDailyThreshold
from alma_etl.remote.errors import RemoteError, RemoteStop, RemoteThrottled
from alma_etl.remote.safe_write import WriteOutcome
from alma_sandbox import Running, Settings, serve
from tests.unit.alma.matrix import FAULTS, KEY, Bench, cells
from tests.unit.alma.writing import WRITES, scene

pytestmark = pytest.mark.heavy

GOOD_READING = 40  # more calls than any write makes with all its looks
DELETIONS = ("cancel request", "withdraw item", "delete holding", "delete bib")
BY_CLIENT = (*DELETIONS, "change due date")  # which the client repeats by itself


# A 204 has no body that could be spoilt.
BODILESS = {(name, spoilt) for name in DELETIONS for spoilt in ("truncated", "malformed", "charset", "huge")}
CELLS = cells(WRITES, FAULTS, BODILESS)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serve(Settings(per_second=0, titles=40, api_key=KEY)) as found:
        yield found


@pytest.fixture
def bench(running: Running) -> Iterator[Bench]:
    found = Bench(running)
    yield found
    found.close()


class Cell:
    """One write in a sandbox of its own: before, without a fault, and with one."""

    def __init__(self, bench, write):
        self.bench = bench
        self.write = write
        self.client = bench.client()
        self.scene = scene(self.client)
        self.scene.more = write.prepare(self.client, self.scene)
        self.before = bench.contents()
        self.path = write.path.format(self.scene)

    def act(self, fault=None, **settings):
        """The outcome, the error, and what the sandbox holds afterwards."""
        client = self.bench.client(timeout=fault.timeout if fault else 20, **settings)
        sent = self.bench.sent()
        try:
            written = self.write.act(client, self.scene)
            outcome, error = written.outcome, written.error
        except RemoteStop as stop:
            outcome, error = None, stop
        contents = self.bench.contents()
        self.calls = self.bench.sent() - sent
        assert client.calls_made == self.calls <= GOOD_READING
        assert self.bench.limiter.granted == self.bench.sent()
        return outcome, error, contents


@dataclass(frozen=True)
class FaultFree:
    """What the sandbox holds after a write without a fault, and how many readings come before the write."""

    contents: dict[str, Any]
    reads: int


@pytest.fixture(scope="module")
def fault_free(running):
    found = {}
    for name, write in WRITES.items():
        bench = Bench(running)
        cell = Cell(bench, write)
        sent = bench.sent()
        outcome, error, contents = cell.act()
        assert (outcome, error) == (write.done, None)
        assert contents != cell.before
        methods = [entry["method"] for entry in bench.control("GET", f"log?since={sent}")["entries"]]
        assert methods[methods.index(write.method) + 1 :] == []  # without a fault nothing is looked for
        found[name] = FaultFree(contents, methods.index(write.method))
        bench.close()
    return found


def check_words(error: RemoteError, fault, write):
    words = str(error)
    assert type(error) is fault.error
    assert words.startswith(f"{write.method} /")
    assert KEY not in words + repr(error)
    if fault.answered:
        assert f"tracking id {error.tracking_id}" in words


@pytest.mark.parametrize(("name", "what"), CELLS)
def test_a_fault_that_passes(name, what, bench, fault_free):
    write, fault = WRITES[name], FAULTS[what]
    cell = Cell(bench, write)
    bench.strike(fault, method=write.method, path=cell.path, first=1)

    outcome, error, contents = cell.act(fault)

    if issubclass(fault.error, RemoteStop):
        assert outcome is None
        check_words(error, fault, write)
        assert contents == cell.before
    elif fault.error is RemoteThrottled:
        assert outcome is write.done
        assert contents == fault_free[name].contents
    elif not fault.lost:
        assert outcome is WriteOutcome.REFUSED
        check_words(error, fault, write)
        assert contents == cell.before
    else:
        late = fault.error.__name__ == "RemoteTimeout" and not fault.applied
        expected = {WriteOutcome.ADOPTED} if fault.applied and name != "change due date" else {write.done}
        assert outcome in (expected | {WriteOutcome.ADOPTED} if late else expected)
        assert contents == fault_free[name].contents
    assert bench.limiter.slowed == (fault.error is RemoteThrottled)
    assert len(bench.limiter.closed) == (fault.error is AlmaDailyThreshold)


@pytest.mark.parametrize(("name", "what"), CELLS)
def test_a_fault_that_stays(name, what, bench, fault_free):
    """The write itself never gets a good answer; the looks do."""
    write, fault = WRITES[name], FAULTS[what]
    cell = Cell(bench, write)
    bench.strike(fault, method=write.method, path=cell.path)

    outcome, error, contents = cell.act(fault, attempts=2)

    if issubclass(fault.error, RemoteStop):
        assert outcome is None
    elif not fault.lost:
        assert outcome is (WriteOutcome.FAILED if fault.error is RemoteThrottled else WriteOutcome.REFUSED)
    late = fault.error.__name__ == "RemoteTimeout"
    if outcome is WriteOutcome.ADOPTED:
        assert fault.applied or late
        assert contents == fault_free[name].contents
    elif name == "change due date" and fault.lost:
        assert outcome is WriteOutcome.UNCONFIRMED
        assert contents == (fault_free[name].contents if fault.applied or late else cell.before)
        check_words(error, fault, write)
    else:
        assert outcome in (None, WriteOutcome.FAILED, WriteOutcome.REFUSED, WriteOutcome.UNCONFIRMED)
        assert not fault.applied or name in BY_CLIENT
        assert outcome is not WriteOutcome.UNCONFIRMED or name in BY_CLIENT
        assert contents == (fault_free[name].contents if fault.applied or late else cell.before)
        check_words(error, fault, write)


@pytest.mark.parametrize("name", [name for name in WRITES if name not in BY_CLIENT])
def test_when_neither_the_write_nor_any_look_is_answered_it_is_unconfirmed(name, bench, fault_free):
    """The effect is there, nobody can see it: the outcome says that a person has to look, and nothing is
    doubled."""
    write = WRITES[name]
    cell = Cell(bench, write)
    bench.strike(FAULTS["dropped after"], method=write.method, path=cell.path)
    # what is read before the write is answered, every later reading is not
    first = fault_free[name].reads + 1
    bench.strike(FAULTS["200 html before"], method="GET", path="", nth=list(range(first, first + 100)))

    outcome, error, contents = cell.act(attempts=2)

    assert outcome is WriteOutcome.UNCONFIRMED
    assert "no tracking id" in str(error)
    assert str(error).startswith(f"{write.method} /")
    assert contents == fault_free[name].contents
