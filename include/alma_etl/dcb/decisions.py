"""What people decide about a request, by command: put it back to work, try again, close it, give a side other ids."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import SETTLED, TERMINAL, AckName, Role
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import DcbStore, Report
from alma_etl.errors import InputProblem

Decision = Literal["rollback", "retry", "close-lost", "cleanup"]

_ACKS = {
    "rollback": AckName.OPERATOR_ROLLBACK,
    "close-lost": AckName.OPERATOR_CLOSE_LOST,
    "cleanup": AckName.OPERATOR_CLEANUP,
}
_LONGEST_REASON = 500
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
    reason: str | None = None,
) -> str:
    """Carry out a decision; what came of it, in a sentence. ``by``, a login, and ``reason`` go into the history.

    ``rollback``: from ERROR to the status before, and the action that failed is tried again. ``retry``: what was given
    up or refused is tried again. ``close-lost``: the book is lost, the request ends. ``cleanup``: it ends for any other
    reason; while the book is out only by ``force``. Raises InputProblem when it cannot be done.
    """
    checked_login(by)
    reason = checked_reason(reason)
    before = store.get(pr_id)
    if before is None:
        raise InputProblem(f"There is no request {pr_id} in the state store")
    if decision == "retry":
        done = _tried_again(store, pr_id, now) or _nothing(f"Nothing of {pr_id} was given up or refused")
        note(store, settings, pr_id, f"tried again: {reason}" if reason else "tried again", by=by, now=now)
        return done
    ack = Ack(_ACKS[decision], Moment.at(now), force=force, reason=reason)
    applied = store.apply(pr_id, [Report(ack, "MANUAL")], settings=settings, now=now, actor=f"user:{by}")
    if applied.result is not None and flags.OPERATOR_CLEANUP_REFUSED in applied.result.flags:
        return _nothing(f"The book of {pr_id} is out ({before.status}): only --force closes the request now")
    if applied.result is None or not (applied.result.transitions or applied.result.actions):
        return _nothing(f"{pr_id} is {before.status}: {decision} does not fit")
    again = _tried_again(store, pr_id, now) if decision == "rollback" else None
    return f"{pr_id}: {before.status} -> {applied.status}." + (f" {again}" if again else "")


_ALMA_ID = re.compile(r"[0-9]{5,20}")
_USER_ID = re.compile(r"[^\x00-\x1f\x7f]{1,255}")


def relink(
    store: DcbStore,
    settings: DcbSettings,
    pr_id: str,
    role: Role,
    ids: Mapping[str, str | None],
    *,
    by: str,
    now: datetime,
    reason: str | None = None,
) -> str:
    """Give a side of a request the ids that its user, title, holding or item have in Alma by now, where no row of Alma
    shows them; what came of it, in a sentence. ``ids``: by the names of `store.rows.FOLLOWED`, None: stays as it is.

    Raises InputProblem when it cannot be done, or would change nothing.
    """
    checked_login(by)
    given = {name: _checked_id(name, value) for name, value in ids.items() if value is not None}
    if not given:
        return _nothing("Give at least one of --user, --mms, --holding, --item")
    before = store.get(pr_id)
    if before is None:
        raise InputProblem(f"There is no request {pr_id} in the state store")
    if before.status in SETTLED | TERMINAL:
        return _nothing(f"{pr_id} is {before.status}: it is over")
    leg = before.legs.get(role)
    if leg is None or not leg.is_placed:
        return _nothing(f"The {role.lower()} side of {pr_id} is not placed")
    if leg.system_kind != "ALMA":
        return _nothing(f"The {role.lower()} side of {pr_id} is not in an Alma, and has no such ids")
    changed = store.relink(
        pr_id, role, given, by=by, reason=checked_reason(reason), settings=settings, now=now
    )
    if not changed:
        return _nothing(f"The {role.lower()} side of {pr_id} has these ids already")
    return f"{pr_id}: {', '.join(changed)} of the {role.lower()} side changed. The next tick looks at it."


def _checked_id(name: str, value: str) -> str:
    value = value.strip()
    if name == "user_id":
        if not _USER_ID.fullmatch(value):
            raise InputProblem("--user is the primary identifier of the user in Alma: 1 to 255 characters")
    elif not _ALMA_ID.fullmatch(value):
        raise InputProblem("--mms, --holding and --item are ids of Alma, which are 5 to 20 digits")
    return value


def checked_login(by: str) -> str:
    """A login that may be kept. Raises InputProblem for anything else."""
    if not _LOGIN.fullmatch(by):
        raise InputProblem(
            "Give your login by --by: letters, digits, dots, dashes; no name or e-mail, since it is kept"
        )
    return by


def checked_reason(reason: str | None) -> str | None:
    """A reason that may be kept: one line, at most 500 characters. Raises InputProblem for anything else."""
    words = (reason or "").strip()
    if len(words) > _LONGEST_REASON or not words.isprintable():
        raise InputProblem(f"A reason is one line of at most {_LONGEST_REASON} characters")
    return words or None


def note(store: DcbStore, settings: DcbSettings, pr_id: str, words: str, *, by: str, now: datetime) -> None:
    """Keep in a request's history what somebody did about it; it changes nothing of the request."""
    ack = Ack(AckName.OPERATOR_NOTED, Moment.at(now), reason=words, by=by)
    store.apply(pr_id, [Report(ack, "MANUAL")], settings=settings, now=now, actor=f"user:{by}")


def nudge(
    store: DcbStore,
    settings: DcbSettings,
    pr_ids: Sequence[str],
    *,
    now: datetime,
    by: str | None = None,
    reason: str | None = None,
) -> int:
    """Let the next tick look at requests; how many of them are polled at all. With ``by`` the history says who asked.

    Raises InputProblem for a reason of nobody.
    """
    reason = checked_reason(reason)
    if by is None and reason:
        raise InputProblem("Give your login by --by, beside the reason")
    if by is not None:
        checked_login(by)
        for pr_id in sorted(store.get_many(sorted(set(pr_ids)))):
            note(store, settings, pr_id, f"nudged: {reason}" if reason else "nudged", by=by, now=now)
    return store.nudge(pr_ids, now)


def acknowledge(
    store: DcbStore, settings: DcbSettings, key: str, *, by: str, now: datetime, reason: str | None = None
) -> bool:
    """Somebody is at an open alert; False when it is not open. It stands with the alert while that is open, and in the
    history of its request."""
    checked_login(by)
    reason = checked_reason(reason)
    said = f": {reason}" if reason else ""
    if not store.acknowledge(key, f"{by}{said}"):
        return False
    pr_id = next((alert.pr_id for alert in store.open_alerts() if alert.key == key), None)
    if pr_id is not None and store.get(pr_id) is not None:
        note(store, settings, pr_id, f"acknowledged {key}{said}", by=by, now=now)
    return True


def _tried_again(store: DcbStore, pr_id: str, now: datetime) -> str | None:
    revived = store.revive_of(pr_id, now)
    return f"The next tick tries again: {', '.join(revived)}." if revived else None


def _nothing(sentence: str) -> str:
    raise InputProblem(f"{sentence}. Nothing was changed.")
