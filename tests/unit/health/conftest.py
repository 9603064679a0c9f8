"""A sandbox that stays, clients of its connections, and a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from alma_etl.alma.client import AlmaClient
from alma_etl.errors import InputProblem
from alma_etl.health.almas import AlmaAccess
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.bucket import Bucket
from alma_sandbox import Settings, serve

KEY = "health-test-word"


@dataclass
class Connections:
    """Connections to one sandbox: `keys` by connection id; floors and the environment are those of all."""

    url: str
    keys: dict[str, str] = field(default_factory=lambda: {"alma_default": KEY})
    floor: int = 5000
    sandbox: bool = True
    read_only: bool = False

    def __call__(self, conn_id: str) -> AlmaAccess:
        if conn_id not in self.keys:
            raise InputProblem(f"There is no connection {conn_id}")
        return AlmaAccess(lambda: self._client(self.keys[conn_id]), self.floor, 1000, self.sandbox)

    @contextmanager
    def _client(self, key: str) -> Iterator[AlmaClient]:
        options: dict[str, Any] = {"read_only": self.read_only, "quota_floor": self.floor}
        with AlmaClient(
            self.url, key, limiter=LocalLimiter(100_000), attempts=1, backoff=0, **options
        ) as client:
            yield client

    def control(self, where: str, /, **body: object) -> None:
        requests.post(f"{self.url}/sandbox/{where}", json=body, timeout=30).raise_for_status()

    def strike(self, kind: str, path: str, **more: object) -> None:
        """Have calls go wrong."""
        self.control("faults", kind=kind, method="GET", path=path, **more)


@pytest.fixture(scope="session")
def alma_of_health() -> Iterator[str]:
    with serve(Settings(api_key=KEY, titles=12, per_second=100_000)) as running:
        yield running.url


@pytest.fixture
def connections(alma_of_health: str) -> Connections:
    found = Connections(alma_of_health)
    found.control("reset")
    return found


@pytest.fixture
def bucket(s3: Any) -> Bucket:
    return Bucket(s3.client(), s3.name)


@pytest.fixture
def put(bucket: Bucket) -> Callable[[str, str], None]:
    """Puts a settings file: `put("config/west.yaml", "set_id: ...")`."""
    return lambda key, text: bucket.put(key, text.encode())
