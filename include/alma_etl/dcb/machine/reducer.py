"""The machine: one pure function from a state and what was seen to the next state and what it brings about."""

from collections.abc import Sequence

from alma_etl.dcb.machine.acks import take
from alma_etl.dcb.machine.conditions import judge
from alma_etl.dcb.machine.observations import Ack, Seen
from alma_etl.dcb.machine.projection import project
from alma_etl.dcb.machine.result import SeenAs, StepResult
from alma_etl.dcb.machine.rules import settle
from alma_etl.dcb.machine.run import Policy, Run
from alma_etl.dcb.machine.state import State
from alma_etl.dcb.machine.vocabulary import Role, Status

DEFAULT_POLICY = Policy()
_ORDER = {Role.SUPPLIER: 0, Role.BORROWER: 1, Role.PICKUP: 2}


def step(state: State, seen: Sequence[Seen], policy: Policy = DEFAULT_POLICY) -> StepResult:
    """One cycle of one request: what was seen of all its sides, and what came of our deeds.

    All sides are taken into the memory first (the lender's, the borrower's, the pickup library's, whatever order
    they come in), then the rules are applied until none holds, so one cycle may bring several transitions. In
    ERROR observations are remembered, and the rules rest. ``state`` is not changed. Raises ValueError when
    labels and times are mixed.
    """
    run = Run(state, policy)
    verdicts: dict[int, SeenAs] = {}
    for index in sorted(range(len(seen)), key=lambda place: _rank(seen[place])):
        each = seen[index]
        verdicts[index] = take(run, each) if isinstance(each, Ack) else project(run, each)
    if run.status is not Status.ERROR:
        settle(run)
    judge(run)
    changed = bool(run.transitions or run.actions or run.flags)
    return StepResult(
        state=run.state,
        transitions=tuple(run.transitions),
        actions=tuple(run.actions),
        flags=tuple(run.flags),
        seen=tuple(
            SeenAs.UNCHANGED if verdicts[index] is SeenAs.APPLIED and not changed else verdicts[index]
            for index in range(len(seen))
        ),
    )


def _rank(seen: Seen) -> int:
    """Acks first: a write is known before what was read after it."""
    return -1 if isinstance(seen, Ack) else _ORDER[seen.role]
