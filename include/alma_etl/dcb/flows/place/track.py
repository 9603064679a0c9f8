"""The end of a placing: the request is handed over to `dcb_status_sync`, or what was done is taken back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from alma_etl.dcb.faults import fault_of
from alma_etl.dcb.flows.place.progress import (
    Placing,
    Progress,
    kept,
    stored_conf,
    system_of,
    write_page,
)
from alma_etl.dcb.machine.model import Ack, Moment, Observation
from alma_etl.dcb.machine.vocabulary import AckName, Role, Txn
from alma_etl.dcb.sides import folio, legs, ports
from alma_etl.dcb.sides.alma_act import cancel_hold, find_hold
from alma_etl.dcb.sides.alma_read import AlmaReader
from alma_etl.dcb.sides.marks import hold_mark
from alma_etl.dcb.sides.ports import Impossible, Unsettled, known
from alma_etl.dcb.sides.virtual_item import remove
from alma_etl.dcb.store import HoldTaken, NewRequest, Report
from alma_etl.errors import InputProblem, NotAcceptable, RunStopped
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
        said = _failure(placing, progress, states)
        _report(placing, progress, said, failed=True)
        raise NotAcceptable(said)
    if placing.dry_run:
        said = f"Dry run: the request {placing.place.pr_id} can be placed. Nothing was written."
        if progress.tracked:
            said = f"Dry run: the request {placing.place.pr_id} is tracked already and {progress.tracked}."
        status = "dry run"
    else:
        try:
            progress = _handed_over(placing)
        except Exception as problem:
            progress = placing.find()
            said = str(problem) if isinstance(problem, NotAcceptable) else _untracked(progress, problem)
            _report(placing, progress, said, failed=True)
            log.error("%s", said)
            raise
        status = str(progress.tracked)
        said = f"The request {placing.place.pr_id} is placed and tracked: it is {status}."
    _report(placing, progress, said)
    log.info("%s", said)
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
    context, place = placing.context, placing.place
    assert progress.supplier is not None
    sides = (progress.supplier, *(progress.legs[role] for role in legs.virtual_roles(place)))
    new = NewRequest(place.pr_id, sides, place.workflow, stored_conf(placing.asked, progress))
    placing.check_alone()
    context.store.add(new, context.now())
    # Two steps: what was seen of the lender's hold confirms it, and only then the borrower's side counts as placed.
    context.store.apply(place.pr_id, [_seen(placing, progress)], settings=context.settings, now=context.now())
    applied = context.store.apply(
        place.pr_id, _placed(placing, progress), settings=context.settings, now=context.now()
    )
    return applied.status


def _seen(placing: Placing, progress: Progress) -> Report:
    """The lender's hold and item, as they are."""
    assert progress.supplier is not None
    code, _ = system_of(placing, Role.SUPPLIER)
    at = Moment.at(placing.context.now())
    reader = AlmaReader(placing.context.systems.alma(code))
    observation = Observation(
        Role.SUPPLIER, at, request=reader.request(progress.supplier), item=reader.item(progress.supplier)
    )
    return Report(observation, "POLL", tuple(reader.errors()))


def _placed(placing: Placing, progress: Progress) -> list[Report]:
    names = {Role.BORROWER: AckName.BORROWER_PLACED, Role.PICKUP: AckName.PICKUP_PLACED}
    at = Moment.at(placing.context.now())
    return [
        Report(Ack(names[role], at, role, barcode=progress.legs[role].barcode), "ACK")
        for role in legs.virtual_roles(placing.place)
    ]


def _failure(placing: Placing, progress: Progress, states: Mapping[str, str]) -> str:
    if progress.problem:
        return sentence(progress)
    failed = ", ".join(task for task, state in states.items() if state == "failed") or ", ".join(states)
    said = kept(placing.files) or f"{failed} failed, its log says why."
    if not said.startswith("The request "):
        said = f"The request {progress.pr_id} is not placed: {said}"
    if progress.stands and not _is_tracked(placing):
        said = said.rstrip(".") + "."
        said += f" What stands: {'; '.join(progress.stands)}. Clear {failed} with downstream to go on; "
        said += "nothing is doubled."
    return said


def _is_tracked(placing: Placing) -> bool:
    try:
        return placing.context.store.get(placing.place.pr_id) is not None
    except StoreUnavailable:
        return False  # as far as anybody knows: better to report what stands needlessly than not at all


def _report(placing: Placing, progress: Progress, said: str, *, failed: bool = False) -> None:
    rows = [(step, line) for step in _STEPS for line in progress.lines.get(step, [])]
    heading = f"Placing of request {placing.place.pr_id}"
    write_page(placing.files, heading, said, rows, failed=failed, dry_run=placing.dry_run)


# --- taking back what a placing did: the latest first, and never what is unknown


def undo(placing: Placing, progress: Progress, refusal: str) -> NotAcceptable:
    """Take back all that this request has in the Almas, by its marks; return the sentence for people.

    What cannot be taken back, or of which nobody knows, is listed instead. Nothing of a request that is tracked is
    taken back: that is on its way.
    """
    if placing.context.store.get(progress.pr_id) is not None:
        return NotAcceptable(f"The request {progress.pr_id} is tracked, so nothing was undone. {refusal}")
    progress.problem, progress.undone, progress.left = refusal, [], []
    for role in (Role.PICKUP, Role.BORROWER):
        if f"place_borrower_request:{role}" in progress.begun:
            _try(
                placing,
                progress,
                f"the hold of the {role.lower()}",
                partial(_cancel, placing, progress, role),
            )
        if f"create_virtual_item:{role}" in progress.begun:
            _try(
                placing,
                progress,
                f"the virtual item at the {role.lower()}",
                partial(_remove, placing, progress, role),
            )
    if f"place_supplier_request:{Role.SUPPLIER}" in progress.begun:
        _try(placing, progress, "the lender's hold", partial(_cancel, placing, progress, Role.SUPPLIER))
    if progress.left:
        placing.save(progress)
    else:
        placing.give_up(progress)
    return NotAcceptable(sentence(progress))


def sentence(progress: Progress) -> str:
    """What went wrong, what was undone and what is left."""
    said = [f"The request {progress.pr_id} was not placed. {(progress.problem or '').rstrip('.')}."]
    if progress.undone:
        said.append(f"Undone: {', '.join(progress.undone)}.")
    if progress.left:
        left = "; ".join(progress.left)
        said.append(f"Left: {left}. Run it once more with the same conf to undo that, or do it by hand.")
    elif not progress.undone:
        said.append("Nothing was left behind.")
    return " ".join(said)


def _try(placing: Placing, progress: Progress, what: str, action: Callable[[], bool]) -> None:
    placing.check_alone()
    try:
        if action():
            progress.undone.append(what)
    except (Impossible, Unsettled, InputProblem) as problem:
        progress.left.append(f"{what} ({problem})")
    except RemoteError as error:
        progress.left.append(f"{what} ({type(error).__name__}: Alma cannot be asked now)")


def _cancel(placing: Placing, progress: Progress, role: Role) -> bool:
    """Cancel the hold with our mark, or the transaction; False when there was none."""
    code, system = system_of(placing, role)
    if system.kind == "mod_dcb":
        mod_dcb = placing.context.systems.mod_dcb(code)
        progress.legs.pop(role, None)
        if known(mod_dcb.status(progress.pr_id), "The FOLIO transaction") is None:
            return False
        folio.move(mod_dcb, progress.pr_id, Txn.CANCELLED, role)
        return True
    alma = placing.context.systems.alma(code)
    user_id = legs.user_at(placing.place, role)
    leg = progress.supplier if role is Role.SUPPLIER else progress.legs.get(role)
    request_id = leg.request_id if leg else None
    if request_id is None:
        hold = find_hold(alma, user_id, hold_mark(progress.pr_id, role))
        request_id = hold.request_id if hold else None
    if request_id is None:
        return False
    cancel_hold(alma, user_id, request_id, system.reason_for("no_longer_needed"))
    progress.legs.pop(role, None)
    if role is Role.SUPPLIER:
        progress.supplier = None
    return True


def _remove(placing: Placing, progress: Progress, role: Role) -> bool:
    code, system = system_of(placing, role)
    if system.kind == "mod_dcb":
        return False
    item = progress.items.get(role)
    removed = remove(placing.context.systems.alma(code), progress.pr_id, item.mms_id if item else None)
    progress.items.pop(role, None)
    return removed
