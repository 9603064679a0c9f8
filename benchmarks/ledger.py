"""The records of a night in the ledger: written by COPY beside executemany, then read as a page reads them.

    python -m benchmarks.ledger [HOLDINGS]

Starts PostgreSQL on 127.0.0.1, writes a night of 1,000,000 holdings (or as many as named) into the ledger once with
COPY, as the ledger does, and a tenth of it with executemany, as it does on SQLite, each in a process of its own, and
prints JSON:

- `rows_per_second`, `peak_mib`, `import_mib` of each way, and `copy_is_faster`, the ratio of the rates;
- `again_seconds`: a cleared run that replaces the night;
- `page_ms`: medians over reading 50 records of an outcome, the page after, the last runs of each job, and a run,
  in a store with the night and 2,000 other runs.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alma_etl.jobs import ledger as writing
from alma_etl.jobs.ledger import About, Ledger, Results
from alma_etl.jobs.ledger_reading import RunKey, RunRecord
from alma_etl.store.upgrade import upgrade
from local import folders, servers

HOLDINGS = 1_000_000
NIGHT = RunKey("west_holdings", "scheduled__2026-11-20T09:30:00+00:00")
OTHERS = 2_000
TIMES = 21
OUTCOMES = ["delivered"] * 17 + ["no_commitment", "bad_marc", "suppressed"]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the figures."""
    given = [int(each) for each in (sys.argv[1:] if arguments is None else arguments)]
    holdings = given[0] if given else HOLDINGS
    folders.reach_this_machine_directly()
    with tempfile.TemporaryDirectory() as name:
        server = servers.start_postgres(Path(name), durable=True)
        try:
            figures = {}
            for way, rows in (("executemany", holdings // 10), ("copy", holdings)):
                url = server.create_database(way)
                upgrade(url)
                figures[way] = in_a_process(url, way, rows)
            faster = figures["copy"]["rows_per_second"] / figures["executemany"]["rows_per_second"]
            pages = read_pages(server.database_url("copy"))
            print(json.dumps({**figures, "copy_is_faster": round(faster, 1), "page_ms": pages}, indent=2))
        finally:
            server.stop()
    return 0


def in_a_process(url: str, way: str, rows: int) -> dict[str, Any]:
    """Write in a process of its own, whose memory is nobody else's."""
    program = "import sys, benchmarks.ledger as it; it.write(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
    done = subprocess.run(
        [sys.executable, "-c", program, url, way, str(rows)], check=True, capture_output=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write(url: str, way: str, rows: int) -> None:
    """Write the night, and with COPY once more, and print what that took."""
    ledger = Ledger(url)
    attempt = ledger.begin(NIGHT, About("west_holdings", "59000000000004401"))
    if way == "executemany":
        writing.copy_records = writing.insert_records
    before = peak()
    seconds = [replaced(ledger, attempt, rows) for _ in range(2 if way == "copy" else 1)]
    figures = {"rows": rows, "seconds": round(seconds[0], 1), "rows_per_second": round(rows / seconds[0])}
    if way == "copy":
        figures["again_seconds"] = round(seconds[1], 1)
    print(json.dumps({**figures, "import_mib": before, "peak_mib": peak()}))
    ledger.close()


def replaced(ledger: Ledger, attempt: int, rows: int) -> float:
    """Seconds that it takes to replace the night's records."""
    began = time.perf_counter()
    ledger.replace(NIGHT, Results({"delivered": rows}, records=night(rows)), attempt)
    return time.perf_counter() - began


def night(rows: int) -> Iterator[RunRecord]:
    """Records as those of a delivery."""
    for number in range(rows):
        outcome = OUTCOMES[number % len(OUTCOMES)]
        yield RunRecord(
            outcome,
            "ZZMAIN",
            mms_id=f"99{number:012d}4401",
            holding_id=f"22{number:012d}4401",
            label=f"Annals of the history of libraries, series {number}",
            reasons="" if outcome == "delivered" else "583c;STMT",
        )


def read_pages(url: str) -> dict[str, float]:
    """Medians of what pages read, in milliseconds."""
    ledger = Ledger(url)
    for number in range(OTHERS):
        key = RunKey("item_creation", f"run {number}")
        ledger.finish(
            key, "done", "", ledger.begin(key, About("item_creation", f"items/incoming/a/{number}.csv"))
        )
    middle = ledger.records(NIGHT, outcome="bad_marc", limit=20_000)[-1]
    reads: dict[str, Callable[[], object]] = {
        "first_page_of_an_outcome": lambda: ledger.records(NIGHT, outcome="bad_marc"),
        "a_later_page": lambda: ledger.records(NIGHT, outcome="bad_marc", after=middle),
        "an_outcome_without_records": lambda: ledger.records(NIGHT, outcome="failed"),
        "last_runs": lambda: ledger.last_runs(["west_holdings", "item_creation", "file_intake"]),
        "runs_of_a_job": lambda: ledger.runs(job="item_creation"),
        "one_run": lambda: ledger.run(NIGHT),
    }
    found = {
        name: round(statistics.median(timed(read) for _ in range(TIMES)), 2) for name, read in reads.items()
    }
    ledger.close()
    return found


def timed(read: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    read()
    return 1000 * (time.perf_counter() - began)


def peak() -> float:
    """The largest resident size of this process so far, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    sys.exit(main())
