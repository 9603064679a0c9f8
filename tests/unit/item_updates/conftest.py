"""A sandbox in this process, a bucket and a state store for updates of items."""

from collections.abc import Iterator
from typing import Any

import pytest

from alma_etl.store.bucket import Bucket
from alma_sandbox import Settings, serve
from tests.e2e.items import ItemSandbox
from tests.stores import sqlite_store
from tests.unit.item_updates.alma_world import World


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with serve(Settings(per_second=0, titles=60)) as running:
        yield running.url


@pytest.fixture(scope="session")
def updates_bucket(s3_server: Any) -> Bucket:
    client = s3_server.client()
    client.create_bucket(Bucket="item-update-tests")
    return Bucket(client, "item-update-tests")


@pytest.fixture
def world(updates_bucket: Bucket, sandbox_url: str, tmp_path: Any) -> Iterator[World]:
    alma = ItemSandbox(sandbox_url)
    alma.reset()
    alma.heal()
    found = World(updates_bucket, alma, sqlite_store(tmp_path / "store.db"))
    yield found
    found.client.close()
    updates_bucket.delete(each.key for each in updates_bucket.list(""))
