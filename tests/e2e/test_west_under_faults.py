"""A WEST run under random faults and killed workers ends as without them, or in named outcomes that account for every
difference."""

import csv
import io
import itertools
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from alma_etl.alma.client import AlmaClient
from alma_etl.remote.errors import RemoteError
from alma_etl.remote.limiter import Permit
from alma_etl.store.bucket import Bucket
from alma_etl.west.assembly import assemble_delivery
from alma_etl.west.converting import convert_to_marc21
from alma_etl.west.delivery import deliver
from alma_etl.west.extract import extract_mms_ids
from alma_etl.west.fetching import fetch_holdings
from alma_etl.west.listing import list_holdings
from alma_etl.west.run import RunFolder
from alma_sandbox import FaultRule, Running, Settings, serve
from tests.unit.west.builders import read_marc

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

TITLES, KEY = 30, "sandbox"
MOMENT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
STEM = "west/deliveries/ZZMAIN.alma.archived.20261120"
CONFIG = b"set_id: '59000000000004401'\noclc_symbol: ZZMAIN\nfailure_threshold: 1\nmax_drop: 1\n"
ATTEMPTS = 4  # of a task: the first and three retries
CLIENT_ATTEMPTS = 3
MAX_BODY = 1_000_000

# Every kind but the daily threshold, which ends a run by design. `slow` ones are slower than the client's patience.
KINDS: dict[str, dict[str, Any]] = {
    "refuse": {"kind": "refuse"},
    "per_second": {"kind": "per_second"},
    "server_error": {"kind": "server_error"},
    "bad_gateway": {"kind": "bad_gateway"},
    "maintenance": {"kind": "maintenance"},
    "xml_error": {"kind": "xml_error"},
    "drop": {"kind": "drop"},
    "truncated": {"kind": "truncated"},
    "malformed": {"kind": "malformed"},
    "charset": {"kind": "charset", "encoding": "cp500"},
    "huge": {"kind": "huge", "bytes": 2 * MAX_BODY},
    "body": {"kind": "body", "text": "Service busy", "content_type": "text/plain", "status": 200},
}
PATHS = ["", "/bibs.*mms_id", "/holdings", "/holdings/", "/members", "/conf/sets"]
WHEN = st.one_of(
    st.builds(lambda n: {"nth": n}, st.lists(st.integers(1, 60), min_size=1, max_size=12, unique=True)),
    st.builds(lambda n: {"first": n}, st.integers(1, 15)),
    st.builds(lambda n: {"every": n}, st.integers(3, 12)),
    st.builds(
        lambda share, seed: {"probability": share, "seed": seed},
        st.sampled_from([0.05, 0.15, 0.3, 0.6]),
        st.integers(0, 99),
    ),
)
RULES = st.lists(
    st.builds(
        lambda kind, path, when, times: {**KINDS[kind], "path": path, **when, "times": times},
        st.sampled_from(sorted(KINDS)),
        st.sampled_from(PATHS),
        WHEN,
        st.sampled_from([5, 40, None]),
    ),
    min_size=1,
    max_size=4,
)
# How many calls to Alma and writes to the bucket each worker lives to make; when the list is over, they live on.
DEATHS = st.lists(st.integers(0, 25), max_size=8)


class WorkerKilled(BaseException):
    """The end of a worker, at any point: no `except Exception` sees it."""


@dataclass
class Fate:
    """Counts down the deeds of a worker, and kills it when its time has come: it does nothing more after that."""

    deaths: Iterator[int]
    left: int | None = None
    killed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """A new worker takes over."""
        self.left = next(self.deaths, None)

    def deed(self) -> None:
        """One thing that the worker is about to do."""
        with self.lock:
            if self.left is None:
                return
            self.left -= 1
            self.killed += self.left == -1
            if self.left < 0:
                raise WorkerKilled


class MortalLimiter:
    """Grants every call of a worker that lives."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate

    def acquire(self, floor: int = 0) -> None:
        self.fate.deed()

    def throttled(self) -> None:
        pass

    def close(self, until: datetime, reason: str) -> None:
        raise AssertionError("no rule is about the daily threshold")

    def note_remaining(self, calls_left: int, permit: Permit | None = None) -> None:
        pass


class MortalBucket(Bucket):
    """A bucket whose writer may die before any of its writes."""

    fate: Fate

    def put(self, *args: Any, **kwargs: Any) -> Any:
        self.fate.deed()
        return super().put(*args, **kwargs)

    def write_rows(self, *args: Any, **kwargs: Any) -> Any:
        self.fate.deed()
        super().write_rows(*args, **kwargs)

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        self.fate.deed()
        return super().copy(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        self.fate.deed()
        return super().delete(*args, **kwargs)


@dataclass
class Run:
    """One run of the job: its steps as tasks that Airflow tries again."""

    folder: RunFolder
    client: AlmaClient
    fate: Fate
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def task(self, name: str, step: Callable[[], Any]) -> Any:
        """The answer of a step, None when each attempt failed. A killed worker costs no attempt."""
        failed = 0
        while failed < ATTEMPTS:
            self.fate.begin()
            try:
                return step()
            except WorkerKilled:
                continue
            except RemoteError as problem:
                failed += 1
                self.problems[name].append(str(problem))
        return None

    def whole(self, **params: Any) -> bool:
        """All steps in the order of the DAG. False when there was no first step, so that nothing is delivered."""
        chunks = self.task(
            "extract", lambda: extract_mms_ids(self.client, self.folder, params, moment=MOMENT)
        )
        if chunks is None:
            return False
        for number in [chunk.number for chunk in chunks]:
            done = self.task(
                f"list {number}", lambda number=number: list_holdings(self.client, self.folder, number)
            ) and self.task(
                f"fetch {number}", lambda number=number: fetch_holdings(self.client, self.folder, number)
            )
            if done is not None:
                self.task(f"convert {number}", lambda number=number: convert_to_marc21(self.folder, number))
        self.task("assemble", lambda: assemble_delivery(self.folder))
        self.task("deliver", lambda: deliver(self.folder, now=MOMENT))
        return True


@dataclass
class World:
    """A sandbox, a bucket, and the file and outcomes of a run that nothing disturbed, for each mode."""

    running: Running
    bucket: MortalBucket
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    calm: dict[str, tuple[bytes, list[dict[str, str]]]] = field(default_factory=dict)

    def run(
        self, mode: str, rules: list[dict[str, Any]], deaths: list[int], wait: Callable[[float], None]
    ) -> Run | None:
        """A run under these rules; None when it had no first step."""
        faults = self.running.sandbox.faults
        faults.remove()
        for rule in rules:
            faults.add(FaultRule(**rule))
        self.bucket.fate = Fate(iter(()))
        self.bucket.delete([item.key for item in self.bucket.list("west/deliveries/")])
        self.bucket.fate = fate = Fate(iter(deaths))
        with AlmaClient(
            self.running.url,
            KEY,
            limiter=MortalLimiter(fate),
            max_in_flight=4,
            timeout=20,
            attempts=CLIENT_ATTEMPTS,
            max_body=MAX_BODY,
            sleep=wait,
        ) as client:
            run = Run(RunFolder(self.bucket, f"run-{next(self.numbers)}"), client, fate)
            began = run.whole(list_mode=mode, chunk_size=12)
        return run if began else None

    def delivered(self) -> tuple[bytes, list[dict[str, str]]]:
        """The MARC21 file (empty when there is none) and the rows of the outcomes."""
        marc = self.bucket.get(f"{STEM}.mrc") if self.bucket.info(f"{STEM}.mrc") else b""
        return marc, list(
            csv.DictReader(io.StringIO(self.bucket.get(f"{STEM}.outcomes.csv").decode(), newline=""))
        )


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serve(Settings(titles=TITLES, per_second=0)) as found:
        yield found


@pytest.fixture(scope="module")
def world(running: Running, s3_server: Any) -> World:
    client = s3_server.client()
    client.create_bucket(Bucket="west-under-faults")
    found = World(running, MortalBucket(client, "west-under-faults"))
    found.bucket.fate = Fate(iter(()))
    found.bucket.put("config/west.yaml", CONFIG)
    for mode in ("batch", "exact"):
        run = found.run(mode, [], [], never)
        assert run is not None
        assert not run.problems
        found.calm[mode] = found.delivered()
        marc, rows = found.calm[mode]
        assert len({row["mms_id"] for row in rows}) == TITLES
        assert len(read_marc(marc)) == sum(row["outcome"] == "delivered" for row in rows) > 5
        assert not any(row["outcome"] == "failed" for row in rows)
    return found


def never(seconds: float) -> None:
    raise AssertionError("the client waited without a fault")


def at_once(seconds: float) -> None:
    """The client does not wait between its attempts."""


def check(world: World, mode: str) -> int:
    """How many rows failed; the rest is as in the calm run, and the file holds exactly the delivered rows."""
    marc, rows = world.delivered()
    calm_marc, calm_rows = world.calm[mode]
    calm = {(row["mms_id"], row["holding_id"]): row for row in calm_rows}
    of_title = Counter(row["mms_id"] for row in calm_rows)
    failed = [row for row in rows if row["outcome"] == "failed"]
    for row in failed:
        assert any(word in row["reasons"] for word in ("GET /bibs", "did not finish")), row
        assert KEY not in row["reasons"].replace("alma_sandbox", "")
    accounted = Counter()
    for row in rows:
        key = row["mms_id"], row["holding_id"]
        if row["outcome"] != "failed":
            assert row == calm[key]
            accounted[row["mms_id"]] += 1
        elif row["holding_id"]:
            assert key in calm
            accounted[row["mms_id"]] += 1
        else:  # a title whose holdings are not known
            accounted[row["mms_id"]] += of_title[row["mms_id"]]
    assert accounted == of_title
    keys = [(row["mms_id"], row["holding_id"]) for row in rows]
    assert len(keys) == len(set(keys))
    assert [mms_id for mms_id, _ in itertools.groupby(keys, lambda key: key[0])] == sorted(of_title)

    delivered = [(row["mms_id"], row["holding_id"]) for row in rows if row["outcome"] == "delivered"]
    calm_records = {(each["004"].data, each["001"].data): each.as_marc() for each in read_marc(calm_marc)}
    records = [((each["004"].data, each["001"].data), each.as_marc()) for each in read_marc(marc)]
    assert records == [(key, calm_records[key]) for key in delivered]
    told = json.loads(world.bucket.get(f"{STEM}.manifest.json"))
    assert (told["records"], told["bytes"], told["titles"]) == (len(records), len(marc), TITLES)
    assert {word: count for word, count in told["counts"].items() if count} == Counter(
        row["outcome"] for row in rows
    )
    if not failed:
        assert marc == calm_marc
        assert rows == calm_rows
    return len(failed)


@settings(
    max_examples=16,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(mode=st.sampled_from(["batch", "exact"]), rules=RULES, deaths=DEATHS)
def test_a_run_under_faults_ends_as_without_or_accounts_for_each_difference(world, mode, rules, deaths):
    run = world.run(mode, rules, deaths, at_once)
    struck = sum(rule["hit"] for rule in world.running.sandbox.faults.as_json())
    if run is None:
        event("no first step")
        assert struck
        assert not list(world.bucket.list("west/deliveries/"))
        return
    failed = check(world, mode)
    event("as without faults" if not failed else "with failures")
    if not struck:
        assert not failed


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_faults_that_pass_between_the_attempts_leave_no_trace(world, kind):
    """Each kind strikes here and there, so that no call meets it as often as the client and the retries try."""
    rule = {**KINDS[kind], "path": "holdings", "every": 7, "times": 6}
    run = world.run("exact", [rule], [3, 5, 30, 2], at_once)
    assert run is not None
    assert run.fate.killed == 3
    assert sum(rule["hit"] for rule in world.running.sandbox.faults.as_json()) == 6
    failed = check(world, "exact")
    assert failed == 0 or kind in {"refuse", "xml_error"}
