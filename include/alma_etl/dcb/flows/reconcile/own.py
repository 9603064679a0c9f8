"""Checks of our own book: what has been where it is for too long, what was not published or done, odd numbers."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from alma_etl.counted import counted, verb
from alma_etl.dcb.advice import STUCK
from alma_etl.dcb.flows.reconcile.findings import Code, ReconcileContext
from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.vocabulary import TERMINAL, ActionType, Role, Status
from alma_etl.dcb.overdue import alert_of
from alma_etl.dcb.store.rows import Tracked
from alma_etl.store.bucket import Bucket

S = Status

_WAITS = timedelta(hours=1)
_REFUSED_LATELY = timedelta(days=7)
_FEW = 20
_HALF = 0.5
_COUNTS = "dcb/reconcile/counts/"
_KEPT_DAYS = 40


def check_requests(context: ReconcileContext) -> None:
    """STUCK_{status}, DISPATCH_ON_WRONG_DESK, SUPPLIER_LOAN_MISSING, of every request that has not ended."""
    for tracked in context.store.live():
        _stuck(context, tracked)
        _wrong_desk(context, tracked)
        _loan_missing(context, tracked)
    context.findings.looked((STUCK, Code.SUPPLIER_LOAN_MISSING))


def _stuck(context: ReconcileContext, tracked: Tracked) -> None:
    alert = alert_of(tracked, context.settings, context.now)
    if alert is None:
        return
    polled = tracked.next_poll_at is not None
    if polled:
        context.findings.nudged.add(tracked.pr_id)
    context.findings.add(
        alert.code,
        tracked=tracked,
        severity=alert.severity,
        detail=alert.detail,
        did=context.did("is looked at by the next dcb_status_sync") if polled else "",
    )


def _wrong_desk(context: ReconcileContext, tracked: Tracked) -> None:
    leg = tracked.legs.get(Role.SUPPLIER)
    if flags.DISPATCH_ON_WRONG_DESK not in tracked.state.standing or leg is None:
        return
    desk = leg.pickup_desk or leg.pickup_library or "the sharing desk"
    context.findings.add(
        Code.DISPATCH_ON_WRONG_DESK,
        f"{leg.system_code}: the book was scanned in at {desk}, where its hold waits: scan it in at another desk",
        tracked=tracked,
        detail={"system": leg.system_code, "desk": desk},
    )


def _loan_missing(context: ReconcileContext, tracked: Tracked) -> None:
    if tracked.status is not S.LOANED or tracked.state.leg(Role.SUPPLIER).lent:
        return
    if context.now - tracked.status_since < _WAITS:
        return
    acts = context.acts_for(tracked)
    rows = context.store.not_done(tracked.pr_id, ActionType.CREATE_SUPPLIER_LOAN) if acts else []
    did = ""
    if rows:
        did = context.did("the loan is tried again")
        if not context.dry_run:
            context.store.revive(rows[-1], context.now)
    context.findings.add(
        Code.SUPPLIER_LOAN_MISSING,
        tracked=tracked,
        did=did,
    )


def check_outbox(context: ReconcileContext) -> None:
    """OUTBOX_STALLED: given up, waiting for more than an hour, or refused by a sink in the last week."""
    first: dict[tuple[str, str], str] = {}
    rows = context.store.stalled(context.now - _WAITS, context.now - _REFUSED_LATELY)
    for row in rows:
        key = f"{Code.OUTBOX_STALLED}:{row.outbox_id}"
        if row.state != "FAILED" and first.setdefault((row.pr_id, row.target), key) != key:
            context.findings.still(key)  # it waits for the one before it
            continue
        waiting = sum((each.pr_id, each.target) == (row.pr_id, row.target) for each in rows)
        context.findings.add(
            Code.OUTBOX_STALLED,
            ""
            if row.state != "PENDING"
            else "Fix the reason if it does not get through: it is tried again by itself.",
            tracked=context.store.get(row.pr_id),
            part=row.outbox_id,
            severity="urgent" if row.state == "DEAD" else "warning",
            detail={
                "type": row.type,
                "target": row.target,
                "state": row.state,
                "error": row.last_error or "",
                "rows": str(waiting),
            },
        )
    context.findings.looked((Code.OUTBOX_STALLED,))


def check_volume(context: ReconcileContext, bucket: Bucket) -> None:
    """VOLUME_ANOMALY: half as many or half as many more in a status than the day before (small numbers aside)."""
    counts = {status: n for status, n in context.store.counts().items() if Status(status) not in TERMINAL}
    before = _counts_before(bucket, context.now)
    if before is not None:
        for status in sorted({*counts, *before}):
            was, now = before.get(status, 0), counts.get(status, 0)
            if max(was, now) >= _FEW and abs(now - was) > was * _HALF:
                context.findings.add(
                    Code.VOLUME_ANOMALY,
                    f"{counted(now, 'request')} {verb(now, 'is', 'are')} {status}, after {was} yesterday: "
                    "look whether a system stands still",
                    part=status,
                    detail={"status": status, "now": str(now), "before": str(was)},
                )
        context.findings.looked((Code.VOLUME_ANOMALY,))
    if not context.dry_run:
        body = json.dumps(counts, sort_keys=True).encode()
        bucket.put(_counts_key(context.now), body, "application/json")
        bucket.delete([_counts_key(context.now - timedelta(days=_KEPT_DAYS))])


def _counts_before(bucket: Bucket, now: datetime) -> dict[str, int] | None:
    kept = bucket.find(_counts_key(now - timedelta(days=1)))
    return None if kept is None else {str(status): int(n) for status, n in json.loads(kept).items()}


def _counts_key(day: datetime) -> str:
    return f"{_COUNTS}{day:%Y-%m-%d}.json"
