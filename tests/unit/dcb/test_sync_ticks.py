"""Ticks of the sync against two sandboxes."""

import pytest

from alma_etl.dcb.explain import explain

pytestmark = pytest.mark.heavy


def test_a_request_goes_its_whole_way_tick_by_tick(sync):
    sync.place()
    summary = sync.tick()
    assert sync.status() == "RPBA"
    assert (summary.due, summary.polled) == (1, 1)
    assert summary.deeds == {"PLACE_AT_BORROWER": {"SENT": 1}}
    sync.ship()
    sync.later()
    assert sync.status() == "PICKUP_TRANSIT"
    sync.arrive()
    sync.later()
    assert sync.status() == "READY_FOR_PICKUP"
    sync.borrow()
    sync.later()
    assert sync.status() == "LOANED"
    sync.give_back()
    sync.later()
    assert sync.status() == "RETURN_TRANSIT"
    sync.come_home()
    sync.later()
    assert sync.status() == "FINALISED"
    assert explain(sync.store, "PR-1").agrees
    assert sync.tick().due == 0
    for side in (sync.almas.lender, sync.almas.borrower):
        left = side.contents()
        assert not left["bibs"]
        assert not left["loans"]
        assert not left["requests"]
    told = [row.payload["to"] for row in sync.ears.told if row.type == "dcb.status.changed"]
    assert told == sync.path()
