"""Bibliographic imports as a job on dropped files: records become titles of Alma, or part of those they match."""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from alma_etl.alma.client import AlmaClient
from alma_etl.bibs.catalogue import (
    Catalogue,
    open_catalogue,
    open_items,
    open_order_lines,
    open_orders,
    open_titles,
    open_waiting,
)
from alma_etl.bibs.faults import code_faults, once_in_a_file, repeated
from alma_etl.bibs.inventory import (
    HAVE_ITEMS,
    ITEMS,
    Inventoried,
    RecordItems,
    by_record,
    due_item,
    due_items,
)
from alma_etl.bibs.loading import load_records
from alma_etl.bibs.matches import match_records, matches_of, read_match
from alma_etl.bibs.network import check_network
from alma_etl.bibs.order_inventory import OrderedItems, OrderInventoried, check_department
from alma_etl.bibs.order_items import ORDERED_ITEMS, give_items
from alma_etl.bibs.order_match import look_through_vendor
from alma_etl.bibs.orders.checking import check_orders
from alma_etl.bibs.orders.faults import fault_of_late_title, order_faults
from alma_etl.bibs.orders.placing import ORDERS, OrderOutcome, RecordOrders, place_orders, placed_of
from alma_etl.bibs.orders.placing import by_record as orders_by_record
from alma_etl.bibs.profiles import (
    GIVES,
    LONGEST_LOCK,
    NEEDS_SRU,
    SETTINGS,
    BibProfile,
    BibProfiles,
    read_profiles,
)
from alma_etl.bibs.record_rows import row_of
from alma_etl.bibs.report import CHANGES, ORDERS_FILE, ImportExtras
from alma_etl.bibs.rows import COLUMNS, KEPT, BibOutcome
from alma_etl.bibs.templates import TitleTable
from alma_etl.errors import InputProblem
from alma_etl.inventory.chunk_holdings import resolve_holdings
from alma_etl.inventory.codes import alma_of, check_codes, read_check
from alma_etl.inventory.item_fields import coded_values
from alma_etl.inventory.item_loading import create_items
from alma_etl.inventory.item_rows import ItemOutcome
from alma_etl.jobs.checkpoint import Rank
from alma_etl.jobs.ends import CollectedEnds, ends_of_chunk
from alma_etl.jobs.file_job import FileJob, JobContext, Records, Refusal, ReportExtras, ReportFile
from alma_etl.jobs.file_run import FilePlan, FileRun
from alma_etl.jobs.outcomes import End, Row
from alma_etl.jobs.profiles import JobProfiles
from alma_etl.jobs.row_ends import RowEnds
from alma_etl.marc.files import open_marc
from alma_etl.store.bucket import Bucket
from alma_etl.store.locks import open_locks
from alma_etl.tabular.tables import open_table

_SAME_TITLE = "record %d of the file is of the same title: of the two the one that is written first decides"
LOCK_WAIT = "lock_wait_minutes"
LOCK_LOOK = timedelta(minutes=10)  # between two tries of records whose titles are locked
_NO_MATTER = {"lock_wait_minutes", "inventory", "orders", "awaits_full_record"}  # for the ends of records


class BibImport(FileJob[BibProfile]):
    """Creates titles in Alma from the records of a file, and merges records into the titles that they match."""

    unit = "record"
    things = "bibliographic records"
    guide = "docs/imports.md"
    takes = (
        "MARC 21 in ISO 2709 (.mrc), or MARCXML; where the profile has a template CSV, TSV or Excel (.xlsx)."
    )
    title = "Records"
    outcomes = BibOutcome
    columns = COLUMNS
    beside = ("vendor", "reference")  # of the orders of a record, for their table
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
    files = {"changes": CHANGES}  # noqa: RUF012

    # --- the records

    def open_records(self, path: Path, profile: BibProfile) -> Records:
        if profile.template is not None:
            order = (profile.orders.dates, profile.orders.identifiers) if profile.orders else ()
            return TitleTable(open_table(path, profile.template.columns(*order)), profile.template)
        return open_marc(path, profile.encoding)

    def rows(self, records: Records, profile: BibProfile, day: date) -> Iterator[tuple[Row, Refusal | None]]:
        for source in records.rows():
            yield row_of(source, profile, day)

    def group_of(self, row: Row) -> str:
        return str(row["group"])

    def links_of(self, row: Row) -> Iterable[str]:
        return [*map(str, row.get("numbers", ())), *(f"once:{value}" for value in once_in_a_file(row))]

    def label_of(self, row: Row) -> str:
        return str(row["key"])

    def codes_of(self, row: Row) -> Iterable[tuple[str, Hashable]]:
        for item in row.get("items", ()):
            yield from coded_values(
                {"library": item["library"], "location": item["location"], **item["values"]}
            )
        for kind, values in row.get("order_codes", ()):
            yield kind, tuple(values)

    def written_rows(self, run: FileRun, number: int) -> Collection[Hashable]:
        """Those whose titles this run has written, and those with an item or a PO line of its making."""
        profile, records = run.plan().profile, set()
        if profile.inventory is not None:
            items, job = self._items(run), _item_ends(profile)
            ends = job.ends_of(items, number).rows()
            written = OrderInventoried.written if profile.inventory.of_order else Inventoried.written
            made = {key for key, end in ends.items() if end["outcome"] in written}
            records |= {row["record"] for row in items.rows(number) if job.row_key(row) in made}
        if profile.orders is not None:
            records |= placed_of(self.orders_of(run), number).keys()
        rows = (row for row in run.rows(number) if row["line"] in records) if records else ()
        return {*self.made_rows(run, number), *map(self.row_key, rows)}

    # --- the steps

    def check(self, context: JobContext) -> dict[str, int]:
        """See that the profile can be kept to, before anything is looked up; return counts of codes that are wrong."""
        profile = context.folder.plan().profile
        missing = [method for method in profile.match if method in NEEDS_SRU]
        if profile.orders is not None and (profile.zone == "nz" or profile.inventory is not None):
            raise InputProblem(
                "The profile has `orders`: PO lines belong to an institution, so that its zone has to be iz, and make "
                f"holdings and items themselves, so that it cannot have `inventory`: see {SETTINGS.key}"
            )
        with context.open_client("alma") as alma, context.open_client("sru") as sru:
            if missing and sru is None:
                raise InputProblem(
                    f"The profile matches by {' and '.join(missing)}, which Alma's API cannot look up: set `sru_url` "
                    f"of the Alma connection, or leave it out of `match` in {SETTINGS.key}"
                )
            counts = check_codes(alma, context.folder, titles=False)
            if profile.orders is not None:
                counts |= check_orders(alma, context.folder, profile.orders)
            if profile.order_reference is not None:
                look_through_vendor(alma, context.folder, profile.order_reference)
            if profile.inventory is not None:
                check_department(alma, profile.inventory)
        institution = read_check(context.folder).institution
        # Another institution has none of the titles: each record would be made once more.
        if sru is not None and sru.institution != institution:
            raise InputProblem(
                f"`sru_url` of the Alma connection leads to the institution {sru.institution}, and its key is of "
                f"another one, {institution}"
            )
        check_network(context, institution)
        return counts

    def match(self, context: JobContext, number: int) -> dict[str, int]:
        """Find the titles of each record and decide what becomes of it; return counts by that."""
        run = context.folder
        with open_catalogue(context) as catalogue:
            target = catalogue.alma
            made = self.made_rows(run, number, target)
            faults = self._faults(context, catalogue.client, number, matched=False)
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
            filled = self._filled(run, number, target)
            return match_records(catalogue, run, number, rows, again=again, filled=filled)

    def _filled(self, run: FileRun, number: int, target: str) -> set[str]:
        """The titles of a chunk for which this run has made items or placed orders."""
        profile = run.plan().profile
        ends: list[End] = []
        if profile.search_first and profile.inventory is not None:
            ends += ITEMS.ends_of(self._items(run, target), number, target).rows().values()
        if profile.search_first and profile.orders is not None:
            ends += ORDERS.ends_of(self.orders_of(run, target), number, target).rows().values()
        made = (ItemOutcome.CREATED, OrderOutcome.ORDERED)
        return {end["mms_id"] for end in ends if end["outcome"] in made}

    def load_locked(self, context: JobContext, number: int) -> dict[str, int]:
        """Try the records again whose titles were locked when `load` ended, and no others: each is matched once more,
        since whoever had the title open may have saved it. Return counts by outcome, those of all records."""
        run = context.folder
        with open_catalogue(context) as catalogue:
            locked = self._locked(run, number, catalogue.alma)
            rows = [row for row in run.rows(number) if self.row_key(row) in locked]
            match_records(catalogue, run, number, rows, again=locked)
            return self._load(context, catalogue, number, only=locked)

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
        with open_catalogue(context) as catalogue:
            return self._load(context, catalogue, number)

    def _load(
        self, context: JobContext, catalogue: Catalogue, number: int, only: Collection[Hashable] | None = None
    ) -> dict[str, int]:
        faults = self._faults(context, catalogue.client, number, matched=True)
        late_fault = partial(_late_fault, context, catalogue.client)
        return load_records(self, catalogue, context.folder, number, faults, late_fault, only)

    def _faults(
        self, context: JobContext, alma: AlmaClient, number: int, *, matched: bool
    ) -> dict[int, Refusal]:
        """The records of a chunk of which nothing is to be written, since an item or an order of theirs cannot be made,
        by line. ``matched``: their titles are known, so that Alma can be asked for what these have."""
        run = context.folder
        found = code_faults(run, number)
        if run.plan().profile.orders is not None:
            with open_orders(alma, context) as memory:
                titles = _titles(run, number) if matched else None
                found = {**order_faults(alma, run, number, memory, titles), **found}
        if not matched:
            return found
        ends = self.ends_of(run, number, alma_of(alma, run)).rows().values()
        loaded = {end["line"] for end in ends if self.outcome_of(end).weight.loaded}
        return {**repeated(run, number, found, loaded), **found}

    def create_inventory(self, context: JobContext, number: int) -> dict[str, int]:
        """Make what the records of a chunk ask for whose titles are in Alma: holdings and items, and PO lines; return
        counts of items and orders by outcome."""
        run = context.folder
        profile = run.plan().profile
        counts: Counter[str] = Counter()
        of_order = profile.inventory is not None and profile.inventory.of_order
        if profile.inventory is not None and not of_order:
            counts.update(self._create_items(context, number))
        elif self._had_items(run, number) and not run.plan().dry_run:
            with context.open_client("alma") as alma, open_titles(alma, context) as bibs:
                bibs.keep_due(due_items(run, number, ()))
        if of_order:
            counts.update(self._give_items(context, number))
        if profile.orders is not None:
            counts.update(self._place_orders(context, number))
        return dict(counts)

    def _place_orders(self, context: JobContext, number: int) -> dict[str, int]:
        with context.open_client("alma") as alma, open_orders(alma, context) as memory:
            target = alma_of(alma, context.folder)
            orders = self.orders_of(context.folder, target)
            return place_orders(alma, orders, number, memory=memory, alma=target)

    def orders_of(self, run: FileRun, target: str | None = None) -> RecordOrders:
        """Return the run with the orders of its records for rows."""
        ends = lambda number: self.ends_of(run, number, target).rows()  # noqa: E731
        return RecordOrders(run, self.row_key, ends, HAVE_ITEMS)

    def _create_items(self, context: JobContext, number: int) -> dict[str, int]:
        run = context.folder
        with (
            context.open_client("alma") as alma,
            open_titles(alma, context) as bibs,
            open_items(alma, context) as memory,
            open_locks(context.store_url()) as locks,
        ):
            target = alma_of(alma, run)
            items = self._items(run, target)
            rows, dry_run = list(items.rows(number)), run.plan().dry_run
            if not dry_run:
                bibs.keep_due(due_items(run, number, rows))  # before the first of their titles has a holding
            try:
                resolve_holdings(ITEMS, alma, items, number, memory=memory, locks=locks)
                return create_items(ITEMS, alma, items, number, memory=memory)
            finally:  # a run that stops has made some of them
                if not dry_run:
                    ends = ITEMS.ends_of(items, number, target).rows()
                    # A refused item is its sender's to correct, and may never be: the title does not wait for it.
                    left = [row for row in rows if ITEMS.is_open(ends.get(ITEMS.row_key(row)))]
                    bibs.keep_due(due_items(run, number, left))
                    items_left, titles_left = {*map(due_item, left)}, {row["mms_id"] for row in left}
                    titles = {row["mms_id"] for row in rows} - titles_left
                    bibs.settle_due({*map(due_item, rows)} - items_left, titles)

    def _had_items(self, run: FileRun, number: int) -> bool:
        """Whether an attempt of the run, by other settings, had items for the records of a chunk."""
        return next(run.bucket.list(run.chunk_key(number, "items/")), None) is not None

    def _give_items(self, context: JobContext, number: int) -> dict[str, int]:
        run = context.folder
        with (
            context.open_client("alma") as alma,
            open_order_lines(alma, context) as lines,
            open_waiting(alma, context) as waiting,
            open_locks(context.store_url()) as locks,
        ):
            if lines is None:
                raise InputProblem(f"In {SETTINGS.key}, {run.plan().profile.problem}")
            target = alma_of(alma, run)
            items = self._items(run, target)
            return give_items(alma, items, number, lines=lines, locks=locks, waiting=waiting, alma=target)

    def _items(self, run: FileRun, target: str | None = None) -> RecordItems:
        kind = OrderedItems if run.plan().profile.inventory.of_order else RecordItems
        return kind(run, self.row_key, lambda number: self.ends_of(run, number, target).rows())

    def completed(
        self, run: FileRun, number: int, ends: Iterable[End], unfinished: dict[int, str]
    ) -> Iterator[End]:
        profile = run.plan().profile
        if profile.inventory is not None:
            ends = self._with_items(run, number, ends, unfinished)
        if profile.orders is not None:
            ends = self._with_orders(run, number, ends, unfinished)
        yield from ends

    def _with_items(
        self, run: FileRun, number: int, ends: Iterable[End], unfinished: dict[int, str]
    ) -> Iterator[End]:
        items, of_order = self._items(run), run.plan().profile.inventory.of_order
        job = _item_ends(run.plan().profile)
        kind = OrderInventoried if of_order else Inventoried
        found = by_record(items.rows(number), ends_of_chunk(job, items, number, unfinished), kind)
        for end in ends:
            title = BibOutcome(end["outcome"])
            if title not in HAVE_ITEMS:
                yield end
                continue
            here = found.get(end["line"], kind())
            said = here.message(title, run.plan().profile.inventory.tag)
            yield _with_parts(end, title, here.outcome(title), said, in_part=here.in_part)

    def _with_orders(
        self, run: FileRun, number: int, ends: Iterable[End], unfinished: dict[int, str]
    ) -> Iterator[End]:
        orders = self.orders_of(run)
        found = orders_by_record(orders.rows(number), ends_of_chunk(ORDERS, orders, number, unfinished))
        placed = placed_of(orders, number)
        for end in ends:
            here, outcome = found.get(end["line"]), BibOutcome(end["outcome"])
            if here is not None:
                title = BibOutcome(end.get("title_outcome", outcome))
                comes_to = here.outcome(outcome) if outcome in HAVE_ITEMS else outcome
                yield _with_parts(end, title, comes_to, here.message(title), in_part=here.in_part)
            elif end["line"] in placed:  # by settings of before, or before its titles were others
                lines = ", ".join(each["po_line"] for each in placed[end["line"]])
                message = f"{end['message']}; this run has placed its order before: PO line {lines}"
                yield {**end, "message": message, "po_line": lines, "in_part": True}
            else:
                yield end

    def compare(self, plan: FilePlan[BibProfile], ends: CollectedEnds) -> None:
        if plan.dry_run:  # else the one that was written second names the first
            changing = (BibOutcome.WOULD_MERGE, BibOutcome.WOULD_OVERLAY)
            ends.remark_same("mms_id", changing, _SAME_TITLE, outcome_column="title_outcome")

    def made_under(self, plan: FilePlan[BibProfile]) -> Mapping[str, object]:
        return plan.profile.model_dump(mode="json", exclude=_NO_MATTER)

    # --- settings and report

    def profile(
        self, settings: JobProfiles[BibProfile], name: str | None, params: Mapping[str, Any]
    ) -> BibProfile:
        profile = super().profile(settings, name, params)
        if profile.problem:
            raise InputProblem(f"In {SETTINGS.key}, {profile.problem}")
        minutes = params.get(LOCK_WAIT)
        if minutes is None or minutes == "":
            return profile
        if isinstance(minutes, bool) or not isinstance(minutes, int) or not 0 <= minutes <= LONGEST_LOCK:
            raise InputProblem(f"{LOCK_WAIT} is {minutes!r}: give whole minutes from 0 to {LONGEST_LOCK}")
        return profile.model_copy(update={LOCK_WAIT: minutes})

    def profiles(self, bucket: Bucket, *, sandbox: bool) -> BibProfiles:
        return read_profiles(bucket)

    def report_files(self, plan: FilePlan[BibProfile] | None) -> Mapping[str, ReportFile]:
        with_orders = plan is not None and plan.profile.orders is not None
        return {**self.files, "orders": ORDERS_FILE} if with_orders else self.files

    def extras(self, run: FileRun, plan: FilePlan[BibProfile] | None) -> ReportExtras:
        return ImportExtras(self, run, plan)


def _item_ends(profile: BibProfile) -> RowEnds[Any]:
    """How the items of records end: those that are made, or those that Alma made with a PO line."""
    of_order = profile.inventory is not None and profile.inventory.of_order
    return ORDERED_ITEMS if of_order else ITEMS


def _with_parts(end: End, title: BibOutcome, outcome: BibOutcome, said: str, *, in_part: bool) -> End:
    """The end of a record with what became of its items or orders. ``in_part``: something of these was loaded."""
    kept = "its title stays as it is and has what follows" if title in KEPT and in_part else ""
    message = "; ".join(filter(None, (end["message"], kept, said)))
    return {
        **end,
        "outcome": outcome.value,
        "message": message,
        "title_outcome": title.value,
        "in_part": in_part,
    }


def _titles(run: FileRun, number: int) -> dict[int, str]:
    """The titles that the records of a chunk are to be part of, by line."""
    found = {each["line"]: read_match(each).mms_id for each in matches_of(run, number).rows().values()}
    return {line: mms_id for line, mms_id in found.items() if mms_id}


def _late_fault(context: JobContext, alma: AlmaClient, row: Row, mms_id: str) -> Refusal | None:
    """Why a record is not to be part of a title that was found only when it was to be written."""
    if context.folder.plan().profile.orders is None:
        return None
    with open_orders(alma, context) as memory:
        return fault_of_late_title(alma, context.folder, row, memory, mms_id)
