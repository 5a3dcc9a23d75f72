"""Cards and totals without JavaScript: figures, restrictions and rejected keys."""

import re

import pytest
from aiohttp import ClientSession

from tests.conftest import Faults
from tests.people import Person, live_key, paper_key
from tests.web.parsed_html import Parsed


async def test_cards_and_totals_show_the_right_figures(alice: Person, alices: ClientSession, faults: Faults) -> None:
    keys = [paper_key(), paper_key(), live_key()]
    worth = {"equity": '"1000.25"', "cash": '"-200.5"', "buying_power": '"3000.75"', "last_equity": '"900.25"'}
    await faults.set_all([{"key_id": key, "path": "/v2/account", "account_raw": worth} for key in keys])
    for key in keys:
        await alice.store(key)
    for path, expected in [
        ("/?wait", ["1000.25", "-200.5", "3000.75"]),
        ("/?show=paper", ["2000.50", "-401.0", "6001.50"]),
    ]:
        html = await _html(alices, path)
        totals, cards = html.partition('<div class="cards">')[::2]
        assert _values(totals)[:3] == expected
        assert _values(cards) == 3 * ["1000.25", "-200.5", "3000.75"]
    parsed = Parsed(html)
    assert [card["class"] for card in parsed.attributes("article")] == ["card paper", "card paper", "card live"]
    assert html.count('class="change up"') == 3
    assert "+$200.00 +11.11%" in parsed.text()  # of both paper accounts
    assert len(re.findall(r"\+\$100\.00 \(\+11\.11 ?%\)", parsed.text())) == 3


@pytest.mark.parametrize(
    ("flag", "reported"),
    [
        ("account_blocked", "Alpaca has blocked this account"),
        ("trading_blocked", "Alpaca has blocked trading"),
        ("pattern_day_trader", "Pattern day trader"),
    ],
)
async def test_restrictions_are_shown_on_the_card_and_the_account_page(
    flag: str, reported: str, alice: Person, alices: ClientSession, faults: Faults
) -> None:
    key, free = paper_key(), paper_key()
    calm: dict[str, object] = {"account_blocked": "false", "trading_blocked": "false", "pattern_day_trader": "false"}
    await faults.set_all(
        [
            {"key_id": key, "path": "/v2/account", "account_raw": calm | {flag: "true"}},
            {"key_id": free, "path": "/v2/account", "account_raw": calm},
        ]
    )
    stored, other = await alice.store(key), await alice.store(free)
    assert re.findall(f'class="notice warning">[^<]*{reported}|>{reported} ·', await _html(alices, "/?wait"))
    for one, times in [(stored, 1), (other, 0)]:
        html = await _html(alices, f"/accounts/{one['id']}?wait=true")
        assert html.lower().count(reported.lower()) == times


async def test_a_card_with_rejected_keys_links_to_replacing_them(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    refused, down, well = [paper_key() for _ in range(3)]
    stored = [await alice.store(key) for key in (refused, down, well)]
    await faults.set_all([{"key_id": refused, "status": 401}, {"key_id": down, "status": 503}])
    html = await _html(alices, "/?wait")
    cards = html.partition('<div class="cards">')[2]
    assert [cards.count(f"/keys/{one['id']}/replace") for one in stored] == [1, 0, 0]


async def _html(session: ClientSession, path: str) -> str:
    async with session.get(path) as answer:
        assert answer.status == 200
        return await answer.text()


def _values(html: str) -> list[str]:
    """Returns the exact amounts of money in it."""
    return [str(amount["value"]) for amount in Parsed(html).attributes("data") if amount["class"] == "money"]
