"""The connection to the DCB tables, and the alerts, which every part of the store opens and closes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Connection, Executable, case, null, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's as well
from sqlalchemy.exc import SQLAlchemyError

from alma_etl.dcb.store.rows import Alert
from alma_etl.store.db import open_engine, parse_url, store_problem
from alma_etl.store.dcb_models import alert_table

_t = alert_table.c


class DcbTables:
    """The DCB tables of the state store at ``url``. See `DcbStore`."""

    def __init__(self, url: str) -> None:
        self._url = parse_url(url)
        self._engine = open_engine(self._url)
        self._open = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction for several questions of this thread, whose answers so belong together."""
        with self._transaction():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """One transaction; within one of this thread, that one, so that methods can be made of methods."""
        connection: Connection | None = getattr(self._open, "connection", None)
        if connection is not None:
            yield connection
            return
        try:
            with self._engine.begin() as connection:
                self._open.connection = connection
                try:
                    yield connection
                finally:
                    self._open.connection = None
        except SQLAlchemyError as problem:
            raise store_problem(problem, self._url, "for DCB") from problem

    def _rows(self, query: Executable) -> Sequence[Any]:
        """Everything that a query, or a statement with RETURNING, gives."""
        with self._transaction() as connection:
            return connection.execute(query).all()

    def _write(self, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> int:
        """Run a statement; how many rows it changed."""
        with self._transaction() as connection:
            return connection.execute(statement, rows).rowcount

    # --- alerts: one row for one condition, however often it is seen

    def open_alert(self, alert: Alert, now: datetime) -> bool:
        """A condition holds. True when it is news: never seen, or closed before."""
        return self._note(alert, now) == 0

    def _note(self, alert: Alert, now: datetime) -> int:
        """A condition holds; how often it was seen before in a row."""
        statement = insert(alert_table).values(
            alert_key=alert.key,
            pr_id=alert.pr_id,
            code=alert.code,
            severity=alert.severity,
            detail=dict(alert.detail),
            first_seen=now,
            last_seen=now,
            repeat_count=0,
        )
        new, was_over = statement.excluded, _t.closed_at.is_not(None)
        (kept,) = self._rows(
            statement.on_conflict_do_update(
                index_elements=["alert_key"],
                set_={
                    "severity": new.severity,
                    "detail": new.detail,
                    "last_seen": case((new.last_seen > _t.last_seen, new.last_seen), else_=_t.last_seen),
                    "first_seen": case((was_over, new.first_seen), else_=_t.first_seen),
                    "repeat_count": case((was_over, 0), else_=_t.repeat_count + 1),
                    "acked_by": case((was_over, null()), else_=_t.acked_by),
                    "closed_at": None,
                },
            ).returning(_t.repeat_count)
        )
        return int(kept.repeat_count)

    def _add_detail(self, key: str, detail: Mapping[str, str | None]) -> None:
        """More is known of an open alert."""
        for row in self._rows(select(_t.detail).where(_t.alert_key == key, _t.closed_at.is_(None))):
            self._write(
                update(alert_table).where(_t.alert_key == key).values(detail={**row.detail, **detail})
            )

    def close_alert(self, key: str, now: datetime, *, looked_at: datetime | None = None) -> None:
        """A condition is over. ``looked_at``: when that was seen, if not now; one that was seen since holds."""
        query = update(alert_table).where(_t.alert_key == key, _t.closed_at.is_(None))
        if looked_at is not None:
            query = query.where(_t.last_seen <= looked_at)
        self._write(query.values(closed_at=now))

    def acknowledge(self, key: str, who: str) -> bool:
        """Somebody has taken note of an open alert."""
        return (
            self._write(
                update(alert_table).where(_t.alert_key == key, _t.closed_at.is_(None)).values(acked_by=who)
            )
            > 0
        )

    def open_alerts(self, *, pr_id: str | None = None) -> list[Alert]:
        """What is open, the oldest first."""
        query = select(alert_table).where(_t.closed_at.is_(None)).order_by(_t.first_seen, _t.alert_key)
        if pr_id is not None:
            query = query.where(_t.pr_id == pr_id)
        return [
            Alert(
                key=row.alert_key,
                code=row.code,
                severity=row.severity,
                pr_id=row.pr_id,
                detail=row.detail,
                first_seen=row.first_seen,
                last_seen=row.last_seen,
                repeat_count=row.repeat_count,
                acked_by=row.acked_by,
            )
            for row in self._rows(query)
        ]
