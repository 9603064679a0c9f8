"""What a librarian sees and does in Airflow: log in, read, start a run by the form, follow it, open the report."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import log_in
from tests.local.stack.real import RealStack

pytestmark = pytest.mark.timeout(900)

DAG = "west_holdings"
TOP = "Run Parameters"
Ui = Callable[..., Page]
Shoot = Callable[[Page | Locator, str], None]


def url(stack: RealStack, path: str) -> str:
    return f"{stack.addresses.ui}{path}"


def open_form(page: Page, stack: RealStack) -> Locator:
    """The dialog that starts a run."""
    page.goto(url(stack, f"/dags/{DAG}"))
    page.get_by_role("button", name="Trigger Dag").click()
    form = page.get_by_role("dialog")
    form.get_by_text(TOP).wait_for()
    return form


@pytest.fixture(scope="module")
def params(stack: RealStack) -> dict[str, Any]:
    """The DAG's Params as the form gets them."""
    found: dict[str, Any] = stack.api.call("GET", f"dags/{DAG}/details")["params"]
    return found


# --- the door


def test_nothing_is_answered_without_a_login(stack: RealStack, open_page: Ui) -> None:
    for path in ("/api/v2/dags", "/ui/dags", "/ui/config", f"/alma/report/{DAG}/some_run"):
        assert requests.get(url(stack, path), timeout=60).status_code == 401, path
    page = open_page()
    page.goto(url(stack, f"/dags/{DAG}"))
    expect(page.locator("input[name=password]")).to_be_visible()


def test_a_wrong_password_does_not_open(stack: RealStack, open_page: Ui) -> None:
    page = open_page()
    log_in(page, stack, "admin")
    expect(page.get_by_text("Invalid credentials")).to_be_visible()
    page.goto(url(stack, f"/dags/{DAG}"))
    expect(page.locator("input[name=password]")).to_be_visible()


# --- reading and starting


def test_the_dag_explains_itself(stack: RealStack, ui: Ui, shoot: Shoot) -> None:
    page = ui()
    page.goto(url(stack, f"/dags/{DAG}"))
    page.get_by_label("Dag Docs").click()
    text = page.get_by_role("dialog")
    expect(text.get_by_role("heading", name="WEST holdings")).to_be_visible()
    for topic in ("When.", "Input.", "Output.", "Safe to run again?", "When it fails."):
        expect(text.get_by_text(topic, exact=True)).to_be_visible()
    shoot(page, "dag-docs")


def test_the_form_names_and_explains_every_field(
    stack: RealStack, ui: Ui, params: dict[str, Any], shoot: Shoot
) -> None:
    page = ui(width=1100, height=1260)
    form = open_form(page, stack)
    sections = [
        TOP,
        *dict.fromkeys(p["schema"]["section"] for p in params.values() if "section" in p["schema"]),
    ]
    assert len(sections) == 4
    for section in sections:
        if section != TOP:
            form.get_by_text(section, exact=True).click()
        for name, param in params.items():
            if param["schema"].get("section", TOP) == section:
                field = form.locator(f"[id='element_{name}'], [name='element_{name}']").first
                expect(field).to_be_visible()
                expect(form.get_by_text(param["schema"]["title"], exact=True)).to_be_visible()
                expect(form.get_by_text(param["description"], exact=True)).to_be_visible()
    form.get_by_text("How Alma is asked", exact=True).click()
    expect(form.get_by_text("as config/west.yaml says (batch, unless changed there)")).to_be_visible()
    form.get_by_text(TOP, exact=True).click()
    expect(form.locator("[name=element_set_id]")).to_be_visible()
    shoot(page, "trigger-form")


def test_the_form_refuses_what_is_not_the_number_of_a_set(stack: RealStack, ui: Ui) -> None:
    page = ui()
    form = open_form(page, stack)
    form.locator("[name=element_set_id]").fill("the archive")
    form.get_by_role("button", name="Trigger").click()
    expect(form.get_by_text("Invalid input for param set_id: 'the archive'")).to_be_visible()


@pytest.fixture(scope="module")
def run_id(stack: RealStack, browser: Any, session: Any) -> str:
    """A run that was started by the form, filled in as a person types; it has ended well."""
    context = browser.new_context(storage_state=session, locale="en-US")
    page = context.new_page()
    form = open_form(page, stack)
    form.get_by_text("What is delivered", exact=True).click()
    form.locator("[name=element_symbol_by_library]").press_sequentially("LAW ZZLAW\n")
    form.locator("[name=element_exclude_locations]").press_sequentially("microform\nUNASSIGNED\n")
    form.get_by_text("How Alma is asked", exact=True).click()
    form.locator("[name=element_chunk_size]").fill("300")
    form.get_by_role("button", name="Trigger").click()
    page.wait_for_url(re.compile(rf"/dags/{DAG}/runs/"))
    context.close()
    (run,) = stack.api.call("GET", f"dags/{DAG}/dagRuns")["dag_runs"]
    given = {name: value for name, value in run["conf"].items() if value is not None}
    assert given == {
        "symbol_by_library": "LAW ZZLAW\n",
        "exclude_locations": ["microform", "UNASSIGNED", ""],
        "chunk_size": 300,
    }
    assert stack.wait_for_end(DAG, run["dag_run_id"]) == "success"
    started: str = run["dag_run_id"]
    return started


# --- following


def test_chunks_are_named_by_their_titles(stack: RealStack, ui: Ui, run_id: str, shoot: Shoot) -> None:
    page = ui(width=1400, height=760)
    page.goto(url(stack, f"/dags/{DAG}/runs/{run_id}/tasks/fetch_holdings/mapped"))
    for number in ("0001", "0002", "0003", "0004"):
        row = page.get_by_role("row").filter(has_text=f"chunk {number}:")
        expect(row).to_contain_text(re.compile(rf"chunk {number}: \d+4401-\d+4401"))
        expect(row).to_contain_text("Success")
    shoot(page, "chunks")


def test_the_log_tells_how_far_a_chunk_is(stack: RealStack, ui: Ui, run_id: str, shoot: Shoot) -> None:
    page = ui(width=1400, height=760)
    page.goto(url(stack, f"/dags/{DAG}/runs/{run_id}/tasks/fetch_holdings/mapped/0"))
    expect(page.get_by_text(re.compile(r"Chunk 0001: 250 of \d+ holdings fetched, 0 failed"))).to_be_visible()
    expect(
        page.get_by_text(re.compile(r"Chunk 0001: (\d+) of \1 holdings fetched, 0 failed"))
    ).to_be_visible()
    shoot(page, "log")


def test_the_button_opens_the_report(stack: RealStack, ui: Ui, run_id: str, shoot: Shoot) -> None:
    page = ui()
    page.goto(url(stack, f"/dags/{DAG}/runs/{run_id}/tasks/check_outcome"))
    page.get_by_role("link", name="Details").click()
    button = page.get_by_role("link", name="Report", exact=True)
    expect(button).to_be_visible()
    shoot(page, "report-button")
    button.click()
    page.wait_for_url("**/alma/report/**")
    page.set_viewport_size({"width": 1000, "height": 900})
    expect(page.get_by_role("heading", name=re.compile("WEST holdings"))).to_be_visible()
    manifests = [
        json.loads(stack.read(key)) for key in stack.keys("west/deliveries/") if key.endswith(".json")
    ]
    assert {manifest["symbol"] for manifest in manifests} == {"ZZMAIN", "ZZLAW"}
    for manifest in manifests:
        row = page.get_by_role("row").filter(has_text=manifest["file"])
        expect(row).to_contain_text(f"{manifest['records']:,}")
        expect(row).to_contain_text(f"{manifest['bytes']:,}")
    assert manifest["run_id"] == run_id
    shoot(page, "report")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# --- dropping a file


def titles(stack: RealStack, how_many: int) -> list[str]:
    """MMS ids that the pretend Alma knows."""
    answer = requests.get(
        f"{stack.addresses.sandbox}/almaws/v1/conf/sets/59000000000004401/members",
        params={"limit": str(how_many)},
        headers={"Authorization": f"apikey {stack.addresses.sandbox_key}", "Accept": "application/json"},
        timeout=60,
    )
    return [member["id"] for member in answer.json()["member"]]


def test_a_file_dragged_onto_the_page_of_the_bucket_is_loaded(
    stack: RealStack, open_page: Ui, ui: Ui, shoot: Shoot
) -> None:
    lines = [f"{mms_id}|3900000000{number:04}" for number, mms_id in enumerate(titles(stack, 5))]
    page = open_page()
    page.goto(stack.addresses.s3_page)
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill(stack.addresses.s3_page_password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin")
    page.goto(f"{stack.addresses.s3_page}/files?path=/buckets/{stack.addresses.bucket}/items/incoming/gifts")
    dragged = page.evaluate_handle(
        """text => {
            const dragged = new DataTransfer();
            dragged.items.add(new File([text], "march.txt", {type: "text/plain"}));
            return dragged;
        }""",
        "\r\n".join([*lines, lines[0]]),
    )
    page.locator(".card-body").first.dispatch_event("drop", {"dataTransfer": dragged})
    page.get_by_role("button", name="Upload Files").click()

    stack.wait_for("the file is filed away", lambda: stack.keys("items/done/march.") or None)
    (run,) = stack.api.call("GET", "dags/item_creation/dagRuns")["dag_runs"]
    assert stack.wait_for_end("item_creation", run["dag_run_id"]) == "success"
    report = ui(width=1000, height=760)
    report.goto(url(stack, f"/alma/report/item_creation/{quote(run['dag_run_id'])}"))
    for outcome, count in {"created": "5", "duplicate_in_file": "1"}.items():
        row = report.get_by_role("row").filter(has=report.get_by_role("cell", name=outcome, exact=True)).first
        expect(row.get_by_role("cell", name=count, exact=True)).to_be_visible()
    shoot(report, "item-report")


def test_a_failed_run_says_why_at_the_end_of_its_log_and_in_its_tab(stack: RealStack, ui: Ui) -> None:
    run_id = stack.api.trigger("item_creation", {"key": "items/incoming/gifts/not-there.txt"})
    assert stack.wait_for_end("item_creation", run_id) == "failed"
    sentence = "There is no file items/incoming/gifts/not-there.txt"
    page = ui(width=1400, height=760)
    page.goto(url(stack, f"/dags/item_creation/runs/{quote(run_id)}/tasks/read_file"))
    # Unfolded, and not only in Airflow's own line with the traceback.
    said = page.locator(".event").filter(has_text=sentence, has_not_text="AirflowFailException")
    expect(said).to_be_visible()
    page.goto(url(stack, f"/dags/item_creation/runs/{quote(run_id)}"))
    page.get_by_role("link", name="Report", exact=True).click()
    expect(page.frame_locator("iframe").get_by_text(sentence).first).to_be_visible()


def test_a_page_of_ours_leads_to_the_login_and_back(stack: RealStack, open_page: Ui) -> None:
    page = open_page()
    page.goto(url(stack, f"/alma/report/{DAG}/no_such_run"))
    page.locator("input[name=username]").fill(stack.addresses.user)
    page.locator("input[name=password]").fill(stack.addresses.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/alma/report/**")
    expect(page.get_by_text("This run has no report yet")).to_be_visible()


# --- the connection


def test_the_form_of_a_connection_has_our_fields(stack: RealStack, ui: Ui, shoot: Shoot) -> None:
    page = ui(width=1000, height=1330)
    page.goto(url(stack, "/connections"))
    page.get_by_role("row").filter(has_text="alma_default").get_by_label("Edit Connection").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_text("API gateway URL")).to_be_visible()
    expect(form.get_by_text("API key")).to_be_visible()
    expect(form.locator("[name=host]")).to_have_value(stack.addresses.sandbox)
    expect(form.locator("[name=password]")).to_have_value("***")
    for other in ("Login", "Port", "Schema"):
        expect(form.get_by_text(other, exact=True)).to_have_count(0)
    form.get_by_text("Extra Fields", exact=True).click()
    for label, value in {
        "Requests per second": "20",
        "Requests in flight": "24",
        "Daily reserve when reading": "5000",
        "Daily reserve when writing": "1000",
        "Timeout in seconds": "90",
        "Environment": "sandbox",
    }.items():
        expect(form.get_by_text(label, exact=True)).to_be_visible()
        expect(form.locator(f"input[value='{value}']").first).to_be_visible()
    expect(form.get_by_text("Read only", exact=True)).to_be_visible()
    shoot(page, "connection-form")


def press_test(page: Page, conn_id: str) -> Locator:
    """Presses the Test button of a connection; the message that appears."""
    page.get_by_role("row").filter(has_text=conn_id).get_by_label("Test Connection").click()
    return page.get_by_role("status").filter(has_text="Test Connection")


def test_the_test_button_says_who_answers_and_what_the_key_may_read(
    stack: RealStack, ui: Ui, shoot: Shoot
) -> None:
    page = ui(width=1100, height=460)
    page.goto(url(stack, "/connections"))
    said = press_test(page, "alma_default")
    expect(said).to_contain_text("01ZZ_INST (SANDBOX) answers. The key may read: bibs, conf, users, acq.")
    shoot(page, "connection-test")


def test_a_wrong_key_is_told_by_the_test_button(stack: RealStack, ui: Ui) -> None:
    page = ui()
    page.goto(url(stack, "/connections"))
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator("[name=connection_id]").fill("alma_mistyped")
    form.get_by_role("combobox").first.fill("alma")
    page.get_by_role("option", name="Ex Libris Alma").click()
    form.locator("[name=host]").fill(stack.addresses.sandbox)
    form.locator("[name=password]").fill("mistyped")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    said = press_test(page, "alma_mistyped")
    expect(said).to_contain_text("Test Connection Failed")
    expect(said).to_contain_text("Alma does not accept this API key here; check the connection's key")
