"""Emulates older browsers by taking features away.

`docs/browsers.md` has the oldest that are supported: Chrome 123, Firefox 125, Safari 17.5. In these, scripts work
without what came later. In older ones no script runs, and the pages work as they do without scripts.
"""

import re
from typing import Final

from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from tests.browser.conftest import Browsing, open_page, sign_in
from tests.conftest import Faults, Service
from tests.people import Person, paper_key

# What one of the oldest supported browsers lacks, and a little more: 20 decimals at most, half to even unknown.
_SCRIPTS: Final = """
const Newer = Intl.NumberFormat;
Intl.NumberFormat = function (locales, { roundingMode, trailingZeroDisplay, ...options } = {}) {
  if (options.maximumFractionDigits > 20) throw new RangeError("maximumFractionDigits value is out of range.");
  return new Newer(locales, options);
};
const iterators = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
for (const [holder, names] of [
  [Array.prototype, ["toSorted", "toReversed", "toSpliced", "with", "findLast", "findLastIndex"]],
  [Array, ["fromAsync"]],
  [Set.prototype, ["union", "difference", "intersection", "symmetricDifference", "isSubsetOf", "isSupersetOf"]],
  [iterators, ["map", "filter", "take", "drop", "flatMap", "reduce", "toArray", "forEach", "some", "every", "find"]],
  [Object, ["groupBy"]],
  [Map, ["groupBy"]],
  [Map.prototype, ["getOrInsert", "getOrInsertComputed"]],
  [Promise, ["withResolvers", "try"]],
  [URL, ["canParse", "parse"]],
  [RegExp, ["escape"]],
  [Intl, ["DurationFormat", "Segmenter"]],
  [AbortSignal, ["any", "timeout"]],
  [Document.prototype, ["startViewTransition"]],
  [Element.prototype, ["setHTML", "moveBefore", "checkVisibility"]],
  [HTMLDialogElement.prototype, ["requestClose", "closedBy"]],
  [globalThis, ["structuredClone", "scheduler", "requestIdleCallback", "navigation", "cookieStore", "CloseWatcher"]],
])
  for (const name of names) delete holder[name];
"""
_NEWER_STYLES: Final = re.compile(r"color-mix|text-wrap|@starting-style|@property|interpolate-size|field-sizing")
_UNKNOWN_STYLES: Final = re.compile(r"light-dark|oklch|:popover-open")
_KNOWS_NOTHING_NEW: Final = "CSS.supports = () => false;"


async def _take_styles_away(context: BrowserContext, unknown: re.Pattern[str]) -> None:
    async def without(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, body=unknown.sub(r"\g<0>-of-the-future", await answer.text()))

    await context.route("**/styles/*.css", without)


async def _make_oldest_supported(context: BrowserContext) -> None:
    await context.add_init_script(_SCRIPTS)
    await _take_styles_away(context, _NEWER_STYLES)


async def _make_too_old(context: BrowserContext) -> None:
    await context.add_init_script(_SCRIPTS + _KNOWS_NOTHING_NEW)
    await _take_styles_away(context, _UNKNOWN_STYLES)


async def _figures(page: Page) -> list[str]:
    return await page.locator("main data.money, main data.price, main data.quantity").all_text_contents()


async def test_an_older_browser_shows_the_same_figures_and_times(browsing: Browsing, alice: Person) -> None:
    stored = await alice.store()
    path = f"/accounts/{stored['id']}/activities?wait=true"
    async with browsing(alice) as newer, browsing(alice) as older:
        await _make_oldest_supported(older)
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
        await _make_oldest_supported(older)
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


async def test_a_browser_that_is_too_old_says_so_and_works_as_without_scripts(
    browser: Browser, service: Service, alice: Person
) -> None:
    stored = await alice.store(nickname="Growth")
    context = await browser.new_context(base_url=service.url, color_scheme="dark")
    await _make_too_old(context)
    await sign_in(context, service, alice)
    streams: list[str] = []
    context.on("request", lambda request: streams.append(request.url) if "/api/stream" in request.url else None)
    page = await open_page(context, "/?wait")
    await expect(page.get_by_text("Your browser is too old for live updates")).to_be_visible()
    await expect(page.locator("[data-figure=equity] data").first).to_contain_text("$")
    colors = await page.evaluate(
        "(({ color, backgroundColor }) => [color, backgroundColor])(getComputedStyle(document.documentElement))"
    )
    assert colors == ["rgb(25, 29, 34)", "rgb(248, 248, 245)"]  # light, and readable
    await page.goto(f"/keys/{stored['id']}")
    await page.get_by_role("link", name="Rename").click()  # a page, and not a dialog
    await page.get_by_label("Name", exact=True).fill("Value")
    await page.get_by_role("button", name="Rename").click()
    await expect(page.get_by_text("Renamed.")).to_be_visible()
    assert streams == []
    await context.unroute_all(behavior="ignoreErrors")
    await context.close()


async def test_a_browser_that_is_new_enough_does_not_say_so(browsing: Browsing, alice: Person) -> None:
    await alice.store()
    async with browsing(alice) as context:
        await _make_oldest_supported(context)
        page = await open_page(context)
        await expect(page.locator(".too-old")).to_be_hidden()
