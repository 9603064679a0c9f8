"""The items that have a key of another system, such as Aleph's

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "item_keys",
        sa.Column("alma", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("mms_id", sa.Text(), nullable=False),
        sa.Column("item_pid", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alma", "key", name="pk_item_keys"),
    )


def downgrade() -> None:
    op.drop_table("item_keys")
