"""The calls of a sweep, by the logs of both Almas."""

import pytest

from benchmarks.dcb_sweep import sweep
from tests.unit.dcb.sync_world import MemoryBucket

pytestmark = pytest.mark.heavy


def test_a_sweep_takes_no_more_calls_than_it_may(tmp_path):
    figures = sweep(tmp_path, MemoryBucket(), 20)
    assert set(figures["statuses"]) == {
        "REQUEST_PLACED_AT_BORROWING_AGENCY",
        "PICKUP_TRANSIT",
        "READY_FOR_PICKUP",
        "LOANED",
        "RETURN_TRANSIT",
    }
    found = figures["after_five_hours"]
    assert found["looks"] >= 15
    assert 1 <= found["calls"] / found["looks"] <= 2.2
    assert figures["after_a_day_of_silence"]["looks"] == 20
    assert figures["after_a_day_of_silence"]["calls"] / 20 <= 3
