"""From the holdings of all accounts to a position, which follows the stream."""

from playwright.async_api import expect

from tests.accounts.alpaca_lists import FILL, POSITION
from tests.browser.conftest import Browsing, open_page
from tests.conftest import Faults
from tests.people import Person, paper_key

_LONG = {**POSITION, "symbol": "AAPL", "side": "long", "qty": "10", "market_value": "2440.00", "current_price": "244"}
_BOUGHT = {**FILL, "qty": "10", "price": "240", "transaction_time": "2026-11-23T15:00:00Z"}


async def test_a_holding_leads_to_its_accounts_and_lots_follow_the_price(
    browsing: Browsing, alice: Person, bob: Person, faults: Faults
) -> None:
    growth, wheel = paper_key(), paper_key()

    async def hold(price: str, value: str) -> None:
        held = {**_LONG, "current_price": price, "market_value": value}
        bought: dict[str, object] = {"key_id": growth, "path": "/v2/account/activities", "body": [_BOUGHT]}
        await faults.set_all(
            [bought, *({"key_id": key, "path": "/v2/positions", "body": [held]} for key in (growth, wheel))]
        )

    await hold("240", "2400.00")
    await alice.store(growth, "Growth")
    await alice.store(wheel, "Wheel")
    async with browsing(alice) as context:
        page = await open_page(context, "/holdings")
        row = page.get_by_role("row", name="AAPL")
        await expect(row).to_contain_text("$4,800.00")  # also if the accounts were loaded after the page
        await hold("244", "2440.00")
        await expect(row).to_contain_text("$4,880.00")
        await expect(page.get_by_role("row", name="Total")).to_contain_text("$4,880.00")
        await row.get_by_text("2 accounts").click()
        await page.get_by_role("link", name="Growth").click()
        lots = page.get_by_role("region", name="Lots table")
        await expect(lots).to_contain_text("+$40.00")
        await expect(page.locator("#accounts")).to_contain_text("Wheel")
        await page.evaluate("window.wasHere = true")
        await hold("250.5", "2505.00")
        await expect(lots).to_contain_text("+$105.00")
        await expect(page.locator("#positions [data-cell=market_value]")).to_have_text("$2,505.00")
        assert await page.evaluate("window.wasHere")
    async with browsing(alice, java_script_enabled=False) as context:
        page = await open_page(context, "/holdings?wait=true&q=aapl")
        await page.get_by_text("2 accounts").click()
        await expect(page.get_by_role("link", name="Wheel")).to_be_visible()
        await page.get_by_role("link", name="Orders", exact=True).first.click()
        await expect(page.get_by_role("heading", name="Orders", exact=True)).to_be_visible()
