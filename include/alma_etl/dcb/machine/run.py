"""The workbench of one step: a copy of the state, and what the step has brought about so far."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from alma_etl.dcb.machine.edges import TXN_OF
from alma_etl.dcb.machine.result import Action, Transition
from alma_etl.dcb.machine.state import Leg, State
from alma_etl.dcb.machine.vocabulary import ActionType, Role, Status


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a hold must be seen to be gone before that counts, and how far apart in time."""

    confirmations: int = 2
    gap: timedelta = timedelta(minutes=10)


class Run:
    """One step at work. ``fresh``: sides whose item was read in this step; ``began``: the status it began in."""

    def __init__(self, state: State, policy: Policy) -> None:
        self.state = state.copy()
        self.policy = policy
        self.began = state.status
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

    def go(self, to: Status, handler: str, *, inferred: bool = False, role: Role | None = None) -> None:
        """Change the status."""
        state = self.state
        state.seq += 1
        self.transitions.append(
            Transition(state.seq, state.status, to, handler, inferred, TXN_OF.get(to), role)
        )
        state.status = to

    def do(self, action: ActionType, *args: str) -> None:
        """Ask for a deed."""
        self.actions.append(Action(action, args))

    def flag(self, name: str) -> None:
        """Something happened."""
        self.flags.append(name)
        if name not in self.state.flags:
            self.state.flags += (name,)

    def stand(self, name: str, holds: bool) -> None:
        """A condition holds, or is over; it is raised when it begins."""
        state = self.state
        if holds and name not in state.standing:
            state.standing += (name,)
            self.flag(name)
        elif not holds and name in state.standing:
            state.standing = tuple(each for each in state.standing if each != name)
