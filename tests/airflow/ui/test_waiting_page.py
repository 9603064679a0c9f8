"""The titles that wait for their full record: what the page shows of them, filters, download, and taking one off."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from lxml import html

from alma_airflow.ui import connections
from alma_airflow.ui.forms import TOKEN
from alma_etl.inventory.loaded_orders import KnownOrder, OrderReference, SqlLoadedOrders
from alma_etl.inventory.waiting_titles import BriefTitle, SqlWaitingTitles
from tests.airflow.ui.conftest import HOSTILE, NOW, counted_queries, headers_of

PAGE = "/alma/files/waiting"
ALMA = "api.example.org 01ZZ_INST"
ORIGIN = {"Origin": "http://localhost:8080"}


@pytest.fixture
def titles(store: str) -> Iterator[SqlWaitingTitles]:
    """Three titles that wait, one of them received, and one that does not any more."""
    found = SqlWaitingTitles(store, ALMA)
    ages = {"991": 100, "992": 40, "993": 1, "994": 400}
    found.note(
        BriefTitle(mms_id, f"Title {mms_id}", f"(ORDERS)R-{mms_id}", NOW - timedelta(days=days), "run-1")
        for mms_id, days in ages.items()
    )
    found.received(["992"], NOW)
    found.settle(["994"], "merged", "run-2")
    orders = SqlLoadedOrders(store, ALMA)
    orders.note(OrderReference("GOBI", "r-991"), KnownOrder("POL-1", "991", "run-1 record 1", NOW))
    orders.note(OrderReference("GOBI", "r-991b"), KnownOrder("POL-2", "991", "run-1 record 1", NOW))
    orders.close()
    yield found
    found.close()


def shown(server: TestClient, login: Any, query: str = "") -> html.HtmlElement:
    answer = server.get(f"{PAGE}{query}", headers=login)
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def rows(page: html.HtmlElement) -> list[dict[str, str]]:
    return [
        {cell.get("data-label"): " ".join(" ".join(cell.itertext()).split()) for cell in row.iter("td")}
        for row in page.xpath("//tbody/tr")
    ]


def ids(page: html.HtmlElement) -> list[str]:
    return [row["MMS id"].split()[0] for row in rows(page)]


def test_titles_stand_with_their_orders_those_that_wait_longest_first(
    server: TestClient, login: Any, titles: SqlWaitingTitles
) -> None:
    found = rows(shown(server, login))
    assert [row["Title"] for row in found] == ["Title 991", "Title 992", "Title 993"]
    assert sorted(found[0]["PO line"].split(", ")) == ["POL-1", "POL-2"]
    assert (found[0]["Vendor"], found[0]["Number"], found[0]["Received"]) == ("GOBI", "(ORDERS)R-991", "")
    assert found[1]["Received"] != ""
    assert (found[1]["PO line"], found[1]["Order reference"]) == ("", "")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?older=30", ["991", "992"]),
        ("?older=90", ["991"]),
        ("?older=5", ["991", "992", "993"]),  # no choice of the form
        ("?received=yes", ["992"]),
        ("?received=no", ["991", "993"]),
        ("?search=POL-2", ["991"]),
        ("?search=R-991B", ["991"]),
        ("?search=title+993", ["993"]),
        ("?sort=-since", ["993", "992", "991"]),
    ],
)
def test_filters(
    server: TestClient, login: Any, titles: SqlWaitingTitles, query: str, expected: list[str]
) -> None:
    assert ids(shown(server, login, query)) == expected


def test_more_than_a_page_is_paged_in_at_most_six_queries(
    server: TestClient, login: Any, titles: SqlWaitingTitles
) -> None:
    titles.note(BriefTitle(f"99{n}", "T", "", NOW - timedelta(days=n), "r") for n in range(1000, 1060))
    shown(server, login)
    with counted_queries() as queries:
        page = shown(server, login)
    assert len(queries) <= 6, queries
    assert len(ids(page)) == 50
    (after,) = page.xpath("//a[text()='Next page']/@href")
    assert len(ids(shown(server, login, after))) == 13


def test_the_download_is_filtered_and_safe_in_a_spreadsheet(
    server: TestClient, login: Any, titles: SqlWaitingTitles
) -> None:
    titles.note([BriefTitle("995", "=HYPERLINK(1)", "+1", NOW - timedelta(days=200), "run-1")])
    answer = server.get(f"{PAGE}.csv?older=90", headers=login)
    found = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["mms_id"] for row in found] == ["995", "991"]
    assert (found[0]["title"], found[0]["key"]) == ("'=HYPERLINK(1)", "'+1")
    assert (found[1]["alma"], found[1]["run_id"]) == (ALMA, "run-1")


def test_a_title_leads_to_alma(
    server: TestClient, login: Any, titles: SqlWaitingTitles, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"record_url": "https://alma.example.org/view?mms={mms_id}"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_ALMA_DEFAULT", json.dumps({"conn_type": "alma", "host": "x", "extra": extra})
    )
    connections.forget()
    assert "https://alma.example.org/view?mms=991" in shown(server, login).xpath("//td//a/@href")
    connections.forget()


def test_hostile_texts_are_texts(server: TestClient, login: Any, titles: SqlWaitingTitles) -> None:
    titles.note([BriefTitle("996", HOSTILE, HOSTILE, NOW - timedelta(days=999), HOSTILE)])
    page = shown(server, login)
    assert page.xpath("//td//script") == []
    assert page.xpath("//tbody/tr[1]/td[2]/bdi/text()") == [HOSTILE]


def test_somebody_takes_a_title_off_once(server: TestClient, login: Any, titles: SqlWaitingTitles) -> None:
    page = shown(server, login)
    (form, *_) = page.xpath("//form[contains(@action, '/files/waiting/remove')]")
    given = {each.get("name"): each.get("value") for each in form.xpath(".//input")}
    assert (given["mms_id"], given["alma"]) == ("991", ALMA)
    answer = server.post(form.get("action"), headers={**login, **ORIGIN}, data=given)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert ids(shown(server, login)) == ["992", "993"]
    again = server.post(form.get("action"), headers={**login, **ORIGIN}, data=given)
    assert again.status_code == 409
    assert "not on the list any more" in again.text
    titles.note([BriefTitle("991", "Title 991", "", NOW, "run-1")])
    assert ids(shown(server, login)) == ["992", "993"]


def test_a_viewer_sees_no_button(server: TestClient, titles: SqlWaitingTitles) -> None:
    page = shown(server, headers_of("VIEWER"))
    assert ids(page) == ["991", "992", "993"]
    assert page.xpath(f"//input[@name='{TOKEN}']") == []


def test_an_empty_list_says_so_and_files_lead_to_it(
    server: TestClient, login: Any, store: str, lying: Any
) -> None:
    assert "No title waits" in server.get(PAGE, headers=login).text
    assert PAGE in html.fromstring(server.get("/alma/files", headers=login).text).xpath("//a/@href")


def test_without_a_store_the_page_says_so(
    server: TestClient, login: Any, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", "sqlite:////no/such/folder/store.db")
    from alma_airflow.ui import store_reading

    store_reading.forget()
    assert server.get(PAGE, headers=login).status_code == 503
