"""The page of one position: figures, lots, orders, activities, and its share of each account."""

from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.accounts.alpaca_lists import FILL, POSITION, order
from tests.conftest import Faults
from tests.people import Person, live_key, paper_key
from tests.web.parsed_html import Parsed, read_page

LONG = {**POSITION, "qty": "15", "side": "long", "market_value": "3660.00", "cost_basis": "3500"}
CALL = "AAPL261218C00250000"


def fill(at: int, side: str, qty: str, price: str, symbol: str = "AAPL") -> dict[str, Any]:
    """At a day of November."""
    trade = {"side": side, "qty": qty, "price": price, "symbol": symbol}
    return {**FILL, **trade, "id": f"202611{at:02}::{at}", "transaction_time": f"2026-11-{at:02}T15:00:00Z"}


async def store(
    person: Person, faults: Faults, *, positions: Sequence[object] = (), activities: Sequence[object] = (),
    orders: Sequence[object] = (), key_id: str | None = None, nickname: str = "Growth",
) -> str:  # fmt: skip
    """Returns the path of a new account with these lists at Alpaca."""
    key_id = key_id or paper_key()
    bodies = {"/v2/positions": positions, "/v2/account/activities": activities, "/v2/orders": orders}
    await faults.set_all({"key_id": key_id, "path": path, "body": list(body)} for path, body in bodies.items())
    return f"/accounts/{(await person.store(key_id, nickname))['id']}"


async def read(browser: ClientSession, path: str) -> Parsed:
    return await read_page(browser, f"{path}?wait=true")


async def test_a_position_shows_its_figures_and_lots(alice: Person, alices: ClientSession, faults: Faults) -> None:
    fills = [fill(12, "sell", "5", "250"), fill(11, "buy", "10", "240"), fill(10, "buy", "10", "220")]
    orders = [order(1, status="new"), order(2, symbol="MSFT"), order(3)]
    account = await store(alice, faults, positions=[LONG], activities=fills, orders=orders)
    page = await read(alices, f"{account}/positions/AAPL")
    assert page.title().startswith("AAPL · Growth")
    shown = page.text()
    for text in ("NASDAQ", "$3,660.00", "Weight 100.00%", "first in first out", "Realized P/L +$150.00 from 5 closed"):
        assert text in shown
    assert "Incomplete" not in shown
    lots = [one["value"] for one in page.attributes("data") if one.get("data-cell") is None]
    assert lots[lots.index("1100") - 2 : lots.index("1100") + 2] == ["5", "220", "1100", "120"]
    links = {link["href"] for link in page.attributes("a")}
    assert f"{account}/orders/{order(1)['id']}" in links
    assert f"{account}/orders/{order(2)['id']}" not in links


async def test_a_position_shows_its_share_of_each_account(alice: Person, alices: ClientSession, faults: Faults) -> None:
    keys = [paper_key(), live_key(), paper_key()]
    held = [[LONG], [{**LONG, "market_value": "50000"}], []]
    await faults.set_all(
        {"key_id": key, "path": "/v2/positions", "body": body} for key, body in zip(keys, held, strict=True)
    )
    names = ("Growth", "Real", "Empty")
    ids = [(await alice.store(key, name))["id"] for key, name in zip(keys, names, strict=True)]
    page = await read(alices, f"/accounts/{ids[0]}/positions/AAPL")
    assert "Growth this account 15 $3,660.00 " in page.text()
    links = {link["href"] for link in page.attributes("a")}
    assert f"/accounts/{ids[1]}/positions/AAPL" in links
    assert f"/accounts/{ids[2]}/positions/AAPL" not in links


async def test_what_activities_do_not_explain_is_said(alice: Person, alices: ClientSession, faults: Faults) -> None:
    account = await store(alice, faults, positions=[LONG], activities=[fill(11, "buy", "10", "240")])
    shown = (await read(alices, f"{account}/positions/AAPL")).text()
    assert "Incomplete. Activities explain 10 of 15 . The rest counts as the oldest lot." in shown
    assert "Unknown 5 unknown" in shown
    assert "Realized" not in shown


async def test_coins_have_one_page_under_both_symbols(alice: Person, alices: ClientSession, faults: Faults) -> None:
    coin = {**LONG, "symbol": "BTCUSD", "asset_class": "crypto", "exchange": "CRYPTO", "qty": "0.9975"}
    fee = {"id": "20261111::fee", "activity_type": "CFEE", "date": "2026-11-11", "net_amount": "0", "symbol": "BTCUSD",
           "qty": "-0.0025", "price": "65000", "status": "executed"}  # fmt: skip
    account = await store(
        alice, faults, positions=[coin], activities=[fee, fill(11, "buy", "1", "65000", symbol="BTC/USD")]
    )
    for symbol in ("BTCUSD", "BTC/USD"):
        page = await read(alices, f"{account}/positions/{symbol}")
        assert page.title().startswith("BTC/USD")
        assert "Incomplete" not in page.text()
        assert "Crypto fee" in page.text()


async def test_an_option_names_its_underlying_and_days_to_expiry(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    option = {**LONG, "symbol": CALL, "asset_class": "us_option", "qty": "2", "current_price": "6"}
    account = await store(alice, faults, positions=[option], activities=[fill(11, "buy", "2", "5", symbol=CALL)])
    page = await read(alices, f"{account}/positions/{CALL}")
    assert "AAPL $250 Call, Dec 18" in page.text()
    assert f"{account}/positions/AAPL" in [link["href"] for link in page.attributes("a")]
    assert {"1000", "200"} <= {one["value"] for one in page.attributes("data")}  # cost and gain of 100 shares each


async def test_a_closed_position_still_has_orders_activities_and_its_gain(
    alice: Person, alices: ClientSession, faults: Faults
) -> None:
    fills = [fill(12, "sell", "10", "250"), fill(11, "buy", "10", "240")]
    account = await store(alice, faults, activities=fills, orders=[order(3)])
    shown = (await read(alices, f"{account}/positions/AAPL")).text()
    for text in ("No open position.", "No open lots.", "Realized P/L +$100.00 from 10 closed", "Bought", "Sold"):
        assert text in shown


@pytest.mark.parametrize("symbol", ["AAPL%22%3E", "x" * 40])
async def test_no_symbol_is_not_found(alice: Person, alices: ClientSession, symbol: str) -> None:
    async with alices.get(f"/accounts/{(await alice.store())['id']}/positions/{symbol}") as answer:
        assert answer.status in {404, 422}


async def test_another_persons_position_is_not_found(alice: Person, alices: ClientSession, bobs: ClientSession) -> None:
    path = f"/accounts/{(await alice.store(live_key()))['id']}/positions/AAPL"
    await read_page(alices, path)
    async with bobs.get(path) as answer:
        assert answer.status == 404
