"""Call numbers from a bib, and the record of a new holding."""

from datetime import date

import pytest
from lxml import etree
from pymarc import Field, Indicators, Record, Subfield

from alma_etl.inventory.call_numbers import CallNumber, call_number_in, call_number_of, holding_record
from alma_etl.marc.xml import record_from_xml


def bib(*fields):
    record = Record()
    for tag, *subfields in fields:
        pairs = [Subfield(code, value) for code, value in subfields]
        record.add_field(Field(tag=tag, indicators=Indicators(" ", "4"), subfields=pairs))
    return record


LC = ("050", ("a", "PS3545.I345"), ("a", "PS3546"), ("b", "A6  1988"), ("u", "x"))
LOCAL = ("090", ("a", "PN1"), ("b", ".A1"))
DEWEY = ("082", ("a", "025.3/16'1"), ("2", "23"))


@pytest.mark.parametrize(
    ("fields", "tags", "expected"),
    [
        ([LOCAL, LC], ["050", "090"], CallNumber("0", "PS3545.I345", "A6 1988")),
        ([LOCAL, LC], ["090", "050"], CallNumber("0", "PN1", ".A1")),
        ([LOCAL], ["050", "090"], CallNumber("0", "PN1", ".A1")),
        ([DEWEY], ["050", "082"], CallNumber("1", "025.3161", "")),
        ([("050", ("b", "only a part"))], ["050"], None),
        ([("050", ("a", " ")), ("050", ("a", "Z1"), ("b", "2"))], ["050"], CallNumber("0", "Z1", "2")),
        ([("060", ("a", "WB 100"))], ["060"], CallNumber("2", "WB 100", "")),
        ([("086", ("a", "A 1.2"))], ["086"], CallNumber("3", "A 1.2", "")),
        ([("099", ("a", "Fiction"), ("a", "Doe"))], ["099"], CallNumber("8", "Fiction Doe", "")),
        ([LC], [], None),
        ([], ["050"], None),
    ],
)
def test_the_first_field_that_has_one_gives_the_call_number(fields, tags, expected):
    assert call_number_of(bib(*fields), tags) == expected


def subfields(record):
    field = etree.fromstring(record).find("datafield[@tag='852']")
    return field.get("ind1"), field.get("ind2"), [(each.get("code"), each.text) for each in field]


def test_a_new_holding_says_where_it_is_and_its_call_number():
    record = holding_record("LAW", "stacks", CallNumber("0", "K1", ".A6 <2026>"), date(2026, 3, 9))
    assert subfields(record) == ("0", " ", [("b", "LAW"), ("c", "stacks"), ("h", "K1"), ("i", ".A6 <2026>")])
    parsed = record_from_xml(record)
    assert len(str(parsed.leader)) == 24
    assert str(parsed.leader)[6] == "x"
    assert (parsed["008"].data[:6], len(parsed["008"].data)) == ("260309", 32)
    assert call_number_in(parsed) == "K1 .A6 <2026>"


def test_without_a_call_number_the_field_has_none_so_that_alma_may_fill_it():
    record = holding_record("MAIN", "stacks", None, date(2026, 3, 9))
    assert subfields(record) == (" ", " ", [("b", "MAIN"), ("c", "stacks")])
    assert call_number_in(record_from_xml(record)) == ""
