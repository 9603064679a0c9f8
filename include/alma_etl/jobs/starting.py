"""The runs to start for files that arrived."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from alma_etl.counted import counted, verb
from alma_etl.errors import NotAcceptable
from alma_etl.jobs.arrivals import Arrival, not_started, remember_started, settled
from alma_etl.jobs.places import printable

if TYPE_CHECKING:
    from alma_etl.jobs.ledger_reading import FileVersion
    from alma_etl.store.bucket import Bucket

log = logging.getLogger(__name__)

DRY_RUN = "dry-run"
"""The remark with a dropped object by which its first run is a dry run, whatever the profile says."""


class Start(TypedDict):
    """One run to start: the arguments of Airflow's TriggerDagRunOperator."""

    trigger_dag_id: str
    trigger_run_id: str
    conf: dict[str, Any]
    note: str


def new_starts(
    bucket: Bucket,
    *,
    at_most: int,
    settle: timedelta,
    note_arrivals: Callable[[list[FileVersion]], None] = lambda files: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Start]:
    """A run for every file in the incoming folders that has none yet, the oldest first, `at_most` so many.

    A file that changed less than `settle` ago is given that time to come to rest; one that still changes then is
    left to the next call, and so are those beyond `at_most`; `note_arrivals` is called with all that wait.
    """
    everything = settled(bucket, settle=timedelta(0))
    at_rest = settled(bucket, settle=settle)
    if len(at_rest) < len(everything):
        sleep(settle.total_seconds())
        at_rest = settled(bucket, settle=settle)
    waiting = not_started(bucket, at_rest)
    note_arrivals([arrival.file for arrival in waiting])
    if len(waiting) > at_most:
        log.info(
            "%s waiting; the first %d are started now, the others next",
            counted(len(waiting), "file"),
            at_most,
        )
    for arrival in waiting[:at_most]:
        log.info("%s (%s): run %s", printable(arrival.key), counted(arrival.size, "byte"), arrival.run_id)
    return [_start(arrival, bucket.remarks(arrival.key)) for arrival in waiting[:at_most]]


def counts_of(states: Sequence[str]) -> dict[str, int]:
    """How the starting tasks ended: a run that was there already is no new one."""
    words = {"success": "started", "skipped": "already_started"}
    counts = Counter(words.get(state, "failed") for state in states)
    return {word: counts[word] for word in (*words.values(), "failed")}


def note_starts(bucket: Bucket, starts: Sequence[Start], states: Sequence[str]) -> str:
    """Remember the runs that were started; return a sentence.

    `states` are those of the starting tasks, in the order of `starts`; one that was skipped met a run that exists
    already. Raises NotAcceptable when a run could not be started: it is tried again with the next look.
    """
    outcome = list(zip(starts, states, strict=True))
    good = [start for start, state in outcome if state in ("success", "skipped")]
    remember_started(bucket, [start["trigger_run_id"] for start in good])
    failed = [start for start, state in outcome if state not in ("success", "skipped")]
    if failed:
        names = ", ".join(printable(start["conf"]["key"]) for start in failed[:10])
        raise NotAcceptable(
            f"{len(failed)} of {counted(len(starts), 'run')} could not be started ({names}): see the log of "
            "start_load; they are tried again within a minute"
        )
    already = sum(state == "skipped" for _, state in outcome)
    return f"{counted(len(good) - already, 'run')} started, {already} {verb(already, 'was', 'were')} there already."


def _start(arrival: Arrival, remarks: Mapping[str, str]) -> Start:
    dry_run = {"dry_run": True} if DRY_RUN in remarks else {}
    return Start(
        trigger_dag_id=arrival.area.dag_id,
        trigger_run_id=arrival.run_id,
        conf={"key": arrival.key, "version": arrival.version, **dry_run},
        note=_note(arrival),
    )


def _note(arrival: Arrival) -> str:
    """What the run is about, for the list of runs in the UI: Markdown, of at most 1,000 characters."""
    shown = printable(arrival.key).replace("`", "'")
    return f"`{shown}`, {counted(arrival.size, 'byte')}"
