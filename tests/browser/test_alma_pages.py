"""The Alma pages in a real browser: in light and dark, on a phone, with a keyboard, inside Airflow and without."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import FrameLocator, Locator, Page, expect

from tests.browser.conftest import serious_problems
from tests.local.stack.real import RealStack

pytestmark = pytest.mark.timeout(900)

Opened = Callable[..., Page]
Shoot = Callable[[Page | Locator, str], None]

MENU = {
    "/alma/": "page-overview",
    "/alma/deliveries": "page-deliveries",
    "/alma/requests": "page-requests",
    "/alma/files": "page-files",
    "/alma/budget": "page-budget",
    "/alma/set-up": "page-set-up",
}
"""The pages of the menu and the name of each one's picture."""
PHONE = 390


@pytest.fixture(scope="module")
def delivery(stack: RealStack) -> str:
    """The id of a delivery that has ended well."""
    run_id = stack.api.trigger("west_holdings", {"chunk_size": 300})
    assert stack.wait_for_end("west_holdings", run_id) == "success"
    return run_id


@pytest.fixture(scope="module")
def load(stack: RealStack) -> str:
    """The id of an item load of which all rows were refused."""
    key = "items/incoming/gifts/pages.txt"
    stack.put(key, b"mms_id,barcode\n" + b"".join(b"not-an-id,39%05d\n" % number for number in range(60)))
    stack.wait_for(
        "the file is filed away",
        lambda: stack.keys("items/failed/pages.") or stack.keys("items/done/pages.") or None,
    )
    runs = stack.api.call("GET", "dags/item_creation/dagRuns")["dag_runs"]
    (run,) = (each for each in runs if each["conf"]["key"] == key)
    stack.wait_for_end("item_creation", run["dag_run_id"])
    found: str = run["dag_run_id"]
    return found


def address(stack: RealStack, path: str) -> str:
    return f"{stack.addresses.ui}{path}"


def run_path(dag_id: str, run_id: str) -> str:
    return f"/alma/runs/{dag_id}/{quote(run_id, safe='')}"


@pytest.fixture(params=sorted([*MENU, "/alma/jobs/west_holdings", "a delivery", "a load"]))
def path(request: pytest.FixtureRequest, delivery: str, load: str) -> str:
    """Every page there is."""
    runs = {"a delivery": run_path("west_holdings", delivery), "a load": run_path("item_creation", load)}
    return runs.get(request.param, request.param)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, PHONE])
def test_every_page_can_be_used_by_everybody(
    stack: RealStack, watched: Opened, path: str, scheme: str, width: int
) -> None:
    page = watched(width=width, color_scheme=scheme)
    page.goto(address(stack, path))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert serious_problems(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize(("path", "name"), MENU.items())
def test_pictures_of_the_pages(
    stack: RealStack, watched: Opened, shoot: Shoot, delivery: str, load: str, path: str, name: str
) -> None:
    page = watched(width=1200, height=900)
    page.goto(address(stack, path))
    shoot(page, name)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": PHONE, "height": 800})
    shoot(page, f"{name}-phone")


def test_alma_is_in_the_navigation_and_opens_in_the_ui(
    stack: RealStack, watched: Opened, delivery: str
) -> None:
    page = watched()
    page.goto(address(stack, "/"))
    page.get_by_role("link", name="Alma", exact=True).click()
    alma = framed(page)
    expect(alma.get_by_role("heading", name="Overview")).to_be_visible()
    expect(alma.get_by_role("link", name=re.compile(r"ZZMAIN.*\.mrc")).first).to_be_visible()
    alma.get_by_role("link", name="west_holdings").first.click()
    expect(alma.get_by_role("heading", name="Runs of west_holdings")).to_be_visible()
    assert "/plugin/alma/alma/jobs/west_holdings" in page.url, "the address is that of the page in the frame"
    # Out of the frame, which by itself may lead nowhere else.
    alma.get_by_role("link", name="Its page in Airflow").click()
    page.wait_for_url("**/dags/west_holdings**")
    expect(page.get_by_role("button", name="Trigger Dag")).to_be_visible()


def framed(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title=Alma]")


def test_the_theme_is_the_one_that_airflow_was_given(
    stack: RealStack, watched: Opened, delivery: str
) -> None:
    page = watched(color_scheme="light")
    page.goto(address(stack, "/alma/"))
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 29)"
    page.evaluate("localStorage.setItem('theme', 'light')")
    page.emulate_media(color_scheme="dark")
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/dags/west_holdings", "Runs of west_holdings"),
        ("/dags/west_holdings/tasks/check_outcome", "Runs of west_holdings"),
        ("/dags/west_holdings/runs/{run}", "west_holdings"),
        ("/dags/west_holdings/runs/{run}/tasks/check_outcome", "west_holdings"),
    ],
)
def test_dags_runs_and_tasks_have_a_tab_that_leads_on(
    stack: RealStack, watched: Opened, delivery: str, path: str, heading: str
) -> None:
    page = watched(width=1600)
    page.goto(address(stack, path.replace("{run}", quote(delivery))))
    page.get_by_role("main").get_by_role("link", name="Alma", exact=True).or_(
        page.locator(
            "a[href$='/plugin/alma-dag'], a[href*='/plugin/alma-dag_run'], a[href*='/plugin/alma-task']"
        )
    ).first.click()
    alma = framed(page)
    expect(alma.get_by_role("heading", name=heading, level=1)).to_be_visible()
    alma.get_by_role("link", name="Overview").click()
    expect(alma.get_by_role("heading", name="Overview")).to_be_visible()


def test_records_are_filtered_paged_and_downloaded(
    stack: RealStack, watched: Opened, load: str, shoot: Shoot
) -> None:
    page = watched(width=1200)
    page.goto(address(stack, run_path("item_creation", load)))
    records = page.get_by_role("region", name="Table of records")
    expect(records.get_by_role("row")).to_have_count(51)
    page.get_by_role("link", name="Next page").click()
    expect(records.get_by_role("row")).to_have_count(11)
    page.get_by_role("searchbox").fill("3900007")
    page.get_by_role("button", name="Filter").click()
    expect(records.get_by_role("row")).to_have_count(2)
    shoot(page, "page-run")
    with page.expect_download() as started:
        page.get_by_role("link", name="Download as CSV").click()
    lines = started.value.path().read_text().splitlines()
    assert len(lines) == 2
    assert "3900007" in lines[1]


def test_a_file_of_a_delivery_is_downloaded(stack: RealStack, watched: Opened, delivery: str) -> None:
    page = watched()
    page.goto(address(stack, run_path("west_holdings", delivery)))
    with page.expect_download() as started:
        page.get_by_role("link", name=re.compile(r"^ZZMAIN.*\.mrc$")).first.click()
    name = started.value.suggested_filename
    (key,) = (each for each in stack.keys("west/deliveries/") if each.endswith(f"/{name}"))
    assert started.value.path().read_bytes() == stack.read(key)


def test_the_overview_is_whole_without_a_script(stack: RealStack, session: Any, open_page: Opened) -> None:
    page = open_page(storage_state=session, java_script_enabled=False)
    page.goto(address(stack, "/alma/"))
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_role("link", name="west_holdings").first.click()
    expect(page.get_by_role("heading", name="Runs of west_holdings")).to_be_visible()


def test_a_page_can_be_used_by_keyboard(stack: RealStack, watched: Opened, delivery: str) -> None:
    page = watched()
    page.goto(address(stack, "/alma/"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_check_of_the_set_up_is_run_from_its_page(stack: RealStack, watched: Opened) -> None:
    page = watched()
    page.goto(address(stack, "/alma/set-up"))
    checked = page.locator("section", has=page.get_by_role("heading", name="Health of the installation"))
    checked.get_by_role("button", name="Check now").click()
    expect(page.get_by_role("status")).to_contain_text("alma_health_check was started")
    runs = stack.api.call("GET", "dags/alma_health_check/dagRuns")["dag_runs"]
    ended = {stack.wait_for_end("alma_health_check", each["dag_run_id"]) for each in runs}
    page.goto(address(stack, "/alma/set-up"))
    assert ended == {"success"}, checked.inner_text()
    checked.locator("summary").click()
    expect(checked.get_by_role("row", name=re.compile("alma_default.*answers.*SANDBOX"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^alma_default healthy"))).to_be_visible()
