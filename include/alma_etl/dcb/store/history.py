"""What happened to a request, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, select

from alma_etl.dcb.machine.model import Policy
from alma_etl.store.dcb_models import observation_table, outbox_table, transition_table


@dataclass(frozen=True, slots=True)
class PastObservation:
    """What was seen of one side, or came of a deed."""

    obs_id: str
    role: str | None
    observed_at: datetime
    source: str
    outcome: str
    body: Mapping[str, Any]
    errors: list[Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class PastTransition:
    """A change of status and the observation that brought it about."""

    seq: int
    frm: str
    to: str
    handler: str
    inferred: bool
    obs_id: str
    actor: str
    occurred_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class PastStep:
    """One step of the machine: what it took in, by which policy."""

    number: int
    recorded_at: datetime
    policy: Policy
    observations: tuple[PastObservation, ...]


@dataclass(frozen=True, slots=True)
class PastRow:
    """A row of the outbox."""

    ord: int
    seq: int
    kind: str
    target: str
    type: str
    payload: Mapping[str, Any]
    state: str
    attempts: int
    last_error: str | None
    created_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class History:
    """Everything that is kept of a request."""

    steps: tuple[PastStep, ...]
    transitions: tuple[PastTransition, ...]
    outbox: tuple[PastRow, ...]


def history_of(connection: Connection, pr_id: str) -> History:
    """Steps, transitions and outbox rows in their order."""
    observations, transitions, outbox = observation_table.c, transition_table.c, outbox_table.c
    rows = connection.execute(
        select(observation_table)
        .where(observations.pr_id == pr_id)
        .order_by(observations.step, observations.ord)
    ).all()
    steps = []
    for number, together in groupby(rows, key=lambda row: int(row.step)):
        part = list(together)
        steps.append(
            PastStep(
                number,
                part[0].recorded_at,
                Policy(part[0].confirmations, timedelta(seconds=part[0].gap_seconds)),
                tuple(
                    PastObservation(
                        row.obs_id, row.role, row.observed_at, row.source, row.outcome, row.body, row.errors
                    )
                    for row in part
                ),
            )
        )
    moved = connection.execute(
        select(transition_table).where(transitions.pr_id == pr_id).order_by(transitions.seq)
    )
    told = connection.execute(
        select(outbox_table).where(outbox.pr_id == pr_id).order_by(outbox.ord, outbox.target)
    )
    return History(
        tuple(steps),
        tuple(
            PastTransition(
                row.seq,
                row.from_status,
                row.to_status,
                row.handler,
                row.inferred,
                row.obs_id,
                row.actor,
                row.occurred_at,
                row.recorded_at,
            )
            for row in moved
        ),
        tuple(PastRow(**{name: getattr(row, name) for name in PastRow.__slots__}) for row in told),
    )
