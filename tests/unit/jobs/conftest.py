"""A bucket on a real S3 server, emptied after each test."""

from collections.abc import Iterator
from typing import Any

import pytest

from alma_etl.store.bucket import Bucket


@pytest.fixture(scope="session")
def intake_bucket(s3_server: Any) -> Bucket:
    client = s3_server.client()
    client.create_bucket(Bucket="intake-tests")
    return Bucket(client, "intake-tests")


@pytest.fixture
def bucket(intake_bucket: Bucket) -> Iterator[Bucket]:
    yield intake_bucket
    intake_bucket.delete(each.key for each in intake_bucket.list(""))
