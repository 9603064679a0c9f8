"""Checks against the partners' books: dcb-service's status, mod-dcb's transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from alma_etl.dcb.dcb_service import PAGE, DcbService
from alma_etl.dcb.flows.reconcile.findings import Code, ReconcileContext, why
from alma_etl.dcb.flows.reconcile.patrons import tonight
from alma_etl.dcb.machine.vocabulary import BOOK_OUT, SETTLED, TXN_OF, UNDER_WAY, Role, Status, Txn
from alma_etl.dcb.sides.ports import Done, describe
from alma_etl.dcb.store.rows import LegRecord, Tracked
from alma_etl.errors import InputProblem
from alma_etl.remote.answers import Found, Unknown
from alma_etl.remote.errors import RemoteError, RemoteRefused, RemoteStop

APART_FOR = timedelta(hours=2)
_WAITS = "it waits for FOLIO's own circulation"
_CHAIN = tuple(Txn)[: tuple(Txn).index(Txn.CLOSED) + 1]


def check_dcb_service(
    context: ReconcileContext,
    open_service: Callable[[], DcbService],
    name: str,
    most: int,
) -> int:
    """DCB_MISMATCH: dcb-service shows something else for more than two hours, also after it was nudged.

    ``name``: of the sink, for the report. One call for each hundred requests, and one for each that differs, which is
    then looked at again; at most ``most`` requests a night. Return their number.
    """
    waiting = {each.pr_id: each for each in context.store.live() if _is_settled_in(context, each)}
    context.findings.past(context.store, (Code.DCB_MISMATCH,), waiting)
    turn = tonight([(name, pr_id) for pr_id in waiting], context.now, most)
    looked = 0
    try:
        with open_service() as service:
            for start in range(0, len(turn), PAGE):
                part = [waiting[pr_id] for _, pr_id in turn[start : start + PAGE]]
                looked += _compare_statuses(context, service, part, name)
    except (RemoteStop, InputProblem) as problem:
        context.findings.could_not_read(name, why(problem))
    return looked


def _is_settled_in(context: ReconcileContext, tracked: Tracked) -> bool:
    return context.now - tracked.status_since > APART_FOR


def agrees(ours: Status, theirs: str) -> bool:
    """Whether dcb-service's status says the same as ours.

    Its RECEIVED_AT_PICKUP and READY_FOR_PICKUP are one moment in Alma; versions before 9.0 have no status for a book
    that must come home after a cancellation; what is settled it ends in its own time.
    """
    if theirs == ours:
        return True
    if ours in (Status.RECEIVED_AT_PICKUP, Status.READY_FOR_PICKUP):
        return theirs in (Status.RECEIVED_AT_PICKUP, Status.READY_FOR_PICKUP)
    if ours is Status.AWAITING_RETURN:
        return theirs in (Status.CANCELLED, Status.RETURN_TRANSIT, Status.FINALISED)
    return ours in SETTLED and theirs in SETTLED | {Status.FINALISED}


def _compare_statuses(
    context: ReconcileContext, service: DcbService, requests: Sequence[Tracked], name: str
) -> int:
    shown = _shown(context, service, requests, name)
    if shown is None:
        return 0
    differing = [each for each in requests if _differs(shown, each)]
    did = {}
    if differing and not context.dry_run:
        did = {each.pr_id: _asked_to_look(service, each.pr_id) for each in differing}
        again = _shown(context, service, differing, name)
        if again is None:
            return len(requests) - len(differing)
        shown |= again
    for tracked in requests:
        if _differs(shown, tracked):
            theirs = shown.get(tracked.pr_id, "unknown there")
            context.findings.add(
                Code.DCB_MISMATCH,
                f"dcb-service shows {theirs}, here it is {tracked.status}: compare the two timelines",
                tracked=tracked,
                subject=tracked.pr_id,
                detail={"theirs": theirs[:60], "sink": name},
                did=did.get(tracked.pr_id, ""),
            )
        context.findings.looked((Code.DCB_MISMATCH,), tracked.pr_id)
    return len(requests)


def _shown(
    context: ReconcileContext, service: DcbService, requests: Sequence[Tracked], name: str
) -> dict[str, str] | None:
    """What dcb-service shows of those that it knows; None when that could not be read."""
    try:
        return service.statuses_of([each.pr_id for each in requests])
    except RemoteStop:
        raise
    except RemoteRefused as problem:  # another schema: that concerns all of them
        context.findings.could_not_read(name, problem.message)
    except RemoteError:
        context.findings.missed_one(name)
    return None


def _asked_to_look(service: DcbService, pr_id: str) -> str:
    try:
        service.nudge(pr_id)
    except RemoteStop:
        raise
    except RemoteError as problem:
        return f"dcb-service could not be asked to look: {describe(problem)}"
    return "dcb-service was asked to look"


def _differs(shown: Mapping[str, str], tracked: Tracked) -> bool:
    theirs = shown.get(tracked.pr_id)
    return theirs is None or not agrees(tracked.status, theirs)


def check_transactions(context: ReconcileContext) -> int:
    """TXN_MISMATCH: a FOLIO side's transaction stands elsewhere for more than two hours. What may be sent is sent
    again. One call each; return their number."""
    looked, asked, closed = 0, set(), set()
    for tracked in context.store.live():
        if tracked.status not in TXN_OF or not _is_settled_in(context, tracked):
            continue
        for leg in tracked.legs.values():
            if leg.system_kind != "MOD_DCB" or leg.txn_id is None:
                continue
            asked.add(tracked.pr_id)
            if leg.system_code in closed:
                continue
            try:
                looked += _compare_txn(context, tracked, leg, leg.txn_id)
            except (RemoteStop, InputProblem) as problem:
                closed.add(leg.system_code)
                context.findings.could_not_read(leg.system_code, why(problem))
    context.findings.past(context.store, (Code.TXN_MISMATCH,), asked)
    return looked


def _compare_txn(context: ReconcileContext, tracked: Tracked, leg: LegRecord, txn_id: str) -> bool:
    mod_dcb, expected = context.systems.mod_dcb(leg.system_code), TXN_OF[tracked.status]
    shown = mod_dcb.status(txn_id)
    if isinstance(shown, Unknown):
        context.findings.missed_one(leg.system_code)
        return False
    theirs = shown.value if isinstance(shown, Found) else Txn.MISSING.value
    did, over = "", False
    if theirs != expected and not _is_fine(theirs, tracked, leg):
        if _is_ahead(theirs, expected):
            context.findings.nudged.add(tracked.pr_id)
            did = context.did("is looked at by the next dcb_status_sync")
        elif _sends(context, tracked, leg) and isinstance(shown, Found) and expected is not Txn.CREATED:
            did = context.did("sent again")
            if not context.dry_run:
                answer = mod_dcb.move_to(txn_id, expected, leg.role)
                again = mod_dcb.status(txn_id)
                over = isinstance(again, Found) and again.value == expected
                did = answer.reason if not isinstance(answer, Done) else _WAITS
                did = "sent again" if over else did
        context.findings.add(
            Code.TXN_MISMATCH,
            f"{leg.system_code}: the transaction is {theirs}, expected is {expected}: look in FOLIO",
            tracked=tracked,
            part=f"{leg.system_code}:{tracked.pr_id}",
            subject=tracked.pr_id,
            detail={"system": leg.system_code, "theirs": theirs[:60], "expected": expected},
            did=did,
            over=over,
        )
    context.findings.looked((Code.TXN_MISMATCH,), tracked.pr_id)
    return True


def _is_fine(theirs: str, tracked: Tracked, leg: LegRecord) -> bool:
    """Other words that fit: a hold that expired is a cancellation to us; the lender's own steps lag or lead."""
    if tracked.status in (Status.AWAITING_RETURN, Status.CANCELLED):
        return theirs in (Txn.EXPIRED, Txn.CLOSED)
    if leg.role is Role.SUPPLIER:
        if tracked.status in UNDER_WAY:  # on its way it is OPEN there, whatever the pickup library has seen
            return theirs in (Txn.OPEN, Txn.AWAITING_PICKUP)
        return tracked.status in BOOK_OUT and theirs in (Txn.ITEM_CHECKED_OUT, Txn.ITEM_CHECKED_IN)
    return False


def _is_ahead(theirs: str, expected: Txn) -> bool:
    if theirs not in _CHAIN or expected not in _CHAIN:
        return theirs in (Txn.CANCELLED, Txn.EXPIRED)
    return _CHAIN.index(Txn(theirs)) > _CHAIN.index(expected)


def _sends(context: ReconcileContext, tracked: Tracked, leg: LegRecord) -> bool:
    """Whether moving this transaction is ours: we act, or the settings name its mod-dcb as a sink."""
    if context.drives or not tracked.is_ours:
        return tracked.is_ours
    system = context.settings.systems.get(leg.system_code)
    sinks = {sink.conn_id for sink in context.settings.sinks if sink.type == "mod_dcb"}
    return system is not None and system.conn_id in sinks
