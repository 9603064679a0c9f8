"""Work in threads: lazy, bounded, and nothing done is left unreported."""

import itertools
import threading

import pytest

from alma_etl.remote.parallel import in_parallel


def collect(results, seen):
    for item, _ in results:
        seen.append(item)


def test_every_item_is_yielded_once_with_its_result():
    assert sorted(in_parallel(lambda n: n * n, range(500), 8)) == [(n, n * n) for n in range(500)]


def test_items_are_taken_only_as_needed():
    taken = []

    def source():
        for n in itertools.count():
            taken.append(n)
            yield n

    results = in_parallel(lambda n: n, source(), 3)
    for _ in range(10):
        next(results)
    results.close()
    assert len(taken) <= 10 + 2 * 3


def test_what_was_under_way_is_yielded_before_the_exception():
    failing = threading.Event()
    started = []

    def work(n):
        started.append(n)
        if n == 0:
            failing.set()
            raise LookupError("the end")
        failing.wait(30)
        return n

    seen = []
    with pytest.raises(LookupError, match="the end"):
        collect(in_parallel(work, itertools.count(), 4), seen)
    assert sorted(seen) == sorted(set(started) - {0})  # nothing that was done is lost
    assert len(started) <= 8  # and the rest was not started


def test_a_source_that_fails_ends_the_work_in_the_same_way():
    def source():
        yield 1
        yield 2
        raise LookupError("no more pages")

    started = []
    seen = []
    with pytest.raises(LookupError, match="no more pages"):
        collect(in_parallel(started.append, source(), 4), seen)
    assert sorted(seen) == sorted(started)


def test_nothing_to_do():
    assert list(in_parallel(lambda n: n, [], 4)) == []
