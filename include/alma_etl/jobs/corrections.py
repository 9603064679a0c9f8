"""Rejected rows that somebody corrects in a form: what the form shows of them, and the file that it makes of them.

A row that was not changed stays as it came, byte for byte, and so does a value that was not changed where its form has
values of more kinds than text. What a browser does to a text in a form (its line breaks are CR LF, NUL cannot be shown)
is no change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from alma_etl.errors import InputProblem
from alma_etl.jobs.file_job import Records
from alma_etl.tabular.cells import is_blank
from alma_etl.tabular.tables import EditableTable, RawRow

MOST_BYTES = 5_000_000
"""The largest rejects file that is looked at for a form."""
MOST_ROWS = 300
MOST_VALUES = 3_000
MOST_CHARACTERS = 500_000
LONGEST = 50_000  # characters of one value
TOO_MUCH = (
    f"This is more than a page can show (at most {MOST_ROWS} rows, {MOST_VALUES:,} values, {LONGEST:,} characters in "
    "one): download the rejects, correct the rows, and upload that file"
)
_NOT_SHOWN = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class ValueField:
    """One value in the form."""

    name: str
    label: str
    value: str

    @property
    def long(self) -> bool:
        """Whether it needs more than a line: a browser takes line breaks out of a field of one line."""
        return len(self.value) > 60 or "\n" in self.value


@dataclass(frozen=True)
class RowFields:
    """A row in the form. `certain`: see `RawRow`; else the form asks by `as_shown` whether it is right as shown."""

    line: int
    values: Sequence[ValueField]
    certain: bool = True
    as_shown: bool = False
    left_out: bool = False


class RejectedTable:
    """The rows of a rejects file, few enough for a form. Raises InputProblem, one sentence, where they cannot be
    corrected in one."""

    def __init__(self, records: Records) -> None:
        if not isinstance(records, EditableTable):
            raise InputProblem(
                f"Rows of this form ({records.form}) cannot be corrected on a page: download the rejects, correct "
                "them, and upload that file"
            )
        self._table = records
        self.rows: list[RawRow] = []
        self.header_problem = records.header_problem
        values = characters = 0
        for row in records.raw_rows():
            self.rows.append(row)
            values += max(len(row.cells), len(records.headings))
            characters += sum(map(len, row.cells))
            longest = max(map(len, row.cells), default=0)
            if (
                len(self.rows) > MOST_ROWS
                or values > MOST_VALUES
                or characters > MOST_CHARACTERS
                or longest > LONGEST
            ):
                raise InputProblem(TOO_MUCH)

    def header(self, given: Mapping[str, str] | None = None) -> RowFields | None:
        """The header, to be corrected where it cannot be used."""
        if not self.header_problem:
            return None
        labels = [f"Column {place}" for place in range(1, len(self._table.headings) + 1)]
        line = self._table.header_line
        return RowFields(line, list(_fields(line, labels, self._table.headings, given)))

    def fields(self, given: Mapping[str, str] | None = None) -> list[RowFields]:
        """The rows as the form shows them. ``given``: what was sent with it before, which stays."""
        found = []
        for row in self.rows:
            values = list(_fields(row.line, self._labels(len(row.cells)), row.cells, given))
            as_shown, left_out = (f"{word}-{row.line}" in (given or {}) for word in ("shown", "out"))
            found.append(RowFields(row.line, values, row.certain, as_shown, left_out))
        return found

    def write(self, given: Mapping[str, str], path: Path, reopen: Callable[[Path], Records]) -> None:
        """Write the file that the form means. Raises InputProblem, one sentence, for one that cannot be written.

        ``reopen`` is the job's reader: what it does not read as the form says is refused.
        """
        changes = self._changes(given)
        wanted = [cells for row in self.rows if (cells := changes.get(row.line, row.cells)) is not None]
        if not wanted:
            raise InputProblem("Every row is left out: there is nothing to load")
        with path.open("wb") as stream:
            self._table.rewrite(changes, stream)
        written = reopen(path)
        if not isinstance(written, EditableTable):
            raise InputProblem("The corrected rows would not be read as a table")
        if written.header_problem:
            raise InputProblem(written.header_problem[:1].upper() + written.header_problem[1:])
        lines = (row.line for row in self.rows if changes.get(row.line, ()) is not None)
        read = (row.cells for row in written.raw_rows())
        for line, meant, found in zip_longest(lines, wanted, read):
            if line is None or _without_blank_end(meant or ()) != _without_blank_end(found or ()):
                raise InputProblem(
                    f"{f'Row {line}' if line else 'What follows the last row'} would not be read as it is shown: "
                    "take line breaks, quotation marks and invisible characters out of its values, or leave it out"
                )

    def _labels(self, count: int) -> list[str]:
        labels = [heading or "(empty)" for heading in self._table.headings]
        return labels + [f"Column {place} (no heading)" for place in range(len(labels) + 1, count + 1)]

    def _changes(self, given: Mapping[str, str]) -> dict[int, Sequence[str] | None]:
        changes: dict[int, Sequence[str] | None] = {}
        header = self.header(given)
        if header is not None:
            changes[header.line] = [each.value for each in header.values]
        for row, fields in zip(self.rows, self.fields(given), strict=True):
            if any(each.name not in given for each in fields.values):
                raise InputProblem("The form did not arrive whole, so nothing was uploaded: save it again")
            typed = [each.value for each in fields.values]
            old = [*row.cells, *[""] * (len(typed) - len(row.cells))]
            exact = [was if text == _shown(was) else text for was, text in zip(old, typed, strict=True)]
            while len(exact) > len(self._table.headings) and is_blank(exact[-1]):
                exact.pop()
            if fields.left_out or all(map(is_blank, exact)):
                changes[row.line] = None
            elif typed != [_shown(was) for was in old] or (fields.as_shown and not row.certain):
                changes[row.line] = exact
        return changes


def _fields(
    line: int, labels: Sequence[str], cells: Sequence[str], given: Mapping[str, str] | None
) -> Iterator[ValueField]:
    for place, label in enumerate(labels):
        name = f"value-{line}-{place}"
        shown = _shown(cells[place]) if place < len(cells) else ""
        sent = (given or {}).get(name)
        yield ValueField(name, label, shown if sent is None else _shown(sent))


def _shown(text: str) -> str:
    """A value as a browser shows it, and sends it but for the line breaks."""
    return _NOT_SHOWN.sub("\ufffd", text).replace("\r\n", "\n").replace("\r", "\n")


def _without_blank_end(cells: Sequence[str]) -> list[str]:
    kept = list(cells)
    while kept and is_blank(kept[-1]):
        kept.pop()
    return kept
