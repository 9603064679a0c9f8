"""The working files of one run: everything below ``runs/{dag_id}/{run_id}/`` of the bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from alma_etl.errors import RunStopped
from alma_etl.remote.errors import RemoteError
from alma_etl.store.bucket import Bucket


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
