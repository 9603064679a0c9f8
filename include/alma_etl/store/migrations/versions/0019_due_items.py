"""Which items a title waits for, and whose

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("due_inventory") as table:
        for name in ("item", "sender"):
            table.add_column(sa.Column(name, sa.Text(), nullable=False, server_default=""))
        table.drop_constraint("pk_due_inventory", type_="primary")
        table.create_primary_key("pk_due_inventory", ["alma", "mms_id", "item", "sender"])


def downgrade() -> None:
    op.execute(
        "DELETE FROM due_inventory WHERE EXISTS (SELECT 1 FROM due_inventory AS other "
        "WHERE other.alma = due_inventory.alma AND other.mms_id = due_inventory.mms_id "
        "AND (other.item, other.sender) > (due_inventory.item, due_inventory.sender))"
    )
    with op.batch_alter_table("due_inventory") as table:
        table.drop_constraint("pk_due_inventory", type_="primary")
        table.create_primary_key("pk_due_inventory", ["alma", "mms_id"])
        table.drop_column("sender")
        table.drop_column("item")
