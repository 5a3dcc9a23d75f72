"""Complete tasks in a browser."""

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect

from corral.identity.links import issue_link
from tests.browser.conftest import Browsing, is_too_wide, open_page
from tests.conftest import Faults, Service
from tests.people import Person, key_pair, live_key, paper_key


async def test_from_a_sign_in_link_to_the_first_figures(service: Service, browsing: Browsing, alice: Person) -> None:
    resources = service.resources
    link = await issue_link(resources.database, resources.vault, "sign_in", alice.user_id, service.url)
    async with browsing() as context:
        page = await context.new_page()
        await page.goto(link.reveal())
        await expect(page).to_have_url(f"{service.url}/sign-in")  # the code is no longer in the URL
        await page.get_by_role("button", name="Sign in with this link").click()
        await page.get_by_role("link", name="Add account").click()
        await _fill_in(page, "Long-term", key_pair(live_key()))
        await expect(page.get_by_role("status")).to_contain_text("LIVE")
        await page.get_by_role("link", name="Done").click()
        await expect(_equity(page)).to_contain_text("$")
        await expect(page.get_by_role("article")).to_contain_text("Long-term")


async def test_rejected_keys_are_explained_and_all_values_but_the_secret_stay(
    browsing: Browsing, alice: Person
) -> None:
    async with browsing(alice) as context:
        page = await open_page(context)
        await page.get_by_role("link", name="Add account").click()
        await _fill_in(page, "Long-term", {"api_key": paper_key(), "secret_key": "not-the-secret-of-it"})
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("alert")).to_contain_text("neither for paper nor for live")
        await expect(dialog.get_by_label("Name")).to_have_value("Long-term")
        await expect(dialog.get_by_label("Secret")).to_have_value("")


async def test_field_errors_are_shown_at_the_field_and_cleared(browsing: Browsing, alice: Person) -> None:
    async with browsing(alice) as context:
        page = await open_page(context)
        await page.get_by_role("link", name="Add account").click()
        await _fill_in(page, "Long-term", {"api_key": "PK 4711", "secret_key": "secret"})
        key_id, error = page.locator("#api_key"), page.locator("[data-field=api_key] .field-error")
        await expect(error).to_have_text("The key ID contains a space. Copy it again.")
        await expect(key_id).to_have_attribute("aria-invalid", "true")
        await expect(key_id).to_have_accessible_description(
            "The key ID contains a space. Copy it again. Starts with PK (paper) or AK (live)."
        )
        await page.keyboard.press("Escape")
        await expect(error).to_have_count(0)
        await expect(key_id).not_to_have_attribute("aria-invalid", "true")


async def test_a_paper_key_entered_as_live_is_rejected(browsing: Browsing, alice: Person) -> None:
    async with browsing(alice) as context:
        page = await open_page(context)
        await page.get_by_role("link", name="Add account").click()
        await page.get_by_label("Live", exact=True).check()
        await _fill_in(page, "mine", key_pair(paper_key()))
        await expect(page.get_by_role("alert").first).to_contain_text("This API key is for paper trading, not for live")


async def test_a_price_changes_without_a_reload(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    async with browsing(alice) as context:
        page = await open_page(context)
        await expect(_equity(page)).to_contain_text("$")
        await page.evaluate("window.wasHere = true")
        await faults.set(key, path="/v2/account", account_raw={"equity": '"48151623.42"', "last_equity": '"48151600"'})
        await expect(_equity(page)).to_have_text("$48,151,623.42")
        await expect(page.locator("[data-total=paper]")).to_have_count(0)  # one account has no totals
        assert await page.evaluate("window.wasHere")


async def test_totals_change_with_their_accounts(browsing: Browsing, alice: Person, faults: Faults) -> None:
    keys = [paper_key(), paper_key()]
    for key in keys:
        await alice.store(key, nickname=key[-4:])
        await faults.set_all(
            [{"key_id": each, "path": "/v2/account", "account_raw": {"equity": '"20000000.05"'}} for each in keys]
        )
    async with browsing(alice) as context:
        page = await open_page(context)
        await expect(page.locator("[data-total=paper]")).to_contain_text("$40,000,000.10")


async def test_an_outage_of_alpaca_is_shown_and_ends(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    async with browsing(alice) as context:
        page = await open_page(context)
        await expect(_equity(page)).to_contain_text("$")
        await faults.set(key, status=503)
        await expect(page.get_by_role("article")).to_contain_text("Alpaca returned an error (503)")
        await faults.clear()
        await expect(page.get_by_role("article")).not_to_contain_text("Alpaca returned an error (503)")


async def test_a_slow_account_loads_later(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    await faults.set(key, latency_ms=700)
    async with browsing(alice) as context:
        page = await open_page(context)
        await expect(page.locator(".figures.loading")).to_have_count(1)
        await expect(_equity(page)).to_contain_text("$")
        await expect(page.locator("[data-change]")).to_contain_text("%")
        await expect(page.locator(".figures.loading")).to_have_count(0)


async def test_signing_out_in_one_tab_affects_the_other(browsing: Browsing, alice: Person) -> None:
    await alice.store()
    async with browsing(alice) as context:
        one, other = await open_page(context), await open_page(context)
        await expect(_equity(other)).to_contain_text("$")
        await one.get_by_role("button", name="Sign out").click()
        await expect(one.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(other.get_by_role("article")).to_have_count(0)


async def test_a_lost_connection_is_shown_and_reconnects(browsing: Browsing, alice: Person) -> None:
    await alice.store()
    async with browsing(alice) as context:
        page = await context.new_page()
        await page.route("**/api/stream?*", lambda route: route.abort())
        await page.goto("/")
        await expect(page.locator("[data-connection-state]")).to_contain_text("Reconnecting")
        await page.unroute("**/api/stream?*")
        await expect(page.locator("[data-connection-state]")).to_be_hidden()


async def test_renaming_and_removing_in_dialogs(browsing: Browsing, alice: Person) -> None:
    stored = await alice.store(nickname="before")
    async with browsing(alice) as context:
        page = await open_page(context, f"/keys/{stored['id']}")
        await page.get_by_role("link", name="Rename").click()
        await expect(page.get_by_label("Name", exact=True)).to_have_value("before")
        await page.get_by_label("Name", exact=True).fill("after")
        await page.get_by_role("dialog").get_by_role("button", name="Rename").click()
        await expect(page.get_by_role("heading", name="after", level=1)).to_be_visible()
        await page.get_by_role("link", name="Remove account").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Type the account's name").fill("before")
        await dialog.get_by_role("button", name="Remove").click()
        typed = dialog.get_by_label("Type the account's name")
        await expect(typed).to_have_accessible_description("The name does not match. Nothing was removed.")
        await expect(typed).to_be_focused()
        await expect(dialog.locator(".form-problem")).to_be_empty()
        await dialog.get_by_label("Type the account's name").fill("after")
        await dialog.get_by_role("button", name="Remove").click()
        await expect(page.get_by_role("link", name="Add account")).to_be_visible()


async def test_figures_and_forms_work_without_javascript(browsing: Browsing, alice: Person) -> None:
    async with browsing(alice, java_script_enabled=False) as context:
        page = await open_page(context)
        await page.get_by_role("link", name="Add account").click()
        await _fill_in(page, "Long-term", key_pair(paper_key()))
        await page.get_by_role("link", name="Done").click()
        await page.goto("/?wait")
        await expect(_equity(page)).to_contain_text("$")
        await page.get_by_role("link", name="API key of Long-term").click()
        await page.get_by_role("link", name="Rename").click()
        await page.get_by_label("Name").fill("Longer-term")
        await page.get_by_role("button", name="Rename").click()
        await expect(page.get_by_role("heading", name="Longer-term", level=1)).to_be_visible()
        await page.get_by_role("button", name="Check API key").click()
        await expect(page.get_by_role("status")).to_contain_text("Alpaca accepts this API key")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize("width", [360, 2560])
async def test_no_horizontal_scrolling(width: int, browsing: Browsing, alice: Person) -> None:
    stored = await alice.store(nickname="A long nickname of somebody who likes to say it all, " + "w" * 40)
    async with browsing(alice, viewport={"width": width, "height": 740}) as context:
        for path in ["/", "/keys/new", f"/keys/{stored['id']}", f"/keys/{stored['id']}/delete", "/sign-in", "/nowhere"]:
            page = await open_page(context, path)
            assert not await is_too_wide(page), path
            assert await _smallest_target(page) >= 24, path
            await page.close()


async def test_dialogs_work_with_the_keyboard_and_return_focus(browsing: Browsing, alice: Person) -> None:
    await alice.store()
    async with browsing(alice) as context:
        page = await open_page(context)
        opener = page.get_by_role("link", name="Add account")
        await opener.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Name")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(opener).to_be_focused()


@pytest.mark.parametrize("java_script_enabled", [True, False])
async def test_typed_markup_never_runs(
    java_script_enabled: bool,  # noqa: FBT001 - pytest passes parameters by name
    browsing: Browsing,
    alice: Person,
) -> None:
    payload = "<img src=x onerror=\"document.body.id='ran'\">"
    stored = await alice.store(nickname=payload)
    async with browsing(alice, java_script_enabled=java_script_enabled) as context:
        for path in ["/", f"/keys/{stored['id']}"]:
            page = await _shown(context, path)
            await expect(page.get_by_role("heading", name=payload, exact=True).first).to_be_visible()
            await expect(page.locator("#ran")).to_have_count(0)


async def _shown(context: BrowserContext, path: str) -> Page:
    page = await open_page(context, path)
    await expect(page.locator("main")).to_be_visible()
    return page


async def _fill_in(page: Page, nickname: str, keys: dict[str, str]) -> None:
    await page.get_by_label("Name").fill(nickname)
    await page.get_by_label("Key ID").fill(keys["api_key"])
    await page.get_by_label("Secret").fill(keys["secret_key"])
    await page.get_by_role("button", name="Add account", exact=True).click()


def _equity(page: Page) -> Locator:
    return page.locator("[data-figure=equity]").first


async def _smallest_target(page: Page) -> float:
    """Returns the height of the smallest button or separate link, in CSS pixels."""
    return await page.evaluate(
        "Math.min(...[...document.querySelectorAll('button, .button, nav a')]"
        ".map((node) => node.getBoundingClientRect().height).filter((height) => height > 0))"
    )
