"""Earlier ids of the sides of DCB requests

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("dcb_leg", sa.Column("earlier", _json, nullable=False, server_default=sa.text("'[]'")))


def downgrade() -> None:
    op.drop_column("dcb_leg", "earlier")
