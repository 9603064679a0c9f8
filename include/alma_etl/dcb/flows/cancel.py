"""Cancelling a request for the patron: the holds on the patron's side go, and the machine gets to know why."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pydantic import BaseModel

from alma_etl.dcb.conf import CancelRequest
from alma_etl.dcb.explain import name_of
from alma_etl.dcb.flows.place.progress import RequestContext, kept, write_page
from alma_etl.dcb.machine.model import ItemRead, LoanRead, Moment, Observation, RequestRead
from alma_etl.dcb.machine.vocabulary import (
    SETTLED,
    UNDER_WAY,
    Closure,
    ItemState,
    RequestOutcome,
    Role,
    Status,
    Txn,
)
from alma_etl.dcb.sides import folio
from alma_etl.dcb.sides.alma_act import cancel_side, check_reason, has_hold
from alma_etl.dcb.sides.alma_read import AlmaReader
from alma_etl.dcb.sides.folio import FolioReader
from alma_etl.dcb.sides.ports import Impossible, Unsettled
from alma_etl.dcb.store import LegRecord, Report, Tracked
from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.jobs.folder import RunFiles
from alma_etl.jobs.ledger import Results, run_artefacts

log = logging.getLogger(__name__)
S = Status

CANCEL_DAG = "dcb_cancel_request"
_CAN_BE = frozenset({S.RPBA, S.RPPA}) | UNDER_WAY
_LENT_TXNS = frozenset({Txn.ITEM_CHECKED_OUT, Txn.ITEM_CHECKED_IN, Txn.CLOSED})


class _Said(BaseModel):
    """What the steps say for the report."""

    lines: list[tuple[str, str]] = []
    done: bool = False


class Cancelling:
    """One run. ``dry_run``: look and say what would be done."""

    def __init__(
        self, context: RequestContext, conf: CancelRequest, run_id: str, *, dry_run: bool = False
    ) -> None:
        self.context = context
        self.conf = conf
        self.dry_run = dry_run
        self.files = RunFiles(context.bucket, run_id, CANCEL_DAG)
        # A run that is cleared as a real one must not report what its dry run said.
        self._said_key = self.files.key("dry-run-said.json" if dry_run else "said.json")

    def note(self, step: str, line: str, *, done: bool = False) -> None:
        """Say something for the report."""
        said = self.said()
        if (step, line) not in said.lines:
            said.lines.append((step, line))
        said.done = said.done or done
        self.files.bucket.put(self._said_key, said.model_dump_json().encode(), "application/json")
        log.info("%s: %s", step, line)

    def said(self) -> _Said:
        """What was said so far."""
        found = self.files.bucket.find(self._said_key)
        return _Said() if found is None else _Said.model_validate_json(found)

    def tracked(self) -> Tracked:
        """The request. Raises InputProblem when it is not tracked."""
        tracked = self.context.store.get(self.conf.pr_id)
        if tracked is None:
            raise InputProblem(
                f"There is no request {self.conf.pr_id} here: it was not placed by dcb_place_request, or is long over. "
                "Look at its pr_id"
            )
        return tracked


def cancel(run: Cancelling) -> str:
    """Cancel the patron's holds and report that to the machine; returns the request's status.

    A request that is cancelled already is done. Raises InputProblem when it cannot be cancelled (any more), with what
    to do instead; NotAcceptable when an Alma refuses; Unsettled when nobody knows whether the book is lent.
    """
    with run.context.locks.hold(f"dcb_request:{run.conf.pr_id}") as lock:
        tracked = run.tracked()
        if not tracked.is_ours:
            raise InputProblem(
                f"The request {tracked.pr_id} is run by {name_of(tracked.owner)} and only watched here: cancel it there"
            )
        if is_cancelled(tracked):
            run.note("cancel", f"The request is cancelled already: {tracked.status}.", done=True)
            return tracked.status
        _refuse(tracked)
        legs = [
            leg for role, leg in sorted(tracked.legs.items()) if role is not Role.SUPPLIER and leg.is_placed
        ]
        for leg in legs:
            _refuse_lent(run, leg)
        try:
            for leg in legs:
                _check_reason(run, leg)
        except Impossible as refusal:
            raise _refused(tracked, refusal) from refusal
        if run.dry_run:
            for leg in legs:
                run.note(
                    "cancel",
                    f"The hold {leg.request_id or leg.txn_id} at {leg.system_code} would be cancelled.",
                )
            return tracked.status
        try:
            reports = []
            for leg in legs:
                lock.check()
                reports.append(_cancelled(run, leg))
        except Impossible as refusal:
            raise _refused(tracked, refusal) from refusal
        if Role.SUPPLIER in tracked.legs:
            reports.append(_look_at_lender(run, tracked.legs[Role.SUPPLIER]))
        applied = run.context.store.apply(
            tracked.pr_id,
            reports,
            settings=run.context.settings,
            now=run.context.now(),
            run_id=run.files.run_id,
            actor="user:dcb_cancel_request",
        )
        run.note("cancel", f"The request is {applied.status} now.", done=True)
        return applied.status


def is_cancelled(tracked: Tracked) -> bool:
    """Whether the request ended, or is ending, by a cancellation."""
    return tracked.status in (S.CANCELLED, S.AWAITING_RETURN) or (
        tracked.status is S.FINALISED and tracked.state.outcome is RequestOutcome.CANCELLED
    )


def _refuse(tracked: Tracked) -> None:
    status = tracked.status
    if status in _CAN_BE:
        return
    if status in (S.LOANED, S.RETURN_TRANSIT):
        why = "the patron has had the book in hand, so it ends when the book comes home"
    elif status in (S.RPSA, S.CONFIRMED):
        why = "it is still being placed; try again in some minutes, when dcb_place_request has ended"
    elif status is S.ERROR:
        why = "it is in error and rests; close it with python -m alma_etl.dcb operator"
    elif status in (S.NOT_SUPPLIED, S.NO_ITEMS):
        why = "the lender cannot supply it, so it ends by itself"
    else:
        why = "it is over"
    raise InputProblem(f"The request {tracked.pr_id} is {status} and cannot be cancelled: {why}")


def _refuse_lent(run: Cancelling, leg: LegRecord) -> None:
    """Look once more: the book may have been lent since the last poll."""
    lent = _txn(run, leg) in _LENT_TXNS if leg.system_kind == "MOD_DCB" else _is_lent(run, leg)
    if lent:
        raise InputProblem(
            f"The request {run.conf.pr_id} cannot be cancelled: the book is lent at {leg.system_code}. It ends when "
            "the patron has returned it"
        )


def _reason(run: Cancelling, leg: LegRecord) -> str:
    return run.conf.reason or run.context.systems.settings(leg.system_code).reason_for("patron")


def _check_reason(run: Cancelling, leg: LegRecord) -> None:
    """Before anything is written: the reason must be one that the side's Alma knows. Raises Impossible, RemoteStop."""
    if leg.system_kind == "ALMA":
        check_reason(run.context.systems.alma(leg.system_code), _reason(run, leg))


def _refused(tracked: Tracked, refusal: Impossible) -> NotAcceptable:
    return NotAcceptable(f"The request {tracked.pr_id} could not be cancelled: {refusal.sentence}")


def _txn(run: Cancelling, leg: LegRecord) -> str:
    reader = FolioReader(run.context.systems.mod_dcb(leg.system_code))
    found = reader.transaction(leg.txn_id or run.conf.pr_id)
    if found is None:
        raise Unsettled(
            f"The FOLIO of {leg.system_code} does not say whether the book is lent; nothing was cancelled"
        )
    return found


def _is_lent(run: Cancelling, leg: LegRecord) -> bool:
    item, loan = _item_and_loan(run, leg)
    if item.found is None or loan.found is None:
        raise Unsettled(
            f"The Alma of {leg.system_code} does not say whether the book is lent; nothing was cancelled"
        )
    active = bool(loan.found) and (loan.loan_status or "").upper() == "ACTIVE"
    return active or item.process_type == "LOAN"


def _item_and_loan(run: Cancelling, leg: LegRecord) -> tuple[ItemRead, LoanRead]:
    reader = AlmaReader(run.context.systems.alma(leg.system_code))
    return reader.item(leg), reader.loan(leg)


def _cancelled(run: Cancelling, leg: LegRecord) -> Report:
    """Cancel the hold of a side; what the machine is to know of that side then."""
    what = leg.request_id or leg.txn_id
    if leg.system_kind == "MOD_DCB":
        folio.move(run.context.systems.mod_dcb(leg.system_code), str(leg.txn_id), Txn.CANCELLED, leg.role)
        at = Moment.at(run.context.now())
        run.note("cancel", f"The FOLIO transaction {what} at {leg.system_code} is cancelled.")
        return Report(Observation(leg.role, at, txn=Txn.CANCELLED), "MANUAL")
    alma = run.context.systems.alma(leg.system_code)
    cancel_side(alma, leg, _reason(run, leg))
    at = Moment.at(run.context.now())
    run.note("cancel", f"The hold {what} at {leg.system_code} is cancelled.")
    item, loan = _item_and_loan(run, leg)
    request = RequestRead(False, closure=Closure.CANCELED)
    return Report(Observation(leg.role, at, request=request, item=item, loan=loan), "MANUAL")


def _look_at_lender(run: Cancelling, leg: LegRecord) -> Report:
    """The lender's side as it is now: whether the book travels decides what the cancellation means."""
    at = Moment.at(run.context.now())
    if leg.system_kind == "MOD_DCB":
        folio_reader = FolioReader(run.context.systems.mod_dcb(leg.system_code))
        txn = folio_reader.transaction(leg.txn_id or run.conf.pr_id)
        return Report(Observation(leg.role, at, txn=txn), "MANUAL", tuple(folio_reader.errors()))
    zone = run.context.systems.settings(leg.system_code).zone
    reader = AlmaReader(run.context.systems.alma(leg.system_code), zone)
    observation = Observation(
        leg.role, at, request=reader.request(leg), item=reader.item(leg), loan=reader.loan(leg)
    )
    return Report(observation, "MANUAL", tuple(reader.errors()))


def verify(run: Cancelling) -> str:
    """Read again whether the holds are gone; returns the request's status. Raises NotAcceptable when one is not."""
    tracked = run.tracked()
    if run.dry_run:
        return tracked.status
    for role, leg in sorted(tracked.legs.items()):
        if (
            role is Role.SUPPLIER
            or leg.request_id is None
            or leg.user_id is None
            or leg.user_id.startswith("sha256:")
        ):
            continue
        if has_hold(run.context.systems.alma(leg.system_code), leg):
            raise NotAcceptable(
                f"The hold {leg.request_id} at {leg.system_code} is there again after it was cancelled: look in Alma"
            )
    run.note("verify", f"No hold of the patron is left; the request is {tracked.status}.")
    if not is_cancelled(tracked) and tracked.status not in SETTLED:
        travels = tracked.state.leg(Role.SUPPLIER).item is ItemState.TRANSIT
        why = (
            "the lender's item travels, and for whom is not clear yet"
            if travels
            else "the lender's side is not clear"
        )
        run.note("verify", f"What becomes of it is decided by dcb_status_sync: {why}.")
    return tracked.status


def report(run: Cancelling, states: Mapping[str, str]) -> str:
    """Write the page. Is to run always; ``states``: tasks that did not succeed, which make it raise NotAcceptable."""
    said = run.said()
    pr_id = run.conf.pr_id
    if states:
        failed = ", ".join(task for task, state in states.items() if state == "failed") or ", ".join(states)
        why = kept(run.files) or "its log says why"
        sentence = f"The request {pr_id} was not cancelled as asked, {failed} failed: {why}"
        if said.done:
            sentence = f"The request {pr_id} was cancelled, but {failed} failed: {why}"
    elif run.dry_run:
        sentence = f"Dry run: the request {pr_id} can be cancelled. Nothing was written."
    else:
        tracked = run.tracked()
        sentence = f"The request {pr_id} is cancelled: {tracked.status}. dcb_status_sync does the rest."
        if not is_cancelled(tracked) and tracked.status not in SETTLED:
            sentence = (
                f"The patron's hold of the request {pr_id} is cancelled. The request is {tracked.status} until "
                "dcb_status_sync has seen that."
            )
    heading = f"Cancellation of request {pr_id}"
    write_page(run.files, heading, sentence, said.lines, failed=bool(states), dry_run=run.dry_run)
    if states:
        raise NotAcceptable(sentence)
    log.info("%s", sentence)
    return sentence


def results_of(run: Cancelling) -> Results:
    """Return for the ledger whether the request was cancelled."""
    return Results({"cancelled": 1} if run.said().done else {}, artefacts=run_artefacts(run.files))
