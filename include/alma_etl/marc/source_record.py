"""A record of a dropped MARC file as a job gets it, and what holds for one of any format: its fields, one by one.

What Alma could not take, or what nobody knows the meaning of, makes the record unusable and is named; what can be put
right with certainty is, with a remark.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pymarc import Field, Indicators, Record, Subfield

from alma_etl.counted import counted
from alma_etl.remote.xml import ILLEGAL

LENGTH, ENCODING = "LENGTH", "ENCODING"  # codes of remarks, as the report has them
_CODES = frozenset(chr(code) for code in range(0x21, 0x7F))  # of subfields: ASCII that can be seen
_SHOWN = 60  # characters of a text in a sentence
_BLANKS = str.maketrans("#^\\", "   ")  # how people write a blank where it counts
# UNIMARC has in 100 $a a date of eight digits, a letter for its kind, and codes; MARC 21 has a name.
_UNIMARC_100 = re.compile(r"\d{8}[a-z|# ]")


class UnusableRecord(ValueError):
    """A record that is not loaded; the message says why, and mostly what to do."""


@dataclass(frozen=True)
class Remark:
    """What was put right in a record: a `code` for the report's reasons, "" when it has none, and a sentence."""

    text: str
    code: str = ""


@dataclass(frozen=True)
class SourceRecord:
    """One record of a file: its number from 1 (`line`), and what it holds, or why it cannot be used (`problem`).

    `record` is there when there is no `problem`; its text is Unicode, its leader/09 `a`. `offset`: of its first byte in
    the file, None where the file had to be converted before. `key` (its 001) and `title` are there where they could be
    made out, also of a record that cannot be used.
    """

    line: int
    record: Record | None = None
    problem: str = ""
    remarks: tuple[Remark, ...] = ()
    key: str = ""
    title: str = ""
    offset: int | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """The codes of the remarks, each once."""
        return tuple(dict.fromkeys(remark.code for remark in self.remarks if remark.code))


class RecordBuilder:
    """Makes a pymarc Record of leader and fields that came in any format. Its methods raise UnusableRecord.

    ``clean``: the text is known to have no character that XML, and so Alma, cannot hold; else those are removed.
    """

    def __init__(self, *, clean: bool = False) -> None:
        self.fields: list[Field] = []
        self.remarks: list[Remark] = []
        self._clean = clean
        self._removed: Counter[str] = Counter()

    def add_control(self, tag: str, text: str) -> None:
        """Add a field 001 to 009."""
        if "\x1f" in text:
            bare = text.rstrip("\x1f")
            if "\x1f" in bare:
                raise UnusableRecord(f"the control field {tag} has subfields: {_short(text)}")
            self._removed[tag] += len(text) - len(bare)
            text = bare
        self.fields.append(Field(tag=tag, data=text if self._clean else self._legal(tag, text)))

    def add_data(self, tag: str, indicators: str, parts: Sequence[str]) -> None:
        """Add a field with subfields, each its code and its value in one text. Without any it is left out, with a
        remark."""
        if not parts:
            self.leave_out(tag, indicators)
            return
        for part in parts:
            if part[0] not in _CODES:
                raise UnusableRecord(
                    f"the field {tag} has the subfield code {part[0]!r}, before {_short(part[1:])}"
                )
        if not self._clean:
            parts = [part[0] + self._legal(tag, part[1:]) for part in parts]
        made = _indicators(indicators)
        if made is None:
            raise UnusableRecord(
                f"the field {tag} has the indicators {_short(indicators)}: two characters belong there, each a digit, "
                "a letter or a blank"
            )
        if len(indicators) != 2:
            had = f"blanks after its indicators {_short(indicators)}" if indicators else "no indicators"
            self.remarks.append(Remark(f"the field {tag} has {had}: read as {''.join(made)!r}"))
        self.fields.append(
            Field(tag=tag, indicators=made, subfields=[Subfield(part[0], part[1:]) for part in parts])
        )

    def leave_out(self, tag: str, text: str) -> None:
        """Note a field that has no subfields."""
        shown = f": {_short(text.strip())}" if text.strip() else ""
        self.remarks.append(Remark(f"the field {tag} was left out, since it has no subfields{shown}"))

    def record(self, leader: str) -> Record:
        """Return the record; its leader says that it is Unicode."""
        leader = leader.translate(_BLANKS)
        if len(leader) != 24:
            raise UnusableRecord(
                f"its leader has {counted(len(leader), 'character')} where 24 belong: {_short(leader)}"
            )
        if not (leader.isascii() and leader.isprintable()):
            raise UnusableRecord(f"its leader has characters that do not belong there: {_short(leader)}")
        if not self.fields:
            raise UnusableRecord("it has no fields")
        if self._is_unimarc():
            raise UnusableRecord(UNIMARC)
        for tag, number in self._removed.items():
            removed = f"{counted(number, 'control character')} removed from the field {tag}"
            self.remarks.append(Remark(removed))
        return Record(fields=self.fields, leader=f"{leader[:9]}a{leader[10:]}", force_utf8=True)

    def _is_unimarc(self) -> bool:
        tags = {field.tag for field in self.fields}
        return "200" in tags and any(
            is_unimarc(tags, field.get("a", "")) for field in self.fields if field.tag == "100"
        )

    def _legal(self, tag: str, text: str) -> str:
        if text.isprintable():
            return text
        legal, number = ILLEGAL.subn("", text)
        if number:
            self._removed[tag] += number
        return legal


UNIMARC = (
    "it is UNIMARC, whose fields have other meanings than those of MARC 21: export it as MARC 21, or convert it "
    "before it is dropped"
)


def is_unimarc(tags: Iterable[str], text_100a: str) -> bool:
    """Whether a record with these tags and this 100 $a is one of UNIMARC."""
    return "200" in tags and "245" not in tags and _UNIMARC_100.match(text_100a) is not None


def title_of(record: Record) -> str:
    """Return the title of 245 `$a` and `$b`, "" when there is none."""
    return (record.title or "").strip(" /:;=")


def key_of(record: Record) -> str:
    """Return the 001, "" when there is none."""
    field = record.get("001")
    return (field.data or "").strip() if field is not None else ""


@lru_cache(maxsize=4_096)
def _indicators(text: str) -> Indicators | None:
    signs = text.translate(_BLANKS) or "  "
    if not signs[2:].strip(" "):  # nothing is lost with blanks beyond them
        signs = signs[:2]
    if len(signs) != 2 or not (signs.isascii() and signs.isprintable()):
        return None
    return Indicators(*signs)


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
