"""Forms that change something: only our own pages can post them, and only for who opened the page."""

from typing import Annotated, Any

import pytest
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.datastructures import FormData

from alma_airflow.ui.forms import TOKEN, form_token, posted
from alma_airflow.ui.gate import Gate
from alma_airflow.ui.guards import may_start_runs
from tests.airflow.ui.conftest import headers_of

OURS = {"Origin": "http://localhost:8080"}
PATH = "/things/{number}"
Form = Annotated[FormData, Depends(posted(largest=2_000))]


@pytest.fixture
def done() -> list[str]:
    """What was done."""
    return []


@pytest.fixture
def acting(server: TestClient, done: list[str]) -> TestClient:
    """A page with a form that does something, as the pages have them."""
    router = APIRouter()

    @router.post(PATH, dependencies=[Depends(may_start_runs("item_creation"))])
    def act(number: int, form: Form) -> str:
        done.append(f"{number} {form.get('what')}")
        return "done"

    app = FastAPI()
    app.add_middleware(Gate)
    app.include_router(router, prefix="/alma")
    app.state.auth_manager = get_auth_manager()
    return TestClient(app, base_url="http://localhost:8080", follow_redirects=False)


def token(name: str = "staff", path: str = "/things/1") -> str:
    return form_token(SimpleAuthManagerUser(username=name, role="ADMIN"), path)


def test_a_form_of_our_page_is_taken(acting: TestClient, done: list[str]) -> None:
    data = {TOKEN: token(), "what": "it"}
    answer = acting.post("/alma/things/1", data=data, headers=headers_of("USER") | OURS)
    assert (answer.status_code, done) == (200, ["1 it"])


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "",
        "https://evil.example",
        "http://localhost:8081",
        "http://localhost:8080.evil.example",
        "x",
    ],
)
def test_a_form_from_elsewhere_is_refused_and_nothing_happens(
    acting: TestClient, done: list[str], origin: str | None
) -> None:
    headers = headers_of("ADMIN") | ({} if origin is None else {"Origin": origin})
    answer = acting.post("/alma/things/1", data={TOKEN: token(), "what": "it"}, headers=headers)
    assert (answer.status_code, done) == (403, [])


@pytest.mark.parametrize(
    "data",
    [
        {},
        {TOKEN: ""},
        {TOKEN: "made up"},
        {TOKEN: "another path"},
        {TOKEN: "another user"},
    ],
)
def test_a_form_without_its_token_is_refused_and_nothing_happens(
    acting: TestClient, done: list[str], data: dict[str, str]
) -> None:
    others = {"another path": token(path="/things/2"), "another user": token("somebody")}
    data = {name: others.get(value, value) for name, value in data.items()}
    answer = acting.post("/alma/things/1", data=data, headers=headers_of("ADMIN") | OURS)
    assert (answer.status_code, done) == (403, [])


def test_a_token_is_valid_for_a_working_day(
    acting: TestClient, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import itsdangerous.timed

    old = token()
    now = itsdangerous.timed.time.time()
    monkeypatch.setattr(itsdangerous.timed.time, "time", lambda: now + 13 * 3600)
    answer = acting.post("/alma/things/1", data={TOKEN: old}, headers=headers_of("ADMIN") | OURS)
    assert (answer.status_code, done) == (403, [])


@pytest.mark.parametrize(("role", "status"), [(None, 403), ("VIEWER", 403), ("USER", 200)])
def test_a_viewer_may_not_act(acting: TestClient, done: list[str], role: str | None, status: int) -> None:
    answer = acting.post("/alma/things/1", data={TOKEN: token()}, headers=headers_of(role) | OURS)
    assert (answer.status_code, len(done)) == (status, int(status == 200))


def test_without_a_login_nothing_is_looked_at(acting: TestClient, done: list[str]) -> None:
    assert acting.post("/alma/things/1", data={TOKEN: token()}, headers=OURS).status_code == 401
    assert done == []


def test_what_is_too_large_or_of_no_length_is_not_read(acting: TestClient, done: list[str]) -> None:
    headers = headers_of("ADMIN") | OURS
    large = acting.post("/alma/things/1", data={TOKEN: token(), "what": "x" * 3_000}, headers=headers)
    assert large.status_code == 413

    def parts() -> Any:
        yield b"what=x"

    assert acting.post("/alma/things/1", content=parts(), headers=headers).status_code == 411
    assert done == []
