"""DCB: how many calls polling has made on each day

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dcb_calls",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("budget", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "budget", name="pk_dcb_calls"),
    )


def downgrade() -> None:
    op.drop_table("dcb_calls")
