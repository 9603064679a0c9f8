"""The pages under ``/alma/`` of Airflow's API server: who gets in, and that no path breaks them."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from alma_airflow.ui import listening, pages
from alma_airflow.ui.forms import TOKEN, form_token
from alma_airflow.ui.menu import MENU
from tests.airflow.ui.conftest import ROLES, FakeBucket, Triggered, headers_of

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
    "?sort=%00&before=%ff",
    "%00",
    "jobs/%00",
    "jobs/%2e%2e",
    "jobs/no_such_dag",
    "jobs/west_holdings?sort=no&state=%00&search=%ff%00&after=AAAA&before=" + "x" * 5000,
    "jobs/west_holdings?sort=started_at&after=WyIyMDIwIiwxXQ",
    "runs/west_holdings",
    "runs/west_holdings/..",
    "runs/west_holdings/%00",
    "runs/%ff/x",
    "runs/west_holdings/no_such_run",
    "runs/west_holdings/x?outcome=%00&symbol=%ff&after=W10",
    "runs/west_holdings/x/records.csv",
    "runs/west_holdings/x/records.csv?search=%00",
    "runs/west_holdings/x/download",
    "runs/west_holdings/x/download?key=%00",
    "runs/west_holdings/x/download?key=config/west.yaml",
    "runs/west_holdings/x/download?key=" + "x" * 5000,
    "requests?status=%00&needs=x&search=%ff%00&after=AAAA",
    "requests.csv?search=%00",
    "deliveries?sort=%00&kind=%ff&after=AAAA&search=" + "x" * 5000,
    "deliveries.csv?kind=%00&sort=--",
    "budget?x=%00",
    "set-up?started=%00",
    "set-up/%00",
    "set-up/no_such_dag",
    "requests/%00",
    "requests/%ff",
    "requests/" + "x" * 65,
    "requests/PR-1?placing=%00",
    "requests/PR-1?cancelling=" + "x" * 5000,
    "requests/acknowledge",
    "requests/place?supplier_system=%00",
    "requests/%00/cancel",
    "requests/..%2f..%2f/nudge",
    "files?sort=%00&state=%ff&profile=%00&search=%00&after=" + "x" * 5000,
    "files/file",
    "files/file?key=%00&version=%ff",
    "files/file?key=..%2f..%2fconfig%2fwest.yaml&version=x",
    "files/file?key=" + "x" * 5000,
    "files/download?key=config/west.yaml&version=",
    "files/items/asked/..%2f..%2fconfig",
    "files/items/asked/%00",
    "files/items/asked/" + "a" * 32,
    "files/..%2fconfig/upload",
    "files/%00/load",
    "files/correct",
    "files/correct?key=%00&version=%ff",
    "files/..%2f/correct",
    "files/waiting?older=%00&received=%ff&search=%00&sort=po_line&after=" + "x" * 5000,
    "files/waiting.csv?older=99999999999999999999&search=%00",
    "files/waiting/remove",
    "static/%00",
    "static/..%2fpages.py",
    "static/alma.css%00",
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


@pytest.fixture(autouse=True)
def settings(bucket: FakeBucket, store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(listening.dcb_hooks, "open_bucket", lambda: bucket)
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
    yield
    listening.listeners.forget()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("who", ["nobody", "staff"])
def test_no_path_breaks_a_page(
    server: TestClient, login: Any, bucket: FakeBucket, path: str, who: str
) -> None:
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
        patched.setattr(pages, "open_bucket", FakeBucket)
        answer = server.get(f"/alma/report/{_quoted(dag_id)}/{_quoted(run_id)}", headers=login)
    assert answer.status_code < 500


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


def test_a_browser_without_a_login_is_led_to_airflows_login_and_from_there_to_the_page(
    server: TestClient, bucket: FakeBucket
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
def test_without_a_login_nothing_is_looked_at(server: TestClient, bucket: FakeBucket, path: str) -> None:
    bucket.away = True
    assert server.get(f"/alma/{path}").status_code == 401
    assert server.get(f"/alma/{path}", headers=BROWSER).status_code == 303
    assert server.post(f"/alma/{path}", headers=BROWSER).status_code == 401
    made_up = {"Authorization": "Bearer made-up"}
    assert server.get(f"/alma/{path}", headers=made_up).status_code in (401, 403)
    assert server.get(f"/alma/{path}", headers=BROWSER | {"Cookie": "_token=made-up"}).status_code == 303


def routes() -> list[tuple[str, str]]:
    """Method and path of everything that is answered, but the listener for Alma's webhooks."""
    found = []
    for route in pages.app.routes:
        assert isinstance(route, APIRoute), f"{route} has no guard that this test could see"
        path = route.path
        for name in route.param_convertors:
            path = path.replace("{" + name + "}", "x")
        if not path.startswith("/webhooks/"):
            found += [(method, f"/alma{path}") for method in sorted(route.methods)]
    return found


def test_there_are_routes_and_the_menu_leads_to_them() -> None:
    assert len(routes()) > 5
    assert {("GET", f"/alma{entry.path}") for entry in MENU} <= set(routes())


def test_without_a_token_no_route_is_open(server: TestClient) -> None:
    for method, path in routes():
        assert server.request(method, path).status_code == 401, (method, path)


def test_without_a_role_no_route_is_open(server: TestClient) -> None:
    """A login is not enough: each route asks for a permission. One that asks for none fails here."""
    nobody = headers_of(None)
    for method, path in routes():
        answer = server.request(method, path, headers=BROWSER | nobody)
        assert answer.status_code == 403, (method, path)
        assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("role", ROLES)
def test_a_viewer_may_look_and_not_act(server: TestClient, role: str) -> None:
    """Nothing is looked at that is not there, and nobody acts without the token of a form, whatever the role."""
    who = headers_of(role)
    for method, path in routes():
        answer = server.request(method, path, headers=who)
        if method in ("GET", "HEAD"):
            assert answer.status_code in (200, 404, 422), (method, path)
        else:
            assert answer.status_code == 403, (method, path)


POSTS = {"dag_id": "alma_health_check", "area": "items", "pr_id": "PR-1", "held": "0" * 32}
"""Values of a path with which a POST gets as far as it can."""


def posts() -> list[str]:
    """The path of everything that changes something."""
    found = []
    for route in pages.app.routes:
        assert isinstance(route, APIRoute)
        if route.methods - {"GET", "HEAD"} and not route.path.startswith("/webhooks/"):
            assert route.methods == {"POST"}, route.path
            found.append(route.path.format_map(POSTS))
    return found


def send(server: TestClient, path: str, role: str, **changed: str | None) -> int:
    """The status with which an empty form is answered that has everything else: login, origin, token."""
    user = SimpleAuthManagerUser(username="staff", role=role)
    asked: dict[str, str | None] = {
        "origin": "http://localhost:8080",
        "token": form_token(user, path),
        **changed,
    }
    headers = headers_of(role) | ({"Origin": asked["origin"]} if asked["origin"] else {})
    data = {TOKEN: asked["token"]} if asked["token"] else {"other": "field"}
    return server.post(f"/alma{path}", headers=headers, data=data).status_code


def test_a_viewer_may_act_nowhere_even_with_a_valid_form(
    server: TestClient, bucket: FakeBucket, triggered: list[Triggered]
) -> None:
    assert len(posts()) > 8
    for path in posts():
        assert send(server, path, "VIEWER") == 403, path
        assert send(server, path, "USER") in (303, 404, 409, 422), f"{path}: nobody may act at all"


def test_every_form_needs_its_own_token_and_our_origin(
    server: TestClient, bucket: FakeBucket, triggered: list[Triggered]
) -> None:
    admin = SimpleAuthManagerUser(username="staff", role="ADMIN")
    other = SimpleAuthManagerUser(username="other", role="ADMIN")
    for path in posts():
        for changed in (
            {"origin": None},
            {"origin": "null"},
            {"origin": "https://elsewhere.example"},
            {"token": None},
            {"token": "x"},
            {"token": form_token(admin, f"{path}x")},
            {"token": form_token(other, path)},
        ):
            assert send(server, path, "ADMIN", **changed) == 403, (path, changed)
    assert triggered == []


WORDS = st.text(max_size=40) | st.sampled_from(
    [
        "..",
        ".",
        "%00",
        "\0",
        "\ufeff",
        "\u202e",
        "-1",
        "9" * 40,
        "W10",
        "WzFd",
        "x" * 5000,
        "a/../b",
        "{pr_id}",
        "'--",
    ]
)
NAMES = st.sampled_from(
    ["sort", "after", "before", "search", "state", "status", "outcome", "symbol", "reason", "kind", "needs", "profile",
     "key", "version", "placing", "cancelling", "started", "challenge", "row"]
) | st.text(max_size=10)  # fmt: skip


@given(st.data())
@settings_of_hypothesis(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@pytest.mark.heavy
def test_no_path_and_no_query_is_answered_with_500(
    server: TestClient, login: Any, bucket: FakeBucket, triggered: list[Triggered], data: st.DataObject
) -> None:
    """Every route, with ids and a query string that nobody has in mind, by somebody who may do everything."""
    route = data.draw(st.sampled_from([each for each in pages.app.routes if isinstance(each, APIRoute)]))
    path = route.path
    for name in route.param_convertors:
        path = path.replace("{" + name + "}", _quoted(data.draw(WORDS)))
    query = "&".join(
        f"{_quoted(name)}={_quoted(value)}"
        for name, value in data.draw(st.lists(st.tuples(NAMES, WORDS), max_size=4))
    )
    for method in route.methods:
        answer = server.request(method, f"/alma{path}?{query}", headers=login)
        assert answer.status_code < 500, (method, path, query, answer.status_code)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"%ff%fe=%00&&&=;" * 50),
        ("application/x-www-form-urlencoded", b"x=1&" * 6_000),
        ("multipart/form-data", b"--x"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="form_token"; filename="\0"\r\n\r\nx',
        ),
        ("application/json", b'{"form_token": 1}'),
        ("text/plain; charset=no-such", b"\xff"),
    ],
)
def test_no_body_of_a_form_breaks_a_page(server: TestClient, login: Any, kind: str, body: bytes) -> None:
    headers = login | {"Origin": "http://localhost:8080", "Content-Type": kind}
    for path in posts():
        assert server.post(f"/alma{path}", headers=headers, content=body).status_code in (400, 403), path


def test_a_bucket_that_is_away_is_no_broken_airflow(
    server: TestClient, login: Any, bucket: FakeBucket
) -> None:
    bucket.away = True
    answer = server.get("/alma/report/west_holdings/x", headers=login)
    assert answer.status_code == 503
    assert "connection refused" not in answer.text


def test_a_run_without_a_report_names_no_task_that_its_dag_does_not_have(
    server: TestClient, login: Any, bucket: FakeBucket
) -> None:
    answer = server.get("/alma/report/dcb_place_request/x", headers=login)
    assert answer.status_code == 404
    assert "has no report yet" in answer.text
    assert "`report`" not in answer.text


def test_a_report_is_shown_as_it_was_written(server: TestClient, login: Any, bucket: FakeBucket) -> None:
    bucket.kept["runs/west_holdings/x/report.html"] = b"<html><body>Delivered</body></html>"
    answer = server.get("/alma/report/west_holdings/x", headers=login)
    assert (answer.status_code, answer.content) == (200, b"<html><body>Delivered</body></html>")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def plugin(server: TestClient, login: Any) -> dict[str, Any]:
    """What Airflow's UI learns of the plugin."""
    plugins = server.get("/api/v2/plugins", headers=login).json()["plugins"]
    (ours,) = (each for each in plugins if each["name"] == "alma")
    found: dict[str, Any] = ours
    return found


def test_the_navigation_leads_to_the_pages(server: TestClient, login: Any) -> None:
    (entry,) = (each for each in plugin(server, login)["external_views"] if each["destination"] == "nav")
    assert entry["name"] == "Alma"
    assert server.get(entry["href"], headers=login).status_code == 200


def test_the_report_is_a_tab_of_each_run(server: TestClient, login: Any, bucket: FakeBucket) -> None:
    views = plugin(server, login)["external_views"]
    (tab,) = (view for view in views if view["destination"] == "dag_run")
    bucket.kept["runs/west_holdings/a+b:c/report.html"] = b"<html><body>Delivered</body></html>"
    page = tab["href"].replace("{DAG_ID}", "west_holdings").replace("{RUN_ID}", "a%2Bb%3Ac")
    assert b"Delivered" in server.get(page, headers=login).content


def test_dags_runs_and_tasks_have_a_tab_of_ours(server: TestClient, login: Any) -> None:
    tabs = plugin(server, login)["react_apps"]
    assert {tab["destination"] for tab in tabs} == {"dag", "dag_run", "task", "task_instance"}
    for tab in tabs:
        script = server.get(tab["bundle_url"], headers=login)
        assert script.headers["content-type"].startswith("text/javascript")


def test_challenges_are_answered_for_systems_that_may_send_and_for_no_others(
    server: TestClient, bucket: FakeBucket
) -> None:
    answer = server.get("/alma/webhooks/LENDER", params={"challenge": "abc"})
    assert (answer.status_code, answer.json()) == (200, {"challenge": "abc"})
    others = [
        server.get(f"/alma/webhooks/{system}", params={"challenge": "abc"})
        for system in ("BORROWER", "NOBODY", "FOLIO", "lender", "x" * 41)
    ]
    assert {(other.status_code, other.text.strip()) for other in others} == {(404, "Not Found")}


def test_a_challenge_waits_for_settings_that_cannot_be_read(server: TestClient, bucket: FakeBucket) -> None:
    bucket.kept["config/dcb.yaml"] = b"systems: ["
    assert server.get("/alma/webhooks/LENDER", params={"challenge": "abc"}).status_code == 503


def test_where_dcb_has_no_settings_no_system_is_listened_to(
    server: TestClient, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "alma", "host": "http://127.0.0.1:9", "password": "sandbox"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_ALMA_DEFAULT",
        json.dumps({**connection, "extra": {"webhook_secret": "unlikely-test-word"}}),
    )
    assert server.get("/alma/webhooks/LENDER", params={"challenge": "abc"}).status_code == 404
    assert server.post("/alma/webhooks/LENDER", content=b"{}").status_code == 401
