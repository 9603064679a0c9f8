"""Stores of every older version, upgraded: their rows stay, and this version reads them and goes on from there."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url

from alma_etl.dcb.explain import explain
from alma_etl.dcb.flows.adopt.request import adopt
from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.dcb.store import DcbStore, Hint, LegRecord, NewRequest
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
from alma_etl.jobs.ledger_reading import RunKey, RunRecord
from alma_etl.store.db import open_engine
from alma_etl.store.limiter_sql import SqlBudget
from alma_etl.store.upgrade import VERSION_TABLE, alembic_config, upgrade
from tests.unit.dcb.adopting import OBSERVE, PR_ID, reported
from tests.unit.dcb.records import HOUR, SETTINGS, START, seen
from tests.unit.store.make_dump import ALMA, FOLDER

SCRIPTS = ScriptDirectory.from_config(alembic_config())
REVISIONS = sorted(script.revision for script in SCRIPTS.walk_revisions())
Rows = dict[str, list[dict[str, Any]]]


def test_every_revision_has_its_dumps() -> None:
    """Run `python -m tests.unit.store.make_dump` in the commit that adds a migration."""
    expected = {f"{revision}.{backend}.sql" for revision in REVISIONS for backend in ("postgresql", "sqlite")}
    assert {path.name for path in FOLDER.iterdir()} == expected


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_dump_fills_every_table_of_its_revision(revision: str, tmp_path: Path) -> None:
    rows = rows_of(load_sqlite(revision, tmp_path))
    assert rows.pop(VERSION_TABLE) == [{"version_num": revision}]
    assert [table for table, found in rows.items() if not found] == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_sqlite(revision: str, tmp_path: Path) -> None:
    check(load_sqlite(revision, tmp_path), revision)


@pytest.mark.heavy
@pytest.mark.parametrize("revision", REVISIONS)
def test_postgresql(revision: str, postgres: Callable[[], str]) -> None:
    check(load_postgresql(revision, postgres()), revision)


def load_sqlite(revision: str, folder: Path) -> str:
    path = folder / "store.db"
    connection = sqlite3.connect(path)
    connection.executescript((FOLDER / f"{revision}.sqlite.sql").read_text("utf-8"))
    connection.close()
    return f"sqlite:///{path}"


def load_postgresql(revision: str, url: str) -> str:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        connection.execute((FOLDER / f"{revision}.postgresql.sql").read_bytes())
    return url


def rows_of(url: str) -> Rows:
    engine = open_engine(url)
    with engine.begin() as connection:
        found = {
            table: [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]
            for table in inspect(connection).get_table_names()
        }
    engine.dispose()
    return found


def check(url: str, revision: str) -> None:
    before = rows_of(url)
    assert upgrade(url) == SCRIPTS.get_current_head()
    after = rows_of(url)
    del before[VERSION_TABLE]
    for table, rows in before.items():
        kept = [{name: row[name] for name in rows[0]} for row in after[table]]
        assert in_order(kept) == in_order(rows), table
    check_limiter(url)
    if revision >= "0002":
        check_items(url, revision)
    if revision >= "0003":
        check_dcb(url, revision)
    check_ledger(url, revision)
    check_bibs(url, revision)
    check_orders(url, revision)
    check_waiting(url, revision)


def in_order(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)


def check_bibs(url: str, revision: str) -> None:
    bibs = SqlLoadedBibs(url, ALMA)
    made = {
        "oclc:900": [KnownBib("991", "run-1 line 1", START)],
        "oclc:901": [KnownBib("", "run-1 line 2", START)],
    }
    if revision >= "0018":
        made["isbn:1"] = [KnownBib(mms_id, "run-1 line 1", START) for mms_id in ("991", "992")]
    assert bibs.find(made) == (made if revision >= "0011" else {})
    bibs.forget(made, "run-1 line 2")
    assert "oclc:901" not in bibs.find(made)
    assert bibs.is_due("991") is (revision >= "0015")
    bibs.settle_due([DueItem("991", "B-1")], ["991"])  # titles of before, and items since 0019
    assert not bibs.is_due("991")
    bibs.close()


def check_orders(url: str, revision: str) -> None:
    orders = SqlLoadedOrders(url, ALMA)
    first, second = OrderReference("GOBI", "90000000001"), OrderReference("GOBI", "90000000002")
    known = {
        first: KnownOrder("POL-1", "991", "run-1 record 1", START),
        second: KnownOrder("", "992", "run-1 record 2", START),
    }
    assert orders.find(known) == (known if revision >= "0014" else {})
    orders.forget(known, "run-1 record 2")
    assert second not in orders.find(known)
    orders.close()


def check_waiting(url: str, revision: str) -> None:
    waiting = SqlWaitingTitles(url, ALMA)
    assert waiting.waiting(["991", "992"]) == ({"991"} if revision >= "0017" else set())
    waiting.note([BriefTitle("993", "Another", "", START, "run-3")])
    assert waiting.settle(["991", "993"], "overlaid", "run-4") == (
        ["991", "993"] if revision >= "0017" else ["993"]
    )
    waiting.close()


def check_limiter(url: str) -> None:
    budget = SqlBudget(url, ALMA)
    found = budget.look()
    assert (found.rate, found.granted, found.refused, found.calls_left) == (20.0, 5, 1, 90_000)
    assert budget.take(2, 20.0).handed == 2
    budget.close()
    shut = SqlBudget(url, "second Alma")
    assert shut.take(2, 20.0).handed == 0
    assert shut.look().closed_reason == "the daily threshold is reached"
    shut.close()


def check_items(url: str, revision: str) -> None:
    items = SqlLoadedItems(url, ALMA)
    expected = {
        barcode: KnownItem(barcode, "991", "221", pid) for barcode, pid in (("B-1", "231"), ("B-2", "232"))
    }
    assert items.find(["B-1", "B-2", "B-3"]) == expected
    if revision >= "0007":
        assert items.find_holding(HoldingPlace("991", "MAIN", "stacks")) == KnownHolding("221", "run-1")
        assert items.find_holding(HoldingPlace("992", "MAIN", "stacks")) == KnownHolding("", "run-1")
    items.keep_holding(HoldingPlace("993", "MAIN", "stacks"), KnownHolding("223", "run-3"))
    if revision >= "0012":
        key = KeyedItem("z30:000051077-000010", "991", "231")
        assert items.find_key(key.key) == key
    items.remember_key(KeyedItem("z30:000051077-000010", "991", "232"))
    assert items.find_key("z30:000051077-000010") == KeyedItem("z30:000051077-000010", "991", "232")
    items.close()


def check_dcb(url: str, revision: str) -> None:
    with DcbStore(url) as store:
        found = {each.pr_id: each.status for each in store.list_by() if each.is_ours}
        assert found == {"PR-1": Status.FINALISED, "PR-2": Status.COMPLETED, "PR-3": Status.FINALISED}
        again = adopt(store, reported(), settings=OBSERVE, now=START + HOUR)  # those of before are ours
        assert again == ("same" if revision >= "0009" else "created")
        assert [each.pr_id for each in store.list_by() if not each.is_ours] == [PR_ID]
        assert [alert.key for alert in store.open_alerts(pr_id="PR-2")][:1] == ["late:PR-2"]
        for pr_id in found:
            explained = explain(store, pr_id)
            assert explained is not None
            # by rules of before a request may have gone another way
            assert explained.agrees or (explained.agrees is None and revision < "0010"), explained.text
        if revision >= "0004":
            assert store.calls_of(START.date()) == {"alma_default": 12}
        # Alma may give the id of an ended request's hold again, since 0006.
        again = LegRecord(Role.SUPPLIER, "LENDER", request_id="PR-1-S")
        assert store.add(NewRequest("PR-4", (again,)), START + 30 * HOUR)
        hint = Hint("hint-1", "LENDER", "LOAN_RETURNED", "PR-2-S", "PR-2-23")
        assert not store.keep_hint(hint, START + 40 * HOUR)
        assert store.keep_hint(replace(hint, hint_id="hint-3", request_id="PR-1-S"), START + 40 * HOUR)
        assert store.follow_hints(START + 41 * HOUR) == 1  # PR-4
        late = START + timedelta(days=30)
        applied = store.apply("PR-2", [seen("BORROWER", late, loan="COMPLETE")], settings=SETTINGS, now=late)
        assert applied is not None


def check_ledger(url: str, revision: str) -> None:
    ledger, key = Ledger(url), RunKey("item_creation", "r1")
    if revision >= "0008":
        run = ledger.run(key)
        assert run is not None
        assert (run.state, run.calls, run.counts) == (
            "done",
            {"alma_default": 7},
            {"created": 1, "failed": 1},
        )
        assert [row.record.outcome for row in ledger.records(key)] == ["created", "failed"]
        assert [file.filed_key for file in ledger.files(run=key)] == ["items/done/list.r1.csv"]
        assert [found.state for found in ledger.runs(job="west_holdings")] == ["failed"]
        assert [use.refused for use in ledger.api_use(START - HOUR)] == [1]
    attempt = ledger.begin(key, About("item_creation"))
    assert ledger.replace(key, Results({"created": 2}, records=[RunRecord("created")] * 2), attempt)
    assert len(ledger.records(key)) == 2
    ledger.close()
