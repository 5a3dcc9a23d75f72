"""The page of the sandbox: what it shows follows the sandbox, and it passes the checks of Corral's own pages."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

from aiohttp import ClientSession
from playwright.async_api import Browser, Page, Request, Route, expect

from corral_sandbox import Sandbox, secret_of, serve_sandbox
from tests.browser.conftest import REPORT_POLICY_VIOLATIONS, TIMEOUT_MS
from tests.browser.page_checks import check_page

_START = datetime.fromisoformat("2026-11-24T10:05:07-05:00")
_ALICE, _LIVE = "PKALICE0001", "AKLONGTERM01"
_TOKEN = "let-me-look"


@asynccontextmanager
async def _serving(port: int = 0) -> AsyncGenerator[Sandbox]:
    async with serve_sandbox(port=port, start=_START, speed=0) as sandbox:
        yield sandbox


@asynccontextmanager
async def _looking(browser: Browser, sandbox: Sandbox) -> AsyncGenerator[tuple[Page, list[str]]]:
    """The page in a browser, and the errors of its script and of its policy until now."""
    context = await browser.new_context(base_url=sandbox.url, locale="en-US", timezone_id="Asia/Tokyo", has_touch=True)
    context.set_default_timeout(TIMEOUT_MS)
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    await context.add_init_script(REPORT_POLICY_VIOLATIONS)
    page = await context.new_page()
    await page.goto("/")
    yield page, errors
    await context.close()


async def _put(sandbox: Sandbox, path: str, body: object) -> None:
    async with ClientSession() as http, http.put(f"{sandbox.url}{path}", json=body) as response:
        assert response.status == 200, await response.text()


def _ours(errors: list[str]) -> list[str]:
    """Chromium logs a line for each response that is an error, or that did not come."""
    return [error for error in errors if not error.startswith("Failed to load resource")]


async def test_the_page_of_the_sandbox_shows_what_happens_and_passes_every_check(browser: Browser, axe: str) -> None:
    async with _serving() as sandbox, _looking(browser, sandbox) as (page, errors):
        await expect(page.locator("#connection")).to_have_text("Live")
        await expect(page.locator("#no-accounts")).to_be_visible()
        await expect(page.locator("#time")).to_have_text("10:05:07 AM")
        await expect(page.locator("#speed")).to_have_text("Stands still")
        await page.evaluate("window.wasHere = true")

        command = await page.locator("#command").inner_text()
        assert command.endswith(f'{secret_of(_ALICE)}" {sandbox.paper_url}/v2/account')
        await page.get_by_role("button", name="Copy").click()
        await expect(page.locator("#copy")).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == command
        headers = {"APCA-API-KEY-ID": _ALICE, "APCA-API-SECRET-KEY": secret_of(_ALICE)}
        async with ClientSession() as http, http.get(f"{sandbox.paper_url}/v2/account", headers=headers) as response:
            assert response.status == 200
        alice = page.locator("#account-rows tr").filter(has_text=_ALICE)
        await expect(alice).to_contain_text("$100,000.00")
        await expect(alice.locator(".badge")).to_have_text("PAPER")
        await _put(sandbox, f"/_accounts/{_ALICE}", {"cash": "2500.555"})
        await expect(alice).to_contain_text("$2,500.56")
        owing = {"cash": "-500", "positions": [{"symbol": "SPY", "qty": "100"}], "restrictions": ["trading_blocked"]}
        await _put(sandbox, f"/_accounts/{_LIVE}", owing)
        live = page.locator("#account-rows tr").first
        await expect(live).to_contain_text(_LIVE)
        for text in ("LIVE", "\N{MINUS SIGN}$500.00", "Trading blocked"):
            await expect(live).to_contain_text(text)

        path = [["2026-11-24T10:05-05:00", "91000.5"], ["2026-11-24T12:00-05:00", "92000"]]
        await _put(sandbox, "/_prices", {"AAPL": "270", "TSLA": "halted", "BTC/USD": path})
        for symbol, *texts in (
            ("AAPL", "$270.00", "Fixed"),
            ("TSLA", "Halted"),
            ("BTC/USD", "$91,000.50", "Path", "Next: $92,000.00 at Nov 24, 12:00 PM"),
            ("MSFT", "Moving"),
        ):
            for text in texts:
                await expect(page.locator(f"#price-rows tr[data-key='{symbol}']")).to_contain_text(text)

        await sandbox.clock.advance(to="close")
        await expect(page.locator("#time")).to_have_text("4:00:00 PM")
        await expect(page.locator("#session")).to_have_text("Closed")
        await expect(page.locator("#next-open")).to_have_text("Wed, Nov 25, 9:30 AM")
        await expect(page.locator("#moved")).to_have_text("5 h 54 min ahead, to Nov 24, 4:00 PM")
        await expect(page.locator("#price-rows tr[data-key='BTC/USD']")).to_contain_text("Fixed")
        assert await page.evaluate("window.wasHere")
        found = await check_page(page, axe)
        assert not found, "\n".join(found)
        assert _ours(errors) == []


async def test_a_sandbox_that_is_gone_is_said_to_be_gone_and_comes_back(browser: Browser) -> None:
    async with AsyncExitStack() as serving:
        first = await serving.enter_async_context(_serving())
        async with _looking(browser, first) as (page, errors):
            await expect(page.locator("#time")).to_have_text("10:05:07 AM")
            await _put(first, f"/_accounts/{_ALICE}", {})
            await first.clock.advance(seconds=90)
            await expect(page.locator("#moved")).to_have_text("1 min 30 s ahead, to Nov 24, 10:06 AM")
            await expect(page.locator("#account-rows tr")).to_have_count(1)
            await serving.aclose()
            await expect(page.locator("#connection")).to_contain_text("Disconnected at")
            async with _serving(int(first.url.rpartition(":")[2])) as second:
                await second.clock.advance(seconds=60)
                await expect(page.locator("#connection")).to_have_text("Live")
                await expect(page.locator("#time")).to_have_text("10:06:07 AM")
                await expect(page.locator("#account-rows tr")).to_have_count(0)
                await expect(page.locator("#moved")).to_have_text("Not since you opened this page")
                assert _ours(errors) == []


async def test_the_page_asks_for_a_control_token_where_one_is_needed(browser: Browser) -> None:
    async def guard(route: Route) -> None:
        given = route.request.headers.get("authorization")
        await (route.continue_() if given == f"Bearer {_TOKEN}" else route.fulfill(status=401, json={"message": "no"}))

    async with _serving() as sandbox, _looking(browser, sandbox) as (page, errors):
        await expect(page.locator("#connection")).to_have_text("Live")
        for path in ("_clock", "_accounts", "_prices?all=true"):
            await page.context.route(f"**/{path}", guard)
        await page.context.route("**/_clock", lambda route: route.fulfill(status=500, body="{"), times=1)
        await page.reload()
        await expect(page.locator("#connection")).to_have_text("The sandbox returned an error (500). Trying again…")
        field, problem = page.get_by_label("Control token", exact=True), page.locator("#token-problem")
        await expect(page.locator("#clock")).to_be_hidden()
        for typed, told in (("", "Enter the token."), ("two words", "no spaces"), ("wrong", "does not accept")):
            await field.fill(typed)
            await field.press("Enter")
            await expect(problem).to_contain_text(told)
        await field.fill(_TOKEN)
        await field.press("Enter")
        await expect(page.locator("#time")).to_have_text("10:05:07 AM")
        await expect(field).to_be_hidden()
        assert await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        assert _ours(errors) == []


async def test_a_hidden_page_asks_nothing_until_it_is_seen_again(browser: Browser) -> None:
    async with _serving() as sandbox, _looking(browser, sandbox) as (page, _):
        await expect(page.locator("#connection")).to_have_text("Live")
        asked: list[Request] = []
        await page.evaluate("""() => {
            Object.defineProperty(document, "hidden", { get: () => window.isAway ?? false, configurable: true });
            window.isAway = true;
            document.dispatchEvent(new Event("visibilitychange"));
        }""")
        page.on("request", lambda request: asked.append(request))  # noqa: PLW0108 - Playwright marks the function
        await sandbox.clock.advance(seconds=60)
        await page.wait_for_timeout(1_500)
        assert asked == []
        await page.evaluate("window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.locator("#time")).to_have_text("10:06:07 AM")
        assert {request.method for request in asked} == {"GET"}
        assert not [request.url for request in asked if "origin" in await request.all_headers()]
