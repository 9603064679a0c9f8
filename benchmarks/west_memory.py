"""Memory of a WEST run's conversion and assembly, as the number of holdings grows, beside all records in a list.

    python -m benchmarks.west_memory [HOLDINGS ...]

Starts an S3 server on 127.0.0.1, fills it with the chunks of runs of 1,000, 10,000 and 100,000 holdings (each
compared with a last delivery of the same size), does the work in a process of its own for each, and prints JSON:

- `peak_mib`, `import_mib`: the largest resident size of that process at work, and its size before;
- `times_the_first`: what the work took (peak less import) as a multiple of the smallest run's;
- `all_in_a_list`: the same for a process that holds all records in a list before it writes them, as the known
  scripts do (not for the largest run);
- `seconds`: the wall time of the process.

The first chunks are converted from Alma's XML; to keep within minutes the others are copies with ids of their own.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.marc.xml import record_from_xml
from alma_etl.store.bucket import Bucket, json_line
from alma_etl.west.assembly import assemble_delivery
from alma_etl.west.converting import RECORDS, convert_to_marc21, converted
from alma_etl.west.converting import RESULT as CONVERTED
from alma_etl.west.fetching import RESULT as FETCHED
from alma_etl.west.listing import RESULT as LISTING
from alma_etl.west.naming import FOLDER, DeliveryName
from alma_etl.west.outcomes import COLUMNS
from alma_etl.west.run import InputCounts, RunFolder, WestPlan
from alma_etl.west.settings import WestSettings
from benchmarks.memory import peak_mib, restart_peak
from local import folders, servers

SIZES = (1_000, 10_000, 100_000)
CHUNK = 500  # titles, one holding each
CONVERTED_CHUNKS = 20
BUCKET = "west-memory"
LARGEST_LIST = 10_000

RECORD = (
    "<record><leader>     cy  a22     1n 4500</leader><controlfield tag='001'>migrated</controlfield>"
    "<controlfield tag='008'>1803152u    8   1001uueng0180315</controlfield>"
    "<datafield tag='583' ind1='1' ind2=' '><subfield code='a'>committed to retain</subfield>"
    "<subfield code='c'>20180315</subfield><subfield code='d'>20351231</subfield><subfield code='f'>WEST</subfield>"
    "<subfield code='2'>pda</subfield><subfield code='5'>ZzSB</subfield></datafield>"
    "<datafield tag='852' ind1='0' ind2=' '><subfield code='b'>MAIN</subfield><subfield code='c'>stacks</subfield>"
    "<subfield code='h'>AP2 .W4</subfield></datafield>"
    f"<datafield tag='866' ind1=' ' ind2='0'><subfield code='a'>v.1-24, {'26-40, ' * 60}1999</subfield></datafield>"
    "</record>"
)
_ID = re.compile(rb"(22|99)(\d{12})4401")
NUMBERS = [["022", " ", " ", [["a", "0317-8471"]]], ["035", " ", " ", [["a", "(OCoLC)1234"]]]]


def main(arguments: list[str] | None = None) -> int:
    """Measure each size and print the figures."""
    given = [int(each) for each in (sys.argv[1:] if arguments is None else arguments)]
    sizes = sorted(given) or list(SIZES)
    folders.reach_this_machine_directly()
    with tempfile.TemporaryDirectory() as name:
        server = servers.start_s3(Path(name))
        try:
            server.client().create_bucket(Bucket=BUCKET)
            reach = [server.endpoint_url, server.access_key, server.secret_key]
            print(json.dumps(measure_all(reach, sizes), indent=2))
        finally:
            server.stop()
    return 0


def measure_all(reach: list[str], sizes: list[int]) -> dict[str, Any]:
    """The figures of every size."""
    figures: dict[str, Any] = {}
    first: dict[str, float] = {}
    bucket = Bucket(servers.s3_client(*reach), BUCKET)
    for size in sizes:
        prepare(bucket, size)
        ways = ["ours", *(["all_in_a_list"] if size <= LARGEST_LIST else [])]
        found = {way: in_a_process(reach, way, size) for way in ways}
        for way, each in found.items():
            work = each["peak_mib"] - each["import_mib"]
            each["times_the_first"] = round(work / first.setdefault(way, work), 2)
        figures[f"{size:,} holdings"] = found
    return figures


def in_a_process(reach: list[str], way: str, size: int) -> dict[str, Any]:
    """Do the work in a process of its own, whose memory is nobody else's."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.west_memory_work"],
        input=json.dumps([reach, way, size]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "seconds": round(time.perf_counter() - start, 1)}


def work(reach: list[str], way: str, size: int) -> dict[str, float]:
    """What the process does: convert the first chunks and assemble all, or hold all records in a list."""
    bucket = Bucket(servers.s3_client(*reach), BUCKET)
    folder = folder_of(bucket, size)
    before = restart_peak()
    if way == "ours":
        for number in range(1, min(size // CHUNK, CONVERTED_CHUNKS) + 1):
            convert_to_marc21(folder, number)
        assembly = assemble_delivery(folder)
        records = assembly.counts["delivered"]
    else:
        found = [
            record_from_xml(row["record"].encode())
            for number in range(1, size // CHUNK + 1)
            for row in bucket.read_rows(folder.chunk_key(number, FETCHED))
        ]
        bucket.put(folder.key("list.mrc"), b"".join(map(to_iso2709, found)))
        records = len(found)
    if records != size:
        raise RuntimeError(f"{records} records of {size}")
    return {"peak_mib": round(peak_mib(), 1), "import_mib": round(before, 1)}


def folder_of(bucket: Bucket, size: int) -> RunFolder:
    """The run of a size."""
    return RunFolder(bucket, f"run-{size}")


def prepare(bucket: Bucket, size: int) -> None:
    """The chunks, the plan and the last delivery of a run."""
    folder, chunks = folder_of(bucket, size), size // CHUNK
    settings = WestSettings(set_id="1", oclc_symbol=f"ZZ{size}")
    plan = WestPlan(
        run_id=folder.run_id,
        settings=settings,
        day=date(2026, 11, 20),
        source="set 1",
        counts=InputCounts(total=size, titles=size),
        chunks=chunks,
        titles=size,
    )
    folder.write_plan(plan)
    for number in range(1, min(chunks, CONVERTED_CHUNKS) + 1):
        _write_fetched(folder, number)
    if chunks > CONVERTED_CHUNKS:
        convert_to_marc21(folder, 1)
        for number in range(CONVERTED_CHUNKS + 1, chunks + 1):
            _copy_converted(folder, number)
    last = DeliveryName(f"ZZ{size}", date(2026, 11, 19))
    bucket.put(FOLDER + last.marc, b"x")
    with bucket.writer(FOLDER + last.outcomes) as stream:
        stream.write(",".join(COLUMNS).encode() + b"\n")
        for number in range(size):
            stream.write(f"{_id('99', number)},{_id('22', number)},delivered,,Annals\n".encode())


def _id(kind: str, number: int) -> str:
    return f"{kind}{number:012d}4401"


def _write_fetched(folder: RunFolder, chunk: int) -> None:
    listed, fetched = [], []
    for number in range((chunk - 1) * CHUNK, chunk * CHUNK):
        mms_id, holding_id = _id("99", number), _id("22", number)
        holding = {"holding_id": holding_id, "library": "MAIN", "location": "stacks", "suppressed": None}
        listed.append(
            {
                "mms_id": mms_id,
                "status": "listed",
                "reason": "",
                "title": f"Annals of everything {number}",
                "has_record": True,
                "numbers": NUMBERS,
                "holdings": [holding],
                "fell_back": False,
            }
        )
        fetched.append(
            {
                "mms_id": mms_id,
                "holding_id": holding_id,
                "status": "fetched",
                "reason": "",
                "suppressed": False,
                "record": RECORD,
            }
        )
    folder.write_mms_ids(chunk, [row["mms_id"] for row in listed])
    for name, rows in ((LISTING, listed), (FETCHED, fetched)):
        folder.bucket.put(folder.chunk_key(chunk, name), b"".join(map(json_line, rows)))


def _copy_converted(folder: RunFolder, chunk: int) -> None:
    """The first chunk's results, with the ids of another one; ids are of one length, so the records stay valid."""
    shift = (chunk - 1) * CHUNK
    with converted(folder, folder.plan(), 1) as found:
        pairs = list(found or ())
    results = {
        RECORDS: b"".join(data for _, data in pairs),
        CONVERTED: b"".join(json_line(row) for row, _ in pairs),
        LISTING: folder.bucket.get(folder.chunk_key(1, LISTING)),
    }
    folder.write_mms_ids(chunk, [_id("99", number + shift) for number in range(CHUNK)])
    for name, data in results.items():
        moved = _ID.sub(lambda match: _id(match[1].decode(), int(match[2]) + shift).encode(), data)
        folder.bucket.put(folder.chunk_key(chunk, name), moved)


if __name__ == "__main__":
    raise SystemExit(main())
