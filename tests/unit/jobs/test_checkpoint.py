"""Checkpoints: what was finished is there afterwards, whatever became of the one who finished it."""

from typing import Any

import pytest

from alma_etl.jobs.checkpoint import Checkpoint, Rank, Step
from alma_etl.store.bucket import Bucket

KEY = "runs/x/chunks/0001/fetched.jsonl"
ALMA, OTHER = "https://one.example", "https://two.example"
STEP = Step("fetched.jsonl", key=lambda row: row["n"], rank=lambda row: Rank(row.get("rank", Rank.SETTLED)))


@pytest.fixture
def bucket(s3: Any) -> Bucket:
    return Bucket(s3.client(), s3.name)


def checkpoint(bucket: Bucket, *, every: int = 5, alma: str | None = ALMA, **settings: Any) -> Checkpoint:
    return Checkpoint(bucket, KEY, STEP, settings=settings, alma=alma, every=every)


def rows(count: int, start: int = 0, **values: Any) -> list[dict[str, Any]]:
    return [{"n": number, **values} for number in range(start, start + count)]


def saved(bucket: Bucket, **settings: Any) -> list[int]:
    return sorted(row["n"] for row in checkpoint(bucket, **settings).rows().values())


def keys(bucket: Bucket) -> list[str]:
    return [each.key for each in bucket.list("")]


def test_nothing_yet(bucket):
    assert saved(bucket) == []
    assert saved(bucket, alma=None) == []


@pytest.mark.parametrize(("added", "safe"), [(0, 0), (4, 0), (5, 5), (9, 5), (10, 10)])
def test_a_kill_costs_less_than_every_rows(bucket, added, safe):
    one = checkpoint(bucket)
    for row in rows(added):
        one.add(row)
    assert saved(bucket) == list(range(safe))
    assert one.is_saved == (added == safe)


def test_an_exception_costs_nothing(bucket):
    one = checkpoint(bucket)

    def work() -> None:
        with one:
            for row in rows(8):
                one.add(row)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert saved(bucket) == list(range(8))


def test_a_block_that_ends_well_writes_no_part_that_is_not_needed(bucket):
    with checkpoint(bucket) as one:
        for row in rows(4):
            one.add(row)
    assert keys(bucket) == []


def test_complete_leaves_one_object_in_the_order_given(bucket):
    one = checkpoint(bucket, every=2)
    for row in rows(7):
        one.add(row)
    given = list(reversed(rows(7)))
    assert one.complete(given) == given
    assert len(keys(bucket)) == 1
    assert list(checkpoint(bucket).rows().values()) == given


def test_a_second_attempt_adds_to_the_first(bucket):
    for attempt in range(3):
        one = checkpoint(bucket)
        for row in rows(5, 5 * attempt):
            one.add(row)
    assert saved(bucket) == list(range(15))


def test_the_end_of_a_worker_taken_for_dead_does_not_replace_that_of_its_successor(bucket):
    zombie, successor = checkpoint(bucket, every=1), checkpoint(bucket, every=1)
    assert zombie.rows() == {}
    zombie.add({"n": 0, "rank": Rank.OPEN, "by": "zombie"})
    successor.rows()
    for row in rows(3, rank=Rank.MADE, by="successor"):
        successor.add(row)
    successor.complete(rows(3, rank=Rank.MADE, by="successor"))
    zombie.add({"n": 3, "rank": Rank.SETTLED, "by": "zombie"})
    told = zombie.complete(rows(4, rank=Rank.OPEN, by="zombie"))
    expected = [*rows(3, rank=Rank.MADE, by="successor"), {"n": 3, "rank": Rank.SETTLED, "by": "zombie"}]
    assert told == expected
    assert list(checkpoint(bucket).rows().values()) == expected
    assert len(keys(bucket)) == 1


def test_of_ends_that_rank_alike_the_later_attempts_counts_whoever_ends_last(bucket):
    zombie = checkpoint(bucket)
    zombie.rows()
    zombie.add_all(rows(1, by="zombie"))
    successor = checkpoint(bucket)
    successor.rows()
    successor.complete(rows(1, by="successor"))
    assert zombie.complete(rows(1, by="zombie")) == rows(1, by="successor")


def test_a_result_that_cannot_be_written_keeps_the_parts(bucket, monkeypatch):
    one = checkpoint(bucket, every=1)
    for row in rows(3):
        one.add(row)
    monkeypatch.setattr(bucket, "write_rows", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        one.complete(rows(3))
    assert saved(bucket) == [0, 1, 2]


def test_neighbours_with_names_that_begin_alike_are_not_mixed_up(bucket):
    other = Checkpoint(bucket, KEY + "2", STEP, settings={}, alma=ALMA, every=1)
    other.add({"n": 9})
    other.complete([{"n": 9}])
    assert saved(bucket) == []


def test_a_reader_that_comes_while_a_step_completes_misses_nothing(bucket, monkeypatch):
    one, reader = checkpoint(bucket, every=1), checkpoint(bucket, alma=None)
    for row in rows(4):
        one.add(row)
    real, met = bucket.get, []

    def overtaken(key: str) -> bytes:
        if not met:
            met.append(key)
            one.complete(rows(4))  # takes away the parts that the reader has listed
        return real(key)

    monkeypatch.setattr(bucket, "get", overtaken)
    assert sorted(reader.rows()) == [0, 1, 2, 3]


# --- what it was made under


def test_rows_of_other_settings_do_not_count_but_for_those_that_were_made(bucket):
    one = checkpoint(bucket, mode="batch")
    one.complete([{"n": 1}, {"n": 2, "rank": Rank.MADE}, {"n": 3, "rank": Rank.OPEN}])
    assert saved(bucket, mode="exact") == [2]
    assert saved(bucket, mode="batch") == [1, 2, 3]
    assert sorted(checkpoint(bucket, mode="exact").rows(of_any_settings=True)) == [1, 2, 3]


def test_settings_that_are_set_back_find_their_rows_again(bucket):
    checkpoint(bucket, mode="batch").complete(rows(2))
    checkpoint(bucket, mode="exact").complete(rows(3))
    assert saved(bucket, mode="batch") == [0, 1]
    assert saved(bucket, mode="exact") == [0, 1, 2]


def test_the_order_and_kind_of_a_collection_make_no_other_settings(bucket):
    checkpoint(bucket, a=(1, 2), b={"x": 1, "y": 2}).complete(rows(1))
    assert saved(bucket, b={"y": 2, "x": 1}, a=[1, 2]) == [0]
    assert saved(bucket, b={"y": 2, "x": 1}, a=[2, 1]) == []


def test_what_came_from_another_alma_does_not_count_at_all(bucket):
    checkpoint(bucket).complete(rows(2, rank=Rank.MADE))
    assert saved(bucket, alma=OTHER) == []


def test_a_reader_gets_what_the_last_attempt_left_of_its_settings(bucket):
    checkpoint(bucket).complete(rows(2))
    assert saved(bucket, alma=None) == [0, 1]
    later = checkpoint(bucket, alma=OTHER)
    later.rows()
    later.complete(rows(1, 7))
    assert saved(bucket, alma=None) == [7]
    assert saved(bucket, alma=None, mode="exact") == []


def test_rows_without_a_digest_are_read_as_they_are_and_worked_again(bucket):
    """As the version before left them: one object when complete, parts until then."""
    bucket.write_rows(KEY, [{"n": 0}, {"n": 1, "rank": Rank.MADE}])
    bucket.write_rows(f"{KEY}.parts/0af3.jsonl", [{"n": 2}, {"n": 3, "rank": Rank.MADE}])
    assert saved(bucket, alma=None) == [0, 1, 2, 3]
    assert saved(bucket) == [1, 3]
    checkpoint(bucket).complete(rows(1))
    assert saved(bucket, alma=None) == [0, 1, 3]


def test_a_checkpoint_without_an_alma_is_not_written(bucket):
    with pytest.raises(ValueError, match="which Alma"):
        checkpoint(bucket, alma=None).complete(rows(1))
