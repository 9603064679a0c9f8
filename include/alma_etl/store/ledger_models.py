"""The tables of what the jobs did, which `alma_etl.jobs.ledger` alone fills and reads.

Times are UTC; no users' ids and no names of patrons in any of them. Texts that do not apply are "".
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text

from alma_etl.store.models import Base, Json, UtcTime, one_of

_metadata = Base.metadata

run_table = Table(
    "job_run",
    _metadata,
    Column("dag_id", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("job", Text, nullable=False),  # a fixed word for each job
    Column("institution", Text, nullable=False),  # its code, else the gateway's host
    Column("subject", Text, nullable=False),  # set, export or report; the file's key; the request's pr_id
    Column("dry_run", Boolean, nullable=False),
    Column("requested_by", Text, nullable=False),  # login in Airflow
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("state", Text, nullable=False),
    Column("headline", Text, nullable=False),
    Column("counts", Json, nullable=False),  # outcome -> number
    Column("measures", Json, nullable=False),
    Column("calls", Json, nullable=False),  # connection -> attempts sent, added up over all attempts
    Column("attention", Json, nullable=False),  # list of {what, what_to_do}
    Column("artefacts", Json, nullable=False),  # list of {role, key, name, size, type}
    Column("decision", Json),  # {who, when, what}
    Column("attempts", Integer, nullable=False),  # task attempts that have begun
    Column("written", Integer, nullable=False),  # which of them wrote the results or the end last
    one_of("state", "running", "waiting", "done", "failed", "superseded"),
    Index("ix_job_run_job", "job", "started_at"),
    Index("ix_job_run_subject", "job", "subject", "started_at"),
    Index("ix_job_run_state", "state", "started_at"),
)

file_table = Table(
    "dropped_file",
    _metadata,
    Column("key", Text, primary_key=True),
    Column("version", Text, primary_key=True),  # entity tag and time
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("area", Text, nullable=False),  # items, item-updates, bibs
    Column("profile", Text, nullable=False),
    Column("uploaded_by", Text, nullable=False),  # login in Airflow
    Column("corrects", Text, nullable=False),  # key of the file that it corrects
    Column("arrived_at", UtcTime, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_at", UtcTime, nullable=False),
    Column("dag_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("filed_key", Text, nullable=False),
    one_of("state", "arrived", "started", "done", "failed", "superseded", "ignored"),
    Index("ix_dropped_file_arrived", "arrived_at"),
    Index("ix_dropped_file_area", "area", "arrived_at"),
    Index("ix_dropped_file_state", "state", "arrived_at"),
    Index("ix_dropped_file_run", "dag_id", "run_id"),
)

record_table = Table(
    "run_record",
    _metadata,
    Column("dag_id", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("ord", Integer, primary_key=True),  # from 1, in the order of the run's table
    Column("symbol", Text, nullable=False),
    Column("line", Integer),
    Column("mms_id", Text, nullable=False),
    Column("holding_id", Text, nullable=False),
    Column("item_pid", Text, nullable=False),
    Column("barcode", Text, nullable=False),
    Column("label", Text, nullable=False),  # the title, else the name that the input gives
    Column("outcome", Text, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("message", Text, nullable=False),
    # By outcome, within it by symbol, within that in order: the records of a symbol are written together.
    Index("ix_run_record_outcome", "dag_id", "run_id", "outcome", "symbol", "ord"),
)

use_table = Table(
    "api_use",
    _metadata,
    Column("connection", Text, primary_key=True),
    Column("hour", UtcTime, primary_key=True),
    Column("dag_id", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Index("ix_api_use_hour", "hour"),
)

chore_table = Table(
    "chore",
    _metadata,
    Column("name", Text, primary_key=True),
    Column("done_at", UtcTime, nullable=False),  # when somebody last took it on
)
