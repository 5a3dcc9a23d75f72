"""Prices in the test's hand: fixed, stepwise, halted, and free again."""

from collections.abc import AsyncGenerator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox, serve_sandbox
from corral_sandbox.market.time import NEW_YORK

KEY_ID = "PKPRICES001"
HEADERS = {"APCA-API-KEY-ID": KEY_ID, "APCA-API-SECRET-KEY": f"sandbox-secret-for-{KEY_ID}"}
IN_HOURS = datetime(2026, 11, 24, 10, 0, tzinfo=NEW_YORK)
BUY = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"}


class Broker:
    def __init__(self, client: ClientSession) -> None:
        self._client = client

    async def call(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:  # noqa: ANN401 - JSON
        async with self._client.request(method, path, json=body, headers=HEADERS) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def order(self, **changes: object) -> str:
        return (await self.call("POST", "/v2/orders", BUY | changes))["id"]

    async def status_of(self, order_id: str) -> str:
        return (await self.call("GET", f"/v2/orders/{order_id}"))["status"]

    async def advance(self, **how: object) -> None:
        await self.call("POST", "/_clock/advance", how)

    async def latest(self, symbol: str = "AAPL") -> float:
        return (await self.call("GET", f"/v2/stocks/{symbol}/trades/latest"))["trade"]["p"]


@pytest.fixture
async def broker() -> AsyncGenerator[Broker]:
    async with serve_sandbox(port=0, start=IN_HOURS, speed=0) as sandbox, ClientSession(sandbox.url) as client:
        yield Broker(client)


async def test_a_fixed_price_is_that_of_fills_positions_and_market_data(broker: Broker) -> None:
    assert await broker.call("PUT", "/_prices", {"AAPL": "270.00"}) == {"AAPL": "270"}
    order = await broker.call("GET", f"/v2/orders/{await broker.order()}")
    assert (order["status"], order["filled_avg_price"]) == ("filled", "270")
    await broker.call("PUT", "/_prices", {"AAPL": 271})
    position = await broker.call("GET", "/v2/positions/AAPL")
    assert (position["current_price"], position["unrealized_pl"]) == ("271", "10")
    account = await broker.call("GET", "/v2/account")
    assert Decimal(account["equity"]) == Decimal(100_010)
    assert await broker.latest() == 271


async def test_a_path_moves_the_price_stepwise(broker: Broker) -> None:
    steps = [["2026-11-24T10:05-05:00", "271"], ["2026-11-24T10:10-05:00", "265.5"]]
    await broker.call("PUT", "/_prices", {"AAPL": [["2026-11-24T09:00-05:00", "270"], *steps]})
    seen = [await broker.latest()]
    for _ in range(2):
        await broker.advance(seconds=300)
        seen.append(await broker.latest())
    assert seen == [270, 271, 265.5]


async def test_what_a_new_price_crosses_is_filled_before_the_next_request(broker: Broker) -> None:
    await broker.call("PUT", "/_prices", {"AAPL": "270"})
    limit = await broker.order(type="limit", limit_price="265")
    other = await broker.order(symbol="MSFT", type="limit", limit_price="1")
    assert await broker.status_of(limit) == "new"
    await broker.call("PUT", "/_prices", {"AAPL": "264.99"})
    filled = await broker.call("GET", f"/v2/orders/{limit}")
    assert (filled["status"], filled["filled_avg_price"]) == ("filled", "264.99")
    assert await broker.status_of(other) == "new"


async def test_a_bracket_is_walked_by_clock_and_price(broker: Broker) -> None:
    await broker.call("PUT", "/_prices", {"AAPL": "270"})
    legs = {"take_profit": {"limit_price": "280"}, "stop_loss": {"stop_price": "260"}}
    bracket = await broker.order(order_class="bracket", **legs)
    await broker.call("PUT", "/_prices", {"AAPL": [["2026-11-24T11:00-05:00", "259"]]})
    await broker.advance(to="2026-11-24T11:00:01-05:00")
    order = await broker.call("GET", f"/v2/orders/{bracket}?nested=true")
    assert {leg["type"]: leg["status"] for leg in order["legs"]} == {"limit": "canceled", "stop": "filled"}
    assert await broker.call("GET", "/v2/positions") == []


async def test_a_trailing_stop_keeps_the_highest_price_over_a_change(broker: Broker) -> None:
    await broker.call("PUT", "/_prices", {"AAPL": "270"})
    await broker.order()
    stop = await broker.order(side="sell", type="trailing_stop", trail_price="10")
    await broker.call("PUT", "/_prices", {"AAPL": "290"})
    await broker.advance(seconds=1)
    await broker.call("PUT", "/_prices", {"AAPL": "281"})
    assert await broker.status_of(stop) == "new"
    await broker.call("PUT", "/_prices", {"AAPL": "280"})
    assert await broker.status_of(stop) == "filled"


async def test_nothing_trades_in_a_halted_share_until_it_goes_on(broker: Broker) -> None:
    assert await broker.call("PUT", "/_prices", {"AAPL": "halted"}) == {"AAPL": "halted"}
    market = await broker.order()
    at_once = await broker.order(time_in_force="ioc")
    await broker.advance(seconds=60)
    assert [await broker.status_of(order) for order in (market, at_once)] == ["new", "canceled"]
    held = await broker.latest()
    await broker.advance(seconds=60)
    assert await broker.latest() == held
    await broker.call("PUT", "/_prices", {"AAPL": "250"})
    assert await broker.status_of(market) == "filled"


async def test_an_order_in_a_halted_share_expires_with_the_day(broker: Broker) -> None:
    await broker.call("PUT", "/_prices", {"AAPL": "halted"})
    order = await broker.order()
    await broker.advance(to="close")
    assert await broker.status_of(order) == "expired"


async def test_an_option_follows_its_underlying(broker: Broker) -> None:
    query = "underlying_symbols=AAPL&type=call&expiration_date_gte=2026-12-01&limit=1&strike_price_lte=240"
    contract = (await broker.call("GET", f"/v2/options/contracts?{query}"))["option_contracts"][0]
    await broker.call("PUT", "/_prices", {"AAPL": "500"})
    quotes = await broker.call("GET", f"/v1beta1/options/trades/latest?symbols={contract['symbol']}")
    assert quotes["trades"][contract["symbol"]]["p"] >= 500 - float(contract["strike_price"])


async def test_without_a_fixed_price_it_is_drawn_again_and_what_was_fixed_stays_in_the_past(broker: Broker) -> None:
    drawn = await broker.latest()
    await broker.call("PUT", "/_prices", {"AAPL": "270", "BTC/USD": "1000"})
    await broker.advance(seconds=120)
    assert await broker.call("DELETE", "/_prices/BTC%2FUSD") == {"AAPL": "270"}
    assert await broker.call("DELETE", "/_prices") == {}
    assert abs(await broker.latest() - drawn) < 20
    bars = await broker.call("GET", "/v2/stocks/AAPL/bars?timeframe=1Min&start=2026-11-24T15:00:00Z")
    assert [bar["c"] for bar in bars["bars"][:2]] == [270, 270]


async def test_a_reset_frees_all_prices(broker: Broker) -> None:
    drawn = await broker.latest()
    await broker.call("PUT", "/_prices", {"AAPL": "270"})
    await broker.call("POST", "/_reset")
    assert await broker.call("GET", "/_prices") == {}
    assert await broker.latest() == drawn


async def test_prices_of_two_sandboxes_are_apart(broker: Broker) -> None:
    await broker.call("PUT", "/_prices", {"AAPL": "1"})
    async with serve_sandbox(port=0, start=IN_HOURS, speed=0) as sandbox, ClientSession(sandbox.url) as client:
        assert await Broker(client).latest() > 100


async def test_all_prices_are_listed_with_what_moves_them(broker: Broker) -> None:
    call = "AAPL261218C00250000"
    path = [["2026-11-24T10:00-05:00", "91000"], ["2026-11-24T11:00-05:00", "92000.5"]]
    await broker.call("PUT", "/_prices", {"AAPL": "270.00", "TSLA": "halted", "BTC/USD": path, call: "9.5"})
    prices = await broker.call("GET", "/_prices?all=true")
    assert prices["AAPL"] == {"price": "270", "state": "fixed"}
    assert prices[call] == {"price": "9.5", "state": "fixed"}
    assert prices["BTC/USD"] == {
        "price": "91000", "state": "path", "next": ["2026-11-24T16:00:00.000000000Z", "92000.5"]
    }  # fmt: skip
    assert {symbol for symbol, shown in prices.items() if shown["state"] == "halted"} == {"TSLA"}
    assert prices["MSFT"]["state"] == "drawn"
    assert [float(prices[symbol]["price"]) for symbol in ("MSFT", "TSLA")] == [
        await broker.latest("MSFT"), await broker.latest("TSLA")
    ]  # fmt: skip
    shares, coins = [
        await broker.call("GET", f"/v2/assets?status=active&asset_class={each}") for each in ("us_equity", "crypto")
    ]
    assert set(prices) == {asset["symbol"] for asset in [*shares, *coins]} | {call}
    await broker.advance(to="2026-11-24T11:00-05:00")
    assert (await broker.call("GET", "/_prices?all=true"))["BTC/USD"] == {"price": "92000.5", "state": "fixed"}
    assert call in await broker.call("GET", "/_prices?all=false")


@pytest.mark.parametrize("query", ["all=yes", "all=", "every=true"])
async def test_another_list_of_prices_is_refused(broker: Broker, query: str) -> None:
    assert "all" in (await broker.call("GET", f"/_prices?{query}", status=400))["message"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"AAPL": "-1"}, "AAPL: a price is above 0"),
        ({"AAPL": "0"}, "AAPL: a price is above 0"),
        ({"AAPL": "NaN"}, "AAPL: a price is above 0"),
        ({"AAPL": "1e9"}, "at most 10,000,000"),
        ({"AAPL": None}, "AAPL: a price is above 0"),
        ({"AAPL": "0.0000000001"}, "at most 9 decimals"),
        ({"AAPL": []}, "from 1 to 10,000 steps"),
        ({"AAPL": [["2026-11-24T10:05-05:00"]]}, "a step is a time and a price"),
        ({"AAPL": [["2026-11-24T10:05", "1"]]}, "AAPL: invalid time"),
        ({"ACME": "-1"}, "ACME: a price is above 0"),
        ({"MSFT": "1", "AAPL": "x"}, "AAPL: a price is above 0"),
        (["AAPL"], "an object of prices by symbol"),
    ],
)
async def test_bad_prices_are_refused_and_change_nothing(broker: Broker, body: object, told: str) -> None:
    before = await broker.call("GET", "/_clock")
    assert told in (await broker.call("PUT", "/_prices", body, status=400))["message"]
    assert await broker.call("GET", "/_prices") == {}
    assert await broker.call("GET", "/_clock") == before


async def test_a_symbol_that_is_no_text_is_refused(http: ClientSession, sandbox: Sandbox) -> None:
    async with http.put(f"{sandbox.url}/_prices", data=b'{"\\ud800": "1"}') as response:
        assert response.status == 400
        assert "an object of prices by symbol" in (await response.json())["message"]
