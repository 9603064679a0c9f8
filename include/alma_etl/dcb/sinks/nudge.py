"""dcb-service as a sink: it is asked to look at a request that has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.events import STATUS_CHANGED
from alma_etl.dcb.sides.ports import Done, Later, Refused
from alma_etl.dcb.sinks.opening import Opening
from alma_etl.dcb.store.rows import OutboxRow, Tracked
from alma_etl.remote.answers import Found
from alma_etl.remote.service import HttpAccess

_log = logging.getLogger(__name__)

APART = timedelta(minutes=5)
"""The least time between two nudges of one request."""


class NudgeSink(Opening[DcbService]):
    """One nudge for a change, at least five minutes apart; a nudge serves all changes that were before it."""

    def __init__(
        self,
        name: str,
        access: Callable[[], HttpAccess],
        now: Callable[[], datetime],
        last_sent: Callable[[str, str], datetime | None] | None = None,
    ) -> None:
        super().__init__(name, access)
        self._now = now
        self._last_sent = last_sent
        self._nudged: dict[str, datetime] = {}

    def client_for(self, access: HttpAccess) -> DcbService:
        """Called by `Opening`."""
        return DcbService(access)

    def deliver(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Nudge, unless one after the change has served it already; a moment after the last one: later."""
        if row.type != STATUS_CHANGED:
            return Done()
        nudged = self._nudged.get(row.pr_id)
        if nudged is not None and nudged >= row.created_at:
            return Done()
        now, last = self._now(), self._last(row.pr_id, nudged)
        if last is not None and now - last < APART:
            return Later("dcb-service was asked to look at this request a moment ago", APART - (now - last))
        return super().deliver(row, tracked)

    def tell(self, client: DcbService, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Nudge, and compare what dcb-service shows then; it has its own rules, so a difference is only told."""
        client.nudge(row.pr_id)
        self._nudged[row.pr_id] = self._now()
        shown = client.status(row.pr_id)
        if isinstance(shown, Found) and shown.value != tracked.status:
            _log.info("dcb-service shows %s as %s, here it is %s", row.pr_id, shown.value, tracked.status)
        return Done()

    def _last(self, pr_id: str, nudged: datetime | None) -> datetime | None:
        before = self._last_sent(self.name, pr_id) if self._last_sent is not None else None
        return max((each for each in (before, nudged) if each), default=None)
