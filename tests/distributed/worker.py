"""Processes that share a limiter: each takes permits in threads and writes down when it got them.

Run as a program it is their nursery: it reads one job a line (JSON) from its standard input, forks a process for
it and prints that one's id; importing everything once, instead of in each of a hundred processes, is what makes
these tests bearable. A process connects, says `ready`, begins at SIGUSR1 and ends at SIGTERM, or with the nursery.

It says `permit SECONDS` for each permit, by `time.monotonic()`, which is one clock for all processes of a machine.
"""

import functools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import requests

from alma_etl.alma.call import XML, Call
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.errors import AlmaQuotaFloor
from alma_etl.remote.limiter import LimiterClosed
from alma_etl.store import limiter_redis, limiter_sql, open_limiter

assert limiter_redis
assert limiter_sql  # imported here, for all


Say = Callable[..., None]


def take_permits(limiter: Any, job: dict[str, Any], say: Say) -> None:
    """Take one permit after the other, and make the job's call with each."""
    while True:
        try:
            limiter.acquire()
        except LimiterClosed as closed:
            say("closed", time.monotonic(), closed.until.timestamp())
            time.sleep(0.1)
        else:
            say("permit", time.monotonic())
            if job["call"]:
                say("answer", requests.get(job["call"], timeout=60).status_code)
            time.sleep(job["busy"])


def read(client: AlmaClient, job: dict[str, Any], say: Say) -> None:
    """Call Alma's test end point, which takes a POST that changes nothing, until the client stops."""
    call = Call("POST" if job["writes"] else "GET", "/bibs/test", accept=XML, content_type=XML)
    try:
        while True:
            client.call(call, lambda reply: reply.status)
            time.sleep(job["busy"])
    except AlmaQuotaFloor:
        say("floor", time.monotonic())


def run(job: dict[str, Any]) -> None:
    """Do a job until it is over.

    `call`: a URL to GET with each permit, or none; `busy`: seconds that a thread is away after each permit besides;
    `skew`: how wrong this process' wall clock is; `alma`: a gateway whose configuration a client reads instead until
    it is stopped, `floors`: its floors for reading and writing, `writes`: whether it writes instead.
    """
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(*words: object) -> None:
        os.write(
            output, (" ".join(str(word) for word in words) + "\n").encode()
        )  # whole lines, also from threads

    right_time = time.time
    time.time = lambda: right_time() + job["skew"]
    url = job["url"]
    limiter = open_limiter(
        store_url=url,
        redis_url=url if url.startswith("redis") else None,
        budget="institution",
        requests_per_second=job["rate"],
    )
    limiter.state()
    say("ready")
    if signal.sigwait({signal.SIGUSR1, signal.SIGTERM}) == signal.SIGUSR1:
        if job["alma"]:
            reading, writing = job["floors"]
            client = AlmaClient(
                job["alma"], "sandbox", limiter=limiter, quota_floor=reading, quota_floor_writes=writing
            )
            task = functools.partial(read, client, job, say)
        else:
            task = functools.partial(take_permits, limiter, job, say)
        for _ in range(job["threads"]):
            threading.Thread(target=task, daemon=True).start()
        nursery = job["nursery"]
        while os.getppid() == nursery and signal.SIGTERM not in signal.sigpending():
            time.sleep(0.05)
    say("wasted", limiter.wasted)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    nursery = os.getpid()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run(json.loads(line) | {"nursery": nursery})
            finally:
                os._exit(0)  # its threads wait for permits that nobody needs any more
        print(child, flush=True)


if __name__ == "__main__":
    main()
