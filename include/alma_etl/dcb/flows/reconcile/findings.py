"""What the checks can find, and what to do about it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from alma_etl.dcb.machine.vocabulary import Status
from alma_etl.dcb.store.rows import Alert, Severity, Tracked

STUCK = "STUCK_"


class Code(StrEnum):
    """The checks by the codes of their alerts; a stuck request's is ``STUCK_`` and its status."""

    ORPHAN_HOLD = "ORPHAN_HOLD"
    ORPHAN_LOAN = "ORPHAN_LOAN"
    LOST_TRACK = "LOST_TRACK"
    FINALISED_WHILE_OUT = "FINALISED_WHILE_OUT"
    LEFTOVER_VIRTUAL = "LEFTOVER_VIRTUAL"
    PATRON_EXPIRING = "PATRON_EXPIRING"
    DCB_MISMATCH = "DCB_MISMATCH"
    TXN_MISMATCH = "TXN_MISMATCH"
    DISPATCH_ON_WRONG_DESK = "DISPATCH_ON_WRONG_DESK"
    OUTBOX_STALLED = "OUTBOX_STALLED"
    SUPPLIER_LOAN_MISSING = "SUPPLIER_LOAN_MISSING"
    VOLUME_ANOMALY = "VOLUME_ANOMALY"


def stuck(status: Status) -> str:
    """The code of a request that has been in a status for too long."""
    return f"{STUCK}{status}"


def severity_of(code: str) -> Severity:
    """How much a finding matters, unless the check knows better."""
    if code in (Code.FINALISED_WHILE_OUT, stuck(Status.ERROR)):
        return "urgent"
    return "info" if code in (Code.LOST_TRACK, Code.VOLUME_ANOMALY) else "warning"


def digest(user_id: str) -> str:
    """Stands for a user in alerts, which are kept longer than users' ids."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:16]


class Finding(BaseModel):
    """One thing that is not as it should be. No names and no users' ids; ``detail`` holds Alma's ids and codes.

    ``key`` is that of its alert; ``subject`` what was looked at to find it (a digest of a user, a request), so that
    the alert is closed only when that was looked at again. ``did``: what was done about it; ``over``: with that it is
    mended.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    key: str
    subject: str = ""
    severity: Severity
    pr_id: str | None = None
    status: str = ""
    since: datetime | None = None
    legs: str = ""
    last_ok_at: datetime | None = None
    last_error: str = ""
    flags: tuple[str, ...] = ()
    detail: dict[str, str] = {}
    advice: str
    did: str = ""
    over: bool = False
    first_seen: datetime | None = None
    acked_by: str | None = None

    @property
    def alert(self) -> Alert:
        """As the store keeps it."""
        detail = {**self.detail, "subject": self.subject} if self.subject else self.detail
        return Alert(self.key, self.code, self.severity, self.pr_id, detail)


def finding(
    code: str,
    advice: str,
    *,
    tracked: Tracked | None = None,
    pr_id: str | None = None,
    part: str = "",
    subject: str = "",
    detail: Mapping[str, str] | None = None,
    severity: Severity | None = None,
    did: str = "",
    over: bool = False,
) -> Finding:
    """A finding, with what is known of its request. ``part`` tells it from others of the same code and request."""
    about = tracked.pr_id if tracked is not None else pr_id
    return Finding(
        code=code,
        key=":".join(each for each in (code, part or about) if each),
        subject=subject,
        severity=severity or severity_of(code),
        pr_id=about,
        detail=dict(detail or {}),
        advice=advice,
        did=did,
        over=over,
        **(_facts(tracked) if tracked is not None else {}),
    )


def _facts(tracked: Tracked) -> dict[str, object]:
    legs = [tracked.legs[role] for role in sorted(tracked.legs)]
    read = [leg.last_ok_at for leg in legs if leg.last_ok_at is not None]
    errors = [f"{leg.role} {leg.last_error}" for leg in legs if leg.last_error]
    return {
        "status": str(tracked.status),
        "since": tracked.status_since,
        "legs": "; ".join(
            " ".join(each for each in (leg.role, leg.system_code, leg.request_id or leg.txn_id) if each)
            for leg in legs
        ),
        "last_ok_at": min(read) if read else None,
        "last_error": "; ".join(errors),
        "flags": tracked.state.standing,
    }
