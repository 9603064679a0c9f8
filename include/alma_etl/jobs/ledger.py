"""The ledger: what each run of a job did, which files came, how many calls were made. This module alone writes it.

**A run** has one row from the start of its first task. Each task attempt that begins (`begin`) gets a number; the
results (`replace`) and the end (`finish`, `fail`) of a run are those of the highest number that wrote them, so that a
worker taken for dead, which ends late, changes nothing that a later attempt wrote. Results are replaced as a whole in
one transaction; calls only add up. A run that was killed stays `running`.

**A file** is one version of one key. Its state moves as `MOVES` says; anything else is refused (False) and changes
nothing. A file that was worked on may be started again, by the same run or another; only the run that started it last
ends it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import Connection, Row, case, delete, literal, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's as well

from alma_etl.jobs.folder import RunFiles
from alma_etl.jobs.ledger_reading import (
    Artefact,
    Attention,
    FileRow,
    FileState,
    FileVersion,
    LedgerReader,
    RunKey,
    RunRecord,
    RunState,
    file_row,
    is_file,
    is_run,
)
from alma_etl.remote.meter import CallCounts
from alma_etl.store.bucket import Bucket
from alma_etl.store.ledger_models import file_table, record_table, run_table, use_table
from alma_etl.store.models import Json

log = logging.getLogger(__name__)

MOVES: Mapping[FileState, frozenset[FileState]] = {
    "arrived": frozenset({"started", "superseded", "ignored"}),
    "started": frozenset({"started", "done", "failed", "superseded"}),
    # A cleared run, another run of the same file, "Load it" on the page.
    "done": frozenset({"started"}),
    "failed": frozenset({"started"}),
    "ignored": frozenset({"started", "arrived"}),
    # By a run that found its version there after all.
    "superseded": frozenset({"started"}),
}

_TYPES = {
    "mrc": "application/marc",
    "csv": "text/csv",
    "txt": "text/plain",
    "html": "text/html",
    "json": "application/json",
    "xml": "application/xml",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_LONGEST = {"label": 500, "reasons": 2_000, "message": 2_000}  # characters of a record's texts; of others 250
_LONGEST_SENTENCE = 4_000
_AT_ONCE = 1_000
_NAMES = (*RunKey._fields, "ord", *RunRecord._fields)


@dataclass(frozen=True)
class About:
    """What a run is about. `job` is a fixed word for each job; `subject` the set, export or report, the key of the
    file, or the request; `institution` its code, else the gateway's host."""

    job: str
    subject: str = ""
    institution: str = ""
    dry_run: bool = False
    requested_by: str = ""


@dataclass(frozen=True)
class Results:
    """What a run came to. `records` are read once, in their order; what is None stays as it is."""

    counts: Mapping[str, int]
    measures: Mapping[str, Any] = field(default_factory=dict)
    artefacts: Sequence[Artefact] = ()
    records: Iterable[RunRecord] = ()
    subject: str | None = None
    institution: str | None = None
    dry_run: bool | None = None


class FileLedger(Protocol):
    """What a run on a file reports to the ledger of itself and of its file."""

    def take_file(self, file: FileVersion, *, start: bool) -> None:
        """The run reads this version of a file. ``start``: and is to load it, as a dry run is not."""

    def end_file(self, key: str, version: str, state: FileState, filed_key: str = "") -> None:
        """What became of the file."""

    def replace(self, results: Results) -> None:
        """What the run came to."""


class NoLedger:
    """For runs that nobody keeps."""

    def take_file(self, file: FileVersion, *, start: bool) -> None:
        """See `FileLedger`."""

    def end_file(self, key: str, version: str, state: FileState, filed_key: str = "") -> None:
        """See `FileLedger`."""

    def replace(self, results: Results) -> None:
        """See `FileLedger`."""


class Ledger(LedgerReader):
    """What writes the ledger, for tasks and pages. Safe for several threads, processes and hosts at once."""

    # --- runs

    def begin(self, key: RunKey, about: About) -> int:
        """A task attempt of a run begins; return its number, to be given to those who write.

        A run whose last task had ended begins once more: its end and what it called attention to are void.
        """
        table = run_table.c
        statement = insert(run_table).values(**_new_run(key, about, self._now()))
        new, restarted = statement.excluded, table.ended_at.is_not(None)
        with self._transaction() as connection:
            number: int = connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["dag_id", "run_id"],
                    set_={
                        "state": "running",
                        "attempts": table.attempts + 1,
                        "attention": case((restarted, literal([], Json)), else_=table.attention),
                        "ended_at": None,
                        "subject": case((new.subject == "", table.subject), else_=new.subject),
                        "institution": case(
                            (new.institution == "", table.institution), else_=new.institution
                        ),
                    },
                ).returning(table.attempts)
            ).scalar_one()
        return number

    def note(self, key: RunKey, *, headline: str | None = None, **about: str | bool) -> None:
        """How far a run is (`headline`), or what it turned out to be about (`subject`, `institution`, `dry_run`)."""
        values = {**about} if headline is None else {"headline": headline, **about}
        with self._transaction() as connection:
            connection.execute(update(run_table).where(is_run(key)).values(**clean(values)))

    def wait(self, key: RunKey, headline: str) -> None:
        """A run waits for somebody's decision."""
        with self._transaction() as connection:
            connection.execute(
                update(run_table)
                .where(is_run(key), run_table.c.ended_at.is_(None))
                .values(state="waiting", headline=clean(headline))
            )

    def decide(self, key: RunKey, who: str, what: str) -> None:
        """Somebody decided what becomes of a run that waits."""
        decision = {"who": who, "when": self._now().isoformat(timespec="seconds"), "what": what}
        with self._transaction() as connection:
            connection.execute(update(run_table).where(is_run(key)).values(decision=clean(decision)))

    def replace(self, key: RunKey, results: Results, attempt: int) -> bool:
        """The results of a run, in place of those of earlier attempts; False when a later attempt wrote them already.

        Records are written as a stream, with COPY where the store is PostgreSQL, in one transaction with the rest: an
        error, also one of the iterable, leaves everything as it was.
        """
        about = {"subject": results.subject, "institution": results.institution, "dry_run": results.dry_run}
        given = {name: value for name, value in about.items() if value is not None}
        with self._transaction() as connection:
            if not self._is_newest(connection, key, attempt):
                return False
            table = record_table.c
            connection.execute(
                delete(record_table).where(table.dag_id == key.dag_id, table.run_id == key.run_id)
            )
            _write_records(connection, key, results.records)
            connection.execute(
                update(run_table)
                .where(is_run(key))
                .values(
                    counts=clean(dict(results.counts)),
                    measures=clean(dict(results.measures)),
                    artefacts=clean(list(results.artefacts)),
                    written=attempt,
                    **clean(given),
                )
            )
        return True

    def finish(
        self, key: RunKey, state: RunState, headline: str, attempt: int, attention: Sequence[Attention] = ()
    ) -> bool:
        """The run's last task has ended; False when a later attempt ended it already."""
        with self._transaction() as connection:
            if not self._is_newest(connection, key, attempt):
                return False
            connection.execute(
                update(run_table)
                .where(is_run(key))
                .values(
                    state=state,
                    headline=clean(headline),
                    attention=clean(list(attention)),
                    ended_at=self._now(),
                    written=attempt,
                )
            )
        return True

    def fail(
        self,
        key: RunKey,
        attention: Attention,
        attempt: int | None,
        *,
        last: bool = False,
        about: About | None = None,
    ) -> bool:
        """A task failed; False when a later attempt ended the run already.

        `last`: it was the run's last task, and the run has ended. `attempt` is None where nobody knows which it was;
        `about` makes the row where there is none yet. What was called attention to before stays, unless the new
        sentence contains it.
        """
        with self._transaction() as connection:
            row = _locked(connection, key)
            if row is None and about is not None:
                _make(connection, key, about, self._now())
                row = _locked(connection, key)
            if row is None or (row.ended_at is not None and (attempt is None or attempt < row.written)):
                return False
            kept = [each for each in row.attention if each["what"].rstrip(".") not in attention["what"]]
            values: dict[str, Any] = {
                "state": "failed",
                "headline": attention["what"],
                "attention": [*kept, attention],
            }
            ended = {"ended_at": self._now(), "written": max(attempt or 0, row.written)} if last else {}
            connection.execute(update(run_table).where(is_run(key)).values(**clean(values), **ended))
        return True

    def add_calls(self, key: RunKey, connection_id: str, counts: CallCounts) -> None:
        """Requests that a run sent by a connection since they were added last."""
        statement = insert(use_table).values(
            connection=connection_id,
            hour=self._now().replace(minute=0, second=0, microsecond=0),
            dag_id=key.dag_id,
            calls=counts.sent,
            refused=counts.refused,
        )
        new, table = statement.excluded, use_table.c
        with self._transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["connection", "hour", "dag_id"],
                    set_={"calls": table.calls + new.calls, "refused": table.refused + new.refused},
                )
            )
            row = _locked(connection, key)
            if row is not None:
                calls = {**row.calls, connection_id: row.calls.get(connection_id, 0) + counts.sent}
                connection.execute(update(run_table).where(is_run(key)).values(calls=calls))

    # --- files

    def arrive(self, file: FileVersion) -> bool:
        """A version of a file came; False when it is known, which at most adds who uploaded it and what it corrects.

        Earlier versions of the key that nobody has started are superseded.
        """
        statement = insert(file_table).values(**_new_file(file, self._now()))
        new, table = statement.excluded, file_table.c
        added = {
            name: case((table[name] == "", new[name]), else_=table[name])
            for name in ("uploaded_by", "corrects", "sha256")
        }
        with self._transaction() as connection:
            known = connection.execute(select(table.key).where(is_file(file.key, file.version))).first()
            connection.execute(statement.on_conflict_do_update(index_elements=["key", "version"], set_=added))
            connection.execute(
                update(file_table)
                .where(table.key == file.key, table.state == "arrived", table.arrived_at < file.arrived_at)
                .values(state="superseded", state_at=self._now())
            )
        return known is None

    def start(self, file: FileVersion, run: RunKey) -> bool:
        """A run begins with a version of a file, whether `arrive` recorded that before or not."""
        self.arrive(file)
        return self.move(file.key, file.version, "started", run=run)

    def move(
        self, key: str, version: str, state: FileState, *, run: RunKey | None = None, filed_key: str = ""
    ) -> bool:
        """Move a file to a state; False when it is unknown, or `MOVES` forbids it.

        `run` is who moves it, None for a person. To `started` the file becomes that run's; from there only that run
        moves it on.
        """
        with self._transaction() as connection:
            row = connection.execute(
                select(file_table).where(is_file(key, version)).with_for_update()
            ).one_or_none()
            if row is None or not _may_move(file_row(row), state, run):
                log.info(
                    "The ledger keeps %s as %s, not %s", key, "unknown" if row is None else row.state, state
                )
                return False
            values: dict[str, Any] = {"state": state, "state_at": self._now(), "filed_key": filed_key}
            if run is not None:
                values |= run._asdict()
            connection.execute(update(file_table).where(is_file(key, version)).values(**values))
        return True

    def _is_newest(self, connection: Connection, key: RunKey, attempt: int) -> bool:
        row = _locked(connection, key)
        if row is None:  # the store was not there when the task began
            _make(connection, key, About(job=key.dag_id), self._now())
            return True
        if attempt < row.written:
            log.warning(
                "A later attempt has written how the run %s ended: this one writes nothing", key.run_id
            )
        return bool(attempt >= row.written)


def found_artefacts(bucket: Bucket, named: Iterable[tuple[str, str]]) -> list[Artefact]:
    """Those of the objects, by role and key, that are there."""
    found = ((role, bucket.info(key)) for role, key in named)
    return [
        Artefact(
            role=role,
            key=info.key,
            name=info.key.rpartition("/")[2],
            size=info.size,
            type=_TYPES.get(info.key.rpartition(".")[2], "application/octet-stream"),
        )
        for role, info in found
        if info is not None
    ]


def run_artefacts(folder: RunFiles, **names: str) -> list[Artefact]:
    """Those of a run's own files that are there, by role and name; its page is the `report`."""
    named = {"report": "report.html", **names}
    return found_artefacts(folder.bucket, [(role, folder.key(name)) for role, name in named.items()])


def clean(value: Any) -> Any:
    """A value as the store can keep it: no NUL, no half of a surrogate pair, and no text without bounds."""
    if isinstance(value, str):
        return _text(value, _LONGEST_SENTENCE)
    if isinstance(value, Mapping):
        return {clean(str(name)): clean(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each) for each in value]
    return value


def _text(value: str, longest: int) -> str:
    text = value if len(value) <= longest else f"{value[: longest - 1]}…"
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _write_records(connection: Connection, key: RunKey, records: Iterable[RunRecord]) -> None:
    bounds = [_LONGEST.get(name, 250) for name in RunRecord._fields]
    rows = (
        (
            *key,
            number,
            *(
                _text(each, most) if isinstance(each, str) else each
                for each, most in zip(record, bounds, strict=True)
            ),
        )
        for number, record in enumerate(records, 1)
    )
    if connection.dialect.name == "postgresql":
        copy_records(connection, rows)
    else:
        insert_records(connection, rows)


def copy_records(connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write rows of `run_record` with PostgreSQL's COPY, as a stream."""
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(f"COPY run_record ({', '.join(_NAMES)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def insert_records(connection: Connection, rows: Iterator[tuple[Any, ...]]) -> None:
    """Write rows of `run_record` with INSERT, many at once."""
    while part := [dict(zip(_NAMES, row, strict=True)) for row in islice(rows, _AT_ONCE)]:
        connection.execute(record_table.insert(), part)


def _new_run(key: RunKey, about: About, now: datetime) -> dict[str, Any]:
    given = {
        name: getattr(about, name) for name in ("job", "institution", "subject", "dry_run", "requested_by")
    }
    empty = {"headline": "", "counts": {}, "measures": {}, "calls": {}, "attention": [], "artefacts": []}
    return {
        **key._asdict(),
        **clean(given),
        **empty,
        "started_at": now,
        "state": "running",
        "attempts": 1,
        "written": 0,
    }


def _make(connection: Connection, key: RunKey, about: About, now: datetime) -> None:
    connection.execute(insert(run_table).values(**_new_run(key, about, now)).on_conflict_do_nothing())


def _new_file(file: FileVersion, now: datetime) -> dict[str, Any]:
    given = {each.name: getattr(file, each.name) for each in fields(FileVersion)}
    return {**given, "state": "arrived", "state_at": now, "dag_id": "", "run_id": "", "filed_key": ""}


def _may_move(row: FileRow, state: FileState, run: RunKey | None) -> bool:
    if state not in MOVES[row.state]:
        return False
    return row.state != "started" or state == "started" or run == (row.dag_id, row.run_id)


def _locked(connection: Connection, key: RunKey) -> Row[Any] | None:
    return connection.execute(select(run_table).where(is_run(key)).with_for_update()).one_or_none()
