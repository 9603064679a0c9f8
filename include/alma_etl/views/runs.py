"""The page of a run, the runs of a job, the records of a run, and which objects may be downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Integer, Row, func, select

from alma_etl.dcb.store.rows import LegRecord
from alma_etl.jobs.ledger_reading import Artefact, JobRun, RunKey, is_run, job_run
from alma_etl.jobs.links import filled
from alma_etl.store.ledger_models import record_table, run_table
from alma_etl.views.deliveries import JOB as DELIVERIES
from alma_etl.views.deliveries import by_reason
from alma_etl.views.file_jobs import FILE_JOBS
from alma_etl.views.listing import Choice, Column, Filter, Listing, contains, equals
from alma_etl.views.words import ToDo, Tone

RUN_STATES = ("running", "waiting", "done", "failed", "superseded")


def find_run(connection: Connection, key: RunKey) -> JobRun | None:
    """A run of the ledger."""
    row = connection.execute(select(run_table).where(is_run(key))).one_or_none()
    return None if row is None else job_run(row)


def find_artefact(connection: Connection, run: RunKey, key: str) -> Artefact | None:
    """The object that this run made under this key; None for a key that the ledger does not name as the run's."""
    found = find_run(connection, run)
    return next((each for each in found.artefacts if each["key"] == key), None) if found else None


def runs_of(dag_id: str) -> Listing:
    """The runs of a DAG, the newest first."""
    table = run_table.c
    return Listing(
        query=select(run_table).where(table.dag_id == dag_id),
        columns=(
            Column("started_at", "Began", table.started_at, "time"),
            Column("state", "State", kind="state"),
            Column("subject", "About", table.subject, "code"),
            Column("headline", "What it came to"),
            Column("ended_at", "Ended", kind="time"),
            Column("requested_by", "Asked for by", table.requested_by),
            Column("run_id", "Run", kind="code"),
        ),
        key=(table.run_id,),
        sort="-started_at",
        filters=(
            Filter("state", "State", equals(table.state), [Choice(each, each) for each in RUN_STATES]),
            Filter("search", "Search", contains(table.subject, table.headline, table.run_id)),
        ),
    )


def records_of(run: JobRun) -> Listing:
    """The records of a run in their order, to be filtered by outcome."""
    table = record_table.c
    symbols = run.measures.get("symbols")
    narrower = [by_reason()] if run.job == DELIVERIES else []
    by_symbol = (
        [Filter("symbol", "Symbol", equals(table.symbol), [Choice(each, each) for each in sorted(symbols)])]
        if isinstance(symbols, Mapping) and symbols
        else []
    )
    reported = next((job.columns for job in FILE_JOBS.values() if job.area.dag_id == run.job), None)

    def has(name: str) -> bool:
        """Whether records of the job have it: those of a job on files have the columns of its report."""
        return reported is None or name in reported

    codes = (table.barcode, table.mms_id, table.holding_id, table.item_pid, table.reasons)
    return Listing(
        query=select(record_table).where(table.dag_id == run.dag_id, table.run_id == run.run_id),
        columns=(
            Column("ord", "No.", table.ord, "number"),
            Column("outcome", "Outcome", table.outcome, "outcome"),
            Column("label", "Title", table.label),
            Column("barcode", "Barcode", table.barcode, "code", shown=has("barcode")),
            Column("mms_id", "MMS id", table.mms_id, "code"),
            Column("holding_id", "Holding", table.holding_id, "code", shown=has("holding_id")),
            Column("item_pid", "Item", table.item_pid, "code", shown=has("item_pid")),
            Column("symbol", "Symbol", table.symbol, "code", shown=has("symbol")),
            Column("line", "Line", func.coalesce(table.line, 0, type_=Integer), "number", shown=has("line")),
            Column("reasons", "Reasons", table.reasons),
            Column("message", "Message"),
        ),
        key=(table.ord,),
        sort="ord",
        filters=(
            Filter("outcome", "Outcome", equals(table.outcome), [Choice(each, each) for each in run.counts]),
            *by_symbol,
            *narrower,
            Filter("search", "Title, barcode, id or reason", contains(table.label, codes=codes)),
        ),
    )


def run_attention(run: JobRun | None, failed: Sequence[tuple[str, str]]) -> list[ToDo]:
    """What a run calls attention to, and tasks of it that failed, by id and reason, as far as it does not say so."""
    said = run.attention if run else []
    tone: Tone = "bad" if run is None or run.state == "failed" else "wait"
    found = [ToDo(each["what"], each["what_to_do"], tone) for each in said]
    for task_id, reason in failed:
        if not any(reason and reason.rstrip(".") in each["what"] for each in said):
            found.append(
                ToDo(f"{task_id} failed. {reason}".strip(), "" if reason else "See the end of its log.")
            )
    return found


@dataclass(frozen=True)
class RecordUrls:
    """Links to records in Alma, by the template `record_url` of a connection; "" for a connection without one.

    The template has the ids in braces: `{mms_id}`, `{holding_id}`, `{item_pid}`, `{barcode}`. A record that lacks an id
    that the template names has no link.
    """

    template: str = ""

    def of(self, record: Row[tuple[object, ...]] | LegRecord) -> str | None:
        """The address of a record of a run, or of the book of a side of a request."""
        names = ("mms_id", "holding_id", "item_pid", "barcode")
        return filled(self.template, **{name: getattr(record, name) or "" for name in names})

    def of_title(self, mms_id: str) -> str | None:
        """The address of a title."""
        return filled(self.template, mms_id=mms_id, holding_id="", item_pid="", barcode="")
