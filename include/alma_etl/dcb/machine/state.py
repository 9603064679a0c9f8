"""What the machine remembers of one request: everything that a later step may need, and nothing personal.

`step` never changes a state that it is given; it works on a `copy`. The JSON form leaves out what is at its
default, and can be rebuilt by replaying the observations.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar

from alma_etl.dcb.machine.moments import Moment, read_time
from alma_etl.dcb.machine.vocabulary import (
    Closure,
    Confidence,
    Hold,
    Item,
    Loan,
    LoanProcess,
    Outcome,
    Proof,
    Role,
    Status,
    Txn,
    Workflow,
)


@dataclass(slots=True)
class Leg:
    """The memory of one side. Raw words stand beside ours, so that an unknown one is not lost.

    ``gone`` counts sightings that the hold is not there, far enough apart; ``certain`` means explicit evidence,
    for which one is enough. ``item_since_gone``: the item was seen after the hold had vanished, so what it
    showed is the reason or rules one out. ``away``: the item was last seen away from its shelf; ``back``: the
    request's status when it was then seen in place again. ``lent``: a loan of ours is known on this side;
    ``closed_in``: the status in which it was last seen complete. ``failed``: parts whose last read failed.
    """

    generation: int = 1
    at: Moment | None = None
    failed: frozenset[str] = frozenset()
    hold: Hold | None = None
    raw_request: str | None = None
    task_name: str | None = None
    expiry: datetime | None = None
    requested: datetime | None = None
    gone: int = 0
    gone_since: Moment | None = None
    gone_last: Moment | None = None
    certain: bool = False
    told: Closure | None = None
    closure: Closure | None = None
    evidence: str | None = None
    confidence: Confidence | None = None
    item: Item | None = None
    raw_base: str | None = None
    raw_process: str | None = None
    item_at: Moment | None = None
    item_since_gone: bool = False
    away: bool = False
    back: Status | None = None
    barcode: str | None = None
    item_id: str | None = None
    other_requests: int | None = None
    loan: Loan | None = None
    loan_process: LoanProcess | None = None
    raw_loan: str | None = None
    raw_loan_process: str | None = None
    loan_at: Moment | None = None
    loan_id: str | None = None
    due: datetime | None = None
    renewed: datetime | None = None
    lent: bool = False
    closed_in: Status | None = None
    proof: Proof = Proof.NOTHING
    txn: Txn | None = None
    raw_txn: str | None = None

    @property
    def hold_alive(self) -> bool:
        """The hold was visible when last looked for."""
        return self.hold is not None and self.gone == 0 and not self.certain


@dataclass(slots=True)
class State:
    """One request. ``flags``: all ever raised, in that order; ``standing``: the conditions that hold now.

    ``closure`` and its evidence are set when the hold's end decided the request's course; ``previous`` is the
    status before ERROR.
    """

    workflow: Workflow = Workflow.STANDARD
    status: Status = Status.RPSA
    seq: int = 0
    previous: Status | None = None
    outcome: Outcome | None = None
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
        """A twin that can be changed without changing this one."""
        twin = copy.copy(self)
        twin.legs = {role: copy.copy(leg) for role, leg in self.legs.items()}
        return twin

    def to_json(self) -> dict[str, Any]:
        """Only JSON types, ids and codes; no personal data."""
        data = _dump(self, skip="legs")
        data["legs"] = {role.value: _dump(leg) for role, leg in self.legs.items()}
        return data

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> State:
        """The state again. Raises ValueError or KeyError when it was not written by `to_json`."""
        state = _load(State, {name: value for name, value in data.items() if name != "legs"})
        state.legs = {Role(role): _load(Leg, leg) for role, leg in data.get("legs", {}).items()}
        return state


T = TypeVar("T", Leg, State)


def _dump(thing: Leg | State, skip: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for each in fields(thing):
        if each.name == skip:
            continue
        value = getattr(thing, each.name)
        if value is None or value == each.default:
            continue
        if isinstance(value, Moment):
            value = value.text
        elif isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, frozenset):
            value = sorted(value)
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, Proof):
            value = value.name
        out[each.name] = value
    return out


def _load(kind: type[T], data: Mapping[str, Any]) -> T:
    return kind(
        **{name: _READERS[name](value) if name in _READERS else value for name, value in data.items()}
    )


_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("at", "gone_since", "gone_last", "item_at", "loan_at"), Moment.read),
    **dict.fromkeys(("expiry", "requested", "due", "renewed"), read_time),
    **dict.fromkeys(("status", "previous", "back", "closed_in"), Status),
    **dict.fromkeys(("told", "closure"), Closure),
    **dict.fromkeys(("flags", "standing"), tuple),
    "failed": frozenset,
    "workflow": Workflow,
    "outcome": Outcome,
    "confidence": Confidence,
    "hold": Hold,
    "item": Item,
    "loan": Loan,
    "loan_process": LoanProcess,
    "proof": lambda name: Proof[name],
    "txn": Txn,
}
