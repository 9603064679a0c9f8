"""Tables in Excel workbooks (.xlsx): what the sheet shows, where that is certain. Hostile ones are refused."""

import datetime as dt
import math
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles.numbers import is_date_format
from openpyxl.worksheet.cell_range import CellRange

from alma_etl.errors import InputProblem
from alma_etl.identifiers import EXACT_DIGITS
from alma_etl.tabular.cells import Holds, is_blank
from alma_etl.tabular.number_formats import shown_decimal, shown_text, shown_whole
from alma_etl.tabular.sheets import SheetCell, SheetRow, damaged, sheet_rows, visible_sheets
from alma_etl.tabular.tables import Columns, Header, RawRow, SourceRow, no_table

MAX_UNPACKED = 1_000_000_000  # bytes of all parts together
MAX_RATIO = 500  # unpacked to packed; a list of ids comes to about 10
_DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")


class Workbook:
    """The first sheet that is not hidden and has a header, as a table; see `open_table`."""

    form = "Excel workbook"
    extension = ".xlsx"

    def __init__(self, path: Path, columns: Columns) -> None:
        self._path = path
        _refuse_bombs(path)
        self._sheet, self.header_line, self._header = self._find_header(columns)
        self.headings: Sequence[str] = self._header.headings
        self.header_problem = self._header.problem

    def rows(self) -> Iterator[SourceRow]:
        """See `Table`. A line is a row of the sheet, counted from 1 as Excel shows it."""
        for row in sheet_rows(self._path, self._sheet):
            if row.number > self.header_line:
                read = self._row(row)
                if read is not None:
                    yield read

    def _row(self, row: SheetRow) -> SourceRow | None:
        texts: list[str] = []
        faults: dict[int, str] = {}
        changes: list[str] = []
        blank = True
        for index, cell in enumerate(row.cells):
            text, fault = _read(cell, self._header.kind(index))
            texts.append(text)
            if fault:
                faults[index] = fault
            if cell is not None and cell.above:
                changes.append(f"{self._header.name(index)}: taken from the merged cell above")
            elif cell is not None and not cell.beside and (fault or not is_blank(text)):
                blank = False
        if blank:
            return None
        texts += [""] * (len(self._header.names) - len(texts))
        read = self._header.row(row.number, texts, faults)
        if row.hidden and not read.problem:
            read = replace(
                read, problem="the row is hidden in the sheet: show it (a filter may be set), or delete it"
            )
        return replace(read, changes=(*changes, *read.changes))

    def excerpt(self, lines: Collection[int], stream: IO[bytes]) -> None:
        """See `Table`: a workbook of one sheet with the same cells, hidden and merged as they were."""
        self._write(
            stream, lambda row: row if row.number in lines or row.number == self.header_line else None
        )

    def raw_rows(self) -> Iterator[RawRow]:
        """See `EditableTable`: as the sheet shows them."""
        for row in sheet_rows(self._path, self._sheet):
            if row.number > self.header_line and self._row(row) is not None:
                shown = self._shown(row)
                certain = self._header.fits(shown) and not row.hidden and not row.merged
                yield RawRow(row.number, shown, certain)

    def rewrite(self, rows: Mapping[int, Sequence[str] | None], stream: IO[bytes]) -> None:
        """See `EditableTable`: another text is a cell of text; rows with other cells are neither hidden nor merged."""

        def written(row: SheetRow) -> SheetRow | None:
            if row.number not in rows:
                return row
            cells = rows[row.number]
            return None if cells is None else self._with(row, cells)

        self._write(stream, written)

    def _write(self, stream: IO[bytes], written: Callable[[SheetRow], SheetRow | None]) -> None:
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet(self._sheet[:31])
        number = 0
        for row in sheet_rows(self._path, self._sheet):
            kept = written(row) if row.number >= self.header_line else None
            if kept is None:
                continue
            number += 1
            if kept.hidden:
                sheet.row_dimensions[number].hidden = True
            for first, last in kept.merged:
                sheet.merged_cells.add(CellRange(None, first, number, last, number))
            sheet.append([_same_cell(sheet, cell) for cell in kept.cells])
        book.save(stream)

    def _shown(self, row: SheetRow) -> list[str]:
        """What the sheet shows in each cell, "" in those that are left out at its end."""
        is_header = row.number == self.header_line
        shown = [
            _read(cell, Holds.TEXT if is_header else self._header.kind(index))[0]
            for index, cell in enumerate(row.cells)
        ]
        return shown + [""] * (len(self._header.names) - len(shown))

    def _with(self, row: SheetRow, cells: Sequence[str]) -> SheetRow:
        old = dict(enumerate(zip(self._shown(row), row.cells, strict=False)))
        same = ((old.get(index, ("", None)), cell) for index, cell in enumerate(cells))
        return SheetRow(
            row.number,
            [was if cell == text else SheetCell(_escaped(cell), "s", "@") for (text, was), cell in same],
        )

    def _find_header(self, columns: Columns) -> tuple[str, int, Header]:
        for name in visible_sheets(self._path):
            for row in sheet_rows(self._path, name):
                texts = [_read(cell, Holds.TEXT)[0] for cell in row.cells]
                if not all(map(is_blank, texts)):  # the first row that is not blank decides
                    if Header.is_one(texts, columns):
                        return name, row.number, Header(texts, columns, line=row.number)
                    break
        raise no_table(Columns(columns.known, columns.required))


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
            raise damaged(error) from error


def _refuse_declarations(stream: IO[bytes]) -> None:
    last = b""
    while block := stream.read(1 << 20):
        window = (last + block).replace(b"\0", b"")  # UTF-16 as well
        if any(word in window for word in _DECLARATIONS):
            raise InputProblem("The Excel workbook's XML declares a document type, which Excel never does")
        last = block[-32:]


_AS_TEXT = "format the column as text and enter the values again"
_ESCAPED = re.compile(
    "_x([0-9A-Fa-f]{4})_"
)  # how a workbook writes what XML cannot hold (ECMA-376 part 1, 22.9.2.19)
_TO_ESCAPE = re.compile("_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")


def _read(cell: SheetCell | None, holds: Holds) -> tuple[str, str]:
    """A cell as text, as the sheet shows it, and what is wrong with it in a column that holds this, or ""."""
    if cell is None:
        return "", ""
    if cell.beside:
        return "", "is part of a cell that is merged over several columns: unmerge it, and fill in each cell"
    if cell.formula and cell.value is not None and holds is Holds.IDENTIFIER:
        return str(cell.value), (
            f"is a formula ({cell.formula[:50]}) with the result 0, which stands for an empty cell, or for a workbook "
            "that was never calculated: save the workbook in Excel, or enter the value"
        )
    if cell.formula and cell.value is None:
        return (
            "",
            f"is a formula without its result ({cell.formula[:50]}): save the workbook in Excel, or enter the value",
        )
    value = cell.value
    if cell.kind == "e":
        return str(value), f"holds Excel's error {value}"
    match value:
        case bool():
            return str(value).upper(), f"is a truth value in Excel ({str(value).upper()}): {_AS_TEXT}"
        case dt.date():
            day = value.strftime("%Y-%m-%d")
            return day, "" if holds is Holds.DATE else f"is a date in Excel ({day}): {_AS_TEXT}"
        case dt.time() | dt.timedelta():
            return str(value), f"is a time in Excel ({value}): {_AS_TEXT}"
        case int() | float():
            return _number(value, cell.number_format, holds)
    text = _ESCAPED.sub(lambda code: chr(int(code[1], 16)), str(value))
    shown = text if holds is Holds.TEXT else shown_text(text, cell.number_format)
    if shown is None:
        return (
            text,
            f"is shown by the format {cell.number_format!r}, which cannot be reproduced exactly: {_AS_TEXT}",
        )
    return shown, ""


def _number(value: float, number_format: str, holds: Holds) -> tuple[str, str]:
    if not math.isfinite(value):
        return "#NUM!", "holds Excel's error #NUM!"
    if not float(value).is_integer():
        shown = shown_decimal(value, number_format) if holds is Holds.AMOUNT else None
        return (
            (shown, "")
            if shown
            else (str(value), f"is a number with a fraction in Excel ({value}): {_AS_TEXT}")
        )
    digits = str(int(value))
    if len(digits.lstrip("-")) > EXACT_DIGITS:
        return digits, (
            f"{digits[:40]} is a number in Excel, which keeps {EXACT_DIGITS} digits: the last ones are lost; "
            "format the column as text and enter the ids again"
        )
    shown = shown_whole(int(value), number_format)
    if shown is None:
        return digits, (
            f"is the number {digits} in Excel, shown by the format {number_format!r}, "
            f"which cannot be reproduced exactly: {_AS_TEXT}"
        )
    return shown, ""


def _escaped(text: str) -> str:
    """A text as a workbook writes it, from which `_read` makes the same text."""
    return _TO_ESCAPE.sub(lambda char: f"_x{ord(char[0]):04X}_", text)


def _same_cell(sheet: Any, cell: SheetCell | None) -> Any:
    if cell is None or cell.beside:
        return None
    if isinstance(cell.value, float) and not math.isfinite(cell.value):
        return WriteOnlyCell(sheet, "#NUM!")
    if not isinstance(cell.value, str):
        same = WriteOnlyCell(sheet, cell.formula or cell.value)
        if cell.kind != "d" or is_date_format(
            cell.number_format
        ):  # a date may stand there without such a format
            same.number_format = cell.number_format
        return same
    same = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("\ufffd", cell.value))
    same.data_type = cell.kind  # a text that looks like a formula was a text
    same.number_format = cell.number_format if "@" in cell.number_format else "@"
    return same
