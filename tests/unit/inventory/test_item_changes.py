"""The merge of a partial record into an item: what is absent stays, what is empty is emptied, equal is equal."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_etl.inventory.item_changes import (
    changed_sections,
    differing,
    foreign_columns,
    merged_item,
    pairs,
    shown,
)
from alma_etl.inventory.item_fields import (
    FIELDS,
    READ_ONLY,
    UPDATE_FIELDS,
    change_problem,
    coded_values,
    field_problem,
)
from alma_etl.tabular.cells import Holds
from tests.unit.alma.samples import item_object

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12).map(str.strip)


def value_of(column):
    field = UPDATE_FIELDS[column]
    if field.holds is Holds.DATE:
        return st.dates().map(lambda day: day.isoformat()) | st.just("")
    if field.flag:
        return st.sampled_from(["true", "false"])
    return TEXTS


VALUES = st.sets(st.sampled_from(sorted(UPDATE_FIELDS)), max_size=8).flatmap(
    lambda columns: st.fixed_dictionaries({column: value_of(column) for column in sorted(columns)})
)
ITEMS = VALUES.map(lambda values: merged_item(item_object(), values))


@given(ITEMS, VALUES)
def test_a_merge_writes_what_is_named_and_nothing_else(item, values):
    given_item = deepcopy(item)
    merged = merged_item(item, values)
    assert item == given_item
    assert differing(shown(merged, values), values) == []
    others = [column for column in UPDATE_FIELDS if column not in values]
    assert shown(merged, others) == shown(item, others)
    assert merged["bib_data"] == item["bib_data"]
    assert {
        name: merged["item_data"][name] for name in ("pid", "base_status") if name in item["item_data"]
    } == {name: item["item_data"][name] for name in ("pid", "base_status") if name in item["item_data"]}


@given(ITEMS, VALUES)
def test_a_merge_into_its_own_result_changes_nothing(item, values):
    merged = merged_item(item, values)
    assert changed_sections(merged, values) == {}
    assert merged_item(merged, values) == merged


@given(ITEMS, VALUES)
def test_the_old_values_of_a_change_undo_it(item, values):
    merged = merged_item(item, values)
    changes = pairs(shown(item, values), shown(merged, values), values)
    undone = merged_item(merged, {column: before for column, (before, _) in changes.items()})
    assert shown(undone, UPDATE_FIELDS) == shown(item, UPDATE_FIELDS)


@given(ITEMS, VALUES, VALUES)
def test_what_somebody_else_changed_is_seen_unless_it_is_what_is_wanted(item, values, theirs):
    first = shown(item, values)
    now = shown(merged_item(item, theirs), values)
    expected = {
        column
        for column in values
        if now[column] != first[column] and differing({column: now[column]}, {column: values[column]})
    }
    assert set(foreign_columns(now, first, values)) == expected


@pytest.mark.parametrize(
    ("column", "one", "other", "equal"),
    [
        ("arrival_date", "2024-01-31Z", "20240131", True),
        ("arrival_date", "2024-01-31Z", "2024-02-01", False),
        ("inventory_price", "50", "50.00", True),
        ("inventory_price", "50", "50.01", False),
        ("inventory_price", "", "0", False),
        ("is_magnetic", "yes", "true", True),
        ("is_magnetic", "", "No", True),
        ("public_note", "a\r\nb ", "a\nb", True),
        ("pages", "050", "50", False),
    ],
)
def test_values_are_equal_where_alma_writes_them_in_several_ways(column, one, other, equal):
    assert UPDATE_FIELDS[column].equal(one, other) is equal


def test_codes_dates_and_flags_go_out_as_alma_has_them():
    values = {
        "item_policy": "02",
        "arrival_date": "20240131",
        "is_magnetic": "yes",
        "temp_policy": "",
        "pages": "",
    }
    item = item_object(pages="12", policy={"value": "01", "desc": "One"})
    item["holding_data"]["temp_policy"] = {"value": "01"}
    assert changed_sections(item, values) == {
        "item_data": {
            "policy": {"value": "02"}, "arrival_date": "2024-01-31Z", "is_magnetic": True, "pages": "",
        },
        "holding_data": {"temp_policy": {"value": ""}},
    }  # fmt: skip


def test_the_fields_of_a_load_are_among_those_of_an_update_and_no_name_is_both_written_and_read_only():
    assert set(FIELDS) < set(UPDATE_FIELDS)
    assert not set(READ_ONLY) & set(UPDATE_FIELDS)
    for column in ("barcode", "library", "location"):
        assert change_problem(column, "")
    assert change_problem("pages", "") is None
    assert field_problem("due_back_date", "tomorrow")
    assert field_problem("in_temp_location", "2")


def test_codes_that_alma_is_asked_for_are_those_of_all_coded_fields():
    values = {
        "item_policy": "02", "temp_policy": "03", "pages": "7", "retention_reason": "", "library": "MAIN",
        "temp_library": "SCI", "temp_location": "stacks", "po_line": "POL-1",
    }  # fmt: skip
    assert sorted(coded_values(values)) == [
        ("fields", ("item_policy", "02")), ("fields", ("temp_policy", "03")), ("places", ("SCI", "stacks")),
        ("po_lines", "POL-1"),
    ]  # fmt: skip
