"""A bucket on a real S3 server, and the folder of a run in it."""

from collections.abc import Iterator
from typing import Any

import pytest

from alma_etl.store.bucket import Bucket
from alma_etl.west.run import RunFolder
from tests.unit.west.builders import RUN
from tests.unit.west.fake_alma import FakeAlma


@pytest.fixture(scope="session")
def west_bucket(s3_server: Any) -> Bucket:
    """One bucket for all tests of this folder, emptied after each: quicker than a new one for each."""
    client = s3_server.client()
    client.create_bucket(Bucket="west-tests")
    return Bucket(client, "west-tests")


@pytest.fixture
def bucket(west_bucket: Bucket) -> Iterator[Bucket]:
    yield west_bucket
    west_bucket.delete(each.key for each in west_bucket.list(""))


@pytest.fixture
def folder(bucket: Bucket) -> RunFolder:
    return RunFolder(bucket, RUN)


@pytest.fixture
def alma() -> FakeAlma:
    return FakeAlma()
