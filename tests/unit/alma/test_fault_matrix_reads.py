"""The fault matrix, reading calls: every fault, once and without end, at every call that the jobs make.

Each cell proves: the right value or the right error, a bounded number of calls, each with a permit, a message
that names the call and the tracking id and not the key, and a sandbox that is as it was."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from alma_etl.alma import (
    Absent,
    AlmaDailyThreshold,
    AlmaError,
    AlmaRefused,
    AlmaStop,
    AlmaThrottled,
    Found,
    Unknown,
)
from alma_sandbox import Running, Settings, serve
from tests.unit.alma.matrix import FAULTS, KEY, Act, Bench

pytestmark = pytest.mark.heavy

ALL_TITLES = "59000000000004401"


@dataclass(frozen=True)
class Read:
    """A call: how it is made and the method and path by which errors name it."""

    act: Act
    path: str
    sends: int = 1


def value(answer):
    return answer.value if isinstance(answer, Found) else answer


def known(client):
    """An MMS id and a holding id of the sandbox."""
    for mms_id in client.sets.members_page(ALL_TITLES, 0).ids:
        rows = value(client.holdings.list(mms_id))
        if rows and not isinstance(rows, Absent):
            return mms_id, rows[0].holding_id
    raise AssertionError("the sandbox has no holdings")


READS = {
    "batch of bibs": Read(lambda c: c.bibs.read_many([c.mms_id], availability=True), "/bibs"),
    "bib": Read(lambda c: value(c.bibs.read(c.mms_id)), "/bibs/{mms_id}"),
    "whole bib": Read(lambda c: value(c.bibs.whole(c.mms_id)), "/bibs/{mms_id}"),
    "bib by 035": Read(lambda c: value(c.bibs.by_system_number("(OCoLC)0")), "/bibs"),
    "holdings": Read(lambda c: value(c.holdings.list(c.mms_id)), "/bibs/{mms_id}/holdings"),
    "holding": Read(
        lambda c: value(c.holdings.read(c.mms_id, c.holding_id)), "/bibs/{mms_id}/holdings/{holding_id}"
    ),
    "set": Read(lambda c: value(c.sets.read(ALL_TITLES)), f"/conf/sets/{ALL_TITLES}"),
    "members": Read(lambda c: c.sets.members_page(ALL_TITLES, 10, 20), f"/conf/sets/{ALL_TITLES}/members"),
    "general": Read(lambda c: c.conf.general(), "/conf/general"),
    "libraries": Read(lambda c: c.conf.libraries(), "/conf/libraries"),
    "locations": Read(lambda c: c.conf.locations("MAIN"), "/conf/libraries/MAIN/locations"),
    "code table": Read(lambda c: c.conf.code_table("ItemPolicy"), "/conf/code-tables/ItemPolicy"),
    "test point": Read(lambda c: c.test.read("users"), "/users/operation/test"),
}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serve(Settings(per_second=0, titles=40, api_key=KEY)) as found:
        yield found


@pytest.fixture
def bench(running: Running) -> Iterator[Bench]:
    found = Bench(running)
    yield found
    found.close()


@pytest.fixture(scope="module")
def ids(running: Running):
    found = Bench(running)
    yield known(found.client())
    found.close()


def prepared(bench, ids, **settings):
    client = bench.client(**settings)
    client.mms_id, client.holding_id = ids
    return client


def ask(read, client):
    """The value, or the error that was raised or given as unknown."""
    try:
        found = read.act(client)
    except AlmaError as error:
        return error
    return found.error if isinstance(found, Unknown) else found


def check_words(error, fault, call):
    words = str(error)
    assert f"GET {call}:" in words
    assert KEY not in words + repr(error)
    if fault.answered:
        assert error.tracking_id
        assert f"tracking id {error.tracking_id}" in words


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_that_passes(fault, read, bench, ids):
    expected = ask(read, prepared(bench, ids))
    assert not isinstance(expected, AlmaError)
    before, state = bench.sent(), bench.state()
    client = prepared(bench, ids, timeout=fault.timeout)
    call = read.path.format(mms_id=ids[0], holding_id=ids[1])
    bench.strike(fault, method="GET", path=f"{call}($|\\?)", first=1)

    found = ask(read, client)

    if issubclass(fault.error, AlmaStop | AlmaRefused):
        assert type(found) is fault.error
        check_words(found, fault, call)
        assert bench.sent() == before + 1
    else:
        assert found == expected
        assert bench.sent() == before + 2
    assert client.calls_made == bench.sent() - before
    assert bench.limiter.granted == bench.sent()
    assert bench.limiter.slowed == (fault.error is AlmaThrottled)
    assert len(bench.limiter.closed) == (fault.error is AlmaDailyThreshold)
    assert bench.state() == state


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_that_stays(fault, read, bench, ids):
    call = read.path.format(mms_id=ids[0], holding_id=ids[1])
    bench.strike(fault, method="GET", path=f"{call}($|\\?)")
    client = prepared(bench, ids, timeout=fault.timeout, attempts=2)

    found = ask(read, client) if fault.answered else _after_one_answer(bench, read, client, call)

    assert type(found) is fault.error
    check_words(found, fault, call)
    most = 1 if issubclass(fault.error, AlmaStop | AlmaRefused) else 8 if fault.error is AlmaThrottled else 2
    assert client.calls_made - (not fault.answered) == most
    assert bench.limiter.granted == bench.sent() == client.calls_made


def _after_one_answer(bench, read, client, call):
    """A client whose very first calls get no answer says that Alma is unreachable, which is another test."""
    other = "/conf/test" if call != "/conf/test" else "/bibs/test"
    assert client.test.read(other.split("/")[1])
    return ask(read, client)
