"""Rows before Alma is asked: what they say, what is filled in, what is refused."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_etl.inventory.item_fields import COLUMNS, FIELDS, as_date, field_problem, item_body
from alma_etl.inventory.item_rows import BadRow, check, check_barcode, item_row
from alma_etl.tabular.tables import SourceRow

GOOD = {"mms_id": "991008836536904082", "barcode": "31166002949495"}
DEFAULTS = {"library": "MAIN", "location": "stacks", "item_policy": "01", "public_note": "Gift"}


def refusal(cells, defaults=DEFAULTS, problem=""):
    source = SourceRow(7, cells, problem)
    with pytest.raises(BadRow) as refused:
        check(source, item_row(source, defaults))
    return str(refused.value)


def test_a_row_wins_over_the_profile_field_by_field():
    source = SourceRow(7, GOOD | {"location": "law", "public_note": "Nachlass"})
    row = item_row(source, DEFAULTS)
    check(source, row)
    assert row == {
        "line": 7,
        "mms_id": "991008836536904082",
        "barcode": "31166002949495",
        "library": "MAIN",
        "location": "law",
        "values": {"item_policy": "01", "public_note": "Nachlass"},
    }


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"mms_id": ""}, "mms_id is empty"),
        ({"mms_id": "9.91E+17"}, "rounded number by Excel"),
        ({"mms_id": "9,91008836536904E+17"}, "rounded number by Excel"),
        ({"mms_id": "22101234567894401"}, "not an MMS id"),
        ({"mms_id": "99100883653690408x"}, "not an MMS id"),
        ({"mms_id": "99" + "1" * 18}, "not an MMS id"),
        ({"mms_id": "٩٩١٠٠٨٨٣٦٥٣٦"}, "U+0669 ARABIC-INDIC DIGIT NINE"),
        ({"mms_id": "991/../../users"}, "not an MMS id"),
        ({"barcode": ""}, "barcode is empty"),
        ({"barcode": "3.1166E+13"}, "rounded number by Excel"),
        ({"barcode": "3116 6002"}, "has a space in it"),
        ({"barcode": '60001"'}, "ends with a quotation mark"),
        ({"barcode": "NA"}, "word for nothing"),
        ({"barcode": "n.a."}, "word for nothing"),
        ({"barcode": "3" * 101}, "longer than 100"),
        ({"arrival_date": "8/1/2026"}, "is not a date of the form"),
        ({"public_note": "x" * 1001}, "longer than 1000"),
    ],
)
def test_what_can_be_seen_without_alma_is_refused_in_words(cells, words):
    assert words in refusal({name: value for name, value in (GOOD | cells).items() if value})


@pytest.mark.parametrize(
    "barcode", ["12E4567", "E10", "0012", "b-1.2/3", "Ünicode", "3E+", "NA123", 'A"1"', "NAN-1"]
)
def test_a_barcode_may_look_like_anything_else(barcode):
    source = SourceRow(1, GOOD | {"barcode": barcode})
    check(source, item_row(source, DEFAULTS))


def test_no_pattern_takes_a_barcode_of_any_length():
    check_barcode("3" * 100, r"\d+")
    with pytest.raises(BadRow, match="longer than 100"):
        check_barcode("3" * 101, r"\d+")


def test_a_place_must_come_from_somewhere():
    assert refusal(GOOD, {"library": "MAIN"}) == "location is empty, and the profile names none"
    assert refusal(GOOD, {}) == "library is empty, and the profile names none"


def test_what_the_table_could_not_read_comes_first():
    assert refusal({}, problem="expected 1 separator | as in MMS_ID|BARCODE, found 0") == (
        "expected 1 separator | as in MMS_ID|BARCODE, found 0"
    )


def test_the_columns_are_those_of_the_contract_and_a_few_more():
    contract = [
        "mms_id",
        "barcode",
        "library",
        "location",
        "item_policy",
        "material_type",
        "po_line",
        "copy_id",
    ]
    contract += ["description", *(f"enumeration_{letter}" for letter in "abcdefgh")]
    contract += [f"chronology_{letter}" for letter in "ijklm"]
    contract += ["public_note", "internal_note_1", "internal_note_2", "internal_note_3", "fulfillment_note"]
    contract += ["inventory_number", "arrival_date"]
    assert list(COLUMNS[: len(contract)]) == contract


def test_the_body_has_codes_as_codes_dates_with_z_and_nothing_empty():
    values = {
        "item_policy": "01",
        "material_type": "BOOK",
        "copy_id": "2",
        "arrival_date": "20260801",
        "pages": "",
    }
    assert item_body("X1", values | {"library": "MAIN", "po_line": "POL-1/5"}) == {
        "holding_data": {"copy_id": "2"},
        "item_data": {
            "barcode": "X1",
            "policy": {"value": "01"},
            "physical_material_type": {"value": "BOOK"},
            "po_line": "POL-1/5",
            "arrival_date": "2026-08-01Z",
        },
    }


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.text(max_size=30)))
def test_a_body_never_names_what_alma_alone_writes(values):
    body = item_body("X1", values)
    assert body.keys() == {"holding_data", "item_data"}
    assert not body["item_data"].keys() & {
        "pid",
        "base_status",
        "process_type",
        "library",
        "location",
        "creation_date",
    }
    assert body["item_data"]["barcode"] == "X1"


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-08-01", date(2026, 8, 1)),
        ("2026-08-01Z", date(2026, 8, 1)),
        ("20260801", date(2026, 8, 1)),
        ("2026-0801", None),
        ("2026-02-30", None),
        ("01.08.2026", None),
        ("２０２６-08-01", None),
    ],
)
def test_dates(text, day):
    assert as_date(text) == day
    assert (field_problem("arrival_date", text) is None) == (day is not None)
