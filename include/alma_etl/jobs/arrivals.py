"""Which files lie in the incoming folders and have no run yet.

The listing is the truth, whoever reports an arrival: a file that is there and was not started is new, whatever
messages were lost, doubled or merged on the way. What was started stands in one small object, so that files under way
are not offered again and again; that no version of a file starts twice is guarded by the run's id, which Airflow's
database accepts only once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from alma_etl.jobs.places import AREAS, Area, is_upload_in_transit, run_mark, slug

if TYPE_CHECKING:
    from alma_etl.jobs.ledger_reading import FileVersion
    from alma_etl.store.bucket import Bucket

STARTED = "runs/file_intake/started.json"


@dataclass(frozen=True)
class Arrival:
    """One version of a dropped file: what changes when it is dropped again, even with the same content."""

    area: Area
    key: str
    etag: str
    last_modified: datetime  # UTC, by the server's clock
    size: int

    @property
    def version(self) -> str:
        """Entity tag and time: by this a run knows that the file is still the one that it was started for."""
        # Listings have fractions of a second, a look at the object alone does not.
        return f"{self.etag}@{self.last_modified.astimezone(UTC).isoformat(timespec='seconds')}"

    @property
    def mark(self) -> str:
        """The version's time, and a hash of key, entity tag and time: one of its kind."""
        digest = hashlib.sha256("\n".join((self.key, self.version)).encode()).hexdigest()
        return f"{self.last_modified.astimezone(UTC):%Y%m%dT%H%M%SZ}__{digest[:16]}"

    @property
    def run_id(self) -> str:
        """The id of the one run for this version: readable by the file's name, unique by the mark."""
        return f"{slug(self.key.rpartition('/')[2])}__{self.mark}"

    @property
    def file(self) -> FileVersion:
        """As the ledger keeps it."""
        from alma_etl.jobs.ledger_reading import (
            FileVersion,  # spares the bucket watcher the store's libraries
        )

        profile, slash, _ = self.key.removeprefix(self.area.incoming).partition("/")
        dropped = slash and self.key.startswith(self.area.incoming)
        return FileVersion(
            key=self.key,
            version=self.version,
            size=self.size,
            area=self.area.folder,
            profile=profile if dropped else "",
            arrived_at=self.last_modified,
        )


def settled(bucket: Bucket, *, settle: timedelta, areas: Sequence[Area] = AREAS) -> list[Arrival]:
    """The files in the incoming folders, oldest first, but for those that changed less than `settle` ago.

    A file that is still arriving under its final name, written in several goes, is left alone that way. Names
    that programs use while they write, and folder markers, are passed over. Times are the server's own.
    """
    now = bucket.server_time()
    found = [
        arrival for area in areas for arrival in _lying(bucket, area) if now - arrival.last_modified >= settle
    ]
    return sorted(found, key=lambda arrival: (arrival.last_modified, arrival.key))


def _lying(bucket: Bucket, area: Area) -> Iterator[Arrival]:
    for info in bucket.list(area.incoming):
        if not is_upload_in_transit(info.key):
            yield Arrival(area, info.key, info.etag, info.last_modified, info.size)


def not_started(bucket: Bucket, arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Those of the arrivals for which no run was started."""
    started = _started(bucket)
    return [arrival for arrival in arrivals if arrival.mark not in started]


def remember_started(bucket: Bucket, run_ids: Collection[str]) -> None:
    """Note runs as started, and forget those whose files have left. To be called by one task at a time."""
    known = _started(bucket) | {run_mark(run_id) for run_id in run_ids}
    present = (arrival for area in AREAS for arrival in _lying(bucket, area))
    started = sorted(arrival.run_id for arrival in present if arrival.mark in known)
    body = json.dumps({"started": started}, indent=1).encode()
    bucket.put(STARTED, body, "application/json")


def _started(bucket: Bucket) -> set[str]:
    """The marks of the runs that were started; the version before noted other ids with the same marks."""
    found = bucket.find(STARTED)
    if found is None:
        return set()
    try:
        document = json.loads(found)
    except ValueError:
        return set()  # a damaged note costs a few starts that the database refuses, nothing more
    runs = document.get("started") if isinstance(document, Mapping) else None
    return {run_mark(str(run)) for run in runs} if isinstance(runs, list) else set()
