"""The demo's files: a librarian drops one that makes items, then one that changes them, and gets their reports."""

import csv
from collections import Counter
from pathlib import Path, PurePosixPath
from time import monotonic, sleep

import requests

from .demo_tools import Demo, DemoFailedError, shown
from .stack import Addresses

DROPPED = "items/incoming/gifts/march-gifts.txt"
UPDATES = "item-updates/incoming/alma/march-notes.csv"
REPORT_SECONDS = 900.0  # a machine that does other work is slow
TITLES = 12


def item_file(demo: Demo) -> None:
    """Drops a file as the seed of this job has it, a line `MMSID|BARCODE` a book, with two slips in it."""
    body = gifts(some_titles(demo.addresses))
    demo.say(f"\nDropping {DROPPED}: {body.count(b'|')} lines, one of them twice, one without a barcode")
    demo.drop(DROPPED, body)
    rows = loaded(demo, DROPPED, "item_creation")
    if sum(row["outcome"] == "created" for row in rows) != TITLES:
        raise DemoFailedError(
            f"Not every good line of {DROPPED} became an item; see {shown(demo.delivered)}."
        )


def update_file(demo: Demo) -> None:
    """Drops a list that gives the items of the file before a note and another policy, and one that nobody has."""
    body = notes([_barcode(number) for number in range(1, TITLES + 1)])
    demo.say(f"\nDropping {UPDATES}: {TITLES} items and one that there is not")
    demo.drop(UPDATES, body)
    rows = loaded(demo, UPDATES, "item_update")
    if sum(row["outcome"] == "updated" for row in rows) != TITLES:
        raise DemoFailedError(f"Not every item of {UPDATES} was updated; see {shown(demo.delivered)}.")


def gifts(mms_ids: list[str]) -> bytes:
    """A file of these titles with a barcode each, as a librarian's Windows saves it, with two slips at its end."""
    lines = [f"{mms_id}|{_barcode(number)}" for number, mms_id in enumerate(mms_ids, start=1)]
    lines += [lines[0], f"{mms_ids[1]}|"]
    return "\r\n".join(lines).encode("utf-8-sig")


def notes(barcodes: list[str]) -> bytes:
    """A table that changes a note and the policy of these items, and names a barcode that there is not."""
    rows = [f"{barcode},02,Gift of March" for barcode in (*barcodes, _barcode(0))]
    return "\r\n".join(("barcode,item_policy,public_note", *rows, "")).encode("utf-8-sig")


def _barcode(number: int) -> str:
    return f"39{number:012d}"


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


def loaded(demo: Demo, key: str, dag_id: str) -> list[dict[str, str]]:
    """Wait for the report of a dropped file, show what became of its rows, and fetch what there is; its rows."""
    report, since_drop = _report(demo, key)
    demo.say(f"  {monotonic() - demo.begun:4.0f} s  its report is there, {since_drop}")
    rows = list(csv.DictReader(report.read_text("utf-8-sig").splitlines()))
    demo.say("Loaded from the dropped file:")
    for outcome, count in sorted(Counter(row["outcome"] for row in rows).items()):
        demo.say(f"    {count:6} {outcome}")
    for run in demo.api.call("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]:
        demo.say_page(dag_id, run["dag_run_id"])
    area = key.partition("/")[0]
    for prefix in (f"{area}/reports/", f"{area}/rejects/", f"{area}/done/"):
        for found in demo.keys(prefix):
            demo.say(f"  {shown(demo.download(found))}")
    return rows


def _report(demo: Demo, key: str) -> tuple[Path, str]:
    """The CSV report of a dropped file, once the file is filed away, which comes last; and when that was."""
    area, stem = key.partition("/")[0], PurePosixPath(key).stem
    deadline = monotonic() + REPORT_SECONDS
    looks = 0
    while monotonic() < deadline:
        demo.stack.supervisor.look()
        found = demo.keys(f"{area}/reports/{stem}.")
        reports = [each for each in found if each.endswith(".csv") and not each.endswith(".undo.csv")]
        if reports and any(demo.keys(f"{area}/done/")):
            since_drop = (
                f"{monotonic() - demo.dropped[key]:.0f} s after the drop" if looks else "loaded meanwhile"
            )
            return demo.download(reports[0]), since_drop
        looks += 1
        sleep(1)
    raise DemoFailedError(
        f"There is no report of {key} after {REPORT_SECONDS:g} s; see {demo.addresses.logs}."
    )
