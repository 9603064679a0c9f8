"""An index of the orders of imports by their sender

Revision ID: 0016
Revises: 0015
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_loaded_orders_sender", "loaded_orders", ["alma", "sender"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_loaded_orders_sender", table_name="loaded_orders")
