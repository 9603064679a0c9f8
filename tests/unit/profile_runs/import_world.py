"""Runs of profiles against one sandbox, with a bucket in memory and workers that die."""

from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.tasks import JobBusy
from alma_etl.profile_runs.conf import read_conf
from alma_etl.profile_runs.submit import ProfileRunFolder, look, submit
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.locks import open_locks
from tests.unit.dcb.sync_world import MemoryBucket


class WorkerKilled(BaseException):
    """The end of a worker."""


class MortalBucket(MemoryBucket):
    """A worker dies before it has put an object whose key holds this."""

    dies_at = ""

    def put(self, key: str, body: bytes, content_type: str = "") -> None:
        if self.dies_at and self.dies_at in key:
            self.dies_at = ""
            raise WorkerKilled
        super().put(key, body, content_type)


class ImportWorld:
    """Runs of profiles against one sandbox."""

    def __init__(self, url: str, store: str) -> None:
        self.url = url
        self.bucket = MortalBucket()
        self._ahead = timedelta()
        self.client = self.client_of(url)
        self._store = store

    def client_of(self, url: str) -> AlmaClient:
        return AlmaClient(
            url,
            "sandbox",
            limiter=LocalLimiter(1000),
            sleep=lambda _: None,
            now=lambda: datetime.now(UTC) + self._ahead,
            attempts=2,
        )

    def control(self, method: str, path: str, body: object = None) -> Any:
        answer = requests.request(method, f"{self.url}/sandbox/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def load(self, **load: object) -> None:
        """Files for the next run of the profile 102."""
        self.control("POST", "import-profiles/102", load)

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)
        self.control("POST", "clock", {"advance_s": seconds})

    def set_clocks(self, now: datetime, *, hours: int) -> None:
        """Ours at this time, that of the institution as many hours later."""
        self._ahead = now - datetime.now(UTC)
        self.control("POST", "clock", {"now": (now + timedelta(hours=hours)).isoformat()})

    def folder(self, run_id: str) -> ProfileRunFolder:
        return ProfileRunFolder(self.bucket, run_id, "import_profile_run")

    def submit(
        self, run_id: str = "a", client: AlmaClient | None = None, **conf: object
    ) -> str | JobBusy | None:
        with open_locks(self._store, timeout=1) as locks:
            return submit(
                self.folder(run_id), client or self.client, locks, read_conf(conf or {"profile_id": "102"})
            )

    def ended(self, run_id: str = "a", **conf: object) -> ProfileRunFolder:
        """A run whose job was started and has ended."""
        assert isinstance(self.submit(run_id, **conf), str)
        self.advance(150)
        assert look(self.folder(run_id), self.client)
        return self.folder(run_id)

    def instances(self) -> list[str]:
        return list(self.control("GET", "state")["jobs"])
