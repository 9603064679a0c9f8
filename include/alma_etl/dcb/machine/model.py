"""What goes into the machine, what it remembers and what comes out, with the JSON forms that are stored.

Observations and acks (`Seen`) go in, `State` is the memory of one request, `StepResult` comes out, and `StepContext` is
one step in progress.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from alma_etl.dcb.machine.vocabulary import (
    STARTED,
    TXN_OF,
    AckName,
    ActionType,
    Closure,
    Confidence,
    HoldState,
    ItemState,
    LoanProcess,
    LoanState,
    Proof,
    RequestOutcome,
    Role,
    Status,
    Txn,
    Workflow,
    alma_code,
    is_legal,
    is_legal_for_operator,
)

# --- when something was seen

_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d")
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(Z|[+-]\d\d:\d\d)?")


def read_time(text: str) -> datetime:
    """A time of Alma's (``2026-02-01``, ``2026-02-01Z``, ``2026-02-01T18:00:00Z``) as UTC; a date is its midnight.

    Raises ValueError for anything else.
    """
    day = _DATE.fullmatch(text)
    if day:
        return datetime.combine(date.fromisoformat(day[1]), time(), UTC)
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:  # the last hours of the year 9999, elsewhere
        raise ValueError(f"{text!r} is out of the range of dates") from error


def read_end(text: str, zone: tzinfo = UTC) -> datetime:
    """When something ends, as UTC: at a time of Alma's, or with a day that is given alone, as it ends in ``zone``.

    Raises ValueError for anything else.
    """
    day = _DATE.fullmatch(text)
    if day is None:
        return read_time(text)
    try:
        following = date.fromisoformat(day[1]) + timedelta(days=1)
        return datetime.combine(following, time(), zone).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of the range of dates") from error


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in the order of sightings. Two of one kind compare; a label and a time do not (ValueError)."""

    text: str
    time: datetime | None = None
    _parts: tuple[tuple[int, int | str], ...] = field(default=(), compare=False, repr=False)

    @staticmethod
    def read(text: str) -> Moment:
        """An ISO time (no zone means UTC) or a label. Raises ValueError for a broken time."""
        if _ISO.match(text):
            return Moment.at(read_time(text))
        parts = re.findall(r"\d+|\D+", text)
        return Moment(text, None, tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts))

    @staticmethod
    def at(moment: datetime) -> Moment:
        """A time, which must carry its zone."""
        moment = moment.astimezone(UTC)
        return Moment(moment.isoformat(timespec="microseconds").replace("+00:00", "Z"), moment)

    def is_after(self, other: Moment) -> bool:
        """Strictly later."""
        if self.time is not None and other.time is not None:
            return self.time > other.time
        if self.time is None and other.time is None:
            return self._parts > other._parts
        raise ValueError(
            f"{self.text!r} and {other.text!r} cannot be ordered: use labels, or times, not both"
        )

    def is_apart_from(self, other: Moment, gap: timedelta) -> bool:
        """Later by at least ``gap``; labels count as far apart."""
        if self.time is not None and other.time is not None:
            return self.time - other.time >= gap
        return self.is_after(other)


# --- what was seen of one side of a request, and the results of our actions
#
# Three answers to each question, never two: ``found`` is True, False (Alma said that it is not there) or None
# (we could not find out). A part that was not asked for is absent altogether.

W = TypeVar("W", bound=StrEnum)
P = TypeVar("P", "RequestRead", "ItemRead", "LoanRead", "PatronRead")


@dataclass(frozen=True, slots=True)
class RequestRead:
    """The hold request: Alma's user request. ``expiry_date``: when its last day is over. ``closure`` is explicit
    evidence of how it ended (a webhook, a history row, our own DELETE), or what the reader concluded.
    """

    found: bool | None
    request_status: str | None = None
    task_name: str | None = None
    expiry_date: datetime | None = None
    request_date: datetime | None = None
    item_id: str | None = None
    closure: Closure | None = None


@dataclass(frozen=True, slots=True)
class ItemRead:
    """The item. ``other_requests`` counts the requests of others for it; None when not counted."""

    found: bool | None
    base_status: str | None = None
    process_type: str | None = None
    barcode: str | None = None
    other_requests: int | None = None


@dataclass(frozen=True, slots=True)
class LoanRead:
    """The loan of this item to this request's user: the active one if there is one, else the latest."""

    found: bool | None
    loan_status: str | None = None
    process_status: str | None = None
    due_date: datetime | None = None
    loan_date: datetime | None = None
    last_renew_date: datetime | None = None
    loan_id: str | None = None


@dataclass(frozen=True, slots=True)
class PatronRead:
    """The user in whose name the side's hold stands."""

    found: bool | None = True
    blocked: bool | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One side of a request as one cycle saw it. ``at`` is the start of the first read.

    ``generation``: which supplier in turn is meant; None means the present one.
    """

    role: Role
    at: Moment | None = None
    request: RequestRead | None = None
    item: ItemRead | None = None
    loan: LoanRead | None = None
    patron: PatronRead | None = None
    txn: str | None = None
    generation: int | None = None

    @property
    def has_answer(self) -> bool:
        """Whether any part could be read."""
        read = self.patron is not None and self.patron.found is not None
        return self.txn is not None or read or bool(self.answered)

    @property
    def answered(self) -> frozenset[str]:
        """The parts of the side that were read."""
        return frozenset(name for name, part in self._parts if part is not None and part.found is not None)

    @property
    def failed(self) -> frozenset[str]:
        """The parts of the side that were asked for and could not be read."""
        return frozenset(name for name, part in self._parts if part is not None and part.found is None)

    @property
    def _parts(self) -> tuple[tuple[str, RequestRead | ItemRead | LoanRead | None], ...]:
        return ("request", self.request), ("item", self.item), ("loan", self.loan)


@dataclass(frozen=True, slots=True)
class Ack:
    """The result of an action, stamped with the time of the write, or an operator's decision.

    ACTION_DONE of CANCEL_SUPPLIER_HOLD in CANCELLED carries ``role`` SUPPLIER and ``item``, the lender's item as read
    once more after the hold was seen to be gone. In transit, it raises CANCELLED_IN_TRANSIT: CLEANUP is then dropped
    (`step.is_wanted`), the lender's item is polled on, and CLEANUP is asked for again when the transit is over.

    ``role``, ``item`` and ``loan``: the side that was written to, as read back. ``action``: of ACTION_DONE and
    ACTION_FAILED. ``force``: an operator closes although the book is out. ``reason``: an operator's own words.
    ``by``, of OPERATOR_NOTED: a login; what it notes changes nothing.
    ``status`` and ``by``, of ADOPTED: the status reported, and who reported it (dcb_service, mod_dcb, list, alma_scan).
    ``changed``, of OPERATOR_RELINKED: the names of the ids that are other ones now; ``by``: the operator's login.
    """

    name: AckName
    at: Moment | None = None
    role: Role | None = None
    item: ItemRead | None = None
    loan: LoanRead | None = None
    action: ActionType | None = None
    barcode: str | None = None
    force: bool = False
    reason: str | None = None
    status: Status | None = None
    by: str | None = None
    changed: tuple[str, ...] = ()


Seen = Observation | Ack


def read_seen(data: object) -> Seen:
    """Read an observation or an ack from its JSON form (that of the test vectors). Raises ValueError, one sentence."""
    fields = _mapping(data, "an observation")
    at = _text(fields.get("at"))
    moment = Moment.read(at) if at else None
    if "ack" in fields:
        role, action = _text(fields.get("role")), _text(fields.get("action"))
        status = _text(fields.get("status"))
        return Ack(
            name=_word(AckName, fields["ack"]),
            at=moment,
            role=_word(Role, role) if role else None,
            item=_part(ItemRead, "item", fields.get("item")),
            loan=_part(LoanRead, "loan", fields.get("loan")),
            action=_word(ActionType, action) if action else None,
            barcode=_text(fields.get("barcode")),
            force=fields.get("force") is True,
            reason=_text(fields.get("reason")),
            status=_word(Status, status) if status else None,
            by=_text(fields.get("by")),
            changed=tuple(str(each) for each in fields.get("changed") or ()),
        )
    generation = fields.get("generation")
    if generation is not None and not isinstance(generation, int):
        raise ValueError(f"generation must be a whole number, not {generation!r}")
    return Observation(
        role=_word(Role, fields.get("role")),
        at=moment,
        request=_part(RequestRead, "request", fields.get("request")),
        item=_part(ItemRead, "item", fields.get("item")),
        loan=_part(LoanRead, "loan", fields.get("loan")),
        patron=_part(PatronRead, "patron", fields.get("patron")),
        txn=_text(fields.get("txn")),
        generation=generation,
    )


def write_seen(seen: Seen) -> dict[str, Any]:
    """Return the JSON form, which `read_seen` reads back to an equal object."""
    values = ((name, getattr(seen, name)) for name in seen.__dataclass_fields__)
    return {
        "ack" if name == "name" else name: _plain(value)
        for name, value in values
        if value is not None and (value or name not in ("force", "changed"))
    }


def _plain(value: object) -> object:
    if isinstance(value, Moment):
        return value.text
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset | tuple):
        return sorted(value) if isinstance(value, frozenset) else list(value)
    if isinstance(value, Proof):
        return value.name
    if isinstance(value, RequestRead | ItemRead | LoanRead | PatronRead):
        parts = {name: getattr(value, name) for name in value.__dataclass_fields__}
        return {name: _plain(part) for name, part in parts.items() if part is not None or name == "found"}
    return value


def _part(kind: type[P], name: str, data: object) -> P | None:
    """A part of an observation; what the JSON does not name is None."""
    if data is None:
        return None
    values = _mapping(data, name)
    if kind is PatronRead:
        values = {"found": True, **values}
    fields: dict[str, Any] = {
        field: _PART_READERS.get(field, _text)(values.get(field)) for field in kind.__dataclass_fields__
    }
    return kind(**fields)


def _mapping(data: object, what: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ValueError(f"{what} must be an object, not {data!r}")
    return data


def _found(value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"found must be true, false or null, not {value!r}")
    return value


def _text(value: object) -> str | None:
    """A text or the code of Alma's ``{"value", "desc"}``; Alma writes "" where there is none."""
    if isinstance(value, Mapping):
        value = value.get("value")
    if value is None:
        return None
    if isinstance(value, bool | float | list):
        raise ValueError(f"expected a text, not {value!r}")
    return str(value).strip() or None


def _time(name: str, value: object) -> datetime | None:
    text = _text(value)
    read = read_end if name == "expiry_date" else read_time
    try:
        return None if text is None else read(text)
    except ValueError as error:
        raise ValueError(f"{name} is not a date or time: {text!r}") from error


def _word(kind: type[W], value: object) -> W:
    try:
        return kind(_text(value) or "")
    except ValueError:
        raise ValueError(f"unknown {kind.__name__} {value!r}; known are {', '.join(kind)}") from None


_PART_READERS: dict[str, Callable[[object], Any]] = {
    "found": _found,
    "closure": lambda value: _word(Closure, value) if _text(value) else None,
    "other_requests": lambda value: value if isinstance(value, int) else None,
    "blocked": lambda value: value if isinstance(value, bool) else None,
    **{
        name: partial(_time, name)
        for name in ("expiry_date", "request_date", "due_date", "loan_date", "last_renew_date")
    },
}


# --- what the machine remembers of one request: everything that a later step may need, and nothing personal
#
# The JSON form leaves out what is at its default, and can be rebuilt by replaying the observations.


@dataclass(slots=True)
class Leg:
    """The memory of one side. Raw words stand beside ours, so that an unknown one is not lost.

    ``reported``: how the hold ended, where Alma, a webhook or the reader said so; ``closure``: what we conclude.
    ``gone`` counts sightings that the hold is not there, far enough apart; ``certain`` means explicit evidence,
    for which one is enough. ``item_since_gone``: the item was seen after the hold had vanished, so what it
    showed is the reason or rules one out. ``away``: the item was last seen away from its shelf; ``back``: the
    request's status when it was then seen in place again. ``lent``: a loan of ours is known on this side;
    ``closed_in``: the status in which it was last seen complete. ``failed``: parts that are in doubt, since their last
    read failed. ``hold_at``, ``item_at``, ``loan_at``: when each was last read. ``missed``: since when the item is not
    found; ``relent``: since when it is lent although our loan is over; ``recalled``: renewals are prevented for it.
    ``adopted``: that it is lent, away or proven was reported at the adoption, and no look has shown it yet.
    """

    generation: int = 1
    at: Moment | None = None
    failed: frozenset[str] = frozenset()
    hold: HoldState | None = None
    hold_at: Moment | None = None
    raw_request: str | None = None
    task_name: str | None = None
    expiry: datetime | None = None
    requested: datetime | None = None
    gone: int = 0
    gone_since: Moment | None = None
    gone_last: Moment | None = None
    certain: bool = False
    reported: Closure | None = None
    closure: Closure | None = None
    evidence: str | None = None
    confidence: Confidence | None = None
    item: ItemState | None = None
    raw_base: str | None = None
    raw_process: str | None = None
    item_at: Moment | None = None
    item_since_gone: bool = False
    missed: Moment | None = None
    away: bool = False
    back: Status | None = None
    barcode: str | None = None
    item_id: str | None = None
    other_requests: int | None = None
    loan: LoanState | None = None
    loan_process: LoanProcess | None = None
    raw_loan: str | None = None
    raw_loan_process: str | None = None
    loan_at: Moment | None = None
    loan_id: str | None = None
    due: datetime | None = None
    renewed: datetime | None = None
    recalled: bool = False
    relent: Moment | None = None
    lent: bool = False
    closed_in: Status | None = None
    proof: Proof = Proof.NOTHING
    adopted: bool = False
    txn: Txn | None = None
    raw_txn: str | None = None

    @property
    def hold_alive(self) -> bool:
        """The hold was visible when last looked for."""
        return self.hold is not None and self.gone == 0 and not self.certain

    @property
    def is_worked_on(self) -> bool:
        """The hold is there and was started: by Alma's own word, or by a transaction, which has no other."""
        started = self.txn is not None or alma_code(self.raw_request) in STARTED
        return self.hold_alive and started


RULES = 3
"""The version of what the machine concludes; another one whenever histories kept before may lead elsewhere.

1: up to 2026-11; 2: what follows from two reads needs both, and a loan that ended needs the item beside it; 3: a recall
counts whenever it began, and a loan of ours may be forgotten before it was seen.
"""


@dataclass(slots=True)
class State:
    """One request. ``flags``: all ever raised, in that order; ``standing``: the conditions that hold now.

    ``closure`` and its evidence are set when the hold's end decided the request's course; ``previous`` is the
    status before ERROR; ``adopted`` the one that another service reported when the request was adopted from it.
    ``rules``: the version of the rules by which the request began.
    """

    workflow: Workflow = Workflow.STANDARD
    rules: int = RULES
    status: Status = Status.RPSA
    seq: int = 0
    previous: Status | None = None
    adopted: Status | None = None
    outcome: RequestOutcome | None = None
    closure: Closure | None = None
    evidence: str | None = None
    confidence: Confidence | None = None
    flags: tuple[str, ...] = ()
    standing: tuple[str, ...] = ()
    legs: dict[Role, Leg] = field(default_factory=dict)

    def leg(self, role: Role) -> Leg:
        """The side's memory, which may be empty."""
        return self.legs.get(role) or Leg()

    def copy(self) -> State:
        """Return a copy whose sides can be changed without changing this one."""
        return replace(self, legs={role: replace(leg) for role, leg in self.legs.items()})

    def to_json(self) -> dict[str, Any]:
        """Return the stored form: only JSON types, ids and codes; no personal data."""
        began = {} if self.rules == 1 else {"rules": self.rules}  # the first version did not say
        return _dump(self) | began | {"legs": {role.value: _dump(leg) for role, leg in self.legs.items()}}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> State:
        """Return the state again. Raises ValueError or KeyError when it was not written by `to_json`."""
        state = _load(State, {"rules": 1} | {name: value for name, value in data.items() if name != "legs"})
        state.legs = {Role(role): _load(Leg, leg) for role, leg in data.get("legs", {}).items()}
        return state


T = TypeVar("T", Leg, State)


def _dump(thing: Leg | State) -> dict[str, Any]:
    values = ((each, getattr(thing, each.name)) for each in fields(thing) if each.name != "legs")
    return {
        _STORED_AS.get(each.name, each.name): _plain(value)
        for each, value in values
        if value is not None and value != each.default and each.name != "rules"
    }


def _load(kind: type[T], data: Mapping[str, Any]) -> T:
    values: dict[str, Any] = {
        _READ_AS.get(name, name): _STATE_READERS[name](value) if name in _STATE_READERS else value
        for name, value in data.items()
    }
    return kind(**values)


_STORED_AS = {"reported": "told"}
_READ_AS = {stored: name for name, stored in _STORED_AS.items()}
_STATE_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("at", "gone_since", "gone_last", "hold_at", "item_at", "loan_at", "missed", "relent"), Moment.read
    ),
    **dict.fromkeys(("expiry", "requested", "due", "renewed"), read_time),
    **dict.fromkeys(("status", "previous", "back", "closed_in"), Status),
    **dict.fromkeys(("told", "closure"), Closure),
    **dict.fromkeys(("flags", "standing"), tuple),
    "failed": frozenset,
    "workflow": Workflow,
    "outcome": RequestOutcome,
    "confidence": Confidence,
    "hold": HoldState,
    "item": ItemState,
    "loan": LoanState,
    "loan_process": LoanProcess,
    "proof": lambda name: Proof[name],
    "adopted": lambda value: value if isinstance(value, bool) else Status(value),
    "txn": Txn,
}


# --- what comes out of a step


class SeenAs(StrEnum):
    """What became of one observation: it changed something, nothing, came too late, or held no answer."""

    APPLIED = "APPLIED"
    UNCHANGED = "UNCHANGED"
    STALE = "STALE"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of status. ``inferred``: nobody saw this state, but what was seen cannot be without it.

    ``role``: the side whose evidence decided, None for our actions and people's decisions.
    """

    seq: int
    frm: Status
    to: Status
    handler: str
    inferred: bool
    txn: Txn | None
    role: Role | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the form of the test vectors."""
        return {name: getattr(self, name) for name in ("frm", "to", "handler", "inferred", "txn")}


@dataclass(frozen=True, slots=True)
class Action:
    """An action asked for: its type and what it needs beside the request itself, such as a barcode."""

    type: ActionType
    args: tuple[str, ...] = ()

    def to_json(self) -> list[str]:
        """Return the form of the test vectors: the type, then what it needs."""
        return [self.type, *self.args]


@dataclass(frozen=True, slots=True)
class StepResult:
    """``flags``: those raised in this step; ``seen``: one entry for each observation or ack, in the order given."""

    state: State
    transitions: tuple[Transition, ...]
    actions: tuple[Action, ...]
    flags: tuple[str, ...]
    seen: tuple[SeenAs, ...]


# --- a step in progress


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a hold must be seen to be gone before that counts, and how far apart in time."""

    confirmations: int = 2
    gap: timedelta = timedelta(minutes=10)


class IllegalTransition(RuntimeError):
    """A fault of ours: something asked for a change of status that the table of legal ones does not have."""


class StepContext:
    """One step in progress: a copy of the state, and what the step has brought about so far.

    ``initial``: the status before the step; ``fresh``: sides whose item was read in this step.
    """

    def __init__(self, state: State, policy: Policy) -> None:
        self.state = state.copy()
        self.policy = policy
        self.initial = state.status
        self.fresh: set[Role] = set()
        self.transitions: list[Transition] = []
        self.actions: list[Action] = []
        self.flags: list[str] = []

    @property
    def status(self) -> Status:
        """The present status."""
        return self.state.status

    def leg(self, role: Role) -> Leg:
        """The side's memory, to be changed."""
        return self.state.legs.setdefault(role, Leg())

    def go(
        self,
        to: Status,
        handler: str,
        *,
        inferred: bool = False,
        role: Role | None = None,
        by_operator: bool = False,
    ) -> None:
        """Change the status. Raises IllegalTransition unless the table of legal transitions allows it.

        ``by_operator``: a person decided, or a required action failed permanently.
        """
        state = self.state
        if by_operator:
            legal = is_legal_for_operator(state.status, to, state.previous)
        else:
            legal = is_legal(state.status, to, state.workflow)
        if not legal:
            raise IllegalTransition(f"{handler} may not lead from {state.status} to {to} ({state.workflow})")
        state.seq += 1
        self.transitions.append(
            Transition(state.seq, state.status, to, handler, inferred, TXN_OF.get(to), role)
        )
        state.status = to

    def do(self, action: ActionType, *args: str) -> None:
        """Ask for an action."""
        self.actions.append(Action(action, args))

    def flag(self, name: str) -> None:
        """Raise a flag: something happened."""
        self.flags.append(name)
        if name not in self.state.flags:
            self.state.flags += (name,)

    def stand(self, name: str, holds: bool) -> None:
        """Say whether a condition holds; its flag is raised when it begins to."""
        state = self.state
        if holds and name not in state.standing:
            state.standing += (name,)
            self.flag(name)
        elif not holds and name in state.standing:
            state.standing = tuple(each for each in state.standing if each != name)
