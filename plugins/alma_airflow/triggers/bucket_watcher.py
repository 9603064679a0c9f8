"""The bucket watcher: sends an event when a dropped file waits for its run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from alma_airflow.hooks.store import AWS_CONN_ID, open_bucket
from alma_etl.jobs.arrivals import not_started, settled

if TYPE_CHECKING:
    from alma_etl.store.bucket import Bucket

log = logging.getLogger(__name__)

_WARNING_INTERVAL = 60.0  # seconds between two warnings about a bucket that does not answer


class BucketWatcher(BaseEventTrigger):
    """Lists the incoming folders and sends an event with the number of files that wait.

    An event is a signal without content, since Airflow merges events that come close together. One is sent when
    other files wait than before, and again every `repeat_seconds`. The watcher keeps no state of its own, so a
    triggerer that was killed misses nothing. A bucket that does not answer is asked again for as long as it takes.

    :param poll_seconds: how often it lists the folders.
    :param settle_seconds: a file that changed less than this ago may still be arriving.
    :param repeat_seconds: how often it repeats the event for files that nobody has taken.
    :param aws_conn_id: the connection of the bucket.
    """

    def __init__(
        self,
        *,
        poll_seconds: float = 3,
        settle_seconds: float = 3,
        repeat_seconds: float = 60,
        aws_conn_id: str = AWS_CONN_ID,
    ) -> None:
        super().__init__()
        self.poll_seconds = poll_seconds
        self.settle_seconds = settle_seconds
        self.repeat_seconds = repeat_seconds
        self.aws_conn_id = aws_conn_id
        self._bucket: Bucket | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How Airflow stores it; the same arguments give the same trigger."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "poll_seconds": self.poll_seconds,
            "settle_seconds": self.settle_seconds,
            "repeat_seconds": self.repeat_seconds,
            "aws_conn_id": self.aws_conn_id,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch for ever."""
        sent_for: frozenset[str] = frozenset()
        sent_at = 0.0
        warned_at: float | None = None
        while True:
            try:
                waiting = await asyncio.to_thread(self._waiting)
            except Exception as error:  # noqa: BLE001 - a watcher that ends is not started again
                self._bucket = None
                if warned_at is None or time.monotonic() - warned_at >= _WARNING_INTERVAL:
                    log.warning("The bucket does not answer, looking again: %s", error)
                    warned_at = time.monotonic()
            else:
                if warned_at is not None:
                    log.info("The bucket answers again")
                    warned_at = None
                overdue = time.monotonic() - sent_at >= self.repeat_seconds
                if waiting and (waiting != sent_for or overdue):
                    sent_at = time.monotonic()
                    yield TriggerEvent({"files": len(waiting)})
                sent_for = waiting
            await asyncio.sleep(self.poll_seconds)

    def _waiting(self) -> frozenset[str]:
        # Making a client is a second's work, which would hold up all triggers; after an error a new one is made.
        bucket = self._bucket = self._bucket or open_bucket(self.aws_conn_id)
        arrivals = settled(bucket, settle=timedelta(seconds=self.settle_seconds))
        return frozenset(arrival.run_id for arrival in not_started(bucket, arrivals))
