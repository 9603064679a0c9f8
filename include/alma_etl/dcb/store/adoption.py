"""Requests that another service runs, tracked as it reports them: begun, completed, changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import update

from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import TERMINAL, AckName, Role
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store.applying import StepStore
from alma_etl.dcb.store.rows import LegRecord, NewRequest, Report, Tracked, UnknownRequest
from alma_etl.store.dcb_models import request_table

Adoption = Literal["created", "updated", "same", "refused"]
"""What came of the report of a request: it is tracked from now on; its ids have changed; nothing is new; not taken."""

_IDS = ("user_id", "request_id", "mms_id", "holding_id", "item_pid", "txn_id")
_BOOK = ("system_code", "item_pid")
_REPORTED = ("system_code", "system_kind", "barcode", *_IDS)
_SIDES, _STATUS = "sides", "status"


class _TriedOut(Exception):
    """A dry run ends its transaction."""


class AdoptionStore(StepStore):
    """The part of `DcbStore` that tracks what another service runs."""

    def adopt(
        self,
        new: NewRequest,
        ack: Ack,
        *,
        settings: DcbSettings,
        now: datetime,
        run_id: str | None = None,
        dry_run: bool = False,
    ) -> Adoption:
        """Track a request as it is reported, beginning with ``ack`` (ADOPTED); one that is tracked so already gets the
        ids that are new. The next tick looks at everything of it. A dry run takes all of it back.

        A request of ours is refused. One that has ended here begins again. ``conf`` of the request has ``status``, the
        report of it. Compared is what the same service reported last, not what the looks have learned since: it may
        name ids that Alma has changed. Raises HoldTaken when another open request has one of its holds.
        """
        try:
            with self._transaction():
                outcome = self._adopt(new, ack, settings, now, run_id)
                if dry_run:
                    raise _TriedOut
        except _TriedOut:
            pass
        return outcome

    def _adopt(
        self, new: NewRequest, ack: Ack, settings: DcbSettings, now: datetime, run_id: str | None
    ) -> Adoption:
        by, actor = str(ack.by), f"adopt:{ack.by}"
        reported = {leg.role.value: _reported(leg) for leg in new.legs}
        if self.add(replace(new, conf={**new.conf, _SIDES: {by: reported}}), now):
            self._go_on(new.pr_id, [ack], (), settings, now, run_id, actor)
            return "created"
        tracked = self._locked(new.pr_id)
        if tracked is None:  # dropped with age in this very moment
            raise UnknownRequest(f"The request {new.pr_id} is not tracked")
        if tracked.is_ours:
            return "refused"
        before = tracked.conf.get(_SIDES, {})
        conf = {**tracked.conf, **new.conf, _SIDES: {**before, by: reported}}
        if tracked.conf != conf:
            self._write(update(request_table).where(request_table.c.pr_id == new.pr_id).values(conf=conf))
        if tracked.status in TERMINAL:
            legs = [replace(leg, generation=_generation(tracked, leg.role) + 1) for leg in new.legs]
            self._go_on(new.pr_id, [ack], legs, settings, now, run_id, actor)
            return "created"
        legs, another_book = _changed(tracked, new, before.get(by) or _together(before))
        if legs:
            acks = [Ack(AckName.NEXT_SUPPLIER, Moment.at(now), by=ack.by)] if another_book else []
            self._go_on(new.pr_id, acks, legs, settings, now, run_id, actor)
            return "updated"
        if _moved(tracked, new):
            self.nudge([new.pr_id], now)
        return "same"

    def _go_on(
        self,
        pr_id: str,
        acks: Sequence[Ack],
        legs: Sequence[LegRecord],
        settings: DcbSettings,
        now: datetime,
        run_id: str | None,
        actor: str,
    ) -> None:
        reports = [Report(ack, "ACK") for ack in acks]
        self.apply(pr_id, reports, settings=settings, now=now, legs=legs, run_id=run_id, actor=actor)
        self.nudge([pr_id], now)


def _generation(tracked: Tracked, role: Role) -> int:
    leg = tracked.legs.get(role)
    return 0 if leg is None else leg.generation


def _reported(leg: LegRecord) -> dict[str, Any]:
    return {name: value for name in _REPORTED if (value := getattr(leg, name)) is not None}


def _moved(tracked: Tracked, new: NewRequest) -> bool:
    """Whether the other service reports another status than before, which ours is not."""
    status = new.conf[_STATUS]["status"]
    return bool(status != tracked.conf.get(_STATUS, {}).get("status") and status != tracked.status)


def _together(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What several services have reported of the sides."""
    sides: dict[str, dict[str, Any]] = {}
    for each in reports.values():
        for role, ids in each.items():
            sides[role] = sides.get(role, {}) | ids
    return sides


def _changed(
    tracked: Tracked, new: NewRequest, before: Mapping[str, Mapping[str, Any]]
) -> tuple[list[LegRecord], bool]:
    """The sides whose ids are other ones than those reported before, and whether the lender's book is another one.

    Ids that only complete a side belong to it. Other ids make it another generation of the side, so that those before
    are kept.
    """
    changed, another_book = [], False
    for leg in new.legs:
        known, was = tracked.legs.get(leg.role), before.get(leg.role.value, {})
        news = {name: value for name, value in _reported(leg).items() if value != was.get(name)}
        if known is None:
            changed.append(leg)
        elif any(value != getattr(known, name) for name, value in news.items()):
            replaced = {name for name in news if was.get(name) is not None}
            if replaced & {*_BOOK}:
                changed.append(replace(leg, generation=known.generation + 1))
                another_book = another_book or leg.role is Role.SUPPLIER
            elif replaced & {*_IDS}:
                ids = {name: getattr(known, name) for name in _REPORTED} | news
                changed.append(LegRecord(role=leg.role, generation=known.generation + 1, **ids))
            else:
                changed.append(replace(leg, generation=known.generation))
    return changed, another_book
