"""Step 1: what is due, as much of it as the day's calls allow, in groups for the mapped tasks."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from alma_etl.counted import counted
from alma_etl.dcb.faults import fault_of
from alma_etl.dcb.flows.tick.folder import PollGroup, SyncFolder, TickPlan
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.plan import PRIORITY, Allowance, Due, Look, admit, parts_wanted
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore, LegRecord, Tracked
from alma_etl.errors import InputProblem

log = logging.getLogger(__name__)

TICK = timedelta(minutes=5)
LEASE = timedelta(minutes=30)
"""Longer than a run may last: the run gives its leases back itself, unless it was killed."""

STEP_BACK = timedelta(minutes=15)
"""How long a request that cannot be read lets others go first, where more are due than one run takes: else those of a
system that is down would fill each run, and nobody else's turn would come."""

MOST = 2000
"""Requests of one tick, about what Alma's rate allows to read in its time."""

_GROUP = MOST // 4  # as many tasks as the pool alma_api has slots: none begins when time is up


def select_due(
    folder: SyncFolder,
    store: DcbStore,
    settings: DcbSettings,
    systems: Systems,
    *,
    now: datetime,
    pr_ids: Sequence[str] = (),
    limit: int | None = None,
    dry_run: bool = False,
) -> list[PollGroup]:
    """Lease what this tick will read and write the plan; return the groups. A retry, or a run cleared with
    the same Params, takes up the same plan.

    ``pr_ids``: look at these at once, whatever they are due. A dry run leases and nudges nothing.
    """
    asked = tuple(dict.fromkeys(pr_ids))
    plan = folder.find_plan()
    if plan is not None and (plan.dry_run, plan.asked) == (dry_run, asked):
        return list(plan.groups)
    limit = min(limit or MOST, MOST)
    hints = 0 if dry_run else store.follow_hints(now)
    polled = {pr_id: each for pr_id, each in store.get_many(asked).items() if each.next_poll_at is not None}
    if dry_run:
        due = _first(list(polled.values()), store.find_due(now, limit))
    else:
        store.nudge(polled, now)
        due = store.lease_due(now, limit, folder.run_id, LEASE)
    left_today = _left_today(store, settings, systems, now)
    taken = _admitted(due, set(asked), settings, systems, left_today, now)
    not_taken = [each.pr_id for each in due if each.pr_id not in taken]
    full = len(due) >= limit
    if not dry_run:
        store.release(not_taken, folder.run_id)
        if full:
            store.wait(not_taken, now + STEP_BACK)
    plan = TickPlan(
        run_id=folder.run_id,
        dry_run=dry_run,
        started=now,
        groups=_groups([each for each in due if each.pr_id in taken]),
        due=len(due),
        left=len(not_taken),
        hints=hints,
        asked=asked,
        unknown=tuple(pr_id for pr_id in asked if pr_id not in polled),
        budgets=left_today,
        full=full,
    )
    folder.save("plan.json", plan)
    log.info("%s due, %s of them left for later", counted(plan.due, "request"), plan.left)
    return list(plan.groups)


def _first(asked: list[Tracked], due: list[Tracked]) -> list[Tracked]:
    known = {each.pr_id for each in asked}
    return asked + [each for each in due if each.pr_id not in known]


def _left_today(store: DcbStore, settings: DcbSettings, systems: Systems, now: datetime) -> dict[str, int]:
    """What polling may still call today at the expense of each Alma connection."""
    used = store.calls_of(now.date())
    budgets = {systems.budget_of(code) for code, each in settings.systems.items() if each.kind == "alma"}
    return {budget: max(0, settings.calls_per_day - used.get(budget, 0)) for budget in sorted(budgets)}


def _admitted(
    due: Sequence[Tracked],
    asked: set[str],
    settings: DcbSettings,
    systems: Systems,
    left_today: dict[str, int],
    now: datetime,
) -> set[str]:
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
    allowance = Allowance(dict(left_today), math.ceil((midnight - now) / TICK))
    offers = [
        Due(
            each.pr_id,
            0 if each.nudged or each.pr_id in asked else PRIORITY.get(each.status, 9),
            each.next_poll_at or now,
            _costs(each, settings, systems, now),
        )
        for each in due
    ]
    return {each.pr_id for each in admit(offers, allowance)}


def _costs(
    tracked: Tracked, settings: DcbSettings, systems: Systems, now: datetime
) -> tuple[tuple[str, int], ...]:
    """About what reading a request costs: what is wanted at first, and one call more where that may raise another."""
    costs: Counter[str] = Counter()
    look = Look(now, full=tracked.nudged)
    for role, leg in tracked.legs.items():
        if not leg.is_placed or leg.system_kind != "ALMA":
            continue
        try:
            wanted = len(parts_wanted(tracked.state, role, look, settings))
            budget = systems.budget_of(leg.system_code)
        except InputProblem:
            continue  # polling says so
        except Exception as problem:  # noqa: BLE001  one request's trouble must not stop the others; polling says so
            log.error("What %s costs cannot be found out: %s", tracked.pr_id, fault_of(problem))
            continue
        costs[budget] += wanted + (1 if wanted and role is not Role.SUPPLIER else 0)
    return tuple(sorted(costs.items()))


def _groups(taken: Sequence[Tracked]) -> tuple[PollGroup, ...]:
    """The requests of one user stay together, so that one list serves them."""
    ordered = sorted(taken, key=_place)
    groups = []
    for number, start in enumerate(range(0, len(ordered), _GROUP), 1):
        part = ordered[start : start + _GROUP]
        lenders = sorted({_code(each.legs.get(Role.SUPPLIER)) for each in part})
        label = f"group {number:02d}: {counted(len(part), 'request')}, lent by {', '.join(lenders)}"
        groups.append(PollGroup(number=number, label=label, pr_ids=tuple(each.pr_id for each in part)))
    return tuple(groups)


def _place(tracked: Tracked) -> tuple[str, str, str, str]:
    supplier, borrower = tracked.legs.get(Role.SUPPLIER), tracked.legs.get(Role.BORROWER)
    user = borrower.user_id if borrower else None
    return (_code(supplier), _code(borrower), user or "", tracked.pr_id)


def _code(leg: LegRecord | None) -> str:
    return leg.system_code if leg else ""
