"""What is not kept for ever: observations that decided nothing, delivered rows, users' ids, and old history."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, exists, select, update

from alma_etl.dcb.machine.vocabulary import TERMINAL
from alma_etl.dcb.settings import DcbSettings
from alma_etl.store.dcb_models import (
    alert_table,
    calls_table,
    hint_table,
    leg_table,
    observation_table,
    outbox_table,
    request_table,
    transition_table,
)

HASHED = "sha256:"
"""What a user's id begins with once it was replaced."""


@dataclass(frozen=True, slots=True)
class Thinned:
    """How many rows went, and of how many requests the users' ids."""

    observations: int
    outbox: int
    hints: int
    requests: int
    anonymised: int


def thin_out(connection: Connection, settings: DcbSettings, now: datetime) -> Thinned:
    """Drop what is past its time by the settings `keep_...`.

    An observation stays as long as a transition cites it. A request that lost others can no longer be replayed,
    which `explain` says.
    """
    gone = _drop_requests(connection, now - settings.keep_history)
    cutoff = now - settings.keep_observations
    old = observation_table.c.recorded_at < cutoff
    cited = exists().where(transition_table.c.obs_id == observation_table.c.obs_id)
    affected = select(observation_table.c.pr_id).where(old, ~cited).distinct()
    connection.execute(update(request_table).where(request_table.c.pr_id.in_(affected)).values(thinned=True))
    observations = connection.execute(delete(observation_table).where(old, ~cited)).rowcount
    outbox = connection.execute(delete(outbox_table).where(outbox_table.c.settled_at < cutoff)).rowcount
    hints = connection.execute(delete(hint_table).where(hint_table.c.handled_at < cutoff)).rowcount
    connection.execute(delete(calls_table).where(calls_table.c.day < cutoff.date()))
    anonymised = _anonymise(connection, now - settings.keep_user_ids)
    return Thinned(observations, outbox, hints, gone, anonymised)


def _drop_requests(connection: Connection, before: datetime) -> int:
    table = request_table.c
    ended = select(table.pr_id).where(table.status.in_(TERMINAL), table.status_since < before)
    for each in (outbox_table, transition_table, observation_table, leg_table, alert_table):
        connection.execute(delete(each).where(each.c.pr_id.in_(ended)))
    return connection.execute(
        delete(request_table).where(table.status.in_(TERMINAL), table.status_since < before)
    ).rowcount


def _anonymise(connection: Connection, before: datetime) -> int:
    """Replace users' ids of ended requests by digests that differ from request to request."""
    table = request_table.c
    query = (
        select(table.pr_id, table.conf, leg_table.c.role, leg_table.c.generation, leg_table.c.user_id)
        .join(leg_table, leg_table.c.pr_id == table.pr_id)
        .where(table.status.in_(TERMINAL), table.status_since < before)
        .where(leg_table.c.user_id.is_not(None), ~leg_table.c.user_id.startswith(HASHED))
    )
    touched: set[str] = set()
    for row in connection.execute(query).all():
        connection.execute(
            update(leg_table)
            .where(
                leg_table.c.pr_id == row.pr_id,
                leg_table.c.role == row.role,
                leg_table.c.generation == row.generation,
            )
            .values(user_id=_hashed(row.pr_id, row.user_id))
        )
        if row.pr_id not in touched:
            conf = _without_users(row.pr_id, row.conf)
            connection.execute(update(request_table).where(table.pr_id == row.pr_id).values(conf=conf))
            touched.add(row.pr_id)
    return len(touched)


def _hashed(pr_id: str, user_id: str) -> str:
    return HASHED + hashlib.sha256(f"{pr_id}|{user_id}".encode()).hexdigest()[:32]


def _without_users(pr_id: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _hashed(pr_id, part)
            if name == "user_id" and isinstance(part, str)
            else _without_users(pr_id, part)
            for name, part in value.items()
            if name != "note"
        }
    return value
