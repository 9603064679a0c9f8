"""The last step: the request is handed over to `dcb_status_sync`, and the run says how it went."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from alma_etl.dcb.faults import fault_of
from alma_etl.dcb.flows.place.problems import kept
from alma_etl.dcb.flows.place.progress import Placing, Progress
from alma_etl.dcb.flows.place.sides import patron_roles, system_of
from alma_etl.dcb.flows.place.steps import conf_to_track
from alma_etl.dcb.flows.place.undo import sentence, undo
from alma_etl.dcb.machine.model import Ack, Moment, Observation
from alma_etl.dcb.machine.vocabulary import AckName, Role, Workflow
from alma_etl.dcb.sides import ports
from alma_etl.dcb.sides.alma_read import AlmaReader
from alma_etl.dcb.store import HoldTaken, NewRequest, Report
from alma_etl.errors import NotAcceptable, RunStopped
from alma_etl.jobs.pages import render
from alma_etl.remote.errors import RemoteError
from alma_etl.store.db import StoreRefused, StoreUnavailable
from alma_etl.store.locks import LockBusy, LockLost

log = logging.getLogger(__name__)

_STEPS = (
    "check_patron",
    "ensure_virtual_patron",
    "place_supplier_request",
    "create_virtual_item",
    "place_borrower_request",
    "track",
)


def track(placing: Placing, states: Mapping[str, str]) -> str:
    """Track the request from now on, as confirmed and placed at the borrower; returns its status.

    ``states``: tasks of the run that did not succeed. Is to run always: with some, it writes the page, and raises
    NotAcceptable with what was undone, or what stands and how to go on. So it does when the request cannot be tracked;
    what another try may fix is raised as it is, after the page was written.
    """
    progress = placing.find()
    if states:
        told = _failure(placing, progress, states)
        _report(placing, progress, told, failed=True)
        raise NotAcceptable(told)
    if placing.dry_run:
        told = f"A rehearsal: the request {placing.place.pr_id} can be placed. Nothing was written."
        if progress.tracked:
            told = (
                f"A rehearsal: the request {placing.place.pr_id} is tracked already and {progress.tracked}."
            )
        status = "rehearsed"
    else:
        try:
            progress = _handed_over(placing)
        except Exception as problem:
            progress = placing.find()
            told = str(problem) if isinstance(problem, NotAcceptable) else _untracked(progress, problem)
            _report(placing, progress, told, failed=True)
            log.error("%s", told)
            raise
        status = str(progress.tracked)
        told = f"The request {placing.place.pr_id} is placed and tracked: it is {status}."
    _report(placing, progress, told)
    log.info("%s", told)
    return status


def _handed_over(placing: Placing) -> Progress:
    """Track the request. Raises NotAcceptable when that will never be, after all was undone that can be."""
    with placing.locked():
        progress = placing.load()
        try:
            progress.tracked = progress.tracked or _hand_over(placing, progress)
        except (HoldTaken, StoreRefused) as refusal:
            raise undo(placing, progress, f"It cannot be tracked: {refusal}") from refusal
        progress.note("track", f"The request is tracked and {progress.tracked}.")
        placing.save(progress)
        return progress


def _untracked(progress: Progress, problem: Exception) -> str:
    """What stands while the request could not be tracked yet; what was undone, where it was."""
    if progress.problem:
        return sentence(progress)
    if isinstance(problem, RemoteError):
        reason = ports.describe(problem)
    elif isinstance(problem, StoreUnavailable | RunStopped | LockBusy | LockLost):
        reason = str(problem)
    else:
        reason = fault_of(problem)
    stands = "; ".join(progress.stands) or "nothing"
    return (
        f"The request {progress.pr_id} is not tracked: {reason.rstrip('.')}. What stands: {stands}. The task is tried "
        "again; if it stays so, fix the cause and clear track: nothing is made twice."
    )


def _hand_over(placing: Placing, progress: Progress) -> str:
    tools, place = placing.tools, placing.place
    assert progress.supplier is not None
    legs = (progress.supplier, *(progress.legs[role] for role in patron_roles(place)))
    new = NewRequest(place.pr_id, legs, Workflow(place.workflow), conf_to_track(placing, progress))
    placing.check_alone()
    tools.store.add(new, tools.now())
    # Two steps: what was seen of the lender's hold confirms it, and only then the borrower's side counts as placed.
    tools.store.apply(place.pr_id, [_seen(placing, progress)], settings=tools.settings, now=tools.now())
    applied = tools.store.apply(
        place.pr_id, _placed(placing, progress), settings=tools.settings, now=tools.now()
    )
    return applied.status


def _seen(placing: Placing, progress: Progress) -> Report:
    """The lender's hold and item, as they are."""
    assert progress.supplier is not None
    code, _ = system_of(placing, Role.SUPPLIER)
    at = Moment.at(placing.tools.now())
    reader = AlmaReader(placing.tools.systems.alma(code))
    observation = Observation(
        Role.SUPPLIER, at, request=reader.request(progress.supplier), item=reader.item(progress.supplier)
    )
    return Report(observation, "POLL", tuple(reader.errors()))


def _placed(placing: Placing, progress: Progress) -> list[Report]:
    names = {Role.BORROWER: AckName.BORROWER_PLACED, Role.PICKUP: AckName.PICKUP_PLACED}
    at = Moment.at(placing.tools.now())
    return [
        Report(Ack(names[role], at, role, barcode=progress.legs[role].barcode), "ACK")
        for role in patron_roles(placing.place)
    ]


def _failure(placing: Placing, progress: Progress, states: Mapping[str, str]) -> str:
    if progress.problem:
        return sentence(progress)
    failed = ", ".join(task for task, state in states.items() if state == "failed") or ", ".join(states)
    told = kept(placing.files) or f"{failed} failed, its log says why."
    if not told.startswith("The request "):
        told = f"The request {progress.pr_id} is not placed: {told}"
    if progress.stands and not _is_tracked(placing):
        told = told.rstrip(".") + "."
        told += f" What stands: {'; '.join(progress.stands)}. Clear {failed} with downstream to go on; "
        told += "nothing is doubled."
    return told


def _is_tracked(placing: Placing) -> bool:
    try:
        return placing.tools.store.get(placing.place.pr_id) is not None
    except StoreUnavailable:
        return False  # as far as anybody knows: better to report what stands needlessly than not at all


def _report(placing: Placing, progress: Progress, told: str, *, failed: bool = False) -> None:
    rows = [(step, line) for step in _STEPS for line in progress.lines.get(step, [])]
    page = render(
        "dcb_steps.html",
        heading=f"Placing of request {placing.place.pr_id}",
        run_id=placing.files.run_id,
        sentence=told,
        verdict_class="bad" if failed else ("rehearsal" if placing.dry_run else ""),
        rows=rows,
    )
    placing.files.bucket.put(placing.files.key("report.html"), page, "text/html; charset=utf-8")
