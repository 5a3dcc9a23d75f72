"""What people do, from the first page to what they came for."""

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect

from corral.identity.links import issue_link
from tests.browser.conftest import Browsing, is_too_wide, opened
from tests.conftest import Faults, Service
from tests.people import Person, key_pair, live_key, paper_key


async def test_from_a_link_to_the_first_number(service: Service, browsing: Browsing, alice: Person) -> None:
    house = service.resources
    link = await issue_link(house.database, house.vault, "sign_in", alice.user_id, service.url)
    async with browsing() as context:
        page = await context.new_page()
        await page.goto(link.reveal())
        await expect(page).to_have_url(f"{service.url}/sign-in")  # the code is out of the address
        await page.get_by_role("button", name="Sign in with this link").click()
        await page.get_by_role("link", name="Add the first keys").click()
        await _fill_in(page, "Long-term", key_pair(live_key()))
        await expect(page.get_by_role("status")).to_contain_text("LIVE")
        await page.get_by_role("link", name="Done").click()
        await expect(_equity(page)).to_contain_text("$")
        await expect(page.get_by_role("article")).to_contain_text("Long-term")


async def test_bad_keys_are_told_and_everything_but_the_secret_stays(browsing: Browsing, alice: Person) -> None:
    async with browsing(alice) as context:
        page = await opened(context)
        await page.get_by_role("link", name="Add the first keys").click()
        await _fill_in(page, "Long-term", {"api_key": paper_key(), "secret_key": "not-the-secret-of-it"})
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("alert")).to_contain_text("neither for paper nor for live")
        await expect(dialog.get_by_label("Nickname")).to_have_value("Long-term")
        await expect(dialog.get_by_label("Secret")).to_have_value("")


async def test_a_paper_key_offered_as_live_is_refused(browsing: Browsing, alice: Person) -> None:
    async with browsing(alice) as context:
        page = await opened(context)
        await page.get_by_role("link", name="Add the first keys").click()
        await page.get_by_label("Live", exact=True).check()
        await _fill_in(page, "mine", key_pair(paper_key()))
        await expect(page.get_by_role("alert").first).to_contain_text("keys for paper trading, not for live")


async def test_a_price_moves_without_a_reload(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    async with browsing(alice) as context:
        page = await opened(context)
        await expect(_equity(page)).to_contain_text("$")
        await page.evaluate("window.wasHere = true")
        await faults.set(key, path="/v2/account", account_raw={"equity": '"48151623.42"', "last_equity": '"48151600"'})
        await expect(_equity(page)).to_have_text("$48,151,623.42")
        await expect(page.locator("[data-total=paper]")).to_have_count(0)  # one account is no sum
        assert await page.evaluate("window.wasHere")


async def test_the_sums_move_with_their_accounts(browsing: Browsing, alice: Person, faults: Faults) -> None:
    keys = [paper_key(), paper_key()]
    for key in keys:
        await alice.store(key, nickname=key[-4:])
        await faults.set_all(
            [{"key_id": each, "path": "/v2/account", "account_raw": {"equity": '"20000000.05"'}} for each in keys]
        )
    async with browsing(alice) as context:
        page = await opened(context)
        await expect(page.locator("[data-total=paper]")).to_contain_text("$40,000,000.10")


async def test_alpaca_goes_away_and_comes_back(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    async with browsing(alice) as context:
        page = await opened(context)
        await expect(_equity(page)).to_contain_text("$")
        await faults.set(key, status=503)
        await expect(page.get_by_role("article")).to_contain_text("Alpaca answered with an error")
        await faults.clear()
        await expect(page.get_by_role("article")).not_to_contain_text("Alpaca answered with an error")


async def test_an_account_that_is_slow_arrives_later(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    await faults.set(key, latency_ms=700)
    async with browsing(alice) as context:
        page = await opened(context)
        await expect(page.locator(".figures.waiting")).to_have_count(1)
        await expect(_equity(page)).to_contain_text("$")
        await expect(page.locator("[data-change]")).to_contain_text("%")
        await expect(page.locator(".figures.waiting")).to_have_count(0)


async def test_signing_out_in_one_tab_is_seen_in_the_other(browsing: Browsing, alice: Person) -> None:
    await alice.store()
    async with browsing(alice) as context:
        one, other = await opened(context), await opened(context)
        await expect(_equity(other)).to_contain_text("$")
        await one.get_by_role("button", name="Sign out").click()
        await expect(one.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(other.get_by_role("article")).to_have_count(0)


async def test_a_lost_stream_is_told_and_comes_back(browsing: Browsing, alice: Person) -> None:
    await alice.store()
    async with browsing(alice) as context:
        page = await context.new_page()
        await page.route("**/api/stream", lambda route: route.abort())
        await page.goto("/")
        await expect(page.locator("[data-stream-state]")).to_contain_text("live connection is lost")
        await page.unroute("**/api/stream")
        await expect(page.locator("[data-stream-state]")).to_be_hidden()


async def test_keys_are_renamed_and_deleted_in_dialogs(browsing: Browsing, alice: Person) -> None:
    stored = await alice.store(nickname="before")
    async with browsing(alice) as context:
        page = await opened(context, f"/keys/{stored['id']}")
        await page.get_by_role("link", name="Rename").click()
        await page.get_by_label("Nickname", exact=True).fill("after")
        await page.get_by_role("dialog").get_by_role("button", name="Rename").click()
        await expect(page.get_by_role("heading", name="after", level=1)).to_be_visible()
        await page.get_by_role("link", name="Delete").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Type the nickname").fill("before")
        await dialog.get_by_role("button", name="Delete").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("not the nickname")
        await dialog.get_by_label("Type the nickname").fill("after")
        await dialog.get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("link", name="Add the first keys")).to_be_visible()


async def test_without_javascript_numbers_are_shown_and_forms_work(browsing: Browsing, alice: Person) -> None:
    async with browsing(alice, java_script_enabled=False) as context:
        page = await opened(context)
        await page.get_by_role("link", name="Add the first keys").click()
        await _fill_in(page, "Long-term", key_pair(paper_key()))
        await page.get_by_role("link", name="Done").click()
        await page.goto("/?wait")
        await expect(_equity(page)).to_contain_text("$")
        await page.get_by_role("link", name="Keys of Long-term").click()
        await page.get_by_role("link", name="Rename").click()
        await page.get_by_label("Nickname").fill("Longer-term")
        await page.get_by_role("button", name="Rename").click()
        await expect(page.get_by_role("heading", name="Longer-term", level=1)).to_be_visible()
        await page.get_by_role("button", name="Check with Alpaca").click()
        await expect(page.get_by_role("status")).to_contain_text("Alpaca accepts these keys")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize("width", [360, 2560])
async def test_nothing_has_to_be_scrolled_sideways(width: int, browsing: Browsing, alice: Person) -> None:
    stored = await alice.store(nickname="A long nickname of somebody who likes to say it all, " + "w" * 40)
    async with browsing(alice, viewport={"width": width, "height": 740}) as context:
        for path in ["/", "/keys/new", f"/keys/{stored['id']}", f"/keys/{stored['id']}/delete", "/sign-in", "/nowhere"]:
            page = await opened(context, path)
            assert not await is_too_wide(page), path
            assert await _smallest_target(page) >= 24, path
            await page.close()


async def test_by_keyboard_alone_a_dialog_opens_closes_and_gives_the_focus_back(
    browsing: Browsing, alice: Person
) -> None:
    await alice.store()
    async with browsing(alice) as context:
        page = await opened(context)
        opener = page.get_by_role("link", name="Add keys")
        await opener.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Nickname")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(opener).to_be_focused()


@pytest.mark.parametrize("java_script_enabled", [True, False])
async def test_what_somebody_typed_never_runs(
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
    page = await opened(context, path)
    await expect(page.locator("main")).to_be_visible()
    return page


async def _fill_in(page: Page, nickname: str, keys: dict[str, str]) -> None:
    await page.get_by_label("Nickname").fill(nickname)
    await page.get_by_label("Key ID").fill(keys["api_key"])
    await page.get_by_label("Secret").fill(keys["secret_key"])
    await page.get_by_role("button", name="Add", exact=True).click()


def _equity(page: Page) -> Locator:
    return page.locator("[data-figure=equity]").first


async def _smallest_target(page: Page) -> float:
    """The height of the lowest button or link that stands by itself, in CSS pixels."""
    return await page.evaluate(
        "Math.min(...[...document.querySelectorAll('button, .button, nav a')]"
        ".map((node) => node.getBoundingClientRect().height).filter((height) => height > 0))"
    )
