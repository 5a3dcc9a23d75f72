"""A real browser before a real service: Debian's Chromium, driven by Playwright."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.browser.strangers import STRANGE
from tests.conftest import Service
from tests.doors import sign_in_by_link
from tests.machine import BROWSER, CHART, browser_program
from tests.people import Person

_TELLS_OF_THE_POLICY = """addEventListener("securitypolicyviolation",
  ({ effectiveDirective, blockedURI, sample }) => console.error("refused:", effectiveDirective, blockedURI, sample))"""
PATIENCE_MS = 120_000  # a busy machine is slow, and not wrong

Browsing = Callable[..., AbstractAsyncContextManager[BrowserContext]]


@pytest.fixture(scope="session")
def chromium() -> str:
    return browser_program() or BROWSER.lacks()


@pytest.fixture(scope="session")
def chart() -> None:
    if not CHART.is_here:
        CHART.lacks()


@pytest.fixture(scope="session")
async def browser(chromium: str) -> AsyncGenerator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        # Chromium's own sandbox needs rights that containers and root do not have.
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
def browsing(browser: Browser, service: Service) -> Browsing:
    """A browser of its own, signed in for a person: `async with browsing(alice, java_script_enabled=False) as …`.

    At the end no script may have failed and no content may have been refused by the pages' policy.
    """

    @asynccontextmanager
    async def browse(person: Person | None = None, **options: object) -> AsyncGenerator[BrowserContext]:
        # Playwright's own parameters, each of its type; named here they would be a list of their names.
        context = await browser.new_context(**{"base_url": service.url, "locale": "en-US", **options})  # pyright: ignore[reportArgumentType]
        context.set_default_timeout(PATIENCE_MS)
        complaints: list[str] = []
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        await context.add_init_script(_TELLS_OF_THE_POLICY)
        context.on("console", lambda message: complaints.append(message.text) if _is_ours(message) else None)
        if person is not None:
            await sign_in(context, service, person)
        try:
            yield context
            # Chromium itself writes a line for each answer that is an error, or that was cut off.
            assert [told for told in complaints if not told.startswith("Failed to load resource")] == []
        finally:
            await context.close()

    return browse


async def holds(page: Page, expression: str) -> None:
    """Waits until it is true. `wait_for_function` would evaluate it by `eval`, which the pages' policy refuses."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while not await page.evaluate(expression):  # noqa: ASYNC110 - a page tells of nothing by itself
            await asyncio.sleep(0.02)


def _is_ours(message: ConsoleMessage) -> bool:
    """An error of a page of ours: somebody else's has every reason to complain, and stands at an address of its own."""
    return message.type == "error" and (message.page is None or STRANGE not in message.page.url)


async def opened(context: BrowserContext, path: str = "/") -> Page:
    page = await context.new_page()
    await page.goto(path)
    return page


async def is_too_wide(page: Page) -> bool:
    """Whether one would have to scroll sideways, once the styles are there."""
    await page.wait_for_load_state()
    return await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


async def sign_in(context: BrowserContext, service: Service, person: Person) -> None:
    name, _, value = (await sign_in_by_link(service, person.user_id)).partition("=")
    await context.add_cookies([{"name": name, "value": value, "url": service.url}])
