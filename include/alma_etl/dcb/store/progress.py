"""What has happened since a moment: for the report of a tick, whatever became of its tasks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from alma_etl.store.dcb_models import outbox_table, transition_table


@dataclass(frozen=True, slots=True)
class Change:
    """The way that a request went."""

    pr_id: str
    frm: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """How many rows of the outbox came to an end, of one kind, type, target and state."""

    kind: str
    type: str
    target: str
    state: str
    rows: int


def changes_since(connection: Connection, since: datetime) -> list[Change]:
    """Changes of status recorded from then on, by request."""
    t = transition_table.c
    query = select(transition_table).where(t.recorded_at >= since).order_by(t.pr_id, t.seq)
    paths: dict[str, list[str]] = defaultdict(list)
    began: dict[str, str] = {}
    for row in connection.execute(query):
        began.setdefault(row.pr_id, row.from_status)
        paths[row.pr_id].append(row.to_status)
    return [Change(pr_id, began[pr_id], tuple(path)) for pr_id, path in paths.items()]


def settled_since(connection: Connection, since: datetime) -> list[Settled]:
    """Rows settled from then on, counted."""
    t = outbox_table.c
    columns = (t.kind, t.type, t.target, t.state)
    query = select(*columns, func.count().label("rows")).where(t.settled_at >= since).group_by(*columns)
    found = connection.execute(query.order_by(*columns))
    return [Settled(row.kind, row.type, row.target, row.state, row.rows) for row in found]
