"""Tables in Excel workbooks (.xlsx), streamed. Hostile ones are refused before they can unpack themselves."""

import datetime as dt
import warnings
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from alma_etl.errors import InputProblem
from alma_etl.tabular.tables import Columns, Header, SourceRow, clean, no_table

MAX_UNPACKED = 1_000_000_000  # bytes of all parts together
MAX_RATIO = 500  # unpacked to packed; a list of ids comes to about 10
_MAX_COLUMNS = 200
_MAX_ROWS = 1_048_576  # Excel's own bound; a row that claims a higher number would be counted up to
_EXACT_DIGITS = 15  # Excel keeps no more of a number
_DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")


class Workbook:
    """The first sheet of a workbook that has a header, as a table; see `open_table`."""

    form = "Excel workbook"
    extension = ".xlsx"

    def __init__(self, path: Path, columns: Columns) -> None:
        self._path = path
        _refuse_bombs(path)
        self._sheet, self._start, self._header = self._find_header(columns)

    def rows(self) -> Iterator[SourceRow]:
        """See `Table`. A line is a row of the sheet, counted from 1 as Excel shows it."""
        for number, values in self._below_header():
            texts, problem = _texts(values)
            if any(clean(text) for text in texts):
                padded = texts + [""] * (len(self._header.names) - len(texts))
                row = self._header.row(number, padded)
                yield SourceRow(number, row.cells, row.problem or problem)

    def excerpt(self, lines: Collection[int], stream: IO[bytes]) -> None:
        """See `Table`: a workbook of one sheet with the same cells."""
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet(self._sheet[:31])
        for number, values in self._sheet_rows(self._sheet):
            if number == self._start or (number > self._start and number in lines):
                sheet.append([_same_cell(sheet, value) for value in values])
        book.save(stream)

    def _below_header(self) -> Iterator[tuple[int, Sequence[object]]]:
        return (pair for pair in self._sheet_rows(self._sheet) if pair[0] > self._start)

    def _find_header(self, columns: Columns) -> tuple[str, int, Header]:
        with self._open() as book:
            names = [sheet.title for sheet in book.worksheets]
        for name in names:
            for number, values in self._sheet_rows(name):
                texts, _ = _texts(values)
                if any(clean(text) for text in texts):  # the first row that is not blank decides
                    if Header.is_one(texts, columns):
                        return name, number, Header(texts, columns, line=number)
                    break
        raise no_table(Columns(columns.known, columns.required))

    def _sheet_rows(self, name: str) -> Iterator[tuple[int, Sequence[object]]]:
        with self._open() as book:
            sheet = book[name]
            sheet.reset_dimensions()  # what a workbook says of its own size is not to be relied on
            for number, row in enumerate(sheet.iter_rows(max_col=_MAX_COLUMNS, values_only=True), 1):
                if number > _MAX_ROWS:
                    raise InputProblem(f"The Excel workbook claims to have more than {_MAX_ROWS:,} rows")
                values = list(row)
                while values and values[-1] is None:
                    values.pop()
                yield number, values

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with self._path.open("rb") as stream:  # by a path openpyxl would judge the name
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of styles and extensions that it leaves out
                    book = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
            except Exception as error:  # openpyxl raises whatever its parts raise: all mean "damaged"
                raise _damaged(error) from error
            try:
                yield book
            except (InputProblem, GeneratorExit):
                raise
            except Exception as error:
                raise _damaged(error) from error
            finally:
                book.close()


def _damaged(error: Exception) -> InputProblem:
    return InputProblem(
        f"The Excel workbook cannot be read ({type(error).__name__}: {str(error)[:200]}): "
        "open it in Excel, save it anew as .xlsx, and drop it again"
    )


def _refuse_bombs(path: Path) -> None:
    """Refuse a workbook that unpacks to more than is sensible, or whose XML declares entities."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        unpacked = sum(part.file_size for part in parts)
        if unpacked > MAX_UNPACKED or unpacked > MAX_RATIO * max(path.stat().st_size, 10_000):
            raise InputProblem(
                f"The Excel workbook would unpack to {unpacked:,} bytes, which is no list: "
                "copy the columns alone into a new workbook"
            )
        try:
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    with archive.open(part) as stream:
                        _refuse_declarations(stream)
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
            raise _damaged(error) from error


def _refuse_declarations(stream: IO[bytes]) -> None:
    last = b""
    while block := stream.read(1 << 20):
        window = (last + block).replace(b"\0", b"")  # UTF-16 as well
        if any(word in window for word in _DECLARATIONS):
            raise InputProblem("The Excel workbook's XML declares a document type, which Excel never does")
        last = block[-32:]


def _texts(values: Sequence[object]) -> tuple[list[str], str]:
    """Cells as text, and the first problem among them."""
    texts: list[str] = []
    problem = ""
    for value in values:
        text, fault = _text(value)
        texts.append(text)
        problem = problem or fault
    return texts, problem


def _text(value: object) -> tuple[str, str]:
    match value:
        case None:
            return "", ""
        case bool():
            return str(value).lower(), ""
        case int() | float():
            return _number(value)
        case dt.datetime() | dt.date():
            return value.strftime("%Y-%m-%d"), ""
        case str() if value.startswith("#") and value in _ERRORS:
            return value, f"a cell holds Excel's error {value}"
        case _:
            return str(value), ""


_ERRORS = {"#N/A", "#VALUE!", "#REF!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!"}


def _number(value: float) -> tuple[str, str]:
    if isinstance(value, float) and not value.is_integer():
        return str(value), ""
    digits = str(int(value))
    if len(digits.lstrip("-")) > _EXACT_DIGITS:
        return digits, (
            f"{digits} is a number in Excel, which keeps {_EXACT_DIGITS} digits: the last ones are lost; "
            "format the column as Text and enter the ids again"
        )
    return digits, ""


def _same_cell(sheet: Any, value: object) -> Any:
    if not isinstance(value, str):
        return value
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("\ufffd", value))
    cell.data_type = "s"  # a text that looks like a formula was a text
    cell.number_format = "@"
    return cell
