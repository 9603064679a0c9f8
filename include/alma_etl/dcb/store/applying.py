"""One step of one request, in one transaction: observation, transitions, outbox, memory, next look, alerts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from alma_etl.dcb.events import event_id, events_of
from alma_etl.dcb.machine import adopting
from alma_etl.dcb.machine.flags import action_failed, is_item_trouble
from alma_etl.dcb.machine.model import Ack, Action, Moment, Observation, Policy, SeenAs, State, StepResult
from alma_etl.dcb.machine.step import FOLLOW_UPS, step
from alma_etl.dcb.machine.vocabulary import ITEM_OF, TERMINAL, AckName, ActionType, Role, Status
from alma_etl.dcb.plan import next_poll
from alma_etl.dcb.settings import DcbSettings, SinkSettings
from alma_etl.dcb.store.outbox import OutboxStore, action_row, event_row
from alma_etl.dcb.store.rows import (
    Alert,
    Applied,
    LegRecord,
    OutboxRow,
    OutboxState,
    Report,
    Severity,
    Tracked,
    UnknownRequest,
    VersionConflict,
    changed_ids,
)
from alma_etl.store.db import StoreRefused
from alma_etl.store.dcb_models import leg_table, observation_table, request_table, transition_table

_ACTORS = {"POLL": "dag", "ACK": "dag", "WEBHOOK": "webhook", "RECONCILE": "reconcile"}
STEP_FAILED = "STEP_FAILED"
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=10), timedelta(hours=6)
SIDE_UNREADABLE = "SIDE_UNREADABLE"
_LOOKS, _UNREAD_FOR = 3, timedelta(hours=24)
_AHEAD = timedelta(minutes=5)
_LISTS = {"request": "the user's list of requests", "loan": "the user's list of loans"}

Fresh = Sequence[tuple[str, Report]]
"""What is new, by the id of its observation."""


class StepStore(OutboxStore):
    """The part of `DcbStore` that runs what was seen through the machine."""

    def apply(
        self,
        pr_id: str,
        reports: Sequence[Report],
        *,
        settings: DcbSettings,
        now: datetime,
        legs: Sequence[LegRecord] = (),
        run_id: str | None = None,
        actor: str | None = None,
        owner: str | None = None,
        nudges: int | None = None,
    ) -> Applied:
        """Run what was seen through the machine and keep all that follows. What is known already is left out, so that
        it is safe to repeat. What is stamped more than five minutes after ``now`` is refused: it would make what is
        read until then stale.

        ``legs``: sides whose ids are new or changed. ``owner``: whose lease on the request is given back. ``actor``:
        who caused it, where it was a person. ``nudges``: how many the look had seen, so that a later one makes it look
        again; None: all of now. Raises UnknownRequest, VersionConflict, HoldTaken, StoreRefused for a report of the
        future, and ValueError for one without a time.
        """
        with self._transaction():
            tracked = self._locked(pr_id)
            if tracked is None:
                raise UnknownRequest(f"The request {pr_id} is not tracked")
            if legs:
                for leg in legs:
                    self._put_leg(pr_id, leg, add=True)
                tracked = self.get_many([pr_id])[pr_id]
            fresh = self._new_ones(pr_id, reports, now)
            if not fresh:
                if owner is not None:
                    self.release([pr_id], owner)
                return Applied(pr_id, tracked.status, tracked.next_poll_at, None)
            result = step(tracked.state, [report.seen for _, report in fresh], settings.policy)
            number = tracked.steps + 1
            self._keep_observations(tracked, number, fresh, result, now, run_id, settings.policy)
            stands_for = _stands_for(fresh)
            who = actor or _ACTORS.get(fresh[0][1].source, "dag")
            self._keep_transitions(pr_id, result, stands_for, now, who)
            rows = _outbox_rows(result, tracked, number, stands_for, settings, now, run_id)
            last_ord = self._add_rows(pr_id, self._last_ord(pr_id), rows, now)
            self._report_flags(pr_id, tracked.state, result.state, now)
            errors = self._keep_legs(tracked, fresh, result, now)
            unseen = tracked.nudged and nudges is not None and nudges != tracked.nudges
            when, repeat = _reschedule(tracked, fresh, result, settings, now, errors, unseen=unseen)
            schedule: dict[str, Any] = {"next_poll_at": when, "poll_repeat": repeat}
            if not unseen and _was_a_look(fresh, result):
                schedule["nudged"] = False
            since = stands_for[None][1] if adopting.is_adoption(result.transitions) else None
            self._keep_request(tracked, result, number, last_ord, schedule, now, since)
            if owner is not None:
                self.release([pr_id], owner)
            self.close_alert(_failed_step_key(pr_id), now)
        return Applied(pr_id, result.state.status, when, result)

    def relink(
        self,
        pr_id: str,
        role: Role,
        ids: Mapping[str, str],
        *,
        by: str,
        reason: str | None,
        settings: DcbSettings,
        now: datetime,
    ) -> tuple[str, ...]:
        """Give a side other ids (of `FOLLOWED`), as the person ``by`` decided; the request is looked at at once. The
        names of those that differ from before, which stay in the history.

        Raises UnknownRequest, and KeyError when the request has no such side.
        """
        with self._transaction():
            tracked = self._locked(pr_id)
            if tracked is None:
                raise UnknownRequest(f"The request {pr_id} is not tracked")
            leg = tracked.legs[role]
            new = {name: value for name, value in ids.items() if value != getattr(leg, name)}
            if not new:
                return ()
            values = leg.changed(new, now, by, reason)
            if "item_pid" in new:
                values["loan_id"] = None  # that of the item before
            self._write(
                update(leg_table)
                .where(leg_table.c.pr_id == pr_id, leg_table.c.role == role)
                .where(leg_table.c.generation == leg.generation)
                .values(values)
            )
            ack = Ack(
                AckName.OPERATOR_RELINKED, Moment.at(now), role, reason=reason, by=by, changed=tuple(new)
            )
            self.apply(pr_id, [Report(ack, "MANUAL")], settings=settings, now=now, actor=f"user:{by}")
            self.nudge([pr_id], now)
        return tuple(new)

    def settle_action(
        self,
        row: OutboxRow,
        state: OutboxState,
        reports: Sequence[Report],
        *,
        settings: DcbSettings,
        now: datetime,
        legs: Sequence[LegRecord] = (),
        run_id: str | None = None,
        error: str | None = None,
    ) -> Applied | None:
        """An action was done or refused permanently: mark it and take what came of it, both or neither.

        None when somebody else settled it before, or nothing came of it that the machine should know.
        """
        with self._transaction():
            if not self.settle(row.outbox_id, state, now, error=error) or not reports:
                return None
            applied = self.apply(row.pr_id, reports, settings=settings, now=now, legs=legs, run_id=run_id)
            if state == "FAILED":
                key = f"{action_failed(ActionType(row.type))}:{row.pr_id}"
                self._add_detail(key, {"error": error, **self._left(row.pr_id, row.type)})
            return applied

    def note_failed_step(self, pr_id: str, error: str, now: datetime, owner: str | None = None) -> datetime:
        """A step failed by our fault: an alert, which the next step that works closes, and until when the request
        waits, ever longer; its lease is given back."""
        alert = Alert(_failed_step_key(pr_id), STEP_FAILED, "urgent", pr_id, {"error": error})
        with self._transaction():
            times = self._note(alert, now)
            until: datetime = now + min(_FIRST_PAUSE * 2 ** min(times, 10), _LONGEST_PAUSE)
            self._back_off(pr_id, until)
            if owner is not None:
                self.release([pr_id], owner)
        return until

    def _new_ones(self, pr_id: str, reports: Sequence[Report], now: datetime) -> Fresh:
        for report in reports:
            if report.seen.at is None or report.seen.at.time is None:
                raise ValueError("what is reported to the store must carry the time of the read or write")
            if report.seen.at.time > now + _AHEAD:
                raise StoreRefused(
                    f"what was seen of {pr_id} is stamped {report.seen.at.text}, ahead of the clock that keeps it "
                    f"({now:%Y-%m-%d %H:%M:%S}Z): set the clocks of the workers"
                )
        ids = {_digest(pr_id, report): report for report in reports}
        known = self._ids(select(observation_table.c.obs_id).where(observation_table.c.obs_id.in_(ids)))
        return [(obs_id, report) for obs_id, report in ids.items() if obs_id not in known]

    def _keep_observations(
        self,
        tracked: Tracked,
        number: int,
        fresh: Fresh,
        result: StepResult,
        now: datetime,
        run_id: str | None,
        policy: Policy,
    ) -> None:
        generation = tracked.state.leg(Role.SUPPLIER).generation
        self._write(
            observation_table.insert(),
            [
                {
                    "obs_id": obs_id,
                    "pr_id": tracked.pr_id,
                    "step": number,
                    "ord": place,
                    "role": report.seen.role,
                    "generation": (report.seen.generation if isinstance(report.seen, Observation) else None)
                    or generation,
                    "confirmations": policy.confirmations,
                    "gap_seconds": int(policy.gap.total_seconds()),
                    "observed_at": report.seen.at.time if report.seen.at else None,
                    "recorded_at": now,
                    "source": report.source,
                    "outcome": result.seen[place],
                    "body": report.body,
                    "errors": [error.to_json() for error in report.errors] or None,
                    "run_id": run_id,
                }
                for place, (obs_id, report) in enumerate(fresh)
            ],
        )

    def _keep_transitions(
        self,
        pr_id: str,
        result: StepResult,
        stands_for: Mapping[Role | None, tuple[str, datetime]],
        now: datetime,
        actor: str,
    ) -> None:
        for each in result.transitions:
            obs_id, occurred_at = stands_for.get(each.role) or stands_for[None]
            self._write(
                transition_table.insert().values(
                    event_id=event_id(pr_id, each),
                    pr_id=pr_id,
                    seq=each.seq,
                    from_status=each.frm,
                    to_status=each.to,
                    handler=each.handler,
                    inferred=each.inferred,
                    txn_state=each.txn,
                    item_status=ITEM_OF.get(each.to),
                    obs_id=obs_id,
                    actor=actor,
                    occurred_at=occurred_at,
                    recorded_at=now,
                )
            )

    def _report_flags(self, pr_id: str, before: State, after: State, now: datetime) -> None:
        """A standing flag is an alert until it is seen to be over."""
        for flag in after.standing:
            if flag not in before.standing:
                urgent = is_item_trouble(flag) or flag.endswith("_UNPROVEN")
                severity: Severity = "urgent" if urgent else "warning"
                self.open_alert(
                    Alert(f"{flag}:{pr_id}", flag, severity, pr_id, {"status": after.status}), now
                )
        for flag in before.standing:
            if flag not in after.standing:
                self.close_alert(f"{flag}:{pr_id}", now)

    def _keep_legs(self, tracked: Tracked, fresh: Fresh, result: StepResult, now: datetime) -> int:
        """Keep the health of each side that was read, and ids learned; the most failures in a row of any side."""
        most = 0
        for (_, report), verdict in zip(fresh, result.seen, strict=True):
            seen = report.seen
            if not isinstance(seen, Observation) or seen.role not in tracked.legs:
                continue
            record, memory = tracked.legs[seen.role], result.state.leg(seen.role)
            failed = bool(seen.failed) or not seen.has_answer
            at = seen.at.time if seen.at else None
            if _is_older(seen, record):
                continue  # somebody else has read it since, or it is another supplier's by now
            values: dict[str, Any] = {
                "last_read_at": at,
                "error_repeat": record.error_repeat + 1 if failed else 0,
                "last_error": _error_text(report) if failed else None,
            }
            learned = {"barcode": memory.barcode, "loan_id": memory.loan_id}
            if not failed:
                values["last_ok_at"] = at
            if result.state.status in (Status.RPSA, Status.CONFIRMED, Status.RPBA, Status.RPPA):
                learned["item_pid"] = memory.item_id
            if verdict is not SeenAs.STALE:  # else somebody has changed them since
                learned |= changed_ids(record, report.ids, learned.get("item_pid"))
            values |= record.changed({name: value for name, value in learned.items() if value}, now)
            most = max(most, values["error_repeat"])
            self._report_unreadable(tracked, record, values, now)
            self._write(
                update(leg_table)
                .where(leg_table.c.pr_id == tracked.pr_id, leg_table.c.role == record.role)
                .where(leg_table.c.generation == record.generation)
                .values(values)
            )
        return most

    def _report_unreadable(
        self, tracked: Tracked, record: LegRecord, values: dict[str, Any], now: datetime
    ) -> None:
        """An alert for a side that could not be read for three looks and 24 hours; the first that works ends it."""
        key = f"{SIDE_UNREADABLE}:{record.role}:{tracked.pr_id}"
        if not values["error_repeat"]:
            if record.error_repeat >= _LOOKS:
                self.close_alert(key, now)
            return
        since = record.last_ok_at or tracked.created_at
        if values["error_repeat"] < _LOOKS or now - since < _UNREAD_FOR:
            return
        error = str(values["last_error"])
        lists = [words for part, words in _LISTS.items() if f"{part} " in error]
        detail = {
            "system": record.system_code,
            "side": record.role,
            "request_id": record.request_id or "",
            "list": " and ".join(lists),
            "since": since.isoformat(timespec="minutes"),
            "error": error,
        }
        self.open_alert(Alert(key, SIDE_UNREADABLE, "warning", tracked.pr_id, detail), now)

    def _last_ord(self, pr_id: str) -> int:
        (row,) = self._rows(select(request_table.c.last_ord).where(request_table.c.pr_id == pr_id))
        return int(row.last_ord)

    def _keep_request(
        self,
        tracked: Tracked,
        result: StepResult,
        number: int,
        last_ord: int,
        schedule: Mapping[str, Any],
        now: datetime,
        since: datetime | None,
    ) -> None:
        """Keep the request; ``since``: when it came into its status, if not now."""
        state = result.state
        values: dict[str, Any] = {
            "status": state.status,
            "outcome": state.outcome,
            "closure": state.closure,
            "closure_evidence": state.evidence,
            "closure_confidence": state.confidence,
            "seq": state.seq,
            "steps": number,
            "last_ord": last_ord,
            "version": tracked.version + 1,
            **schedule,
            "flags": list(state.flags),
            "standing": list(state.standing),
            "needs_attention": bool(state.standing) or state.status is Status.ERROR,
            "state": state.to_json(),
            "updated_at": now,
        }
        if result.transitions:
            values["status_since"] = since or now
        table = request_table.c
        changed = self._write(
            update(request_table)
            .where(table.pr_id == tracked.pr_id, table.version == tracked.version)
            .values(values)
        )
        if changed != 1:
            raise VersionConflict(f"The request {tracked.pr_id} was changed by somebody else meanwhile")
        if state.status in TERMINAL:
            self._close_legs(tracked.pr_id)


def _failed_step_key(pr_id: str) -> str:
    return f"{STEP_FAILED}:{pr_id}"


def _digest(pr_id: str, report: Report) -> str:
    """The id of an observation: the same for the same observation, reported however often."""
    body = json.dumps(report.body, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{pr_id}|{body}".encode()).hexdigest()


def _stands_for(fresh: Fresh) -> dict[Role | None, tuple[str, datetime]]:
    """The observation of each side; under None the one that stands for the step."""
    found: dict[Role | None, tuple[str, datetime]] = {}
    for obs_id, report in fresh:
        seen = report.seen
        assert seen.at is not None
        assert seen.at.time is not None
        found.setdefault(None, (obs_id, seen.at.time))
        if isinstance(seen, Observation):
            found.setdefault(seen.role, (obs_id, seen.at.time))
    return found


def _outbox_rows(
    result: StepResult,
    tracked: Tracked,
    number: int,
    stands_for: Mapping[Role | None, tuple[str, datetime]],
    settings: DcbSettings,
    now: datetime,
    run_id: str | None,
) -> list[dict[str, Any]]:
    pr_id = tracked.pr_id
    events = events_of(
        pr_id,
        result,
        step=number,
        sources=stands_for,
        recorded_at=now,
        run_id=run_id,
    )
    rows = [
        event_row(sink.name, event)
        for event in events
        for sink in settings.all_sinks
        if _is_for(sink, event, tracked)
    ]
    if settings.mode == "drive" and tracked.is_ours:
        wanted = [*result.actions]
        wanted += [FOLLOW_UPS[each.to] for each in result.transitions if each.to in FOLLOW_UPS]
        rows += [
            action_row(pr_id, result.state.seq, number, place, action)
            for place, action in enumerate(wanted)
            if _is_switched_on(action, settings)
        ]
    return rows


def _is_for(sink: SinkSettings, event: Mapping[str, Any], tracked: Tracked) -> bool:
    """Whether a sink is to know. Of another's request a transaction is not ours to move, and the service that reported
    it need not look when it is adopted."""
    if tracked.is_ours:
        return True
    return sink.type != "mod_dcb" and not (sink.type == "dcb_nudge" and event.get("adopted"))


def _is_switched_on(action: Action, settings: DcbSettings) -> bool:
    if action.type is ActionType.SUPPLIER_SCAN_IN:
        return settings.supplier_receive_scan
    if action.type is ActionType.RENEW_SUPPLIER_LOAN:
        return settings.renew_supplier_loan
    return True


def _is_older(seen: Observation, record: LegRecord) -> bool:
    if seen.generation is not None and seen.generation != record.generation:
        return True
    at = seen.at.time if seen.at else None
    return at is not None and record.last_read_at is not None and at < record.last_read_at


def _error_text(report: Report) -> str:
    errors = [" ".join(str(part) for part in error.to_json().values()) for error in report.errors]
    return "; ".join(errors) or "a read failed"


def _reschedule(
    tracked: Tracked,
    fresh: Fresh,
    result: StepResult,
    settings: DcbSettings,
    now: datetime,
    errors: int,
    *,
    unseen: bool,
) -> tuple[datetime | None, int]:
    """When to look next, and the quiet polls so far. Acks do not put a look off, and failures are not quiet.

    ``unseen``: a nudge came after the look had begun, and stands.
    """
    moved = bool(result.transitions)
    polled = any(not isinstance(report.seen, Ack) for _, report in fresh)
    if moved:
        repeat = 0
    elif polled and not errors:
        repeat = tracked.poll_repeat + 1
    else:
        repeat = tracked.poll_repeat
    when = next_poll(result.state, now, settings, pr_id=tracked.pr_id, repeat=repeat, failures=errors)
    if ((not polled and not moved) or unseen) and when is not None and tracked.next_poll_at is not None:
        when = min(when, tracked.next_poll_at)
    return when, repeat


def _was_a_look(fresh: Fresh, result: StepResult) -> bool:
    """Whether something was read that counts; what came of an action is no look."""
    return any(
        isinstance(report.seen, Observation) and seen not in (SeenAs.STALE, SeenAs.ERROR)
        for (_, report), seen in zip(fresh, result.seen, strict=True)
    )
