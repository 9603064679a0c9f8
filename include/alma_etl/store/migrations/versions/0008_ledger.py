"""The ledger: runs of jobs, dropped files, the records of a run, calls by the hour

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)
_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "job_run",
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("started_at", _time, nullable=False),
        sa.Column("ended_at", _time, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("headline", sa.Text(), nullable=False),
        sa.Column("counts", _json, nullable=False),
        sa.Column("measures", _json, nullable=False),
        sa.Column("calls", _json, nullable=False),
        sa.Column("attention", _json, nullable=False),
        sa.Column("artefacts", _json, nullable=False),
        sa.Column("decision", _json, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("written", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "state IN ('running', 'waiting', 'done', 'failed', 'superseded')",
            name=op.f("ck_job_run_state"),
        ),
        sa.PrimaryKeyConstraint("dag_id", "run_id", name="pk_job_run"),
    )
    op.create_index("ix_job_run_job", "job_run", ["job", "started_at"])
    op.create_index("ix_job_run_subject", "job_run", ["job", "subject", "started_at"])
    op.create_index("ix_job_run_state", "job_run", ["state", "started_at"])
    op.create_table(
        "dropped_file",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("area", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("uploaded_by", sa.Text(), nullable=False),
        sa.Column("corrects", sa.Text(), nullable=False),
        sa.Column("arrived_at", _time, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_at", _time, nullable=False),
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("filed_key", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('arrived', 'started', 'done', 'failed', 'superseded', 'ignored')",
            name=op.f("ck_dropped_file_state"),
        ),
        sa.PrimaryKeyConstraint("key", "version", name="pk_dropped_file"),
    )
    op.create_index("ix_dropped_file_arrived", "dropped_file", ["arrived_at"])
    op.create_index("ix_dropped_file_area", "dropped_file", ["area", "arrived_at"])
    op.create_index("ix_dropped_file_state", "dropped_file", ["state", "arrived_at"])
    op.create_index("ix_dropped_file_run", "dropped_file", ["dag_id", "run_id"])
    op.create_table(
        "run_record",
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("ord", sa.Integer(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("mms_id", sa.Text(), nullable=False),
        sa.Column("holding_id", sa.Text(), nullable=False),
        sa.Column("item_pid", sa.Text(), nullable=False),
        sa.Column("barcode", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dag_id", "run_id", "ord", name="pk_run_record"),
    )
    op.create_index("ix_run_record_outcome", "run_record", ["dag_id", "run_id", "outcome", "symbol", "ord"])
    op.create_table(
        "api_use",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("hour", _time, nullable=False),
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "hour", "dag_id", name="pk_api_use"),
    )
    op.create_index("ix_api_use_hour", "api_use", ["hour"])
    op.create_table(
        "chore",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("done_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_chore"),
    )


def downgrade() -> None:
    for table in ("chore", "api_use", "run_record", "dropped_file", "job_run"):
        op.drop_table(table)
