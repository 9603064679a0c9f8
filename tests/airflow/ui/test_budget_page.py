"""The API budget: calls left, rate, refusals, the reserve, who called, and what waits for calls."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from lxml import html

from alma_airflow.ui import budget as page_module
from alma_airflow.ui import connections
from alma_etl.jobs.ledger import Ledger
from alma_etl.jobs.ledger_reading import RunKey
from alma_etl.remote.meter import CallCounts
from alma_etl.store import open_limiter
from alma_etl.views.budget import WaitingTasks
from tests.airflow.ui.conftest import HOSTILE, counted_queries, headers_of

PAGE = "/alma/budget"
NAME = "alma_default alma.example.org"


@pytest.fixture(autouse=True)
def alma(monkeypatch: pytest.MonkeyPatch) -> Any:
    extra = {"requests_per_second": 20, "quota_floor": 5000, "quota_floor_writes": 1000}
    connection = {"conn_type": "alma", "host": "https://alma.example.org", "password": "x", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_DEFAULT", json.dumps(connection))
    connections.forget()
    yield
    connections.forget()


@pytest.fixture
def called(ledger: Ledger) -> Callable[..., None]:
    """Calls of a DAG in this hour."""

    def add(
        dag_id: str, sent: int, refused: int = 0, connection: str = "alma_default", run: str = "r1"
    ) -> None:
        ledger.add_calls(RunKey(dag_id, run), connection, CallCounts(sent, refused))

    return add


@pytest.fixture
def limiter(store: str) -> Any:
    made = open_limiter(store_url=store, redis_url=None, budget=NAME, requests_per_second=20)
    made.acquire()
    return made


def shown(server: TestClient, login: Any) -> html.HtmlElement:
    answer = server.get(PAGE, headers=login)
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def words(page: html.HtmlElement, section: str) -> str:
    return " ".join(" ".join(page.xpath(f"//section[@aria-labelledby='{section}']")[0].itertext()).split())


def test_calls_made_left_and_refused(
    server: TestClient, login: Any, dags: Any, called: Any, limiter: Any
) -> None:
    dags("west_holdings")
    limiter.note_remaining(123_456)
    called("west_holdings", 900, 3)
    called("item_creation", 100)
    called("west_holdings", 7, connection="dcb_default")
    page = shown(server, login)
    (alma, other) = page.xpath("//section[@aria-labelledby='today']//tbody/tr")
    cells = [" ".join(" ".join(cell.itertext()).split()) for cell in alma.xpath("td")]
    assert cells[1:3] == ["1,000", "3"]
    assert cells[3].startswith("123,456")
    assert cells[4:] == ["20.0", "5,000 when writing 1,000"]
    assert "Calls go on at full speed." in cells[0]
    assert other.xpath("td")[1].text == "7"
    assert other.xpath("td")[0].text_content() == ""
    jobs = words(page, "jobs")
    assert "west_holdings alma_default 900 3" in jobs
    assert "others alma_default 100 0" in jobs, "a DAG that is not seen is not named"
    (summary,) = page.xpath("//*[local-name()='svg'][contains(@aria-label, 'alma_default')]/@aria-label")
    assert "900 west_holdings, 100 others" in summary


@pytest.mark.parametrize(
    ("left", "words_said"),
    [
        (900, "nothing is read or written before midnight UTC"),
        (4_000, "only writes go on before midnight UTC"),
        (9_000, "The reserve is near"),
    ],
)
def test_the_reserve_is_said(
    server: TestClient, login: Any, limiter: Any, left: int, words_said: str
) -> None:
    limiter.note_remaining(left)
    assert words_said in words(shown(server, login), "today")


def test_who_waits_while_nothing_may_be_sent(
    server: TestClient, login: Any, dags: Any, called: Any, ran: Any, limiter: Any
) -> None:
    dags("west_holdings")
    ran("west_holdings", "r1", state="running")
    ran("west_holdings", "r2")
    called("west_holdings", 900, run="r1")
    limiter.close(datetime.now(UTC) + timedelta(hours=3), "Alma's daily threshold")
    page = shown(server, login)
    assert "No call is sent before" in words(page, "today")
    assert "Alma's daily threshold" in words(page, "today")
    (link,) = page.xpath("//section[@aria-labelledby='waiting']//a/@href")
    assert link == "/alma/runs/west_holdings/r1"


def test_after_refusals_the_rate_is_lower(server: TestClient, login: Any, limiter: Any) -> None:
    limiter.throttled()
    said = words(shown(server, login), "today")
    assert "Slowed to 7" in said
    assert "20.0" not in said


def test_tasks_that_wait_are_said_to_those_who_may_see_them(
    server: TestClient, login: Any, dags: Any, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dags("west_holdings")
    tasks = [
        WaitingTasks(RunKey("west_holdings", "r1"), "scheduled", 12),
        WaitingTasks(RunKey("not_ours", "r1"), "up_for_retry", 1),
    ]
    monkeypatch.setattr(page_module, "waiting_tasks", lambda: tasks)
    said = words(shown(server, login), "waiting")
    assert "west_holdings r1 12 × waits for a slot of the pool alma_api" in said
    assert "not_ours" not in said


def test_a_connection_that_cannot_be_used_is_said(
    server: TestClient, login: Any, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "alma", "host": "", "password": "x"}
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_DEFAULT", json.dumps(connection))
    connections.forget()
    assert "The connection alma_default has no host" in shown(server, login).text_content()


@pytest.mark.heavy
def test_a_budget_in_valkey_is_read_there(
    server: TestClient, login: Any, store: str, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = open_limiter(store_url=store, redis_url=valkey, budget=NAME, requests_per_second=20)
    made.acquire()
    made.note_remaining(77_777)
    monkeypatch.setenv("AIRFLOW_CONN_LIMITER_DEFAULT", valkey)
    connections.forget()
    assert "77,777" in words(shown(server, login), "today")


def test_a_valkey_that_is_away_hides_nothing_else(
    server: TestClient, login: Any, store: str, called: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alma_etl.store.limiter_redis.ATTEMPTS", 0)
    monkeypatch.setenv("AIRFLOW_CONN_LIMITER_DEFAULT", "redis://127.0.0.1:9/0")
    connections.forget()
    called("west_holdings", 900)
    page = shown(server, login)
    assert "The rate limiter cannot use" in page.text_content()
    assert "900" in words(page, "today")


def test_at_most_six_queries(
    server: TestClient, login: Any, dags: Any, called: Any, ran: Any, limiter: Any
) -> None:
    dags("west_holdings")
    ran("west_holdings", state="running")
    called("west_holdings", 900)
    limiter.note_remaining(900)
    shown(server, login)
    with counted_queries() as queries:
        shown(server, login)
    assert 3 <= len(queries) <= 6, queries


def test_hostile_texts_are_texts(server: TestClient, login: Any, called: Any, limiter: Any) -> None:
    called("west_holdings", 1, connection=HOSTILE[:200])
    limiter.close(datetime.now(UTC) + timedelta(hours=3), HOSTILE)
    answer = server.get(PAGE, headers=login)
    assert "<script>alert" not in answer.text
    found = html.fromstring(answer.text).xpath("//*[contains(text(), 'alert(1)')]")
    assert {each.tag for each in found} <= {"bdi"}
    assert len(found) >= 2


def test_a_viewer_may_look(server: TestClient, store: str) -> None:
    assert server.get(PAGE, headers=headers_of("VIEWER")).status_code == 200
