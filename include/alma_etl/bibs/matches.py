"""What the step `match` found for the records of a chunk, kept between the two steps: the decision for each, with the
title as it was read and the record as it is to be sent."""

import logging
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pymarc import Record

from alma_etl.alma.bibs import Bib, bib
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.sru import SruClient
from alma_etl.bibs.deciding import Action, Decision, decide
from alma_etl.bibs.keys import BibKeys, keys_of
from alma_etl.bibs.matching import Finder, Number, RestFinder, match, numbers_of
from alma_etl.bibs.profiles import BibProfile
from alma_etl.bibs.rows import BibOutcome
from alma_etl.bibs.sru_finder import RECORDS_AT_ONCE, SruFinder
from alma_etl.inventory.loaded_bibs import LoadedBibs
from alma_etl.jobs.checkpoint import Checkpoint, Rank, Step
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.outcomes import Row
from alma_etl.marc.xml import record_from_xml, xml_from_record
from alma_etl.remote import xml
from alma_etl.remote.answers import Answer, Found, ListAnswer, Unknown, rows_of

log = logging.getLogger(__name__)

NO_SRU = "NO_SRU"
"""Code in `reasons` of a record whose numbers SRU gave no answer for: Alma's API was asked."""

STEP = Step(
    "matches.jsonl",
    key=lambda row: (row["line"], row["key"]),
    rank=lambda row: Rank.OPEN if row["outcome"] == BibOutcome.FAILED else Rank.SETTLED,
)
# What of a profile the matches do not depend on.
_LATER = {
    "dry_run", "lock_wait_minutes", "normalization", "validates", "override_warning", "suppress", "sync_with_oclc",
}  # fmt: skip


@dataclass(frozen=True)
class Match:
    """The decision for one record, as it is kept. `titles`: the MMS ids of all titles that it matched."""

    outcome: BibOutcome
    action: Action
    message: str
    reasons: tuple[str, ...]
    mms_id: str
    record: Record | None
    title: Bib | None
    titles: tuple[str, ...]


def matches_of(run: FileRun, number: int, alma: str | None = None) -> Checkpoint:
    """Return the matches of a chunk, with what they depend on."""
    profile: BibProfile = run.plan().profile
    settings = profile.model_dump(mode="json", exclude=_LATER)
    return Checkpoint(run.bucket, run.chunk_key(number, STEP.name), STEP, settings=settings, alma=alma)


def record_of(row: Row) -> Record:
    """Return the record of a row."""
    return record_from_xml(row["marc"].encode())


class Matcher:
    """Finds the titles of records and decides what becomes of each."""

    def __init__(
        self, client: AlmaClient, profile: BibProfile, memory: LoadedBibs, sru: SruClient | None = None
    ) -> None:
        self._client = client
        self._profile = profile
        rest = RestFinder(client.bibs, lambda number: _remembered(memory, [number])[number])
        self._sru = (
            SruFinder(sru, client.bibs, rest, lambda numbers: _remembered(memory, numbers)) if sru else None
        )
        self._finder: Finder = self._sru or rest

    def match_all(self, rows: Sequence[Row]) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Yield rows with their matches, looked up together where SRU can be asked."""
        for start in range(0, len(rows), RECORDS_AT_ONCE):
            part = rows[start : start + RECORDS_AT_ONCE]
            if self._sru is not None:
                keys = (keys_of(record_of(row)) for row in part)
                self._sru.look_up(list(numbers_of(each, self._profile.match)) for each in keys)
            yield from self._client.in_parallel(self.match, part)

    def match(self, row: Row) -> dict[str, Any]:
        """Return the match of a row, as `Match` reads it."""
        record = record_of(row)
        keys = keys_of(record)
        found = match(record, keys, self._profile, self._finder)
        if isinstance(found, Unknown):
            message = f"its title could not be looked up: {found.error}"
            return self._kept(row, keys, Decision(BibOutcome.FAILED, message=message), ())
        owned: Answer[bool] = Found(False)
        if self._profile.search_first and len(found.titles) == 1:
            owned = self._is_owned(found.titles[0].mms_id)
        if not isinstance(owned, Found):
            message = f"whether {found.titles[0].mms_id} has inventory could not be looked up"
            return self._kept(row, keys, Decision(BibOutcome.FAILED, message=message), ())
        decision = decide(record, keys, self._profile, found, is_owned=owned.value)
        return self._kept(row, keys, decision, [title.mms_id for title in found.titles])

    def _kept(self, row: Row, keys: BibKeys, decision: Decision, titles: Sequence[str]) -> dict[str, Any]:
        numbers = (number for group in numbers_of(keys, self._profile.match) for number in group)
        if self._sru is not None and self._sru.was_silent(numbers):
            decision = replace(decision, reasons=(*decision.reasons, NO_SRU))
        return _kept(row, decision, titles)

    def find(self, number: Number) -> ListAnswer[Bib]:
        """Ask for the titles of a number."""
        return self._finder.find(number)

    def _is_owned(self, mms_id: str) -> Answer[bool]:
        """Whether a title has inventory; of holdings that availability does not show its own list knows."""
        shown = self._client.bibs.shows_inventory(mms_id)
        if not isinstance(shown, Found) or shown.value:
            return shown
        listed = self._client.holdings.list(mms_id)
        if isinstance(listed, Found) or rows_of(listed):
            return Found(bool(rows_of(listed)))
        return listed


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
    )


def memory_keys(keys: BibKeys, profile: BibProfile) -> list[str]:
    """Return the names under which a title with these keys is remembered."""
    return [key_of(number) for numbers in numbers_of(keys, profile.match) for number in numbers]


def key_of(number: Number) -> str:
    """Return the name of a number in the memory: present and former OCLC numbers are of one kind."""
    kind = "oclc" if number.method == "019" else number.method
    return f"{kind}{'z' if number.place == '020 $z' else ''}:{number.value}"


def _remembered(memory: LoadedBibs, numbers: Collection[Number]) -> dict[Number, Sequence[str]]:
    known = memory.find({key_of(number) for number in numbers})
    ids = {key: [each.mms_id] for key, each in known.items() if each.mms_id}
    return {number: ids.get(key_of(number), []) for number in numbers}


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
    }


def _is_refused(kept: Mapping[str, Any]) -> bool:
    return kept["action"] == "none" and BibOutcome(kept["outcome"]).weight.rank < Rank.SETTLED


def match_records(
    client: AlmaClient,
    run: FileRun,
    number: int,
    rows: Iterable[Row],
    *,
    memory: LoadedBibs,
    alma: str,
    again: Collection[Hashable] = (),
    sru: SruClient | None = None,
) -> dict[str, int]:
    """Find the titles of records of a chunk; return the counts by what is to become of them.

    What earlier attempts found is not asked again, but for what failed or was refused then: a person may have done
    something about it. ``again``: records that were refused when they were written. Raises RemoteStop,
    StoreUnavailable.
    """
    checkpoint = matches_of(run, number, alma)
    matcher = Matcher(client, run.plan().profile, memory, sru)
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
