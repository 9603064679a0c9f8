"""z30 records as the pretend Aleph keeps them, and those that it has at first: one for each of many Alma items."""

from dataclasses import dataclass, field
from functools import lru_cache

from alma_sandbox.aleph.fields import ALMA_MATERIALS, ALMA_POLICIES, FIELDS, NO_DATE, PLACES, WIDTHS, ZEROED
from alma_sandbox.catalogue import holdings
from alma_sandbox.catalogue.records import Holding, Item

_PLACES = {there: here for here, there in PLACES.items()}
_MATERIALS = {there: here for here, there in ALMA_MATERIALS.items()}
_STATUSES = {there: here for here, there in ALMA_POLICIES.items()}
_STEP = 10  # the sequence of the first item of a document is 10, of the second 20


@dataclass
class StoredZ30:
    """An item. ``values``: every field without ``z30-``, as codes, the key in full length.

    ``permanent``: while the item is in a temporary location, sub-library, collection and status of its own place, which
    a restore writes back over it. ``ill``: it came for an ILL borrowing request.
    """

    values: dict[str, str]
    permanent: dict[str, str] = field(default_factory=dict)
    ill: bool = False

    @property
    def key(self) -> str:
        """Document number and sequence as one text of 15 digits."""
        return self.values["doc-number"] + self.values["item-sequence"]

    def copy(self) -> "StoredZ30":
        """A record that can be changed without changing this one."""
        return StoredZ30(dict(self.values), dict(self.permanent), self.ill)


@dataclass
class Booking:
    """Advance booking of one item: its Z320 (place and status) and how many Z321 requests hang on it."""

    sub_library: str
    item_status: str
    requests: int = 0


def key_of(doc_number: str, sequence: str) -> str | None:
    """The key of two numbers, padded or not; None where one of them is no number of its length."""
    for text, width in ((doc_number, WIDTHS["doc-number"]), (sequence, WIDTHS["item-sequence"])):
        if not text.isascii() or not text.isdigit() or len(text.lstrip("0")) > width:
            return None
    return f"{int(doc_number):09d}{int(sequence):06d}"


def blank() -> dict[str, str]:
    """An item without a key: every field, empty or zero."""
    values = dict.fromkeys(FIELDS, "")
    values |= {name: "0" * WIDTHS[name] for name in ZEROED}
    return {
        **values,
        "last-shelf-report-date": NO_DATE,
        "on-shelf-date": NO_DATE,
        "alpha": "L",
        "temp-location": "N",
    }


@dataclass(frozen=True)
class FirstItems:
    """The items that Aleph has at first, and their keys by barcode. Shared and not to be changed."""

    by_key: dict[str, StoredZ30]
    keys: dict[str, str]


@lru_cache(maxsize=8)
def at_first(seed: int, titles: int, suffix: str, count: int) -> FirstItems:
    """A counterpart of each of the first ``count`` Alma items that lie at a place that Aleph has, too.

    The document number is the number of the title from 1.
    """
    items = _counterparts(seed, titles, suffix, count)
    return FirstItems(items, {item.values["barcode"]: key for key, item in items.items()})


def _counterparts(seed: int, titles: int, suffix: str, count: int) -> dict[str, StoredZ30]:
    found: dict[str, StoredZ30] = {}
    for title in range(titles):
        sequence = 0
        for number in range(holdings.count(seed, title)):
            holding = holdings.holding(seed, title, number, suffix)
            if (holding.library, holding.location) not in _PLACES:
                continue
            for copy, draft in enumerate(holdings.item_drafts(seed, title, number)):
                if len(found) >= count:
                    return found
                sequence += _STEP
                item = holdings.item(title, number, copy, draft, suffix)
                record = _counterpart(item, holding, title + 1, sequence)
                found[record.key] = record
    return found


def _counterpart(item: Item, holding: Holding, document: int, sequence: int) -> StoredZ30:
    """The z30 record that says of an Alma item what both systems can say."""
    texts, home = item.texts, _PLACES[holding.library, holding.location]
    status = _STATUSES.get(item.codes.get("policy", ""), "01")
    away = _PLACES.get((item.temp_library, item.temp_location)) if item.in_temp_location else None
    place = away or home
    values = blank() | {
        "doc-number": f"{document:09d}",
        "item-sequence": f"{sequence:06d}",
        "barcode": item.barcode,
        "sub-library": place[0],
        "collection": place[1],
        "material": _MATERIALS.get(item.codes.get("physical_material_type", ""), "BOOK"),
        "item-status": status,
        "open-date": _digits(item.created_date),
        "update-date": _digits(item.modified_date),
        "cataloger": "CONV",
        "date-last-return": "20240402",
        "hour-last-return": "1631",
        "ip-last-return": "CONV",
        "no-loans": "003",
        "call-no-type": holding.call_number_type,
        "call-no": holding.call_number,
        "call-no-key": call_number_key(holding.call_number_type, holding.call_number),
        "description": texts.get("description", ""),
        "enumeration-a": texts.get("enumeration_a", ""),
        "arrival-date": _digits(texts.get("arrival_date", "")),
        "item-process-status": "MI" if item.process_type == "MISSING" else "",
        "copy-id": item.copy_id,
        "doc-number-2": f"{document:09d}",
        "temp-location": "Y" if away else "N",
        "process-status-date": _digits(item.modified_date),
        "upd-time-stamp": f"{_digits(item.modified_date)}0803505",
    }
    permanent = {"sub-library": home[0], "collection": home[1], "item-status": status} if away else {}
    return StoredZ30(values, permanent)


def _digits(date: str) -> str:
    """``2021-04-03Z`` as ``20210403``."""
    return date.rstrip("Z").replace("-", "")


def call_number_key(kind: str, call_number: str) -> str:
    """The sort key that Aleph makes of a call number: its type, and the number in small letters."""
    return " ".join([kind, *call_number.lower().split()]).strip() if call_number else ""


def next_sequence(taken: list[str]) -> str:
    """The sequence of a new item of a document, after those of the keys that it has."""
    last = max((int(key[9:]) for key in taken), default=0)
    return f"{last // _STEP * _STEP + _STEP:06d}"
