"""Questions about many requests at once, for the reconciliation and the sinks. Reads only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, or_, select

from alma_etl.dcb.events import STATUS_CHANGED
from alma_etl.dcb.machine.vocabulary import TERMINAL, ActionType, Role, Status
from alma_etl.dcb.store import requests
from alma_etl.dcb.store.retention import HASHED
from alma_etl.dcb.store.rows import OutboxRow, Tracked
from alma_etl.store.dcb_models import leg_table, outbox_table, request_table

_PAGE = 500
_COLUMNS = tuple(OutboxRow.__slots__)
_VIRTUAL = (Role.SUPPLIER, Role.PICKUP)


@dataclass(frozen=True, slots=True)
class Side:
    """A side of a request in one system, of whatever generation, with the request's status."""

    pr_id: str
    role: Role
    status: Status
    request_id: str | None
    item_pid: str | None

    @property
    def is_live(self) -> bool:
        """Whether its request has not ended."""
        return self.status not in TERMINAL


class Overview(ABC):
    """The part of `DcbStore` that looks at many requests."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Connection]:
        """A connection for one transaction."""

    def live(self) -> Iterator[Tracked]:
        """All requests that have not ended, by id; read page by page, so that it is no snapshot."""
        return self._paged(request_table.c.status.not_in(TERMINAL))

    def ended(self, since: datetime) -> Iterator[Tracked]:
        """All requests that ended since then, by id; read page by page."""
        table = request_table.c
        return self._paged(table.status.in_(TERMINAL) & (table.status_since >= since))

    def _paged(self, where: ColumnElement[bool]) -> Iterator[Tracked]:
        table, last = request_table.c, ""
        while True:
            with self._transaction() as connection:
                query = select(table.pr_id).where(where, table.pr_id > last).order_by(table.pr_id)
                pr_ids = list(connection.execute(query.limit(_PAGE)).scalars())
                found = requests.find(connection, pr_ids)
            if not pr_ids:
                return
            yield from (found[pr_id] for pr_id in pr_ids)
            last = pr_ids[-1]

    def counts(self) -> Mapping[str, int]:
        """How many requests there are in each status."""
        table = request_table.c
        with self._transaction() as connection:
            rows = connection.execute(select(table.status, func.count()).group_by(table.status)).all()
        return {str(status): int(count) for status, count in rows}

    def virtual_users(self) -> list[tuple[str, str]]:
        """System and user id of every virtual patron of Alma's that stands in a request, while users' ids are kept."""
        table = leg_table.c
        query = (
            select(table.system_code, table.user_id)
            .where(table.role.in_(_VIRTUAL), table.system_kind == "ALMA")
            .where(table.user_id.is_not(None), ~table.user_id.startswith(HASHED))
            .distinct()
            .order_by(table.system_code, table.user_id)
        )
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [(str(code), str(user_id)) for code, user_id in rows]

    def sides_of(self, system_code: str, user_id: str) -> list[Side]:
        """Every side that stands in a user's name in a system."""
        table = leg_table.c
        query = (
            select(table.pr_id, table.role, request_table.c.status, table.request_id, table.item_pid)
            .join(request_table, request_table.c.pr_id == table.pr_id)
            .where(table.system_code == system_code, table.user_id == user_id)
            .order_by(table.pr_id, table.generation)
        )
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [
            Side(row.pr_id, Role(row.role), Status(row.status), row.request_id, row.item_pid) for row in rows
        ]

    def is_ours(self, system_code: str, *, request_id: str | None, item_pid: str | None) -> bool:
        """Whether a request has a side with this hold or this item in a system."""
        with self._transaction() as connection:
            return bool(
                requests.find_by_ids(connection, system_code, request_id=request_id, item_pid=item_pid)
            )

    def stalled(self, before: datetime, refused_since: datetime) -> list[OutboxRow]:
        """Rows that were given up, that wait since ``before``, and events that a sink refused for good lately.

        A deed that was refused is told by a flag of its request instead.
        """
        table = outbox_table.c
        waits = (table.state == "PENDING") & (table.created_at < before)
        refused = (table.state == "FAILED") & (table.kind == "EVENT") & (table.settled_at >= refused_since)
        query = (
            select(outbox_table)
            .where(or_(table.state == "DEAD", waits, refused))
            .order_by(table.created_at, table.pr_id, table.ord)
        )
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [OutboxRow(**{name: getattr(row, name) for name in _COLUMNS}) for row in rows]

    def not_done(self, pr_id: str, action: ActionType) -> list[str]:
        """The rows of a deed that was refused or given up, by id; `revive` has them tried again."""
        table = outbox_table.c
        query = (
            select(table.outbox_id)
            .where(table.pr_id == pr_id, table.kind == "ALMA_ACTION", table.type == action)
            .where(table.state.in_(("DEAD", "FAILED")))
            .order_by(table.ord)
        )
        with self._transaction() as connection:
            return [str(outbox_id) for outbox_id in connection.execute(query).scalars()]

    def last_sent(self, target: str, pr_id: str) -> datetime | None:
        """When a change of status of a request was last delivered to a sink."""
        table = outbox_table.c
        query = (
            select(table.settled_at)
            .where(table.target == target, table.pr_id == pr_id)
            .where(table.state == "SENT", table.type == STATUS_CHANGED)
            .order_by(table.settled_at.desc())
            .limit(1)
        )
        with self._transaction() as connection:
            found: datetime | None = connection.execute(query).scalar_one_or_none()
        return found
