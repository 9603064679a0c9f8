"""Checks of what is left: of requests that are over, and of placings that were never tracked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.alma.user_requests import UserRequest
from alma_etl.dcb.flows.place.progress import claimed, progress_of
from alma_etl.dcb.flows.reconcile.findings import Code, ReconcileContext, why
from alma_etl.dcb.flows.reconcile.patrons import SETTLES, is_young
from alma_etl.dcb.machine.flags import CANCELLED_IN_TRANSIT
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import SETTLED, TERMINAL, AckName, ActionType, Role
from alma_etl.dcb.sides import marks
from alma_etl.dcb.sides.ports import Impossible, Unsettled, known
from alma_etl.dcb.sides.virtual_item import is_lent, remove
from alma_etl.dcb.store.rows import LegRecord, Report, Tracked
from alma_etl.errors import InputProblem
from alma_etl.remote.errors import RemoteStop
from alma_etl.store.bucket import Bucket

# --- is the book home, and is what was made for the request gone?


LEFT_AFTER = timedelta(days=2)
_ENDED = (Code.LEFTOVER_VIRTUAL, Code.FINALISED_WHILE_OUT)


def check_endings(context: ReconcileContext, since: datetime) -> int:
    """LEFTOVER_VIRTUAL, and FINALISED_WHILE_OUT on the patron's side: of settled requests, of those that ended
    ``since``, and of those about which such an alert is open. About one call each; return their number."""
    looked, closed = 0, set[str]()
    for tracked in _requests(context, since):
        systems = _systems(tracked)
        if systems in closed:
            continue
        try:
            looked += _look_at_ended(context, tracked)
        except Unsettled:
            context.findings.missed_one(systems)
        except (RemoteStop, InputProblem) as problem:
            context.findings.could_not_read(systems, why(problem))
            closed.add(systems)
    return looked


def _requests(context: ReconcileContext, since: datetime) -> list[Tracked]:
    found = {each.pr_id: each for each in context.store.live() if each.status in SETTLED}
    found |= {each.pr_id: each for each in context.store.ended(since)}
    for alert in context.store.open_alerts():
        if alert.code in _ENDED and alert.pr_id is not None and alert.pr_id not in found:
            tracked = context.store.get(alert.pr_id)
            if tracked is not None and tracked.status in SETTLED | TERMINAL:
                found[alert.pr_id] = tracked
    return list(found.values())


def _systems(tracked: Tracked) -> str:
    return ", ".join(sorted({leg.system_code for leg in _patron_sides(tracked)}))


def _patron_sides(tracked: Tracked) -> list[LegRecord]:
    legs = (tracked.legs.get(role) for role in (Role.BORROWER, Role.PICKUP))
    return [leg for leg in legs if leg is not None and leg.system_kind == "ALMA"]


def _look_at_ended(context: ReconcileContext, tracked: Tracked) -> bool:
    old = context.now - tracked.status_since > LEFT_AFTER
    if tracked.status in SETTLED and context.acts_for(tracked):
        waits = (
            CANCELLED_IN_TRANSIT in tracked.state.standing
        )  # an alert by itself, and looked at by dcb_status_sync
        if old and not waits:  # before that the action CLEANUP is on its way
            _clean_again(context, tracked)
        context.findings.looked(_ENDED, tracked.pr_id)
        return False
    left = [leg for leg in _patron_sides(tracked) if _is_there(context, leg)]
    if tracked.status in SETTLED:
        _watch(context, tracked, left, old)
    else:
        for leg in left:
            _left_over(context, tracked, leg, old)
    context.findings.looked(_ENDED, tracked.pr_id)
    return True


def _is_there(context: ReconcileContext, leg: LegRecord) -> bool:
    """Whether Alma still has the virtual item; where we do not know its ids it never was ours to look after."""
    if leg.mms_id is None:
        return False
    alma = context.systems.alma(leg.system_code)
    if leg.is_virtual:  # we made it: with its title everything is gone
        return known(alma.bibs.read(leg.mms_id), f"The virtual title {leg.mms_id}") is not None
    if leg.item_pid is None:
        return False
    item = alma.items.read(leg.mms_id, leg.holding_id or "ALL", leg.item_pid)
    return known(item, f"The virtual item {leg.item_pid}") is not None


def _clean_again(context: ReconcileContext, tracked: Tracked) -> None:
    """A request of ours that was settled days ago, and is not cleaned up."""
    rows = context.store.not_done(tracked.pr_id, ActionType.CLEANUP)
    did = context.did("the cleanup is tried again") if rows else ""
    if rows and context.fixes:
        context.store.revive(rows[-1], context.now)
    context.findings.add(
        Code.LEFTOVER_VIRTUAL,
        "The request is settled, but what was made for it is not cleaned up: look at its timeline for the reason",
        tracked=tracked,
        subject=tracked.pr_id,
        did=did,
    )


def _watch(context: ReconcileContext, tracked: Tracked, left: list[LegRecord], old: bool) -> None:
    """dcb-service cleans up; when nothing is left of it, the request has ended here too."""
    if not left:
        if not context.dry_run:
            ack = Ack(AckName.CLEANED_UP, Moment.at(context.now))
            context.store.apply(
                tracked.pr_id,
                [Report(ack, source="RECONCILE")],
                settings=context.settings,
                now=context.now,
                run_id=context.run_id,
                actor="reconcile",
            )
        context.findings.finalised.append(tracked.pr_id)
    elif old:
        _leftover(context, tracked, left[0])


def _left_over(context: ReconcileContext, tracked: Tracked, leg: LegRecord, old: bool) -> None:
    """Something is left of a request that has ended: urgent when the book is out, else to be taken away."""
    alma = context.systems.alma(leg.system_code)
    if _is_out(alma, leg):
        context.findings.add(
            Code.FINALISED_WHILE_OUT,
            f"{leg.system_code}: the request has ended, but the patron has its virtual item "
            f"{leg.item_pid or ''} on loan: find the book",
            tracked=tracked,
            part=f"{leg.system_code}:{tracked.pr_id}",
            subject=tracked.pr_id,
            detail=_ids(leg),
        )
    elif old:
        did, over = "", False
        if context.acts_for(tracked) and leg.is_virtual:
            did = context.did("taken away")
            if context.fixes:
                did, over = _taken_away(alma, tracked.pr_id, leg)
        _leftover(context, tracked, leg, did, over)


def _is_out(alma: AlmaClient, leg: LegRecord) -> bool:
    items = known(alma.items.list(leg.mms_id or ""), "The virtual items") or []
    return any(is_lent(alma, item) for item in items if not leg.item_pid or item.pid == leg.item_pid)


def _taken_away(alma: AlmaClient, pr_id: str, leg: LegRecord) -> tuple[str, bool]:
    try:
        remove(alma, pr_id, leg.mms_id)
    except (Impossible, Unsettled) as problem:
        return str(problem), False
    return "taken away", True


def _leftover(
    context: ReconcileContext, tracked: Tracked, leg: LegRecord, did: str = "", over: bool = False
) -> None:
    context.findings.add(
        Code.LEFTOVER_VIRTUAL,
        f"{leg.system_code}: the request has ended, but its virtual title {leg.mms_id} is still there: delete it in "
        "Alma",
        tracked=tracked,
        part=f"{leg.system_code}:{tracked.pr_id}",
        subject=tracked.pr_id,
        detail=_ids(leg),
        did=did,
        over=over,
    )


def _ids(leg: LegRecord) -> dict[str, str]:
    ids = {"system": leg.system_code, "mms_id": leg.mms_id, "item_pid": leg.item_pid}
    return {name: value for name, value in ids.items() if value is not None}


# --- virtual items and patrons' holds that no open request knows


_AT_ONCE = 500
_ORPHANED = (Code.ORPHAN_HOLD, Code.LEFTOVER_VIRTUAL)


def untracked(context: ReconcileContext, bucket: Bucket) -> list[str]:
    """The requests whose placing was begun, and neither tracked nor undone within an hour."""
    begun = [pr_id for pr_id, since in claimed(bucket) if context.now - since >= SETTLES]
    parts = (begun[start : start + _AT_ONCE] for start in range(0, len(begun), _AT_ONCE))
    return sorted(pr_id for part in parts for pr_id in set(part) - set(context.store.get_many(part)))


def patrons_of(context: ReconcileContext, bucket: Bucket, pr_ids: Sequence[str]) -> set[tuple[str, str]]:
    """Systems and virtual patrons in whose names untracked placings may have a hold."""
    codes = [code for code, system in context.settings.systems.items() if system.kind == "alma"]
    found = [progress_of(bucket, pr_id) for pr_id in pr_ids]
    users = {progress.virtual_user for progress in found if progress is not None and progress.virtual_user}
    return {(code, user_id) for code in codes for user_id in users}


def check_orphans(context: ReconcileContext, suspects: Sequence[str]) -> int:
    """ORPHAN_HOLD and LEFTOVER_VIRTUAL on the patron's side, of requests that no open one is: those of whose lender's
    hold the same night has found that nobody knows it, and the ``suspects``, as `untracked` gives them. A call for each
    system, and more where something is found. Returns the number of requests."""
    pr_ids = sorted(_suspects(context) | set(suspects))
    closed: set[str] = set()
    for pr_id in pr_ids:
        whole = True
        if _is_open(context, pr_id):  # by now: what it has is its own
            context.findings.looked(_ORPHANED, pr_id)
            continue
        for code, system in context.settings.systems.items():
            if system.kind != "alma":
                continue
            try:
                if code in closed:
                    whole = False
                else:
                    _look_for_orphans(context, code, pr_id)
            except Unsettled:
                context.findings.missed_one(code)
                whole = False
            except (RemoteStop, InputProblem) as problem:
                context.findings.could_not_read(code, why(problem))
                closed.add(code)
                whole = False
        if whole:
            context.findings.looked(_ORPHANED, pr_id)
    return len(pr_ids)


def _suspects(context: ReconcileContext) -> set[str]:
    found = {
        each.pr_id for each in context.findings.found.values() if each.code == Code.ORPHAN_HOLD and each.pr_id
    }
    alerts = [alert for alert in context.store.open_alerts() if alert.code in _ORPHANED and alert.pr_id]
    return found | {str(alert.pr_id) for alert in alerts if alert.detail.get("subject") == alert.pr_id}


def _is_open(context: ReconcileContext, pr_id: str) -> bool:
    tracked = context.store.get(pr_id)
    return tracked is not None and tracked.status not in TERMINAL


def _look_for_orphans(context: ReconcileContext, code: str, pr_id: str) -> None:
    alma = context.systems.alma(code)
    titles = known(alma.bibs.by_system_number(marks.bib_mark(pr_id)), "The virtual title") or []
    for title in titles:
        bib = known(alma.bibs.read(title.mms_id), f"The virtual title {title.mms_id}")
        if bib is None or marks.owner_of(bib) != pr_id:
            continue
        items = known(alma.items.list(title.mms_id), "The virtual items") or []
        _title(context, code, pr_id, title.mms_id, items)
        for item in items:
            for hold in _holds(alma, item):
                if marks.pr_id_of(hold.comment) == pr_id and not is_young(hold, context.now):
                    _hold(context, code, pr_id, hold)


def _holds(alma: AlmaClient, item: Item) -> list[UserRequest]:
    return known(alma.requests.of_item(item.mms_id, item.holding_id, item.pid), "The item's requests") or []


def _title(context: ReconcileContext, code: str, pr_id: str, mms_id: str, items: list[Item]) -> None:
    pids = ", ".join(item.pid for item in items)
    context.findings.add(
        Code.LEFTOVER_VIRTUAL,
        f"{code}: no open request has the virtual title {mms_id} (item {pids or 'none'}): cancel its holds, then "
        "delete it in Alma; or place the request once more with the same conf, which goes on with it",
        tracked=context.store.get(pr_id),
        pr_id=pr_id,
        part=f"{code}:{pr_id}",
        subject=pr_id,
        detail={"system": code, "mms_id": mms_id, "item_pid": pids},
    )


def _hold(context: ReconcileContext, code: str, pr_id: str, hold: UserRequest) -> None:
    context.findings.add(
        Code.ORPHAN_HOLD,
        f"{code}: no open request has the hold {hold.request_id} on the virtual item: cancel it in Alma",
        tracked=context.store.get(pr_id),
        pr_id=pr_id,
        part=f"{code}:{hold.request_id}",
        subject=pr_id,
        detail={"system": code, "request_id": hold.request_id, "item_pid": hold.item_pid},
    )
