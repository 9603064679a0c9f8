"""The step that writes: records become titles of Alma, or part of the titles that they match.

A title is created once: imports keep each other off a number by a lock, claim the numbers of what they are about to
send in the state store, and look there before Alma's index knows it. A title is changed only as it was read, by one
import at a time; where imports alone have saved it since it was read, the record is matched once more.

Of records of one file for one title the first that is not refused decides, and the others name it. Within a chunk that
is the first of the file. Records that share no number may be in two chunks: then it is the one that is written first.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from pymarc import Record

from alma_etl.alma.bib_writes import (
    INDEX_LAG,
    BibOptions,
    change_bib,
    find_linked,
    import_bib,
    is_locked,
    is_stale,
    link_network_record,
)
from alma_etl.alma.bibs import Bib
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.sru import SruClient
from alma_etl.bibs.carrier import disagreements
from alma_etl.bibs.deciding import NETWORK
from alma_etl.bibs.field_diff import changes
from alma_etl.bibs.keys import BibKeys, keys_of
from alma_etl.bibs.matches import (
    Match,
    Matcher,
    lagging_keys,
    lost_keys,
    matches_of,
    memory_keys,
    read_match,
    record_of,
)
from alma_etl.bibs.merging import ALMAS, differs, merge, prepared
from alma_etl.bibs.network import Network, network_key
from alma_etl.bibs.order_match import OrderLines
from alma_etl.bibs.profiles import BibProfile
from alma_etl.bibs.rows import OF_RUN, BibOutcome, sender_of
from alma_etl.bibs.twins import STRONG, deciding, firsts
from alma_etl.bibs.versions import version_of
from alma_etl.inventory.loaded_bibs import KnownBib, LoadedBibs, SavedTitle
from alma_etl.inventory.waiting_titles import BriefTitle, Settled, WaitingTitles
from alma_etl.jobs.ends import Sent
from alma_etl.jobs.file_job import FileJob, Refusal
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.loading import RowWriter, write_rows
from alma_etl.jobs.outcomes import End, Row
from alma_etl.marc.xml import record_from_xml, xml_from_record
from alma_etl.remote.answers import Answer, Found, Unknown
from alma_etl.remote.errors import RemoteError, RemoteRefused, RemoteStop
from alma_etl.remote.safe_write import NOT_AS_SENT, WriteOutcome, Written
from alma_etl.store.locks import LockBusy, Locks

log = logging.getLogger(__name__)

# Alma's own words of why it does not take a record: no XML, normalisation or validation failed.
_BAD_RECORD = frozenset(("402209", "4022031", "4022032", "4022033"))
_COMMUNITY_ZONE = "40166454"
_WOULD = {
    BibOutcome.CREATED: BibOutcome.WOULD_CREATE,
    BibOutcome.MERGED: BibOutcome.WOULD_MERGE,
    BibOutcome.OVERLAID: BibOutcome.WOULD_OVERLAY,
}
_OF_THE_TITLE = frozenset((BibOutcome.MERGED, BibOutcome.OVERLAID, BibOutcome.UNCHANGED))
# What a record comes to only because another one of the file has changed its title before.
_BEHIND_A_TWIN = frozenset((BibOutcome.NOT_ADDED_BRIEF, BibOutcome.NOT_ADDED_OLD))
_LAG = timedelta(seconds=sum(INDEX_LAG))
# How long what another import was about to send may still be under way: a call and the looks after it.
_UNDER_WAY = timedelta(minutes=5)
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds, for the end of one that was sent a moment ago
_SHOWN = 12  # fields that a message names
_SAME_TITLE = "is of the same title"

LateFault = Callable[[Row, str], Refusal | None]
X = TypeVar("X")
Y = TypeVar("Y")


def load_records(
    job: FileJob[Any],
    client: AlmaClient,
    run: FileRun,
    number: int,
    *,
    memory: LoadedBibs,
    locks: Locks,
    alma: str,
    sru: SruClient | None = None,
    only: Collection[Hashable] | None = None,
    faults: Mapping[int, Refusal] = MappingProxyType({}),
    orders: OrderLines | None = None,
    waiting: WaitingTitles | None = None,
    network: Network | None = None,
    late_fault: LateFault = lambda row, mms_id: None,
) -> dict[str, int]:
    """Write the records of a chunk, those with one number one after the other; return counts by outcome. ``only``: of
    those that were refused before, the ones to try again, by `row_key`; all of them by default. ``faults``: why a
    record is not to be written at all, by its line; ``late_fault`` says it where the title is found only now.
    ``waiting``: the list of titles that wait for their full record,
    for those that are made here where the profile says so, else for those whose full record comes here."""
    writer = BibWriter(
        job, client, run, number, memory, locks, alma, sru, faults, orders, waiting, network, late_fault
    )
    ends = write_rows(job, run, number, writer, target=alma, only=only)
    writer.note_waiting(ends)
    writer.settle_waiting(ends)
    counts = Counter(end["outcome"] for end in ends)
    log.info("Chunk %04d: %s", number, ", ".join(f"{n} {word}" for word, n in counts.items()))
    return dict(counts)


class BibWriter(RowWriter):
    """Sends the records of a chunk as `match` decided."""

    in_order: ClassVar[bool] = (
        True  # of two records with one number the second is compared with what the first made
    )

    def __init__(
        self,
        job: FileJob[Any],
        client: AlmaClient,
        run: FileRun,
        number: int,
        memory: LoadedBibs,
        locks: Locks,
        alma: str,
        sru: SruClient | None = None,
        faults: Mapping[int, Refusal] = MappingProxyType({}),
        orders: OrderLines | None = None,
        waiting: WaitingTitles | None = None,
        network: Network | None = None,
        late_fault: LateFault = lambda row, mms_id: None,
    ) -> None:
        self._job = job
        self._faults = faults
        self._late_fault = late_fault
        profile: BibProfile = run.plan().profile
        listed = None if run.plan().dry_run else waiting
        self._waiting = listed if profile.awaits_full_record else None
        # Where titles are left as they are, a record that is all in one is no reason to take that off the list.
        self._settling = None if profile.awaits_full_record or profile.on_match == "skip" else listed
        self._lost: set[int] = set()  # lines whose title an import sent without an answer, by their numbers
        self._client = client
        self._memory = memory
        self._locks = locks
        self._run, self._number, self._alma = run, number, alma
        self._run_id = run.run_id
        self._profile: BibProfile = run.plan().profile
        self._dry = run.plan().dry_run
        self._options = BibOptions(
            self._profile.normalization, self._profile.validates, self._profile.override_warning
        )
        self._matcher = Matcher(client, self._profile, memory, sru, orders, network)
        self._matches = {kept["line"]: kept for kept in matches_of(run, number, alma).rows().values()}
        self._ends = {end["line"]: end for end in job.ends_of(run, number, alma).rows().values()}
        rows = list(run.rows(number))
        self._firsts, self._things = self._first_rows(rows)
        self._turns = firsts(rows, lambda row: (*_names(row), str(self._first(row)["group"])))
        self._saved: dict[str, SavedTitle] = {}

    # --- what the skeleton asks

    def begin(self, rows: Sequence[Row]) -> None:
        """Which of the titles that the rows match imports have saved, perhaps for this file."""
        kept = (self._matches.get(row["line"]) for row in rows)
        self._saved = self._memory.saved({each["mms_id"] for each in kept if each and each["mms_id"]})
        if self._waiting is not None:
            known = self._memory.find({name for row in rows for name in _names(row)})
            sent = {name for name, titles in known.items() if any(not each.mms_id for each in titles)}
            self._lost = {row["line"] for row in rows if sent & {*_names(row)}}

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
                or (end["line"] in self._lost and end["outcome"] in _OF_THE_TITLE)
            )
        )
        self._waiting.note(
            BriefTitle(end["mms_id"], end["title"], end["key"], self._now(), self._run_id) for end in made
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

    def known_end(self, row: Row) -> End | None:
        if row["line"] in self._faults:
            fault = self._faults[row["line"]]
            return self._noted(row, self._end(row, BibOutcome(fault.outcome), message=fault.message))
        if self._is_twin(row):
            return None  # it depends on what the first one comes to
        match = self._match_of(row)
        saved = self._saved.get(match.mms_id)
        if match.action != "none" or (
            match.outcome in _BEHIND_A_TWIN and self._record_that_saved(row, saved) is not None
        ):
            return None
        return self._noted(row, self._unwritten(row, match, saved))

    def turn_of(self, row: Row) -> int:
        return int(self._turns[row["line"]]["line"])

    def thing_of(self, row: Row) -> int:
        return int(self._things[row["line"]]["line"])

    def name_of(self, row: Row) -> str:
        return f"Record {row['record']}, {row['key']}"

    def in_parallel(self, function: Callable[[X], Y], rows: Iterable[X]) -> Iterator[tuple[X, Y]]:
        return self._client.in_parallel(function, rows)

    def dry_run(self, row: Row) -> End:
        match = self._match_of(row)
        if self._is_twin(row):
            first = self._match_of(self._first(row))
            if first.action == "link":
                return self._noted(row, self._dry_beside(row, first))
            if first.action != "none" and first.record is not None:
                return self._noted(row, self._compared(row, first.record, first.mms_id))
            end = self._twin(row)
            if end is not None:
                return self._noted(row, end)
        would = self._dry_link if match.action == "link" else self._would
        return self._noted(row, would(row, match))

    def _would(self, row: Row, match: Match) -> End:
        outcome = _WOULD.get(match.outcome, match.outcome) if match.action != "none" else match.outcome
        return self._end(row, outcome, match)

    def place_of(self, row: Row) -> str:
        """The network zone's record that is linked: by later settings the row's match may not name it."""
        return str(self._matches.get(row["line"], {}).get("network", ""))

    def look_for(self, row: Row, sent: Sent) -> End | None:
        match = self._match_of(row)
        if match.action != "change":
            return self._look_for_made(row, match, sent)
        if match.title is None or self._is_twin(row):
            return None
        answer = self._client.bibs.read_to_change(match.mms_id)
        if isinstance(answer, Unknown):
            message = (
                f"an earlier attempt may have sent it, and {match.mms_id} could not be read: {answer.error}"
            )
            return self._end(row, BibOutcome.UNCONFIRMED, match, message)
        if isinstance(answer, Found) and self._as_wanted(match)(answer.value):
            self._note_change(row, match, answer.value)
            return self._noted(row, self._end(row, match.outcome, match))
        return None

    def send(self, row: Row, before: Sent | None) -> End:
        match = self._match_of(row)
        end = self._twin(row) or self._by_match(row, match)
        if before is not None and end["outcome"] == BibOutcome.CONFLICT:
            # the attempt that may have sent it may have matched it once more before
            now = read_match(self._matcher.match(row))
            if now.outcome is BibOutcome.UNCHANGED and now.mms_id == match.mms_id:
                end = self._end(row, match.outcome, match)
        return self._noted(row, end)

    # --- twins

    def _first_rows(self, rows: Sequence[Row]) -> tuple[dict[int, Row], dict[int, Row]]:
        """By line, the record that decides, by OCLC numbers or as one that is to change the same title. And
        the one for whose end it waits.

        Records with different numbers may be one title. Each was compared with what Alma had before the others.
        """
        titles: dict[str, list[Row]] = {}
        for row in rows:
            kept = self._matches.get(row["line"])
            if kept and kept["mms_id"] and kept["outcome"] in _OF_THE_TITLE:
                titles.setdefault(kept["mms_id"], []).append(row)
        changed = {
            row["line"]: f"title:{mms_id}"
            for mms_id, same in titles.items()
            if any(self._matches[row["line"]]["action"] == "change" for row in same)
            for row in same
        }

        def names(row: Row, *, strong: bool) -> list[str]:
            numbers = [name for name in _names(row) if strong and name.startswith(STRONG)]
            kept = self._matches.get(row["line"])
            linked = network_key(kept["network"]) if kept and kept.get("network") else None
            return [row["group"], *numbers, *filter(None, [changed.get(row["line"]), linked])]

        # A profile that looks up only some OCLC numbers may make two titles of records that share one; a number that it
        # looks up counts wherever it stands in the title.
        looks_up_all = {"oclc", "019"} <= set(self._profile.match)
        asked, strong = partial(names, strong=looks_up_all), partial(names, strong=True)
        found = deciding(rows, strong, asked, decides=self._decides, has_title=self._has_title)
        return found, firsts(rows, strong)

    def _decides(self, row: Row) -> bool:
        """Whether a record is to be in Alma, or is there."""
        end = self._ends.get(row["line"])
        if end is not None and self._job.outcome_of(end).weight.loaded:
            return True
        kept = self._matches.get(row["line"]) if row["line"] not in self._faults else None
        return kept is not None and (kept["action"] != "none" or BibOutcome(kept["outcome"]).weight.loaded)

    def _has_title(self, row: Row) -> bool:
        kept = self._matches.get(row["line"])
        return kept is not None and bool(kept["titles"])

    def _first(self, row: Row) -> Row:
        return self._firsts[row["line"]]

    def _is_twin(self, row: Row) -> bool:
        return bool(self._first(row)["line"] != row["line"])

    def _twin(self, row: Row) -> End | None:
        """The end of a record whose number or title an earlier one of the file has that is in Alma now; None for
        others."""
        first = self._ends.get(self._first(row)["line"]) if self._is_twin(row) else None
        if first is None or not first["mms_id"] or not self._job.outcome_of(first).weight.loaded:
            return None
        match self._client.bibs.read_to_change(first["mms_id"]):
            case Found(title) if title.linked_to == "NZ" and self._profile.network is not None:
                return self._beside(row, title.mms_id)
            case Found(title) if title.record is not None:
                return self._compared(row, record_from_xml(title.record), title.mms_id)
            case Unknown(error):
                message = f"the title of record {first['record']} could not be read: {error}"
                return self._end(row, BibOutcome.FAILED, message=message, mms_id=first["mms_id"])
        return None

    def _record_that_saved(self, row: Row, saved: SavedTitle | None) -> str | None:
        """The record of this file, other than the row's, that last saved a title; None where it was none."""
        if saved is None or saved.sender == self._sender(row):
            return None
        run_id, _, record = saved.sender.rpartition(OF_RUN)
        return record if run_id == self._run_id else None

    def _behind(self, row: Row, mms_id: str, record: str) -> End:
        """The end of a record whose title another record of the file, in another chunk perhaps, has saved before."""
        match self._client.bibs.read_to_change(mms_id):
            case Found(title) if title.record is not None:
                return self._compared(row, record_from_xml(title.record), mms_id, record)
            case answer:
                why = answer.error if isinstance(answer, Unknown) else "it is not there"
                message = f"the title of record {record} of the file could not be read: {why}"
                return self._end(row, BibOutcome.FAILED, message=message, mms_id=mms_id)

    def _compared(self, row: Row, result: Record, mms_id: str, record: str | None = None) -> End:
        """The end of a twin, by what the first one made of its title; the first of the chunk, or that ``record``."""
        named = self._named(row, record)
        twin = record_of(row)
        is_left = self._profile.on_match == "skip"
        if is_left and not disagreements(twin, result, keys_of(twin), keys_of(result)):
            # By whatever it differs, nothing of it comes to the title.
            message = f"{named}, and the profile leaves it as it is"
            return self._end(row, BibOutcome.UNCHANGED, message=message, mms_id=mms_id)
        merged = merge(result, twin, self._profile.rule)
        if not differs(result, merged):
            return self._end(row, BibOutcome.UNCHANGED, message=f"{named}, and all of it", mms_id=mms_id)
        message = (
            f"{named}; this one differs in {_tags(result, merged)}: drop it again if it is the better one"
        )
        return self._end(row, BibOutcome.DUPLICATE_IN_FILE, message=message, mms_id=mms_id)

    def _beside(self, row: Row, mms_id: str) -> End:
        """The end of a twin whose title the first one has linked to the network zone: nothing of either comes to it."""
        match = self._match_of(row)
        message = f"{self._named(row)}, which is linked to the network zone and not changed from here"
        return self._refused_late(row, match, mms_id) or self._end(
            row, BibOutcome.UNCHANGED, match, message, mms_id
        )

    def _named(self, row: Row, record: str | None = None) -> str:
        """The first record of a twin, or that ``record``, in words."""
        first = self._first(row)
        same = "has the same number" if record is None and first["group"] == row["group"] else _SAME_TITLE
        return f"record {record or first['record']} of the file {same}"

    # --- writing

    def _by_match(self, row: Row, match: Match) -> End:
        if match.action == "none":
            return self._unwritten(row, match, self._saved.get(match.mms_id))
        looked: set[str | KnownBib] = set()
        try:
            with self._locks.hold(f"bib {row['group']}") as lock:
                for _ in range(2):
                    write = {"create": self._create, "link": self._link}.get(match.action, self._change)
                    end = write(row, match, looked, lock.check)
                    if not isinstance(end, Match):
                        return end
                    refused = self._refused_late(row, match, end.mms_id)
                    if refused is not None:
                        return refused
                    match = end  # others wrote what it depends on since it was looked for
                    if match.action == "none":
                        return self._unwritten(
                            row, match, self._memory.saved([match.mms_id]).get(match.mms_id)
                        )
        except LockBusy as error:
            return self._end(row, BibOutcome.FAILED, match, f"{error}: clear this chunk's tasks")
        message = (
            "other imports changed its titles twice while it was to be written: clear this chunk's tasks"
        )
        return self._end(row, BibOutcome.FAILED, match, message)

    def _refused_late(self, row: Row, match: Match, mms_id: str) -> End | None:
        """The end of a record that something speaks against in a title other than the one that its faults were looked
        for in."""
        fault = self._late_fault(row, mms_id) if mms_id and mms_id != match.mms_id else None
        if fault is None:
            return None
        return self._end(row, BibOutcome(fault.outcome), message=fault.message, mms_id=mms_id)

    def _unwritten(self, row: Row, match: Match, saved: SavedTitle | None) -> End:
        """The end of a record of which nothing is to be written. It names the one of the file that was written."""
        record = self._record_that_saved(row, saved)
        if record is not None and match.outcome in _BEHIND_A_TWIN:
            return self._behind(row, match.mms_id, record)
        message = ""
        if record is not None and match.outcome is BibOutcome.UNCHANGED and not match.message:
            message = f"record {record} of the file {_SAME_TITLE}, and all of it"
        return self._end(row, match.outcome, match, message)

    def _again(self, row: Row) -> Match:
        """Look for the title of a record once more, and keep what is found: the report shows what was changed by it,
        and a later attempt goes on from it."""
        kept = self._matcher.match(row)
        matches_of(self._run, self._number, self._alma).add_all([kept])
        return read_match(kept)

    def _claim(
        self, row: Row, match: Match, numbers: Sequence[str], looked: set[str | KnownBib], bib: KnownBib
    ) -> End | Match | None:
        """Keep other imports off the numbers of what is about to be sent; return what is to be done instead where one
        of them was faster. ``looked``: what they made, or sent without an answer, before the last look for titles; what
        is new is added, and looked for."""
        for seconds in (*_WAITS, None):
            claimed = self._memory.claim(numbers, bib, over={*match.titles, *looked})
            against = {each for titles in claimed.values() for each in titles}
            if not against:
                return None
            pending = {each for each in against if not each.mms_id and self._age(each) < _UNDER_WAY}
            if against != pending:
                looked |= {each.mms_id or each for each in against - pending}
                return self._again(row)
            if seconds is None or min(map(self._age, pending)) > timedelta(seconds=sum(_WAITS)):
                break
            self._client.pause(seconds)
        message = (
            f"a title with its number was sent at {min(each.sent_at for each in pending):%Y-%m-%d %H:%M:%S} UTC, and "
            "Alma does not show yet whether it is there: drop the record again in a few minutes"
        )
        return self._end(row, BibOutcome.UNCONFIRMED, match, message)

    def _age(self, pending: KnownBib) -> timedelta:
        return self._now() - pending.sent_at

    def _create(
        self, row: Row, match: Match, looked: set[str | KnownBib], check: Callable[[], None]
    ) -> End | Match:
        numbers, sender = self._names_of(row), self._sender(row)
        instead = self._claim(row, match, numbers, looked, KnownBib("", sender, self._now()))
        if instead is not None:
            return instead
        record = match.record if match.record is not None else prepared(record_of(row))
        try:
            written = import_bib(
                self._client,
                xml_from_record(record),
                find=lambda: self._matcher.find_new(row, match.titles),
                suppressed=self._profile.suppress,
                suppressed_externally=self._profile.suppress_externally,
                sync_with_oclc=self._profile.sync_with_oclc,
                options=self._options,
                before=check,
            )
        except RemoteStop as stop:
            if not stop.effect_unknown:
                self._memory.forget(numbers, sender)
            raise
        if written.value is not None and written.done:
            self._note_new(row, match, numbers, written.value)
            return self._written(row, BibOutcome.CREATED, match, written, written.value)
        if written.outcome is WriteOutcome.UNCONFIRMED:
            message = f"it was sent and no answer came, nor does Alma's index show it: {written.error}"
            return self._end(row, BibOutcome.UNCONFIRMED, match, message)
        self._memory.forget(numbers, sender)
        return self._refused(row, match, written.error)

    def _names_of(self, row: Row, zone_ids: Iterable[str] = ()) -> list[str]:
        """The names under which what is made of a record is remembered; ``zone_ids``: the network zone's records that
        it is linked to."""
        return [*map(network_key, zone_ids), *memory_keys(keys_of(record_of(row)), self._profile)]

    def _link(
        self, row: Row, match: Match, looked: set[str | KnownBib], check: Callable[[], None]
    ) -> End | Match:
        """Link a record of the network zone into the institution, unless one is linked to it already: then that is the
        title of the row."""
        numbers, sender = self._names_of(row, [match.network]), self._sender(row)
        sent = False
        with self._locks.hold(f"nz {match.network}") as lock:

            def before() -> None:
                nonlocal sent
                check()
                lock.check()
                sent = True

            instead = self._claim(row, match, numbers, looked, KnownBib("", sender, self._now()))
            if instead is not None:
                return instead
            try:
                written = link_network_record(self._client, match.network, before=before)
            except RemoteStop as stop:
                if not stop.effect_unknown:
                    self._memory.forget(numbers, sender)
                raise
            if written.outcome is WriteOutcome.UNCONFIRMED:
                message = f"it was to be linked, no answer came, and Alma does not show it: {written.error}"
                return self._end(row, BibOutcome.UNCONFIRMED, match, message)
            ours = sent and written.error is None
            if ours and written.value is not None:
                self._note_new(row, match, numbers, written.value)
            else:
                self._memory.forget(numbers, sender)
        if written.value is None:
            message = f"the network zone's record {match.network} could not be linked: {written.error}"
            return self._end(row, BibOutcome.FAILED, match, message)
        if not ours:
            self._matcher.note_linked(match.network, written.value.mms_id)
            return self._again(row)
        end = self._written(row, BibOutcome.CREATED, match, written, written.value)
        return {**end, "message": "; ".join((end["message"], _flags_of(written.value, self._profile)))}

    def _dry_link(self, row: Row, match: Match) -> End:
        """What linking would come to. Titles that others linked are found by the zone's record alone."""
        match find_linked(self._client, match.network):
            case Found(title):
                self._matcher.note_linked(match.network, title.mms_id)
                late = read_match(self._matcher.match(row))
                return self._refused_late(row, match, late.mms_id) or self._would(row, late)
            case Unknown(error):
                message = f"whether a title is linked to {match.network} could not be looked up: {error}"
                return self._end(row, BibOutcome.FAILED, match, message)
        return self._would(row, match)

    def _dry_beside(self, row: Row, first: Match) -> End:
        """What a twin of a record would come to that is linked, or has been by others."""
        linked = find_linked(self._client, first.network)
        return self._beside(row, linked.value.mms_id if isinstance(linked, Found) else "")

    def _change(
        self, row: Row, match: Match, looked: set[str | KnownBib], check: Callable[[], None]
    ) -> End | Match:
        with self._locks.hold(f"title {match.mms_id}") as lock:
            saved = self._memory.saved([match.mms_id]).get(match.mms_id)
            record = self._record_that_saved(row, saved)
            if record is not None:
                return self._behind(row, match.mms_id, record)
            if saved is not None and match.title is not None and saved.is_later(version_of(match.title)):
                again = self._again(row)
                if again.action != "change" or again.title is None or again.mms_id != match.mms_id:
                    return again
                if not saved.is_last(version_of(again.title)):
                    message = (
                        "an import and somebody else saved the title since it was read; nothing was written"
                    )
                    return self._end(row, BibOutcome.CONFLICT, again, message)
                match = again
            before, after = _keys(match)
            numbers = lagging_keys(before, after, self._profile)
            bib = KnownBib(match.mms_id, f"{self._sender(row)}, merged", self._now())
            instead = self._claim(row, match, numbers, looked, bib)
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
            self._note_change(row, match, written.value)
        if written.value is not None and written.done:
            return self._written(row, match.outcome, match, written, written.value)
        if written.outcome is WriteOutcome.UNCONFIRMED:
            message = f"it was sent and no answer came: {written.error}"
            return self._end(row, BibOutcome.UNCONFIRMED, match, message)
        error = written.error
        if error is not None and error.code == NOT_AS_SENT and written.value is not None:
            now = record_from_xml(written.value.record or b"<record/>")
            lacks = filter(None, (_tags(now, record), *self._profile.flags.missing(written.value.whole)))
            message = f"Alma answered, and the title lacks what was sent in {', '.join(lacks)}"
            return self._end(row, BibOutcome.NOT_APPLIED, match, message)
        if self._profile.on_refused == "create" and error is not None and is_locked(error):
            return self._beside_a_locked_title(row, match, error, check)
        return self._refused(row, match, error)

    def _note_new(self, row: Row, match: Match, numbers: Sequence[str], title: Bib) -> None:
        # First: a later import takes what is not noted as made for one whose answer was lost.
        self.note_waiting([self._end(row, BibOutcome.CREATED, match, mms_id=title.mms_id)])
        self._memory.note(numbers, KnownBib(title.mms_id, self._sender(row), self._now()))
        self._note_saved(row, title, version_of(title))

    def _note_change(self, row: Row, match: Match, title: Bib) -> None:
        """Keep what a title lost, and that this record saved it. Its numbers were claimed before."""
        if match.title is not None:
            lost = KnownBib(title.mms_id, self._sender(row), self._now())
            self._memory.note(lost_keys(*_keys(match)), lost)
            self._note_saved(row, title, version_of(match.title))

    def _note_saved(self, row: Row, title: Bib, before: str) -> None:
        self._memory.note_saved(title.mms_id, self._sender(row), before=before, after=version_of(title))

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
        return self._end(row, outcome, match, f"{words}: {error}")

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
        numbers = self._names_of(row, zone_ids)
        ours = self._sent_before(row, numbers)
        if match.outcome is BibOutcome.UNCHANGED:  # its title has all of the record, and is what was sent
            if not any(each.mms_id in ("", match.mms_id) for each in ours):
                return None
            self._memory.note(numbers, KnownBib(match.mms_id, self._sender(row), self._now()))
            return self._noted(row, self._end(row, BibOutcome.CREATED, match))
        if not ours:
            return None
        made = next((each.mms_id for each in ours if each.mms_id), "")
        if made:
            return self._noted(row, self._end(row, BibOutcome.CREATED, match, mms_id=made))
        for looks, seconds in enumerate(INDEX_LAG):
            if looks and ours[0].sent_at + _LAG < self._now():
                break
            self._client.pause(seconds)
            found = self._find_made(row, match, zone_ids)
            if isinstance(found, Found):
                self._note_new(row, match, numbers, found.value)
                return self._noted(row, self._end(row, BibOutcome.CREATED, match, mms_id=found.value.mms_id))
        message = (
            "an earlier attempt may have sent it, and Alma's index does not show it: drop the record again"
        )
        return self._end(row, BibOutcome.UNCONFIRMED, match, message)

    def _sent_before(self, row: Row, numbers: Collection[str]) -> list[KnownBib]:
        """What a record of this run has made, or was about to, by these numbers."""
        known = self._memory.find(numbers).values()
        return [each for titles in known for each in titles if each.sender == self._sender(row)]

    def _find_made(self, row: Row, match: Match, zone_ids: Iterable[str]) -> Answer[Bib]:
        for zone_id in zone_ids:
            linked = find_linked(self._client, zone_id)
            if isinstance(linked, Found):
                return linked
        return self._matcher.find_new(row, match.titles)

    # --- ends

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

    def _written(self, row: Row, outcome: BibOutcome, match: Match, written: Written[Bib], title: Bib) -> End:
        if written.outcome is WriteOutcome.UNCHANGED:
            outcome = BibOutcome.UNCHANGED
        parts = [match.message, f"Alma's warnings: {' '.join(title.warnings)}" if title.warnings else ""]
        if written.outcome is WriteOutcome.ADOPTED:
            parts.append("no answer came; a look confirmed it")
        return self._end(row, outcome, match, "; ".join(filter(None, parts)), mms_id=title.mms_id)

    def _end(
        self, row: Row, outcome: BibOutcome, match: Match | None = None, message: str = "", mms_id: str = ""
    ) -> End:
        reasons = [*filter(None, row["reasons"].split(";")), *(match.reasons if match else ())]
        return self._job.end(
            row,
            outcome,
            message or (match.message if match else ""),
            mms_id=mms_id or (match.mms_id if match else ""),
            reasons=";".join(dict.fromkeys(reasons)),
        )

    def _noted(self, row: Row, end: End) -> End:
        self._ends[row["line"]] = end
        return end

    def _match_of(self, row: Row) -> Match:
        kept: Mapping[str, Any] | None = self._matches.get(row["line"])
        if kept is None:
            message = (
                "its titles were not looked up by the present settings: clear the task match of its chunk"
            )
            return Match(BibOutcome.FAILED, "none", message, (), "", None, None, ())
        return read_match(kept)

    def _sender(self, row: Row) -> str:
        return sender_of(self._run_id, row["record"])

    def _now(self) -> datetime:
        return datetime.now(UTC)


def _names(row: Row) -> list[str]:
    """The names of a row's numbers in the memory; none in a chunk that an earlier version of this job has cut."""
    return list(row.get("numbers", ()))


def _keys(match: Match) -> tuple[BibKeys, BibKeys]:
    """The numbers of a title before and after a change."""
    before = match.title.record if match.title is not None else None
    return keys_of(record_from_xml(before or b"<record/>")), keys_of(match.record or Record())


def _flags_of(title: Bib, profile: BibProfile) -> str:
    """What a linked title has of what the profile says of new titles: no document says that an institution sets it."""
    state = "suppressed" if title.suppressed else "not suppressed"
    if title.suppressed != profile.suppress:
        return f"Alma made it {state}, which is to be set there"
    return f"it is {state}"


def _tags(before: Record, after: Record) -> str:
    """The tags of the fields in which two records differ."""
    lines = [change.before or change.after for change in changes(before, after)]
    tags = dict.fromkeys(line[:3] for line in lines if line[:3] not in ALMAS)
    shown = ", ".join(list(tags)[:_SHOWN])
    return f"{shown} and others" if len(tags) > _SHOWN else shown
