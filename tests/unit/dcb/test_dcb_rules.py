"""The guards of each status exclude each other, for every combination of what the sides can show."""

from itertools import product

import pytest

from alma_etl.dcb.machine.edges import TERMINAL, is_legal
from alma_etl.dcb.machine.evidence import Evidence
from alma_etl.dcb.machine.reducer import DEFAULT_POLICY
from alma_etl.dcb.machine.rules import rules_for
from alma_etl.dcb.machine.run import Run
from alma_etl.dcb.machine.state import Leg, State
from alma_etl.dcb.machine.vocabulary import Closure, Hold, Item, Loan, Proof, Role, Status, Workflow

HOLDS = {
    "alive": {"hold": Hold.CONFIRMED},
    "doubted": {"hold": Hold.CONFIRMED, "failed": frozenset({"request"})},
    "missed once": {"hold": Hold.CONFIRMED, "gone": 1, "item_since_gone": True, "closure": Closure.UNKNOWN},
    "gone": {"hold": Hold.READY, "gone": 2, "item_since_gone": True, "closure": Closure.CANCELED},
    "failed": {"hold": Hold.READY, "gone": 2, "item_since_gone": True, "closure": Closure.FAILED},
    "told": {"hold": Hold.READY, "gone": 1, "certain": True, "closure": Closure.CANCELED},
    "fulfilled": {"hold": Hold.READY, "gone": 2, "item_since_gone": True, "closure": Closure.COMPLETED},
}
LOANS = ({}, {"loan": Loan.NONE}, {"loan": Loan.ACTIVE, "lent": True}, {"loan": Loan.COMPLETE, "lent": True})
ITEMS = (Item.AVAILABLE, Item.TRANSIT, Item.LOANED)


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
    for hold, loan, item, home, proof, patron in product(
        HOLDS.values(), LOANS, ITEMS, (None, status), Proof, HOLDS.values()
    ):
        supplier = Leg(item=item, back=home, closed_in=home, **hold, **loan)  # type: ignore[arg-type]
        borrower = Leg(proof=proof, **patron)  # type: ignore[arg-type]
        state = State(
            workflow=workflow, status=status, legs={Role.SUPPLIER: supplier, Role.BORROWER: borrower}
        )
        seen = Evidence(state, DEFAULT_POLICY)
        fitting = [rule for rule in rules if rule.when(seen)]
        assert len(fitting) <= 1, ([rule.name for rule in fitting], supplier, borrower)
        for rule in fitting:
            run = Run(state, DEFAULT_POLICY)
            rule.then(run, Evidence(run.state, run.policy))
            assert is_legal(status, run.status, workflow)
            fired.add(rule.name)
    if workflow is Workflow.STANDARD:  # the others let some rules rest
        assert fired == {rule.name for rule in rules}


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nothing_leads_on_from_the_end(status: Status) -> None:
    assert not any(is_legal(status, to, workflow) for to in Status for workflow in Workflow)
