"""What a chunk has finished so far, so that a retry, a killed worker or a cleared run goes on from there."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from alma_etl.store.bucket import Bucket, json_line


class Checkpoint:
    """The finished rows of one step of one chunk: one object when the step is complete, parts until then.

    S3 has no append, so rows are saved in small parts, each under a name of its own: a worker that was taken
    for dead and goes on writing beside its successor does no harm.

    ``every`` is the number of rows that a kill can cost; an exception costs none when the rows are added inside
    ``with checkpoint:``. Not safe for several threads: feed it from one.
    """

    def __init__(self, bucket: Bucket, result_key: str, *, every: int = 5) -> None:
        self._bucket = bucket
        self._result_key = result_key
        self._parts = f"{result_key}.parts/"
        self._every = every
        self._unsaved: list[bytes] = []

    def rows(self) -> Iterator[dict[str, Any]]:
        """What earlier attempts finished, in no particular order; the same row may come twice."""
        if self._bucket.info(self._result_key):
            yield from self._bucket.read_rows(self._result_key)
        for part in self._bucket.list(self._parts):
            yield from self._bucket.read_rows(part.key)

    def add(self, row: Mapping[str, object]) -> None:
        """Record one finished row; it is safe in the bucket once ``every`` rows have come together."""
        self._unsaved.append(json_line(row))
        if len(self._unsaved) >= self._every:
            self._save()

    def add_all(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Record rows that were finished together, as one part."""
        self._unsaved += [json_line(row) for row in rows]
        if self._unsaved:
            self._save()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        if raised and self._unsaved:
            self._save()

    def complete(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Write the step's whole result as one object, then drop the parts."""
        self._bucket.write_rows(self._result_key, rows)
        self._unsaved = []
        self._bucket.delete([part.key for part in self._bucket.list(self._parts)])

    def _save(self) -> None:
        self._bucket.put(f"{self._parts}{uuid.uuid4().hex}.jsonl", b"".join(self._unsaved))
        self._unsaved = []
