"""Checks of what is over: is the book home, and is what was made for the request gone?"""

from __future__ import annotations

from datetime import datetime, timedelta

from alma_etl.alma.client import AlmaClient
from alma_etl.dcb.flows.reconcile.findings import Code, Finding, finding
from alma_etl.dcb.flows.reconcile.ledger import Ledger
from alma_etl.dcb.flows.reconcile.tools import Tools, why
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import SETTLED, TERMINAL, AckName, ActionType, Role
from alma_etl.dcb.sides.ports import Impossible, Unsettled, known
from alma_etl.dcb.sides.virtual_item import is_lent, remove
from alma_etl.dcb.store.rows import LegRecord, Report, Tracked
from alma_etl.errors import InputProblem
from alma_etl.remote.errors import RemoteStop

LEFT_AFTER = timedelta(days=2)
_CODES = (Code.LEFTOVER_VIRTUAL, Code.FINALISED_WHILE_OUT)


def check_endings(tools: Tools, ledger: Ledger, since: datetime) -> int:
    """LEFTOVER_VIRTUAL, and FINALISED_WHILE_OUT on the patron's side: of settled requests, of those that ended
    ``since``, and of those about which such an alert is open. About one call each; their number comes back."""
    looked, closed = 0, set[str]()
    for tracked in _requests(tools, since):
        systems = _systems(tracked)
        if systems in closed:
            continue
        try:
            looked += _look(tools, ledger, tracked)
        except Unsettled:
            ledger.missed_one(systems)
        except (RemoteStop, InputProblem) as problem:
            ledger.could_not_read(systems, why(problem))
            closed.add(systems)
    return looked


def _requests(tools: Tools, since: datetime) -> list[Tracked]:
    found = {each.pr_id: each for each in tools.store.live() if each.status in SETTLED}
    found |= {each.pr_id: each for each in tools.store.ended(since)}
    for alert in tools.store.open_alerts():
        if alert.code in _CODES and alert.pr_id is not None and alert.pr_id not in found:
            tracked = tools.store.get(alert.pr_id)
            if tracked is not None and tracked.status in SETTLED | TERMINAL:
                found[alert.pr_id] = tracked
    return list(found.values())


def _systems(tracked: Tracked) -> str:
    return ", ".join(sorted({leg.system_code for leg in _patron_sides(tracked)}))


def _patron_sides(tracked: Tracked) -> list[LegRecord]:
    legs = (tracked.legs.get(role) for role in (Role.BORROWER, Role.PICKUP))
    return [leg for leg in legs if leg is not None and leg.system_kind == "ALMA"]


def _look(tools: Tools, ledger: Ledger, tracked: Tracked) -> bool:
    old = tools.now - tracked.status_since > LEFT_AFTER
    if tracked.status in SETTLED and tools.drives:
        if old:  # before that the deed CLEANUP is on its way
            _clean_again(tools, ledger, tracked)
        ledger.looked(_CODES, tracked.pr_id)
        return False
    left = [leg for leg in _patron_sides(tracked) if _is_there(tools, leg)]
    if tracked.status in SETTLED:
        _watch(tools, ledger, tracked, left, old)
    else:
        for leg in left:
            _left_over(tools, ledger, tracked, leg, old)
    ledger.looked(_CODES, tracked.pr_id)
    return True


def _is_there(tools: Tools, leg: LegRecord) -> bool:
    """Whether Alma still has the virtual item; where we do not know its ids it never was ours to look after."""
    if leg.mms_id is None:
        return False
    alma = tools.systems.alma(leg.system_code)
    if leg.is_virtual:  # we made it: with its title everything is gone
        return known(alma.bibs.read(leg.mms_id), f"The virtual title {leg.mms_id}") is not None
    if leg.holding_id is None or leg.item_pid is None:
        return False
    item = alma.items.read(leg.mms_id, leg.holding_id, leg.item_pid)
    return known(item, f"The virtual item {leg.item_pid}") is not None


def _clean_again(tools: Tools, ledger: Ledger, tracked: Tracked) -> None:
    """A request of ours that was settled days ago, and is not cleaned up."""
    rows = tools.store.not_done(tracked.pr_id, ActionType.CLEANUP)
    did = tools.did("the cleanup is tried again") if rows else ""
    if rows and tools.mends:
        tools.store.revive(rows[-1], tools.now)
    ledger.add(
        finding(
            Code.LEFTOVER_VIRTUAL,
            "The request is settled, but what was made for it is not cleaned up: look at its timeline for the reason",
            tracked=tracked,
            subject=tracked.pr_id,
            did=did,
        )
    )


def _watch(tools: Tools, ledger: Ledger, tracked: Tracked, left: list[LegRecord], old: bool) -> None:
    """dcb-service cleans up; when nothing is left of it, the request has ended here too."""
    if not left:
        if not tools.dry_run:
            ack = Ack(AckName.CLEANED_UP, Moment.at(tools.now))
            tools.store.apply(
                tracked.pr_id,
                [Report(ack, source="RECONCILE")],
                settings=tools.settings,
                now=tools.now,
                run_id=tools.run_id,
                actor="reconcile",
            )
        ledger.finalised.append(tracked.pr_id)
    elif old:
        ledger.add(_leftover(tracked, left[0]))


def _left_over(tools: Tools, ledger: Ledger, tracked: Tracked, leg: LegRecord, old: bool) -> None:
    """Something is left of a request that has ended: urgent when the book is out, else to be taken away."""
    alma = tools.systems.alma(leg.system_code)
    if _is_out(alma, leg):
        ledger.add(
            finding(
                Code.FINALISED_WHILE_OUT,
                f"{leg.system_code}: the request has ended, but the patron has its virtual item "
                f"{leg.item_pid or ''} on loan: find the book",
                tracked=tracked,
                part=f"{leg.system_code}:{tracked.pr_id}",
                subject=tracked.pr_id,
                detail=_ids(leg),
            )
        )
    elif old:
        did, over = "", False
        if tools.drives and leg.is_virtual:
            did = tools.did("taken away")
            if tools.mends:
                did, over = _taken_away(alma, tracked.pr_id, leg)
        ledger.add(_leftover(tracked, leg, did, over))


def _is_out(alma: AlmaClient, leg: LegRecord) -> bool:
    items = known(alma.items.list(leg.mms_id or ""), "The virtual items") or []
    return any(is_lent(alma, item) for item in items if not leg.item_pid or item.pid == leg.item_pid)


def _taken_away(alma: AlmaClient, pr_id: str, leg: LegRecord) -> tuple[str, bool]:
    try:
        remove(alma, pr_id, leg.mms_id)
    except (Impossible, Unsettled) as problem:
        return str(problem), False
    return "taken away", True


def _leftover(tracked: Tracked, leg: LegRecord, did: str = "", over: bool = False) -> Finding:
    return finding(
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
