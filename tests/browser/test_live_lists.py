"""Holdings, orders and activity of all accounts while they are open: what changes is shown without a reload."""

import asyncio

from aiohttp import ClientSession
from playwright.async_api import Locator, Page, expect

from corral_sandbox import Sandbox
from tests.browser.conftest import TIMEOUT_MS, Browsing, open_page
from tests.conftest import Faults
from tests.people import Person, paper_key
from tests.stream.trading import Trader, trader, trading_key

_COIN = "PAGE/USD"  # of this test, so that its price is nobody else's


async def test_an_order_that_fills_changes_its_row_and_nothing_else(
    sandbox: Sandbox, browsing: Browsing, alice: Person, bob: Person, faults: Faults
) -> None:
    key_id, broken = await trading_key(sandbox), paper_key()
    await alice.store(key_id, "Growth")
    await alice.store(broken, "Wheel")
    await faults.set(broken, status=500)
    await _set_price(sandbox, "100")
    async with browsing(alice) as context, trader(sandbox, key_id) as somebody:
        filled = [await somebody.order(symbol=_COIN, qty="0.01") for _ in range(25)]
        await _wait_until_filled(somebody)
        resting = await somebody.rest(symbol=_COIN, qty="0.01", limit_price="90")
        page = await open_page(context, "/orders?wait=true")
        activity = await open_page(context, "/activity?wait=true")
        for opened in (page, activity):
            await opened.evaluate("window.wasHere = true")
        await _read_on(page, resting["id"])
        read = page.locator(f"[data-order='{filled[12]['id']}']")
        seen = await _place(read)
        await _set_price(sandbox, "80")
        row = page.locator(f"[data-order='{resting['id']}']")
        await expect(page.get_by_role("region", name="Recent orders table").locator(row)).to_contain_text("Filled")
        await expect(row).to_have_count(1)
        await expect(page.get_by_text("No open orders.")).to_be_attached()
        assert abs(await _place(read) - seen) <= 2  # browsers scroll by whole pixels
        await expect(page.get_by_label("Symbol")).to_have_value("typed, and not applied")
        await expect(page.locator("[data-missing-accounts]")).to_have_attribute("open", "")
        assert await row.get_by_role("link").evaluate("(link) => link === document.activeElement")
        await expect(activity.locator(f"a[href$='{resting['id']}']")).to_have_text("Bought")
        for opened in (page, activity):
            assert await opened.evaluate("window.wasHere")


async def _wait_until_filled(somebody: Trader) -> None:
    async with asyncio.timeout(TIMEOUT_MS / 1000):
        while any(order["status"] != "filled" for order in (await somebody.orders()).values()):  # noqa: ASYNC110 - it tells of nothing
            await asyncio.sleep(0.1)


async def _read_on(page: Page, order_id: str) -> None:
    """Opens a detail, types, moves the focus to an order, and scrolls away from it."""
    await page.locator("[data-missing-accounts] summary").click()
    await page.get_by_label("Symbol").fill("typed, and not applied")
    await page.locator(f"[data-order='{order_id}'] a").focus()
    await page.evaluate("scrollTo({ top: document.body.scrollHeight / 2, behavior: 'instant' })")


async def _place(row: Locator) -> float:
    return await row.evaluate("(row) => row.getBoundingClientRect().top")


async def _set_price(sandbox: Sandbox, price: str) -> None:
    async with ClientSession(sandbox.url) as client, client.put("/_prices", json={_COIN: price}) as answer:
        assert answer.status == 200, await answer.text()
