"""What an answer of Alma means: nothing is decided by message text where there is a code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from alma_etl.alma.call import Call, without_user
from alma_etl.alma.envelope import Reply, UnreadableError
from alma_etl.remote.errors import (
    AlmaDailyThreshold,
    RemoteError,
    RemoteForbidden,
    RemoteMalformed,
    RemoteRefused,
    RemoteServerError,
    RemoteThrottled,
    RemoteUnauthorized,
)

T = TypeVar("T")

_RESET_GRACE = timedelta(minutes=10)


def failure(call: Call, reply: Reply, now: datetime, scrub: Callable[[str], str] = str) -> RemoteError | None:
    """The error that `reply` stands for, None when it is an answer. `now` (UTC) dates the daily threshold;
    `scrub` takes the key out of Alma's own words, in case it is echoed."""
    try:
        said = reply.error()
        kind = reply.kind
    except UnreadableError as error:
        said, kind = None, "unreadable"
        why = str(error)
    else:
        why = _NO_ANSWER.get(kind, "")
    status = reply.status
    code = said.code if said else ""
    words = without_user(call.path, scrub(said.message))[:1000] if said else ""
    tracking_id = (said.tracking_id if said else "") or reply.request_id

    def make(type_: type[RemoteError], message: str, effect_unknown: bool = False) -> RemoteError:
        return type_(call.name, status, code, message, tracking_id, effect_unknown)

    if code == "DAILY_THRESHOLD":
        until = next_allowance(now)
        return AlmaDailyThreshold(
            call.name,
            status,
            code,
            f"the institution's Alma calls of today are used up; run again after {until:%Y-%m-%d %H:%M} UTC",
            tracking_id,
            False,
            until,
        )
    if code == "PER_SECOND_THRESHOLD" or status == 429:
        return make(RemoteThrottled, "more calls per second than Alma allows")
    if code == "UNAUTHORIZED" or status == 401:
        return make(RemoteUnauthorized, _UNAUTHORIZED)
    if code in ("INVALID_REQUEST", "FORBIDDEN") or status == 403:
        return make(RemoteForbidden, _FORBIDDEN)
    if status >= 500:
        return make(RemoteServerError, f"Alma failed{': ' + words if words else ''}", call.writes)
    if said is not None and code:
        return make(RemoteRefused, words or "refused")
    if said is not None or why or not 200 <= status < 300:
        return make(RemoteMalformed, f"unusable answer: {why or 'an error without a code'}", call.writes)
    return None


def read_or_malformed(call: Call, reply: Reply, read: Callable[[Reply], T]) -> T:
    """Turn a good answer into a value; a shape that `read` cannot take is a malformed answer."""
    try:
        return read(reply)
    except (UnreadableError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        why = (
            str(error)
            if isinstance(error, UnreadableError)
            else f"a part is missing ({type(error).__name__}: {error})"
        )
        raise RemoteMalformed(
            call.name, reply.status, "", f"unusable answer: {why[:300]}", reply.request_id, call.writes
        ) from error


def next_allowance(now: datetime) -> datetime:
    """When the daily calls come back: midnight UTC; shortly after midnight our clock may be ahead of Alma's,
    and waiting for the next midnight would lose a day."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return now + _RESET_GRACE if now - midnight < _RESET_GRACE else midnight + timedelta(days=1)


_NO_ANSWER = {
    "html": "an HTML page came instead of an answer",
    "text": "plain text came instead of an answer",
}
_UNAUTHORIZED = (
    "Alma does not accept this API key here; check the connection's key, that the host is the "
    "institution's region, and that the key's rights in the Ex Libris developer network cover this area"
)
_FORBIDDEN = (
    "Alma's gateway refuses this key or this machine's address; "
    "check the key and the IP ranges that it is limited to"
)
