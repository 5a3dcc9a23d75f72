"""Nothing leaves its card, and nothing moves while a page loads."""

import json

from playwright.async_api import expect

from tests.accounts.alpaca_lists import POSITION
from tests.browser.conftest import Browsing, is_too_wide, open_page
from tests.browser.page_checks import find_layout_shifts
from tests.conftest import MORNING, Faults
from tests.people import Person, paper_key

_HUGE = "-1234567890123.45"
_ACCOUNT = dict.fromkeys(["equity", "cash", "buying_power", "initial_margin"], f'"{_HUGE}"')
_ACCOUNT["last_equity"] = '"1234567890123.45"'
_UNRESTRICTED = {
    **dict.fromkeys(["account_blocked", "trading_blocked", "transfers_blocked"], "false"),
    **dict.fromkeys(["trade_suspended_by_user", "pattern_day_trader"], "false"),
    "status": '"ACTIVE"',
}
_OUTSIDE = """[...document.querySelectorAll("data")].filter((node) => {
  if (!node.checkVisibility()) return false;
  const box = node.getBoundingClientRect();
  const around = node.parentElement.closest(".card, .panel, .total, .figure, td, th, dd").getBoundingClientRect();
  return box.right > around.right + 1 || box.left < around.left - 1;
}).map((node) => `${node.textContent} in ${node.parentElement.outerHTML.slice(0, 200)}`)"""


_LONG_NAME = "Donaudampfschifffahrtsgesellschaftskonto of the whole family, since 2019"
_ROW_HEIGHTS = """[...document.querySelectorAll(".dense tbody tr")].map((row) => row.getBoundingClientRect().height)"""


async def test_long_names_make_no_row_higher_and_no_page_wider(browsing: Browsing, alice: Person) -> None:
    for _ in range(2):
        await alice.store(paper_key(), nickname=_LONG_NAME)
    lists = ["/?wait&layout=table", "/holdings?wait=true", "/orders?wait=true", "/activity?wait=true"]
    for width, most, paths in ((1280, 44, lists), (1080, 44, lists), (360, 60, lists[:2])):
        async with browsing(alice, viewport={"width": width, "height": 740}) as context:
            for path in paths:
                page = await open_page(context, path)
                await expect(page.locator(".dense tbody tr").first, path).to_be_visible()
                assert not await is_too_wide(page), f"{path} at {width}"
                heights = await page.evaluate(_ROW_HEIGHTS)
                assert max(heights) <= most, f"{path} at {width}: {heights}"
                await expect(page.get_by_title(_LONG_NAME).first).to_be_attached()


async def test_huge_amounts_stay_in_their_cards_on_a_phone(browsing: Browsing, alice: Person, faults: Faults) -> None:
    keys = [paper_key(), paper_key()]
    stored = [await alice.store(key, nickname="Trillions") for key in keys]
    position = {
        **POSITION,
        "qty": "-987654321.123456789",
        "side": "short",
        "market_value": _HUGE,
        "unrealized_pl": _HUGE,
    }
    answers: list[dict[str, object]] = []
    for key in keys:
        answers.append({"key_id": key, "path": "/v2/account", "account_raw": _ACCOUNT})
        answers.append({"key_id": key, "path": "/v2/positions", "body_text": json.dumps([position])})
    await faults.set_all(answers)
    account = f"/accounts/{stored[0]['id']}"
    async with browsing(alice, viewport={"width": 360, "height": 740}) as context:
        for path in ("/?wait", f"{account}?wait=true", "/holdings?wait=true"):
            page = await open_page(context, path)
            await expect(page.locator("data.long").first, path).to_be_visible()
            await page.evaluate("for (const fold of document.querySelectorAll('details.aside')) fold.open = true")
            assert not await is_too_wide(page), path
            assert await page.evaluate(_OUTSIDE) == [], path


async def test_figures_that_arrive_late_move_nothing(browsing: Browsing, alice: Person, faults: Faults) -> None:
    keys = [paper_key(), paper_key()]
    for key in keys:
        await alice.store(key)
    slow: list[dict[str, object]] = []
    for key in keys:
        slow.append({"key_id": key, "path": "/v2/account", "account_raw": _UNRESTRICTED, "latency_ms": 600})
        slow.append({"key_id": key, "latency_ms": 900, **MORNING})
    await faults.set_all(slow)
    for width in (360, 1280):
        async with browsing(alice, viewport={"width": width, "height": 740}) as context:
            page = await open_page(context)
            await expect(page.locator("[data-figure=equity] data")).to_have_count(2)
            await expect(page.locator("[data-sparkline=drawn]")).to_have_count(2)
            moved = await find_layout_shifts(page)
            assert not moved, f"{width}: {moved}"
