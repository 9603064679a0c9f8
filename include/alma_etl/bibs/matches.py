"""What the step `match` found for the records of a chunk, kept between the two steps: the decision for each, with the
title as it was read and the record as it is to be sent."""

import logging
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pymarc import Record

from alma_etl.alma.bibs import Bib, bib
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.sru import SruClient
from alma_etl.bibs.catalogue import Catalogue
from alma_etl.bibs.deciding import Action, Decision, decide, decide_by_network
from alma_etl.bibs.keys import BibKeys, keys_of
from alma_etl.bibs.matching import (
    Finder,
    Matched,
    Number,
    Remembered,
    RestFinder,
    Title,
    match,
    match_by,
    numbers_of,
)
from alma_etl.bibs.network import network_key, zone_of
from alma_etl.bibs.order_match import OrderFinder
from alma_etl.bibs.order_reference import keys_for
from alma_etl.bibs.profiles import BibProfile, Method
from alma_etl.bibs.rows import BibOutcome
from alma_etl.bibs.sru_finder import RECORDS_AT_ONCE, SruFinder
from alma_etl.inventory.loaded_bibs import LoadedBibs
from alma_etl.jobs.checkpoint import Checkpoint, Rank, Step
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.outcomes import Row
from alma_etl.marc.xml import record_from_xml, xml_from_record
from alma_etl.remote import xml
from alma_etl.remote.answers import Absent, Answer, Found, Unknown, rows_of
from alma_etl.store.db import store_key

log = logging.getLogger(__name__)

NO_SRU = "NO_SRU"
"""Code in `reasons` of a record whose numbers SRU gave no answer for: Alma's API was asked."""

STEP = Step(
    "matches.jsonl",
    key=lambda row: (row["line"], row["key"]),
    rank=lambda row: Rank.OPEN if row["outcome"] == BibOutcome.FAILED else Rank.SETTLED,
)
_OCLC, _HAD = "oclc:", "was:"  # beginnings of names in the memory
# What of a profile the matches do not depend on.
_LATER = {
    "dry_run", "lock_wait_minutes", "normalization", "validates", "override_warning", "suppress", "sync_with_oclc",
    "inventory", "orders", "suppress_externally", "awaits_full_record",
}  # fmt: skip
# An MMS id that Alma does not know, of another institution or of a deleted title, stands in no title: it is that
# of the title that was made of its record.
_OWN: frozenset[Method] = frozenset(("mms_id",))
_FLAGS = {"suppress", "suppress_externally", "sync_with_oclc"}


@dataclass(frozen=True)
class Match:
    """The decision for one record, as it is kept. `titles`: the MMS ids of all titles that it matched. `network`: the
    network zone's record that is linked."""

    outcome: BibOutcome
    action: Action
    message: str
    reasons: tuple[str, ...]
    mms_id: str
    record: Record | None
    title: Bib | None
    titles: tuple[str, ...]
    network: str = ""


def matches_of(run: FileRun, number: int, alma: str | None = None) -> Checkpoint:
    """Return the matches of a chunk, with what they depend on."""
    profile: BibProfile = run.plan().profile
    later = _LATER if profile.flags_on_match == "keep" else _LATER - _FLAGS
    settings = profile.model_dump(mode="json", exclude=later) | {"network_zone": zone_of(run)}
    return Checkpoint(run.bucket, run.chunk_key(number, STEP.name), STEP, settings=settings, alma=alma)


def record_of(row: Row) -> Record:
    """Return the record of a row."""
    return record_from_xml(row["marc"].encode())


class Matcher:
    """Finds the titles of records and decides what becomes of each: by what the institution has, and of records that
    have no title there by what the network zone has. ``filled``: titles that have inventory of this run, which is
    no reason to leave them alone."""

    def __init__(self, catalogue: Catalogue, profile: BibProfile, filled: Collection[str] = ()) -> None:
        self._client, self._memory = catalogue.client, catalogue.memory
        self._network = catalogue.network
        self._profile = profile
        self._filled = filled
        # The number of a row is its own: its title is the one that was made of it, also where a full record, by hand
        # perhaps, has taken the number out of that since.
        own: frozenset[Method] = _OWN | ({"system"} if profile.template is not None else set())
        inventory = profile.search_first
        self._here = _zone(self._client, self._memory, catalogue.sru, inventory=inventory, own=own)
        if catalogue.orders is not None:
            finder = OrderFinder(self._here.finder, self._client, catalogue.orders, inventory=inventory)
            self._here = _Zone(finder, self._here.sru)
        self._linked: dict[str, str] = {}

    def match_all(self, rows: Sequence[Row]) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Yield rows with their matches, of which as much is looked up together as can be."""
        there = self._there()
        for start in range(0, len(rows), RECORDS_AT_ONCE):
            part = rows[start : start + RECORDS_AT_ONCE]
            keys = (keys_for(record_of(row), self._profile) for row in part)
            self._look_up(self._here, keys)
            waiting = []
            for row, found in self._client.in_parallel(self._match_here, part):
                if isinstance(found, Matched):
                    waiting.append((row, found))
                else:
                    yield row, found
            if waiting and there is not None:
                yield from self._match_there(there, waiting)

    def _there(self) -> "_Zone | None":
        network = self._network
        return _zone(network.client, network.memory, network.sru) if network is not None else None

    def _look_up(self, zone: "_Zone", keys: Iterable[BibKeys]) -> None:
        zone.finder.look_up(list(numbers_of(each, self._profile.match)) for each in keys)

    def match(self, row: Row) -> dict[str, Any]:
        """Return the match of a row, as `Match` reads it."""
        found = self._match_here(row)
        if not isinstance(found, Matched):
            return found
        there = self._there()
        if there is None:
            raise ValueError("there is no network zone to ask")
        return next(kept for _, kept in self._match_there(there, [(row, found)]))

    def _match_here(self, row: Row) -> dict[str, Any] | Matched:
        """The match of a row; what was found where it has no title, and the network zone is to be asked."""
        record = record_of(row)
        keys = keys_for(record, self._profile)
        found = match(record, keys, self._profile, self._here.finder)
        if isinstance(found, Unknown):
            return self._kept(row, keys, _unanswered(found), ())
        if not found.titles and self._network is not None:
            return found
        return self._decided(row, record, keys, found)

    def _match_there(
        self, zone: "_Zone", waiting: Sequence[tuple[Row, Matched]]
    ) -> Iterator[tuple[Row, dict[str, Any]]]:
        """The matches of rows that have no title in the institution, looked up together in the network zone. A single
        one is as well, by a zone of its own: what SRU knows of a number its API may not."""
        self._look_up(zone, (keys_of(record_of(row)) for row, _ in waiting))  # orders are the institution's
        for (row, _), kept in self._client.in_parallel(partial(self._match_in, zone), waiting):
            yield row, kept

    def _match_in(self, zone: "_Zone", asked: tuple[Row, Matched]) -> dict[str, Any]:
        """The match of a row by what the network zone has. What imports, or a look for it, have seen linked is the
        title, however long Alma's index takes to find it by its numbers."""
        row, here = asked
        record = record_of(row)
        keys = keys_of(record)
        found = match(record, keys, self._profile, zone.finder)
        if isinstance(found, Unknown):
            return self._kept(row, keys, _unanswered(found, " in the network zone"), (), zone)
        linked = self._linked_to(found.titles[0]) if len(found.titles) == 1 else Absent()
        if isinstance(linked, Unknown):
            return self._kept(row, keys, _unanswered(linked), (), zone)
        if isinstance(linked, Found):
            return self._decided(row, record, keys, Matched((linked.value,), here.remarks))
        decision = decide_by_network(record, keys, self._profile, here, found)
        return self._kept(row, keys, decision, (), zone)

    def note_linked(self, nz_mms_id: str, mms_id: str) -> None:
        """A look has found this title linked to a record of the network zone."""
        self._linked[nz_mms_id] = mms_id

    def _linked_to(self, there: Title) -> Answer[Title]:
        """The title of the institution that is known to be linked to one of the network zone, and is so still."""
        key = network_key(there.mms_id)
        seen = [
            self._linked.get(there.mms_id, ""),
            *(each.mms_id for each in self._memory.find([key]).get(key, ())),
        ]
        for mms_id in dict.fromkeys(filter(None, seen)):
            answer = self._client.bibs.read_to_change(mms_id, inventory=self._profile.search_first)
            if isinstance(answer, Unknown):
                return answer
            title = answer.value if isinstance(answer, Found) else None
            if title is not None and title.is_linked_to(there.mms_id) and title.record is not None:
                record = record_from_xml(title.record)
                return Found(Title(title, record, keys_of(record), there.numbers))
        return Absent()

    def _decided(self, row: Row, record: Record, keys: BibKeys, found: Matched) -> dict[str, Any]:
        """The match of a row by its titles of the institution."""
        titles = [title.mms_id for title in found.titles]
        searched = self._profile.search_first and len(titles) == 1 and not self._is_ours(titles[0])
        is_owned = searched and found.titles[0].bib.shows_inventory
        decision = decide(record, keys, self._profile, found, is_owned=is_owned)
        if searched and self._is_written(decision):
            # Availability does not show all holdings. To know of the others costs a call, so only a title is asked
            # about that would be written.
            listed = self._client.holdings.list(titles[0])
            if rows_of(listed):
                decision = decide(record, keys, self._profile, found, is_owned=True)
            elif not isinstance(listed, Found):
                message = f"whether {titles[0]} has inventory could not be looked up: {listed.error}"
                decision = Decision(BibOutcome.FAILED, message=message)
        return self._kept(row, keys, decision, titles)

    def _is_ours(self, mms_id: str) -> bool:
        """Whether what a title has, or waits for, comes of imports that have not ended, or of this one."""
        return mms_id in self._filled or self._memory.is_due(mms_id)

    def _is_written(self, decision: Decision) -> bool:
        """Whether something comes to the title: the record, or its items."""
        has_items = self._profile.inventory is not None and decision.outcome is BibOutcome.UNCHANGED
        return decision.action != "none" or has_items

    def _kept(
        self,
        row: Row,
        keys: BibKeys,
        decision: Decision,
        titles: Sequence[str],
        there: "_Zone | None" = None,
    ) -> dict[str, Any]:
        numbers = [number for group in numbers_of(keys, self._profile.match) for number in group]
        asked = [zone.sru for zone in (self._here, there) if zone is not None and zone.sru is not None]
        if any(sru.was_silent(numbers) for sru in asked):
            decision = replace(decision, reasons=(*decision.reasons, NO_SRU))
        return _kept(row, decision, titles)

    def find_new(self, row: Row, before: Collection[str]) -> Answer[Bib]:
        """Look for the title that was made of a row: the one that it matches and that was not there ``before``, by the
        MMS ids of the titles that it matched then."""
        record = record_of(row)
        keys = keys_of(record)
        unknown: Answer[Bib] = Absent()
        for numbers in numbers_of(keys, self._profile.match):
            found = match_by(numbers, record, keys, self._here.finder)
            if isinstance(found, Unknown):
                unknown = found
                continue
            new = [title.bib for title in found.titles if title.mms_id not in before]
            if len(new) == 1:
                return Found(new[0])
            if found.titles:
                break  # what the numbers after these name was not looked up before
        return unknown


def read_match(kept: Mapping[str, Any]) -> Match:
    """Return a match as it was kept."""
    whole = kept["whole"].encode()
    return Match(
        outcome=BibOutcome(kept["outcome"]),
        action=kept["action"],
        message=kept["message"],
        reasons=tuple(kept["reasons"]),
        mms_id=kept["mms_id"],
        record=record_from_xml(kept["record"].encode()) if kept["record"] else None,
        title=replace(bib(xml.parse(whole)), whole=whole) if whole else None,
        titles=tuple(kept["titles"]),
        network=kept.get("network", ""),
    )


def memory_keys(keys: BibKeys, profile: BibProfile) -> list[str]:
    """Return the names under which a title with these keys is remembered: present and former OCLC numbers always, since
    a record matches by any of them."""
    methods: list[Method] = list(dict.fromkeys((*profile.match, "oclc", "019")))
    keys = replace(keys, orders=())  # the title's PO line has them
    return [key_of(number) for numbers in numbers_of(keys, methods) for number in numbers]


def lagging_keys(before: BibKeys, after: BibKeys, profile: BibProfile) -> list[str]:
    """Return the names of the numbers of a changed title by which Alma may not find it: new ones, which its indexes
    learn late, and OCLC numbers that are not in 035 `$a`, where alone `other_system_id` is known to look."""
    found = {f"{_OCLC}{number}" for number in before.oclc if number in after.oclc}
    found |= {key for key in memory_keys(before, profile) if not key.startswith(_OCLC)}
    return [key for key in memory_keys(after, profile) if key not in found]


def lost_keys(before: BibKeys, after: BibKeys) -> list[str]:
    """Return the names of the OCLC numbers that a changed title has no longer."""
    return [f"{_HAD}{_OCLC}{number}" for number in sorted(before.all_oclc - after.all_oclc)]


def key_of(number: Number) -> str:
    """Return the name of a number in the memory: present and former OCLC numbers are of one kind."""
    kind = "oclc" if number.method == "019" else number.method
    return store_key(f"{kind}{'z' if number.place == '020 $z' else ''}:{number.value}")


@dataclass(frozen=True)
class _Zone:
    """What a zone's titles are looked up by, and its SRU where it has one."""

    finder: Finder
    sru: SruFinder | None


def _zone(
    client: AlmaClient,
    memory: LoadedBibs,
    sru: SruClient | None,
    *,
    inventory: bool = False,
    own: Collection[Method] = _OWN,
) -> _Zone:
    asked = partial(_remembered, memory, own)
    rest = RestFinder(client.bibs, asked, inventory=inventory)
    by_sru = SruFinder(sru, client.bibs, rest, asked, inventory=inventory) if sru else None
    return _Zone(by_sru or rest, by_sru)


def _unanswered(unknown: Unknown, where: str = "") -> Decision:
    return Decision(BibOutcome.FAILED, message=f"its title could not be looked up{where}: {unknown.error}")


def _remembered(
    memory: LoadedBibs, own: Collection[Method], numbers: Collection[Number]
) -> dict[Number, Remembered]:
    """What imports know of numbers. ``own``: kinds of which a title keeps its number, whatever its record says."""
    keys = {number: key_of(number) for number in numbers}
    had = {f"{_HAD}{key}" for key in keys.values() if key.startswith(_OCLC)}
    known = memory.find({*keys.values(), *had})

    def ids(key: str) -> tuple[str, ...]:
        return tuple(each.mms_id for each in known.get(key, ()) if each.mms_id)

    def lost_by(number: Number, key: str) -> tuple[str, ...]:
        return (*ids(f"{_HAD}{key}"), *(ids(key) if number.method in own else ()))

    return {number: Remembered(ids(key), lost_by(number, key)) for number, key in keys.items()}


def _kept(row: Row, decision: Decision, titles: Sequence[str]) -> dict[str, Any]:
    title = decision.title
    whole = title.bib.whole if title is not None and decision.action == "change" else None
    return {
        "line": row["line"],
        "key": row["key"],
        "outcome": decision.outcome.value,
        "action": decision.action,
        "message": decision.message,
        "reasons": list(decision.reasons),
        "mms_id": title.mms_id if title is not None else "",
        "record": xml_from_record(decision.record).decode() if decision.record is not None else "",
        "whole": (whole or b"").decode(),
        "titles": list(titles),
        "network": decision.network,
    }


def _is_refused(kept: Mapping[str, Any]) -> bool:
    return kept["action"] == "none" and BibOutcome(kept["outcome"]).weight.rank < Rank.SETTLED


def match_records(
    catalogue: Catalogue,
    run: FileRun,
    number: int,
    rows: Iterable[Row],
    *,
    again: Collection[Hashable] = (),
    filled: Collection[str] = (),
) -> dict[str, int]:
    """Find the titles of records of a chunk; return the counts by what is to become of them.

    What earlier attempts found is not asked again, but for what failed or was refused then: a person may have done
    something about it. ``again``: records that were refused when they were written. ``filled`` as `Matcher` has it.
    Raises RemoteStop, StoreUnavailable.
    """
    checkpoint = matches_of(run, number, catalogue.alma)
    matcher = Matcher(catalogue, run.plan().profile, filled)
    found = {
        key: kept for key, kept in checkpoint.settled().items() if key not in again and not _is_refused(kept)
    }
    waiting = [row for row in rows if STEP.key(dict(row)) not in found]
    with checkpoint:
        for row, kept in matcher.match_all(waiting):
            found[STEP.key(dict(row))] = kept
            checkpoint.add(kept)
    counts: dict[str, int] = {}
    for kept in checkpoint.complete(sorted(found.values(), key=lambda kept: int(kept["line"]))):
        counts[kept["outcome"]] = counts.get(kept["outcome"], 0) + 1
    log.info("Chunk %04d: %s", number, ", ".join(f"{count} {word}" for word, count in counts.items()))
    return counts
