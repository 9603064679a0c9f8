"""Requests and their sides: track, find, lease, nudge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's as well

from alma_etl.dcb.machine.model import State
from alma_etl.dcb.machine.vocabulary import Role, Status, Workflow
from alma_etl.dcb.plan import PRIORITY
from alma_etl.dcb.store.rows import LegRecord, NewRequest, Tracked
from alma_etl.store.dcb_models import leg_table, request_table

_PRIORITY = case(
    {status.value: rank for status, rank in PRIORITY.items()}, value=request_table.c.status, else_=9
)
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


class HoldTaken(Exception):
    """Another open request has this hold; the message names both."""

    def __init__(self, leg: LegRecord, other: str) -> None:
        super().__init__(
            f"the hold {leg.request_id} of {leg.system_code} is that of the open request {other}: end that one "
            f"(python -m alma_etl.dcb operator URL {other} cleanup --by LOGIN) if Alma has given its id again"
        )


def add(connection: Connection, new: NewRequest, now: datetime) -> bool:
    """Track a request; False when it is tracked already (whatever its status), which changes nothing.

    Raises HoldTaken when another open request has one of its holds.
    """
    state = State(workflow=new.workflow)
    kept = connection.execute(
        insert(request_table)
        .values(
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
            thinned=False,
            created_at=now,
            updated_at=now,
        )
        .on_conflict_do_nothing()
        .returning(request_table.c.pr_id)
    )
    if kept.first() is None:
        return False
    for leg in new.legs:
        put_leg(connection, new.pr_id, leg)
    return True


def put_leg(connection: Connection, pr_id: str, leg: LegRecord, *, add: bool = False) -> None:
    """Set the ids that placing a side made (of that generation); it may be new. ``add``: those not given stay.

    What was read of a side stays: health, loan, and how its hold ended. Raises HoldTaken when another open request
    has the hold.
    """
    other = _owner_of(connection, pr_id, leg)
    if other is not None:
        raise HoldTaken(leg, other)
    table = leg_table.c
    statement = insert(leg_table).values({name: getattr(leg, name) for name in _LEG_COLUMNS})
    statement = statement.values(pr_id=pr_id, is_open=True)
    new = statement.excluded
    given: dict[str, ColumnElement[Any]] = {
        name: new[name] for name in _MADE if not add or getattr(leg, name) is not None
    }
    # Another hold: the end of the one before does not concern it.
    same = func.coalesce(table.request_id, "") == func.coalesce(new.request_id, table.request_id, "")
    given["closure_hint"] = case((same, table.closure_hint), else_=null())
    connection.execute(
        statement.on_conflict_do_update(index_elements=["pr_id", "role", "generation"], set_=given)
    )
    connection.execute(
        update(leg_table)
        .where(table.pr_id == pr_id, table.role == leg.role, table.generation < leg.generation)
        .values(is_open=False)
    )


def _owner_of(connection: Connection, pr_id: str, leg: LegRecord) -> str | None:
    """Another open request with this hold."""
    if leg.request_id is None:
        return None
    table = leg_table.c
    query = select(table.pr_id).where(
        table.system_code == leg.system_code,
        table.request_id == leg.request_id,
        table.is_open,
        table.pr_id != pr_id,
    )
    owner: str | None = connection.execute(query).scalar()
    return owner


def close_legs(connection: Connection, pr_id: str) -> None:
    """The request has ended: Alma may give the ids of its holds again."""
    connection.execute(update(leg_table).where(leg_table.c.pr_id == pr_id).values(is_open=False))


def find(connection: Connection, pr_ids: Sequence[str], *, lock: bool = False) -> dict[str, Tracked]:
    """Those of the requests that are tracked. ``lock``: nobody else changes them until the transaction ends."""
    query = select(request_table).where(request_table.c.pr_id.in_(pr_ids)).order_by(request_table.c.pr_id)
    rows = connection.execute(query.with_for_update() if lock else query).all()
    legs = _legs_of(connection, [row.pr_id for row in rows])
    return {row.pr_id: _tracked(row, legs[row.pr_id]) for row in rows}


def lease_due(
    connection: Connection, now: datetime, limit: int, owner: str, lease: timedelta
) -> list[Tracked]:
    """Up to ``limit`` requests whose time has come, the most urgent first; nobody else gets them for ``lease``.

    A lease that ran out, because its owner was killed, is free again; the owner itself, begun anew, gets its own back.
    """
    table = request_table.c
    query = _due(now, limit, owner).with_for_update(skip_locked=True)
    pr_ids: list[str] = list(connection.execute(query).scalars())
    for part in _parts(pr_ids):
        connection.execute(
            update(request_table)
            .where(table.pr_id.in_(part))
            .values(lease_owner=owner, lease_until=now + lease)
        )
    found: dict[str, Tracked] = {}
    for part in _parts(pr_ids):
        found |= find(connection, part)
    return [found[pr_id] for pr_id in pr_ids]


def find_due(connection: Connection, now: datetime, limit: int) -> list[Tracked]:
    """What `lease_due` would give, without taking it."""
    pr_ids: list[str] = list(connection.execute(_due(now, limit, None)).scalars())
    found: dict[str, Tracked] = {}
    for part in _parts(pr_ids):
        found |= find(connection, part)
    return [found[pr_id] for pr_id in pr_ids]


def _due(now: datetime, limit: int, owner: str | None) -> Select[Any]:
    table = request_table.c
    free = or_(table.lease_until.is_(None), table.lease_until <= now, table.lease_owner == owner)
    return (
        select(table.pr_id)
        .where(table.next_poll_at <= now, free)
        .order_by(table.nudged.desc(), _PRIORITY, table.next_poll_at, table.pr_id)
        .limit(limit)
    )


def put_off(connection: Connection, pr_id: str, until: datetime | None, nudges: int | None) -> None:
    """There was nothing to read: look again ``until`` then, unless a nudge came that was not seen."""
    table = request_table.c
    query = update(request_table).where(table.pr_id == pr_id)
    if nudges is not None:
        query = query.where(table.nudges == nudges)
    connection.execute(query.values(next_poll_at=until, poll_repeat=table.poll_repeat + 1, nudged=False))


def back_off(connection: Connection, pr_id: str, until: datetime) -> None:
    """What was seen could not be taken in: look again ``until`` then, at everything if that was asked for."""
    table = request_table.c
    connection.execute(
        update(request_table)
        .where(table.pr_id == pr_id, table.next_poll_at.is_not(None))
        .values(next_poll_at=until)
    )


def wait(connection: Connection, pr_ids: Sequence[str], until: datetime) -> None:
    """Their turn comes again ``until`` then, not before; nothing else changes, and no look is counted."""
    for part in _parts(pr_ids):
        _lock(connection, part)
        connection.execute(
            update(request_table)
            .where(request_table.c.pr_id.in_(part), request_table.c.next_poll_at < until)
            .values(next_poll_at=until)
        )


def release(connection: Connection, pr_ids: Sequence[str], owner: str) -> None:
    """Give leases back that were not used; the requests stay due."""
    for part in _parts(pr_ids):
        _lock(connection, part)
        connection.execute(
            update(request_table)
            .where(request_table.c.pr_id.in_(part), request_table.c.lease_owner == owner)
            .values(lease_owner=None, lease_until=None)
        )


def nudge(connection: Connection, pr_ids: Iterable[str], now: datetime) -> int:
    """Look at these requests at once and at everything; how many are polled at all."""
    table, count = request_table.c, 0
    for part in _parts(sorted(set(pr_ids))):
        _lock(connection, part)
        changed = connection.execute(
            update(request_table)
            .where(table.pr_id.in_(part), table.next_poll_at.is_not(None))
            .values(next_poll_at=now, poll_repeat=0, nudged=True, nudges=table.nudges + 1)
        )
        count += changed.rowcount
    return count


def _lock(connection: Connection, pr_ids: Sequence[str]) -> None:
    """Lock requests in one order for all, so that two who change the same ones wait instead of blocking each other."""
    query = select(request_table.c.pr_id).where(request_table.c.pr_id.in_(pr_ids))
    connection.execute(query.order_by(request_table.c.pr_id).with_for_update())


def list_by(
    connection: Connection, *, statuses: Sequence[Status] | None, attention: bool, limit: int, offset: int
) -> list[Tracked]:
    """Requests for the board: those that need attention first, then the longest in their status."""
    table = request_table.c
    query = select(table.pr_id)
    if statuses is not None:
        query = query.where(table.status.in_(statuses))
    if attention:
        query = query.where(table.needs_attention)
    order = (table.needs_attention.desc(), table.status_since, table.pr_id)
    pr_ids = list(connection.execute(query.order_by(*order).limit(limit).offset(offset)).scalars())
    found = find(connection, pr_ids)
    return [found[pr_id] for pr_id in pr_ids]


def find_by_ids(
    connection: Connection, system_code: str, *, request_id: str | None, item_pid: str | None
) -> list[str]:
    """Open requests that have a side with this hold or this item in a system: Alma may give ids of ended ones again."""
    matches = [
        column == value
        for column, value in ((leg_table.c.request_id, request_id), (leg_table.c.item_pid, item_pid))
        if value
    ]
    if not matches:
        return []
    query = select(leg_table.c.pr_id).where(
        leg_table.c.system_code == system_code, leg_table.c.is_open, or_(*matches)
    )
    return sorted(set(connection.execute(query).scalars()))


def _legs_of(connection: Connection, pr_ids: Sequence[str]) -> Mapping[str, dict[Role, LegRecord]]:
    """The present side of each role: that of the latest generation."""
    legs: dict[str, dict[Role, LegRecord]] = defaultdict(dict)
    query = select(leg_table).where(leg_table.c.pr_id.in_(pr_ids)).order_by(leg_table.c.generation)
    for row in connection.execute(query):
        values: dict[str, Any] = {name: getattr(row, name) for name in _LEG_COLUMNS}
        values["role"] = Role(values["role"])
        legs[row.pr_id][values["role"]] = LegRecord(**values)
    return legs


def _tracked(row: Row[Any], legs: Mapping[Role, LegRecord]) -> Tracked:
    return Tracked(
        pr_id=row.pr_id,
        workflow=Workflow(row.workflow),
        status=Status(row.status),
        status_since=row.status_since,
        state=State.from_json(row.state),
        legs=legs,
        conf=row.conf,
        version=row.version,
        steps=row.steps,
        poll_repeat=row.poll_repeat,
        next_poll_at=row.next_poll_at,
        nudged=row.nudged,
        nudges=row.nudges,
        needs_attention=row.needs_attention,
        thinned=row.thinned,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _parts(pr_ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (pr_ids[start : start + 500] for start in range(0, len(pr_ids), 500))
