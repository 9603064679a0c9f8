"""The UI of the real stack in a real browser."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.local.stack.real import RealStack, real_stack

TIMEOUT_MS = 180_000  # for anything that a page is to show; machines that build are slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SCREENSHOTS = "ALMA_SCREENSHOTS"

expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="package")
def chromium() -> str:
    """The program of the browser: ALMA_CHROMIUM, else what is installed under a usual name."""
    found = browser_program(os.environ.get("ALMA_CHROMIUM"))
    if found is None:
        pytest.fail(
            f"There is no browser {os.environ['ALMA_CHROMIUM']!r}: ALMA_CHROMIUM must name a Chromium or Chrome."
            if os.environ.get("ALMA_CHROMIUM")
            else "The browser tests need a Chromium. Install one (Debian and Ubuntu: apt-get install chromium), "
            "or let ALMA_CHROMIUM name the program of a Chromium or Chrome."
        )
    return found


def browser_program(named: str | None) -> str | None:
    """The program of the browser named, or of the first that is installed; None where there is none."""
    return next(filter(None, map(shutil.which, [named] if named else BROWSERS)), None)


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def stack(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStack]:
    """One stack for all tests, with enough titles for several chunks; its Alma refuses no rate."""
    with real_stack(tmp_path_factory.mktemp("browser"), titles=1000, per_second=0, parallelism=6) as running:
        running.wait_for("the DAG is known", lambda: running.api.dag("west_holdings"))
        yield running


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page of a browser that nobody has logged in with: `open_page(width=1280)`."""
    contexts = []

    def new_page(width: int = 1280, height: int = 900, **options: Any) -> Page:
        viewport = {"width": width, "height": height}
        contexts.append(browser.new_context(viewport=viewport, locale="en-US", **options))
        contexts[-1].set_default_timeout(TIMEOUT_MS)
        return contexts[-1].new_page()

    yield new_page
    for context in contexts:
        context.close()


def store_url(stack: RealStack) -> str:
    """The state store of the stack."""
    where = stack.addresses
    login = f"{where.database_user}:{quote(where.database_password, safe='')}"
    return f"postgresql+psycopg://{login}@{where.database}/alma_etl"


def log_in(page: Page, stack: RealStack, password: str) -> None:
    """Fills in the login form of the page that is shown, or that Airflow leads to."""
    page.goto(stack.addresses.ui)
    page.locator("input[name=username]").fill(stack.addresses.user)
    page.locator("input[name=password]").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture(scope="package")
def session(browser: Browser, stack: RealStack) -> Any:
    """What a browser keeps after the login with the generated password."""
    context = browser.new_context(locale="en-US")
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    log_in(page, stack, stack.addresses.password)
    page.get_by_role("link", name="Dags").wait_for()
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def ui(open_page: Callable[..., Page], session: Any) -> Callable[..., Page]:
    """Opens a page of a browser in which the admin is logged in: `ui(height=1200)`."""

    def logged_in(**size: int) -> Page:
        return open_page(storage_state=session, **size)

    return logged_in


@pytest.fixture(scope="package")
def shoot(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Page | Locator, str], None]:
    """Saves a screenshot: below ALMA_SCREENSHOTS where that is set (`python -m tests.browser.screenshots`)."""
    folder = Path(os.environ.get(SCREENSHOTS) or tmp_path_factory.mktemp("screenshots"))

    def save(shown: Page | Locator, name: str) -> None:
        shown.screenshot(path=folder / f"{name}.png", animations="disabled")

    return save


@pytest.fixture
def watched(ui: Callable[..., Page]) -> Iterator[Callable[..., Page]]:
    """As `ui`; in the end no page that was opened may have met an error of a script or of the console."""
    errors: list[str] = []

    def opened(**options: Any) -> Page:
        page = ui(**options)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        return page

    yield opened
    assert errors == []


def serious_problems(page: Page) -> list[str]:
    """What axe-core finds on a page that keeps people out: serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
