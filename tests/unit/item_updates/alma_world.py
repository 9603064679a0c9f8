"""What the tests of updates in Alma share: a sandbox, a job whose files are rows as JSON, and one run of it."""

import itertools
import json
from collections import Counter
from contextlib import nullcontext
from datetime import date
from typing import Any

import requests

from alma_etl.alma.client import AlmaClient
from alma_etl.inventory.codes import check_codes
from alma_etl.inventory.item_fields import coded_values
from alma_etl.item_updates.alma_target import update_in_alma
from alma_etl.item_updates.profiles import SETTINGS, ItemUpdateProfile
from alma_etl.item_updates.rows import COLUMNS, IDENTITY, ItemUpdateOutcome
from alma_etl.jobs.file_job import FileJob, JobContext
from alma_etl.jobs.file_run import FilePlan
from alma_etl.jobs.places import Area
from alma_etl.remote.limiter import LocalLimiter
from tests.e2e.items import ItemSandbox

PROFILES = """
profiles:
  alma: {target: alma}
  move: {target: alma, move: true}
  none: {target: alma, move: true, create_holding: false}
  table: {target: alma, aleph_key: table}
  note: {target: alma, aleph_key: internal_note_3}
"""


class JsonRows:
    """The reader: a row a line, as JSON."""

    form, extension = "lines of JSON", ".txt"

    def __init__(self, path: Any) -> None:
        self._path = path

    def rows(self) -> Any:
        with self._path.open(encoding="utf-8") as lines:
            yield from (json.loads(text) for text in lines)

    def excerpt(self, lines: Any, stream: Any) -> None:
        stream.write(b"")


class RowsJob(FileJob[ItemUpdateProfile]):
    """Updates in Alma without a reader of files."""

    things, title, outcomes, columns, identity = "rows", "Items", ItemUpdateOutcome, COLUMNS, IDENTITY
    page_columns = (("line", "Line", "number"),)
    settings, profile_gives, plan_type = SETTINGS, "nothing", FilePlan[ItemUpdateProfile]

    def open_records(self, path: Any, profile: Any) -> Any:
        return JsonRows(path)

    def rows(self, records: Any, profile: Any, day: date) -> Any:
        yield from ((row, None) for row in records.rows())

    def group_of(self, row: Any) -> str:
        return "one chunk"

    def codes_of(self, row: Any) -> Any:
        return coded_values(row["values"])

    def check(self, context: JobContext) -> dict[str, int]:
        with context.open_client("alma") as alma:
            return check_codes(alma, context.folder, titles=False)

    def load(self, context: JobContext, number: int) -> dict[str, int]:
        with context.open_client("alma") as alma:
            return update_in_alma(self, context, alma, number)


JOB = RowsJob(Area("item-updates", "item_update"))


def item_row(values: dict[str, str], **names: str) -> dict[str, Any]:
    """A row; its line is its place in the file."""
    row = {"target": "alma", "remarks": [], "values": values}
    row |= dict.fromkeys(("doc_number", "item_sequence", "barcode", "item_pid", "mms_id", "holding_id"), "")
    row |= names
    key = f"{row['doc_number']}-{row['item_sequence']}" if row["doc_number"] else ""
    return row | {"item": row["item_pid"] or row["barcode"] or key}


def of_item(item: dict[str, Any], **values: str) -> dict[str, Any]:
    """A row that names an item of Alma's by its pid and title."""
    return item_row(values, item_pid=item["item_data"]["pid"], mms_id=item["bib_data"]["mms_id"])


class World:
    """A sandbox with items, and runs that change them."""

    numbers = itertools.count(1)

    def __init__(self, bucket: Any, alma: ItemSandbox, store: str) -> None:
        self.bucket, self.alma, self.store = bucket, alma, store
        bucket.put("config/item_update_profiles.yaml", PROFILES.encode())
        self.client = self.new_client()

    def new_client(self, **options: Any) -> AlmaClient:
        given = {"attempts": 3, "backoff": 0.001, "sleep": lambda _: None, **options}
        return AlmaClient(self.alma.url, "sandbox", limiter=LocalLimiter(100_000), **given)

    def items(self, most: int = 10) -> list[dict[str, Any]]:
        """Items that lie on their shelves, each of another title."""
        found = []
        for mms_id in self.alma.titles():
            here = [each for each in self.of_title(mms_id) if not each["holding_data"]["in_temp_location"]]
            found += here[:1]
            if len(found) == most:
                break
        self.alma.forget()
        return found

    def of_title(self, mms_id: str) -> list[dict[str, Any]]:
        return self.alma.get(f"/bibs/{mms_id}/holdings/ALL/items", limit=100).get("item", [])

    def now(self, item: dict[str, Any]) -> dict[str, Any]:
        """An item as Alma has it now."""
        mms_id, pid = item["bib_data"]["mms_id"], item["item_data"]["pid"]
        return self.alma.get(f"/bibs/{mms_id}/holdings/ALL/items/{pid}")

    def by_hand(self, item: dict[str, Any], **fields: Any) -> None:
        """Somebody changes fields of item_data in Alma's own pages."""
        now = self.now(item)
        now["item_data"] |= fields
        ids = now["bib_data"]["mms_id"], now["holding_data"]["holding_id"], now["item_data"]["pid"]
        answer = requests.put(
            f"{self.alma.url}/almaws/v1/bibs/{ids[0]}/holdings/{ids[1]}/items/{ids[2]}",
            json=now, headers={"Authorization": "apikey sandbox", "Accept": "application/json"}, timeout=30,
        )  # fmt: skip
        answer.raise_for_status()

    def run(self, *rows: dict[str, Any], profile: str = "alma", **params: Any) -> "Run":
        """A run that has read its file and checked its codes."""
        run = Run(self, profile, rows, params)
        JOB.read(run.context())
        JOB.run_step("check", run.context())
        self.alma.forget()
        return run

    def update(self, *rows: dict[str, Any], profile: str = "alma", **params: Any) -> list[dict[str, Any]]:
        """Run it whole; the ends of the rows."""
        return self.run(*rows, profile=profile, **params).load()

    def calls(self) -> Counter[str]:
        """What reached the sandbox, by method."""
        return Counter(call["method"] for call in self.alma.calls())


class Run:
    """One run of the job."""

    def __init__(self, world: World, profile: str, rows: Any, params: dict[str, Any]) -> None:
        self.world = world
        self.run_id = f"run-{next(world.numbers)}"
        self.folder = JOB.run_folder(world.bucket, self.run_id, "item_update")
        self.params = {"key": f"item-updates/incoming/{profile}/rows.txt", **params}
        text = "".join(json.dumps({"line": line, **row}) + "\n" for line, row in enumerate(rows, 1))
        world.bucket.put(self.params["key"], text.encode())

    def context(self, client: AlmaClient | None = None) -> JobContext:
        return JobContext(
            folder=self.folder, params=self.params, day=date(2026, 11, 20),
            open_client=lambda _: nullcontext(client or self.world.client),
            store_url=lambda: self.world.store, is_sandbox=lambda: True,
        )  # fmt: skip

    def load(self, client: AlmaClient | None = None) -> list[dict[str, Any]]:
        JOB.chunk_step("load", self.context(client), 1)
        return self.ends()

    def ends(self) -> list[dict[str, Any]]:
        found = JOB.ends_of(self.folder, 1).rows().values()
        return sorted(found, key=lambda end: end["line"])
