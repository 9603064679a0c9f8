"""Set-up: what the checks found last, what is missing with its step, and the button that runs a check now."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from fastapi.testclient import TestClient
from lxml import html
from sqlalchemy import create_engine, delete, text

from alma_airflow.ui import set_up
from alma_airflow.ui.forms import TOKEN
from alma_etl.jobs.ledger_reading import RunRecord
from alma_etl.store.upgrade import VERSION_TABLE
from tests.airflow.ui.conftest import HOSTILE, Triggered, counted_queries, headers_of

PAGE = "/alma/set-up"
OURS = {"Origin": "http://localhost:8080"}
CHECKED = [
    RunRecord("ok", "alma_default", 1, label="It answers", reasons="answers", message="01ABC."),
    RunRecord("missing", "alma_default", 2, label="The key may read Bibs", reasons="rights_bibs", message="Give it."),
    RunRecord("warning", "settings", 3, label="config/dcb.yaml", reasons="settings", message="Not set up."),
    RunRecord("ok", "the bucket", 4, label="It can", reasons="answers", message="It can."),
    RunRecord("unknown", "the limiter", 5, label="It answers", reasons="answers", message="Could not be read."),
]  # fmt: skip


@pytest.fixture
def pool(server: TestClient) -> Iterator[Callable[[int], None]]:
    """Makes the pool."""

    def make(slots: int) -> None:
        with create_session() as session:
            session.add(Pool(pool="alma_api", slots=slots, description="", include_deferred=False))

    yield make
    with create_session() as session:
        session.execute(delete(Pool).where(Pool.pool == "alma_api"))


@pytest.fixture
def checks(dags: Any) -> None:
    """Airflow knows both checks."""
    for dag_id in ("alma_health_check", "dcb_check_setup"):
        dags(dag_id)


def shown(server: TestClient, headers: Any, path: str = PAGE) -> html.HtmlElement:
    answer = server.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def words(page: html.HtmlElement, section: str) -> str:
    return " ".join(" ".join(page.xpath(f"//section[@aria-labelledby='{section}']")[0].itertext()).split())


def test_what_was_never_checked_is_said_with_what_to_do(
    server: TestClient, login: Any, store: str, checks: None
) -> None:
    page = shown(server, login)
    assert "alma_health_check has not run yet." in words(page, "attention")
    assert "It has not run yet." in words(page, "dcb_check_setup")
    assert "No check has looked at a connection yet." in words(page, "systems")
    assert "The pool alma_api does not exist" in words(page, "attention")
    assert "python -m alma_airflow.prepare" in words(page, "attention")


def test_findings_with_their_steps_and_each_connections_state(
    server: TestClient, login: Any, ran: Any, checks: None, pool: Any
) -> None:
    pool(4)
    ran("alma_health_check", "night", state="failed", counts={"ok": 2, "missing": 1}, records=CHECKED)
    ran("dcb_check_setup", "trial", counts={"ok": 1}, records=[RunRecord("ok", "LENDER", 1, label="Desk")])
    page = shown(server, login)
    attention = words(page, "attention")
    assert "alma_default: The key may read Bibs Give it." in attention
    assert "the limiter: It answers Could not be read." in attention
    assert "config/dcb.yaml" not in attention, "half-configured is no alarm"
    rows = page.xpath("//section[@aria-labelledby='systems']//tbody/tr")
    states = {row.xpath("th")[0].text_content().strip(): row.xpath("td")[0].text_content() for row in rows}
    assert states == {
        "alma_default": "broken",
        "settings": "half-configured",
        "the bucket": "healthy",
        "the limiter": "not known",
        "aleph_default": "not set up",
        "west_sftp": "not set up",
        "smtp_default": "not set up",
    }
    outcomes = page.xpath("//section[@aria-labelledby='alma_health_check']//tbody/tr/td[2]")
    assert [each.text_content() for each in outcomes] == ["missing", "unknown", "warning", "ok", "ok"]
    assert "LENDER" in words(page, "dcb_check_setup")
    assert "revision" in words(page, "installation")
    assert "alma_api : 4 slots, 0 in use; 0 tasks waiting" in words(page, "installation")
    assert "/alma/runs/alma_health_check/night" in page.xpath("//@href")


def test_a_connection_that_no_check_looked_at_is_named(
    server: TestClient, login: Any, ran: Any, checks: None
) -> None:
    ran("alma_health_check", records=CHECKED)
    made = {"alma_zone": "alma", "aleph_default": "aleph"}
    with create_session() as session:
        for conn_id, kind in made.items():
            session.add(Connection(conn_id=conn_id, conn_type=kind, host="https://library.example.org"))
    try:
        said = words(shown(server, login), "systems")
    finally:
        with create_session() as session:
            session.execute(delete(Connection).where(Connection.conn_id.in_(made)))
    assert "alma_zone not checked" in said
    assert "aleph_default not checked" in said
    assert "aleph_default not set up" not in said


def test_while_a_check_runs_the_findings_of_the_one_before_stay(
    server: TestClient, login: Any, ran: Any, checks: None
) -> None:
    ran("alma_health_check", "r1", records=CHECKED)
    ran("alma_health_check", "r2", state="running")
    said = words(shown(server, login), "alma_health_check")
    assert "A run is under way since" in said
    assert "The key may read Bibs" in said


def test_a_store_of_another_version_and_a_pool_without_slots_are_said(
    server: TestClient, login: Any, store: str, checks: None, pool: Any
) -> None:
    pool(0)
    engine = create_engine(store)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    attention = words(shown(server, login), "attention")
    assert "which a newer version of Alma Airflow made" in attention
    assert "The pool alma_api has no slots" in attention


def test_a_paused_check_has_no_button_and_is_not_started(
    server: TestClient, login: Any, store: str, dags: Any, triggered: list[Triggered]
) -> None:
    dags("alma_health_check")
    (form,) = shown(server, login).xpath("//form[@action='/alma/set-up/alma_health_check']")
    data = {TOKEN: form.xpath(f".//input[@name='{TOKEN}']/@value")[0]}
    with create_session() as session:
        session.get_one(DagModel, "alma_health_check").is_paused = True
    answer = server.post(form.get("action"), data=data, headers=login | OURS)
    assert answer.status_code == 409
    page = html.fromstring(answer.text)
    assert (
        "is paused in Airflow, so that nothing was started"
        in page.xpath("//ul[@role='alert']")[0].text_content()
    )
    assert "is paused: switch it on" in words(page, "alma_health_check")
    assert page.xpath("//form") == []
    assert triggered == []


def test_who_may_not_see_a_check_reads_nothing_of_it_and_a_viewer_gets_no_button(
    server: TestClient, store: str, ran: Any, checks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran("alma_health_check", records=CHECKED)
    page = shown(server, headers_of("VIEWER"))
    assert "The key may read Bibs" in words(page, "attention")
    assert page.xpath("//form") == []
    monkeypatch.setattr(set_up, "runs_seen", lambda *_: set())
    page = shown(server, headers_of("VIEWER"))
    assert "Bibs" not in page.text_content()
    assert "There is no check whose runs you may see." in page.text_content()


def test_the_button_starts_a_check_and_says_so(
    server: TestClient, login: Any, store: str, checks: None, triggered: list[Triggered]
) -> None:
    page = shown(server, login)
    (form,) = page.xpath("//form[@action='/alma/set-up/alma_health_check']")
    data = {TOKEN: form.xpath(f".//input[@name='{TOKEN}']/@value")[0]}
    answer = server.post(form.get("action"), data=data, headers=login | OURS)
    assert answer.status_code == 303
    assert triggered == [Triggered("staff", "alma_health_check", {}, None)]
    assert "alma_health_check was started" in shown(server, login, answer.headers["location"]).text_content()
    for path, headers, status in (
        ("alma_health_check", headers_of("VIEWER") | OURS, 403),
        ("dcb_check_setup", login | OURS, 403),  # the token is that of another form
        ("alma_health_check", login, 403),  # from elsewhere
    ):
        assert server.post(f"{PAGE}/{path}", data=data, headers=headers).status_code == status, path
    assert len(triggered) == 1


def test_only_checks_are_started(server: TestClient, login: Any, store: str, dags: Any) -> None:
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    from alma_airflow.ui.forms import form_token

    dags("west_holdings")
    data = {TOKEN: form_token(SimpleAuthManagerUser(username="staff", role="ADMIN"), "/set-up/west_holdings")}
    answer = server.post(f"{PAGE}/west_holdings", data=data, headers=login | OURS)
    assert (answer.status_code, answer.text) == (404, "There is no such check.\n")


def test_no_second_run_is_started_while_one_waits(
    server: TestClient, login: Any, store: str, checks: None, triggered: list[Triggered]
) -> None:
    page = shown(server, login)
    (form,) = page.xpath("//form[@action='/alma/set-up/alma_health_check']")
    data = {TOKEN: form.xpath(f".//input[@name='{TOKEN}']/@value")[0]}
    with create_session() as session:
        session.add(
            DagRun(
                dag_id="alma_health_check",
                run_id="manual__1",
                run_type=DagRunType.MANUAL,
                state=DagRunState.QUEUED,
                triggered_by=DagRunTriggeredByType.UI,
            )
        )
    try:
        assert server.post(form.get("action"), data=data, headers=login | OURS).status_code == 303
    finally:
        with create_session() as session:
            session.execute(delete(DagRun).where(DagRun.run_id == "manual__1"))
    assert triggered == []


def test_hostile_findings_appear_as_text(server: TestClient, login: Any, ran: Any, checks: None) -> None:
    record = RunRecord("missing", HOSTILE[:100], 1, label=HOSTILE, reasons="x", message=HOSTILE)
    ran("alma_health_check", records=[record])
    page = shown(server, login)
    assert not page.xpath("//script[not(@src)]")
    assert "<script>alert(1)</script>" in words(page, "attention")
    answer = server.get(f"{PAGE}?started={json.dumps(HOSTILE)}", headers=login)
    assert "was started" not in answer.text


def test_at_most_six_queries(server: TestClient, login: Any, ran: Any, checks: None, pool: Any) -> None:
    pool(4)
    ran("alma_health_check", records=CHECKED)
    ran("dcb_check_setup", records=CHECKED)
    shown(server, login)
    with counted_queries() as seen:
        shown(server, login)
    assert len(seen) <= 6, seen
