"""The scripts of an account's pages in a browser."""

import json
import re
from decimal import Decimal

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Browsing, is_too_wide, open_page, wait_until
from tests.conftest import Faults
from tests.people import Person, paper_key

_LAYOUT_SHIFT = """new Promise((tell) => new PerformanceObserver((list) =>
  tell(list.getEntries().reduce((sum, { value }) => sum + value, 0))).observe({ type: "layout-shift", buffered: true })
  ?? setTimeout(() => tell(0), 500))"""
_HEIGHTS = "(rows) => rows.map((row) => row.getBoundingClientRect().height)"
_DRAWN = "document.querySelector('[data-plot] canvas').toDataURL()"
PAYLOAD = '"><img src=x onerror="document.title=1">'


async def test_from_a_card_to_the_account_orders_and_activities(browsing: Browsing, alice: Person) -> None:
    await alice.store(nickname="Growth")
    async with browsing(alice) as context:
        page = await open_page(context)
        await page.get_by_role("link", name="Growth", exact=True).click()
        await expect(page.get_by_role("heading", name="Growth", level=1)).to_be_visible()
        await page.get_by_role("navigation", name="Growth").get_by_role("link", name="Orders").click()
        await page.get_by_label("Status").select_option("open")
        await page.get_by_role("button", name="Apply").click()
        await expect(page).to_have_url(re.compile(r"status=open"))
        await expect(page.get_by_label("Status")).to_have_value("open")
        await page.get_by_role("link", name="Activities").click()
        await expect(page.get_by_role("row").nth(1)).to_contain_text(re.compile("Bought|Sold"))


@pytest.mark.usefixtures("chart")
async def test_the_chart_follows_equity_and_leaves_the_wheel_to_the_page(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    async with browsing(alice, color_scheme="light", viewport={"width": 1280, "height": 500}) as context:
        page = await open_page(context, f"/accounts/{stored['id']}?span=1W")
        plot, readout = page.locator("[data-plot]"), page.locator("[data-readout]")
        await expect(plot.locator("canvas")).to_be_visible()
        await expect(readout).to_contain_text("past week")
        assert await page.evaluate(_LAYOUT_SHIFT) < 0.1
        # The last point, its gain and the figure above are one.
        equity, gain = readout.locator("data.money"), readout.locator("data.gain")
        known = {node: Decimal(await node.get_attribute("value") or "") for node in (equity, gain)}
        await faults.set(key, path="/v2/account", account_raw={"equity": '"48151623.4200001"'})
        await expect(page.locator("[data-figure=equity]")).to_have_text("$48,151,623.42")
        await expect(equity).to_have_text("$48,151,623.42")
        changed = known[gain] + Decimal("48151623.4200001") - known[equity]
        assert Decimal(await gain.get_attribute("value") or "") == changed
        # The wheel scrolls the page, also where the pointer is over the chart.
        await plot.scroll_into_view_if_needed()
        await plot.hover()
        await expect(readout).to_contain_text(re.compile(r"\w{3}, \w{3} \d+, (\d{4}, )?\d\d:\d\d ET"))
        before = await page.evaluate("scrollY")
        await page.mouse.wheel(0, 120)
        await wait_until(page, f"scrollY > {before}")
        assert await plot.evaluate("(it) => getComputedStyle(it).touchAction") == "pan-y pinch-zoom"
        # The keyboard moves between the points.
        await plot.focus()
        await page.keyboard.press("Home")
        await expect(readout).to_contain_text("04:00 ET, extended hours")
        await page.keyboard.press("ArrowRight")
        await expect(readout).to_contain_text("04:15 ET, extended hours")
        await page.keyboard.press("End")
        await expect(readout).to_contain_text("$48,151,623.42")
        await page.keyboard.press("Escape")
        await expect(readout).to_contain_text("past week")
        drawn = await page.evaluate(_DRAWN)
        await page.evaluate("document.documentElement.dataset.theme = 'dark'")
        await wait_until(page, f"{_DRAWN} !== {json.dumps(drawn)}")
        await page.get_by_text("Show as table").click()
        await expect(page.get_by_role("region", name="Equity history table")).to_be_visible()


@pytest.mark.usefixtures("chart", "chromium")
async def test_the_chart_follows_the_systems_colors(browsing: Browsing, alice: Person) -> None:
    stored = await alice.store()
    async with browsing(alice, color_scheme="light") as context:
        page = await open_page(context, f"/accounts/{stored['id']}?span=1W")
        await page.locator("[data-plot] canvas").wait_for()
        drawn = await page.evaluate(_DRAWN)
        await page.emulate_media(color_scheme="dark")
        await wait_until(page, f"{_DRAWN} !== {json.dumps(drawn)}")


@pytest.mark.usefixtures("chart")
async def test_a_daily_point_is_shown_as_a_close(browsing: Browsing, alice: Person) -> None:
    stored = await alice.store()
    async with browsing(alice) as context:
        page = await open_page(context, f"/accounts/{stored['id']}?span=3M")
        await page.locator("[data-plot] canvas").wait_for()
        await page.locator("[data-plot]").focus()
        await page.keyboard.press("Home")
        await expect(page.locator("[data-readout]")).to_contain_text(re.compile(r"at the close of \w{3} \d+"))


async def test_details_that_are_not_on_the_stream_update_with_it(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    async with browsing(alice) as context:
        page = await open_page(context, f"/accounts/{stored['id']}")
        await page.get_by_text("More details").click()
        margin = page.locator("[data-detail=initial_margin]")
        await expect(margin).to_be_visible()
        await page.evaluate("window.wasHere = true")
        raw = {"equity": '"48151623.42"', "last_equity": '"48151622.42"', "initial_margin": '"48151.5"'}
        await faults.set(key, path="/v2/account", account_raw={**raw, "transfers_blocked": "true"})
        await expect(margin).to_have_text("$48,151.50")
        await expect(page.locator("[data-change]")).to_have_text("+$1.00 (0.00%)")
        await expect(page.locator("[data-change]")).to_have_class("change up")
        await expect(page.locator("[data-blocks]")).to_contain_text("Alpaca has blocked transfers")
        assert await page.evaluate("window.wasHere")


async def test_numbers_are_formatted_in_the_readers_language(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    stored = await alice.store(key)
    position = {**_position("48.15"), "qty": "4815.162342", "current_price": "1234.5", "avg_entry_price": "0.000108"}
    raw = {"equity": '"48151623.42"', "last_equity": '"48151622.42"'}
    bodies = [
        {"path": "/v2/positions", "body_text": json.dumps([position])},
        {"path": "/v2/account", "account_raw": raw},
    ]
    await faults.set_all([{"key_id": key, **one} for one in bodies])
    async with browsing(alice, locale="de-DE") as context:
        page = await open_page(context, f"/accounts/{stored['id']}")
        row = page.locator("tr[data-asset]")
        for written in (
            "4.815,162342",
            "1.234,50\u00a0$",
            "0,000108\u00a0$",
            "+48,15\u00a0$",
            "+10,00\u00a0%",
            "100,00\u00a0%",
        ):
            await expect(row).to_contain_text(written)
        await expect(page.locator("[data-figure=equity]")).to_have_text("48.151.623,42\u00a0$")
        await expect(page.locator("[data-change]")).to_have_text("+1,00\u00a0$ (0,00\u00a0%)")


async def test_a_problem_is_shown_once_and_its_end_reloads_the_figures(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    await faults.set(key, status=503)
    async with browsing(alice) as context:
        page = await open_page(context, f"/accounts/{stored['id']}")
        told = page.locator(".problem", has_text="Alpaca returned an error (503)")
        # The page includes the problem, and the stream replaces it when it connects.
        await expect(page.locator("[data-problems] p.problem")).to_be_visible()
        await expect(told).to_have_count(1)
        await faults.clear()
        await expect(page.locator("[data-figure=equity]")).to_contain_text("$")
        await expect(told).to_have_count(0)


async def test_figures_positions_and_totals_change_without_a_reload(
    browsing: Browsing, alice: Person, faults: Faults
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    async with browsing(alice) as context:
        await faults.set(key, path="/v2/positions", body_text=json.dumps([_position("48.15"), _position("16.23", "B")]))
        page = await open_page(context, f"/accounts/{stored['id']}")
        total = page.locator("tfoot [data-sum=unrealized_pl]")
        await expect(total).to_have_text("+$64.38")
        await page.evaluate("window.wasHere = true")
        await faults.set_all(
            [
                {
                    "key_id": key,
                    "path": "/v2/positions",
                    "body_text": json.dumps([_position("-0.10"), _position("-0.20", "B")]),
                },
                {"key_id": key, "path": "/v2/account", "account_raw": {"equity": '"48151623.42"'}},
            ]
        )
        await expect(total).to_have_text("\N{MINUS SIGN}$0.30")
        await expect(total.locator("data")).to_have_class("gain down changed")
        await expect(page.locator("[data-figure=equity]")).to_have_text("$48,151,623.42")
        await expect(page.locator("[data-positions-changed]")).to_be_hidden()
        await faults.set(key, path="/v2/positions", body_text="[]")
        await expect(page.locator("[data-positions-changed]")).to_be_visible()
        assert await page.evaluate("window.wasHere")


async def test_events_of_other_accounts_are_ignored(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key, other_key = paper_key(), paper_key()
    stored, other = await alice.store(key), await alice.store(other_key, nickname="other")
    async with browsing(alice) as context:
        page, others_page = [await open_page(context, f"/accounts/{one['id']}") for one in (stored, other)]
        await faults.set(other_key, status=503)
        await expect(others_page.locator("[data-problems]")).to_contain_text("Alpaca returned an error (503)")
        # Events of a stream are in order: after this one, the earlier ones have arrived.
        raised: dict[str, object] = {"key_id": key, "path": "/v2/account", "account_raw": {"equity": '"48151623.42"'}}
        await faults.set_all([{"key_id": other_key, "status": 503}, raised])
        await expect(page.locator("[data-figure=equity]")).to_have_text("$48,151,623.42")
        await expect(page.locator("[data-problems] .problem")).to_have_count(0)


async def test_slow_sections_load_by_themselves(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    stored = await alice.store(key)
    await faults.set(key, latency_ms=500)
    async with browsing(alice) as context:
        page = await open_page(context, f"/accounts/{stored['id']}")
        await expect(page.get_by_role("region", name="Positions table")).to_be_visible()
        await expect(page).to_have_url(f"/accounts/{stored['id']}?wait=true")


async def test_without_javascript_the_table_and_sort_links_work(browsing: Browsing, alice: Person) -> None:
    stored = await alice.store()
    async with browsing(alice, java_script_enabled=False, viewport={"width": 360, "height": 800}) as context:
        page = await open_page(context, f"/accounts/{stored['id']}?wait=true")
        await expect(page.get_by_role("region", name="Equity history table").get_by_role("row").nth(1)).to_be_visible()
        await page.get_by_role("link", name="P/L").click()
        await wait_for_all(page)
        positions = page.get_by_role("region", name="Positions table")
        await expect(positions.get_by_role("columnheader", name="P/L")).to_have_attribute("aria-sort", "descending")
        await page.get_by_role("link", name="1D", exact=True).click()
        await wait_for_all(page)
        await expect(page.get_by_role("columnheader", name="Time", exact=True)).to_be_visible()


async def wait_for_all(page: Page) -> None:
    """Reloads the page, as readers without JavaScript do while Alpaca, or the machine, is slow."""
    link = page.get_by_role("link", name="Reload").first
    if await link.count():
        await link.click()


async def test_account_pages_fit_a_phone(browsing: Browsing, alice: Person) -> None:
    stored = await alice.store()
    async with browsing(alice, viewport={"width": 360, "height": 740}) as context:
        for path in ("", "?span=1D", "/orders", "/activities"):
            page = await open_page(context, f"/accounts/{stored['id']}{path}")
            assert not await is_too_wide(page), path
        page = await open_page(context, f"/accounts/{stored['id']}?wait=true")
        rows = page.locator("tr[data-asset]")
        assert max(await rows.evaluate_all(_HEIGHTS)) <= 64  # two lines
        assert await rows.first.evaluate("(row) => row.getBoundingClientRect().top") <= 1.5 * 740


async def test_the_headings_of_positions_stay_in_sight(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    stored = await alice.store(key)
    held = [_position("1", symbol) for symbol in "ABCDEFGH"]
    await faults.set(key, path="/v2/positions", body_text=json.dumps(held))
    async with browsing(alice, viewport={"width": 1280, "height": 240}) as context:
        page = await open_page(context, f"/accounts/{stored['id']}?wait=true")
        rows = page.locator("tbody tr")
        assert max(await rows.evaluate_all(_HEIGHTS)) <= 44
        await rows.last.evaluate("(row) => scrollBy(0, row.getBoundingClientRect().top - 60)")
        heading = page.get_by_role("columnheader", name="Symbol")
        placed, wanted = await heading.evaluate(
            "(it) => [it.getBoundingClientRect().top, parseFloat(getComputedStyle(it).top)]"
        )
        assert placed == wanted


@pytest.mark.parametrize("width", [360, 800, 1280])
async def test_table_rows_need_no_horizontal_scrolling(
    browsing: Browsing, alice: Person, faults: Faults, width: int
) -> None:
    key = paper_key()
    stored = await alice.store(key)
    held = [
        {
            **_position("-4815.16"),
            "symbol": "SPY270115P00500000",
            "side": "short",
            "qty": "-1",
            "avg_entry_price": "14.1",
        },
        {
            **_position("4127.01", "BTC/USD"),
            "qty": "12345678.123456789",
            "current_price": "97123.456789",
            "avg_entry_price": "65000.123456789",
            "market_value": "12477.8",
        },
    ]
    order = {
        "id": "1",
        "status": "partially_filled",
        "symbol": "SPY270115P00500000",
        "side": "sell",
        "qty": "0.128473612",
    }
    order |= {
        "type": "stop_limit",
        "stop_price": "97123.456789",
        "limit_price": "97123.456788",
        "order_class": "bracket",
    }
    order |= {"filled_qty": "0.000000001", "submitted_at": "2026-11-24T15:00:00Z", "created_at": "2026-11-24T15:00:00Z"}
    bodies = {"/v2/positions": held, "/v2/orders": [{**order, "legs": [{**order, "id": "2"}]}]}
    await faults.set_all(
        [{"key_id": key, "path": path, "body_text": json.dumps(body)} for path, body in bodies.items()]
    )
    async with browsing(alice, viewport={"width": width, "height": 800}) as context:
        for path in ("", "/orders", "/activities"):
            page = await open_page(context, f"/accounts/{stored['id']}{path}")
            region = page.locator(".table").first
            await expect(region.get_by_role("rowheader").first).to_be_visible()
            assert await region.evaluate("(it) => it.scrollWidth <= it.clientWidth"), path
            assert not await is_too_wide(page), path


async def test_markup_from_outside_never_runs(browsing: Browsing, alice: Person, faults: Faults) -> None:
    key = paper_key()
    stored = await alice.store(key, nickname=PAYLOAD)
    await faults.set(key, path="/v2/positions", body_text=json.dumps([_position("1", PAYLOAD)]))
    async with browsing(alice) as context:
        page = await open_page(context, f"/accounts/{stored['id']}")
        await expect(page.get_by_role("heading", level=1)).to_have_text(PAYLOAD)
        await expect(page.get_by_role("rowheader").filter(has_text=PAYLOAD)).to_be_visible()
        assert (await page.title()).startswith(PAYLOAD)


def _position(profit: str, symbol: str = "A") -> dict[str, str]:
    return {
        "asset_id": f"asset-{symbol[:1]}",
        "symbol": symbol,
        "side": "long",
        "qty": "1",
        "market_value": "100",
        "unrealized_pl": profit,
        "unrealized_intraday_pl": profit,
        "unrealized_plpc": "0.1",
    }
