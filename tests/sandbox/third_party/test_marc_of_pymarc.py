"""The MARC files that pymarc's source distribution carries: 250,000 records of the Library of Congress, and the broken
ones that its own tests keep."""

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from pymarc import MARCReader, Record

from alma_etl.bibs.carrier import disagreements
from alma_etl.bibs.deciding import decide_alone
from alma_etl.bibs.keys import keys_of
from alma_etl.bibs.merging import OVERLAY, differs, merge, prepared
from alma_etl.bibs.profiles import BibProfile
from alma_etl.marc.files import open_marc
from alma_etl.marc.xml import record_from_xml, xml_from_record

pytestmark = pytest.mark.timeout(900)

COMPARED = 10_000
# Read with problems or remarks, as their names promise: records that can be used, and all.
BROKEN = {
    "1251.dat": (0, 6),  # Windows-1251, which no leader names
    "bad_eacc_encoding.dat": (0, 1),
    "bad_indicator.dat": (0, 1),
    "bad_marc8_escape.dat": (0, 1),
    "bad_subfield_code.dat": (0, 1),
    "bad_tag.xml": (0, 1),
    "testunimarc.dat": (0, 1),
}


def fields(record: Record | None) -> list[object]:
    assert record is not None
    return [(each.tag, each.data, each.indicators, each.subfields) for each in record.fields]


def test_the_files_of_its_tests(source: Path) -> None:
    paths = sorted([*source.glob("test/*.dat"), *source.glob("test/*.xml")])
    assert len(paths) > 15
    for path in paths:
        rows = list(open_marc(path).rows())
        usable = sum(not row.problem for row in rows)
        expected = BROKEN.get(path.name)
        assert (usable, len(rows)) == expected if expected else usable == len(rows) > 0, path.name
        assert [row.line for row in rows] == list(range(1, len(rows) + 1))


def test_russian_records_by_the_encoding_of_a_profile(source: Path) -> None:
    rows = list(open_marc(source / "test/1251.dat", "cp1251").rows())
    assert [row.reasons for row in rows] == [("ENCODING",)] * 6
    assert not any(row.problem for row in rows)


def test_marc8_letter_by_letter(source: Path) -> None:
    (row,) = open_marc(source / "test/marc8.dat").rows()
    (same,) = MARCReader((source / "test/marc8.dat").open("rb"), to_unicode=True)
    assert fields(row.record) == fields(same)


def test_a_quarter_of_a_million_records_of_the_library_of_congress(source: Path) -> None:
    (path,) = source.glob("*.utf8")
    seen: Counter[str] = Counter()
    for row in open_marc(path).rows():
        seen["records"] += 1
        seen["problems"] += bool(row.problem)
        seen["without key"] += not row.key
        seen["remarks"] += len(row.remarks)
    print(dict(seen))
    assert seen["records"] == 250_000
    assert seen["problems"] == 0
    assert seen["remarks"] == 8  # a delimiter at the end of the 001


def test_they_are_read_as_pymarc_reads_them(source: Path) -> None:
    (path,) = source.glob("*.utf8")
    rows = islice(open_marc(path).rows(), COMPARED)
    with path.open("rb") as stream:
        for row, same in zip(rows, MARCReader(stream), strict=False):
            assert fields(row.record) == fields(same), row.line


@pytest.mark.parametrize("overlay", [False, True])
def test_real_records_are_merged_without_loss_and_once(source: Path, overlay: bool) -> None:
    """Each is created and merged again, and merged twice into the one before it."""
    (path,) = source.glob("*.utf8")
    profile = BibProfile(match=("oclc", "019", "isbn", "issn", "system"))
    rule = OVERLAY if overlay else profile.rule
    before: Record | None = None
    for row in islice(open_marc(path).rows(), COMPARED):
        assert row.record is not None
        decide_alone(row.record, keys_of(row.record), profile)
        made = record_from_xml(xml_from_record(prepared(row.record)))
        assert not differs(made, merge(made, row.record, rule)), row.line
        if before is not None:
            once = merge(before, row.record, rule)
            assert not differs(once, merge(once, row.record, rule)), row.line
            disagreements(row.record, before, keys_of(row.record), keys_of(before))
        before = made
