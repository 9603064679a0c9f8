"""The runs of a job, the page of a run, its records as a table and as CSV, and the files that it made."""

import csv
import io
import json
import re
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi.testclient import TestClient
from lxml import html

from alma_airflow.ui import connections, runs
from alma_airflow.ui.downloads import attachment
from alma_airflow.ui.run_page import FailedTask
from alma_etl.jobs.ledger_reading import Artefact, RunRecord
from tests.airflow.ui.conftest import HOSTILE, FakeBucket, counted_queries

RUN = "/alma/runs/item_creation/r1"
TABLE = "items/reports/r1.csv"


def artefact(key: str, name: str = "") -> Artefact:
    return Artefact(role="table", key=key, name=name or key.rpartition("/")[2], size=10, type="text/csv")


def record(number: int, outcome: str = "created", **more: Any) -> RunRecord:
    label = more.pop("label", f"Title {number}")
    return RunRecord(
        outcome, line=number + 1, mms_id=f"99{number:06}", barcode=f"39{number:06}", label=label, **more
    )


def shown(server: TestClient, login: Any, path: str) -> html.HtmlElement:
    answer = server.get(path, headers=login)
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def column(page: html.HtmlElement, name: str) -> list[str]:
    region = page.xpath("//div[@aria-label='Table of records']")[0]
    headings = [" ".join(th.text_content().split()) for th in region.xpath(".//th")]
    at = headings.index(name)
    return [" ".join(row.xpath("td")[at].text_content().split()) for row in region.xpath(".//tbody/tr")]


def link(page: html.HtmlElement, text: str) -> str | None:
    found: list[str] = page.xpath(f"//a[normalize-space()='{text}']/@href")
    return found[0] if found else None


def test_a_run_and_its_records_page_by_page(server: TestClient, login: Any, ran: Any) -> None:
    ran("item_creation", counts={"created": 120, "conflict": 1}, records=map(record, range(120)))
    seen: list[str] = []
    page, pages = shown(server, login, RUN), 1
    assert link(page, "Previous page") is None
    while True:
        seen += column(page, "No.")
        onwards = link(page, "Next page")
        if onwards is None:
            break
        page, pages = shown(server, login, RUN + onwards), pages + 1
    assert seen == [str(number) for number in range(1, 121)]
    assert pages == 3
    back = shown(server, login, RUN + str(link(page, "Previous page")))
    assert column(back, "No.") == [str(number) for number in range(51, 101)]
    assert column(shown(server, login, RUN + str(link(back, "First page"))), "No.")[0] == "1"
    assert "120 rows" in back.text_content()


def test_records_have_the_columns_that_their_job_reports(server: TestClient, login: Any, ran: Any) -> None:
    ran("bib_import", counts={"created": 1}, records=[record(1)])
    assert column(shown(server, login, "/alma/runs/bib_import/r1"), "MMS id") == ["99000001"]
    for name in ("Barcode", "Holding", "Item", "Symbol", "Line"):
        with pytest.raises(ValueError, match=name):
            column(shown(server, login, "/alma/runs/bib_import/r1"), name)


def test_records_are_sorted_and_filtered_in_the_database(server: TestClient, login: Any, ran: Any) -> None:
    records = [
        record(number, "conflict" if number % 3 else "created", label=f"T {9 - number}")
        for number in range(9)
    ]
    ran("item_creation", counts={"created": 3, "conflict": 6}, records=records)
    page = shown(server, login, RUN)
    by_title = shown(server, login, RUN + str(link(page, "Title")))
    assert column(by_title, "Title") == [f"T {number}" for number in range(1, 10)]
    turned = shown(server, login, RUN + str(link(by_title, "Title")))
    assert column(turned, "Title") == [f"T {number}" for number in range(9, 0, -1)]
    assert turned.xpath("//th[@aria-sort='descending']//text()") == ["Title"]
    assert set(column(shown(server, login, f"{RUN}?outcome=created"), "Outcome")) == {"created"}
    assert column(shown(server, login, f"{RUN}?search=39000004"), "Title") == ["T 5"]
    none = shown(server, login, f"{RUN}?search=100%25")
    assert "Nothing fits this filter." in none.text_content()


def test_what_a_query_string_cannot_mean_is_as_if_it_were_not_said(
    server: TestClient, login: Any, ran: Any
) -> None:
    ran("item_creation", counts={"created": 2}, records=map(record, range(2)))
    for asked in (
        "sort=nothing",
        "sort=message",
        "outcome=nothing",
        "after=W10",
        "after=%00",
        "before=WyJ4Il0",
        "after=WzFlOTk5OTld",
        "after=WzEsMl0",
        "search=%00",
    ):
        assert column(shown(server, login, f"{RUN}?{asked}"), "No.") == ["1", "2"], asked


def test_the_records_as_csv_are_those_that_are_filtered_and_safe_to_open(
    server: TestClient, login: Any, ran: Any
) -> None:
    records = [record(1, label="=HYPERLINK(1)"), record(2, "conflict"), record(3, message=HOSTILE)]
    ran("item_creation", counts={"created": 2, "conflict": 1}, records=records)
    page = shown(server, login, f"{RUN}?outcome=created")
    address = str(link(page, "Download as CSV"))
    answer = server.get(address, headers=login)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment;")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["label"] for row in rows] == ["'=HYPERLINK(1)", "Title 3"]
    assert rows[1]["message"] == HOSTILE
    assert rows[0]["line"] == "2"


def test_a_download_of_many_rows_is_whole(server: TestClient, login: Any, ran: Any) -> None:
    ran("item_creation", counts={"created": 2_500}, records=map(record, range(2_500)))
    answer = server.get(f"{RUN}/records.csv?sort=-label", headers=login)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len({row["ord"] for row in rows}) == 2_500
    assert rows[0]["label"] == "Title 999"


def test_files_of_the_run_can_be_downloaded_and_nothing_else(
    server: TestClient, login: Any, ran: Any, bucket: FakeBucket
) -> None:
    ran("item_creation", artefacts=[artefact(TABLE), artefact("items/reports/gone.csv")])
    ran("item_creation", "r2", artefacts=[artefact("items/reports/r2.csv")])
    bucket.kept = {TABLE: b"a,b\n", "config/dcb.yaml": b"secret", "items/reports/r2.csv": b"other"}
    page = shown(server, login, RUN)
    (address,) = page.xpath("//a[bdi='r1.csv']/@href")
    answer = server.get(address, headers=login)
    assert (answer.status_code, answer.content) == (200, b"a,b\n")
    assert answer.headers["x-content-type-options"] == "nosniff"
    for key in ("config/dcb.yaml", "items/reports/r2.csv", "../config/dcb.yaml", "", "items/reports/"):
        assert server.get(f"{RUN}/download", params={"key": key}, headers=login).status_code == 404, key
    gone = server.get(f"{RUN}/download", params={"key": "items/reports/gone.csv"}, headers=login)
    assert gone.status_code == 404
    assert "no longer kept" in gone.text


@pytest.mark.parametrize(
    "name",
    [
        "r1.csv",
        "Größe.csv",
        'a"b\\c.csv',
        "a\r\nSet-Cookie: x.csv",
        HOSTILE,
        "\u202e.csv",
        "",
        "%41.csv",
        "\ud800",
    ],
)
def test_a_name_of_any_kind_makes_one_header(name: str) -> None:
    header = attachment(name)
    assert re.fullmatch(
        r"attachment; filename=\"[ !#-$&-\[\]-~]+\"; filename\*=UTF-8''[A-Za-z0-9._~%-]+", header
    )
    if name.isprintable() and name and name != "\ud800":
        assert unquote(header.partition("''")[2]) == name


def test_a_run_that_nobody_knows_is_said_to_be_none(server: TestClient, login: Any, store: str) -> None:
    answer = server.get(RUN, headers=login)
    assert answer.status_code == 404
    assert "The ledger has no such run" in answer.text


def test_the_page_of_a_run_leads_to_airflow_to_its_report_and_to_the_records_in_alma(
    server: TestClient, login: Any, ran: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"record_url": "https://alma.example.org/view?mms={mms_id}&item={item_pid}"}
    connection = {"conn_type": "alma", "host": "http://127.0.0.1:9", "password": "x", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_DEFAULT", json.dumps(connection))
    connections.forget()
    records = [record(1, item_pid="23/1?"), record(2)]
    ran("item_creation", counts={"created": 2}, records=records, artefacts=[artefact(TABLE)])
    page = shown(server, login, RUN)
    assert link(page, "In Airflow") == "/dags/item_creation/runs/r1"
    assert link(page, "The report") == "/alma/report/item_creation/r1"
    targets = page.xpath("//a[@target='_blank']/@href")
    assert targets == ["https://alma.example.org/view?mms=99000001&item=23%2F1%3F"]
    connections.forget()


def test_the_page_of_a_run_leads_to_the_logs_of_what_failed(
    server: TestClient, login: Any, ran: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = [
        FailedTask("resolve_holdings", "failed", "Alma is away", times=2, map_index=3),
        FailedTask("check_outcome", "failed", ""),
    ]
    monkeypatch.setattr(runs, "failed_tasks", lambda *_: failed)
    ran("item_creation", "a+b", state="failed")
    page = shown(server, login, "/alma/runs/item_creation/a%2Bb")
    tasks = "/dags/item_creation/runs/a%2Bb/tasks"
    assert link(page, "Log of resolve_holdings [3]") == f"{tasks}/resolve_holdings/mapped/3"
    assert link(page, "Log of check_outcome") == f"{tasks}/check_outcome"


@pytest.mark.parametrize(
    "template", ["javascript:alert('{mms_id}')", "data:text/html,{mms_id}", "", "//evil/{mms_id}"]
)
def test_only_a_web_address_is_linked(template: str, ran: Any, store: str) -> None:
    from types import SimpleNamespace

    from alma_etl.views.runs import RecordUrls

    row: Any = SimpleNamespace(mms_id="99", holding_id="", item_pid="", barcode="")
    assert RecordUrls(template).of(row) is None
    assert RecordUrls("HTTPS://alma.example.org/{mms_id}").of(row) == "HTTPS://alma.example.org/99"


def test_hostile_texts_of_a_run_are_texts(server: TestClient, login: Any, ran: Any) -> None:
    texts = dict.fromkeys(("barcode", "message", "reasons"), HOSTILE)
    hostile = RunRecord("created", label=HOSTILE, mms_id=HOSTILE, **texts)
    attention = [{"what": HOSTILE, "what_to_do": HOSTILE}]
    ran(
        "item_creation",
        subject=HOSTILE,
        headline=HOSTILE,
        state="failed",
        attention=attention,
        counts={"created": 1, HOSTILE: 1},
        records=[hostile],
        artefacts=[artefact(TABLE, HOSTILE)],
    )
    for path in (RUN, "/alma/jobs/item_creation"):
        answer = server.get(path, headers=login)
        assert "<script>alert" not in answer.text
        allowed = {"bdi", "option", "span"} if path == RUN else {"bdi"}
        found = html.fromstring(answer.text).xpath("//*[contains(text(), 'alert(1)')]")
        assert {each.tag for each in found} <= allowed
        assert len(found) >= 2


def test_the_runs_of_a_job(server: TestClient, login: Any, ran: Any) -> None:
    for number in range(60):
        ran(
            "item_creation", f"r{number}", state="failed" if number == 7 else "done", subject=f"file {number}"
        )
    ran("file_intake", "other")
    page = shown(server, login, "/alma/jobs/item_creation")
    rows = page.xpath("//div[@aria-label='Table of runs']//tbody/tr")
    assert len(rows) == 50
    assert "file 59" in rows[0].text_content()
    assert rows[0].xpath(".//a/@href")[0] == "/alma/runs/item_creation/r59"
    older = shown(server, login, f"/alma/jobs/item_creation{link(page, 'Next page')}")
    assert len(older.xpath("//tbody/tr")) == 10
    failed = shown(server, login, "/alma/jobs/item_creation?state=failed")
    assert len(failed.xpath("//tbody/tr")) == 1


def test_at_most_six_queries_for_a_run(server: TestClient, login: Any, ran: Any) -> None:
    ran("item_creation", counts={"created": 120}, records=map(record, range(120)))
    page = shown(server, login, RUN)
    for path in (RUN + str(link(page, "Next page")), "/alma/jobs/item_creation", f"{RUN}?search=Title"):
        shown(server, login, path)
        with counted_queries() as queries:
            shown(server, login, path)
        assert 1 <= len(queries) <= 6, queries
