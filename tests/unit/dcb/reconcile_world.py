"""One comparison, with all that it needs."""

import csv
import io
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.flows.reconcile.compare import Compared, ReconcileFolder, compare
from alma_etl.dcb.flows.reconcile.findings import ReconcileContext
from alma_etl.dcb.flows.reconcile.report import write_report
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore
from alma_etl.store.bucket import Bucket


class Nobody:
    """No system can be opened: the test needs none."""

    def alma(self, conn_id: str) -> Any:
        raise AssertionError(f"{conn_id} is asked")

    def mod_dcb(self, conn_id: str) -> Any:
        raise AssertionError(f"{conn_id} is asked")


class Nights:
    """Runs comparisons, each with a run id of its own."""

    def __init__(
        self, store: DcbStore, settings: DcbSettings, bucket: Bucket, systems: Systems | None = None
    ) -> None:
        self.store = store
        self.settings = settings
        self.bucket = bucket
        self.systems = systems or Systems(settings, Nobody())
        self.services: Mapping[str, Callable[[], DcbService]] = {}
        self.runs = 0

    def folder(self) -> ReconcileFolder:
        return ReconcileFolder(self.bucket, f"night-{self.runs}")

    def night(self, now: datetime, *, dry_run: bool = False, most: int = 1000) -> Compared:
        """Compare and report."""
        self.runs += 1
        context = ReconcileContext(
            self.store, self.settings, self.systems, now, f"night-{self.runs}", dry_run
        )
        compare(self.folder(), context, self.services, most=most)
        write_report(self.folder(), {})
        compared = self.folder().find()
        assert compared is not None
        return compared

    def codes(self, now: datetime, **more: Any) -> list[str]:
        """What a comparison finds that is still open, by code."""
        return [found.code for found in self.night(now, **more).open]

    def alerts(self) -> list[str]:
        """Codes of the open alerts."""
        return sorted(alert.code for alert in self.store.open_alerts())

    def table(self) -> list[dict[str, str]]:
        """The last report's table."""
        text = self.bucket.get(self.folder().key("findings.csv")).decode()
        return list(csv.DictReader(io.StringIO(text)))
