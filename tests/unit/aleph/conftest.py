"""A sandbox whose X-Server is reset for each test."""

from collections.abc import Iterator

import pytest

import alma_sandbox
from tests.unit.aleph.bench import Aleph


@pytest.fixture(scope="module")
def aleph_sandbox() -> Iterator[alma_sandbox.Running]:
    with alma_sandbox.serve(alma_sandbox.Settings(titles=10, per_second=0)) as running:
        yield running


@pytest.fixture
def aleph(aleph_sandbox: alma_sandbox.Running) -> Iterator[Aleph]:
    made = Aleph(aleph_sandbox)
    yield made
    made.heal()
    made.close()
