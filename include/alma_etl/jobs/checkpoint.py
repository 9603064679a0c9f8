"""What a chunk has finished so far, so that a retry, a killed worker or a cleared run goes on from there."""

import hashlib
import json
import uuid
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

from alma_etl.store.bucket import Bucket, NoSuchObject, json_line

Row = dict[str, Any]
_LOOKS = 100  # each look that fails means that another worker has completed meanwhile
_BEFORE_DIGESTS = ""  # the scope and the settings of rows that a version without digests wrote


class Rank(IntEnum):
    """What outlives what, where several workers or attempts ended the same row."""

    OPEN = 0  # to be worked again
    REFUSED = 1  # an answer, but one that a later attempt asks for again
    SETTLED = 2  # not asked for again
    MADE = 3  # made by this run: it stays so when the settings change


@dataclass(frozen=True)
class Step:
    """What a checkpoint has to know of the step: its file, by what a row is known again, and how it ranks."""

    name: str
    key: Callable[[Row], Hashable]
    rank: Callable[[Row], Rank]


def digest(value: object) -> str:
    """A short digest of a value that JSON can hold, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Saved:
    """An object of a checkpoint. ``number`` grows: an object that replaces others has a higher one than they have."""

    key: str
    scope: str
    settings: str
    number: int


class Checkpoint:
    """The finished rows of one step of one chunk, kept with what they were made under.

    ``settings``: what the step reads, and no more. Rows made under other settings do not count, but for those that
    rank as `Rank.MADE`. ``alma``: the gateway that the step asks; rows that came from another one do not count at
    all. A reader that asks no Alma leaves it out, and gets what the last attempt left. Rows that were written before
    checkpoints had digests count as made under unknown settings, or as they are for a reader while no newer ones exist.

    No object is ever overwritten: rows are saved in parts, and completing a step puts what was read and worked into a
    new object before the objects that it read are deleted. So nothing that any worker has saved is lost, a worker
    that was taken for dead does no harm, and whatever the order, of several ends of one row the one with the highest
    rank is kept; of equal ones that of the attempt that started last.

    ``every`` is the number of rows that a kill can cost; an exception costs none when the rows are added inside
    ``with checkpoint:``. Not safe for several threads: feed it from one.
    """

    def __init__(
        self,
        bucket: Bucket,
        result_key: str,
        step: Step,
        *,
        settings: Mapping[str, object],
        alma: str | None = None,
        every: int = 5,
    ) -> None:
        self._bucket = bucket
        self._result_key = result_key
        self._parts = f"{result_key}.parts/"
        self._step = step
        self._settings = digest(settings)
        self._scope = None if alma is None else digest(alma)
        self._every = every
        self._attempt: int | None = None
        self._unsaved: list[Row] = []
        self._read: dict[str, list[tuple[int, Row]]] = {}

    @property
    def is_saved(self) -> bool:
        """Whether all rows that were added are safe in the bucket."""
        return not self._unsaved

    @property
    def scope(self) -> str | None:
        """A digest of the Alma whose rows these are; None where nothing was saved yet and no Alma was given."""
        if self._scope is None:
            newest = max(self._listed(), key=lambda each: each.number, default=None)
            return newest.scope if newest else None
        return self._scope

    def rows(self, *, of_any_settings: bool = False) -> dict[Hashable, Row]:
        """What this and earlier attempts finished, by the step's key."""
        merged = self._merged(self._read_counting(), of_any_settings=of_any_settings)
        return {key: row for key, (_, row) in merged.items()}

    def settled(self) -> dict[Hashable, Row]:
        """Those of `rows` that are not to be worked again."""
        return {key: row for key, row in self.rows().items() if self._step.rank(row) >= Rank.SETTLED}

    def add(self, row: Mapping[str, Any]) -> None:
        """Record one finished row; it is safe in the bucket once ``every`` rows have come together."""
        self._unsaved.append(dict(row))
        if len(self._unsaved) >= self._every:
            self._save()

    def add_all(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Record rows that were finished together, as one part."""
        self._unsaved += [dict(row) for row in rows]
        self.save()

    def save(self) -> None:
        """Make all rows safe that were added."""
        if self._unsaved:
            self._save()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        if raised:
            self.save()

    def complete(self, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
        """Put the step's whole result into one object; returns these rows as they count now, in the same order."""
        attempt = self._started()
        given = {self._step.key(dict(row)): dict(row) for row in rows}
        counting = self._read_counting()
        own = [each for each in counting if (each.scope, each.settings) == (self._scope, self._settings)]
        merged, counting_rows = self._merged(own), self._merged(counting)
        for key, row in given.items():
            self._take(merged, key, attempt, row)
            self._take(counting_rows, key, attempt, row)
        ordered = [*given, *(key for key in merged if key not in given)]
        new = self._new_key(max([attempt, *(each.number for each in own)]) + 1)
        self._bucket.write_rows(new, (_tagged(*merged[key]) for key in ordered))
        self._unsaved = []
        self._read[new] = [merged[key] for key in ordered]
        self._bucket.delete([each.key for each in own])
        for each in own:
            self._read.pop(each.key, None)
        return [counting_rows[key][1] for key in given]

    def _started(self) -> int:
        if self._attempt is None:
            self._attempt = max((each.number for each in self._listed()), default=0) + 1
        return self._attempt

    def _save(self) -> None:
        attempt = self._started()
        key = self._new_key(attempt)
        self._bucket.put(
            key, b"".join(json_line(_tagged(attempt, row)) for row in self._unsaved), "application/x-ndjson"
        )
        self._read[key] = [(attempt, row) for row in self._unsaved]
        self._unsaved = []

    def _new_key(self, number: int) -> str:
        if self._scope is None:
            raise ValueError("a checkpoint that is written needs to know which Alma its rows came from")
        return f"{self._parts}{self._scope}.{self._settings}/{number:06d}.{uuid.uuid4().hex}.jsonl"

    def _listed(self) -> Iterator[_Saved]:
        """All objects of the checkpoint, those without a digest too. Those of one digest come in the order of their
        numbers: a listing in pages that misses one that was deleted comes upon the one that replaced it."""
        for info in self._bucket.list(self._result_key):
            if info.key == self._result_key:
                yield _Saved(info.key, _BEFORE_DIGESTS, _BEFORE_DIGESTS, 0)
            elif info.key.startswith(self._parts):
                folder, _, name = info.key.removeprefix(self._parts).rpartition("/")
                scope, _, settings = folder.partition(".")
                yield _Saved(info.key, scope, settings, int(name.partition(".")[0]) if folder else 0)

    def _read_counting(self) -> list[_Saved]:
        """The objects whose rows count, read; those of other settings count only for what was made."""
        for _ in range(_LOOKS):
            listed = list(self._listed())
            newest = max(listed, key=lambda each: each.number, default=None)
            if self._attempt is None:
                self._attempt = newest.number + 1 if newest else 1
            scope = newest.scope if newest and self._scope is None else self._scope
            counting = [each for each in listed if each.scope in (scope, _BEFORE_DIGESTS)]
            try:
                for each in counting:
                    self._rows_of(each)
            except (
                NoSuchObject
            ):  # completed by another worker in the meantime: its rows are in a newer object
                continue
            return counting
        raise NoSuchObject(
            f"{self._parts} in the bucket {self._bucket.name} changes faster than it can be read"
        )

    def _merged(
        self, saved: Sequence[_Saved], *, of_any_settings: bool = False
    ) -> dict[Hashable, tuple[int, Row]]:
        merged: dict[Hashable, tuple[int, Row]] = {}
        as_it_is = self._scope is None and all(each.scope == _BEFORE_DIGESTS for each in saved)
        as_it_is = as_it_is or of_any_settings
        for each in saved:
            for attempt, row in self._rows_of(each):
                if as_it_is or each.settings == self._settings or self._step.rank(row) is Rank.MADE:
                    self._take(merged, self._step.key(row), attempt, row)
        return merged

    def _take(self, merged: dict[Hashable, tuple[int, Row]], key: Hashable, attempt: int, row: Row) -> None:
        def precedence(attempt: int, row: Row) -> tuple[int, int, bytes]:
            return self._step.rank(row), attempt, json_line(row)

        if key not in merged or precedence(attempt, row) > precedence(*merged[key]):
            merged[key] = attempt, row

    def _rows_of(self, saved: _Saved) -> list[tuple[int, Row]]:
        if saved.key not in self._read:
            lines = map(json.loads, self._bucket.get(saved.key).splitlines())
            if saved.scope == _BEFORE_DIGESTS:
                self._read[saved.key] = [(0, row) for row in lines]
            else:
                self._read[saved.key] = [(line["attempt"], line["row"]) for line in lines]
        return self._read[saved.key]


def _tagged(attempt: int, row: Row) -> Row:
    return {"attempt": attempt, "row": row}
