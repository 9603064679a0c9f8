"""Item updates as a job on dropped files: what a row names is written, everything else of its item stays."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import IO, Any

from alma_etl.inventory.codes import CodeCheck, check_codes, find_check
from alma_etl.inventory.item_fields import coded_values
from alma_etl.item_updates.aleph_target import update_in_aleph
from alma_etl.item_updates.alma_target import update_in_alma
from alma_etl.item_updates.profiles import GIVES, SETTINGS, ItemUpdateProfile
from alma_etl.item_updates.reading import open_update, rows_of
from alma_etl.item_updates.rows import COLUMNS, IDENTITY, ItemUpdateOutcome
from alma_etl.item_updates.undo import UndoFile
from alma_etl.jobs.file_job import FileJob, JobContext, Records, Refusal, ReportExtras, ReportFile
from alma_etl.jobs.file_run import FilePlan, FileRun
from alma_etl.jobs.outcomes import End, Row

_TARGETS: Mapping[str, Callable[[FileJob[Any], JobContext, Any, int], dict[str, int]]] = {
    "alma": update_in_alma,
    "aleph": update_in_aleph,
}
_DIFFS_SHOWN = 500  # items on the page; the workbook has all
_TAKEN = (ItemUpdateOutcome.UPDATED, ItemUpdateOutcome.NOT_APPLIED)


class ItemUpdates(FileJob[ItemUpdateProfile]):
    """Changes the items that a file names, in Alma or in Aleph, as the profile of its folder says."""

    things = "item updates"
    guide = "docs/item-updates.md"
    takes = (
        "CSV, TSV or Excel (.xlsx) with a header that has item_pid or barcode (for Aleph doc_number and item_sequence) "
        "and a column for each field to change; or XML with update-item."
    )
    title = "Item updates"
    outcomes = ItemUpdateOutcome
    columns = COLUMNS
    workbook_columns = (*COLUMNS, "before", "after")
    identity = IDENTITY
    labels = ("barcode", "item_pid", "doc_number")
    settings = SETTINGS
    profile_gives = GIVES
    plan_type = FilePlan[ItemUpdateProfile]
    page = "item_update.html"
    page_columns = (
        ("line", "Line", "number"),
        ("barcode", "Barcode", "code"),
        ("outcome", "Outcome", "text"),
        ("changed", "Changed", "text"),
        ("message", "Why", "text"),
    )

    # --- the rows

    def open_records(self, path: Path, profile: ItemUpdateProfile) -> Records:
        return open_update(path, profile)

    def rows(
        self, records: Records, profile: ItemUpdateProfile, day: date
    ) -> Iterator[tuple[Row, Refusal | None]]:
        for row, problem in rows_of(records.rows(), profile):
            yield row, Refusal(problem, ItemUpdateOutcome.INVALID_ROW) if problem else None

    def group_of(self, row: Row) -> str:
        return str(row["item"])

    def label_of(self, row: Row) -> str:
        return str(row["item"])

    def codes_of(self, row: Row) -> Iterable[tuple[str, Hashable]]:
        return coded_values(row["values"]) if row["target"] == "alma" else ()

    # --- the steps

    def check(self, context: JobContext) -> dict[str, int]:
        """Ask Alma for every code that the rows name, before anything is written; return counts of the wrong ones.

        Aleph checks each item as its cataloguing module does, when it is written.
        """
        if context.folder.plan().profile.target == "aleph":
            return {}
        with context.open_client("alma") as alma:
            return check_codes(alma, context.folder, titles=False)

    def update(self, context: JobContext, number: int) -> dict[str, int]:
        """Change the items of a chunk; return counts by outcome."""
        target = context.folder.plan().profile.target
        with context.open_client(target) as client:
            return _TARGETS[target](self, context, client, number)

    def made_under(self, plan: FilePlan[ItemUpdateProfile]) -> Mapping[str, object]:
        return plan.profile.model_dump(mode="json")

    # --- the report

    def extras(self, run: FileRun, plan: FilePlan[ItemUpdateProfile] | None) -> ReportExtras:
        return _Changes(run, plan)

    def report_files(self, plan: FilePlan[ItemUpdateProfile] | None) -> Mapping[str, ReportFile]:
        if plan is None or plan.dry_run or not plan.profile.undo:
            return {}
        return {
            "undo": ReportFile(
                f".undo{plan.rejects_extension}", "The old values, to be dropped to undo the changes"
            )
        }

    def workbook_cells(self, end: End) -> list[str]:
        diff = _diff(end)
        before = "\n".join(f"{name}: {old}" for name, old, _ in diff)
        after = "\n".join(f"{name}: {new}" for name, _, new in diff)
        return [*(str(end[column]) for column in self.columns), before, after]


def _diff(end: End) -> list[tuple[str, str, str]]:
    """The fields of an end that changed, or would, each with what it was and what it is."""
    return [(name, *pair) for name, pair in (end.get("changes") or {}).items() if pair[0] != pair[1]]


class _Changes(ReportExtras):
    """What changed: a table for the page, and the undo file."""

    def __init__(self, run: FileRun, plan: FilePlan[ItemUpdateProfile] | None) -> None:
        self._undo = UndoFile(plan.profile.target, plan.form) if plan else None
        self._diffs: list[tuple[End, list[tuple[str, str, str]]]] = []
        self._fields = 0
        self.remarks = (find_check(run) or CodeCheck()).remarks if plan else ()

    def note(self, end: End) -> None:
        diff = _diff(end)
        self._fields += len(diff)
        if diff and len(self._diffs) < _DIFFS_SHOWN:
            self._diffs.append((end, diff))
        if self._undo is not None and end["outcome"] in _TAKEN:
            self._undo.note(end)

    def figures(self) -> dict[str, int]:
        left = self._undo.left_out() if self._undo is not None else 0
        return {"fields": self._fields, "not_in_undo": left}

    def has(self, kind: str) -> bool:
        return self._undo is not None and not self._undo.is_empty()

    def write(self, kind: str, stream: IO[bytes]) -> None:
        if self._undo is not None:
            self._undo.write(stream)

    def page_values(self) -> dict[str, Any]:
        return {"diffs": self._diffs}
