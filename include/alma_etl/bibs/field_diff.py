"""What a merge changes in a title, field by field, for people: as lines of text, and side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from pymarc import Field, Record

from alma_etl.bibs.field_patterns import LEADER
from alma_etl.bibs.linked_fields import Content, parts_of, units_of
from alma_etl.bibs.merging import ALMAS

_SHOWN = 12  # fields that a message names


@dataclass(frozen=True)
class FieldChange:
    """A field before and after, each as `245 10 $a Title`; "" on one side where it is added or goes."""

    before: str
    after: str


def changes(before: Record, after: Record) -> list[FieldChange]:
    """Return what differs, in the order of the tags, the leader first; nothing where `differs` finds nothing."""
    theirs, ours = _by_tag(before), _by_tag(after)
    found: list[FieldChange] = []
    for tag in sorted({*theirs, *ours}, key=lambda each: "" if each == LEADER else each):
        old, new = theirs.get(tag, []), ours.get(tag, [])
        matcher = SequenceMatcher(None, [each[0] for each in old], [each[0] for each in new], autojunk=False)
        for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
            if kind != "equal":
                lines = (each[1] for each in old[old_from:old_to]), (each[1] for each in new[new_from:new_to])
                found += [FieldChange(*pair) for pair in zip_longest(*lines, fillvalue="")]
    return found


def changed_tags(before: Record, after: Record) -> str:
    """Return the tags of the fields in which two records differ, for a message."""
    tags = list(dict.fromkeys((change.before or change.after)[:3] for change in changes(before, after)))
    return f"{', '.join(tags[:_SHOWN])} and others" if len(tags) > _SHOWN else ", ".join(tags)


def as_text(found: Iterable[FieldChange]) -> str:
    """Return changes as lines, `-` before what goes and `+` before what comes."""
    return "\n".join(_lines(found))


def shown(field: Field) -> str:
    """Return a field as one line: `245 10 $a Title /$c a name`, `_` for a blank indicator."""
    if field.is_control_field():
        return f"{field.tag} {field.data or ''}"
    indicators = "".join("_" if each == " " else each for each in field.indicators or (" ", " "))
    return (
        f"{field.tag} {indicators} {''.join(f'${code} {value} ' for code, value in field.subfields).strip()}"
    )


def _lines(found: Iterable[FieldChange]) -> Iterator[str]:
    for change in found:
        if change.before:
            yield f"- {change.before}"
        if change.after:
            yield f"+ {change.after}"


def _by_tag(record: Record) -> dict[str, list[tuple[Content, str]]]:
    leader = str(record.leader).ljust(24)
    compared = leader[5:12] + leader[17:24]
    found: dict[str, list[tuple[Content, str]]] = {LEADER: [((compared,), f"{LEADER} {leader}")]}
    for part in parts_of(units_of(record.fields), record.fields):
        if part.tag not in ALMAS:
            found.setdefault(part.tag, []).append((part.content(), shown(part.field)))
    return found
