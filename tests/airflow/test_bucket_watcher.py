"""The bucket watcher: when it sends an event, when it sends none, and what it outlives."""

import asyncio
import logging
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from airflow.triggers.base import BaseEventTrigger

from alma_airflow.triggers import bucket_watcher
from alma_airflow.triggers.bucket_watcher import BucketWatcher
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


def events(monkeypatch, looks, polls, **arguments):
    """How many files the event at each poll names, None where there was none."""
    sent = [None]
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(BucketWatcher, "_waiting", Looks(looks))
    monkeypatch.setattr(bucket_watcher, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    async def sleep(_seconds):
        if len(sent) == polls:
            raise asyncio.CancelledError
        sent.append(None)

    async def watch():
        async for event in BucketWatcher(**arguments).run():
            sent[-1] = event.payload["files"]

    monkeypatch.setattr(bucket_watcher, "asyncio", SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch())
    return sent


def test_an_event_is_sent_for_files_that_wait_and_not_for_nothing(monkeypatch):
    assert events(monkeypatch, [[], ["a"], ["a"], []], 4, repeat_seconds=1e9) == [None, 1, None, None]


def test_an_event_is_sent_when_other_files_wait_than_before(monkeypatch):
    looks = [["a"], ["a", "b"], ["b"], ["b"]]
    assert events(monkeypatch, looks, 4, repeat_seconds=1e9) == [1, 2, 1, None]


def test_the_event_is_repeated_while_nobody_takes_the_file(monkeypatch):
    sent = events(monkeypatch, [["a"]], 9, repeat_seconds=25)
    assert sent[0] == 1
    assert 1 < sum(event is not None for event in sent) < 9


def test_an_outage_of_the_bucket_does_not_end_it_and_is_not_reported_at_every_look(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    looks = [OSError("connection refused")] * 4 + [ValueError("strange")] + [["a"]]
    assert events(monkeypatch, looks, 7, repeat_seconds=1e9) == [None] * 5 + [1, None]
    complaints = [record for record in caplog.records if "does not answer" in record.message]
    assert 1 <= len(complaints) < 5
    assert "answers again" in caplog.text


def test_airflow_can_store_it_and_make_it_again():
    trigger = BucketWatcher(poll_seconds=1, settle_seconds=2, repeat_seconds=30, aws_conn_id="other")
    path, arguments = trigger.serialize()
    assert path == "alma_airflow.triggers.bucket_watcher.BucketWatcher"
    again = BucketWatcher(**arguments)
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

    monkeypatch.setattr(bucket_watcher, "open_bucket", open_bucket)
    trigger = BucketWatcher(aws_conn_id="other")
    polls = []

    async def sleep(_seconds):
        polls.append(trigger._bucket)
        if len(polls) == 3:
            raise asyncio.CancelledError

    async def watch():
        async for _ in trigger.run():
            pass

    monkeypatch.setattr(bucket_watcher, "asyncio", SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch())
    assert made == ["other"] * 3
    assert polls == [None] * 3


def test_what_waits_is_what_lies_there_and_was_not_started(s3, monkeypatch):
    bucket = Bucket(s3.client(), s3.name)
    opened = []
    monkeypatch.setattr(bucket_watcher, "open_bucket", lambda _: opened.append(1) or bucket)
    trigger = BucketWatcher(settle_seconds=0)
    assert trigger._waiting() == frozenset()
    bucket.put("items/incoming/gifts/a.txt", b"1")
    (waiting,) = trigger._waiting()
    remember_started(bucket, [waiting])
    assert trigger._waiting() == frozenset()
    assert len(opened) == 1
