"""DCB: requests, their sides, observations, transitions, outbox, alerts, hints

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_time = sa.DateTime(timezone=True)
_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "dcb_alert",
        sa.Column("alert_key", sa.Text(), nullable=False),
        sa.Column("pr_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("first_seen", _time, nullable=False),
        sa.Column("last_seen", _time, nullable=False),
        sa.Column("repeat_count", sa.Integer(), nullable=False),
        sa.Column("acked_by", sa.Text(), nullable=True),
        sa.Column("closed_at", _time, nullable=True),
        sa.Column("detail", _json, nullable=False),
        sa.CheckConstraint("severity IN ('info', 'warning', 'urgent')", name="ck_dcb_alert_severity"),
        sa.PrimaryKeyConstraint("alert_key", name="pk_dcb_alert"),
    )
    op.create_index("ix_dcb_alert_open", "dcb_alert", ["closed_at", "code"], unique=False)
    op.create_table(
        "dcb_hint",
        sa.Column("hint_id", sa.Text(), nullable=False),
        sa.Column("system_code", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("item_pid", sa.Text(), nullable=True),
        sa.Column("received_at", _time, nullable=False),
        sa.Column("handled_at", _time, nullable=True),
        sa.PrimaryKeyConstraint("hint_id", name="pk_dcb_hint"),
    )
    op.create_index("ix_dcb_hint_handled", "dcb_hint", ["handled_at"], unique=False)
    op.create_table(
        "dcb_request",
        sa.Column("pr_id", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("closure", sa.Text(), nullable=True),
        sa.Column("closure_evidence", sa.Text(), nullable=True),
        sa.Column("closure_confidence", sa.Text(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("last_ord", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status_since", _time, nullable=False),
        sa.Column("next_poll_at", _time, nullable=True),
        sa.Column("poll_repeat", sa.Integer(), nullable=False),
        sa.Column("nudged", sa.Boolean(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", _time, nullable=True),
        sa.Column("flags", _json, nullable=False),
        sa.Column("standing", _json, nullable=False),
        sa.Column("needs_attention", sa.Boolean(), nullable=False),
        sa.Column("state", _json, nullable=False),
        sa.Column("conf", _json, nullable=False),
        sa.Column("thinned", sa.Boolean(), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("updated_at", _time, nullable=False),
        sa.CheckConstraint(
            "workflow IN ('RET-STD', 'RET-PUA', 'RET-EXP', 'RET-LOCAL')", name="ck_dcb_request_workflow"
        ),
        sa.PrimaryKeyConstraint("pr_id", name="pk_dcb_request"),
    )
    op.create_index("ix_dcb_request_due", "dcb_request", ["next_poll_at"], unique=False)
    op.create_index("ix_dcb_request_status", "dcb_request", ["status", "status_since"], unique=False)
    op.create_table(
        "dcb_leg",
        sa.Column("pr_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("system_code", sa.Text(), nullable=False),
        sa.Column("system_kind", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("mms_id", sa.Text(), nullable=True),
        sa.Column("holding_id", sa.Text(), nullable=True),
        sa.Column("item_pid", sa.Text(), nullable=True),
        sa.Column("barcode", sa.Text(), nullable=True),
        sa.Column("loan_id", sa.Text(), nullable=True),
        sa.Column("txn_id", sa.Text(), nullable=True),
        sa.Column("pickup_library", sa.Text(), nullable=True),
        sa.Column("pickup_desk", sa.Text(), nullable=True),
        sa.Column("is_virtual", sa.Boolean(), nullable=False),
        sa.Column("closure_hint", sa.Text(), nullable=True),
        sa.Column("last_read_at", _time, nullable=True),
        sa.Column("last_ok_at", _time, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("error_repeat", sa.Integer(), nullable=False),
        sa.CheckConstraint("role IN ('SUPPLIER', 'BORROWER', 'PICKUP')", name="ck_dcb_leg_role"),
        sa.CheckConstraint("system_kind IN ('ALMA', 'MOD_DCB', 'OTHER')", name="ck_dcb_leg_system_kind"),
        sa.ForeignKeyConstraint(["pr_id"], ["dcb_request.pr_id"], name="fk_dcb_leg_pr_id_dcb_request"),
        sa.PrimaryKeyConstraint("pr_id", "role", "generation", name="pk_dcb_leg"),
    )
    op.create_index("ix_dcb_leg_item", "dcb_leg", ["system_code", "item_pid"], unique=False)
    op.create_index("ix_dcb_leg_request", "dcb_leg", ["system_code", "request_id"], unique=True)
    op.create_index("ix_dcb_leg_user", "dcb_leg", ["system_code", "user_id"], unique=False)
    op.create_table(
        "dcb_observation",
        sa.Column("obs_id", sa.Text(), nullable=False),
        sa.Column("pr_id", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("ord", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("observed_at", _time, nullable=False),
        sa.Column("recorded_at", _time, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("body", _json, nullable=False),
        sa.Column("confirmations", sa.Integer(), nullable=False),
        sa.Column("gap_seconds", sa.Integer(), nullable=False),
        sa.Column("errors", _json, nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('APPLIED', 'UNCHANGED', 'STALE', 'ERROR')", name="ck_dcb_observation_outcome"
        ),
        sa.CheckConstraint(
            "source IN ('POLL', 'WEBHOOK', 'MANUAL', 'RECONCILE', 'ACK')", name="ck_dcb_observation_source"
        ),
        sa.ForeignKeyConstraint(
            ["pr_id"], ["dcb_request.pr_id"], name="fk_dcb_observation_pr_id_dcb_request"
        ),
        sa.PrimaryKeyConstraint("obs_id", name="pk_dcb_observation"),
    )
    op.create_index("ix_dcb_observation_age", "dcb_observation", ["recorded_at"], unique=False)
    op.create_index("ix_dcb_observation_pr", "dcb_observation", ["pr_id", "step", "ord"], unique=False)
    op.create_table(
        "dcb_outbox",
        sa.Column("outbox_id", sa.Text(), nullable=False),
        sa.Column("pr_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("ord", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("payload", _json, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", _time, nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", _time, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("settled_at", _time, nullable=True),
        sa.CheckConstraint("kind IN ('EVENT', 'ALMA_ACTION')", name="ck_dcb_outbox_kind"),
        sa.CheckConstraint(
            "state IN ('PENDING', 'SENT', 'SUPERSEDED', 'FAILED', 'DEAD')", name="ck_dcb_outbox_state"
        ),
        sa.ForeignKeyConstraint(["pr_id"], ["dcb_request.pr_id"], name="fk_dcb_outbox_pr_id_dcb_request"),
        sa.PrimaryKeyConstraint("outbox_id", name="pk_dcb_outbox"),
        sa.UniqueConstraint("pr_id", "target", "ord", name="uq_dcb_outbox_pr_id_target_ord"),
    )
    op.create_index("ix_dcb_outbox_due", "dcb_outbox", ["state", "kind", "next_attempt_at"], unique=False)
    op.create_table(
        "dcb_transition",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("pr_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=False),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("inferred", sa.Boolean(), nullable=False),
        sa.Column("txn_state", sa.Text(), nullable=True),
        sa.Column("item_status", sa.Text(), nullable=True),
        sa.Column("obs_id", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("occurred_at", _time, nullable=False),
        sa.Column("recorded_at", _time, nullable=False),
        sa.ForeignKeyConstraint(
            ["obs_id"], ["dcb_observation.obs_id"], name="fk_dcb_transition_obs_id_dcb_observation"
        ),
        sa.ForeignKeyConstraint(["pr_id"], ["dcb_request.pr_id"], name="fk_dcb_transition_pr_id_dcb_request"),
        sa.PrimaryKeyConstraint("event_id", name="pk_dcb_transition"),
        sa.UniqueConstraint("pr_id", "seq", name="uq_dcb_transition_pr_id_seq"),
    )
    op.create_index("ix_dcb_transition_obs", "dcb_transition", ["obs_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_dcb_transition_obs", table_name="dcb_transition")
    op.drop_table("dcb_transition")
    op.drop_index("ix_dcb_outbox_due", table_name="dcb_outbox")
    op.drop_table("dcb_outbox")
    op.drop_index("ix_dcb_observation_pr", table_name="dcb_observation")
    op.drop_index("ix_dcb_observation_age", table_name="dcb_observation")
    op.drop_table("dcb_observation")
    op.drop_index("ix_dcb_leg_user", table_name="dcb_leg")
    op.drop_index("ix_dcb_leg_request", table_name="dcb_leg")
    op.drop_index("ix_dcb_leg_item", table_name="dcb_leg")
    op.drop_table("dcb_leg")
    op.drop_index("ix_dcb_request_status", table_name="dcb_request")
    op.drop_index("ix_dcb_request_due", table_name="dcb_request")
    op.drop_table("dcb_request")
    op.drop_index("ix_dcb_hint_handled", table_name="dcb_hint")
    op.drop_table("dcb_hint")
    op.drop_index("ix_dcb_alert_open", table_name="dcb_alert")
    op.drop_table("dcb_alert")
