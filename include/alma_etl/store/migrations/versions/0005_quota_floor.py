"""The slots that the last exchange of a budget handed out, which the quota floor may make fewer than were asked for

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a default: a worker of the version before, which may still run, does not name the column.
    op.add_column("api_budget", sa.Column("handed", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("api_budget", "handed")
