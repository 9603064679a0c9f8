"""The deliveries: what each holds, what changed, why records stayed out, its files, and the copy by SFTP."""

import csv
import io
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from lxml import html

from alma_airflow.ui import connections
from alma_etl.jobs.ledger_reading import Artefact, RunRecord
from tests.airflow.ui.conftest import HOSTILE, FakeBucket, counted_queries, headers_of

PAGE = "/alma/deliveries"
STEM = "ZZMAIN.alma.archived.20261129"


def file(name: str, role: str = "marc") -> Artefact:
    key = f"west/deliveries/{name}"
    return Artefact(role=role, key=key, name=name, size=10, type="application/marc")


def measures(**more: Any) -> dict[str, Any]:
    symbol = {
        "records": 7,
        "added": 3,
        "dropped": 1,
        "compared_with": "ZZMAIN.alma.archived.20261128",
        "sftp": False,
    }
    return {"titles": 9, "holdings": 9, "symbols": {"ZZMAIN": {**symbol, **more}}}


@pytest.fixture
def delivered(ran: Any) -> None:
    """A delivery of ten records, of which three stayed out, and a dry run before it."""
    ran("west_holdings", "r0", dry_run=True, counts={"delivered": 7}, headline="Nothing was delivered")
    records = [RunRecord("delivered", "ZZMAIN", mms_id=f"99{number}", label="In") for number in range(6)]
    records += [
        RunRecord("delivered", "ZZMAIN", mms_id="997", reasons="022"),
        RunRecord("bad_marc", "ZZMAIN", mms_id="998", reasons="583c;022", label="Without a date"),
        RunRecord("bad_marc", "ZZMAIN", mms_id="999", reasons="583c;STMT"),
        RunRecord("failed", "ZZMAIN", mms_id="990", reasons="Alma was away; try again"),
    ]
    ran(
        "west_holdings",
        "r1",
        subject="59000000000004401",
        headline="1 file delivered",
        counts={"delivered": 7, "bad_marc": 2, "failed": 1, "suppressed": 0},
        measures=measures(),
        records=records,
        artefacts=[
            file(f"{STEM}.mrc"),
            file(f"{STEM}.manifest.json", "manifest"),
            file("report.html", "report"),
        ],
    )


def shown(server: TestClient, login: Any, path: str = PAGE) -> html.HtmlElement:
    answer = server.get(path, headers=login)
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def text(element: html.HtmlElement) -> str:
    return " ".join(" ".join(element.itertext()).split())


def test_each_delivery_has_its_counts_its_changes_and_its_files(
    server: TestClient, login: Any, delivered: None, bucket: FakeBucket
) -> None:
    bucket.kept[f"west/deliveries/{STEM}.mrc"] = b"marc"
    last, dry = shown(server, login).xpath("//tbody/tr")
    assert "delivered 7 bad_marc 2 failed 1" in text(last)
    assert "suppressed" not in text(last)
    assert "7 records ( +3 −1 against ZZMAIN.alma.archived.20261128 )" in text(last)
    assert "SFTP" not in text(last)
    assert "dry run" in text(dry)
    (marc,) = last.xpath(".//a[normalize-space()='marc']/@href")
    assert server.get(marc, headers=login).content == b"marc"
    assert last.xpath(".//a[@download]/@aria-label") == [f"{STEM}.mrc", f"{STEM}.manifest.json"]


def test_deliveries_are_narrowed_and_downloaded(server: TestClient, login: Any, delivered: None) -> None:
    assert len(shown(server, login, f"{PAGE}?kind=real").xpath("//tbody/tr")) == 1
    assert "dry run" in text(shown(server, login, f"{PAGE}?kind=dry").xpath("//tbody/tr")[0])
    assert shown(server, login, f"{PAGE}?state=failed").xpath("//tbody/tr") == []
    page = shown(server, login, f"{PAGE}?search=1+FILE")
    (address,) = page.xpath("//a[normalize-space()='Download as CSV']/@href")
    (row,) = csv.DictReader(io.StringIO(server.get(address, headers=login).text))
    assert row["counts"] == "7 delivered, 2 bad_marc, 1 failed"
    assert row["symbols"] == "ZZMAIN 7 (+3 -1)"


@pytest.mark.parametrize(("sent", "words"), [(True, "SFTP: sent"), (False, "SFTP: not sent")])
def test_the_copy_by_sftp_is_said_where_there_is_one(
    server: TestClient, login: Any, ran: Any, monkeypatch: pytest.MonkeyPatch, sent: bool, words: str
) -> None:
    connection = {"conn_type": "sftp", "host": "sftp.example.org", "password": "x"}
    monkeypatch.setenv("AIRFLOW_CONN_WEST_SFTP", json.dumps(connection))
    connections.forget()
    ran("west_holdings", "r1", counts={"delivered": 7}, measures=measures(sftp=sent))
    assert words in text(shown(server, login).xpath("//tbody/tr")[0])
    connections.forget()


def test_the_first_delivery_is_compared_with_none(server: TestClient, login: Any, ran: Any) -> None:
    ran("west_holdings", "r1", measures=measures(added=None, dropped=None, compared_with=None))
    assert "7 records (the first one)" in text(shown(server, login))


def test_the_reasons_lead_to_the_records_behind_them(server: TestClient, login: Any, delivered: None) -> None:
    run = "/alma/runs/west_holdings/r1"
    page = shown(server, login, run)
    rows = [text(row) for row in page.xpath("//section[@aria-labelledby='reasons']//tbody/tr")]
    assert rows[0].startswith("bad_marc 583c 583 $c, the begin of the commitment")
    assert rows[0].endswith(" 2")
    assert [row.split()[1] for row in rows if " warning " in row] == ["022", "022"]
    assert any(row.startswith("failed Alma was away") for row in rows)
    (link,) = page.xpath("//section[@aria-labelledby='reasons']//a[normalize-space()='583c']/@href")
    found = shown(server, login, run + link.partition("#")[0])
    assert len(found.xpath("//div[@aria-label='Table of records']//tbody/tr")) == 2
    (address,) = found.xpath("//a[normalize-space()='Download as CSV']/@href")
    assert server.get(address, headers=login).text.count("\n") == 3
    assert (
        len(shown(server, login, f"{run}?reason=58").xpath("//div[@aria-label='Table of records']//tbody/tr"))
        == 10
    )


def test_at_most_six_queries(server: TestClient, login: Any, delivered: None) -> None:
    for path in (PAGE, "/alma/runs/west_holdings/r1?outcome=bad_marc&after=WzFd"):
        shown(server, login, path)
        with counted_queries() as queries:
            shown(server, login, path)
        assert 1 <= len(queries) <= 6, queries


def test_hostile_texts_are_texts(server: TestClient, login: Any, ran: Any) -> None:
    name = f"ZZMAIN.{HOSTILE}"
    reasons = [RunRecord("failed", reasons=HOSTILE)]
    odd = {
        "symbols": {"ZZMAIN": {"records": 1, "added": 1, "dropped": 0, "compared_with": HOSTILE}, HOSTILE: {}}
    }
    ran(
        "west_holdings",
        subject=HOSTILE,
        headline=HOSTILE,
        counts={"failed": 1},
        measures=odd,
        records=reasons,
        artefacts=[file(name, HOSTILE)],
    )
    for path in (PAGE, "/alma/runs/west_holdings/r1"):
        answer = server.get(path, headers=login)
        assert "<script>alert" not in answer.text
        found = html.fromstring(answer.text).xpath("//*[contains(text(), 'alert(1)')]")
        assert {each.tag for each in found} <= {"bdi", "option"}
        assert len(found) >= 3


def test_who_may_not_see_the_runs_sees_no_delivery(server: TestClient, delivered: None) -> None:
    assert server.get(PAGE, headers=headers_of(None)).status_code == 403
    assert server.get(PAGE, headers=headers_of("VIEWER")).status_code == 200
