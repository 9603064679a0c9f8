"""What the ledger says, for the pages and the tests: runs, records, files and calls. `ledger` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypedDict

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from alma_etl.store.db import open_engine, parse_url, store_problem
from alma_etl.store.ledger_models import file_table, record_table, run_table, use_table

RunState = Literal["running", "waiting", "done", "failed", "superseded"]
FileState = Literal["arrived", "started", "done", "failed", "superseded", "ignored"]

_AT_ONCE = 1_000


class RunKey(NamedTuple):
    """One run of a DAG."""

    dag_id: str
    run_id: str


class Attention(TypedDict):
    """What somebody has to look at, and what to do about it."""

    what: str
    what_to_do: str


class Artefact(TypedDict):
    """An object in the bucket that a run made. `type` is its media type, `name` the last part of its key."""

    role: str
    key: str
    name: str
    size: int
    type: str


class RunRecord(NamedTuple):
    """How one record of a run ended. `line` counts from 1; texts that do not apply are ""."""

    outcome: str
    symbol: str = ""
    line: int | None = None
    mms_id: str = ""
    holding_id: str = ""
    item_pid: str = ""
    barcode: str = ""
    label: str = ""
    reasons: str = ""
    message: str = ""


@dataclass(frozen=True)
class JobRun:
    """A row of `job_run`."""

    dag_id: str
    run_id: str
    job: str
    institution: str
    subject: str
    dry_run: bool
    requested_by: str
    started_at: datetime
    ended_at: datetime | None
    state: RunState
    headline: str
    counts: dict[str, int]
    measures: dict[str, Any]
    calls: dict[str, int]
    attention: list[Attention]
    artefacts: list[Artefact]
    decision: dict[str, str] | None


@dataclass(frozen=True)
class FileVersion:
    """One version of a dropped file: `version` is its entity tag and time, `area` its prefix of the bucket."""

    key: str
    version: str
    size: int
    area: str
    profile: str
    arrived_at: datetime
    uploaded_by: str = ""
    corrects: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class FileRow(FileVersion):
    """A row of `dropped_file`."""

    state: FileState = "arrived"
    state_at: datetime = datetime.min
    dag_id: str = ""
    run_id: str = ""
    filed_key: str = ""


@dataclass(frozen=True)
class RecordRow:
    """A row of `run_record`."""

    ord: int
    record: RunRecord


@dataclass(frozen=True)
class ApiUse:
    """A row of `api_use`: the calls of a DAG by a connection in the hour from `hour` on."""

    connection: str
    hour: datetime
    dag_id: str
    calls: int
    refused: int


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LedgerStore:
    """The connection to the ledger's tables in the state store at `url`, upgraded beforehand. Close it when done.

    Every method of its subclasses raises StoreUnavailable or StoreRefused, one sentence.
    """

    def __init__(self, url: str, *, now: Callable[[], datetime] = _utc_now) -> None:
        self._url = parse_url(url)
        self._engine = open_engine(self._url)
        self._now = now

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as problem:
            raise store_problem(problem, self._url, "for the ledger of runs") from problem


class LedgerReader(LedgerStore):
    """What the pages and the tests read. Newest first; `before` goes on after the last row of the page before."""

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction in which a page reads all that it shows."""
        with self._transaction() as connection:
            yield connection

    def run(self, key: RunKey) -> JobRun | None:
        """One run."""
        with self._transaction() as connection:
            row = connection.execute(select(run_table).where(is_run(key))).one_or_none()
        return None if row is None else job_run(row)

    def runs(
        self,
        *,
        job: str | None = None,
        subject: str | None = None,
        state: RunState | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> list[JobRun]:
        """Runs, by job, subject and state."""
        table = run_table.c
        query = _filtered(
            select(run_table), [(table.job, job), (table.subject, subject), (table.state, state)]
        )
        if before is not None:
            query = query.where(table.started_at < before)
        with self._transaction() as connection:
            return [
                job_run(row)
                for row in connection.execute(query.order_by(table.started_at.desc()).limit(limit))
            ]

    def last_runs(self, jobs: Sequence[str]) -> dict[str, JobRun]:
        """The last run of each job that has one, in one query."""
        table = run_table.c
        last = [
            select(table.dag_id, table.run_id)
            .where(table.job == job)
            .order_by(table.started_at.desc())
            .limit(1)
            .subquery()
            for job in jobs
        ]
        if not last:
            return {}
        keys = select(last[0]).union_all(*(select(each) for each in last[1:])).subquery()
        query = select(run_table).join(
            keys, and_(table.dag_id == keys.c.dag_id, table.run_id == keys.c.run_id)
        )
        with self._transaction() as connection:
            found = [job_run(row) for row in connection.execute(query)]
        return {run.job: run for run in found}

    def records(
        self,
        key: RunKey,
        *,
        outcome: str | None = None,
        symbol: str | None = None,
        after: RecordRow | None = None,
        limit: int = 50,
    ) -> list[RecordRow]:
        """Records of a run in their order; of one outcome by symbol, and within it in their order. `after` is the last
        one of the page before."""
        table = record_table.c
        query = select(record_table).where(table.dag_id == key.dag_id, table.run_id == key.run_id)
        query = _filtered(query, [(table.outcome, outcome), (table.symbol, symbol)])
        if outcome is None:
            query = query.order_by(table.ord)
            if after is not None:
                query = query.where(table.ord > after.ord)
        else:
            query = query.order_by(table.symbol, table.ord)
            if after is not None:
                query = query.where(tuple_(table.symbol, table.ord) > tuple_(after.record.symbol, after.ord))
        with self._transaction() as connection:
            return [_record_row(row) for row in connection.execute(query.limit(limit))]

    def all_records(
        self, key: RunKey, *, outcome: str | None = None, symbol: str | None = None
    ) -> Iterator[RunRecord]:
        """All records of a run, for a download, in flat memory."""
        after: RecordRow | None = None
        while page := self.records(key, outcome=outcome, symbol=symbol, after=after, limit=_AT_ONCE):
            yield from (row.record for row in page)
            after = page[-1]

    def file(self, key: str, version: str) -> FileRow | None:
        """One version of a file."""
        with self._transaction() as connection:
            row = connection.execute(select(file_table).where(is_file(key, version))).one_or_none()
        return None if row is None else file_row(row)

    def files(
        self,
        *,
        area: str | None = None,
        state: FileState | None = None,
        key: str | None = None,
        run: RunKey | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> list[FileRow]:
        """Dropped files, by area, state, key and the run that started them last."""
        table = file_table.c
        query = _filtered(select(file_table), [(table.area, area), (table.state, state), (table.key, key)])
        if run is not None:
            query = query.where(table.dag_id == run.dag_id, table.run_id == run.run_id)
        if before is not None:
            query = query.where(table.arrived_at < before)
        with self._transaction() as connection:
            return [
                file_row(row)
                for row in connection.execute(query.order_by(table.arrived_at.desc()).limit(limit))
            ]

    def api_use(self, since: datetime) -> list[ApiUse]:
        """The calls by connection, hour and DAG, from the hour `since` on."""
        query = (
            select(use_table)
            .where(use_table.c.hour >= since)
            .order_by(use_table.c.hour, use_table.c.connection)
        )
        with self._transaction() as connection:
            return [ApiUse(**row._mapping) for row in connection.execute(query)]


def is_run(key: RunKey) -> ColumnElement[bool]:
    """The row of this run."""
    return and_(run_table.c.dag_id == key.dag_id, run_table.c.run_id == key.run_id)


def is_file(key: str, version: str) -> ColumnElement[bool]:
    """The row of this version of a file."""
    return and_(file_table.c.key == key, file_table.c.version == version)


def _filtered(query: Select[Any], wanted: Iterable[tuple[ColumnElement[Any], str | None]]) -> Select[Any]:
    return query.where(*(column == value for column, value in wanted if value is not None))


def job_run(row: Row[Any]) -> JobRun:
    """A row of `job_run`."""
    return JobRun(**{each.name: getattr(row, each.name) for each in fields(JobRun)})


def file_row(row: Row[Any]) -> FileRow:
    """A row of `dropped_file`."""
    return FileRow(**row._mapping)


def _record_row(row: Row[Any]) -> RecordRow:
    return RecordRow(row.ord, RunRecord(**{name: getattr(row, name) for name in RunRecord._fields}))
