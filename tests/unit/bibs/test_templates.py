"""Rows of a list of titles to order as brief records: what a template makes of them, and what it refuses."""

import datetime as dt
import io

import openpyxl
import pytest

from alma_etl.bibs.orders.profile import OrderProfile
from alma_etl.bibs.orders.reading import orders_of
from alma_etl.bibs.profiles import BibProfile
from alma_etl.bibs.templates import RecordTemplate, TitleTable
from alma_etl.errors import InputProblem
from alma_etl.tabular.tables import open_table
from tests.unit.bibs.records import lines

FIELDS = (
    "008 ######s{year:4}####xx############000#0#und#d",
    "020 __ $a{isbn}",
    "022 __ $a{issn}",
    "024 3_ $a{ean}$2ean",
    "035 __ $a(ORDERS){reference}",
    "049 __ $aMAIN/stacks",
    "100 1_ $a{author}",
    "245 00 $a{title}$c{author}",
    "264 _1 $b{publisher}$c{year}",
    "980 __ $a{ordered}$b{price}$f{reference}$g{quantity}",
    "981 __ $bHIST",
)
TEMPLATE = RecordTemplate(fields=FIELDS, ignored=("Notes",))
ORDERS = OrderProfile(layout="980_981", po_line_type="PRINTED_BOOK_OT", owner="MAIN", vendor="GOBI")


@pytest.fixture
def table(tmp_path):
    def opened(*rows, template=TEMPLATE, name="list.csv"):
        path = tmp_path / name
        path.write_bytes(rows[0] if isinstance(rows[0], bytes) else "\n".join(rows).encode())
        return TitleTable(open_table(path, template.columns(ORDERS.dates)), template)

    return opened


def workbook(headings, *rows, formats=None):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(headings)
    for row in rows:
        sheet.append(row)
        for column, number_format in (formats or {}).items():
            sheet.cell(sheet.max_row, headings.index(column) + 1).number_format = number_format
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def test_a_row_becomes_a_brief_record(table):
    [found] = table(
        "Title,ISBN,Author,Publisher,Year,Reference,Price,Quantity,Notes",
        'A  history,978-0-306-40615-7,"Müller, Eva",Verlag,2024,R-1,27.95,2,for Smith',
    ).rows()
    assert (found.line, found.problem, found.title) == (2, "", "A history")
    assert str(found.record.leader)[5:8] == "nam"
    assert str(found.record.leader)[17] == "3"
    assert lines(found.record) == [
        "008       s2024    xx            000 0 und d",
        "020 __ $a 978-0-306-40615-7",
        "035 __ $a (ORDERS)R-1",
        "049 __ $a MAIN/stacks",
        "100 1_ $a Müller, Eva",
        "245 00 $a A history $c Müller, Eva",
        "264 _1 $b Verlag $c 2024",
        "980 __ $b 27.95 $f R-1 $g 2",
        "981 __ $b HIST",
    ]


def test_what_a_row_lacks_is_left_out(table):
    [found] = table("title,year,publisher", "Alone,n.d.,").rows()
    assert lines(found.record) == [
        "008       s||||    xx            000 0 und d",
        "049 __ $a MAIN/stacks",
        "245 00 $a Alone",
        "264 _1 $c n.d.",
        "981 __ $b HIST",
    ]


@pytest.mark.parametrize("year", ["[2024]", "c2024.", "2024", "printed 2024 (2024)"])
def test_a_year_is_found_in_what_stands_around_it(table, year):
    [found] = table("title,year", f"A title,{year}").rows()
    assert lines(found.record, "008")[0][11:15] == "2024"


@pytest.mark.parametrize(
    ("year", "coded"), [("٢٠٢٤", "2024"), ("２０２４", "2024"), ("民國百年", "||||"), ("nové", "||||")]
)
def test_nothing_but_ascii_comes_into_a_control_field(table, year, coded):
    [found] = table("title,year", f"كتاب,{year}").rows()
    assert lines(found.record, "008", "245", "264") == [
        f"008       s{coded}    xx            000 0 und d", "245 00 $a كتاب", f"264 _1 $c {year}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",9780306406157,R-1", "it has no title: fill in title"),
        ("A title,9780306406158,R-1", "isbn '9780306406158' is no ISBN"),
        ("A title,9780306406157; 9780306406158x9,R-1", ""),
        ("A title,9.78031E+12,R-1", "isbn '9.78031E+12' was turned into a rounded number"),
        ("#N/A,9780306406157,R-1", "title '#N/A' is the error of a spreadsheet's formula"),
        ("A title,9780306406157", "the line has 2 columns where the header has 3"),
    ],
)
def test_a_row_that_cannot_be_used_is_said_in_words_and_the_others_go_on(table, row, said):
    first, second = table("title,isbn,reference", row, "Another,0306406152,R-2").rows()
    assert said in first.problem
    assert bool(first.problem) is bool(said)
    assert (second.line, second.problem) == (3, "")


def test_a_wrong_issn_is_refused(table):
    good, bad = table("title,issn", "A title,0317-8471", "A title,0317-8472").rows()
    assert good.problem == ""
    assert "issn '0317-8472' is no ISSN" in bad.problem


def test_a_column_that_no_field_takes_is_named_with_those_there_are(table):
    with pytest.raises(
        InputProblem, match=r"^The header on line 1 .*unknown column 'Subject' \(known are year, isbn"
    ):
        table("title,Subject", "A title,History")


def test_a_file_without_the_column_of_the_title_is_refused(table):
    with pytest.raises(InputProblem, match="column title is missing"):
        table("isbn,reference", "9780306406157,R-1")
    with pytest.raises(InputProblem, match="no header with the columns title"):
        table("one,two", "9780306406157,R-1")


def test_cells_of_a_workbook_are_what_the_sheet_shows(table):
    headings = ["Title", "ISBN", "Year", "Reference", "Price", "Quantity", "Ordered"]
    day = dt.date(2026, 11, 1)
    body = workbook(
        headings,
        [1984, 9780306406157.0, 2024, "R-1", 27.5, 2, day],
        ["Text", "9780306406157", "2024", 17, "27.95", "1", "2026-11-01"],
        formats={"Price": "0.00"},
    )
    one, two = table(body, name="list.xlsx").rows()
    assert one.problem == two.problem == ""
    assert lines(one.record, "020", "245", "264", "980") == [
        "020 __ $a 9780306406157", "245 00 $a 1984", "264 _1 $c 2024", "980 __ $a 2026-11-01 $b 27.50 $f R-1 $g 2",
    ]  # fmt: skip
    assert lines(two.record, "035", "980") == [
        "035 __ $a (ORDERS)17", "980 __ $a 2026-11-01 $b 27.95 $f 17 $g 1",
    ]  # fmt: skip
    [order] = orders_of(one.record, ORDERS)
    assert order.problems == ()
    assert (str(order.price.amount), order.quantity, order.order_date) == ("27.50", 2, day)


def test_a_price_in_thousands_is_what_the_sheet_shows_or_is_refused(table):
    body = workbook(["title", "price"], ["A", 27.5], ["B", 1234.5], ["C", 12], formats={"price": "#,##0.00"})
    assert [bool(found.problem) for found in table(body, name="list.xlsx").rows()] == [False, True, False]


def test_an_isbn_that_a_workbook_shows_rounded_is_refused(table):
    body = workbook(["title", "isbn"], ["A", 9780306406157], formats={"isbn": "0.00E+00"})
    [found] = table(body, name="list.xlsx").rows()
    assert "which cannot be reproduced exactly" in found.problem


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_the_encodings_of_item_loads(table, encoding):
    [found] = table("title;author\nÜber Bücher;Müller".encode(encoding)).rows()
    assert lines(found.record, "245") == ["245 00 $a Über Bücher $c Müller"]


def test_rejects_come_back_as_they_came(table):
    body = b'\xef\xbb\xbfTitle;ISBN\r\n;9780306406157\r\nGood;\r\n"Bad; really";1\r\n'
    stream = io.BytesIO()
    table(body).excerpt([2, 4], stream)
    assert stream.getvalue() == b'\xef\xbb\xbfTitle;ISBN\r\n;9780306406157\r\n"Bad; really";1\r\n'


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fields": ("020 __ $a{isbn}",)}, "it has no title"),
        ({"fields": ("245 00 $aA title",)}, "it has no title"),
        ({"fields": ("245 $a{title}",)}, "245 00"),
        ({"fields": ("title",)}, "245 00"),
        ({"fields": ("245 00 $a{title",)}, "in braces"),
        ({"fields": ("245 00 $a",)}, "nothing in it"),
        ({"fields": ("245 00 $a{title:4}",)}, "006 to 008"),
        ({"fields": ("245 00 $a{title}", "001 {mms_id}")}, "Alma makes 001"),
        ({"fields": ("245 00 $a{title}", "008 s{year}")}, "40 belong there"),
        ({"fields": ("245 00 $a{title}", "500 __ $a{TITLE}")}, "in one way everywhere"),
        ({"fields": ("245 00 $a{title}",), "leader": "nam"}, "a leader has 24"),
        ({"fields": ()}, "at least 1"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_the_settings(given, said):
    with pytest.raises(ValueError, match=said):
        RecordTemplate.model_validate(given)


def test_a_template_outlives_the_plan_of_a_run():
    profile = BibProfile(template=TEMPLATE, awaits_full_record=True)
    assert BibProfile.model_validate_json(profile.model_dump_json()) == profile
    said = " ".join(profile.sentences())
    assert "Columns: year, isbn, issn" in said
    assert "waiting for their full record" in said
