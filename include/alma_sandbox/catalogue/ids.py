"""Alma-like identifiers and the arithmetic between them and the numbers of the formulas.

An id is a two-digit kind (99 bib, 22 holding, 23 item), twelve digits, and the institution's suffix 4401.
Records of the formulas start at ``BASE``; records that calls create start at ``CREATED``.
"""

SUFFIX = "4401"
BASE = 1_000_000_000
CREATED = 500_000_000_000
HOLDINGS_PER_TITLE = 10
ITEMS_PER_HOLDING = 100

ALL_TITLES_SET = "59000000000004401"
EMPTY_SET = "59000000000014401"
ITEM_SET = "59000000000024401"


def _make(kind: str, number: int) -> str:
    return f"{kind}{number:012d}{SUFFIX}"


def _number(kind: str, value: str) -> int | None:
    """The number inside an id of this kind, or None when the text is no such id."""
    if len(value) != 18 or not value.isascii() or not value.isdigit():
        return None
    if not value.startswith(kind) or not value.endswith(SUFFIX):
        return None
    number = int(value[2:-4]) - BASE
    return number if number >= 0 else None


def mms_id(title: int) -> str:
    """MMS id of title number ``title`` (from 0)."""
    return _make("99", BASE + title)


def holding_id(title: int, holding: int) -> str:
    """Holding id of holding number ``holding`` (0-9) of a title."""
    return _make("22", BASE + title * HOLDINGS_PER_TITLE + holding)


def item_pid(title: int, holding: int, item: int) -> str:
    """Item pid of item number ``item`` (0-99) of a holding."""
    return _make("23", BASE + _item_number(title, holding, item))


def barcode(title: int, holding: int, item: int) -> str:
    """Barcode of an item as it first is: 14 digits that begin with 3."""
    return f"31{_item_number(title, holding, item):012d}"


def portfolio_id(title: int) -> str:
    """Id of the one portfolio that some titles have."""
    return _make("53", BASE + title)


def _item_number(title: int, holding: int, item: int) -> int:
    return (title * HOLDINGS_PER_TITLE + holding) * ITEMS_PER_HOLDING + item


def _item_place(number: int) -> tuple[int, int, int]:
    rest, item = divmod(number, ITEMS_PER_HOLDING)
    title, holding = divmod(rest, HOLDINGS_PER_TITLE)
    return title, holding, item


def title_of_mms_id(value: str) -> int | None:
    """Title number of an MMS id, or None when no formula can have made it."""
    return _number("99", value)


def place_of_holding_id(value: str) -> tuple[int, int] | None:
    """(title, holding) of a holding id, or None."""
    number = _number("22", value)
    return None if number is None else divmod(number, HOLDINGS_PER_TITLE)


def place_of_item_pid(value: str) -> tuple[int, int, int] | None:
    """(title, holding, item) of an item pid, or None."""
    number = _number("23", value)
    return None if number is None else _item_place(number)


def place_of_barcode(value: str) -> tuple[int, int, int] | None:
    """(title, holding, item) of a barcode that the formula made, or None."""
    if len(value) != 14 or not value.isascii() or not value.isdigit() or not value.startswith("31"):
        return None
    return _item_place(int(value[2:]))


class Counter:
    """Hands out ids for records that calls create; the same calls in the same order get the same ids."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def take(self, kind: str) -> str:
        """The next id of a kind (two leading digits)."""
        return _make(kind, CREATED + self.number(kind))

    def number(self, kind: str) -> int:
        """The next running number of a kind, from 0."""
        number = self._next.get(kind, 0)
        self._next[kind] = number + 1
        return number
