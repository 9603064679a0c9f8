"""What becomes of a title in Alma when a record is merged into it, by a declared rule; pure, and nothing is asked.

A rule has three lists of field patterns. Fields that `protect` names stay as Alma has them, and none of the record
come beside them; by a pattern with a subfield (`XXX$9`) they are kept out only where Alma has such a field of that tag.
Fields that `add` names stay, and those of the record come beside them unless they are equal. Fields that `replace`
names are taken from the record, all of them, and Alma's go; but where all that the record has of a tag is kept out,
Alma's stay. What no list names stays. Where several fit, `protect` decides over Alma's own fields, `add` over those of
the record, `replace` comes last.

Whatever the rule says: 001, 003 and 005 are Alma's. So are 035 with a 9 in an indicator, by which vendors mark theirs,
and fields with `$9` local; such fields of a record never come. There is one OCLC number in 035 `$a`, that of the record
if it has one, beside what is local; former numbers are those in its own `$z`. A field and its 880 go together.
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
        stays = {pattern.tag for pattern in (*self.protect, *self.add)}
        return LEADER not in stays and any(pattern.tag == LEADER for pattern in self.replace)

    def keeps(self, unit: Unit) -> bool:
        """Whether fields of Alma stay."""
        return _fits(self._protect, unit) or _fits(self.add, unit) or not _fits(self.replace, unit)

    def adds(self, unit: Unit) -> bool:
        """Whether fields of the record come beside Alma's; Alma's own control numbers never do."""
        return _fits(self.add, unit) and not any(each.tag in ALMAS for each in unit.fields)

    def takes(self, unit: Unit) -> bool:
        """Whether fields of the record come instead of Alma's, unless they are `kept_out`."""
        return _fits(self.replace, unit)

    def kept_out(self, unit: Unit, guarded: set[tuple[FieldPattern, str]]) -> bool:
        """Whether fields of the record do not come, ``guarded`` being what of Alma `guards`."""
        broad = (*_ALWAYS_PROTECTED, *(each for each in self.protect if not each.code))
        return _fits(broad, unit) or not guarded.isdisjoint(self.guards([unit]))

    def guards(self, units: Iterable[Unit]) -> set[tuple[FieldPattern, str]]:
        """The patterns with a subfield that protect these units, each with the tags it does so by."""
        narrow = [each for each in self.protect if each.code]
        return {(each, tag) for unit in units for each in narrow for tag in _named(each, unit)}


OVERLAY = MergeRule.of(protect=["XXX$9"], replace=[LEADER, "XXX"])
"""The whole record of the file, but for Alma's own numbers and local fields."""


def _fits(patterns: Sequence[FieldPattern], unit: Unit) -> bool:
    return any(pattern.fits(each, tag) for each, tag in unit.named() for pattern in patterns)


def _named(pattern: FieldPattern, unit: Unit) -> set[str]:
    """The tags by which a pattern fits; an 880 counts by that of its counterpart."""
    tags = {tag for each, tag in unit.named() if pattern.fits(each, tag)}
    return tags - {ALTERNATE} or tags


def prepared(record: Record) -> Record:
    """Return a record as it is created or merged: its OCLC number as one 035 `(OCoLC)` and digits, the number of
    another system as 035 `(003)001`, what else stands in an OCLC 035 as 035 of its own; without 001, 003 and 005, and
    without what is empty."""
    number = own_oclc_number(record)
    made = Record(force_utf8=True)
    made.leader = _completed_leader(str(record.leader))  # type: ignore[assignment]
    fields = [_without_empty(each) for each in record.fields if each.tag not in ALMAS]
    fields = [each for each in fields if each.data or each.subfields]
    numbers = [_one_oclc_field(fields, number)] if number else []
    if number:
        fields = [part for each in fields for part in _numbers_apart(each) if not is_oclc_035(part)]
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
    before = [
        part
        for each in existing.fields
        for part in (_numbers_apart(each) if has_oclc and _is_plain_oclc(each) else [each])
    ]
    units = units_of(before)
    stay = {id(unit) for unit in units if _stays(unit, rule, has_oclc)}
    added, taken, spared = _coming(record, units, stay, rule, has_oclc)
    kept = [unit for unit in units if id(unit) in stay or not spared.isdisjoint(_places(unit))]
    merged = Record(force_utf8=True)
    merged.leader = _merged_leader(str(existing.leader), str(record.leader), rule)  # type: ignore[assignment]
    placed = _placed(parts_of(kept, before), parts_of(added, record.fields), parts_of(taken, record.fields))
    merged.fields = numbered(_in_known_order(placed, existing.fields, {id(unit) for unit in kept}))
    return merged


def _coming(
    record: Record, units: Sequence[Unit], stay: set[int], rule: MergeRule, has_oclc: bool
) -> tuple[list[Unit], list[Unit], set[str]]:
    """What of the record comes beside Alma's fields, what comes instead, and the places where Alma's stay because all
    of the record is kept out."""
    kept = [unit for unit in units if id(unit) in stay]
    free = {slot for unit in units if id(unit) not in stay for slot in _slots(unit)}
    occupied = {slot for unit in kept for slot in _slots(unit)} - free
    present = {unit.content() for unit in kept}
    added: list[Unit] = []
    taken: list[Unit] = []
    guarded = rule.guards(kept)
    filled: set[str] = set()
    refused: set[str] = set()
    for unit in units_of(record.fields):
        if has_oclc and _is_oclc(unit):
            taken.append(unit)
        elif occupied.intersection(_slots(unit)):
            continue
        elif rule.adds(unit):
            if unit.content() not in present:
                added.append(unit)
                present.add(unit.content())
        elif not rule.takes(unit):
            continue
        elif rule.kept_out(unit, guarded):
            refused |= _places(unit)
            continue
        else:
            taken.append(unit)
        filled |= _places(unit)
    return added, taken, refused - filled


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


def _numbers_apart(field: Field) -> list[Field]:
    """A 035 of OCLC, and each number in it that is none of OCLC's as a 035 of its own; any other field as it is."""
    if not is_oclc_035(field):
        return [field]
    numbers = [each for each in field.subfields if each.code in ("a", "z")]
    others = [each for each in numbers if not oclc_035(each.value)]
    if not others:
        return [field]
    own = copied(field)
    own.subfields = [each for each in own.subfields if each not in others]
    return [own, *(_035([(each.code, each.value)]) for each in others)]


def _is_plain_oclc(field: Field) -> bool:
    """Whether a field is a 035 of OCLC that a merge may replace: a local one stays."""
    return is_oclc_035(field) and not any(pattern.fits(field) for pattern in _ALWAYS_PROTECTED)


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
    return any(map(_is_plain_oclc, unit.fields))


def _stays(unit: Unit, rule: MergeRule, has_oclc: bool) -> bool:
    """Whether a unit of Alma stays. Its OCLC number does, whatever the rule, unless the record has one."""
    if not _is_oclc(unit):
        return rule.keeps(unit)
    return not has_oclc and (any(each.get_subfields("a") for each in unit.fields) or rule.keeps(unit))


def _slots(unit: Unit) -> set[str]:
    """What a unit occupies of that which a record has once."""
    tags = {each.tag for each in unit.fields if each.tag != ALTERNATE}
    return {tag for tag in tags if tag in _ONCE} | ({"1XX"} if tags & _MAIN_ENTRY else set())


def _places(unit: Unit) -> set[str]:
    """The tags of a unit, an 880 counting only where it is alone; main entries are one."""
    tags = {"1XX" if each.tag in _MAIN_ENTRY else each.tag for each in unit.fields}
    return tags - {ALTERNATE} or tags


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
