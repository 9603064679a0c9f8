"""Tables: what a spreadsheet would run is shown instead, and everything else is kept."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from alma_etl.jobs.report_tables import CsvWriter, XlsxWriter, neutral, plain, read_csv


@pytest.mark.parametrize(
    "cell",
    [
        '=HYPERLINK("http://x","y")',
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "=cmd|' /C calc'!A0",
        "＝1",
        "＋1",
        "－1",
        "＠x",
    ],
)
def test_what_looks_like_a_formula_gets_an_apostrophe(cell):
    assert neutral(cell) == "'" + cell
    assert plain(neutral(cell)) == cell


@pytest.mark.parametrize(
    "cell", ["", "9900000000004401", "Annals", "a=b", "'=1", " x", "日本", "(OCoLC)1", "1-2"]
)
def test_anything_else_stays_as_it_is(cell):
    assert neutral(cell) == cell


def written(columns: list[str], rows: list[list[str]]) -> bytes:
    stream = io.BytesIO()
    table = CsvWriter(stream, columns)
    for row in rows:
        table.add(row)
    return stream.getvalue()


def test_a_table_in_bytes():
    assert written(["a", "b"], [["1", "x,y"], ["=2", 'say "no"'], ["é", "two\nlines"]]) == (
        b'a,b\n1,"x,y"\n\'=2,"say ""no"""\n' + "é".encode() + b',"two\nlines"\n'
    )


def test_a_table_of_no_rows_has_its_header():
    assert written(["a", "b"], []) == b"a,b\n"


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=8))
def test_whatever_is_written_reads_back_as_it_was_but_for_apostrophes_and_line_ends(rows):
    data = written(["a", "b", "c"], rows)
    assert b"\r" not in data
    again = [[row["a"], row["b"], row["c"]] for row in read_csv(io.BytesIO(data))]
    one_line_end = [[neutral(cell).replace("\r\n", "\n").replace("\r", "\n") for cell in row] for row in rows]
    assert again == one_line_end
    for row in csv.reader(io.StringIO(data.decode(), newline="")):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_a_byte_order_mark_is_no_part_of_the_first_column():
    assert list(read_csv(io.BytesIO(b"\xef\xbb\xbfa,b\r\n1,2\r\n"))) == [{"a": "1", "b": "2"}]


def test_a_workbook_holds_texts_only():
    table = XlsxWriter(["mms_id", "title"], "Outcomes")
    rows = [["99000000000004401123", "=1+1"], ["0012", "日本"], ["-5", ""]]
    for row in rows:
        table.add(row)
    stream = io.BytesIO()
    table.save(stream)
    sheet = load_workbook(io.BytesIO(stream.getvalue()))["Outcomes"]
    assert [[cell.value or "" for cell in row] for row in sheet.iter_rows()] == [["mms_id", "title"], *rows]
    assert {cell.data_type for row in sheet.iter_rows() for cell in row if cell.value} == {"s"}
