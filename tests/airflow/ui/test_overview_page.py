"""The Overview: last and next runs, what needs attention, the last delivery's files, in at most six queries."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from lxml import html

from alma_airflow.ui import store_reading
from alma_etl.jobs.ledger import About, Ledger
from alma_etl.jobs.ledger_reading import Artefact, RunKey
from tests.airflow.ui.conftest import HOSTILE, counted_queries, headers_of

RUNNING = ("SchedulerJob", "DagProcessorJob", "TriggererJob")
MARC = "west/deliveries/ZZMAIN/ZZMAIN.2026-11-29.mrc"
FILE = Artefact(role="marc", key=MARC, name="ZZMAIN.2026-11-29.mrc", size=1234567, type="application/marc")


def shown(server: TestClient, login: dict[str, str], path: str = "/alma/") -> html.HtmlElement:
    answer = server.get(path, headers=login)
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def words(page: html.HtmlElement, section: str) -> str:
    return " ".join(page.xpath(f"string(//section[@aria-labelledby='{section}'])").split())


def test_the_overview_of_an_airflow_in_order(
    server: TestClient, login: Any, dags: Any, beats: Any, ran: Any
) -> None:
    beats(*RUNNING)
    dags("west_holdings", next_run=datetime(2030, 1, 2, 9, 30, tzinfo=UTC))
    dags("item_creation", timetable_summary="None")
    dags("dcb_place_request", timetable_summary="None", description="Places a request")
    dags("not_ours", tag="other")
    ran(
        "west_holdings",
        "r1",
        headline="2 files delivered",
        counts={"delivered": 7, "failed": 0},
        artefacts=[FILE],
    )
    page = shown(server, login)
    assert "Nothing needs attention." in words(page, "attention")
    (west,) = page.xpath("//section[@aria-labelledby='jobs']//tr[th/a='west_holdings']")
    assert "2 files delivered" in west.text_content()
    assert "delivered 7" in " ".join(west.text_content().split())
    assert "failed" not in west.text_content()
    assert west.xpath(".//time/@datetime")[1] == "2030-01-02T09:30:00+00:00"
    (items,) = page.xpath("//section[@aria-labelledby='jobs']//tr[th/a='item_creation']")
    assert "none yet" in items.text_content()
    assert "when a file of its folder arrives" in items.text_content()
    (placing,) = page.xpath("//section[@aria-labelledby='jobs']//tr[th/a='dcb_place_request']")
    assert "when somebody starts it" in placing.text_content()
    assert "Places a request" in placing.xpath("th")[0].text_content(), "what it is for"
    assert "not_ours" not in page.text_content()
    assert "ZZMAIN.2026-11-29.mrc" in words(page, "delivery")
    assert "1.2 MB" in words(page, "delivery")
    assert page.xpath("//header//a[@aria-current='page']")[0].text == "Overview"


def test_what_needs_attention_and_what_to_do(
    server: TestClient, login: Any, dags: Any, beats: Any, ran: Any
) -> None:
    beats(*RUNNING[1:])
    beats("SchedulerJob", seconds_ago=3600)
    dags("west_holdings", paused=True)
    dags("item_creation", has_import_errors=True)
    attention = [{"what": "The key may not write.", "what_to_do": "Give it the right to write bibs."}]
    ran("west_holdings", "r1", state="failed", headline="no", attention=attention, subject="set 1")
    ran("item_creation", "r2", state="failed", attention=attention, subject="items/incoming/a.csv")
    ran("item_creation", "r3", subject="items/incoming/a.csv")  # loaded after all
    ran(
        "item_creation",
        "r4",
        state="waiting",
        headline="Load 30 of 500 rows?",
        subject="items/incoming/b.csv",
    )
    page = shown(server, login)
    said = words(page, "attention")
    assert "Airflow's scheduler does not run." in said
    assert "Airflow's dag processor does not run." not in said
    assert "west_holdings is paused" in said
    assert "The file of item_creation cannot be read any more" in said
    assert said.count("Give it the right to write bibs.") == 1
    assert "Load 30 of 500 rows?" in said
    links = page.xpath("//section[@aria-labelledby='attention']//a/@href")
    assert "/alma/runs/west_holdings/r1" in links
    assert "/alma/runs/item_creation/r4" in links
    assert "/dags/west_holdings" in links


def test_a_new_airflow_says_what_is_missing(server: TestClient, login: Any, store: str, dags: Any) -> None:
    said = words(shown(server, login), "attention")
    for part in ("scheduler", "dag processor", "triggerer"):
        assert f"Airflow's {part} does not run." in said
    assert "Airflow knows none of the jobs that you may see." in said


def test_the_nights_are_drawn_and_their_numbers_stand_below(
    server: TestClient, login: Any, dags: Any, ran: Any
) -> None:
    dags("west_holdings")
    dags("dcb_status_sync")
    ran("west_holdings", "r1", counts={"delivered": 7, "no_commitment": 2, "bad_marc": 1, "failed": 3})
    ran("west_holdings", "r2", counts={"delivered": 1_000}, dry_run=True)
    ran("dcb_status_sync", "r3", counts={"polled": 5_000})
    page = shown(server, login)
    (last,) = page.xpath("//section[@aria-labelledby='nights']//tbody/tr[last()]")
    assert [cell.text for cell in last.xpath("td")] == ["7", "2", "1", "3"]
    assert len(page.xpath("//section[@aria-labelledby='nights']//tbody/tr")) == 14
    assert len(page.xpath("//*[local-name()='rect']")) == 4
    (summary,) = page.xpath("//*[local-name()='svg']/@aria-label")
    assert "7 as wanted, 2 left out, 1 refused, 3 failed" in summary


def test_hostile_texts_are_texts(server: TestClient, login: Any, dags: Any, ran: Any) -> None:
    dags("west_holdings")
    file = {**FILE, "name": f"{HOSTILE}.mrc"}
    attention = [{"what": HOSTILE, "what_to_do": HOSTILE}]
    ran("west_holdings", "r0", headline=HOSTILE, artefacts=[file])
    ran("west_holdings", "r1", state="failed", headline=HOSTILE, attention=attention, artefacts=[file])
    answer = server.get("/alma/", headers=login)
    assert "<script>alert" not in answer.text
    page = html.fromstring(answer.text)
    found = page.xpath("//*[contains(text(), 'alert(1)')]")
    assert len(found) >= 4
    assert {each.tag for each in found} == {"bdi"}, "only there a mark of direction ends where the text ends"


def test_at_most_six_queries(server: TestClient, login: Any, dags: Any, beats: Any, ran: Any) -> None:
    beats(*RUNNING)
    for number, dag_id in enumerate(("west_holdings", "item_creation", "file_intake", "dcb_status_sync")):
        dags(dag_id)
        ran(dag_id, f"r{number}", state="failed")
    shown(server, login)  # what is asked once a minute
    with counted_queries() as queries:
        shown(server, login)
    assert len(queries) <= 6, queries
    assert len(queries) >= 3, "nothing was counted"


def test_who_may_see_no_dag_sees_no_run(
    server: TestClient, dags: Any, ran: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    dags("west_holdings")
    dags("item_creation")
    ran("west_holdings", "r1", headline="2 files delivered", artefacts=[FILE], counts={"delivered": 7})
    allowed = SimpleAuthManager.is_authorized_dag

    def only_items(self: Any, *, details: Any = None, **asked: Any) -> bool:
        return (details is None or details.id == "item_creation") and allowed(self, details=details, **asked)

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", only_items)
    viewer = headers_of("VIEWER")
    text = shown(server, viewer).text_content()
    assert "item_creation" in text
    assert "west_holdings" not in text
    assert "2 files delivered" not in text
    for path in ("runs/west_holdings/r1", "runs/west_holdings/r1/records.csv", "jobs/west_holdings"):
        assert server.get(f"/alma/{path}", headers=viewer).status_code == 403, path
    assert server.get("/alma/jobs/item_creation", headers=viewer).status_code == 200


def test_a_store_that_is_away_is_said(
    server: TestClient, login: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", f"sqlite:///{tmp_path}/none/store.db")
    store_reading.forget()
    answer = server.get("/alma/", headers=login)
    assert answer.status_code == 503
    assert "The state store, the SQLite file" in html.fromstring(answer.text).text_content()
    store_reading.forget()


def test_a_page_loads_nothing_from_elsewhere_and_nothing_inline(
    server: TestClient, login: Any, dags: Any, ran: Any
) -> None:
    dags("west_holdings")
    key = ran("west_holdings", "r1", counts={"delivered": 1}, artefacts=[FILE])
    for path in ("/alma/", "/alma/jobs/west_holdings", f"/alma/runs/{key.dag_id}/{key.run_id}"):
        answer = server.get(path, headers=login)
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
        page = html.fromstring(answer.text)
        for address in page.xpath("//link/@href | //script/@src | //img/@src"):
            assert address.startswith("/alma/static/"), address
            loaded = server.get(address, headers=login)
            assert loaded.status_code == 200
            assert "http://" not in loaded.text
            assert "https://" not in loaded.text
        assert page.xpath("//style | //script[not(@src)] | //@style | //@onclick") == []


def test_a_failed_run_is_no_news_after_a_week_unless_it_is_the_last_one(
    server: TestClient, login: Any, dags: Any, ran: Any, store: str
) -> None:
    dags("west_holdings")
    dags("item_creation")
    old = Ledger(store, now=lambda: datetime.now(UTC) - timedelta(days=8))
    key = RunKey("item_creation", "old")
    attempt = old.begin(key, About("item_creation", "items/incoming/old.csv"))
    old.finish(key, "failed", "", attempt, [{"what": "An old story.", "what_to_do": "Read it."}])
    old.close()
    assert "An old story." in words(shown(server, login), "attention")
    ran("item_creation", "new", subject="items/incoming/new.csv")
    assert "An old story." not in words(shown(server, login), "attention")
