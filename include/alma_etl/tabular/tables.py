"""Tables that people drop: lines of fields, CSV, TSV, Excel. Rows come with the number of their line.

A row keeps its place whatever is wrong with it: what cannot be read is a row with a `problem`, and so is every
row below a header that cannot be used. Rejected rows can be written out again in the format they came in.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from alma_etl.errors import InputProblem
from alma_etl.tabular.kinds import Kind, kind_of


@dataclass(frozen=True)
class Columns:
    """Which columns a table may have.

    `known`: their names. `required`: those without which no row can be used. `headless`: the columns of a file
    of `|` lines that has no header, in their order; empty when there is no such form.
    """

    known: tuple[str, ...]
    required: tuple[str, ...]
    headless: tuple[str, ...] = ()

    def named(self, heading: str) -> str | None:
        """The column that a heading means: `MMS ID`, `mms-id` and `mms_id` are the same; None when unknown."""
        return {_plain(name): name for name in self.known}.get(_plain(heading))


@dataclass(frozen=True)
class SourceRow:
    """One row: the number of its (first) line, its cells by column, and what is wrong with it, if anything.

    Cells are trimmed; empty ones are left out. Beside a `problem` the cells hold what could be made out.
    """

    line: int
    cells: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


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


def open_table(path: Path, columns: Columns) -> Table:
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
        cleaned = [clean(heading) for heading in headings]
        while cleaned and not cleaned[-1]:  # spreadsheets write more columns than were filled
            cleaned.pop()
        self.names: list[str | None] = [columns.named(heading) for heading in cleaned]
        self.problem = _header_problem(cleaned, self.names, columns, line)

    @staticmethod
    def is_one(headings: Sequence[str], columns: Columns) -> bool:
        """Whether a row is a header: at least one of its cells is the name of a column."""
        return any(columns.named(clean(heading)) for heading in headings)

    def row(self, line: int, values: Sequence[str]) -> SourceRow:
        """A row of values under this header."""
        count = len(self.names)
        cells = {
            name: clean(value)
            for name, value in zip(self.names, values, strict=False)
            if name and clean(value)
        }
        if self.problem:
            return SourceRow(line, cells, self.problem)
        if len(values) < count or any(clean(value) for value in values[count:]):
            return SourceRow(
                line,
                cells,
                f"the line has {len(values)} columns where the header has {count}: a separator is "
                f"{'missing' if len(values) < count else 'too many'}, or a text that contains one is not in quotes",
            )
        return checked(SourceRow(line, cells))


def checked(row: SourceRow) -> SourceRow:
    """The row, with a problem if a cell holds what is not text."""
    for name, value in row.cells.items():
        if "\ufffd" in value:
            return SourceRow(
                row.line, row.cells, f"{name} has a character that cannot be read: save the file as UTF-8"
            )
        control = next((char for char in value if unicodedata.category(char) in ("Cc", "Cs")), None)
        if control:
            return SourceRow(row.line, row.cells, f"{name} has a control character (U+{ord(control):04X})")
    return row


def clean(value: str) -> str:
    """A cell without the blanks around it, marks that cannot be seen, and line breaks inside."""
    visible = "".join(char for char in value if char not in _INVISIBLE)
    return re.sub(r"[ \t\r\n\f\u00a0\u2028\u2029]+", " ", visible).strip() if visible else ""


_INVISIBLE = frozenset("\ufeff\u200b\u200e\u200f\u2060\u00ad\u202a\u202c")


def _plain(heading: str) -> str:
    return re.sub(r"[\W_]+", "", heading).lower()


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
    forms = f"lines of the form {pair}, nor " if columns.headless else ""
    return InputProblem(
        f"The file has neither {forms}a header with the columns {', '.join(columns.required)}: "
        "see the job's page for the forms that are read"
    )
