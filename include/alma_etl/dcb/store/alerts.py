"""Alerts: one row for one condition, however often it is seen."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from alma_etl.dcb.store.rows import Alert
from alma_etl.store.dcb_models import alert_table

_t = alert_table.c


def open_alert(connection: Connection, alert: Alert, now: datetime) -> bool:
    """A condition holds. True when it is news: never seen, or closed before."""
    where = _t.alert_key == alert.key
    known = connection.execute(select(_t.closed_at).where(where).with_for_update()).one_or_none()
    told: dict[str, Any] = {"severity": alert.severity, "detail": dict(alert.detail), "last_seen": now}
    if known is None:
        connection.execute(
            alert_table.insert().values(
                alert_key=alert.key,
                pr_id=alert.pr_id,
                code=alert.code,
                first_seen=now,
                repeat_count=0,
                **told,
            )
        )
        return True
    if known.closed_at is not None:
        told |= {"first_seen": now, "repeat_count": 0, "closed_at": None, "acked_by": None}
        connection.execute(update(alert_table).where(where).values(told))
        return True
    connection.execute(update(alert_table).where(where).values(told | {"repeat_count": _t.repeat_count + 1}))
    return False


def close_alert(connection: Connection, key: str, now: datetime) -> None:
    """A condition is over."""
    connection.execute(
        update(alert_table).where(_t.alert_key == key, _t.closed_at.is_(None)).values(closed_at=now)
    )


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
