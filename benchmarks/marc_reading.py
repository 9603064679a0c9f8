"""Reading a dropped file of MARC, beside pymarc's own reader, and memory as the file grows.

    python -m benchmarks.marc_reading [RECORDS ...]

Writes files of 10,000 and 100,000 records of some 40 subfields, every seventh with other letters than ASCII, into a
temporary folder (a million records are 1.1 GB), reads each in a process of its own, and prints JSON:

- `cpu_seconds`: the processor time of our reader; of pymarc's `MARCReader` for the same file (not for the largest);
- `times_pymarc`: the one as a multiple of the other. Ours also checks the directory against the data, the encoding of
  every record, tags, indicators and subfield codes;
- `xml_times_pymarc`: the same for MARCXML, beside `pymarc.map_xml`, which is done for the smallest size only;
- `peak_mib`: the largest resident size of the reading process;
- `excerpt_peak_mib`: the same while every tenth record is written out as a reject.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from pymarc import Field, Indicators, MARCReader, Record, Subfield, map_xml, record_to_xml

from alma_etl.marc.files import open_marc

SIZES = (10_000, 100_000)
LARGEST_OF_PYMARC = 100_000
LARGEST_XML = 10_000


def main(arguments: list[str] | None = None) -> int:
    """Measure each size and print the figures."""
    given = [int(each) for each in (sys.argv[1:] if arguments is None else arguments)]
    sizes = sorted(given) or list(SIZES)
    with tempfile.TemporaryDirectory() as folder:
        figures = {f"{size:,} records": measure(Path(folder), size) for size in sizes}
    print(json.dumps(figures, indent=2))
    return 0


def measure(folder: Path, size: int) -> dict[str, Any]:
    """The figures of one size."""
    path, xml = folder / "records.mrc", folder / "records.xml"
    _write(path, size)
    ours, excerpt = _in_a_process("ours", path, size), _in_a_process("excerpt", path, size)
    found: dict[str, Any] = {
        "mb": round(path.stat().st_size / 1e6),
        "cpu_seconds": {"ours": ours["cpu"]},
        "peak_mib": ours["peak_mib"],
        "excerpt_peak_mib": excerpt["peak_mib"],
    }
    if size <= LARGEST_OF_PYMARC:
        pymarc = _in_a_process("pymarc", path, size)
        found["cpu_seconds"]["pymarc"] = pymarc["cpu"]
        found["times_pymarc"] = round(ours["cpu"] / pymarc["cpu"], 2)
    if size <= LARGEST_XML:
        _write_xml(xml, path)
        pair = [_in_a_process(way, xml, size) for way in ("ours", "pymarc_xml")]
        found["xml_times_pymarc"] = round(pair[0]["cpu"] / pair[1]["cpu"], 2)
        found["xml_peak_mib"] = pair[0]["peak_mib"]
        xml.unlink()
    path.unlink()
    return found


def _write(path: Path, size: int) -> None:
    kinds = [_record(number).as_marc() for number in range(70)]
    with path.open("wb") as stream:
        for number in range(size):
            stream.write(kinds[number % len(kinds)])


def _write_xml(path: Path, source: Path) -> None:
    with path.open("wb") as stream:
        stream.write(b'<collection xmlns="http://www.loc.gov/MARC21/slim">\n')
        for row in open_marc(source).rows():
            stream.write(record_to_xml(row.record) + b"\n")
        stream.write(b"</collection>\n")


def _record(number: int) -> Record:
    title = "Журнал für Étude" if number % 7 == 0 else "Annals of everything"
    made = Record(leader="00000cam a2200000 a 4500", force_utf8=True)
    made.add_field(
        Field("001", data=f"ocm{number:09d}"),
        Field("008", data=f"{number:06d}s1999    xxu           000 0 eng d"),
    )
    made.add_field(_field("245", f"{title} {number} :", "a study /", "by nobody."))
    for tag in (*("035", "020", "040", "050", "260", "300"), *["500"] * 5, *["650"] * 5, "700", "710"):
        made.add_field(_field(tag, f"value {number} of {tag}", "and a second one"))
    return made


def _field(tag: str, *values: str) -> Field:
    return Field(
        tag, Indicators("1", "0"), [Subfield(code, value) for code, value in zip("abc", values, strict=False)]
    )


def _in_a_process(way: str, path: Path, size: int) -> dict[str, float]:
    """Do the work in a process of its own, whose memory is nobody else's."""
    command = [
        sys.executable,
        "-c",
        f"from benchmarks.marc_reading import work; work({way!r}, {str(path)!r}, {size})",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def work(way: str, path: str, size: int) -> None:
    """What the process does; prints its processor time and largest size."""
    begun = time.process_time()
    records = _WAYS[way](Path(path))
    taken = time.process_time() - begun
    if records != size:
        raise RuntimeError(f"{records} records of {size}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": round(taken, 2), "peak_mib": round(peak, 1)}))


def _ours(path: Path) -> int:
    return sum(not row.problem for row in open_marc(path).rows())


def _excerpt(path: Path) -> int:
    records = 0
    rejects = set()
    file = open_marc(path)
    for row in file.rows():
        records += 1
        if row.line % 10 == 0:
            rejects.add(row.line)
    with tempfile.TemporaryFile() as stream:
        file.excerpt(rejects, stream)
    return records


def _pymarc(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(record is not None for record in MARCReader(stream))


def _pymarc_xml(path: Path) -> int:
    seen = count()
    map_xml(lambda record: next(seen), str(path))
    return next(seen)


_WAYS: dict[str, Callable[[Path], int]] = {
    "ours": _ours,
    "excerpt": _excerpt,
    "pymarc": _pymarc,
    "pymarc_xml": _pymarc_xml,
}


if __name__ == "__main__":
    raise SystemExit(main())
