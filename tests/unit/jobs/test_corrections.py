"""The form of rejected rows: what it shows, which rows it changes, and what cannot be corrected in it."""

import io
from urllib.parse import parse_qsl, urlencode

import openpyxl
import pytest

from alma_etl.errors import InputProblem
from alma_etl.jobs import corrections
from alma_etl.jobs.corrections import RejectedTable
from alma_etl.tabular.tables import open_table
from tests.unit.jobs.shelving import Lines
from tests.unit.tabular.conftest import COLUMNS, MMS


def reopen(path):
    return open_table(path, COLUMNS)


@pytest.fixture
def rejected(tmp_path):
    def make(body):
        (tmp_path / "rejects").write_bytes(body)
        return RejectedTable(reopen(tmp_path / "rejects"))

    return make


@pytest.fixture
def saved(tmp_path):
    """The file that a form makes: as a browser sends it, after `changes` of its fields."""

    def save(table, **changes):
        sent = {each.name: each.value for row in table.fields() for each in row.values}
        header = table.header()
        sent |= {each.name: each.value for each in header.values} if header else {}
        sent |= {name.replace("_", "-"): text for name, text in changes.items()}
        as_browsers = {name: text.replace("\n", "\r\n") for name, text in sent.items()}
        path = tmp_path / "corrected"
        table.write(dict(parse_qsl(urlencode(as_browsers), keep_blank_values=True)), path, reopen)
        return path.read_bytes()

    return save


ODD = (
    b"\xef\xbb\xbfmms_id,barcode,note\r\n"
    b'1,=2,"a\nb"\n'
    b"1,\xe2\x80\xae3,caf\x81\r\n"
    b'1,4,"say ""so"""\r\n'
    b"1,5\r\n"
    b'1,"6,x\r\n'
)


def test_what_nobody_changes_stays_byte_for_byte(rejected, saved):
    assert saved(rejected(ODD)) == ODD


def test_one_value_changes_one_line(rejected, saved):
    changed = saved(rejected(ODD), value_2_1="7")
    assert changed == ODD.replace(b"=2", b"7")
    changed = saved(rejected(ODD), value_2_2="a\nc")
    assert changed == ODD.replace(b"a\nb", b"a\nc")


def test_rows_are_left_out_by_a_mark_or_by_emptying_them(rejected, saved):
    table = rejected(f"{MMS}|1\n{MMS}|2\n{MMS}|3\n".encode())
    assert saved(table, out_1="yes", value_3_0=" ", value_3_1="") == f"{MMS}|2\n".encode()
    with pytest.raises(InputProblem, match="Every row is left out"):
        saved(table, out_1="yes", out_2="yes", out_3="yes")


def test_a_row_that_is_not_certain_stays_unless_it_is_said_to_be_right_or_changed(rejected, saved):
    body = b"mms_id,barcode,note\n1,5\n1,6,x,y\n"
    table = rejected(body)
    assert [(row.certain, [each.label for each in row.values]) for row in table.fields()] == [
        (False, ["mms_id", "barcode", "note"]),
        (False, ["mms_id", "barcode", "note", "Column 4 (no heading)"]),
    ]
    assert saved(table) == body
    assert saved(table, shown_2="yes", shown_3="yes") == b"mms_id,barcode,note\n1,5,\n1,6,x,y\n"
    assert saved(table, value_3_3="") == b"mms_id,barcode,note\n1,5\n1,6,x\n"


def test_lines_of_too_many_values_become_lines(rejected, saved):
    table = rejected(f"{MMS}|1|\n{MMS}\n".encode())
    assert saved(table, shown_1="yes", value_2_1="2") == f"{MMS}|1\n{MMS}|2\n".encode()


def test_cells_of_a_workbook_that_nobody_changes_stay_what_they_are(rejected, saved):
    book = openpyxl.Workbook()
    book.active.append(["mms_id", "barcode", "note"])
    book.active.append([MMS, 31166002949495, "a_x000D_\nb"])
    stream = io.BytesIO()
    book.save(stream)
    sheet = openpyxl.load_workbook(io.BytesIO(saved(rejected(stream.getvalue()), value_2_0="991"))).active
    assert [cell.value for cell in sheet[2]] == ["991", 31166002949495, "a_x000D_\nb"]


def test_the_header_is_corrected_where_it_cannot_be_used(rejected, saved):
    table = rejected(b"mms_id,bracode\n1,2\n")
    assert "unknown column 'bracode'" in table.header_problem
    assert saved(table, value_1_1="barcode") == b"mms_id,barcode\n1,2\n"
    with pytest.raises(InputProblem, match="The header on line 1 cannot be used"):
        saved(table)
    assert rejected(b"mms_id,barcode\n1,2\n").header() is None


def test_what_would_be_read_otherwise_than_it_is_shown_is_refused(rejected, saved):
    table = rejected(b"mms_id,barcode,note\n991234567890,1,x\n")
    with pytest.raises(InputProblem, match="Row 2 would not be read as it is shown"):
        saved(table, value_2_2="a\n991234567891,31166002949495,b")
    with pytest.raises(InputProblem, match="Row 1 would not be read"):
        saved(rejected(f"{MMS}|1\n".encode()), value_1_0="mms_id", value_1_1="barcode")


def test_a_form_that_did_not_arrive_whole_changes_nothing(rejected, tmp_path):
    table = rejected(f"{MMS}|1\n{MMS}|2\n".encode())
    with pytest.raises(InputProblem, match="did not arrive whole"):
        table.write({"value-1-0": "991", "value-1-1": "1"}, tmp_path / "x", reopen)
    assert not (tmp_path / "x").exists()


def test_what_was_entered_stays_when_the_form_is_shown_again(rejected):
    table = rejected(f"{MMS}|1\n{MMS}\n".encode())
    given = {"value-1-1": "typed\r\n", "out-1": "yes", "shown-2": "yes"}
    first, second = table.fields(given)
    assert ([each.value for each in first.values], first.left_out, second.as_shown) == (
        [MMS, "typed\n"],
        True,
        True,
    )


@pytest.mark.parametrize(
    "body",
    [
        f"{MMS}|1\n".encode() * (corrections.MOST_ROWS + 1),
        b"mms_id,barcode\n1,2" + b"," * corrections.MOST_VALUES + b"x\n",
        b"mms_id,note\n1," + b"x" * (corrections.LONGEST + 1) + b"\n",
        b"mms_id,note\n" + (b"1," + b"x" * corrections.LONGEST + b"\n") * 11,
    ],
)
def test_more_than_a_page_can_show_is_corrected_elsewhere(rejected, body):
    with pytest.raises(InputProblem, match="more than a page can show"):
        rejected(body)


def test_a_form_that_is_no_table_is_corrected_elsewhere(tmp_path):
    (tmp_path / "x").write_bytes(b"a book\n")
    with pytest.raises(
        InputProblem, match=r"Rows of this form \(lines of text\) cannot be corrected on a page"
    ):
        RejectedTable(Lines(tmp_path / "x"))
