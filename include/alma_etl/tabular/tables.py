"""Tables that people drop: lines of fields, CSV, TSV, Excel. Rows come with the number of their line.

A row keeps its place whatever is wrong with it: what cannot be read is a row with a `problem`, and so is every
row below a header that cannot be used. Rejected rows can be written out again in the format they came in.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Protocol, runtime_checkable

from alma_etl.errors import InputProblem
from alma_etl.tabular.cells import Holds, is_blank, read_cell, without_marks
from alma_etl.tabular.kinds import Kind, kind_of


@dataclass(frozen=True)
class Columns:
    """Which columns a table may have.

    `known`: their names. `required`: those without which no row can be used. `headless`: the columns of a file
    of `|` lines that has no header, in their order; empty when there is no such form. `holds`: what the columns
    hold; those that it leaves out hold identifiers when they are required, else free text. `keys`: the columns
    that say which record a row is about, `required` unless given.
    """

    known: tuple[str, ...]
    required: tuple[str, ...]
    headless: tuple[str, ...] = ()
    holds: Mapping[str, Holds] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    def named(self, heading: str) -> str | None:
        """The column that a heading means: `MMS ID`, `mms-id` and `mms_id` are the same; None when unknown."""
        return {_plain(name): name for name in self.known}.get(_plain(heading))

    def kind(self, name: str) -> Holds:
        """What a column holds."""
        return self.holds.get(name) or (Holds.IDENTIFIER if name in self.required else Holds.TEXT)


@dataclass(frozen=True)
class SourceRow:
    """One row: the number of its (first) line, its cells by column, and what is wrong with it, if anything.

    Every column of the header has its cell, "" when it is empty; a column that is not there has none. `changes`
    says for each cleaning of a value the column and what was done ("barcode: 2 invisible characters removed").
    Beside a `problem` the cells hold what could be made out.
    """

    line: int
    cells: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    changes: tuple[str, ...] = ()


class Table(Protocol):
    """A dropped table. `form` names it for the report, `extension` is the one that fits it."""

    form: str
    extension: str

    def rows(self) -> Iterator[SourceRow]:
        """All rows that are not blank, in their order, streamed. Can be asked for again."""
        ...

    def excerpt(self, lines: Collection[int], stream: IO[bytes]) -> None:
        """Write the header and the rows of these lines, as they came."""
        ...


@dataclass(frozen=True)
class RawRow:
    """A row as it stands in its file: its cells by place, nothing cleaned, as few or many as there are.

    `certain`: whether they are what the row is read as. They are not where their number is another than the header's, a
    quotation mark is never closed, or the sheet hides the row or merges cells of it.
    """

    line: int
    cells: Sequence[str]
    certain: bool = True


@runtime_checkable
class EditableTable(Table, Protocol):
    """A table of which somebody can correct rows.

    `headings`: those of the file, or the names of the columns where it has none. `header_line`: where they stand, 0
    where they do not; `header_problem`: why they cannot be used, or "".
    """

    headings: Sequence[str]
    header_line: int
    header_problem: str

    def raw_rows(self) -> Iterator[RawRow]:
        """The rows that `rows` gives, as they stand."""
        ...

    def rewrite(self, rows: Mapping[int, Sequence[str] | None], stream: IO[bytes]) -> None:
        """Write the table with other cells in the rows of these lines, of which one can be the header's; None leaves a
        row out. All else stays as it came, also a cell that says what it said. Raises InputProblem for a cell that this
        form of a table cannot hold."""
        ...


def open_table(path: Path, columns: Columns) -> EditableTable:
    """Find out what a file is and how to read it, by its content alone.

    Raises InputProblem, one sentence, for what is not a table with these columns.
    """
    kind = kind_of(path)
    if kind is Kind.XLSX:
        from alma_etl.tabular.workbook import Workbook  # openpyxl takes a while to import

        return Workbook(path, columns)
    from alma_etl.tabular.text_table import TextTable

    return TextTable(path, kind, columns)


class Header:
    """The first row of a table, matched with the columns. `problem` is why it cannot be used, "" when it can."""

    def __init__(self, headings: Sequence[str], columns: Columns, *, line: int) -> None:
        cleaned = [without_marks(heading) for heading in headings]
        while cleaned and not cleaned[-1]:  # spreadsheets write more columns than were filled
            cleaned.pop()
        self.headings = cleaned
        self.names: list[str | None] = [columns.named(heading) for heading in cleaned]
        self.problem = _header_problem(cleaned, self.names, columns, line)
        self._columns = [(name, columns.kind(name) if name else Holds.TEXT) for name in self.names]
        keys = columns.keys or columns.required
        self._keys = [index for index, name in enumerate(self.names) if name in keys]

    @staticmethod
    def is_one(headings: Sequence[str], columns: Columns) -> bool:
        """Whether a row is a header: at least one of its cells is the name of a column."""
        return any(columns.named(without_marks(heading)) for heading in headings)

    def name(self, index: int) -> str:
        """The column at this place."""
        return (self.names[index] if index < len(self.names) else None) or "(no column)"

    def kind(self, index: int) -> Holds:
        """What the column at this place holds."""
        return self._columns[index][1] if index < len(self._columns) else Holds.TEXT

    def fits(self, values: Sequence[str]) -> bool:
        """Whether values have the header's number of cells; blank ones at the end do no harm."""
        count = len(self.names)
        return len(values) >= count and all(is_blank(value) for value in values[count:])

    def is_row(self, values: Sequence[str]) -> bool:
        """Whether values by themselves make a row: as many as the header has, an id where an id belongs. Where too
        few or too many are, every key must be there, one of them long, as no number of a text is."""
        digits = [_digits_of_an_id(values[index]) for index in self._keys if index < len(values)]
        if self.fits(values):
            return any(digits)
        return len(digits) == len(self._keys) > 1 and all(digits) and max(digits) >= _DIGITS_OF_A_LONG_ID

    def row(self, line: int, values: Sequence[str], faults: Mapping[int, str] | None = None) -> SourceRow:
        """A row of values under this header; `faults` are problems of cells, by their place."""
        row = read_row(line, self._columns, values, faults or {})
        if self.problem:
            return replace(row, problem=self.problem)
        if self.fits(values):
            return row
        missing = len(values) < len(self.names)
        return replace(
            row,
            problem=f"the line has {len(values)} {'column' if len(values) == 1 else 'columns'} where the header "
            f"has {len(self.names)}: a separator is {'missing' if missing else 'too many'}, "
            "or a text that contains one is not in quotes",
        )


def read_row(
    line: int, names: Sequence[tuple[str | None, Holds]], values: Sequence[str], faults: Mapping[int, str]
) -> SourceRow:
    """Read the cells of a row by what their columns hold; a column without a name is left out."""
    cells: dict[str, str] = {}
    problems: list[str] = []
    changes: list[str] = []
    for index, ((name, holds), value) in enumerate(zip(names, values, strict=False)):
        if name is None:
            continue
        cell = read_cell(value, holds)
        cells[name] = cell.value
        changes += [f"{name}: {change}" for change in cell.changes]
        problem = faults.get(index) or cell.problem
        if problem:
            problems.append(f"{name} {problem}")
    return SourceRow(line, cells, "; ".join(problems), tuple(changes))


def _digits_of_an_id(value: str) -> int:
    """The digits of a cell that may be an id, right or wrong: one word with several digits in it; 0 when it is none."""
    word = without_marks(value)
    count = sum(char.isdigit() for char in word)
    return count if " " not in word and count >= _DIGITS_OF_AN_ID else 0


_DIGITS_OF_AN_ID = 5
_DIGITS_OF_A_LONG_ID = 10


def _plain(heading: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", heading)).lower()


def _header_problem(headings: Sequence[str], names: Sequence[str | None], columns: Columns, line: int) -> str:
    faults: list[str] = []
    unknown = [heading or "(empty)" for heading, name in zip(headings, names, strict=True) if name is None]
    if unknown:
        faults.append(
            f"unknown column {', '.join(repr(heading[:50]) for heading in unknown)} "
            f"(known are {', '.join(columns.known)})"
        )
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    if doubled:
        faults.append(f"column {', '.join(doubled)} stands there more than once")
    missing = [name for name in columns.required if name not in names]
    if missing:
        faults.append(f"column {', '.join(missing)} is missing")
    return f"the header on line {line} cannot be used: {'; '.join(faults)}" if faults else ""


def no_table(columns: Columns) -> InputProblem:
    """The error for a file in which no row looks like a row."""
    pair = "|".join(name.upper() for name in columns.headless)
    forms = f"neither lines of the form {pair}, nor a" if columns.headless else "no"
    wanted = ", ".join(columns.required) or " or ".join(columns.keys)
    return InputProblem(
        f"The file has {forms} header with the columns {wanted}: docs/files.md shows the forms that are read"
    )
