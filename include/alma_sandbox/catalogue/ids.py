"""Alma-like identifiers and the arithmetic between them and the numbers of the formulas.

An id is a two-digit kind (99 bib, 22 holding, 23 item), twelve digits, and the institution's suffix: 4401 unless
the sandbox was started with another.
Records of the formulas start at ``BASE``; records that calls create start at ``CREATED``.
"""

SUFFIX = "4401"
BASE = 1_000_000_000
CREATED = 500_000_000_000
HOLDINGS_PER_TITLE = 10
ITEMS_PER_HOLDING = 100


def _make(kind: str, number: int, suffix: str) -> str:
    return f"{kind}{number:012d}{suffix}"


def _number(kind: str, value: str, suffix: str) -> int | None:
    """The number inside an id of this kind, or None when the text is no such id."""
    if len(value) != 18 or not value.isascii() or not value.isdigit():
        return None
    if not value.startswith(kind) or not value.endswith(suffix):
        return None
    number = int(value[2:-4]) - BASE
    return number if number >= 0 else None


def mms_id(title: int, suffix: str = SUFFIX) -> str:
    """MMS id of title number ``title`` (from 0)."""
    return _make("99", BASE + title, suffix)


def holding_id(title: int, holding: int, suffix: str = SUFFIX) -> str:
    """Holding id of holding number ``holding`` (0-9) of a title."""
    return _make("22", BASE + title * HOLDINGS_PER_TITLE + holding, suffix)


def item_pid(title: int, holding: int, item: int, suffix: str = SUFFIX) -> str:
    """Item pid of item number ``item`` (0-99) of a holding."""
    return _make("23", BASE + _item_number(title, holding, item), suffix)


def barcode(title: int, holding: int, item: int, suffix: str = SUFFIX) -> str:
    """Barcode of an item as it first is: 14 digits, of which the first two are another pair at each institution."""
    return f"{_barcodes(suffix)}{_item_number(title, holding, item):012d}"


def _barcodes(suffix: str) -> str:
    return f"3{suffix[-1]}"


def set_id(number: int, suffix: str = SUFFIX) -> str:
    """Id of one of the sets that are always there: 0 all titles, 1 empty, 2 items."""
    return f"590000000000{number}{suffix}"


ALL_TITLES_SET, EMPTY_SET, ITEM_SET = set_id(0), set_id(1), set_id(2)


def portfolio_id(title: int, suffix: str = SUFFIX) -> str:
    """Id of the one portfolio that some titles have."""
    return _make("53", BASE + title, suffix)


def _item_number(title: int, holding: int, item: int) -> int:
    return (title * HOLDINGS_PER_TITLE + holding) * ITEMS_PER_HOLDING + item


def _item_place(number: int) -> tuple[int, int, int]:
    rest, item = divmod(number, ITEMS_PER_HOLDING)
    title, holding = divmod(rest, HOLDINGS_PER_TITLE)
    return title, holding, item


def title_of_mms_id(value: str, suffix: str = SUFFIX) -> int | None:
    """Title number of an MMS id, or None when no formula can have made it."""
    return _number("99", value, suffix)


def place_of_holding_id(value: str, suffix: str = SUFFIX) -> tuple[int, int] | None:
    """(title, holding) of a holding id, or None."""
    number = _number("22", value, suffix)
    return None if number is None else divmod(number, HOLDINGS_PER_TITLE)


def place_of_item_pid(value: str, suffix: str = SUFFIX) -> tuple[int, int, int] | None:
    """(title, holding, item) of an item pid, or None."""
    number = _number("23", value, suffix)
    return None if number is None else _item_place(number)


def place_of_barcode(value: str, suffix: str = SUFFIX) -> tuple[int, int, int] | None:
    """(title, holding, item) of a barcode that the formula made, or None."""
    if len(value) != 14 or not value.isascii() or not value.isdigit() or value[:2] != _barcodes(suffix):
        return None
    return _item_place(int(value[2:]))


class Counter:
    """Hands out ids for records that calls create; the same calls in the same order get the same ids."""

    def __init__(self, suffix: str = SUFFIX) -> None:
        self._suffix = suffix
        self._first = 0
        self._next: dict[str, int] = {}
        self.taken = 0  # how many this process has handed out, of all kinds

    def take(self, kind: str) -> str:
        """The next id of a kind (two leading digits)."""
        return _make(kind, CREATED + self.number(kind), self._suffix)

    def number(self, kind: str) -> int:
        """The next running number of a kind, from 0."""
        number = self._next.get(kind, self._first)
        self._next[kind] = number + 1
        self.taken += 1
        return number

    def skip(self, count: int) -> None:
        """Leave out the next ``count`` numbers of every kind."""
        self._first += count
        self._next = {kind: number + count for kind, number in self._next.items()}
