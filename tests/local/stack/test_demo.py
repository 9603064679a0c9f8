"""`make demo`: from nothing to a delivered file, and nothing is left running."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from time import monotonic, sleep

import pymarc
import pytest

from local.ownership import end_leftovers, marked

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[3]


def start(folder: Path, output: Path) -> "subprocess.Popen[bytes]":
    with output.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "local", "demo"],
            cwd=ROOT,
            env={**os.environ, "ALMA_LOCAL_FOLDER": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def test_the_demo_delivers_and_leaves_nothing_running(tmp_path: Path) -> None:
    folder, output = tmp_path / "local", tmp_path / "output"
    demo = start(folder, output)
    try:
        code = demo.wait(900)
    finally:
        demo.kill()
        end_leftovers(folder / "demo-stack")
    said = output.read_text()
    assert code == 0, said
    assert marked(folder / "demo-stack") == []

    deliveries = folder / "demo" / "west" / "deliveries"
    (manifest_file,) = deliveries.glob("*.manifest.json")
    manifest = json.loads(manifest_file.read_text())
    with (deliveries / manifest["file"]).open("rb") as file:
        records = list(pymarc.MARCReader(file))
    assert None not in records
    assert len(records) == manifest["records"] == manifest["counts"]["delivered"] > 0
    stem = manifest["file"].removesuffix(".mrc")
    with (deliveries / f"{stem}.outcomes.csv").open(encoding="utf-8-sig", newline="") as file:
        outcomes = Counter(row["outcome"] for row in csv.DictReader(file))
    assert outcomes == {outcome: count for outcome, count in manifest["counts"].items() if count}
    assert manifest["titles"] == 400
    assert manifest["file"] in said
    assert f"{manifest['records']} records" in said
    pages = sorted(page.parts[-3] for page in (folder / "demo").rglob("report.html"))
    assert pages == ["dcb_place_request", "dcb_status_sync", "west_holdings"]
    for dag_id in (
        "west_holdings",
        "item_creation",
        "item_update",
        "bib_import",
        "dcb_place_request",
        "dcb_status_sync",
    ):
        assert f"  /alma/runs/{dag_id}/" in said
    (undo,) = (folder / "demo" / "item-updates" / "reports").glob("*.undo.csv")
    assert len(undo.read_text("utf-8-sig").splitlines()) == 13
    (report,) = (folder / "demo" / "bibs" / "reports").glob("*.csv")
    rows = csv.DictReader(report.read_text("utf-8-sig").splitlines())
    ends = ["created", "merged", "unchanged", "not_added_brief", "invalid_record"]
    assert [row["outcome"] for row in rows] == ends
    (rejects,) = (folder / "demo" / "bibs" / "rejects").iterdir()
    assert rejects.read_bytes().count(b"\x1d") == 2
    followed = ["PICKUP_TRANSIT", "READY_FOR_PICKUP", "LOANED", "RETURN_TRANSIT", "COMPLETED -> FINALISED"]
    assert [said.index(status) for status in followed] == sorted(said.index(status) for status in followed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_demo_leaves_nothing_running(number: signal.Signals, tmp_path: Path) -> None:
    folder, output = tmp_path / "local", tmp_path / "output"
    demo = start(folder, output)
    try:
        deadline = monotonic() + 120
        while "Sandbox" not in output.read_text():
            assert monotonic() < deadline, output.read_text()
            assert demo.poll() is None, output.read_text()
            sleep(0.1)
        assert len(marked(folder / "demo-stack")) > 2
        demo.send_signal(number)
        code = demo.wait(120)
        assert marked(folder / "demo-stack") == []
    finally:
        demo.kill()
        end_leftovers(folder / "demo-stack")
    assert code == 128 + number
    assert f"ended by {number.name}" in output.read_text()
