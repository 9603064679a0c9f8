"""Steps 2 and 3: the findings as tables and as a page, and the final check."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from alma_etl.dcb.flows.reconcile.compare import Compared, ReconcileFolder
from alma_etl.dcb.flows.reconcile.findings import Finding
from alma_etl.errors import NotAcceptable
from alma_etl.jobs.ledger import Results, run_artefacts
from alma_etl.jobs.pages import render
from alma_etl.jobs.report_tables import CsvWriter

COLUMNS = (
    "pr_id",
    "status",
    "since",
    "legs",
    "last_ok_at",
    "last_error",
    "flags",
    "code",
    "suggested_action",
)
_SHOWN = 500


def write_report(folder: ReconcileFolder, task_states: Mapping[str, str]) -> dict[str, str]:
    """`findings.csv` (a row for each open finding) and `report.html` beside `compared.json`; return their keys.

    ``task_states``: tasks that did not succeed. No names and no users' ids stand in any of them.
    """
    compared = folder.find()
    keys = {"html": folder.key("report.html")}
    if compared is not None:
        keys |= {"json": folder.key("compared.json"), "csv": folder.key("findings.csv")}
        folder.bucket.put(keys["csv"], _table(compared), "text/csv; charset=utf-8")
    problems = _problems(compared, task_states, folder.problem())
    found = compared.open if compared is not None else []
    page = render(
        "dcb_reconcile.html",
        compared=compared,
        run_id=folder.run_id,
        sentences=problems or [_verdict(compared)],
        verdict_class="bad" if problems else "",
        counts=sorted(Counter(each.code for each in found).items()),
        found=found[:_SHOWN],
        hidden=max(0, len(found) - _SHOWN),
    )
    folder.bucket.put(keys["html"], page, "text/html; charset=utf-8")
    return keys


def check_outcome(folder: ReconcileFolder, task_states: Mapping[str, str]) -> str:
    """The final check: one sentence. Raises NotAcceptable when something is urgent that nobody has acknowledged, when a
    system could not be read, or when a task failed."""
    compared = folder.find()
    problems = _problems(compared, task_states, folder.problem())
    if problems:
        raise NotAcceptable(" ".join(problems))
    return _verdict(compared)


def _problems(compared: Compared | None, task_states: Mapping[str, str], problem: str | None) -> list[str]:
    failed = [f"The task {task} is {state}." for task, state in sorted(task_states.items())]
    if compared is None:
        return ["Nothing was compared.", *([f"{problem.rstrip('.')}."] if problem else failed)]
    pressing, sentences = compared.pressing, []
    if pressing:
        named = ", ".join(f"{found.code} {found.pr_id or ''}".strip() for found in pressing[:5])
        more = f" and {len(pressing) - 5} more" if len(pressing) > 5 else ""
        sentences.append(
            f"Urgent: {named}{more}. The page says what to do; acknowledge an alert to silence it."
        )
    for system, why in sorted(compared.unread.items()):
        sentences.append(f"{system} could not be read: {why.rstrip('.')}.")
    return [*sentences, *failed]


def _verdict(compared: Compared | None) -> str:
    if compared is None:
        return "Nothing was compared."
    found, fixed = len(compared.open), len(compared.fixed)
    what = "The books agree" if not found else f"{found} findings, none of them urgent and unacknowledged"
    return f"{what}; {fixed} fixed." if fixed else f"{what}."


def _table(compared: Compared) -> bytes:
    stream = io.BytesIO()
    table = CsvWriter(stream, COLUMNS)
    for found in compared.open:
        table.add(_cells(found))
    return stream.getvalue()


def _cells(found: Finding) -> list[str]:
    action = found.advice + (f" Done: {found.did}." if found.did else "")
    return [
        found.pr_id or "",
        found.status,
        _time(found.since),
        found.legs,
        _time(found.last_ok_at),
        found.last_error,
        " ".join(found.flags),
        found.code,
        action,
    ]


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="seconds")


def results_of(folder: ReconcileFolder) -> Results:
    """Return for the ledger the open findings by their codes."""
    compared = folder.find()
    if compared is None:
        return Results({}, artefacts=run_artefacts(folder))
    return Results(
        dict(Counter(found.code for found in compared.open)),
        {"looked": compared.looked, "fixed": len(compared.fixed), "unread": sorted(compared.unread)},
        run_artefacts(folder, table="findings.csv", summary="compared.json"),
        dry_run=compared.dry_run,
    )
