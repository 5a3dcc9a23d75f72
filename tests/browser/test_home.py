"""The states of accounts on the home page, and how they end; and how people find and arrange them."""

import re
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from corral_sandbox import Sandbox
from tests.browser.conftest import TIME, TIMEOUT_MS, Browsing, open_page, wait_until
from tests.conftest import MORNING, Faults
from tests.people import Person, live_key, paper_key
from tests.stream.trading import trading_key

_ACCOUNT = "/v2/account"
_STALE = re.compile(rf"No update since {TIME}")


async def test_a_stale_card_keeps_its_figures_and_recovers(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    await _set_equity(faults, key, "48151623.42")
    async with browsing(alice) as context:
        page = await open_page(context)
        card = page.get_by_role("article")
        await expect(_equity(card)).to_have_text("$48,151,623.42")
        await faults.set(key, status=503)
        await expect(card).to_contain_text(_STALE)
        await expect(card).to_contain_text("Alpaca returned an error (503)")
        await expect(card.locator(".outdated-since time")).to_have_attribute("datetime", re.compile(r"^20.*Z$"))
        await expect(_equity(card)).to_have_text("$48,151,623.42")
        await expect(_equity(card)).to_be_visible()
        await _set_equity(faults, key, "48151623.43")
        await expect(_equity(card)).to_have_text("$48,151,623.43")
        await expect(card).not_to_contain_text("No update since")
        await expect(card).not_to_have_class(re.compile("stale"))


async def test_confirmed_figures_show_since_when_they_are_unchanged(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    key = paper_key()
    await alice.store(key, nickname="still")
    other = await alice.store(nickname="restless")
    figures = dict.fromkeys(["equity", "last_equity", "cash", "buying_power"], '"48151623.42"')
    await faults.set(key, path=_ACCOUNT, account_raw=figures)
    async with browsing(alice) as context:
        page = await context.new_page()
        await page.clock.install()
        await page.goto("/?wait")
        still, restless = (page.get_by_role("article").filter(has_text=name) for name in ["still", "restless"])
        await expect(_equity(still)).to_have_text("$48,151,623.42")
        await expect(still).to_contain_text("As of ")
        await wait_until(page, "document.querySelectorAll('data.changed').length")  # the stream is connected
        await _switch(alice, other, is_active=False)
        await expect(restless).to_contain_text("was paused")
        await _switch(alice, other, is_active=True)  # a gap for this account
        await expect(restless).not_to_contain_text("was paused")
        await page.clock.fast_forward("02:00")
        await expect(still).to_contain_text("Unchanged since ")  # with the stream's next heartbeat
        await faults.clear()
        await expect(still).to_contain_text("As of ")


async def test_a_stale_account_is_counted_in_the_total_and_marks_no_other(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    broken, well = paper_key(), paper_key()
    await alice.store(broken, nickname="broken")
    await alice.store(well, nickname="well")
    async with browsing(alice) as context:
        page = await open_page(context, "/?wait")
        await expect(page.locator("[data-total=paper] [data-sum=equity] data")).to_be_visible()
        await faults.set(broken, status=503)
        await expect(page.locator("[data-missing]")).to_contain_text("1 not up to date")
        await expect(page.get_by_role("article").filter(has_text="No update since")).to_have_count(1)
        await faults.clear()
        await expect(page.locator("[data-missing]")).to_be_hidden()


async def test_an_outage_of_several_accounts_is_one_line_above_grey_cards(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    keys = [paper_key(), paper_key()]
    for key in keys:
        await alice.store(key)
    async with browsing(alice) as context:
        page = await open_page(context, "/?wait")
        outage = page.locator("[data-outage]")
        await expect(page.locator("[data-figure=equity] data")).to_have_count(2)
        await expect(outage).to_be_hidden()
        await faults.set_all([{"key_id": key, "status": 503} for key in keys])
        await expect(outage).to_have_text("Alpaca is returning errors for all 2 accounts; Corral keeps trying.")
        await expect(page.get_by_role("article").filter(has_text=_STALE)).to_have_count(2)
        await expect(page.locator(".card.stale")).to_have_count(2)
        await expect(page.locator(".card .problem")).to_have_count(0)
        await faults.clear()
        await expect(outage).to_be_hidden()
        await expect(page.locator(".card.stale")).to_have_count(0)


async def test_an_account_without_data_shows_a_reason_and_no_figures(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    key = paper_key()
    await alice.store(key)
    await faults.set(key, status=503)
    async with browsing(alice) as context:
        page = await open_page(context, "/?wait")
        card = page.get_by_role("article")
        await expect(card).to_contain_text("Alpaca returned an error (503)")
        await expect(card).to_contain_text("No data")
        await expect(card).not_to_contain_text("No update since")
        await expect(_equity(card)).to_be_hidden()
        await faults.clear()
        await expect(_equity(card)).to_contain_text("$")
        await expect(card).not_to_contain_text("Alpaca returned an error (503)")


async def test_a_problem_from_the_page_is_not_repeated_by_the_stream(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    key = paper_key()
    await alice.store(key)
    await faults.set(key, status=503)
    async with browsing(alice) as context:
        page = await open_page(context, "/?wait")
        await page.evaluate("document.querySelector('[data-problems] .notice').id = 'from-the-server'")
        await expect(page.locator("#from-the-server")).to_have_count(0)
        await expect(page.locator("[data-problems] .notice")).to_have_count(1)
        await expect(_equity(page)).to_be_hidden()  # there are none


async def test_rejected_keys_link_to_replacing_them(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = live_key()
    stored = await alice.store(key)
    async with browsing(alice) as context:
        page = await open_page(context)
        card = page.get_by_role("article")
        await expect(_equity(card)).to_contain_text("$")
        await faults.set(key, status=401)
        await expect(card).to_contain_text("no longer accepts this API key")
        await expect(card).to_contain_text(_STALE)
        link = card.get_by_role("link", name="Replace API key")
        await expect(link).to_have_attribute("href", f"/keys/{stored['id']}/replace")


async def test_an_account_paused_elsewhere_says_so(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    stored = await alice.store(key)
    async with browsing(alice) as context:
        page = await open_page(context)
        card = page.get_by_role("article")
        await _set_equity(faults, key, "48151623.42")
        await expect(_equity(card)).to_have_text("$48,151,623.42")  # by the stream
        await _switch(alice, stored, is_active=False)
        await expect(card).to_contain_text("was paused")
        await card.get_by_role("link", name="Refresh").click()
        await expect(card.get_by_role("link", name="Resume")).to_be_visible()


async def test_an_account_removed_while_hidden_is_not_shown_as_current(browsing: Browsing, alice: Person) -> None:
    stored = await alice.store(nickname="gone")
    await alice.store(nickname="there")
    async with browsing(alice) as context:
        page = await open_page(context, "/?wait")
        await page.route("**/api/stream?*", lambda route: route.abort())
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # reopens the stream
        await expect(page.locator("[data-connection-state]")).to_be_visible()
        async with alice.client.delete(f"/api/credentials/{stored['id']}") as answer:
            assert answer.status == 204
        await page.unroute("**/api/stream?*")
        gone, there = (page.get_by_role("article").filter(has_text=name) for name in ["gone", "there"])
        # By the event, where the stream goes on after the last one; by its absence, where it begins anew.
        await expect(gone).to_contain_text(re.compile("(was|may have been) paused or removed"), timeout=2 * TIMEOUT_MS)
        await expect(gone).to_contain_text(_STALE)
        await expect(there).not_to_contain_text("No update since")


async def test_a_lost_connection_shows_since_when_and_keeps_the_figures(browsing: Browsing, alice: Person) -> None:
    await alice.store()
    async with browsing(alice) as context:
        page = await open_page(context)
        card, state = page.get_by_role("article"), page.locator("[data-connection-state]")
        await expect(_equity(card)).to_contain_text("$")
        await page.route("**/api/stream?*", lambda route: route.abort())
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # reopens the stream
        await expect(state).to_contain_text(re.compile(rf"Disconnected at {TIME}\. Reconnecting"))
        since = await state.locator("time").get_attribute("datetime")
        await expect(_equity(card)).to_be_visible()
        async with page.expect_event("requestfailed"):
            await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await page.evaluate("new Promise((done) => setTimeout(done, 100))")  # the page has handled it
        assert await state.locator("time").get_attribute("datetime") == since
        await page.unroute("**/api/stream?*")
        await expect(state).to_be_hidden()


async def test_a_slow_sparkline_is_drawn_without_a_reload(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    await faults.set(key, latency_ms=700, **MORNING)
    async with browsing(alice) as context:
        page = await open_page(context)
        place = page.locator("[data-sparkline]")
        before = await place.bounding_box()
        await expect(place).to_have_attribute("data-sparkline", "drawn")
        await expect(place.locator("path").last).to_have_attribute("d", re.compile(r"^M[-0-9l ]{20,}$"))
        after = await place.bounding_box()
        assert before is not None
        assert after is not None
        assert before["height"] == after["height"]


async def test_a_sparkline_is_updated_after_minutes_when_its_account_changes(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    key = paper_key()
    await alice.store(key)
    await _set_equity(faults, key, "48151623.42")
    async with browsing(alice) as context:
        page = await context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/lines") else None)
        await page.clock.install()
        await page.goto("/?wait")
        await expect(page.locator("[data-sparkline]")).to_have_attribute("data-sparkline", "drawn")
        asked.clear()  # a busy machine may have drawn it late
        await _set_equity(faults, key, "48151623.43")
        await expect(_equity(page)).to_have_text("$48,151,623.43")
        assert asked == []
        await page.clock.fast_forward("04:00")
        async with page.expect_request("**/lines"):
            await _set_equity(faults, key, "48151623.44")
        await expect(_equity(page)).to_have_text("$48,151,623.44")


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_a_sparkline_has_enough_contrast(color_scheme: str, browsing: Browsing, alice: Person) -> None:
    """WCAG 2.2, 1.4.11: three to one."""
    await alice.store()
    async with browsing(alice, color_scheme=color_scheme) as context:
        page = await open_page(context, "/?wait")
        await expect(page.locator("[data-sparkline]")).to_have_attribute("data-sparkline", "drawn")
        line = await _luminance(page.locator("[data-sparkline] path").last, "stroke")
        ground = await _luminance(page.get_by_role("article"), "background-color")
        dark, light = sorted([line, ground])
        assert (light + 0.05) / (dark + 0.05) >= 3


async def test_a_changed_number_is_highlighted(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    await alice.store(key)
    async with browsing(alice, reduced_motion="no-preference") as context:
        assert await _animation_of_a_change(await open_page(context), faults, key) == "change"


@pytest.mark.usefixtures("chromium")
async def test_no_number_is_highlighted_where_motion_is_reduced(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    key = paper_key()
    await alice.store(key)
    async with browsing(alice, reduced_motion="reduce") as context:
        assert await _animation_of_a_change(await open_page(context), faults, key) == "none"


async def test_restrictions_are_below_the_figures(
    browsing: Browsing, alice: Person, faults: Faults, sandbox: Sandbox
) -> None:
    key = await trading_key(sandbox)
    await alice.store(key)
    told = {"account_blocked": "true", "trading_blocked": "true", "daytrade_count": "3", "pattern_day_trader": "true"}
    await faults.set(key, path=_ACCOUNT, account_raw=told)
    async with browsing(alice) as context:
        card = (await open_page(context)).get_by_role("article")
        await expect(card).to_contain_text("Alpaca has blocked this account.")
        await expect(card).to_contain_text("Alpaca has blocked trading:")
        await expect(card).to_contain_text("Pattern day trader · Day trades: 3")
        await faults.clear()
        await expect(card).not_to_contain_text("Pattern day trader")
        await expect(card).not_to_contain_text("Alpaca has blocked")


async def test_accounts_are_found_sorted_pinned_arranged_and_grouped(browsing: Browsing, alice: Person) -> None:
    """One journey, with the keyboard where there is one."""
    names = ["alpha", "bravo", "carol", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet"]
    ids = {name: (await alice.store(nickname=name))["id"] for name in names}
    async with browsing(alice) as context:
        page = await open_page(context, "/?wait")
        rows = page.locator("tbody tr[data-account]")
        await expect(rows).to_have_count(10)  # ten are a table
        shown = [await row.bounding_box() for row in await rows.all()]
        assert all(box is not None and box["height"] <= 44 for box in shown)

        await page.keyboard.press("/")
        await expect(page.get_by_label("Find an account")).to_be_focused()
        await page.keyboard.type("juliet")
        await expect(page.locator("tbody tr[data-account]:visible")).to_have_count(1)
        await expect(page.locator("[data-found]")).to_have_text("1 of 10 accounts")
        await page.keyboard.press("Escape")
        await expect(page.locator("tbody tr[data-account]:visible")).to_have_count(10)

        await page.get_by_role("button", name="Account", exact=True).click()
        await expect(page.get_by_role("columnheader", name="Account")).to_have_attribute("aria-sort", "ascending")
        await page.get_by_role("button", name="Pin golf").click()
        await expect(rows.first).to_contain_text("golf")
        await page.get_by_role("link", name="Arrange").click()
        await page.get_by_role("combobox", name="Group of carol").fill("Wheel")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status").filter(has_text="Group saved")).to_be_visible()
        down = page.get_by_role("button", name="Move alpha down")
        await down.click()
        await expect(down).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("li[id^=account-]").nth(3)).to_contain_text("alpha")

        await page.goto("/?wait")
        await page.get_by_label("Group by").select_option("My groups")
        await expect(page.locator("tbody[data-section]")).to_have_count(2)
        await expect(page.locator("tr.sums").first).to_contain_text("Wheel")
        await page.locator("h1").click()
        await page.keyboard.press("2")  # after the pinned one
        await expect(page).to_have_url(re.compile(f"/accounts/{ids['bravo']}$"))

        await page.goto(f"/accounts/{ids['bravo']}/orders")
        await page.keyboard.press("/")
        await page.keyboard.type("india")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(f"/accounts/{ids['india']}/orders$"))
        await page.get_by_role("link", name="Next account: juliet").click()
        await expect(page.get_by_role("heading", name="juliet")).to_be_visible()

        await page.goto("/")
        await page.get_by_role("button", name="Turn off").click()
        await expect(page.get_by_text("Keyboard shortcuts are off.")).to_be_visible()
        await page.keyboard.press("2")
        await page.keyboard.press("/")
        await expect(page.get_by_label("Find an account")).not_to_be_focused()
        assert page.url.endswith("/#shortcuts")


async def _switch(person: Person, stored: dict[str, Any], *, is_active: bool) -> None:
    async with person.client.patch(f"/api/credentials/{stored['id']}", json={"is_active": is_active}) as answer:
        assert answer.status == 200


async def _set_equity(faults: Faults, key: str, equity: str) -> None:
    figures = {"equity": f'"{equity}"', "last_equity": '"48151600"'}
    await faults.set_all([{"key_id": key, "path": _ACCOUNT, "account_raw": figures}, {"key_id": key, **MORNING}])


async def _animation_of_a_change(page: Page, faults: Faults, key: str) -> str:
    await _set_equity(faults, key, "48151623.42")
    await expect(_equity(page)).to_have_text("$48,151,623.42")
    await _set_equity(faults, key, "48151623.43")
    changed = page.locator("[data-figure=equity] data.changed")
    await expect(changed).to_have_text("$48,151,623.43")
    return await changed.evaluate("node => getComputedStyle(node).animationName")


def _equity(inside: Page | Locator) -> Locator:
    return inside.locator("[data-figure=equity]").first


async def _luminance(node: Locator, name: str) -> float:
    """Returns the relative luminance of a color as it is painted (WCAG 2.2)."""
    return await node.evaluate(
        """(node, name) => {
          const canvas = new OffscreenCanvas(1, 1).getContext("2d");
          canvas.fillStyle = getComputedStyle(node).getPropertyValue(name);
          canvas.fillRect(0, 0, 1, 1);
          const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => {
            const share = part / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
          });
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        }""",
        name,
    )
