"""Conditions that depend on the status: judged anew at the end of each step."""

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.edges import BEFORE_SHIPPING, TERMINAL, UNDER_WAY
from alma_etl.dcb.machine.evidence import Evidence
from alma_etl.dcb.machine.run import Run
from alma_etl.dcb.machine.vocabulary import Item, Role, Status

_UNPROVEN = {
    Status.RETURN_TRANSIT: flags.COMPLETION_UNPROVEN,
    Status.AWAITING_RETURN: flags.RETURN_UNPROVEN,
}
_STANDS_IN = {
    flags.SUPPLIER_LOAN_FAILED: frozenset({Status.LOANED, Status.RETURN_TRANSIT}),
    flags.LOANED_AGAIN: frozenset({Status.RETURN_TRANSIT}),
    flags.LOANED_AFTER_CANCEL: frozenset({Status.AWAITING_RETURN}),
}


def judge(run: Run) -> None:
    """Raise what has begun to hold, and end what is over."""
    seen = Evidence(run.state, run.policy)
    supplier, status = seen.supplier, run.status
    if status in TERMINAL:
        run.state.standing = ()
        return
    placed = status in (Status.RPBA, Status.RPPA)
    run.stand(flags.DISPATCH_ON_WRONG_DESK, placed and supplier.item is Item.HOLDSHELF)
    waits = not any(leg.gone or leg.certain for leg in seen.patron_legs.values())
    run.stand(flags.SUPPLIER_ITEM_BACK_EARLY, status in UNDER_WAY and supplier.back in UNDER_WAY and waits)
    open_hold = status in BEFORE_SHIPPING | UNDER_WAY
    run.stand(flags.CLOSED_WITHOUT_LOAN, open_hold and seen.closed_without_loan)
    _unproven(run, seen)
    for flag, statuses in _STANDS_IN.items():
        if status not in statuses:
            run.stand(flag, False)


def _unproven(run: Run, seen: Evidence) -> None:
    """The item is in place at the lender, but nothing shows that it ever left: no proof of a return."""
    status, supplier = run.status, seen.supplier
    in_place = supplier.item is Item.AVAILABLE
    looked = status is run.began and Role.SUPPLIER in run.fresh
    for waiting, flag in _UNPROVEN.items():
        if status is not waiting or not in_place:
            run.stand(flag, False)
        elif looked:
            run.stand(flag, True)
