"""The fault matrix, reading calls: every fault, once and without end, at every call that the jobs make.

Each cell proves: the right value or the right error, a bounded number of calls, each with a permit, a message
that names the call and the tracking id and not the key, and a sandbox that is as it was."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from alma_etl.alma.call import named
from alma_etl.alma.errors import AlmaDailyThreshold
from alma_etl.remote.answers import Found, Unknown
from alma_etl.remote.errors import RemoteError, RemoteRefused, RemoteStop, RemoteThrottled
from alma_sandbox import Running, Settings, serve
from tests.unit.alma.matrix import FAULTS, KEY, Act, Bench, cells, representative
from tests.unit.alma.writing import PATRON, Scene, scene

pytestmark = pytest.mark.heavy

# Reading has no effect before or after which a fault could strike.
FAULTS_OF_READS = {name: fault for name, fault in FAULTS.items() if not name.endswith(" after")}
ALL_TITLES = "59000000000004401"


@dataclass(frozen=True)
class Read:
    """A call: how it is made and the method and path by which errors name it."""

    act: Act
    path: str
    sends: int = 1


def value(answer):
    return answer.value if isinstance(answer, Found) else answer


READS = {
    "batch of bibs": Read(lambda c: c.bibs.read_many([c.at.mms_id], availability=True), "/bibs"),
    "bib": Read(lambda c: value(c.bibs.read(c.at.mms_id)), "/bibs/{mms_id}"),
    "whole bib": Read(lambda c: value(c.bibs.whole(c.at.mms_id)), "/bibs/{mms_id}"),
    "bib by 035": Read(lambda c: value(c.bibs.by_system_number("(OCoLC)0")), "/bibs"),
    "holdings": Read(lambda c: value(c.holdings.list(c.at.mms_id)), "/bibs/{mms_id}/holdings"),
    "holding": Read(
        lambda c: value(c.holdings.read(c.at.mms_id, c.at.holding_id)), "/bibs/{mms_id}/holdings/{holding_id}"
    ),
    "set": Read(lambda c: value(c.sets.read(ALL_TITLES)), f"/conf/sets/{ALL_TITLES}"),
    "members": Read(lambda c: c.sets.members_page(ALL_TITLES, 10, 20), f"/conf/sets/{ALL_TITLES}/members"),
    "general": Read(lambda c: c.conf.general(), "/conf/general"),
    "libraries": Read(lambda c: c.conf.libraries(), "/conf/libraries"),
    "locations": Read(lambda c: c.conf.locations("MAIN"), "/conf/libraries/MAIN/locations"),
    "desks": Read(lambda c: c.conf.desks("MAIN"), "/conf/libraries/MAIN/circ-desks/"),
    "desk": Read(lambda c: c.conf.desk("MAIN", "RETURNS"), "/conf/libraries/MAIN/circ-desks/RETURNS"),
    "code tables": Read(lambda c: c.conf.code_tables(), "/conf/code-tables"),
    "code table": Read(lambda c: c.conf.code_table("ItemPolicy"), "/conf/code-tables/ItemPolicy"),
    "items": Read(lambda c: value(c.items.list(c.at.mms_id)), "/bibs/{mms_id}/holdings/ALL/items"),
    "item": Read(
        lambda c: value(c.items.read(c.at.mms_id, c.at.holding_id, c.at.pid)),
        "/bibs/{mms_id}/holdings/{holding_id}/items/{pid}",
    ),
    "item by barcode": Read(lambda c: value(c.items.by_barcode(c.at.barcode)), "/items", sends=2),
    "user": Read(lambda c: value(c.users.read(PATRON)), f"/users/{PATRON}"),
    "requests of a user": Read(lambda c: value(c.requests.of_user(PATRON)), f"/users/{PATRON}/requests"),
    "requests of an item": Read(
        lambda c: value(c.requests.of_item(c.at.mms_id, c.at.holding_id, c.at.pid)),
        "/bibs/{mms_id}/holdings/{holding_id}/items/{pid}/requests",
    ),
    "request options": Read(
        lambda c: c.requests.options_for_item(c.at.mms_id, c.at.holding_id, c.at.pid, user_id=PATRON),
        "/bibs/{mms_id}/holdings/{holding_id}/items/{pid}/request-options",
    ),
    "loans of a user": Read(lambda c: value(c.loans.of_user(PATRON)), f"/users/{PATRON}/loans"),
    "loans of an item": Read(
        lambda c: value(c.loans.of_item(c.at.mms_id, c.at.holding_id, c.at.pid)),
        "/bibs/{mms_id}/holdings/{holding_id}/items/{pid}/loans",
    ),
    "sets by name": Read(lambda c: c.sets.find("WEST archive titles"), "/conf/sets"),
    "jobs": Read(lambda c: c.jobs.find(name="Export Bibliographic Records"), "/conf/jobs"),
    "job instances": Read(
        lambda c: value(c.jobs.instances("M48", c.today(), c.today())), "/conf/jobs/M48/instances"
    ),
    "po line": Read(lambda c: value(c.po_lines.read("123456/0005")), "/acq/po-lines/123456/0005"),
    "po lines": Read(lambda c: c.po_lines.find(), "/acq/po-lines"),
    "vendor": Read(lambda c: value(c.vendors.read("GOBI")), "/acq/vendors/GOBI"),
    "funds": Read(lambda c: c.funds.find(), "/acq/funds"),
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
def at(running: Running) -> Iterator[Scene]:
    """A title, a holding and an item of the sandbox."""
    bench = Bench(running)
    yield scene(bench.client())
    bench.close()


def prepared(bench, at, **settings):
    client = bench.client(**settings)
    client.at = at
    return client


def ask(read, client):
    """The value, or the error that was raised or given as unknown."""
    try:
        found = read.act(client)
    except RemoteError as error:
        return error
    return found.error if isinstance(found, Unknown) else found


def check_words(error, fault, call):
    words = str(error)
    assert f"{named('GET', call)}:" in words
    assert KEY not in words + repr(error)
    if fault.answered:
        assert error.tracking_id
        assert f"tracking id {error.tracking_id}" in words


@pytest.mark.parametrize(("name", "what"), cells(READS, FAULTS_OF_READS))
def test_a_fault_that_passes(name, what, bench, at):
    read, fault = READS[name], FAULTS_OF_READS[what]
    expected = ask(read, prepared(bench, at))
    assert not isinstance(expected, RemoteError)
    before, state = bench.sent(), bench.state()
    client = prepared(bench, at, timeout=fault.timeout)
    call = read.path.format(**vars(at))
    bench.strike(fault, method="GET", path=f"{call}($|\\?)", first=1)

    found = ask(read, client)

    if issubclass(fault.error, RemoteStop | RemoteRefused):
        assert type(found) is fault.error
        check_words(found, fault, call)
        assert bench.sent() == before + 1
    else:
        assert found == expected
        assert bench.sent() == before + 1 + read.sends
    assert client.calls_made == bench.sent() - before
    assert bench.limiter.granted == bench.sent()
    assert bench.limiter.slowed == (fault.error is RemoteThrottled)
    assert len(bench.limiter.closed) == (fault.error is AlmaDailyThreshold)
    assert bench.state() == state


@pytest.mark.parametrize(("name", "what"), cells(READS, FAULTS_OF_READS))
def test_a_fault_that_stays(name, what, bench, at):
    read, fault = READS[name], FAULTS_OF_READS[what]
    call = read.path.format(**vars(at))
    bench.strike(fault, method="GET", path=f"{call}($|\\?)")
    client = prepared(bench, at, timeout=fault.timeout, attempts=2)

    found = ask(read, client) if fault.answered else _after_one_answer(bench, read, client, call)

    assert type(found) is fault.error
    check_words(found, fault, call)
    most = (
        1
        if issubclass(fault.error, RemoteStop | RemoteRefused)
        else 8
        if fault.error is RemoteThrottled
        else 2
    )
    assert client.calls_made - (not fault.answered) == most
    assert bench.limiter.granted == bench.sent() == client.calls_made


def _after_one_answer(bench, read, client, call):
    """A client whose very first calls get no answer says that Alma is unreachable, which is another test."""
    other = "/conf/test" if call != "/conf/test" else "/bibs/test"
    assert client.test.read(other.split("/")[1])
    return ask(read, client)


def test_make_test_runs_every_resource_and_every_fault_of_the_matrix():
    impossible = {("a", "x"), ("b", "x"), ("c", "y")}
    kept = representative("abc", "vwxyz", impossible)
    assert {name for name, _ in kept} == set("abc")
    assert {fault for _, fault in kept} == set("vwxyz")
    assert not kept & impossible
    chosen = [param.values for param in cells(READS, FAULTS_OF_READS) if not param.marks]
    assert {name for name, _ in chosen} == READS.keys()
    assert {fault for _, fault in chosen} == FAULTS_OF_READS.keys()
    assert len(cells(READS, FAULTS_OF_READS)) == len(READS) * len(FAULTS_OF_READS)
