"""The listener for Alma's webhooks: open to whoever signs; every other route of the pages wants a login."""

import asyncio
import json
import shutil
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from airflow.api_fastapi.app import init_auth_manager, purge_cached_app
from fastapi.routing import APIRoute

import alma_sandbox
from alma_airflow.ui import listening
from alma_airflow.ui.pages import app
from alma_etl.alma.webhooks import signature
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.store import DcbStore, LegRecord, NewRequest
from alma_etl.store.upgrade import upgrade
from tests.unit.dcb.records import START, dump, new_request

SECRET = "unlikely-test-word"
PERSON = {"user_primary_id": "ada", "last_name": "Lovelace", "email": "ada@example.org"}
LOAN = {"item_id": "PR-1-23", "loan_id": "77", "user_id": "ada", "item_barcode": "31", "title": "A title"}


class NoFile:
    """A bucket without a settings file: the shipped one counts."""

    def find(self, key: str) -> None:
        assert key == "config/dcb.yaml"


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("listener") / "store.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(autouse=True)
def airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_store: Path) -> Iterator[str]:
    """Connections and a store; the URL of the store."""
    shutil.copy(empty_store, tmp_path / "store.db")
    url = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", url)
    for name, extra in (("DEFAULT", {"webhook_secret": SECRET}), ("BORROWER", {})):
        connection = {
            "conn_type": "alma",
            "host": "http://127.0.0.1:9",
            "password": "sandbox",
            "extra": {"environment": "sandbox", **extra},
        }
        monkeypatch.setenv(f"AIRFLOW_CONN_ALMA_{name}", json.dumps(connection))
    monkeypatch.setattr(listening.dcb_hooks, "open_bucket", NoFile)
    listening.listeners.forget()
    yield url
    listening.listeners.forget()


def ask(method: str, path: str, **options: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://airflow") as client:
            return await client.request(method, path, **options)

    return asyncio.run(once())


def message(**changes: Any) -> bytes:
    event = {
        "id": "4700000000000000001",
        "action": "LOAN",
        "institution": {"value": "01ZY_INST"},
        "time": "2026-03-02T08:00:00Z",
        "event": {"value": "LOAN_RETURNED"},
        "item_loan": LOAN,
    }
    return json.dumps(event | changes).encode()


def post(body: bytes, system: str = "LENDER", sign: str | None = None) -> httpx.Response:
    headers = {"X-Exl-Signature": signature(body, SECRET) if sign is None else sign}
    return ask("POST", f"/webhooks/{system}", content=body, headers=headers)


def track(url: str) -> None:
    with DcbStore(url) as store:
        store.add(new_request(), START)


def hints(url: str) -> list[Mapping[str, Any]]:
    return sorted(dump(url)["dcb_hint"], key=lambda row: row["hint_id"])


def test_the_challenge_comes_back(airflow: str) -> None:
    answer = ask("GET", "/webhooks/LENDER", params={"challenge": '<x>"1'})
    assert (answer.status_code, answer.json()) == (200, {"challenge": '<x>"1'})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("query", [{}, {"challenge": ""}, {"challenge": "x" * 1001}])
def test_no_challenge_no_answer(query: dict[str, str]) -> None:
    assert ask("GET", "/webhooks/LENDER", params=query).status_code == 422


def test_a_signed_message_makes_its_request_due(airflow: str) -> None:
    track(airflow)
    assert post(message()).status_code == 200
    with DcbStore(airflow) as store:
        later = START + timedelta(minutes=1)
        assert store.follow_hints(later) == 1
        found = store.get("PR-1")
    assert found is not None
    assert found.nudged


def test_only_ids_are_kept_and_only_of_ours(airflow: str) -> None:
    track(airflow)
    assert post(message(item_loan=LOAN | PERSON)).status_code == 200
    assert post(message(id="2", item_loan={**LOAN, "item_id": "99"} | PERSON)).status_code == 200
    request = {"request_id": "PR-1-S", "item_id": "PR-1-23", **PERSON}
    told = message(id="3", action="REQUEST", event={"value": "REQUEST_CANCELED"}, user_request=request)
    assert post(told).status_code == 200
    item = {"item_data": {"pid": "PR-1-23", "barcode": "31"}}
    assert post(message(id="4", action="ITEM", event={"value": "ITEM_UPDATED"}, item=item)).status_code == 200
    kept = hints(airflow)
    assert [(row["hint_id"], row["event"], row["request_id"], row["item_pid"]) for row in kept] == [
        ("LENDER:3", "REQUEST_CANCELED", "PR-1-S", "PR-1-23"),
        ("LENDER:4", "ITEM_UPDATED", None, "PR-1-23"),
        ("LENDER:4700000000000000001", "LOAN_RETURNED", None, "PR-1-23"),
    ]
    assert "ada" not in json.dumps(kept, default=str).lower()


def test_told_twice_kept_once(airflow: str) -> None:
    track(airflow)
    assert [post(message()).status_code for _ in range(3)] == [200, 200, 200]
    assert len(hints(airflow)) == 1


@pytest.mark.parametrize("sign", ["", "x", signature(b"other", SECRET), signature(message(), "other")])
def test_what_is_not_signed_is_refused(airflow: str, sign: str) -> None:
    track(airflow)
    assert post(message(), sign=sign).status_code == 401
    assert hints(airflow) == []


def test_the_bytes_are_signed_not_their_meaning(airflow: str) -> None:
    assert post(message() + b" ", sign=signature(message(), SECRET)).status_code == 401


@pytest.mark.parametrize("system", ["BORROWER", "NOBODY", "FOLIO"])
def test_a_system_without_a_secret_looks_like_a_wrong_signature(airflow: str, system: str) -> None:
    assert post(message(), system).status_code == post(message(), sign="x").status_code == 401
    assert post(message(), system).text == post(message(), sign="x").text


@pytest.mark.parametrize(
    "body",
    [
        message(id="x" * 101),
        message(id="ada@example.org"),
        message(event={"value": "a name"}),
        message(event=None),
        message(item_loan=None),
        message(item_loan={**LOAN, "item_id": ["PR-1-23"]}),
        message(item_loan={**LOAN, "item_id": "Ada Lovelace"}),
        message(action="NEW_ACTION"),
    ],
)
def test_a_signed_message_that_tells_nothing_is_taken_and_not_kept(airflow: str, body: bytes) -> None:
    track(airflow)
    assert post(body).status_code == 200
    assert hints(airflow) == []


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{}", b'{"id": 1', b"\xff", b"[" * 100_000])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    assert post(body).status_code == 400


def test_a_long_body_is_cut_off() -> None:
    assert post(b"x" * (1024 * 1024 + 1)).status_code == 413


def test_a_store_that_does_not_answer_asks_for_another_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", "sqlite:////nowhere/store.db")
    assert post(message()).status_code == 503


@pytest.mark.heavy
def test_what_the_sandbox_sends_is_understood(airflow: str) -> None:
    with alma_sandbox.serve(alma_sandbox.Settings(titles=5, per_second=0)) as running:
        key = {"Authorization": "apikey sandbox", "Accept": "application/json"}
        api, hold = f"{running.url}/almaws/v1", {"request_type": "HOLD", "pickup_location_type": "LIBRARY"}
        members = requests.get(f"{api}/conf/sets/59000000000024401/members?limit=20", headers=key, timeout=30)
        for member in members.json()["member"]:
            pid = member["link"].rpartition("/")[2]
            where = f"{api}/users/patron001/requests?item_pid={pid}"
            body = {**hold, "pickup_location_library": "STOR"}
            if requests.post(where, json=body, headers=key, timeout=30).ok:
                break
        bodies = [json.dumps(each["body"]).encode() for each in running.sandbox.events.kept]
    request_id = json.loads(bodies[-1])["user_request"]["request_id"]
    leg = LegRecord(Role.SUPPLIER, "LENDER", request_id=request_id, item_pid=pid)
    with DcbStore(airflow) as store:
        store.add(NewRequest("PR-1", (leg,)), START)
    assert [post(body).status_code for body in bodies] == [200] * len(bodies)
    assert [(row["event"], row["request_id"], row["item_pid"]) for row in hints(airflow)][-1:] == [
        ("REQUEST_CREATED", request_id, pid)
    ]


def test_two_codes_of_one_alma_share_its_messages(airflow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    track(airflow)
    from alma_etl.dcb.settings import shipped_settings

    shipped = shipped_settings()
    systems = {"BRANCH": shipped.systems["LENDER"], **shipped.systems}
    both = shipped.model_copy(update={"systems": systems})
    monkeypatch.setattr(listening.dcb_hooks, "dcb_settings", lambda: both)
    assert post(message(), "BRANCH").status_code == 200
    assert [row["hint_id"] for row in hints(airflow)] == ["LENDER:4700000000000000001"]


def test_a_broken_settings_file_asks_for_another_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find(self, key: str) -> bytes:
            return b"systems: ["

    monkeypatch.setattr(listening.dcb_hooks, "open_bucket", Broken)
    assert post(message()).status_code == 503


@pytest.fixture
def auth_manager() -> Iterator[None]:
    """Airflow's own, as its API server sets it up."""
    init_auth_manager()
    yield
    purge_cached_app()


def test_every_other_route_wants_a_login(auth_manager: None) -> None:
    """Asked for without one, and with a made-up one, each answers 401; the pages and what is below them."""
    open_to_all, asked = set(), 0
    for route in app.routes:
        assert isinstance(route, APIRoute), f"{route} is neither checked here nor behind a login"
        path = route.path
        for name in route.param_convertors:
            path = path.replace("{" + name + "}", "x")
        for method in route.methods:
            for headers in ({}, {"Authorization": "Bearer made-up"}, {"Cookie": "_token=made-up"}):
                asked += 1
                status = ask(method, path, headers=headers).status_code
                if status not in (401, 403):
                    open_to_all.add((method, route.path))
    assert asked
    assert open_to_all <= {("GET", "/webhooks/{system}")}
