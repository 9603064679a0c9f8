"""Files of MARCXML as people make them: any prefix, each record by itself, broken XML costs one record."""

import codecs
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from pymarc import Indicators, record_to_xml

from alma_etl.errors import InputProblem
from alma_etl.marc import xml_file
from alma_etl.marc.files import MarcFile, open_marc
from alma_etl.marc.source_record import SourceRecord
from tests.unit.marc.test_iso_files import RECORD, content

SLIM = "http://www.loc.gov/MARC21/slim"
LEADER = "00000nam a2200000 a 4500"


def record(
    number: int, title: str = "A title", more: str = "", prefix: str = "", leader: str = LEADER
) -> str:
    return (
        f"<{prefix}record><{prefix}leader>{leader}</{prefix}leader>"
        f'<{prefix}controlfield tag="001">ocm{number}</{prefix}controlfield>'
        f'<{prefix}datafield tag="245" ind1="1" ind2="0"><{prefix}subfield code="a">{title}</{prefix}subfield>'
        f"</{prefix}datafield>{more}</{prefix}record>"
    )


def collection(
    *records: str, xmlns: str = f' xmlns="{SLIM}"', prefix: str = "", declaration: str = ""
) -> bytes:
    body = "\n".join(records)
    return f"{declaration}<{prefix}collection{xmlns}>\n{body}\n</{prefix}collection>\n".encode()


ONE, TWO, THREE = record(1), record(2, "Second"), record(3, "Drei &amp; <![CDATA[<record>]]>")


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., MarcFile]:
    def open_it(data: bytes, encoding: str | None = None) -> MarcFile:
        path = tmp_path / "dropped"
        path.write_bytes(data)
        return open_marc(path, encoding)

    return open_it


@pytest.fixture
def read(opened) -> Callable[..., list[SourceRecord]]:
    return lambda data, encoding=None: list(opened(data, encoding).rows())


def test_text_that_an_editor_broke_into_lines_and_indented_is_one_line(read):
    neat = collection(record(1, "A title in two parts"))
    indented = neat
    for text in (LEADER, "ocm1", "A title in two parts"):
        indented = indented.replace(text.encode(), f"\r\n\t    {text}\n  ".encode())
    indented = indented.replace(b"title in", b"title\n      in")
    [expected], [found] = read(neat), read(indented)
    assert (str(found.record), found.key, found.title) == (
        str(expected.record),
        "ocm1",
        "A title in two parts",
    )


def excerpt(file: MarcFile, lines: set[int]) -> bytes:
    stream = io.BytesIO()
    file.excerpt(lines, stream)
    return stream.getvalue()


def seen(rows: list[SourceRecord]) -> list[tuple[int, str, str, bool]]:
    return [(row.line, row.key, row.title, bool(row.problem)) for row in rows]


PREFIXED = [record(1, prefix="marc:"), record(2, "Second", prefix="marc:")]


@pytest.mark.parametrize(
    "data",
    [
        collection(ONE, TWO),
        collection(ONE, TWO, xmlns=""),
        collection(*PREFIXED, xmlns=f' xmlns:marc="{SLIM}"', prefix="marc:"),
        collection(ONE, TWO, declaration='<?xml version="1.0" encoding="UTF-8"?>\n<!-- <record> -->\n'),
        b"\xef\xbb\xbf" + collection(ONE, TWO),
        collection(ONE, "<!-- <record> between -->", TWO, "<?note <record>?>"),
        collection(ONE.replace("<record>", '<record type="a>b" xmlns:x="urn:x">'), TWO),
        collection(ONE) + collection(TWO),  # files put one after the other
        collection(ONE, TWO).decode().encode("utf-16"),
        codecs.BOM_UTF16_BE + collection(ONE, TWO).decode().encode("utf-16-be"),
        collection(ONE, TWO, declaration='<?xml version="1.0" encoding="UTF-16"?>')
        .decode()
        .encode("utf-16-le"),
        ONE.encode() + TWO.encode(),
        collection(ONE, TWO)[: -len("</collection>\n")],
    ],
)
def test_every_form_of_marcxml(read, data):
    assert seen(read(data)) == [(1, "ocm1", "A title", False), (2, "ocm2", "Second", False)]


def test_a_single_record(opened):
    data = (
        f'<?xml version="1.0"?>\n<m:record xmlns:m="{SLIM}">'.encode() + record(7, prefix="m:")[10:].encode()
    )
    file = opened(data)
    assert seen(list(file.rows())) == [(1, "ocm7", "A title", False)]
    assert excerpt(file, {1}).strip() == data.strip()
    assert (file.form, file.extension) == ("MARCXML", ".xml")


@pytest.mark.parametrize(
    ("indicators", "expected"), [("##", "  "), ("^^", "  "), ("1#", "1 "), ("", "  "), ("1", "1 ")]
)
def test_blank_indicators_as_people_write_them(read, indicators, expected):
    pairs = " ".join(f'ind{at}="{sign}"' for at, sign in enumerate(indicators, 1))
    more = f'<datafield tag="500" {pairs}><subfield code="a">x</subfield></datafield>'
    (row,) = read(collection(record(1, more=more, leader=LEADER.replace(" ", "#"))))
    assert row.record["500"].indicators == Indicators(*expected)
    assert str(row.record.leader) == LEADER
    assert not row.remarks


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('<datafield tag="42"><subfield code="a">x</subfield></datafield>', "a datafield has the tag '42'"),
        ('<datafield tag="001"><subfield code="a">x</subfield></datafield>', "a datafield has the tag '001'"),
        ('<datafield><subfield code="a">x</subfield></datafield>', "a datafield has the tag ''"),
        ('<datafield tag="500"><subfield>x</subfield></datafield>', "the field 500 has the subfield code ''"),
        ('<datafield tag="500"><subfield code="ab">x</subfield></datafield>', "the subfield code 'ab'"),
        (
            '<datafield tag="500" ind1="12"><subfield code="a">x</subfield></datafield>',
            "the indicators ['12', ' ']",
        ),
        ('<datafield tag="500" ind1="é"><subfield code="a">x</subfield></datafield>', "the indicators 'é '"),
        ("<leader>x</leader>", "several leaders"),
        ("&nbsp;", "Entity 'nbsp' not defined"),
        ("&#1;", "the XML cannot be read"),
        ("\x01", "the XML cannot be read"),
        ("<datafield tag='500'>", "the XML cannot be read"),
        ("A & B", "the XML cannot be read"),
        ('<!DOCTYPE x [<!ENTITY y "z">]>', "DTD"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_and_the_others_go_on(opened, more, why):
    broken = record(2, "Broken", more=more)
    data = collection(ONE, broken, THREE)
    file = opened(data)
    rows = list(file.rows())
    assert [bool(row.problem) for row in rows] == [False, True, False]
    assert why in rows[1].problem
    assert rows[1].key == "ocm2"
    place = data.index(broken.encode())
    assert (rows[1].offset, rows[1].problem.split(" cannot")[0]) == (place, f"The record at byte {place:,}")
    assert rows[2].title == "Drei & <record>"
    kept = excerpt(file, {2})
    assert broken.encode() in kept
    again = list(opened(kept).rows())
    assert [(row.key, bool(row.problem)) for row in again] == [("ocm2", True)]


@pytest.mark.parametrize(
    ("leader", "why"),
    [(LEADER[1:], "its leader has 23 characters where 24 belong"), ("é" + LEADER[1:], "its leader")],
)
def test_a_leader_that_is_none(read, leader, why):
    (row,) = read(collection(record(1, leader=leader)))
    assert why in row.problem


@pytest.mark.parametrize(
    ("more", "remark"),
    [
        ('<datafield tag="500" ind1=" " ind2=" "/>', "the field 500 was left out, since it has no subfields"),
        (
            '<controlfield tag="FMT">BK</controlfield>',
            "the field FMT was left out, since it has no subfields: 'BK'",
        ),
        ("<note>x</note>", "an element <note> was left out"),
    ],
)
def test_what_is_left_out_is_said(read, more, remark):
    (row,) = read(collection(record(1, more=more)))
    assert [each.text for each in row.remarks] == [remark]
    assert not row.problem


@pytest.mark.parametrize(
    "broken",
    [
        record(2)[: -len("</record>")],
        record(2)[:60],
        "<record",
        "<recrd>" + record(2)[8:],
        record(2).replace("</datafield>", "</datafeld>"),
        record(2) + "and more",
        "<!-- never closed" + record(2),
        "<![CDATA[" + record(2),
    ],
)
def test_broken_xml_in_the_middle_costs_no_other_record(read, broken):
    rows = read(collection(ONE, broken, record(3)))
    assert [row.key for row in rows if not row.problem if row.key != "ocm2"] == ["ocm1", "ocm3"]
    assert sum(bool(row.problem) for row in rows) == 1


def test_unimarc(read):
    fields = (
        '<datafield tag="100" ind1=" " ind2=" "><subfield code="a">20021105d2002    m  y0frey50      ba</subfield>'
        '</datafield><datafield tag="200" ind1="1" ind2=" "><subfield code="a">x</subfield></datafield>'
    )
    (row,) = read(collection(f"<record><leader>{LEADER}</leader>{fields}</record>"))
    assert "it is UNIMARC" in row.problem


@pytest.mark.parametrize(
    ("declared", "encoding", "expected", "reasons"),
    [
        ("ISO-8859-1", None, "café", ()),
        ("windows-1252", None, "café", ()),
        ("windows-1250", None, "café", ()),
        ("UTF-8", "cp1252", "café", ("ENCODING",)),
        ("UTF-8", None, "", ()),
        ("no-such", None, "", ()),
        ("idna", None, "", ()),
        ("utf-16", None, "", ()),
    ],
)
def test_text_that_is_not_utf8(read, declared, encoding, expected, reasons):
    data = collection(record(1, "café"), TWO, declaration=f'<?xml version="1.0" encoding="{declared}"?>')
    row, good = read(data.decode().encode("latin-1"), encoding)
    assert (row.title, row.reasons, bool(row.problem)) == (expected, reasons, not expected)
    assert good.title == "Second"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'<!DOCTYPE collection [<!ENTITY a "b">]>' + collection(ONE), "brings a DTD"),
        (
            b'<?xml version="1.0"?>\n<!-- x --><!DOCTYPE collection SYSTEM "http://x/y">' + collection(ONE),
            "brings a DTD",
        ),
        (b"<!DOCTYPE html><html><body/></html>", "is a web page, not MARCXML"),
        (b"<?xml version='1.0'?>\n<html><body>Not found</body></html>", "is a web page, not MARCXML"),
        (b"<OAI-PMH><record/></OAI-PMH>", "its outermost element is <OAI-PMH>"),
        (b"<collection>  </collection>", "without a record"),
        (b"<collection/>", "without a record"),
        (b"<?xml version='1.0'?>", "not MARCXML"),
        (b"<collection", "not MARCXML"),
        (b"<" * 3_000_000, "The file"),
    ],
)
def test_a_file_that_is_refused_in_one_sentence(read, data, sentence):
    with pytest.raises(InputProblem) as raised:
        read(data)
    assert sentence in str(raised.value)


def test_rejects_are_the_source_of_the_records_inside_the_files_own_tags(opened):
    records = [record(number, prefix="m:") for number in range(1, 6)]
    data = collection(
        *records, xmlns=f' xmlns:m="{SLIM}"', prefix="m:", declaration='<?xml version="1.0"?>\n'
    )
    kept = excerpt(opened(data), {2, 5})
    root = etree.fromstring(kept)
    assert [each.findtext(f"{{{SLIM}}}controlfield") for each in root] == ["ocm2", "ocm5"]
    assert all(records[number].encode() in kept for number in (1, 4))
    assert kept.startswith(data[: data.index(b"<m:record")].rstrip())


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_rejects_of_a_file_in_utf16_are_in_utf16(opened, encoding):
    data = ("\ufeff" + collection(ONE, TWO, THREE).decode()).encode(encoding)
    file = opened(data)
    assert [row.offset for row in file.rows()] == [None] * 3
    kept = excerpt(file, {2})
    assert TWO.encode(encoding) in kept
    assert [row.key for row in opened(kept).rows()] == ["ocm2"]


def test_utf16_that_ends_in_the_middle_of_a_letter(read):
    with pytest.raises(InputProblem, match="not UTF-16 throughout"):
        read(collection(ONE).decode().encode("utf-16-le")[:-1])


def test_a_record_without_end_is_given_out_in_pieces(read, monkeypatch):
    monkeypatch.setattr(xml_file, "_LONGEST", 100_000)
    monkeypatch.setattr(xml_file, "_BLOCK", 10_000)
    rows = read(collection(ONE, "<record>" + "<x>y</x>" * 100_000, THREE))
    assert [row.key for row in rows if not row.problem] == ["ocm1", "ocm3"]
    assert sum(bool(row.problem) for row in rows) > 1


SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)


@SHARED
@given(st.lists(RECORD, min_size=1, max_size=4), st.sampled_from([7, 64, 1 << 18]))
def test_what_pymarc_writes_as_xml_is_what_it_writes_as_iso2709(opened, records, block):
    binary = [row.record for row in opened(b"".join(records)).rows()]
    xml = b"".join(record_to_xml(each, namespace=True) for each in binary)
    file = opened(b"<collection>" + xml + b"</collection>")
    before, xml_file._BLOCK = xml_file._BLOCK, block
    try:
        again = list(file.rows())
    finally:
        xml_file._BLOCK = before
    assert [content(row.record) for row in again] == [content(each) for each in binary]


PIECES = st.sampled_from(
    [
        "<",
        ">",
        "</",
        "record",
        "<record>",
        "</record>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?",
        "?>",
        "&",
        '"',
        "é",
    ]
)


@SHARED
@given(st.lists(PIECES | st.text(max_size=5), max_size=15), st.sampled_from([5, 50, 1 << 18]))
def test_any_text_raises_nothing_but_a_sentence_and_the_records_around_it_are_read(opened, pieces, block):
    noise = "".join(pieces)
    before, xml_file._BLOCK = xml_file._BLOCK, block
    try:
        file = opened(collection(ONE, noise, TWO).replace(b"\0", b""))
        rows = list(file.rows())
        kept = excerpt(file, {row.line for row in rows})
        again = list(opened(kept).rows())
    finally:
        xml_file._BLOCK = before
    assert rows[0].key == "ocm1"
    assert not rows[0].problem
    hidden = any(opener in noise for opener in ("<!--", "<![CDATA[", "<?"))
    assert hidden or [row.key for row in rows if not row.problem][-1] == "ocm2"
    assert [row.key for row in again if not row.problem] == [row.key for row in rows if not row.problem]
