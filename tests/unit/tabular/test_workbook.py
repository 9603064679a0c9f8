"""Excel workbooks: what the sheet shows is what is read, where that is certain; else the row says what to do."""

import datetime as dt
import io
import re
import zipfile

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from alma_etl.errors import InputProblem
from alma_etl.tabular.number_formats import shown_text, shown_whole
from alma_etl.tabular.tables import open_table
from tests.unit.tabular.conftest import COLUMNS, MMS

AS_TEXT = "format the column as text"


def saved(book):
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def one_cell(column, value, number_format=None):
    """A workbook with one row whose cell in this column has this value and format."""
    book = openpyxl.Workbook()
    names = ["mms_id", "barcode"] if column in ("mms_id", "barcode") else ["mms_id", "barcode", column]
    values = {"mms_id": MMS, "barcode": "B-1", column: value}
    book.active.append(names)
    book.active.append([values[name] for name in names])
    if number_format:
        book.active.cell(2, names.index(column) + 1).number_format = number_format
    return saved(book)


def patched(body, part, change):
    """The workbook with the text of one of its parts changed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as source, zipfile.ZipFile(stream, "w") as target:
        for info in source.infolist():
            text = source.read(info)
            target.writestr(info, change(text.decode()).encode() if info.filename == part else text)
    return stream.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize(
    ("column", "value", "number_format", "shown"),
    [
        ("barcode", 31166002949495, None, "31166002949495"),
        ("barcode", 31166002949495.0, "0", "31166002949495"),
        ("barcode", 12345, "00000000", "00012345"),
        ("barcode", 12345, '"B"0000', "B12345"),
        ("barcode", 45, '"B"0000', "B0045"),
        ("barcode", 123456, "0000\\-000", "0123-456"),
        ("barcode", 1234567890, "0000-000", "1234567-890"),
        ("barcode", 31, "[$-409]0000;[Red]-0000", "0031"),
        ("barcode", 31, "0000_);[Red]\\(0000\\)", "0031"),
        ("barcode", 31, "0_ ", "31"),
        ("barcode", 31, "#", "31"),
        ("barcode", 31, "??0", "31"),
        ("barcode", 31, '\\M\\S"-"General', "MS-31"),
        ("barcode", 31, "@", "31"),
        ("barcode", 31166002949495, "0.00", "31166002949495"),
        ("barcode", 0, "0000;-0000;\\Z000", "Z000"),
        ("barcode", "007", None, "007"),
        ("barcode", "007", "00000000", "007"),
        ("barcode", "007", '"B"@', "B007"),
        ("barcode", "007", '0;-0;0;"L-"@', "L-007"),
        ("barcode", "31166_x000D_", None, "31166"),
        ("barcode", 31, '"$"0', "$31"),
        ("barcode", 311660029494951, "0", "311660029494951"),
        ("library", 7, "000", "007"),
        ("enumeration", 3, None, "3"),
        ("enumeration", 3, '"v. "0', "v. 3"),
        ("price", 12.5, None, "12.5"),
        ("price", 12.5, "0.00", "12.50"),
        ("price", 12.5, "#,##0.00", "12.50"),
        ("arrival_date", dt.date(2026, 8, 1), None, "2026-08-01"),
        ("arrival_date", dt.datetime(2026, 8, 1, 10, 30), "dd.mm.yyyy hh:mm", "2026-08-01"),
        ("arrival_date", 20260801, None, "20260801"),
        ("note", 12, None, "12"),
        ("note", "a\nb", None, "a\nb"),
        ("note", "3/4", "@", "3/4"),
    ],
)
def test_what_the_sheet_shows_is_what_is_read(opened, column, value, number_format, shown):
    (row,) = opened(one_cell(column, value, number_format)).rows()
    assert (row.cells[column], row.problem) == (shown, "")


@pytest.mark.parametrize(
    ("column", "value", "number_format", "words"),
    [
        ("barcode", 31166002949495, "#,##0", AS_TEXT),
        ("barcode", 31166002949495, "0.00E+00", AS_TEXT),
        ("barcode", 31, "0%", AS_TEXT),
        ("barcode", 31, "$0", AS_TEXT),
        ("barcode", 31, "[$€-407]0", AS_TEXT),
        ("barcode", 31, "[>100]0;000", AS_TEXT),
        ("barcode", 31, "*00000", AS_TEXT),
        ("barcode", 31, "0#", AS_TEXT),
        ("barcode", 31, ";;;", AS_TEXT),
        ("barcode", 31, '"text"', AS_TEXT),
        ("barcode", -31, "0000", AS_TEXT),
        ("barcode", "31", ";;;", AS_TEXT),
        ("barcode", 31166002949495.5, None, "with a fraction"),
        ("barcode", 0.75, "# ?/?", "with a fraction"),
        ("barcode", 3116600294949512, "0", "keeps 15 digits"),
        ("mms_id", 991008836536904082, None, "keeps 15 digits"),
        ("barcode", dt.date(2026, 3, 4), None, "is a date in Excel (2026-03-04)"),
        ("barcode", dt.time(3, 4), None, "is a time in Excel"),
        ("barcode", dt.timedelta(hours=31), None, "is a time in Excel"),
        ("barcode", True, None, "is a truth value in Excel (TRUE)"),
        ("barcode", "#REF!", None, "Excel's error #REF!"),
        ("barcode", "3.1166E+13", None, "rounded number"),
        ("library", dt.date(2026, 3, 4), None, "library is a date in Excel"),
        ("enumeration", dt.date(2026, 3, 4), "d/m", "enumeration is a date in Excel"),
        ("enumeration", 0.75, "# ?/?", "enumeration is a number with a fraction"),
        ("enumeration", True, None, "truth value"),
        ("price", 12.5, '"$"#,##0.00', "fraction"),
        ("price", 1234.5, "#,##0.00", "fraction"),
        ("barcode", 1234, "#,##0", AS_TEXT),
        ("price", 0.5, "0%", "fraction"),
        ("arrival_date", dt.time(3, 4), None, "is a time in Excel"),
        ("arrival_date", True, None, "truth value"),
        ("note", dt.date(2026, 3, 4), None, "note is a date in Excel"),
        ("note", 3.5, None, "note is a number with a fraction"),
        ("note", False, None, "truth value in Excel (FALSE)"),
        ("note", "#DIV/0!", None, "Excel's error #DIV/0!"),
    ],
)
def test_what_excel_made_of_a_value_is_refused_in_a_column_that_holds_none_of_it(
    opened, column, value, number_format, words
):
    (row,) = opened(one_cell(column, value, number_format)).rows()
    assert words in row.problem
    assert column in row.problem


def test_dates_are_read_by_the_workbooks_own_calendar(opened):
    book = openpyxl.load_workbook(io.BytesIO(one_cell("arrival_date", dt.date(2026, 8, 1))))
    book.epoch = CALENDAR_MAC_1904
    (row,) = opened(saved(book)).rows()
    assert row.cells["arrival_date"] == "2026-08-01"


STYLES = "xl/styles.xml"


@pytest.mark.parametrize("number", [27, 31, 36, 50, 58, 71, 81])
def test_a_date_whose_format_is_known_by_its_number_alone_is_a_date(opened, number):
    """As workbooks of East Asian languages and Thai name them: their text stands nowhere."""

    def change(text):
        return re.sub(
            r'(<cellXfs.*?<xf numFmtId="0".*?<xf numFmtId=")[^"]*', rf"\g<1>{number}", text, flags=re.DOTALL
        )

    for column, problem in (("barcode", "is a date in Excel (2026-03-04)"), ("arrival_date", "")):
        body = patched(one_cell(column, 46085, "0000"), STYLES, change)
        table = opened(body)
        (row,) = table.rows()
        assert row.cells[column] == "2026-03-04"
        assert (problem in row.problem) if problem else not row.problem
        (again,) = opened(excerpt(table, {2})).rows()
        assert (again.cells, again.problem) == (row.cells, row.problem)


@pytest.mark.parametrize("text", ["2026-03-04", "2026-03-04T10:30:00Z"])
def test_a_date_without_a_format_of_dates_is_still_one_in_the_rejects(opened, text):
    def change(sheet):
        return re.sub(r'<c r="B2"[^>]*>.*?</c>', f'<c r="B2" t="d"><v>{text}</v></c>', sheet)

    table = opened(patched(one_cell("barcode", "x"), SHEET, change))
    (row,) = table.rows()
    assert "is a date in Excel (2026-03-04)" in row.problem
    (again,) = opened(excerpt(table, {2})).rows()
    assert (again.cells, again.problem) == (row.cells, row.problem)


def formulas(result):
    """Two formulas: the one in `library` with this XML of a result, the barcode with its result."""
    body = one_cell("library", "=A1")

    def change(text):
        text = re.sub(r'<c r="C2"[^>]*>.*?</c>', f'<c r="C2"{result}</c>', text)
        return re.sub(
            r'<c r="B2"[^>]*>.*?</c>', '<c r="B2" t="str"><f>"00"&amp;"12345"</f><v>0012345</v></c>', text
        )

    return patched(body, SHEET, change)


@pytest.mark.parametrize(
    ("result", "library", "words"),
    [
        ("><f>A1</f>", "", "library is a formula without its result (=A1)"),
        ("><f>A1</f><v></v>", "", "library is a formula without its result (=A1)"),
        (' t="str"><f>A1</f><v></v>', "", ""),
        (' t="str"><f>A1</f><v>MAIN</v>', "MAIN", ""),
        ("><f>A1</f><v>7</v>", "7", ""),
        ("><f>A1</f><v>0</v>", "0", "library is a formula (=A1) with the result 0"),
        (' t="e"><f>A1</f><v>#N/A</v>', "#N/A", "Excel's error #N/A"),
    ],
)
def test_a_formula_counts_by_its_result_and_without_one_it_is_told(opened, result, library, words):
    body = formulas(result)
    table = opened(body)
    (row,) = table.rows()
    assert (row.cells["barcode"], row.cells["library"]) == ("0012345", library)
    assert words in row.problem
    assert bool(words) == bool(row.problem)
    (again,) = opened(excerpt(table, {2})).rows()
    if "result 0" in words:  # the formula is handed back, without a result
        assert "library is a formula without its result (=A1)" in again.problem
    else:
        assert (again.cells, again.problem) == (row.cells, row.problem)


def test_a_formula_with_the_result_0_is_a_number_where_numbers_are(opened):
    body = patched(
        one_cell("price", "=A1"),
        SHEET,
        lambda text: re.sub(r'<c r="C2"[^>]*>.*?</c>', '<c r="C2"><f>A1</f><v>0</v></c>', text),
    )
    (row,) = opened(body).rows()
    assert (row.cells["price"], row.problem) == ("0", "")


def excerpt(table, lines):
    stream = io.BytesIO()
    table.excerpt(lines, stream)
    return stream.getvalue()


def test_hidden_rows_are_refused_and_hidden_sheets_are_not_read(opened):
    book = openpyxl.Workbook()
    book.active.append(["mms_id", "barcode"])
    book.active.append([MMS, "OLD"])
    book.active.sheet_state = "hidden"
    sheet = book.create_sheet("now")
    sheet.append(["mms_id", "barcode"])
    for barcode in ("A1", "A2", "A3"):
        sheet.append([MMS, barcode])
    sheet.row_dimensions[3].hidden = True
    table = opened(saved(book))
    assert [(row.line, row.cells["barcode"], row.problem != "") for row in table.rows()] == [
        (2, "A1", False),
        (3, "A2", True),
        (4, "A3", False),
    ]
    (again,) = opened(excerpt(table, {3})).rows()
    assert "the row is hidden in the sheet" in again.problem


def test_a_workbook_whose_only_list_is_on_a_hidden_sheet_has_none(opened):
    book = openpyxl.load_workbook(io.BytesIO(one_cell("barcode", "A1")))
    book.create_sheet("seen")
    book.worksheets[0].sheet_state = "veryHidden"
    with pytest.raises(InputProblem, match="no header with the columns"):
        opened(saved(book))


def test_a_cell_merged_over_rows_holds_for_each_and_one_merged_over_columns_is_told(opened):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["mms_id", "barcode", "library", "note"])
    for row in (
        [MMS, "B1", "LAW", "x"],
        [None, "B2", None, "y"],
        [None, "B3", "MAIN", "z"],
        [MMS, "B4", "MAIN", "z"],
    ):
        sheet.append(row)
    sheet.merge_cells("A2:A4")
    sheet.merge_cells("C2:C3")
    sheet.merge_cells("B5:C5")
    table = opened(saved(book))
    rows = list(table.rows())
    assert [(row.cells["mms_id"], row.cells["barcode"], row.cells["library"]) for row in rows] == [
        (MMS, "B1", "LAW"),
        (MMS, "B2", "LAW"),
        (MMS, "B3", "MAIN"),
        (MMS, "B4", ""),
    ]
    assert rows[1].changes == (
        "mms_id: taken from the merged cell above",
        "library: taken from the merged cell above",
    )
    assert [row.problem != "" for row in rows] == [False, False, False, True]
    assert "library is part of a cell that is merged over several columns" in rows[3].problem
    again = list(opened(excerpt(table, {3, 5})).rows())
    assert [(row.cells, row.problem) for row in again] == [
        (row.cells, row.problem) for row in (rows[1], rows[3])
    ]


def test_rows_below_the_list_that_only_a_merged_cell_reaches_are_no_rows(opened):
    book = openpyxl.load_workbook(io.BytesIO(one_cell("library", "MAIN")))
    book.active.merge_cells("C2:C9")
    assert [row.line for row in opened(saved(book)).rows()] == [2]


@pytest.mark.parametrize("order", ["3,2", "2,2"])
def test_rows_that_a_reader_would_drop_fail_the_file(opened, order):
    first, second = order.split(",")
    body = patched(
        one_cell("barcode", "A1"),
        SHEET,
        lambda text: re.sub(
            r'<row r="2".*?</row>',
            "".join(
                f'<row r="{number}"><c r="A{number}" t="inlineStr"><is><t>{MMS}</t></is></c></row>'
                for number in (first, second)
            ),
            text,
        ),
    )
    with pytest.raises(InputProblem, match="not in their order"):
        list(opened(body).rows())


def test_rejected_rows_keep_what_the_sheet_shows(opened):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["mms_id", "barcode", "arrival_date", "note"])
    sheet.append(["x", 12345, dt.date(2026, 8, 1), "=1+1"])
    sheet["B2"].number_format = "00000000"
    sheet["D2"].data_type = "s"
    sheet.append(["x", "#N/A", True, None])
    sheet.append(["x", "7", None, dt.date(2026, 8, 2)])
    sheet["B4"].number_format = '"B"@'
    table = opened(saved(book))
    rows = list(table.rows())
    assert rows[0].cells["barcode"] == "00012345"
    again = list(opened(excerpt(table, {2, 3, 4})).rows())
    assert [(row.cells, row.problem) for row in again] == [(row.cells, row.problem) for row in rows]


@given(st.integers(0, 10**15 - 1), st.integers(1, 18), st.sampled_from(["", "B", "L-", "no. "]))
def test_zeros_and_prefixes_of_a_format_are_those_of_python(number, places, prefix):
    assert shown_whole(number, f'"{prefix}"' + "0" * places) == f"{prefix}{number:0{places}d}"


@given(st.text(max_size=30), st.integers(0, 10**15 - 1))
def test_no_format_breaks_the_reader(number_format, number):
    for shown in (shown_whole(number, number_format), shown_text("x", number_format)):
        assert shown is None or isinstance(shown, str)


cells = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    st.dates(dt.date(1900, 3, 1), dt.date(2200, 1, 1)),
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc",), exclude_characters="\ufffe\uffff"),
        max_size=9,
    ),
)


@pytest.mark.heavy
@given(
    st.lists(st.lists(cells, min_size=7, max_size=7), min_size=1, max_size=4),
    st.sampled_from(["General", "0000", "@"]),
)
def test_each_row_of_a_sheet_that_is_not_blank_is_a_row(tmp_path_factory, rows, number_format):
    book = openpyxl.Workbook()
    book.active.append(list(COLUMNS.known))
    for number, row in enumerate(rows, 2):
        for column, value in enumerate(row, 1):
            cell = book.active.cell(number, column)
            cell.value = value
            if isinstance(value, str):
                cell.data_type = "s"
            if not isinstance(value, dt.date):
                cell.number_format = number_format
    path = tmp_path_factory.mktemp("sheet") / "x"
    path.write_bytes(saved(book))
    table = open_table(path, COLUMNS)
    found = {row.line: row for row in table.rows()}
    plain = [
        n
        for n, row in enumerate(rows, 2)
        if any(str(v).strip().isascii() and str(v).strip() for v in row if v is not None)
    ]
    assert set(plain) <= set(found)
    again = list(open_again(tmp_path_factory, table, found))
    assert [(row.cells, row.problem) for row in again] == [(row.cells, row.problem) for row in found.values()]


def open_again(tmp_path_factory, table, lines):
    path = tmp_path_factory.mktemp("again") / "x"
    path.write_bytes(excerpt(table, lines))
    return open_table(path, COLUMNS).rows()
