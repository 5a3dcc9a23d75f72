"""A dead connection is noticed on every page that shows live figures, and restored without a reload.

Browsers report neither a server that is gone without a word nor the sleep of a laptop; the page's clock is turned.
"""

import re

from playwright.async_api import expect

from tests.accounts.alpaca_lists import POSITION
from tests.browser.conftest import TIME, Browsing, wait_until
from tests.browser.stalling_proxy import stalling_proxy
from tests.conftest import Faults, Service
from tests.people import Person, paper_key

_LINE = re.compile(rf"^Disconnected at {TIME}\. Reconnecting…$")
_COLORS = "[...document.querySelectorAll('data.money')].map((node) => getComputedStyle(node).color)"
_COUNT_STREAMS = """
globalThis.streams = [];
globalThis.heartbeats = 0;
globalThis.EventSource = class extends EventSource {
  constructor(...given) {
    super(...given);
    globalThis.streams.push(this);
    this.addEventListener("heartbeat", () => (globalThis.heartbeats += 1));
  }
};
"""
_OPEN_STREAMS = "streams.filter((one) => one.readyState !== EventSource.CLOSED).length"


async def test_a_silent_connection_is_shown_as_lost_on_every_page_and_comes_back(
    browsing: Browsing, service: Service, alice: Person
) -> None:
    stored = await alice.store()
    async with stalling_proxy(service.url) as proxy, browsing(alice, base_url=proxy.url) as context:
        await context.add_init_script(_COUNT_STREAMS)
        for path in ("/?wait", f"/accounts/{stored['id']}?wait=true", "/holdings?wait=true"):
            page = await context.new_page()
            await page.clock.install()
            await page.goto(path)
            await wait_until(page, "heartbeats > 0")
            line = page.locator("[data-connection-state]")
            colors = await page.evaluate(_COLORS)
            proxy.stall()
            await page.clock.fast_forward("00:25")  # one heartbeat may be late
            await expect(line).to_be_hidden()
            await page.clock.fast_forward("00:09")
            await expect(line, path).to_have_text(_LINE)
            assert set(await page.evaluate(_COLORS)).isdisjoint(colors), path
            await page.evaluate("window.wasHere = true")
            proxy.resume()
            await expect(line, path).to_be_hidden()
            assert await page.evaluate(_COLORS) == colors, path
            assert await page.evaluate("window.wasHere")
            await page.close()


async def test_after_a_sleep_the_page_reconnects_once(browsing: Browsing, service: Service, alice: Person) -> None:
    await alice.store()
    async with stalling_proxy(service.url) as proxy, browsing(alice, base_url=proxy.url) as context:
        await context.add_init_script(_COUNT_STREAMS)
        page = await context.new_page()
        await page.clock.install()
        await page.goto("/?wait")
        await wait_until(page, "heartbeats > 0")
        line = page.locator("[data-connection-state]")
        proxy.stall()
        # An hour in which no timer ran. On waking up, browsers fire several of these at once, or none.
        await page.clock.set_system_time(await page.evaluate("Date.now() / 1000 + 3600"))
        await page.evaluate(
            "for (const [target, name] of [[window, 'focus'], [window, 'online'], [document, 'resume']])"
            "  target.dispatchEvent(new Event(name))"
        )
        await expect(line).to_have_text(_LINE)
        assert await page.evaluate("streams.length") == 2
        assert await page.evaluate(_OPEN_STREAMS) == 1
        proxy.resume()
        await expect(line).to_be_hidden()
        assert await page.evaluate("streams.length") == 2


async def test_each_page_asks_the_stream_for_what_it_shows(
    browsing: Browsing, alice: Person, bob: Person, faults: Faults
) -> None:
    """A page that is open all day makes Alpaca answer as often as it says here."""
    key_id = paper_key()
    stored = await alice.store(key_id)
    await faults.set(key_id, path="/v2/positions", body=[{**POSITION, "symbol": "AAPL"}])
    account = f"/accounts/{stored['id']}"
    one = f"&credential_ids={stored['id']}"
    expected = {
        "/?wait": "?events=account-data",
        "/holdings?wait=true": "?events=account-data,position",
        "/orders?wait=true": "?events=account-data,order",
        "/activity?wait=true": "?events=account-data,order",
        f"{account}?wait=true": f"?events=account-data,position,order{one}",
        f"{account}/orders?wait=true": f"?events=account-data,order{one}",
        f"{account}/activities?wait=true": f"?events=account-data,order{one}",
        f"{account}/positions/AAPL?wait=true": f"?events=account-data,position,order{one}",
    }
    async with browsing(alice) as context:
        page = await context.new_page()
        for path, query in expected.items():
            async with page.expect_request("**/api/stream?*") as asked:
                await page.goto(path)
            assert (await asked.value).url.partition("/api/stream")[2] == query, path
            answer = await (await asked.value).response()
            assert answer is not None
            assert answer.status == 200, path


async def test_a_page_in_a_tab_that_nobody_has_looked_at_has_no_stream(browsing: Browsing, alice: Person) -> None:
    await alice.store()
    async with browsing(alice) as context:
        await context.add_init_script(_COUNT_STREAMS)
        await context.add_init_script("Object.defineProperty(document, 'hidden', { get: () => !globalThis.isShown })")
        page = await context.new_page()
        await page.goto("/?wait")
        await wait_until(page, "document.querySelector('[data-figure=equity] data') !== null")
        await page.evaluate("new Promise((done) => setTimeout(done, 1500))")  # longer than a tick
        assert await page.evaluate("streams.length") == 0
        await page.evaluate("globalThis.isShown = true; document.dispatchEvent(new Event('visibilitychange'))")
        await wait_until(page, "heartbeats > 0")
        assert await page.evaluate(_OPEN_STREAMS) == 1
        await page.evaluate("globalThis.isShown = false; document.dispatchEvent(new Event('visibilitychange'))")
        assert await page.evaluate(_OPEN_STREAMS) == 0
