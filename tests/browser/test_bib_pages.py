"""A cataloguer tries a file of records out on the page Files, reads what it would change, and imports it."""

import re
from collections import Counter
from collections.abc import Callable
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from local.demo_bibs import books
from tests.browser.conftest import serious_problems
from tests.browser.test_files_pages import dry_run_over, ended
from tests.browser.test_placing import alma
from tests.local.stack.real import RealStack

pytestmark = pytest.mark.timeout(900)

WOULD = ("would_create", "would_merge", "unchanged", "not_added_brief", "invalid_record")
DONE = ("created", "merged", "unchanged", "not_added_brief", "invalid_record")


def outcomes(report: Page) -> Counter[str]:
    """How many records of a report ended as what, by its own table of records."""
    found = re.findall(
        "|".join(rf"\b{word}\b" for word in {*WOULD, *DONE}), report.locator("body").inner_text()
    )
    return Counter(found)


def test_a_file_of_records_is_tried_out_and_then_imported(
    stack: RealStack, watched: Callable[..., Page], shoot: Callable[[Page | Locator, str], None]
) -> None:
    before = int(alma(stack, "/bibs?other_system_id=(OCoLC)2000000001").get("total_record_count", 0))
    assert before == 0
    page = watched(width=1200)
    page.goto(f"{stack.addresses.ui}/alma/files")
    form = page.locator("form.upload[action$='/files/bibs/upload']")
    form.get_by_label("Profile").select_option("catalog")
    file = {"name": "march-books.mrc", "mimeType": "application/marc", "buffer": books(stack.addresses)}
    form.locator("input[type=file]").set_input_files(file)
    form.get_by_label("Dry run first").check()
    form.get_by_role("button", name="Upload").click()
    dry_run_over(page)

    report = watched(width=1000, height=1240)
    (run,) = stack.api.call("GET", "dags/bib_import/dagRuns")["dag_runs"]
    report.goto(f"{stack.addresses.ui}/alma/report/bib_import/{quote(run['dag_run_id'])}")
    assert {*WOULD} <= {*outcomes(report)}
    gained = report.locator(".diff .comes").filter(has_text="Shared print programs.")
    expect(gained).to_be_visible()
    assert serious_problems(report) == []
    shoot(report, "bib-report")
    report.locator(".diff").first.scroll_into_view_if_needed()
    report.set_viewport_size({"width": 390, "height": 800})
    assert report.evaluate("document.documentElement.scrollWidth") <= 390
    assert alma(stack, "/bibs?other_system_id=(OCoLC)2000000001").get("total_record_count", 0) == 0

    page.get_by_role("button", name="Load it").click()
    ended(page, "done")
    runs = stack.api.call("GET", "dags/bib_import/dagRuns")["dag_runs"]
    (loaded,) = [each for each in runs if each["dag_run_id"] != run["dag_run_id"]]
    report.goto(f"{stack.addresses.ui}/alma/report/bib_import/{quote(loaded['dag_run_id'])}")
    assert {*DONE} <= {*outcomes(report)}
    assert alma(stack, "/bibs?other_system_id=(OCoLC)2000000001")["total_record_count"] == 1
