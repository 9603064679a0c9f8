"""`DcbStore`: the door to the DCB tables. One method, one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, datetime, timedelta
from uuid import uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from alma_etl.dcb.machine.vocabulary import Status
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import (
    alerts,
    applying,
    calls,
    hints,
    history,
    outbox,
    progress,
    requests,
    retention,
)
from alma_etl.dcb.store.overview import Overview
from alma_etl.dcb.store.rows import (
    Alert,
    Applied,
    LegRecord,
    NewRequest,
    OutboxKind,
    OutboxRow,
    OutboxState,
    Report,
    Tracked,
)
from alma_etl.store.db import open_engine, parse_url, store_problem
from alma_etl.store.locks import Lock, LockBusy, Locks, open_locks

LEASE = timedelta(minutes=10)


def _worker(owner: str) -> str:
    return f"dcb_worker:{owner}"


def _living(stack: ExitStack, locks: Locks, name: str) -> tuple[str, Lock]:
    """An owner of this name, and its lock, which is held until the stack ends."""
    while True:
        owner = f"{name}/{uuid4().hex[:12]}"
        with suppress(LockBusy):  # by chance another's lock lies in the same file
            return owner, stack.enter_context(locks.hold(_worker(owner)))


class DcbStore(Overview):
    """The DCB tables of the state store at ``url``, upgraded beforehand. Close it when done, or use ``with``.

    Safe for several threads, processes and hosts at once. ``now`` is given by the caller, with its zone. Every
    method raises StoreUnavailable, one sentence, when the store cannot be reached; StoreRefused when it does not take
    a statement, StoreConflict where another was quicker.
    """

    def __init__(self, url: str) -> None:
        self._url = parse_url(url)
        self._engine = open_engine(self._url)

    def __enter__(self) -> DcbStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as problem:
            raise store_problem(problem, self._url, "for DCB") from problem

    # --- requests

    def add(self, new: NewRequest, now: datetime) -> bool:
        """Track a request; False when it is tracked already, which changes nothing."""
        with self._transaction() as connection:
            return requests.add(connection, new, now)

    def get(self, pr_id: str) -> Tracked | None:
        """A request as it stands, or None."""
        with self._transaction() as connection:
            return requests.find(connection, [pr_id]).get(pr_id)

    def get_many(self, pr_ids: Sequence[str]) -> dict[str, Tracked]:
        """Those of the requests that are tracked."""
        with self._transaction() as connection:
            return requests.find(connection, pr_ids)

    def list_by(
        self,
        *,
        statuses: Sequence[Status] | None = None,
        attention: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Tracked]:
        """Requests for the board: those that need attention first, then the longest in their status."""
        with self._transaction() as connection:
            return requests.list_by(
                connection, statuses=statuses, attention=attention, limit=limit, offset=offset
            )

    def lease_due(self, now: datetime, limit: int, owner: str, lease: timedelta = LEASE) -> list[Tracked]:
        """Requests whose time has come, the most urgent first, for ``owner`` alone as long as the lease lasts."""
        with self._transaction() as connection:
            return requests.lease_due(connection, now, limit, owner, lease)

    def find_due(self, now: datetime, limit: int) -> list[Tracked]:
        """What `lease_due` would give, without taking it."""
        with self._transaction() as connection:
            return requests.find_due(connection, now, limit)

    def put_off(self, pr_id: str, until: datetime | None, owner: str, *, nudges: int | None = None) -> None:
        """Nothing of the request could be read or need be: look again then, and give its lease back.

        ``nudges``: how many were seen, all if not given; after a later one it stays due.
        """
        with self._transaction() as connection:
            requests.put_off(connection, pr_id, until, nudges)
            requests.release(connection, [pr_id], owner)

    def note_failed_step(self, pr_id: str, error: str, now: datetime, owner: str | None = None) -> datetime:
        """A step failed by our fault: an alert, and until when the request waits; its lease is given back."""
        with self._transaction() as connection:
            until = applying.note_failed_step(connection, pr_id, error, now)
            if owner is not None:
                requests.release(connection, [pr_id], owner)
            return until

    def wait(self, pr_ids: Sequence[str], until: datetime) -> None:
        """What could not be read now lets others go first until then; nothing else of it changes."""
        with self._transaction() as connection:
            requests.wait(connection, pr_ids, until)

    def release(self, pr_ids: Sequence[str], owner: str) -> None:
        """Give leases back unused."""
        with self._transaction() as connection:
            requests.release(connection, pr_ids, owner)

    def nudge(self, pr_ids: Iterable[str], now: datetime) -> int:
        """Look at these at once and at everything; how many of them are polled at all."""
        with self._transaction() as connection:
            return requests.nudge(connection, pr_ids, now)

    def apply(
        self,
        pr_id: str,
        reports: Sequence[Report],
        *,
        settings: DcbSettings,
        now: datetime,
        legs: Sequence[LegRecord] = (),
        run_id: str | None = None,
        actor: str | None = None,
        owner: str | None = None,
        nudges: int | None = None,
    ) -> Applied:
        """One step of the machine with all that follows; see `applying.apply`. Safe to repeat."""
        with self._transaction() as connection:
            return applying.apply(
                connection,
                pr_id,
                reports,
                settings=settings,
                now=now,
                legs=legs,
                run_id=run_id,
                actor=actor,
                owner=owner,
                nudges=nudges,
            )

    def history(self, pr_id: str) -> history.History:
        """What happened to a request, in order."""
        with self._transaction() as connection:
            return history.history_of(connection, pr_id)

    # --- outbox

    def lease_outbox(
        self,
        kind: OutboxKind,
        now: datetime,
        limit: int,
        owner: str,
        lease: timedelta = LEASE,
        *,
        target: str | None = None,
    ) -> list[OutboxRow]:
        """Events or deeds whose turn it is, each request's in order; overtaken deeds are dropped."""
        with self._transaction() as connection:
            return outbox.lease(connection, kind, now, limit, owner, lease, target=target)

    def settle(self, outbox_id: str, state: OutboxState, now: datetime, *, error: str | None = None) -> bool:
        """An event was delivered, refused for good, superseded or given up; False when it was settled before."""
        with self._transaction() as connection:
            return outbox.settle(connection, outbox_id, state, now, error=error)

    def settle_action(
        self,
        row: OutboxRow,
        state: OutboxState,
        reports: Sequence[Report],
        *,
        settings: DcbSettings,
        now: datetime,
        legs: Sequence[LegRecord] = (),
        run_id: str | None = None,
        error: str | None = None,
    ) -> Applied | None:
        """A deed was done or refused for good: mark it and take what came of it, both or neither.

        None when somebody else settled it before, or nothing came of it that the machine should know.
        """
        with self._transaction() as connection:
            if not outbox.settle(connection, row.outbox_id, state, now, error=error) or not reports:
                return None
            return applying.apply(
                connection, row.pr_id, reports, settings=settings, now=now, legs=legs, run_id=run_id
            )

    def postpone(self, outbox_id: str, until: datetime, error: str, *, owner: str | None = None) -> None:
        """Try a row again later; with ``owner`` only where it still has the lease."""
        with self._transaction() as connection:
            outbox.postpone(connection, outbox_id, until, error, owner)

    @contextmanager
    def working(self, name: str) -> Iterator[tuple[str, Lock]]:
        """The owner of the leases of one worker: no other has its name, and a lock says whether it lives, which the
        worker checks before each action.

        What a worker of the same name left leased is free at once when that one is dead; one that is only taken for
        dead keeps it until its leases end.
        """
        url = self._url.render_as_string(hide_password=False)
        with ExitStack() as stack:
            locks = stack.enter_context(open_locks(url, patience=0))
            with self._transaction() as connection:
                before = outbox.owners(connection, name)
            for each in before:  # before its own lock is taken, which may lie in the file of a dead one's
                with suppress(LockBusy), locks.hold(_worker(each)):
                    self.release_outbox(each)
            owner, lock = _living(stack, locks, name)
            try:
                yield owner, lock
            finally:
                self.release_outbox(owner)

    def release_outbox(self, owner: str) -> None:
        """Give the leases of an owner on outbox rows back."""
        with self._transaction() as connection:
            outbox.release(connection, owner)

    def count_open(self, kind: OutboxKind) -> dict[str, int]:
        """Rows that wait or were given up, by target."""
        with self._transaction() as connection:
            return outbox.count_open(connection, kind)

    def revive(self, outbox_id: str, now: datetime) -> bool:
        """Somebody wants a row that was given up or refused to be tried once more."""
        with self._transaction() as connection:
            return outbox.revive(connection, outbox_id, now)

    def revive_of(self, pr_id: str, now: datetime) -> list[str]:
        """Try everything of a request once more that was given up or refused and is still wanted; the types."""
        with self._transaction() as connection:
            return outbox.revive_of(connection, pr_id, now)

    # --- ticks

    def changes_since(self, since: datetime) -> list[progress.Change]:
        """The changes of status recorded from then on, by request."""
        with self._transaction() as connection:
            return progress.changes_since(connection, since)

    def settled_since(self, since: datetime) -> list[progress.Settled]:
        """The outbox rows settled from then on, counted."""
        with self._transaction() as connection:
            return progress.settled_since(connection, since)

    def count_calls(self, day: date, budget: str, made: int) -> None:
        """Polling has made further calls at the expense of a budget (a connection)."""
        with self._transaction() as connection:
            calls.count(connection, day, budget, made)

    def calls_of(self, day: date) -> dict[str, int]:
        """The calls that polling has made on a day (UTC), by budget."""
        with self._transaction() as connection:
            return calls.of_day(connection, day)

    # --- alerts, hints, retention

    def open_alert(self, alert: Alert, now: datetime) -> bool:
        """A condition holds; True when it is news."""
        with self._transaction() as connection:
            return alerts.open_alert(connection, alert, now)

    def close_alert(self, key: str, now: datetime, *, looked_at: datetime | None = None) -> None:
        """A condition is over; see `alerts.close_alert`."""
        with self._transaction() as connection:
            alerts.close_alert(connection, key, now, looked_at=looked_at)

    def acknowledge(self, key: str, who: str) -> bool:
        """Somebody has taken note."""
        with self._transaction() as connection:
            return alerts.acknowledge(connection, key, who)

    def open_alerts(self, *, pr_id: str | None = None) -> list[Alert]:
        """What is open, the oldest first."""
        with self._transaction() as connection:
            return alerts.open_alerts(connection, pr_id=pr_id)

    def keep_hint(self, hint: hints.Hint, now: datetime) -> bool:
        """Keep a webhook's hint; False when it came before."""
        with self._transaction() as connection:
            return hints.keep(connection, hint, now)

    def follow_hints(self, now: datetime) -> int:
        """Nudge the requests that hints are about; how many."""
        with self._transaction() as connection:
            return hints.follow(connection, now)

    def thin_out(self, settings: DcbSettings, now: datetime) -> retention.Thinned:
        """Drop what is past its time."""
        with self._transaction() as connection:
            return retention.thin_out(connection, settings, now)
