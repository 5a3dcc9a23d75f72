"""Amounts that a device hides are on none of its pages: neither shown nor said by a screen reader."""

import json
import re
from collections.abc import Callable
from typing import Final

import pytest
from aiohttp import ClientSession

from corral.web.display import MASK
from corral.web.view.figures import (
    accessible,
    format_amount,
    format_change,
    format_decimal,
    format_gain,
    format_money,
    format_percent,
    format_price,
    format_quantity,
    mask_numbers,
    spoken,
)
from tests.accounts.alpaca_lists import FILL, POSITION, order
from tests.conftest import Faults, Service
from tests.identity.members import make_administrator
from tests.people import Person, live_key, paper_key
from tests.web.displaying import HIDING, displaying
from tests.web.page_ids import ids_of
from tests.web.page_paths import PAGES, filled_in
from tests.web.parsed_html import Parsed, readable_texts

# Every amount of the account begins with 753; its prices do not.
_POSITIONS: Final = [
    {**POSITION, "qty": "753.1", "qty_available": "753.1", "side": "long", "market_value": "7532", "cost_basis": "7533",
     "unrealized_pl": "7534", "unrealized_intraday_pl": "7535"},
]  # fmt: skip
_ORDERS: Final = [
    order(1, qty="753.6", filled_qty="753.6"),
    order(2, qty=None, notional="7537.5", filled_qty="0", filled_avg_price=None, status="new"),
]
_ACTIVITIES: Final = [
    {**FILL, "qty": "753.8", "cum_qty": "753.8", "leaves_qty": "753.8"},
    {"id": "2", "activity_type": "FEE", "date": "2026-08-04", "net_amount": "-753.9", "status": "executed",
     "description": "TAF fee for 753 shares of 753.55 dollars"},
]  # fmt: skip
_ACCOUNT: Final = dict.fromkeys(["equity", "cash", "buying_power", "last_equity", "long_market_value"], '"75310.11"')
_HISTORY: Final = {
    "timestamp": [1732222800, 1732309200],
    "equity": [75300, 75312],
    "profit_loss": [0, 753],
    "profit_loss_pct": [0, 0.015],
    "base_value": 75300,
    "timeframe": "1D",
}
_WITH_AMOUNTS: Final = re.compile(r"/$|/holdings|/orders|/activity|/accounts/\{credential_id\}(/(?!grants).*)?$")
# Not in the middle of a made-up address, nor in an account number.
_MONEY: Final = re.compile(r"[$€£¥]\s?\d|(?<![\w-])753(?!\d{4})")


@pytest.mark.parametrize(
    ("format_text", "given"),
    [
        (format_money, ("753", "USD")),
        (format_gain, ("753", "USD")),
        (format_amount, ("753", "USD")),
        (format_quantity, ("753",)),
    ],
    ids=["money", "gain", "amount", "quantity"],
)
def test_an_amount_is_masked(format_text: Callable[..., str], given: tuple[str, ...]) -> None:
    assert "753" in format_text(*given)
    with displaying(HIDING):
        assert format_text(*given) == MASK


def test_prices_and_percentages_are_never_masked() -> None:
    with displaying(HIDING):
        assert format_price("150.5", "USD") == "$150.50"
        assert format_percent("0.015") == "+1.50%"
        assert format_decimal("4") == "4"
        assert format_change("101", "100", "USD") == f"{MASK} (+1.00%)"
        assert mask_numbers("TAF fee for 1,572 shares") == f"TAF fee for {MASK} shares"


def test_screen_readers_say_hidden() -> None:
    assert spoken(f"from {MASK}") == "from hidden"
    assert accessible(f"<{MASK}>") == (
        f'&lt;<span class="mask" aria-hidden="true">{MASK}</span><span class="visually-hidden">hidden</span>&gt;'
    )


async def test_no_page_has_an_amount(
    service: Service, alice: Person, bob: Person, alices: ClientSession, faults: Faults
) -> None:
    key_id, *others = keys = [paper_key(), paper_key(), live_key()]  # with several accounts, pages have totals
    await make_administrator(service, alice.email)
    for other in others:
        await alice.store(other, "Another")
    ids = await ids_of(service, alice, bob, key_id=key_id) | {"order_id": _ORDERS[0]["id"]}
    lists = {
        f"/v2/orders/{ids['order_id']}": _ORDERS[0],
        "/v2/positions": _POSITIONS,
        "/v2/orders": _ORDERS,
        "/v2/account/activities": _ACTIVITIES,
        "/v2/account/portfolio/history": _HISTORY,
    }
    answers: list[dict[str, object]] = [{"path": path, "body_text": json.dumps(body)} for path, body in lists.items()]
    await faults.set_all(
        {"key_id": key, **answer}
        for key in keys
        for answer in [*answers, {"path": "/v2/account", "account_raw": _ACCOUNT}]
    )
    found: list[str] = []
    for page in PAGES:
        if not (html := await _read(alices, page, ids)):
            continue
        found += [f"{page}: {text}" for kind, text in readable_texts(html) if kind != "price" and _MONEY.search(text)]
        assert "hidden" not in Parsed(html).title().lower(), page  # a title is shown as it is
        if _WITH_AMOUNTS.match(page):
            assert MASK in html, page
            assert "Hide amounts" not in html, page
    assert found == []


async def _read(session: ClientSession, page: str, ids: dict[str, str]) -> str:
    """With amounts, waits for all of them. Returns an empty text for what is not a page but data for a script."""
    path = filled_in(page, ids) + ("?wait=true" if _WITH_AMOUNTS.match(page) else "")
    async with session.get(path, cookies={"corral_display": "amounts:hidden"}) as answer:
        assert answer.status == 200, path
        return await answer.text() if answer.content_type == "text/html" else ""


async def test_csv_files_stay_real_and_pages_say_so(alice: Person, alices: ClientSession) -> None:
    stored = await alice.store()
    for page, is_said in (("", False), ("amounts:hidden", True)):
        async with alices.get(f"/accounts/{stored['id']}/orders", cookies={"corral_display": page}) as answer:
            assert ("with real amounts" in await answer.text()) is is_said
