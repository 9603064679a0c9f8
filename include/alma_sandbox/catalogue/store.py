"""The catalogue as calls see it: computed records, with everything that calls changed laid over them.

A record that no call ever changed is computed afresh at each read and takes no memory. ``get`` it, change it,
``keep`` it: from then on it lives in the overlay. All methods run on the server's event loop, so that each call
is one indivisible step.
"""

import re
from collections.abc import Callable

from alma_sandbox.catalogue import holdings, ids, titles
from alma_sandbox.catalogue.conf_data import SANDBOX, Institution
from alma_sandbox.catalogue.marc import Record
from alma_sandbox.catalogue.records import Bib, Holding, Item

IndexView = Callable[[Bib], Record | None]
"""The record of a bib as an index sees it; None: the index does not have the bib yet."""


def current(bib: Bib) -> Record | None:
    """The view of an index that does not lag."""
    return bib.record


class Catalogue:
    """Bibs, holdings and items of one sandbox."""

    def __init__(self, seed: int, size: int, institution: Institution = SANDBOX) -> None:
        self.seed = seed
        self.size = size
        self.institution = institution
        self.suffix = institution.suffix
        self.counter = ids.Counter(self.suffix)
        self.bibs: dict[str, Bib | None] = {}  # None: deleted
        self.holdings: dict[str, Holding | None] = {}
        self.items: dict[str, Item | None] = {}
        self._holdings_of: dict[str, list[str]] = {}
        self._items_of: dict[str, list[str]] = {}
        self._barcodes: dict[str, str] = {}  # barcodes of kept items -> pid
        self._barcode_of: dict[str, str] = {}
        self._network_numbers: dict[str, set[str]] = {}  # 035 $a of kept bibs -> MMS ids
        self._oclc: dict[str, set[str]] = {}  # OCLC numbers of kept bibs, 035 $a and $z -> MMS ids
        self._standard: dict[str, set[str]] = {}  # ISBNs and ISSNs of kept bibs -> MMS ids
        self._read_standard: set[str] = set()  # the kept bibs that stand in ``_standard``

    # Bibs

    def bib(self, mms_id: str) -> Bib | None:
        """A bib, or None when there is none (any more)."""
        if mms_id in self.bibs:
            return self.bibs[mms_id]
        title = ids.title_of_mms_id(mms_id, self.suffix)
        if title is None or title >= self.size:
            return None
        return titles.bib(self.seed, title, self.size, self.suffix)

    def keep_bib(self, bib: Bib) -> None:
        """Keep a new or changed bib."""
        self.bibs[bib.mms_id] = bib
        for number in network_numbers(bib.record):
            self._network_numbers.setdefault(number, set()).add(bib.mms_id)
        for digits in _oclc_numbers(bib.record, "az"):
            self._oclc.setdefault(digits, set()).add(bib.mms_id)
        self._read_standard.discard(bib.mms_id)

    def drop_bib(self, mms_id: str) -> None:
        """Delete a bib with what hangs on it."""
        for holding in self.holdings_of(mms_id):
            self.drop_holding(holding.holding_id)
        self.bibs[mms_id] = None

    def bibs_with_number(self, number: str, seen: IndexView = current) -> list[Bib]:
        """The bibs of which one 035 $a is exactly this text, in the records that an index sees."""
        candidates = set(self._network_numbers.get(number, ()))
        digits = "".join(char for char in number if char.isdigit())
        if digits and len(digits) < 19:
            title = titles.title_of_oclc_number(self.seed, int(digits))
            if title is not None:
                candidates.add(ids.mms_id(title, self.suffix))
            candidates.add(ids.mms_id(int(digits) - 1, self.suffix))  # the local 035 counts titles from 1
        return self._of(candidates, seen, lambda record: number in network_numbers(record))

    def bibs_with_oclc(self, value: str, subfields: str, seen: IndexView = current) -> list[Bib]:
        """The bibs whose OCLC number is this one, however it is written, in 035 of these subfields."""
        digits = oclc_digits(value)
        if digits is None:
            return []
        title = titles.title_of_oclc_number(self.seed, int(digits))
        candidates = set(self._oclc.get(digits, ()))
        if title is not None:
            candidates.add(ids.mms_id(title, self.suffix))
        return self._of(candidates, seen, lambda record: digits in _oclc_numbers(record, subfields))

    def bibs_with_standard_number(self, tag: str, value: str, seen: IndexView = current) -> list[Bib]:
        """The bibs with this ISBN (tag 020, of ten or thirteen digits) or ISSN (022), valid there or not."""
        number = standard_number(tag, value)
        if number is None:
            return []
        for mms_id in self.bibs.keys() - self._read_standard:
            bib = self.bibs[mms_id]
            for record in () if bib is None else (bib.record, bib.before or bib.record):
                for each in _standard_numbers(record):
                    self._standard.setdefault(each, set()).add(mms_id)
            self._read_standard.add(mms_id)
        candidates = set(self._standard.get(number, ()))
        title = titles.title_of_issn(self.seed, value) if tag == "022" else None
        if title is not None:
            candidates.add(ids.mms_id(title, self.suffix))
        return self._of(candidates, seen, lambda record: number in _standard_numbers(record))

    def _of(self, candidates: set[str], seen: IndexView, test: Callable[[Record], bool]) -> list[Bib]:
        """The bibs among the candidates whose record, as an index sees it, passes the test."""
        found = [bib for mms_id in sorted(candidates) if (bib := self.bib(mms_id)) is not None]
        return [bib for bib in found if (record := seen(bib)) is not None and test(record)]

    # Holdings

    def holding(self, holding_id: str) -> Holding | None:
        """A holding, or None when there is none (any more)."""
        if holding_id in self.holdings:
            return self.holdings[holding_id]
        place = ids.place_of_holding_id(holding_id, self.suffix)
        if place is None or place[0] >= self.size or place[1] >= holdings.count(self.seed, place[0]):
            return None
        return holdings.holding(self.seed, *place, self.suffix)

    def holdings_of(self, mms_id: str) -> list[Holding]:
        """The holdings of a bib, oldest first, suppressed ones too."""
        found = (self.holding(holding_id) for holding_id in self._holding_ids(mms_id))
        return [holding for holding in found if holding is not None]

    def _holding_ids(self, mms_id: str) -> list[str]:
        if mms_id in self._holdings_of:
            return self._holdings_of[mms_id]
        title = ids.title_of_mms_id(mms_id, self.suffix)
        if title is None or title >= self.size:
            return []
        numbers = range(holdings.count(self.seed, title))
        return [ids.holding_id(title, number, self.suffix) for number in numbers]

    def keep_holding(self, holding: Holding) -> None:
        """Keep a new or changed holding."""
        known = self._holdings_of.setdefault(holding.mms_id, self._holding_ids(holding.mms_id))
        if holding.holding_id not in known:
            known.append(holding.holding_id)
        self.holdings[holding.holding_id] = holding

    def move_holding(self, holding: Holding, mms_id: str) -> list[Item]:
        """Put a holding under another bib; it and its items, which are returned, keep their ids."""
        items = self.items_of(holding.holding_id)
        self._holdings_of[holding.mms_id] = [
            known for known in self._holding_ids(holding.mms_id) if known != holding.holding_id
        ]
        holding.mms_id = mms_id
        holding.record.set_control("004", mms_id)
        self.keep_holding(holding)
        for item in items:
            item.mms_id = mms_id
            self.keep_item(item)
        return items

    def drop_holding(self, holding_id: str) -> None:
        """Delete a holding with its items."""
        holding = self.holding(holding_id)
        if holding is None:
            return
        for item in self.items_of(holding_id):
            self.drop_item(item.pid)
        kept = [known for known in self._holding_ids(holding.mms_id) if known != holding_id]
        self._holdings_of[holding.mms_id] = kept
        self.holdings[holding_id] = None

    # Items

    def item(self, pid: str) -> Item | None:
        """An item, or None when there is none (any more)."""
        if pid in self.items:
            return self.items[pid]
        place = ids.place_of_item_pid(pid, self.suffix)
        if place is None or place[0] >= self.size or place[1] >= holdings.count(self.seed, place[0]):
            return None
        drafts = holdings.item_drafts(self.seed, place[0], place[1])
        return holdings.item(*place, drafts[place[2]], self.suffix) if place[2] < len(drafts) else None

    def items_of(self, holding_id: str) -> list[Item]:
        """The items of a holding, oldest first."""
        found = (self.item(pid) for pid in self._item_pids(holding_id))
        return [item for item in found if item is not None]

    def items_of_bib(self, mms_id: str) -> list[Item]:
        """The items of all holdings of a bib."""
        return [item for holding in self.holdings_of(mms_id) for item in self.items_of(holding.holding_id)]

    def _item_pids(self, holding_id: str) -> list[str]:
        if holding_id in self._items_of:
            return self._items_of[holding_id]
        place = ids.place_of_holding_id(holding_id, self.suffix)
        if place is None or place[0] >= self.size or place[1] >= holdings.count(self.seed, place[0]):
            return []
        numbers = range(len(holdings.item_drafts(self.seed, *place)))
        return [ids.item_pid(*place, number, self.suffix) for number in numbers]

    def keep_item(self, item: Item) -> None:
        """Keep a new or changed item: its barcode and its holding may have changed, too."""
        self._barcodes.pop(self._barcode_of.get(item.pid, ""), None)
        self._barcodes[item.barcode] = item.pid
        self._barcode_of[item.pid] = item.barcode
        known = self._items_of.setdefault(item.holding_id, self._item_pids(item.holding_id))
        if item.pid not in known:
            known.append(item.pid)
        self.items[item.pid] = item

    def move_item(self, item: Item, holding: Holding) -> None:
        """Put an item under another holding; its pid stays."""
        self._items_of[item.holding_id] = [pid for pid in self._item_pids(item.holding_id) if pid != item.pid]
        item.holding_id, item.mms_id = holding.holding_id, holding.mms_id
        self.keep_item(item)

    def drop_item(self, pid: str) -> None:
        """Delete (withdraw) an item."""
        item = self.item(pid)
        if item is None:
            return
        self._items_of[item.holding_id] = [
            known for known in self._item_pids(item.holding_id) if known != pid
        ]
        self._barcodes.pop(item.barcode, None)
        self.items[pid] = None

    def item_by_barcode(self, barcode: str) -> Item | None:
        """The item that has this barcode now."""
        pid = self._barcodes.get(barcode)
        if pid is None:
            place = ids.place_of_barcode(barcode, self.suffix)
            pid = None if place is None else ids.item_pid(*place, self.suffix)
        item = None if pid is None else self.item(pid)
        return item if item is not None and item.barcode == barcode else None

    # Whole catalogue

    def title_ids(self, start: int, stop: int) -> list[str]:
        """MMS ids of the titles of the formula from number ``start`` to before ``stop``, deleted or not."""
        return [ids.mms_id(title, self.suffix) for title in range(max(0, start), min(stop, self.size))]


def network_numbers(record: Record) -> list[str]:
    """The values of 035 $a."""
    return [value for entry in record.data("035") for value in entry.all("a")]


def standard_number(tag: str, text: str) -> str | None:
    """An ISBN as thirteen digits or an ISSN as eight, with its tag in front; None for what is neither.

    Hyphens and what stands after the number (``(pbk.)``) do not count.
    """
    match = re.match(r"[\dxX-]+", text.strip())
    number = match[0].replace("-", "").upper() if match else ""
    if tag == "022":
        return f"022 {number}" if re.fullmatch(r"\d{7}[\dX]", number) else None
    if re.fullmatch(r"\d{9}[\dX]", number):
        digits = "978" + number[:9]
        total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
        number = digits + str(-total % 10)
    return f"020 {number}" if re.fullmatch(r"\d{13}", number) else None


def _standard_numbers(record: Record) -> set[str]:
    """Every ISBN and ISSN of a record: 020 $a and $z, 022 $a, $l, $y and $z."""
    codes = {"020": "az", "022": "alyz"}
    values = [
        standard_number(entry.tag, value)
        for entry in record.data(*codes)
        for code, value in entry.subfields
        if code in codes[entry.tag]
    ]
    return {value for value in values if value is not None}


def oclc_digits(value: str) -> str | None:
    """The bare OCLC number in a text such as ``(OCoLC)ocm01234567``, or None."""
    match = re.fullmatch(r"(?:\(OCoLC\))?(?:ocm|ocn|on)?0*(\d{1,18})\s*", value)
    return match[1] if match else None


def _oclc_numbers(record: Record, subfields: str) -> set[str]:
    values = [v for entry in record.data("035") for code, v in entry.subfields if code in subfields]
    return {digits for value in values if value.startswith("(OCoLC)") and (digits := oclc_digits(value))}
