"""Writing without losing and without doing twice: the one mechanism behind every POST and PUT.

A POST whose answer was lost may have taken effect. It is never repeated blindly: look, then adopt what is
there, repeat, or report `unconfirmed`. A PUT goes out as what GET gave with the change merged in, and the
answer is checked. What to look for is different for each call: see `writes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from alma_etl.remote.answers import Absent, Answer, Found, Unknown
from alma_etl.remote.errors import RemoteError, RemoteRefused, RemoteStop, RemoteTransient

T = TypeVar("T")

SETTLE = (0.0, 2.0, 8.0, 30.0)
"""Seconds before each look after a lost answer. Lists lag behind writes, and a call that was given up may still be at
work: where the service would not refuse a second one, "not there" counts only when it is said every time."""

NOT_AS_SENT = "NOT_AS_SENT"


class WriteOutcome(StrEnum):
    """How one write ended."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"  # it was as wanted already, nothing was sent
    ADOPTED = "adopted"  # the answer was lost, or a former run had done it; a look found it
    REFUSED = "refused"  # the service said no, `error` says why
    CONFLICT = "conflict"  # somebody else changed what was to be changed; it was left alone
    NOT_FOUND = "not_found"  # what was to be changed is not there
    UNCONFIRMED = "unconfirmed"  # nobody knows; a person has to look
    FAILED = "failed"  # it is known that nothing was written


DONE = frozenset({WriteOutcome.CREATED, WriteOutcome.UPDATED, WriteOutcome.UNCHANGED, WriteOutcome.ADOPTED})


@dataclass(frozen=True)
class Written(Generic[T]):
    """What became of one write. `value` is what is there now, when that is known; `error` the refusal, or
    the answer that was lost."""

    outcome: WriteOutcome
    value: T | None = None
    error: RemoteError | None = None

    @property
    def done(self) -> bool:
        """Whether it is now as wanted."""
        return self.outcome in DONE


def write(
    attempt: Callable[[], T],
    look: Callable[[], Answer[T]],
    *,
    pause: Callable[[float], None],
    guarded: bool,
    look_first: bool = False,
    attempts: int = 3,
    pauses: tuple[float, ...] = SETTLE,
    absence_counts: bool = True,
) -> Written[T]:
    """POST by `attempt` until it is known to be done, at most `attempts` times.

    `look` asks whether it is there: Found (it is adopted), Absent, Unknown; it may raise RemoteRefused
    when it finds that the wish cannot be fulfilled. `guarded`: the service itself refuses a second one, so that a
    single "not there" is enough to try again. `look_first`: an earlier run may have done it. `pauses`: seconds before
    each look, where the service would not refuse a second one. `absence_counts`: whether "not there", said every time,
    means so; else the end is UNCONFIRMED, and `attempts` is 1. Raises RemoteStop only while nothing is seen of it; its
    `effect_unknown` says whether something was sent before."""
    lost: RemoteError | None = None
    if look_first:
        answer = look()
        if isinstance(answer, Found):
            return Written(WriteOutcome.ADOPTED, answer.value)
        if isinstance(answer, Unknown):
            return Written(WriteOutcome.FAILED, error=answer.error)
    for left in reversed(range(attempts)):
        try:
            return Written(WriteOutcome.CREATED, attempt())
        except RemoteRefused as refusal:
            if lost is None:
                return Written(WriteOutcome.REFUSED, error=refusal)
            # perhaps because the first attempt took effect after the look
            return _looked(look, pauses, pause, lost) or Written(WriteOutcome.REFUSED, error=refusal)
        except RemoteTransient as error:
            if not error.effect_unknown:
                return Written(WriteOutcome.FAILED, error=error)
            lost = error
        except RemoteStop as stop:
            # one look is enough to try again, not to know: the call that was given up may still be at work
            stop.effect_unknown = lost is not None
            raise
        found = _looked(look, pauses[:1] if guarded and left else pauses, pause, lost)
        if found is not None:
            return found
    return Written(WriteOutcome.FAILED if absence_counts else WriteOutcome.UNCONFIRMED, error=lost)


def _looked(
    look: Callable[[], Answer[T]],
    pauses: tuple[float, ...],
    pause: Callable[[float], None],
    lost: RemoteError,
) -> Written[T] | None:
    """What the looks after a lost answer show; None when each says that it is not there."""
    for seconds in pauses:
        if seconds:
            pause(seconds)
        try:
            answer = look()
        except RemoteRefused as refusal:
            return Written(WriteOutcome.REFUSED, error=refusal)
        except RemoteStop:
            # the run will end at its next call; what this one left behind must not be forgotten by that
            return Written(WriteOutcome.UNCONFIRMED, error=lost)
        if isinstance(answer, Found):
            return Written(WriteOutcome.ADOPTED, answer.value)
        if isinstance(answer, Unknown):
            return Written(WriteOutcome.UNCONFIRMED, error=lost)
    return None


def update(
    read: Callable[[], Answer[T]],
    change: Callable[[T], T],
    put: Callable[[T], T],
    *,
    pause: Callable[[float], None],
    intact: Callable[[T, T], bool] = lambda wanted, after: True,
    foreign: Callable[[T], bool] = lambda base: False,
    stale: frozenset[str] = frozenset(),
    attempts: int = 3,
) -> Written[T]:
    """PUT what `read` gave with `change` made in it, and check that the answer has the change, or else a new reading.

    `change` returns a changed copy and, applied to its own result, changes nothing: by that one knows the
    change when one sees it, in the answer and, after a lost answer or when somebody else wrote in between, in
    a new reading. `foreign`: whether what was read has something of somebody else's which the change would
    overwrite: CONFLICT, and it is left alone. `stale`: the codes by which the service refuses what was read before
    somebody else wrote; then it is read again. Raises RemoteStop only while it is known that nothing was written."""
    answer = read()
    lost: RemoteError | None = None
    refusal: RemoteRefused | None = None
    sent: T | None = None
    for left in reversed(range(attempts)):
        if not isinstance(answer, Found):
            return _unread(answer, lost)
        base = answer.value
        wanted = change(base)
        if wanted == base or foreign(base):
            conflict = Written(WriteOutcome.CONFLICT, base, lost or refusal)
            return _seen(base, sent, intact) if wanted == base else conflict
        sent = wanted
        try:
            after = put(wanted)
        except RemoteRefused as error:
            refusal = error
            if error.code not in stale:
                return Written(WriteOutcome.REFUSED, base, error)
        except RemoteTransient as error:
            if not error.effect_unknown:
                return Written(WriteOutcome.FAILED, base, error)
            lost = error
        else:
            return _answered(read, change, wanted, after, intact)
        try:
            answer = _reread(read, change, SETTLE[:1] if left or not lost else SETTLE, pause)
        except RemoteStop:
            if lost is None:
                raise
            return Written(WriteOutcome.UNCONFIRMED, error=lost)
    if not isinstance(answer, Found):
        return _unread(answer, lost)
    if change(answer.value) == answer.value:
        return _seen(answer.value, sent, intact)
    return Written(
        WriteOutcome.FAILED if refusal is None else WriteOutcome.REFUSED, answer.value, refusal or lost
    )


def _reread(
    read: Callable[[], Answer[T]],
    change: Callable[[T], T],
    pauses: tuple[float, ...],
    pause: Callable[[float], None],
) -> Answer[T]:
    """What is there now, waiting for the change to show."""
    for seconds in pauses:
        if seconds:
            pause(seconds)
        answer = read()
        if not isinstance(answer, Found) or change(answer.value) == answer.value:
            break
    return answer


def _answered(
    read: Callable[[], Answer[T]],
    change: Callable[[T], T],
    wanted: T,
    after: T,
    intact: Callable[[T, T], bool],
) -> Written[T]:
    """What the answer to a PUT shows; where it is not what was sent, a reading shows what is there."""
    if change(after) != after or not intact(wanted, after):
        try:
            answer = read()
        except RemoteStop:
            return _not_as_sent(after)
        if not isinstance(answer, Found):
            return _not_as_sent(after)
        after = answer.value
        if change(after) != after or not intact(wanted, after):
            return _not_as_sent(after)
    return Written(WriteOutcome.UPDATED, after)


def _seen(now: T, sent: T | None, intact: Callable[[T, T], bool]) -> Written[T]:
    """The change is there: as it was before anything was sent, or by what was sent."""
    if sent is None:
        return Written(WriteOutcome.UNCHANGED, now)
    return Written(WriteOutcome.ADOPTED, now) if intact(sent, now) else _not_as_sent(now)


def _not_as_sent(after: T) -> Written[T]:
    words = "it was answered, but what is there now is not what was sent"
    return Written(WriteOutcome.REFUSED, after, RemoteRefused("PUT", 200, NOT_AS_SENT, words))


def _unread(answer: Absent | Unknown, lost: RemoteError | None) -> Written[T]:
    if lost is not None:
        return Written(WriteOutcome.UNCONFIRMED, error=lost)
    return Written(
        WriteOutcome.NOT_FOUND if isinstance(answer, Absent) else WriteOutcome.FAILED, error=answer.error
    )
