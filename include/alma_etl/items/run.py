"""The working files of one item load: ``runs/item_creation/{run_id}/`` and the plan that the steps share."""

import json
from collections.abc import Iterator
from datetime import date

from pydantic import BaseModel, ConfigDict

from alma_etl.items.outcomes import ItemRow
from alma_etl.items.profiles import ItemProfile
from alma_etl.jobs.folder import RunFiles
from alma_etl.jobs.places import ITEMS, DroppedFile, extension_of, safe_stem
from alma_etl.store.bucket import Bucket, NoSuchObject

INPUT = "input"
ROWS = "rows.jsonl"
REJECTED = "rejected.jsonl"


class Superseded(Exception):
    """The file was replaced before this run read it: there is nothing to do, the new version has its own run."""


class Source(BaseModel):
    """The file that the run reads: which version of which object, and how its reports are called."""

    model_config = ConfigDict(frozen=True)

    key: str
    etag: str
    version: str
    size: int
    stem: str
    extension: str


class Codes(BaseModel):
    """The different codes that the rows use, for `check_codes`."""

    model_config = ConfigDict(frozen=True)

    places: tuple[tuple[str, str], ...] = ()  # library, location
    item_policies: tuple[str, ...] = ()
    material_types: tuple[str, ...] = ()
    po_lines: tuple[str, ...] = ()


class Plan(BaseModel):
    """What the first step decided; every later step reads it.

    ``rows`` are all rows of the file, ``rejected`` those that need no Alma to be rejected. ``day`` is the run's
    date (UTC).
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    source: Source
    profile_name: str
    profile: ItemProfile
    form: str
    rejects_extension: str
    day: date
    rows: int
    rejected: int
    chunks: int
    chunk_size: int
    codes: Codes

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be written to Alma."""
        return self.profile.dry_run


class LoadFolder(RunFiles):
    """The keys of one load's working files."""

    def __init__(self, bucket: Bucket, run_id: str, dag_id: str = ITEMS.dag_id) -> None:
        super().__init__(bucket, run_id, dag_id)

    def write_source(self, source: Source) -> None:
        """Save which file the run reads; its bytes are kept beside it."""
        self.bucket.put(
            self.key("source.json"), source.model_dump_json(indent=1).encode(), "application/json"
        )

    def source(self) -> Source | None:
        """Which file the run reads, None when it did not get that far."""
        found = self.bucket.find(self.key("source.json"))
        return None if found is None else Source.model_validate_json(found)

    def note_filed(self, key: str) -> None:
        """Save where the run's file rests now."""
        self.bucket.put(self.key("filed.json"), json.dumps({"filed": key}).encode(), "application/json")

    def filed_key(self) -> str | None:
        """Where the run's file rests, None when it was not filed."""
        found = self.bucket.find(self.key("filed.json"))
        return None if found is None else str(json.loads(found)["filed"])

    def write_plan(self, plan: Plan) -> None:
        """Save the plan; until this has happened no row is worked on."""
        self.bucket.put(self.key("plan.json"), plan.model_dump_json(indent=1).encode(), "application/json")

    def plan(self) -> Plan:
        """The plan. Raises NoSuchObject when the first step did not get that far."""
        return Plan.model_validate_json(self.bucket.get(self.key("plan.json")))

    def find_plan(self) -> Plan | None:
        """The plan, None when the first step did not get that far."""
        try:
            return self.plan()
        except NoSuchObject:
            return None

    def rows(self, number: int) -> Iterator[ItemRow]:
        """The rows of a chunk, those of a title together."""
        yield from self.bucket.read_rows(self.chunk_key(number, ROWS))  # type: ignore[misc]

    def supersede(self, sentence: str) -> Superseded:
        """Note that the run has nothing to do; the exception to raise comes back."""
        self.bucket.put(self.key("superseded.txt"), sentence.encode(), "text/plain; charset=utf-8")
        return Superseded(sentence)

    def not_superseded(self) -> None:
        """Take back what an earlier attempt of the first step found: the run has its file."""
        self.bucket.delete([self.key("superseded.txt")])

    def stop_if_superseded(self) -> None:
        """Raises Superseded when the first step found that the run has nothing to do."""
        found = self.bucket.find(self.key("superseded.txt"))
        if found is not None:
            raise Superseded(found.decode())


def names_of(file: DroppedFile | None, key: str) -> tuple[str, str]:
    """Stem and extension for the names of the reports, also of a file whose key is not accepted."""
    if file is not None:
        return file.stem, file.extension
    name = key.rpartition("/")[2]
    return safe_stem(name), extension_of(name)
