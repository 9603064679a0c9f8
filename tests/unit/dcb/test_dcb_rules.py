"""The guards of each status exclude each other, for every combination of what the sides can show."""

from itertools import product

import pytest

from alma_etl.dcb.machine import rules
from alma_etl.dcb.machine.evidence import Evidence
from alma_etl.dcb.machine.model import IllegalTransition, Leg, State, StepContext
from alma_etl.dcb.machine.rules import Rule, rules_for
from alma_etl.dcb.machine.step import DEFAULT_POLICY, step
from alma_etl.dcb.machine.vocabulary import (
    TERMINAL,
    Closure,
    HoldState,
    ItemState,
    LoanState,
    Proof,
    Role,
    Status,
    Workflow,
    is_legal,
)

HOLDS = {
    "not started": {"hold": HoldState.CONFIRMED, "raw_request": "NOT_STARTED"},
    "worked on": {"hold": HoldState.CONFIRMED, "raw_request": "IN_PROCESS"},
    "doubted": {
        "hold": HoldState.CONFIRMED,
        "raw_request": "IN_PROCESS",
        "failed": frozenset({"request"}),
    },
    "missed once": {
        "hold": HoldState.CONFIRMED,
        "gone": 1,
        "item_since_gone": True,
        "closure": Closure.UNKNOWN,
    },
    "gone": {"hold": HoldState.READY, "gone": 2, "item_since_gone": True, "closure": Closure.CANCELED},
    "failed": {"hold": HoldState.READY, "gone": 2, "item_since_gone": True, "closure": Closure.FAILED},
    "reported": {"hold": HoldState.READY, "gone": 1, "certain": True, "closure": Closure.CANCELED},
    "fulfilled": {"hold": HoldState.READY, "gone": 2, "item_since_gone": True, "closure": Closure.COMPLETED},
}
LOANS = (
    {},
    {"loan": LoanState.NONE},
    {"loan": LoanState.ACTIVE, "lent": True},
    {"loan": LoanState.COMPLETE, "lent": True},
)
ITEMS = (ItemState.AVAILABLE, ItemState.TRANSIT, ItemState.LOANED)


CASES = [(status, Workflow.STANDARD) for status in Status if rules_for(status, Workflow.STANDARD)] + [
    (Status.RPBA, Workflow.PICKUP_ANYWHERE),
    (Status.RPBA, Workflow.EXPEDITED),
    (Status.LOANED, Workflow.EXPEDITED),
    (Status.CONFIRMED, Workflow.LOCAL),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("status", "workflow"), CASES)
def test_the_guards_of_a_status_exclude_each_other(status: Status, workflow: Workflow) -> None:
    fired: set[str] = set()
    rules = rules_for(status, workflow)
    for hold, loan, item, returned, proof, patron in product(
        HOLDS.values(), LOANS, ITEMS, (None, status), Proof, HOLDS.values()
    ):
        supplier = Leg(item=item, back=returned, closed_in=returned, **hold, **loan)  # type: ignore[arg-type]
        borrower = Leg(proof=proof, **patron)  # type: ignore[arg-type]
        state = State(
            workflow=workflow, status=status, legs={Role.SUPPLIER: supplier, Role.BORROWER: borrower}
        )
        seen = Evidence(state, DEFAULT_POLICY)
        fitting = [rule for rule in rules if rule.when(seen)]
        assert len(fitting) <= 1, ([rule.name for rule in fitting], supplier, borrower)
        for rule in fitting:
            run = StepContext(state, DEFAULT_POLICY)
            rule.then(run, Evidence(run.state, run.policy))
            assert is_legal(status, run.status, workflow)
            fired.add(rule.name)
    if workflow is Workflow.STANDARD:  # the others let some rules rest
        assert fired == {rule.name for rule in rules}


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nothing_leads_on_from_the_end(status: Status) -> None:
    assert not any(is_legal(status, to, workflow) for to in Status for workflow in Workflow)


def test_a_step_takes_a_rule_s_word_only_where_the_table_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change of status that a rule could ask for: the legal ones come about, the others are a fault."""
    for frm, to, workflow in product(Status, Status, Workflow):
        if frm is Status.ERROR:  # there the rules rest
            continue
        odd = Rule("odd", lambda seen: True, lambda ctx, _seen, to=to: ctx.go(to, "Odd"))  # type: ignore[misc]
        monkeypatch.setattr(
            rules, "rules_for", lambda status, _workflow, frm=frm, odd=odd: (odd,) if status is frm else ()
        )
        state = State(workflow=workflow, status=frm)
        if is_legal(frm, to, workflow):
            assert [each.to for each in step(state, []).transitions] == [to]
        else:
            with pytest.raises(IllegalTransition, match="Odd may not lead from"):
                step(state, [])
            assert (state.status, state.seq) == (frm, 0)
