"""Rows that somebody corrected: written in the form of their file, read as they were meant, all others as they came."""

import datetime as dt
import io

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.worksheet.cell_range import CellRange

from alma_etl.errors import InputProblem
from alma_etl.tabular.tables import EditableTable, open_table
from tests.unit.tabular.conftest import COLUMNS, MMS

HOSTILE = [
    "=1+1",
    "<b>\u202e\u05e9</b>",
    'say "so", 12"',
    '"x',
    "a\nb",
    "x,y;z\tw",
    " 1 ",
    "'7",
    "_x0041_",
    "x" * 5_000,
]


def rewritten(table, rows):
    stream = io.BytesIO()
    table.rewrite(rows, stream)
    return stream.getvalue()


def cells(table):
    return [(row.line, list(row.cells), row.certain) for row in table.raw_rows()]


@pytest.mark.parametrize(
    ("body", "rows", "expected"),
    [
        (
            f"{MMS}|1\r\n{MMS}|x|2\r\n{MMS}|3".encode(),
            {2: [MMS, "2"]},
            f"{MMS}|1\r\n{MMS}|2\r\n{MMS}|3".encode(),
        ),
        (f"{MMS}|1\n\n{MMS}|3".encode(), {3: [MMS, "=4"]}, f"{MMS}|1\n\n{MMS}|=4".encode()),
        (f"{MMS}|1\n{MMS}|2\n".encode(), {1: None}, f"{MMS}|2\n".encode()),
        (
            b"\xef\xbb\xbfmms_id;barcode\r\n1;1\r\n2;2\r\n",
            {3: ["2", 'a;"b"']},
            b'\xef\xbb\xbfmms_id;barcode\r\n1;1\r\n2;"a;""b"""\r\n',
        ),
        (b"sep=;\nmms_id;barcode\n1;1\n", {3: ["1", "2"]}, b"sep=;\nmms_id;barcode\n1;2\n"),
        (b"sep=;\nmms_idd;barcode\n1;1\n", {2: ["mms_id", "barcode"]}, b"sep=;\nmms_id;barcode\n1;1\n"),
        (
            "mms_id,note\n1,größer\n".encode("cp1252"),
            {2: ["2", "größer"]},
            "mms_id,note\n2,größer\n".encode("cp1252"),
        ),
        ("mms_id,note\n1,größer\n".encode("cp1252"), {2: ["1", "ł"]}, "mms_id,note\n1,ł\n".encode()),
        # Bytes of Windows-1252 that would be read as UTF-8 are written as UTF-8.
        ("mms_id,note\n1,größer\n".encode("cp1252"), {2: ["1", "Ã¤"]}, "mms_id,note\n1,Ã¤\n".encode()),
        (
            "mms_id\tnote\r\n1\tä\r\n".encode("utf-16"),
            {2: ["1", "ö\n"]},
            'mms_id\tnote\r\n1\t"ö\n"\r\n'.encode("utf-16"),
        ),
        (b'mms_id,note\n1,"a\nb"\n2,caf\x81\n', {2: ["1", "c"]}, b"mms_id,note\n1,c\n2,caf\x81\n"),
        (b'mms_id,note\n1,"a"\n', {2: ["1", '12" disc']}, b'mms_id,note\n1,12" disc\n'),
    ],
)
def test_a_row_is_written_in_the_form_of_its_file_and_all_else_stays(opened, body, rows, expected):
    table = opened(body)
    assert isinstance(table, EditableTable)
    assert rewritten(table, rows) == expected
    assert rewritten(table, {}) == body


def test_rows_stand_as_they_are_and_it_is_said_which_are_certain(opened):
    table = opened(b'mms_id,barcode,note\n\n1,\xe2\x80\x8b2,"x"\n1,2\n1,2,3,4\n1,2,3,,\n,,\n1,"2,3\n')
    assert (table.headings, table.header_line, table.header_problem) == (["mms_id", "barcode", "note"], 1, "")
    assert cells(table) == [
        (3, ["1", "\u200b2", "x"], True),
        (4, ["1", "2"], False),
        (5, ["1", "2", "3", "4"], False),
        (6, ["1", "2", "3", "", ""], True),
        (8, ["1", "2,3"], False),
    ]
    assert [row.line for row in table.rows()] == [line for line, _, _ in cells(table)]


def test_a_quotation_mark_that_is_a_character_is_shown_as_one(opened):
    table = opened(b'mms_id\tnote\n1\t"so\n')
    assert cells(table) == [(2, ["1", '"so'], True)]
    assert [list(row.cells.values()) for row in table.rows()] == [["1", '"so']]


def test_lines_without_a_header_have_the_columns_that_they_are_known_by(opened):
    table = opened(f"{MMS}|1\n{MMS}\n||\n{MMS}|1|x\n".encode())
    assert (list(table.headings), table.header_line) == (["mms_id", "barcode"], 0)
    assert [(line, certain) for line, _, certain in cells(table)] == [
        (1, True),
        (2, False),
        (3, False),
        (4, False),
    ]
    assert [row.line for row in table.rows()] == [1, 2, 3, 4]


@pytest.mark.parametrize("value", ["a|b", "a\nb", "a\rb"])
def test_what_a_line_without_a_header_cannot_hold_is_refused(opened, value):
    with pytest.raises(InputProblem, match=r"Row 2: a \| or a line break cannot stand"):
        rewritten(opened(f"{MMS}|1\n{MMS}|2\n".encode()), {2: [MMS, value]})


def test_a_header_that_cannot_be_used_can_be_corrected(opened):
    table = opened(b"mms_id,bracode\n1,2\n")
    assert "unknown column 'bracode'" in table.header_problem
    again = opened(rewritten(table, {1: ["mms_id", "barcode"]}))
    assert (again.header_problem, cells(again)) == ("", [(2, ["1", "2"], True)])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_hostile_values_are_read_as_they_were_meant(opened, separator, encoding):
    body = f"mms_id{separator}barcode{separator}note\r\n{MMS}{separator}1{separator}x\r\n".encode(encoding)
    for value in HOSTILE:
        again = opened(rewritten(opened(body), {2: [MMS, "1", value]}))
        assert cells(again) == [(2, [MMS, "1", value], True)]


# --- workbooks


def workbook(*rows, change=lambda sheet: None):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    change(book.active)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def test_corrected_cells_of_a_workbook_are_texts_and_the_others_what_they_were(opened):
    body = workbook(
        ["mms_id", "barcode", "arrival_date", "note"],
        [MMS, 31166002949495, dt.date(2026, 8, 1), "=1+1"],
        [MMS, "007", None, "x"],
    )
    table = opened(body)
    assert cells(table) == [
        (2, [MMS, "31166002949495", "2026-08-01", ""], True),
        (3, [MMS, "007", "", "x"], True),
    ]
    changed = rewritten(table, {2: [MMS, "00311", "2026-08-01", "=2+2"], 3: None})
    sheet = openpyxl.load_workbook(io.BytesIO(changed)).active
    assert [(cell.value, cell.data_type) for cell in sheet[2]] == [
        (MMS, "s"),
        ("00311", "s"),
        (dt.datetime(2026, 8, 1), "d"),
        ("=2+2", "s"),
    ]
    assert sheet["B2"].number_format == "@"
    assert sheet.max_row == 2
    assert cells(opened(changed)) == [(2, [MMS, "00311", "2026-08-01", "=2+2"], True)]


@pytest.mark.parametrize(
    "value", [*HOSTILE, "a\r\nb", "\x01", "\ud800", "_x005F_", "#N/A", "TRUE", "31166002949495123"]
)
def test_every_value_of_a_workbook_is_read_as_it_was_meant(opened, value):
    body = workbook(["mms_id", "barcode", "note"], [MMS, "1", "x"])
    again = opened(rewritten(opened(body), {2: [MMS, "1", value]}))
    assert cells(again) == [(2, [MMS, "1", value], True)]


def test_a_row_with_other_cells_is_neither_hidden_nor_merged(opened):
    def change(sheet):
        sheet.merge_cells("A2:B2")
        sheet.row_dimensions[3].hidden = True
        sheet.merge_cells("A4:B4")

    body = workbook(["mms_id", "barcode"], [MMS, None], [MMS, "3"], [MMS, None], change=change)
    table = opened(body)
    assert cells(table) == [(2, [MMS, ""], False), (3, [MMS, "3"], False), (4, [MMS, ""], False)]
    changed = rewritten(table, {2: [MMS, "2"], 3: [MMS, "3"]})
    assert cells(opened(changed)) == [(2, [MMS, "2"], True), (3, [MMS, "3"], True), (4, [MMS, ""], False)]
    sheet = openpyxl.load_workbook(io.BytesIO(changed)).active
    assert sheet.merged_cells.ranges == {CellRange("A4:B4")}
    assert not sheet.row_dimensions[3].hidden


def test_the_header_of_a_workbook_can_be_corrected(opened):
    table = opened(workbook([], ["mms_id", "bracode"], [MMS, "2"]))
    assert (table.header_line, "unknown column 'bracode'" in table.header_problem) == (2, True)
    again = opened(rewritten(table, {2: ["mms_id", "barcode"]}))
    assert (again.header_problem, cells(again)) == ("", [(2, [MMS, "2"], True)])


anything = st.text(
    st.one_of(st.characters(exclude_categories=["C", "Zl", "Zp"]), st.sampled_from('",;\t| ')), max_size=12
)


@given(
    st.lists(st.tuples(st.just(MMS), anything, anything), min_size=1, max_size=4),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "cp1252", "utf-16"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_whatever_is_typed_into_a_line_is_what_is_read(tmp_path_factory, rows, separator, encoding, end):
    path = tmp_path_factory.mktemp("rewritten") / "x"
    lines = [["mms_id", "barcode", "note"], *([MMS, "1", "ä"] for _ in range(len(rows) + 1))]
    path.write_bytes("".join(separator.join(line) + end for line in lines).encode(encoding))
    body = rewritten(open_table(path, COLUMNS), dict(enumerate(rows, 2)))
    path.write_bytes(body)
    found = [list(row.cells) for row in open_table(path, COLUMNS).raw_rows()]
    assert found == [*map(list, rows), [MMS, "1", "ä"]]
