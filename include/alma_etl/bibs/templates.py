"""Titles to order as a table: each row becomes a brief record, by the template of its profile.

The template is data: a leader and fields, with `{column}` where a cell of the row belongs. Rejected rows are given out
as a table, as they came.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from alma_etl.bibs.keys import isbn_of, issn_of
from alma_etl.errors import InputProblem
from alma_etl.jobs.settings_files import Code
from alma_etl.marc.source_record import RecordBuilder, Remark, SourceRecord, UnusableRecord, title_of
from alma_etl.tabular.cells import Holds
from alma_etl.tabular.tables import Columns, EditableTable, RawRow, SourceRow

_FIELD = re.compile(r"(\d{3}) +(\S.*)", re.ASCII | re.DOTALL)
_DATA = re.compile(r"([0-9a-z_#]{2}) *(\$.+)", re.ASCII | re.DOTALL)
_CODE = re.compile(r"[0-9a-z]", re.ASCII)
_PLACE = re.compile(r"\{([^{}:]+)(?::(\d{1,2}))?\}")
_BLANKS = str.maketrans("_#", "  ")  # how a blank is written where it counts
_FILL = "|"  # of a control field: no attempt to code
_MADE_BY_ALMA = ("001", "003", "005")
_NUMBERS = ("020", "022", "024", "035")
_CHECKED: Mapping[tuple[str, str], tuple[str, Callable[[str], str | None]]] = {
    ("020", "a"): ("ISBN (10 or 13 digits, the last one by the others)", isbn_of),
    ("022", "a"): ("ISSN (8 digits, the last one by the others)", issn_of),
}
_LEADER, _OF_008 = 24, 40


def _ascii_digit(char: str) -> str:
    """A character; of the decimal digits of another script the one of ours."""
    return str(unicodedata.decimal(char, char))


@dataclass(frozen=True)
class Place:
    """Where a cell belongs. `width`: how many characters it takes in a control field, 0 for as many as there are."""

    column: str
    width: int = 0

    def of(self, cells: Mapping[str, str]) -> str:
        """The text for a row; "" for an empty cell, fillers where it does not fit a control field, which is ASCII."""
        value = " ".join(cells.get(self.column, "").split())
        if not self.width:
            return value
        value = "".join(map(_ascii_digit, value))
        if len(value) == self.width and value.isascii() and value.isalnum():
            return value
        digits = {each for each in re.findall(r"[0-9]+", value) if len(each) == self.width}
        return digits.pop() if len(digits) == 1 else _FILL * self.width


@dataclass(frozen=True)
class Text:
    """Texts and places in a row."""

    pieces: tuple[str | Place, ...]

    @classmethod
    def parse(cls, text: str) -> "Text":
        """Read a text. Raises ValueError for braces that hold no column."""
        pieces: list[str | Place] = []
        end = 0
        for found in _PLACE.finditer(text):
            pieces += [text[end : found.start()], Place(found[1].strip(), int(found[2] or 0))]
            end = found.end()
        pieces.append(text[end:])
        if any(isinstance(piece, str) and set(piece) & {"{", "}"} for piece in pieces):
            raise ValueError(f"{text!r}: write a column in braces, as in {{title}}")
        return cls(tuple(piece for piece in pieces if piece))

    @property
    def places(self) -> tuple[Place, ...]:
        """The cells that it wants."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Place))

    def of(self, cells: Mapping[str, str]) -> str:
        """The text for a row; "" where one of its cells is empty."""
        values = [piece if isinstance(piece, str) else piece.of(cells) for piece in self.pieces]
        return "".join(values) if all(values) else ""


@dataclass(frozen=True)
class FieldTemplate:
    """One field. `subfields`: their codes and texts; one without a code is all of a control field."""

    tag: str
    indicators: str
    subfields: tuple[tuple[str, Text], ...]

    @classmethod
    def parse(cls, text: str) -> "FieldTemplate":
        """Read a field. Raises ValueError, a sentence that says how one is written."""
        found = _FIELD.fullmatch(text)
        if found and found[1] in _MADE_BY_ALMA:
            raise ValueError(f"{text!r}: Alma makes {', '.join(_MADE_BY_ALMA)} itself, leave it out")
        if found and found[1] < "010":
            return cls(found[1], "", (("", Text.parse(found[2].replace("#", " "))),))
        data = _DATA.fullmatch(found[2]) if found else None
        if found is None or data is None:
            raise ValueError(
                f"{text!r} is no field: write tag, indicators (_ for a blank) and subfields, as in 245 00 $a{{title}}"
            )
        parts = data[2].split("$")[1:]
        if not all(_CODE.match(part) and part[1:].strip() for part in parts):
            raise ValueError(f"{text!r} has a subfield without its code, or with nothing in it")
        subfields = tuple((part[0], Text.parse(part[1:].strip())) for part in parts)
        if any(place.width for _, each in subfields for place in each.places):
            raise ValueError(f"{text!r}: a width, as in {{year:4}}, is for fields 006 to 008")
        return cls(found[1], data[1].translate(_BLANKS), subfields)

    @property
    def places(self) -> tuple[Place, ...]:
        """The cells that it wants."""
        return tuple(place for _, text in self.subfields for place in text.places)

    def of(self, cells: Mapping[str, str]) -> list[tuple[str, str]]:
        """The codes and values of its subfields for a row, those with an empty cell left out; none at all where nothing
        of the row is in them."""
        found = [(code, text, text.of(cells)) for code, text in self.subfields]
        if self.places and not any(text.places and value for _, text, value in found):
            return []
        return [(code, value) for code, _, value in found if value]

    def problems(self, cells: Mapping[str, str]) -> Iterator[str]:
        """What is wrong with the ISBN or ISSN of a row."""
        for code, text in self.subfields:
            if (self.tag, code) not in _CHECKED:
                continue
            kind, read = _CHECKED[self.tag, code]
            value = text.of(cells)
            if value and read(value) is None:
                yield f"{text.places[0].column if text.places else self.tag} {value[:40]!r} is no {kind}: correct it"


def _is_field(text: str) -> str:
    FieldTemplate.parse(text)
    return text


def _is_leader(text: str) -> str:
    if len(text) != _LEADER or not text.isascii():
        raise ValueError(
            f"{text!r} has {len(text)} characters, a leader has {_LEADER}: write # for each blank"
        )
    return text


FieldText = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_is_field)]


class RecordTemplate(BaseModel):
    """`template` of a profile (docs/title-lists.md). `ignored`: columns of the files that no field takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    leader: Annotated[str, AfterValidator(_is_leader)] = "#####nam#a22#####3i#4500"
    fields: Annotated[tuple[FieldText, ...], Field(min_length=1)]
    ignored: tuple[Code, ...] = ()

    @model_validator(mode="after")
    def _has_a_title(self) -> "RecordTemplate":
        columns = self.columns()
        twice = [name for name in columns.known if columns.named(name) != name]
        if twice:
            raise ValueError(
                f"the columns {twice[0]} and {columns.named(twice[0])} are one: write it in one way everywhere"
            )
        if not self._title.places:
            raise ValueError(
                "it has no title: give it a field 245 with a column in $a, as in 245 00 $a{title}"
            )
        for field in self.parsed:
            width = sum(
                len(piece) if isinstance(piece, str) else piece.width
                for piece in field.subfields[0][1].pieces
            )
            if field.tag == "008" and width != _OF_008:
                raise ValueError(
                    f"its 008 has {width} characters, {_OF_008} belong there: write # for each blank, and how many "
                    "a column takes, as in {year:4}"
                )
        return self

    @cached_property
    def parsed(self) -> tuple[FieldTemplate, ...]:
        """Its fields."""
        return tuple(map(FieldTemplate.parse, self.fields))

    @cached_property
    def _title(self) -> Text:
        found = (
            text for each in self.parsed if each.tag == "245" for code, text in each.subfields if code == "a"
        )
        return next(found, Text(()))

    def columns(
        self, dates: Collection[tuple[str, str]] = (), identifiers: Collection[tuple[str, str]] = ()
    ) -> Columns:
        """The columns of its files. ``dates`` and ``identifiers``: tag and code of subfields that hold such, beside
        the numbers of the title."""
        holds: dict[str, Holds] = {}
        for field in self.parsed:
            for code, text in field.subfields:
                is_number = field.tag in _NUMBERS or (field.tag, code) in identifiers
                kind = Holds.IDENTIFIER if is_number else Holds.AMOUNT
                kind = Holds.DATE if (field.tag, code) in dates else kind
                for place in text.places:
                    if holds.setdefault(place.column, kind) is Holds.AMOUNT:
                        holds[place.column] = kind
        holds |= {name: Holds.TEXT for name in self.ignored if name not in holds}
        numbers = tuple(name for name, kind in holds.items() if kind is Holds.IDENTIFIER)
        required = tuple(dict.fromkeys(place.column for place in self._title.places))
        return Columns(tuple(holds), required, holds=holds, keys=numbers or required)

    def sentences(self) -> list[str]:
        """What its files are, for people who choose a profile."""
        columns = self.columns()
        return [
            "Its files are tables (CSV, TSV or Excel) with a header; each row is a title. Columns: "
            f"{', '.join(columns.known)}. Needed: {', '.join(columns.required)}."
        ]

    def record_of(self, row: SourceRow) -> SourceRecord:
        """Return the record of a row, or why there is none."""
        title = self._title.of(row.cells)
        problems = [row.problem] if row.problem else self._problems(row.cells, title)
        builder = RecordBuilder()
        if not problems:
            try:
                for field in self.parsed:
                    found = field.of(row.cells)
                    if found and field.tag < "010":
                        builder.add_control(field.tag, found[0][1])
                    elif found:
                        builder.add_data(field.tag, field.indicators, [code + value for code, value in found])
                record = builder.record(self.leader)
            except UnusableRecord as problem:
                problems.append(str(problem))
        if problems:
            return SourceRecord(row.line, problem="; ".join(problems), title=title)
        remarks = (*map(Remark, row.changes), *builder.remarks)
        return SourceRecord(row.line, record, remarks=remarks, title=title_of(record))

    def _problems(self, cells: Mapping[str, str], title: str) -> list[str]:
        """What is wrong with a row that can be read."""
        empty = [] if title else [f"it has no title: fill in {' and '.join(self.columns().required)}"]
        return [*empty, *(problem for field in self.parsed for problem in field.problems(cells))]


class TitleTable:
    """A dropped table whose rows are records; all else is the table's (see `EditableTable`)."""

    def __init__(self, table: EditableTable, template: RecordTemplate) -> None:
        if table.header_problem:
            raise InputProblem(table.header_problem[:1].upper() + table.header_problem[1:])
        self._table = table
        self._template = template
        self.form, self.extension = table.form, table.extension
        self.headings, self.header_line = table.headings, table.header_line
        self.header_problem = ""

    def rows(self) -> Iterator[SourceRecord]:
        """The record of each row, by the number of its line."""
        return map(self._template.record_of, self._table.rows())

    def excerpt(self, lines: Collection[int], stream: IO[bytes]) -> None:
        """Write the header and the rows of these lines, as they came."""
        self._table.excerpt(lines, stream)

    def raw_rows(self) -> Iterator[RawRow]:
        """The rows as they stand."""
        return self._table.raw_rows()

    def rewrite(self, rows: Mapping[int, Sequence[str] | None], stream: IO[bytes]) -> None:
        """Write the table with other cells in the rows of these lines."""
        self._table.rewrite(rows, stream)
