"""Requests that stay where they are for longer than the settings `stuck` allow: each has an open alert.

Judged by every tick of `dcb_status_sync` and by every `dcb_reconcile`, whether or not anything could be read.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from alma_etl.dcb.advice import STUCK
from alma_etl.dcb.machine.vocabulary import SETTLED, Role, Status
from alma_etl.dcb.plan import patron_due
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import Alert, DcbStore, Tracked
from alma_etl.dcb.store.rows import Severity, what_is_left

S = Status
WITHOUT_DUE = timedelta(days=56)
"""A loan whose due date nobody knows is taken to be due then."""


def stuck(status: Status) -> str:
    """The code of a request that has been in a status for too long."""
    return f"{STUCK}{status}"


def severity_of_stuck(status: Status) -> Severity:
    """How much it matters."""
    return "urgent" if status is S.ERROR else "warning"


def stuck_since(tracked: Tracked, settings: DcbSettings) -> datetime | None:
    """When the request became overdue in its status; None once it has ended. ERROR is overdue at once."""
    limit = limit_of(tracked.status, settings)
    if limit is None:
        return None
    since = tracked.status_since
    if tracked.status in (S.RECEIVED_AT_PICKUP, S.READY_FOR_PICKUP):
        since += _shelf(tracked, settings)
    elif tracked.status is S.LOANED:
        since = patron_due(tracked.state) or tracked.state.leg(Role.SUPPLIER).due or since + WITHOUT_DUE
    return since + limit


def limit_of(status: Status, settings: DcbSettings) -> timedelta | None:
    """How long a status may last, a loan from its due date on, a book on the shelf beyond the shelf's days."""
    limits = settings.stuck
    match status:
        case S.ERROR:
            return timedelta()
        case S.RPSA | S.CONFIRMED | S.NOT_SUPPLIED:
            return limits.placing
        case S.RPBA | S.RPPA:
            return limits.placed
        case S.PICKUP_TRANSIT:
            return limits.in_transit
        case S.RECEIVED_AT_PICKUP | S.READY_FOR_PICKUP:
            return limits.on_shelf_beyond_hold
        case S.LOANED:
            return limits.loaned_beyond_due
        case S.RETURN_TRANSIT | S.AWAITING_RETURN:
            return limits.returning
        case _ if status in SETTLED:
            return limits.settled
    return None


def _shelf(tracked: Tracked, settings: DcbSettings) -> timedelta:
    leg = tracked.legs.get(Role.PICKUP) or tracked.legs.get(Role.BORROWER)
    system = settings.systems.get(leg.system_code) if leg is not None else None
    return timedelta(days=system.hold_shelf_days if system is not None else 10)


def alert_of(tracked: Tracked, settings: DcbSettings, now: datetime) -> Alert | None:
    """The alert of a request that is overdue, None for any other."""
    limit = stuck_since(tracked, settings)
    if limit is None or now <= limit:
        return None
    detail = {"beyond": limit.isoformat(timespec="minutes")}
    if tracked.status in SETTLED:
        detail["left"] = what_is_left(tracked.legs)
    code = stuck(tracked.status)
    return Alert(f"{code}:{tracked.pr_id}", code, severity_of_stuck(tracked.status), tracked.pr_id, detail)


def judge_overdue(store: DcbStore, settings: DcbSettings, now: datetime) -> None:
    """Open the alerts of what is overdue, and close those of what has moved on. Doing it again changes nothing."""
    found = set()
    limits = {status: limit for status in Status if (limit := limit_of(status, settings)) is not None}
    known = {alert.key for alert in store.open_alerts() if alert.code.startswith(STUCK)}
    for tracked in store.long_in(limits, now):
        alert = alert_of(tracked, settings, now)
        if alert is not None:
            found.add(alert.key)
            if alert.key not in known:
                store.open_alert(alert, now)
    for key in known - found:
        store.close_alert(key, now, looked_at=now)
