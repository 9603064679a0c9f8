"""Tables as CSV, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # also in full width


def neutral(cell: str) -> str:
    """A cell that a spreadsheet shows instead of running: what looks like a formula gets an apostrophe in front.

    Rule: OWASP's advice on CSV injection.
    """
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


class CsvWriter:
    """Writes a table as UTF-8 CSV into a stream, row by row, cells neutralised, lines ended by LF."""

    def __init__(self, stream: IO[bytes], columns: Sequence[str]) -> None:
        self._stream = stream
        self._buffer = io.StringIO()
        self._csv = csv.writer(self._buffer, lineterminator="\n")
        self._write(columns)

    def add(self, cells: Iterable[str]) -> None:
        """Write one row."""
        self._write([neutral(cell) for cell in cells])

    def _write(self, cells: Sequence[str]) -> None:
        self._csv.writerow(cells)
        self._stream.write(self._buffer.getvalue().encode())
        self._buffer.seek(0)
        self._buffer.truncate()


def read_csv(stream: IO[bytes]) -> Iterator[dict[str, str]]:
    """The rows of a CSV table with a header, by column name."""
    yield from csv.DictReader(io.TextIOWrapper(stream, "utf-8-sig", newline=""))
