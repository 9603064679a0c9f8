"""The pages under ``/alma/`` of Airflow's API server: who gets in, and that no path breaks them."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.api_fastapi.app import create_app, get_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.utils import db
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from alma_airflow.ui import listening, pages

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PATHS = [
    "report/west_holdings/.",
    "report/west_holdings/..",
    "report/./x",
    "report/../x",
    "report/%2e/%2e",
    "report/%2e%2e/%2e%2e",
    "report/..%2f..%2fconfig/x",
    "report/west_holdings/a..b",
    "report/west_holdings/%00",
    "report/%00/x",
    "report/west_holdings/a%00b",
    "report/west_holdings/%ff%fe",
    "report/%c3%28/x",
    "report/west_holdings/%F0%9F%92%A9",
    "report/west_holdings/" + "x" * 5000,
    "report/" + "x" * 251 + "/x",
    "report/~/~",
    "report/west_holdings/%0d%0aSet-Cookie:x",
    "report/no_such_dag/no_such_run",
    "report/west_holdings/manual__2026-01-01T00:00:00+00:00",
    "report/west_holdings/x?dag_id=%00&run_id=..",
    "report/west_holdings",
    "report//",
    "report",
    "",
    "/",
    "%00",
    "webhooks/%00?challenge=x",
    "webhooks/%ff?challenge=x",
    "webhooks/..?challenge=x",
    "webhooks/LENDER?challenge=%00",
    "webhooks/LENDER?challenge=%ff",
    "webhooks/LENDER?challenge=" + "x" * 1001,
    "webhooks/LENDER",
    "webhooks/" + "x" * 5000 + "?challenge=x",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]


class Pages:
    """A bucket that has what the test put there; it can be away."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.away = False

    def find(self, key: str) -> bytes | None:
        if self.away:
            raise OSError("connection refused")
        assert ".." not in key
        return self.kept.get(key)


@pytest.fixture(scope="module")
def server() -> Iterator[TestClient]:
    """Airflow's API server with the plugin, as it is started; an error that it would answer with 500 is raised."""
    db.initdb()
    purge_cached_app()
    yield TestClient(create_app(apps="core"), base_url="http://localhost:8080", follow_redirects=False)
    purge_cached_app()


@pytest.fixture(scope="module")
def login(server: TestClient) -> dict[str, str]:
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="staff", role="ADMIN"))
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pages]:
    found = Pages()
    monkeypatch.setattr(pages, "open_bucket", lambda: found)
    monkeypatch.setattr(listening.dcb_hooks, "open_bucket", lambda: found)
    for name, extra in (("DEFAULT", {"webhook_secret": "unlikely-test-word"}), ("BORROWER", {})):
        connection: dict[str, Any] = {
            "conn_type": "alma",
            "host": "http://127.0.0.1:9",
            "password": "sandbox",
        }
        connection["extra"] = {**extra, "environment": "sandbox"}
        monkeypatch.setenv(
            f"AIRFLOW_CONN_ALMA_{name}",
            json.dumps(connection),
        )
    listening.listeners.forget()
    yield found
    listening.listeners.forget()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("who", ["nobody", "staff"])
def test_no_path_breaks_a_page(server: TestClient, login: Any, bucket: Pages, path: str, who: str) -> None:
    headers = login if who == "staff" else {}
    for method in METHODS:
        answer = server.request(method, f"/alma/{path}", headers=headers)
        assert answer.status_code < 500, (method, path, answer.status_code)
        if who == "nobody" and not path.startswith("webhooks/"):
            assert answer.status_code in (401, 403, 404), (method, path)


@given(st.text(max_size=60), st.text(max_size=60))
@pytest.mark.heavy
def test_no_ids_break_the_page_of_a_run(server: TestClient, login: Any, dag_id: str, run_id: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pages, "open_bucket", Pages)
        answer = server.get(f"/alma/report/{_quoted(dag_id)}/{_quoted(run_id)}", headers=login)
    assert answer.status_code < 500


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


def test_a_browser_without_a_login_is_led_to_airflows_login_and_from_there_to_the_page(
    server: TestClient, bucket: Pages
) -> None:
    answer = server.get("/alma/report/west_holdings/a+b?x=1&y=%20", headers=BROWSER)
    assert answer.status_code == 303
    target = urlsplit(answer.headers["location"])
    assert target.path == "/api/v2/auth/login"
    assert parse_qs(target.query)["next"] == ["/alma/report/west_holdings/a%2Bb?x=1&y=%20"]
    on = server.get(answer.headers["location"], headers=BROWSER)
    assert on.status_code == 307
    assert urlsplit(on.headers["location"]).path == "/auth/login"
    assert parse_qs(urlsplit(on.headers["location"]).query)["next"] == parse_qs(target.query)["next"]


@pytest.mark.parametrize("path", ["report/west_holdings/x", "report/%00/..", "no/such/page", "%ff"])
def test_without_a_login_nothing_is_looked_at(server: TestClient, bucket: Pages, path: str) -> None:
    bucket.away = True
    assert server.get(f"/alma/{path}").status_code == 401
    assert server.get(f"/alma/{path}", headers=BROWSER).status_code == 303
    assert server.post(f"/alma/{path}", headers=BROWSER).status_code == 401
    made_up = {"Authorization": "Bearer made-up"}
    assert server.get(f"/alma/{path}", headers=made_up).status_code in (401, 403)
    assert server.get(f"/alma/{path}", headers=BROWSER | {"Cookie": "_token=made-up"}).status_code == 303


def test_every_page_is_behind_the_gate(server: TestClient, bucket: Pages) -> None:
    open_to_all = set()
    for route in pages.app.routes:
        assert isinstance(route, APIRoute)
        path = route.path
        for name in route.param_convertors:
            path = path.replace("{" + name + "}", "x")
        if any(
            server.request(method, f"/alma{path}").status_code not in (401, 403) for method in route.methods
        ):
            open_to_all.add(route.path)
    assert open_to_all <= {"/webhooks/{system}"}


def test_who_may_not_see_the_dag_is_refused_in_words(
    server: TestClient, bucket: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="nobody", role=None))
    answer = server.get(
        "/alma/report/west_holdings/x", headers=BROWSER | {"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_bucket_that_is_away_is_no_broken_airflow(server: TestClient, login: Any, bucket: Pages) -> None:
    bucket.away = True
    answer = server.get("/alma/report/west_holdings/x", headers=login)
    assert answer.status_code == 503
    assert "connection refused" not in answer.text


def test_a_run_without_a_report_names_no_task_that_its_dag_does_not_have(
    server: TestClient, login: Any, bucket: Pages
) -> None:
    answer = server.get("/alma/report/dcb_place_request/x", headers=login)
    assert answer.status_code == 404
    assert "has no report yet" in answer.text
    assert "`report`" not in answer.text


def test_a_report_is_shown_as_it_was_written(server: TestClient, login: Any, bucket: Pages) -> None:
    bucket.kept["runs/west_holdings/x/report.html"] = b"<html><body>Delivered</body></html>"
    answer = server.get("/alma/report/west_holdings/x", headers=login)
    assert (answer.status_code, answer.content) == (200, b"<html><body>Delivered</body></html>")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_report_is_a_tab_of_each_run(server: TestClient, login: Any, bucket: Pages) -> None:
    plugins = server.get("/api/v2/plugins", headers=login).json()["plugins"]
    (tab,) = (view for plugin in plugins if plugin["name"] == "alma" for view in plugin["external_views"])
    assert tab["destination"] == "dag_run"
    bucket.kept["runs/west_holdings/a+b:c/report.html"] = b"<html><body>Delivered</body></html>"
    page = tab["href"].replace("{DAG_ID}", "west_holdings").replace("{RUN_ID}", "a%2Bb%3Ac")
    assert b"Delivered" in server.get(page, headers=login).content


def test_challenges_are_answered_for_systems_that_may_send_and_for_no_others(
    server: TestClient, bucket: Pages
) -> None:
    answer = server.get("/alma/webhooks/LENDER", params={"challenge": "abc"})
    assert (answer.status_code, answer.json()) == (200, {"challenge": "abc"})
    others = [
        server.get(f"/alma/webhooks/{system}", params={"challenge": "abc"})
        for system in ("BORROWER", "NOBODY", "FOLIO", "lender", "x" * 41)
    ]
    assert {(other.status_code, other.text.strip()) for other in others} == {(404, "Not Found")}


def test_a_challenge_waits_for_settings_that_cannot_be_read(server: TestClient, bucket: Pages) -> None:
    bucket.kept["config/dcb.yaml"] = b"systems: ["
    assert server.get("/alma/webhooks/LENDER", params={"challenge": "abc"}).status_code == 503


def test_where_dcb_has_no_settings_no_system_is_listened_to(
    server: TestClient, bucket: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "alma", "host": "http://127.0.0.1:9", "password": "sandbox"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_ALMA_DEFAULT",
        json.dumps({**connection, "extra": {"webhook_secret": "unlikely-test-word"}}),
    )
    assert server.get("/alma/webhooks/LENDER", params={"challenge": "abc"}).status_code == 404
    assert server.post("/alma/webhooks/LENDER", content=b"{}").status_code == 401
