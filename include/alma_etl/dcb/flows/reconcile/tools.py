"""What every check works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from alma_etl.alma.errors import AlmaDailyThreshold, AlmaQuotaFloor
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.ports import describe
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore
from alma_etl.remote.errors import (
    RemoteError,
    RemoteForbidden,
    RemoteReadOnly,
    RemoteUnauthorized,
    RemoteUnreachable,
)

_STOPS: Mapping[type[RemoteError], str] = {
    RemoteUnauthorized: "the key is not accepted: look at the connection",
    RemoteForbidden: "the gateway refuses the key or this address",
    AlmaDailyThreshold: "today's calls are used up",
    AlmaQuotaFloor: "no more calls than the reserve are left for today",
    RemoteReadOnly: "the connection is read-only",
    RemoteUnreachable: "it does not answer",
}


def why(problem: Exception) -> str:
    """A failure without the call's path, which may name a user."""
    if not isinstance(problem, RemoteError):
        return str(problem)
    return _STOPS.get(type(problem)) or describe(problem)


@dataclass(frozen=True)
class Tools:
    """``dry_run``: look and tell, mend nothing. ``now``: the time that the whole comparison goes by."""

    store: DcbStore
    settings: DcbSettings
    systems: Systems
    now: datetime
    run_id: str
    dry_run: bool = False

    @property
    def drives(self) -> bool:
        """Whether we act in Alma at all; else dcb-service does, and we only tell."""
        return self.settings.mode == "drive"

    @property
    def mends(self) -> bool:
        """Whether something in Alma or FOLIO may be put right in this run."""
        return self.drives and not self.dry_run

    def did(self, what: str) -> str:
        """``what``, or that it would be so, in a dry run."""
        return f"would be done: {what}" if self.dry_run else what
