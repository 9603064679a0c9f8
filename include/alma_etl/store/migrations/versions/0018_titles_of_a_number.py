"""Several titles of one number among those that imports made

Revision ID: 0018
Revises: 0017
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _set_key("alma", "key", "mms_id")


def downgrade() -> None:
    op.execute(
        "DELETE FROM loaded_bibs WHERE EXISTS (SELECT 1 FROM loaded_bibs AS other "
        "WHERE other.alma = loaded_bibs.alma AND other.key = loaded_bibs.key "
        "AND (other.sent_at, other.mms_id) > (loaded_bibs.sent_at, loaded_bibs.mms_id))"
    )
    _set_key("alma", "key")


def _set_key(*columns: str) -> None:
    with op.batch_alter_table("loaded_bibs") as table:
        table.drop_constraint("pk_loaded_bibs", type_="primary")
        table.create_primary_key("pk_loaded_bibs", list(columns))
