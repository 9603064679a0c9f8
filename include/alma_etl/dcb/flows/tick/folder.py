"""The working files of one tick, ``runs/dcb_status_sync/{run_id}/``, and the time that its steps have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from alma_etl.dcb.store import Report
from alma_etl.jobs.checkpoint import Checkpoint, Rank, Step
from alma_etl.jobs.folder import RunFiles
from alma_etl.store.bucket import Bucket

DAG_ID = "dcb_status_sync"
SEEN = Step("seen.jsonl", key=lambda row: str(row["pr_id"]), rank=lambda row: Rank.SETTLED)


class _TickFile(BaseModel):
    model_config = ConfigDict(frozen=True)


class PollGroup(_TickFile):
    """Requests that one mapped task polls."""

    number: int
    label: str
    pr_ids: tuple[str, ...]


class TickPlan(_TickFile):
    """What the first step decided; every later step reads it.

    ``due`` requests were due (as far as ``limit`` looked), ``left`` of them the budget did not allow. ``nudged`` of
    the run's ``asked`` were made due, ``unknown`` are not tracked, or settled so that there is nothing to poll.
    ``budgets``: calls left of the day for each connection, before this tick. ``full``: more may be due than one run
    takes, so that what cannot be read has to let others go first.
    """

    run_id: str
    dry_run: bool
    started: datetime
    groups: tuple[PollGroup, ...]
    due: int
    left: int
    hints: int = 0
    asked: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    budgets: dict[str, int] = {}
    full: bool = False

    @property
    def pr_ids(self) -> list[str]:
        """All requests of this tick."""
        return [pr_id for group in self.groups for pr_id in group.pr_ids]


class Polled(_TickFile):
    """What a mapped task came to, by the plan that was made at ``started``.

    ``calls`` and ``answered`` by connection; ``closed``: why reading one ended. ``frozen`` requests wait for a system
    that could not be read, ``late`` ones for the next tick, since time ran out.
    """

    started: datetime | None = None
    polled: int = 0
    frozen: int = 0
    late: int = 0
    failed_reads: int = 0
    calls: dict[str, int] = {}
    answered: dict[str, int] = {}
    closed: dict[str, str] = {}


class Worked(BaseModel):
    """What a step that works off the outbox came to, beside what the store has. ``held``: rows whose system was not
    to be reached. ``problems``: (request, type, sentence), the first ones."""

    done: int = 0
    later: int = 0
    refused: int = 0
    given_up: int = 0
    held: int = 0
    problems: list[tuple[str, str, str]] = []
    skipped: str = ""
    late: bool = False


class SyncFolder(RunFiles):
    """The keys of one tick's working files."""

    def __init__(self, bucket: Bucket, run_id: str, dag_id: str = DAG_ID) -> None:
        super().__init__(bucket, run_id, dag_id)

    def find_plan(self) -> TickPlan | None:
        """The plan, None when the first step did not get that far."""
        found = self.bucket.find(self.key("plan.json"))
        return None if found is None else TickPlan.model_validate_json(found)

    def plan(self) -> TickPlan:
        """The plan. Raises NoSuchObject."""
        return TickPlan.model_validate_json(self.bucket.get(self.key("plan.json")))

    def save(self, name: str, value: BaseModel) -> None:
        """Save a model of this module (or the summary) under its name."""
        self.bucket.put(
            self.key(name), value.model_dump_json(indent=1, by_alias=True).encode(), "application/json"
        )

    def polled(self, number: int, plan: TickPlan) -> Polled | None:
        """What a group of this plan came to, None when it was not finished."""
        found = self.bucket.find(self.chunk_key(number, "polled.json"))
        polled = None if found is None else Polled.model_validate_json(found)
        return polled if polled is not None and polled.started == plan.started else None

    def save_polled(self, number: int, polled: Polled) -> None:
        """The group is finished."""
        self.bucket.put(
            self.chunk_key(number, "polled.json"), polled.model_dump_json().encode(), "application/json"
        )

    def worked(self, name: str) -> Worked | None:
        """What a step came to, None when it did not end."""
        found = self.bucket.find(self.key(name))
        return None if found is None else Worked.model_validate_json(found)

    def seen(self, number: int, plan: TickPlan) -> Checkpoint:
        """What was read of each request of a group by this plan; another plan of the run reads again."""
        return Checkpoint(
            self.bucket,
            self.chunk_key(number, SEEN.name),
            SEEN,
            settings={"started": plan.started.isoformat(), "dry_run": plan.dry_run},
            alma="those of the plan",
        )


def seen_row(
    pr_id: str, reports: Sequence[Report], nudges: int | None = None, failed: str = ""
) -> dict[str, Any]:
    """What was read of a request, as a row of a file; no reports: there was nothing to read.

    ``nudges``: how many the look had seen; ``failed``: why no look came about, by a fault of ours.
    """
    return {
        "pr_id": pr_id,
        "nudges": nudges,
        "failed": failed,
        "reports": [report.to_json() for report in reports],
    }


def reports_of(row: Mapping[str, Any]) -> list[Report]:
    """The reports of a row of the file."""
    return [Report.from_json(each) for each in row["reports"]]


def rows_of(folder: SyncFolder, plan: TickPlan) -> Iterator[dict[str, Any]]:
    """What all groups have read, each request once, also where a task did not come to its end."""
    for group in plan.groups:
        yield from folder.seen(group.number, plan).rows().values()


class Deadline:
    """Over after so many seconds of real time, whatever the clock of the requests says."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds

    def share(self, parts: int) -> Deadline:
        """The end of an equal part of what is left, for the first of so many."""
        return Deadline(max(0.0, self._end - self._monotonic()) / parts, self._monotonic)

    @property
    def over(self) -> bool:
        """Whether to begin nothing further."""
        return self._monotonic() >= self._end
