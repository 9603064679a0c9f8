"""What the report of an import has beside its records: what each changed in its title, and what became of orders."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any

from alma_etl.bibs.field_diff import FieldChange, as_text, changes
from alma_etl.bibs.inventory import HAVE_ITEMS
from alma_etl.bibs.matches import NO_SRU, matches_of, read_match
from alma_etl.bibs.orders.checking import OrderCheck, find_order_check
from alma_etl.bibs.orders.placing import COLUMNS as ORDER_COLUMNS
from alma_etl.bibs.orders.placing import ORDERS
from alma_etl.bibs.profiles import BibProfile
from alma_etl.bibs.rows import BibOutcome
from alma_etl.counted import counted
from alma_etl.inventory.codes import CodeCheck, find_check
from alma_etl.jobs.ends import ends_of_chunk
from alma_etl.jobs.file_job import ReportExtras, ReportFile
from alma_etl.jobs.file_run import FilePlan, FileRun
from alma_etl.jobs.outcomes import End
from alma_etl.jobs.report_tables import CsvWriter
from alma_etl.marc.xml import record_from_xml

if TYPE_CHECKING:
    from alma_etl.bibs.job import BibImport

CHANGES = ReportFile(".changes.txt", "What each record changes in its title")
ORDERS_FILE = ReportFile(".orders.csv", "What became of each order")
# What of the changes stands on the page: records, fields of a record, characters of a field. The file has all.
_RECORDS, _FIELDS, _CHARACTERS = 100, 60, 1_000
_CHANGING = frozenset(
    (
        BibOutcome.MERGED, BibOutcome.OVERLAID, BibOutcome.WOULD_MERGE, BibOutcome.WOULD_OVERLAY,
        BibOutcome.NOT_APPLIED,
    )
)  # fmt: skip


class ImportExtras(ReportExtras):
    """What each record changed in its title, or would change: the merge preview of a dry run."""

    def __init__(self, job: BibImport, run: FileRun, plan: FilePlan[BibProfile] | None) -> None:
        self._job = job
        self._run = run
        self._plan = plan
        self._changed = 0
        self._without_sru = 0
        checks = (find_check(run) or CodeCheck(), find_order_check(run) or OrderCheck()) if plan else ()
        self._of_codes = tuple(remark for check in checks for remark in check.remarks)
        self.remarks = self._of_codes
        self._with_orders = plan is not None and plan.profile.orders is not None
        self._unplaced = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the report

    def note(self, end: End) -> None:
        if self._with_orders and end.get("title_outcome", end["outcome"]) not in HAVE_ITEMS:
            kept = {column: end.get(column, "") for column in ORDER_COLUMNS}
            self._unplaced.write(f"{json.dumps(kept)}\n".encode())
        self._changed += end.get("title_outcome", end["outcome"]) in _CHANGING
        if NO_SRU in end["reasons"].split(";"):
            self._without_sru += 1
            words = counted(self._without_sru, "record")
            self.remarks = (
                *self._of_codes,
                f"SRU gave no answer for {words}: Alma's API was asked, at a call or two a number",
            )

    def write(self, kind: str, stream: IO[bytes]) -> None:
        if kind == "orders":
            self._write_orders(stream)
        else:
            self._write_changes(stream)

    def _write_orders(self, stream: IO[bytes]) -> None:
        """An order a row; before them the records of which none was placed, with what they ended as."""
        table = CsvWriter(stream, ORDER_COLUMNS)
        for end in chain(self._not_ordered(), self._orders()):
            table.add([str(end[column]) for column in ORDER_COLUMNS])

    def _not_ordered(self) -> Iterator[End]:
        self._unplaced.seek(0)
        yield from map(json.loads, self._unplaced)

    def _orders(self) -> Iterator[End]:
        """The ends of the orders whose titles are in Alma."""
        if self._plan is None or self._plan.profile.orders is None:
            return
        orders = self._job.orders_of(self._run)
        for number in range(1, self._plan.chunks + 1):
            yield from ends_of_chunk(ORDERS, orders, number, {})

    def _write_changes(self, stream: IO[bytes]) -> None:
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
        orders = (
            list(islice(chain(self._not_ordered(), self._orders()), _RECORDS)) if self._with_orders else []
        )
        return {"previews": previews, "changed": self._changed, "orders": orders}

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
