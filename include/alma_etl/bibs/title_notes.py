"""What the records of a chunk note of their titles in the state store: the numbers of what is about to be sent, which
keep other imports off it, what was made or saved, and which titles wait for their full record.

Imports claim the numbers of a title before they send it, and look in the store before Alma's index knows it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pymarc import Record

from alma_etl.alma.bibs import Bib
from alma_etl.bibs.catalogue import Catalogue
from alma_etl.bibs.chunk_records import OF_THE_TITLE, ChunkRecords, names_of
from alma_etl.bibs.deciding import NETWORK
from alma_etl.bibs.keys import BibKeys, keys_of
from alma_etl.bibs.matches import Match, lagging_keys, lost_keys, memory_keys, record_of
from alma_etl.bibs.network import network_key
from alma_etl.bibs.rows import BibOutcome
from alma_etl.bibs.versions import version_of
from alma_etl.inventory.loaded_bibs import KnownBib
from alma_etl.inventory.waiting_titles import BriefTitle, Settled
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.outcomes import End, Row
from alma_etl.marc.xml import record_from_xml

# How long what another import was about to send may still be under way: a call and the looks after it.
_UNDER_WAY = timedelta(minutes=5)
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds, for the end of one that was sent a moment ago

Looked = set[str | KnownBib]
"""What other imports made, or sent without an answer, before the last look for titles."""


class TitleNotes:
    """The notes of a chunk's records. With `awaits_full_record` of the profile the titles that are made wait for their
    full record, else those that get it wait no longer."""

    def __init__(self, catalogue: Catalogue, records: ChunkRecords, run: FileRun) -> None:
        self._client, self._memory, self._records = catalogue.client, catalogue.memory, records
        self._profile, self._run_id = records.profile, run.run_id
        listed = None if run.plan().dry_run else catalogue.waiting
        self._waiting = listed if self._profile.awaits_full_record else None
        # Where titles are left as they are, a record that is all in one is no reason to take that off the list.
        leaves = self._profile.awaits_full_record or self._profile.on_match == "skip"
        self._settling = None if leaves else listed
        self._lost: set[int] = set()  # lines whose title an import sent without an answer, by their numbers

    # --- titles that wait

    def begin(self, rows: Sequence[Row]) -> None:
        """Look which rows have a number that an import sent without an answer."""
        if self._waiting is not None:
            known = self._memory.find({name for row in rows for name in names_of(row)})
            sent = {name for name, titles in known.items() if any(not each.mms_id for each in titles)}
            self._lost = {row["line"] for row in rows if sent & {*names_of(row)}}

    def note_waiting(self, ends: Iterable[End]) -> None:
        """Put the titles on the list that were made for these ends; also one of which only a later import learned that
        it is there."""
        if self._waiting is None:
            return
        made = (
            end
            for end in ends
            if NETWORK not in end["reasons"].split(";")  # such a record is full, or the zone's to complete
            and (
                end["outcome"] == BibOutcome.CREATED
                or (end["line"] in self._lost and end["outcome"] in OF_THE_TITLE)
            )
        )
        self._waiting.note(
            BriefTitle(end["mms_id"], end["title"], end["key"], _now(), self._run_id) for end in made
        )

    def settle_waiting(self, ends: Iterable[End]) -> None:
        """Take the titles off the list that these records were merged into, overlaid, or are all in."""
        by_outcome: dict[str, set[str]] = {}
        for end in ends:
            by_outcome.setdefault(end["outcome"], set()).add(end["mms_id"])
        how: Settled
        for how in ("merged", "overlaid", "unchanged"):
            if self._settling is not None and how in by_outcome:
                self._settling.settle(by_outcome[how], how, self._run_id)

    # --- what is about to be sent

    def names_of(self, row: Row, zone_ids: Iterable[str] = ()) -> list[str]:
        """The names under which what is made of a record is remembered; ``zone_ids``: the network zone's records that
        it is linked to."""
        return [*map(network_key, zone_ids), *memory_keys(keys_of(record_of(row)), self._profile)]

    def claim(
        self, row: Row, match: Match, looked: Looked, numbers: Sequence[str] | None = None
    ) -> End | Match | None:
        """Keep other imports off the ``numbers`` of a title that is about to be made, or those that the title of the
        match is to get; return what is to be done instead where one of them was faster. What is new to ``looked`` is
        added, and looked for."""
        bib = KnownBib("", self._records.sender(row), _now())
        if numbers is None:
            numbers = lagging_keys(*_keys(match), self._profile)
            bib = replace(bib, mms_id=match.mms_id, sender=f"{bib.sender}, merged")
        for seconds in (*_WAITS, None):
            claimed = self._memory.claim(numbers, bib, over={*match.titles, *looked})
            against = {each for titles in claimed.values() for each in titles}
            if not against:
                return None
            pending = {each for each in against if not each.mms_id and _age(each) < _UNDER_WAY}
            if against != pending:
                looked |= {each.mms_id or each for each in against - pending}
                return self._records.again(row)
            if seconds is None or min(map(_age, pending)) > timedelta(seconds=sum(_WAITS)):
                break
            self._client.pause(seconds)
        message = (
            f"a title with its number was sent at {min(each.sent_at for each in pending):%Y-%m-%d %H:%M:%S} UTC, and "
            "Alma does not show yet whether it is there: drop the record again in a few minutes"
        )
        return self._records.end(row, BibOutcome.UNCONFIRMED, match, message)

    def forget(self, row: Row, numbers: Collection[str]) -> None:
        """It is known that a record did not make a title."""
        self._memory.forget(numbers, self._records.sender(row))

    def sent_before(self, row: Row, numbers: Collection[str]) -> list[KnownBib]:
        """What a record of this run has made, or was about to, by these numbers."""
        known = self._memory.find(numbers).values()
        return [each for titles in known for each in titles if each.sender == self._records.sender(row)]

    # --- what was made and saved

    def note_new(self, row: Row, match: Match, numbers: Sequence[str], title: Bib) -> None:
        """Keep that a title was made, or linked, by this record."""
        # First: a later import takes what is not noted as made for one whose answer was lost.
        self.note_waiting([self._records.end(row, BibOutcome.CREATED, match, mms_id=title.mms_id)])
        self.note_made(row, numbers, title.mms_id)
        self._note_saved(row, title, version_of(title))

    def note_made(self, row: Row, numbers: Sequence[str], mms_id: str) -> None:
        """Keep of which title these numbers are, or were."""
        self._memory.note(numbers, KnownBib(mms_id, self._records.sender(row), _now()))

    def note_change(self, row: Row, match: Match, title: Bib) -> None:
        """Keep what a title lost, and that this record saved it. Its numbers were claimed before."""
        if match.title is not None:
            self.note_made(row, lost_keys(*_keys(match)), title.mms_id)
            self._note_saved(row, title, version_of(match.title))

    def _note_saved(self, row: Row, title: Bib, before: str) -> None:
        sender = self._records.sender(row)
        self._memory.note_saved(title.mms_id, sender, before=before, after=version_of(title))


def _keys(match: Match) -> tuple[BibKeys, BibKeys]:
    """The numbers of a title before and after a change."""
    before = match.title.record if match.title is not None else None
    return keys_of(record_from_xml(before or b"<record/>")), keys_of(match.record or Record())


def _age(pending: KnownBib) -> timedelta:
    return _now() - pending.sent_at


def _now() -> datetime:
    return datetime.now(UTC)
