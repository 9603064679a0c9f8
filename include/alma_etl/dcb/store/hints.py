"""Webhooks as hints: what Alma calls out to us is kept, and makes us look; the look decides.

Only how a hold ended (canceled or closed) is kept as evidence, because no read shows it. Nothing about the user in
the message is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Select, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's as well

from alma_etl.dcb.machine.vocabulary import Closure
from alma_etl.dcb.store import requests
from alma_etl.store.dcb_models import hint_table, leg_table, request_table

_CLOSURES = {"REQUEST_CANCELED": Closure.CANCELED, "REQUEST_CLOSED": Closure.COMPLETED}
_t = hint_table.c


@dataclass(frozen=True, slots=True)
class Hint:
    """``event``: Alma's code, such as LOAN_RETURNED."""

    hint_id: str
    system_code: str
    event: str
    request_id: str | None = None
    item_pid: str | None = None


def keep(connection: Connection, hint: Hint, now: datetime) -> bool:
    """Keep a hint; False when it came before."""
    kept = connection.execute(
        insert(hint_table)
        .values(
            hint_id=hint.hint_id,
            system_code=hint.system_code,
            event=hint.event,
            request_id=hint.request_id,
            item_pid=hint.item_pid,
            received_at=now,
        )
        .on_conflict_do_nothing()
        .returning(_t.hint_id)
    )
    return kept.first() is not None


def follow(connection: Connection, now: datetime, limit: int = 1000) -> int:
    """Nudge the requests that the hints are about; how many were nudged. Hints about others are only ticked off."""
    query = select(hint_table).where(_t.handled_at.is_(None)).order_by(_t.received_at).limit(limit)
    rows = connection.execute(query.with_for_update(skip_locked=True)).all()
    about: set[str] = set()
    for row in rows:
        about |= set(
            requests.find_by_ids(
                connection, row.system_code, request_id=row.request_id, item_pid=row.item_pid
            )
        )
    nudged = requests.nudge(connection, about, now)  # first: whoever changes a side has locked its request
    for row in rows:
        closure = _CLOSURES.get(row.event)
        if closure and row.request_id:
            connection.execute(
                update(leg_table)
                .where(leg_table.c.system_code == row.system_code, leg_table.c.request_id == row.request_id)
                .where(leg_table.c.is_open, leg_table.c.pr_id.in_(_tracked_by(row.received_at)))
                .values(closure_hint=closure)
            )
        connection.execute(update(hint_table).where(_t.hint_id == row.hint_id).values(handled_at=now))
    return nudged


def _tracked_by(received_at: datetime) -> Select[tuple[str]]:
    """Requests that a message of then can be about: a later one may have the id of an earlier one's hold."""
    return select(request_table.c.pr_id).where(request_table.c.created_at <= received_at)
