"""Hostile titles, names and messages from outside in a real browser: they are text, and break no layout."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete, insert, select, update

from alma_etl.dcb.store import Alert, DcbStore
from alma_etl.jobs.ledger import About, Ledger, Results
from alma_etl.jobs.ledger_reading import Artefact, RunKey, RunRecord
from alma_etl.store.db import open_engine, parse_url
from alma_etl.store.dcb_models import (
    alert_table,
    leg_table,
    observation_table,
    outbox_table,
    request_table,
    transition_table,
)
from alma_etl.store.ledger_models import file_table, record_table, run_table, use_table
from tests.browser.conftest import serious_problems, store_url
from tests.local.stack.real import RealStack
from tests.unit.dcb.records import new_request

pytestmark = pytest.mark.timeout(900)

ID = "from-outside"
HOSTILE = (
    "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"></bdi></td></table>\u202e"
    "\u05e9\u05dc\u05d5\u05dd" + "x" * 300
)
KEY = f"items/incoming/gifts/{HOSTILE}"
PAGES = (
    "/alma/",
    "/alma/deliveries",
    "/alma/files?search=onerror",
    "/alma/requests",
    f"/alma/requests/{ID}",
    "/alma/budget",
    "/alma/set-up",
    "/alma/jobs/west_holdings",
    f"/alma/runs/west_holdings/{ID}",
)


@pytest.fixture
def hostile(stack: RealStack) -> Iterator[None]:
    """Runs, a file, a request with an alert, calls and findings of a check with such texts; gone at the end."""
    url, now = store_url(stack), datetime.now(UTC)
    ledger = Ledger(url)
    attention = [{"what": HOSTILE, "what_to_do": HOSTILE}]
    artefact = Artefact(role=HOSTILE, key=KEY, name=HOSTILE, size=1, type="text/plain")
    record = RunRecord(
        "missing", HOSTILE[:200], 1, label=HOSTILE, barcode=HOSTILE, mms_id=HOSTILE, reasons=HOSTILE, message=HOSTILE
    )  # fmt: skip
    measures = {"symbols": {HOSTILE: {"records": 1, "added": 1, "dropped": 1, "compared_with": HOSTILE}}}
    for job in ("west_holdings", "alma_health_check", "item_creation"):
        key = RunKey(job, ID)
        attempt = ledger.begin(key, About(job, HOSTILE, HOSTILE, False, HOSTILE))
        ledger.replace(key, Results({"missing": 1}, measures, [artefact], [record]), attempt)
        ledger.finish(key, "failed", HOSTILE, attempt, attention)  # type: ignore[arg-type]
    ledger.close()
    with DcbStore(url) as dcb:
        new = new_request(ID)
        legs = tuple(replace(leg, barcode=HOSTILE[:200], pickup_library=HOSTILE[:200]) for leg in new.legs)
        dcb.add(replace(new, legs=legs, conf={"title": HOSTILE, "author": HOSTILE}), now)
        dcb.open_alert(Alert(ID, "TXN_ERROR", "urgent", ID, {"what": HOSTILE, "do": HOSTILE}), now)
    engine = open_engine(parse_url(url))
    hour = now.replace(minute=0, second=0, microsecond=0)
    with engine.begin() as connection:
        # The stack's own polls leave it alone: its texts are looked at, not what they do with it.
        connection.execute(update(request_table).where(request_table.c.pr_id == ID).values(next_poll_at=None))
        connection.execute(
            insert(use_table).values(connection=HOSTILE[:200], hour=hour, dag_id=ID, calls=9, refused=1)
        )
        connection.execute(
            insert(file_table).values(
                key=KEY, version=ID, sha256="", size=1, area="items", profile=HOSTILE, uploaded_by=HOSTILE,
                corrects=KEY, arrived_at=now, state="done", state_at=now, dag_id="item_creation", run_id=ID,
                filed_key=KEY,
            )
        )  # fmt: skip
    yield
    with engine.begin() as connection:
        # A poll that took the request before it was put aside waits here, and then has no request to write to.
        connection.execute(select(request_table.c.pr_id).where(request_table.c.pr_id == ID).with_for_update())
        for table in (
            alert_table,
            outbox_table,
            transition_table,
            observation_table,
            leg_table,
            request_table,
        ):
            connection.execute(delete(table).where(table.c.pr_id == ID))
        for table in (record_table, run_table):
            connection.execute(delete(table).where(table.c.run_id == ID))
        connection.execute(delete(use_table).where(use_table.c.dag_id == ID))
        connection.execute(delete(file_table).where(file_table.c.version == ID))
    engine.dispose()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_hostile_texts_are_texts_and_break_no_page(
    stack: RealStack, watched: Callable[..., Page], hostile: None, width: int, scheme: str
) -> None:
    page = watched(width=width, color_scheme=scheme)
    for path in PAGES:
        page.goto(f"{stack.addresses.ui}{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert "<img src=x onerror" in page.locator("main").inner_text(), f"{path} shows no such text"
        assert "taken" not in page.title().removesuffix(" - Alma"), path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.locator("main img, main script").count() == 0, path
        assert serious_problems(page) == [], path
        # What stands beside a text that runs from right to left keeps its place.
        assert page.evaluate("getComputedStyle(document.querySelector('main')).direction") == "ltr", path
