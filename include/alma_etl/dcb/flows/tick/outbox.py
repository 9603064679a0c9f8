"""Working off the outbox: deeds in Alma and events for sinks, each request's in order, several requests at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alma_etl.dcb.faults import fault_of
from alma_etl.dcb.flows.tick.deadline import Deadline
from alma_etl.dcb.flows.tick.run import Worked
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import AckName, ActionType
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.ports import Done, Later, Refused
from alma_etl.dcb.store import DcbStore, HoldTaken, OutboxRow, Report, Tracked
from alma_etl.dcb.store.rows import OutboxKind
from alma_etl.errors import RunStopped
from alma_etl.remote.errors import RemoteStop
from alma_etl.remote.parallel import in_parallel
from alma_etl.store.db import StoreRefused, StoreUnavailable

log = logging.getLogger(__name__)

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


@dataclass
class Tally:
    """What came of the rows."""

    done: int = 0
    later: int = 0
    refused: int = 0
    given_up: int = 0
    held: int = 0
    late: bool = False
    problems: list[tuple[str, str, str]] = field(default_factory=list)

    def note(self, row: OutboxRow, reason: str) -> None:
        """Something to tell of a row."""
        log.warning("%s %s of %s: %s", row.type, row.target, row.pr_id, reason)
        if len(self.problems) < _SHOWN:
            self.problems.append((row.pr_id, row.type, reason))

    def worked(self) -> Worked:
        """For the run's folder."""
        return Worked(
            done=self.done,
            later=self.later,
            refused=self.refused,
            given_up=self.given_up,
            held=self.held,
            late=self.late,
            problems=tuple(self.problems),
        )


class Worker:
    """Takes rows out of the outbox until none is due or time is up.

    ``before`` sees each request in this thread before a deed for it is done in another one.
    Its leases end with it: what was not tried is due again at once; after a kill when the same step begins again and
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
        tally: Tally,
        *,
        target: str | None = None,
        patience: int = 0,
    ) -> None:
        """Do what is due of a kind (and target). With ``patience``, stop after so many failures in a row."""
        failures = 0
        with self._store.working(self._owner) as (owner, lock):
            while rows := self._store.lease_outbox(kind, self._now(), _BATCH, owner, LEASE, target=target):
                tracked = self._store.get_many(sorted({row.pr_id for row in rows}))
                if self._before:
                    for each in tracked.values():
                        self._before(each)
                for start in range(0, len(rows), self._threads):
                    if self._deadline.over or (patience and failures >= patience):
                        tally.late |= self._deadline.over
                        return
                    lock.check()  # without it others take the leases for a dead worker's
                    part = rows[start : start + self._threads]
                    for row, outcome in self._done(part, tracked, perform):
                        failures = failures + 1 if isinstance(outcome, Later) else 0
                        self._settle_or_postpone(row, outcome, tally, owner)

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
        self, row: OutboxRow, outcome: Done | Later | Refused | Held, tally: Tally, owner: str
    ) -> None:
        """Settle a row. One that cannot be settled is tried again later, and given up in the end, as one that could not
        be done: the others go on."""
        try:
            self._settle(row, outcome, tally, owner)
        except StoreUnavailable:
            raise
        except Exception as problem:  # noqa: BLE001
            words = isinstance(problem, StoreRefused | HoldTaken)  # these quote no answer
            reason = f"what came of it could not be kept: {problem if words else fault_of(problem)}"
            log.error("%s of %s: %s", row.type, row.pr_id, reason)
            self._settle(row, Later(reason), tally, owner)

    def _settle(
        self, row: OutboxRow, outcome: Done | Later | Refused | Held, tally: Tally, owner: str
    ) -> None:
        now = self._now()
        if isinstance(outcome, Held):
            tally.held += 1
            tally.note(row, outcome.reason)
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
            tally.done += 1
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
            tally.refused += 1
            tally.note(row, outcome.reason)
        elif row.attempts + 1 >= ATTEMPTS:
            tally.given_up += 1
            tally.note(row, outcome.reason)
            self._store.settle(row.outbox_id, "DEAD", now, error=outcome.reason)
        else:
            tally.later += 1
            tally.note(row, outcome.reason)
            pause = _FIRST_PAUSE * 2**row.attempts if outcome.after is None else outcome.after
            self._store.postpone(row.outbox_id, now + pause, outcome.reason, owner=owner)


def _failed(row: OutboxRow, outcome: Refused, now: datetime) -> list[Report]:
    """The machine is to know of every deed that failed for good."""
    told = {report.seen.name for report in outcome.reports if isinstance(report.seen, Ack)}
    if row.kind != "ALMA_ACTION" or told & {AckName.ACTION_FAILED, AckName.SUPPLIER_LOAN_FAILED}:
        return []
    return [Report(Ack(AckName.ACTION_FAILED, Moment.at(now), action=ActionType(row.type)), "ACK")]
