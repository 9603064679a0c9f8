"""How many calls an order takes that comes with a record, by the sandbox's log, beside a plain loop in the same run.

    python -m benchmarks.bib_orders [RECORDS]

RECORDS (60) records with an order each, in GOBI's layout, become titles and PO lines; as many more get their orders at
titles that Alma has. Once by SRU, once by Alma's API alone. Beside it the loop that people write, a record after the
other: look the title up by its OCLC number, create it where there is none, read the vendor, read the fund, send the
line; a title that is there it leaves as it is, which an import merges. Prints JSON: `calls_a_line` beside `limit`, and
as a share of the loop's `calls_of_the_loop` and `seconds_of_the_loop`. Ends with 1 where a limit is passed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from lxml import etree
from pymarc import Field, Indicators, Record, Subfield

from alma_etl.marc.xml import xml_from_record
from alma_etl.store.bucket import Bucket
from alma_sandbox import Settings, serve
from benchmarks.bib_import import JOB, LATENCY_MS, World, add, made_up
from local import folders, servers
from tests.e2e.items import ItemSandbox
from tests.stores import sqlite_store

# Calls a line: with SRU, and without it. A bib import's own, one for the order, for an owned title one for its lines.
LIMITS = {"created": (2.05, 4.05), "merged": (3.05, 4.05)}
A_FILE = 12  # calls, whatever its length: codes, vendor, fund, currencies
PROFILES = b"""
profiles:
  orders:
    suppress: true
    orders:
      layout: 980_981
      po_line_type: PRINTED_BOOK_OT
      owner: MAIN
      vendor: GOBI
      vendor_account: GOBI-1
"""
SUPPRESSED = "<suppress_from_publishing>true</suppress_from_publishing>"


def ordered(number: int) -> Record:
    """A record with its order."""
    record = made_up(number, "New")
    for tag, subfields in (
        ("049", {"a": "MAIN/stacks"}),
        ("980", {"a": "20261101", "b": "27.95", "f": f"R{number}", "g": "1"}),
        ("981", {"b": "HIST"}),
    ):
        data = [Subfield(code, value) for code, value in subfields.items()]
        record.add_field(Field(tag, Indicators(" ", " "), data))
    return record


def calls(alma: ItemSandbox) -> int:
    """Calls of the API."""
    return sum("/almaws/" in call["path"] for call in alma.calls())


def measure(world: World, count: int, first: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The figures of orders for new titles, and for titles that are there."""
    for word, begin in (("created", first), ("merged", first + count)):
        records = [ordered(begin + each) for each in range(count)]
        if word == "merged":
            add(world.alma, [made_up(begin + each, "Old") for each in range(count)])
        world.alma.settings(latency_ms=LATENCY_MS)
        world.alma.forget()
        began = time.monotonic()
        context, chunks = world.waiting(records, "orders")
        for number in range(1, chunks + 1):
            JOB.chunk_step("match", context, number)
            loaded = JOB.chunk_step("load", context, number)
            placed = JOB.chunk_step("create_inventory", context, number)
            if (set(loaded), set(placed)) != ({word}, {"ordered"}):
                raise RuntimeError(f"the records ended as {loaded} and {placed}, not as {word}")
        seconds = time.monotonic() - began
        sent = calls(world.alma)
        world.alma.settings(latency_ms=0)
        limit = round(LIMITS[word][world.sru is None] + A_FILE / count, 3)
        yield word, {"calls_a_line": round(sent / count, 3), "limit": limit, "seconds": seconds}


def plain_loop(alma: ItemSandbox, count: int, first: int) -> Iterator[tuple[str, dict[str, float]]]:
    """The same by a call after the other, which checks what it sends."""
    for word, begin in (("created", first), ("merged", first + count)):
        if word == "merged":
            add(alma, [made_up(begin + each, "Old") for each in range(count)])
        alma.settings(latency_ms=LATENCY_MS)
        alma.forget()
        began = time.monotonic()
        with requests.Session() as session:
            session.headers.update({"Authorization": "apikey sandbox"})
            for each in range(count):
                _order(session, f"{alma.url}/almaws/v1", begin + each)
        seconds = time.monotonic() - began
        sent = calls(alma)
        alma.settings(latency_ms=0)
        yield word, {"calls_a_line": round(sent / count, 3), "seconds": seconds}


def _order(session: requests.Session, url: str, number: int) -> None:
    mms_id = _found(session, url, number) or _created(session, url, number)
    vendor = session.get(f"{url}/acq/vendors/GOBI", params={"format": "json"}, timeout=60).json()
    asked = {"q": "fund_code~HIST", "mode": "POL", "format": "json"}
    funds = session.get(f"{url}/acq/funds", params=asked, timeout=60).json()
    line = {
        "owner": {"value": "MAIN"},
        "type": {"value": "PRINTED_BOOK_OT"},
        "vendor": {"value": vendor["code"]},
        "vendor_account": vendor["account"][0]["code"],
        "price": {"sum": "27.95", "currency": {"value": "USD"}},
        "fund_distribution": [
            {
                "fund_code": {"value": funds["fund"][0]["code"]},
                "amount": {"sum": "27.95", "currency": {"value": "USD"}},
            }
        ],
        "additional_order_reference": f"R{number}",
        "resource_metadata": {"mms_id": {"value": mms_id}},
        "location": [
            {"quantity": 1, "library": {"value": "MAIN"}, "shelving_location": "stacks", "copy": [{}]}
        ],
    }
    session.post(f"{url}/acq/po-lines", json=line, timeout=60).raise_for_status()


def _found(session: requests.Session, url: str, number: int) -> str:
    """The title with an OCLC number, "" for none."""
    asked = {"other_system_id": f"(OCoLC){number}"}
    answer = session.get(f"{url}/bibs", params=asked, headers={"Accept": "application/xml"}, timeout=60)
    return "" if answer.status_code == 400 else etree.fromstring(answer.content).findtext(".//mms_id") or ""


def _created(session: requests.Session, url: str, number: int) -> str:
    body = f"<bib>{SUPPRESSED}{xml_from_record(made_up(number, 'New')).decode()}</bib>"
    headers = {"Content-Type": "application/xml", "Accept": "application/xml"}
    answer = session.post(f"{url}/bibs", data=body.encode(), headers=headers, timeout=60)
    answer.raise_for_status()
    return etree.fromstring(answer.content).findtext("mms_id") or ""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    given = sys.argv[1:] if arguments is None else arguments
    count = int(given[0]) if given else 60
    folders.reach_this_machine_directly()
    figures: dict[str, Any] = {"lines": count, "latency_ms": LATENCY_MS}
    with tempfile.TemporaryDirectory() as name:
        store = servers.start_s3(Path(name) / "s3")
        try:
            client = store.client()
            client.create_bucket(Bucket="bib-orders")
            for label, with_sru in (("with_sru", True), ("without_sru", False)):
                with serve(Settings(per_second=0, titles=20, sru=with_sru)) as running:
                    alma = ItemSandbox(running.url)
                    if with_sru:
                        figures["plain_loop"] = dict(plain_loop(alma, count, 9_000_000))
                    state = sqlite_store(Path(name) / f"{label}.db")
                    world = World(
                        Bucket(client, "bib-orders"), alma, state, with_sru=with_sru, profiles=PROFILES
                    )
                    figures[label] = dict(measure(world, count, 7_000_000))
                    world.close()
        finally:
            store.stop()
    passed = False
    for label in ("with_sru", "without_sru"):
        for word, found in figures[label].items():
            loop = figures["plain_loop"][word]
            found["calls_of_the_loop"] = round(found["calls_a_line"] / loop["calls_a_line"], 2)
            found["seconds_of_the_loop"] = round(found.pop("seconds") / loop["seconds"], 2)
            passed |= found["calls_a_line"] > found["limit"]
    for found in figures["plain_loop"].values():
        found["seconds"] = round(found["seconds"], 1)
    print(json.dumps(figures, indent=2))
    return int(passed)


if __name__ == "__main__":
    sys.exit(main())
