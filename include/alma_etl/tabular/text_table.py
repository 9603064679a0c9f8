"""Tables in text files: `A|B` lines without a header, or CSV with a header and one of four separators."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO

from alma_etl.errors import InputProblem, RunStopped
from alma_etl.tabular.cells import is_blank
from alma_etl.tabular.kinds import Kind
from alma_etl.tabular.lines import Line, TextFile
from alma_etl.tabular.quoting import TextRecord, records, split
from alma_etl.tabular.tables import Columns, Header, RawRow, SourceRow, no_table, read_row

_SEPARATORS = ",\t;|"
_QUOTES_ALWAYS = ",;"  # who separates by these puts quotes around a cell that begins with one
_HINT = re.compile(
    rf'"?sep=([{_SEPARATORS}])"?', re.IGNORECASE
)  # Excel's own first line, for a CSV of any country
_LOOK_AT = 1_000  # lines in which a file without a header must show its form
FORMS = {",": "CSV", ";": "CSV with semicolons", "\t": "TSV", "|": "text with | between the columns"}


class TextTable:
    """A text file as a table; see `open_table`."""

    def __init__(self, path: Path, kind: Kind, columns: Columns) -> None:
        self._file = TextFile(path, kind)
        self._columns = columns
        self._header: Header | None = None
        self._hint = b""  # the line above the header that names the separator, where there is one
        self._heading = b""
        self.header_line = 0
        self._separator = "|"
        self._find_form()
        self.form = FORMS[self._separator] if self._header else "lines of " + "|".join(columns.headless)
        self.extension = {",": ".csv", ";": ".csv", "\t": ".tsv"}.get(self._separator, ".txt")
        self.headings: Sequence[str] = self._header.headings if self._header else columns.headless
        self.header_problem = self._header.problem if self._header else ""

    def _find_form(self) -> None:
        lines = (line for line in self._file.lines() if not is_blank(line.text))
        first = next(lines, None)
        if first is None:
            raise no_table(self._columns)
        if hint := _HINT.fullmatch(first.text):
            second = next(lines, first)
            if self._is_header(second, hint[1], hint=first.raw):
                return
        for separator in sorted(_SEPARATORS, key=first.text.count, reverse=True):
            if self._is_header(first, separator):
                return
        shown = (line for line in islice(self._file.lines(), _LOOK_AT))
        if not self._columns.headless or not any("|" in line.text for line in shown):
            raise no_table(self._columns)

    def _is_header(self, line: Line, separator: str, hint: bytes = b"") -> bool:
        headings, _ = split(line.text, separator)
        if not Header.is_one(headings, self._columns):
            return False
        self._separator, self.header_line = separator, line.number
        self._hint, self._heading = hint, line.raw
        self._header = Header(headings, self._columns, line=line.number)
        return True

    def rows(self) -> Iterator[SourceRow]:
        """See `Table`. Raises RunStopped when the rows do not account for every line of the file."""
        seen = self.header_line
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
        self._write(stream, lambda record: record.raw if record.number in lines else b"")

    def raw_rows(self) -> Iterator[RawRow]:
        """See `EditableTable`."""
        for record in self._records():
            if self._is_blank(record):
                continue
            cells = self._cells_of(record)
            fits = self._header.fits(cells) if self._header else len(cells) == len(self.headings)
            yield RawRow(record.number, cells, fits and (not record.unclosed or cells is not record.cells))

    def rewrite(self, rows: Mapping[int, Sequence[str] | None], stream: IO[bytes]) -> None:
        """See `EditableTable`: in the file's encoding and with its line ends, quoted only where it has to be."""

        def written(record: TextRecord) -> bytes:
            return (
                self._line_of(record.number, rows[record.number], record.raw)
                if record.number in rows
                else record.raw
            )

        self._write(stream, written, rows.get(self.header_line))

    def _write(
        self, stream: IO[bytes], written: Callable[[TextRecord], bytes], headings: Sequence[str] | None = None
    ) -> None:
        stream.write(self._file.mark)
        stream.write(self._hint)
        stream.write(self._line_of(self.header_line, headings, self._heading) if headings else self._heading)
        for record in self._records():
            stream.write(written(record))

    def _line_of(self, number: int, cells: Sequence[str] | None, like: bytes) -> bytes:
        if cells is None:
            return b""
        if self._header is None and any(set(cell) & {"|", "\n", "\r"} for cell in cells):
            raise InputProblem(
                f"Row {number}: a | or a line break cannot stand in a value of this file, whose lines have nothing but "
                f"{'|'.join(self.headings)}"
            )
        return self._file.encoded(self._separator.join(map(self._quoted, cells)), like)

    def _quoted(self, cell: str) -> str:
        if self._header is None or not (cell.startswith('"') or set(cell) & {self._separator, "\n", "\r"}):
            return cell
        return '"' + cell.replace('"', '""') + '"'

    def _records(self) -> Iterator[TextRecord]:
        lines = (line for line in self._file.lines() if line.number > self.header_line)
        if self._header is None:
            return (TextRecord(line.number, line.text, line.text.split("|"), line.raw) for line in lines)
        return records(lines, self._separator, self._header.is_row)

    def _row(self, record: TextRecord) -> SourceRow | None:
        if self._is_blank(record):
            return None
        if self._header is None:
            return self._headless(record)
        cells = self._cells_of(record)
        row = self._header.row(record.number, cells)
        if not record.unclosed or cells is not record.cells:
            return row
        return replace(row, problem=row.problem or "a quotation mark is opened and never closed")

    def _is_blank(self, record: TextRecord) -> bool:
        return all(is_blank(text) for text in (record.cells if self._header else [record.text]))

    def _cells_of(self, record: TextRecord) -> Sequence[str]:
        """The cells of a record; of one whose quotation mark never closes, where that mark is a character, others."""
        if record.unclosed and self._header is not None and self._separator not in _QUOTES_ALWAYS:
            literal, _ = split(record.text, self._separator, literally=True)
            if self._header.fits(literal):
                return literal
        return record.cells

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
