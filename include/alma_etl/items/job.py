"""Item loads as a job on dropped files: holdings and items in Alma for the rows of a table."""

from collections.abc import Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO, Any, cast

from alma_etl.alma.client import AlmaClient
from alma_etl.inventory.chunk_holdings import holdings_of, resolve_holdings
from alma_etl.inventory.codes import CodeCheck, alma_of, check_codes, find_check
from alma_etl.inventory.holdings import GroupResult
from alma_etl.inventory.item_fields import COLUMNS as TABLE_COLUMNS
from alma_etl.inventory.item_fields import HOLDS, coded_values
from alma_etl.inventory.item_loading import ItemEnds, create_items
from alma_etl.inventory.item_rows import BadRow, ItemOutcome, check, item_row
from alma_etl.inventory.loaded_items import SqlLoadedItems
from alma_etl.items.profiles import GIVES, SETTINGS, ItemProfile
from alma_etl.jobs.file_job import (
    FileJob,
    JobContext,
    Records,
    Refusal,
    ReportExtras,
    ReportFile,
)
from alma_etl.jobs.file_run import FilePlan, FileRun
from alma_etl.jobs.outcomes import End, Row
from alma_etl.store.locks import open_locks
from alma_etl.tabular.tables import Columns, open_table

TABLE = Columns(
    known=TABLE_COLUMNS, required=("mms_id", "barcode"), headless=("mms_id", "barcode"), holds=HOLDS
)
_MISSING_SHOWN = 500  # on the page; the file has all


class ItemCreation(ItemEnds[ItemProfile], FileJob[ItemProfile]):
    """Makes an item in Alma for every row, and a holding where the title has none at that place."""

    things = "items"
    takes = "Lines MMS_ID|BARCODE, or CSV, TSV or Excel (.xlsx) with a header that has at least mms_id and barcode."
    title = "Items"
    settings = SETTINGS
    profile_gives = GIVES
    plan_type = FilePlan[ItemProfile]
    page = "item_load.html"
    page_columns = (
        ("line", "Line", "number"),
        ("mms_id", "MMS id", "code"),
        ("barcode", "Barcode", "code"),
        ("outcome", "Outcome", "text"),
        ("message", "Why", "text"),
    )
    files = {"missing": ReportFile(".missing-call-numbers.txt", "Holdings without a call number")}  # noqa: RUF012

    # --- the rows

    def open_records(self, path: Path, profile: ItemProfile) -> Records:
        return open_table(path, TABLE)

    def rows(self, records: Records, profile: ItemProfile, day: date) -> Iterator[tuple[Row, Refusal | None]]:
        defaults = profile.values(day)
        for source in records.rows():
            row = item_row(source, defaults)
            try:
                check(source, row, profile.barcode_pattern)
            except BadRow as problem:
                yield row, Refusal(str(problem), ItemOutcome.INVALID_ROW)
            else:
                yield row, None

    def group_of(self, row: Row) -> str:
        return str(row["mms_id"])

    def label_of(self, row: Row) -> str:
        return str(row["mms_id"])

    def unique_of(self, row: Row) -> Collection[str]:
        return (row["barcode"],)

    def duplicate(self, row: Row, first: Row) -> Refusal:
        same = first["mms_id"] == row["mms_id"]
        title = "the same title" if same else f"the title {first['mms_id']}"
        message = f"the barcode stands on line {first['line']} already, for {title}"
        return Refusal(message, ItemOutcome.DUPLICATE_IN_FILE)

    def codes_of(self, row: Row) -> Iterable[tuple[str, Hashable]]:
        yield from coded_values({"library": row["library"], "location": row["location"], **row["values"]})

    # --- the steps

    def check(self, context: JobContext) -> dict[str, int]:
        """Ask Alma for every code and every title before anything is written; return counts of the wrong ones."""
        with context.open_client("alma") as alma:
            return check_codes(alma, context.folder)

    def prepare(self, context: JobContext, number: int) -> dict[str, int]:
        """Find or make the holding of each title and place; return counts."""
        with (
            context.open_client("alma") as alma,
            _memory(alma, context) as memory,
            open_locks(context.store_url()) as locks,
        ):
            return resolve_holdings(self, alma, context.folder, number, memory=memory, locks=locks)

    def load(self, context: JobContext, number: int) -> dict[str, int]:
        """Create the items; return counts by outcome."""
        with context.open_client("alma") as alma, _memory(alma, context) as memory:
            return create_items(self, alma, context.folder, number, memory=memory)

    # --- the report

    def extras(self, run: FileRun, plan: FilePlan[ItemProfile] | None) -> ReportExtras:
        return _UsedHoldings(run, plan)


class _UsedHoldings(ReportExtras):
    """The holdings that got items, and those of them that have no call number."""

    def __init__(self, run: FileRun, plan: FilePlan[ItemProfile] | None) -> None:
        self._run = run
        self._plan = plan
        self._used: set[str] = set()
        self._missing: list[tuple[str, str, str, str]] = []
        self.remarks = (find_check(run) or CodeCheck()).remarks if plan else ()

    def note(self, end: End) -> None:
        if end["outcome"] == ItemOutcome.CREATED:
            self._used.add(end["holding_id"])

    def figures(self) -> dict[str, int]:
        made = {each["holding_id"]: each for each in self._resolved()}
        for holding_id, each in sorted(made.items(), key=lambda pair: (pair[1]["mms_id"], pair[0])):
            if not each["call_number"] and (each["made"] or holding_id in self._used):
                self._missing.append((each["mms_id"], holding_id, each["library"], each["location"]))
        return {
            "holdings_used": len(self._used),
            "holdings_made": sum(each["made"] for each in made.values()),
            "without_call_number": len(self._missing),
        }

    def write(self, kind: str, stream: IO[bytes]) -> None:
        """One holding a line; the column MMS ID is what Alma wants when a set is made from a file."""
        stream.write(b"MMS ID\tHolding ID\tLibrary\tLocation\n")
        for row in self._missing:
            stream.write(("\t".join(row) + "\n").encode())

    def page_values(self) -> dict[str, Any]:
        return {"missing": self._missing[:_MISSING_SHOWN]}

    def _resolved(self) -> Iterator[GroupResult]:
        """The holdings that the steps found or made."""
        for number in range(1, (self._plan.chunks if self._plan else 0) + 1):
            for each in holdings_of(self._run, number).rows(of_any_settings=True).values():
                if "line" not in each and each["holding_id"]:
                    yield cast(GroupResult, each)


@contextmanager
def _memory(alma: AlmaClient, context: JobContext) -> Iterator[SqlLoadedItems]:
    """What earlier loads into this Alma left behind."""
    formerly = context.connections.get("alma", "")
    memory = SqlLoadedItems(context.store_url(), alma_of(alma, context.folder), formerly=formerly)
    try:
        yield memory
    finally:
        memory.close()
