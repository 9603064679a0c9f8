"""Identifiers as people and spreadsheets write them: barcodes, MMS ids, codes, PO lines.

`read_identifier` is the one rule for every source of an identifier: characters that cannot be seen are taken off,
the rest is folded by NFKC, the wrappings of spreadsheet exports are undone where that is certain, and what a
spreadsheet turned into something else is a problem. `comparable` is the same cleaning for words that are only
compared, `visible` the first part of it. What characters an identifier may then have is the business of who reads it.
"""

import re
import unicodedata
from dataclasses import dataclass

EXACT_DIGITS = 15  # spreadsheets keep no more of a number
_MMS_ID = re.compile(r"99\d{8,17}", re.ASCII)


@dataclass(frozen=True)
class Identifier:
    """An identifier as it was meant. `changes`: what was done to it; `problem`: why it cannot be used, or ""."""

    value: str
    changes: tuple[str, ...] = ()
    problem: str = ""


def read_identifier(text: str) -> Identifier:
    """Read an identifier; a `problem` completes a sentence that begins with the name of its column."""
    seen, changes, problem = _without_invisible(text)
    if problem:
        return Identifier(seen, changes, problem)
    value, unwrapped = _unwrapped(seen)
    return Identifier(value, changes + unwrapped, _spelling_problem(value))


def read_characters(text: str) -> Identifier:
    """Read only the characters: for values such as dates, which are spelled in ways that identifiers are not."""
    return Identifier(*_without_invisible(text))


def comparable(text: str) -> str:
    """Words as they are compared: folded by NFKC, without invisible characters, each gap one blank."""
    return " ".join(unicodedata.normalize("NFKC", visible(text)).split())


def visible(text: str) -> str:
    """A text without invisible characters, each gap one blank."""
    kept = "".join(" " if _is_gap(char) else char for char in text if _is_gap(char) or not is_invisible(char))
    return " ".join(kept.split())


def is_mms_id(text: str) -> bool:
    """Whether ``text`` has the shape of Alma's MMS ids: digits, beginning with 99, at most 19 of them."""
    return _MMS_ID.fullmatch(text) is not None


def is_invisible(char: str) -> bool:
    """Whether a character other than a plain blank leaves no mark on paper."""
    if char.isascii():
        return char < " " or char == "\x7f"
    return char in _BLANK or unicodedata.category(char) in _CATEGORIES


def named(char: str) -> str:
    """A character for people: `U+202D LEFT-TO-RIGHT OVERRIDE`."""
    name = _CONTROL_NAMES.get(char) or unicodedata.name(char, "(a character without a name)")
    return f"U+{ord(char):04X} {name}"


# Format, control and separators, and what Unicode counts among letters, marks and symbols although it is blank:
# variation selectors, joiners, fillers, the empty Braille cell.
_CATEGORIES = frozenset(("Cf", "Cc", "Zs", "Zl", "Zp"))
_BLANK = frozenset(
    [*map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0)), *map(chr, range(0x180B, 0x1810))]
) | frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_BREAKS = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029")  # they part values, as a blank does
_CONTROL_NAMES = {
    "\t": "TAB", "\n": "LINE FEED", "\v": "VERTICAL TAB", "\f": "FORM FEED", "\r": "CARRIAGE RETURN",
    "\x00": "NULL", "\x85": "NEXT LINE", "\x7f": "DELETE",
}  # fmt: skip


def _is_gap(char: str) -> bool:
    return char in _BREAKS or unicodedata.category(char) == "Zs"


def _without_invisible(text: str) -> tuple[str, tuple[str, ...], str]:
    """The characters that can be seen, folded; what was done; and why that is not certain, or ""."""
    if text.isascii() and text.isprintable():
        return text.strip(), (), ""
    visible = "".join(char for char in text if not is_invisible(char))
    value = "".join(char for char in unicodedata.normalize("NFKC", visible) if not is_invisible(char)).strip()
    removed = [char for char in text if char != " " and is_invisible(char)]
    changes = []
    if removed:
        changes.append(f"{len(removed)} invisible character{'s' if len(removed) > 1 else ''} removed")
    if value != visible.strip():
        changes.append("written in plain characters (NFKC)")
    return value, tuple(changes), _parted(text) or _nothing_left(value, removed) or _unprintable(value)


def _parted(text: str) -> str:
    """Whether what is taken off from the inside parted two values, or the groups of a number."""
    edge = "".join(char for char in text if _is_gap(char) or not is_invisible(char)).strip()
    breaks = [char for char in edge if char in _BREAKS]
    if breaks:
        return f"has {named(breaks[0])} in it: one value stands in a cell"
    blanks = [char for char in edge if char != " " and _is_gap(char)]
    if blanks:
        spaced = unicodedata.normalize("NFKC", edge)
        if _GROUPED.fullmatch(spaced):
            return f"{spaced!r} {_IS_NUMBER} (with {named(blanks[0])} between the groups): {_AS_TEXT}"
        if _several(spaced.split()):
            return f"has {named(blanks[0])} in it, between what may be two values: one value stands in a cell"
    return ""


def _several(parts: list[str]) -> bool:
    """Whether parts are rather several values than one: each as long as one, or of one length and one beginning."""
    shortest = min(map(len, parts))
    alike = len({len(part) for part in parts}) == len({part[:3] for part in parts}) == 1
    return len(parts) > 1 and (shortest >= 12 or (shortest >= 5 and alike))


def _unprintable(value: str) -> str:
    odd = next((char for char in value if not char.isprintable() or char == "\ufffd"), "")
    return f"has {named(odd)} in it, which is no character that can be printed" if odd else ""


def _nothing_left(value: str, removed: list[str]) -> str:
    marks = [char for char in removed if not _is_gap(char)]
    return f"holds nothing but {named(marks[0])}, which cannot be seen" if marks and not value else ""


# --- what spreadsheets do to identifiers

_AS_TEXT = "format the column as text and enter the values again"
_IS_NUMBER = "is a number as a spreadsheet shows it"
_SIGNS = ".,'\u2019\u00b7 "  # between the groups of a number
_GROUPED = re.compile(
    rf"[+-]?[1-9]\d{{0,2}}(?:([{_SIGNS}])\d{{3}}(?:\1\d{{3}})*|(?:,\d{{2}})+,\d{{3}})(?:[.,]\d+)?", re.ASCII
)
_SCIENTIFIC = re.compile(
    r"[+-]?\d+(?:[.,]\d*)?\s?(?:E\s?[+\u2212-]\s?\d+|[x\u00d7*\u00b7\u22c5]\s?10\s?\^?\s?[+\u2212-]?\d+)"
    r"|[+-]?\d+[.,]\d*E\d+",
    re.ASCII | re.IGNORECASE,
)
_WHOLE = re.compile(r"(0|[1-9]\d*)[.,]0{1,2}", re.ASCII)
_FRACTION = re.compile(r"\d{7,}[.,]\d*|[+-]?\d+[.,](?:\d{6,}|0{3,})?", re.ASCII)
_ERROR = re.compile(r"#[^\W\d_]/[^\W\d_]!?|#[\u00a1\u00bf]?[^\W\d_]\w*(?:/0)?[!?]|Err:\d+|#+", re.IGNORECASE)
_ERRORS = frozenset(("#NV", "#YOK", "#HI\u00c1NYZIK", "#NEN\u00cd_K_DISPOZICI", "#GETTING_DATA"))
_EMPTY = frozenset(
    ("null", "(null)", "[null]", "<null>", "\\n", "nan", "nat", "n/a", "<na>", "none", "undefined", "(blank)")
)
_TRUTH = frozenset(("true", "false", "wahr", "falsch", "vrai", "faux", "verdadero", "falso"))
_DASHES = frozenset("-\u2010\u2011\u2012\u2013\u2014\u2015\u2212_.?")
# What word processors and keyboards of other scripts put for a plain character: digits, dashes, quotation marks.
_LIKE_PLAIN = frozenset(("Nd", "Pd", "Pi", "Pf"))
_ALSO_LIKE_PLAIN = frozenset("\u201a\u201e\u2032\u2033\u2044\u2212\u2215\u066b\u066c")
_PREFIXED = re.compile(r"'(?=[\w./-]*\d)\w[\w./-]*", re.ASCII)


def is_error_word(value: str) -> bool:
    """Whether a value is what a spreadsheet writes for an error, in one of its languages: `#N/A`, `#BEZUG!`."""
    return value.upper() in _ERRORS or _ERROR.fullmatch(value) is not None


def without_formula(value: str) -> str | None:
    """What stands in `="\u2026"`, by which exports keep a spreadsheet from changing it; None when it is no such."""
    if len(value) > 2 and value.startswith('="') and value.endswith('"') and '"' not in value[2:-1]:
        return value[2:-1].strip()
    return None


def _unwrapped(value: str) -> tuple[str, tuple[str, ...]]:
    changes: list[str] = []
    inner = without_formula(value)
    if inner is not None:
        value = inner
        changes.append('="\u2026" around it removed')
    for mark in ('"', "'"):
        if len(value) > 2 and value[0] == value[-1] == mark and mark not in value[1:-1]:
            value = value[1:-1].strip()
            changes.append("quotation marks around it removed")
    if _PREFIXED.fullmatch(value):
        value = value[1:]
        changes.append("' before it removed")
    whole = _WHOLE.fullmatch(value)
    if whole and len(whole[1]) <= EXACT_DIGITS:
        changes.append(f"{value[len(whole[1]) :]} at its end removed")
        value = whole[1]
    return value, tuple(changes)


def _spelling_problem(value: str) -> str:
    if value.isalnum() and value.isascii() and value.lower() not in _EMPTY | _TRUTH:  # nearly all
        return ""
    shown = repr(value[:60])
    if is_error_word(value):
        return f"{shown} is the error of a spreadsheet's formula, not a value"
    if value.lower() in _EMPTY or (value and not set(value) - _DASHES):
        return f"{shown} is a word for nothing: leave the cell empty where there is no value"
    if value.lower() in _TRUTH:
        return f"{shown} is a truth value of a spreadsheet: {_AS_TEXT}"
    if value.startswith("="):
        return f"{shown} is a formula: enter its value"
    if value[:1] in ("'", '"') and value != value[:1]:
        return f"{shown} begins with a quotation mark that may not belong to it: enter it without"
    if _SCIENTIFIC.fullmatch(value):
        return f"{shown} was turned into a rounded number by Excel, its last digits are lost: {_AS_TEXT}"
    if _GROUPED.fullmatch(value) or _FRACTION.fullmatch(value):
        lost = sum(char.isdigit() for char in value.rstrip("0.,")) > EXACT_DIGITS
        return f"{shown} {_IS_NUMBER}{', its last digits are lost' if lost else ''}: {_AS_TEXT}"
    odd = next((char for char in value if _is_like_plain(char)), "")
    return (
        f"{shown} has {named(odd)} in it, where a plain character may be meant: type it again" if odd else ""
    )


def _is_like_plain(char: str) -> bool:
    if char.isascii():
        return False
    return char in _ALSO_LIKE_PLAIN or unicodedata.category(char) in _LIKE_PLAIN
