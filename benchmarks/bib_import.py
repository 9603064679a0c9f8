"""How many calls an import of records into Alma makes, by the sandbox's log, beside its bounds and a plain loop.

    python -m benchmarks.bib_import [RECORDS]

RECORDS (120) titles are in Alma; as many records are merged into them, as many more are created, then all of them are
dropped once more, and those of titles that have holdings by a profile that searches first. Once by SRU, once by Alma's
API alone. Beside it the loop that people write: a look-up by the OCLC number and a write a record. Prints JSON:
`calls_a_record` of the API beside `limit`, `of_sru`, and `of_the_loop`, the
seconds as a share of what the loop took for as many records in the same run. Ends with 1 where a limit is passed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import requests
from lxml import etree
from pymarc import Field, Indicators, Record, Subfield

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.sru import REQUESTS_PER_SECOND, SruClient
from alma_etl.bibs.job import BibImport
from alma_etl.jobs.file_job import JobContext
from alma_etl.jobs.places import Area
from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.marc.xml import xml_from_record
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.bucket import Bucket
from alma_sandbox import Settings, serve
from local import folders, servers
from tests.e2e.items import ItemSandbox
from tests.stores import sqlite_store

LATENCY_MS = 250
# Calls a record: with SRU, and without it.
LIMITS = {
    "merged": (1.2, 2.1),
    "created": (1.2, 3.1),
    "unchanged": (0.15, 2.1),
    "already_owned": (0.15, 2.1),
}
PROFILES = b"profiles:\n  search: {search_first: true}\n"
BIBS = Area("bibs", "bib_import")
JOB = BibImport(BIBS)


class World:
    """A sandbox, a bucket and a state store."""

    def __init__(
        self, bucket: Bucket, alma: ItemSandbox, store: str, *, with_sru: bool, profiles: bytes = PROFILES
    ) -> None:
        self.bucket, self.alma, self.store = bucket, alma, store
        self._profiles = profiles
        self.client = AlmaClient(alma.url, "sandbox", limiter=LocalLimiter(10_000))
        url = f"{alma.url}/view/sru/01ZZ_INST"
        self.sru = SruClient(url, limiter=LocalLimiter(REQUESTS_PER_SECOND)) if with_sru else None
        self._runs = 0

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        if self.sru is not None:
            self.sru.close()

    def waiting(self, records: list[Record], profile: str) -> tuple[JobContext, int]:
        """A run on a file with these records, read and checked; the number of its chunks."""
        self._runs += 1
        self.bucket.put("config/bib_profiles.yaml", self._profiles)
        key = f"bibs/incoming/{profile}/{self._runs}.mrc"
        self.bucket.put(key, b"".join(map(to_iso2709, records)))

        def opened(kind: str) -> AbstractContextManager[Any]:
            return nullcontext(self.sru if kind == "sru" else self.client)

        context = JobContext(
            folder=JOB.run_folder(self.bucket, f"run-{self._runs}-{self.sru is None}", BIBS.dag_id),
            params={"key": key},
            day=date(2026, 11, 30),
            open_client=opened,
            store_url=lambda: self.store,
            connections={"alma": "alma_default"},
        )
        chunks = len(JOB.read(context))
        JOB.run_step("check", context)
        return context, chunks


def made_up(number: int, title: str) -> Record:
    """A record with an OCLC number."""
    record = Record(force_utf8=True)
    record.leader = "01234cam a2200301 a 4500"
    for tag, text in (("005", "20400101000000.0"), ("008", "200101s2020    xx            000 0 eng d")):
        record.add_field(Field(tag, data=text))
    number_field = [Subfield("a", f"(OCoLC){number}")]
    record.add_field(Field("035", Indicators(" ", " "), number_field))
    record.add_field(Field("245", Indicators("0", "0"), [Subfield("a", title)]))
    return record


def add(alma: ItemSandbox, records: list[Record]) -> None:
    """Make titles of records, by hand."""
    flag = "<suppress_from_publishing>false</suppress_from_publishing>"
    for record in records:
        alma.post("/bibs", f"<bib>{flag}{xml_from_record(record).decode()}</bib>").raise_for_status()


def hold(world: World, records: list[Record]) -> None:
    """Give the titles of records a holding each."""
    world.alma.settings(latency_ms=0)
    for record in records:
        [title] = world.client.bibs.by_system_number(record["035"]["a"]).value  # type: ignore[union-attr]
        world.alma.add_holding(title.mms_id, "MAIN", "stacks")
    world.alma.settings(latency_ms=LATENCY_MS)


def calls(alma: ItemSandbox) -> tuple[int, int]:
    """Calls of the API about titles, and requests of SRU."""
    paths = [call["path"] for call in alma.calls()]
    return sum("/bibs" in path for path in paths), sum("/view/sru/" in path for path in paths)


def measure(world: World, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The figures of merging, creating, and dropping the same once more."""
    add(world.alma, [made_up(7_000_000 + each, "Old") for each in range(count)])
    world.alma.settings(latency_ms=LATENCY_MS)
    there = [made_up(7_000_000 + each, "New") for each in range(count)]
    new = [made_up(8_000_000 + each, "New") for each in range(count)]
    newest = [made_up(7_000_000 + each, "Newest") for each in range(count)]
    files = {"merged": there, "created": new, "unchanged": [*there, *new], "already_owned": newest}
    for word, records in files.items():
        if word == "already_owned":
            hold(world, records)
        context, chunks = world.waiting(records, "search" if word == "already_owned" else "catalog")
        world.alma.forget()
        began = time.monotonic()
        for number in range(1, chunks + 1):
            JOB.chunk_step("match", context, number)
            ends = JOB.chunk_step("load", context, number)
            if set(ends) != {word}:
                raise RuntimeError(f"the records ended as {ends}, not as {word}")
        seconds = time.monotonic() - began
        api, sru = calls(world.alma)
        limit = LIMITS[word][world.sru is None]
        yield (
            word,
            {
                "calls_a_record": round(api / len(records), 3),
                "limit": limit,
                "of_sru": round(sru / len(records), 3),
                "seconds_a_record": round(seconds / len(records), 3),
            },
        )
    world.alma.settings(latency_ms=0)


def plain_loop(alma: ItemSandbox, count: int) -> dict[str, Any]:
    """A look-up and a PUT for each record, one after the other."""
    add(alma, [made_up(9_000_000 + each, "Old") for each in range(count)])
    alma.settings(latency_ms=LATENCY_MS)
    alma.forget()
    began = time.monotonic()
    with requests.Session() as session:
        session.headers.update({"Authorization": "apikey sandbox", "Accept": "application/xml"})
        url = f"{alma.url}/almaws/v1/bibs"
        for each in range(count):
            asked = {"other_system_id": f"(OCoLC){9_000_000 + each}", "view": "full"}
            found = etree.fromstring(session.get(url, params=asked, timeout=60).content)
            [title] = found.iter("bib")
            body = etree.tostring(title).replace(b">Old<", b">Loop<")
            place = f"{url}/{title.findtext('mms_id')}"
            sent = session.put(place, data=body, headers={"Content-Type": "application/xml"}, timeout=60)
            sent.raise_for_status()
    seconds = time.monotonic() - began
    api, _ = calls(alma)
    alma.settings(latency_ms=0)
    return {"calls_a_record": round(api / count, 3), "seconds_a_record": round(seconds / count, 3)}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    given = sys.argv[1:] if arguments is None else arguments
    count = int(given[0]) if given else 120
    folders.reach_this_machine_directly()
    figures: dict[str, Any] = {"records": count, "latency_ms": LATENCY_MS}
    with tempfile.TemporaryDirectory() as name:
        store = servers.start_s3(Path(name) / "s3")
        try:
            client = store.client()
            client.create_bucket(Bucket="bib-import")
            for label, with_sru in (("with_sru", True), ("without_sru", False)):
                with serve(Settings(per_second=0, titles=20, sru=with_sru)) as running:
                    alma = ItemSandbox(running.url)
                    if with_sru:
                        figures["plain_loop"] = plain_loop(alma, count)
                    state = sqlite_store(Path(name) / f"{label}.db")
                    world = World(Bucket(client, "bib-import"), alma, state, with_sru=with_sru)
                    figures[label] = dict(measure(world, count))
                    world.close()
        finally:
            store.stop()
    loop = figures["plain_loop"]["seconds_a_record"]
    passed = False
    for label in ("with_sru", "without_sru"):
        for found in figures[label].values():
            found["of_the_loop"] = round(found.pop("seconds_a_record") / loop, 2)
            passed |= found["calls_a_record"] > found["limit"]
    print(json.dumps(figures, indent=2))
    return int(passed)


if __name__ == "__main__":
    sys.exit(main())
