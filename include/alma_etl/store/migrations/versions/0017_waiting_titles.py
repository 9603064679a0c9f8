"""The brief titles that wait for their full record

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "waiting_titles",
        sa.Column("alma", sa.Text(), nullable=False),
        sa.Column("mms_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_how", sa.Text(), nullable=False),
        sa.Column("settled_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alma", "mms_id", name="pk_waiting_titles"),
    )
    op.create_index("ix_waiting_titles_since", "waiting_titles", ["settled_at", "since"])
    op.create_index("ix_loaded_orders_mms_id", "loaded_orders", ["alma", "mms_id"])


def downgrade() -> None:
    op.drop_index("ix_loaded_orders_mms_id", "loaded_orders")
    op.drop_table("waiting_titles")
