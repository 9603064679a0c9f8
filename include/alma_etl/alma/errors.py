"""What is Alma's own: the allowance of calls a day, which ends a run that works with it, and refusals that are about
what was asked for."""

from __future__ import annotations

from datetime import datetime

from alma_etl.remote.errors import RemoteError, RemoteRefused, RemoteStop

_OF_A_VALUE = frozenset(("INVALID_ID", "40166410", "40166411"))


def is_of_a_value(error: RemoteError) -> bool:
    """Whether a question was refused for the code or id that was asked for, which no call can have. Another refusal
    says nothing of it: Alma may be refusing every question."""
    return isinstance(error, RemoteRefused) and error.code in _OF_A_VALUE


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
