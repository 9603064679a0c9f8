"""How full a record is, by the institution's own measure: 1 (briefest) to 10 (full).

Alma gives the level of a title that it has. That of an incoming record is computed here, by a table of encoding levels
(leader/17) and by conditions. Libraries have different tables, and OCLC retires some of the codes: both are settings.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator, model_validator
from pymarc import Record

from alma_etl.bibs.field_patterns import LEADER, FieldPattern

OTHER = "other"
# The tables that CARLI (2021) and the libraries of CSU and the Orbis Cascade Alliance have published.
_SHIPPED: dict[str, dict[str, int]] = {
    "carli": {
        " ": 10, "1": 10, "I": 10, "L": 10, "4": 7, "M": 7, "2": 7, "K": 5, "7": 5, "8": 4, "3": 3, "5": 2,
        "J": 1, OTHER: 1,
    },
    "csu": {
        " ": 10, "1": 8, "I": 9, "L": 9, "4": 7, "M": 6, "2": 5, "K": 6, "7": 5, "8": 4, "3": 3, "5": 2,
        "J": 1, OTHER: 2,
    },
}  # fmt: skip
_LEVEL = re.compile(r"0?[1-9]|10", re.ASCII)


@dataclass(frozen=True)
class BriefLevel:
    """A level, and whence it is known."""

    value: int
    source: str

    def __str__(self) -> str:
        return f"{self.value:02d} ({self.source})"


def _level(value: object) -> int:
    if isinstance(value, str) and _LEVEL.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10:
        return value
    raise ValueError(f"a level is 01 (briefest) to 10 (full), not {value!r}")


Level = Annotated[int, BeforeValidator(_level)]


class LevelCondition(BaseModel):
    """A level for the records in which a field is there (``exists``), or not (``absent``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Level
    exists: str = ""
    absent: str = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> "LevelCondition":
        if bool(self.exists) is bool(self.absent):
            raise ValueError("a condition has either exists or absent")
        if FieldPattern.parse(self.exists or self.absent).tag == LEADER:
            raise ValueError("every record has a leader: leader/17 is what the table is for")
        return self

    def fits(self, record: Record) -> bool:
        """Whether the condition holds for a record."""
        pattern = FieldPattern.parse(self.exists or self.absent)
        return any(map(pattern.fits, record.fields)) is bool(self.exists)

    def __str__(self) -> str:
        return f"{self.exists} is there" if self.exists else f"{self.absent} is not there"


class BriefLevelRule(BaseModel):
    """How the level of a record is computed: the first condition that fits, else the table.

    ``table``: `carli`, `csu`, or a mapping of leader/17 to a level, in which `other` stands for every code that it
    does not name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str | dict[str, int] = "carli"
    conditions: tuple[LevelCondition, ...] = ()

    @field_validator("table", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            if value not in _SHIPPED:
                raise ValueError(
                    f"there is no table {value!r}: {', '.join(_SHIPPED)}, or a mapping of leader/17 to a level"
                )
            return value
        table = {_code(name): _level(level) for name, level in value.items()}
        if OTHER not in table:
            raise ValueError(f"name a level for the codes that are not in the table, as `{OTHER}`")
        return table

    def level_of(self, record: Record) -> BriefLevel:
        """Compute the level of a record."""
        for condition in self.conditions:
            if condition.fits(record):
                return BriefLevel(condition.level, str(condition))
        code = str(record.leader)[17:18] or " "
        table = _SHIPPED[self.table] if isinstance(self.table, str) else self.table
        shown = "blank" if code == " " else code
        return BriefLevel(table.get(code, table[OTHER]), f"leader/17 {shown}")

    def level_in_alma(self, stated: str, record: Record) -> BriefLevel:
        """Return the level that Alma states for a title; where it states none, that of its record by this rule."""
        if _LEVEL.fullmatch(stated.strip()):
            return BriefLevel(int(stated), "Alma's")
        return self.level_of(record)


def _code(name: object) -> str:
    """A code of leader/17 as YAML gives it: unquoted digits are numbers."""
    text = str(name)
    if text in ("blank", "#", ""):
        return " "
    if text == OTHER or len(text) == 1:
        return text
    raise ValueError(f"{text!r} is no code of leader/17: one character, blank, or {OTHER}")
