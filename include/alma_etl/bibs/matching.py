"""Which titles of Alma a record is: looked up by its numbers in the order of the profile, verified on what is found.

An index answers with more than was asked (it is broader than a field) and with less (it lags, and knows one spelling):
a title counts only if the number is in its own record. Titles that imports wrote are also known from what was
remembered, and by a number that one of them took out of the title for another.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pymarc import Record

from alma_etl.alma.bibs import Bib, Bibs, in_batches, read_bibs
from alma_etl.bibs.carrier import disagreements
from alma_etl.bibs.keys import BibKeys, keys_of, system_number
from alma_etl.bibs.profiles import WEAK, BibProfile, Method
from alma_etl.marc.xml import record_from_xml
from alma_etl.remote.answers import Absent, Answer, Found, ListAnswer, Unknown, rows_of
from alma_etl.remote.errors import RemoteError, RemoteMalformed

_OCLC: frozenset[Method] = frozenset(("oclc", "019"))
_TOGETHER: frozenset[Method] = frozenset(("oclc", "019", "order"))


@dataclass(frozen=True)
class Number:
    """A number of a record by which titles are looked up: the method, its place in the record, its normal form, and
    `spellings` of it that the record has beside that."""

    method: Method
    place: str
    value: str
    spellings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.place} {self.value}"


@dataclass(frozen=True)
class Title:
    """A title of Alma that a record matches, and by which of its numbers."""

    bib: Bib
    record: Record = field(repr=False)
    keys: BibKeys = field(repr=False)
    numbers: tuple[Number, ...]

    @property
    def mms_id(self) -> str:
        """The title's MMS id."""
        return self.bib.mms_id

    def how(self) -> str:
        """By which numbers it matches, for people."""
        return ", ".join(f"{number}{self._where(number)}" for number in self.numbers)

    @property
    def has_one(self) -> bool:
        """Whether one of the numbers stands in its record: those that an import took out of it do not."""
        return any(_has(self.keys, self.mms_id, number) for number in self.numbers)

    def _where(self, number: Number) -> str:
        if not _has(self.keys, self.mms_id, number):
            if number.method == "mms_id":
                return " (of the record that it was made of)"
            return (
                f" (which {'an import replaced in it' if number.method in _OCLC else 'was taken out of it'})"
            )
        if number.method not in _OCLC or number.value in self.keys.oclc:
            return ""
        return " (its own 035 $z or 019)"


@dataclass(frozen=True)
class Matched:
    """What was found for a record: its titles, and sentences about those that have a number of it and are none."""

    titles: tuple[Title, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remembered:
    """What imports know of a number: titles that they made with it or gave it to (`ids`), and those that lost it when
    a record with another number was merged into them, or that are its titles whatever their records say (`had`)."""

    ids: tuple[str, ...] = ()
    had: tuple[str, ...] = ()


Memory = Callable[[Collection[Number]], Mapping[Number, Remembered]]


def _nothing(numbers: Collection[Number]) -> Mapping[Number, Remembered]:
    return dict.fromkeys(numbers, Remembered())


class Finder(Protocol):
    """What is asked for titles."""

    def look_up(self, records: Iterable[Sequence[Sequence[Number]]]) -> None:
        """Get ready for `find` of the numbers of these records, of each as `numbers_of` has them; what was looked up
        before is forgotten. Other numbers may be asked for as well, each costs more then."""
        ...

    def had(self, number: Number) -> Collection[str]:
        """Titles that lost a number by an import; `find` names them, too."""
        ...

    def find(self, number: Number) -> ListAnswer[Bib]:
        """Titles that may have a number, each with its `whole`. None are left out but those that an index does not
        know yet."""
        ...


class RestFinder:
    """Alma's REST API: one call a number, two where no title that has an OCLC number is found by `(OCoLC)` and digits.

    ``memory``: what imports know; titles of theirs that Alma's index does not name are read. Of records that were
    looked up together these, and those that a record names by MMS id, are read together, when the first of them is
    needed. ``inventory``: with what `Bib.shows_inventory` says. `find` is safe for several threads while nothing is
    looked up.
    """

    def __init__(self, bibs: Bibs, memory: Memory | None = None, *, inventory: bool = False) -> None:
        self._bibs = bibs
        self._memory = memory or _nothing
        self._inventory = inventory
        self._mutex = threading.Lock()
        self._known: dict[Number, Remembered] = {}
        self._unread: list[str] = []
        self._titles: dict[str, Answer[Bib]] = {}

    def look_up(self, records: Iterable[Sequence[Sequence[Number]]]) -> None:
        records = [groups for groups in records if groups]
        numbers = dict.fromkeys(number for groups in records for group in groups for number in group)
        self._known, self._titles = dict(self._memory(list(numbers))), {}
        named = [number.value for groups in records for number in groups[0] if number.method == "mms_id"]
        remembered = [each for known in self._known.values() for each in (*known.ids, *known.had)]
        unread = list(dict.fromkeys((*named, *remembered)))
        self._unread = unread if len(unread) > 1 else []

    def had(self, number: Number) -> Collection[str]:
        return self._of(number).had

    def find(self, number: Number) -> ListAnswer[Bib]:
        if number.method == "mms_id":
            return self._read(dict.fromkeys((number.value, *self.had(number))))
        found: dict[str, Bib] = {}
        for spelling in _spellings(number):
            answer = self._bibs.by_system_number(spelling, inventory=self._inventory)
            if not isinstance(answer, Found):
                return answer
            found |= {each.mms_id: each for each in answer.value}
            # What does not have the number, or has it no longer, is named beside those that have it spelled otherwise.
            if any(_verified(each, number, None, ()) is not None for each in answer.value):
                break
        known = self._of(number)
        more = self._read(each for each in dict.fromkeys((*known.ids, *known.had)) if each not in found)
        return Found([*found.values(), *more.value]) if isinstance(more, Found) else more

    def _of(self, number: Number) -> Remembered:
        known = self._known.get(number)
        return known if known is not None else self._memory([number])[number]

    def _read(self, mms_ids: Iterable[str]) -> ListAnswer[Bib]:
        found: list[Bib] = []
        for mms_id in mms_ids:
            match self._title(mms_id):
                case Found(bib):
                    found.append(bib)
                case Unknown() as unknown:
                    return unknown
        return Found(found)

    def _title(self, mms_id: str) -> Answer[Bib]:
        with self._mutex:
            if mms_id in self._unread:
                for batch in in_batches(self._unread):
                    self._titles |= read_bibs(self._bibs, batch, to_change=True, inventory=self._inventory)
                self._unread = []
            read = self._titles.get(mms_id)
        return self._bibs.read_to_change(mms_id, inventory=self._inventory) if read is None else read


def numbers_of(keys: BibKeys, methods: Iterable[Method]) -> Iterator[list[Number]]:
    """Yield the numbers of a record that are looked up together, in the order of the methods that it has numbers of.

    Present and former OCLC numbers, and the references of orders, are looked up together: of two titles that have one
    each, a look-up that ends at the first would take one in silence."""
    methods = list(methods)
    joined = _TOGETHER.intersection(methods)
    done: set[Method] = set()
    for method in methods:
        together = [each for each in methods if each in joined] if method in joined else [method]
        numbers = [number for each in together if each not in done for number in _numbers(keys, each)]
        done.update(together)
        if numbers:
            yield numbers


def match(record: Record, keys: BibKeys, profile: BibProfile, finder: Finder) -> Matched | Unknown:
    """Find the titles of a record: those of the first method by which there are any. Unknown where a look-up failed."""
    remarks: list[str] = []
    for numbers in numbers_of(keys, profile.match):
        found = match_by(numbers, record, keys, finder)
        if isinstance(found, Unknown):
            return found
        remarks += found.remarks
        if found.titles:
            return Matched(found.titles, tuple(remarks))
    return Matched(remarks=tuple(remarks))


def match_by(numbers: Sequence[Number], record: Record, keys: BibKeys, finder: Finder) -> Matched | Unknown:
    """Find the titles of a record by these of its numbers, which are looked up together."""
    found: dict[str, Title] = {}
    for number in numbers:
        answer = finder.find(number)
        if not isinstance(answer, Found):
            return answer if isinstance(answer, Unknown) else Unknown(_no_list(number, answer))
        for bib in rows_of(answer):
            title = _verified(bib, number, found.get(bib.mms_id), finder.had(number))
            if isinstance(title, Unknown):
                return title
            if title is not None:
                found[bib.mms_id] = title
    titles: list[Title] = []
    remarks: list[str] = []
    # What a title had once counts where no other one has it now.
    for title in [each for each in found.values() if each.has_one] or found.values():
        against = disagreements(record, title.record, keys, title.keys) if numbers[0].method in WEAK else []
        if against:
            remarks.append(f"{title.mms_id} has {title.how()} and is no match: {'; '.join(against)}")
        else:
            titles.append(title)
    return Matched(tuple(sorted(titles, key=lambda title: title.mms_id)), tuple(remarks))


def _numbers(keys: BibKeys, method: Method) -> list[Number]:
    places: dict[Method, list[tuple[str, Sequence[str]]]] = {
        "oclc": [("035 $a", keys.oclc)],
        "019": [("035 $z or 019", keys.oclc_former)],
        "mms_id": [("001", [keys.mms_id] if keys.mms_id else [])],
        "isbn": [("020 $a", keys.isbn), ("020 $z", keys.isbn_cancelled)],
        "issn": [("022 $a", keys.issn)],
        "system": [("035 $a", keys.system)],
        "order": [("order", keys.orders)],
    }
    written: dict[str, list[str]] = {}
    for text in keys.system_as_written if method == "system" else ():
        written.setdefault(system_number(text) or "", []).append(text)
    return [
        Number(method, place, value, tuple(written.get(value, ())))
        for place, values in places[method]
        for value in values
    ]


def _verified(bib: Bib, number: Number, known: Title | None, had: Collection[str]) -> Title | Unknown | None:
    """The bib as a title of this number, with the numbers by which it is ``known`` already; None when its record does
    not have the number, nor is it of those that ``had`` it."""
    if bib.record is None:
        return Unknown(_unreadable(bib, "it has no record"))
    if known is not None:
        title = Title(bib, known.record, known.keys, (*known.numbers, number))
    else:
        try:
            record = record_from_xml(bib.record)
        except ValueError as error:
            return Unknown(_unreadable(bib, str(error)))
        title = Title(bib, record, keys_of(record), (number,))
    return title if _has(title.keys, bib.mms_id, number) or bib.mms_id in had else known


def _has(keys: BibKeys, mms_id: str, number: Number) -> bool:
    match number.method:
        case "oclc" | "019":
            return number.value in keys.all_oclc
        case "mms_id":
            return number.value == mms_id
        case "isbn":
            return number.value in (keys.isbn if number.place.endswith("$a") else keys.isbn_cancelled)
        case "issn":
            return number.value in keys.issn
        case "system":
            return number.value in keys.system
        case "order":  # it stands in a PO line, by which alone titles are found
            return True


def _spellings(number: Number) -> list[str]:
    """How a number stands in 035: as everybody writes it now, then as OCLC did, or as the record has it."""
    if number.method not in _OCLC:
        return [number.value, *number.spellings]
    digits = number.value
    prefixed = f"ocm{digits:0>8}" if len(digits) < 9 else f"{'ocn' if len(digits) == 9 else 'on'}{digits}"
    return [f"(OCoLC){digits}", f"(OCoLC){prefixed}"]


def _unreadable(bib: Bib, why: str) -> RemoteError:
    return RemoteMalformed(f"GET /bibs/{bib.mms_id}", 200, "", f"the title's record cannot be read: {why}")


def _no_list(number: Number, answer: ListAnswer[Bib]) -> RemoteError:
    error = answer.error if isinstance(answer, Absent) else None
    return error or RemoteMalformed("GET /bibs", None, "", f"{number} could not be looked up")
