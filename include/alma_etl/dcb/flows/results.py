"""What runs of the DCB jobs came to, as the ledger keeps it: by the requests' pr_ids alone, no user's id."""

from __future__ import annotations

from collections import Counter

from alma_etl.dcb.flows.cancel import Cancelling
from alma_etl.dcb.flows.place.progress import Placing
from alma_etl.dcb.flows.reconcile.compare import ReconcileFolder
from alma_etl.dcb.flows.tick.folder import SyncFolder
from alma_etl.dcb.flows.tick.report import read_summary
from alma_etl.jobs.folder import RunFiles
from alma_etl.jobs.ledger import Results, found_artefacts
from alma_etl.jobs.ledger_reading import Artefact


def of_placing(placing: Placing) -> Results:
    """Whether the request is tracked, as its status."""
    tracked = placing.find().tracked
    return Results({str(tracked): 1} if tracked else {}, artefacts=_artefacts(placing.files))


def of_cancelling(run: Cancelling) -> Results:
    """Whether the request was cancelled."""
    return Results({"cancelled": 1} if run.said().done else {}, artefacts=_artefacts(run.files))


def of_tick(folder: SyncFolder) -> Results:
    """The requests by what became of their turn, and how much was changed, done and published."""
    summary = read_summary(folder)
    if summary is None:
        return Results({}, artefacts=_artefacts(folder))
    return Results(
        {name: getattr(summary, name) for name in ("polled", "frozen", "late", "left")},
        {
            "due": summary.due,
            "changed": len(summary.changed),
            "failed_reads": summary.failed_reads,
            "actions": _by_state(summary.actions),
            "events": _by_state(summary.events),
        },
        _artefacts(folder, summary="summary.json"),
        dry_run=summary.dry_run,
    )


def of_comparison(folder: ReconcileFolder) -> Results:
    """The open findings by their codes."""
    compared = folder.find()
    if compared is None:
        return Results({}, artefacts=_artefacts(folder))
    return Results(
        dict(Counter(found.code for found in compared.open)),
        {"looked": compared.looked, "fixed": len(compared.fixed), "unread": sorted(compared.unread)},
        _artefacts(folder, table="findings.csv", summary="compared.json"),
        dry_run=compared.dry_run,
    )


def _by_state(counts: dict[str, dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for states in counts.values():
        total.update(states)
    return dict(total)


def _artefacts(folder: RunFiles, **names: str) -> list[Artefact]:
    named = {"report": "report.html", **names}
    return found_artefacts(folder.bucket, [(role, folder.key(name)) for role, name in named.items()])
