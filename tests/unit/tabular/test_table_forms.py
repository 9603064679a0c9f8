"""Tables as people's programs write them, and as they should not be."""

import datetime as dt
import io
import itertools
import zipfile

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_etl.errors import InputProblem
from alma_etl.identifiers import Identifier, read_identifier
from alma_etl.tabular.lines import MAX_LINE
from alma_etl.tabular.tables import Columns, SourceRow, open_table

COLUMNS = Columns(
    known=("mms_id", "barcode", "library", "location", "public_note"),
    required=("mms_id", "barcode"),
    headless=("mms_id", "barcode"),
)
MMS, BARCODE = "991008836536904082", "31166002949495"


@pytest.fixture
def table(tmp_path):
    """A factory: bytes become a table."""
    numbers = itertools.count()

    def make(body):
        path = tmp_path / f"input-{next(numbers)}"
        path.write_bytes(body)
        return open_table(path, COLUMNS)

    return make


def told(table):
    return [(row.line, dict(row.cells), row.problem) for row in table.rows()]


def good(line, mms_id=MMS, barcode=BARCODE, **more):
    return line, {"mms_id": mms_id, "barcode": barcode, **more}, ""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (b"", "cp1252"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
    ],
)
def test_lines_are_read_in_every_encoding_with_every_line_end(table, mark, encoding, end):
    text = end.join([f"{MMS}|{BARCODE}", "", f"  {MMS} | 2 ", f"{MMS}|3"])
    assert told(table(mark + text.encode(encoding))) == [good(1), good(3, barcode="2"), good(4, barcode="3")]


def test_line_ends_may_be_mixed(table):
    assert [row.line for row in table(b"991|1\r\n991|2\r991|3\n\n991|4").rows()] == [1, 2, 3, 5]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_headers_may_have_any_case_order_and_separator(table, encoding, separator):
    lines = [("Barcode", "MMS ID", "Public-Note"), (BARCODE, MMS, "Müller – «Gift»")]
    body = "\r\n".join(separator.join(cells) for cells in lines).encode(encoding)
    assert told(table(body)) == [good(2, public_note="Müller – «Gift»")]


def test_utf8_and_windows_lines_in_one_file_are_both_read_right(table):
    body = "mms_id,barcode,public_note\n1,1,größer\n".encode() + "1,2,größer\n".encode("cp1252")
    assert [row.cells["public_note"] for row in table(body).rows()] == ["größer", "größer"]


@pytest.mark.parametrize("line", ["MMSID|BARCODE", "mms_id|barcode"])
def test_a_heading_over_lines_is_no_row(table, line):
    assert told(table(f"{line}\n{MMS}|{BARCODE}\n".encode())) == [good(2)]


@pytest.mark.parametrize(
    ("line", "found"),
    [("991|311|", 2), ("991 311", 0), ("991|311|stacks|x", 3), ("991,311", 0)],
)
def test_a_wrong_number_of_separators_is_the_problem_of_its_line_alone(table, line, found):
    rows = told(table(f"{MMS}|{BARCODE}\n{line}\n{MMS}|2\n".encode()))
    assert rows[0] == good(1)
    assert rows[2] == good(3, barcode="2")
    assert rows[1][2] == f"expected 1 separator | as in MMS_ID|BARCODE, found {found}"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("mms_id,barcode,lcoation", "line 1 cannot be used: unknown column 'lcoation'"),
        ("mms_id,barcode,barcode", "column barcode stands there more than once"),
        ("mms_id,library", "column barcode is missing"),
        ("mms_id,,barcode", "unknown column '(empty)'"),
    ],
)
def test_every_row_below_an_unusable_header_says_so(table, header, words):
    rows = list(table(f"{header}\n991,1,x\n992,2,y\n".encode()).rows())
    assert [row.line for row in rows] == [2, 3]
    assert all(words in row.problem for row in rows)


def test_cells_too_many_or_too_few_are_told_and_blank_ones_at_the_end_do_no_harm(table):
    rows = told(table(b"mms_id,barcode,library,,\n991,1,MAIN,,\n991,2\n,,,,\n991,3,MAIN,x,\n991,4,,,,,\n"))
    assert [row[0] for row in rows] == [2, 3, 5, 6]
    assert rows[0] == good(2, "991", "1", library="MAIN")
    assert "2 columns where the header has 3: a separator is missing" in rows[1][2]
    assert "5 columns where the header has 3: a separator is too many" in rows[2][2]
    assert rows[3] == good(6, "991", "4", library="")


def test_quoted_cells_may_hold_separators_quotes_and_line_breaks(table):
    body = b'mms_id,barcode,public_note\r\n991,1,"a, ""b""\r\nand c"\r\n991,2,d"e"\r\n'
    assert told(table(body)) == [
        good(2, "991", "1", public_note='a, "b"\nand c'),
        good(4, "991", "2", public_note='d"e"'),
    ]


def test_a_quotation_mark_that_never_closes_spoils_its_own_line_only(table):
    body = b'mms_id,barcode,public_note\n991,1,"open\n' + b"".join(b"991,%d,x\n" % n for n in range(2, 60))
    rows = told(table(body))
    assert rows[0] == (2, {"mms_id": "991", "barcode": "1", "public_note": "open"}, rows[0][2])
    assert "never closed" in rows[0][2]
    assert rows[1:] == [good(n + 1, "991", str(n), public_note="x") for n in range(2, 60)]


@pytest.mark.parametrize(
    ("cell", "words"), [("a\x07b", "control character (U+0007)"), ("a\x00b", "(U+0000)")]
)
def test_control_characters_are_named(table, cell, words):
    body = b"mms_id,barcode,public_note\n" + b"991,1,fine\n" * 3 + f"991,1,{cell}\n".encode()
    if "\x00" in cell:
        body = b"mms_id,barcode,public_note\n" + b"991,1,fine\n" * 8_000 + f"991,1,{cell}\n".encode()
    assert words in list(table(body).rows())[-1].problem


def test_marks_that_cannot_be_seen_do_not_become_part_of_an_id(table):
    body = f"mms_id\u200b,barcode\n\ufeff{MMS}\u200e,\u00a0{BARCODE} \u200b\n".encode()
    assert told(table(body)) == [good(2)]


def test_a_byte_that_fits_no_encoding_is_told(table):
    rows = list(table(b"mms_id,barcode,public_note\n991,1,caf\x81\n").rows())
    assert "cannot be read: save the file as UTF-8" in rows[0].problem


def workbook(*rows, title="Sheet"):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = title
    for row in rows:
        sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def test_a_workbook_is_read_by_what_it_is_not_by_its_name(table):
    rows = told(table(workbook(["MMS ID", "Barcode", None], [MMS, BARCODE], [None], [MMS, 31166002949496])))
    assert rows == [good(2), good(4, barcode="31166002949496")]


def test_numbers_that_lost_their_last_digits_in_excel_are_refused(table):
    row = next(table(workbook(["mms_id", "barcode"], [991008836536904082, "1"])).rows())
    assert "keeps 15 digits: the last ones are lost" in row.problem


def test_the_first_sheet_with_a_header_is_read_and_others_are_left_alone(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["About this list"])
    sheet = book.create_sheet("Items")
    sheet.append([])
    sheet.append(["mms_id", "barcode"])
    sheet.append([MMS, BARCODE])
    book.save(tmp_path / "x")
    assert told(open_table(tmp_path / "x", COLUMNS)) == [good(3)]


def test_excel_errors_and_dates_in_cells(table):
    rows = told(
        table(
            workbook(["mms_id", "barcode", "public_note"], ["991", "#N/A"], ["991", "1", dt.date(2026, 8, 1)])
        )
    )
    assert rows[0][2] == "barcode holds Excel's error #N/A"
    assert "public_note is a date in Excel (2026-08-01): format the column as text" in rows[1][2]


def zipped(**parts):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in parts.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), body)
    return stream.getvalue()


def with_entity(body):
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as source, zipfile.ZipFile(stream, "w") as target:
        for part in source.infolist():
            text = source.read(part)
            if part.filename == "xl/worksheets/sheet1.xml":
                text = b'<!DOCTYPE x [<!ENTITY a "b">]>' + text
            target.writestr(part, text)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \r\n\r\n", "empty"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "PDF document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old Excel"),
        (b"\x1f\x8b\x08\x00abc", "gzip"),
        (b"{\\rtf1\\ansi 991|1}", "RTF"),
        (b"<?xml version='1.0'?><a/>", "XML or a web page"),
        (b"<!DOCTYPE html><html></html>", "XML or a web page"),
        (bytes(range(256)) * 8, "not text"),
        (b"PK\x03\x04 broken", "damaged"),
        (zipped(word__document_xml="<a/>"), "Word document"),
        (zipped(content_xml="<a/>"), "OpenDocument"),
        (zipped(readme="hello"), "zip archive"),
        (zipped(xl__workbook_xml="<a/>"), "cannot be read"),
        (zipped(xl__workbook_xml="<a/>", xl__big_xml=b" " * 30_000_000), "would unpack to"),
        (with_entity(workbook(["mms_id", "barcode"], ["991", "1"])), "declares a document type"),
        (workbook(["title", "author"], ["x", "y"]), "no header with the columns"),
        (b"Dear colleague,\nhere is the list.\n", "neither"),
        (b"991,1\n991,2\n", "neither lines of the form MMS_ID|BARCODE, nor a header with"),
        (b"991|" + b"1" * (MAX_LINE + 1), "is longer than"),
    ],
)
def test_what_is_no_list_gets_one_sentence(table, body, words):
    with pytest.raises(InputProblem, match=words.replace("|", r"\|")):
        list(table(body).rows())


def excerpt(table, lines):
    stream = io.BytesIO()
    table.excerpt(lines, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "lines", "expected"),
    [
        (b"991|1\r\n\r\n991|x|2\r\n991|3", {3, 4}, b"991|x|2\r\n991|3"),
        (b"\xef\xbb\xbfmms_id;barcode\n1;1\n2;2\n3;3\n", {3}, b"\xef\xbb\xbfmms_id;barcode\n2;2\n"),
        (b'mms_id,barcode\n1,"a\nb"\n2,2\n', {2}, b'mms_id,barcode\n1,"a\nb"\n'),
        (b"mms_id,barcode\n1,caf\x81\n2,=1+1\n", {2, 3}, b"mms_id,barcode\n1,caf\x81\n2,=1+1\n"),
        (
            "mms_id\tbarcode\r\n1\tä\r\n2\tö\r\n".encode("utf-16"),
            {3},
            "mms_id\tbarcode\r\n2\tö\r\n".encode("utf-16"),
        ),
    ],
)
def test_rejected_rows_come_back_byte_for_byte(table, body, lines, expected):
    assert excerpt(table(body), lines) == expected


def test_rejected_rows_of_a_workbook_keep_the_kinds_of_their_cells(table):
    body = workbook(["mms_id", "barcode", "public_note"], [MMS, 5, "=1+1"], [MMS, "007", "'x"], [MMS, "9"])
    again = openpyxl.load_workbook(io.BytesIO(excerpt(table(body), {3}))).active
    assert [[cell.value for cell in row] for row in again.rows] == [
        ["mms_id", "barcode", "public_note"],
        [MMS, "007", "'x"],
    ]
    assert {cell.data_type for row in again.rows for cell in row} == {"s"}


cell = st.text(
    st.characters(categories=("L", "N", "P", "S"), exclude_characters="\ufffd"), min_size=1, max_size=8
)
plain = st.text(st.sampled_from("0123456789ABCZabcz%/?#&;,\"'()*.АЖ"), min_size=1, max_size=8).filter(
    lambda text: read_identifier(text) == Identifier(text)
)


@given(
    st.lists(st.tuples(plain, plain, cell), min_size=1, max_size=12),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_whatever_a_csv_writer_writes_is_read_back(tmp_path_factory, rows, separator, encoding, end):
    import csv

    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerow(["mms_id", "barcode", "public_note"])
    writer.writerows(rows)
    path = tmp_path_factory.mktemp("csv") / "x"
    path.write_bytes(text.getvalue().encode(encoding))
    table = open_table(path, COLUMNS)
    assert [tuple(row.cells.values()) for row in table.rows()] == rows
    assert not [row.changes for row in table.rows() if row.changes]
    assert excerpt(table, range(2, len(rows) + 2)) == path.read_bytes()


def test_a_row_is_what_the_report_needs_even_when_it_cannot_be_used(table):
    row = next(iter(table(f"{MMS}|{BARCODE}|x\n".encode()).rows()))
    assert isinstance(row, SourceRow)
    assert row.cells == {"mms_id": MMS, "barcode": BARCODE}
