"""What a step of the machine brings about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from alma_etl.dcb.machine.state import State
from alma_etl.dcb.machine.vocabulary import ActionType, Role, Status, Txn


class SeenAs(StrEnum):
    """What became of one observation: it brought something about, nothing new, came too late, or told nothing."""

    APPLIED = "APPLIED"
    UNCHANGED = "UNCHANGED"
    STALE = "STALE"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of status. ``inferred``: nobody saw this state, but what was seen cannot be without it.

    ``role``: the side whose evidence decided, None for deeds of ours and decisions of people.
    """

    seq: int
    frm: Status
    to: Status
    handler: str
    inferred: bool
    txn: Txn | None
    role: Role | None = None

    def to_json(self) -> dict[str, Any]:
        """The form of the test vectors."""
        return {
            "frm": self.frm,
            "to": self.to,
            "handler": self.handler,
            "inferred": self.inferred,
            "txn": self.txn,
        }


@dataclass(frozen=True, slots=True)
class Action:
    """A deed asked for: its type and what it needs beside the request itself, such as a barcode."""

    type: ActionType
    args: tuple[str, ...] = ()

    def to_json(self) -> list[str]:
        """The form of the test vectors: the type, then what it needs."""
        return [self.type, *self.args]


@dataclass(frozen=True, slots=True)
class StepResult:
    """``flags``: those raised in this step; ``seen``: one entry for each observation or ack, in the order given."""

    state: State
    transitions: tuple[Transition, ...]
    actions: tuple[Action, ...]
    flags: tuple[str, ...]
    seen: tuple[SeenAs, ...]
