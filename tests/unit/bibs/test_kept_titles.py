"""Records that are not added, since their title in Alma is fuller or newer: it stays as it is, and has their orders and
items."""

import pytest

from tests.unit.bibs.test_bib_imports import LEADER, new
from tests.unit.bibs.test_order_imports import PROFILES, gobi, lines, load, orders, posts

pytestmark = pytest.mark.heavy
BRIEF = LEADER[:17] + "3" + LEADER[18:]
ITEMS = """  items:
    inventory: {field: "949", subfields: {barcode: b, library: d, location: e, item_policy: c}}
"""


@pytest.fixture
def imports(imports):
    imports.profiles(PROFILES + ITEMS)
    return imports


def kept(imports, number):
    """A title that is fuller than what comes, and what it is then."""
    mms_id = imports.add(f"035 __ $a (OCoLC){number}", "245 00 $a Full", "505 0_ $a Contents")
    return mms_id, str(imports.title(mms_id))


def brief_order(number, reference, **given):
    record = gobi(number, reference, **given)
    record.leader = type(record.leader)(BRIEF)
    return record


def older_order(number, reference):
    record = gobi(number, reference)
    record["005"].data = "20000101000000.0"
    return record


@pytest.mark.parametrize(
    ("made", "outcome"), [(brief_order, "not_added_brief"), (older_order, "not_added_old")]
)
def test_the_order_of_a_record_that_is_not_added_goes_to_the_title_that_is_kept(imports, made, outcome):
    there, before = kept(imports, 801)
    run = load(imports, made(801, "R1"))
    assert run.outcomes == [outcome], run.rows
    line = lines(imports)["R1"]
    assert (line.mms_id, str(imports.title(there))) == (there, before)
    assert f"its title stays as it is and has what follows; PO line {line.number}" in run.rows[0]["message"]
    [order] = orders(run)
    assert (order["outcome"], order["po_line"], order["mms_id"]) == ("ordered", line.number, there)
    # It is among the rejects, since the record is not in Alma, and the file is done, since a part of it is.
    assert "rejects" in run.keys
    assert run.filed.startswith("bibs/done/")
    assert run.problem == ""
    again = load(imports, made(801, "R1"), name="rejects.mrc")
    assert again.outcomes == ["conflict"], again.rows
    assert len(posts(imports)) == 1
    run.whole()
    assert run.outcomes == [outcome], run.rows
    assert line.number in run.rows[0]["message"]
    assert len(posts(imports)) == 1


def test_a_dry_run_says_that_it_would_be_ordered(imports):
    kept(imports, 801)
    imports.alma.forget()
    run = load(imports, brief_order(801, "R1"), profile="dry")
    assert run.outcomes == ["not_added_brief"]
    assert [each["outcome"] for each in orders(run)] == ["would_order"]
    assert imports.writes() == []


def test_an_order_that_cannot_be_placed_leaves_the_record_as_it_ended(imports):
    kept(imports, 801)
    imports.alma.faults(
        {"kind": "refuse", "method": "POST", "path": "/acq/po-lines", "first": 1, "code": "401872"}
    )
    run = load(imports, brief_order(801, "R1"))
    assert run.outcomes == ["not_added_brief"]
    assert "order R1 invalid_order" in run.rows[0]["message"]
    assert "stays as it is" not in run.rows[0]["message"]
    assert run.filed.startswith("bibs/failed/")
    imports.alma.faults({"kind": "bad_gateway", "method": "POST", "path": "/acq/po-lines", "applied": False})
    lost = load(imports, brief_order(801, "R2"), name="b.mrc")
    assert lost.outcomes == ["unconfirmed"], lost.rows


def test_a_fault_of_the_order_is_said_before_and_nothing_is_ordered(imports):
    kept(imports, 801)
    run = load(imports, brief_order(801, "R1", fund="NOPE"))
    assert run.outcomes == ["invalid_order"], run.rows
    assert posts(imports) == []


def test_a_cleared_run_whose_title_has_a_twin_by_then_still_names_the_po_line(imports):
    kept(imports, 801)
    run = load(imports, brief_order(801, "R1"))
    imports.add("035 __ $a (OCoLC)801", "245 00 $a Another")
    run.whole()
    assert run.outcomes == ["multi_match"], run.rows
    assert (
        f"this run has placed its order before: PO line {lines(imports)['R1'].number}"
        in run.rows[0]["message"]
    )
    assert [order["po_line"] for order in orders(run)] == [lines(imports)["R1"].number]
    assert len(posts(imports)) == 1


def test_the_items_of_a_record_that_is_not_added_go_to_the_title_that_is_kept(imports):
    there, before = kept(imports, 801)
    record = new(801, "949 __ $bB1$c01$dMAIN$estacks", leader=BRIEF)
    run = load(imports, record, profile="items")
    assert run.outcomes == ["not_added_brief"], run.rows
    assert "its title stays as it is and has what follows; 1 item created" in run.rows[0]["message"]
    items, _ = imports.alma.made()
    assert items["B1"]["mms_id"] == there
    assert str(imports.title(there)) == before
    assert run.filed.startswith("bibs/done/")
    again = load(imports, record, profile="items", name="b.mrc")
    assert again.outcomes == ["not_added_brief"]
    assert len(imports.alma.made()[0]) == len(items)
