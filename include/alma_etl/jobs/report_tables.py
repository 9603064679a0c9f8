"""Tables as CSV and XLSX, safe to open in a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # also in full width

_ROWS_OF_A_SHEET = 1_048_576  # Excel's bounds
_LONGEST_CELL = 32_767
_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # what XML cannot hold


def neutral(cell: str) -> str:
    """A cell that a spreadsheet shows instead of running: what looks like a formula gets an apostrophe in front.

    Rule: OWASP's advice on CSV injection.
    """
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def plain(cell: str) -> str:
    """A cell as it was before `neutral`."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA_STARTS) else cell


class CsvWriter:
    """Writes a table as UTF-8 CSV into a stream, row by row, cells neutralised, lines ended by LF."""

    def __init__(self, stream: IO[bytes], columns: Sequence[str]) -> None:
        self._stream = stream
        self._buffer = io.StringIO()
        self._csv = csv.writer(self._buffer, lineterminator="\n")
        self._write(columns)

    def add(self, cells: Iterable[str]) -> None:
        """Write one row."""
        # A lone carriage return would not be quoted, and would end the row for some readers.
        self._write([neutral(cell).replace("\r\n", "\n").replace("\r", "\n") for cell in cells])

    def _write(self, cells: Sequence[str]) -> None:
        self._csv.writerow(cells)
        self._stream.write(self._buffer.getvalue().encode())
        self._buffer.seek(0)
        self._buffer.truncate()


class XlsxWriter:
    """Collects a table as an Excel workbook, every cell a text: ids keep their digits, nothing is a formula.

    A table with more rows than a sheet can hold goes on in further sheets. Flat in memory: openpyxl writes the rows
    to a temporary file, which is gone once `save` has been called.
    """

    def __init__(self, columns: Sequence[str], title: str) -> None:
        # They take a while to import, which tasks that write no workbook are spared.
        import openpyxl
        from openpyxl.cell import WriteOnlyCell

        self._new_cell = WriteOnlyCell
        self._columns = columns
        self._title = title
        self._book = openpyxl.Workbook(write_only=True)
        self._left = 0
        self._sheets = 0
        self._sheet: Any = None
        self._next_sheet()

    def add(self, cells: Iterable[str]) -> None:
        """Write one row."""
        if not self._left:
            self._next_sheet()
        self._left -= 1
        self._sheet.append([self._text(cell) for cell in cells])

    def save(self, stream: IO[bytes]) -> None:
        """Write the workbook; nothing can be added afterwards."""
        self._book.save(stream)

    def _next_sheet(self) -> None:
        self._sheets += 1
        self._sheet = self._book.create_sheet(
            self._title if self._sheets == 1 else f"{self._title} {self._sheets}"
        )
        self._sheet.freeze_panes = "A2"
        self._sheet.append([self._text(column) for column in self._columns])
        self._left = _ROWS_OF_A_SHEET - 1

    def _text(self, cell: str) -> Any:
        written = self._new_cell(self._sheet, _ILLEGAL.sub("\ufffd", cell)[:_LONGEST_CELL])
        written.data_type = "s"  # openpyxl takes a text that begins with = for a formula
        written.number_format = "@"
        return written


def read_csv(stream: IO[bytes]) -> Iterator[dict[str, str]]:
    """The rows of a CSV table with a header, by column name."""
    yield from csv.DictReader(io.TextIOWrapper(stream, "utf-8-sig", newline=""))
