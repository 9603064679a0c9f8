"""What is no longer kept: once a day the last task of any job drops old records, runs, and working files in `runs/`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    Tuple,
    and_,
    delete,
    func,
    not_,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's as well

from alma_etl.counted import counted
from alma_etl.jobs.folder import STARTS
from alma_etl.jobs.ledger_reading import LedgerStore, RunKey, is_run
from alma_etl.store.bucket import Bucket, ObjectInfo
from alma_etl.store.ledger_models import chore_table, file_table, record_table, run_table

log = logging.getLogger(__name__)

TICKS = "dcb_status_sync"
"""The job whose runs are many and keep no records."""
_PLACING = "dcb_place_request"
_CHORE = "purge"
_EVERY = timedelta(hours=23)
_ABANDONED = timedelta(days=90)
"""A run that has not ended for so long was killed: it is kept no longer than others."""


class Retention(BaseModel):
    """How long what a run leaves behind is kept, in days: records, the rows of runs, those of ticks, and working files
    below `runs/` of the bucket. Of runs with more than `large_run` records, the last `large_runs_kept` of a subject
    keep theirs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    keep_records: int = Field(30, ge=1)
    keep_job_runs: int = Field(400, ge=1)
    keep_ticks: int = Field(30, ge=1)
    keep_runs: int = Field(30, ge=1)
    large_run: int = Field(50_000, ge=1)
    large_runs_kept: int = Field(3, ge=1)


@dataclass(frozen=True)
class Purged:
    """How much was dropped."""

    records: int
    runs: int
    files: int
    folders: int


class Purge(LedgerStore):
    """Drops what is past its time. A run that has not ended is left alone, unless it began 90 days ago."""

    def once_a_day(self, retention: Retention, bucket: Bucket) -> Purged | None:
        """Purge, unless that was begun within a day, on whatever host; None then."""
        return self.purge(retention, bucket) if self.take_on() else None

    def purge(self, retention: Retention, bucket: Bucket) -> Purged:
        """Drop what is past its time, whenever that was done before."""
        now = self._now()
        records = self._drop_records(now - timedelta(days=retention.keep_records), now)
        records += self._drop_large_runs(retention, now)
        runs, files = self._drop_runs(retention, now)
        folders = self._drop_folders(bucket, timedelta(days=retention.keep_runs), now)
        purged = Purged(records, runs, files, folders)
        log.info(
            "No longer kept: %s, %s, %s of the ledger, the working files of %s",
            counted(purged.records, "record"),
            counted(purged.runs, "run"),
            counted(purged.files, "file"),
            counted(purged.folders, "run"),
        )
        return purged

    def take_on(self) -> bool:
        """Whether nobody has begun to purge within a day; the caller has now."""
        now = self._now()
        statement = insert(chore_table).values(name=_CHORE, done_at=now)
        statement = statement.on_conflict_do_update(
            index_elements=["name"], set_={"done_at": now}, where=chore_table.c.done_at <= now - _EVERY
        )
        with self._transaction() as connection:
            return connection.execute(statement.returning(chore_table.c.name)).first() is not None

    def _drop_records(self, before: datetime, now: datetime) -> int:
        table = run_table.c
        old = select(table.dag_id, table.run_id).where(table.started_at < before, not_(_is_live(now)))
        return self._delete(delete(record_table).where(_runs_of_records().in_(old)))

    def _drop_large_runs(self, retention: Retention, now: datetime) -> int:
        """Of one subject, all but the last few large runs; a night of a million records would fill the store soon."""
        table = run_table.c
        newest_first = (
            func.row_number()
            .over(partition_by=(table.dag_id, table.subject), order_by=table.started_at.desc())
            .label("place")
        )
        ranked = select(table.dag_id, table.run_id, newest_first).where(table.job != TICKS).subquery()
        earlier = select(ranked.c.dag_id, ranked.c.run_id).where(ranked.c.place > retention.large_runs_kept)
        dropped = 0
        with self._transaction() as connection:
            keys = [RunKey(row.dag_id, row.run_id) for row in connection.execute(earlier)]
            live = {RunKey(row.dag_id, row.run_id) for row in connection.execute(_live_runs(now))}
        for key in keys:
            mine = and_(record_table.c.dag_id == key.dag_id, record_table.c.run_id == key.run_id)
            with self._transaction() as connection:
                last = connection.execute(select(func.max(record_table.c.ord)).where(mine)).scalar() or 0
                if last > retention.large_run and key not in live:
                    dropped += connection.execute(delete(record_table).where(mine)).rowcount
        return dropped

    def _drop_runs(self, retention: Retention, now: datetime) -> tuple[int, int]:
        table = run_table.c
        long_ago = now - timedelta(days=retention.keep_job_runs)
        old = or_(
            table.started_at < long_ago,
            and_(table.job == TICKS, table.started_at < now - timedelta(days=retention.keep_ticks)),
        )
        keys = select(table.dag_id, table.run_id).where(old, not_(_is_live(now)))
        self._delete(delete(record_table).where(_runs_of_records().in_(keys)))
        runs = self._delete(delete(run_table).where(old, not_(_is_live(now))))
        ended = file_table.c.state.not_in(["arrived", "started"])
        files = self._delete(delete(file_table).where(ended, file_table.c.state_at < long_ago))
        return runs, files

    def _drop_folders(self, bucket: Bucket, age: timedelta, now: datetime) -> int:
        """Drop the working files of runs that nobody has touched for so long, but for what they started elsewhere, and
        take them out of the artefacts."""
        before, dropped = bucket.server_time() - age, 0
        spared = self._spared(now)
        for key, objects in _folders(bucket):
            if key in spared or (key.dag_id == _PLACING and not self._is_done(key)):
                continue
            starts = f"runs/{key.dag_id}/{key.run_id}/{STARTS}"
            objects = [each for each in objects if not each.key.startswith(starts)]
            if objects and max(each.last_modified for each in objects) < before:
                bucket.delete(each.key for each in objects)
                self._forget_artefacts(key)
                dropped += 1
        return dropped

    def _spared(self, now: datetime) -> set[RunKey]:
        with self._transaction() as connection:
            return {RunKey(row.dag_id, row.run_id) for row in connection.execute(_live_runs(now))}

    def _is_done(self, key: RunKey) -> bool:
        """Whether a placing ended well. What a failed one left in the Almas is known from its files alone, as is which
        run began with a request (`claims/`)."""
        query = select(run_table.c.state).where(is_run(key))
        with self._transaction() as connection:
            return connection.execute(query).scalar() == "done"

    def _forget_artefacts(self, key: RunKey) -> None:
        prefix = f"runs/{key.dag_id}/{key.run_id}/"
        with self._transaction() as connection:
            row = connection.execute(
                select(run_table.c.artefacts).where(is_run(key)).with_for_update()
            ).one_or_none()
            if row is None:
                return
            kept = [each for each in row.artefacts if not each["key"].startswith(prefix)]
            if kept != row.artefacts:
                connection.execute(update(run_table).where(is_run(key)).values(artefacts=kept))

    def _delete(self, statement: Delete) -> int:
        with self._transaction() as connection:
            return connection.execute(statement).rowcount


def _folders(bucket: Bucket) -> Iterator[tuple[RunKey, list[ObjectInfo]]]:
    """The runs that have working files, each with these. Files that lie beside the folders of runs are none's."""

    def folder(info: ObjectInfo) -> tuple[str, ...]:
        return tuple(info.key.split("/", 3)[1:3]) if info.key.count("/") >= 3 else ()

    for parts, objects in groupby(bucket.list("runs/"), key=folder):
        if parts:
            yield RunKey(*parts), list(objects)


def _is_live(now: datetime) -> ColumnElement[bool]:
    table = run_table.c
    return and_(table.state.in_(["running", "waiting"]), table.started_at >= now - _ABANDONED)


def _live_runs(now: datetime) -> Select[tuple[str, str]]:
    return select(run_table.c.dag_id, run_table.c.run_id).where(_is_live(now))


def _runs_of_records() -> Tuple:
    return tuple_(record_table.c.dag_id, record_table.c.run_id)
