"""Who is notified of changes. `open_sinks` makes the sinks from the settings; each delivers one event at a time.

Every sink looks before it writes or sends ids by which the receiver knows a repetition, so delivering twice does no
harm. A sink named ``dcb_ncip`` (lifecycle evidence to dcb-service) would be one more class here; docs/dcb.md says why
there is none.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.events import STATUS_CHANGED
from alma_etl.dcb.machine.vocabulary import Txn
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.settings import DcbSettings, SinkSettings
from alma_etl.dcb.sides.ports import Done, Later, Refused, Sink
from alma_etl.dcb.store.rows import OutboxRow, Tracked
from alma_etl.errors import InputProblem
from alma_etl.remote.answers import Found
from alma_etl.remote.errors import RemoteRefused, RemoteTransient, RemoteUnauthorized
from alma_etl.remote.service import HttpAccess, HttpService

# --- what the sinks with a server share: opened late, errors sorted, tried again ever more seldom


log = logging.getLogger(__name__)

STEPS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=12),
)
"""How long to wait after each failure, the last for all further ones."""

_JITTER = 0.15


def pause_after(row: OutboxRow) -> timedelta:
    """When to try a row again, which has failed ``row.attempts`` times and just once more. The jitter of 15 % is the
    same for the same try of the same row."""
    digest = hashlib.sha256(f"{row.outbox_id}|{row.attempts}".encode()).digest()
    dice = int.from_bytes(digest[:4]) / 2**31 - 1
    return STEPS[min(row.attempts, len(STEPS) - 1)] * (1 + _JITTER * dice)


class Closable(Protocol):
    """A client that holds connections."""

    def close(self) -> None:
        """Give them back."""
        ...


C = TypeVar("C", bound=Closable)


class Opening(ABC, Generic[C]):
    """A sink that has a server: its client is opened with the first event. Safe for several threads."""

    def __init__(self, name: str, access: Callable[[], HttpAccess]) -> None:
        self.name = name
        self._access = access
        self._lock = threading.Lock()
        self._client: C | None = None

    @abstractmethod
    def client_for(self, access: HttpAccess) -> C:
        """Open the client."""

    @abstractmethod
    def publish(self, client: C, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Publish one event; may raise RemoteError and InputProblem."""

    def deliver(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Publish one event; what cannot be published now is tried again after the pause of its number of failures.

        A key that is not accepted and a connection that cannot be used are no fault of the event: later, too.
        """
        try:
            answer = self.publish(self._opened(), row, tracked)
        except RemoteRefused as error:
            return Refused(str(error))
        except (RemoteTransient, RemoteUnauthorized, InputProblem) as error:
            answer = Later(str(error))
        if isinstance(answer, Later) and answer.after is None:
            return Later(answer.reason, pause_after(row))
        return answer

    def close(self) -> None:
        """Close the client, if it was opened."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _opened(self) -> C:
        with self._lock:
            if self._client is None:
                self._client = self.client_for(self._access())
            return self._client


# --- the log: always notified, one line of JSON for each event


class LogSink:
    """Writes events into the task's log. They hold ids, codes and times, and nothing about a person."""

    name = "log"

    def deliver(self, row: OutboxRow, tracked: Tracked) -> Done:
        """Write one event."""
        log.info("DCB event %s", json.dumps(dict(row.payload), sort_keys=True, ensure_ascii=False))
        return Done()


# --- mod-dcb: the transaction of a FOLIO side follows the request


class ModDcbSink(Opening[ModDcb]):
    """Moves the transactions of the requests that have a side in ``systems`` (codes that share this connection).

    A change of status that stands for no transaction state, and a request without such a side, are no concern of it.
    """

    def __init__(self, name: str, access: Callable[[], HttpAccess], systems: frozenset[str]) -> None:
        super().__init__(name, access)
        self._systems = systems

    def client_for(self, access: HttpAccess) -> ModDcb:
        return ModDcb(access)

    def publish(self, client: ModDcb, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Move each side's transaction to the state that the event names, unless it is there or beyond."""
        for leg in tracked.legs.values():
            if leg.system_code in self._systems and leg.txn_id is not None:
                answer = client.move_to(leg.txn_id, Txn(row.payload["txn_state"]), leg.role)
                if not isinstance(answer, Done):
                    return answer
        return Done()

    def deliver(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """As `Opening.deliver`; what does not concern it is done without opening anything."""
        state = row.payload.get("txn_state")
        ours = any(leg.system_code in self._systems and leg.txn_id for leg in tracked.legs.values())
        if row.type != STATUS_CHANGED or state in (None, Txn.CREATED) or not ours:
            return Done()
        return super().deliver(row, tracked)


# --- dcb-service: it is asked to look at a request that has changed


APART = timedelta(minutes=5)
"""The least time between two nudges of one request."""


class NudgeSink(Opening[DcbService]):
    """One nudge for a change, at least five minutes apart; a nudge serves all changes that were before it."""

    def __init__(
        self,
        name: str,
        access: Callable[[], HttpAccess],
        now: Callable[[], datetime],
        last_sent: Callable[[str, str], datetime | None] | None = None,
    ) -> None:
        super().__init__(name, access)
        self._now = now
        self._last_sent = last_sent
        self._nudged: dict[str, datetime] = {}

    def client_for(self, access: HttpAccess) -> DcbService:
        return DcbService(access)

    def deliver(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Nudge, unless one after the change has served it already; a moment after the last one: later."""
        if row.type != STATUS_CHANGED:
            return Done()
        nudged = self._nudged.get(row.pr_id)
        if nudged is not None and nudged >= row.created_at:
            return Done()
        now, last = self._now(), self._last(row.pr_id, nudged)
        if last is not None and now - last < APART:
            return Later("dcb-service was asked to look at this request a moment ago", APART - (now - last))
        return super().deliver(row, tracked)

    def publish(self, client: DcbService, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Nudge, and compare what dcb-service shows then; it has its own rules, so a difference is only logged."""
        client.nudge(row.pr_id)
        self._nudged[row.pr_id] = self._now()
        shown = client.status(row.pr_id)
        if isinstance(shown, Found) and shown.value != tracked.status:
            log.info("dcb-service shows %s as %s, here it is %s", row.pr_id, shown.value, tracked.status)
        return Done()

    def _last(self, pr_id: str, nudged: datetime | None) -> datetime | None:
        before = self._last_sent(self.name, pr_id) if self._last_sent is not None else None
        return max((each for each in (before, nudged) if each), default=None)


# --- any HTTPS receiver: the event as JSON, signed
#
# A receiver computes HMAC-SHA256 over the bytes of the body with the shared secret (the connection's password) and
# compares it, as hex after ``sha256=``, with the signature header. Deliveries may come twice: the id in its header (and
# in the body) is the same then.


SIGNATURE_HEADER = "X-Alma-Airflow-Signature"
EVENT_HEADER = "X-Alma-Airflow-Event-Id"
_TAKEN = frozenset({409, 410})


def body_of(event: Mapping[str, Any]) -> bytes:
    """The bytes that are sent and signed: the same whenever the same event is published again."""
    return json.dumps(dict(event), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signature(body: bytes, secret: str) -> str:
    """The value of the signature header."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class _Receiver:
    def __init__(self, access: HttpAccess) -> None:
        secret = access.client_secret or access.api_key
        if not secret:
            raise InputProblem(
                "The connection of a webhook needs a password: the secret that signs the messages"
            )
        self.secret: str = secret
        self.service = HttpService(replace(access, api_key=None))  # it signs, and is never sent itself

    def close(self) -> None:
        self.service.close()


class WebhookSink(Opening[_Receiver]):
    """2xx, 409 and 410 count as delivered; 408, 425, 429 and 5xx are tried again; any other answer is final."""

    def client_for(self, access: HttpAccess) -> _Receiver:
        return _Receiver(access)

    def publish(self, client: _Receiver, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Post one event."""
        body = body_of(row.payload)
        headers = {
            SIGNATURE_HEADER: signature(body, client.secret),
            EVENT_HEADER: str(row.payload["event_id"]),
        }
        try:
            client.service.send("POST", "", data=body, headers=headers)
        except RemoteRefused as error:
            return Done() if error.status in _TAKEN else Refused(str(error))
        except RemoteUnauthorized as error:
            return Refused(str(error))
        return Done()


# --- the sinks of the settings


Access = Callable[[str], HttpAccess]
LastSent = Callable[[str, str], datetime | None]


def open_sinks(
    settings: DcbSettings,
    access: Access,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    last_sent: LastSent | None = None,
) -> list[Sink]:
    """The sinks of the settings; the log is always one of them.

    ``access`` gives the way to a connection's service; it is asked when the first event is delivered there, so that a
    broken connection holds up its own sink alone. ``last_sent(sink, pr_id)``: when an event of a request was last
    delivered (`DcbStore.last_sent`), by which `dcb_nudge` keeps its distance over runs. Close them by `close_sinks`.
    """
    given = {sink.name: sink for sink in settings.sinks}
    return [
        LogSink() if name == "log" else _sink(given[name], settings, access, now, last_sent)
        for name in settings.sink_names
    ]


def close_sinks(sinks: Sequence[Sink]) -> None:
    """Close what the sinks opened."""
    for sink in sinks:
        if isinstance(sink, Opening):
            sink.close()


def _sink(
    given: SinkSettings,
    settings: DcbSettings,
    access: Access,
    now: Callable[[], datetime],
    last_sent: LastSent | None,
) -> Sink:
    conn_id = given.conn_id or ""

    def way() -> HttpAccess:
        return access(conn_id)

    if given.type == "mod_dcb":
        systems = {code for code, each in settings.systems.items() if each.conn_id == conn_id}
        return ModDcbSink(given.name, way, frozenset(systems))
    if given.type == "dcb_nudge":
        return NudgeSink(given.name, way, now, last_sent)
    return WebhookSink(given.name, way)
