"""Emulates the oldest browsers that the pages support by removing newer features.

Without `light-dark()` (Chrome 123, Firefox 120, Safari 17.5) the pages are light.
"""

import re
from typing import Final

from playwright.async_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import Browsing, open_page
from tests.conftest import Faults
from tests.people import Person, paper_key

# Chrome 99, Firefox 97, Safari 15.4: at most 20 decimals, half to even unknown, and nothing of ECMAScript 2023.
_SCRIPTS: Final = """
const Newer = Intl.NumberFormat;
Intl.NumberFormat = function (locales, { roundingMode, trailingZeroDisplay, ...options } = {}) {
  if (options.maximumFractionDigits > 20) throw new RangeError("maximumFractionDigits value is out of range.");
  return new Newer(locales, options);
};
for (const [holder, names] of [
  [Array.prototype, ["toSorted", "toReversed", "toSpliced", "with", "findLast", "findLastIndex"]],
  [Array, ["fromAsync"]],
  [Set.prototype, ["union", "difference", "intersection", "isSubsetOf"]],
  [Object, ["groupBy"]],
  [Map, ["groupBy"]],
  [Promise, ["withResolvers", "try"]],
  [URL, ["canParse", "parse"]],
  [AbortSignal, ["any", "timeout"]],
  [globalThis, ["structuredClone", "scheduler"]],
])
  for (const name of names) delete holder[name];
"""
_UNKNOWN_IN_STYLES: Final = re.compile(r"light-dark|color-mix|oklch|text-wrap|:has|@container")


async def _make_older(context: BrowserContext) -> None:
    await context.add_init_script(_SCRIPTS)

    async def without_what_is_new(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, body=_UNKNOWN_IN_STYLES.sub(r"\g<0>-of-the-future", await answer.text()))

    await context.route("**/styles/*.css", without_what_is_new)


async def _figures(page: Page) -> list[str]:
    return await page.locator("main data.money, main data.price, main data.quantity").all_text_contents()


async def test_an_older_browser_shows_the_same_figures_and_times(browsing: Browsing, alice: Person) -> None:
    stored = await alice.store()
    path = f"/accounts/{stored['id']}/activities?wait=true"
    async with browsing(alice) as newer, browsing(alice) as older:
        await _make_older(older)
        pages = [await open_page(context, path) for context in (newer, older)]
        for page in pages:
            await expect(page.locator("main time").first).to_have_text(re.compile(r"\d ET$"))  # in both
        assert await _figures(pages[0]) == await _figures(pages[1]) != []


async def test_streams_and_scripted_forms_work_in_an_older_browser(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    key_id = paper_key()
    await alice.store(key_id)
    async with browsing(alice) as older:
        await _make_older(older)
        page = await open_page(older)
        await faults.set(key_id, path="/v2/account", account_raw={"equity": '"48151.6234"', "cash": '"-1.5"'})
        await expect(page.locator(".card").first).to_contain_text("$48,151.62")
        await page.goto("/keys/new")
        await page.evaluate("window.wasHere = true")
        await page.get_by_label("Name").fill("Growth")
        await page.get_by_label("Key ID").fill("PK 4711")
        await page.get_by_label("Secret", exact=True).fill("guess")
        await page.get_by_role("button", name="Add account").click()
        await expect(page.locator("[data-field=api_key] .field-error")).to_contain_text("The key ID contains a space")
        assert await page.evaluate("window.wasHere")


async def test_an_older_browser_in_dark_mode_shows_readable_light_pages(browsing: Browsing, alice: Person) -> None:
    async with browsing(alice, color_scheme="dark") as older:
        await _make_older(older)
        page = await open_page(older)
        colors = await page.evaluate(
            "(({ color, backgroundColor }) => [color, backgroundColor])(getComputedStyle(document.documentElement))"
        )
    assert colors == ["rgb(25, 29, 34)", "rgb(248, 248, 245)"]
