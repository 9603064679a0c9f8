"""What becomes of a title in Alma when a record is merged into it, by a declared rule; pure, and nothing is asked.

A rule has three lists of field patterns. Fields that `protect` names stay as Alma has them, and none of the record
come beside them. Fields that `add` names stay, and those of the record come beside them unless they are equal. Fields
that `replace` names are taken from the record, all of them, and Alma's go. What no list names stays. Where several fit,
`protect` decides over Alma's own fields, `add` over those of the record, `replace` comes last.

Whatever the rule says: 001, 003 and 005 are Alma's. So are 035 with a 9 in an indicator, by which vendors mark theirs,
and fields with `$9` local. There is one OCLC number in 035 `$a`, that of the record if it has one; former numbers are
those in its own `$z`. A field and its 880 go together.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pymarc import Field, Indicators, Record, Subfield

from alma_etl.bibs.field_patterns import LEADER, FieldPattern
from alma_etl.bibs.keys import is_oclc_035, oclc_035, own_oclc_number, own_system_number
from alma_etl.bibs.linked_fields import (
    ALTERNATE,
    Content,
    Unit,
    UnitField,
    copied,
    numbered,
    parts_of,
    units_of,
)

ALMAS = ("001", "003", "005")  # written by Alma, or by whom Alma had the title from
_FIXED_LEADER = "22", "4500"
# Fields of which a record has one: where Alma's stays, that of the file does not come beside it.
_ONCE = frozenset(
    ("002", "004", "008", "009", "010", "018", "240", "243", "245", "254", "256", "263", "306", "507", "514")
)
_MAIN_ENTRY = frozenset(("100", "110", "111", "130"))


def _patterns(texts: Iterable[str]) -> tuple[FieldPattern, ...]:
    return tuple(map(FieldPattern.parse, texts))


_ALWAYS_PROTECTED = _patterns((*ALMAS, "035 9*", "035 *9", "XXX$9=local"))


@dataclass(frozen=True)
class MergeRule:
    """Which fields stay, come beside, and replace; see the module."""

    protect: tuple[FieldPattern, ...] = ()
    replace: tuple[FieldPattern, ...] = ()
    add: tuple[FieldPattern, ...] = ()
    _protect: tuple[FieldPattern, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_protect", (*_ALWAYS_PROTECTED, *self.protect))

    @classmethod
    def of(
        cls, *, protect: Iterable[str] = (), replace: Iterable[str] = (), add: Iterable[str] = ()
    ) -> "MergeRule":
        """Read a rule from texts. Raises ValueError for one that is no pattern."""
        return cls(_patterns(protect), _patterns(replace), _patterns(add))

    @property
    def replaces_leader(self) -> bool:
        """Whether the leader is the record's, but for lengths and what says how the record is built."""
        return any(pattern.tag == LEADER for pattern in self.replace)

    def keeps(self, unit: Unit) -> bool:
        """Whether fields of Alma stay."""
        return _fits(self._protect, unit) or _fits(self.add, unit) or not _fits(self.replace, unit)

    def adds(self, unit: Unit) -> bool:
        """Whether fields of the record come beside Alma's; Alma's own control numbers never do."""
        return _fits(self.add, unit) and not any(each.tag in ALMAS for each in unit.fields)

    def takes(self, unit: Unit) -> bool:
        """Whether fields of the record come instead of Alma's."""
        return not _fits(self._protect, unit) and _fits(self.replace, unit)


OVERLAY = MergeRule.of(protect=["XXX$9"], replace=[LEADER, "XXX"])
"""The whole record of the file, but for Alma's own numbers and local fields."""


def _fits(patterns: Sequence[FieldPattern], unit: Unit) -> bool:
    return any(pattern.fits(each, tag) for each, tag in unit.named() for pattern in patterns)


def prepared(record: Record) -> Record:
    """Return a record as it is created or merged: its OCLC number as one 035 `(OCoLC)` and digits, the number of
    another system as 035 `(003)001`, without 001, 003 and 005, and without what is empty."""
    number = own_oclc_number(record)
    made = Record(force_utf8=True)
    made.leader = _completed_leader(str(record.leader))  # type: ignore[assignment]
    fields = [_without_empty(each) for each in record.fields if each.tag not in ALMAS]
    fields = [each for each in fields if each.data or each.subfields]
    numbers = [_one_oclc_field(fields, number)] if number else []
    fields = [each for each in fields if not (number and is_oclc_035(each))]
    own = own_system_number(record)
    if own and all(own != _joined(value) for each in fields for value in _values_of_035(each)):
        numbers.append(_035([("a", own)]))
    at = next((at for at, each in enumerate(fields) if each.tag >= "035"), len(fields))
    made.fields = [*fields[:at], *numbers, *fields[at:]]
    return made


def merge(existing: Record, incoming: Record, rule: MergeRule) -> Record:
    """Return the title that comes of merging ``incoming`` into ``existing``; neither is changed.

    Doing it again changes nothing. Fields that stay, and those that are taken, keep their order among themselves.
    """
    record = prepared(incoming)
    has_oclc = own_oclc_number(record) is not None
    kept: list[Unit] = []
    occupied: set[str] = set()
    free: set[str] = set()
    for unit in units_of(existing.fields):
        stays = _stays(unit, rule, has_oclc)
        (occupied if stays else free).update(_slots(unit))
        if stays:
            kept.append(unit)
    occupied -= free
    present = {unit.content() for unit in kept}
    added: list[Unit] = []
    taken: list[Unit] = []
    for unit in units_of(record.fields):
        if has_oclc and _is_oclc(unit):
            taken.append(unit)
        elif occupied.intersection(_slots(unit)):
            continue
        elif rule.adds(unit):
            if unit.content() not in present:
                added.append(unit)
                present.add(unit.content())
        elif rule.takes(unit):
            taken.append(unit)
    merged = Record(force_utf8=True)
    merged.leader = _merged_leader(str(existing.leader), str(record.leader), rule)  # type: ignore[assignment]
    placed = _placed(
        parts_of(kept, existing.fields), parts_of(added, record.fields), parts_of(taken, record.fields)
    )
    merged.fields = numbered(_in_known_order(placed, existing.fields, {id(unit) for unit in kept}))
    return merged


def differs(before: Record, after: Record) -> bool:
    """Whether two records differ in more than what Alma writes by itself: 001, 003, 005, and of the leader lengths and
    offsets (00-04, 12-16). The order of fields counts among those of one tag."""
    return _comparable(before) != _comparable(after)


# --- numbers


def _one_oclc_field(fields: Iterable[Field], own_number: str) -> Field:
    """The one 035 of a record: its number, and as `$z` others that its 035 name."""
    own = [each for each in fields if is_oclc_035(each)]
    former = [oclc_035(value) for each in own for value in each.get_subfields("a", "z")]
    others = dict.fromkeys(number for number in former if number and number != own_number)
    return _035([("a", _oclc(own_number)), *(("z", _oclc(number)) for number in others)])


def _oclc(number: str) -> str:
    return f"(OCoLC){number}"


def _035(subfields: Iterable[tuple[str, str]]) -> Field:
    return Field("035", Indicators(" ", " "), [Subfield(*each) for each in subfields])


def _values_of_035(field: Field) -> list[str]:
    return list(field.get_subfields("a")) if field.tag == "035" else []


def _joined(value: str) -> str:
    return "".join(value.split())


# --- what stays, and where


def _is_oclc(unit: Unit) -> bool:
    return any(map(is_oclc_035, unit.fields))


def _stays(unit: Unit, rule: MergeRule, has_oclc: bool) -> bool:
    """Whether a unit of Alma stays. Its OCLC number does, whatever the rule, unless the record has one."""
    if not _is_oclc(unit):
        return rule.keeps(unit)
    return not has_oclc and (any(each.get_subfields("a") for each in unit.fields) or rule.keeps(unit))


def _slots(unit: Unit) -> set[str]:
    """What a unit occupies of that which a record has once."""
    tags = {each.tag for each in unit.fields if each.tag != ALTERNATE}
    return {tag for tag in tags if tag in _ONCE} | ({"1XX"} if tags & _MAIN_ENTRY else set())


def _placed(
    kept: Sequence[UnitField], added: Sequence[UnitField], taken: Sequence[UnitField]
) -> list[UnitField]:
    """Put what stays and what is added among what is taken: behind the fields of the same tag, each list in its
    order."""
    placed = list(taken)
    for parts in (kept, added):
        least = 0
        for part in parts:
            behind = next((at for at, each in enumerate(placed) if each.tag > part.tag), len(placed))
            least = max(least, behind)
            placed.insert(least, part)
            least += 1
    return placed


def _in_known_order(placed: list[UnitField], before: Sequence[Field], kept: set[int]) -> list[UnitField]:
    """Give fields of a tag the order that Alma has them in, where some stay and all of them are known there."""
    known: dict[str, list[Content]] = {}
    for part in parts_of(units_of(before), before):
        known.setdefault(part.tag, []).append(part.content())
    now: dict[str, list[UnitField]] = {}
    for part in placed:
        now.setdefault(part.tag, []).append(part)
    for tag, parts in now.items():
        stays = any(id(part.unit) in kept for part in parts)
        if stays and Counter(part.content() for part in parts) == Counter(known.get(tag, [])):
            left = list(parts)
            now[tag] = [_pop(left, content) for content in known[tag]]
    order = {tag: iter(parts) for tag, parts in now.items()}
    return [next(order[part.tag]) for part in placed]


def _pop(parts: list[UnitField], content: Content) -> UnitField:
    return parts.pop(next(at for at, part in enumerate(parts) if part.content() == content))


# --- the rest


def _completed_leader(leader: str) -> str:
    """A leader of 24 characters that says UTF-8 and what every MARC 21 record says."""
    text = leader.ljust(24)[:24]
    return f"{text[:9]}a{_FIXED_LEADER[0]}{text[12:20]}{_FIXED_LEADER[1]}"


def _merged_leader(theirs: str, ours: str, rule: MergeRule) -> str:
    own = theirs.ljust(24)[:24]
    if not rule.replaces_leader:
        return own
    return own[:5] + ours[5:10] + own[10:17] + ours[17:20] + own[20:]


def _without_empty(field: Field) -> Field:
    made = copied(field)
    if not made.is_control_field():
        made.subfields = [each for each in made.subfields if each.value.strip()]
    return made


def _comparable(record: Record) -> tuple[str, list[Content]]:
    leader = str(record.leader).ljust(24)
    parts = parts_of(units_of(record.fields), record.fields)
    ordered = sorted((part for part in parts if part.tag not in ALMAS), key=lambda part: part.tag)
    return leader[5:12] + leader[17:24], [part.content() for part in ordered]
