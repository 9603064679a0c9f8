"""Quotation marks: what is a row by itself is a row, quoted cells over several lines work, no line gets lost."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_etl.errors import RunStopped
from alma_etl.tabular.lines import TextFile
from alma_etl.tabular.tables import open_table
from alma_etl.tabular.text_table import TextTable
from tests.unit.tabular.conftest import COLUMNS, MMS

HEADER = "mms_id,barcode,note"


def read(opened, lines, separator=",", header=HEADER):
    text = "\n".join([header, *lines])
    table = opened((text.replace(",", separator) if separator != "," else text).encode())
    return [(row.line, row.cells.get("barcode"), row.cells.get("note"), row.problem) for row in table.rows()]


def notes(opened, lines, **more):
    return [(barcode, note) for _, barcode, note, problem in read(opened, lines, **more) if not problem]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (  # the row whose mark closes nothing, and the one whose mark closes what is open above
            [f'{MMS},60001,"Mixed media', f'{MMS},60002,12" disc', f"{MMS},60003,x"],
            [("60001", '"Mixed media'), ("60002", '12" disc'), ("60003", "x")],
        ),
        (
            [f'{MMS},60001,"Mixed media', f'{MMS},60002,disc 12"', f"{MMS},60003,x"],
            [("60001", '"Mixed media'), ("60002", 'disc 12"'), ("60003", "x")],
        ),
        (
            [f'{MMS},60001,"Mixed media', f'{MMS},60002,"disc"', f"{MMS},60003,x"],
            [("60001", '"Mixed media'), ("60002", "disc"), ("60003", "x")],
        ),
        ([f'{MMS},60001,"a', f'{MMS},60002,"b'], [("60001", '"a'), ("60002", '"b')]),
        ([f'{MMS},60001,"'], [("60001", '"')]),
        ([f'{MMS},60001,"a', "", f"{MMS},60002,b"], [("60001", '"a'), ("60002", "b")]),
        # the id of the second row is wrong: still a row
        ([f'{MMS},60001,"a', '2210,60002,12"', f"{MMS},60003,x"], [("60001", '"a'), ("60002", '12"'), ("60003", "x")]),
        ([f'{MMS},60001,"a', ',60002,12"', f"{MMS},60003,x"], [("60001", '"a'), ("60002", '12"'), ("60003", "x")]),
        # marks inside
        ([f'{MMS},60001,a "b" c', f'{MMS},60002,12"', f'{MMS},60003,"a" b'], [
            ("60001", 'a "b" c'), ("60002", '12"'), ("60003", '"a" b'),
        ]),
        # quoted cells over several lines
        ([f'{MMS},60001,"a', "b", 'c"', f"{MMS},60002,x"], [("60001", "a\nb\nc"), ("60002", "x")]),
        ([f'{MMS},60001,"say ""a', 'b"""', f"{MMS},60002,x"], [("60001", 'say "a\nb"'), ("60002", "x")]),
        ([f'{MMS},60001,"a', "", "", 'c"'], [("60001", "a\n\n\nc")]),
        ([f'{MMS},60001,"a', "12,13", 'c"'], [("60001", "a\n12,13\nc")]),
        ([f'{MMS},60001,"a', "12,13,14", 'c"'], [("60001", "a\n12,13,14\nc")]),
        ([f'{MMS},60001,"a', "see vol. 1, 2, 3 of 60009", 'c"'], [("60001", "a\nsee vol. 1, 2, 3 of 60009\nc")]),
        ([f'{MMS},60001,"a', 'b"', f'{MMS},60002,"c', 'd"'], [("60001", "a\nb"), ("60002", "c\nd")]),
        ([f'{MMS},60001,"' + "\n".join(map(str, range(400))) + '"'], [("60001", "\n".join(map(str, range(400))))]),
    ],
)  # fmt: skip
def test_every_line_that_by_itself_is_a_row_is_one(opened, lines, expected):
    lines = [line.replace(",", "\t") for line in lines]
    expected = [(barcode, note.replace(",", "\t")) for barcode, note in expected]
    found = notes(opened, lines, header=HEADER.replace(",", "\t"))
    assert [(barcode, note.replace("\t", " ")) for barcode, note in found] == [
        (barcode, note.replace("\t", " ")) for barcode, note in expected
    ]


def test_a_quoted_cell_that_ends_before_the_ids_of_its_row_is_no_row_of_its_own(opened):
    lines = ['"line 1', f'line 2",{MMS},60001', f"x,{MMS},60002"]
    assert notes(opened, lines, header="note,mms_id,barcode") == [("60001", "line 1\nline 2"), ("60002", "x")]


def test_a_mark_that_stays_open_before_the_ids_takes_nothing_of_the_rows_below(opened):
    lines = ['"line 1', f"x,{MMS},60002", f'y",{MMS},60003']
    found = read(opened, lines, header="note,mms_id,barcode")
    assert [(line, problem == "") for line, _, _, problem in found] == [
        (2, False),
        (3, True),
        (4, True),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line", [f"{MMS},60002", f"{MMS},60002,x,y", f"{MMS},60002,,,z"])
def test_a_row_of_too_few_or_too_many_cells_is_not_taken_into_the_quoted_cell_above(opened, line, separator):
    lines = [f'{MMS},60001,"Mixed', line, 'media"', f"{MMS},60003,x"]
    found = read(opened, lines, separator=separator)
    assert [(number, barcode) for number, barcode, _, _ in found if barcode][:2] == [
        (2, "60001"),
        (3, "60002"),
    ]
    assert "columns where the header has 3" in found[1][3]
    assert found[-1] == (5, "60003", "x", "")


def test_in_csv_whose_writers_quote_an_open_mark_is_told(opened):
    rows = read(opened, [f'{MMS},60001,"Mixed media', f"{MMS},60002,x"])
    assert "never closed" in rows[0][3]
    assert rows[1] == (3, "60002", "x", "")


def test_a_mark_that_closes_too_late_was_never_meant_to_open(opened):
    lines = [f'{MMS}\t60001\t"a', *["b"] * 600, '"', f"{MMS}\t60002\tx"]
    rows = [row for row in read_raw(opened, lines) if not row.problem]
    assert [(row.line, row.cells["note"]) for row in rows] == [(2, '"a'), (604, "x")]


def read_raw(opened, lines):
    return list(opened("\n".join([HEADER.replace(",", "\t"), *lines]).encode()).rows())


def test_the_line_that_names_the_separator_is_no_row(opened):
    table = opened(f"sep=;\r\nmms_id;barcode\r\n{MMS};60001\r\n".encode())
    assert [(row.line, row.cells["barcode"]) for row in table.rows()] == [(3, "60001")]
    stream = io.BytesIO()
    table.excerpt({3}, stream)
    assert stream.getvalue() == f"sep=;\r\nmms_id;barcode\r\n{MMS};60001\r\n".encode()


@pytest.mark.parametrize(
    "body", [f"mms_id,barcode\n{MMS},60001\n{MMS},60002\n", f"{MMS}|60001\n{MMS}|60002\n"]
)
def test_a_line_that_is_not_accounted_for_fails_the_run(opened, body, monkeypatch):
    lines = TextFile.lines

    def one_lost(self):
        return (line for line in lines(self) if "60002" not in line.text)

    monkeypatch.setattr(TextFile, "lines", one_lost)
    with pytest.raises(RunStopped, match=r"lines, but \d of them were read: nothing is loaded"):
        list(opened(body.encode()).rows())


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"", 0), (b"\n", 1), (b"a", 1), (b"a\n", 1), (b"a\r\nb", 2), (b"a\rb\nc\r\n\r\nd", 5), (b"a\n\rb", 3),
        (b"\r\r\n", 2),
        ("a\u0085b\u2028c\x0cd\x1ce\n".encode(), 1),
    ],
)  # fmt: skip
def test_lines_end_by_the_three_ends_of_lines_alone(tmp_path, body, count):
    from alma_etl.tabular.kinds import Kind

    (tmp_path / "x").write_bytes(body)
    file = TextFile(tmp_path / "x", Kind.TEXT)
    assert file.count() == len(list(file.lines())) == count


def test_ends_of_lines_are_counted_over_the_edge_of_a_block(tmp_path):
    from alma_etl.tabular.kinds import Kind

    for kind, encoding in ((Kind.TEXT, "utf-8"), (Kind.UTF16_LE, "utf-16-le")):
        (tmp_path / "x").write_bytes(("a" * ((1 << 20) - 1) + "\r\nb").encode(encoding))
        assert TextFile(tmp_path / "x", kind).count() == 2


pieces = st.sampled_from(
    [*',;\t|"\n\r ', '""', "\r\n", "a", "12",
     MMS, "60001", f"{MMS},60001,", f"{MMS}\t60001\t", "\u2028", "\x85", "\x0c", "é"]
)  # fmt: skip


@given(
    st.sampled_from([",", ";", "\t", "|"]),
    st.lists(pieces, max_size=60),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
)
def test_whatever_stands_below_a_header_each_physical_line_is_accounted_for(
    tmp_path_factory, separator, found, encoding
):
    text = HEADER.replace(",", separator) + "\r\n" + "".join(found)
    body = text.encode(encoding, "replace")
    path = tmp_path_factory.mktemp("fuzz") / "x"
    path.write_bytes(body)
    table = open_table(path, COLUMNS)
    assert isinstance(table, TextTable)
    rows = list(table.rows())  # raises where lines are missing
    stream = io.BytesIO()
    table.excerpt(range(1, len(text) + 2), stream)
    assert stream.getvalue() == body
    numbers = [row.line for row in rows]
    assert numbers == sorted(set(numbers))
    alone = [line for line in rows_by_themselves(text, separator) if line not in numbers]
    assert alone == []


def rows_by_themselves(text, separator):
    """The numbers of the lines that hold two separators, no quotation mark, and both ids."""
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        cells = line.split(separator)
        if number > 1 and len(cells) == 3 and cells[:2] == [MMS, "60001"] and '"' not in line:
            yield number


# control characters enough to doubt that the file is text are the business of test_table_forms
some_text = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc",)) | st.sampled_from('\t\n\r"'), max_size=12
)


@given(st.lists(st.tuples(some_text, some_text), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_rejected_rows_are_rejected_for_the_same_reason_when_they_are_dropped_again(
    tmp_path_factory, cells, separator
):
    import csv

    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\r\n")
    writer.writerow(["mms_id", "barcode", "note"])
    writer.writerows([MMS, barcode, note] for barcode, note in cells)
    folder = tmp_path_factory.mktemp("rejects")
    (folder / "x").write_bytes(text.getvalue().encode())
    table = open_table(folder / "x", COLUMNS)
    rejected = [row for row in table.rows() if row.problem]
    with (folder / "again").open("wb") as stream:
        table.excerpt({row.line for row in rejected}, stream)
    again = list(open_table(folder / "again", COLUMNS).rows())
    assert [(row.cells, row.problem, row.changes) for row in again] == [
        (row.cells, row.problem, row.changes) for row in rejected
    ]
