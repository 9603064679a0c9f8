"""DCB: a hold's id belongs to one open request, not to all that ever had it; nudges are counted

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_OPEN = sa.text("is_open")


def upgrade() -> None:
    op.add_column(
        "dcb_request", sa.Column("nudges", sa.Integer(), nullable=False, server_default=sa.text("0"))
    )
    op.add_column("dcb_leg", sa.Column("is_open", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.execute(
        "UPDATE dcb_leg SET is_open = false WHERE pr_id IN "
        "(SELECT pr_id FROM dcb_request WHERE status IN ('FINALISED', 'HANDED_OFF_AS_LOCAL')) "
        "OR generation < (SELECT max(other.generation) FROM dcb_leg AS other "
        "WHERE other.pr_id = dcb_leg.pr_id AND other.role = dcb_leg.role)"
    )
    op.drop_index("ix_dcb_leg_request", table_name="dcb_leg")
    op.create_index(
        "ix_dcb_leg_request",
        "dcb_leg",
        ["system_code", "request_id"],
        unique=True,
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    )


def downgrade() -> None:
    op.drop_index("ix_dcb_leg_request", table_name="dcb_leg")
    op.create_index("ix_dcb_leg_request", "dcb_leg", ["system_code", "request_id"], unique=True)
    op.drop_column("dcb_leg", "is_open")
    op.drop_column("dcb_request", "nudges")
