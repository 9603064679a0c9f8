"""Checks of the virtual patrons: holds and loans in their names that no request knows, and those that expire."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.loans import Loan
from alma_etl.alma.user_requests import UserRequest
from alma_etl.alma.users import User
from alma_etl.dcb.flows.reconcile.findings import Code, ReconcileContext, digest, why
from alma_etl.dcb.machine.model import read_time
from alma_etl.dcb.machine.vocabulary import BEFORE_SHIPPING, UNDER_WAY
from alma_etl.dcb.sides.marks import VIRTUAL_LAST_NAME, VIRTUAL_PREFIX, pr_id_of
from alma_etl.dcb.sides.patrons import LASTS, extend, is_expiring, state_of
from alma_etl.dcb.sides.ports import Impossible, Unsettled
from alma_etl.dcb.store.rows import Side
from alma_etl.errors import InputProblem
from alma_etl.remote.answers import Answer, Found, Unknown, rows_of
from alma_etl.remote.errors import RemoteStop

SETTLES = timedelta(hours=1)
"""A hold younger than this may be about to be tracked."""

_CODES = (
    Code.ORPHAN_HOLD,
    Code.ORPHAN_LOAN,
    Code.LOST_TRACK,
    Code.PATRON_EXPIRING,
    Code.FINALISED_WHILE_OUT,
)

_PASSING = (Code.LOST_TRACK, Code.PATRON_EXPIRING)
"""What is over when the patron stands in no request any more; an open hold or loan is not."""


@dataclass(frozen=True)
class _Read:
    """What Alma shows of one virtual patron."""

    user: Answer[User]
    holds: Answer[list[UserRequest]]
    loans: Answer[list[Loan]]

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it is unknown."""
        return not any(isinstance(answer, Unknown) for answer in (self.user, self.holds, self.loans))


def tonight(users: list[tuple[str, str]], now: datetime, most: int) -> list[tuple[str, str]]:
    """Those whose turn it is: all of them where they are no more than ``most``, else an equal part each night.

    Which night is a user's depends on nothing but the id, so that none is left out however often the job fails.
    """
    nights = -(-len(users) // most)
    if nights <= 1:
        return users
    turn = now.date().toordinal() % nights
    return [user for user in users if _number(user) % nights == turn]


def _number(user: tuple[str, str]) -> int:
    return int.from_bytes(hashlib.sha256("|".join(user).encode()).digest()[:8])


def check_patrons(context: ReconcileContext, most: int, more: Collection[tuple[str, str]] = ()) -> int:
    """ORPHAN_HOLD, ORPHAN_LOAN, LOST_TRACK, PATRON_EXPIRING, FINALISED_WHILE_OUT at the lender; three calls each.

    ``more``: virtual patrons that stand in no request. Returns the number of those that were read.
    """
    by_system: dict[str, list[str]] = {}
    used = context.store.virtual_users()
    users = sorted({*used, *more, *_found(context, {code for code, _ in used})})
    context.findings.past(context.store, _PASSING, {_subject(*user) for user in users})
    for code, user_id in tonight(users, context.now, most):
        by_system.setdefault(code, []).append(user_id)
    read = 0
    for code, user_ids in by_system.items():
        try:
            alma = context.systems.alma(code)
            for user_id, answers in alma.in_parallel(partial(_read, alma), user_ids):
                read += _judge(context, alma, code, user_id, answers)
        except (RemoteStop, InputProblem) as problem:
            context.findings.could_not_read(code, why(problem))
    return read


def _found(context: ReconcileContext, codes: set[str]) -> list[tuple[str, str]]:
    """The virtual patrons that systems know where we have any: a placing that was never tracked has left its own."""
    found = []
    for code in sorted(codes):
        try:
            answer = context.systems.alma(code).users.search("last_name", VIRTUAL_LAST_NAME)
        except (RemoteStop, InputProblem) as problem:
            context.findings.could_not_read(code, why(problem))
            continue
        if not isinstance(answer, Found):
            context.findings.missed_one(code)
        found += [(code, user_id) for user_id in rows_of(answer) if user_id.startswith(VIRTUAL_PREFIX)]
    return found


def _subject(code: str, user_id: str) -> str:
    return f"{code}:{digest(user_id)}"


def _read(alma: AlmaClient, user_id: str) -> _Read:
    return _Read(
        alma.users.read(user_id),
        alma.requests.of_user(user_id, request_type="HOLD"),
        alma.loans.of_user(user_id),
    )


def _judge(context: ReconcileContext, alma: AlmaClient, code: str, user_id: str, answers: _Read) -> bool:
    if not answers.is_whole:
        context.findings.missed_one(code)
        return False
    # Asked only now: a request that was tracked while Alma was read is known here.
    sides = context.store.sides_of(code, user_id)
    subject = _subject(code, user_id)
    holds = answers.holds.value if isinstance(answers.holds, Found) else []
    loans = answers.loans.value if isinstance(answers.loans, Found) else []
    _holds(context, code, subject, sides, holds)
    _loans(context, code, subject, sides, loans)
    _lost(context, code, subject, sides, holds)
    live = [side for side in sides if side.is_live]
    if isinstance(answers.user, Found) and live:
        ours = any(side.is_ours for side in live)
        _expiring(context, alma, code, subject, answers.user.value, ours=ours)
    context.findings.looked(_CODES, subject)
    return True


def _holds(
    context: ReconcileContext,
    code: str,
    subject: str,
    sides: list[Side],
    holds: list[UserRequest],
) -> None:
    # With the mark: Alma may give the id of a hold again that an open request still believes to be its own.
    known = {(side.request_id, side.pr_id) for side in sides if side.is_live}
    for hold in holds:
        pr_id = pr_id_of(hold.comment)
        if pr_id is None or (hold.request_id, pr_id) in known or is_young(hold, context.now):
            continue
        context.findings.add(
            Code.ORPHAN_HOLD,
            f"{code}: no open request has the hold {hold.request_id}: cancel it in Alma, unless it was placed "
            "a moment ago",
            tracked=context.store.get(pr_id),
            pr_id=pr_id,
            part=f"{code}:{hold.request_id}",
            subject=subject,
            detail={"system": code, "request_id": hold.request_id, "item_pid": hold.item_pid},
        )


def is_young(hold: UserRequest, now: datetime) -> bool:
    """Whether it may be about to be tracked."""
    placed_at = hold.raw.get("request_time")
    try:
        return isinstance(placed_at, str) and now - read_time(placed_at) < SETTLES
    except ValueError:
        return False


def _loans(
    context: ReconcileContext,
    code: str,
    subject: str,
    sides: list[Side],
    loans: list[Loan],
) -> None:
    for loan in loans:
        its = [side for side in sides if side.item_pid == loan.item_pid]
        if any(side.is_live for side in its):
            continue
        detail = {"system": code, "loan_id": loan.loan_id, "item_pid": loan.item_pid}
        if its:
            ended = its[-1].pr_id
            context.findings.add(
                Code.FINALISED_WHILE_OUT,
                f"{code}: the request has ended, but its loan {loan.loan_id} is open: find the book, then return "
                "it in Alma",
                tracked=context.store.get(ended),
                part=f"{code}:{loan.loan_id}",
                subject=subject,
                detail=detail,
            )
        else:
            context.findings.add(
                Code.ORPHAN_LOAN,
                f"{code}: a virtual patron has the item {loan.item_pid} on loan, and no request knows of it: find "
                "the book, then return it in Alma",
                part=f"{code}:{loan.loan_id}",
                subject=subject,
                detail=detail,
            )


def _lost(
    context: ReconcileContext,
    code: str,
    subject: str,
    sides: list[Side],
    holds: list[UserRequest],
) -> None:
    there = {hold.request_id for hold in holds}
    for side in sides:
        if side.request_id is None or side.request_id in there:
            continue
        if side.status not in BEFORE_SHIPPING | UNDER_WAY:
            continue
        tracked = context.store.get(side.pr_id)
        leg = tracked.legs.get(side.role) if tracked is not None else None
        if tracked is None or leg is None or leg.request_id != side.request_id:
            continue  # an earlier lender's
        memory = tracked.state.leg(side.role)
        if not memory.hold_alive or memory.lent:
            continue  # its end is known
        context.findings.nudged.add(side.pr_id)
        context.findings.add(
            Code.LOST_TRACK,
            f"{code}: the hold {side.request_id} is not among the patron's open ones any more; polling finds out "
            "why",
            tracked=tracked,
            part=f"{code}:{side.request_id}",
            subject=subject,
            detail={"system": code, "request_id": side.request_id},
            did=context.did("is looked at by the next dcb_status_sync"),
        )


def _expiring(
    context: ReconcileContext, alma: AlmaClient, code: str, subject: str, user: User, *, ours: bool
) -> None:
    state = state_of(user, context.now)
    if not is_expiring(state, context.now):
        return
    did, over = "", False
    if context.drives and ours:
        did = context.did("extended by 120 days")
        if context.fixes:
            try:
                extend(alma, user.primary_id, context.now + LASTS)
                over = True
            except (Impossible, Unsettled) as problem:
                did = _without(str(problem), user.primary_id)
    expires: Mapping[str, str] = {"system": code, "expiry_date": str(state.expiry_date)}
    context.findings.add(
        Code.PATRON_EXPIRING,
        f"{code}: a virtual patron with open requests expires on {state.expiry_date}: extend it in Alma",
        part=subject,
        subject=subject,
        detail=expires,
        did=did,
        over=over,
    )


def _without(sentence: str, user_id: str) -> str:
    return sentence.replace(user_id, "(its id)")
