"""Step 2: read all sides of the requests of one group, and keep what was seen."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from alma_etl.dcb.flows.tick.answers import SystemSources
from alma_etl.dcb.flows.tick.deadline import Deadline
from alma_etl.dcb.flows.tick.gather import Circuits, Gather, Looked
from alma_etl.dcb.flows.tick.run import Polled, SyncFolder, seen_row
from alma_etl.dcb.flows.tick.select import STEP_BACK
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore, Tracked

log = logging.getLogger(__name__)

_AT_ONCE = 50
"""Requests whose reads go out together: what a kill can cost, and how finely the deadline cuts."""


def poll(
    folder: SyncFolder,
    number: int,
    *,
    store: DcbStore,
    settings: DcbSettings,
    systems: Systems,
    now: Callable[[], datetime],
    deadline: Deadline,
) -> Polled:
    """Read the requests of a group. Begun anew, it reads only those that are missing."""
    plan = folder.plan()
    finished = folder.polled(number, plan)
    if finished is not None:
        return finished
    pr_ids = next(group.pr_ids for group in plan.groups if group.number == number)
    circuits, meter = Circuits(), _Meter(store, systems, now)
    gather = Gather(SystemSources(systems), settings, circuits, now=now, deadline=deadline)
    counts: Counter[str] = Counter()
    with folder.seen(number, plan) as seen:
        known = set(seen.rows())
        counts["polled"] = len(known)
        missing = [pr_id for pr_id in pr_ids if pr_id not in known]
        for start in range(0, len(missing), _AT_ONCE):
            part = missing[start : start + _AT_ONCE]
            if deadline.over:
                counts["late"] += len(part)
                continue
            try:
                looked = gather.read(_tracked(store, part))
            finally:
                meter.read()
            seen.add_all(_rows(looked, counts))
            if plan.full and not plan.dry_run:
                frozen = [each.tracked.pr_id for each in looked if each.frozen is not None]
                store.wait(frozen, now() + STEP_BACK)
    polled = Polled(
        started=plan.started,
        polled=counts["polled"],
        frozen=counts["frozen"],
        late=counts["late"],
        failed_reads=counts["failed_reads"],
        calls=dict(meter.made),
        answered=dict(circuits.answered),
        closed=circuits.closed,
    )
    folder.save_polled(number, polled)
    log.info(
        "%s polled, %s frozen, %s late; calls: %s", polled.polled, polled.frozen, polled.late, polled.calls
    )
    return polled


def _tracked(store: DcbStore, pr_ids: Sequence[str]) -> list[Tracked]:
    found = store.get_many(pr_ids)
    return [found[pr_id] for pr_id in pr_ids if pr_id in found]


def _rows(looked: Sequence[Looked], counts: Counter[str]) -> list[dict[str, object]]:
    rows = []
    for each in looked:
        if each.frozen is not None or each.late:
            counts["frozen" if each.frozen else "late"] += 1
            continue
        reports = each.reports()
        counts["polled"] += 1
        counts["failed_reads"] += sum(len(report.errors) for report in reports)
        rows.append(seen_row(each.tracked.pr_id, reports, each.tracked.nudges, each.failed))
    return rows


class _Meter:
    """Adds the calls made to the day's count, each connection's to its own."""

    def __init__(self, store: DcbStore, systems: Systems, now: Callable[[], datetime]) -> None:
        self._store = store
        self._systems = systems
        self._now = now
        self._before: Counter[str] = Counter(
            {conn_id: alma.calls_made for conn_id, alma in systems.opened.items()}
        )
        self.made: Counter[str] = Counter()

    def read(self) -> None:
        """Read the clients' counters."""
        for conn_id, alma in self._systems.opened.items():
            made = alma.calls_made - self._before[conn_id]
            if made:
                self._before[conn_id] += made
                self.made[conn_id] += made
                self._store.count_calls(self._now().date(), conn_id, made)
