"""How many calls an update of items makes, by the sandbox's own log, beside its bounds and beside a plain loop.

    python -m benchmarks.item_updates [ITEMS]

ITEMS (120) items, one a title, are updated over HTTP by their pids: once changed, once more unchanged, then changed by
their barcodes. Beside it the loop that people write: one GET and one PUT an item, one after the other, whatever the
item has. Then the same in Aleph, also without an undo file, beside a loop of read-item and update-item. Prints JSON:
`calls_an_item` beside `limit`, and `of_the_loop`, the seconds as a share of what the loop took in the same run.
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

from alma_etl.aleph.client import AlephAccess, AlephClient
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.bucket import Bucket
from alma_sandbox import Settings, serve
from local import folders, servers
from tests.e2e.item_updates import BothSystems
from tests.e2e.items import ItemSandbox
from tests.stores import sqlite_store
from tests.unit.item_updates import aleph_runs
from tests.unit.item_updates.alma_world import World, item_row, of_item

LIMIT_CHANGED = 2.05
LIMIT_UNCHANGED = 1.05
ALEPH_CHANGED, ALEPH_OTHERS = 2.0, 1.0
LATENCY_MS = 250
LIBRARY = "USM50"


def measure(world: World, count: int) -> dict[str, Any]:
    """The figures of one run in Alma."""
    items = world.items(count)
    meter = Meter(world.alma, count)

    def run(rows: list[dict[str, Any]], outcome: str, limit: float | None) -> dict[str, Any]:
        """Of the step that updates; the file was read and the codes were checked before."""
        waiting = world.run(*rows, profile="move")
        found = meter.figures(waiting.load, limit)
        expect(waiting.ends(), outcome)
        return found

    changed = [of_item(item, internal_note_2="benchmark") for item in items]
    again = [item_row({"internal_note_2": "again"}, barcode=item["item_data"]["barcode"]) for item in items]
    return {
        "plain_loop": meter.loop(lambda: plain_loop(world, items)),
        "changed_by_pid": run(changed, "updated", LIMIT_CHANGED),
        "unchanged_by_pid": run(changed, "unchanged", LIMIT_UNCHANGED),
        "changed_by_barcode": run(again, "updated", None),
    }


def measure_aleph(world: World, count: int) -> dict[str, Any]:
    """The figures of one run in Aleph, as fast as Alma is asked."""
    access = AlephAccess(world.alma.url, LIBRARY, "WWW-X", "WWW-X")
    keys = list(BothSystems(world.alma.url).aleph_items())[:count]
    meter = Meter(world.alma, count)

    def run(name: str, note: str, outcome: str, limit: float, **profile: Any) -> dict[str, Any]:
        rows = [aleph_runs.row(key[:9], key[9:], note_opac=note) for key in keys]
        waiting = aleph_runs.Run(world.bucket, world.store, client, *rows, name=name, **profile)
        waiting.read()
        found = meter.figures(waiting.update, limit)
        expect(waiting.ends(), outcome)
        return found

    with AlephClient(access, limiter=LocalLimiter(1000), max_in_flight=24) as client:
        return {
            "plain_loop": meter.loop(lambda: plain_aleph_loop(world.alma.url, keys)),
            "changed": run("changed", "benchmark", "updated", ALEPH_CHANGED),
            "unchanged": run("unchanged", "benchmark", "unchanged", ALEPH_OTHERS),
            "changed_without_undo": run("no-undo", "again", "updated", ALEPH_OTHERS, undo=False),
        }


class Meter:
    """Calls and seconds of some work on so many items, beside those of a loop measured before."""

    def __init__(self, sandbox: ItemSandbox, items: int) -> None:
        self._sandbox, self._items, self._loop_seconds = sandbox, items, 0.0

    def _timed(self, work: Callable[[], Any]) -> tuple[float, float]:
        self._sandbox.forget()
        began = time.monotonic()
        work()
        return time.monotonic() - began, round(len(self._sandbox.calls()) / self._items, 3)

    def loop(self, work: Callable[[], Any]) -> dict[str, float]:
        """Measure the loop."""
        self._loop_seconds, calls = self._timed(work)
        return {"calls_an_item": calls, "seconds": round(self._loop_seconds, 1)}

    def figures(self, work: Callable[[], Any], limit: float | None) -> dict[str, float]:
        """Measure work of ours."""
        seconds, calls = self._timed(work)
        found = {"calls_an_item": calls, "of_the_loop": round(seconds / self._loop_seconds, 2)}
        return found | ({"limit": limit} if limit else {})


def expect(ends: list[dict[str, Any]], outcome: str) -> None:
    """Raise RuntimeError unless all rows ended so."""
    if found := {end["outcome"] for end in ends} - {outcome}:
        raise RuntimeError(f"rows ended as {sorted(found)}, not as {outcome}")


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


def plain_aleph_loop(url: str, keys: list[str]) -> None:
    """A read-item and an update-item for each item, one after the other."""
    with requests.Session() as session:
        for key in keys:
            form = {"library": LIBRARY, "translate": "N", "doc_number": key[:9], "item_sequence": key[9:]}
            session.post(f"{url}/X", data={**form, "op": "read-item"}, timeout=60).raise_for_status()
            record = (
                f"<update-item><z30><z30-doc-number>{key[:9]}</z30-doc-number><z30-item-sequence>{key[9:]}"
                "</z30-item-sequence><z30-note-opac>loop</z30-note-opac></z30></update-item>"
            )
            form = {"op": "update-item", "library": LIBRARY, "xml_full_req": record}
            session.post(f"{url}/X", data=form, timeout=60).raise_for_status()


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
                world.alma.settings(latency_ms=LATENCY_MS)
                figures = {"items": count, "latency_ms": LATENCY_MS, "alma": measure(world, count)}
                figures["aleph"] = measure_aleph(world, count)
                world.client.close()
        finally:
            store.stop()
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
