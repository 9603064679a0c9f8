"""The bench of the fault matrix: a sandbox, clients without waiting times, and the faults."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.errors import AlmaDailyThreshold
from alma_etl.remote.errors import (
    RemoteConnectionError,
    RemoteError,
    RemoteForbidden,
    RemoteMalformed,
    RemoteRefused,
    RemoteServerError,
    RemoteThrottled,
    RemoteTimeout,
    RemoteUnauthorized,
)
from alma_etl.remote.limiter import Permit
from alma_sandbox import FaultRule, Running

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
KEY = "matrix-test-word"
SLOW_MS = 500
TIMEOUT = 0.2
MAX_BODY = 1_000_000


@dataclass(frozen=True)
class Fault:
    """A fault of the sandbox and the error by which the client knows it. `lost`: the answer is lost, so that
    a write may or may not have happened; `applied`: it has. `answered`: there was an answer, so that there is
    a tracking id."""

    rule: dict[str, Any]
    error: type[RemoteError]
    lost: bool = True
    applied: bool = False
    answered: bool = True
    timeout: float = 20


def _both(name: str, rule: dict[str, Any], error: type[RemoteError], **more: Any) -> dict[str, Fault]:
    return {
        f"{name} before": Fault({**rule, "applied": False}, error, **more),
        f"{name} after": Fault({**rule, "applied": True}, error, applied=True, **more),
    }


FAULTS: dict[str, Fault] = {
    "refused": Fault({"kind": "refuse"}, RemoteRefused, lost=False),
    "xml error": Fault({"kind": "xml_error"}, RemoteRefused, lost=False),
    "per second": Fault({"kind": "per_second"}, RemoteThrottled, lost=False),
    "daily": Fault({"kind": "daily"}, AlmaDailyThreshold, lost=False),
    "key": Fault({"kind": "refuse", "code": "UNAUTHORIZED"}, RemoteUnauthorized, lost=False),
    "address": Fault({"kind": "refuse", "code": "FORBIDDEN", "status": 403}, RemoteForbidden, lost=False),
    **_both("500", {"kind": "server_error"}, RemoteServerError),
    **_both("502 html", {"kind": "bad_gateway"}, RemoteServerError),
    **_both("200 html", {"kind": "maintenance"}, RemoteMalformed),
    **_both("text", {"kind": "body", "text": "Service busy", "content_type": "text/plain"}, RemoteMalformed),
    **_both("empty", {"kind": "body"}, RemoteMalformed),
    **_both("dropped", {"kind": "drop"}, RemoteConnectionError, answered=False),
    **_both("slow", {"kind": "slow", "ms": SLOW_MS}, RemoteTimeout, answered=False, timeout=TIMEOUT),
    "truncated": Fault({"kind": "truncated"}, RemoteMalformed, applied=True),
    "malformed": Fault({"kind": "malformed"}, RemoteMalformed, applied=True),
    "charset": Fault({"kind": "charset", "encoding": "cp500"}, RemoteMalformed, applied=True),
    "huge": Fault({"kind": "huge", "bytes": 3 * MAX_BODY}, RemoteMalformed, applied=True),
}


def cells(
    names: Collection[str], faults: Collection[str], impossible: Collection[tuple[str, str]] = ()
) -> list[Any]:
    """The parameters ``name, fault`` of the matrix. `make test` runs each name and each fault at least once; the other
    cells are `nightly`."""
    kept = representative(names, faults, impossible)
    return [
        pytest.param(
            name, fault, id=f"{name}-{fault}", marks=() if (name, fault) in kept else pytest.mark.nightly
        )
        for name in names
        for fault in faults
        if (name, fault) not in impossible
    ]


def representative(
    names: Collection[str], faults: Collection[str], impossible: Collection[tuple[str, str]] = ()
) -> set[tuple[str, str]]:
    """Cells that hold every name and every fault: a diagonal, and what it misses."""

    def first(cells: Iterable[tuple[str, str]]) -> tuple[str, str]:
        return next(cell for cell in cells if cell not in impossible)

    rows, columns = list(names), list(faults)
    kept = {
        first((name, columns[(at + step) % len(columns)]) for step in range(len(columns)))
        for at, name in enumerate(rows)
    }
    for at, fault in enumerate(columns):
        if fault not in {covered for _, covered in kept}:
            kept.add(first((rows[(at + step) % len(rows)], fault) for step in range(len(rows))))
    return kept


@dataclass
class CountingLimiter:
    granted: int = 0
    slowed: int = 0
    closed: list[str] = field(default_factory=list)

    def acquire(self, floor: int = 0) -> None:
        self.granted += 1

    def throttled(self) -> None:
        self.slowed += 1

    def close(self, until: object, reason: str) -> None:
        self.closed.append(reason)

    def note_remaining(self, calls_left: int, permit: Permit | None = None) -> None:
        pass


class Bench:
    """One cell's world: a sandbox set back, a client, the faults in force."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.limiter = CountingLimiter()
        self._clients: list[AlmaClient] = []
        self._session = requests.Session()
        self.come_to_rest()
        self.control("POST", "reset")
        self.control("POST", "clock", {"stopped": True, "now": NOW.isoformat()})

    def control(self, method: str, path: str, body: object = None) -> Any:
        answer = self._session.request(method, f"{self.running.url}/sandbox/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def client(self, **settings: Any) -> AlmaClient:
        usual = {
            "timeout": 20,
            "max_body": MAX_BODY,
            "now": lambda: NOW,
            "sleep": lambda _: self.come_to_rest(),
        }
        settings = {**usual, **settings}
        self._clients.append(AlmaClient(self.running.url, KEY, limiter=self.limiter, **settings))
        return self._clients[-1]

    def come_to_rest(self) -> None:
        """Instead of waiting for a time: until the sandbox has nothing more to do, late effects included."""
        while self.running.sandbox.log.in_flight:
            time.sleep(0.005)

    def strike(self, fault: Fault, *, path: str, method: str | None = None, **when: Any) -> None:
        """Put a fault in force for calls to `path` (a regular expression)."""
        rule = FaultRule(method=method, path=path, **fault.rule, **when)
        self.control("POST", "faults", rule.model_dump(exclude_defaults=True))

    def sent(self) -> int:
        return int(self.control("GET", "counts")["total"])

    def state(self) -> Any:
        self.come_to_rest()
        return self.control("GET", "state")

    def contents(self) -> dict[str, Any]:
        """All that calls have changed in the sandbox, circulation included."""
        state = self.state()
        sandbox = self.running.sandbox
        return {
            **{kind: state[kind] for kind in ("bibs", "holdings", "items", "sets")},
            "users": repr(sandbox.users.by_id),
            "requests": repr(sandbox.requests.by_id),
            "loans": repr(sandbox.loans.by_id),
            "jobs": repr(sandbox.jobs.by_id),
            "letters": repr(sandbox.letters),
        }

    def close(self) -> None:
        self._session.close()
        for client in self._clients:
            client.close()


Act = Callable[[AlmaClient], Any]
