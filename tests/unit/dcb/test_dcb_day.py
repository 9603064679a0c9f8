"""A day of 5,000 tracked requests by a simulated clock: the calls it takes, and how late anything is noticed."""

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from alma_etl.dcb.machine.model import State
from alma_etl.dcb.machine.vocabulary import Status
from alma_etl.dcb.plan import PRIORITY, Allowance, Due, admit, is_tracked
from alma_etl.dcb.settings import DcbSettings, shipped_settings
from tests.unit.dcb.world import Tracked, a_book, poll

START = datetime(2026, 3, 2, tzinfo=UTC)
TICK = timedelta(minutes=5)
TICKS = 288
MIX = {"placed": 1300, "shipped": 1200, "shelf": 900, "parked": 100, "returning": 500, "loaned": 1000}


@dataclass
class Day:
    requests: list[Tracked]
    calls: Counter[str] = field(default_factory=Counter)
    polls: int = 0
    late: dict[int, timedelta] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.calls.values())


def begin(settings: DcbSettings, mix: dict[str, int]) -> Day:
    """Requests in the middle of their course, polled for some time, so that the intervals are at their longest."""
    dice = random.Random(7)
    requests = []
    for stage, count in mix.items():
        for _ in range(count):
            one = Tracked(f"{stage}-{len(requests)}", a_book(dice, stage, START), State(), None)
            for minutes in (35, 25, 15, 3, 2, 1):
                poll(one, START - timedelta(minutes=minutes), settings, Counter())
            one.repeat = dice.randint(2, 5)
            one.next_poll = START + timedelta(hours=dice.uniform(0, 4))
            requests.append(one)
    return Day(requests)


def live(day: Day, settings: DcbSettings, new_requests: int, budget: int) -> Day:
    """24 hours of ticks; further requests are placed throughout the day."""
    dice = random.Random(11)
    for _ in range(new_requests):
        placed = START + timedelta(hours=dice.uniform(0, 24))
        day.requests.append(Tracked(f"new-{len(day.requests)}", a_book(dice, "new", placed), State(), placed))
    queue = [(one.next_poll, number) for number, one in enumerate(day.requests) if one.next_poll]
    heapq.heapify(queue)
    for tick in range(TICKS):
        now = START + tick * TICK
        due = []
        while queue and queue[0][0] <= now:
            due.append(heapq.heappop(queue))
        offers = [
            Due(str(number), PRIORITY[day.requests[number].state.status], when, (("ALMA", 3),))
            for when, number in due
        ]
        taken = {each.pr_id for each in admit(offers, Allowance({"ALMA": budget - day.total}, TICKS - tick))}
        for when, number in due:
            one = day.requests[number]
            if str(number) not in taken:
                heapq.heappush(queue, (when, number))
                continue
            priority = PRIORITY[one.state.status]
            day.late[priority] = max(day.late.get(priority, timedelta()), now - when)
            poll(one, now, settings, day.calls)
            day.polls += 1
            if one.next_poll:
                heapq.heappush(queue, (one.next_poll, number))
    return day


@pytest.mark.heavy
def test_a_day_of_5000_tracked_requests_fits_50000_calls() -> None:
    settings = shipped_settings()
    day = live(begin(settings, MIX), settings, new_requests=300, budget=10**9)
    assert sum(MIX.values()) == 5000
    assert 20_000 < day.total <= 50_000
    assert day.total / day.polls <= 2.2
    assert max(day.late.values()) < TICK
    end = START + TICK * TICKS
    longest = timedelta(hours=4 * 1.15) + TICK
    settled = end - longest - timedelta(hours=1)
    ends = Counter(one.state.status for one in day.requests)
    assert ends[Status.FINALISED] > 100
    for one in day.requests:
        book, status = one.book, one.state.status
        if book.has("shipped", settled):
            assert status not in (Status.RPSA, Status.CONFIRMED, Status.RPBA), one
        if book.has("arrived", settled) and not book.cancelled:
            assert status not in (Status.RPBA, Status.PICKUP_TRANSIT), one
        if book.has("fetched", settled):
            assert status in (Status.LOANED, Status.RETURN_TRANSIT, Status.FINALISED), one
        if status is Status.FINALISED:
            assert book.has("home", end) or book.shipped is None, one
        assert one.next_poll is not None or not is_tracked(status)


@pytest.mark.heavy
def test_a_short_budget_is_kept_and_the_urgent_come_first() -> None:
    settings = shipped_settings()
    mix = {stage: count // 5 for stage, count in MIX.items()}
    day = live(begin(settings, mix), settings, new_requests=60, budget=4000)
    assert 3000 < day.total <= 4000
    assert day.late[1] <= day.late[2] <= day.late[3]
    assert day.late[1] < timedelta(hours=2)
    assert day.late[3] > timedelta(hours=4)
