"""What goes into the DCB store and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from alma_etl.dcb.machine.model import Seen, State, StepResult
from alma_etl.dcb.machine.vocabulary import Role, Status, Workflow

SystemKind = Literal["ALMA", "MOD_DCB", "OTHER"]
Source = Literal["POLL", "WEBHOOK", "MANUAL", "RECONCILE", "ACK"]
OutboxKind = Literal["EVENT", "ALMA_ACTION"]
OutboxState = Literal["PENDING", "SENT", "SUPERSEDED", "FAILED", "DEAD"]
Severity = Literal["info", "warning", "urgent"]

ALMA_TARGET = "alma"
"""The target of all deeds of one request, so that they are done one after the other."""


@dataclass(frozen=True, slots=True)
class LegRecord:
    """One side of a request in its system, by ids alone. ``user_id`` is the user of that side's hold.

    ``closure_hint`` is what a webhook told of how the hold ended.
    """

    role: Role
    system_code: str
    system_kind: SystemKind = "ALMA"
    generation: int = 1
    user_id: str | None = None
    request_id: str | None = None
    mms_id: str | None = None
    holding_id: str | None = None
    item_pid: str | None = None
    barcode: str | None = None
    loan_id: str | None = None
    txn_id: str | None = None
    pickup_library: str | None = None
    pickup_desk: str | None = None
    is_virtual: bool = False
    closure_hint: str | None = None
    last_read_at: datetime | None = None
    last_ok_at: datetime | None = None
    last_error: str | None = None
    error_repeat: int = 0

    @property
    def is_placed(self) -> bool:
        """Whether there is anything to read yet."""
        return self.request_id is not None or self.txn_id is not None


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A request to be tracked from now on: its hold at the supplier is placed. ``conf`` must hold no personal data
    beside user ids, which the retention takes away."""

    pr_id: str
    legs: tuple[LegRecord, ...]
    workflow: Workflow = Workflow.STANDARD
    conf: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tracked:
    """A request as it stands. ``nudged``: somebody asked for a look at everything; ``nudges``: how often so far."""

    pr_id: str
    workflow: Workflow
    status: Status
    status_since: datetime
    state: State
    legs: Mapping[Role, LegRecord]
    conf: Mapping[str, Any]
    version: int
    steps: int
    poll_repeat: int
    next_poll_at: datetime | None
    nudged: bool
    needs_attention: bool
    thinned: bool
    created_at: datetime
    updated_at: datetime
    nudges: int = 0


@dataclass(frozen=True, slots=True)
class ReadError:
    """A read that failed, without the key and without personal data: the part, and what Alma said."""

    part: str
    http_status: int | None = None
    code: str | None = None
    tracking_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What is known of it."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Report:
    """Something seen, or what came of a deed, on its way into the store. ``seen.at`` must be a time."""

    seen: Seen
    source: Source = "POLL"
    errors: tuple[ReadError, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """What a step did. ``result`` is None when everything reported was known already."""

    pr_id: str
    status: Status
    next_poll_at: datetime | None
    result: StepResult | None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """Something to be told to a sink, or to be done."""

    outbox_id: str
    pr_id: str
    seq: int
    ord: int
    kind: OutboxKind
    target: str
    type: str
    payload: Mapping[str, Any]
    state: OutboxState
    attempts: int
    next_attempt_at: datetime
    last_error: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that somebody should know of; one row however often it is seen."""

    key: str
    code: str
    severity: Severity
    pr_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    repeat_count: int = 0
    acked_by: str | None = None
