"""What can end a run that works with Alma and with no other service: its allowance of calls a day."""

from __future__ import annotations

from datetime import datetime

from alma_etl.remote.errors import RemoteStop


class AlmaDailyThreshold(RemoteStop):
    """The institution's calls of today are used up; work can go on at `resume_at` (UTC)."""

    def __init__(
        self,
        call: str,
        status: int | None,
        code: str,
        message: str,
        tracking_id: str = "",
        effect_unknown: bool = False,
        resume_at: datetime | None = None,
    ) -> None:
        super().__init__(call, status, code, message, tracking_id, effect_unknown)
        self.resume_at = resume_at


class AlmaQuotaFloor(RemoteStop):
    """Calls are left for today, but no more than the floor that is kept for the library's other work."""
