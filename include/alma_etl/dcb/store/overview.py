"""Questions about many requests at once, for the reconciliation and the sinks. Reads only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime

from sqlalchemy import Connection, func, or_, select

from alma_etl.dcb.events import STATUS_CHANGED
from alma_etl.dcb.store import requests
from alma_etl.dcb.store.rows import OutboxRow, Tracked
from alma_etl.store.dcb_models import leg_table, outbox_table, request_table

_PAGE = 500
_COLUMNS = tuple(OutboxRow.__slots__)


class Overview(ABC):
    """The part of `DcbStore` that looks at many requests."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Connection]:
        """A connection for one transaction."""

    def everything(self) -> Iterator[Tracked]:
        """All requests that are kept, by id; read page by page, so that it is no snapshot."""
        table, last = request_table.c, ""
        while True:
            with self._transaction() as connection:
                query = select(table.pr_id).where(table.pr_id > last).order_by(table.pr_id).limit(_PAGE)
                pr_ids = list(connection.execute(query).scalars())
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

    def known_holds(self, system_code: str) -> dict[str, str]:
        """Every hold that is or was a side of a request in a system, with the request's id."""
        table = leg_table.c
        query = select(table.request_id, table.pr_id).where(
            table.system_code == system_code, table.request_id.is_not(None)
        )
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return {str(request_id): str(pr_id) for request_id, pr_id in rows}

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
