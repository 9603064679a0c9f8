"""Checkpoints: what was finished is there afterwards, whatever became of the one who finished it."""

from typing import Any

import pytest

from alma_etl.store.bucket import Bucket
from alma_etl.store.checkpoint import Checkpoint

KEY = "runs/x/chunks/0001/fetched.jsonl"


@pytest.fixture
def bucket(s3: Any) -> Bucket:
    return Bucket(s3.client(), s3.name)


def rows(count: int, start: int = 0) -> list[dict[str, int]]:
    return [{"n": number} for number in range(start, start + count)]


def saved(bucket: Bucket) -> list[int]:
    return sorted(row["n"] for row in Checkpoint(bucket, KEY).rows())


def test_nothing_yet(bucket):
    assert saved(bucket) == []


@pytest.mark.parametrize(("added", "safe"), [(0, 0), (4, 0), (5, 5), (9, 5), (10, 10)])
def test_a_kill_costs_less_than_every_rows(bucket, added, safe):
    checkpoint = Checkpoint(bucket, KEY, every=5)
    for row in rows(added):
        checkpoint.add(row)
    assert saved(bucket) == list(range(safe))


def test_an_exception_costs_nothing(bucket):
    checkpoint = Checkpoint(bucket, KEY, every=5)

    def work() -> None:
        with checkpoint:
            for row in rows(8):
                checkpoint.add(row)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert saved(bucket) == list(range(8))


def test_a_block_that_ends_well_writes_no_part_that_is_not_needed(bucket):
    checkpoint = Checkpoint(bucket, KEY, every=5)
    with checkpoint:
        for row in rows(4):
            checkpoint.add(row)
    assert list(bucket.list("")) == []


def test_complete_leaves_one_object_in_the_order_given(bucket):
    checkpoint = Checkpoint(bucket, KEY, every=2)
    for row in rows(7):
        checkpoint.add(row)
    checkpoint.complete(reversed(rows(7)))
    assert [each.key for each in bucket.list("")] == [KEY]
    assert [row["n"] for row in Checkpoint(bucket, KEY).rows()] == [6, 5, 4, 3, 2, 1, 0]


def test_a_second_attempt_adds_to_the_first(bucket):
    for attempt in range(3):
        checkpoint = Checkpoint(bucket, KEY, every=5)
        for row in rows(5, 5 * attempt):
            checkpoint.add(row)
    assert saved(bucket) == list(range(15))


def test_two_at_once_do_each_other_no_harm(bucket):
    one, two = Checkpoint(bucket, KEY, every=1), Checkpoint(bucket, KEY, every=1)
    for row in rows(4):
        one.add(row)
        two.add(row)
    two.complete(rows(4))
    one.add({"n": 4})  # the one that was taken for dead goes on
    assert saved(bucket) == [0, 1, 2, 3, 4]
    one.complete(rows(5))
    assert saved(bucket) == [0, 1, 2, 3, 4]
    assert [each.key for each in bucket.list("")] == [KEY]


def test_a_result_that_cannot_be_written_keeps_the_parts(bucket):
    checkpoint = Checkpoint(bucket, KEY, every=1)
    for row in rows(3):
        checkpoint.add(row)

    def broken():
        yield {"n": 0}
        raise KeyError

    with pytest.raises(KeyError):
        checkpoint.complete(broken())
    assert saved(bucket) == [0, 1, 2]
    assert bucket.info(KEY) is None


def test_an_earlier_result_counts_beside_later_parts(bucket):
    Checkpoint(bucket, KEY).complete(rows(3))
    checkpoint = Checkpoint(bucket, KEY, every=1)
    checkpoint.add({"n": 7})
    assert saved(bucket) == [0, 1, 2, 7]


def test_neighbours_with_names_that_begin_alike_are_not_mixed_up(bucket):
    other = Checkpoint(bucket, KEY + "2", every=1)
    other.add({"n": 9})
    other.complete([{"n": 9}])
    assert saved(bucket) == []
