"""Updates of an account's pages by the stream: totals, signs, problems and orders."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

from playwright.async_api import Page, Route, expect

from corral.credentials.queries import mark_refused
from corral.database.connection import get_connection_with_rls
from corral_sandbox import Sandbox
from tests.accounts.alpaca_lists import POSITION
from tests.browser.conftest import TIMEOUT_MS, Browsing, open_page
from tests.conftest import Faults, Service
from tests.people import Person, paper_key
from tests.stream.trading import Json, Trader, trader, trading_key

_MINUS = "\N{MINUS SIGN}"


async def test_long_and_short_positions_and_their_total_have_signs(
    browsing: Browsing, alice: Person, bob: Person, faults: Faults
) -> None:
    key_id = paper_key()
    stored = await alice.store(key_id)
    await faults.set(key_id, path="/v2/positions", body_text=_held("100.00", "-30.00", "1"))
    async with browsing(alice) as context:
        page = await open_page(context, f"/accounts/{stored['id']}?wait=true")
        short = page.get_by_role("row", name="CCC").locator("[data-cell=market_value]")
        await expect(short).to_have_text(f"{_MINUS}$30.00")
        await page.evaluate("window.wasHere = true")
        await faults.set(key_id, path="/v2/positions", body_text=_held("48151623.42", "-31.25", "7.5"))
        await expect(short).to_have_text(f"{_MINUS}$31.25")
        await expect(page.get_by_role("row", name="AAA")).to_contain_text("$48,151,623.42")
        await expect(page.locator("tfoot [data-sum=unrealized_pl]")).to_have_text("+$22.50")
        await expect(page.locator("tfoot [data-sum=unrealized_pl] data")).to_contain_class("up")
        assert await page.evaluate("window.wasHere")


async def test_a_problem_of_the_account_appears_and_disappears(
    browsing: Browsing, alice: Person, bob: Person, faults: Faults
) -> None:
    key_id = paper_key()
    stored = await alice.store(key_id)
    async with browsing(alice) as context:
        page = await open_page(context, f"/accounts/{stored['id']}?wait=true")
        problems = page.locator("[data-problems]")
        await expect(problems).to_be_empty()
        await faults.set(key_id, status=503)
        await expect(problems).to_contain_text("Alpaca returned an error (503)")
        await faults.clear()
        await expect(problems).not_to_contain_text("Alpaca returned an error (503)")


async def test_an_account_that_cannot_be_shown_keeps_the_way_to_mend_it(
    service: Service, browsing: Browsing, alice: Person
) -> None:
    stored = await alice.store()
    async with get_connection_with_rls(alice.user_id, service.resources.database) as connection:
        assert await mark_refused(connection, alice.user_id, UUID(stored["id"]), revision=1)
    async with browsing(alice) as context:
        page = await open_page(context, f"/accounts/{stored['id']}")
        await expect(page.locator("p[data-code=credential_refused]")).to_be_visible()  # by the stream
        await expect(page.get_by_role("link", name="Replace API key")).to_be_visible()


async def test_a_new_order_is_announced_and_its_updates_are_shown(
    sandbox: Sandbox, browsing: Browsing, alice: Person, bob: Person
) -> None:
    key_id = await trading_key(sandbox)
    stored = await alice.store(key_id)
    async with browsing(alice) as context, trader(sandbox, key_id) as somebody:
        page = await open_page(context, f"/accounts/{stored['id']}/orders?wait=true")
        notice = page.locator("[data-orders-changed]")
        await expect(notice).to_be_hidden()
        await open_page(context)  # another tab keeps the stream open while this one reloads
        await asyncio.sleep(1.5)  # the list is cached for a second
        order = await somebody.rest()
        async with asyncio.timeout(TIMEOUT_MS / 1000):
            while not await notice.is_visible():  # orders from before the stream are not announced
                order = await somebody.rest()
                await asyncio.sleep(0.5)
        async with _on_the_stream(page):
            await page.get_by_role("link", name="Refresh").click()
        state = page.locator(f"[data-order='{order['id']}'] [data-cell=status]")
        await expect(state).to_have_text("New")
        another = await somebody.rest()
        async with _on_the_stream(page):
            await page.locator(f"[data-order='{order['id']}'] th a").click()
        await _follow_on_its_page(page, somebody, order)
        await _filter_orders(page, order)
        await somebody.cancel(another)
        await expect(page.locator(f"[data-order='{another['id']}'] [data-cell=status]")).to_have_text("Canceled")


async def test_an_order_page_on_the_stream_shows_all_that_happens_however_slowly_its_scripts_load(
    sandbox: Sandbox, browsing: Browsing, alice: Person, bob: Person
) -> None:
    key_id = await trading_key(sandbox)
    stored = await alice.store(key_id)
    async with browsing(alice) as context, trader(sandbox, key_id) as somebody:
        await open_page(context)  # keeps the account watched
        order = await somebody.rest()
        page = await context.new_page()
        await page.route("**/scripts/order.js", _load_slowly)
        async with _on_the_stream(page):
            await page.goto(f"/accounts/{stored['id']}/orders/{order['id']}?wait=true", wait_until="commit")
        await somebody.cancel(order)
        await expect(page.locator(".order-state")).to_have_text("Canceled")
        await expect(page.locator(".timeline li").last).to_contain_text("Canceled")


async def test_what_happens_to_an_order_before_its_page_is_on_the_stream_is_shown(
    sandbox: Sandbox, browsing: Browsing, alice: Person, bob: Person
) -> None:
    key_id = await trading_key(sandbox)
    stored = await alice.store(key_id)
    account = f"/accounts/{stored['id']}"
    async with browsing(alice) as context, trader(sandbox, key_id) as somebody:
        watching = await context.new_page()  # keeps the account watched
        async with _on_the_stream(watching):
            await watching.goto(account)
        for path, state in (("/orders?wait=true", "[data-cell=status]"), ("/orders/{}?wait=true", ".order-state")):
            order = await somebody.rest()
            await asyncio.sleep(1.5)  # answers are shared for a second
            page = await context.new_page()
            await page.route("**/scripts/account.js", _load_slowly)
            await page.goto(account + path.format(order["id"]), wait_until="commit")
            place = page.locator(f"[data-order='{order['id']}'] {state}")
            await expect(place).to_have_text("New")
            await somebody.cancel(order)
            await expect(place).to_have_text("Canceled")
        await expect(page.locator(".timeline li").last).to_contain_text("Canceled")


async def _load_slowly(route: Route) -> None:
    await asyncio.sleep(2)
    await route.continue_()


def _on_the_stream(page: Page) -> AbstractAsyncContextManager[object]:
    """Waits until the page that comes next hears of changes: what happens before that shows when it is loaded again."""
    return page.expect_response("**/api/stream?*")


async def _follow_on_its_page(page: Page, somebody: Trader, order: Json) -> None:
    """The page is not loaded again when the order is canceled."""
    await expect(page.locator("#order-title")).to_have_text("Buy 0.001 BTC/USD, limit $1,000.00")
    await expect(page.locator("#order-id")).to_have_text(order["id"])
    await page.evaluate("window.wasHere = true")
    await somebody.cancel(order)
    await expect(page.locator(".order-state")).to_have_text("Canceled")
    last = page.locator(".timeline li").last
    await expect(last).to_contain_text("Canceled")
    await expect(last).to_contain_text("Corral heard of it at")
    await expect(page.locator(".order-state")).not_to_contain_class("open")
    assert await page.evaluate("window.wasHere")


async def _filter_orders(page: Page, order: Json) -> None:
    row = page.locator(f"[data-order='{order['id']}']")
    await page.locator(".tabs").get_by_text("Orders").click()
    await page.get_by_label("Symbol").fill("btc/usd")
    await page.get_by_label("Type").select_option("Stop")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_text("No orders match these filters.")).to_be_visible()
    await expect(row).to_have_count(0)
    async with _on_the_stream(page):
        await page.get_by_role("link", name="Type: Stop").click()
    await expect(row).to_be_visible()
    await expect(page.get_by_label("Symbol")).to_have_value("BTC/USD")


def _held(longs: str, short: str, profit: str) -> str:
    """Two long positions and a short one."""
    held: list[dict[str, Any]] = [
        {**POSITION, "asset_id": f"asset-{name}", "symbol": name, "qty": qty, "market_value": value}
        for name, qty, value in [("AAA", "1", longs), ("BBB", "1", longs), ("CCC", "-1", short)]
    ]
    return json.dumps([one | {"unrealized_pl": profit, "unrealized_intraday_pl": profit} for one in held])
