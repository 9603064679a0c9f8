"""A circulation manager places a request: six fields of the form, and a page that shows what was looked up."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from tests.local.stack.real import RealStack

pytestmark = pytest.mark.timeout(900)

DAG = "dcb_place_request"
PR_ID = "browser-request-1"


def alma(stack: RealStack, path: str) -> Any:
    """What the lender's Alma answers."""
    answer = requests.get(
        f"{stack.addresses.sandbox}/almaws/v1{path}",
        headers={"Authorization": f"apikey {stack.addresses.sandbox_key}", "Accept": "application/json"},
        timeout=60,
    )
    answer.raise_for_status()
    return answer.json()


def book_in_place(stack: RealStack) -> dict[str, Any]:
    """A copy in the stacks of the lender's main library."""
    for member in alma(stack, "/conf/sets/59000000000024401/members?limit=100")["member"]:
        item: dict[str, Any] = alma(stack, member["link"].partition("/almaws/v1")[2])
        data = item["item_data"]
        in_place = data["base_status"]["value"] == "1" and not data["process_type"].get("value")
        if in_place and data["library"]["value"] == "MAIN" and not item["holding_data"]["in_temp_location"]:
            return item
    raise AssertionError("the sandbox has no book to lend")


def test_a_request_is_placed_with_six_fields_and_its_page_shows_what_was_looked_up(
    stack: RealStack, ui: Callable[..., Page], shoot: Callable[[Page | Locator, str], None]
) -> None:
    book = book_in_place(stack)
    given = {
        "pr_id": PR_ID,
        "supplier_system": "LENDER",
        "item_barcode": book["item_data"]["barcode"],
        "borrower_system": "BORROWER",
        "user_id": "patron001",
        "pickup_library": "SCI",
    }
    page = ui(width=1100, height=1260)
    page.goto(f"{stack.addresses.ui}/dags/{DAG}")
    page.get_by_role("button", name="Trigger Dag").click()
    form = page.get_by_role("dialog")
    for name, value in given.items():
        form.locator(f"[name=element_{name}]").fill(value)
    expect(form.get_by_text("More copies", exact=True)).to_be_visible()
    shoot(page, "place-form")
    form.get_by_role("button", name="Trigger").click()
    page.wait_for_url(re.compile(rf"/dags/{DAG}/runs/"))
    runs = stack.api.call("GET", f"dags/{DAG}/dagRuns")["dag_runs"]
    (run,) = (each for each in runs if each["conf"].get("pr_id") == PR_ID)
    written = {name: value for name, value in run["conf"].items() if value}
    assert written == {**given, "workflow": "RET-STD"}
    assert stack.wait_for_end(DAG, run["dag_run_id"]) == "success"

    page.goto(f"{stack.addresses.ui}/dags/{DAG}/runs/{run['dag_run_id']}/tasks/track")
    page.get_by_role("link", name="Details").click()
    page.get_by_role("link", name="Report", exact=True).click()
    page.wait_for_url("**/alma/report/**")
    bib, data = book["bib_data"], book["item_data"]
    expect(page.get_by_text(f"The request {PR_ID} is placed and tracked")).to_be_visible()
    for field, value in {
        "supplier_mms_id": bib["mms_id"],
        "supplier_item_pid": data["pid"],
        "title": bib["title"].rstrip(" /:;,="),
        "material_type": data["physical_material_type"]["value"],
    }.items():
        expect(page.get_by_text(f"{field}: {value} (looked up)", exact=True)).to_be_visible()
    shoot(page, "placed")
    progress = json.loads(stack.read(f"runs/{DAG}/{run['dag_run_id']}/progress.json"))
    assert progress["found"]["title"] == bib["title"].rstrip(" /:;,=")
