"""What the formulas decide about a title and about a holding before the records are written, and the dice they use."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeVar

from alma_sandbox.catalogue.marc import DataField, data_field

T = TypeVar("T")


class Dice:
    """Dice for one record: the same seed, key and question always give the same answer."""

    def __init__(self, seed: int, *key: object) -> None:
        self._hash = blake2b(repr((seed, *key)).encode(), digest_size=8)

    def below(self, limit: int, question: str) -> int:
        """A number from 0 to ``limit`` - 1."""
        digest = self._hash.copy()
        digest.update(question.encode())
        return int.from_bytes(digest.digest(), "big") % limit

    def between(self, low: int, high: int, question: str) -> int:
        """A number from ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1, question)

    def pick(self, choices: Sequence[T], question: str) -> T:
        """One of the choices."""
        return choices[self.below(len(choices), question)]


# Where ordinary holdings lie: (library, location).
SHELVES = (
    ("MAIN", "stacks"),
    ("MAIN", "periodicals"),
    ("SCI", "periodicals"),
    ("SCI", "stacks"),
    ("LAW", "periodicals"),
    ("STOR", "archive"),
)
ORGANISATION = "ZzSB"  # the invented MARC organisation code of the institution, 583 $5


def retention(
    *,
    action: str | None = "committed to retain",
    start: str | None = "20180101",
    end: str | None = "20351231",
    programmes: tuple[str, ...] = ("WEST",),
    source: str | None = "pda",
    organisation: str | None = ORGANISATION,
    indicators: str = "1 ",
    uri: str | None = None,
) -> DataField:
    """A 583 note; what is None is left out."""
    found = [("a", action), ("c", start), ("d", end), *(("f", programme) for programme in programmes)]
    found += [("u", uri), ("2", source), ("5", organisation)]
    return data_field("583", indicators, *((code, value) for code, value in found if value is not None))


def statement(text: str, tag: str = "866") -> DataField:
    """A textual holdings statement that stands alone (``$8 0``)."""
    return data_field(tag, " 0", ("8", "0"), ("a", text))


@dataclass(frozen=True)
class ItemDraft:
    """One item: where it lies for a time when that is not its holding's location, and a process type."""

    temporary: tuple[str, str] | None = None
    process_type: str = ""


@dataclass
class HoldingDraft:
    """A holding before its MARC record is written; variants change it."""

    library: str
    location: str
    notes: list[DataField]
    statements: list[DataField]
    items: list[ItemDraft]
    leader: str = "     cy  a22     1n 4500"
    field008: str | None = "1803152u    8   1001uueng0180315"
    write_852: bool = True
    write_852b: bool = True
    suppressed: bool = False
    migrated: bool = False
    extra: list[DataField] = field(default_factory=list)


@dataclass
class TitleDraft:
    """A title before its records are written; variants change it."""

    number: int
    variant: str
    holdings: int = 1
    issn: str = "good"  # good, wrong, missing, incorrect_only ($y)
    oclc: str = "plain"  # plain, ocm, ocn, on, missing, cancelled (only $z)
    suppressed: bool = False
    bound: bool = False


def plain_holding(dice: Dice, holding: int) -> HoldingDraft:
    """An ordinary holding of a serial: committed to WEST, one statement, one to three items in place.

    The shelf moves on with ``holding``, so that two holdings of one title never share library and location.
    """
    shelf = SHELVES[(dice.below(len(SHELVES), "shelf") + holding) % len(SHELVES)]
    first = dice.between(1881, 1990, f"first year {holding}")
    last = first + dice.between(3, 30, f"years {holding}")
    volumes = last - first + 1
    count = dice.between(1, 3, f"items {holding}")
    items = [ItemDraft() for _ in range(count)]
    if dice.below(50, f"missing item {holding}") == 0:
        items[0] = ItemDraft(process_type="MISSING")
    return HoldingDraft(
        library=shelf[0],
        location=shelf[1],
        notes=[retention()],
        statements=[statement(f"v.1 ({first})-v.{volumes} ({last})")],
        items=items,
    )
