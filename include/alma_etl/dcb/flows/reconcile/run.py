"""The working files of one comparison: ``runs/dcb_reconcile/{run_id}/``, and when the last one was."""

from __future__ import annotations

import json
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from alma_etl.dcb.flows.reconcile.findings import Finding
from alma_etl.jobs.folder import RunFiles
from alma_etl.store.bucket import Bucket

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
    def mended(self) -> list[Finding]:
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
