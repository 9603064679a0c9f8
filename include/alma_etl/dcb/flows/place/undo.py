"""Taking back what a placing did, when it cannot be finished: the latest first, and never what is unknown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from alma_etl.dcb.flows.place.progress import Placing, Progress
from alma_etl.dcb.flows.place.sides import system_of, user_of
from alma_etl.dcb.machine.vocabulary import Role, Txn
from alma_etl.dcb.sides import folio
from alma_etl.dcb.sides.alma_act import cancel_hold, find_hold
from alma_etl.dcb.sides.marks import hold_mark
from alma_etl.dcb.sides.ports import Impossible, Unsettled, known
from alma_etl.dcb.sides.virtual_item import remove
from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.remote.errors import RemoteError


def undo(placing: Placing, progress: Progress, refusal: str) -> NotAcceptable:
    """Take back all that this request has in the Almas, by its marks; the sentence for people comes back.

    What cannot be taken back, or of which nobody knows, is listed instead. Nothing of a request that is tracked is
    taken back: that is on its way.
    """
    if placing.tools.store.get(progress.pr_id) is not None:
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
    told = [f"The request {progress.pr_id} was not placed. {(progress.problem or '').rstrip('.')}."]
    if progress.undone:
        told.append(f"Undone: {', '.join(progress.undone)}.")
    if progress.left:
        left = "; ".join(progress.left)
        told.append(f"Left: {left}. Run it once more with the same conf to undo that, or do it by hand.")
    elif not progress.undone:
        told.append("Nothing was left behind.")
    return " ".join(told)


def _try(placing: Placing, progress: Progress, what: str, deed: Callable[[], bool]) -> None:
    placing.check_alone()
    try:
        if deed():
            progress.undone.append(what)
    except (Impossible, Unsettled, InputProblem) as problem:
        progress.left.append(f"{what} ({problem})")
    except RemoteError as error:
        progress.left.append(f"{what} ({type(error).__name__}: Alma cannot be asked now)")


def _cancel(placing: Placing, progress: Progress, role: Role) -> bool:
    """Cancel the hold with our mark, or the transaction; False when there was none."""
    code, system = system_of(placing, role)
    if system.kind == "mod_dcb":
        mod_dcb = placing.tools.systems.mod_dcb(code)
        progress.legs.pop(role, None)
        if known(mod_dcb.status(progress.pr_id), "The FOLIO transaction") is None:
            return False
        folio.move(mod_dcb, progress.pr_id, Txn.CANCELLED, role)
        return True
    alma = placing.tools.systems.alma(code)
    user_id = user_of(placing.place, progress, role)
    leg = progress.supplier if role is Role.SUPPLIER else progress.legs.get(role)
    request_id = leg.request_id if leg else None
    if request_id is None:
        hold = find_hold(alma, user_id, hold_mark(progress.pr_id, role))
        request_id = hold.request_id if hold else None
    if request_id is None:
        return False
    cancel_hold(alma, user_id, request_id, system.cancel_reason)
    progress.legs.pop(role, None)
    if role is Role.SUPPLIER:
        progress.supplier = None
    return True


def _remove(placing: Placing, progress: Progress, role: Role) -> bool:
    code, system = system_of(placing, role)
    if system.kind == "mod_dcb":
        return False
    item = progress.items.get(role)
    removed = remove(placing.tools.systems.alma(code), progress.pr_id, item.mms_id if item else None)
    progress.items.pop(role, None)
    return removed
