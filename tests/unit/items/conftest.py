"""The steps of an item load without Airflow: a sandbox in this process, a bucket, a state store."""

import itertools
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date
from typing import Any

import pytest

from alma_etl.alma.client import AlmaClient
from alma_etl.errors import NotAcceptable, RunStopped
from alma_etl.items.job import ItemCreation
from alma_etl.jobs.file_job import JobContext
from alma_etl.jobs.places import ITEMS
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.bucket import Bucket
from alma_sandbox import Settings, serve
from tests.e2e.items import PROFILES, ItemSandbox, Loaded
from tests.stores import sqlite_store

DAY = date(2026, 11, 20)
JOB = ItemCreation(ITEMS)


class Load:
    """One run on one file, step by step or at once."""

    numbers = itertools.count(1)

    def __init__(self, loader: "Loader", key: str, run_id: str | None = None, **params: Any) -> None:
        self.run_id = run_id or f"run-{next(self.numbers)}"
        self.loader = loader
        self.folder = JOB.run_folder(loader.bucket, self.run_id, ITEMS.dag_id)
        self.params = {"key": key, **params}
        self.state = ""
        self.problem = ""

    def context(self, **given: Any) -> JobContext:
        """What a task gives to its step."""
        return JobContext(
            folder=self.folder,
            params=self.params,
            day=DAY,
            open_client=lambda _: nullcontext(self.loader.client),
            store_url=lambda: self.loader.store,
            is_sandbox=lambda: True,
            connections={"alma": "alma_default"},
            **given,
        )

    def read(self) -> int:
        """Step 1; the number of chunks."""
        return len(JOB.read(self.context()))

    def check(self) -> dict[str, int]:
        """Step 2."""
        return JOB.run_step("check", self.context())

    def resolve(self, number: int = 1) -> dict[str, int]:
        """Step 3."""
        return JOB.chunk_step("prepare", self.context(), number)

    def create(self, number: int = 1) -> dict[str, int]:
        """Step 4."""
        return JOB.chunk_step("load", self.context(), number)

    def finish(self, states: dict[str, str] | None = None) -> Loaded:
        """The steps that come whatever happened."""
        context = self.context(task_states=states or {})
        JOB.report(context)
        JOB.file_away(context)
        try:
            self.problem = ""
            JOB.check_outcome(context)
            self.state = "success"
        except NotAcceptable as problem:
            self.state, self.problem = "failed", str(problem)
        stem = self.params["key"].rpartition("/")[2].rpartition(".")[0]
        return Loaded(self.loader.bucket, self, stem)

    def say(self) -> str:
        """What the final check says of a run that is acceptable."""
        return JOB.check_outcome(self.context())

    def whole(self) -> Loaded:
        """All steps, as the DAG does them."""
        states: dict[str, str] = {}
        try:
            chunks = self.read()
            self.check()
            for number in range(1, chunks + 1):
                self.resolve(number)
                self.create(number)
        except RunStopped:
            states["read_file"] = "failed"
        return self.finish(states)


class Loader:
    """What all loads of a test share."""

    def __init__(self, bucket: Bucket, alma: ItemSandbox, store: str) -> None:
        self.bucket = bucket
        self.alma = alma
        self.store = store
        self.client = self._client()

    def _client(self, **options: Any) -> AlmaClient:
        limiter = LocalLimiter(100_000)
        given = {"attempts": 3, "backoff": 0.001, "sleep": lambda _: None, **options}
        return AlmaClient(self.alma.url, "sandbox", limiter=limiter, **given)

    def fresh_client(self, **options: Any) -> None:
        """Go on with another client, as another task does."""
        self.client.close()
        self.client = self._client(**options)

    def drop(self, body: bytes | str, name: str = "march.txt", profile: str = "gifts") -> str:
        """Put a file into an incoming folder; its key."""
        key = f"items/incoming/{profile}/{name}"
        self.bucket.put(key, body.encode() if isinstance(body, str) else body)
        return key

    def load(
        self, body: bytes | str, name: str = "march.txt", profile: str = "gifts", **params: Any
    ) -> Loaded:
        """Drop a file and load it."""
        return Load(self, self.drop(body, name, profile), **params).whole()

    def close(self) -> None:
        """Close what was opened."""
        self.client.close()


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with serve(Settings(per_second=0, titles=60)) as running:
        yield running.url


@pytest.fixture(scope="session")
def items_bucket(s3_server: Any) -> Bucket:
    """One bucket for all tests of this folder, emptied after each."""
    client = s3_server.client()
    client.create_bucket(Bucket="item-tests")
    return Bucket(client, "item-tests")


@pytest.fixture
def bucket(items_bucket: Bucket) -> Iterator[Bucket]:
    yield items_bucket
    items_bucket.delete(each.key for each in items_bucket.list(""))


@pytest.fixture
def alma(sandbox_url: str) -> ItemSandbox:
    found = ItemSandbox(sandbox_url)
    found.reset()
    return found


@pytest.fixture
def loader(bucket: Bucket, alma: ItemSandbox, tmp_path: Any) -> Iterator[Loader]:
    store = sqlite_store(tmp_path / "store.db")
    bucket.put("config/item_profiles.yaml", PROFILES.encode())
    found = Loader(bucket, alma, store)
    yield found
    found.close()
