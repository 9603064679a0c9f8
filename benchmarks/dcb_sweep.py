"""How many calls the DCB status sync makes, by the sandboxes' own logs, beside what it may make.

    python -m benchmarks.dcb_sweep [REQUESTS] [DAY_REQUESTS]

Two sandboxes lend to each other; everything goes over HTTP, by a simulated clock. Prints JSON:

- `sweep`: REQUESTS (200) requests, mixed as in practice, of which all that are due are looked at, five hours after the
  last look: `calls_a_look` beside the limit 2.2. And once more after a day of silence, when every side is read of every
  request: the dearest look there is.
- `day`: a day of DAY_REQUESTS (500) tracked requests, in ticks of five minutes, while people go on moving the books and
  place 6 % further requests: the calls of polling, and those that 5,000 requests would take, beside the limit 50,000.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from alma_etl.store.bucket import Bucket
from benchmarks.dcb_consortium import START, Consortium, consortium
from local import folders, servers

LIMIT_A_LOOK = 2.2
LIMIT_A_DAY = 50_000
TRACKED = 5_000
SHARES = (0.27, 0.25, 0.18, 0.20, 0.10)  # placed, shipped, on the shelf, lent, on the way back
NEW = 0.06
TICK = timedelta(minutes=5)


def sweep(folder: Path, bucket: Bucket, count: int) -> dict[str, Any]:
    """The figures of two sweeps over so many requests."""
    with consortium(folder, bucket, count) as them:
        them.place(count)
        them.bring_to_stages(SHARES)
        figures: dict[str, Any] = {"requests": count, "statuses": _statuses(them)}
        for name, hours in (("after_five_hours", 5), ("after_a_day_of_silence", 28)):
            before = (them.polled, them.polled_calls)
            them.pass_to(them.now() + timedelta(hours=hours))
            them.tick()
            looks, calls = them.polled - before[0], them.polled_calls - before[1]
            figures[name] = {"looks": looks, "calls": calls, "calls_a_look": round(calls / looks, 2)}
        figures["after_five_hours"]["limit"] = LIMIT_A_LOOK
    return figures


def day(folder: Path, bucket: Bucket, count: int) -> dict[str, Any]:
    """The figures of a simulated day of so many tracked requests."""
    began = time.monotonic()
    with consortium(folder, bucket, round(count * (1 + NEW))) as them:
        them.place(count)
        them.bring_to_stages(SHARES)
        _grow_quiet(them)
        for book in them.books:
            them.plan_next(book, from_the_middle=True)
        them.polled = them.polled_calls = 0
        before, set_up = them.calls(), time.monotonic() - began
        for number in range(288):
            now = START + number * TICK
            them.pass_to(now)
            _live(them, round(count * NEW * (number + 1) / 288) - round(count * NEW * number / 288))
            them.tick()
        calls = them.calls() - before
        scale = TRACKED / count
        return {
            "requests": count,
            "new_ones": len(them.books) - count,
            "looks": them.polled,
            "polling_calls": them.polled_calls,
            "calls_a_look": round(them.polled_calls / them.polled, 2),
            "other_calls": calls - them.polled_calls,
            f"polling_calls_for_{TRACKED}": round(them.polled_calls * scale),
            "limit": LIMIT_A_DAY,
            "statuses": _statuses(them),
            "seconds": {"setting_up": round(set_up), "the_day": round(time.monotonic() - began - set_up)},
        }


def _grow_quiet(them: Consortium) -> None:
    """A day in which nothing happens, so that the intervals are at their longest and spread over the hours."""
    until = START
    while (now := them.now()) < until - timedelta(minutes=20):
        them.pass_to(now + timedelta(minutes=30))
        them.tick()


def _live(them: Consortium, new: int) -> None:
    """What people do before a tick."""
    now = them.now()
    for book in them.books:
        if book.next_at is not None and book.next_at <= now:
            them.move(book)
            them.plan_next(book)
    if new:
        them.place(new)
        for book in them.books[-new:]:
            them.plan_next(book)


def _statuses(them: Consortium) -> dict[str, int]:
    found: Counter[str] = Counter()
    offset = 0
    while page := them.store.list_by(limit=500, offset=offset):
        found.update(str(each.status) for each in page)
        offset += len(page)
    return dict(found.most_common())


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    given = sys.argv[1:] if arguments is None else arguments
    swept, tracked = (int(given[0]) if given else 200), (int(given[1]) if len(given) > 1 else 500)
    folders.reach_this_machine_directly()
    with tempfile.TemporaryDirectory() as name:
        store = servers.start_s3(Path(name) / "s3")
        try:
            client = store.client()
            figures = {}
            for what, measure, count in (("sweep", sweep, swept), ("day", day, tracked)):
                folder = Path(name) / what
                folder.mkdir()
                client.create_bucket(Bucket=f"dcb-{what}")
                figures[what] = measure(folder, Bucket(client, f"dcb-{what}"), count)
        finally:
            store.stop()
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
