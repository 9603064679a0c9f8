"""Several workers finish one chunk, in any order of their steps: no final outcome is lost, whoever went first."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alma_etl.jobs.checkpoint import Checkpoint, Rank, Step
from alma_etl.store.bucket import NoSuchObject, ObjectInfo

KEY = "chunks/0001/results.jsonl"
STEP = Step("results.jsonl", key=lambda row: row["line"], rank=lambda row: Rank(row["rank"]))
LINES = 4


class Turns:
    """Lets one of several threads go on at a time, up to its next step, in an order that is given."""

    def __init__(self, order: list[int]) -> None:
        self._order = order
        self._go: dict[int, threading.Semaphore] = {}
        self._stopped = threading.Semaphore(0)
        self._ended: set[int] = set()
        self._here = threading.local()
        self.failures: list[BaseException] = []

    def step(self) -> None:
        """Wait for the next turn."""
        number = getattr(self._here, "number", None)
        if number is not None:
            self._stopped.release()
            self._go[number].acquire()

    def run(self, works: list[Callable[[], None]]) -> None:
        """Run all works to their ends."""
        threads = []
        for number, work in enumerate(works):
            self._go[number] = threading.Semaphore(0)
            threads.append(threading.Thread(target=self._one, args=(number, work), daemon=True))
        for thread in threads:
            thread.start()
        waiting = set(range(len(works)))
        for choice in itertools.chain(self._order, itertools.count()):
            if not waiting:
                break
            number = sorted(waiting)[choice % len(waiting)]
            self._go[number].release()
            self._stopped.acquire()
            waiting -= self._ended
        for thread in threads:
            thread.join()

    def _one(self, number: int, work: Callable[[], None]) -> None:
        self._here.number = number
        self._go[number].acquire()
        try:
            work()
        except BaseException as error:
            self.failures.append(error)
        finally:
            self._ended.add(number)
            self._stopped.release()


class SteppedBucket:
    """A bucket in memory; other workers may go on before each of its operations, and between the pages of a list."""

    name = "memory"

    def __init__(self, turns: Turns) -> None:
        self.objects: dict[str, bytes] = {}
        self._turns = turns

    def info(self, key: str) -> ObjectInfo | None:
        self._turns.step()
        return ObjectInfo(key, 0, "", datetime.now(UTC)) if key in self.objects else None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        last = ""
        while True:
            self._turns.step()
            page = sorted(key for key in self.objects if key.startswith(prefix) and key > last)[:2]
            if not page:
                return
            yield from (ObjectInfo(key, 0, "", datetime.now(UTC)) for key in page)
            last = page[-1]

    def get(self, key: str) -> bytes:
        self._turns.step()
        if key not in self.objects:
            raise NoSuchObject(key)
        return self.objects[key]

    def put(self, key: str, body: bytes, _: str = "") -> None:
        self._turns.step()
        assert key not in self.objects
        self.objects[key] = body

    def write_rows(self, key: str, rows: Any) -> None:
        self.put(key, b"".join(json.dumps(row).encode() + b"\n" for row in rows))

    def delete(self, keys: Any) -> None:
        for key in keys:
            self._turns.step()
            self.objects.pop(key, None)


ENDS = st.fixed_dictionaries(
    {"line": st.integers(0, LINES - 1), "rank": st.sampled_from(list(Rank)), "by": st.integers(0, 9)}
)
WORKER = st.tuples(st.lists(ENDS, max_size=5), st.booleans(), st.booleans())


def work(bucket: SteppedBucket, ends: list[dict[str, Any]], completes: bool, looks: bool, safe: Any) -> None:
    one = Checkpoint(bucket, KEY, STEP, settings={}, alma="a", every=2)  # type: ignore[arg-type]
    if looks:
        one.rows()
    done: dict[int, dict[str, Any]] = {}
    for end in ends:
        done[end["line"]] = end
        one.add(end)
        if one.is_saved:
            safe.extend(done.values())
    if completes:
        one.complete(done.values())
        safe.extend(done.values())


@pytest.mark.heavy
@settings(max_examples=150)
@given(st.lists(WORKER, min_size=2, max_size=3), st.lists(st.integers(0, 5), max_size=80))
def test_no_final_outcome_is_ever_lost_and_what_is_left_is_the_same_for_every_reader(workers, order):
    turns = Turns(order)
    bucket = SteppedBucket(turns)
    safe: list[dict[str, Any]] = []
    turns.run(
        [
            lambda ends=ends, completes=completes, looks=looks: work(bucket, ends, completes, looks, safe)
            for ends, completes, looks in workers
        ]
    )
    assert turns.failures == []
    left = Checkpoint(bucket, KEY, STEP, settings={}, alma="a").rows()  # type: ignore[arg-type]
    for end in safe:
        assert left[end["line"]]["rank"] >= end["rank"]
    every_end = [end for ends, _, _ in workers for end in ends]
    assert all(row in every_end for row in left.values())
    # A worker that comes after all of them and finds nothing to do leaves the same.
    last = Checkpoint(bucket, KEY, STEP, settings={}, alma="a")  # type: ignore[arg-type]
    assert {row["line"]: row for row in last.complete(left.values())} == left
    assert len(bucket.objects) == 1


@pytest.mark.heavy
@settings(max_examples=100)
@given(
    st.lists(st.lists(ENDS, max_size=4), min_size=2, max_size=3),
    st.lists(st.lists(st.integers(0, 5), max_size=60), min_size=2, max_size=2),
)
def test_the_result_does_not_depend_on_who_went_first(workers, orders):
    """Workers that begin one after the other, as attempts do, and go on in different orders."""
    results = []
    for order in orders:
        turns = Turns(order)
        bucket = SteppedBucket(turns)
        begun = []
        for number, _ in enumerate(workers):
            one = Checkpoint(bucket, KEY, STEP, settings={}, alma="a", every=1)  # type: ignore[arg-type]
            one.rows()
            one.add({"line": 100 + number, "rank": Rank.SETTLED, "by": 0})
            begun.append(one)

        def go_on(one: Checkpoint, ends: list[dict[str, Any]]) -> None:
            done = {end["line"]: end for end in ends}
            one.add_all(done.values())
            one.complete(done.values())

        turns.run([lambda o=one, e=ends: go_on(o, e) for one, ends in zip(begun, workers, strict=True)])
        assert turns.failures == []
        results.append(Checkpoint(bucket, KEY, STEP, settings={}, alma="a").rows())  # type: ignore[arg-type]
    assert results[0] == results[1]


@pytest.mark.heavy
@settings(max_examples=300)
@given(st.lists(ENDS, min_size=3, max_size=6), st.lists(st.integers(0, 2), min_size=20, max_size=60))
def test_a_reader_in_between_never_sees_less_than_was_there_when_it_began(ends, order):
    turns = Turns(order)
    bucket = SteppedBucket(turns)
    before = Checkpoint(bucket, KEY, STEP, settings={}, alma="a", every=1)  # type: ignore[arg-type]
    for end in ends:
        before.add(end)
    best = {line: max(e["rank"] for e in ends if e["line"] == line) for line in {e["line"] for e in ends}}
    seen: list[dict[Any, Any]] = []

    def complete() -> None:
        Checkpoint(bucket, KEY, STEP, settings={}, alma="a").complete([])  # type: ignore[arg-type]

    def look() -> None:
        seen.append(Checkpoint(bucket, KEY, STEP, settings={}).rows())  # type: ignore[arg-type]

    turns.run([complete, look, complete])
    assert turns.failures == []
    assert {line: row["rank"] for line, row in seen[0].items()} == best
