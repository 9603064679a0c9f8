"""Somebody who loads gifts, on the page Files: uploads, finds, corrects what was refused, until all of it is loaded."""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from requests import HTTPError

from alma_etl.jobs.ledger import Ledger
from alma_etl.jobs.ledger_reading import FileVersion
from tests.browser.conftest import serious_problems
from tests.browser.test_placing import alma
from tests.browser.test_requests_pages import store_url
from tests.local.stack.real import RealStack

pytestmark = pytest.mark.timeout(900)

Opened = Callable[..., Page]
Shoot = Callable[[Page | Locator, str], None]

PHONE = 390
BARCODES = "3955500000{:04}"
DROP = """([area, name, body]) => {
  const files = new DataTransfer();
  files.items.add(new File([body], name));
  for (const kind of ["dragover", "drop"]) {
    area.dispatchEvent(new DragEvent(kind, {dataTransfer: files, bubbles: true, cancelable: true}));
  }
}"""
"""What a browser does when a file is dropped onto an element."""


@pytest.fixture(scope="module")
def titles(stack: RealStack) -> list[str]:
    """MMS ids of the sandbox, each title once."""
    members = alma(stack, "/conf/sets/59000000000004401/members?limit=20")["member"]
    return [member["id"] for member in members]


@pytest.fixture
def opened(stack: RealStack, watched: Opened) -> Opened:
    """The page Files."""

    def files(query: str = "", **options: Any) -> Page:
        page = watched(**options)
        page.goto(f"{stack.addresses.ui}/alma/files{query}")
        return page

    return files


def choose(page: Page, name: str, body: bytes, *, dry_run: bool = False) -> None:
    """Fill in the form of an upload."""
    form = page.locator("form.upload").first
    form.get_by_label("Profile").select_option("gifts")
    form.locator("input[type=file]").set_input_files({"name": name, "mimeType": "text/csv", "buffer": body})
    form.get_by_label("Dry run first").set_checked(dry_run)


def upload(page: Page, name: str, body: bytes, **more: bool) -> None:
    """Upload a file by the button, and see its page."""
    choose(page, name, body, **more)
    page.get_by_role("button", name="Upload", exact=True).first.click()


def ended(page: Page, state: str) -> None:
    """Look again until the file has this state."""
    for _ in range(600):
        if page.locator("main .badge").first.inner_text() == state:
            return
        page.wait_for_timeout(500)
        page.reload()
    raise AssertionError(page.locator("main").inner_text())


def dry_run_over(page: Page) -> None:
    """Look again until the dry run of the file has ended."""
    load = page.get_by_role("button", name="Load it")
    for _ in range(600):
        if load.count():
            return
        page.wait_for_timeout(500)
        page.reload()
    raise AssertionError(page.locator("main").inner_text())


def items_with(stack: RealStack, barcode: str) -> int:
    """How many items Alma has by a barcode, as its own look-up says."""
    try:
        return int(alma(stack, f"/items?item_barcode={barcode}")["item_data"]["barcode"] == barcode)
    except HTTPError:
        return 0


def looks_right(page: Page) -> None:
    """Light at a desk, dark on a phone: nothing keeps people out, nothing is wider than the screen."""
    for width, scheme in ((PHONE, "dark"), (1200, "light")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        assert serious_problems(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_rejected_rows_are_corrected_in_the_page_until_all_are_loaded(
    stack: RealStack, opened: Opened, shoot: Shoot, titles: list[str]
) -> None:
    """Corrected wrongly first, then rightly; one row is left out, since the book is not there."""
    rows = [
        (titles[0], BARCODES.format(1), "plain"),
        (titles[1], "39 5550000 002", 'the "blue" one, signed'),
        ("99000000000000", BARCODES.format(3), "<b>no such title</b>"),
        (titles[3], "", "no barcode"),
    ]
    body = io.StringIO()
    csv.writer(body).writerows([("mms_id", "barcode", "public_note"), *rows])
    page = opened(width=1200)
    upload(page, "correct-me.csv", body.getvalue().encode())
    ended(page, "done")
    looks_right(page)
    with page.expect_download() as started:
        page.get_by_role("link", name=re.compile(r"^correct-me\..*\.rejected\.csv$")).first.click()
    assert len(started.value.path().read_text().splitlines()) == 4

    page.get_by_role("link", name="Correct the rows here").click()
    second, third, fourth = (page.get_by_role("group", name=f"Line {line}") for line in (3, 4, 5))
    expect(second).to_contain_text("barcode")
    expect(second.get_by_label("public_note")).to_have_value('the "blue" one, signed')
    expect(third).to_contain_text("bib_not_found")
    expect(third.get_by_label("public_note")).to_have_value("<b>no such title</b>")
    looks_right(page)
    shoot(page, "page-files-correct")
    second.get_by_label("barcode").fill(BARCODES.format(2))
    second.get_by_label("public_note").fill("=1+1")
    third.get_by_label("Leave this row out").check()
    fourth.get_by_label("barcode").fill(BARCODES.format(1))  # that of another book
    page.get_by_role("button", name="Upload the corrected rows").click()
    expect(page.get_by_text("Corrects")).to_be_visible()
    ended(page, "done")
    assert items_with(stack, BARCODES.format(2)) == 1

    page.get_by_role("link", name="Correct the rows here").click()
    (only,) = page.get_by_role("group").all()
    expect(only).to_contain_text("conflict")
    only.get_by_label("barcode").fill(BARCODES.format(4))
    page.get_by_role("button", name="Upload the corrected rows").click()
    ended(page, "done")
    expect(page.get_by_role("link", name="Correct the rows here")).to_have_count(0)
    for number in (1, 2, 4):
        assert items_with(stack, BARCODES.format(number)) == 1
    note = alma(stack, f"/items?item_barcode={BARCODES.format(2)}")["item_data"]["public_note"]
    assert note == "=1+1"

    page.goto(f"{stack.addresses.ui}/alma/files?search=correct-me&sort=arrived_at")
    files = page.get_by_role("region", name="Table of files").get_by_role("link", name="correct-me.csv")
    expect(files).to_have_count(3)
    files.first.click()
    expect(page.get_by_text("Corrected by")).to_be_visible()
    page.get_by_role("link", name="Correct the rows here").click()
    expect(page.get_by_text("These rejects were corrected before.")).to_be_visible()
    looks_right(page)


def test_a_file_is_dragged_tried_out_and_then_loaded_by_a_button(
    stack: RealStack, opened: Opened, titles: list[str]
) -> None:
    page = opened(width=1200)
    body = f"{titles[5]}|{BARCODES.format(11)}\n"
    form = page.locator("form.upload").first
    form.get_by_label("Profile").select_option("gifts")
    page.evaluate(DROP, [form.element_handle(), "dragged.txt", body])
    expect(form).not_to_have_class(re.compile("over"))
    assert form.locator("input[type=file]").evaluate("input => input.files[0].name") == "dragged.txt"
    form.get_by_label("Dry run first").check()
    form.get_by_role("button", name="Upload").click()
    dry_run_over(page)
    expect(page.get_by_text("would_create").first).to_be_visible()
    assert items_with(stack, BARCODES.format(11)) == 0
    looks_right(page)
    with page.expect_download() as started:
        page.get_by_role("link", name=re.compile(r"^dragged\..*\.html$")).first.click()
    assert "would_create" in started.value.path().read_text()
    page.get_by_role("button", name="Load it").click()
    ended(page, "done")
    assert items_with(stack, BARCODES.format(11)) == 1


def test_the_bytes_of_an_earlier_file_are_asked_about_first(
    stack: RealStack, opened: Opened, titles: list[str]
) -> None:
    body = f"{titles[6]}|{BARCODES.format(21)}\n".encode()
    page = opened()
    upload(page, "first.txt", body)
    ended(page, "done")
    page.goto(f"{stack.addresses.ui}/alma/files")
    upload(page, "second.txt", body)
    expect(page.get_by_text("A file with exactly these bytes came before.")).to_be_visible()
    expect(page.get_by_text("first.txt")).to_be_visible()
    expect(page.get_by_text(f"uploaded by {stack.addresses.user}")).to_be_visible()
    looks_right(page)
    page.get_by_role("button", name="Do not upload it").click()
    page.wait_for_url(re.compile("/alma/files$"))
    assert stack.keys("items/incoming/gifts/second") == []
    upload(page, "second.txt", body)
    page.get_by_role("button", name="Upload it", exact=True).click()
    ended(page, "done")
    expect(page.get_by_text("already_exists").first).to_be_visible()
    assert items_with(stack, BARCODES.format(21)) == 1


def test_what_is_no_list_is_refused_and_too_large_a_file_is_not_even_sent(
    stack: RealStack, ui: Opened
) -> None:
    page = ui()  # the console notes the answer 422
    page.goto(f"{stack.addresses.ui}/alma/files")
    upload(page, "scan.csv", b"%PDF-1.7 scanned")
    expect(page.get_by_role("alert")).to_contain_text("a PDF document")
    page.goto(f"{stack.addresses.ui}/alma/files")
    form = page.locator("form.upload").first
    input_ = form.locator("input[type=file]")
    largest = float(form.get_attribute("data-largest") or 0)
    input_.evaluate(
        """(input, size) => {
          const files = new DataTransfer();
          files.items.add(new File(["x"], "large.csv"));
          Object.defineProperty(files.files[0], "size", {value: size});
          Object.defineProperty(input, "files", {value: files.files});
          input.dispatchEvent(new Event("change"));
        }""",
        largest * 1e6 + 1,
    )
    assert "too large" in input_.evaluate("input => input.validationMessage")


@pytest.fixture(scope="module")
def many(stack: RealStack) -> int:
    """Files of long ago, more than a page of the table has."""
    ledger = Ledger(store_url(stack))
    for number in range(55):
        key = f"items/incoming/copies/long-ago-{number:02}.csv"
        came = datetime(2020, 1, 1, 8, number, tzinfo=UTC)
        ledger.arrive(FileVersion(key, f"e@{came.isoformat()}", number, "items", "copies", came))
        ledger.move(key, f"e@{came.isoformat()}", "ignored")
    ledger.close()
    return 55


def test_files_are_filtered_sorted_paged_and_downloaded(opened: Opened, many: int) -> None:
    page = opened()
    page.get_by_label("Profile").last.select_option("copies")
    page.get_by_role("button", name="Filter").click()
    rows = page.get_by_role("region", name="Table of files").get_by_role("row")
    expect(rows).to_have_count(51)
    page.get_by_role("link", name="Size").click()
    expect(rows.nth(1)).to_contain_text("long-ago-00.csv")
    page.get_by_role("link", name="Next page").click()
    expect(rows).to_have_count(many - 50 + 1)
    expect(rows.last).to_contain_text("long-ago-54.csv")
    page.get_by_role("link", name="First page").click()
    page.get_by_role("searchbox").fill("AGO-1")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(11)
    with page.expect_download() as started:
        page.get_by_role("link", name="Download as CSV").click()
    lines = list(csv.DictReader(started.value.path().open(newline="")))
    assert [line["key"].rpartition("-")[2] for line in lines] == [f"{number}.csv" for number in range(10, 20)]
    looks_right(page)
