"""A job whose rows go to Aleph as they stand: what the target does, without the reading of files."""

import json
from contextlib import nullcontext
from datetime import date
from typing import Any

from alma_etl.aleph.client import AlephClient
from alma_etl.errors import NotAcceptable
from alma_etl.item_updates.aleph_target import update_in_aleph
from alma_etl.item_updates.profiles import GIVES, SETTINGS, ItemUpdateProfile
from alma_etl.item_updates.rows import COLUMNS, IDENTITY, ItemUpdateOutcome
from alma_etl.jobs.file_job import FileJob, JobContext
from alma_etl.jobs.file_run import FilePlan
from alma_etl.jobs.places import Area
from alma_etl.store.bucket import Bucket
from tests.unit.jobs.shelving import Lines

KEY = "item-updates/incoming/aleph/rows.txt"


class RowsToAleph(FileJob[ItemUpdateProfile]):
    """The file has a row a line, as JSON."""

    things, title, outcomes = "items", "Item updates", ItemUpdateOutcome
    columns, identity, labels = COLUMNS, IDENTITY, ("doc_number",)
    page_columns = (("line", "Line", "number"), ("message", "Why", "text"))
    settings, profile_gives, plan_type = SETTINGS, GIVES, FilePlan[ItemUpdateProfile]

    def open_records(self, path: Any, profile: Any) -> Any:
        return Lines(path)

    def rows(self, records: Any, profile: Any, day: date) -> Any:
        for line in records.rows():
            yield {**json.loads(line.text), "line": line.line}, None

    def group_of(self, row: Any) -> str:
        return str(row["item"])

    def made_under(self, plan: Any) -> Any:
        return plan.profile.model_dump(mode="json")

    def update(self, context: JobContext, number: int) -> dict[str, int]:
        with context.open_client("aleph") as client:
            return update_in_aleph(self, context, client, number)


JOB = RowsToAleph(Area("item-updates", "item_update"))


def row(doc: str = "2", sequence: str = "10", barcode: str = "", **values: str) -> dict[str, Any]:
    """A row, as the job of item updates gives it; ``note_opac`` stands for note-opac."""
    return {
        "target": "aleph", "doc_number": doc, "item_sequence": sequence, "barcode": barcode, "item_pid": "",
        "mms_id": "", "holding_id": "", "item": f"aleph {int(doc)}/{int(sequence)}", "remarks": [],
        "values": {name.replace("_", "-"): text for name, text in values.items()},
    }  # fmt: skip


class Run:
    """One run, as the tasks of a DAG do it."""

    def __init__(
        self,
        bucket: Bucket,
        store: str,
        client: AlephClient,
        *rows: dict[str, Any],
        name: str = "run-1",
        **profile: Any,
    ) -> None:
        self.bucket, self.store, self.client = bucket, store, client
        dry_run = profile.pop("dry_run", False)
        bucket.put("config/item_update_profiles.yaml", settings(**profile))
        bucket.put(KEY, "".join(f"{json.dumps(each)}\n" for each in rows).encode())
        self.folder = JOB.run_folder(bucket, name, "item_update")
        self.params = {"key": KEY, "dry_run": dry_run}

    def context(self) -> JobContext:
        return JobContext(
            folder=self.folder, params=self.params, day=date(2026, 11, 30),
            open_client=lambda _: nullcontext(self.client), store_url=lambda: self.store,
        )  # fmt: skip

    def read(self) -> None:
        JOB.read(self.context())

    def update(self, number: int = 1) -> dict[str, int]:
        return dict(JOB.chunk_step("update", self.context(), number))

    def ends(self, number: int = 1) -> list[dict[str, Any]]:
        """The ends of the rows of a chunk, in the file's order."""
        found = JOB.ends_of(self.folder, number).rows()
        ends = [dict(found[JOB.row_key(each)]) for each in self.folder.rows(number)]
        return sorted(ends, key=lambda end: int(end["line"]))

    def whole(self) -> list[dict[str, Any]]:
        """From the file to the ends of a single chunk."""
        self.read()
        self.update()
        return self.ends()

    def finish(self) -> str:
        """The report and the final check; what it says."""
        JOB.report(self.context())
        try:
            return str(JOB.check_outcome(self.context()))
        except NotAcceptable as problem:
            return str(problem)


def settings(**profile: Any) -> bytes:
    return json.dumps({"profiles": {"aleph": {"target": "aleph", **profile}}}).encode()
