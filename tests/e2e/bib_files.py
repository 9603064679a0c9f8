"""Files of MARC with every end that a record can have, and the titles of a sandbox that they meet."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count as counting
from itertools import cycle, islice
from typing import Any

import requests
from pymarc import Record

from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.marc.xml import record_from_xml, xml_from_record
from alma_etl.store.bucket import Bucket
from tests.e2e.items import ItemSandbox, Loaded
from tests.unit.bibs.records import LEADER, lines, record

AREA = "bibs"
NUMBERS = 1_900_000_000  # OCLC numbers that no title of a fresh sandbox has are above it
F008 = "008 200101s2020    xx            000 0 eng d"
LOCAL = "979 __ $a ours"
_WRITTEN = {"created": "would_create", "merged": "would_merge", "not_added_locked": "would_merge"}


@dataclass(frozen=True)
class BibCase:
    """A record as it stands in a file, how it ends, and the titles that it meets (none: there is no such title)."""

    body: bytes
    outcome: str
    mms_ids: tuple[str, ...] = ()
    record: Record | None = field(default=None, repr=False)

    @property
    def again(self) -> str:
        """How it ends when the file is dropped a second time."""
        return "unchanged" if self.outcome in ("created", "merged") else self.outcome

    @property
    def tried(self) -> str:
        """How it ends in a dry run, which does not see who has a title open."""
        return _WRITTEN.get(self.outcome, self.outcome)


class Bibs(ItemSandbox):
    """A sandbox with what staff do to its titles."""

    def add(self, *fields: str) -> str:
        """A title with these fields, full and with local ones; its MMS id."""
        body = xml_from_record(record(F008, *fields, LOCAL, leader="00000cam a2200000 a 4500")).decode()
        flags = "<suppress_from_publishing>false</suppress_from_publishing><brief_level>10</brief_level>"
        answer = self.post("/bibs", f"<bib>{flags}{body}</bib>")
        answer.raise_for_status()
        return str(answer.json()["mms_id"])

    def title(self, mms_id: str) -> list[str]:
        """The fields of a title, as lines."""
        return lines(record_from_xml(self.get(f"/bibs/{mms_id}")["anies"][0].encode()))

    def new_titles(self) -> set[str]:
        """The MMS ids of all titles that a fresh sandbox lacks."""
        return {mms_id for mms_id, bib in self.state()["bibs"].items() if bib is not None}

    def change(self, mms_id: str, **change: Any) -> None:
        """What only staff can do to a title: `linked=["NZ", id]`."""
        answer = requests.post(f"{self.url}/sandbox/bibs/{mms_id}", json=change, timeout=30)
        answer.raise_for_status()

    def locks(self, **change: list[str]) -> None:
        """Open titles in the editor, or release them: `lock=[mms_id]`, `unlock=[mms_id]`."""
        requests.post(f"{self.url}/sandbox/locks", json=change, timeout=30).raise_for_status()


def mixed(alma: Bibs, count: int, *, first: int = NUMBERS + 1) -> list[BibCase]:
    """A file of this many records with all ends mixed; the titles that they meet are made in the sandbox.

    Records have numbers from ``first`` on, so that two files of one sandbox share none.
    """
    numbers = counting(first)
    return list(islice(_mixed(alma, numbers), count))


def file_of(cases: list[BibCase]) -> bytes:
    """The file of these records."""
    return b"".join(case.body for case in cases)


def as_xml(cases: list[BibCase]) -> bytes:
    """Those of these records that can be read, as MARCXML."""
    records = b"".join(xml_from_record(case.record) for case in cases if case.record is not None)
    return (
        b'<?xml version="1.0"?><collection xmlns="http://www.loc.gov/MARC21/slim">'
        + records
        + b"</collection>"
    )


def _mixed(alma: Bibs, numbers: Iterator[int]) -> Iterator[BibCase]:
    for make in cycle(_MAKERS):
        yield from make(alma, next(numbers))


def _new(
    number: int, *fields: str, leader: str = LEADER, title: str = "As it came", date: str = "20400101000000.0"
) -> Record:
    numbered = (f"035 __ $a (OCoLC){number}", f"245 00 $a {title}", *fields)
    return record(f"001 r{number}", f"005 {date}", F008, *numbered, leader=leader)


def _case(outcome: str, made: Record, *mms_ids: str) -> BibCase:
    return BibCase(to_iso2709(made), outcome, mms_ids, made)


def _old(alma: Bibs, number: int, *fields: str) -> str:
    return alma.add(f"035 __ $a (OCoLC){number}", "245 00 $a Old", *fields)


def _created(alma: Bibs, number: int) -> list[BibCase]:
    """One that nobody has; then the same again, and another with its number."""
    return [
        _case("created", _new(number)),
        _case("unchanged", _new(number)),
        _case("duplicate_in_file", _new(number, title="Another")),
    ]


def _merged(alma: Bibs, number: int) -> list[BibCase]:
    return [_case("merged", _new(number, "650 _0 $a New"), _old(alma, number))]


def _unchanged(alma: Bibs, number: int) -> list[BibCase]:
    mms_id = alma.add(f"035 __ $a (OCoLC){number}", "245 00 $a As it came")
    return [_case("unchanged", _new(number, leader="00000cam a2200000 a 4500"), mms_id)]


def _multi_match(alma: Bibs, number: int) -> list[BibCase]:
    return [_case("multi_match", _new(number), _old(alma, number), _old(alma, number))]


def _brief(alma: Bibs, number: int) -> list[BibCase]:
    brief = _new(number, leader=LEADER[:17] + "3" + LEADER[18:])
    return [_case("not_added_brief", brief, _old(alma, number))]


def _older(alma: Bibs, number: int) -> list[BibCase]:
    return [_case("not_added_old", _new(number, date="20000101000000.0"), _old(alma, number))]


def _locked(alma: Bibs, number: int) -> list[BibCase]:
    mms_id = _old(alma, number)
    alma.locks(lock=[mms_id])
    return [_case("not_added_locked", _new(number), mms_id)]


def _linked(zone: str) -> Callable[[Bibs, int], list[BibCase]]:
    def make(alma: Bibs, number: int) -> list[BibCase]:
        mms_id = _old(alma, number)
        alma.change(mms_id, linked=[zone, f"999{number}"])
        return [_case(f"linked_{zone.lower()}", _new(number), mms_id)]

    return make


def _deleted(alma: Bibs, number: int) -> list[BibCase]:
    return [_case("delete_requested", _new(number, leader=LEADER[:5] + "d" + LEADER[6:]), _old(alma, number))]


def _no_key(alma: Bibs, number: int) -> list[BibCase]:
    return [_case("no_key", record(F008, f"245 00 $a Without a number {number}"))]


def _no_title(alma: Bibs, number: int) -> list[BibCase]:
    return [_case("invalid_record", record(F008, f"035 __ $a (OCoLC){number}"))]


def _broken(alma: Bibs, number: int) -> list[BibCase]:
    return [BibCase(to_iso2709(_new(number))[:-30] + b"\x1e\x1d", "invalid_record")]


_MAKERS: tuple[Callable[[Bibs, int], list[BibCase]], ...] = (
    _created, _merged, _unchanged, _multi_match, _brief, _merged, _older, _locked, _linked("CZ"), _linked("NZ"),
    _deleted, _created, _no_key, _merged, _no_title, _broken,
)  # fmt: skip


class Imported(Loaded):
    """What one run of an import left in the bucket."""

    def __init__(self, bucket: Bucket, run: Any, stem: str) -> None:
        super().__init__(bucket, run, stem, AREA)

    def ends(self) -> list[tuple[int, str]]:
        return [(int(row["record"]), row["outcome"]) for row in self.rows()]

    def outcomes(self) -> list[str]:
        """The outcomes in the order of the file."""
        return [row["outcome"] for row in self.rows()]


def what_alma_lacks(alma: Bibs, cases: list[BibCase], rows: list[dict[str, str]]) -> list[str]:
    """Where the report and the sandbox's titles differ, in words; empty where each title is as its row says."""
    found = []
    if len(rows) != len(cases):
        found.append(f"{len(cases)} records and {len(rows)} rows")
    for case, row in zip(cases, rows, strict=False):
        title = f"record {row['record']}, {row['outcome']}"
        if row["outcome"] in ("created", "merged"):
            now = alma.title(row["mms_id"])
            assert case.record is not None
            missing = set(lines(case.record, "035", "245", "650")) - set(now)
            if missing or (row["outcome"] == "merged" and LOCAL not in now):
                found.append(f"{title}: {row['mms_id']} is {now}")
        else:
            found += [
                f"{title}: {mms_id} was changed"
                for mms_id in case.mms_ids
                if row["outcome"] != "unchanged" and "245 00 $a Old" not in alma.title(mms_id)
            ]
    written = Counter(row["mms_id"] for row in rows if row["outcome"] == "created")
    there = {mms_id for case in cases for mms_id in case.mms_ids}
    if alma.new_titles() != there | set(written) or max(written.values(), default=1) > 1:
        found.append(
            f"titles that no row says were created: {sorted(alma.new_titles() - there - set(written))}"
        )
    return found
