"""Checks of what placings left that were never tracked: virtual items and patrons' holds that no open request knows."""

from __future__ import annotations

from collections.abc import Sequence

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.alma.user_requests import UserRequest
from alma_etl.dcb.flows.place.progress import claimed, progress_of
from alma_etl.dcb.flows.reconcile.findings import Code, finding
from alma_etl.dcb.flows.reconcile.ledger import Ledger
from alma_etl.dcb.flows.reconcile.patrons import SETTLES, is_young
from alma_etl.dcb.flows.reconcile.tools import Tools, why
from alma_etl.dcb.machine.vocabulary import TERMINAL
from alma_etl.dcb.sides import marks
from alma_etl.dcb.sides.ports import Unsettled, known
from alma_etl.errors import InputProblem
from alma_etl.remote.errors import RemoteStop
from alma_etl.store.bucket import Bucket

_AT_ONCE = 500
_CODES = (Code.ORPHAN_HOLD, Code.LEFTOVER_VIRTUAL)


def untracked(tools: Tools, bucket: Bucket) -> list[str]:
    """The requests whose placing was begun, and neither tracked nor undone within an hour."""
    begun = [pr_id for pr_id, since in claimed(bucket) if tools.now - since >= SETTLES]
    parts = (begun[start : start + _AT_ONCE] for start in range(0, len(begun), _AT_ONCE))
    return sorted(pr_id for part in parts for pr_id in set(part) - set(tools.store.get_many(part)))


def patrons_of(tools: Tools, bucket: Bucket, pr_ids: Sequence[str]) -> set[tuple[str, str]]:
    """Systems and virtual patrons in whose names untracked placings may have a hold."""
    codes = [code for code, system in tools.settings.systems.items() if system.kind == "alma"]
    found = [progress_of(bucket, pr_id) for pr_id in pr_ids]
    users = {progress.virtual_user for progress in found if progress is not None and progress.virtual_user}
    return {(code, user_id) for code in codes for user_id in users}


def check_orphans(tools: Tools, ledger: Ledger, suspects: Sequence[str]) -> int:
    """ORPHAN_HOLD and LEFTOVER_VIRTUAL on the patron's side, of requests that no open one is: those of whose lender's
    hold the same night has found that nobody knows it, and the ``suspects``, as `untracked` gives them. A call for each
    system, and more where something is found. Returns the number of requests."""
    pr_ids = sorted(_suspects(tools, ledger) | set(suspects))
    closed: set[str] = set()
    for pr_id in pr_ids:
        whole = True
        if _is_open(tools, pr_id):  # by now: what it has is its own
            ledger.looked(_CODES, pr_id)
            continue
        for code, system in tools.settings.systems.items():
            if system.kind != "alma":
                continue
            try:
                if code in closed:
                    whole = False
                else:
                    _look(tools, ledger, code, pr_id)
            except Unsettled:
                ledger.missed_one(code)
                whole = False
            except (RemoteStop, InputProblem) as problem:
                ledger.could_not_read(code, why(problem))
                closed.add(code)
                whole = False
        if whole:
            ledger.looked(_CODES, pr_id)
    return len(pr_ids)


def _suspects(tools: Tools, ledger: Ledger) -> set[str]:
    found = {each.pr_id for each in ledger.findings.values() if each.code == Code.ORPHAN_HOLD and each.pr_id}
    alerts = [alert for alert in tools.store.open_alerts() if alert.code in _CODES and alert.pr_id]
    return found | {str(alert.pr_id) for alert in alerts if alert.detail.get("subject") == alert.pr_id}


def _is_open(tools: Tools, pr_id: str) -> bool:
    tracked = tools.store.get(pr_id)
    return tracked is not None and tracked.status not in TERMINAL


def _look(tools: Tools, ledger: Ledger, code: str, pr_id: str) -> None:
    alma = tools.systems.alma(code)
    titles = known(alma.bibs.by_system_number(marks.bib_mark(pr_id)), "The virtual title") or []
    for title in titles:
        bib = known(alma.bibs.read(title.mms_id), f"The virtual title {title.mms_id}")
        if bib is None or marks.owner_of(bib) != pr_id:
            continue
        items = known(alma.items.list(title.mms_id), "The virtual items") or []
        _title(tools, ledger, code, pr_id, title.mms_id, items)
        for item in items:
            for hold in _holds(alma, item):
                if marks.pr_id_of(hold.comment) == pr_id and not is_young(hold, tools.now):
                    _hold(tools, ledger, code, pr_id, hold)


def _holds(alma: AlmaClient, item: Item) -> list[UserRequest]:
    return known(alma.requests.of_item(item.mms_id, item.holding_id, item.pid), "The item's requests") or []


def _title(tools: Tools, ledger: Ledger, code: str, pr_id: str, mms_id: str, items: list[Item]) -> None:
    pids = ", ".join(item.pid for item in items)
    ledger.add(
        finding(
            Code.LEFTOVER_VIRTUAL,
            f"{code}: no open request has the virtual title {mms_id} (item {pids or 'none'}): cancel its holds, then "
            "delete it in Alma; or place the request once more with the same conf, which goes on with it",
            tracked=tools.store.get(pr_id),
            pr_id=pr_id,
            part=f"{code}:{pr_id}",
            subject=pr_id,
            detail={"system": code, "mms_id": mms_id, "item_pid": pids},
        )
    )


def _hold(tools: Tools, ledger: Ledger, code: str, pr_id: str, hold: UserRequest) -> None:
    ledger.add(
        finding(
            Code.ORPHAN_HOLD,
            f"{code}: no open request has the hold {hold.request_id} on the virtual item: cancel it in Alma",
            tracked=tools.store.get(pr_id),
            pr_id=pr_id,
            part=f"{code}:{hold.request_id}",
            subject=pr_id,
            detail={"system": code, "request_id": hold.request_id, "item_pid": hold.item_pid},
        )
    )
