"""Tables in text files: `A|B` lines without a header, or CSV with a header and one of four separators."""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO

from alma_etl.errors import RunStopped
from alma_etl.tabular.cells import is_blank
from alma_etl.tabular.kinds import Kind
from alma_etl.tabular.lines import Line, TextFile
from alma_etl.tabular.quoting import TextRecord, records, split
from alma_etl.tabular.tables import Columns, Header, SourceRow, no_table, read_row

_SEPARATORS = ",\t;|"
_QUOTES_ALWAYS = ",;"  # who separates by these puts quotes around a cell that begins with one
_HINT = re.compile(
    rf'"?sep=([{_SEPARATORS}])"?', re.IGNORECASE
)  # Excel's own first line, for a CSV of any country
_LOOK_AT = 1_000  # lines in which a file without a header must show its form
_FORMS = {",": "CSV", ";": "CSV with semicolons", "\t": "TSV", "|": "text with | between the columns"}


class TextTable:
    """A text file as a table; see `open_table`."""

    def __init__(self, path: Path, kind: Kind, columns: Columns) -> None:
        self._file = TextFile(path, kind)
        self._columns = columns
        self._header: Header | None = None
        self._above = (
            b""  # what stands above the rows: the header, in some files with a line that names the separator
        )
        self._start = 0  # the last line of it
        self._separator = "|"
        self._find_form()
        self.form = _FORMS[self._separator] if self._header else "lines of " + "|".join(columns.headless)
        self.extension = {",": ".csv", ";": ".csv", "\t": ".tsv"}.get(self._separator, ".txt")

    def _find_form(self) -> None:
        lines = (line for line in self._file.lines() if not is_blank(line.text))
        first = next(lines, None)
        if first is None:
            raise no_table(self._columns)
        if hint := _HINT.fullmatch(first.text):
            second = next(lines, first)
            if self._is_header(second, hint[1], above=first.raw):
                return
        for separator in sorted(_SEPARATORS, key=first.text.count, reverse=True):
            if self._is_header(first, separator):
                return
        shown = (line for line in islice(self._file.lines(), _LOOK_AT))
        if not self._columns.headless or not any("|" in line.text for line in shown):
            raise no_table(self._columns)

    def _is_header(self, line: Line, separator: str, above: bytes = b"") -> bool:
        headings, _ = split(line.text, separator)
        if not Header.is_one(headings, self._columns):
            return False
        self._separator, self._start, self._above = separator, line.number, above + line.raw
        self._header = Header(headings, self._columns, line=line.number)
        return True

    def rows(self) -> Iterator[SourceRow]:
        """See `Table`. Raises RunStopped when the rows do not account for every line of the file."""
        seen = self._start
        for record in self._records():
            seen += record.lines
            row = self._row(record)
            if row is not None:
                yield row
        there = self._file.count()
        if seen != there:
            raise RunStopped(
                f"The file has {there:,} {'line' if there == 1 else 'lines'}, but {seen:,} of them were read: "
                "nothing is loaded. This is a fault of the program, not of the file: report it, with the file"
            )

    def excerpt(self, lines: Collection[int], stream: IO[bytes]) -> None:
        """See `Table`: byte for byte, with the file's own mark, header and line ends."""
        stream.write(self._file.mark)
        stream.write(self._above)
        for record in self._records():
            if record.number in lines:
                stream.write(record.raw)

    def _records(self) -> Iterator[TextRecord]:
        lines = (line for line in self._file.lines() if line.number > self._start)
        if self._header is None:
            return (TextRecord(line.number, line.text, line.text.split("|"), line.raw) for line in lines)
        return records(lines, self._separator, self._header.is_row)

    def _row(self, record: TextRecord) -> SourceRow | None:
        if self._header is None:
            return None if is_blank(record.text) else self._headless(record)
        if all(is_blank(cell) for cell in record.cells):
            return None
        row = self._header.row(record.number, record.cells)
        if not record.unclosed:
            return row
        literal, _ = split(record.text, self._separator, literally=True)
        if self._separator not in _QUOTES_ALWAYS and self._header.fits(literal):
            return self._header.row(record.number, literal)
        return replace(row, problem=row.problem or "a quotation mark is opened and never closed")

    def _headless(self, record: TextRecord) -> SourceRow:
        names = self._columns.headless
        row = read_row(record.number, [(name, self._columns.kind(name)) for name in names], record.cells, {})
        if len(record.cells) == len(names):
            return row
        return replace(
            row,
            problem=f"expected {len(names) - 1} separator | as in {'|'.join(name.upper() for name in names)}, "
            f"found {len(record.cells) - 1}",
        )
