"""The rules of a budget, and that SQL (SQLite, PostgreSQL) and Lua (Valkey) say the same as Python."""

import itertools
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Double, bindparam

from alma_etl.remote import limiter_budget as rules
from alma_etl.remote.limiter_budget import Budget, BudgetState, LocalBudget
from alma_etl.store.db import open_engine
from alma_etl.store.limiter_redis import RedisBudget
from alma_etl.store.limiter_sql import SqlBudget, Statements
from alma_etl.store.models import ApiBudget

START = 1_790_000_000.0  # some day in 2026
TO_MIDNIGHT = rules.DAY - START % rules.DAY + 1
TODAY = int(START // rules.DAY)
numbers = itertools.count()

# One step of a history: how far the clock went (a little back, too), then an operation with its arguments.
ticks = st.one_of(
    st.sampled_from([0.0, 0.25, 1.0, 1.5, 30.0, 61.0, TO_MIDNIGHT, 86_400.0, -0.5, -3600.0]),
    st.floats(0, 5),
)
operations = st.one_of(
    st.tuples(
        st.just("take"),
        st.integers(1, 50),
        st.sampled_from([0.5, 1.0, 2.5, 20.0, 200.0]),
        st.sampled_from([0, 0, 10, 1000]),
    ),
    st.tuples(st.just("slow_down")),
    st.tuples(
        st.just("shut"), st.floats(-10, 40), st.sampled_from(["daily threshold", "", "Größe: «voll» 📚"])
    ),
    st.tuples(
        st.just("note_calls_left"),
        st.one_of(st.integers(0, 100), st.integers(900, 1100), st.integers(0, 6_000_000)),
        st.sampled_from([TODAY, TODAY, TODAY - 1, None]),
        st.one_of(st.none(), st.integers(0, 300)),
    ),
    st.tuples(st.just("look")),
)
histories = st.lists(st.tuples(ticks, operations), min_size=1, max_size=20)
History = list[tuple[float, tuple[Any, ...]]]


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class SqlBudgetWithClock(SqlBudget):
    def __init__(self, url: str, name: str, clock: Clock) -> None:
        super().__init__(url, name, Statements(bindparam("now", type_=Double)))
        self._clock = clock

    def _ask(self, statement: Any, **values: Any) -> BudgetState:
        return super()._ask(statement, now=self._clock(), **values)


class RedisBudgetWithClock(RedisBudget):
    def __init__(self, url: str, name: str, clock: Clock) -> None:
        super().__init__(url, name)
        self._clock = clock

    def _now(self) -> str:
        return repr(self._clock())


def apply(budget: Budget, clock: Clock, operation: tuple[Any, ...]) -> BudgetState:
    name, *arguments = operation
    if name == "shut":  # its first argument is relative to now
        arguments[0] += clock.now
    state: BudgetState = getattr(budget, name)(*arguments)
    return state


def compare(make: Callable[[str, Clock], Budget], history: History) -> None:
    clock = Clock()
    expected, budget = LocalBudget(clock), make(f"history-{next(numbers)}", clock)
    for tick, operation in history:
        clock.now += tick
        assert apply(budget, clock, operation) == apply(expected, clock, operation)


same_stores = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.heavy
@same_stores
@given(history=histories)
def test_sqlite_follows_the_rules(sqlite_store: str, history: History) -> None:
    compare(lambda name, clock: SqlBudgetWithClock(sqlite_store, name, clock), history)


@pytest.mark.heavy
@same_stores
@given(history=histories)
def test_postgresql_follows_the_rules(postgres_store: str, history: History) -> None:
    compare(lambda name, clock: SqlBudgetWithClock(postgres_store, name, clock), history)


@pytest.mark.heavy
@same_stores
@given(history=histories)
def test_valkey_follows_the_rules(valkey: str, history: History) -> None:
    compare(lambda name, clock: RedisBudgetWithClock(valkey, name, clock), history)


def slots(state: BudgetState, count: int) -> list[float]:
    return [state.next_slot - (count - number) * state.step for number in range(count)]


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 50)), min_size=1, max_size=40))
def test_slots_are_never_closer_than_the_pace_and_never_past(requests: list[tuple[float, int]]) -> None:
    clock = Clock()
    budget = LocalBudget(clock)
    last = 0.0
    for tick, wanted in requests:
        clock.now += tick
        for slot in slots(budget.take(wanted, 20.0), wanted):
            assert slot >= clock.now - 1e-6
            assert slot - last >= 1 / 20 / rules.PACE - 1e-6
            last = slot


def test_idleness_saves_up_nothing() -> None:
    clock = Clock()
    budget = LocalBudget(clock)
    budget.take(1, 20.0)
    clock.now += 3600
    assert slots(budget.take(3, 20.0), 3) == pytest.approx(
        [clock.now + number / 20 / rules.PACE for number in range(3)], abs=1e-6
    )


def test_a_refusal_pauses_slows_and_is_recovered_from() -> None:
    clock = Clock()
    budget = LocalBudget(clock)
    before = budget.take(40, 20.0)
    after = budget.slow_down()
    assert after.generation == before.generation + 1  # the slots of the next two seconds are void
    clock.now += 0.3
    assert slots(budget.take(1, 20.0), 1)[0] == pytest.approx(after.clock + rules.PAUSE)
    assert budget.look().step == pytest.approx(before.step / rules.SLOWER)
    steps = []
    for _ in range(40):
        clock.now += 1
        steps.append(budget.take(1, 20.0).step)
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == before.step


def test_refusals_at_once_count_as_one_and_later_ones_slow_further() -> None:
    clock = Clock()
    budget = LocalBudget(clock)
    budget.take(1, 20.0)
    for _ in range(24):
        state = budget.slow_down()
        clock.now += 0.06
    assert (state.speed, state.generation, state.refused) == (rules.SLOWER, 1, 24)
    for _ in range(50):
        clock.now += rules.PAUSE + rules.SAME_REFUSAL
        state = budget.slow_down()
    assert state.speed == pytest.approx(rules.SLOWEST)
    assert state.refused == 74


def test_a_closed_budget_grants_nothing_until_its_time_and_the_last_word_wins() -> None:
    clock = Clock()
    budget = LocalBudget(clock)
    first = budget.take(5, 20.0)
    closed = budget.shut(clock.now + 60, "daily threshold")
    assert closed.generation == first.generation + 1
    clock.now += 59
    assert budget.take(5, 20.0).closed
    assert budget.look().granted == 5
    clock.now += 2
    assert not budget.take(5, 20.0).closed
    budget.shut(clock.now + 3600, "again")
    budget.shut(clock.now - 1, "a person opened it")
    assert not budget.take(1, 20.0).closed


def test_the_lowest_rate_asked_for_lately_holds() -> None:
    clock = Clock()
    budget = LocalBudget(clock)
    assert budget.take(1, 20.0).rate == 20.0
    assert budget.take(1, 5.0).rate == 5.0
    clock.now += rules.RATE_MEMORY / 2
    assert budget.take(1, 20.0).rate == 5.0
    clock.now += rules.RATE_MEMORY / 2 + 1
    assert budget.take(1, 20.0).rate == 20.0


def test_a_clock_that_is_set_back_makes_nobody_wait() -> None:
    clock = Clock()
    budget = LocalBudget(clock)
    ahead = budget.take(40, 20.0).next_slot - clock.now
    clock.now -= 86_400
    assert slots(budget.take(1, 20.0), 1)[0] - clock.now == pytest.approx(ahead)


def test_the_day_of_the_counters_is_utc() -> None:
    clock = Clock()
    clock.now = 20_000 * rules.DAY + 86_399
    budget = LocalBudget(clock)
    budget.take(7, 20.0)
    assert (budget.slow_down().granted, budget.look().refused) == (7, 1)
    clock.now += 1
    state = budget.take(2, 20.0)
    assert (state.day, state.granted, state.refused) == (20_001, 2, 0)


def test_calls_left_are_handed_out_once_however_many_are_under_way() -> None:
    clock = Clock()
    budget = LocalBudget(clock)
    budget.take(1, 20.0)
    budget.note_calls_left(1010, TODAY, 1)
    handed = [budget.take(4, 20.0, 1000).handed for _ in range(6)]
    assert handed == [4, 4, 2, 0, 0, 0]
    state = budget.look()
    assert state.calls_left == 1000
    assert budget.take(4, 20.0, 500).handed == 4  # who may go lower does


def test_an_answer_takes_into_account_what_was_handed_out_after_its_call() -> None:
    clock = Clock()
    budget = LocalBudget(clock)
    budget.take(10, 20.0)
    # Alma answers the third: of the seven after it some may be counted in what it says, or none.
    assert budget.note_calls_left(1000, TODAY, 3).calls_left == 993
    assert budget.note_calls_left(998, TODAY, 5).calls_left == 993  # as was known
    assert budget.note_calls_left(990, TODAY, 10).calls_left == 990  # others call, too
    budget.take(5, 20.0)
    # Slots that nobody used are returned with the first answer to a later one.
    assert budget.note_calls_left(989, TODAY, 15).calls_left == 989


def test_a_raised_allowance_is_seen_and_a_late_answer_does_not_lower_it() -> None:
    clock = Clock()
    budget = LocalBudget(clock)
    budget.take(5, 20.0)
    budget.note_calls_left(10, TODAY, 5)
    assert budget.note_calls_left(50_000, TODAY, 5).calls_left == 50_000
    budget.take(100, 20.0)
    # An answer that took its time: it may count the hundred, or not.
    assert budget.note_calls_left(49_905, TODAY, 5).calls_left == 49_900


def test_what_alma_said_of_another_day_stops_nobody() -> None:
    clock = Clock()
    clock.now = (TODAY + 1) * rules.DAY - 10
    budget = LocalBudget(clock)
    budget.take(3, 20.0)
    budget.note_calls_left(7, TODAY, 3)
    assert budget.take(1, 20.0, 1000).handed == 0
    clock.now += 10
    assert budget.take(9, 20.0, 1000).handed == 9
    # The answer to a call of yesterday that comes today.
    assert rules.left_today(budget.note_calls_left(6, TODAY, 4), clock.now) is None
    assert budget.take(9, 20.0, 1000).handed == 9


def test_what_alma_says_just_after_midnight_may_be_of_yesterday_and_does_not_stop_the_day() -> None:
    clock = Clock()
    clock.now = (TODAY + 1) * rules.DAY + 1
    budget = LocalBudget(clock)
    budget.take(1, 20.0, 1000)
    budget.note_calls_left(7, TODAY + 1, 1)
    assert budget.take(1, 20.0, 1000).handed == 0
    clock.now += rules.SETTLING
    assert budget.take(1, 20.0, 1000).handed == 1
    budget.note_calls_left(8, TODAY + 1, 2)
    clock.now += 40_000
    assert budget.take(1, 20.0, 1000).handed == 0


def test_a_hash_and_a_row_of_the_version_before_are_understood(valkey: str, sqlite_store: str) -> None:
    clock = Clock()
    client = redis.Redis.from_url(valkey)
    client.hset(
        "alma:budget:old", mapping={"clock": repr(START), "calls_left": "", "day": str(TODAY), "granted": "5"}
    )
    assert RedisBudgetWithClock(valkey, "old", clock).take(3, 20.0, 1000).handed == 3
    client.hset("alma:budget:old", mapping={"calls_left": "1002", "calls_left_at": repr(START)})
    assert RedisBudgetWithClock(valkey, "old", clock).take(3, 20.0, 1000).handed == 2
    client.close()
    engine = open_engine(sqlite_store)
    state = asdict(BudgetState(calls_left=1002, calls_left_at=START, day=TODAY)) | {"name": "old"}
    del state["handed"]
    with engine.begin() as connection:
        connection.execute(ApiBudget.__table__.insert(), state)  # type: ignore[attr-defined]
    engine.dispose()
    assert SqlBudgetWithClock(sqlite_store, "old", clock).take(3, 20.0, 1000).handed == 2
