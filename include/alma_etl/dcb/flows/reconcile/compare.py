"""Step 1: make the checks, mend what may be mended, keep the alerts, and drop what is not kept for ever."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.flows.reconcile.endings import LEFT_AFTER, check_endings
from alma_etl.dcb.flows.reconcile.ledger import Ledger
from alma_etl.dcb.flows.reconcile.orphans import check_orphans, patrons_of, untracked
from alma_etl.dcb.flows.reconcile.own import check_outbox, check_requests, check_volume
from alma_etl.dcb.flows.reconcile.partners import check_dcb_service, check_transactions
from alma_etl.dcb.flows.reconcile.patrons import check_patrons
from alma_etl.dcb.flows.reconcile.run import Compared, ReconcileFolder, last_run, note_run
from alma_etl.dcb.flows.reconcile.tools import Tools

log = logging.getLogger(__name__)

_DAY = timedelta(days=1)


def compare(
    folder: ReconcileFolder,
    tools: Tools,
    dcb_services: Mapping[str, Callable[[], DcbService]],
    *,
    most: int = 1000,
) -> dict[str, int]:
    """All checks; counts by code come back, everything else is in `compared.json`.

    ``dcb_services``: by sink, for those of type dcb_nudge. ``most``: virtual patrons (three calls each) and requests at
    a dcb-service (one call each) that are looked at in one night; more take turns. Doing it again is harmless: every
    mending looks first, and one condition has one alert. Raises StoreUnavailable.
    """
    ledger, bucket = Ledger(), folder.bucket
    before = last_run(bucket)
    since = tools.now - tools.settings.keep_user_ids if before is None else before - LEFT_AFTER - _DAY
    check_requests(tools, ledger)
    check_outbox(tools, ledger)
    check_volume(tools, ledger, bucket)
    never_tracked = untracked(tools, bucket)
    looked = {
        "virtual patrons": check_patrons(tools, ledger, most, patrons_of(tools, bucket, never_tracked)),
        "settled and ended requests": check_endings(tools, ledger, since),
        "untracked placings": check_orphans(tools, ledger, never_tracked),
        "FOLIO transactions": check_transactions(tools, ledger),
    }
    for name, open_service in dcb_services.items():
        looked[f"requests at {name}"] = check_dcb_service(tools, ledger, open_service, name, most)
    nudged = 0
    if not tools.dry_run:
        nudged = tools.store.nudge(ledger.nudged, tools.now)
        ledger.settle(tools.store, tools.now)
        note_run(bucket, tools.now)
        thinned = tools.store.thin_out(tools.settings, tools.now)
        log.info("dropped with age: %s", thinned)
    compared = Compared(
        run_id=folder.run_id,
        at=tools.now,
        mode=tools.settings.mode,
        dry_run=tools.dry_run,
        findings=tuple(ledger.findings.values()),
        looked=looked,
        unread=ledger.unread,
        missed=ledger.missed,
        nudged=nudged,
        finalised=tuple(ledger.finalised),
    )
    folder.save(compared)
    for found in compared.open:
        log.warning("%s %s: %s", found.code, found.pr_id or "", found.advice)
    return dict(Counter(found.code for found in compared.open))
