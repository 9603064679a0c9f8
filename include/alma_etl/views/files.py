"""The dropped files: the table of all, one file with its runs, and earlier files with the same bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, not_, or_, select, tuple_

from alma_etl.jobs.arrivals import Arrival
from alma_etl.jobs.ledger_reading import (
    Artefact,
    FileRow,
    FileVersion,
    JobRun,
    RunKey,
    file_row,
    is_file,
    job_run,
)
from alma_etl.jobs.uploads import load_run_id
from alma_etl.store.ledger_models import file_table, record_table, run_table
from alma_etl.views.file_jobs import FILE_JOBS
from alma_etl.views.listing import Choice, Column, Filter, Listing, contains, equals
from alma_etl.views.words import FILE_STATES

_RUNS = 20  # of one file
_CORRECTIONS = 20


@dataclass(frozen=True)
class DroppedFileView:
    """One version of a file: its runs, the newest first, and the files that correct it."""

    file: FileRow
    runs: Sequence[JobRun]
    corrections: Sequence[FileRow]

    @property
    def run(self) -> JobRun | None:
        """The run that says what became of the file: the one that loaded it, else the last dry run."""
        own = (
            each for each in self.runs if (each.dag_id, each.run_id) == (self.file.dag_id, self.file.run_id)
        )
        return next(own, self.runs[0] if self.runs else None)

    @property
    def ended(self) -> bool:
        """Whether a run is over with the file, so that what it refused can be corrected."""
        return self.file.state in ("done", "failed")

    @property
    def rejects(self) -> Artefact | None:
        """The rows that its run refused, in the form in which they came."""
        made = self.run.artefacts if self.run and self.ended else []
        return next((each for each in made if each["role"] == "rejects"), None)

    @property
    def can_be_loaded(self) -> bool:
        """Whether a dry run left the file where it was dropped, and nothing else came of it."""
        ended = all(each.state in ("done", "failed") for each in self.runs)
        return (
            self.file.state == "arrived"
            and bool(self.runs)
            and ended
            and all(each.dry_run for each in self.runs)
        )


@dataclass(frozen=True)
class EarlierFile:
    """A file that came before, and what became of it."""

    file: FileRow
    headline: str


@dataclass(frozen=True)
class RefusedRow:
    """Why a row of a file was not loaded."""

    line: int
    outcome: str
    message: str


def files_of(areas: Collection[str], profiles: Sequence[str]) -> Listing:
    """The files of these areas, the newest first. `profiles` are those that one can choose."""
    table, run = file_table.c, run_table.c
    names = [Choice(each, each) for each in profiles]
    several = [Filter("area", "Area", equals(table.area), [Choice(each, each) for each in sorted(areas)])]
    return Listing(
        query=select(
            file_table,
            run.headline,
            run.counts,
            run.artefacts,
            run.job,
        )
        .join_from(
            file_table, run_table, and_(table.dag_id == run.dag_id, table.run_id == run.run_id), isouter=True
        )
        .where(table.area.in_(sorted(areas))),
        columns=(
            Column("arrived_at", "Came", table.arrived_at, "time"),
            Column("key", "File", table.key, "code"),
            Column("profile", "Profile", table.profile),
            Column("state", "State", table.state, "state"),
            Column("headline", "What it came to", cell=lambda row: row.headline or ""),
            Column("counts", "Rows by outcome", cell=_counts),
            Column("uploaded_by", "Uploaded by", table.uploaded_by),
            Column("size", "Size", table.size, "number"),
            Column("state_at", "State since", table.state_at, "time"),
            Column("corrects", "Corrects", cell=lambda row: row.corrects),
            Column("run_id", "Run", cell=lambda row: row.run_id),
        ),
        key=(table.key, table.version),
        sort="-arrived_at",
        filters=(
            *(several if len(areas) > 1 else ()),
            Filter(
                "state",
                "State",
                equals(table.state),
                [Choice(word, f"{word}: {meaning}") for word, meaning in FILE_STATES.items()],
            ),
            *([Filter("profile", "Profile", equals(table.profile), names)] if names else ()),
            Filter("search", "Name or who uploaded it", contains(table.key, table.uploaded_by)),
        ),
    )


def runs_of_waiting(connection: Connection, rows: Sequence[Row[Any]]) -> dict[tuple[str, str], JobRun]:
    """The run that looked at each file that none has loaded, a dry run mostly, by key and version of the file; one
    query, none where no file waits."""
    runs = {_first_run(each): (each.key, each.version) for each in rows if each.state == "arrived"}
    if not runs:
        return {}
    asked = select(run_table).where(tuple_(run_table.c.dag_id, run_table.c.run_id).in_(list(runs)))
    found = [job_run(row) for row in connection.execute(asked)]
    return {runs[RunKey(each.dag_id, each.run_id)]: each for each in found}


def file_view(connection: Connection, key: str, version: str) -> DroppedFileView | None:
    """A version of a file with its runs and what corrects it; three queries. None for one that the ledger lacks."""
    row = connection.execute(select(file_table).where(is_file(key, version))).one_or_none()
    if row is None or row.area not in FILE_JOBS:
        return None
    file, run = file_row(row), run_table.c
    first = _first_run(file)
    keys = {first, (first.dag_id, load_run_id(first.run_id)), (file.dag_id, file.run_id)}
    runs = connection.execute(
        select(run_table)
        .where(or_(*(and_(run.dag_id == dag_id, run.run_id == run_id) for dag_id, run_id in sorted(keys))))
        .order_by(run.started_at.desc())
        .limit(_RUNS)
    )
    found = [job_run(each) for each in runs]
    corrections = connection.execute(
        select(file_table)
        .where(
            file_table.c.corrects == key,
            file_table.c.arrived_at >= file.arrived_at,
            not_(is_file(key, version)),  # corrected rejects have the name of their file
        )
        .order_by(file_table.c.arrived_at.desc())
        .limit(_CORRECTIONS)
    )
    return DroppedFileView(file, found, [file_row(each) for each in corrections])


def same_bytes(connection: Connection, area: str, sha256: str) -> EarlierFile | None:
    """The last file of an area that had these bytes; one query."""
    table, run = file_table.c, run_table.c
    row = connection.execute(
        select(file_table, run.headline)
        .join_from(
            file_table, run_table, and_(table.dag_id == run.dag_id, table.run_id == run.run_id), isouter=True
        )
        .where(table.area == area, table.sha256 == sha256)
        .order_by(table.arrived_at.desc(), table.key)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    values = {**row._mapping}
    headline = values.pop("headline")
    return EarlierFile(FileRow(**values), headline or "")


def is_known_key(connection: Connection, area: str, key: str) -> bool:
    """Whether the ledger has a file of this key; one query."""
    asked = select(file_table.c.key).where(file_table.c.area == area, file_table.c.key == key).limit(1)
    return connection.execute(asked).first() is not None


def refused_rows(connection: Connection, run: JobRun, *, most: int) -> list[RefusedRow]:
    """The rows of a run that stand in its rejects, in their order; one query."""
    table = record_table.c
    kinds = next((job.outcomes for job in FILE_JOBS.values() if job.area.dag_id == run.job), ())
    words = [each.value for each in kinds if not each.weight.loaded]
    rows = connection.execute(
        select(table.line, table.outcome, table.message)
        .where(table.dag_id == run.dag_id, table.run_id == run.run_id, table.outcome.in_(words))
        .order_by(table.line)
        .limit(most)
    )
    return [RefusedRow(row.line or 0, row.outcome, row.message) for row in rows]


def _first_run(file: FileVersion | Row[Any]) -> RunKey:
    """The run that `file_intake` starts for a version of a file."""
    area = FILE_JOBS[file.area].area
    etag = file.version.rpartition("@")[0]
    return RunKey(area.dag_id, Arrival(area, file.key, etag, file.arrived_at, file.size).run_id)


def _counts(row: Row[Any]) -> str:
    counts: Mapping[str, int] = row.counts or {}
    return ", ".join(f"{number} {word}" for word, number in counts.items() if number)
