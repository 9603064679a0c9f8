"""Files of every form as people make them, with what is to become of each of their rows."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import openpyxl

from tests.e2e.items import ItemSandbox, Loaded

FORMS = ("lines", "csv", "semicolon", "tsv", "pipe", "xlsx")
_SEPARATORS = {"csv": ",", "semicolon": ";", "tsv": "\t", "pipe": "|"}


@dataclass(frozen=True)
class Case:
    """One barcode as it stands in a file, the one that Alma gets (None: the row is refused), words of the report."""

    typed: str
    barcode: str | None
    words: str = ""


# Each barcode in Alma once, so that a whole table fits into one file.
INVISIBLE = (
    Case("\u202d31166000000002\u202c", "31166000000002", "barcode: 2 invisible characters removed"),
    Case("31166\u200b000000003", "31166000000003", "barcode: 1 invisible character removed"),
    Case("\ufeff31166000000004", "31166000000004", "1 invisible character removed"),
    Case("31166000000005\u00a0", "31166000000005", "1 invisible character removed"),
    Case("31166\u00a0000000006", "31166000000006", "1 invisible character removed"),
    Case("31166\u00ad000000007", "31166000000007", "1 invisible character removed"),
    Case("\u200e\u200f31166000000008\u2066", "31166000000008", "3 invisible characters removed"),
    Case("31166000000009\ufe0f", "31166000000009", "1 invisible character removed"),
    Case("31166000000010\U000e0100", "31166000000010", "1 invisible character removed"),
    Case("A\u30001\u2003\u1680B", "A1B", "3 invisible characters removed"),
    Case("\u3164FILLER-1", "FILLER-1", "1 invisible character removed"),
    Case("\uff13\uff11\uff11\uff16\uff16", "31166", "barcode: written in plain characters (NFKC)"),
    Case(
        "\uff22-12\u200d",
        "B-12",
        "barcode: 1 invisible character removed; barcode: written in plain characters",
    ),
    Case("\u0410\u0412-77", "\u0410\u0412-77"),  # Cyrillic letters that look like Latin ones
    Case("\u05d0\u05d1-12", "\u05d0\u05d1-12"),
    Case("\x07BELL-1", "BELL-1", "1 invisible character removed"),
    Case("\u200b\u200b", None, "barcode holds nothing but U+200B ZERO WIDTH SPACE"),
    Case("31\u202f166\u202f002", None, "U+202F NARROW NO-BREAK SPACE"),
    Case("31166000000001\u00a031166000000012", None, "U+00A0 NO-BREAK SPACE"),
    Case("31166\u202800013", None, "barcode has U+2028 LINE SEPARATOR in it"),
    Case("\ue0003116", None, "barcode has U+E000"),
    Case("3116 6014", None, "has a space in it"),
    Case("\uff1dSUM(1)", None, "is a formula"),
    Case("31166000000002", None, "the barcode stands on line"),  # the twin of the first
    Case("\u206031166000000003", None, "the barcode stands on line"),
)
WRAPPED = (
    Case('="0012345"', "0012345", 'barcode: ="…" around it removed'),
    Case("'0012348", "0012348", "barcode: ' before it removed"),
    Case("31166002949495.0", "31166002949495", "barcode: .0 at its end removed"),
    Case("31166002949496,00", "31166002949496", "barcode: ,00 at its end removed"),
    Case('="31166002949497.0"', "31166002949497", ".0 at its end removed"),
    Case('"0012349"', "0012349", "quotation marks around it removed"),
    Case("12E4567", "12E4567"),
    Case("0012346", "0012346"),
    Case("A/1%2#3?4&5;6,7'8(9)*", "A/1%2#3?4&5;6,7'8(9)*"),
    Case('7"-disc', '7"-disc'),
    Case("1998.12", "1998.12"),
    Case("3.1166E+13", None, "rounded number by Excel"),
    Case("3,1166E+13", None, "rounded number by Excel"),
    Case("31.166.002.949.495", None, "is a number as a spreadsheet shows it"),
    Case("31,166,002,949,495", None, "is a number as a spreadsheet shows it"),
    Case("31 166 002", None, "is a number as a spreadsheet shows it"),
    Case("#N/A", None, "error of a spreadsheet's formula"),
    Case("#BEZUG!", None, "error of a spreadsheet's formula"),
    Case("NULL", None, "word for nothing"),
    Case("nan", None, "word for nothing"),
    Case("N/A", None, "word for nothing"),
    Case("None", None, "word for nothing"),
    Case("-", None, "word for nothing"),
    Case("=1+1", None, "is a formula"),
    Case('=HYPERLINK("http://x")', None, "is a formula"),
    Case("-1+1", None, "begins with -"),
    Case("+311", None, "begins with +"),
    Case("@311", None, "begins with @"),
)
SHEET: tuple[tuple[Any, str, str | None, str], ...] = (  # value, number format, barcode in Alma, words
    (31166002949501, "General", "31166002949501", ""),
    (12345, "00000000", "00012345", ""),
    (45, '"B"0000', "B0045", ""),
    (46, "0000\\-000", "0000-046", ""),
    (31166002949502, "0.00", "31166002949502", ".00 at its end removed"),
    ("007", "General", "007", ""),
    ("008", '"L-"@', "L-008", ""),
    ("31166002949503_x000D_", "General", "31166002949503", "1 invisible character removed"),
    (31166002949504, "#,##0", None, "format the column as text"),
    (31166002949505, "0.00E+00", None, "format the column as text"),
    (31, "0%", None, "format the column as text"),
    (31, "[$€-407]0", None, "format the column as text"),
    (31166002949506.5, "General", None, "with a fraction"),
    (0.75, "# ?/?", None, "with a fraction"),
    (3116600294950700, "0", None, "keeps 15 digits"),
    (46085, "d/m/yyyy", None, "is a date in Excel (2026-03-04)"),
    (0.5, "h:mm", None, "is a time in Excel"),
    (True, "General", None, "is a truth value in Excel (TRUE)"),
    ("#REF!", "General", None, "Excel's error #REF!"),
)


def file_of(form: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """A file of this form with these cells, as a careful program writes it."""
    if form == "xlsx":
        book = openpyxl.Workbook()
        for row in (header, *rows):
            book.active.append([None] * len(row))
            for column, value in enumerate(row, 1):
                cell = book.active.cell(book.active.max_row, column)
                cell.value = _storable(value)
                cell.data_type = "s"
        stream = io.BytesIO()
        book.save(stream)
        return stream.getvalue()
    if form == "lines":
        return "".join("|".join(row) + "\r\n" for row in rows).encode()
    text = io.StringIO()
    writer = csv.writer(text, delimiter=_SEPARATORS[form], lineterminator="\r\n")
    writer.writerows([header, *rows])
    return text.getvalue().encode("utf-8-sig")


def sheet_of(mms_id: str) -> bytes:
    """A workbook with the cells of `SHEET` as barcodes of this title."""
    book = openpyxl.Workbook()
    book.active.append(["mms_id", "barcode"])
    for line, (value, number_format, _, _) in enumerate(SHEET, 2):
        book.active.append([mms_id, value])
        book.active.cell(line, 2).number_format = number_format
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def fits(form: str, case: Case) -> bool:
    """Whether a form can hold the case: a workbook holds no control characters."""
    return not (form == "xlsx" and any(char < " " for char in case.typed))


def check(loaded: Loaded, alma: ItemSandbox, cases: Sequence[Case], first_line: int) -> None:
    """The report has a row for each case, says what was done, and Alma holds exactly what it says."""
    rows = loaded.rows()
    assert [int(row["line"]) for row in rows] == list(range(first_line, first_line + len(cases)))
    for case, row in zip(cases, rows, strict=True):
        assert (row["outcome"] == "created") == (case.barcode is not None), (case, row)
        assert case.words in row["message"], (case, row)
        if case.barcode is not None:
            assert row["barcode"].removeprefix("'") == case.barcode
            assert bool(row["message"]) == bool(case.words) or "holding" in row["message"], (case, row)
    assert alma.made()[0].keys() == {case.barcode for case in cases if case.barcode is not None}


def agrees(
    loaded: Loaded, alma: ItemSandbox, rows: int, before: Callable[[], set[str]] | None = None
) -> None:
    """As many outcomes as rows, and Alma holds what the report says was created, under the same ids."""
    report = loaded.rows()
    assert len(report) == rows
    assert len({row["line"] for row in report}) == rows
    created = {row["item_pid"]: row for row in report if row["outcome"] == "created"}
    state = alma.state()["items"]
    assert created.keys() <= state.keys()
    for pid, row in created.items():
        assert row["barcode"] in (state[pid]["barcode"], f"'{state[pid]['barcode']}")
        assert (state[pid]["mms_id"], state[pid]["holding_id"]) == (row["mms_id"], row["holding_id"])
    assert {pid for pid, item in state.items() if item} - (before() if before else set()) == created.keys()


def _storable(value: str) -> str:
    return "".join(char for char in value if char >= " " or char in "\t\n")
