"""When to look again and what to read: as far as the state, the clock and the settings decide."""

from datetime import UTC, datetime, timedelta

import pytest

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.model import (
    ItemRead,
    Leg,
    LoanRead,
    Moment,
    Observation,
    RequestRead,
    State,
    read_seen,
)
from alma_etl.dcb.machine.step import step
from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.dcb.plan import (
    PRIORITY,
    Allowance,
    Due,
    Look,
    Part,
    ReadCall,
    Wish,
    admit,
    calls_for,
    is_shipping,
    is_tracked,
    next_poll,
    parts_wanted,
)
from alma_etl.dcb.settings import shipped_settings
from tests.unit.dcb.story import Story, cancelled_while_out, loaned, on_shelf, placed, returned, shipped

S, B = Role.SUPPLIER, Role.BORROWER
NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
SETTINGS = shipped_settings()
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
REQUEST, ITEM, LOAN = Part.REQUEST, Part.ITEM, Part.LOAN


def wait(story: Story, repeat: int = 0, failures: int = 0, now: datetime = NOW) -> timedelta | None:
    when = next_poll(story.state, now, SETTINGS, pr_id="PR-1", repeat=repeat, failures=failures)
    return when - now if when else None


def about(expected: timedelta, actual: timedelta | None) -> bool:
    return actual is not None and expected * 0.85 <= actual <= expected * 1.15


@pytest.mark.parametrize(
    ("story", "spans"),
    [
        (Story(), [5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 30 * MINUTE]),
        (placed(), [30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 4 * HOUR]),
        (shipped(), [HOUR, 2 * HOUR, 4 * HOUR, 4 * HOUR]),
        (on_shelf(), [HOUR, 2 * HOUR, 4 * HOUR, 4 * HOUR]),
        (returned(), [HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR, 6 * HOUR]),
        (cancelled_while_out(), [HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR]),
    ],
    ids=["placing", "placed", "shipped", "on shelf", "returned", "parked"],
)
def test_intervals_double_up_to_their_longest(story: Story, spans: list[timedelta]) -> None:
    for repeat, span in enumerate(spans):
        assert about(span, wait(story, repeat)), repeat
    assert about(spans[-1], wait(story, 10**6))


def test_a_loan_is_looked_at_more_often_when_it_ends() -> None:
    story = loaned()  # due 2026-02-01
    due = datetime(2026, 2, 1, tzinfo=UTC)
    assert about(24 * HOUR, wait(story, 5, now=due - 10 * DAY))
    assert about(6 * HOUR, wait(story, 5, now=due - 3 * DAY))
    assert about(6 * HOUR, wait(story, 5, now=due + 40 * DAY))
    # The long interval must not reach over the beginning of the short ones.
    assert about(12 * HOUR, wait(story, 5, now=due - 3 * DAY - 12 * HOUR))


def test_trouble_is_looked_at_once_a_day_and_on_all_sides() -> None:
    story = loaned().see("B", None, "LOST_LOAN", "Active/LOST")
    assert about(DAY, wait(story))
    assert parts_wanted(story.state, S, Look(NOW), SETTINGS) == (REQUEST, ITEM, LOAN)
    failed = Story().see("S", "IN_PROCESS", "in place").ack("ACTION_FAILED", action="PLACE_AT_BORROWER")
    assert failed.status is Status.ERROR
    assert about(DAY, wait(failed))


@pytest.mark.parametrize("status", Status)
def test_nothing_unsettled_is_dropped_and_nothing_settled_is_looked_at(status: Status) -> None:
    when = next_poll(State(status=status), NOW, SETTINGS, pr_id="PR-1", repeat=50)
    settled = {"COMPLETED", "CANCELLED", "NO_ITEMS", "FINALISED", "HANDED_OFF_AS_LOCAL", "NOT_SUPPLIED"}
    assert (when is None) == (status.name in settled)
    assert is_tracked(status) == (when is not None)
    assert (status in PRIORITY) == is_tracked(status)
    if when is None:
        assert parts_wanted(State(status=status), S, Look(NOW), SETTINGS) == ()


def test_a_hold_missed_once_is_looked_for_again_soon_but_not_too_soon() -> None:
    for story in (placed().see("S", "gone", "in place"), on_shelf().see("B", "gone", "HOLDSHELF", "none")):
        span = wait(story, 4)
        assert span is not None
        assert 10 * MINUTE < span < 15 * MINUTE
    # At the lender it means nothing any more once the book is on its way.
    assert about(HOUR, wait(shipped().see("S", "gone", "TRANSIT")))


def test_failed_looks_back_off_too() -> None:
    assert about(4 * HOUR, wait(placed(), 0, failures=3))
    gone = placed().see("S", "gone", "in place")
    assert about(2 * HOUR, wait(gone, 0, failures=2))


def test_the_jitter_spreads_and_repeats() -> None:
    state = placed().state
    times = {next_poll(state, NOW, SETTINGS, pr_id=f"PR-{number}", repeat=3) for number in range(100)}
    assert len(times) == 100
    assert times == {next_poll(state, NOW, SETTINGS, pr_id=f"PR-{number}", repeat=3) for number in range(100)}


# --- what to read


def seen_at(state: State, role: Role, when: datetime) -> State:
    twin = state.copy()
    leg = twin.legs.setdefault(role, Leg())
    leg.at = leg.item_at = Moment.at(when)
    return twin


@pytest.mark.parametrize(
    ("story", "role", "recent", "old"),
    [
        (Story(), S, (REQUEST, ITEM), (REQUEST, ITEM)),
        (placed(), S, (REQUEST, ITEM), (REQUEST, ITEM)),
        (placed(), B, (), (REQUEST,)),
        (shipped(), S, (), (ITEM,)),
        (shipped(), B, (REQUEST,), (REQUEST, ITEM)),
        (on_shelf(), B, (REQUEST,), (REQUEST, ITEM)),
        (loaned(), S, (), (ITEM, LOAN)),
        (loaned(), B, (LOAN,), (LOAN,)),
        (returned(), S, (ITEM, LOAN), (ITEM, LOAN)),
        (returned(), B, (), (ITEM,)),
        (cancelled_while_out(), S, (ITEM,), (ITEM,)),
        (cancelled_while_out(), B, (), (ITEM,)),
    ],
)
def test_each_status_reads_what_can_move_it_and_the_other_side_once_a_day(
    story: Story, role: Role, recent: tuple[Part, ...], old: tuple[Part, ...]
) -> None:
    assert parts_wanted(seen_at(story.state, role, NOW - HOUR), role, Look(NOW), SETTINGS) == recent
    assert parts_wanted(seen_at(story.state, role, NOW - DAY), role, Look(NOW), SETTINGS) == old
    asked = parts_wanted(seen_at(story.state, role, NOW - HOUR), role, Look(NOW, full=True), SETTINGS)
    assert set(asked) >= set(recent)


def test_where_the_patron_is_gone_the_item_is_read_which_needs_no_user() -> None:
    state = loaned().state.copy()
    assert ITEM not in parts_wanted(state, B, Look(NOW), SETTINGS)
    state.standing += (flags.PATRON_GONE,)
    assert ITEM in parts_wanted(state, B, Look(NOW), SETTINGS)


def test_a_book_on_its_way_makes_us_look_for_a_cancellation() -> None:
    state = seen_at(placed().state, B, NOW - HOUR)
    got = Observation(S, None, RequestRead(True, "IN_PROCESS"), ItemRead(True, "0", "TRANSIT"))
    assert is_shipping(got)
    assert parts_wanted(state, B, Look(NOW, shipping=True), SETTINGS) == (REQUEST,)
    assert not is_shipping(Observation(S, None, RequestRead(True, "IN_PROCESS"), ItemRead(True, "1")))
    assert not is_shipping(None)


@pytest.mark.parametrize(
    ("got", "then"),
    [
        ({"request": RequestRead(True, "ON_HOLD_SHELF")}, ()),
        ({"request": RequestRead(None)}, ()),
        ({"request": RequestRead(True, "IN_PROCESS", "Transit Item")}, (ITEM,)),
        ({"request": RequestRead(False)}, (ITEM, LOAN)),
        ({"request": RequestRead(False), "item": ItemRead(True, "0", "HOLDSHELF")}, (LOAN,)),
        ({"request": RequestRead(True, "ON_HOLD_SHELF"), "item": ItemRead(True, "0", "LOAN")}, (LOAN,)),
    ],
)
def test_what_the_hold_shows_decides_whether_the_item_is_read_and_that_the_loan(
    got: dict[str, RequestRead | ItemRead], then: tuple[Part, ...]
) -> None:
    state = seen_at(on_shelf().state, B, NOW - HOUR)
    assert parts_wanted(state, B, Look(NOW), SETTINGS, Observation(B, None, **got)) == then  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("loan", "then"),
    [
        (LoanRead(True, "ACTIVE"), ()),
        (LoanRead(None), (ITEM,)),
        (LoanRead(True, "Complete"), (ITEM,)),
        (LoanRead(False), (ITEM,)),
    ],
)
def test_a_loan_that_ended_or_is_unread_makes_us_look_at_the_item(
    loan: LoanRead, then: tuple[Part, ...]
) -> None:
    assert parts_wanted(loaned().state, B, Look(NOW), SETTINGS, Observation(B, None, loan=loan)) == then


def test_a_lender_s_loan_that_was_never_made_is_looked_for_with_the_item() -> None:
    story = on_shelf().see("B", "gone", "LOAN", "Active").ack("SUPPLIER_LOAN_FAILED")
    assert parts_wanted(story.state, S, Look(NOW, full=True), SETTINGS) == (ITEM, LOAN)


def test_what_the_plan_reads_is_enough_to_move_on() -> None:
    """The hold is gone: reading on in the plan's order gives what the machine needs to decide."""
    state = seen_at(on_shelf().state, B, NOW - HOUR)
    state.legs[S].at = None
    answers = {
        REQUEST: {"request": {"found": False}},
        ITEM: {"item": {"found": True, "base_status": "0", "process_type": "LOAN"}},
        LOAN: {"loan": {"found": True, "loan_status": "ACTIVE"}},
    }
    data: dict[str, object] = {"role": "BORROWER", "at": NOW.isoformat()}
    while wanted := parts_wanted(state, B, Look(NOW), SETTINGS, read_seen(data)):  # type: ignore[arg-type]
        data |= answers[wanted[0]]
    assert step(state, [read_seen(data)]).state.status is Status.LOANED


# --- calls


def wish(pr_id: str, part: Part, user: str | None = "u1", system: str = "A") -> Wish:
    return Wish(pr_id, S, part, system, user)


def test_a_user_s_requests_are_read_by_one_list() -> None:
    wishes = [wish("1", REQUEST), wish("2", REQUEST), wish("3", REQUEST, "u2"), wish("4", REQUEST, "u1", "B")]
    calls = calls_for(wishes)
    assert [(len(call.wishes), call.listed) for call in calls] == [(2, True), (1, False), (1, False)]


def test_items_are_read_one_by_one_and_holds_come_first_loans_last() -> None:
    calls = calls_for(
        [wish("1", LOAN), wish("1", ITEM), wish("2", ITEM), wish("1", REQUEST), wish("2", LOAN)]
    )
    assert [(call.part, len(call.wishes)) for call in calls] == [
        (REQUEST, 1),
        (ITEM, 1),
        (ITEM, 1),
        (LOAN, 2),
    ]


def test_nobody_shares_a_list_without_a_user() -> None:
    assert calls_for([wish("1", LOAN, None), wish("2", LOAN, None)]) == [
        ReadCall(LOAN, "A", (wish("1", LOAN, None),), False),
        ReadCall(LOAN, "A", (wish("2", LOAN, None),), False),
    ]


# --- budget


def due(pr_id: str, priority: int, minutes: int, *costs: tuple[str, int]) -> Due:
    return Due(pr_id, priority, NOW - minutes * MINUTE, costs or (("A", 2),))


def test_the_urgent_come_first_then_the_longest_waiting() -> None:
    given = [due("later", 1, 5), due("calm", 4, 500), due("urgent", 1, 50)]
    taken = admit(given, Allowance({"A": 4}, ticks_left=1))
    assert [each.pr_id for each in taken] == ["urgent", "later"]


def test_one_institution_s_shortage_is_not_another_s() -> None:
    given = [
        due("a1", 1, 9, ("A", 3)),
        due("a2", 2, 9, ("A", 1)),
        due("b", 3, 9, ("B", 3)),
        due("ab", 4, 9, ("A", 1), ("B", 1)),
    ]
    taken = admit(given, Allowance({"A": 2, "B": 10}, ticks_left=1))
    assert [each.pr_id for each in taken] == ["b"]  # a2 is cheap enough, but must not overtake a1 for ever


def test_a_tick_may_spend_a_few_shares_and_never_more_than_is_left() -> None:
    assert Allowance({"A": 2880}, ticks_left=288).of("A") == 40
    assert Allowance({"A": 10}, ticks_left=1).of("A") == 10
    assert Allowance({"A": 10}, ticks_left=0).of("A") == 10
    assert Allowance({"A": -5}, ticks_left=10).of("A") <= 0
    assert Allowance({}, ticks_left=10).of("A") == 0
