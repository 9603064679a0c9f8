"""One cell of a table: what it says, by what its column holds. The same for every form of a table."""

import re
from dataclasses import dataclass, replace
from enum import Enum, auto

from alma_etl.identifiers import (
    Identifier,
    is_error_word,
    is_invisible,
    read_characters,
    read_identifier,
    without_formula,
)


class Holds(Enum):
    """What a column holds: it decides how a cell is cleaned, and what of a spreadsheet's cells fits."""

    IDENTIFIER = auto()  # barcodes, ids, codes
    LABEL = auto()  # short texts that are read as they are printed: enumeration, chronology, pages
    AMOUNT = auto()  # like a label, but a number with decimals fits too
    DATE = auto()
    TEXT = auto()  # free text: kept as it was typed


@dataclass(frozen=True)
class Cell:
    """A cell that was read: its value, what was done to it, and why it cannot be used, or ""."""

    value: str
    changes: tuple[str, ...] = ()
    problem: str = ""


def read_cell(text: str, holds: Holds) -> Cell:
    """Read a cell's text; a `problem` completes a sentence that begins with the name of its column."""
    if holds is Holds.IDENTIFIER:
        return _cell(read_identifier(text))
    if holds is Holds.DATE:
        return _cell(read_characters(text))
    cell = _text(text)
    if holds is Holds.TEXT or cell.problem:
        return cell
    inner = without_formula(cell.value)
    if inner is not None:
        cell = Cell(inner, (*cell.changes, '="…" around it removed'))
    if is_error_word(cell.value):
        return replace(cell, problem=f"{cell.value!r} is the error of a spreadsheet's formula, not a value")
    return cell


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen."""
    return not text or all(char == " " or is_invisible(char) for char in text)


def without_marks(text: str) -> str:
    """A text without what cannot be seen in it: for headings."""
    return "".join(
        " " if char.isspace() else char for char in text if char.isspace() or not is_invisible(char)
    ).strip()


def _cell(read: Identifier) -> Cell:
    return Cell(read.value, read.changes, read.problem)


_BREAK = re.compile("\r\n?")
_WRITTEN_PLAINLY = {"\t": " ", "\v": "\n", "\f": "\n", "\x85": "\n"}
# What neither a text nor XML, in which Alma keeps it, may contain.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def _text(text: str) -> Cell:
    """Free text: line breaks and inner characters stay, control characters do not."""
    value = text.strip()
    if value.isprintable() and "\ufffd" not in value:  # nearly all
        return Cell(value)
    if "\ufffd" in value:
        return Cell(value, problem="has a character that cannot be read: save the file as UTF-8")
    if is_blank(value):
        return Cell("")
    value, count = re.subn("[\t\v\f\x85]", lambda found: _WRITTEN_PLAINLY[found[0]], _BREAK.sub("\n", value))
    plural = "s" if count > 1 else ""
    changes = (f"{count} control character{plural} written as blanks or line breaks",) if count else ()
    odd = _CONTROL.search(value)
    return Cell(value, changes, f"has a control character (U+{ord(odd[0]):04X})" if odd else "")
