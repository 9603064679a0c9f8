"""Steps 4 and 5: do in Alma what the machine asked for, and tell the sinks what happened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from alma_etl.counted import counted
from alma_etl.dcb.flows.tick.deadline import Deadline
from alma_etl.dcb.flows.tick.outbox import Tally, Worker
from alma_etl.dcb.flows.tick.run import SyncFolder, Worked
from alma_etl.dcb.machine.vocabulary import ActionType, Role
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.ports import Actor, Done, Later, Refused, Sink
from alma_etl.dcb.store import DcbStore, OutboxRow, Tracked
from alma_etl.errors import RunStopped
from alma_etl.remote.errors import RemoteStop

log = logging.getLogger(__name__)

_PATIENCE = 10
"""A sink that fails so often in a row is down, and is left alone until the next tick."""

_AT: Mapping[ActionType, Role] = {
    ActionType.PLACE_AT_BORROWER: Role.BORROWER,
    ActionType.PLACE_AT_PICKUP: Role.PICKUP,
    ActionType.BORROWER_SCAN_IN: Role.BORROWER,
    ActionType.BORROWER_CHECK_IN: Role.BORROWER,
    ActionType.CREATE_BORROWER_LOAN: Role.BORROWER,
    ActionType.PREVENT_RENEWAL_AT_BORROWER: Role.BORROWER,
    ActionType.PICKUP_SCAN_IN: Role.PICKUP,
    ActionType.SUPPLIER_SCAN_IN: Role.SUPPLIER,
    ActionType.CREATE_SUPPLIER_LOAN: Role.SUPPLIER,
    ActionType.CANCEL_SUPPLIER_HOLD: Role.SUPPLIER,
    ActionType.VERIFY_SUPPLIER_HOLD_GONE: Role.SUPPLIER,
    ActionType.RENEW_SUPPLIER_LOAN: Role.SUPPLIER,
}
"""Where a deed is done, if in one system alone."""


def act(
    folder: SyncFolder,
    *,
    store: DcbStore,
    settings: DcbSettings,
    actor: Actor,
    open_system: Callable[[str, str], None],
    now: Callable[[], datetime],
    deadline: Deadline,
    dry_run: bool = False,
) -> Worked:
    """Do the deeds that are due, and those that their outcomes ask for in turn. Not in a dry run, nor in ``observe``.

    ``open_system`` (code, kind) makes a system's client ready; it is called from this thread alone.
    """
    if dry_run or settings.mode != "drive":
        why = "a dry run does nothing" if dry_run else "config/dcb.yaml says mode: observe"
        return _save(folder, "acted.json", Worked(skipped=why))
    gate = _Gate(actor, open_system)
    tally = Tally()
    worker = Worker(
        store,
        settings,
        owner=f"{folder.run_id}/act",
        run_id=folder.run_id,
        now=now,
        deadline=deadline,
        before=gate.open_for,
    )
    worker.work_off("ALMA_ACTION", gate.perform, tally)
    log.info(
        "%s done, %s refused, %s later, %s held",
        counted(tally.done, "action"),
        tally.refused,
        tally.later,
        tally.held,
    )
    return _save(folder, "acted.json", tally.worked())


class _Gate:
    """Keeps deeds away from a system that cannot be reached, so that each tick asks it once."""

    def __init__(self, actor: Actor, open_system: Callable[[str, str], None]) -> None:
        self._actor = actor
        self._open_system = open_system
        self._opened: set[str] = set()
        self._closed: dict[str, str] = {}

    def open_for(self, tracked: Tracked) -> None:
        """Make the clients of a request's systems ready; one that cannot be used is closed for this tick."""
        for leg in tracked.legs.values():
            code = leg.system_code
            if code in self._opened or code in self._closed:
                continue
            try:
                self._open_system(code, leg.system_kind)
            except RunStopped as problem:
                self._closed[code] = str(problem)
            else:
                self._opened.add(code)

    def perform(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Do a deed. Raises RemoteStop or RunStopped when its system is not to be reached."""
        codes = _codes(row, tracked)
        for code in codes:
            if code in self._closed:
                raise RunStopped(self._closed[code])
        try:
            return self._actor.perform(row, tracked)
        except RemoteStop as problem:
            if len(codes) == 1:
                self._closed[codes[0]] = str(problem)
            raise


def _codes(row: OutboxRow, tracked: Tracked) -> list[str]:
    role = _AT.get(ActionType(row.type))
    legs = [leg for leg in tracked.legs.values() if role is None or leg.role is role]
    return sorted({leg.system_code for leg in legs})


def publish(
    folder: SyncFolder,
    *,
    store: DcbStore,
    settings: DcbSettings,
    sinks: Sequence[Sink],
    now: Callable[[], datetime],
    deadline: Deadline,
    dry_run: bool = False,
) -> Worked:
    """Tell each sink its events, each request's in order.

    A sink that is down keeps none of the others waiting, and one that is slow has no more than its share of the time.
    """
    if dry_run:
        return _save(folder, "published.json", Worked(skipped="a dry run tells nobody"))
    tally = Tally()
    for number, sink in enumerate(sinks):
        worker = Worker(
            store,
            settings,
            owner=f"{folder.run_id}/publish",
            run_id=folder.run_id,
            now=now,
            deadline=deadline.share(len(sinks) - number),
        )
        worker.work_off("EVENT", sink.deliver, tally, target=sink.name, patience=_PATIENCE)
    log.info("%s published, %s refused, %s later", counted(tally.done, "event"), tally.refused, tally.later)
    return _save(folder, "published.json", tally.worked())


def _save(folder: SyncFolder, name: str, worked: Worked) -> Worked:
    folder.save(name, worked)
    return worked
