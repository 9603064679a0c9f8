"""Bibliographic imports as a job on dropped files: records become titles of Alma, or part of those they match."""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, Any

from alma_etl.alma.client import AlmaClient
from alma_etl.bibs.deciding import decide_alone
from alma_etl.bibs.field_diff import FieldChange, as_text, changes
from alma_etl.bibs.inventory import HAVE_ITEMS, ITEMS, Inventoried, RecordItems, by_record, items_of
from alma_etl.bibs.keys import BibKeys, keys_of
from alma_etl.bibs.loading import load_records
from alma_etl.bibs.matches import NO_SRU, key_of, match_records, matches_of, memory_keys, read_match
from alma_etl.bibs.matching import Number, numbers_of
from alma_etl.bibs.profiles import (
    GIVES,
    LONGEST_LOCK,
    NEEDS_SRU,
    SETTINGS,
    BibProfile,
    BibProfiles,
    read_profiles,
)
from alma_etl.bibs.rows import COLUMNS, BibOutcome
from alma_etl.counted import counted
from alma_etl.errors import InputProblem
from alma_etl.inventory.chunk_holdings import resolve_holdings
from alma_etl.inventory.codes import CodeCheck, alma_of, check_codes, find_check, read_check
from alma_etl.inventory.item_fields import coded_values
from alma_etl.inventory.item_loading import create_items
from alma_etl.inventory.loaded_bibs import SqlLoadedBibs
from alma_etl.inventory.loaded_items import SqlLoadedItems
from alma_etl.jobs.checkpoint import Rank
from alma_etl.jobs.ends import ends_of_chunk
from alma_etl.jobs.file_job import FileJob, JobContext, Records, Refusal, ReportExtras, ReportFile
from alma_etl.jobs.file_run import FilePlan, FileRun
from alma_etl.jobs.outcomes import End, Row
from alma_etl.jobs.profiles import JobProfiles
from alma_etl.marc.files import open_marc
from alma_etl.marc.source_record import SourceRecord
from alma_etl.marc.xml import record_from_xml, xml_from_record
from alma_etl.store.bucket import Bucket
from alma_etl.store.locks import open_locks

_CHANGES = ReportFile(".changes.txt", "What each record changes in its title")
LOCK_WAIT = "lock_wait_minutes"
LOCK_LOOK = timedelta(minutes=10)  # between two tries of records whose titles are locked
# What of the changes stands on the page: records, fields of a record, characters of a field. The file has all.
_RECORDS, _FIELDS, _CHARACTERS = 100, 60, 1_000


class BibImport(FileJob[BibProfile]):
    """Creates titles in Alma from the records of a file, and merges records into the titles that they match."""

    unit = "record"
    things = "bibliographic records"
    guide = "docs/imports.md"
    takes = "MARC 21 in ISO 2709 (.mrc), or MARCXML."
    title = "Records"
    outcomes = BibOutcome
    columns = COLUMNS
    identity = ("line", "key")
    settings = SETTINGS
    params = (LOCK_WAIT,)
    profile_gives = GIVES
    plan_type = FilePlan[BibProfile]
    page_columns = (
        ("record", "Record", "number"),
        ("key", "Number", "code"),
        ("title", "Title", "text"),
        ("mms_id", "MMS id", "code"),
        ("outcome", "Outcome", "text"),
        ("message", "Why", "text"),
    )
    labels = ("title", "key", "mms_id")
    page = "bib_import.html"
    files = {"changes": _CHANGES}  # noqa: RUF012

    # --- the records

    def open_records(self, path: Path, profile: BibProfile) -> Records:
        return open_marc(path, profile.encoding)

    def rows(self, records: Records, profile: BibProfile, day: date) -> Iterator[tuple[Row, Refusal | None]]:
        for source in records.rows():
            yield self._row(source, profile, day)

    def _row(self, source: SourceRecord, profile: BibProfile, day: date) -> tuple[Row, Refusal | None]:
        row = {
            "line": source.line,
            "record": source.line,
            "key": source.key,
            "title": source.title,
            "reasons": ";".join(source.reasons),
            "group": f"record {source.line}",
        }
        remarks = "; ".join(remark.text for remark in source.remarks)
        if remarks:
            row["cleaned"] = remarks
        if source.record is None:
            return row, Refusal(source.problem, BibOutcome.INVALID_RECORD)
        keys = keys_of(source.record)
        number = _first_number(keys, profile)
        if number is not None:
            row["key"] = f"(OCoLC){number.value}" if number.method in ("oclc", "019") else number.value
        alone = decide_alone(source.record, keys, profile)
        if alone is not None:
            return row, Refusal(alone.message, alone.outcome)
        fault = (
            _take_items(row, items_of(source.record, profile.inventory, day)) if profile.inventory else None
        )
        if fault is not None:
            return row, fault
        if number is not None:
            row["group"] = key_of(number)
        row["numbers"] = memory_keys(keys, profile)
        row["marc"] = xml_from_record(source.record).decode()
        return row, None

    def group_of(self, row: Row) -> str:
        return str(row["group"])

    def links_of(self, row: Row) -> Iterable[str]:
        return [str(name) for name in row.get("numbers", ())]

    def label_of(self, row: Row) -> str:
        return str(row["key"])

    def unique_of(self, row: Row) -> Collection[str]:
        return _barcodes(row)

    def duplicate(self, row: Row, first: Row) -> Refusal:
        both = ", ".join(sorted(_barcodes(row) & _barcodes(first)))
        message = (
            f"the barcode of an item of it stands in record {first['record']} of the file already: {both}"
        )
        return Refusal(message, BibOutcome.DUPLICATE_IN_FILE)

    def codes_of(self, row: Row) -> Iterable[tuple[str, Hashable]]:
        for item in row.get("items", ()):
            yield from coded_values(
                {"library": item["library"], "location": item["location"], **item["values"]}
            )

    # --- the steps

    def check(self, context: JobContext) -> dict[str, int]:
        """See that the profile can be kept to, before anything is looked up; return counts of codes that are wrong."""
        profile = context.folder.plan().profile
        missing = [method for method in profile.match if method in NEEDS_SRU]
        if profile.orders is not None:
            raise InputProblem(
                "The profile has `orders`, which this version reads and does not place yet: take them out in "
                f"{SETTINGS.key}"
            )
        with context.open_client("alma") as alma, context.open_client("sru") as sru:
            if missing and sru is None:
                raise InputProblem(
                    f"The profile matches by {' and '.join(missing)}, which Alma's API cannot look up: set `sru_url` "
                    f"of the Alma connection, or leave it out of `match` in {SETTINGS.key}"
                )
            counts = check_codes(alma, context.folder, titles=False)
            target = alma_of(alma, context.folder)
        # Another institution has none of the titles: each record would be made once more.
        if sru is not None and not target.endswith(f" {sru.institution}"):
            raise InputProblem(
                f"`sru_url` of the Alma connection leads to the institution {sru.institution}, and its key is of "
                f"another one ({target})"
            )
        return counts

    def match(self, context: JobContext, number: int) -> dict[str, int]:
        """Find the titles of each record and decide what becomes of it; return counts by that."""
        run = context.folder
        with (
            context.open_client("alma") as alma,
            context.open_client("sru") as sru,
            _memory(alma, context) as memory,
        ):
            target = alma_of(alma, run)
            made = self.made_rows(run, number, target)
            faults = _code_faults(run, number)
            rows = [
                row
                for row in run.rows(number)
                if not row.get("refused") and self.row_key(row) not in made and row["line"] not in faults
            ]
            ends = self.ends_of(run, number, target).rows()
            again = {
                key
                for key, end in ends.items()
                if self.rank_of(end) < Rank.SETTLED and end["outcome"] != self.unconfirmed
            }
            return match_records(alma, run, number, rows, memory=memory, alma=target, again=again, sru=sru)

    def load_locked(self, context: JobContext, number: int) -> dict[str, int]:
        """Try the records again whose titles were locked when `load` ended, and no others: each is matched once more,
        since whoever had the title open may have saved it. Return counts by outcome, those of all records."""
        run = context.folder
        with (
            context.open_client("alma") as alma,
            context.open_client("sru") as sru,
            _memory(alma, context) as memory,
            open_locks(context.store_url()) as locks,
        ):
            target = alma_of(alma, run)
            locked = self._locked(run, number, target)
            rows = [row for row in run.rows(number) if self.row_key(row) in locked]
            match_records(alma, run, number, rows, memory=memory, alma=target, again=locked, sru=sru)
            return load_records(
                self, alma, run, number, memory=memory, locks=locks, alma=target, sru=sru, only=locked
            )

    def wait_for_locks(self, context: JobContext, number: int, waited: timedelta) -> timedelta | None:
        """Return how long to wait until `load_locked`; None when no title was locked, or it was tried long enough.

        ``waited``: the time since `load` ended. A dry run locks nothing out, so that there is nothing to wait for.
        """
        run = context.folder
        plan = run.plan()
        left = timedelta(minutes=plan.profile.lock_wait_minutes) - waited
        if plan.dry_run or left <= timedelta(0) or not self._locked(run, number):
            return None
        return min(LOCK_LOOK, left)

    def _locked(self, run: FileRun, number: int, target: str | None = None) -> set[Hashable]:
        ends = self.ends_of(run, number, target).rows()
        return {key for key, end in ends.items() if end["outcome"] == BibOutcome.NOT_ADDED_LOCKED}

    def load(self, context: JobContext, number: int) -> dict[str, int]:
        """Create, merge or overlay the titles; return counts by outcome."""
        with (
            context.open_client("alma") as alma,
            context.open_client("sru") as sru,
            _memory(alma, context) as memory,
            open_locks(context.store_url()) as locks,
        ):
            target = alma_of(alma, context.folder)
            faults = _code_faults(context.folder, number)
            return load_records(
                self,
                alma,
                context.folder,
                number,
                memory=memory,
                locks=locks,
                alma=target,
                sru=sru,
                faults=faults,
            )

    def create_inventory(self, context: JobContext, number: int) -> dict[str, int]:
        """Find or make the holdings, and create the items, of the records of a chunk whose titles are in Alma; return
        counts of items by outcome."""
        run = context.folder
        if run.plan().profile.inventory is None:
            return {}
        with (
            context.open_client("alma") as alma,
            _memory(alma, context) as bibs,
            _items_memory(alma, context) as memory,
            open_locks(context.store_url()) as locks,
        ):
            target = alma_of(alma, run)
            items = self._items(run, target)
            titles = {row["mms_id"] for row in items.rows(number)}
            if not run.plan().dry_run:
                bibs.note_due(titles)  # before the first of them has a holding
            resolve_holdings(ITEMS, alma, items, number, memory=memory, locks=locks)
            counts = create_items(ITEMS, alma, items, number, memory=memory)
            ends = ITEMS.ends_of(items, number, target).rows().values()
            left = {end["mms_id"] for end in ends if not ITEMS.outcome_of(end).weight.loaded}
            if not run.plan().dry_run:
                bibs.settle_due(titles - left)
            return counts

    def _items(self, run: FileRun, target: str | None = None) -> RecordItems:
        return RecordItems(run, self.row_key, lambda number: self.ends_of(run, number, target).rows())

    def completed(
        self, run: FileRun, number: int, ends: Iterable[End], unfinished: dict[int, str]
    ) -> Iterator[End]:
        rules = run.plan().profile.inventory
        if rules is None:
            yield from ends
            return
        items = self._items(run)
        found = by_record(items.rows(number), ends_of_chunk(ITEMS, items, number, unfinished))
        for end in ends:
            title = BibOutcome(end["outcome"])
            if title not in HAVE_ITEMS:
                yield end
                continue
            here = found.get(end["line"], Inventoried())
            message = "; ".join(filter(None, (end["message"], here.message(title, rules.tag))))
            yield {
                **end,
                "outcome": here.outcome(title).value,
                "message": message,
                "title_outcome": title.value,
            }

    def made_under(self, plan: FilePlan[BibProfile]) -> Mapping[str, object]:
        return plan.profile.model_dump(mode="json", exclude={"lock_wait_minutes", "inventory"})

    # --- settings and report

    def profile(
        self, settings: JobProfiles[BibProfile], name: str | None, params: Mapping[str, Any]
    ) -> BibProfile:
        profile = super().profile(settings, name, params)
        minutes = params.get(LOCK_WAIT)
        if minutes is None or minutes == "":
            return profile
        if isinstance(minutes, bool) or not isinstance(minutes, int) or not 0 <= minutes <= LONGEST_LOCK:
            raise InputProblem(f"{LOCK_WAIT} is {minutes!r}: give whole minutes from 0 to {LONGEST_LOCK}")
        return profile.model_copy(update={LOCK_WAIT: minutes})

    def profiles(self, bucket: Bucket, *, sandbox: bool) -> BibProfiles:
        return read_profiles(bucket)

    def extras(self, run: FileRun, plan: FilePlan[BibProfile] | None) -> ReportExtras:
        return _Changes(self, run, plan)


class _Changes(ReportExtras):
    """What each record changed in its title, or would change: the merge preview of a dry run."""

    def __init__(self, job: BibImport, run: FileRun, plan: FilePlan[BibProfile] | None) -> None:
        self._job = job
        self._run = run
        self._plan = plan
        self._changed = 0
        self._without_sru = 0
        self._of_codes = (find_check(run) or CodeCheck()).remarks if plan else ()
        self.remarks = self._of_codes

    def note(self, end: End) -> None:
        self._changed += end.get("title_outcome", end["outcome"]) in _CHANGING
        if NO_SRU in end["reasons"].split(";"):
            self._without_sru += 1
            words = counted(self._without_sru, "record")
            self.remarks = (
                *self._of_codes,
                f"SRU gave no answer for {words}: Alma's API was asked, at a call or two a number",
            )

    def write(self, kind: str, stream: IO[bytes]) -> None:
        """A record a paragraph: what goes after `-`, what comes after `+`."""
        for end, found in self._found():
            head = f"record {end['record']}, {end['key']}, {end['mms_id']}: {end['outcome']}"
            stream.write(f"{head}\n{as_text(found)}\n\n".encode())

    def page_values(self) -> dict[str, Any]:
        """The first of them side by side, in the order of the file of changes."""
        previews = [
            {
                "end": end,
                "fields": [(_short(each.before), _short(each.after)) for each in found[:_FIELDS]],
                "hidden": max(0, len(found) - _FIELDS),
            }
            for end, found in islice(self._found(), _RECORDS)
        ]
        return {"previews": previews, "changed": self._changed}

    def _found(self) -> Iterator[tuple[End, list[FieldChange]]]:
        """The ends of records that change a title, each with its changes; no more than a chunk is held."""
        for number in range(1, (self._plan.chunks if self._plan else 0) + 1):
            ends = self._job.ends_of(self._run, number).rows()
            for key, kept in matches_of(self._run, number).rows().items():
                end = ends.get(key)
                if end is None or end["outcome"] not in _CHANGING:
                    continue
                match = read_match(kept)
                if match.title is not None and match.record is not None:
                    before = record_from_xml(match.title.record or b"<record/>")
                    yield end, changes(before, match.record)


def _short(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"


_CHANGING = frozenset(
    (
        BibOutcome.MERGED, BibOutcome.OVERLAID, BibOutcome.WOULD_MERGE, BibOutcome.WOULD_OVERLAY,
        BibOutcome.NOT_APPLIED,
    )
)  # fmt: skip


def _take_items(row: dict[str, Any], items: list[Row]) -> Refusal | None:
    """Give a row its items; return why it is not to be loaded, with none of them."""
    problems = [item["refused"] for item in items if "refused" in item]
    if problems:
        return Refusal("; ".join(problems), BibOutcome.INVALID_RECORD)
    barcodes = Counter(item["barcode"] for item in items if item["barcode"])
    twice = [barcode for barcode, count in barcodes.items() if count > 1]
    if twice:
        message = f"two items of it have the same barcode: {', '.join(twice)}"
        return Refusal(message, BibOutcome.DUPLICATE_IN_FILE)
    row["items"] = items
    return None


def _barcodes(row: Row) -> set[str]:
    return {item["barcode"] for item in row.get("items", ()) if item["barcode"]}


def _code_faults(run: FileRun, number: int) -> dict[int, str]:
    """The records of a chunk whose items name a code that Alma does not know, each with what is wrong."""
    check = read_check(run)
    faults = (
        (row["line"], [check.fault_of(item) for item in row.get("items", ())]) for row in run.rows(number)
    )
    return {line: "; ".join(dict.fromkeys(filter(None, found))) for line, found in faults if any(found)}


def _first_number(keys: BibKeys, profile: BibProfile) -> Number | None:
    """The number by which a record is known in its file: the first by which it is matched."""
    return next((number for numbers in numbers_of(keys, profile.match) for number in numbers), None)


@contextmanager
def _memory(alma: AlmaClient, context: JobContext) -> Iterator[SqlLoadedBibs]:
    """What earlier imports into this Alma made."""
    memory = SqlLoadedBibs(context.store_url(), alma_of(alma, context.folder))
    try:
        yield memory
    finally:
        memory.close()


@contextmanager
def _items_memory(alma: AlmaClient, context: JobContext) -> Iterator[SqlLoadedItems]:
    """What loads of items into this Alma left behind, those of imports too."""
    memory = SqlLoadedItems(context.store_url(), alma_of(alma, context.folder))
    try:
        yield memory
    finally:
        memory.close()
