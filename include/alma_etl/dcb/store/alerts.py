"""Alerts: one row for one condition, however often it is seen."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, case, null, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's as well

from alma_etl.dcb.store.rows import Alert
from alma_etl.store.dcb_models import alert_table

_t = alert_table.c


def open_alert(connection: Connection, alert: Alert, now: datetime) -> bool:
    """A condition holds. True when it is news: never seen, or closed before."""
    return note(connection, alert, now) == 0


def note(connection: Connection, alert: Alert, now: datetime) -> int:
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
    kept = connection.execute(
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
    return int(kept.scalar_one())


def close_alert(
    connection: Connection, key: str, now: datetime, *, looked_at: datetime | None = None
) -> None:
    """A condition is over. ``looked_at``: when that was seen, if not now; one that was seen since holds."""
    query = update(alert_table).where(_t.alert_key == key, _t.closed_at.is_(None))
    if looked_at is not None:
        query = query.where(_t.last_seen <= looked_at)
    connection.execute(query.values(closed_at=now))


def acknowledge(connection: Connection, key: str, who: str) -> bool:
    """Somebody has taken note of an open alert."""
    where = (_t.alert_key == key, _t.closed_at.is_(None))
    return connection.execute(update(alert_table).where(*where).values(acked_by=who)).rowcount > 0


def open_alerts(connection: Connection, *, pr_id: str | None = None) -> list[Alert]:
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
        for row in connection.execute(query)
    ]
