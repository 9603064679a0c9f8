"""Orders of a run that is cleared after its settings changed: nothing is bought twice."""

from dataclasses import replace
from datetime import timedelta

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


def before_orders(imports, record, name="a.mrc", profile="gobi"):
    run = Run(imports, to_iso2709(record), name, profile)
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


def test_orders_that_were_tried_in_the_sandbox_are_placed_in_production(imports):
    """Both have one gateway and one institution code: the key decides."""
    assert load(imports, gobi(801, "R1"), name="tried.mrc").outcomes == ["created"]
    imports.alma.reset()
    text = '{"institution": {"value": "01ZZ_INST"}, "environment_type": "PRODUCTION"}'
    answer = {"kind": "body", "path": "/conf/general", "text": text}
    imports.alma.faults({**answer, "content_type": "application/json", "status": 200})
    run = load(imports, gobi(801, "R1"), name="real.mrc")
    assert run.outcomes == ["created"], run.rows
    assert [each["outcome"] for each in orders(run)] == ["ordered"]
    assert load(imports, gobi(801, "R1"), name="again.mrc").outcomes == ["conflict"]


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


def test_a_worker_that_was_held_up_after_its_note_does_not_order_what_another_has_taken_over(
    imports, monkeypatch
):
    late, other = (before_orders(imports, gobi(801, "R1"), name) for name in ("a.mrc", "b.mrc"))
    reserve, hours = SqlLoadedOrders.reserve, timedelta(hours=2)

    def held_up(memory, key, order, *, instead_of=None):
        """The first note is two hours old when its worker goes on, after the other run."""
        monkeypatch.setattr(SqlLoadedOrders, "reserve", reserve)
        earlier = replace(order, sent_at=order.sent_at - hours)
        assert reserve(memory, key, earlier, instead_of=instead_of) is None
        other.inventory()
        return

    monkeypatch.setattr(SqlLoadedOrders, "reserve", held_up)
    late.inventory()
    for run in (late, other):
        run.finish()
    assert len(posts(imports)) == 1
    assert other.outcomes == ["merged"], other.rows
    assert late.outcomes == ["not_applied"], late.rows
    assert "was ordered before, PO line" in late.rows[0]["message"]


GERMAN = PROFILES.replace("layout: 980_981\n", "layout: 980_981\n      locale: de_DE\n")


@pytest.mark.parametrize("more", ["", "    check_005: false\n"])
def test_a_cleared_run_whose_order_its_settings_refuse_names_the_po_line_that_it_has(imports, more):
    """Its title had all of the record, so that of the record only the PO line is this run's."""
    plain = PROFILES.replace("    orders: &gobi", "    orders: none\n  other:\n    orders: &gobi")
    record = gobi(801, "R1")
    imports.profiles(plain)
    load(imports, record, name="title.mrc")
    imports.profiles(PROFILES)
    run = before_orders(imports, record)
    run.inventory()
    imports.profiles(GERMAN.replace("    orders: &gobi", f"{more}    orders: &gobi"))
    run.whole()
    assert len(posts(imports)) == 1
    [order] = orders(run)
    assert order["outcome"] == "ordered", run.rows
    assert run.outcomes == ["merged"], run.rows
    assert order["po_line"] in run.rows[0]["message"]


TWICE = ("960 __ $o1$s10.00$tstacks$uBOOKS", "960 __ $o1$s10.00$tstacks$uHIST")
COPIES = PROFILES
ORDERS = PROFILES.replace("layout: 960_961,", "layout: 960_961, repeated: orders,")


@pytest.mark.parametrize(("before", "after", "placed"), [(COPIES, ORDERS, 1), (ORDERS, COPIES, 2)])
def test_another_run_whose_repeated_fields_are_read_otherwise_orders_nothing_again(
    imports, before, after, placed
):
    record = new(801, *TWICE)
    imports.profiles(before)
    assert load(imports, record, profile="sierra").outcomes == ["created"]
    assert len(posts(imports)) == placed
    imports.profiles(after)
    again = load(imports, record, profile="sierra", name="b.mrc")
    assert again.outcomes == ["conflict"], again.rows
    assert "was ordered before, PO line" in again.rows[0]["message"]
    assert len(posts(imports)) == placed


@pytest.mark.parametrize(("before", "after", "placed"), [(COPIES, ORDERS, 1), (ORDERS, COPIES, 2)])
def test_a_cleared_run_whose_repeated_fields_are_read_otherwise_orders_nothing_again(
    imports, before, after, placed
):
    imports.profiles(before)
    run = before_orders(imports, new(801, *TWICE), profile="sierra")
    run.inventory()
    imports.profiles(after)
    run.whole()
    assert len(posts(imports)) == placed
    found = [each["outcome"] for each in orders(run)]
    assert found == (["ordered", "conflict"] if placed == 1 else ["ordered"]), run.rows
    assert all(each["po_line"] for each in orders(run) if each["outcome"] == "ordered")


BOTH = ("960 __ $o1$s10.00$tstacks$uBOOKS", "960 __ $o2$s12.00$tstacks$uHIST", "935 __ $aS1", "935 __ $aS2")


def test_the_order_that_is_left_of_a_record_is_placed_when_that_is_dropped_again(imports):
    imports.profiles(ORDERS)
    refuse = {"kind": "refuse", "method": "POST", "path": "/acq/po-lines", "nth": [2], "code": "401872"}
    imports.alma.faults(refuse)
    assert load(imports, new(801, *BOTH), profile="sierra").outcomes == ["not_applied"]
    imports.alma.heal()
    imports.alma.forget()
    assert load(imports, new(801, *BOTH), profile="sierra", name="dry.mrc", dry_run=True).outcomes == [
        "not_applied"
    ]
    again = load(imports, new(801, *BOTH), profile="sierra", name="b.mrc")
    assert sorted(each["outcome"] for each in orders(again)) == ["conflict", "ordered"], again.rows
    assert "was ordered before, PO line" in again.rows[0]["message"]
    assert len(posts(imports)) == 1
    third = load(imports, new(801, *BOTH), profile="sierra", name="c.mrc")
    assert third.outcomes == ["conflict"], third.rows
    assert len(posts(imports)) == 1


def test_a_record_of_another_title_with_an_order_of_before_is_not_written_in_part(imports):
    imports.profiles(ORDERS)
    load(imports, new(801, BOTH[0], BOTH[2]), profile="sierra")
    there = imports.count()
    other = load(imports, new(802, *BOTH), profile="sierra", name="b.mrc")
    assert other.outcomes == ["conflict"], other.rows
    assert (len(posts(imports)), imports.count()) == (1, there)
