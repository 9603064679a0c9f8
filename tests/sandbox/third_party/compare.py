"""Alma clients from PyPI beside our own, under the same faults: `python -m tests.sandbox.third_party.compare`.

Prints a Markdown table; `docs/adr/0004-own-alma-client.md` has one. Takes some ten minutes and needs PyPI. Each cell
is one run against a sandbox of its own, on this machine only.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alma_etl.store.upgrade import upgrade
from alma_sandbox import FaultRule, Settings, serve
from alma_sandbox.catalogue import ids

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PACKAGES = {
    "almapy": ["almapy==9.3.1"],
    "almapiwrapper": ["almapiwrapper==1.9.7", "requests==2.34.2", "lxml==6.1.3", "pandas", "openpyxl"],
    "almapipy": ["almapipy==1.0.3", "requests==2.34.2"],
}
CLIENTS = ("alma_airflow", *PACKAGES)
LONGEST = 120  # seconds for one run
TITLES = [ids.mms_id(title) for title in range(150)]


@dataclass(frozen=True)
class Case:
    """A job under certain settings and faults; `given` has the ids for each process at once."""

    name: str
    job: str
    given: list[list[str]]
    settings: dict[str, int | str] = field(default_factory=dict)
    faults: list[FaultRule] = field(default_factory=list)


CASES = [
    Case("150 bibs, 0.2 s each, 25 calls a second", "bibs", [TITLES], {"latency_ms": 200}),
    Case("the same by four processes", "bibs", [TITLES[n::4] for n in range(4)], {"latency_ms": 200}),
    Case(
        "one call in ten refused by the threshold", "bibs", [TITLES], {},
        [FaultRule(kind="per_second", every=10)],
    ),
    Case("50 calls a day", "bibs", [TITLES], {"daily": 50, "per_second": 0}),
    Case("a page of HTML with status 200, once", "bibs", [TITLES[:1]], {}, [FaultRule(kind="maintenance", first=1)]),
    Case("400 members of a set that shifts meanwhile", "members", [[ids.ALL_TITLES_SET]], {"set_paging": "shifting"}),
    Case(
        "a holding is made, the answer is lost", "holding", [TITLES[:1]], {},
        [FaultRule(kind="drop", method="POST", path="/holdings(\\?|$)", first=1)],
    ),
]  # fmt: skip


def installed(folder: Path) -> dict[str, Path]:
    """The interpreter of each client, in an environment of its own."""
    found = {"alma_airflow": Path(sys.executable)}
    for client, packages in PACKAGES.items():
        home = folder / client
        venv.create(home, with_pip=True)
        found[client] = home / "bin" / "python"
        command = [found[client], "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        subprocess.run(command, check=True)
    return found


def measured(case: Case, client: str, python: Path, folder: Path) -> str:
    """One cell of the table."""
    store = f"sqlite:///{folder}/{client}.{time.monotonic_ns()}.db"
    if client == "alma_airflow":
        upgrade(store)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT / "include")}
    with serve(Settings(**{"titles": 400, "per_second": 25, **case.settings})) as running:
        sandbox = running.sandbox
        for rule in case.faults:
            sandbox.faults.add(rule)
        bib = TITLES[0]
        before = len(sandbox.catalogue.holdings_of(bib))
        started = time.monotonic()
        workers = [
            subprocess.Popen(
                [python, HERE / "clients/compare_one.py", client, case.job, running.url, folder, store, *given],
                env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for given in case.given
        ]  # fmt: skip
        ends = []
        for worker in workers:
            try:
                out, err = worker.communicate(timeout=LONGEST)
            except subprocess.TimeoutExpired:
                worker.kill()
                out, err = worker.communicate()[0], f"still at it after {LONGEST} s"
            ends.append(json.loads(out.splitlines()[-1]) if out.strip() else {"rows": 0, "said": err[-200:]})
        seconds = time.monotonic() - started
        calls = list(sandbox.log.entries)
        refused = sum(call.status == 429 for call in calls)
        made = len(sandbox.catalogue.holdings_of(bib)) - before
    said = sorted({end["said"] for end in ends} - {""})
    words = [f"{sum(end['rows'] for end in ends)} rows", f"{len(calls)} sent"]
    words += [f"{refused} refused"] if refused else []
    words += (
        [f"{made} made"]
        if case.job == "holding"
        else [f"{seconds:.0f} s"]
        if "latency_ms" in case.settings
        else []
    )
    return ", ".join([*words, *said])


def lines(folder: Path) -> Iterator[str]:
    """The table, line by line."""
    pythons = installed(folder)
    yield "| | " + " | ".join(CLIENTS) + " |"
    yield "|---" * (len(CLIENTS) + 1) + "|"
    for case in CASES:
        cells = [measured(case, client, pythons[client], folder) for client in CLIENTS]
        yield f"| {case.name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="alma-clients-") as made:
        for line in lines(Path(made)):
            print(line, flush=True)
