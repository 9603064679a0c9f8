"""What people decide about a request, by command: put it back to work, try again, close it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import AckName
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import DcbStore, Report
from alma_etl.errors import InputProblem

Decision = Literal["rollback", "retry", "close-lost", "cleanup"]

_ACKS = {
    "rollback": AckName.OPERATOR_ROLLBACK,
    "close-lost": AckName.OPERATOR_CLOSE_LOST,
    "cleanup": AckName.OPERATOR_CLEANUP,
}
_LOGIN = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def decide(
    store: DcbStore,
    settings: DcbSettings,
    pr_id: str,
    decision: Decision,
    *,
    by: str,
    now: datetime,
    force: bool = False,
) -> str:
    """Carry out a decision; what came of it, in a sentence. ``by`` is a login and goes into the history.

    ``rollback``: from ERROR to the status before, and the action that failed is tried again. ``retry``: what was given
    up or refused is tried again. ``close-lost``: the book is lost, the request ends. ``cleanup``: it ends for any other
    reason; while the book is out only by ``force``. Raises InputProblem when it cannot be done.
    """
    checked_login(by)
    before = store.get(pr_id)
    if before is None:
        raise InputProblem(f"There is no request {pr_id} in the state store")
    if decision == "retry":
        return _tried_again(store, pr_id, now) or _nothing(f"Nothing of {pr_id} was given up or refused")
    ack = Ack(_ACKS[decision], Moment.at(now), force=force)
    applied = store.apply(pr_id, [Report(ack, "MANUAL")], settings=settings, now=now, actor=f"user:{by}")
    if applied.result is not None and flags.OPERATOR_CLEANUP_REFUSED in applied.result.flags:
        return _nothing(f"The book of {pr_id} is out ({before.status}): only --force closes the request now")
    if applied.result is None or not (applied.result.transitions or applied.result.actions):
        return _nothing(f"{pr_id} is {before.status}: {decision} does not fit")
    again = _tried_again(store, pr_id, now) if decision == "rollback" else None
    return f"{pr_id}: {before.status} -> {applied.status}." + (f" {again}" if again else "")


def checked_login(by: str) -> str:
    """A login that may be kept. Raises InputProblem for anything else."""
    if not _LOGIN.fullmatch(by):
        raise InputProblem(
            "Give your login by --by: letters, digits, dots, dashes; no name or e-mail, since it is kept"
        )
    return by


def _tried_again(store: DcbStore, pr_id: str, now: datetime) -> str | None:
    revived = store.revive_of(pr_id, now)
    return f"The next tick tries again: {', '.join(revived)}." if revived else None


def _nothing(sentence: str) -> str:
    raise InputProblem(f"{sentence}. Nothing was changed.")
