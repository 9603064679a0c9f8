"""Tables in text files: `A|B` lines without a header, or CSV with a header and one of four separators."""

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from alma_etl.tabular.kinds import Kind
from alma_etl.tabular.lines import Line, TextFile
from alma_etl.tabular.tables import Columns, Header, SourceRow, checked, clean, no_table

_SEPARATORS = ",\t;|"
_LOOK_AT = 1_000  # lines in which a file without a header must show its form
_MAX_QUOTED_LINES = 20  # a quotation mark that closes later than this was never meant to open anything
_FORMS = {",": "CSV", ";": "CSV with semicolons", "\t": "TSV", "|": "text with | between the columns"}

csv.field_size_limit(25_000_000)  # more than the lines of one record can have together


@dataclass(frozen=True)
class _Record:
    """What belongs to one row: one line, or several when a quoted cell has line breaks."""

    number: int
    text: str
    raw: bytes
    unclosed: bool = False


class TextTable:
    """A text file as a table; see `open_table`."""

    def __init__(self, path: Path, kind: Kind, columns: Columns) -> None:
        self._file = TextFile(path, kind)
        self._columns = columns
        self._header: Header | None = None
        self._header_line: Line | None = None
        self._separator = "|"
        self._find_form()
        self.form = _FORMS[self._separator] if self._header else "lines of " + "|".join(columns.headless)
        self.extension = {",": ".csv", ";": ".csv", "\t": ".tsv"}.get(self._separator, ".txt")

    def _find_form(self) -> None:
        first = next((line for line in self._file.lines() if clean(line.text)), None)
        if first is None:
            raise no_table(self._columns)
        for separator in sorted(_SEPARATORS, key=first.text.count, reverse=True):
            headings = _split(first.text, separator)
            if Header.is_one(headings, self._columns):
                self._separator, self._header_line = separator, first
                self._header = Header(headings, self._columns, line=first.number)
                return
        shown = (line for line in islice(self._file.lines(), _LOOK_AT))
        if not self._columns.headless or not any("|" in line.text for line in shown):
            raise no_table(self._columns)

    def rows(self) -> Iterator[SourceRow]:
        """See `Table`."""
        for record in self._records():
            row = self._row(record)
            if row is not None:
                yield row

    def excerpt(self, lines: Collection[int], stream: IO[bytes]) -> None:
        """See `Table`: byte for byte, with the file's own mark, header and line ends."""
        stream.write(self._file.mark)
        if self._header_line:
            stream.write(self._header_line.raw)
        for record in self._records():
            if record.number in lines:
                stream.write(record.raw)

    def _records(self) -> Iterator[_Record]:
        start = self._header_line.number if self._header_line else 0
        lines = (line for line in self._file.lines() if line.number > start)
        if self._header is None:
            yield from (_Record(line.number, line.text, line.raw) for line in lines)
        else:
            yield from _quoted(lines, self._separator)

    def _row(self, record: _Record) -> SourceRow | None:
        if self._header is None:
            return self._headless(record)
        values = _split(record.text, self._separator)
        if not any(clean(value) for value in values):
            return None
        row = self._header.row(record.number, values)
        if record.unclosed and not row.problem:
            return SourceRow(record.number, row.cells, "a quotation mark is opened and never closed")
        return row

    def _headless(self, record: _Record) -> SourceRow | None:
        if not clean(record.text):
            return None
        names = self._columns.headless
        values = record.text.split("|")
        cells = {name: clean(value) for name, value in zip(names, values, strict=False) if clean(value)}
        if len(values) != len(names):
            return SourceRow(
                record.number,
                cells,
                f"expected {len(names) - 1} separator | as in {'|'.join(name.upper() for name in names)}, "
                f"found {len(values) - 1}",
            )
        return checked(SourceRow(record.number, cells))


def _split(text: str, separator: str) -> list[str]:
    return next(csv.reader([text], delimiter=separator), [])


def _quoted(lines: Iterator[Line], separator: str) -> Iterator[_Record]:
    """Join the lines of a quoted cell. A cell that does not close soon is taken as a slip of its first line."""
    waiting: list[Line] = []

    def next_line() -> Line | None:
        return waiting.pop(0) if waiting else next(lines, None)

    while (line := next_line()) is not None:
        if not _is_open(line.text, separator):
            yield _Record(line.number, line.text, line.raw)
            continue
        joined = [line]
        while len(joined) < _MAX_QUOTED_LINES and (more := next_line()) is not None:
            joined.append(more)
            if not _is_open("\n".join(each.text for each in joined), separator):
                yield _Record(
                    line.number,
                    "\n".join(each.text for each in joined),
                    b"".join(each.raw for each in joined),
                )
                break
        else:
            waiting[:0] = joined[1:]
            yield _Record(line.number, line.text, line.raw, unclosed=True)


def _is_open(text: str, separator: str) -> bool:
    """Whether a quotation mark is open at the end, by the rules that `csv` reads by (RFC 4180, forgiving)."""
    if '"' not in text:
        return False
    inside, at_start = False, True
    position, end = 0, len(text)
    while position < end:
        char = text[position]
        if inside:
            if char == '"':
                if text[position + 1 : position + 2] == '"':
                    position += 1
                else:
                    inside = False
        elif char == '"' and at_start:
            inside = True
        at_start = char == separator and not inside
        position += 1
    return inside
