"""A sandbox in a thread, set back before each test."""

from collections.abc import Iterator

import pytest
import requests

from alma_sandbox import Running, Settings, serve
from tests.sandbox.caller import Caller
from tests.sandbox.restarts import check_survives_a_restart


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    with serve(Settings(per_second=0, sru=True)) as found:
        yield found


@pytest.fixture
def alma(running: Running) -> Iterator[Caller]:
    """The sandbox with 400 titles and no per-second threshold, as it is at first.

    After each test what it made has to survive a restart.
    """
    requests.post(f"{running.url}/sandbox/reset", timeout=30).raise_for_status()
    caller = Caller(running)
    yield caller
    caller.session.close()
    check_survives_a_restart(running.sandbox)
