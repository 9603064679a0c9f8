"""Steps 4 and 5: do in Alma what the machine asked for, and notify the sinks of what happened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alma_etl.counted import counted
from alma_etl.dcb.conf import next_systems
from alma_etl.dcb.faults import fault_of
from alma_etl.dcb.flows.tick.folder import Deadline, SyncFolder, Worked
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import AckName, ActionType, Status
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.actor import role_of
from alma_etl.dcb.sides.ports import Actor, Done, Later, Refused, Sink
from alma_etl.dcb.store import DcbStore, HoldTaken, OutboxRow, Report, Tracked
from alma_etl.dcb.store.rows import OutboxKind
from alma_etl.errors import RunStopped
from alma_etl.remote.errors import RemoteStop
from alma_etl.remote.parallel import in_parallel
from alma_etl.store.db import StoreRefused, StoreUnavailable

log = logging.getLogger(__name__)

_FAILURES = 10
"""A sink that fails so often in a row is down, and is left alone until the next tick."""


def act(
    folder: SyncFolder,
    *,
    store: DcbStore,
    settings: DcbSettings,
    actor: Actor,
    open_system: Callable[[str, str], None],
    now: Callable[[], datetime],
    deadline: Deadline,
    dry_run: bool = False,
) -> Worked:
    """Do the actions that are due, and those that their outcomes ask for in turn. Not in a dry run, nor in ``observe``.

    ``open_system`` (code, kind) makes a system's client ready; it is called from this thread alone.
    """
    if dry_run or settings.mode != "drive":
        why = "a dry run does nothing" if dry_run else "config/dcb.yaml says mode: observe"
        return _save(folder, "acted.json", Worked(skipped=why))
    gate = _Gate(actor, open_system)
    worked = Worked()
    worker = Worker(
        store,
        settings,
        owner=f"{folder.run_id}/act",
        run_id=folder.run_id,
        now=now,
        deadline=deadline,
        before=gate.open_for,
    )
    worker.work_off("ALMA_ACTION", gate.perform, worked)
    log.info(
        "%s done, %s refused, %s later, %s held",
        counted(worked.done, "action"),
        worked.refused,
        worked.later,
        worked.held,
    )
    return _save(folder, "acted.json", worked)


class _Gate:
    """Keeps actions away from a system that cannot be reached, so that each tick asks it once."""

    def __init__(self, actor: Actor, open_system: Callable[[str, str], None]) -> None:
        self._actor = actor
        self._open_system = open_system
        self._opened: set[str] = set()
        self._closed: dict[str, str] = {}

    def open_for(self, tracked: Tracked) -> None:
        """Make the clients of a request's systems ready; one that cannot be used is closed for this tick."""
        kinds = {leg.system_code: leg.system_kind for leg in tracked.legs.values()}
        if tracked.status is Status.NOT_SUPPLIED:
            kinds |= dict.fromkeys(next_systems(tracked.conf) - kinds.keys(), "ALMA")
        for code, kind in kinds.items():
            if code in self._opened or code in self._closed:
                continue
            try:
                self._open_system(code, kind)
            except RunStopped as problem:
                self._closed[code] = str(problem)
            else:
                self._opened.add(code)

    def perform(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Do an action. Raises RemoteStop or RunStopped when its system is not to be reached."""
        codes = _codes(row, tracked)
        for code in codes:
            if code in self._closed:
                raise RunStopped(self._closed[code])
        try:
            return self._actor.perform(row, tracked)
        except RemoteStop as problem:
            if len(codes) == 1:
                self._closed[codes[0]] = str(problem)
            raise


def _codes(row: OutboxRow, tracked: Tracked) -> list[str]:
    role = role_of(ActionType(row.type))
    legs = [leg for leg in tracked.legs.values() if role is None or leg.role is role]
    return sorted({leg.system_code for leg in legs})


def publish(
    folder: SyncFolder,
    *,
    store: DcbStore,
    settings: DcbSettings,
    sinks: Sequence[Sink],
    now: Callable[[], datetime],
    deadline: Deadline,
    dry_run: bool = False,
) -> Worked:
    """Notify each sink of its events, each request's in order.

    A sink that is down keeps none of the others waiting, and one that is slow has no more than its share of the time.
    """
    if dry_run:
        return _save(folder, "published.json", Worked(skipped="a dry run notifies nobody"))
    worked = Worked()
    for number, sink in enumerate(sinks):
        worker = Worker(
            store,
            settings,
            owner=f"{folder.run_id}/publish",
            run_id=folder.run_id,
            now=now,
            deadline=deadline.share(len(sinks) - number),
        )
        worker.work_off("EVENT", sink.deliver, worked, target=sink.name, failures=_FAILURES)
    log.info(
        "%s published, %s refused, %s later", counted(worked.done, "event"), worked.refused, worked.later
    )
    return _save(folder, "published.json", worked)


def _save(folder: SyncFolder, name: str, worked: Worked) -> Worked:
    folder.save(name, worked)
    return worked


# --- working off the outbox: each request's rows in order, several requests at once


ATTEMPTS = 8
"""After so many a row is given up (DEAD) and raises an alert."""

LEASE = timedelta(minutes=30)
_FIRST_PAUSE = timedelta(minutes=5)
_BATCH = 100
_SHOWN = 50

Perform = Callable[[OutboxRow, Tracked], Done | Later | Refused]


@dataclass(frozen=True)
class Held:
    """The row's system is not to be reached: no attempt of the row's own."""

    reason: str


class Worker:
    """Takes rows out of the outbox until none is due or time is up.

    ``before`` sees each request in this thread before an action for it is done in another one.
    Its leases end with it: what was not tried is due again at once; after a kill when the same step is restarted and
    the killed worker is really dead. ``owner`` is what the workers of one step have in common.
    """

    def __init__(
        self,
        store: DcbStore,
        settings: DcbSettings,
        *,
        owner: str,
        run_id: str,
        now: Callable[[], datetime],
        deadline: Deadline,
        threads: int = 8,
        before: Callable[[Tracked], None] | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._owner = owner
        self._run_id = run_id
        self._now = now
        self._deadline = deadline
        self._threads = threads
        self._before = before

    def work_off(
        self,
        kind: OutboxKind,
        perform: Perform,
        worked: Worked,
        *,
        target: str | None = None,
        failures: int = 0,
    ) -> None:
        """Do what is due of a kind (and target). With ``failures``, stop after so many in a row."""
        in_a_row = 0
        with self._store.working(self._owner) as (owner, lock):
            while rows := self._store.lease_outbox(kind, self._now(), _BATCH, owner, LEASE, target=target):
                tracked = self._store.get_many(sorted({row.pr_id for row in rows}))
                if self._before:
                    for each in tracked.values():
                        self._before(each)
                for start in range(0, len(rows), self._threads):
                    if self._deadline.over or (failures and in_a_row >= failures):
                        worked.late |= self._deadline.over
                        return
                    lock.check()  # without it others take the leases for a dead worker's
                    part = rows[start : start + self._threads]
                    for row, outcome in self._done(part, tracked, perform):
                        in_a_row = in_a_row + 1 if isinstance(outcome, Later) else 0
                        self._settle_or_postpone(row, outcome, worked, owner)

    def _done(
        self, rows: Sequence[OutboxRow], tracked: dict[str, Tracked], perform: Perform
    ) -> list[tuple[OutboxRow, Done | Later | Refused | Held]]:
        def one(row: OutboxRow) -> Done | Later | Refused | Held:
            try:
                return perform(row, tracked[row.pr_id])
            except (RemoteStop, RunStopped) as problem:
                return Held(str(problem))
            except StoreUnavailable:
                raise
            except Exception as problem:  # noqa: BLE001  one row's trouble must not stop the others
                return Later(fault_of(problem))

        return list(in_parallel(one, rows, self._threads))

    def _settle_or_postpone(
        self, row: OutboxRow, outcome: Done | Later | Refused | Held, worked: Worked, owner: str
    ) -> None:
        """Settle a row. One that cannot be settled is tried again later, and given up in the end, as one that could not
        be done: the others go on."""
        try:
            self._settle(row, outcome, worked, owner)
        except StoreUnavailable:
            raise
        except Exception as problem:  # noqa: BLE001
            words = isinstance(problem, StoreRefused | HoldTaken)  # these quote no answer
            reason = f"what came of it could not be kept: {problem if words else fault_of(problem)}"
            log.error("%s of %s: %s", row.type, row.pr_id, reason)
            self._settle(row, Later(reason), worked, owner)

    def _settle(
        self, row: OutboxRow, outcome: Done | Later | Refused | Held, worked: Worked, owner: str
    ) -> None:
        now = self._now()
        if isinstance(outcome, Held):
            worked.held += 1
            _note(worked, row, outcome.reason)
        elif isinstance(outcome, Done):
            self._store.settle_action(
                row,
                "SENT",
                outcome.reports,
                settings=self._settings,
                now=now,
                legs=outcome.legs,
                run_id=self._run_id,
            )
            worked.done += 1
        elif isinstance(outcome, Refused):
            reports = [*outcome.reports, *_failed(row, outcome, now)]
            self._store.settle_action(
                row,
                "FAILED",
                reports,
                settings=self._settings,
                now=now,
                run_id=self._run_id,
                error=outcome.reason,
            )
            worked.refused += 1
            _note(worked, row, outcome.reason)
        elif row.attempts + 1 >= ATTEMPTS:
            worked.given_up += 1
            _note(worked, row, outcome.reason)
            self._store.settle(row.outbox_id, "DEAD", now, error=outcome.reason)
        else:
            worked.later += 1
            _note(worked, row, outcome.reason)
            pause = _FIRST_PAUSE * 2**row.attempts if outcome.after is None else outcome.after
            self._store.postpone(row.outbox_id, now + pause, outcome.reason, owner=owner)


def _failed(row: OutboxRow, outcome: Refused, now: datetime) -> list[Report]:
    """The machine is to know of every action that failed permanently."""
    reported = {report.seen.name for report in outcome.reports if isinstance(report.seen, Ack)}
    if row.kind != "ALMA_ACTION" or reported & {AckName.ACTION_FAILED, AckName.SUPPLIER_LOAN_FAILED}:
        return []
    return [Report(Ack(AckName.ACTION_FAILED, Moment.at(now), action=ActionType(row.type)), "ACK")]


def _note(worked: Worked, row: OutboxRow, reason: str) -> None:
    log.warning("%s %s of %s: %s", row.type, row.target, row.pr_id, reason)
    if len(worked.problems) < _SHOWN:
        worked.problems.append((row.pr_id, row.type, reason))
