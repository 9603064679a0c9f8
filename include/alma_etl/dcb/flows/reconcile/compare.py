"""Step 1: make the checks, fix what may be fixed, keep the alerts, and drop what is not kept for ever."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.flows.reconcile.findings import Finding, ReconcileContext
from alma_etl.dcb.flows.reconcile.leftovers import (
    LEFT_AFTER,
    check_endings,
    check_orphans,
    patrons_of,
    untracked,
)
from alma_etl.dcb.flows.reconcile.own import check_outbox, check_requests, check_volume
from alma_etl.dcb.flows.reconcile.partners import check_dcb_service, check_transactions
from alma_etl.dcb.flows.reconcile.patrons import check_patrons
from alma_etl.jobs.folder import RunFiles
from alma_etl.store.bucket import Bucket

log = logging.getLogger(__name__)

_DAY = timedelta(days=1)


def compare(
    folder: ReconcileFolder,
    context: ReconcileContext,
    dcb_services: Mapping[str, Callable[[], DcbService]],
    *,
    most: int = 1000,
) -> dict[str, int]:
    """Make all checks; return counts by code, everything else is in `compared.json`.

    ``dcb_services``: by sink, for those of type dcb_nudge. ``most``: virtual patrons (three calls each) and requests at
    a dcb-service (a call for each hundred) that are looked at in one night; more take turns. Doing it again is
    harmless: every fix looks first, and one condition has one alert. Raises StoreUnavailable.
    """
    findings, bucket = context.findings, folder.bucket
    before = last_run(bucket)
    since = context.now - context.settings.keep_user_ids if before is None else before - LEFT_AFTER - _DAY
    check_requests(context)
    check_outbox(context)
    check_volume(context, bucket)
    never_tracked = untracked(context, bucket)
    looked = {
        "virtual patrons": check_patrons(context, most, patrons_of(context, bucket, never_tracked)),
        "settled and ended requests": check_endings(context, since),
        "untracked placings": check_orphans(context, never_tracked),
        "FOLIO transactions": check_transactions(context),
    }
    for name, open_service in dcb_services.items():
        looked[f"requests at {name}"] = check_dcb_service(context, open_service, name, most)
    nudged = 0
    if not context.dry_run:
        nudged = context.store.nudge(findings.nudged, context.now)
        findings.settle(context.store, context.now)
        note_run(bucket, context.now)
        thinned = context.store.thin_out(context.settings, context.now)
        log.info("dropped with age: %s", thinned)
    compared = Compared(
        run_id=folder.run_id,
        at=context.now,
        mode=context.settings.mode,
        dry_run=context.dry_run,
        findings=tuple(findings.found.values()),
        looked=looked,
        unread=findings.unread,
        missed=findings.missed,
        nudged=nudged,
        finalised=tuple(findings.finalised),
    )
    folder.save(compared)
    for found in compared.open:
        log.warning("%s %s: %s", found.code, found.pr_id or "", found.advice)
    return dict(Counter(found.code for found in compared.open))


# --- the working files, ``runs/dcb_reconcile/{run_id}/``, and when the last comparison was


DAG_ID = "dcb_reconcile"
_LAST = "dcb/reconcile/last.json"


class Compared(BaseModel):
    """What a comparison came to.

    ``looked``: how many of each kind were looked at; ``unread``: systems that could not be read (any further), with
    the reason; ``missed``: single reads that failed; ``finalised``: requests that ended by it.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    at: datetime
    mode: str
    dry_run: bool
    findings: tuple[Finding, ...] = ()
    looked: dict[str, int] = {}
    unread: dict[str, str] = {}
    missed: dict[str, int] = {}
    nudged: int = 0
    finalised: tuple[str, ...] = ()

    @property
    def open(self) -> list[Finding]:
        """What is still not as it should be, the urgent first."""
        ranks = ("urgent", "warning", "info")
        still = [found for found in self.findings if not found.over]
        return sorted(still, key=lambda found: (ranks.index(found.severity), found.code, found.key))

    @property
    def fixed(self) -> list[Finding]:
        """What was put right by this run."""
        return [found for found in self.findings if found.over]

    @property
    def pressing(self) -> list[Finding]:
        """What is urgent and nobody has taken note of."""
        return [found for found in self.open if found.severity == "urgent" and found.acked_by is None]


class ReconcileFolder(RunFiles):
    """The keys of one comparison's files."""

    def __init__(self, bucket: Bucket, run_id: str, dag_id: str = DAG_ID) -> None:
        super().__init__(bucket, run_id, dag_id)

    def save(self, compared: Compared) -> None:
        """The comparison is made."""
        self.bucket.put(
            self.key("compared.json"), compared.model_dump_json(indent=1).encode(), "application/json"
        )

    def find(self) -> Compared | None:
        """The comparison, None when it was not made."""
        found = self.bucket.find(self.key("compared.json"))
        return None if found is None else Compared.model_validate_json(found)


def last_run(bucket: Bucket) -> datetime | None:
    """When a comparison was last made (dry runs aside)."""
    kept = bucket.find(_LAST)
    return None if kept is None else datetime.fromisoformat(json.loads(kept)["at"])


def note_run(bucket: Bucket, at: datetime) -> None:
    """A comparison was made."""
    bucket.put(_LAST, json.dumps({"at": at.isoformat()}).encode(), "application/json")
