"""DCB: who runs a request, ourselves or the service that it was adopted from

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "dcb_request",
        sa.Column("owner", sa.Text(), nullable=False, server_default=sa.text("'alma_airflow'")),
    )


def downgrade() -> None:
    op.drop_column("dcb_request", "owner")
