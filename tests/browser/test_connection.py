"""A dead connection is noticed on every page that shows live figures, and restored without a reload.

Browsers report neither a server that is gone without a word nor the sleep of a laptop; the page's clock is turned.
"""

import re

from playwright.async_api import expect

from tests.browser.conftest import Browsing, wait_until
from tests.browser.stalling_proxy import stalling_proxy
from tests.conftest import Service
from tests.people import Person

_LINE = re.compile(r"^Disconnected at \d\d:\d\d ET\. Reconnecting…$")
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
