"""The working files of one run: everything below ``runs/{dag_id}/{run_id}/`` of the bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from alma_etl.errors import RunStopped
from alma_etl.remote.errors import RemoteError
from alma_etl.store.bucket import Bucket

STARTS = "start/"
"""In a run's working files: what it started elsewhere. Kept when the others are dropped: a run that is cleared later
would start it again."""
MAX_CHUNKS = 1_000  # Airflow maps a task over at most 1,024
ModelT = TypeVar("ModelT", bound=BaseModel)
PlanT = TypeVar("PlanT", bound=BaseModel)


@dataclass(frozen=True)
class Chunk:
    """One slice of a run's records; ``number`` counts from 1, ``first`` and ``last`` are the ids at its ends."""

    number: int
    first: str
    last: str

    @property
    def label(self) -> str:
        """What the mapped tasks of this chunk are called in the Airflow UI."""
        return f"chunk {self.number:04d}: {self.first}-{self.last}"


class RunFiles:
    """The keys of one run's working files."""

    def __init__(self, bucket: Bucket, run_id: str, dag_id: str) -> None:
        self.bucket = bucket
        self.run_id = run_id
        self.prefix = f"runs/{dag_id}/{run_id}/"

    def key(self, name: str) -> str:
        """The key of a file of the run as a whole."""
        return self.prefix + name

    def chunk_key(self, number: int, name: str) -> str:
        """The key of a file of one chunk."""
        return f"{self.prefix}chunks/{number:04d}/{name}"

    def write_model(self, name: str, model: BaseModel) -> None:
        """Save a model as a file of the run as a whole."""
        self.bucket.put(self.key(name), model.model_dump_json(indent=1).encode(), "application/json")

    def find_model(self, name: str, kind: type[ModelT]) -> ModelT | None:
        """Return what `write_model` saved under this name, None where there is nothing."""
        found = self.bucket.find(self.key(name))
        return None if found is None else kind.model_validate_json(found)

    @contextmanager
    def keeping_problem(self, number: int | None = None) -> Iterator[None]:
        """Keep the sentence of an error that ends the block, for the report; that of an earlier attempt goes.

        ``number`` is the chunk that the block works on, None when it is the run as a whole. The error goes on.
        """
        key = self._problem_key(number)
        self.bucket.delete([key])
        try:
            yield
        except (RunStopped, RemoteError) as problem:
            self.bucket.put(key, str(problem).encode(), "text/plain; charset=utf-8")
            raise

    def problem(self, number: int | None = None) -> str | None:
        """The sentence with which the run, or the work on one chunk, stopped; None when it did not."""
        found = self.bucket.find(self._problem_key(number))
        return None if found is None else found.decode()

    def _problem_key(self, number: int | None) -> str:
        return self.key("problem.txt") if number is None else self.chunk_key(number, "problem.txt")


class PlannedRun(RunFiles, Generic[PlanT]):
    """A run whose first step writes down what it decided, as `plan.json`; every later step reads it."""

    def __init__(self, bucket: Bucket, run_id: str, dag_id: str, plan_type: type[PlanT]) -> None:
        super().__init__(bucket, run_id, dag_id)
        self._plan_type = plan_type

    def write_plan(self, plan: PlanT) -> None:
        """Save the plan; until this has happened no record is worked on."""
        self.write_model("plan.json", plan)

    def plan(self) -> PlanT:
        """Return the plan. Raises NoSuchObject when the first step did not get that far."""
        return self._plan_type.model_validate_json(self.bucket.get(self.key("plan.json")))

    def find_plan(self) -> PlanT | None:
        """Return the plan, None when the first step did not get that far."""
        return self.find_model("plan.json", self._plan_type)
