"""The files: their states and runs, uploads with their questions, dry runs, and what is refused."""

import csv
import io
import re
from typing import Any

import pytest
from airflow.api.common import trigger_dag
from fastapi.testclient import TestClient
from lxml import html
from sqlalchemy import create_engine, update

from alma_airflow.ui import files, store_reading
from alma_etl.jobs.arrivals import settled
from alma_etl.jobs.ledger import About, Ledger, Results
from alma_etl.jobs.ledger_reading import Artefact, FileRow, FileVersion, RunKey, RunRecord
from alma_etl.jobs.starting import new_starts
from alma_etl.store.bucket import Bucket
from alma_etl.store.ledger_models import file_table
from tests.airflow.ui.conftest import HOSTILE, NOW, counted_queries, headers_of

PAGE = "/alma/files"
UPLOADS = [f"{PAGE}/{area}/upload" for area in ("items", "item-updates", "bibs")]
ORIGIN = {"Origin": "http://localhost:8080"}
LIST = b"mms_id,barcode\n990000000000104401,31166000000001\n"


def shown(server: TestClient, login: Any, path: str = PAGE) -> html.HtmlElement:
    answer = server.get(path, headers=login)
    assert answer.status_code == 200, answer.text
    return html.fromstring(answer.text)


def text(element: html.HtmlElement) -> str:
    return " ".join(" ".join(element.itertext()).split())


def token(page: html.HtmlElement, action: str) -> str:
    (found,) = page.xpath(f"//form[contains(@action, '{action}')]//input[@name='{files_token()}']/@value")
    return str(found)


def files_token() -> str:
    from alma_airflow.ui.forms import TOKEN

    return TOKEN


def upload(server: TestClient, login: Any, body: bytes = LIST, name: str = "march.csv", **fields: str) -> Any:
    """What the server answers to the form of the page."""
    page = shown(server, login)
    given = {files_token(): token(page, "/files/items/upload"), "profile": "gifts", **fields}
    return server.post(
        f"{PAGE}/items/upload", headers={**login, **ORIGIN}, data=given, files={"file": (name, body)}
    )


def answered(server: TestClient, login: Any, address: str, answer: str = "yes") -> Any:
    """What the server answers when the question at an address is answered."""
    page = shown(server, login, address)
    given = {each.get("name"): each.get("value") for each in page.xpath("//form//input[@type='hidden']")}
    return server.post(f"{PAGE}/items/confirm", headers={**login, **ORIGIN}, data={**given, "answer": answer})


def one_file(ledger: Ledger) -> FileRow:
    (found,) = ledger.files()
    return found


def test_an_upload_lies_where_dropped_files_lie_and_it_is_kept_who_it_was(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    answer = upload(server, login)
    assert answer.status_code == 303
    assert lying.get("items/incoming/gifts/march.csv") == LIST
    found = one_file(ledger)
    assert (found.uploaded_by, found.state, found.profile, found.size) == (
        "staff",
        "arrived",
        "gifts",
        len(LIST),
    )
    page = shown(server, login, answer.headers["location"])
    assert "arrived not loaded yet" in text(page)
    assert "Uploaded by staff" in text(page)
    (arrival,) = settled(lying, settle=NOW - NOW)
    assert (arrival.key, arrival.version) == (found.key, found.version)
    (start,) = new_starts(lying, at_most=5, settle=NOW - NOW)
    assert "dry_run" not in start["conf"]


def test_a_dry_run_is_asked_for_with_the_file_itself_so_that_no_run_can_miss_it(
    server: TestClient, login: Any, lying: Bucket
) -> None:
    assert upload(server, login, dry_run="yes").status_code == 303
    (start,) = new_starts(lying, at_most=5, settle=NOW - NOW)
    assert start["conf"]["dry_run"] is True
    lying.put("items/incoming/gifts/march.csv", LIST)  # dropped again, by whatever means
    (start,) = new_starts(lying, at_most=5, settle=NOW - NOW)
    assert "dry_run" not in start["conf"]


def test_the_bytes_of_an_earlier_file_are_asked_about_first(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    upload(server, headers_of("USER", "first"))
    first = one_file(ledger)
    run = RunKey("item_creation", "earlier")
    attempt = ledger.begin(run, About("item_creation", first.key))
    ledger.start(first, run)
    ledger.finish(run, "done", "1 row: 1 created", attempt)
    ledger.move(first.key, first.version, "done", run=run, filed_key="items/done/march.x.csv")
    lying.delete([first.key])

    answer = upload(server, login, name="april.csv")
    assert lying.info("items/incoming/gifts/april.csv") is None
    question = text(shown(server, login, answer.headers["location"]))
    assert "exactly these bytes came before" in question
    assert "items/incoming/gifts/march.csv" in question
    assert "uploaded by first" in question
    assert "done loaded 1 row: 1 created" in question
    assert answered(server, login, answer.headers["location"]).status_code == 303
    assert lying.get("items/incoming/gifts/april.csv") == LIST
    assert {each.uploaded_by for each in ledger.files()} == {"first", "staff"}
    assert list(lying.list("runs/")) == []


def test_who_is_asked_may_say_no(server: TestClient, login: Any, lying: Bucket, ledger: Ledger) -> None:
    upload(server, login)
    answer = upload(server, login, name="april.csv")
    assert answered(server, login, answer.headers["location"], "no").headers["location"] == "/alma/files"
    assert [each.key for each in lying.list("")] == ["items/incoming/gifts/march.csv"]
    assert server.get(answer.headers["location"], headers=login).status_code == 404


def test_a_file_of_the_name_is_not_replaced_unasked(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    lying.put("items/incoming/gifts/march.csv", b"mms_id,barcode\n")
    answer = upload(server, login)
    assert lying.get("items/incoming/gifts/march.csv") == b"mms_id,barcode\n"
    assert "A file of this name waits in the folder" in text(shown(server, login, answer.headers["location"]))
    # Meanwhile somebody else replaces it: the answer was about another file.
    page = server.get(answer.headers["location"], headers=login)
    given = {
        each.get("name"): each.get("value")
        for each in html.fromstring(page.text).xpath("//form//input[@type='hidden']")
    }
    lying.put("items/incoming/gifts/march.csv", b"mms_id,barcode\nother")
    again = server.post(f"{PAGE}/items/confirm", headers={**login, **ORIGIN}, data={**given, "answer": "yes"})
    assert again.headers["location"] == answer.headers["location"]
    assert lying.get("items/incoming/gifts/march.csv") == b"mms_id,barcode\nother"
    assert answered(server, login, answer.headers["location"]).status_code == 303
    assert lying.get("items/incoming/gifts/march.csv") == LIST


def test_what_waits_for_an_answer_is_whose_it_is(server: TestClient, login: Any, lying: Bucket) -> None:
    lying.put("items/incoming/gifts/march.csv", b"x")
    address = upload(server, login).headers["location"]
    other = headers_of("ADMIN", "other")
    assert server.get(address, headers=other).status_code == 404
    held = address.rpartition("/")[2]
    own = shown(server, login, address)
    given = {files_token(): token(own, "/confirm"), "held": held, "answer": "yes"}
    assert server.post(f"{PAGE}/items/confirm", headers={**other, **ORIGIN}, data=given).status_code == 403


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("../../config/west.yaml.csv", "west.yaml.csv"),
        ("C:\\lists\\march.csv", "march.csv"),
        ("<img src=x onerror=alert(1)>.csv", "_img src=x onerror=alert(1)_.csv".replace("=", "_")),
        ("\u202e\u05e9\u05dc\u05d5\u05dd.csv", "_\u05e9\u05dc\u05d5\u05dd.csv"),
        ("x" * 300 + ".CSV", "x" * 100 + ".csv"),
        ("a.20261129T112823Z__68fd0123456789ab.rejected.csv", "a.csv"),
        ("list", "list"),
    ],
)
def test_names_are_made_harmless(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger, name: str, key: str
) -> None:
    answer = upload(server, login, name=name)
    assert answer.status_code == 303, answer.text
    assert [each.key for each in lying.list("")] == [f"items/incoming/gifts/{key}"]
    page = server.get(answer.headers["location"], headers=login).text
    assert "<img" not in page


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("a.csv", b"%PDF-1.7 ...", "a PDF document"),
        ("a.xlsx", b"PK\x03\x04 damaged", "damaged"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"\x00\x01\x02" * 99, "not text"),
        ("~$a.xlsx", LIST, "programs give to files while they write them"),
        ("a.part", LIST, "programs give to files while they write them"),
        ("", LIST, "Choose a file first"),
        ("a.csv", b"x" * 2_000_001, "takes 1 MB"),
    ],
)
def test_what_is_no_list_is_refused_in_a_sentence(
    server: TestClient, login: Any, lying: Bucket, name: str, body: bytes, sentence: str
) -> None:
    lying.put("config/item_profiles.yaml", b'profiles: {gifts: {library: "MAIN"}}\nmax_file_mb: 1\n')
    answer = upload(server, login, body, name, dry_run="yes")
    assert answer.status_code == 422
    page = html.fromstring(answer.text)
    assert sentence in text(page.xpath("//*[@role='alert']")[0])
    assert page.xpath("//input[@name='dry_run']/@checked"), "what was chosen stays"
    assert list(lying.list("items/")) == []


def test_a_form_above_all_bounds_is_refused_before_it_is_read(
    server: TestClient, login: Any, lying: Bucket
) -> None:
    headers = {**login, **ORIGIN, "Content-Length": str(200_000_000), "Content-Type": "multipart/form-data"}
    answer = server.post(f"{PAGE}/items/upload", headers=headers, content=b"")
    assert answer.status_code == 413
    assert "at most" in answer.text


def test_a_profile_that_is_not_there_is_refused(server: TestClient, login: Any, lying: Bucket) -> None:
    answer = upload(server, login, profile="../../config")
    assert answer.status_code == 422
    assert "There is no profile" in answer.text
    assert list(lying.list("")) == []


def test_the_page_says_what_each_profile_does(server: TestClient, login: Any, lying: Bucket) -> None:
    page = shown(server, login)
    assert [page.xpath(f"//form[@action='{action}']//option/@value") for action in UPLOADS] == [
        ["copies", "gifts", "gifts-law", "gifts-trial"],
        ["aleph", "alma"],
        ["catalog"],
    ]
    said = {each.get("data-profile"): text(each) for each in page.xpath("//*[@data-profile]")}
    assert "library MAIN, location stacks" in said["gifts"]
    assert "the one with the lowest id" in said["gifts"]
    assert "its rows are refused" in said["gifts-law"]
    assert "without a holding at their place are refused" in said["copies"]
    assert "A dry run" in said["gifts-trial"]


def test_settings_that_cannot_be_read_are_said_and_the_files_are_shown(
    server: TestClient, login: Any, lying: Bucket
) -> None:
    lying.put("config/item_profiles.yaml", b"profiles: {gifts: {library: 01}}\n")
    page = shown(server, login)
    assert "config/item_profiles.yaml, line 1" in text(page)
    assert page.xpath("//form[contains(@action, 'upload')]/@action") == UPLOADS[1:]


def test_a_viewer_may_look_and_not_act(server: TestClient, login: Any, lying: Bucket, ledger: Ledger) -> None:
    upload(server, login)
    viewer = headers_of("VIEWER")
    page = shown(server, viewer)
    assert "march.csv" in text(page)
    assert page.xpath("//form[@method='post']") == []
    assert "permission to trigger" in text(page)
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    from alma_airflow.ui.forms import form_token

    for path in ("upload", "confirm", "load"):
        made = form_token(SimpleAuthManagerUser(username="staff", role="VIEWER"), f"/files/items/{path}")
        answer = server.post(
            f"{PAGE}/items/{path}", headers={**viewer, **ORIGIN}, data={files_token(): made, "x": "y"}
        )
        assert (answer.status_code, "may look" in answer.text) == (403, True)
    assert len(list(lying.list(""))) == 1


def test_a_form_from_elsewhere_is_refused(server: TestClient, login: Any, lying: Bucket) -> None:
    page = shown(server, login)
    given = {files_token(): token(page, "/files/items/upload"), "profile": "gifts"}
    for origin in ({"Origin": "http://elsewhere.example.org"}, {"Origin": "null"}, {}):
        answer = server.post(
            f"{PAGE}/items/upload", headers={**login, **origin}, data=given, files={"file": ("a.csv", LIST)}
        )
        assert answer.status_code == 403
    assert list(lying.list("")) == []


@pytest.fixture
def dry_run(server: TestClient, login: Any, lying: Bucket, ledger: Ledger) -> FileRow:
    """A file after its dry run."""
    upload(server, login, dry_run="yes")
    (start,) = new_starts(lying, at_most=5, settle=NOW - NOW)
    run = RunKey(start["trigger_dag_id"], start["trigger_run_id"])
    attempt = ledger.begin(run, About("item_creation", start["conf"]["key"], dry_run=True))
    ledger.replace(run, Results({"would_create": 1}, dry_run=True), attempt)
    ledger.finish(run, "done", "1 row: 1 would_create", attempt)
    return one_file(ledger)


@pytest.fixture
def triggered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """The runs that the pages started; Airflow here has no serialised DAG that could."""
    runs: list[tuple[str, str, Any]] = []

    def trigger(dag_id: str, *, run_id: str, conf: Any, triggering_user_name: str, **_: Any) -> Any:
        assert triggering_user_name == "staff"
        if any(run_id == each for _, each, _ in runs):
            raise trigger_dag.DagRunAlreadyExists(RunOf(run_id))
        runs.append((dag_id, run_id, conf))
        return RunOf(run_id)

    monkeypatch.setattr("alma_airflow.ui.start_runs.trigger_dag", trigger)
    return runs


class RunOf:
    def __init__(self, run_id: str) -> None:
        self.dag_id, self.run_id, self.logical_date = "item_creation", run_id, None


def load(server: TestClient, login: Any, file: FileRow) -> Any:
    page = shown(server, login, f"/alma{files.file_path(file.key, file.version)}")
    given = {
        each.get("name"): each.get("value")
        for each in page.xpath("//form[contains(@action, '/load')]//input[@type='hidden']")
    }
    return server.post(f"{PAGE}/items/load", headers={**login, **ORIGIN}, data=given)


def test_a_dry_run_leaves_the_file_and_it_is_loaded_by_a_button(
    server: TestClient, login: Any, dry_run: FileRow, triggered: list[Any], ledger: Ledger
) -> None:
    row = shown(server, login).xpath("//tbody/tr")[0]
    assert "arrived not loaded yet dry run" in text(row)
    assert "would_create 1" in text(row)
    assert load(server, login, dry_run).status_code == 303
    assert load(server, login, dry_run).status_code == 303  # somebody else, at the same moment
    ((dag_id, run_id, conf),) = triggered
    assert (dag_id, conf) == (
        "item_creation",
        {"key": dry_run.key, "version": dry_run.version, "dry_run": False},
    )
    # Once its run has begun there is nothing to press, and what is pressed on an old page starts nothing.
    run = RunKey(dag_id, run_id)
    old = shown(server, login, f"/alma{files.file_path(dry_run.key, dry_run.version)}")
    ledger.begin(run, About("item_creation", dry_run.key))
    ledger.start(dry_run, run)
    page = shown(server, login, f"/alma{files.file_path(dry_run.key, dry_run.version)}")
    assert page.xpath("//form[contains(@action, '/load')]") == []
    assert [text(each).split(" of ")[0] for each in page.xpath("//main//section/h2")] == ["Run", "Dry run"]
    given = {
        each.get("name"): each.get("value")
        for each in old.xpath("//form[contains(@action, '/load')]//input[@type='hidden']")
    }
    again = server.post(f"{PAGE}/items/load", headers={**login, **ORIGIN}, data=given)
    assert (again.status_code, len(triggered)) == (409, 1)


def test_a_dag_that_airflow_does_not_know_is_said(server: TestClient, login: Any, dry_run: FileRow) -> None:
    answer = load(server, login, dry_run)
    assert answer.status_code == 422
    assert "does not know the DAG item_creation" in answer.text


def test_files_are_narrowed_sorted_and_downloaded(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    for number in range(60):
        ledger.arrive(
            FileVersion(f"items/incoming/gifts/{number:02}.csv", "e@t", number, "items", "gifts", NOW)
        )
    ledger.arrive(FileVersion("items/incoming/copies/last.csv", "e@t", 7, "items", "copies", NOW))
    assert len(shown(server, login).xpath("//tbody/tr")) == 50
    assert len(shown(server, login, f"{PAGE}?profile=copies").xpath("//tbody/tr")) == 1
    first = shown(server, login, f"{PAGE}?sort=-size").xpath("//tbody/tr")[0]
    assert "59.csv" in text(first)
    assert shown(server, login, f"{PAGE}?state=done").xpath("//tbody/tr") == []
    page = shown(server, login, f"{PAGE}?search=1")
    (address,) = page.xpath("//a[normalize-space()='Download as CSV']/@href")
    rows = list(csv.DictReader(io.StringIO(server.get(address, headers=login).text)))
    assert len(rows) == 15
    assert {row["state"] for row in rows} == {"arrived"}


def test_a_paused_dag_is_said(server: TestClient, login: Any, lying: Bucket, dags: Any) -> None:
    dags("file_intake", paused=True)
    dags("item_creation")
    assert "file_intake is paused" in text(shown(server, login))


def test_what_a_run_made_is_beside_its_file(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    loaded(ledger, lying)
    row = shown(server, login).xpath("//tbody/tr")[0]
    assert "failed nothing could be loaded" in text(row)
    (rejects,) = row.xpath(".//a[normalize-space()='rejects']/@href")
    assert server.get(rejects, headers=login).content == b"mms_id,barcode\n1,2\n"
    (address,) = row.xpath("./td[@data-label='File']/a/@href")
    page = shown(server, login, address)
    assert "nobody here: it was dropped into the bucket" in text(page)
    (whole,) = page.xpath("//a[normalize-space()='Download the file']/@href")
    assert server.get(whole, headers=login).content == LIST


def loaded(ledger: Ledger, bucket: Bucket, key: str = "items/incoming/gifts/march.csv") -> FileRow:
    """A file whose row was refused, filed away with its rejects."""
    bucket.put("items/failed/march.m.csv", LIST)
    bucket.put("items/rejects/march.m.rejected.csv", b"mms_id,barcode\n1,2\n")
    run = RunKey("item_creation", "m")
    attempt = ledger.begin(run, About("item_creation", key))
    file = FileVersion(key, "e@2026-11-29T11:28:23+00:00", 12, "items", "gifts", NOW)
    ledger.start(file, run)
    rejects = Artefact(
        role="rejects",
        key="items/rejects/march.m.rejected.csv",
        name="march.m.rejected.csv",
        size=9,
        type="text/csv",
    )
    records = [RunRecord("invalid_row", line=2, message="mms_id has too few digits")]
    ledger.replace(run, Results({"invalid_row": 1}, artefacts=[rejects], records=records), attempt)
    ledger.finish(run, "failed", "No row could be loaded", attempt)
    ledger.move(key, file.version, "failed", run=run, filed_key="items/failed/march.m.csv")
    found = ledger.file(key, file.version)
    assert found is not None
    return found


def test_corrected_rejects_are_loaded_again_from_the_page_of_their_file(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    failed = loaded(ledger, lying)
    address = f"/alma{files.file_path(failed.key, failed.version)}"
    page = shown(server, login, address)
    (form,) = page.xpath("//form[contains(@action, '/files/items/upload')]")
    given = {each.get("name"): each.get("value") for each in form.xpath(".//input[@type='hidden']")}
    (profile,) = form.xpath(".//option[@selected]/@value")
    assert (given["corrects"], profile) == (failed.key, "gifts")
    answer = server.post(
        f"{PAGE}/items/upload",
        headers={**login, **ORIGIN},
        data={**given, "profile": profile},
        files={"file": ("march.m.rejected.csv", b"mms_id,barcode\n990000000000104401,31166000000009\n")},
    )
    assert answer.status_code == 303, answer.text
    assert "Corrects items/incoming/gifts/march.csv" in text(shown(server, login, answer.headers["location"]))
    (correction,) = ledger.files(state="arrived")
    assert correction.corrects == failed.key
    assert "Corrected by" in text(shown(server, login, address))


def test_a_viewer_and_a_file_under_way_get_no_form_to_correct(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    failed = loaded(ledger, lying)
    address = f"/alma{files.file_path(failed.key, failed.version)}"
    assert not shown(server, headers_of("VIEWER"), address).xpath("//form")
    ledger.start(failed, RunKey("item_creation", "again"))
    assert not shown(server, login, address).xpath("//form[contains(@action, '/upload')]")


def test_what_corrects_a_file_that_nobody_knows_is_refused(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    answer = upload(server, login, corrects="items/incoming/gifts/never.csv")
    assert answer.status_code == 422
    assert "is not known" in answer.text
    assert not ledger.files()


def test_a_version_that_was_replaced_is_not_downloaded_as_the_other(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger
) -> None:
    upload(server, login)
    found = one_file(ledger)
    lying.put(found.key, b"another")
    address = f"/alma{files.file_path(found.key, found.version, 'download')}"
    assert server.get(address, headers=login).status_code == 404


def test_hostile_texts_are_texts(server: TestClient, login: Any, lying: Bucket, ledger: Ledger) -> None:
    key = f"items/incoming/gifts/{HOSTILE}"
    found = loaded(ledger, lying, key)
    engine = create_engine(ledger._url)
    with engine.begin() as connection:
        connection.execute(update(file_table).values(uploaded_by=HOSTILE, corrects=HOSTILE, profile=HOSTILE))
    engine.dispose()
    for path in (PAGE, f"/alma{files.file_path(found.key, found.version)}"):
        answer = server.get(path, headers=login)
        if path == PAGE:
            assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        tags = {each.tag for each in html.fromstring(answer.text).xpath("//*[contains(text(), 'alert(1)')]")}
        assert tags <= {"bdi", "option", "title"}


def test_at_most_six_queries(
    server: TestClient, login: Any, lying: Bucket, ledger: Ledger, dry_run: FileRow
) -> None:
    for number in range(60):
        ledger.arrive(FileVersion(f"items/incoming/gifts/{number}.csv", "e@t", 1, "items", "gifts", NOW))
    for path in (PAGE, f"/alma{files.file_path(dry_run.key, dry_run.version)}"):
        shown(server, login, path)
        store_reading.forget()
        shown(server, login, path)
        with counted_queries() as queries:
            shown(server, login, path)
        assert 1 <= len(queries) <= 6, queries


def test_who_may_not_see_the_runs_sees_no_file(server: TestClient, login: Any, lying: Bucket) -> None:
    assert server.get(PAGE, headers=headers_of(None)).status_code == 403
    assert re.search("march", server.get(f"{PAGE}.csv", headers=headers_of("VIEWER")).text) is None
