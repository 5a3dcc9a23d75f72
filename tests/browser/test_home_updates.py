"""Updates of cards and totals by the stream: numbers, signs and colors, each on the right card."""

from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Browsing, open_page
from tests.conftest import Faults
from tests.people import Person, live_key, paper_key

_MINUS = "\N{MINUS SIGN}"

_RESTRICTIONS = ("account_blocked", "trading_blocked", "transfers_blocked", "trade_suspended_by_user")


class Accounts:
    """Two paper accounts and a live one, with the equity that a test sets."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.keys = {"rising": paper_key(), "falling": paper_key(), "real": live_key()}

    async def set_new_equity(self, **flags: str) -> None:
        await self._answer({"rising": "1100.00", "falling": "900.10", "real": "5000000.05"}, flags)

    async def set_old_equity(self) -> None:
        await self._answer({"rising": "1000.01", "falling": "1000.01", "real": "4000000.01"}, {})

    async def _answer(self, worth: dict[str, str], flags: dict[str, str]) -> None:
        usual = {"last_equity": '"1000.00"'} | dict.fromkeys(_RESTRICTIONS, "false")
        await self._faults.set_all(
            [
                {
                    "key_id": self.keys[name],
                    "path": "/v2/account",
                    "account_raw": usual | {"equity": f'"{equity}"', "cash": f'"-{equity}"'} | flags,
                }
                for name, equity in worth.items()
            ]
        )


async def test_cards_and_totals_follow_the_stream(
    browsing: Browsing, alice: Person, bob: Person, faults: Faults
) -> None:
    accounts = Accounts(faults)
    await accounts.set_old_equity()
    for name, key_id in accounts.keys.items():
        await alice.store(key_id, nickname=name)
    async with browsing(alice) as context:
        page = await open_page(context, "/?show=paper")
        total = page.locator("[data-total=paper]")
        await expect(total).to_contain_text("$2,000.02")
        chart = page.locator("[data-equity-chart]")
        await expect(chart).to_have_attribute("data-equity", "2000.02")
        await page.evaluate("window.wasHere = true")
        await accounts.set_new_equity()
        await expect(total).to_contain_text("$2,000.10")
        await expect(total).to_contain_text(f"{_MINUS}$2,000.10")
        await expect(total.locator("[data-sum=today]")).to_have_text("+$0.10 0.00%")
        await expect(chart).to_have_attribute("data-equity", "2000.10")  # the curve ends with the same figure
        await expect(page.locator("[data-missing]:visible")).to_have_count(0)
        await expect(_card(page, "real")).to_contain_text("$5,000,000.05")
        for name, change, trend in [
            ("rising", "+$100.00 (+10.00%)", "up"),
            ("falling", f"{_MINUS}$99.90 ({_MINUS}9.99%)", "down"),
        ]:
            card = _card(page, name)
            await expect(card.locator("[data-change]")).to_contain_text(change)
            await expect(card.locator("[data-change]")).to_contain_class(trend)
        assert await page.evaluate("window.wasHere")


async def test_restrictions_appear_and_disappear_with_the_stream(
    browsing: Browsing, alice: Person, bob: Person, faults: Faults
) -> None:
    accounts = Accounts(faults)
    await accounts.set_old_equity()
    await alice.store(accounts.keys["rising"], nickname="rising")
    async with browsing(alice) as context:
        page = await open_page(context)
        card = _card(page, "rising")
        await expect(card).to_contain_text("$1,000.01")
        await accounts.set_new_equity(account_blocked="true", trading_blocked="true")
        for told in ("Alpaca has blocked this account", "Alpaca has blocked trading"):
            await expect(card).to_contain_text(told)
        await accounts.set_old_equity()
        await expect(card).not_to_contain_text("Alpaca has blocked")


def _card(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name)
