"""The doorbell: when it rings, when it keeps still, and what it outlives."""

import asyncio
import logging
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from airflow.triggers.base import BaseEventTrigger

from alma_airflow.triggers import doorbell
from alma_airflow.triggers.doorbell import BucketDoorbell
from alma_etl.jobs.arrivals import remember_started
from alma_etl.store.bucket import Bucket


@dataclass
class Looks:
    """What the looks into the bucket find, one after the other; the last one stays."""

    found: list

    def __call__(self):
        now = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if isinstance(now, Exception):
            raise now
        return frozenset(now)


def rings(monkeypatch, looks, polls, **arguments):
    """How many files were rung for at each poll, None when it kept still."""
    told = [None]
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(BucketDoorbell, "_waiting", Looks(looks))
    monkeypatch.setattr(doorbell, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    async def sleep(_seconds):
        if len(told) == polls:
            raise asyncio.CancelledError
        told.append(None)

    async def watch():
        async for event in BucketDoorbell(**arguments).run():
            told[-1] = event.payload["files"]

    monkeypatch.setattr(doorbell, "asyncio", SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch())
    return told


def test_it_rings_for_files_that_wait_and_not_for_nothing(monkeypatch):
    assert rings(monkeypatch, [[], ["a"], ["a"], []], 4, repeat_seconds=1e9) == [None, 1, None, None]


def test_it_rings_when_other_files_wait_than_before(monkeypatch):
    looks = [["a"], ["a", "b"], ["b"], ["b"]]
    assert rings(monkeypatch, looks, 4, repeat_seconds=1e9) == [1, 2, 1, None]


def test_it_rings_again_while_nobody_takes_the_file(monkeypatch):
    told = rings(monkeypatch, [["a"]], 9, repeat_seconds=25)
    assert told[0] == 1
    assert 1 < sum(ring is not None for ring in told) < 9


def test_an_outage_of_the_bucket_does_not_end_it_and_is_not_told_at_every_look(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    looks = [OSError("connection refused")] * 4 + [ValueError("strange")] + [["a"]]
    assert rings(monkeypatch, looks, 7, repeat_seconds=1e9) == [None] * 5 + [1, None]
    complaints = [record for record in caplog.records if "does not answer" in record.message]
    assert 1 <= len(complaints) < 5
    assert "answers again" in caplog.text


def test_airflow_can_store_it_and_make_it_again():
    trigger = BucketDoorbell(poll_seconds=1, settle_seconds=2, repeat_seconds=30, aws_conn_id="other")
    path, arguments = trigger.serialize()
    assert path == "alma_airflow.triggers.doorbell.BucketDoorbell"
    again = BucketDoorbell(**arguments)
    assert again.serialize() == trigger.serialize()
    assert BaseEventTrigger.hash(path, arguments) == BaseEventTrigger.hash(*again.serialize())


def test_it_looks_into_the_bucket_with_one_client_and_makes_a_new_one_after_an_error(monkeypatch):
    made = []

    class Broken:
        def server_time(self):
            raise OSError("reset by peer")

    def open_bucket(conn_id):
        made.append(conn_id)
        return Broken()

    monkeypatch.setattr(doorbell, "open_bucket", open_bucket)
    trigger = BucketDoorbell(aws_conn_id="other")
    polls = []

    async def sleep(_seconds):
        polls.append(trigger._bucket)
        if len(polls) == 3:
            raise asyncio.CancelledError

    async def watch():
        async for _ in trigger.run():
            pass

    monkeypatch.setattr(doorbell, "asyncio", SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch())
    assert made == ["other"] * 3
    assert polls == [None] * 3


def test_what_waits_is_what_lies_there_and_was_not_started(s3, monkeypatch):
    bucket = Bucket(s3.client(), s3.name)
    opened = []
    monkeypatch.setattr(doorbell, "open_bucket", lambda _: opened.append(1) or bucket)
    trigger = BucketDoorbell(settle_seconds=0)
    assert trigger._waiting() == frozenset()
    bucket.put("items/incoming/gifts/a.txt", b"1")
    (waiting,) = trigger._waiting()
    remember_started(bucket, [waiting])
    assert trigger._waiting() == frozenset()
    assert len(opened) == 1
