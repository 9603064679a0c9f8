"""Fields and their counterparts in another script: a field and its 880 are linked by `$6`, and go one way together.

The occurrence numbers of `$6` mean something in one record only. Here a field is known by its content and that of what
it is linked with, whatever the number; `numbered` writes them again, in the order of the fields.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pymarc import Field, Indicators, Subfield

ALTERNATE = "880"
_LINK = re.compile(r"([0-9A-Za-z]{3})-(\d{2,})(.*)", re.ASCII | re.DOTALL)

Content = tuple[object, ...]


@dataclass(frozen=True)
class Unit:
    """A field with what it is linked with, in the order of the record; most fields are alone."""

    fields: tuple[Field, ...]

    @property
    def is_linked(self) -> bool:
        """Whether there is more than one field."""
        return len(self.fields) > 1

    def named(self) -> Iterator[tuple[Field, str]]:
        """Yield the fields with each tag that a pattern may name them by: an 880 also by that of its counterpart."""
        for field in self.fields:
            yield field, field.tag
            link = _link(field)
            if field.tag == ALTERNATE and link is not None:
                yield field, link[0]

    def content(self) -> Content:
        """What is the same in two units that differ in nothing but their occurrence number."""
        return tuple(sorted(map(content_of, self.fields), key=repr))


@dataclass(frozen=True)
class UnitField:
    """One field of a unit."""

    field: Field
    unit: Unit

    @property
    def tag(self) -> str:
        """The field's own tag."""
        return self.field.tag

    def content(self) -> Content:
        """By what the field is known again in another record."""
        return (content_of(self.field), self.unit.content())


def units_of(fields: Iterable[Field]) -> list[Unit]:
    """Return the fields as units, each at the place of its first field."""
    groups: dict[object, list[Field]] = {}
    for position, field in enumerate(fields):
        groups.setdefault(_group(field, position), []).append(field)
    units: list[Unit] = []
    for group in groups.values():
        both = {field.tag == ALTERNATE for field in group} == {True, False}
        units += [Unit(tuple(group))] if both else [Unit((field,)) for field in group]
    order = {id(field): position for position, field in enumerate(fields)}
    return sorted(units, key=lambda unit: order[id(unit.fields[0])])


def parts_of(units: Iterable[Unit], fields: Sequence[Field]) -> list[UnitField]:
    """Return those of the fields that are in the units, in the order of ``fields``."""
    by_field = {id(field): unit for unit in units for field in unit.fields}
    return [UnitField(field, by_field[id(field)]) for field in fields if id(field) in by_field]


def numbered(parts: Sequence[UnitField]) -> list[Field]:
    """Return the fields as new ones, linked pairs counted from 01 in the order of their first field. What is linked
    with a field that is not there gets 00, so that it is not taken for the counterpart of another one."""
    numbers: dict[int, int] = {}
    for part in parts:
        if part.unit.is_linked and part.tag != ALTERNATE:
            numbers.setdefault(id(part.unit), len(numbers) + 1)
    return [_with_number(part.field, numbers.get(id(part.unit), 0)) for part in parts]


def content_of(field: Field) -> Content:
    """A field without its occurrence number: tag, indicators, subfields in their order; text by Unicode's NFC, since
    systems compose letters and accents as they like."""
    if field.is_control_field():
        return field.tag, _same(field.data or "")
    subfields = tuple((code, _same(_without_number(code, value))) for code, value in field.subfields)
    return field.tag, tuple(field.indicators or (" ", " ")), subfields


def copied(field: Field) -> Field:
    """Return a field that shares nothing with another record."""
    if field.is_control_field():
        return Field(tag=field.tag, data=field.data)
    return Field(
        tag=field.tag,
        indicators=Indicators(*(field.indicators or (" ", " "))),
        subfields=[Subfield(*each) for each in field.subfields],
    )


def _same(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _group(field: Field, position: int) -> object:
    link = _link(field)
    if link is None or int(link[1]) == 0:
        return position
    if field.tag == ALTERNATE:
        return link[0], int(link[1])
    return (field.tag, int(link[1])) if link[0] == ALTERNATE else position


def _link(field: Field) -> tuple[str, str, str] | None:
    """Tag, occurrence number and rest of the first `$6`; None where there is none, or one of another form."""
    if field.is_control_field():
        return None
    value = next(iter(field.get_subfields("6")), "")
    found = _LINK.fullmatch(value)
    return (found[1], found[2], found[3]) if found else None


def _without_number(code: str, value: str) -> str:
    found = _LINK.fullmatch(value) if code == "6" else None
    return f"{found[1]}{found[3]}" if found else value


def _with_number(field: Field, number: int) -> Field:
    field = copied(field)
    link = _link(field)
    if link is None:
        return field
    first = next(at for at, each in enumerate(field.subfields) if each.code == "6")
    field.subfields[first] = Subfield("6", f"{link[0]}-{number:02d}{link[2]}")
    return field
