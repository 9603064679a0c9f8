"""The cells of a sheet of an Excel workbook as they stand there, streamed: with their formats, merges, hidden rows.

openpyxl reads the cells. What it leaves out when it streams (merged cells, hidden rows, whether the sheet has
formulas) stands in the sheet's XML, which is looked through once before. Source: ECMA-376 part 1, 18.3.1.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.utils import range_boundaries
from openpyxl.utils.datetime import from_excel

from alma_etl.errors import InputProblem

_MAX_COLUMNS = 200
_MAX_ROWS = 1_048_576  # Excel's own bound; a row that claims a higher number would be counted up to
_MAX_MERGES = 1_000  # that reach one row; a person makes a few


@dataclass(frozen=True, slots=True)
class SheetCell:
    """One cell. `value` and `kind` (of data) are openpyxl's; of a formula the result.

    `formula`: the formula when the workbook does not hold its result, or holds 0. `beside`: the cell is covered by
    one to its left that is merged over several columns. `above`: the value is that of a cell above, merged over
    several rows.
    """

    value: Any
    kind: str
    number_format: str
    formula: str = ""
    beside: bool = False
    above: bool = False


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row: its number as Excel shows it, its cells, and the columns of cells that are merged side by side."""

    number: int
    cells: list[SheetCell | None]
    hidden: bool = False
    merged: tuple[tuple[int, int], ...] = ()


def damaged(error: Exception) -> InputProblem:
    """The error for a workbook that cannot be read."""
    return InputProblem(
        f"The Excel workbook cannot be read ({type(error).__name__}: {str(error)[:200]}): "
        "open it in Excel, save it again as .xlsx, and drop it again"
    )


def visible_sheets(path: Path) -> list[str]:
    """The names of the sheets that are not hidden."""
    with _opened(path, results=True) as book:
        return [sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"]


def sheet_rows(path: Path, name: str) -> Iterator[SheetRow]:
    """The rows of a sheet from 1 to its last, also those that are left out in it. Raises InputProblem."""
    with _opened(path, results=True) as book:
        layout = _look_through(book, name)
        if not layout.formulas:
            yield from _rows(layout, _cells(book, name), repeat(()))
            return
        with _opened(path, results=False) as formulas:
            yield from _rows(layout, _cells(book, name), _cells(formulas, name))


def _rows(layout: "_Layout", results: Iterator[Any], formulas: Iterator[Any]) -> Iterator[SheetRow]:
    merges = _Merges(layout.merges)
    number = 0
    for number, (row, formula_row) in enumerate(zip(results, formulas, strict=False), 1):
        cells = [_cell(cell) for cell in row]
        for index, formula in enumerate(formula_row):
            result = cells[index]
            if formula.data_type != "f" or row[index].data_type != "n":
                continue
            text = str(getattr(formula.value, "text", formula.value) or "=")
            if result is None:
                cells[index] = SheetCell(None, "f", "General", formula=text)
            elif result.value == 0:
                cells[index] = SheetCell(result.value, "n", result.number_format, formula=text)
        merged = merges.fill(number, cells)
        while cells and cells[-1] is None:
            cells.pop()
        yield SheetRow(number, cells, number in layout.hidden, merged)
    if number != layout.last:
        raise InputProblem(
            f"The sheet has {layout.last:,} {'row' if layout.last == 1 else 'rows'}, but {number:,} of them "
            "can be read: save it again"
        )


def _cells(book: Any, name: str) -> Iterator[Any]:
    sheet = book[name]
    sheet.reset_dimensions()  # what a workbook says of its own size is not to be relied on
    return sheet.iter_rows(max_col=_MAX_COLUMNS)  # type: ignore[no-any-return]


# Dates and times of East Asian languages and Thai, which a workbook names by their number alone and openpyxl takes
# for General (ECMA-376 part 1, 18.8.30).
_DATES_BY_NUMBER = frozenset((*range(27, 37), *range(50, 59), *range(71, 82)))


def _cell(cell: Any) -> SheetCell | None:
    if cell.value is None:
        return None
    if cell.data_type == "n" and cell.style_array.numFmtId in _DATES_BY_NUMBER:
        return SheetCell(_date(cell), "d", "yyyy-mm-dd")
    return SheetCell(cell.value, cell.data_type, cell.number_format or "General")


def _date(cell: Any) -> Any:
    try:
        return from_excel(cell.value, cell.parent.parent.epoch)
    except (OverflowError, ValueError):
        return cell.value  # a number before or behind all dates: its format says nothing of it


@contextmanager
def _opened(path: Path, *, results: bool) -> Iterator[Any]:
    with path.open("rb") as stream:  # by a path openpyxl would judge the name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of styles and extensions that it leaves out
                book = openpyxl.load_workbook(stream, read_only=True, data_only=results, keep_links=False)
        except Exception as error:  # openpyxl raises whatever its parts raise: all mean "damaged"
            raise damaged(error) from error
        try:
            yield book
        except (InputProblem, GeneratorExit):
            raise
        except Exception as error:
            raise damaged(error) from error
        finally:
            book.close()


# --- what the XML says beside the cells

_TAG = re.compile(rb"<(?:\w+:)?(row|mergeCell|f)\b([^>]*)>")
_ATTRIBUTE = re.compile(rb"\b(r|ref|hidden)\s*=\s*[\"']([^\"']*)[\"']")


@dataclass
class _Layout:
    last: int = 0
    hidden: set[int] = field(default_factory=set)
    formulas: bool = False
    merges: list[tuple[int, int, int, int]] = field(default_factory=list)  # first column and row, last ones


def _look_through(book: Any, name: str) -> _Layout:
    layout = _Layout()
    rest = b""
    with book[name]._get_source() as stream:
        while block := stream.read(1 << 20):
            text = rest + block.replace(b"\0", b"")  # UTF-16 as well
            end = text.rfind(b"<")
            rest = text[end:] if end >= 0 else b""
            _note_tags(layout, text[: max(end, 0)])
    _note_tags(layout, rest)
    layout.merges.sort(key=lambda merge: merge[1])
    return layout


def _note_tags(layout: _Layout, text: bytes) -> None:
    for tag in _TAG.finditer(text):
        if tag[1] == b"f":
            layout.formulas = True
            continue
        attributes = dict(_ATTRIBUTE.findall(tag[2]))
        if tag[1] == b"mergeCell":
            first, top, last, bottom = range_boundaries(attributes[b"ref"].decode())
            layout.merges.append((first or 1, top or 1, last or _MAX_COLUMNS, bottom or _MAX_ROWS))
            continue
        number = int(attributes.get(b"r", layout.last + 1))
        if number > _MAX_ROWS:
            raise InputProblem(f"The Excel workbook claims to have more than {_MAX_ROWS:,} rows")
        if number <= layout.last:
            raise InputProblem(
                "The rows of the sheet are not in their order: open it in Excel and save it again"
            )
        layout.last = number
        if attributes.get(b"hidden") in (b"1", b"true"):
            layout.hidden.add(number)


class _Merges:
    """Merged cells, met row by row: rows below the first get its value, columns beside the first are marked."""

    def __init__(self, merges: list[tuple[int, int, int, int]]) -> None:
        self._waiting = merges[::-1]
        self._active: list[tuple[tuple[int, int, int, int], list[SheetCell | None]]] = []

    def fill(self, number: int, cells: list[SheetCell | None]) -> tuple[tuple[int, int], ...]:
        self._active = [each for each in self._active if each[0][3] >= number]
        while self._waiting and self._waiting[-1][1] <= number:
            merge = self._waiting.pop()
            self._active.append((merge, cells[merge[0] - 1 : merge[0]]))
        if len(self._active) > _MAX_MERGES:
            raise InputProblem(
                f"Row {number} of the sheet is reached by more than {_MAX_MERGES:,} merged cells"
            )
        beside = []
        for (first, top, last, _), value in self._active:
            last = min(last, _MAX_COLUMNS)
            cells += [None] * (last - len(cells))
            if number > top and value and value[0] is not None:
                cell = value[0]
                cells[first - 1] = SheetCell(
                    cell.value, cell.kind, cell.number_format, cell.formula, above=True
                )
            if last > first:
                beside.append((first, last))
                cells[first:last] = [SheetCell(None, "n", "General", beside=True)] * (last - first)
        return tuple(beside)
