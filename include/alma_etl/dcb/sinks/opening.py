"""What the sinks with a server share: opened late, errors sorted, tried again ever more seldom."""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from alma_etl.dcb.sides.ports import Done, Later, Refused
from alma_etl.dcb.store.rows import OutboxRow, Tracked
from alma_etl.errors import InputProblem
from alma_etl.remote.errors import RemoteRefused, RemoteTransient, RemoteUnauthorized
from alma_etl.remote.service import HttpAccess

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
    def tell(self, client: C, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Tell one event; may raise the errors of `http_access`."""

    def deliver(self, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Tell one event; what cannot be told now is tried again after the pause of its number of failures.

        A key that is not accepted and a connection that cannot be used are no fault of the event: later, too.
        """
        try:
            answer = self.tell(self._opened(), row, tracked)
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
