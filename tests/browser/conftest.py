"""A real browser before a real service: Debian's Chromium, driven by Playwright."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.access import sign_in_by_link
from tests.browser.firefox import open_firefox
from tests.browser.foreign_page import FOREIGN_PATH
from tests.conftest import Service
from tests.machine import AXE, AXE_FILE, BROWSER, CHART, FIREFOX, ONLY_CHROMIUM, browser_program
from tests.people import Person

REPORT_POLICY_VIOLATIONS = """addEventListener("securitypolicyviolation",
  ({ effectiveDirective, blockedURI, sample }) => console.error("blocked:", effectiveDirective, blockedURI, sample))"""
# What browsers log for each response that is an error or was interrupted.
NETWORK_ERRORS = (
    "Failed to load resource",
    "Firefox can\N{RIGHT SINGLE QUOTATION MARK}t establish a connection",
    "The connection to ",
)
# What Firefox logs, without saying for which page, when it keeps another origin out.
FOREIGN_ERRORS = (
    "The resource at ",  # was blocked due to its Cross-Origin-Resource-Policy
    "The Same Origin Policy disallows reading",
    "The page\N{RIGHT SINGLE QUOTATION MARK}s settings blocked the loading of a resource (frame-ancestors)",
)
TIMEOUT_MS = 120_000  # a busy machine is slow
TIME = r"(\w{3} \d{1,2}, (\d{4}, )?)?\d\d:\d\d ET"  # has its day if that is over, and its year if that is over

Browsing = Callable[..., AbstractAsyncContextManager[BrowserContext]]


def shows_in_firefox(config: pytest.Config) -> bool:
    return config.getoption("--browser") == "firefox"


@pytest.fixture(scope="session")
def chart() -> None:
    if not CHART.is_here:
        CHART.lacks()


@pytest.fixture(scope="session")
def axe() -> str:
    return AXE_FILE.read_text(encoding="utf-8") if AXE.is_here else AXE.lacks()


@pytest.fixture(scope="session")
def chromium(request: pytest.FixtureRequest) -> str:
    if shows_in_firefox(request.config):
        ONLY_CHROMIUM.lacks()
    return browser_program() or BROWSER.lacks()


@pytest.fixture(scope="session")
async def browser(request: pytest.FixtureRequest, run_dir: Path) -> AsyncGenerator[Browser]:
    """The one that `--browser` names."""
    expect.set_options(timeout=TIMEOUT_MS)
    if shows_in_firefox(request.config):
        if not FIREFOX.is_here:
            FIREFOX.lacks()
        async with open_firefox(run_dir) as browser:
            yield browser
        return
    chromium: str = request.getfixturevalue("chromium")
    async with async_playwright() as playwright:
        # Chromium's own sandbox needs rights that containers and root do not have.
        arguments = ["--no-sandbox", "--process-per-site"]
        browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        await browser.close()


@pytest.fixture
def browsing(request: pytest.FixtureRequest, browser: Browser, service: Service) -> Browsing:
    """A new browser context, signed in as a person: `async with browsing(alice, java_script_enabled=False) as …`.

    Fails if a script raised an error or content was blocked by the pages' policy.
    """

    @asynccontextmanager
    async def browse(person: Person | None = None, **options: object) -> AsyncGenerator[BrowserContext]:
        is_chromiums_own = options.get("has_touch") or not options.get("java_script_enabled", True)
        if is_chromiums_own and shows_in_firefox(request.config):
            ONLY_CHROMIUM.lacks()
        # Playwright's parameters have many types; listing them here would only repeat their names.
        context = await browser.new_context(**{"base_url": service.url, "locale": "en-US", **options})  # pyright: ignore[reportArgumentType]
        context.set_default_timeout(TIMEOUT_MS)
        errors: list[str] = []
        context.on("weberror", lambda error: errors.append(str(error.error)))
        await context.add_init_script(REPORT_POLICY_VIOLATIONS)
        context.on("console", lambda message: errors.append(message.text) if _is_ours(message) else None)
        if person is not None:
            await sign_in(context, service, person)
        try:
            yield context
            assert [error for error in errors if not error.startswith(NETWORK_ERRORS + FOREIGN_ERRORS)] == []
        finally:
            await context.unroute_all(behavior="ignoreErrors")  # what a page still loads is for nobody
            await context.close()

    return browse


async def wait_until(page: Page, expression: str) -> None:
    """Waits until the expression is true. `wait_for_function` uses `eval`, which the pages' policy forbids."""
    async with asyncio.timeout(TIMEOUT_MS / 1000):
        while not await page.evaluate(expression):  # noqa: ASYNC110 - a page tells of nothing by itself
            await asyncio.sleep(0.02)


def _is_ours(message: ConsoleMessage) -> bool:
    """Whether it is an error of one of Corral's pages; foreign pages may well log errors."""
    return message.type == "error" and (message.page is None or FOREIGN_PATH not in message.page.url)


async def open_page(context: BrowserContext, path: str = "/") -> Page:
    page = await context.new_page()
    await page.goto(path)
    return page


async def is_too_wide(page: Page) -> bool:
    """Whether the page scrolls horizontally, after its styles have loaded."""
    await page.wait_for_load_state()
    return await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


async def sign_in(context: BrowserContext, service: Service, person: Person) -> None:
    name, _, value = (await sign_in_by_link(service, person.user_id)).partition("=")
    await context.add_cookies([{"name": name, "value": value, "url": service.url}])
