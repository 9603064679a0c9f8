"""Step 6: what the tick did, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alma_etl.dcb.faults import fault_of
from alma_etl.dcb.flows.tick.run import SyncFolder, reports_of, rows_of
from alma_etl.dcb.flows.tick.summary import SUMMARY, Summary, problems_of, summed_up, verdict_of
from alma_etl.dcb.machine.step import step
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import DcbStore
from alma_etl.jobs.pages import render

PAGE = "report.html"
_SHOWN = 200


def report(
    folder: SyncFolder, *, store: DcbStore, settings: DcbSettings, task_states: Mapping[str, str]
) -> dict[str, str]:
    """Write `summary.json` and `report.html`; their keys come back. ``task_states``: tasks that did not succeed."""
    summary = summed_up(folder, store, settings.mode)
    if summary.dry_run:
        summary = summary.model_copy(update={"would": tuple(_would(folder, store, settings))})
    folder.save(SUMMARY, summary)
    _write_page(folder, summary, problems_of(summary, task_states, folder.problem()))
    return {"json": folder.key(SUMMARY), "html": folder.key(PAGE)}


def report_problem(folder: SyncFolder, problem: str) -> dict[str, str]:
    """Write the page of a tick whose settings cannot be used, and return its key."""
    _write_page(folder, Summary(run_id=folder.run_id), problems_of(None, {}, folder.problem() or problem))
    return {"html": folder.key(PAGE)}


def _write_page(folder: SyncFolder, summary: Summary, problems: list[str]) -> None:
    rows = summary.would if summary.dry_run else summary.changed
    page = render(
        "dcb_sync.html",
        summary=summary,
        sentences=problems or [verdict_of(summary)],
        verdict_class="bad" if problems else ("rehearsal" if summary.dry_run else ""),
        rows=rows[:_SHOWN],
        hidden=max(0, len(rows) - _SHOWN),
    )
    folder.bucket.put(folder.key(PAGE), page, "text/html; charset=utf-8")


def _would(folder: SyncFolder, store: DcbStore, settings: DcbSettings) -> Iterator[tuple[str, str, str]]:
    """What the machine would make of what was read."""
    for row in rows_of(folder, folder.plan()):
        tracked = store.get(row["pr_id"])
        if tracked is None:
            continue
        try:
            result = step(tracked.state, [each.seen for each in reports_of(row)], settings.policy)
        except Exception as problem:  # noqa: BLE001  one request's trouble must not stop the others
            yield tracked.pr_id, str(tracked.status), f"cannot be taken in: {fault_of(problem)}"
            continue
        path = [str(each.to) for each in result.transitions]
        asked = [" ".join([action.type, *action.args]) for action in result.actions]
        if path or asked:
            words = " -> ".join(path) + (f"; then {', '.join(asked)}" if asked else "")
            yield tracked.pr_id, str(tracked.status), words
