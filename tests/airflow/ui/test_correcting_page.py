"""Rejected rows that are corrected in the page of their file and loaded again; who may, and what is in their way."""

import csv
import io
from typing import Any

import pytest
from fastapi.testclient import TestClient
from lxml import html

from alma_airflow.ui import correcting, files, store_reading
from alma_airflow.ui.forms import TOKEN
from alma_etl.jobs import corrections
from alma_etl.jobs.corrections import MOST_ROWS, MOST_VALUES
from alma_etl.jobs.ledger import About, Ledger, Results
from alma_etl.jobs.ledger_reading import Artefact, FileRow, FileVersion, RunKey, RunRecord
from alma_etl.jobs.starting import new_starts
from alma_etl.store.bucket import Bucket
from tests.airflow.ui.conftest import HOSTILE, NOW, counted_queries, headers_of
from tests.airflow.ui.test_files_page import ORIGIN, answered, shown, text

KEY = "items/incoming/gifts/march.csv"
REJECTS = "items/rejects/march.m.rejected.csv"
SAVE = "/alma/files/items/correct"
ROWS = b'mms_id,barcode,public_note\r\n1,31166000000001,x\r\n990000000000104401,311 66,"a, ""b"""\r\n'


def rejected(
    ledger: Ledger, bucket: Bucket, body: bytes = ROWS, *, records: Any = None, key: str = REJECTS
) -> FileRow:
    """A file some of whose rows were refused, with their reasons."""
    run = RunKey("item_creation", "m")
    attempt = ledger.begin(run, About("item_creation", KEY))
    file = FileVersion(KEY, "e@2026-11-29T11:28:23+00:00", 12, "items", "gifts", NOW)
    ledger.start(file, run)
    bucket.put(key, body)
    made = Artefact(role="rejects", key=key, name=key.rpartition("/")[2], size=len(body), type="text/csv")
    reasons = [
        RunRecord("invalid_row", line=7, message="mms_id has too few digits"),
        RunRecord("created", line=8),
        RunRecord("conflict", line=12, message="barcode 311 66 has a blank"),
    ]
    reasons = reasons if records is None else records
    ledger.replace(run, Results({"created": 1}, artefacts=[made], records=reasons), attempt)
    ledger.finish(run, "done", "3 rows: 1 created", attempt)
    ledger.move(KEY, file.version, "done", run=run, filed_key="items/done/march.m.csv")
    return original(ledger)


def original(ledger: Ledger) -> FileRow:
    """The file that was loaded, not those that correct it."""
    (found,) = ledger.files(state="done")
    return found


def address(file: FileRow) -> str:
    return f"/alma{files.file_path(file.key, file.version, 'correct')}"


def filled(page: html.HtmlElement) -> dict[str, str]:
    """What a browser sends of the form as it stands, its line breaks as browsers write them."""
    (form,) = page.xpath(f"//form[@action='{SAVE}']")
    given = {}
    for each in form.xpath(".//input[@name]"):
        if each.get("type") != "checkbox" or each.get("checked") is not None:
            given[each.get("name")] = each.get("value") or ""
    for each in form.xpath(".//textarea"):
        given[each.get("name")] = (each.text or "").removeprefix("\n").replace("\n", "\r\n")
    (given["profile"],) = form.xpath(".//option[@selected]/@value")
    return given


def save(server: TestClient, login: Any, page: html.HtmlElement, **changes: str) -> Any:
    given = {**filled(page), **{name.replace("__", "-"): value for name, value in changes.items()}}
    return server.post(SAVE, headers={**login, **ORIGIN}, data=given)


def uploaded(bucket: Bucket) -> bytes | None:
    return bucket.find(KEY)


def test_each_row_stands_with_its_reason_and_what_is_corrected_is_uploaded(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    file = rejected(ledger, lying)
    (link,) = shown(server, login, f"/alma{files.file_path(file.key, file.version)}").xpath(
        "//a[normalize-space()='Correct the rows here']/@href"
    )
    page = shown(server, login, link)
    rows = page.xpath("//fieldset")
    assert [each.xpath("string(legend)") for each in rows] == ["Line 7", "Line 12"]
    assert "invalid_row mms_id has too few digits" in text(rows[0])
    assert "conflict barcode 311 66 has a blank" in text(rows[1])
    for row in rows:
        (why,) = row.xpath("./@aria-describedby")
        assert row.xpath(f".//p[@id='{why}']")
        assert [text(each) for each in row.xpath("./label[bdi]")] == ["mms_id", "barcode", "public_note"]
    answer = save(server, login, page, value__3__1="31166000000002")
    assert answer.status_code == 303, answer.text
    assert uploaded(lying) == ROWS.replace(b"311 66", b"31166000000002")
    (correction,) = ledger.files(state="arrived")
    assert (correction.corrects, correction.uploaded_by, correction.profile) == (KEY, "staff", "gifts")
    assert "Corrects items/incoming/gifts/march.csv" in text(shown(server, login, answer.headers["location"]))
    (start,) = new_starts(lying, at_most=5, settle=NOW - NOW)
    assert "dry_run" not in start["conf"]


def test_rows_are_left_out_the_profile_is_chosen_and_a_dry_run_is_asked_for(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    page = shown(server, login, address(rejected(ledger, lying)))
    assert save(server, login, page, out__2="yes", dry_run="yes", profile="copies").status_code == 303
    assert lying.find("items/incoming/copies/march.csv") == ROWS.replace(b"1,31166000000001,x\r\n", b"")
    (start,) = new_starts(lying, at_most=5, settle=NOW - NOW)
    assert start["conf"]["dry_run"] is True


def test_what_cannot_be_loaded_is_said_beside_what_was_entered(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    page = shown(server, login, address(rejected(ledger, lying)))
    answer = save(server, login, page, value__2__2="typed", out__2="yes", out__3="yes", dry_run="yes")
    assert answer.status_code == 422
    again = html.fromstring(answer.text)
    assert "Every row is left out" in text(again.xpath("//*[@role='alert']")[0])
    kept = filled(again)
    assert (kept["value-2-2"], kept["out-2"], kept["dry_run"]) == ("typed", "yes", "yes")
    assert save(server, login, page, profile="none such").status_code == 422
    assert uploaded(lying) is None


HOSTILE_ROWS = [
    ["990000000000104401", "=1+1", HOSTILE],
    ["990000000000104401", "</textarea><script>alert(1)</script>", "\u202e\u05e9 " + "x" * 5_000],
    ["990000000000104401", '"quoted", and; |', "\n\nbegins and ends with\nbreaks\n"],
    ["990000000000104401", " 'x ", "\x01\x0b\u2028"],
]


def test_hostile_values_are_shown_as_text_and_stay_exact(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerows([["mms_id", "barcode", "public_note"], *HOSTILE_ROWS])
    body = stream.getvalue().encode()
    records = [RunRecord("invalid_row", line=number, message=HOSTILE) for number in range(2, 6)]
    answer = server.get(address(rejected(ledger, lying, body, records=records)), headers=login)
    assert "<script>alert" not in answer.text
    page = html.fromstring(answer.text)
    assert save(server, login, page).status_code == 303
    assert uploaded(lying) == body
    lying.delete([KEY])
    answer = save(
        server, login, shown(server, login, address(original(ledger))), value__2__0="990000000000204401"
    )
    assert answer.status_code == 303, answer.text
    written = (uploaded(lying) or b"").decode()
    assert list(csv.reader(io.StringIO(written.replace("\r\n", "\n"), newline=""))) == [
        ["mms_id", "barcode", "public_note"],
        ["990000000000204401", *HOSTILE_ROWS[0][1:]],
        *HOSTILE_ROWS[1:],
    ]


def test_bytes_of_an_earlier_file_are_asked_about_first(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    page = shown(server, login, address(rejected(ledger, lying)))
    assert save(server, login, page).status_code == 303
    lying.delete([KEY])
    answer = save(server, login, shown(server, login, address(original(ledger))))
    assert "/asked/" in answer.headers["location"]
    assert uploaded(lying) is None
    assert "exactly these bytes came before" in text(shown(server, login, answer.headers["location"]))
    assert answered(server, login, answer.headers["location"]).status_code == 303
    assert uploaded(lying) == ROWS


def test_two_people_at_the_same_rejects_see_each_other(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    where = address(rejected(ledger, lying))
    other = headers_of("USER", "other")
    mine, theirs = shown(server, login, where), shown(server, other, where)
    assert save(server, other, theirs, value__2__0="990000000000204401").status_code == 303
    lying.delete([KEY])  # loaded and filed away
    answer = save(server, login, mine, value__2__0="990000000000304401")
    assert answer.status_code == 409
    page = html.fromstring(answer.text)
    assert "Somebody else corrected these rejects in the meantime" in text(page)
    assert "by other" in text(page)
    assert uploaded(lying) is None
    assert save(server, login, page).status_code == 303
    assert b"990000000000304401" in (uploaded(lying) or b"")
    assert "These rejects were corrected before" in text(shown(server, login, where))


def test_a_form_of_other_rejects_changes_nothing(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    """Its run was cleared, which writes its rejects again: the lines of the form are others by now."""
    where = address(rejected(ledger, lying))
    page = shown(server, login, where)
    lying.put(REJECTS, b"mms_id,barcode,public_note\n5,6,y\n")
    answer = save(server, login, page, value__2__1="7")
    assert answer.status_code == 409
    assert "The rejects were written again" in answer.text
    assert filled(html.fromstring(answer.text))["value-2-1"] == "6"
    assert uploaded(lying) is None


def test_reasons_that_are_no_longer_kept_are_not_guessed(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    page = shown(server, login, address(rejected(ledger, lying, records=[RunRecord("conflict", line=9)])))
    assert [each.xpath("string(legend)") for each in page.xpath("//fieldset")] == ["Row 1", "Row 2"]
    assert "no longer kept row by row" in text(page)
    assert save(server, login, page).status_code == 303


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"mms_id,barcode\n" + b"1,2\n" * (MOST_ROWS + 1), "more than a page can show"),
        (b"mms_id,barcode\n" + b"1,2" + b",3" * MOST_VALUES, "more than a page can show"),
        (b"<?xml version='1.0'?><records/>", "XML or a web page"),
        (b"PK\x03\x04 damaged", "damaged"),
    ],
)
def test_what_cannot_be_corrected_on_a_page_is_uploaded(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger, body: bytes, sentence: str
) -> None:
    page = shown(server, login, address(rejected(ledger, lying, body, records=[])))
    assert sentence in text(page)
    assert page.xpath("//form") == []
    assert page.xpath("//a[normalize-space()='Upload a corrected file']")


def test_rejects_larger_than_a_form_are_not_even_read(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correcting, "MOST_BYTES", 5)
    monkeypatch.setattr(corrections, "RejectedTable", None)
    assert "more than a page can show" in text(shown(server, login, address(rejected(ledger, lying))))


def test_a_form_of_a_job_that_is_no_table_is_uploaded(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Marc:
        form, extension = "MARC21", ".mrc"

    monkeypatch.setattr(type(files.FILE_JOBS["items"]), "open_records", lambda *_: Marc())
    page = shown(server, login, address(rejected(ledger, lying)))
    assert "Rows of this form (MARC21) cannot be corrected on a page" in text(page)


def test_rejects_that_are_gone_and_files_without_any_are_404(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    file = rejected(ledger, lying)
    page = shown(server, login, address(file))
    lying.delete([REJECTS])
    for answer in (server.get(address(file), headers=login), save(server, login, page)):
        assert (answer.status_code, "no longer in the bucket" in answer.text) == (404, True)
    ledger.start(file, RunKey("item_creation", "again"))
    assert server.get(address(file), headers=login).status_code == 404
    assert server.get("/alma/files/correct?key=items/x&version=e", headers=login).status_code == 404


def test_a_viewer_may_look_at_the_file_and_not_correct_it(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    file = rejected(ledger, lying)
    viewer = headers_of("VIEWER")
    page = shown(server, viewer, f"/alma{files.file_path(file.key, file.version)}")
    assert not page.xpath("//a[contains(@href, '/files/correct')]")
    assert server.get(address(file), headers=viewer).status_code == 403
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    from alma_airflow.ui.forms import form_token

    made = form_token(SimpleAuthManagerUser(username="staff", role="VIEWER"), "/files/items/correct")
    given = {**filled(shown(server, login, address(file))), TOKEN: made}
    assert server.post(SAVE, headers={**viewer, **ORIGIN}, data=given).status_code == 403
    assert uploaded(lying) is None


def test_a_form_from_elsewhere_or_without_its_token_is_refused(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    given = filled(shown(server, login, address(rejected(ledger, lying))))
    for origin in ({"Origin": "http://elsewhere.example.org"}, {"Origin": "null"}, {}):
        assert server.post(SAVE, headers={**login, **origin}, data=given).status_code == 403
    stale = {**given, TOKEN: "x"}
    assert server.post(SAVE, headers={**login, **ORIGIN}, data=stale).status_code == 403
    assert uploaded(lying) is None


def test_the_longest_value_of_a_form_arrives(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    page = shown(server, login, address(rejected(ledger, lying)))
    longest = "\U0001f4da" * corrections.LONGEST
    assert save(server, login, page, value__2__2=longest).status_code == 303
    assert longest.encode() in (uploaded(lying) or b"")


def test_at_most_six_queries(server: TestClient, login: Any, lying: Bucket, ledger: Ledger) -> None:
    where = address(rejected(ledger, lying))
    shown(server, login, where)
    store_reading.forget()
    shown(server, login, where)
    with counted_queries() as queries:
        shown(server, login, where)
    assert 1 <= len(queries) <= 6, queries
