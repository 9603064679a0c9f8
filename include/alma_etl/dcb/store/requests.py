"""Requests and their sides: track, find, lease, nudge; hints of webhooks, which nudge; and what polling may call.

A webhook is a hint: it makes us look, and the look decides. Only that a hold was canceled is kept of it as
evidence, because no read shows it ("closed" does not say how it ended); nothing about the user in the message is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, func, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's as well

from alma_etl.dcb.machine.model import State
from alma_etl.dcb.machine.vocabulary import Closure, Role, Status, Workflow
from alma_etl.dcb.plan import PRIORITY
from alma_etl.dcb.store.rows import Hint, HoldTaken, LegRecord, NewRequest, Tracked
from alma_etl.dcb.store.tables import DcbTables
from alma_etl.store.dcb_models import calls_table, hint_table, leg_table, request_table

LEASE = timedelta(minutes=10)

_r, _l, _h, _c = request_table.c, leg_table.c, hint_table.c, calls_table.c
_PRIORITY = case({status.value: rank for status, rank in PRIORITY.items()}, value=_r.status, else_=9)
_CLOSURES = {"REQUEST_CANCELED": Closure.CANCELED}
_LEG_COLUMNS = tuple(each.name for each in fields(LegRecord))
_MADE = (
    "system_code",
    "system_kind",
    "user_id",
    "request_id",
    "mms_id",
    "holding_id",
    "item_pid",
    "barcode",
    "txn_id",
    "pickup_library",
    "pickup_desk",
    "is_virtual",
)
"""What placing a side settles; the rest of a side comes from reading it."""


class RequestStore(DcbTables):
    """The part of `DcbStore` that keeps requests and decides whose turn it is."""

    def add(self, new: NewRequest, now: datetime) -> bool:
        """Track a request; False when it is tracked already (whatever its status), which changes nothing.

        Raises HoldTaken when another open request has one of its holds.
        """
        state = State(workflow=new.workflow)
        statement = insert(request_table).values(
            pr_id=new.pr_id,
            workflow=new.workflow,
            status=state.status,
            seq=0,
            steps=0,
            last_ord=0,
            version=0,
            status_since=now,
            next_poll_at=now,
            poll_repeat=0,
            nudged=False,
            nudges=0,
            flags=[],
            standing=[],
            needs_attention=False,
            state=state.to_json(),
            conf=dict(new.conf),
            owner=new.owner,
            thinned=False,
            created_at=now,
            updated_at=now,
        )
        with self._transaction():
            if not self._rows(statement.on_conflict_do_nothing().returning(_r.pr_id)):
                return False
            for leg in new.legs:
                self._put_leg(new.pr_id, leg)
        return True

    def get(self, pr_id: str) -> Tracked | None:
        """A request as it stands, or None."""
        return self.get_many([pr_id]).get(pr_id)

    def get_many(self, pr_ids: Sequence[str]) -> dict[str, Tracked]:
        """Those of the requests that are tracked."""
        with self._transaction():
            return self._found(select(request_table).where(_r.pr_id.in_(pr_ids)).order_by(_r.pr_id))

    def _locked(self, pr_id: str) -> Tracked | None:
        """A request that nobody else changes until the transaction ends."""
        return self._found(select(request_table).where(_r.pr_id == pr_id).with_for_update()).get(pr_id)

    def _found(self, query: Select[Any]) -> dict[str, Tracked]:
        rows = self._rows(query)
        legs = self._legs_of([row.pr_id for row in rows])
        return {row.pr_id: _tracked(row, legs[row.pr_id]) for row in rows}

    def _in_order(self, pr_ids: Sequence[str]) -> list[Tracked]:
        found: dict[str, Tracked] = {}
        for part in _parts(pr_ids):
            found |= self.get_many(part)
        return [found[pr_id] for pr_id in pr_ids]

    def _ids(self, query: Select[Any]) -> list[str]:
        return [row[0] for row in self._rows(query)]

    def list_by(
        self,
        *,
        statuses: Sequence[Status] | None = None,
        attention: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Tracked]:
        """Requests for the board: those that need attention first, then the longest in their status."""
        query = select(_r.pr_id)
        if statuses is not None:
            query = query.where(_r.status.in_(statuses))
        if attention:
            query = query.where(_r.needs_attention)
        query = query.order_by(_r.needs_attention.desc(), _r.status_since, _r.pr_id)
        with self._transaction():
            return self._in_order(self._ids(query.limit(limit).offset(offset)))

    def is_ours(self, system_code: str, *, request_id: str | None, item_pid: str | None) -> bool:
        """Whether an open request has a side with this hold or this item in a system."""
        return bool(self._find_by_ids(system_code, request_id, item_pid))

    def _find_by_ids(self, system_code: str, request_id: str | None, item_pid: str | None) -> set[str]:
        """Only open ones: Alma may give ids of ended ones again."""
        matches = [
            column == value
            for column, value in ((_l.request_id, request_id), (_l.item_pid, item_pid))
            if value
        ]
        if not matches:
            return set()
        query = select(_l.pr_id).where(_l.system_code == system_code, _l.is_open, or_(*matches))
        return set(self._ids(query))

    # --- sides

    def _put_leg(self, pr_id: str, leg: LegRecord, *, add: bool = False) -> None:
        """Set the ids that placing a side made (of that generation); it may be new. ``add``: those not given stay.

        What was read of a side stays: health, loan, and how its hold ended. Raises HoldTaken when another open
        request has the hold.
        """
        other = self._owner_of(pr_id, leg)
        if other is not None:
            raise HoldTaken(leg, other)
        statement = insert(leg_table).values({name: getattr(leg, name) for name in _LEG_COLUMNS})
        statement = statement.values(pr_id=pr_id, is_open=True)
        new = statement.excluded
        given: dict[str, ColumnElement[Any]] = {
            name: new[name] for name in _MADE if not add or getattr(leg, name) is not None
        }
        # Another hold: the end of the one before does not concern it.
        same = func.coalesce(_l.request_id, "") == func.coalesce(new.request_id, _l.request_id, "")
        given["closure_hint"] = case((same, _l.closure_hint), else_=null())
        self._write(
            statement.on_conflict_do_update(index_elements=["pr_id", "role", "generation"], set_=given)
        )
        self._write(
            update(leg_table)
            .where(_l.pr_id == pr_id, _l.role == leg.role, _l.generation < leg.generation)
            .values(is_open=False)
        )

    def _owner_of(self, pr_id: str, leg: LegRecord) -> str | None:
        """Another open request with this hold."""
        if leg.request_id is None:
            return None
        query = select(_l.pr_id).where(
            _l.system_code == leg.system_code, _l.request_id == leg.request_id, _l.is_open, _l.pr_id != pr_id
        )
        return next(iter(self._ids(query)), None)

    def _close_legs(self, pr_id: str) -> None:
        """The request has ended: Alma may give the ids of its holds again."""
        self._write(update(leg_table).where(_l.pr_id == pr_id).values(is_open=False))

    def _legs_of(self, pr_ids: Sequence[str]) -> Mapping[str, dict[Role, LegRecord]]:
        """The present side of each role: that of the latest generation."""
        legs: dict[str, dict[Role, LegRecord]] = defaultdict(dict)
        for row in self._rows(select(leg_table).where(_l.pr_id.in_(pr_ids)).order_by(_l.generation)):
            leg = leg_record(row)
            legs[row.pr_id][leg.role] = leg
        return legs

    # --- whose turn it is

    def lease_due(self, now: datetime, limit: int, owner: str, lease: timedelta = LEASE) -> list[Tracked]:
        """Up to ``limit`` requests whose time has come, the most urgent first; nobody else gets them for ``lease``.

        A lease that ran out, because its owner was killed, is free again; the owner itself, restarted, gets its own
        back.
        """
        with self._transaction():
            pr_ids = self._ids(_due(now, limit, owner).with_for_update(skip_locked=True))
            for part in _parts(pr_ids):
                self._write(
                    update(request_table)
                    .where(_r.pr_id.in_(part))
                    .values(lease_owner=owner, lease_until=now + lease)
                )
            return self._in_order(pr_ids)

    def find_due(self, now: datetime, limit: int) -> list[Tracked]:
        """What `lease_due` would give, without taking it."""
        with self._transaction():
            return self._in_order(self._ids(_due(now, limit, None)))

    def put_off(self, pr_id: str, until: datetime | None, owner: str, *, nudges: int | None = None) -> None:
        """Nothing of the request could be read or need be: look again then, and give its lease back.

        ``nudges``: how many were seen, all if not given; after a later one it stays due.
        """
        query = update(request_table).where(_r.pr_id == pr_id)
        if nudges is not None:
            query = query.where(_r.nudges == nudges)
        with self._transaction():
            self._write(query.values(next_poll_at=until, poll_repeat=_r.poll_repeat + 1, nudged=False))
            self.release([pr_id], owner)

    def _back_off(self, pr_id: str, until: datetime) -> None:
        """What was seen could not be taken in: look again ``until`` then, at everything if that was asked for."""
        self._write(
            update(request_table)
            .where(_r.pr_id == pr_id, _r.next_poll_at.is_not(None))
            .values(next_poll_at=until)
        )

    def wait(self, pr_ids: Sequence[str], until: datetime) -> None:
        """What could not be read now lets others go first until then; nothing else changes, and no look is counted."""
        with self._transaction():
            for part in _parts(pr_ids):
                self._lock(part)
                self._write(
                    update(request_table)
                    .where(_r.pr_id.in_(part), _r.next_poll_at < until)
                    .values(next_poll_at=until)
                )

    def release(self, pr_ids: Sequence[str], owner: str) -> None:
        """Give leases back unused; the requests stay due."""
        with self._transaction():
            for part in _parts(pr_ids):
                self._lock(part)
                self._write(
                    update(request_table)
                    .where(_r.pr_id.in_(part), _r.lease_owner == owner)
                    .values(lease_owner=None, lease_until=None)
                )

    def nudge(self, pr_ids: Iterable[str], now: datetime) -> int:
        """Look at these at once and at everything; how many of them are polled at all."""
        count = 0
        with self._transaction():
            for part in _parts(sorted(set(pr_ids))):
                self._lock(part)
                count += self._write(
                    update(request_table)
                    .where(_r.pr_id.in_(part), _r.next_poll_at.is_not(None))
                    .values(next_poll_at=now, poll_repeat=0, nudged=True, nudges=_r.nudges + 1)
                )
        return count

    def _lock(self, pr_ids: Sequence[str]) -> None:
        """Lock requests in one order for all, so that two who change the same ones wait instead of blocking each
        other."""
        self._rows(select(_r.pr_id).where(_r.pr_id.in_(pr_ids)).order_by(_r.pr_id).with_for_update())

    # --- hints

    def keep_hint(self, hint: Hint, now: datetime) -> bool:
        """Keep a webhook's hint; False when it came before."""
        statement = insert(hint_table).values(
            hint_id=hint.hint_id,
            system_code=hint.system_code,
            event=hint.event,
            request_id=hint.request_id,
            item_pid=hint.item_pid,
            received_at=now,
        )
        return bool(self._rows(statement.on_conflict_do_nothing().returning(_h.hint_id)))

    def follow_hints(self, now: datetime) -> int:
        """Nudge the requests that up to 1,000 hints are about; how many were nudged. Hints about others are only
        ticked off."""
        query = select(hint_table).where(_h.handled_at.is_(None)).order_by(_h.received_at).limit(1000)
        with self._transaction():
            rows = self._rows(query.with_for_update(skip_locked=True))
            about: set[str] = set()
            for row in rows:
                about |= self._find_by_ids(row.system_code, row.request_id, row.item_pid)
            nudged = self.nudge(about, now)  # first: whoever changes a side has locked its request
            for row in rows:
                closure = _CLOSURES.get(row.event)
                if closure and row.request_id:
                    self._write(
                        update(leg_table)
                        .where(_l.system_code == row.system_code, _l.request_id == row.request_id)
                        .where(_l.is_open, _l.pr_id.in_(_tracked_by(row.received_at)))
                        .values(closure_hint=closure)
                    )
                self._write(update(hint_table).where(_h.hint_id == row.hint_id).values(handled_at=now))
        return nudged

    # --- the day's calls, over all ticks, tasks and hosts

    def count_calls(self, day: date, budget: str, made: int) -> None:
        """Polling has made further calls at the expense of a budget (a connection)."""
        row = insert(calls_table).values(day=day, budget=budget, calls=0)
        with self._transaction():
            self._write(row.on_conflict_do_nothing())
            self._write(
                update(calls_table).where(_c.day == day, _c.budget == budget).values(calls=_c.calls + made)
            )

    def calls_of(self, day: date) -> dict[str, int]:
        """The calls that polling has made on a day (UTC), by budget."""
        return {row.budget: row.calls for row in self._rows(select(_c.budget, _c.calls).where(_c.day == day))}


def leg_record(row: Row[Any]) -> LegRecord:
    """A row of the table of sides."""
    values: dict[str, Any] = {name: getattr(row, name) for name in _LEG_COLUMNS}
    return LegRecord(**values | {"role": Role(row.role)})


def _due(now: datetime, limit: int, owner: str | None) -> Select[Any]:
    free = or_(_r.lease_until.is_(None), _r.lease_until <= now, _r.lease_owner == owner)
    return (
        select(_r.pr_id)
        .where(_r.next_poll_at <= now, free)
        .order_by(_r.nudged.desc(), _PRIORITY, _r.next_poll_at, _r.pr_id)
        .limit(limit)
    )


def _tracked_by(received_at: datetime) -> Select[tuple[str]]:
    """Requests that a message of then can be about: a later one may have the id of an earlier one's hold."""
    return select(_r.pr_id).where(_r.created_at <= received_at)


def _tracked(row: Row[Any], legs: Mapping[Role, LegRecord]) -> Tracked:
    values: dict[str, Any] = {
        each.name: getattr(row, each.name) for each in fields(Tracked) if each.name != "legs"
    }
    return Tracked(
        **values
        | {
            "workflow": Workflow(row.workflow),
            "status": Status(row.status),
            "state": State.from_json(row.state),
            "legs": legs,
        }
    )


def _parts(pr_ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (pr_ids[start : start + 500] for start in range(0, len(pr_ids), 500))
