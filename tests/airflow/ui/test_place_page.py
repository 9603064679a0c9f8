"""The form that places a request: two Almas, the book shown before it is sent, and a sentence where one is silent."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from lxml import html

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.ui import dcb_systems, placing
from alma_etl.dcb.conf import read_place
from alma_etl.dcb.settings import NoDcbSettings
from alma_etl.dcb.store import DcbStore
from tests.airflow.ui.conftest import HOSTILE, headers_of
from tests.unit.dcb.records import START, new_request
from tests.unit.dcb.sides_world import PATRON, Almas, SandboxSide, two_sandboxes

PAGE = "/alma/requests/place"
ORIGIN = {"Origin": "http://localhost:8080"}
FIND = {"supplier_system": "LENDER", "borrower_system": "BORROWER", "workflow": "RET-STD", "do": "find"}


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[SandboxSide, SandboxSide]]:
    with two_sandboxes() as found:
        yield found


@pytest.fixture
def almas(
    sides: tuple[SandboxSide, SandboxSide], store: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Almas]:
    """Both Almas, which the page asks, and nobody has been asked yet."""
    found = Almas(*sides)
    for side in sides:
        side.reset()

    @contextmanager
    def open_dcb(**_: Any) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(systems=found.systems)

    monkeypatch.setattr(dcb_hooks, "open_dcb", open_dcb)
    monkeypatch.setattr(dcb_hooks, "dcb_settings", lambda: found.settings)
    placing.forget()
    dcb_systems.forget()
    yield found
    placing.forget()
    dcb_systems.forget()
    found.close()


def send(
    server: TestClient, login: Any, page: html.HtmlElement, status: int, **fields: str
) -> html.HtmlElement:
    """Fill in the form and send it; the page that answers, or for a redirect an element with its `location`."""
    (form,) = (each for each in page.forms if each.action == PAGE)
    data = {name: value for name, value in {**dict(form.fields), **fields}.items() if value is not None}
    answer = server.post(PAGE, data=data, headers=login | ORIGIN)
    assert answer.status_code == status, answer.text
    found = html.fromstring(answer.text or "<p/>")
    found.set("location", answer.headers.get("location", ""))
    return found


def opened(server: TestClient, login: Any) -> html.HtmlElement:
    answer = server.get(PAGE, headers=login)
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def text(element: html.HtmlElement) -> str:
    return " ".join(" ".join(element.itertext()).split())


def options(page: html.HtmlElement, name: str) -> list[str]:
    return [each.get("value", text(each)) for each in page.xpath(f"//select[@name='{name}']/option")]


def test_the_form_lists_the_systems_and_asks_no_alma(server: TestClient, login: Any, almas: Almas) -> None:
    for side in (almas.lender, almas.borrower):
        side.control("DELETE", "log")
    page = opened(server, login)
    assert options(page, "supplier_system") == ["", "LENDER", "BORROWER"]
    assert options(page, "pickup_system") == ["", "LENDER", "BORROWER"]
    assert not page.xpath("//input[@name='user_id']")
    assert [side.control("GET", "log")["entries"] for side in (almas.lender, almas.borrower)] == [[], []]


def test_a_book_is_found_shown_and_asked_for(
    server: TestClient, login: Any, almas: Almas, triggered: Any
) -> None:
    book = almas.book()
    for side in (almas.lender, almas.borrower):
        side.control("DELETE", "log")
    page = send(server, login, opened(server, login), 200, **FIND, item_barcode=book.barcode)
    shown = text(page.xpath("//section[@aria-labelledby='book']")[0])
    title = book.raw["bib_data"]["title"].rstrip(" /:;,=")
    assert shown.startswith(title)
    assert f"Barcode {book.barcode} , at {book.library} (" in shown
    assert shown.endswith("in place")
    assert "SCI" in options(page, "pickup_library")
    page = send(server, login, page, 422, do="send", user_id="", pickup_library="SCI")
    assert "user_id" in text(page.xpath("//ul[@role='alert']")[0])
    assert triggered == []
    calls = [len(side.control("GET", "log")["entries"]) for side in (almas.lender, almas.borrower)]
    assert calls == [2, 1], "what was found is remembered"
    for _ in range(2):  # sent twice
        answer = send(server, login, page, 303, do="send", user_id=PATRON, pickup_library="SCI")
    run, again = triggered
    assert again == run, "Airflow takes the second for the first"
    assert (run.user, run.dag_id) == ("staff", "dcb_place_request")
    assert {name: value for name, value in run.conf.items() if name != "pr_id"} == {
        "supplier_system": "LENDER",
        "item_barcode": book.barcode,
        "borrower_system": "BORROWER",
        "user_id": PATRON,
        "pickup_library": "SCI",
        "workflow": "RET-STD",
        "dry_run": False,
    }
    place = read_place({name: value for name, value in run.conf.items() if name != "dry_run"}, almas.settings)
    assert answer.get("location") == f"/alma/requests/{place.pr_id}?placing={run.run_id}"


def test_another_book_than_the_one_shown_is_shown_first(
    server: TestClient, login: Any, almas: Almas, triggered: Any
) -> None:
    first, second = almas.lender.lendable(almas.alma("alma_default"))[:2]
    page = send(server, login, opened(server, login), 200, **FIND, item_barcode=first.barcode)
    sent = {"do": "send", "user_id": PATRON, "pickup_library": "SCI"}
    page = send(server, login, page, 422, item_barcode=second.barcode, **sent)
    assert "Look at the book first" in text(page)
    assert second.barcode in text(page.xpath("//section[@aria-labelledby='book']")[0])
    assert triggered == []
    send(server, login, page, 303, **sent)
    assert triggered[0].conf["item_barcode"] == second.barcode


def test_a_book_that_is_not_in_place_says_so_and_one_that_is_nowhere_too(
    server: TestClient, login: Any, almas: Almas
) -> None:
    book = almas.book()
    almas.lender.control("POST", f"items/{book.pid}", {"process_type": "MISSING"})
    page = send(server, login, opened(server, login), 200, **FIND, item_barcode=book.barcode)
    assert "is missing" in text(page.xpath("//section[@aria-labelledby='book']")[0])
    page = send(server, login, opened(server, login), 422, **FIND, item_barcode="no such barcode")
    assert "No item of LENDER has the barcode no such barcode" in text(page.xpath("//ul[@role='alert']")[0])
    assert not page.xpath("//button[@value='send']")


def test_an_alma_that_does_not_answer_is_a_sentence(server: TestClient, login: Any, almas: Almas) -> None:
    book = almas.book()
    almas.borrower.strike("server_error", "GET", "/conf/libraries")
    page = send(server, login, opened(server, login), 422, **FIND, item_barcode=book.barcode)
    assert "The Alma of BORROWER cannot be asked now" in text(page.xpath("//ul[@role='alert']")[0])
    assert page.xpath("//input[@name='pickup_library']"), "its code can be typed in"
    placing.forget()
    almas.lender.strike("server_error", "GET", "/items")
    page = send(server, login, page, 422, **FIND, item_barcode=book.barcode)
    assert "The Alma of LENDER cannot be asked now" in text(page.xpath("//ul[@role='alert']")[0])
    assert not page.xpath("//button[@value='send']")


def test_an_id_that_is_used_is_refused(
    server: TestClient, login: Any, almas: Almas, triggered: Any, store: str
) -> None:
    with DcbStore(store) as dcb:
        dcb.add(new_request("PR-1"), START)
    page = send(server, login, opened(server, login), 200, **FIND, item_barcode=almas.book().barcode)
    sent = {"do": "send", "user_id": PATRON, "pickup_library": "SCI"}
    page = send(server, login, page, 422, pr_id="PR-1", **sent)
    assert "the request PR-1 is there already" in text(page)
    send(server, login, page, 303, pr_id="PR-2", **sent)
    assert triggered[0].conf["pr_id"] == "PR-2"


def test_where_the_dag_is_paused_nothing_is_sent(
    server: TestClient, login: Any, almas: Almas, triggered: Any, dags: Any
) -> None:
    dags("dcb_place_request", paused=True)
    page = send(server, login, opened(server, login), 200, **FIND, item_barcode=almas.book().barcode)
    page = send(server, login, page, 422, do="send", user_id=PATRON, pickup_library="SCI")
    assert "dcb_place_request is paused in Airflow" in text(page)
    assert page.xpath("//input[@name='user_id']/@value") == [PATRON], "what was filled in stays"
    assert triggered == []


def test_without_settings_the_page_says_what_to_make(
    server: TestClient, login: Any, almas: Almas, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise NoDcbSettings("There is no config/dcb.yaml in the bucket")

    monkeypatch.setattr(dcb_hooks, "dcb_settings", none)
    page = opened(server, login)
    assert "There is no config/dcb.yaml" in text(page)
    assert not page.xpath("//button[@value='find']")


def test_who_may_not_place_is_refused_and_asks_no_alma(server: TestClient, login: Any, almas: Almas) -> None:
    page = opened(server, headers_of("VIEWER"))
    assert "Your role may look at requests, but not place one" in text(page)
    assert page.forms == []
    (form,) = opened(server, login).forms
    sent = {**dict(form.fields), **FIND, "item_barcode": "1"}
    assert server.post(PAGE, data=sent, headers=headers_of("VIEWER") | ORIGIN).status_code == 403


def test_hostile_texts_are_texts(server: TestClient, login: Any, almas: Almas) -> None:
    odd = dict.fromkeys(placing.FIELDS, HOSTILE) | {"do": "send"}
    (form,) = opened(server, login).forms
    answer = server.post(PAGE, data={**dict(form.fields), **odd}, headers=login | ORIGIN)
    assert answer.status_code == 422
    assert "<script>alert" not in answer.text
