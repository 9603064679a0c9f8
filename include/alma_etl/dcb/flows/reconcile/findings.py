"""What the checks can find, what to do about it, what a night's checks came to, and what they work with."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from alma_etl.alma.errors import AlmaDailyThreshold, AlmaQuotaFloor
from alma_etl.dcb.advice import STUCK, advice_of
from alma_etl.dcb.machine.vocabulary import Status
from alma_etl.dcb.overdue import stuck
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.ports import describe
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore
from alma_etl.dcb.store.rows import Alert, Severity, Tracked
from alma_etl.remote.errors import (
    RemoteError,
    RemoteForbidden,
    RemoteReadOnly,
    RemoteUnauthorized,
    RemoteUnreachable,
)


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
    fixed.
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
        more = {"subject": self.subject} if self.subject else {}
        if self.advice != advice_of(self.code):
            more["do"] = self.advice
        return Alert(self.key, self.code, self.severity, self.pr_id, self.detail | more)


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


# --- what a night's checks came to


_CLOSED_BY_THE_MACHINE = Code.DISPATCH_ON_WRONG_DESK
"""A standing flag's alert: the machine opens and closes it by the same key."""


class BookFindings:
    """Collects, then settles with the store."""

    def __init__(self) -> None:
        self.found: dict[str, Finding] = {}
        self.unread: dict[str, str] = {}
        self.missed: dict[str, int] = {}
        self.nudged: set[str] = set()
        self.finalised: list[str] = []
        self._looked: set[tuple[str, str]] = set()
        self._standing: set[str] = set()

    def add(
        self,
        code: str,
        advice: str = "",
        *,
        tracked: Tracked | None = None,
        pr_id: str | None = None,
        part: str = "",
        subject: str = "",
        detail: Mapping[str, str] | None = None,
        severity: Severity | None = None,
        did: str = "",
        over: bool = False,
    ) -> None:
        """Something is wrong: keep it with what is known of its request. ``part`` distinguishes it from others of its
        code and request; ``advice``: more exactly what to do than its code says."""
        about = tracked.pr_id if tracked is not None else pr_id
        found = Finding(
            code=code,
            key=":".join(each for each in (code, part or about) if each),
            subject=subject,
            severity=severity or severity_of(code),
            pr_id=about,
            detail=dict(detail or {}),
            advice=advice or advice_of(code),
            did=did,
            over=over,
            **(_facts(tracked) if tracked is not None else {}),
        )
        self.found[found.key] = found

    def looked(self, codes: Iterable[str], subject: str = "") -> None:
        """A check was made; what it did not find of this subject is over. ``STUCK_`` stands for all statuses."""
        self._looked |= {(code, subject) for code in codes}

    def past(self, store: DcbStore, codes: Collection[str], subjects: Collection[str]) -> None:
        """A check looks at these subjects alone: what was found of others is over, since they have moved on."""
        for alert in store.open_alerts():
            subject = str(alert.detail.get("subject", ""))
            if alert.code in codes and subject not in subjects:
                self._looked.add((alert.code, subject))

    def still(self, key: str) -> None:
        """A condition holds that has no finding of its own: its alert stays as it is."""
        self._standing.add(key)

    def could_not_read(self, system: str, why: str) -> None:
        """A system could not be read any further."""
        self.unread.setdefault(system, why)

    def missed_one(self, system: str) -> None:
        """One thing could not be read, the rest can; it is looked at again the next night."""
        self.missed[system] = self.missed.get(system, 0) + 1

    def settle(self, store: DcbStore, now: datetime) -> None:
        """Open the alerts of what holds, and close those of what is over. Doing it again changes only a counter."""
        for found in self.found.values():
            if not found.over:
                store.open_alert(found.alert, now)
        known = {alert.key: alert for alert in store.open_alerts()}
        for key, alert in known.items():
            fixed = key in self.found and self.found[key].over
            gone = key not in self.found and key not in self._standing
            code = STUCK if alert.code.startswith(STUCK) else alert.code
            subject = str(alert.detail.get("subject", ""))
            if code == _CLOSED_BY_THE_MACHINE:
                continue
            if fixed or (gone and (code, subject) in self._looked):
                # What was seen again since the comparison began was not looked at by it.
                store.close_alert(key, now, looked_at=now)
        for key, found in self.found.items():
            if key in known and not found.over:
                facts = {"first_seen": known[key].first_seen, "acked_by": known[key].acked_by}
                self.found[key] = found.model_copy(update=facts)


# --- what every check works with


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
class ReconcileContext:
    """``dry_run``: look and report, fix nothing. ``now``: the time that the whole comparison goes by."""

    store: DcbStore
    settings: DcbSettings
    systems: Systems
    now: datetime
    run_id: str
    dry_run: bool = False
    findings: BookFindings = field(default_factory=BookFindings)

    @property
    def drives(self) -> bool:
        """Whether we act in Alma at all; else dcb-service does, and we only report."""
        return self.settings.mode == "drive"

    @property
    def fixes(self) -> bool:
        """Whether something in Alma or FOLIO may be fixed in this run."""
        return self.drives and not self.dry_run

    def acts_for(self, tracked: Tracked) -> bool:
        """Whether we act for a request; an adopted one is another service's to act for, whatever the mode."""
        return self.drives and tracked.is_ours

    def did(self, what: str) -> str:
        """``what``, or that it would be so, in a dry run."""
        return f"would be done: {what}" if self.dry_run else what
