"""The titles whose items an import could not all create yet

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "due_inventory",
        sa.Column("alma", sa.Text(), nullable=False),
        sa.Column("mms_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alma", "mms_id", name="pk_due_inventory"),
    )


def downgrade() -> None:
    op.drop_table("due_inventory")
