"""Files of records with every outcome of an import, what each is to come to, and what Alma is to have then."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from pymarc import Record

from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.marc.xml import record_from_xml, xml_from_record
from tests.e2e.items import ItemSandbox
from tests.unit.bibs.records import LEADER, lines, record

F008 = "008 200101s2020    xx            000 0 eng d"
LOADED = frozenset(("created", "merged", "overlaid", "unchanged", "already_owned"))
BRIEF = LEADER[:17] + "3" + LEADER[18:]
DELETED = LEADER[:5] + "d" + LEADER[6:]
PROFILES = """
profiles:
  mine: {}
  over: {on_match: overlay, search_first: true}
chunk_size: 250
"""


@dataclass
class Case:
    """A record of a file. ``after``: the fields of its title once it was loaded, sorted, None where it is not changed;
    ``mms_id``: the title that it finds, "" where there is none."""

    source: Record | bytes
    outcome: str
    again: str
    number: str = ""
    after: list[str] | None = None
    mms_id: str = ""
    says: Sequence[str] = ()

    @property
    def iso(self) -> bytes:
        """The record in a file of ISO 2709."""
        return self.source if isinstance(self.source, bytes) else to_iso2709(self.source)

    @property
    def xml(self) -> bytes:
        """The record in a file of MARCXML."""
        assert isinstance(self.source, Record)
        return xml_from_record(self.source)


@dataclass
class Shelf:
    """The titles of an Alma, and records for them."""

    alma: ItemSandbox
    numbers: Any = field(default_factory=lambda: itertools.count(7_000_001))

    def __post_init__(self) -> None:
        self._session = requests.Session()
        self._session.headers.update({"Authorization": "apikey sandbox", "Content-Type": "application/xml"})

    def add(self, *fields: str) -> str:
        """A title with these fields; its MMS id."""
        body = xml_from_record(record(F008, *fields, leader="00000cam a2200000 a 4500")).decode()
        flags = "<suppress_from_publishing>false</suppress_from_publishing><brief_level>10</brief_level>"
        answer = self._session.post(
            f"{self.alma.url}/almaws/v1/bibs?format=json",
            data=f"<bib>{flags}{body}</bib>".encode(),
            timeout=60,
        )
        answer.raise_for_status()
        return str(answer.json()["mms_id"])

    def old(self, number: int, *fields: str) -> str:
        """A title as it was before the file came."""
        return self.add(f"035 __ $a (OCoLC){number}", f"245 00 $a Old {number}", *fields)

    def save(self, mms_id: str, old: str, new: str) -> None:
        """Somebody saves a title in the editor, with other words in it."""
        path = f"{self.alma.url}/almaws/v1/bibs/{mms_id}"
        whole = self._session.get(path, timeout=60).content.replace(old.encode(), new.encode())
        self._session.put(path, data=whole, timeout=60).raise_for_status()

    def change(self, path: str, **change: Any) -> None:
        """What staff do."""
        requests.post(f"{self.alma.url}/sandbox/{path}", json=change, timeout=60).raise_for_status()

    def titles(self) -> dict[str, list[str]]:
        """The fields of every title that was made, without those that Alma writes itself."""
        bibs = self.alma.state()["bibs"]
        return {mms_id: fields_of(bib["record"].encode()) for mms_id, bib in bibs.items() if bib}


def fields_of(xml: bytes) -> list[str]:
    """The fields of a record but those that Alma writes, sorted."""
    found = record_from_xml(xml)
    return sorted(each for each in lines(found) if each[:3] not in ("001", "003", "005"))


def new(number: int, *fields: str, title: str = "New", leader: str = LEADER, oclc: str = "") -> Record:
    """A record as a file has it."""
    own = (
        f"001 ocm{number}",
        "003 OCoLC",
        "005 20400101000000.0",
        F008,
        f"035 __ $a {oclc or f'(OCoLC){number}'}",
    )
    return record(*own, f"245 00 $a {title} {number}", *fields, leader=leader)


def fields_after(number: int, *fields: str, title: str = "New") -> list[str]:
    """The fields of a title that such a record was loaded into."""
    return sorted([F008, f"035 __ $a (OCoLC){number}", f"245 00 $a {title} {number}", *fields])


SUBJECT, LOCAL, OURS = "650 _0 $a Déjà vu 日本", "590 __ $a Our copy $9 local", "979 __ $a ours"
Make = Callable[[Shelf, int], Iterable[Case]]


def created(shelf: Shelf, number: int) -> Iterable[Case]:
    yield Case(
        new(number, SUBJECT), "created", "unchanged", f"(OCoLC){number}", fields_after(number, SUBJECT)
    )


def merged(shelf: Shelf, number: int) -> Iterable[Case]:
    there = shelf.old(number, "500 __ $a Gone", LOCAL, OURS)
    source = new(number, SUBJECT, "999 __ $a theirs", oclc=f"(OCoLC)ocm0{number}")
    after = fields_after(number, SUBJECT, LOCAL, OURS)
    yield Case(source, "merged", "unchanged", f"(OCoLC){number}", after, there)


def merged_by_former(shelf: Shelf, number: int) -> Iterable[Case]:
    former = next(shelf.numbers)
    there = shelf.old(former)
    source = new(number, f"019 __ $a {former}")
    after = fields_after(number, f"019 __ $a {former}")
    yield Case(source, "merged", "unchanged", f"(OCoLC){number}", after, there)


def unchanged(shelf: Shelf, number: int) -> Iterable[Case]:
    there = shelf.add(f"035 __ $a (OCoLC){number}", f"245 00 $a New {number}", SUBJECT)
    yield Case(new(number, SUBJECT), "unchanged", "unchanged", f"(OCoLC){number}", None, there)


def multi_match(shelf: Shelf, number: int) -> Iterable[Case]:
    both = [shelf.old(number), shelf.old(number)]
    yield _refused(new(number), "multi_match", number, says=both)


def no_key(shelf: Shelf, number: int) -> Iterable[Case]:
    yield _refused(record(F008, f"245 00 $a No number {number}"), "no_key")


def not_added_brief(shelf: Shelf, number: int) -> Iterable[Case]:
    there = shelf.old(number)
    yield _refused(new(number, leader=BRIEF), "not_added_brief", number, there, says=["03 < 10"])


def not_added_old(shelf: Shelf, number: int) -> Iterable[Case]:
    there = shelf.old(number)
    older = record("005 20000101000000.0", F008, f"035 __ $a (OCoLC){number}", "245 00 $a Older")
    yield _refused(older, "not_added_old", number, there, says=["20000101000000.0"])


def not_added_locked(shelf: Shelf, number: int) -> Iterable[Case]:
    there = shelf.old(number)
    shelf.change("locks", lock=[there], by="cataloguer1")
    yield _refused(new(number), "not_added_locked", number, there, says=["cataloguer1"])


def duplicate_in_file(shelf: Shelf, number: int) -> Iterable[Case]:
    yield from created(shelf, number)
    yield _refused(new(number, title="Another"), "duplicate_in_file", number, says=["has the same number"])
    yield Case(new(number, SUBJECT), "unchanged", "unchanged", f"(OCoLC){number}")


def delete_requested(shelf: Shelf, number: int) -> Iterable[Case]:
    shelf.old(number)
    yield _refused(new(number, leader=DELETED), "delete_requested", number)


def linked(zone: str) -> Make:
    def make(shelf: Shelf, number: int) -> Iterable[Case]:
        there = shelf.old(number)
        shelf.change(f"bibs/{there}", linked=[zone, f"9990{number}"])
        yield _refused(new(number), f"linked_{zone.lower()}", number, there)

    return make


def invalid_record(shelf: Shelf, number: int) -> Iterable[Case]:
    yield _refused(record(F008, f"035 __ $a (OCoLC){number}"), "invalid_record", number)
    whole = to_iso2709(new(number, title="Broken"))
    damaged = b"%sx%s" % (whole[:28], whole[29:])  # the length of its first field
    yield Case(damaged, "invalid_record", "invalid_record")
    yield Case(whole[:60] + b"\x1d", "invalid_record", "invalid_record")


def overlaid(shelf: Shelf, number: int) -> Iterable[Case]:
    there = shelf.old(number, "500 __ $a Gone", OURS, LOCAL)
    source = new(number, SUBJECT)
    after = fields_after(number, SUBJECT, LOCAL)
    yield Case(source, "overlaid", "unchanged", f"(OCoLC){number}", after, there)


def already_owned(shelf: Shelf, number: int) -> Iterable[Case]:
    there = shelf.old(number)
    shelf.alma.add_holding(there, "MAIN", "stacks")
    yield Case(new(number), "already_owned", "already_owned", f"(OCoLC){number}", None, there)


def _refused(
    source: Record, outcome: str, number: int = 0, mms_id: str = "", *, says: Sequence[str] = ()
) -> Case:
    known = f"(OCoLC){number}" if number else ""
    return Case(source, outcome, outcome, known, None, mms_id, says)


ISO: Sequence[tuple[Make, int]] = (
    (created, 480), (merged, 380), (merged_by_former, 30), (unchanged, 300), (multi_match, 30), (no_key, 60),
    (not_added_brief, 50), (not_added_old, 50), (not_added_locked, 20), (duplicate_in_file, 30),
    (delete_requested, 30), (linked("CZ"), 30), (linked("NZ"), 30), (invalid_record, 40),
)  # fmt: skip
XML: Sequence[tuple[Make, int]] = ((overlaid, 160), (already_owned, 40), (created, 80), (no_key, 20))


def cases(shelf: Shelf, kinds: Sequence[tuple[Make, int]], share: int = 1) -> list[Case]:
    """A file of records of these kinds, mixed, but each group of one number in its order; a part of them."""
    groups = [
        list(make(shelf, next(shelf.numbers))) for make, count in kinds for _ in range(max(1, count // share))
    ]
    mixed = sorted(range(len(groups)), key=lambda at: at * 7919 % 10_007)
    return [case for at in mixed for case in groups[at]]
