"""The step that writes: records become titles of Alma, or part of the titles that they match.

A title is created once: imports keep each other off a number by a lock and by what they note before they send. A title
is changed only as it was read, by one import at a time; where imports alone have saved it since it was read, the record
is matched once more.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

from alma_etl.alma.bib_writes import (
    INDEX_LAG,
    BibOptions,
    change_bib,
    find_linked,
    import_bib,
    is_locked,
    is_stale,
)
from alma_etl.alma.bibs import Bib
from alma_etl.bibs.catalogue import Catalogue
from alma_etl.bibs.chunk_records import BEHIND_A_TWIN, SAME_TITLE, ChunkRecords, LateFault
from alma_etl.bibs.deciding import NETWORK
from alma_etl.bibs.field_diff import changed_tags
from alma_etl.bibs.matches import Match, read_match, record_of
from alma_etl.bibs.merging import differs, prepared
from alma_etl.bibs.network_links import NetworkLinks
from alma_etl.bibs.rows import BibOutcome
from alma_etl.bibs.title_notes import Looked, TitleNotes
from alma_etl.bibs.versions import version_of
from alma_etl.inventory.loaded_bibs import SavedTitle
from alma_etl.jobs.ends import Sent
from alma_etl.jobs.file_job import FileJob, Refusal
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.loading import RowWriter, write_rows
from alma_etl.jobs.outcomes import End, Row
from alma_etl.marc.xml import record_from_xml, xml_from_record
from alma_etl.remote.answers import Answer, Found, Unknown
from alma_etl.remote.errors import RemoteError, RemoteRefused, RemoteStop
from alma_etl.remote.safe_write import NOT_AS_SENT, WriteOutcome
from alma_etl.store.locks import LockBusy

log = logging.getLogger(__name__)

# Alma's own words of why it does not take a record: no XML, normalisation or validation failed.
_BAD_RECORD = frozenset(("402209", "4022031", "4022032", "4022033"))
_COMMUNITY_ZONE = "40166454"
_LAG = timedelta(seconds=sum(INDEX_LAG))

X = TypeVar("X")
Y = TypeVar("Y")


def load_records(
    job: FileJob[Any],
    catalogue: Catalogue,
    run: FileRun,
    number: int,
    faults: Mapping[int, Refusal],
    late_fault: LateFault,
    only: Collection[Hashable] | None = None,
) -> dict[str, int]:
    """Write the records of a chunk, those with one number one after the other; return counts by outcome. ``faults`` and
    ``late_fault`` as `ChunkRecords` has them. ``only``: of those that were refused before, the ones to try again, by
    `row_key`; all of them by default."""
    records = ChunkRecords(job, catalogue, run, number, faults, late_fault)
    notes = TitleNotes(catalogue, records, run)
    writer = BibWriter(catalogue, records, notes)
    ends = write_rows(job, run, number, writer, target=catalogue.alma, only=only)
    notes.note_waiting(ends)
    notes.settle_waiting(ends)
    counts = Counter(end["outcome"] for end in ends)
    log.info("Chunk %04d: %s", number, ", ".join(f"{n} {word}" for word, n in counts.items()))
    return dict(counts)


class BibWriter(RowWriter):
    """Sends the records of a chunk as `match` decided."""

    in_order: ClassVar[bool] = (
        True  # of two records with one number the second is compared with what the first made
    )

    def __init__(self, catalogue: Catalogue, records: ChunkRecords, notes: TitleNotes) -> None:
        self._client, self._memory, self._locks = catalogue.client, catalogue.memory, catalogue.locks
        self._records, self._notes = records, notes
        self._links = NetworkLinks(catalogue, records, notes)
        self._profile = profile = records.profile
        self._options = BibOptions(profile.normalization, profile.validates, profile.override_warning)
        self._saved: dict[str, SavedTitle] = {}

    # --- what the skeleton asks

    def begin(self, rows: Sequence[Row]) -> None:
        """Which of the titles that the rows match imports have saved, perhaps for this file."""
        self._saved = self._memory.saved(self._records.titles_of(rows))
        self._notes.begin(rows)

    def known_end(self, row: Row) -> End | None:
        fault = self._records.faults.get(row["line"])
        if fault is not None:
            end = self._records.end(row, BibOutcome(fault.outcome), message=fault.message)
            return self._records.note(row, end)
        if self._records.is_twin(row):
            return None  # it depends on what the first one comes to
        match = self._records.match_of(row)
        saved = self._saved.get(match.mms_id)
        if match.action != "none" or (
            match.outcome in BEHIND_A_TWIN and self._records.record_that_saved(row, saved) is not None
        ):
            return None
        return self._records.note(row, self._unwritten(row, match, saved))

    def turn_of(self, row: Row) -> int:
        return self._records.turns[row["line"]]

    def thing_of(self, row: Row) -> int:
        return self._records.things[row["line"]]

    def place_of(self, row: Row) -> str:
        """The network zone's record that is linked: by later settings the row's match may not name it."""
        return self._records.network_of(row)

    def name_of(self, row: Row) -> str:
        return f"Record {row['record']}, {row['key']}"

    def in_parallel(self, function: Callable[[X], Y], rows: Iterable[X]) -> Iterator[tuple[X, Y]]:
        return self._client.in_parallel(function, rows)

    def dry_run(self, row: Row) -> End:
        return self._records.note(row, self._would(row, self._records.match_of(row)))

    def _would(self, row: Row, match: Match) -> End:
        if self._records.is_twin(row):
            first = self._records.match_of(self._records.first(row))
            if first.action == "link":
                return self._links.would_beside(row, first)
            if first.action != "none" and first.record is not None:
                return self._records.compared(row, first.record, first.mms_id)
            end = self._records.twin_end(row)
            if end is not None:
                return end
        return (self._links.would if match.action == "link" else self._records.would)(row, match)

    def look_for(self, row: Row, sent: Sent) -> End | None:
        match = self._records.match_of(row)
        if match.action != "change":
            end = self._look_for_made(row, match, sent)
        elif match.title is None or self._records.is_twin(row):
            end = None
        else:
            end = self._look_for_changed(row, match)
        return None if end is None else self._records.note(row, end)

    def send(self, row: Row, before: Sent | None) -> End:
        match = self._records.match_of(row)
        end = self._records.twin_end(row) or self._by_match(row, match)
        if before is not None and end["outcome"] == BibOutcome.CONFLICT:
            # the attempt that may have sent it may have matched it once more before
            now = read_match(self._records.matcher.match(row))
            if now.outcome is BibOutcome.UNCHANGED and now.mms_id == match.mms_id:
                end = self._records.end(row, match.outcome, match)
        return self._records.note(row, end)

    # --- writing

    def _by_match(self, row: Row, match: Match) -> End:
        if match.action == "none":
            return self._unwritten(row, match, self._saved.get(match.mms_id))
        looked: Looked = set()
        try:
            with self._locks.hold(f"bib {row['group']}") as lock:
                for _ in range(2):
                    write = {"create": self._create, "link": self._links.link}.get(match.action, self._change)
                    end = write(row, match, looked, lock.check)
                    if not isinstance(end, Match):
                        return end
                    refused = self._records.refused_late(row, match, end.mms_id)
                    if refused is not None:
                        return refused
                    match = end  # others wrote what it depends on since it was looked for
                    if match.action == "none":
                        saved = self._memory.saved([match.mms_id]).get(match.mms_id)
                        return self._unwritten(row, match, saved)
        except LockBusy as error:
            return self._records.end(row, BibOutcome.FAILED, match, f"{error}: clear this chunk's tasks")
        message = (
            "other imports changed its titles twice while it was to be written: clear this chunk's tasks"
        )
        return self._records.end(row, BibOutcome.FAILED, match, message)

    def _unwritten(self, row: Row, match: Match, saved: SavedTitle | None) -> End:
        """The end of a record of which nothing is to be written. It names the one of the file that was written."""
        record = self._records.record_that_saved(row, saved)
        if record is not None and match.outcome in BEHIND_A_TWIN:
            return self._records.behind(row, match.mms_id, record)
        message = ""
        if record is not None and match.outcome is BibOutcome.UNCHANGED and not match.message:
            message = f"record {record} of the file {SAME_TITLE}, and all of it"
        return self._records.end(row, match.outcome, match, message)

    def _create(self, row: Row, match: Match, looked: Looked, check: Callable[[], None]) -> End | Match:
        numbers = self._notes.names_of(row)
        instead = self._notes.claim(row, match, looked, numbers)
        if instead is not None:
            return instead
        record = match.record if match.record is not None else prepared(record_of(row))
        try:
            written = import_bib(
                self._client,
                xml_from_record(record),
                find=lambda: self._records.matcher.find_new(row, match.titles),
                suppressed=self._profile.suppress,
                suppressed_externally=self._profile.suppress_externally,
                sync_with_oclc=self._profile.sync_with_oclc,
                options=self._options,
                before=check,
            )
        except RemoteStop as stop:
            if not stop.effect_unknown:
                self._notes.forget(row, numbers)
            raise
        if written.value is not None and written.done:
            self._notes.note_new(row, match, numbers, written.value)
            return self._records.written(row, BibOutcome.CREATED, match, written, written.value)
        if written.outcome is WriteOutcome.UNCONFIRMED:
            message = f"it was sent and no answer came, nor does Alma's index show it: {written.error}"
            return self._records.end(row, BibOutcome.UNCONFIRMED, match, message)
        self._notes.forget(row, numbers)
        return self._refused(row, match, written.error)

    def _change(self, row: Row, match: Match, looked: Looked, check: Callable[[], None]) -> End | Match:
        with self._locks.hold(f"title {match.mms_id}") as lock:
            saved = self._memory.saved([match.mms_id]).get(match.mms_id)
            record = self._records.record_that_saved(row, saved)
            if record is not None:
                return self._records.behind(row, match.mms_id, record)
            if saved is not None and match.title is not None and saved.is_later(version_of(match.title)):
                again = self._records.again(row)
                if again.action != "change" or again.title is None or again.mms_id != match.mms_id:
                    return again
                if not saved.is_last(version_of(again.title)):
                    message = (
                        "an import and somebody else saved the title since it was read; nothing was written"
                    )
                    return self._records.end(row, BibOutcome.CONFLICT, again, message)
                match = again
            instead = self._notes.claim(row, match, looked)
            lock.check()
            return instead or self._put(row, match, check)

    def _put(self, row: Row, match: Match, check: Callable[[], None]) -> End:
        title, record = match.title, match.record
        if title is None or record is None:
            raise ValueError(f"record {row['record']} is to change a title that was not kept")
        check()
        written = change_bib(
            self._client,
            title,
            xml_from_record(record),
            as_wanted=self._as_wanted(match),
            options=self._options,
            flags=self._profile.flags,
        )
        if written.value is not None and written.outcome is not WriteOutcome.UNCHANGED:
            self._notes.note_change(row, match, written.value)
        if written.value is not None and written.done:
            return self._records.written(row, match.outcome, match, written, written.value)
        if written.outcome is WriteOutcome.UNCONFIRMED:
            message = f"it was sent and no answer came: {written.error}"
            return self._records.end(row, BibOutcome.UNCONFIRMED, match, message)
        error = written.error
        if error is not None and error.code == NOT_AS_SENT and written.value is not None:
            now = record_from_xml(written.value.record or b"<record/>")
            lacks = filter(
                None, (changed_tags(now, record), *self._profile.flags.missing(written.value.whole))
            )
            message = f"Alma answered, and the title lacks what was sent in {', '.join(lacks)}"
            return self._records.end(row, BibOutcome.NOT_APPLIED, match, message)
        if self._profile.on_refused == "create" and error is not None and is_locked(error):
            return self._beside_a_locked_title(row, match, error, check)
        return self._refused(row, match, error)

    def _refused(self, row: Row, match: Match, error: RemoteError | None) -> End:
        """The end of a record that Alma did not take; nothing was written."""
        outcome = BibOutcome.FAILED
        if error is not None and match.action == "change" and is_locked(error):
            outcome = BibOutcome.NOT_ADDED_LOCKED
        elif error is not None and match.action == "change" and is_stale(error):
            outcome = BibOutcome.CONFLICT
        elif error is not None and error.code == _COMMUNITY_ZONE:
            outcome = BibOutcome.LINKED_CZ
        elif error is not None and error.code in _BAD_RECORD:
            outcome = BibOutcome.INVALID_RECORD
        words = "Alma refused it" if isinstance(error, RemoteRefused) else "it was not written"
        return self._records.end(row, outcome, match, f"{words}: {error}")

    def _beside_a_locked_title(
        self, row: Row, match: Match, error: RemoteError, check: Callable[[], None]
    ) -> End:
        message = f"added as a title of its own, to be merged by hand: {match.mms_id} is locked, {error}"
        alone = Match(
            BibOutcome.CREATED, "create", message, ("NOT_ADDED_LOCKED",), "", None, None, (match.mms_id,)
        )
        end = self._create(row, alone, set(), check)
        return end if not isinstance(end, Match) else self._refused(row, match, error)

    # --- what may have been sent

    def _look_for_made(self, row: Row, match: Match, sent: Sent) -> End | None:
        """The end of a record that an earlier attempt of this run, by whatever settings, was about to send as a new
        title, or to link; None when it is known that it did not."""
        zone_ids = sorted({match.network, *sent.places} - {""})
        if match.action == "none" and not zone_ids and match.outcome is not BibOutcome.UNCHANGED:
            return None
        if zone_ids and not match.network:
            message = f"linked to the network zone's {' or '.join(zone_ids)} by an earlier attempt"
            match = replace(match, message=message, reasons=(*match.reasons, NETWORK))
        numbers = self._notes.names_of(row, zone_ids)
        ours = self._notes.sent_before(row, numbers)
        if match.outcome is BibOutcome.UNCHANGED:  # its title has all of the record, and is what was sent
            if not any(each.mms_id in ("", match.mms_id) for each in ours):
                return None
            self._notes.note_made(row, numbers, match.mms_id)
            return self._records.end(row, BibOutcome.CREATED, match)
        if not ours:
            return None
        made = next((each.mms_id for each in ours if each.mms_id), "")
        if made:
            return self._records.end(row, BibOutcome.CREATED, match, mms_id=made)
        for looks, seconds in enumerate(INDEX_LAG):
            if looks and ours[0].sent_at + _LAG < datetime.now(UTC):
                break
            self._client.pause(seconds)
            found = self._find_made(row, match, zone_ids)
            if isinstance(found, Found):
                self._notes.note_new(row, match, numbers, found.value)
                return self._records.end(row, BibOutcome.CREATED, match, mms_id=found.value.mms_id)
        message = (
            "an earlier attempt may have sent it, and Alma's index does not show it: drop the record again"
        )
        return self._records.end(row, BibOutcome.UNCONFIRMED, match, message)

    def _look_for_changed(self, row: Row, match: Match) -> End | None:
        """The end of a record that an earlier attempt may have sent into its title; None where the title lacks it."""
        answer = self._client.bibs.read_to_change(match.mms_id)
        if isinstance(answer, Unknown):
            message = (
                f"an earlier attempt may have sent it, and {match.mms_id} could not be read: {answer.error}"
            )
            return self._records.end(row, BibOutcome.UNCONFIRMED, match, message)
        if isinstance(answer, Found) and self._as_wanted(match)(answer.value):
            self._notes.note_change(row, match, answer.value)
            return self._records.end(row, match.outcome, match)
        return None

    def _find_made(self, row: Row, match: Match, zone_ids: Iterable[str]) -> Answer[Bib]:
        for zone_id in zone_ids:
            linked = find_linked(self._client, zone_id)
            if isinstance(linked, Found):
                return linked
        return self._records.matcher.find_new(row, match.titles)

    def _as_wanted(self, match: Match) -> Callable[[Bib], bool]:
        """Whether a title has what a record brings. After a normalisation by Alma only that it was saved is known."""
        before, wanted = match.title, match.record

        def is_so(title: Bib) -> bool:
            if title.record is None or wanted is None or before is None:
                return False
            if self._profile.flags.missing(title.whole):
                return False
            if self._options.normalization:
                return title.record != before.record
            return not differs(record_from_xml(title.record), wanted)

        return is_so
