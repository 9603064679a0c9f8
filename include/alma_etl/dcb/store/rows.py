"""What goes into the DCB store and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from alma_etl.dcb.advice import advice_of
from alma_etl.dcb.machine.model import Policy, Seen, State, StepResult, read_seen, write_seen
from alma_etl.dcb.machine.vocabulary import TERMINAL, Role, Status, Workflow

SystemKind = Literal["ALMA", "MOD_DCB", "OTHER"]
Source = Literal["POLL", "WEBHOOK", "MANUAL", "RECONCILE", "ACK"]
OutboxKind = Literal["EVENT", "ALMA_ACTION"]
OutboxState = Literal["PENDING", "SENT", "SUPERSEDED", "FAILED", "DEAD"]
Severity = Literal["info", "warning", "urgent"]

FOLLOWED = ("user_id", "mms_id", "holding_id", "item_pid")
"""Ids of a side that follow what rows of Alma say: titles and users are merged, items moved."""

HASHED = "sha256:"
"""What a user's id begins with once it was replaced."""

OURS = "alma_airflow"
"""The owner of the requests that we run. Another's (``dcb_service``) are watched: nothing is ever written for them."""

ALMA_TARGET = "alma"
"""The target of all actions of one request, so that they are done one after the other."""


@dataclass(frozen=True, slots=True)
class LegRecord:
    """One side of a request in its system, by ids alone. ``user_id`` is the user of that side's hold.

    ``closure_hint`` is what a webhook reported of how the hold ended; ``earlier``: the ids that it had before, as
    `changed` writes them.
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
    earlier: Sequence[Mapping[str, Any]] = ()

    @property
    def is_placed(self) -> bool:
        """Whether there is anything to read yet."""
        return any(each is not None for each in (self.request_id, self.txn_id, self.item_pid))

    def changed(
        self, ids: Mapping[str, Any], at: datetime, by: str | None = None, reason: str | None = None
    ) -> dict[str, Any]:
        """What is to be kept when ``ids`` take the place of those known: they, and in ``earlier`` what they replace:
        ``name``, ``from``, ``to``, ``at``; ``by`` and ``reason`` where a person decided it. Of users only here, where
        the retention finds it."""
        why = {name: value for name, value in (("by", by), ("reason", reason)) if value}
        replaced = [
            {"name": name, "from": before, "to": after, "at": at.isoformat(timespec="seconds")} | why
            for name, after in ids.items()
            if name in FOLLOWED and (before := getattr(self, name)) is not None and before != after
        ]
        return {**ids, "earlier": [*self.earlier, *replaced]} if replaced else dict(ids)


def changed_ids(leg: LegRecord, ids: Mapping[str, str], item_pid: str | None = None) -> dict[str, Any]:
    """Those ids of user, title and holding that rows of Alma show, and a side does not have. Title and holding only
    when the rows are of its item, or of ``item_pid``, which becomes its item."""
    names = ["user_id"]
    if ids.get("item_pid") in (None, item_pid or leg.item_pid):
        names += ["mms_id", "holding_id"]
    return {
        name: ids[name]
        for name in names
        if name in ids and ids[name].casefold() != (getattr(leg, name) or "").casefold()
    }


def do_about(alert: Alert) -> str:
    """What to do about an alert: what the check that found it said, else what its code says."""
    said = str(alert.detail.get("do") or "") or advice_of(alert.code)
    left = alert.detail.get("left")
    return f"{said} Left: {left}." if left else said


def what_is_left(legs: Mapping[Role, LegRecord]) -> str:
    """What was made for a request on each side, as far as its cleanup may have left it: ids in Alma."""
    sides = []
    for role, leg in sorted(legs.items()):
        ids = (
            ("hold", leg.request_id),
            ("loan", leg.loan_id),
            ("transaction", leg.txn_id),
            ("virtual title", leg.mms_id if leg.is_virtual else None),
            ("item", leg.item_pid),
        )
        named = ", ".join(f"{name} {value}" for name, value in ids if value)
        if named:
            sides.append(f"{role} at {leg.system_code}: {named}")
    return "; ".join(sides)


class HoldTaken(Exception):
    """Another open request has this hold; the message names both."""

    def __init__(self, leg: LegRecord, other: str) -> None:
        super().__init__(
            f"the hold {leg.request_id} of {leg.system_code} is that of the open request {other}: end that one "
            f"(python -m alma_etl.dcb operator URL {other} cleanup --by LOGIN) if Alma has given its id again"
        )


class VersionConflict(Exception):
    """Somebody else changed the request meanwhile; apply it again."""


class UnknownRequest(Exception):
    """The request is not tracked; the message names it."""


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A request to be tracked from now on: its hold at the supplier is placed. ``conf`` must hold no personal data
    beside user ids, which the retention takes away."""

    pr_id: str
    legs: tuple[LegRecord, ...]
    workflow: Workflow = Workflow.STANDARD
    conf: Mapping[str, Any] = field(default_factory=dict)
    owner: str = OURS


@dataclass(frozen=True, slots=True)
class Tracked:
    """A request as it stands. ``nudged``: somebody asked for a look at everything; ``nudges``: how often so far.
    ``owner``: who runs it, and so acts for it."""

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
    owner: str = OURS

    @property
    def is_ours(self) -> bool:
        """Whether it is for us to act."""
        return self.owner == OURS


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


@dataclass(frozen=True)
class Report:
    """Something seen, or what came of an action, on its way into the store. ``seen.at`` must be a time.

    ``ids``: those of `FOLLOWED` that the side does not have and rows of Alma show; not part of what was seen, which is
    kept for longer than users' ids.
    """

    seen: Seen
    source: Source = "POLL"
    errors: tuple[ReadError, ...] = ()
    ids: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def body(self) -> dict[str, Any]:
        """What was seen, in the form that is stored."""
        return write_seen(self.seen)

    def to_json(self) -> dict[str, Any]:
        """The form of a run's files, without the source."""
        return {
            "seen": self.body,
            "errors": [error.to_json() for error in self.errors],
            "ids": dict(self.ids),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """What `to_json` made, read by polling. Its body is the one that was written."""
        errors = tuple(ReadError(**error) for error in data["errors"])
        report = cls(read_seen(data["seen"]), "POLL", errors, data.get("ids", {}))
        vars(report)["body"] = data["seen"]
        return report


@dataclass(frozen=True, slots=True)
class Applied:
    """What a step did. ``result`` is None when everything reported was known already."""

    pr_id: str
    status: Status
    next_poll_at: datetime | None
    result: StepResult | None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """Something to be published to a sink, or to be done."""

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
    settled_at: datetime | None = None


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


@dataclass(frozen=True, slots=True)
class Hint:
    """What a webhook says. ``event``: Alma's code, such as LOAN_RETURNED."""

    hint_id: str
    system_code: str
    event: str
    request_id: str | None = None
    item_pid: str | None = None


# --- what is asked of the store


@dataclass(frozen=True, slots=True)
class PastObservation:
    """What was seen of one side, or came of an action."""

    obs_id: str
    role: str | None
    observed_at: datetime
    source: str
    outcome: str
    body: Mapping[str, Any]
    errors: list[Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class PastTransition:
    """A change of status and the observation that brought it about."""

    seq: int
    frm: str
    to: str
    handler: str
    inferred: bool
    obs_id: str
    actor: str
    occurred_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class PastStep:
    """One step of the machine: what it took in, by which policy."""

    number: int
    recorded_at: datetime
    policy: Policy
    observations: tuple[PastObservation, ...]


@dataclass(frozen=True, slots=True)
class History:
    """Everything that is kept of a request."""

    steps: tuple[PastStep, ...]
    transitions: tuple[PastTransition, ...]
    outbox: tuple[OutboxRow, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """A side of a request in one system, of whatever generation, with the request's status."""

    pr_id: str
    role: Role
    status: Status
    request_id: str | None
    item_pid: str | None
    is_ours: bool = True

    @property
    def is_live(self) -> bool:
        """Whether its request has not ended."""
        return self.status not in TERMINAL


@dataclass(frozen=True, slots=True)
class Change:
    """The way that a request went."""

    pr_id: str
    frm: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """How many rows of the outbox came to an end, of one kind, type, target and state."""

    kind: str
    type: str
    target: str
    state: str
    rows: int


@dataclass(frozen=True, slots=True)
class Thinned:
    """How many rows went, and of how many requests the users' ids."""

    observations: int
    outbox: int
    hints: int
    requests: int
    anonymised: int
