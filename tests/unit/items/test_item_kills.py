"""A worker killed at every single thing that it does to the world, and again: the outcome is always the same."""

from datetime import UTC, datetime

import pytest

from tests.e2e.death import Reaper, WorkerKilled
from tests.e2e.items import Loaded
from tests.unit.items.conftest import Load

pytestmark = pytest.mark.heavy

STEPS = ("read", "check", "resolve", "create", "finish")


@pytest.fixture
def world(loader, alma, monkeypatch):
    """A file with every kind of row, and the worker's fate."""

    def begin():
        for info in loader.bucket.list("runs/"):
            loader.bucket.delete([info.key])
        for info in loader.bucket.list("items/"):
            loader.bucket.delete([info.key])
        alma.reset()
        alma.set_clock(
            "2020-01-01T00:00:00+00:00"
        )  # an item of today could be taken for our own after a kill
        gifts = [alma.add_title(("050", "QA1", f".B{number}")) for number in range(4)]
        held = alma.add_holding(gifts[0], "MAIN", "stacks")
        alma.add_item(gifts[0], held, f"OLD{begin.times}")
        rows = [
            (gifts[0], "OLD"),
            (gifts[0], "A"),
            (gifts[1], "B"),
            (gifts[1], "C"),
            (gifts[2], "D"),
            (gifts[3], "E"),
        ]
        alma.set_clock(datetime.now(UTC).isoformat())
        # Barcodes of its own each time: what an earlier world left in the memory does not matter then.
        body = (
            "".join(f"{mms_id}|{barcode}{begin.times}\r\n" for mms_id, barcode in rows) + f"{gifts[3]}|\r\n"
        )
        begin.times += 1
        return Load(loader, loader.drop(body)), gifts

    begin.times = 0
    reaper = Reaper(monkeypatch)
    return begin, reaper


EXPECTED = ["already_exists", "created", "created", "created", "created", "created", "invalid_row"]


def run(load, reaper, step, kill_at):
    """Do all steps; the one named dies at its n-th deed once, and is begun again. Whether it died."""
    died = False
    for name in STEPS:
        reaper.fresh_process(kill_at if name == step else None)
        try:
            getattr(load, name)()
        except WorkerKilled:
            died = True
            reaper.fresh_process()
            getattr(load, name)()
    reaper.fresh_process()
    return died


@pytest.mark.timeout(600)  # a whole load for every moment at which one can be killed
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_deed_of_a_step_changes_nothing(world, alma, step, every):
    begin, reaper = world
    for kill_at in range(1, 200, every):
        reaper.fresh_process()
        load, gifts = begin()
        died = run(load, reaper, step, kill_at)
        loaded = Loaded(load.loader.bucket, load, "march")
        assert [outcome for _, outcome in loaded.ends()] == EXPECTED, f"killed at deed {kill_at} of {step}"
        items, holdings = alma.made()
        created = {row["barcode"]: row["item_pid"] for row in loaded.rows() if row["outcome"] == "created"}
        assert created == {
            barcode: item["pid"] for barcode, item in items.items() if not barcode.startswith("OLD")
        }
        assert holdings == {(mms_id, "MAIN", "stacks"): 1 for mms_id in gifts}
        assert "3 holdings were made" in loaded.page()
        assert load.state == "success"
        assert len(loaded.keys("items/done/")) == 1
        assert loaded.keys("items/incoming/") == loaded.keys("items/failed/") == []
        if not died:
            assert kill_at > 2
            return
    raise AssertionError("the step never came to its end")
