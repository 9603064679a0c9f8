"""Many processes share one budget: over PostgreSQL, Valkey and SQLite, through kills, stops, skewed clocks."""

import math
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from alma_etl.alma.client import AlmaClient
from alma_etl.remote.limiter import FRESH, PacedLimiter
from alma_etl.remote.limiter_budget import PAUSE, SLOWER
from alma_etl.store import open_limiter

SKEWS = (0.0, -3600.0, 7200.0, 0.5, -0.5, 86_400.0, -30.0, 12.0)
MOMENT = 0.1  # what a loaded machine may take between a permit and the note of it

Crews = Callable[..., Any]  # of conftest.py


def most_in_a_second(times: list[float]) -> int:
    """The most permits that any second held, wherever it begins."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def report(name: str, times: list[float], rate: float) -> None:
    share = (len(times) - 1) / (times[-1] - times[0]) / rate
    print(
        f"{name}: {len(times)} permits, {share:.1%} of the rate, at most {most_in_a_second(times)} in a second"
    )


def limiter_of(url: str, rate: float = 20) -> PacedLimiter:
    redis_url = url if url.startswith("redis") else None
    return open_limiter(store_url=url, redis_url=redis_url, budget="institution", requests_per_second=rate)


def test_no_second_holds_more_permits_than_the_rate(store: str, crew: Crews) -> None:
    """Eight processes (four on SQLite), the wall clock of nearly each wrong by seconds to a day."""
    size = 4 if store.startswith("sqlite") else 8
    workers = crew(store, size, 20, skews=SKEWS)
    workers.work(4)
    workers.end()
    report(store.partition(":")[0], workers.permits(), 20)
    assert most_in_a_second(workers.permits()) <= 20
    assert all(len(worker.permits()) > 1 for worker in workers.workers)
    assert limiter_of(store).state().granted >= len(workers.permits())


@pytest.mark.parametrize("rate", [2.5, 200])
def test_other_rates(rate: float, postgres_store: str, crew: Crews) -> None:
    """A rate with a fraction holds over longer spans; a single second may hold the next whole number."""
    workers = crew(postgres_store, 4, rate, busy=0.02)
    workers.work(3)
    workers.end()
    times = workers.permits()
    report(f"{rate}/s", times, rate)
    assert most_in_a_second(times) <= math.ceil(rate)
    assert len(times) <= rate * (times[-1] - times[0]) + 1


def test_a_gateway_with_a_threshold_a_quarter_above_never_refuses(
    postgres_store: str, crew: Crews, sandbox: Callable[..., Any]
) -> None:
    """Requests take their own time to arrive; Alma counts those, in a sliding second of its own clock."""
    server = sandbox(titles=5, latency_ms=900, per_second=25)
    call = f"{server.url}/almaws/v1/conf/general?apikey=sandbox"
    workers = crew(postgres_store, 4, 20, threads=8, busy=0.0, call=call)
    workers.work(5)
    workers.end()
    answers = [int(status) for worker in workers.workers for (status,) in worker.said("answer")]
    counts = requests.get(f"{server.url}/sandbox/counts", timeout=10).json()
    print(f"{len(answers)} answers, at most {counts['peak_per_second']} calls in a second of the gateway's")
    assert set(answers) == {200}
    assert len(answers) > 40
    assert "429" not in counts["by_status"]


def test_a_killed_process_holds_nothing_and_stalls_nobody(store: str, crew: Crews) -> None:
    workers = crew(store, 4, 20)
    workers.work(1)
    victim, *others = workers.workers
    victim.signal(signal.SIGKILL)
    killed = time.monotonic()
    workers.wait_until(lambda: all(len(worker.permits(after=killed)) >= 10 for worker in others))
    workers.end()
    assert most_in_a_second(workers.permits()) <= 20


@pytest.mark.parametrize("store", ["postgres_store", "valkey"], indirect=True)
def test_a_stopped_process_stalls_nobody_and_does_not_catch_up_in_a_burst(store: str, crew: Crews) -> None:
    """Stopped again and again at any point of its work, also in the middle of an exchange with the store."""
    workers = crew(store, 3, 50, threads=10, busy=0.0)
    workers.work(0.5)
    victim, *others = workers.workers
    for _ in range(6):
        victim.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        workers.wait_until(lambda: all(len(worker.permits(after=stopped)) >= 10 for worker in others))  # noqa: B023
        victim.signal(signal.SIGCONT)
        continued = time.monotonic()
        workers.wait_until(lambda: victim.permits(after=continued))  # noqa: B023
    workers.end()
    assert most_in_a_second(workers.permits()) <= 50


def test_on_sqlite_all_go_on_when_a_stopped_process_does(sqlite_store: str, crew: Crews) -> None:
    """There the process itself writes: one that is stopped amid a statement keeps the file locked for the others."""
    workers = crew(sqlite_store, 3, 50, threads=10, busy=0.0)
    workers.work(0.5)
    victim = workers.workers[0]
    for _ in range(6):
        victim.signal(signal.SIGSTOP)
        workers.work(0.3)
        victim.signal(signal.SIGCONT)
        continued = time.monotonic()
        workers.wait_until(lambda: all(worker.permits(after=continued) for worker in workers.workers))  # noqa: B023
    workers.end()
    assert most_in_a_second(workers.permits()) <= 50


def test_closing_reaches_all_and_opens_by_itself(store: str, crew: Crews) -> None:
    workers = crew(store, 3, 20)
    workers.work(0.5)
    until = datetime.now(UTC) + timedelta(seconds=3)
    limiter_of(store).close(until, "The daily threshold is reached.")
    closed = time.monotonic()
    opens = closed + (until - datetime.now(UTC)).total_seconds()
    workers.wait_until(lambda: all(worker.permits(after=opens - MOMENT) for worker in workers.workers))
    workers.end()
    for worker in workers.workers:
        untils = [said for _, said in worker.said("closed")]
        assert untils == [pytest.approx(until.timestamp())] * max(len(untils), 1)
    assert [at for at in workers.permits() if closed + FRESH + MOMENT < at < opens - MOMENT] == []
    assert most_in_a_second(workers.permits()) <= 20


def test_after_a_refusal_all_pause_and_go_slower(store: str, crew: Crews) -> None:
    workers = crew(store, 3, 20)
    workers.work(0.5)
    limiter = limiter_of(store)
    limiter.state()
    before = time.monotonic()
    limiter.throttled()
    after = time.monotonic()
    workers.wait_until(lambda: all(worker.permits(after=after + PAUSE + 2) for worker in workers.workers))
    workers.end()
    assert [at for at in workers.permits() if after + FRESH + MOMENT < at < before + PAUSE] == []
    later = [at for at in workers.permits() if before + PAUSE < at <= before + PAUSE + 2]
    assert len(later) <= 2 * 20 * (SLOWER + 0.05) + 1


@pytest.mark.quick
def test_one_excess_slows_once_however_many_processes_meet_it(store: str) -> None:
    limiters = [limiter_of(store) for _ in range(8)]
    for limiter in limiters:
        limiter.state()
    for limiter in limiters:
        limiter.throttled()
    state = limiters[0].state()
    assert state.refused == 8
    assert state.speed == pytest.approx(SLOWER)


def has_stopped(workers: Any, threads: int) -> Callable[[], bool]:
    return lambda: all(len(worker.said("floor")) == threads for worker in workers.workers)


def test_below_the_floor_no_process_sends_anything_and_writing_goes_on(
    store: str, crew: Crews, sandbox: Callable[..., Any]
) -> None:
    """Eleven tasks (four on SQLite) start when 4,982 calls are left and 5,000 are kept."""
    server = sandbox(titles=5, per_second=0, daily=4_983)
    floors = (5_000, 4_970)
    with AlmaClient(server.url, "sandbox", limiter=limiter_of(store), quota_floor=0) as first:
        first.conf.general()
    size = 4 if store.startswith("sqlite") else 11
    readers = crew(store, size, 100, busy=0, alma=server.url, floors=floors)
    readers.wait_until(has_stopped(readers, 6))
    readers.end()
    assert calls_left(server) == 4_982
    writers = crew(store, 3, 100, busy=0, alma=server.url, floors=floors, writes=True)
    writers.wait_until(has_stopped(writers, 6))
    writers.end()
    assert calls_left(server) in (4_970, 4_971)


def test_processes_that_start_above_the_floor_stop_at_it_however_slow_alma_is(
    store: str, crew: Crews, sandbox: Callable[..., Any]
) -> None:
    """With a second for each call a hundred are under way when the first answer is there."""
    server = sandbox(titles=5, per_second=0, daily=1_201, latency_ms=1000)
    with AlmaClient(server.url, "sandbox", limiter=limiter_of(store), quota_floor=0) as first:
        first.conf.general()
    size = 4 if store.startswith("sqlite") else 8
    readers = crew(store, size, 100, threads=24, busy=0, alma=server.url, floors=(1_000, 0))
    readers.wait_until(has_stopped(readers, 24))
    readers.end()
    print(f"{store.partition(':')[0]}: {calls_left(server)} calls left, 1000 were to be kept")
    assert calls_left(server) >= 1_000 - size  # not a hundred below
    assert calls_left(server) < 1_150


def calls_left(server: Any) -> int:
    left: int = requests.get(f"{server.url}/sandbox/counts", timeout=10).json()["calls_left"]
    return left


def test_forks_do_not_share_connections(postgres_store: str) -> None:
    """The limiter was used before the fork: both sides go on, each with a connection of its own."""
    limiter = limiter_of(postgres_store, 50)
    limiter.acquire()
    child = os.fork()
    if child == 0:
        try:
            for _ in range(20):
                limiter.acquire()
        except BaseException:
            os._exit(1)
        os._exit(0)
    for _ in range(20):
        limiter.acquire()
    assert os.waitpid(child, 0)[1] == 0
    assert limiter.state().granted >= 41
