"""Shares and coins that a test lists by giving them a price."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import ClientSession

from corral_sandbox import secret_of, serve_sandbox
from corral_sandbox.market.assets import asset_id_of
from corral_sandbox.market.time import NEW_YORK
from tests.sandbox.judges import judge
from tests.sandbox.people import ALICE, keys_of

_IN_HOURS = datetime(2026, 11, 24, 10, 0, tzinfo=NEW_YORK)
_MARKET_ORDER = {"symbol": "ACME", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"}
_YESTERDAY = "2026-11-23"


class _Client:
    def __init__(self, http: ClientSession) -> None:
        self.http = http

    async def call(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:  # noqa: ANN401 - JSON
        async with self.http.request(method, path, json=body, headers=keys_of(ALICE)) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json() if answer.status != 204 else None

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return await self.call("GET", path)

    async def put_prices(self, prices: dict[str, object]) -> Any:  # noqa: ANN401 - JSON
        return await self.call("PUT", "/_prices", prices)

    async def refusal(self, method: str, path: str, body: object = None) -> str:
        return (await self.call(method, path, body, status=400))["message"]

    async def order(self, **changes: object) -> Any:  # noqa: ANN401 - JSON
        placed = await self.call("POST", "/v2/orders", _MARKET_ORDER | changes)
        return await self.get(f"/v2/orders/{placed['id']}")

    async def is_listed(self, symbol: str) -> bool:
        async with self.http.get(f"/v2/assets/{symbol}", headers=keys_of(ALICE)) as answer:
            return answer.status == 200


@asynccontextmanager
async def _new_sandbox() -> AsyncGenerator[_Client]:
    async with (
        serve_sandbox(port=0, start=_IN_HOURS, speed=0, rate_limit_per_minute=0) as sandbox,
        ClientSession(sandbox.url) as http,
    ):
        yield _Client(http)


@pytest.fixture
async def client() -> AsyncIterator[_Client]:
    async with _new_sandbox() as new:
        yield new


async def test_an_unknown_symbol_is_listed_as_a_share(client: _Client, official: dict[str, Any]) -> None:
    assert not await client.is_listed("ACME")
    assert await client.put_prices({"ACME": "12.50"}) == {"ACME": "12.5"}
    share = await client.get("/v2/assets/ACME")
    judge(official, "/v2/assets/{symbol_or_asset_id}").validate(share)
    assert (share["class"], share["tradable"], share["status"]) == ("us_equity", True, "active")
    assert "has_options" not in share["attributes"]
    assert share["id"] == asset_id_of("ACME")
    assert await client.get(f"/v2/assets/{share['id']}") == share
    shares = await client.get("/v2/assets")
    assert share in shares
    assert shares == sorted(shares, key=lambda each: (each["exchange"], each["symbol"]))
    assert (await client.get("/v2/options/contracts?underlying_symbols=ACME"))["option_contracts"] == []


async def test_a_new_share_is_bought_held_and_sold_short(client: _Client) -> None:
    await client.put_prices({"ACME": "12.50", "WIDG.A": "0.5"})
    bought, short = await client.order(), await client.order(symbol="WIDG.A", side="sell")
    assert [order["filled_avg_price"] for order in (bought, short)] == ["12.5", "0.5"]
    await client.put_prices({"ACME": "13"})
    position = await client.get("/v2/positions/ACME")
    assert (position["unrealized_pl"], position["lastday_price"], position["qty"]) == ("5", "12.5", "10")
    account = await client.get("/v2/account")
    assert Decimal(account["equity"]) == 100_005
    limit = await client.order(symbol="WIDG.A", type="limit", limit_price="0.4999")  # a hundredth of a cent
    assert limit["status"] == "new"
    closed = await client.call("DELETE", "/v2/positions", status=207)
    assert {each["symbol"]: each["status"] for each in closed} == {"ACME": 200, "WIDG.A": 403}


async def test_a_new_share_is_in_market_data_and_has_its_first_price_in_the_past(client: _Client) -> None:
    steps = [["2026-11-24T10:05-05:00", "13"], ["2026-11-24T10:10-05:00", "14"]]
    await client.put_prices({"ACME": steps})
    assert (await client.get("/v2/stocks/ACME/trades/latest"))["trade"]["p"] == 13
    await client.call("POST", "/_clock/advance", {"seconds": 900})
    quote = (await client.get("/v2/stocks/quotes/latest?symbols=ACME,KO"))["quotes"]["ACME"]
    assert (quote["bp"], quote["ap"]) == (13.99, 14.01)
    bars = (await client.get(f"/v2/stocks/ACME/bars?timeframe=1Day&start={_YESTERDAY}"))["bars"]
    assert [(bar["o"], bar["c"]) for bar in bars] == [(13, 13), (13, 14)]
    snapshot = await client.get("/v2/stocks/ACME/snapshot")
    assert (snapshot["prevDailyBar"]["c"], snapshot["dailyBar"]["c"], snapshot["minuteBar"]["c"]) == (13, 14, 14)


async def test_an_unknown_pair_with_usd_is_listed_as_a_coin(client: _Client, official: dict[str, Any]) -> None:
    await client.put_prices({"XYZ/USD": "0.04"})
    coin = await client.get("/v2/assets/XYZUSD")
    judge(official, "/v2/assets/{symbol_or_asset_id}").validate(coin)
    assert (coin["symbol"], coin["class"], coin["price_increment"]) == ("XYZ/USD", "crypto", "0.000001")
    assert coin in await client.get("/v2/assets?asset_class=crypto")
    filled = await client.order(symbol="XYZ/USD", qty="1000", time_in_force="gtc")
    assert (filled["status"], filled["filled_avg_price"]) == ("filled", "0.04")
    assert (await client.get("/v2/positions/XYZUSD"))["qty"] == "997.5"  # less the fee
    book = (await client.get("/v1beta3/crypto/us/latest/orderbooks?symbols=XYZ/USD"))["orderbooks"]["XYZ/USD"]
    assert (book["b"][0]["p"], book["a"][0]["p"]) == (0.039999, 0.040001)


async def test_who_has_subscribed_to_a_symbol_hears_of_it_once_it_is_listed(client: _Client) -> None:
    keys = {"key": ALICE, "secret": secret_of(ALICE)}
    async with client.http.ws_connect("/v2/iex") as socket:
        await socket.send_json({"action": "auth", **keys})
        await socket.send_json({"action": "subscribe", "trades": ["ACME"], "bars": ["*"]})
        for _ in ("connected", "authenticated", "subscription"):
            await socket.receive(timeout=10)
        await client.call("POST", "/_clock/advance", {"seconds": 1})
        await client.put_prices({"ACME": "12.50"})
        await client.call("POST", "/_clock/advance", {"seconds": 60})
        heard: dict[str, float] = {}
        while len(heard) < len(("trade", "bar")):
            messages = [each for each in (await socket.receive(timeout=10)).json() if each["S"] == "ACME"]
            heard |= {each["T"]: each["p" if each["T"] == "t" else "c"] for each in messages}
    assert heard == {"t": 12.5, "b": 12.5}


async def test_an_unused_symbol_is_gone_with_its_price(client: _Client) -> None:
    await client.put_prices({"ACME": "12.50", "XYZ/USD": "3", "AAPL": "270"})
    assert await client.call("DELETE", "/_prices/XYZUSD") == {"ACME": "12.5", "AAPL": "270"}
    assert await client.call("DELETE", "/_prices") == {}
    assert [await client.is_listed(symbol) for symbol in ("ACME", "XYZUSD", "AAPL")] == [False, False, True]
    assert (await client.get("/v2/stocks/snapshots?symbols=ACME")) == {}
    assert "no such symbol" in await client.refusal("DELETE", "/_prices/ACME")
    await client.put_prices({"ACME": "99"})  # anew, also in the past
    assert (await client.get(f"/v2/stocks/ACME/bars?timeframe=1Day&start={_YESTERDAY}"))["bars"][0]["o"] == 99


@pytest.mark.parametrize("use", ["position", "canceled order", "watchlist"])
async def test_a_symbol_that_an_account_uses_stays_at_its_last_price_until_the_reset(client: _Client, use: str) -> None:
    await client.put_prices({"ACME": [["2026-11-24T10:00-05:00", "12.50"], ["2026-11-24T12:00-05:00", "20"]]})
    if use == "position":
        position = {"symbol": "ACME", "qty": "10", "avg_entry_price": "10"}
        await client.call("PUT", f"/_accounts/{ALICE}", {"positions": [position]})
    elif use == "watchlist":
        await client.call("POST", "/v2/watchlists", {"name": "mine", "symbols": ["ACME"]})
    else:
        order = await client.order(type="limit", limit_price="1")
        await client.call("DELETE", f"/v2/orders/{order['id']}", status=204)
    assert await client.call("DELETE", "/_prices") == {"ACME": "12.5"}
    await client.call("POST", "/_clock/advance", {"to": "close"})
    assert (await client.get("/v2/stocks/ACME/trades/latest"))["trade"]["p"] == 12.5
    await client.call("POST", "/_reset")
    assert await client.get("/_prices") == {}
    assert not await client.is_listed("ACME")


async def test_a_new_share_is_halted_once_it_has_a_price(client: _Client) -> None:
    assert "list it with a price first" in await client.refusal("PUT", "/_prices", {"ACME": "halted"})
    await client.put_prices({"ACME": "12.50"})
    assert await client.put_prices({"ACME": "halted"}) == {"ACME": "halted"}
    assert (await client.order())["status"] == "new"


async def test_a_position_in_an_unknown_symbol_is_refused_and_the_way_to_list_it_is_told(client: _Client) -> None:
    form = {"positions": [{"symbol": "ACME", "qty": "10"}]}
    refused = await client.refusal("PUT", f"/_accounts/{ALICE}", form)
    assert refused.startswith("positions.0.symbol: there is no ACME here")
    assert "PUT /_prices" in refused
    await client.put_prices({"ACME": "12.50"})
    state = await client.call("PUT", f"/_accounts/{ALICE}", form)
    assert state["positions"] == [{"symbol": "ACME", "qty": "10", "avg_entry_price": "12.5"}]
    assert await client.call("PUT", f"/_accounts/{ALICE}", state) == state


async def test_what_one_sandbox_lists_another_does_not(client: _Client) -> None:
    await client.put_prices({"ACME": "12.50"})
    async with _new_sandbox() as other:
        assert not await other.is_listed("ACME")
        await other.put_prices({"ACME": "1"})
        assert (await other.get("/v2/stocks/ACME/trades/latest"))["trade"]["p"] == 1
    assert (await client.get("/v2/stocks/ACME/trades/latest"))["trade"]["p"] == 12.5


async def test_the_same_calls_give_the_same_answers_after_a_reset(client: _Client) -> None:
    async def play() -> list[object]:
        await client.put_prices({"ACME": "12.50", "XYZ/USD": "3"})
        return [
            await client.order(),
            await client.get("/v2/assets/ACME"),
            await client.get("/v2/stocks/ACME/snapshot"),
            await client.get("/v1beta3/crypto/us/snapshots?symbols=XYZ/USD"),
            await client.get("/v2/account"),
        ]

    first = await play()
    await client.call("POST", "/_reset")
    await client.put_prices({"ACME": "400", "XYZ/USD": "0.001"})
    await client.get("/v1beta3/crypto/us/snapshots?symbols=XYZ/USD")
    await client.call("POST", "/_reset")
    assert await play() == first


@pytest.mark.parametrize(
    ("symbol", "reason"),
    [
        ("acme", "1 to 5 capital letters"),
        ("ACMECO", "1 to 5 capital letters"),
        ("ACME.", "1 to 5 capital letters"),
        ("AC ME", "1 to 5 capital letters"),
        ("AC/ME", "3 to 10 before /USD"),
        ("ETH/BTC", "3 to 10 before /USD"),
        ("ÄCME", "1 to 5 capital letters"),
        ("ACME1", "1 to 5 capital letters"),
        ("", "1 to 5 capital letters"),
        ("ACME261218C00010000", "GET /v2/options/contracts lists them"),
        ("AAPL261218C00250001", "GET /v2/options/contracts lists them"),
        ("TWTR", "is delisted"),
    ],
)
async def test_a_symbol_that_cannot_be_listed_is_refused_and_nothing_else_is_done(
    client: _Client, symbol: str, reason: str
) -> None:
    refused = await client.refusal("PUT", "/_prices", {"GOOD": "1", symbol: "1"})
    assert refused.startswith(f"{symbol}: ")
    assert reason in refused
    assert not await client.is_listed("GOOD")
    assert await client.get("/_prices") == {}
