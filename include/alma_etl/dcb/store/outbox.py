"""What is to be published and done: kept with the step that asked for it, taken out one after the other.

Delivery is at least once. The rows of one request and target keep their order: a row waits for those before it, and
one that was given up (DEAD) blocks only its own request and target until somebody settles it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, exists, func, or_, select, update

from alma_etl.dcb.events import new_id
from alma_etl.dcb.machine.model import Action
from alma_etl.dcb.machine.step import is_wanted
from alma_etl.dcb.machine.vocabulary import ActionType, Status
from alma_etl.dcb.store.requests import LEASE, RequestStore
from alma_etl.dcb.store.rows import ALMA_TARGET, Alert, OutboxKind, OutboxRow, OutboxState, what_is_left
from alma_etl.store.dcb_models import outbox_table, request_table
from alma_etl.store.locks import Lock, LockBusy, Locks, open_locks

_t, _earlier = outbox_table.c, outbox_table.alias("earlier")
_COLUMNS = tuple(OutboxRow.__slots__)
_OPEN, _NOT_DONE = ("PENDING", "DEAD"), ("DEAD", "FAILED")


def event_row(sink: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """A row for an event and a sink, which has no place in the order yet."""
    return {
        "outbox_id": new_id(event["event_id"], "EVENT", sink),
        "seq": event["seq"],
        "kind": "EVENT",
        "target": sink,
        "type": event["type"],
        "payload": dict(event),
    }


def action_row(pr_id: str, seq: int, step: int, place: int, action: Action) -> dict[str, Any]:
    """A row for an action, which has no place in the order yet."""
    return {
        "outbox_id": new_id(pr_id, "step", step, "ALMA_ACTION", place),
        "seq": seq,
        "kind": "ALMA_ACTION",
        "target": ALMA_TARGET,
        "type": action.type,
        "payload": {"args": list(action.args)},
    }


def outbox_row(row: Row[Any]) -> OutboxRow:
    """A row of the table."""
    return OutboxRow(**{name: getattr(row, name) for name in _COLUMNS})


class OutboxStore(RequestStore):
    """The part of `DcbStore` that keeps what is to be published and done."""

    def _add_rows(self, pr_id: str, last_ord: int, rows: Sequence[dict[str, Any]], now: datetime) -> int:
        """Keep rows in their order; the number of the last."""
        waiting = {
            "pr_id": pr_id,
            "state": "PENDING",
            "attempts": 0,
            "next_attempt_at": now,
            "created_at": now,
        }
        if rows:
            numbered = [{**row, **waiting, "ord": last_ord + place} for place, row in enumerate(rows, 1)]
            self._write(outbox_table.insert(), numbered)
        return last_ord + len(rows)

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
        """Up to ``limit`` rows whose turn it is, each request's in order; nobody else gets them for ``lease``.

        Overtaken actions are dropped first.
        """
        blocked = exists().where(
            _earlier.c.pr_id == _t.pr_id,
            _earlier.c.target == _t.target,
            _earlier.c.ord < _t.ord,
            _earlier.c.state.in_(_OPEN),
        )
        query = (
            select(outbox_table)
            .where(_t.state == "PENDING", _t.kind == kind, _t.next_attempt_at <= now, ~blocked)
            .where(or_(_t.lease_until.is_(None), _t.lease_until <= now))
            .order_by(_t.next_attempt_at, _t.pr_id, _t.ord)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        if target is not None:
            query = query.where(_t.target == target)
        with self._transaction():
            if kind == "ALMA_ACTION":
                self._supersede(now)
            rows = self._rows(query)
            if rows:
                self._write(
                    update(outbox_table)
                    .where(_t.outbox_id.in_([row.outbox_id for row in rows]))
                    .values(lease_owner=owner, lease_until=now + lease)
                )
        return [outbox_row(row) for row in rows]

    def _supersede(self, now: datetime) -> None:
        """Drop actions that were overtaken: the request has left the status in which they make sense."""
        query = (
            select(_t.outbox_id, _t.type, _t.payload, request_table.c.status, request_table.c.standing)
            .join(request_table, request_table.c.pr_id == _t.pr_id)
            .where(_t.kind == "ALMA_ACTION", _t.state.in_(_OPEN))
            .where(or_(_t.lease_until.is_(None), _t.lease_until <= now))
        )
        for row in self._rows(query):
            # An action that only a newer version knows waits for it, and stops no other.
            if row.type in ActionType.__members__.values() and not _is_wanted(row):
                self.settle(row.outbox_id, "SUPERSEDED", now)

    def settle(self, outbox_id: str, state: OutboxState, now: datetime, *, error: str | None = None) -> bool:
        """Mark a row as SENT, SUPERSEDED, FAILED (refused permanently) or DEAD (given up); False when it was settled
        before.

        A row that was given up raises an alert; settling it otherwise later ends the alert.
        """
        statement = (
            update(outbox_table)
            .where(_t.outbox_id == outbox_id, _t.state.in_(_OPEN))
            .values(
                state=state,
                attempts=_t.attempts + (0 if state == "SUPERSEDED" else 1),
                last_error=error,
                lease_owner=None,
                lease_until=None,
                settled_at=None if state == "DEAD" else now,
            )
        )
        key = _stalled(outbox_id)
        with self._transaction():
            if self._write(statement) == 0:
                return False
            if state == "DEAD":
                (row,) = self._rows(select(_t.pr_id, _t.type, _t.target).where(_t.outbox_id == outbox_id))
                detail = {
                    "type": row.type,
                    "target": row.target,
                    "error": error,
                    **self._left(row.pr_id, row.type),
                }
                self.open_alert(Alert(key, "OUTBOX_STALLED", "urgent", row.pr_id, detail), now)
            else:
                self.close_alert(key, now)
        return True

    def _left(self, pr_id: str, action: str) -> dict[str, str]:
        """What a cleanup that fails may leave, for its alert."""
        if action != ActionType.CLEANUP:
            return {}
        tracked = self.get(pr_id)
        return {"left": what_is_left(tracked.legs)} if tracked is not None else {}

    def postpone(self, outbox_id: str, until: datetime, error: str, *, owner: str | None = None) -> None:
        """Try a row again later. ``owner``: only while the row is leased to it; another's is another's business."""
        query = update(outbox_table).where(_t.outbox_id == outbox_id, _t.state == "PENDING")
        if owner is not None:
            query = query.where(_t.lease_owner == owner)
        self._write(
            query.values(
                attempts=_t.attempts + 1,
                next_attempt_at=until,
                last_error=error,
                lease_owner=None,
                lease_until=None,
            )
        )

    @contextmanager
    def working(self, name: str) -> Iterator[tuple[str, Lock]]:
        """The owner of the leases of one worker: no other has its name, and a lock says whether it lives, which the
        worker checks before each action.

        What a worker of the same name left leased is free at once when that one is dead; one that is only taken for
        dead keeps it until its leases end.
        """
        url = self._url.render_as_string(hide_password=False)
        with ExitStack() as stack:
            locks = stack.enter_context(open_locks(url, timeout=0))
            for each in self._owners(
                name
            ):  # before its own lock is taken, which may lie in the file of a dead one's
                with suppress(LockBusy), locks.hold(_worker(each)):
                    self.release_outbox(each)
            owner, lock = _living(stack, locks, name)
            try:
                yield owner, lock
            finally:
                self.release_outbox(owner)

    def _owners(self, name: str) -> list[str]:
        """Who has rows leased under a name: the name itself, or ``name/`` and what identifies the worker."""
        query = select(_t.lease_owner).where(
            _t.state == "PENDING",
            or_(_t.lease_owner == name, _t.lease_owner.startswith(f"{name}/", autoescape=True)),
        )
        return sorted(set(self._ids(query)))

    def release_outbox(self, owner: str) -> None:
        """Give the leases of an owner on rows that were not tried back; they stay due."""
        self._write(
            update(outbox_table)
            .where(_t.lease_owner == owner, _t.state == "PENDING")
            .values(lease_owner=None, lease_until=None)
        )

    def count_open(self, kind: OutboxKind) -> dict[str, int]:
        """Rows of each target that still wait (PENDING) or were given up (DEAD)."""
        query = (
            select(_t.target, func.count().label("rows"))
            .where(_t.kind == kind, _t.state.in_(_OPEN))
            .group_by(_t.target)
        )
        return {row.target: row.rows for row in self._rows(query)}

    def not_done(self, pr_id: str, action: ActionType) -> list[str]:
        """The rows of an action that was refused or given up, by id; `revive` has them tried again."""
        query = (
            select(_t.outbox_id)
            .where(_t.pr_id == pr_id, _t.kind == "ALMA_ACTION", _t.type == action)
            .where(_t.state.in_(_NOT_DONE))
            .order_by(_t.ord)
        )
        return self._ids(query)

    def revive(self, outbox_id: str, now: datetime) -> bool:
        """Somebody wants a row that was given up or refused to be tried once more."""
        with self._transaction():
            changed = self._write(
                update(outbox_table)
                .where(_t.outbox_id == outbox_id, _t.state.in_(_NOT_DONE))
                .values(state="PENDING", attempts=0, next_attempt_at=now, settled_at=None)
            )
            self.close_alert(_stalled(outbox_id), now)
        return changed > 0

    def revive_of(self, pr_id: str, now: datetime) -> list[str]:
        """Try everything of a request once more that was given up or refused and is still wanted; the types, in
        order."""
        query = (
            select(
                _t.outbox_id, _t.kind, _t.type, _t.payload, request_table.c.status, request_table.c.standing
            )
            .join(request_table, request_table.c.pr_id == _t.pr_id)
            .where(_t.pr_id == pr_id, _t.state.in_(_NOT_DONE))
            .order_by(_t.ord)
        )
        with self._transaction():
            wanted = [row for row in self._rows(query) if row.kind == "EVENT" or _is_wanted(row)]
            for row in wanted:
                self.revive(row.outbox_id, now)
        return [row.type for row in wanted]


def _is_wanted(row: Row[Any]) -> bool:
    return is_wanted(ActionType(row.type), row.payload["args"], Status(row.status), row.standing)


def _stalled(outbox_id: str) -> str:
    return f"OUTBOX_STALLED:{outbox_id}"


def _worker(owner: str) -> str:
    return f"dcb_worker:{owner}"


def _living(stack: ExitStack, locks: Locks, name: str) -> tuple[str, Lock]:
    """An owner of this name, and its lock, which is held until the stack ends."""
    while True:
        owner = f"{name}/{uuid4().hex[:12]}"
        with suppress(LockBusy):  # by chance another's lock lies in the same file
            return owner, stack.enter_context(locks.hold(_worker(owner)))
