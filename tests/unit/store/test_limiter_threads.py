"""How the threads of one process share a budget: over budgets that answer by script, or over rules alone."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from alma_etl.remote import limiter as limiter_module
from alma_etl.remote.limiter import (
    LimiterAtFloor,
    LimiterClosed,
    LimiterUnavailable,
    LocalLimiter,
    PacedLimiter,
    bounded,
)
from alma_etl.remote.limiter_budget import PAUSE, BudgetState, LocalBudget
from tests.waiting import HANG, wait_until


class Recorder(LocalBudget):
    """A budget of one process that writes down what it was asked, and may be told to fail."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        super().__init__(clock)
        self.asked: list[str] = []
        self.wanted: list[int] = []
        self.broken = False

    def take(self, wanted: int, rate: float, floor: int = 0) -> BudgetState:
        self.wanted.append(wanted)
        return self._record("take", lambda: super(Recorder, self).take(wanted, rate, floor))

    def look(self) -> BudgetState:
        return self._record("look", super().look)

    def note_calls_left(
        self, calls_left: int, day: int | None = None, number: int | None = None
    ) -> BudgetState:
        return self._record("note", lambda: super(Recorder, self).note_calls_left(calls_left, day, number))

    def _record(self, name: str, answer: Callable[[], BudgetState]) -> BudgetState:
        self.asked.append(name)
        if self.broken:
            raise LimiterUnavailable("The rate limiter cannot use the shelf: it is gone.")
        return answer()


def in_threads(count: int, work: Callable[[], None]) -> list[BaseException]:
    """Run `work` in `count` threads at once; what they raised."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except Exception as problem:
            raised.append(problem)

    threads = [threading.Thread(target=guarded, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert not any(thread.is_alive() for thread in threads)
    return raised


def midday() -> float:
    """A clock that no test sees turn the day."""
    return 86_400.0 * 20_000 + 43_200 + time.monotonic() % 20_000


def most_in_a_second(times: list[float]) -> int:
    times = sorted(times)
    return max(sum(1 for other in times if time_ - 1 < other <= time_) for time_ in times)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_must_be_a_number_above_0(rate: float) -> None:
    with pytest.raises(ValueError, match="requests_per_second"):
        LocalLimiter(rate)


@pytest.mark.heavy
def test_no_second_holds_more_permits_than_the_rate() -> None:
    limiter = LocalLimiter(40)
    times: list[float] = []

    def work() -> None:
        for _ in range(10):
            limiter.acquire()
            times.append(time.monotonic())

    assert in_threads(8, work) == []
    assert len(times) == 80
    assert most_in_a_second(times) <= 40


@pytest.mark.heavy
def test_threads_that_wait_are_served_by_one_exchange_in_small_batches() -> None:
    budget = Recorder()
    limiter = PacedLimiter(budget, 100)

    def work() -> None:
        for _ in range(5):
            limiter.acquire()

    assert in_threads(20, work) == []
    assert sum(budget.wanted) == 100 + limiter.wasted
    assert max(budget.wanted) <= 25  # a quarter of a second
    assert max(budget.wanted) > 1
    assert len(budget.wanted) < 50


def test_a_process_with_a_high_rate_does_not_hoard_the_slots_of_a_slow_budget() -> None:
    budget = Recorder()
    LocalBudget.take(budget, 1, 10)  # another process is configured with a tenth
    limiter = PacedLimiter(budget, 100)
    assert in_threads(8, limiter.acquire) == []
    assert max(budget.wanted) <= 3


def test_a_permit_that_comes_too_late_is_thrown_away() -> None:
    class Late(Recorder):
        def take(self, wanted: int, rate: float, floor: int = 0) -> BudgetState:
            state = super().take(wanted, rate, floor)
            if len(self.wanted) <= 2:
                time.sleep(limiter_module.SLACK * 3)  # the process is held up with the answer in its hands
            return state

    budget = Late()
    limiter = PacedLimiter(budget, 1000)
    limiter.state()  # a quick exchange, from which it knows how its clock and the store's lie
    limiter.acquire()
    assert limiter.wasted >= 2
    assert len(budget.wanted) == limiter.wasted + 1


@pytest.mark.heavy
def test_a_slot_far_ahead_is_checked_again_before_it_is_used() -> None:
    budget = Recorder()
    limiter = PacedLimiter(budget, 20)
    limiter.acquire()
    LocalBudget.take(budget, 20, 20)  # other processes reserve a second
    limiter.acquire()
    assert budget.asked[:3] == ["take", "take", "look"]


@pytest.mark.heavy
def test_slots_reserved_before_a_refusal_elsewhere_are_void() -> None:
    budget = Recorder()
    limiter = PacedLimiter(budget, 20)
    limiter.acquire()
    LocalBudget.take(budget, 20, 20)
    started = time.monotonic()
    other = threading.Timer(0.1, budget.slow_down)
    other.start()
    limiter.acquire()
    other.join()
    assert limiter.wasted >= 1
    assert budget.asked[:4] == ["take", "take", "look", "take"]
    assert time.monotonic() - started >= PAUSE


@pytest.mark.heavy
def test_after_a_refusal_nobody_sends_for_a_second() -> None:
    limiter = LocalLimiter(50)
    limiter.acquire()
    started = time.monotonic()
    limiter.throttled()
    assert in_threads(3, limiter.acquire) == []
    assert time.monotonic() - started >= PAUSE - 0.01
    assert limiter.state().refused == 1


def test_closing_reaches_threads_that_wait_and_opens_by_itself() -> None:
    limiter = LocalLimiter(0.1)
    limiter.acquire()
    until = datetime.now(UTC) + timedelta(seconds=0.8)
    closer = threading.Timer(0.2, limiter.close, [until, "The daily threshold is reached."])
    closer.start()
    raised = in_threads(5, limiter.acquire)
    closer.join()
    assert [type(problem) for problem in raised] == [LimiterClosed] * 5
    closed = raised[0]
    assert isinstance(closed, LimiterClosed)
    assert abs(closed.until - until) < timedelta(milliseconds=1)
    assert closed.until.tzinfo is not None
    assert closed.reason == "The daily threshold is reached."
    assert str(closed).startswith("No calls until 20")

    other = LocalLimiter(20)
    other.close(until := datetime.now(UTC) + timedelta(seconds=0.5), "soon over")
    while True:
        try:
            other.acquire()
        except LimiterClosed:
            time.sleep(0.02)
        else:
            break
    assert datetime.now(UTC) >= until - timedelta(milliseconds=5)


def test_while_it_is_closed_the_store_is_hardly_asked() -> None:
    budget = Recorder()
    limiter = PacedLimiter(budget, 20)
    limiter.close(datetime.now(UTC) + timedelta(hours=1), "daily threshold")
    for _ in range(50):
        with pytest.raises(LimiterClosed):
            limiter.acquire()
    assert len(budget.asked) <= 5


def test_a_closing_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        LocalLimiter(20).close(datetime(2026, 1, 1), "naive")


@pytest.mark.parametrize("skew", [-1e9, -3600.0, 0.0, 3600.0, 1e9])
def test_the_clock_of_the_store_may_be_anything(skew: float) -> None:
    budget = Recorder(clock=lambda: 1.8e9 + time.monotonic() + skew)
    limiter = PacedLimiter(budget, 100)
    assert in_threads(5, limiter.acquire) == []


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_the_clock_of_the_store_may_be_set_in_between(step: float) -> None:
    skew = 0.0
    budget = Recorder(clock=lambda: 1.8e9 + time.monotonic() + skew)
    limiter = PacedLimiter(budget, 50)
    for number in range(20):
        if number == 10:
            skew = step
        assert in_threads(1, limiter.acquire) == []


def test_all_who_wait_are_told_when_the_store_is_gone_and_it_may_come_back() -> None:
    budget = Recorder()
    limiter = PacedLimiter(budget, 100)
    budget.broken = True
    raised = in_threads(10, limiter.acquire)
    assert {str(problem) for problem in raised} == {"The rate limiter cannot use the shelf: it is gone."}
    assert len(raised) == 10
    budget.broken = False
    assert in_threads(10, limiter.acquire) == []


def test_calls_left_are_noted_now_and_then_and_never_fail_a_good_call() -> None:
    budget = Recorder()
    limiter = PacedLimiter(budget, 20)
    for calls_left in range(10_000, 9_900, -1):
        limiter.note_remaining(calls_left)
    assert budget.asked == ["note"]
    assert limiter.state().calls_left == 10_000

    broken = Recorder()
    broken.broken = True
    PacedLimiter(broken, 20).note_remaining(5)
    assert broken.asked == ["note"]


def test_an_exchange_bounds_where_the_clock_of_the_store_can_be() -> None:
    """Slow answers do not shift what a quick one has shown; contradicted knowledge is given up."""

    def exchange(offset: float, sent: float, received: float, clock: float) -> float:
        return bounded(offset, sent - clock, received - clock)

    offset = exchange(float("inf"), 1000.0, 1000.004, 100.002)
    assert offset == pytest.approx(900.002)
    assert exchange(offset, 1001.0, 1001.9, 101.001) == offset  # held up on the way back
    assert exchange(offset, 1002.0, 1002.001, 102.0005) == pytest.approx(900.0005)  # quicker: known better
    assert exchange(offset, 1003.0, 1003.001, 3600.0) == pytest.approx(1003.001 - 3600)  # set forward
    assert exchange(-2597.0, 1004.0, 1004.001, 104.0) == pytest.approx(900.0)  # and back


def test_close_to_the_floor_every_answer_is_noted() -> None:
    budget = Recorder(midday)
    limiter = PacedLimiter(budget, 100)
    limiter.acquire(5000)
    for calls_left in range(6_020, 5_980, -1):
        limiter.note_remaining(calls_left)
    assert budget.asked == ["take", *["note"] * (1 + 20)]


def test_who_starts_below_the_floor_sends_nothing_and_others_go_on_to_theirs() -> None:
    budget = Recorder(midday)
    limiter = PacedLimiter(budget, 200)
    limiter.note_remaining(1010)
    raised = in_threads(8, lambda: limiter.acquire(5000))
    assert [type(problem) for problem in raised] == [LimiterAtFloor] * 8
    assert budget.look().granted == 0  # a refused request costs the others nothing
    raised = in_threads(20, lambda: limiter.acquire(1000))
    assert [type(problem) for problem in raised] == [LimiterAtFloor] * (10 + limiter.wasted)
    assert budget.look().calls_left == 1000


def test_threads_that_wait_all_hear_of_the_floor() -> None:
    """One that is woken to ask for the others, and stops instead, wakes the next."""
    for _ in range(20):
        limiter = PacedLimiter(Recorder(midday), 400)
        limiter.note_remaining(1004)
        raised = in_threads(12, lambda: limiter.acquire(1000))  # noqa: B023
        assert len(raised) == 12 - 4 + limiter.wasted


def test_permits_that_are_reserved_are_not_used_once_the_floor_is_known_to_be_passed() -> None:
    budget = Recorder(midday)
    limiter = PacedLimiter(budget, 4)
    sent = limiter.acquire(1000)
    raised: list[BaseException] = []
    waiting = threading.Thread(target=lambda: raised.extend(in_threads(2, lambda: limiter.acquire(1000))))
    waiting.start()
    wait_until(lambda: budget.asked.count("take") == 2)
    limiter.note_remaining(900, sent)
    waiting.join(HANG)
    assert [type(problem) for problem in raised] == [LimiterAtFloor] * 2


def test_after_midnight_the_run_starts_although_little_was_left_the_day_before() -> None:
    clock = [86_400.0 * 20_000 - 0.01]
    budget = Recorder(lambda: clock[0])
    limiter = PacedLimiter(budget, 100)
    limiter.note_remaining(3)
    with pytest.raises(LimiterAtFloor):
        limiter.acquire(1000)
    clock[0] += 1
    limiter.state()
    assert limiter.acquire(1000).day == 20_000
