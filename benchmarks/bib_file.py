"""Memory of an import of bibliographic records as the file grows: reading, one chunk, and the report.

    python -m benchmarks.bib_file [RECORDS ...]

Starts an S3 server and a sandbox on 127.0.0.1 and makes a dry run on files of 10,000 and 100,000 records, or of as many
as are named, each step in a process of its own. Prints JSON, for each step:

- `peak_mib`, `import_mib`: the largest resident size of that process at work, and its size before;
- `times_the_first`: the peak as a multiple of the smallest file's;
- `seconds`: the wall time of the process.

A chunk has as many records whatever the file's size, since a million are cut into a thousand. The first one is matched
and loaded; to keep within minutes the ends of the others are made up from its own, a fifth of them merged with a title
that was kept, a tenth rejected. Ends with 1 where a step takes more than `GROWTH_MIB` more than for the smallest file.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any

from pymarc import Record

from alma_etl.alma.client import AlmaClient
from alma_etl.bibs.matches import matches_of
from alma_etl.bibs.rows import BibOutcome
from alma_etl.inventory.codes import alma_of
from alma_etl.jobs.file_job import JobContext
from alma_etl.jobs.outcomes import Row
from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.bucket import Bucket
from alma_sandbox import Settings, serve
from benchmarks.bib_import import BIBS, JOB, add, made_up
from benchmarks.memory import peak_mib, restart_peak
from local import folders, servers
from tests.e2e.items import ItemSandbox
from tests.stores import sqlite_store

SIZES = (10_000, 100_000)
CHUNK = 1_000
FIRST = 10_000_000  # all OCLC numbers have as many digits: the order of the file is that of the chunks
REJECTED_EACH, MERGED_EACH = 10, 5
GROWTH_MIB = 24  # SQLite keeps 16 MiB of pages, which the smallest file does not fill
BUCKET = "bib-file"
STEPS = ("read", "chunk", "report")


def main(arguments: list[str] | None = None) -> int:
    """Measure each size and print the figures."""
    given = [int(each) for each in (sys.argv[1:] if arguments is None else arguments)]
    sizes = sorted(given) or list(SIZES)
    folders.reach_this_machine_directly()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        server = servers.start_s3(Path(name) / "s3")
        stack.callback(server.stop)
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        alma = stack.enter_context(serve(Settings(per_second=0, titles=20)))
        add(ItemSandbox(alma.url), [_record(each, "Old") for each in range(0, CHUNK, MERGED_EACH)])
        bucket = Bucket(client, BUCKET)
        bucket.put("config/bib_profiles.yaml", f"profiles:\n  catalog: {{}}\nchunk_size: {CHUNK}\n".encode())
        reach = [server.endpoint_url, server.access_key, server.secret_key, alma.url]
        reach.append(sqlite_store(Path(name) / "store.db"))
        for size in sizes:
            with _file(Path(name), size) as path, path.open("rb") as stream:
                bucket.upload(_key(size), stream, "application/marc")
            figures[f"{size:,} records"] = {step: _in_a_process(reach, step, size) for step in STEPS}
            bucket.delete(each.key for each in bucket.list("runs/"))
    first = next(iter(figures.values()))
    for found in figures.values():
        for step, each in found.items():
            each["times_the_first"] = round(each["peak_mib"] / first[step]["peak_mib"], 2)
    print(json.dumps(figures, indent=2))
    return int(
        any(
            found[step]["peak_mib"] > first[step]["peak_mib"] + GROWTH_MIB
            for found in figures.values()
            for step in STEPS
        )
    )


def _key(size: int) -> str:
    return f"bibs/incoming/catalog/{size}.mrc"


@contextmanager
def _file(folder: Path, size: int) -> Iterator[Path]:
    """A file of so many records, for as long as it is needed here."""
    path = folder / "records.mrc"
    with path.open("wb") as stream:
        for number in range(size):
            stream.write(to_iso2709(_record(number, "New")))
    yield path
    path.unlink()


def _record(number: int, title: str) -> Record:
    record = made_up(FIRST + number, f"{title} annals of everything and of nothing, volume {number}")
    if number % REJECTED_EACH == REJECTED_EACH - 1:
        record.remove_fields("035")
    return record


def _in_a_process(reach: list[str], step: str, size: int) -> dict[str, Any]:
    """Do a step in a process of its own, whose memory is nobody else's."""
    if step == "report":
        _run_process(reach, "made_up_ends", size)
    start = time.perf_counter()
    found = _run_process(reach, step, size)
    return {**found, "seconds": round(time.perf_counter() - start, 1)}


def _run_process(reach: list[str], step: str, size: int) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json, sys; from benchmarks.bib_file import work; work(*json.load(sys.stdin))",
        ],
        input=json.dumps([reach, step, size]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def work(reach: list[str], step: str, size: int) -> None:
    """What the process does; prints its largest size."""
    *s3, alma, store = reach
    bucket = Bucket(servers.s3_client(*s3), BUCKET)
    before = restart_peak()
    with closing(AlmaClient(alma, "sandbox", limiter=LocalLimiter(10_000))) as client:
        context = JobContext(
            folder=JOB.run_folder(bucket, f"run-{size}", BIBS.dag_id),
            params={"key": _key(size), "dry_run": True},
            day=date(2026, 11, 30),
            open_client=lambda kind: nullcontext(None if kind == "sru" else client),
            store_url=lambda: store,
            connections={"alma": "alma_default"},
        )
        {"read": _read, "chunk": _chunk, "made_up_ends": _make_up_ends, "report": _report}[step](
            context, client, size
        )
    print(json.dumps({"peak_mib": round(peak_mib(), 1), "import_mib": round(before, 1)}))


def _read(context: JobContext, client: AlmaClient, size: int) -> None:
    chunks = JOB.read(context)
    plan = context.folder.plan()
    if plan.rows != size or plan.rejected != size // REJECTED_EACH:
        raise RuntimeError(
            f"{plan.rows} records of {size}, {plan.rejected} of them rejected, in {len(chunks)} chunks"
        )


def _chunk(context: JobContext, client: AlmaClient, size: int) -> None:
    JOB.run_step("check", context)
    JOB.chunk_step("match", context, 1)
    ends = JOB.chunk_step("load", context, 1)
    if set(ends) != {"would_create", "would_merge"}:
        raise RuntimeError(f"the records of the first chunk ended as {ends}")


def _make_up_ends(context: JobContext, client: AlmaClient, size: int) -> None:
    """What the other chunks would have left behind."""
    run = context.folder
    target = alma_of(client, run)
    kept = {each["outcome"]: each for each in matches_of(run, 1, target).rows().values()}

    def match(row: Row) -> dict[str, Any]:
        outcome = BibOutcome.MERGED if row["line"] % MERGED_EACH == 1 else BibOutcome.CREATED
        return {**kept[outcome], "line": row["line"], "key": row["key"]}

    for number in range(2, run.plan().chunks + 1):
        rows = list(run.rows(number))
        matches = [match(row) for row in rows]
        matches_of(run, number, target).complete(matches)
        would = {BibOutcome.MERGED: BibOutcome.WOULD_MERGE, BibOutcome.CREATED: BibOutcome.WOULD_CREATE}
        JOB.ends_of(run, number, target).complete(
            JOB.end(row, would[BibOutcome(each["outcome"])], mms_id=each["mms_id"])
            for row, each in zip(rows, matches, strict=True)
        )


def _report(context: JobContext, client: AlmaClient, size: int) -> None:
    keys = JOB.report(context)
    if not {"csv", "xlsx", "html", "changes", "rejects"} <= keys.keys():
        raise RuntimeError(f"written were {', '.join(keys)} alone")


if __name__ == "__main__":
    raise SystemExit(main())
