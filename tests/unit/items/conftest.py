"""The steps of an item load without Airflow: a sandbox in this process, a bucket, a state store."""

import itertools
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from alma_etl.alma.client import AlmaClient
from alma_etl.errors import NotAcceptable, RunStopped
from alma_etl.items.codes import check_codes
from alma_etl.items.creating import create_items
from alma_etl.items.filing import file_away
from alma_etl.items.holdings import resolve_holdings
from alma_etl.items.reading import read_file
from alma_etl.items.report import write_reports
from alma_etl.items.run import LoadFolder
from alma_etl.items.summary import check_outcome
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.bucket import Bucket
from alma_etl.store.loaded_items import SqlLoadedItems
from alma_etl.store.locks import open_locks
from alma_etl.store.upgrade import upgrade
from alma_sandbox import Settings, serve
from tests.e2e.items import PROFILES, ItemSandbox, Loaded

DAY = date(2026, 11, 20)


class Load:
    """One run on one file, step by step or at once."""

    numbers = itertools.count(1)

    def __init__(self, loader: "Loader", key: str, run_id: str | None = None, **params: Any) -> None:
        self.run_id = run_id or f"run-{next(self.numbers)}"
        self.loader = loader
        self.folder = LoadFolder(loader.bucket, self.run_id)
        self.params = {"key": key, **params}
        self.state = ""
        self.problem = ""

    def read(self) -> int:
        """Step 1; the number of chunks."""
        return len(read_file(self.folder, self.params, day=DAY, sandbox=True))

    def check(self) -> dict[str, int]:
        """Step 2."""
        return check_codes(self.loader.client, self.folder)

    def resolve(self, number: int = 1) -> dict[str, int]:
        """Step 3."""
        with open_locks(self.loader.store) as locks:
            return resolve_holdings(
                self.loader.client, self.folder, number, memory=self.loader.memory, locks=locks
            )

    def create(self, number: int = 1) -> dict[str, int]:
        """Step 4."""
        return create_items(self.loader.client, self.folder, number, memory=self.loader.memory)

    def finish(self, states: dict[str, str] | None = None) -> Loaded:
        """The steps that come whatever happened."""
        write_reports(self.folder, self.params["key"], states or {})
        asked = {name: self.params[name] for name in ("profile", "dry_run") if name in self.params}
        file_away(self.folder, self.params["key"], **asked, is_sandbox=lambda: True)
        try:
            self.problem = ""
            check_outcome(self.folder, states or {})
            self.state = "success"
        except NotAcceptable as problem:
            self.state, self.problem = "failed", str(problem)
        stem = self.params["key"].rpartition("/")[2].rpartition(".")[0]
        return Loaded(self.loader.bucket, self, stem)

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
        self.memory = SqlLoadedItems(store, "alma_default")
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
        self.memory.close()
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
    store = f"sqlite:///{tmp_path}/store.db"
    upgrade(store)
    bucket.put("config/item_profiles.yaml", PROFILES.encode())
    found = Loader(bucket, alma, store)
    yield found
    found.close()
