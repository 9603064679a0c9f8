"""One process of many that share a limiter: takes permits in threads and writes down when it got them.

    python worker.py URL BUDGET RATE THREADS BUSY SKEW

It connects, prints `ready`, and starts at the first line on its standard input; it ends when that is closed.
Every permit is a line `permit SECONDS`, by `time.monotonic()`, which is one clock for all processes of a Linux
machine. BUSY: seconds that a thread is away after each permit (a call). SKEW: seconds by which this process' wall
clock is wrong.
"""

import os
import sys
import threading
import time

url, budget, rate, threads, busy, skew = sys.argv[1:]
if float(skew):
    right_time = time.time
    time.time = lambda: right_time() + float(skew)

from alma_etl.alma.limiter import LimiterClosed  # noqa: E402 - the clock comes first
from alma_etl.store import open_limiter  # noqa: E402


def say(*words: object) -> None:
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())  # whole lines, also from threads


def work() -> None:
    while True:
        try:
            limiter.acquire()
        except LimiterClosed as closed:
            say("closed", time.monotonic(), closed.until.timestamp())
            time.sleep(0.1)
        else:
            say("permit", time.monotonic())
            time.sleep(float(busy))


redis_url = url if url.startswith("redis") else None
limiter = open_limiter(store_url=url, redis_url=redis_url, budget=budget, requests_per_second=float(rate))
limiter.state()
say("ready")
sys.stdin.readline()
for _ in range(int(threads)):
    threading.Thread(target=work, daemon=True).start()
sys.stdin.read()
say("wasted", limiter.wasted)
os._exit(0)  # the threads wait for permits that nobody needs any more
