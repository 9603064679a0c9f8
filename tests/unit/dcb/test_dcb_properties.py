"""What holds for every course of events, however odd: random stories of both sides, acks and failures."""

import json
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alma_etl.dcb.machine import rules
from alma_etl.dcb.machine.evidence import Evidence, project
from alma_etl.dcb.machine.model import (
    Ack,
    IllegalTransition,
    Moment,
    Observation,
    Seen,
    State,
    StepContext,
    read_seen,
    write_seen,
)
from alma_etl.dcb.machine.rules import Rule, rules_for
from alma_etl.dcb.machine.step import DEFAULT_POLICY, step
from alma_etl.dcb.machine.vocabulary import AckName, Role, Status, Workflow, is_legal, is_legal_for_operator

pytestmark = pytest.mark.heavy

START = datetime(2026, 1, 1, tzinfo=UTC)
OPERATORS = {AckName.OPERATOR_CLEANUP, AckName.OPERATOR_CLOSE_LOST, AckName.OPERATOR_ROLLBACK}

found = st.sampled_from([True, True, True, False, None])
requests = st.fixed_dictionaries(
    {
        "found": found,
        "request_status": st.sampled_from(["NOT_STARTED", "IN_PROCESS", "ON_HOLD_SHELF", "HISTORY", "LENT"]),
        "closure": st.sampled_from([None, None, "CANCELED", "HOLD_SHELF_EXPIRED", "COMPLETED", "FAILED"]),
        "expiry_date": st.sampled_from([None, "2026-01-03"]),
    }
)
items = st.fixed_dictionaries(
    {
        "found": found,
        "base_status": st.sampled_from(["0", "1"]),
        "process_type": st.sampled_from(
            ["", "", "LOAN", "TRANSIT", "HOLDSHELF", "REQUESTED", "MISSING", "LOST_LOAN", "ILL", "ODD"]
        ),
        "barcode": st.sampled_from([None, "31", "32"]),
    }
)
loans = st.fixed_dictionaries(
    {
        "found": found,
        "loan_status": st.sampled_from(["Active", "COMPLETE", "Complete"]),
        "process_status": st.sampled_from(["NORMAL", "RENEW", "RECALL", "LOST", "OVERDUENOTIFICATION"]),
        "due_date": st.sampled_from([None, "2026-02-01", "2026-03-01"]),
    }
)
TXN = ["CREATED", "OPEN", "AWAITING_PICKUP", "ITEM_CHECKED_OUT", "ITEM_CHECKED_IN", "CLOSED", "EXPIRED"]
sides = st.fixed_dictionaries(
    {"role": st.sampled_from(["SUPPLIER", "SUPPLIER", "BORROWER", "BORROWER", "PICKUP"])},
    optional={
        "request": requests,
        "item": items,
        "loan": loans,
        "txn": st.sampled_from([*TXN, "CANCELLED", "ERROR", "MISSING"]),
        "patron": st.fixed_dictionaries({"blocked": st.booleans()}),
    },
)
acks = st.builds(
    lambda name, action: {"ack": name, "action": action},
    st.sampled_from([name.value for name in AckName]),
    st.sampled_from(["CLEANUP", "PLACE_AT_BORROWER", "BORROWER_SCAN_IN"]),
)
happy: list[dict[str, Any]] = [
    {
        "role": "SUPPLIER",
        "request": {"found": True, "request_status": "NOT_STARTED"},
        "item": {"found": True, "base_status": "1"},
    },
    {"ack": "BORROWER_PLACED"},
    {
        "role": "SUPPLIER",
        "request": {"found": True, "request_status": "IN_PROCESS"},
        "item": {"found": True, "process_type": "TRANSIT"},
    },
    {
        "role": "BORROWER",
        "request": {"found": True, "request_status": "ON_HOLD_SHELF"},
        "item": {"found": True, "process_type": "HOLDSHELF"},
    },
    {"role": "BORROWER", "request": {"found": False}, "item": {"found": True, "process_type": "LOAN"}},
    {"ack": "SUPPLIER_LOAN_CREATED"},
    {
        "role": "BORROWER",
        "item": {"found": True, "process_type": "TRANSIT"},
        "loan": {"found": True, "loan_status": "COMPLETE"},
    },
]


@st.composite
def stories(draw: st.DrawFn) -> list[Seen]:
    """The usual course with anything in between, then anything; times that mostly go on, by a minute or an hour."""
    story: list[dict[str, Any]] = []
    for usual in happy[: draw(st.integers(0, len(happy)))]:
        story += [*draw(st.lists(sides, max_size=1)), usual]
    story += draw(st.lists(sides | acks, max_size=8))
    now, out = START, []
    for each in story:
        now += timedelta(minutes=draw(st.sampled_from([-30, 1, 5, 11, 60, 60])))
        out.append(read_seen({**each, "at": Moment.at(now).text}))
    return out


workflows = st.sampled_from(list(Workflow))
some = settings(max_examples=100, deadline=None)


@some
@given(stories(), workflows)
def test_only_legal_edges_and_numbers_without_a_gap(story: list[Seen], workflow: Workflow) -> None:
    state = State(workflow=workflow)
    for seen in story:
        result = step(state, [seen])
        previous, status = state.previous, state.status
        for number, transition in enumerate(result.transitions, state.seq + 1):
            assert transition.seq == number
            assert transition.frm is status
            by_hand = isinstance(seen, Ack) and (seen.name in OPERATORS or seen.name is AckName.ACTION_FAILED)
            assert is_legal(transition.frm, transition.to, workflow) or (
                by_hand and is_legal_for_operator(transition.frm, transition.to, previous)
            )
            status = transition.to
        assert result.state.status is status
        state = result.state


@some
@given(stories(), workflows, st.dictionaries(st.sampled_from(Status), st.sampled_from(Status)))
def test_no_rule_can_bring_an_illegal_transition_out_of_a_step(
    story: list[Seen], workflow: Workflow, book: dict[Status, Status]
) -> None:
    def odd_rules(status: Status, _workflow: Workflow) -> tuple[Rule, ...]:
        to = book.get(status)
        if to is None:
            return rules_for(status, workflow)
        return (Rule("odd", lambda seen: seen.state.seq < 20, lambda ctx, _seen: ctx.go(to, "Odd")),)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rules, "rules_for", odd_rules)
        state = State(workflow=workflow)
        for seen in story:
            previous = state.previous
            try:
                result = step(state, [seen])
            except IllegalTransition:
                continue
            for each in result.transitions:
                assert is_legal(each.frm, each.to, workflow) or (
                    isinstance(seen, Ack) and is_legal_for_operator(each.frm, each.to, previous)
                )
            state = result.state


@some
@given(stories(), workflows)
def test_reporting_it_again_adds_nothing_and_the_given_state_is_left_alone(
    story: list[Seen], workflow: Workflow
) -> None:
    state = State(workflow=workflow)
    for seen in story:
        before = json.dumps(state.to_json())
        state_after = step(state, [seen]).state
        assert json.dumps(state.to_json()) == before
        again = step(state_after, [seen])
        repeatable = isinstance(seen, Ack) and seen.name in OPERATORS
        if not repeatable:
            assert (again.transitions, again.actions) == ((), ())
        state = state_after


@some
@given(stories(), workflows, st.sampled_from(list(Role)))
def test_unknown_moves_nothing(story: list[Seen], workflow: Workflow, role: Role) -> None:
    state = State(workflow=workflow)
    for seen in story:
        state = step(state, [seen]).state
    nothing = {"found": None}
    unknown = read_seen(
        {"role": role, "at": "2026-06-01T00:00:00Z", "request": nothing, "item": nothing, "loan": nothing}
    )
    result = step(state, [unknown, unknown])
    assert (result.transitions, result.actions, result.flags) == ((), (), ())
    assert [state.leg(each).at for each in Role] == [result.state.leg(each).at for each in Role]


def _shows_the_book(seen: Seen) -> bool:
    """An independent oracle: the lender's side shows the item in place, the loan complete, or no loan."""
    data = write_seen(seen)
    if data.get("role") != "SUPPLIER" or isinstance(seen, Ack):
        return False
    item, loan = data.get("item", {}), data.get("loan", {})
    in_place = item.get("found") and item.get("base_status") == "1" and "process_type" not in item
    complete = loan.get("found") and str(loan.get("loan_status")).upper() == "COMPLETE"
    forgotten = item.get("found") and loan.get("found") is False
    return bool(in_place or complete or forgotten or data.get("txn") == "CLOSED")


@settings(max_examples=300, deadline=None)
@given(stories(), workflows)
def test_no_end_while_the_book_is_out_without_a_sighting_of_it_at_the_lender(
    story: list[Seen], workflow: Workflow
) -> None:
    state, shown = State(workflow=workflow), False
    for seen in story:
        result = step(state, [seen])
        shown = shown or _shows_the_book(seen)
        by_hand = isinstance(seen, Ack) and seen.name in OPERATORS
        for transition in result.transitions:
            if transition.to is Status.COMPLETED and not by_hand:
                assert shown
            if transition.frm is Status.AWAITING_RETURN and transition.to is Status.CANCELLED:
                assert shown
            if transition.to in (Status.LOANED, Status.AWAITING_RETURN):
                shown = _shows_the_book(seen) if transition.to is Status.LOANED else False
        state = result.state


@some
@given(stories(), st.lists(sides, min_size=2, max_size=3, unique_by=lambda side: side["role"]), workflows)
def test_within_a_cycle_the_order_of_the_sides_does_not_matter(
    story: list[Seen], cycle: list[dict[str, Any]], workflow: Workflow
) -> None:
    state = State(workflow=workflow)
    for seen in story:
        state = step(state, [seen]).state
    sides_seen = [read_seen({**side, "at": "2026-06-01T00:00:00Z"}) for side in cycle]
    results = [step(state, order) for order in permutations(sides_seen)]
    for result in results[1:]:
        assert result.state == results[0].state
        assert (result.transitions, result.actions, result.flags) == (
            results[0].transitions,
            results[0].actions,
            results[0].flags,
        )


@some
@given(stories(), workflows)
def test_at_most_one_rule_fits_at_any_moment(story: list[Seen], workflow: Workflow) -> None:
    state = State(workflow=workflow)
    for place, seen in enumerate(story):
        cycle = [each for each in story[place : place + 3] if isinstance(each, Observation)]
        if cycle:
            run = StepContext(state, DEFAULT_POLICY)
            for each in cycle:
                project(run, each)
            while True:
                view = Evidence(run.state, run.policy)
                fitting = [rule for rule in rules_for(run.status, workflow) if rule.when(view)]
                assert len(fitting) <= 1, [rule.name for rule in fitting]
                if not fitting:
                    break
                before = run.status
                fitting[0].then(run, view)
                assert run.status is not before
        state = step(state, [seen]).state


@some
@given(stories(), workflows)
def test_a_late_observation_changes_nothing(story: list[Seen], workflow: Workflow) -> None:
    state = State(workflow=workflow)
    for seen in story:
        state = step(state, [seen]).state
    for role, leg in state.legs.items():
        if leg.at is not None:
            late = {
                "role": role,
                "at": "2025-01-01T00:00:00Z",
                "request": {"found": False, "closure": "CANCELED"},
            }
            result = step(state, [read_seen(late)])
            assert (result.transitions, result.actions) == ((), ())
            assert result.state.legs == state.legs


@some
@given(stories(), workflows)
def test_memory_and_observations_survive_being_stored(story: list[Seen], workflow: Workflow) -> None:
    state = State(workflow=workflow)
    for seen in story:
        assert read_seen(json.loads(json.dumps(write_seen(seen)))) == seen
        state = step(state, [seen]).state
        assert State.from_json(json.loads(json.dumps(state.to_json()))) == state
