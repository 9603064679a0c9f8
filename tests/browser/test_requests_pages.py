"""A circulation manager in the Alma pages: places a request, watches it, acknowledges an alert, cancels it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Locator, Page, expect

from alma_etl.dcb.store import Alert, DcbStore
from tests.browser.conftest import serious_problems, store_url
from tests.browser.test_placing import book_in_place
from tests.local.stack.real import RealStack

pytestmark = pytest.mark.timeout(900)

PR_ID = "browser-request-2"


def end_of(stack: RealStack, dag_id: str) -> str:
    """The state in which the one run of a DAG for the request ended."""
    runs = stack.api.call("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]
    (run,) = (each["dag_run_id"] for each in runs if each["conf"]["pr_id"] == PR_ID)
    return stack.wait_for_end(dag_id, run)


def test_a_request_is_placed_acknowledged_and_cancelled_on_its_pages(
    stack: RealStack, watched: Callable[..., Page], shoot: Callable[[Page | Locator, str], None]
) -> None:
    book = book_in_place(stack)
    page = watched(width=1200, height=1000)
    page.goto(f"{stack.addresses.ui}/alma/requests")
    page.get_by_role("link", name="Place a request").click()
    page.locator("[name=supplier_system]").select_option("LENDER")
    page.locator("[name=item_barcode]").fill(book["item_data"]["barcode"])
    page.locator("[name=borrower_system]").select_option("BORROWER")
    page.get_by_role("button", name="Find the book").click()
    title = book["bib_data"]["title"].rstrip(" /:;,=")
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    expect(page.get_by_text("in place", exact=True)).to_be_visible()
    page.locator("[name=user_id]").fill("patron002")
    page.locator("[name=pickup_library]").select_option("SCI")
    page.get_by_text("If not as the lender has it").click()
    page.locator("[name=pr_id]").fill(PR_ID)
    assert serious_problems(page) == []
    shoot(page, "page-place")
    page.get_by_role("button", name="Send the request").click()
    page.wait_for_url(re.compile(rf"/alma/requests/{PR_ID}\?placing="))
    assert end_of(stack, "dcb_place_request") == "success"

    page.goto(f"{stack.addresses.ui}/alma/requests?search={book['item_data']['barcode']}")
    page.get_by_role("link", name=title).click()
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    expect(page.get_by_text("placed for the patron, not sent yet", exact=False).first).to_be_visible()
    assert "patron002" not in page.content()

    with DcbStore(store_url(stack)) as store:
        store.open_alert(Alert(f"TXN_ERROR:{PR_ID}", "TXN_ERROR", "warning", PR_ID), datetime.now(UTC))
    page.goto(f"{stack.addresses.ui}/alma/requests")
    shoot(page, "page-requests")
    page.get_by_role("region", name="What needs somebody").get_by_role("link", name=PR_ID).click()
    alerts = page.get_by_role("region", name="Open alerts")
    alerts.get_by_label("Remark").fill("Called the library")
    alerts.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text(f"{stack.addresses.user}: Called the library")).to_be_visible()
    assert serious_problems(page) == []
    shoot(page, "page-request")

    page.get_by_role("button", name="Cancel the request").click()
    page.get_by_role("link", name="its run").wait_for()
    assert end_of(stack, "dcb_cancel_request") == "success"
    page.reload()
    expect(page.get_by_text("CANCELLED").first).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
