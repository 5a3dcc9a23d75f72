"""How a device shows the pages: the switch of amounts, the settings, the zone on a journey, and the installation."""

import re
from typing import TYPE_CHECKING, Any, cast

from playwright.async_api import Page, expect

from tests.browser.conftest import Browsing, open_page
from tests.conftest import Faults, Service
from tests.people import Person, paper_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_AMOUNT = re.compile(r"[$€]\d")
_READABLE = """[...document.querySelectorAll("main *")].flatMap((node) => [node.title, node.ariaLabel, node.alt]
  .concat(node.matches(".price") ? [] : [...node.childNodes].filter((one) => one.nodeType === 3).map((one) => one.data))
  .filter((text) => /[$€]\\d/.test(text ?? "")))"""
_SETTINGS = "form[action='/you/display']"


async def test_the_switch_hides_every_amount_of_all_open_pages(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    key = paper_key()
    path = f"/accounts/{(await alice.store(key))['id']}?span=1D"
    async with browsing(alice) as context:
        page, home = await open_page(context, path), await open_page(context)
        await expect(page.get_by_role("heading", name="Positions")).to_be_visible()
        await expect(home.locator("[data-figure=equity] data").first).to_have_text(_AMOUNT)
        await page.get_by_role("button", name="Hide amounts").click()
        await expect(page.get_by_role("button", name="Show amounts")).to_be_visible()
        await expect(home.get_by_role("button", name="Show amounts")).to_be_visible()
        await expect(page.locator("[data-figure=equity] data")).to_have_text("••••hidden")
        await expect(page.locator("[data-change]")).to_have_text(re.compile(r"^••••hidden \([+\u2212]?\d+\.\d\d%\)$"))
        # What the stream sends is hidden, too; and percentages follow it.
        raw = {"equity": '"48151623.42"', "last_equity": '"24075811.71"', "cash": '"23.42"'}
        await faults.set(key, path="/v2/account", account_raw=raw)
        await expect(page.locator("[data-figure=equity] data")).to_have_attribute("value", "48151623.42")
        await expect(page.locator("[data-change]")).to_have_text("••••hidden (+100.00%)")
        for one in (page, home):
            assert await one.evaluate(_READABLE) == []
        await page.get_by_role("button", name="Show amounts").click()
        await expect(page.locator("[data-figure=equity] data")).to_have_text("$48,151,623.42")


async def test_copied_amounts_stay_real_and_the_page_says_so(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    path = f"/accounts/{(await alice.store(key))['id']}"
    await faults.set(key, path="/v2/account", account_raw={"equity": '"48151623.42"', "cash": '"23.42"'})
    async with browsing(alice, permissions=["clipboard-read", "clipboard-write"]) as context:
        page = await open_page(context, path)
        await page.get_by_role("button", name="Hide amounts").click()
        await expect(page.locator("[data-figure=equity] data")).to_have_text("••••hidden")
        copied = await page.evaluate(
            """() => {
              getSelection().selectAllChildren(document.querySelector(".metrics"));
              const data = new DataTransfer();
              document.querySelector(".metrics").dispatchEvent(
                new ClipboardEvent("copy", { clipboardData: data, bubbles: true, cancelable: true }));
              return data.getData("text/plain");
            }"""
        )
        assert "$48,151,623.42" in copied
        assert "$23.42" in copied
        assert "•" not in copied
        assert "hidden" not in copied
        await expect(page.get_by_role("status").filter(has_text="Copied with real amounts.")).to_be_visible()


async def test_settings_hold_for_the_device_and_follow_it(browsing: Browsing, alice: Person, service: Service) -> None:
    await alice.store()
    async with browsing(alice, timezone_id="Europe/Berlin", color_scheme="light") as context:
        page = await open_page(context, "/you")
        form = page.locator(_SETTINGS)
        await form.get_by_label("Dark").check()
        await form.get_by_label("Compact").check()
        await form.get_by_label("Local (Europe/Berlin)").check()
        await form.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("status").filter(has_text="Saved for this device.")).to_be_visible()
        await expect(page).to_have_url(re.compile(r"/you$"))
        background = "getComputedStyle(document.documentElement).backgroundColor"
        assert await page.evaluate(background) == await _dark_background(page)
        await expect(page.locator("time").first).to_have_text(re.compile(r"\d\d:\d\d CES?T$"))
        cookies = await context.cookies()
        (cookie,) = [one for one in cookies if one.get("name") == "corral_display"]
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Lax")
    async with browsing(alice, timezone_id="Asia/Tokyo") as on_a_journey:
        await on_a_journey.add_cookies(
            [{"name": "corral_display", "value": cookie.get("value", ""), "url": service.url}]
        )
        page = await open_page(on_a_journey, "/you")
        await expect(page.locator("time").first).to_have_text(re.compile(r"\d\d:\d\d JST$"))
        await expect(page.locator(_SETTINGS).get_by_label("Local (Asia/Tokyo)")).to_be_checked()


async def test_the_menu_of_a_phone_closes_again_and_the_pages_can_be_installed(
    browsing: Browsing, alice: Person
) -> None:
    async with browsing(alice, viewport={"width": 360, "height": 740}) as context:
        page = await open_page(context, "/you")
        menu = page.locator("[data-menu]")
        for close in ("Escape", "outside"):
            await menu.locator("summary").click()
            await expect(menu.get_by_role("button", name="Sign out")).to_be_visible()
            if close == "Escape":
                await page.keyboard.press("Escape")
            else:
                await page.mouse.click(2, 700)  # beside all panels
            await expect(menu.get_by_role("button", name="Sign out")).to_be_hidden()
        session = await context.new_cdp_session(page)
        send = cast("Callable[[str], Awaitable[dict[str, Any]]]", session.send)
        manifest = await send("Page.getAppManifest")
        assert manifest["errors"] == []
        assert manifest["url"].endswith("/manifest.webmanifest")
        assert await send("Page.getInstallabilityErrors") == {"installabilityErrors": []}


async def _dark_background(page: Page) -> str:
    return await page.evaluate(
        """() => {
          const probe = document.body.appendChild(document.createElement("i"));
          probe.className = "dark-probe";
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(".dark-probe { color-scheme: dark; background: var(--ground) }");
          document.adoptedStyleSheets = [sheet];
          return getComputedStyle(probe).backgroundColor;
        }"""
    )
