"""A scripted server, a limiter that only takes notes, and clients that never wait."""

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from alma_etl.alma.client import AlmaClient
from alma_etl.remote.limiter import LimiterClosed, Permit
from tests.unit.alma.scripted import KEY, Scripted, serve

NOW = datetime(2026, 11, 3, 14, 30, tzinfo=UTC)


@dataclasses.dataclass
class NotingLimiter:
    """Grants everything until it is closed, and counts."""

    granted: int = 0
    slowed: int = 0
    closed: LimiterClosed | None = None
    remaining: list[int] = dataclasses.field(default_factory=list)

    def acquire(self, floor: int = 0) -> None:
        if self.closed:
            raise self.closed
        self.granted += 1

    def throttled(self) -> None:
        self.slowed += 1

    def close(self, until: datetime, reason: str) -> None:
        self.closed = LimiterClosed(until, reason)

    def note_remaining(self, calls_left: int, permit: Permit | None = None) -> None:
        self.remaining.append(calls_left)


@pytest.fixture
def alma() -> Iterator[Scripted]:
    with serve() as scripted:
        yield scripted


@pytest.fixture
def limiter() -> NotingLimiter:
    return NotingLimiter()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def make_client(
    alma: Scripted, limiter: NotingLimiter, pauses: list[float]
) -> Iterator[Callable[..., AlmaClient]]:
    made: list[AlmaClient] = []

    def make(**settings: Any) -> AlmaClient:
        settings = {"limiter": limiter, "sleep": pauses.append, "now": lambda: NOW, "timeout": 20, **settings}
        made.append(AlmaClient(settings.pop("base_url", alma.url), settings.pop("api_key", KEY), **settings))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., AlmaClient]) -> AlmaClient:
    return make_client()
