"""Orders of a run that is cleared after its settings changed: nothing is bought twice."""

import pytest

from alma_etl.inventory.loaded_orders import SqlLoadedOrders
from alma_etl.marc.iso2709 import to_iso2709
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.bibs.conftest import Run
from tests.unit.bibs.test_bib_imports import new
from tests.unit.bibs.test_order_imports import PROFILES, gobi, load, orders, posts

pytestmark = pytest.mark.heavy
OTHER_REFERENCE = PROFILES.replace(
    "layout: 980_981\n", 'layout: 980_981\n      fields: {additional_reference: "980$f"}\n'
)
OTHER_VENDOR = PROFILES.replace(
    "vendor: GOBI\n      vendor_account: GOBI-1", "vendor: UKBOOKS\n      vendor_account: UK-1"
)


@pytest.fixture
def imports(imports):
    imports.profiles(PROFILES)
    imports.alma.forget()
    return imports


def before_orders(imports, record):
    run = Run(imports, to_iso2709(record), "a.mrc", "gobi")
    run.read()
    run.match()
    run.write()
    return run


def test_a_cleared_run_whose_reference_is_another_orders_nothing_again(imports):
    record = new(801, "035 _9 $aV1$bYBP", "049 __ $aMAIN/stacks", "980 __ $b27.95$fINV7$g1", "981 __ $bHIST")
    run = before_orders(imports, record)
    run.inventory()
    imports.profiles(OTHER_REFERENCE)
    run.whole()
    assert len(posts(imports)) == 1
    [order] = orders(run)
    assert (order["outcome"], order["reference"]) == ("ordered", "INV7")
    assert "placed as order GOBI v1" in order["message"]
    again = load(imports, record, name="b.mrc")
    assert again.outcomes == ["conflict"], again.rows


def test_killed_before_it_noted_its_po_line_and_cleared_with_another_vendor(imports, monkeypatch):
    reaper = Reaper(monkeypatch, (SqlLoadedOrders, "note"))
    run = before_orders(imports, gobi(801, "R1"))
    for kill_at in range(1, 40):
        reaper.fresh_process(kill_at)
        with pytest.raises(WorkerKilled):
            run.inventory()
        if posts(imports):
            break
    reaper.fresh_process()
    imports.profiles(OTHER_VENDOR)
    run.whole()
    assert len(posts(imports)) == 1
    assert [each["outcome"] for each in orders(run)] == ["ordered"]


def test_a_vendor_that_cannot_be_asked_for_is_the_fault_of_its_record(imports):
    imports.profiles(
        PROFILES.replace("layout: 980_981\n", 'layout: 980_981\n      fields: {vendor: "980$v"}\n')
    )
    run = load(imports, gobi(801, "R1"), gobi(802, "R2", more="$vA/B"))
    assert run.outcomes == ["created", "invalid_order"], run.rows
    assert "vendor A/B" in run.rows[1]["message"]
