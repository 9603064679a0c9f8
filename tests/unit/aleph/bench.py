"""The sandbox's X-Server, seen by clients that never wait and, from outside, by its control surface."""

import time
from dataclasses import dataclass, field
from typing import Any

import requests

from alma_etl.aleph.client import AlephAccess, AlephClient
from alma_etl.aleph.z30 import ItemKey
from alma_etl.remote.limiter import LimiterClosed, Permit
from alma_sandbox import Running

KEY = ItemKey("2", "10")
OTHER = ItemKey("2", "20")


@dataclass
class GrantingLimiter:
    """Grants everything until it is closed, and counts."""

    granted: int = 0
    slowed: int = 0
    closed: LimiterClosed | None = None

    def acquire(self, floor: int = 0) -> None:
        if self.closed:
            raise self.closed
        self.granted += 1

    def throttled(self) -> None:
        self.slowed += 1

    def close(self, until: Any, reason: str) -> None:
        self.closed = LimiterClosed(until, reason)

    def note_remaining(self, calls_left: int, permit: Permit | None = None) -> None:
        pass


@dataclass
class Aleph:
    """One test's Aleph, reset."""

    running: Running
    limiter: GrantingLimiter = field(default_factory=GrantingLimiter)
    _clients: list[AlephClient] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._session = requests.Session()
        self.come_to_rest()
        self.control("POST", "reset")

    def control(self, method: str, path: str, body: object = None) -> Any:
        answer = self._session.request(method, f"{self.running.url}/sandbox/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def client(self, *, attempts: int = 3, sleep: Any = None, **access: Any) -> AlephClient:
        given = {"library": "USM50", "timeout": 20, **access}
        made = AlephClient(
            AlephAccess(given.pop("url", self.running.url), **given),
            limiter=self.limiter,
            attempts=attempts,
            sleep=sleep or (lambda _: self.come_to_rest()),
        )
        self._clients.append(made)
        return made

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._session.close()

    def come_to_rest(self) -> None:
        """Instead of waiting: until the sandbox has nothing more to do, late effects included."""
        while self.running.sandbox.log.in_flight:
            time.sleep(0.005)

    def settings(self, **values: Any) -> None:
        self.control("POST", "settings", values)

    def faults(self, *rules: dict[str, Any]) -> None:
        self.control("POST", "faults", list(rules))

    def heal(self) -> None:
        self.control("DELETE", "faults")

    def item(self, key: ItemKey = KEY) -> dict[str, Any]:
        return self.control("GET", "aleph/items/{}/{}".format(*key.padded))

    def values(self, key: ItemKey = KEY) -> dict[str, str]:
        return dict(self.item(key)["values"])

    def staff(self, key: ItemKey = KEY, **body: Any) -> None:
        """What somebody does in Aleph's own client."""
        self.control("POST", "aleph/items/{}/{}".format(*key.padded), body)

    def calls(self, op: str = "") -> int:
        """How many calls came of a service."""
        entries = self.control("GET", "log?path=/X&limit=10000")["entries"]
        return sum(f"op={op}" in each["query"].replace("_", "-") for each in entries)
