"""The demo's second step: a librarian drops a file, and gets a report and the rows to correct."""

import csv
from collections import Counter
from pathlib import Path
from time import monotonic, sleep

import requests

from .demo_tools import Demo, DemoFailedError, shown
from .stack import Addresses

DROPPED = "items/incoming/gifts/march-gifts.txt"
REPORT_SECONDS = 300.0
TITLES = 12


def item_file(demo: Demo) -> None:
    """Drops a file as the seed of this job has it, a line `MMSID|BARCODE` a book, with two slips in it."""
    body = gifts(some_titles(demo.addresses))
    demo.say(f"\nDropping {DROPPED}: {body.count(b'|')} lines, one of them twice, one without a barcode")
    demo.s3.put_object(Bucket=demo.addresses.bucket, Key=DROPPED, Body=body)
    report = _report(demo)
    rows = list(csv.DictReader(report.read_text("utf-8-sig").splitlines()))
    demo.say("Loaded from the dropped file:")
    for outcome, count in sorted(Counter(row["outcome"] for row in rows).items()):
        demo.say(f"    {count:6} {outcome}")
    if sum(row["outcome"] == "created" for row in rows) != TITLES:
        raise DemoFailedError(f"Not every good line of {DROPPED} became an item; see {shown(report)}.")
    for run in demo.api.call("GET", "dags/item_creation/dagRuns")["dag_runs"]:
        demo.say_page("item_creation", run["dag_run_id"])
    for prefix in ("items/reports/", "items/rejects/", "items/done/"):
        for key in demo.keys(prefix):
            demo.say(f"  {shown(demo.download(key))}")


def gifts(mms_ids: list[str]) -> bytes:
    """A file of these titles with a barcode each, as a librarian's Windows saves it, with two slips at its end."""
    lines = [f"{mms_id}|39{number:012d}" for number, mms_id in enumerate(mms_ids, start=1)]
    lines += [lines[0], f"{mms_ids[1]}|"]
    return "\r\n".join(lines).encode("utf-8-sig")


def some_titles(addresses: Addresses) -> list[str]:
    """MMS ids of titles that the pretend Alma has, as a librarian would copy them from Alma."""
    answer = requests.get(
        f"{addresses.sandbox}/almaws/v1/conf/sets/59000000000004401/members",
        params={"limit": str(TITLES)},
        headers={"Authorization": f"apikey {addresses.sandbox_key}", "Accept": "application/json"},
        timeout=30,
    )
    answer.raise_for_status()
    return [member["id"] for member in answer.json()["member"]]


def _report(demo: Demo) -> Path:
    """The CSV report of the dropped file, once the file is filed away, which comes last."""
    deadline = monotonic() + REPORT_SECONDS
    begun = monotonic()
    while monotonic() < deadline:
        demo.stack.supervisor.look()
        reports = [key for key in demo.keys("items/reports/march-gifts.") if key.endswith(".csv")]
        if reports and any(demo.keys("items/done/")):
            demo.say(
                f"  {monotonic() - demo.begun:4.0f} s  its report is there, {monotonic() - begun:.0f} s after the drop"
            )
            return demo.download(reports[0])
        sleep(1)
    raise DemoFailedError(
        f"There is no report of {DROPPED} after {REPORT_SECONDS:g} s; see {demo.addresses.logs}."
    )
