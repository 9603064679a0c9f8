"""The budget of Alma calls that all processes share

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_budget",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("clock", sa.Double(), nullable=False),
        sa.Column("next_slot", sa.Double(), nullable=False),
        sa.Column("step", sa.Double(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("rate_at", sa.Double(), nullable=False),
        sa.Column("speed", sa.Double(), nullable=False),
        sa.Column("speed_at", sa.Double(), nullable=False),
        sa.Column("closed_until", sa.Double(), nullable=False),
        sa.Column("closed_reason", sa.Text(), nullable=False),
        sa.Column("calls_left", sa.BigInteger(), nullable=True),
        sa.Column("calls_left_at", sa.Double(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_api_budget"),
    )


def downgrade() -> None:
    op.drop_table("api_budget")
