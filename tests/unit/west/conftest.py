"""A bucket on a real S3 server, and the folder of a run in it."""

from typing import Any

import pytest

from alma_etl.store.bucket import Bucket
from alma_etl.west.run import RunFolder
from tests.unit.west.builders import RUN
from tests.unit.west.fake_alma import FakeAlma


@pytest.fixture
def bucket(s3: Any) -> Bucket:
    return Bucket(s3.client(), s3.name)


@pytest.fixture
def folder(bucket: Bucket) -> RunFolder:
    return RunFolder(bucket, RUN)


@pytest.fixture
def alma() -> FakeAlma:
    return FakeAlma()
