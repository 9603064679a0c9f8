"""How fast holdings are fetched, beside one request at a time and beside the rate that Alma allows.

    python -m benchmarks.west_fetch [HOLDINGS]

Starts the sandbox and an S3 server on 127.0.0.1 and fetches holdings (400 unless given) as a WEST run does,
at a configured rate of 20 requests a second from a sandbox that refuses beyond 25, once with an answer time of
90 ms and once with 900 ms. Prints JSON, for each answer time:

- `of_the_rate`: share of the configured rate that was kept busy between the first and the last request of the step;
- `fullest_second`: most requests that the sandbox met in any second; `refused`: its answers 429;
- `times_a_plain_loop`: how many times faster than a loop of single requests over one connection;
- `plain_loop_of_the_rate`: what that loop makes of the same rate.
"""

import json
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import requests

from alma_etl.alma.client import AlmaClient
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.bucket import Bucket
from alma_etl.west.fetching import fetch_holdings
from alma_etl.west.listing import list_holdings, listed_titles
from alma_etl.west.run import InputCounts, RunFolder, WestPlan
from alma_etl.west.settings import WestSettings
from local import folders, servers

RATE, THRESHOLD = 20, 25  # requests a second: what we allow ourselves, where Alma refuses
LATENCIES = (90, 900)  # milliseconds
LOOP_SECONDS = 15
ALL_TITLES = "59000000000004401"


def main(arguments: list[str] | None = None) -> int:
    """Measure at each answer time and print the figures."""
    given = sys.argv[1:] if arguments is None else arguments
    titles = int(given[0]) if given else 400
    folders.reach_this_machine_directly()
    with tempfile.TemporaryDirectory() as name:
        store = servers.start_s3(Path(name) / "s3")
        try:
            client = store.client()
            client.create_bucket(Bucket="west-fetch")
            bucket = Bucket(client, "west-fetch")
            figures = {f"{latency} ms": measure(Path(name), bucket, titles, latency) for latency in LATENCIES}
        finally:
            store.stop()
    print(json.dumps(figures, indent=2))
    return 0


def measure(place: Path, bucket: Bucket, titles: int, latency: int) -> dict[str, Any]:
    """The figures at one answer time."""
    sandbox = servers.start_sandbox(place / f"sandbox-{latency}", titles=titles, per_second=THRESHOLD)
    try:
        folder = RunFolder(bucket, f"latency-{latency}")
        mms_ids = [row["id"] for row in _members(sandbox.url, titles)]
        _plan(folder, mms_ids)
        with AlmaClient(sandbox.url, "sandbox", limiter=LocalLimiter(RATE)) as alma:
            list_holdings(alma, folder, 1)
            requests.post(
                f"{sandbox.url}/sandbox/settings", json={"latency_ms": latency}, timeout=30
            ).raise_for_status()
            requests.delete(f"{sandbox.url}/sandbox/log", timeout=30).raise_for_status()
            fetched = fetch_holdings(alma, folder, 1)
        log = requests.get(f"{sandbox.url}/sandbox/log", timeout=60).json()
        met = sorted(entry["received"] for entry in log["entries"])
        ours = (len(met) - 1) / (met[-1] - met[0])
        loop = _plain_loop(sandbox.url, folder)
        return {
            "holdings": fetched["holdings"],
            "of_the_rate": round(ours / RATE, 3),
            "fullest_second": log["counts"]["peak_per_second"],
            "refused": log["counts"]["by_status"].get("429", 0),
            "times_a_plain_loop": round(ours / loop, 1),
            "plain_loop_of_the_rate": round(loop / RATE, 3),
        }
    finally:
        sandbox.stop()


def _members(url: str, titles: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < titles:
        answer = requests.get(
            f"{url}/almaws/v1/conf/sets/{ALL_TITLES}/members",
            params={"limit": 100, "offset": len(found)},
            headers={"Authorization": "apikey sandbox", "Accept": "application/json"},
            timeout=60,
        )
        answer.raise_for_status()
        found += answer.json()["member"]
    return found


def _plan(folder: RunFolder, mms_ids: list[str]) -> None:
    folder.write_mms_ids(1, mms_ids)
    folder.write_plan(
        WestPlan(
            run_id=folder.run_id,
            settings=WestSettings(set_id=ALL_TITLES, oclc_symbol="ZZMAIN"),
            day=date(2026, 11, 20),
            source="sandbox",
            counts=InputCounts(total=len(mms_ids), titles=len(mms_ids)),
            chunks=1,
            titles=len(mms_ids),
        )
    )


def _plain_loop(url: str, folder: RunFolder) -> float:
    """Requests a second of a loop over one connection, for some seconds."""
    pairs = [
        (row["mms_id"], holding["holding_id"])
        for row in listed_titles(folder, 1)
        for holding in row["holdings"]
    ]
    session = requests.Session()
    session.headers.update({"Authorization": "apikey sandbox", "Accept": "application/xml"})
    start, done = time.perf_counter(), 0
    while (took := time.perf_counter() - start) < LOOP_SECONDS:
        mms_id, holding_id = pairs[done % len(pairs)]
        session.get(f"{url}/almaws/v1/bibs/{mms_id}/holdings/{holding_id}", timeout=60).raise_for_status()
        done += 1
    return done / took


if __name__ == "__main__":
    raise SystemExit(main())
