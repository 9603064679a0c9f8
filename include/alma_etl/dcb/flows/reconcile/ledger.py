"""What a night's checks came to: findings, what was looked at, what could not be read."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from alma_etl.dcb.flows.reconcile.findings import STUCK, Code, Finding
from alma_etl.dcb.store import DcbStore

_CLOSED_BY_THE_MACHINE = Code.DISPATCH_ON_WRONG_DESK
"""A standing flag's alert: the machine opens and closes it by the same key."""


class Ledger:
    """Collects, then settles with the store."""

    def __init__(self) -> None:
        self.findings: dict[str, Finding] = {}
        self.unread: dict[str, str] = {}
        self.missed: dict[str, int] = {}
        self.nudged: set[str] = set()
        self.finalised: list[str] = []
        self._looked: set[tuple[str, str]] = set()
        self._standing: set[str] = set()

    def add(self, found: Finding) -> None:
        """Something is wrong."""
        self.findings[found.key] = found

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
        for found in self.findings.values():
            if not found.over:
                store.open_alert(found.alert, now)
        known = {alert.key: alert for alert in store.open_alerts()}
        for key, alert in known.items():
            mended = key in self.findings and self.findings[key].over
            gone = key not in self.findings and key not in self._standing
            code = STUCK if alert.code.startswith(STUCK) else alert.code
            subject = str(alert.detail.get("subject", ""))
            if code == _CLOSED_BY_THE_MACHINE:
                continue
            if mended or (gone and (code, subject) in self._looked):
                # What was seen again since the comparison began was not looked at by it.
                store.close_alert(key, now, looked_at=now)
        for key, found in self.findings.items():
            if key in known and not found.over:
                facts = {"first_seen": known[key].first_seen, "acked_by": known[key].acked_by}
                self.findings[key] = found.model_copy(update=facts)
