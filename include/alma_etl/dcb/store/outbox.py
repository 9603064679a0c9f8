"""What is to be told and done: kept with the step that asked for it, taken out one after the other.

Delivery is at least once. The rows of one request and target keep their order: a row waits for those before it, and
one that was given up (DEAD) blocks only its own request and target until somebody settles it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, exists, func, or_, select, update

from alma_etl.dcb.events import new_id
from alma_etl.dcb.machine.model import Action
from alma_etl.dcb.machine.step import is_wanted
from alma_etl.dcb.machine.vocabulary import ActionType, Status
from alma_etl.dcb.store import alerts
from alma_etl.dcb.store.rows import ALMA_TARGET, Alert, OutboxKind, OutboxRow, OutboxState
from alma_etl.store.dcb_models import outbox_table, request_table

_COLUMNS = tuple(OutboxRow.__slots__)
_OPEN = ("PENDING", "DEAD")


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row that has no place in the order yet."""

    outbox_id: str
    seq: int
    kind: OutboxKind
    target: str
    type: str
    payload: Mapping[str, Any]


def event_row(sink: str, event: Mapping[str, Any]) -> NewRow:
    """An event for a sink."""
    return NewRow(new_id(event["event_id"], "EVENT", sink), event["seq"], "EVENT", sink, event["type"], event)


def action_row(pr_id: str, seq: int, step: int, place: int, action: Action) -> NewRow:
    """A deed."""
    outbox_id = new_id(pr_id, "step", step, "ALMA_ACTION", place)
    return NewRow(outbox_id, seq, "ALMA_ACTION", ALMA_TARGET, action.type, {"args": list(action.args)})


def add(connection: Connection, pr_id: str, last_ord: int, rows: Sequence[NewRow], now: datetime) -> int:
    """Keep rows in their order; the number of the last."""
    if rows:
        connection.execute(
            outbox_table.insert(),
            [
                {
                    "outbox_id": row.outbox_id,
                    "pr_id": pr_id,
                    "seq": row.seq,
                    "ord": last_ord + place,
                    "kind": row.kind,
                    "target": row.target,
                    "type": row.type,
                    "payload": dict(row.payload),
                    "state": "PENDING",
                    "attempts": 0,
                    "next_attempt_at": now,
                    "created_at": now,
                }
                for place, row in enumerate(rows, 1)
            ],
        )
    return last_ord + len(rows)


def supersede(connection: Connection, now: datetime) -> int:
    """Drop deeds that were overtaken: the request has left the status in which they make sense."""
    table = outbox_table.c
    query = (
        select(table.outbox_id, table.type, table.payload, request_table.c.status)
        .join(request_table, request_table.c.pr_id == table.pr_id)
        .where(table.kind == "ALMA_ACTION", table.state.in_(_OPEN))
        .where(or_(table.lease_until.is_(None), table.lease_until <= now))
    )
    overtaken = [
        row.outbox_id
        for row in connection.execute(query)
        if _is_known(row.type)
        and not is_wanted(ActionType(row.type), row.payload["args"], Status(row.status))
    ]
    for outbox_id in overtaken:
        settle(connection, outbox_id, "SUPERSEDED", now)
    return len(overtaken)


def _is_known(action: str) -> bool:
    """Whether this version knows the action: one of a newer version waits for it, and stops no other."""
    return action in ActionType.__members__.values()


def lease(
    connection: Connection,
    kind: OutboxKind,
    now: datetime,
    limit: int,
    owner: str,
    span: timedelta,
    *,
    target: str | None = None,
) -> list[OutboxRow]:
    """Up to ``limit`` rows whose turn it is; nobody else gets them for ``span``. Overtaken deeds are dropped first."""
    if kind == "ALMA_ACTION":
        supersede(connection, now)
    table, earlier = outbox_table.c, outbox_table.alias("earlier")
    blocked = exists().where(
        earlier.c.pr_id == table.pr_id,
        earlier.c.target == table.target,
        earlier.c.ord < table.ord,
        earlier.c.state.in_(_OPEN),
    )
    query = (
        select(outbox_table)
        .where(table.state == "PENDING", table.kind == kind, table.next_attempt_at <= now, ~blocked)
        .where(or_(table.lease_until.is_(None), table.lease_until <= now))
        .order_by(table.next_attempt_at, table.pr_id, table.ord)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if target is not None:
        query = query.where(table.target == target)
    rows = connection.execute(query).all()
    if rows:
        connection.execute(
            update(outbox_table)
            .where(table.outbox_id.in_([row.outbox_id for row in rows]))
            .values(lease_owner=owner, lease_until=now + span)
        )
    return [OutboxRow(**{name: getattr(row, name) for name in _COLUMNS}) for row in rows]


def settle(
    connection: Connection, outbox_id: str, state: OutboxState, now: datetime, *, error: str | None = None
) -> bool:
    """Mark a row as SENT, SUPERSEDED, FAILED (refused for good) or DEAD (given up); False when it was settled before.

    A row that failed or was given up raises an alert; settling it otherwise later ends the alert.
    """
    table = outbox_table.c
    changed = connection.execute(
        update(outbox_table)
        .where(table.outbox_id == outbox_id, table.state.in_(_OPEN))
        .values(
            state=state,
            attempts=table.attempts + (0 if state == "SUPERSEDED" else 1),
            last_error=error,
            lease_owner=None,
            lease_until=None,
            settled_at=None if state == "DEAD" else now,
        )
    )
    if changed.rowcount == 0:
        return False
    key = f"OUTBOX_STALLED:{outbox_id}"
    if state == "DEAD":
        row = connection.execute(
            select(table.pr_id, table.type, table.target).where(table.outbox_id == outbox_id)
        ).one()
        detail = {"type": row.type, "target": row.target, "error": error}
        alerts.open_alert(connection, Alert(key, "OUTBOX_STALLED", "urgent", row.pr_id, detail), now)
    else:
        alerts.close_alert(connection, key, now)
    return True


def postpone(
    connection: Connection, outbox_id: str, until: datetime, error: str, owner: str | None = None
) -> None:
    """Try a row again later. ``owner``: only while the row is leased to it; another's is another's business."""
    table = outbox_table.c
    query = update(outbox_table).where(table.outbox_id == outbox_id, table.state == "PENDING")
    if owner is not None:
        query = query.where(table.lease_owner == owner)
    connection.execute(
        query.values(
            attempts=table.attempts + 1,
            next_attempt_at=until,
            last_error=error,
            lease_owner=None,
            lease_until=None,
        )
    )


def owners(connection: Connection, name: str) -> list[str]:
    """Who has rows leased under a name: the name itself, or ``name/`` and what identifies the worker."""
    table = outbox_table.c
    query = select(table.lease_owner).where(
        table.state == "PENDING",
        or_(table.lease_owner == name, table.lease_owner.startswith(f"{name}/", autoescape=True)),
    )
    return sorted(set(connection.execute(query).scalars()))


def release(connection: Connection, owner: str) -> None:
    """Give back the leases on rows that were not tried; they stay due."""
    table = outbox_table.c
    connection.execute(
        update(outbox_table)
        .where(table.lease_owner == owner, table.state == "PENDING")
        .values(lease_owner=None, lease_until=None)
    )


def count_open(connection: Connection, kind: OutboxKind) -> dict[str, int]:
    """Rows of each target that still wait (PENDING) or were given up (DEAD)."""
    table = outbox_table.c
    query = (
        select(table.target, func.count().label("rows"))
        .where(table.kind == kind, table.state.in_(_OPEN))
        .group_by(table.target)
    )
    return {row.target: row.rows for row in connection.execute(query)}


def revive(connection: Connection, outbox_id: str, now: datetime) -> bool:
    """Somebody wants a row that was given up or refused to be tried once more."""
    table = outbox_table.c
    changed = connection.execute(
        update(outbox_table)
        .where(table.outbox_id == outbox_id, table.state.in_(("DEAD", "FAILED")))
        .values(state="PENDING", attempts=0, next_attempt_at=now, settled_at=None)
    )
    alerts.close_alert(connection, f"OUTBOX_STALLED:{outbox_id}", now)
    return changed.rowcount > 0


def revive_of(connection: Connection, pr_id: str, now: datetime) -> list[str]:
    """Revive every row of a request that was given up or refused and is still wanted; their types, in order."""
    table = outbox_table.c
    query = (
        select(table.outbox_id, table.kind, table.type, table.payload, request_table.c.status)
        .join(request_table, request_table.c.pr_id == table.pr_id)
        .where(table.pr_id == pr_id, table.state.in_(("DEAD", "FAILED")))
        .order_by(table.ord)
    )
    revived = []
    for row in connection.execute(query).all():
        if row.kind == "EVENT" or is_wanted(ActionType(row.type), row.payload["args"], Status(row.status)):
            revive(connection, row.outbox_id, now)
            revived.append(row.type)
    return revived
