"""The board of patron requests, the page of one, and what people do there; none of it names a user."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from lxml import html

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.ui import dcb_systems, request_actions
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.settings import shipped_settings
from alma_etl.dcb.store import Alert, DcbStore, LegRecord
from alma_etl.errors import InputProblem
from tests.airflow.ui.conftest import HOSTILE, Triggered, counted_queries, headers_of
from tests.unit.dcb.records import HOUR, START, new_request, play

PAGE = "/alma/requests"
ORIGIN = {"Origin": "http://localhost:8080"}


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dcb_hooks, "dcb_settings", shipped_settings)
    monkeypatch.setattr(dcb_hooks, "now", lambda: START + HOUR)
    dcb_systems.forget()
    yield
    dcb_systems.forget()


@pytest.fixture
def dcb(store: str) -> Iterator[DcbStore]:
    with DcbStore(store) as opened:
        yield opened


def add(dcb: DcbStore, pr_id: str = "PR-1", title: str = "Annals", **more: Any) -> None:
    new = new_request(pr_id)
    legs = (replace(new.legs[0], barcode=f"31-{pr_id}", mms_id="9912"), *new.legs[1:])
    dcb.add(replace(new, legs=legs, conf={"title": title, "user_id": "patron-1"}, **more), START)


def shown(server: TestClient, login: Any, path: str = PAGE, status: int = 200) -> html.HtmlElement:
    answer = server.get(path, headers=login)
    assert answer.status_code == status, answer.text
    assert "patron-1" not in answer.text
    assert "vp-1" not in answer.text
    return html.fromstring(answer.text)


def text(element: html.HtmlElement) -> str:
    return " ".join(" ".join(element.itertext()).split())


def form(page: html.HtmlElement, ending: str) -> html.FormElement:
    (found,) = (each for each in page.forms if (each.action or "").endswith(ending))
    return found


def send(
    server: TestClient, login: Any, page: html.HtmlElement, ending: str, **fields: str
) -> tuple[int, html.HtmlElement, str]:
    """Fill in a form of a page and send it: the status, the page that answers, and where it leads."""
    filled = form(page, ending)
    sent = {**dict(filled.fields), **fields}
    data = {name: value for name, value in sent.items() if value is not None}
    answer = server.post(filled.action, data=data, headers=login | ORIGIN)
    body = html.fromstring(answer.text) if answer.text else html.fromstring("<p/>")
    return answer.status_code, body, answer.headers.get("location", "")


def test_the_board_has_what_is_open_the_counts_and_every_request(
    server: TestClient, login: Any, dcb: DcbStore
) -> None:
    add(dcb, "PR-1")
    play(dcb, "V01", "PR-2")
    dcb.open_alert(Alert("STUCK_LOANED:PR-1", "STUCK_LOANED", "urgent", "PR-1", {"due": "2026-01-01"}), START)
    page = shown(server, login)
    alerts = page.xpath("//section[@aria-labelledby='alerts']")[0]
    assert "STUCK_LOANED PR-1 since 2026-03-02" in text(alerts)
    assert "due: 2026-01-01 Remind the patron" in text(alerts)
    counts = [text(row) for row in page.xpath("//section[@aria-labelledby='counts']//tbody/tr")]
    assert counts == [
        "REQUEST_PLACED_AT_SUPPLYING_AGENCY asked for at the lender 1",
        "FINALISED over, all is cleaned up 1",
    ]
    rows = [text(row) for row in page.xpath("//section[@aria-labelledby='requests']//tbody/tr")]
    assert rows[0].startswith("Annals PR-1 REQUEST_PLACED_AT_SUPPLYING_AGENCY asked for at the lender 1 ")
    assert rows[1].startswith("Without a title PR-2")


def test_requests_are_found_filtered_and_downloaded(server: TestClient, login: Any, dcb: DcbStore) -> None:
    add(dcb, "PR-1", "Annals")
    add(dcb, "PR-2", "Other")
    page = shown(server, login, f"{PAGE}?search=31-PR-2")
    assert page.xpath("//section[@aria-labelledby='requests']//tbody//code[@class='note']/bdi/text()") == [
        "PR-2"
    ]
    (address,) = page.xpath("//a[normalize-space()='Download as CSV']/@href")
    (row,) = csv.DictReader(io.StringIO(server.get(address, headers=login).text))
    assert (row["pr_id"], row["title"], row["barcode"]) == ("PR-2", "Other", "31-PR-2")
    assert "patron-1" not in str(row)
    assert shown(server, login, f"{PAGE}?status=LOANED").xpath("//td[@data-label='Barcode']") == []


def test_the_page_of_a_request_has_its_sides_and_its_timeline(
    server: TestClient, login: Any, dcb: DcbStore
) -> None:
    play(dcb, "V06", "PR-1")
    page = shown(server, login, f"{PAGE}/PR-1")
    sides = [text(row) for row in page.xpath("//section[@aria-labelledby='sides']//tbody/tr")]
    assert [row.split()[0] for row in sides] == ["SUPPLIER", "BORROWER"]
    assert "PR-1-S" in sides[0]
    timeline = text(page.xpath("//ol[@class='timeline']")[0])
    assert "inferred: nobody saw it, but it must have been" in timeline
    assert "REQUEST_PLACED_AT_SUPPLYING_AGENCY → CONFIRMED" in timeline
    assert "dcb.status.changed CONFIRMED" in timeline


def test_the_book_is_linked_in_the_alma_of_its_side(
    server: TestClient, login: Any, dcb: DcbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alma_airflow.ui import connections

    template = '{"conn_type": "alma", "host": "x", "extra": {"record_url": "https://l.example/{mms_id}"}}'
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_DEFAULT", template)
    connections.forget()
    add(dcb)
    links = shown(server, login, f"{PAGE}/PR-1").xpath("//a[normalize-space()='the book in Alma']/@href")
    assert links == ["https://l.example/9912"], "the borrower has no link of the lender's Alma"
    connections.forget()


def test_a_request_that_nobody_knows_is_not_there(server: TestClient, login: Any, store: str) -> None:
    page = shown(server, login, f"{PAGE}/PR-9", 404)
    assert "There is no such request" in text(page)


def test_a_request_that_is_being_placed_or_was_refused_says_so(
    server: TestClient, login: Any, ran: Any
) -> None:
    assert "It is being placed by this run" in text(shown(server, login, f"{PAGE}/PR-9?placing=page__1"))
    ran(
        "dcb_place_request",
        "page__1",
        state="failed",
        subject="PR-9",
        headline="It was refused",
        attention=[{"what": "The item is on loan.", "what_to_do": "Choose another copy."}],
    )
    page = shown(server, login, f"{PAGE}/PR-9")
    assert "The item is on loan. Choose another copy." in text(page)
    assert page.xpath("//a[@href='/alma/runs/dcb_place_request/page__1']")


# --- acting


def test_an_alert_is_acknowledged_by_the_login_with_a_remark(
    server: TestClient, login: Any, dcb: DcbStore
) -> None:
    add(dcb)
    for key in ("TXN_ERROR:PR-1", "VOLUME_ANOMALY"):
        code, _, pr_id = key.partition(":")
        dcb.open_alert(Alert(key, code, "warning", pr_id or None), START)
    status, _, to = send(server, login, shown(server, login, f"{PAGE}/PR-1"), "/acknowledge", reason="Called")
    assert (status, to) == (303, f"{PAGE}/PR-1")
    assert [each.acked_by for each in dcb.open_alerts(pr_id="PR-1")] == ["staff: Called"]
    page = shown(server, login, f"{PAGE}/PR-1")
    assert "Acknowledged by staff: Called" in text(page)
    assert "by staff" in text(page.xpath("//ol")[0]) or "acknowledged" in text(page.xpath("//ol")[0])
    status, _, to = send(server, login, shown(server, login), "/acknowledge")
    assert (status, to) == (303, PAGE)
    assert all(each.acked_by for each in dcb.open_alerts())


def test_an_alert_that_is_over_says_so(server: TestClient, login: Any, dcb: DcbStore) -> None:
    add(dcb)
    dcb.open_alert(Alert("TXN_ERROR:PR-1", "TXN_ERROR", "warning", "PR-1"), START)
    of_one, of_all = shown(server, login, f"{PAGE}/PR-1"), shown(server, login)
    dcb.close_alert("TXN_ERROR:PR-1", START + HOUR)
    for page in (of_one, of_all):
        status, answer, _ = send(server, login, page, "/acknowledge")
        assert status == 409
        assert "This alert is not open any more" in text(answer)


def test_look_now_nudges(server: TestClient, login: Any, dcb: DcbStore) -> None:
    add(dcb)
    status, _, to = send(server, login, shown(server, login, f"{PAGE}/PR-1"), "/nudge", reason="asked for it")
    assert (status, to) == (303, f"{PAGE}/PR-1")
    tracked = dcb.get("PR-1")
    assert tracked is not None
    assert tracked.nudged
    page = shown(server, login, f"{PAGE}/PR-1")
    assert "(asked for)" in text(page)
    assert "asked for it" in text(page.xpath("//ol")[0])


def test_an_operator_decides_and_what_does_not_fit_is_said(
    server: TestClient, login: Any, dcb: DcbStore
) -> None:
    add(dcb)
    page = shown(server, login, f"{PAGE}/PR-1")
    status, answer, _ = send(server, login, page, "/decide", decision="retry", reason="again")
    assert status == 409
    assert "Nothing of PR-1 was given up or refused" in text(answer)
    status, _, to = send(server, login, page, "/decide", decision="cleanup", reason="never needed")
    assert (status, to) == (303, f"{PAGE}/PR-1")
    page = shown(server, login, f"{PAGE}/PR-1")
    assert "COMPLETED" in text(page)
    assert "by staff" in text(page.xpath("//ol")[0])
    assert not [each for each in page.forms if (each.action or "").endswith(("/nudge", "/cancel"))]


def test_a_side_gets_other_ids(server: TestClient, login: Any, dcb: DcbStore) -> None:
    add(dcb)
    page = shown(server, login, f"{PAGE}/PR-1")
    status, answer, _ = send(server, login, page, "/relink", role="SUPPLIER", mms_id="no id", reason="x")
    assert status == 409
    assert "5 to 20 digits" in text(answer)
    status, _, _ = send(server, login, page, "/relink", role="SUPPLIER", mms_id="99000123", reason="merged")
    assert status == 303
    assert "mms_id 9912, now 99000123 (2026-03-02, by staff: merged)" in text(
        shown(server, login, f"{PAGE}/PR-1")
    )


def test_cancel_starts_a_run_once_however_often_it_is_sent(
    server: TestClient, login: Any, dcb: DcbStore, triggered: list[Triggered]
) -> None:
    add(dcb)
    page = shown(server, login, f"{PAGE}/PR-1")
    reasons = form(page, "/cancel").inputs["reason"].value_options
    assert reasons == ["", "CancelledAtPatronRequest"]
    for _ in range(2):
        status, _, to = send(server, login, page, "/cancel", reason=reasons[1])
    conf = {"pr_id": "PR-1", "reason": "CancelledAtPatronRequest", "dry_run": False}
    assert status == 303
    run, again = triggered
    assert again == run == Triggered("staff", "dcb_cancel_request", conf, run.run_id)
    assert to == f"{PAGE}/PR-1?cancelling={run.run_id}"
    assert "A cancellation was started: its run" in text(shown(server, login, to))


def test_what_cannot_be_started_is_a_sentence(
    server: TestClient, login: Any, dcb: DcbStore, dags: Any
) -> None:
    add(dcb)
    status, answer, _ = send(server, login, shown(server, login, f"{PAGE}/PR-1"), "/cancel")
    assert status == 409
    assert "Airflow does not know the DAG dcb_cancel_request" in text(answer)
    dags("dcb_cancel_request", paused=True)
    status, answer, _ = send(server, login, shown(server, login, f"{PAGE}/PR-1"), "/cancel")
    assert status == 409
    assert "dcb_cancel_request is paused in Airflow, so that nothing was started" in text(answer)


def test_a_request_of_others_is_only_watched(server: TestClient, login: Any, dcb: DcbStore) -> None:
    add(dcb)
    token = form(shown(server, login, f"{PAGE}/PR-1"), "/cancel").fields
    with dcb._transaction() as connection:
        connection.exec_driver_sql("UPDATE dcb_request SET owner = 'dcb_service'")
    page = shown(server, login, f"{PAGE}/PR-1")
    assert "Run by dcb-service , only watched here." in text(page)
    assert not [each for each in page.forms if (each.action or "").endswith("/cancel")]
    answer = server.post(f"{PAGE}/PR-1/cancel", data=dict(token), headers=login | ORIGIN)
    assert answer.status_code == 409
    assert "cancel it there" in answer.text


def test_a_viewer_is_offered_nothing_and_may_do_nothing(server: TestClient, dcb: DcbStore) -> None:
    add(dcb)
    dcb.open_alert(Alert("TXN_ERROR:PR-1", "TXN_ERROR", "warning", "PR-1"), START)
    for path in (PAGE, f"{PAGE}/PR-1"):
        page = shown(server, headers_of("VIEWER"), path)
        assert not [each for each in page.forms if each.method == "POST"]
    page = shown(server, headers_of("OP"), f"{PAGE}/PR-1")
    for ending in ("/nudge", "/decide", "/relink", "/cancel", "/acknowledge"):
        filled = dict(form(page, ending).fields)
        address = form(page, ending).action
        sent = {name: value for name, value in filled.items() if value is not None}
        assert server.post(address, data=sent, headers=headers_of("VIEWER") | ORIGIN).status_code == 403
        assert server.post(address, data=sent, headers=headers_of("OP")).status_code == 403, "no origin"
        del sent["form_token"]
        assert server.post(address, data=sent, headers=headers_of("OP") | ORIGIN).status_code == 403
    assert dcb.open_alerts()[0].acked_by is None


class Somebody:
    """A user as an auth manager has them."""

    def __init__(self, name: str, number: str) -> None:
        self.name, self.number = name, number

    def get_name(self) -> str:
        return self.name

    def get_id(self) -> str:
        return self.number


def test_the_login_is_kept_where_it_is_no_name_or_address() -> None:
    assert request_actions.login_of(Somebody("anna.b-2", "7")) == "anna.b-2"  # type: ignore[arg-type]
    assert request_actions.login_of(Somebody("anna@example.org", "7")) == "id-7"  # type: ignore[arg-type]
    with pytest.raises(InputProblem):
        request_actions.login_of(Somebody("Anna B", "Anna B"))  # type: ignore[arg-type]


# --- as every page


def test_at_most_six_queries(server: TestClient, login: Any, dcb: DcbStore, ran: Any) -> None:
    play(dcb, "V01", "PR-1")
    add(dcb, "PR-2")
    dcb.open_alert(Alert("TXN_ERROR:PR-2", "TXN_ERROR", "warning", "PR-2"), START)
    ran("dcb_place_request", "r1", subject="PR-9")
    for path in (f"{PAGE}?search=x&after=WzFd", f"{PAGE}/PR-1", f"{PAGE}/PR-2", f"{PAGE}/PR-9"):
        shown(server, login, path)
        with counted_queries() as queries:
            shown(server, login, path)
        assert 1 <= len(queries) <= 6, queries


def test_hostile_texts_are_texts(server: TestClient, login: Any, dcb: DcbStore) -> None:
    add(dcb, title=HOSTILE)
    leg = LegRecord(Role.SUPPLIER, "LENDER", generation=2, barcode=HOSTILE, pickup_library=HOSTILE)
    dcb.apply("PR-1", [], settings=shipped_settings(), now=START, legs=[leg])
    dcb.open_alert(Alert(HOSTILE, "TXN_ERROR", "warning", "PR-1", {HOSTILE: HOSTILE, "do": HOSTILE}), START)
    dcb.acknowledge(HOSTILE, HOSTILE)
    for path in (PAGE, f"{PAGE}/PR-1"):
        answer = server.get(path, headers=login)
        assert "<script>alert" not in answer.text
        found = html.fromstring(answer.text).xpath("//*[contains(text(), 'alert(1)')]")
        assert {each.tag for each in found} == {"bdi"}
        assert len(found) >= 3
