"""The working files of one WEST run: ``runs/west_holdings/{run_id}/`` and the plan that the steps share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from pydantic import BaseModel, ConfigDict

from alma_etl.alma.errors import AlmaError
from alma_etl.errors import RunStopped
from alma_etl.store.bucket import Bucket
from alma_etl.west.settings import WestSettings


class BadInputRecord(BaseModel):
    """A record of the export that could not be used: its number (from 1), byte offset, and why."""

    model_config = ConfigDict(frozen=True)

    number: int
    offset: int
    reason: str


class InputCounts(BaseModel):
    """What the first step read: for a set its members, for an export its records.

    ``total`` is what Alma says the set holds, or the records of the file. Of those, ``titles`` are distinct,
    ``repeated`` came more than once, ``bad_records`` could not be used (exports only), and ``missing`` never
    came, although the set was read again.
    """

    model_config = ConfigDict(frozen=True)

    total: int
    titles: int
    repeated: int = 0
    missing: int = 0
    bad_records: int = 0


class Plan(BaseModel):
    """What the first step decided; every later step reads it."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    settings: WestSettings
    day: date
    source: str
    counts: InputCounts
    chunks: int
    titles: int
    bad_records: tuple[BadInputRecord, ...] = ()  # the first hundred, for the report


@dataclass(frozen=True)
class Chunk:
    """One slice of the run's titles; ``number`` counts from 1."""

    number: int
    first: str
    last: str

    @property
    def label(self) -> str:
        """What the mapped tasks of this chunk are called in the Airflow UI."""
        return f"chunk {self.number:04d}: {self.first}-{self.last}"


class RunFolder:
    """The keys of one run's working files, all below one prefix of the bucket."""

    def __init__(self, bucket: Bucket, run_id: str, dag_id: str = "west_holdings") -> None:
        self.bucket = bucket
        self.run_id = run_id
        self.prefix = f"runs/{dag_id}/{run_id}/"

    def key(self, name: str) -> str:
        """The key of a file of the run as a whole."""
        return self.prefix + name

    def chunk_key(self, number: int, name: str) -> str:
        """The key of a file of one chunk."""
        return f"{self.prefix}chunks/{number:04d}/{name}"

    def write_plan(self, plan: Plan) -> None:
        """Save the plan; until this has happened the run has not begun."""
        self.bucket.put(self.key("plan.json"), plan.model_dump_json(indent=1).encode(), "application/json")

    def plan(self) -> Plan:
        """The plan. Raises NoSuchObject when the first step did not get that far."""
        return Plan.model_validate_json(self.bucket.get(self.key("plan.json")))

    def write_mms_ids(self, number: int, mms_ids: Sequence[str]) -> None:
        """Save the MMS ids of a chunk, one a line."""
        self.bucket.put(self.chunk_key(number, "mms_ids.txt"), "\n".join(mms_ids).encode(), "text/plain")

    def mms_ids(self, number: int) -> list[str]:
        """The MMS ids of a chunk."""
        return self.bucket.get(self.chunk_key(number, "mms_ids.txt")).decode().split()

    @contextmanager
    def keeping_problem(self, number: int | None = None) -> Iterator[None]:
        """Keep the sentence of an error that ends the block, for the report; that of an earlier attempt goes.

        ``number`` is the chunk that the block works on, None when it is the run as a whole. The error goes on.
        """
        key = self._problem_key(number)
        self.bucket.delete([key])
        try:
            yield
        except (RunStopped, AlmaError) as problem:
            self.bucket.put(key, str(problem).encode(), "text/plain; charset=utf-8")
            raise

    def problem(self, number: int | None = None) -> str | None:
        """The sentence with which the run, or the work on one chunk, stopped; None when it did not."""
        found = self.bucket.find(self._problem_key(number))
        return None if found is None else found.decode()

    def _problem_key(self, number: int | None) -> str:
        return self.key("problem.txt") if number is None else self.chunk_key(number, "problem.txt")
