"""Questions to the store: what happened to a request, what stands open, what has changed. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import ColumnElement, func, or_, select

from alma_etl.dcb.events import STATUS_CHANGED
from alma_etl.dcb.machine.model import Policy
from alma_etl.dcb.machine.vocabulary import TERMINAL, Role, Status
from alma_etl.dcb.store.outbox import outbox_row
from alma_etl.dcb.store.requests import RequestStore, leg_record
from alma_etl.dcb.store.rows import (
    HASHED,
    OURS,
    Change,
    History,
    LegRecord,
    OutboxRow,
    PastObservation,
    PastStep,
    PastTransition,
    Settled,
    Side,
    Tracked,
)
from alma_etl.store.dcb_models import (
    leg_table,
    observation_table,
    outbox_table,
    request_table,
    transition_table,
)

_PAGE = 500
_VIRTUAL = (Role.SUPPLIER, Role.PICKUP)
_r, _l, _o, _obs, _moved = (
    request_table.c,
    leg_table.c,
    outbox_table.c,
    observation_table.c,
    transition_table.c,
)


class OverviewStore(RequestStore):
    """The part of `DcbStore` that answers questions."""

    def history(self, pr_id: str) -> History:
        """What happened to a request: steps, transitions and outbox rows in their order."""
        with self._transaction():
            seen = self._rows(
                select(observation_table).where(_obs.pr_id == pr_id).order_by(_obs.step, _obs.ord)
            )
            moved = self._rows(select(transition_table).where(_moved.pr_id == pr_id).order_by(_moved.seq))
            rows = self._rows(select(outbox_table).where(_o.pr_id == pr_id).order_by(_o.ord, _o.target))
        steps = []
        for number, together in groupby(seen, key=lambda row: int(row.step)):
            part = list(together)
            steps.append(
                PastStep(
                    number,
                    part[0].recorded_at,
                    Policy(part[0].confirmations, timedelta(seconds=part[0].gap_seconds)),
                    tuple(
                        PastObservation(**{name: getattr(row, name) for name in PastObservation.__slots__})
                        for row in part
                    ),
                )
            )
        transitions = (
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
        )
        return History(tuple(steps), tuple(transitions), tuple(outbox_row(row) for row in rows))

    def live(self) -> Iterator[Tracked]:
        """All requests that have not ended, by id; read page by page, so that it is no snapshot."""
        return self._paged(_r.status.not_in(TERMINAL))

    def long_in(self, limits: Mapping[Status, timedelta], now: datetime) -> Iterator[Tracked]:
        """Requests that have been in one of these statuses for longer than its limit; read page by page."""
        past = [(_r.status == status) & (_r.status_since < now - limit) for status, limit in limits.items()]
        return self._paged(or_(*past))

    def ended(self, since: datetime) -> Iterator[Tracked]:
        """All requests that ended since then, by id; read page by page."""
        return self._paged(_r.status.in_(TERMINAL) & (_r.status_since >= since))

    def _paged(self, where: ColumnElement[bool]) -> Iterator[Tracked]:
        last = ""
        while True:
            query = select(_r.pr_id).where(where, _r.pr_id > last).order_by(_r.pr_id).limit(_PAGE)
            with self._transaction():
                page = self._in_order(self._ids(query))
            if not page:
                return
            yield from page
            last = page[-1].pr_id

    def counts(self) -> Mapping[str, int]:
        """How many requests there are in each status."""
        rows = self._rows(select(_r.status, func.count()).group_by(_r.status))
        return {str(status): int(count) for status, count in rows}

    def virtual_users(self) -> list[tuple[str, str]]:
        """System and user id of every virtual patron of Alma's that stands in a request, while users' ids are kept."""
        query = (
            select(_l.system_code, _l.user_id)
            .where(_l.role.in_(_VIRTUAL), _l.system_kind == "ALMA")
            .where(_l.user_id.is_not(None), ~_l.user_id.startswith(HASHED))
            .distinct()
            .order_by(_l.system_code, _l.user_id)
        )
        return [(str(code), str(user_id)) for code, user_id in self._rows(query)]

    def last_lent(self, system_code: str) -> LegRecord | None:
        """The lender's side in a system of the request that ended last, while its user's id is kept."""
        query = (
            select(leg_table)
            .join(request_table, _r.pr_id == _l.pr_id)
            .where(_l.system_code == system_code, _l.role == Role.SUPPLIER, _r.status.in_(TERMINAL))
            .where(_l.user_id.is_not(None), ~_l.user_id.startswith(HASHED), _l.item_pid.is_not(None))
            .order_by(_r.status_since.desc(), _l.generation.desc())
            .limit(1)
        )
        return next((leg_record(row) for row in self._rows(query)), None)

    def known_transactions(self, system_code: str, txn_ids: Sequence[str]) -> set[str]:
        """Those of these transactions of a system that stand in a request, of whatever generation."""
        known: set[str] = set()
        for start in range(0, len(txn_ids), _PAGE):
            part = txn_ids[start : start + _PAGE]
            query = select(_l.txn_id).where(_l.system_code == system_code, _l.txn_id.in_(part))
            known |= set(self._ids(query))
        return known

    def sides_of(self, system_code: str, user_id: str) -> list[Side]:
        """Every side that stands in a user's name in a system."""
        query = (
            select(_l.pr_id, _l.role, _r.status, _l.request_id, _l.item_pid, _r.owner)
            .join(request_table, _r.pr_id == _l.pr_id)
            .where(_l.system_code == system_code, _l.user_id == user_id)
            .order_by(_l.pr_id, _l.generation)
        )
        return [
            Side(
                row.pr_id,
                Role(row.role),
                Status(row.status),
                row.request_id,
                row.item_pid,
                row.owner == OURS,
            )
            for row in self._rows(query)
        ]

    def stalled(self, before: datetime, refused_since: datetime) -> list[OutboxRow]:
        """Rows that were given up, that wait since ``before``, and events that a sink refused permanently lately.

        An action that was refused is reported by a flag of its request instead.
        """
        waits = (_o.state == "PENDING") & (_o.created_at < before)
        refused = (_o.state == "FAILED") & (_o.kind == "EVENT") & (_o.settled_at >= refused_since)
        query = (
            select(outbox_table)
            .where(or_(_o.state == "DEAD", waits, refused))
            .order_by(_o.created_at, _o.pr_id, _o.ord)
        )
        return [outbox_row(row) for row in self._rows(query)]

    def last_sent(self, target: str, pr_id: str) -> datetime | None:
        """When a change of status of a request was last delivered to a sink."""
        query = (
            select(_o.settled_at)
            .where(_o.target == target, _o.pr_id == pr_id)
            .where(_o.state == "SENT", _o.type == STATUS_CHANGED)
            .order_by(_o.settled_at.desc())
            .limit(1)
        )
        return next((row.settled_at for row in self._rows(query)), None)

    def changes_since(self, since: datetime) -> list[Change]:
        """The changes of status recorded from then on, by request."""
        query = select(transition_table).where(_moved.recorded_at >= since).order_by(_moved.pr_id, _moved.seq)
        paths: dict[str, list[str]] = defaultdict(list)
        began: dict[str, str] = {}
        for row in self._rows(query):
            began.setdefault(row.pr_id, row.from_status)
            paths[row.pr_id].append(row.to_status)
        return [Change(pr_id, began[pr_id], tuple(path)) for pr_id, path in paths.items()]

    def settled_since(self, since: datetime) -> list[Settled]:
        """The outbox rows settled from then on, counted."""
        columns = (_o.kind, _o.type, _o.target, _o.state)
        query = select(*columns, func.count().label("rows")).where(_o.settled_at >= since).group_by(*columns)
        return [
            Settled(row.kind, row.type, row.target, row.state, row.rows)
            for row in self._rows(query.order_by(*columns))
        ]
