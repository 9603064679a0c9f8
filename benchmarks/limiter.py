"""The shared rate limiter beside pyrate-limiter: what a permit costs, and how exactly a rate is kept.

    python -m benchmarks.limiter [SECONDS]

Starts PostgreSQL and Valkey on 127.0.0.1 and prints JSON, for each kind of store:

- `round_trip_us`: microseconds of the plainest round trip that changes something there (`UPDATE ... RETURNING`
  through the same engine, `INCR`), which everything else is a multiple of;
- `exchange`, `permit`: one batch of 5 slots (what a process takes at once at 20/s), and one permit of it;
- `pyrate_permit`: one permit of pyrate-limiter's bucket for that store. Its SQLite bucket is for several processes
  or for several threads, not for both, so it has no part here;
- `shared`, `pyrate_shared`: 8 processes of 6 threads share 20 permits a second for SECONDS while the wall clocks of
  most are wrong: the share of the rate that they used (at most 0.97 for ours), and the permits of the fullest
  second, wherever it begins.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrate_limiter
import redis
from psycopg_pool import ConnectionPool
from sqlalchemy import make_url, text

from alma_etl.store import open_limiter
from alma_etl.store.db import open_quick_engine
from alma_etl.store.limiter_redis import RedisBudget
from alma_etl.store.limiter_sql import SqlBudget
from alma_etl.store.upgrade import upgrade
from local import servers

RATE = 20
BATCH = 5
THREADS = 6
CALL_SECONDS = 0.3
SKEWS = (0.0, 0.4, -0.4, 3600.0, 0.0, -2.0, 1.0, -3600.0)  # by how much each process' wall clock is wrong
REPEAT = 1000


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    seconds = float(given[0]) if given else 10.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres, valkey = (
            servers.start_postgres(folder / "postgres"),
            servers.start_valkey(folder / "valkey"),
        )
        try:
            urls = {
                "postgresql": postgres.create_database("limiter"),
                "valkey": valkey.url,
                "sqlite": f"sqlite:///{folder / 'store.db'}",
            }
            figures = {kind: measure(kind, url, seconds) for kind, url in urls.items()}
        finally:
            postgres.stop()
            valkey.stop()
    print(json.dumps(figures, indent=2))
    return 0


def measure(kind: str, url: str, seconds: float) -> dict[str, Any]:
    if kind != "valkey":
        upgrade(url)
    budget = RedisBudget(url, "cost") if kind == "valkey" else SqlBudget(url, "cost")
    work = {"round_trip": plain_round_trip(kind, url), "exchange": lambda: budget.take(BATCH, 1000.0)}
    if kind != "sqlite":
        peer = pyrate(url, 1_000_000_000)
        work["pyrate_permit"] = lambda: peer.try_acquire("cost")
    cost = timed(work)
    round_trip = cost.pop("round_trip")
    figures: dict[str, Any] = {"round_trip_us": round(round_trip * 1e6)}
    figures |= {name: round(seconds_each / round_trip, 2) for name, seconds_each in cost.items()}
    figures["permit"] = round(cost["exchange"] / round_trip / BATCH, 2)
    figures["shared"] = shared(url, ours, seconds)
    if kind != "sqlite":
        figures["pyrate_shared"] = shared(url, theirs, seconds)
    return figures


def timed(work: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of one of each: the medians, taken by turns so that a busy machine is as hard on all of them."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(REPEAT):
        for name, once in work.items():
            start = time.perf_counter()
            once()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def plain_round_trip(kind: str, url: str) -> Callable[[], object]:
    if kind == "valkey":
        client = redis.Redis.from_url(url)
        return lambda: client.incr("plain")
    engine = open_quick_engine(url)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE plain (id INTEGER PRIMARY KEY, n BIGINT)"))
        connection.execute(text("INSERT INTO plain VALUES (1, 0)"))
    statement = text("UPDATE plain SET n = n + 1 WHERE id = 1 RETURNING n")

    def update() -> object:
        with engine.connect() as connection:
            return connection.execute(statement).scalar_one()

    return update


def pyrate(url: str, rate: int) -> pyrate_limiter.Limiter:
    rates = [pyrate_limiter.Rate(rate, pyrate_limiter.Duration.SECOND)]
    bucket: pyrate_limiter.AbstractBucket
    if url.startswith("redis"):
        bucket = pyrate_limiter.RedisBucket.init(rates, redis.Redis.from_url(url), f"pyrate-{rate}")
    else:
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        bucket = pyrate_limiter.PostgresBucket(ConnectionPool(plain, open=True), f"pyrate_{rate}", rates)
    return pyrate_limiter.Limiter(bucket)


def ours(url: str) -> Callable[[], object]:
    redis_url = url if url.startswith("redis") else None
    limiter = open_limiter(store_url=url, redis_url=redis_url, budget="shared", requests_per_second=RATE)
    return limiter.acquire


def theirs(url: str) -> Callable[[], object]:
    limiter = pyrate(url, RATE)
    return lambda: limiter.try_acquire("shared")


def shared(url: str, make: Callable[[str], Callable[[], object]], seconds: float) -> dict[str, float]:
    """Permits of several processes, each by `time.monotonic()`, which is one clock for all of a machine."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["alma_etl.store.limiter_sql", "redis", "pyrate_limiter", "psycopg_pool"])
    together, answers = context.Barrier(len(SKEWS)), context.Queue()
    processes = [
        context.Process(target=take, args=(url, make, skew, seconds, together, answers), daemon=True)
        for skew in SKEWS
    ]
    for process in processes:
        process.start()
    times = sorted(at for _ in processes for at in answers.get())
    for process in processes:
        process.join()
    share = (len(times) - 1) / (times[-1] - times[0]) / RATE
    return {"share": round(share, 3), "most": most_in_a_second(times)}


def take(
    url: str,
    make: Callable[[str], Callable[[], object]],
    skew: float,
    seconds: float,
    together: Any,
    answers: Any,
) -> None:
    right_ns, right = time.time_ns, time.time
    pyrate_limiter.buckets.redis_bucket.time_ns = lambda: right_ns() + int(skew * 1e9)
    time.time = lambda: right() + skew
    acquire = make(url)
    acquire()
    together.wait()
    end = time.monotonic() + seconds
    times: list[float] = []

    def work() -> None:
        while True:
            acquire()
            now = time.monotonic()
            if now > end:
                return
            times.append(now)
            time.sleep(CALL_SECONDS)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * seconds)  # one that waits for ever for its permit is left behind
    answers.put(times)
    answers.close()
    answers.join_thread()
    os._exit(0)


def most_in_a_second(times: list[float]) -> int:
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


if __name__ == "__main__":
    sys.exit(main())
