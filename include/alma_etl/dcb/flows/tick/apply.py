"""Step 3: what was seen goes through the machine, one transaction a request, and the leases are given back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from alma_etl.counted import counted
from alma_etl.dcb.faults import fault_of
from alma_etl.dcb.flows.tick.folder import SyncFolder, reports_of, rows_of
from alma_etl.dcb.plan import next_poll
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import Applied, DcbStore
from alma_etl.dcb.store.rows import UnknownRequest, VersionConflict
from alma_etl.store.db import StoreRefused, StoreUnavailable

log = logging.getLogger(__name__)


def apply(
    folder: SyncFolder, *, store: DcbStore, settings: DcbSettings, now: Callable[[], datetime]
) -> dict[str, int]:
    """Apply what every group has read; counts of requests and of those that changed. Safe to repeat.

    A group whose task failed is applied as far as it came; what was not read stays due.
    """
    plan = folder.find_plan()
    if plan is None or plan.dry_run:
        return {"applied": 0, "changed": 0}
    applied = changed = 0
    for row in rows_of(folder, plan):
        applied += 1
        changed += _apply_one(row, folder.run_id, store, settings, now())
    store.release(plan.pr_ids, folder.run_id)
    log.info("%s taken in, %s changed", counted(applied, "request"), changed)
    return {"applied": applied, "changed": changed}


def _apply_one(
    row: dict[str, Any], run_id: str, store: DcbStore, settings: DcbSettings, now: datetime
) -> bool:
    pr_id = str(row["pr_id"])
    try:
        applied = _taken_in(row, run_id, store, settings, now)
    except StoreUnavailable:
        raise
    except VersionConflict:  # it was looked at by somebody else, and stays due
        return False
    except Exception as problem:  # noqa: BLE001  the trouble of one must not stop the others
        # Not with the error's text, which may quote an answer: its kind and place stand in the alert.
        fault = str(problem) if isinstance(problem, StoreRefused) else fault_of(problem)
        until = store.note_failed_step(pr_id, fault, now, run_id)
        log.error("%s could not be taken in, and waits until %s: %s", pr_id, f"{until:%H:%M}", fault)
        return False
    if applied is None:
        return False
    result = applied.result
    if result is None or not result.transitions:
        return False
    path = " -> ".join(str(each.to) for each in result.transitions)
    log.info("%s: %s -> %s", pr_id, result.transitions[0].frm, path)
    return True


def _taken_in(
    row: dict[str, Any], run_id: str, store: DcbStore, settings: DcbSettings, now: datetime
) -> Applied | None:
    pr_id, nudges = str(row["pr_id"]), row.get("nudges")
    if fault := row.get("failed"):
        until = store.note_failed_step(pr_id, fault, now, run_id)
        log.error("%s could not be looked at, and waits until %s: %s", pr_id, f"{until:%H:%M}", fault)
        return None
    reports = reports_of(row)
    if not reports:
        _put_off(pr_id, run_id, store, settings, now, nudges)
        return None
    try:
        return store.apply(
            pr_id, reports, settings=settings, now=now, run_id=run_id, owner=run_id, nudges=nudges
        )
    except UnknownRequest:  # dropped by the retention meanwhile
        return None


def _put_off(
    pr_id: str, run_id: str, store: DcbStore, settings: DcbSettings, now: datetime, nudges: int | None
) -> None:
    """No side of it is placed where we could read it."""
    tracked = store.get(pr_id)
    if tracked is None or (tracked.next_poll_at is not None and tracked.next_poll_at > now):
        return
    until = next_poll(tracked.state, now, settings, pr_id=pr_id, repeat=tracked.poll_repeat + 1)
    store.put_off(pr_id, until, run_id, nudges=nudges)
