"""How many calls an update of items in Alma makes, by the sandbox's own log, beside its bounds and beside a plain loop.

    python -m benchmarks.item_updates [ITEMS]

ITEMS (120) items, one a title, are updated over HTTP by their pids: once changed, once more unchanged, then changed by
their barcodes. Beside it the loop that people write: one GET and one PUT an item, one after the other, whatever the
item has. Prints JSON: `calls_an_item` beside `limit`, and `of_the_loop`, the seconds as a share of what the loop took
in the same run.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from alma_etl.store.bucket import Bucket
from alma_sandbox import Settings, serve
from local import folders, servers
from tests.e2e.items import ItemSandbox
from tests.stores import sqlite_store
from tests.unit.item_updates.alma_world import World, item_row, of_item

LIMIT_CHANGED = 2.05
LIMIT_UNCHANGED = 1.05
LATENCY_MS = 250


def measure(world: World, count: int) -> dict[str, Any]:
    """The figures of one run."""
    items = world.items(count)
    world.alma.settings(latency_ms=LATENCY_MS)

    def timed(work: Callable[[], Any]) -> tuple[float, int]:
        world.alma.forget()
        began = time.monotonic()
        work()
        return time.monotonic() - began, len(world.alma.calls())

    def run(rows: list[dict[str, Any]], outcome: str) -> tuple[float, int]:
        """Of the step that updates; the file was read and the codes were checked before."""
        waiting = world.run(*rows, profile="move")
        found = timed(waiting.load)
        ends = {end["outcome"] for end in waiting.ends()}
        if ends != {outcome}:
            raise RuntimeError(f"the rows ended as {sorted(ends)}, not as {outcome}")
        return found

    changed = [of_item(item, internal_note_2="benchmark") for item in items]
    again = [item_row({"internal_note_2": "again"}, barcode=item["item_data"]["barcode"]) for item in items]
    loop_seconds, loop_calls = timed(lambda: plain_loop(world, items))

    def figures(seconds: float, calls: int, limit: float | None) -> dict[str, Any]:
        found = {
            "calls_an_item": round(calls / len(items), 3),
            "of_the_loop": round(seconds / loop_seconds, 2),
        }
        return found | ({"limit": limit} if limit else {})

    return {
        "items": len(items),
        "latency_ms": LATENCY_MS,
        "plain_loop": {"calls_an_item": round(loop_calls / len(items), 3), "seconds": round(loop_seconds, 1)},
        "changed_by_pid": figures(*run(changed, "updated"), LIMIT_CHANGED),
        "unchanged_by_pid": figures(*run(changed, "unchanged"), LIMIT_UNCHANGED),
        "changed_by_barcode": figures(*run(again, "updated"), None),
    }


def plain_loop(world: World, items: list[dict[str, Any]]) -> None:
    """A GET and a PUT for each item, one after the other."""
    with requests.Session() as session:
        session.headers.update({"Authorization": "apikey sandbox", "Accept": "application/json"})
        for item in items:
            mms_id, holding_id = item["bib_data"]["mms_id"], item["holding_data"]["holding_id"]
            url = f"{world.alma.url}/almaws/v1/bibs/{mms_id}/holdings/{holding_id}/items/{item['item_data']['pid']}"
            found = session.get(url, timeout=60).json()
            found["item_data"]["internal_note_2"] = "loop"
            session.put(url, json=found, timeout=60).raise_for_status()


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    given = sys.argv[1:] if arguments is None else arguments
    count = int(given[0]) if given else 120
    folders.reach_this_machine_directly()
    with tempfile.TemporaryDirectory() as name:
        store = servers.start_s3(Path(name) / "s3")
        try:
            client = store.client()
            client.create_bucket(Bucket="item-updates")
            bucket = Bucket(client, "item-updates")
            with serve(Settings(per_second=0, titles=count + count // 4)) as running:
                world = World(bucket, ItemSandbox(running.url), sqlite_store(Path(name) / "store.db"))
                figures = measure(world, count)
                world.client.close()
        finally:
            store.stop()
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
