"""The tables of the DCB jobs, which alma_etl.dcb.store fills and reads.

Times are UTC; no names, addresses or e-mails of people anywhere.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
    true,
)

from alma_etl.store.models import Base, Json, UtcTime, one_of

_metadata = Base.metadata

request_table = Table(
    "dcb_request",
    _metadata,
    Column("pr_id", Text, primary_key=True),
    Column("workflow", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("outcome", Text),
    Column("closure", Text),
    Column("closure_evidence", Text),
    Column("closure_confidence", Text),
    Column("seq", Integer, nullable=False),  # of the last transition, without a gap
    Column("steps", Integer, nullable=False),  # of the machine
    Column("last_ord", Integer, nullable=False),  # of the last row in the outbox
    Column(
        "version", Integer, nullable=False
    ),  # changes with each step, so that no two write over each other
    Column("status_since", UtcTime, nullable=False),
    Column("next_poll_at", UtcTime),  # NULL: not polled
    Column("poll_repeat", Integer, nullable=False),  # polls in a row that brought nothing
    Column("nudged", Boolean, nullable=False),  # somebody asked for a look at everything
    Column(
        "nudges", Integer, nullable=False, server_default=text("0")
    ),  # how often, so that a new one is noticed
    Column("lease_owner", Text),
    Column("lease_until", UtcTime),
    Column("flags", Json, nullable=False),
    Column("standing", Json, nullable=False),
    Column("needs_attention", Boolean, nullable=False),
    Column("state", Json, nullable=False),  # the machine's memory; can be rebuilt from the observations
    Column("conf", Json, nullable=False),  # what the request was placed with
    Column(
        "owner", Text, nullable=False, server_default=text("'alma_airflow'")
    ),  # who runs it; for others' requests nothing is written
    Column("thinned", Boolean, nullable=False),  # old observations were dropped
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    one_of("workflow", "RET-STD", "RET-PUA", "RET-EXP", "RET-LOCAL"),
    Index("ix_dcb_request_due", "next_poll_at"),
    Index("ix_dcb_request_status", "status", "status_since"),
)

leg_table = Table(
    "dcb_leg",
    _metadata,
    Column("pr_id", Text, ForeignKey("dcb_request.pr_id"), primary_key=True),
    Column("role", Text, primary_key=True),
    Column(
        "generation", Integer, primary_key=True
    ),  # one more with each further supplier; older ones are kept
    Column("system_code", Text, nullable=False),
    Column("system_kind", Text, nullable=False),
    Column("user_id", Text),
    Column("request_id", Text),
    Column("mms_id", Text),
    Column("holding_id", Text),
    Column("item_pid", Text),
    Column("barcode", Text),
    Column("loan_id", Text),
    Column("txn_id", Text),
    Column("pickup_library", Text),
    Column("pickup_desk", Text),
    Column("is_virtual", Boolean, nullable=False),
    Column(
        "is_open", Boolean, nullable=False, server_default=true()
    ),  # the request's present side, not ended
    Column("closure_hint", Text),  # what a webhook reported of how the hold ended
    Column("last_read_at", UtcTime),  # the start of the last read that was tried
    Column("last_ok_at", UtcTime),
    Column("last_error", Text),
    Column("error_repeat", Integer, nullable=False),
    Column(
        "earlier", Json, nullable=False, server_default=text("'[]'")
    ),  # ids that it had, and what replaced them
    one_of("role", "SUPPLIER", "BORROWER", "PICKUP"),
    one_of("system_kind", "ALMA", "MOD_DCB", "OTHER"),
    Index("ix_dcb_leg_user", "system_code", "user_id"),
    # Alma may give an id again: only one that has not ended owns it.
    Index(
        "ix_dcb_leg_request",
        "system_code",
        "request_id",
        unique=True,
        postgresql_where=text("is_open"),
        sqlite_where=text("is_open"),
    ),
    Index("ix_dcb_leg_item", "system_code", "item_pid"),
)

observation_table = Table(
    "dcb_observation",
    _metadata,
    Column("obs_id", Text, primary_key=True),  # a digest, the same for the same observation
    Column("pr_id", Text, ForeignKey("dcb_request.pr_id"), nullable=False),
    Column("step", Integer, nullable=False),  # which step of the machine took it; those of one cycle share it
    Column("ord", Integer, nullable=False),
    Column("role", Text),
    Column("generation", Integer, nullable=False),
    Column("observed_at", UtcTime, nullable=False),  # the start of the read, not its end
    Column("recorded_at", UtcTime, nullable=False),
    Column("source", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("body", Json, nullable=False),
    Column("confirmations", Integer, nullable=False),  # the policy of that step, so that it can be replayed
    Column("gap_seconds", Integer, nullable=False),
    Column("errors", Json),  # of reads that failed: HTTP status, Alma's code and tracking id
    Column("run_id", Text),
    one_of("source", "POLL", "WEBHOOK", "MANUAL", "RECONCILE", "ACK"),
    one_of("outcome", "APPLIED", "UNCHANGED", "STALE", "ERROR"),
    Index("ix_dcb_observation_pr", "pr_id", "step", "ord"),
    Index("ix_dcb_observation_age", "recorded_at"),
)

transition_table = Table(
    "dcb_transition",
    _metadata,
    Column("event_id", Text, primary_key=True),
    Column("pr_id", Text, ForeignKey("dcb_request.pr_id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("from_status", Text, nullable=False),
    Column("to_status", Text, nullable=False),
    Column("handler", Text, nullable=False),
    Column("inferred", Boolean, nullable=False),
    Column("txn_state", Text),
    Column("item_status", Text),
    Column("obs_id", Text, ForeignKey("dcb_observation.obs_id"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("occurred_at", UtcTime, nullable=False),  # when the observation was made
    Column("recorded_at", UtcTime, nullable=False),
    UniqueConstraint("pr_id", "seq", name="uq_dcb_transition_pr_id_seq"),
    Index("ix_dcb_transition_obs", "obs_id"),
)

outbox_table = Table(
    "dcb_outbox",
    _metadata,
    Column("outbox_id", Text, primary_key=True),
    Column("pr_id", Text, ForeignKey("dcb_request.pr_id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("ord", Integer, nullable=False),  # counts on through all steps of the request
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("payload", Json, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", UtcTime, nullable=False),
    Column("lease_owner", Text),
    Column("lease_until", UtcTime),
    Column("last_error", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("settled_at", UtcTime),
    one_of("kind", "EVENT", "ALMA_ACTION"),
    one_of("state", "PENDING", "SENT", "SUPERSEDED", "FAILED", "DEAD"),
    UniqueConstraint("pr_id", "target", "ord", name="uq_dcb_outbox_pr_id_target_ord"),
    Index("ix_dcb_outbox_due", "state", "kind", "next_attempt_at"),
)

alert_table = Table(
    "dcb_alert",
    _metadata,
    Column("alert_key", Text, primary_key=True),
    Column("pr_id", Text),
    Column("code", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("first_seen", UtcTime, nullable=False),
    Column("last_seen", UtcTime, nullable=False),
    Column("repeat_count", Integer, nullable=False),
    Column("acked_by", Text),
    Column("closed_at", UtcTime),
    Column("detail", Json, nullable=False),
    one_of("severity", "info", "warning", "urgent"),
    Index("ix_dcb_alert_open", "closed_at", "code"),
)

hint_table = Table(
    "dcb_hint",
    _metadata,
    Column("hint_id", Text, primary_key=True),  # the webhook's own id: reported twice, kept once
    Column("system_code", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("request_id", Text),
    Column("item_pid", Text),
    Column("received_at", UtcTime, nullable=False),
    Column("handled_at", UtcTime),
    Index("ix_dcb_hint_handled", "handled_at"),
)

calls_table = Table(
    "dcb_calls",
    _metadata,
    Column("day", Date, primary_key=True),  # UTC
    Column("budget", Text, primary_key=True),  # the connection whose calls they are
    Column("calls", Integer, nullable=False),  # made by polling
)
