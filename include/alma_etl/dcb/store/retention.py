"""What is not kept for ever: observations that decided nothing, delivered rows, users' ids, and old history."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, select, update

from alma_etl.dcb.machine.vocabulary import TERMINAL
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store.rows import HASHED, Thinned
from alma_etl.dcb.store.tables import DcbTables
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

_r, _l = request_table.c, leg_table.c


class RetentionStore(DcbTables):
    """The part of `DcbStore` that drops what is past its time."""

    def thin_out(self, settings: DcbSettings, now: datetime) -> Thinned:
        """Drop what is past its time by the settings `keep_...`.

        An observation stays as long as a transition cites it, or when it is a person's word. A request that lost others
        can no longer be replayed, which `explain` says.
        """
        cutoff = now - settings.keep_observations
        said = (observation_table.c.source == "MANUAL") & observation_table.c.role.is_(None)
        old = (observation_table.c.recorded_at < cutoff) & ~said
        cited = exists().where(transition_table.c.obs_id == observation_table.c.obs_id)
        affected = select(observation_table.c.pr_id).where(old, ~cited).distinct()
        with self._transaction():
            gone = self._drop_requests(now - settings.keep_history)
            self._write(update(request_table).where(_r.pr_id.in_(affected)).values(thinned=True))
            observations = self._write(delete(observation_table).where(old, ~cited))
            outbox = self._write(delete(outbox_table).where(outbox_table.c.settled_at < cutoff))
            hints = self._write(delete(hint_table).where(hint_table.c.handled_at < cutoff))
            self._write(delete(calls_table).where(calls_table.c.day < cutoff.date()))
            anonymised = self._anonymise(now - settings.keep_user_ids)
        return Thinned(observations, outbox, hints, gone, anonymised)

    def _drop_requests(self, before: datetime) -> int:
        past = (_r.status.in_(TERMINAL), _r.status_since < before)
        ended = select(_r.pr_id).where(*past)
        for each in (outbox_table, transition_table, observation_table, leg_table, alert_table):
            self._write(delete(each).where(each.c.pr_id.in_(ended)))
        return self._write(delete(request_table).where(*past))

    def _anonymise(self, before: datetime) -> int:
        """Replace users' ids of ended requests by digests that differ from request to request."""
        query = (
            select(_r.pr_id, _r.conf, _l.role, _l.generation, _l.user_id, _l.earlier)
            .join(leg_table, _l.pr_id == _r.pr_id)
            .where(_r.status.in_(TERMINAL), _r.status_since < before)
            .where(_l.user_id.is_not(None), ~_l.user_id.startswith(HASHED))
        )
        touched: set[str] = set()
        for row in self._rows(query):
            self._write(
                update(leg_table)
                .where(_l.pr_id == row.pr_id, _l.role == row.role, _l.generation == row.generation)
                .values(user_id=_hashed(row.pr_id, row.user_id), earlier=_earlier(row.pr_id, row.earlier))
            )
            if row.pr_id not in touched:
                conf = _without_users(row.pr_id, row.conf)
                self._write(update(request_table).where(_r.pr_id == row.pr_id).values(conf=conf))
                touched.add(row.pr_id)
        return len(touched)


def _hashed(pr_id: str, user_id: str) -> str:
    return HASHED + hashlib.sha256(f"{pr_id}|{user_id}".encode()).hexdigest()[:32]


def _earlier(pr_id: str, replaced: list[dict[str, str]]) -> list[dict[str, str]]:
    """The ids that a side had before, without those of users."""
    return [
        {**each, **{end: _hashed(pr_id, each[end]) for end in ("from", "to")}}
        if each["name"] == "user_id"
        else each
        for each in replaced
    ]


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
