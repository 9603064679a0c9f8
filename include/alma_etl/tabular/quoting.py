"""Where the cells of a text line end, and which lines are one row: quotation marks as CSV means them (RFC 4180).

A quotation mark opens a cell only at its begin, and closes it only before a separator or the end of the line. Any
other one is a character like others, since people write 12" and "so" without a thought of CSV. What looks like a row
by itself is one, whatever quotation mark stands open above it.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from alma_etl.tabular.lines import MAX_LINE, Line

MAX_QUOTED_LINES = 500  # a quotation mark that closes later than this was never meant to open anything
_INSIDE = re.compile(r'(?:[^"]++|"")*+')


@dataclass(frozen=True)
class TextRecord:
    """What belongs to one row: one line, or several when a quoted cell has line breaks.

    `unclosed`: a quotation mark that opens a cell of it is never closed.
    """

    number: int
    text: str
    cells: Sequence[str]
    raw: bytes
    lines: int = 1
    unclosed: bool = False


def split(text: str, separator: str, *, literally: bool = False) -> tuple[list[str], bool]:
    """The cells of a text, and whether the last one is quoted and not closed.

    `literally`: a quotation mark that is never closed is a character of its cell, which then ends like others.
    """
    if '"' not in text:
        return text.split(separator), False
    cells: list[str] = []
    position = 0
    while True:
        end = -1
        if text.startswith('"', position):
            inside = _INSIDE.match(text, position + 1)
            assert inside is not None  # it matches the empty text too
            end = _end_of_quoted(text, inside.end(), separator)
            if end >= 0 or (inside.end() == len(text) and not literally):
                cells.append(inside[0].replace('""', '"'))
                if end < 0:
                    return cells, True
        if end < 0:
            end = text.find(separator, position)
            end = len(text) if end < 0 else end
            cells.append(text[position:end])
        if end == len(text):
            return cells, False
        position = end + 1


def _end_of_quoted(text: str, mark: int, separator: str) -> int:
    """Where a quoted cell ends whose closing quotation mark stands at `mark`; -1 when it does not close there."""
    if mark == len(text):
        return -1
    end = mark + 1
    while text.startswith(" ", end):
        end += 1
    return end if end == len(text) or text.startswith(separator, end) else -1


def records(
    lines: Iterator[Line], separator: str, is_row: Callable[[Sequence[str]], bool]
) -> Iterator[TextRecord]:
    """Join the lines of quoted cells. `is_row` says whether cells by themselves make a row."""
    return _Joining(lines, separator, is_row).records()


class _Joining:
    def __init__(
        self, lines: Iterator[Line], separator: str, is_row: Callable[[Sequence[str]], bool]
    ) -> None:
        self._lines = lines
        self._separator = separator
        self._is_row = is_row
        self._waiting: deque[Line] = deque()

    def records(self) -> Iterator[TextRecord]:
        while (line := self._next()) is not None:
            cells, is_open = split(line.text, self._separator)
            if not is_open:
                yield TextRecord(line.number, line.text, cells, line.raw)
                continue
            taken: list[Line] = []
            joined = self._joined(line, taken)
            if joined is None:
                self._waiting.extendleft(reversed(taken))
                joined = TextRecord(line.number, line.text, cells, line.raw, unclosed=True)
            yield joined

    def _next(self) -> Line | None:
        return self._waiting.popleft() if self._waiting else next(self._lines, None)

    def _joined(self, first: Line, taken: list[Line]) -> TextRecord | None:
        """The record that begins with a line whose last cell stays open; None when it never closes."""
        size = len(first.text)
        while len(taken) < MAX_QUOTED_LINES and size < MAX_LINE and (line := self._next()) is not None:
            taken.append(line)
            size += len(line.text)
            state = self._after(line.text)
            record = self._record(first, taken) if state == "closed" else None
            if self._stands_alone(line.text) and not (
                record is not None and self._is_row(record.cells) and not self._stands_alone(first.text)
            ):
                return None
            if state != "open":
                return record
        return None

    def _after(self, text: str) -> str:
        """What becomes of a cell that is open where this line begins: `open`, `closed` or `broken`."""
        inside = _INSIDE.match(text)
        assert inside is not None
        if inside.end() == len(text):
            return "open"
        end = _end_of_quoted(text, inside.end(), self._separator)
        if end < 0:
            return "broken"
        return "open" if end < len(text) and split(text[end + 1 :], self._separator)[1] else "closed"

    def _stands_alone(self, text: str) -> bool:
        return any(self._is_row(split(text, self._separator, literally=each)[0]) for each in (True, False))

    def _record(self, first: Line, taken: Sequence[Line]) -> TextRecord:
        lines = (first, *taken)
        text = "\n".join(line.text for line in lines)
        cells, _ = split(text, self._separator)
        return TextRecord(first.number, text, cells, b"".join(line.raw for line in lines), len(lines))
