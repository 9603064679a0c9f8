"""The holdings that loads made, or were about to send, by title and place

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "made_holdings",
        sa.Column("alma", sa.Text(), nullable=False),
        sa.Column("mms_id", sa.Text(), nullable=False),
        sa.Column("library", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("holding_id", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alma", "mms_id", "library", "location", name="pk_made_holdings"),
    )


def downgrade() -> None:
    op.drop_table("made_holdings")
