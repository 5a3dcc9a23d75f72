"""Other people's programs for Alpaca, through a grant: what they send has the same outcome as at Alpaca itself."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import orjson
import pytest
from aiohttp import ClientSession
from yarl import URL

from corral_sandbox import Sandbox, secret_of, token_of
from tests.clients import recordings
from tests.conftest import Service, StartService
from tests.gateway.recorded import REFUSED, operation_of, with_prefix
from tests.grants.conftest import GrantOwner
from tests.sandbox.judges import of_the_sdk

Json = Any

OWN: Final = "gateway.corral.example"
_THANKSGIVING: Final[Json] = {"start": date(2026, 11, 25), "end": date(2026, 11, 27)}
_WEEK: Final[Json] = {
    "start": datetime.fromisoformat("2026-11-16T00:00Z"),
    "end": datetime.fromisoformat("2026-11-20T23:00Z"),
}
_CALLS: Final[Json] = {
    "underlying_symbols": ["AAPL"],
    "expiration_date": date(2026, 12, 18),
    "type": "call",
    "limit": 2,
}
_WITH_ONE_ADDRESS: Final = {"csharp", "typescript_sdk"}  # for trading and market data: the gateway's own origin
CLIENTS: Final = sorted(path.stem for path in recordings.FOLDER.glob("*.jsonl"))


@pytest.fixture(scope="module")
async def still() -> AsyncGenerator[Sandbox]:
    async with recordings.still_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
async def twin() -> AsyncGenerator[Sandbox]:
    async with recordings.still_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
async def gateway(start_service: StartService, still: Sandbox) -> AsyncGenerator[Service]:
    upstream = {"alpaca_paper_url": still.paper_url, "alpaca_live_url": still.live_url, "alpaca_data_url": still.url}
    async with start_service(gateway_url=f"https://{OWN}", upstream_timeout_seconds=10, **upstream) as other:
        yield other


@dataclass
class Replay:
    """Sends what was recorded, and remembers the answers, whose ids are in later requests."""

    http: ClientSession
    url: str
    secrets: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict[str, str])
    answers: list[Json] = field(default_factory=list[Json])

    async def ask(self, line: Json, path: str, **more_headers: str) -> tuple[int, Json]:
        path = recordings.filled_in(path, self.answers)
        body = recordings.filled_in(json.dumps(line["body"]), self.answers) if "body" in line else None
        headers = {name: self._unmask(value) for name, value in (line["headers"] | more_headers | self.headers).items()}
        url = URL(self.url + path, encoded=True)
        async with self.http.request(line["method"], url, data=body, headers=headers, allow_redirects=False) as answer:
            content = await answer.read()
        is_json = answer.content_type == "application/json" and content
        return answer.status, orjson.loads(content) if is_json else content.decode("latin-1")

    def _unmask(self, text: str) -> str:
        for name, secret in self.secrets.items():
            text = text.replace(name, secret)
        return text


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_recorded_client_has_the_same_outcomes_as_at_alpaca(
    client: str, carol: GrantOwner, gateway: Service, twin: Sandbox
) -> None:
    key_id = f"PKTWIN{client.upper().replace('_', '')}"
    grant = await carol.grant(await carol.account(key_id), access="trade")
    secret = grant["secret_key"]
    async with ClientSession() as http:
        there = Replay(http, twin.url, {"SECRET": secret_of(key_id), "TOKEN": token_of(key_id), "KEY": key_id})
        here = Replay(http, gateway.url, {"SECRET": secret, "TOKEN": secret, "KEY": grant["key_id"]})
        here.headers = {"Host": OWN} if client in _WITH_ONE_ADDRESS else {}
        for line in recordings.read(client):
            if "method" in line:
                await _assert_same(line, there, here)


async def _assert_same(line: Json, there: Replay, here: Replay) -> None:
    path, operation = (
        line["path"] if here.headers else with_prefix(line["path"]),
        operation_of(line["method"], line["path"]),
    )
    if operation in REFUSED:
        status, told = await here.ask(line, path)
        assert (status, told["code"]) == (403, 40310000), line
        there.answers.append(None)
        here.answers.append(None)
        return
    keys: dict[str, str] = {}
    if not line["headers"].keys() & {"apca-api-key-id", "authorization"}:
        assert (await here.ask(line, path))[0] == 403, "prices of coins, asked for without keys, are nobody's"
        keys = {"apca-api-key-id": "KEY", "apca-api-secret-key": "SECRET"}
    expected_status, expected = await there.ask(line, line["path"], **keys)
    status, told = await here.ask(line, path, **keys)
    if operation is None or "/:" in line["path"]:  # mistakes of a client, to which Alpaca has no answer either
        assert status in {404, 405}, line
        assert status == expected_status or (operation, expected_status) == (_UNKNOWN_PLACE, 400), line
    else:
        assert (status, _masked(told)) == (expected_status, _masked(expected)), line
    there.answers.append(expected)
    here.answers.append(told)


_UNKNOWN_PLACE: Final = "GET /v1beta3/crypto/{loc}/trades"
_VARYING: Final = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # ids
    r"|\b[0-9a-f]{32}\b"  # what ccxt draws at random
    r"|(?<=[0-9]{2}:[0-9]{2}:[0-9]{2})\.[0-9]{9}"  # each request takes a microsecond
)


def _masked(answer: Json) -> Json:
    return json.loads(_VARYING.sub("", json.dumps(answer)).replace("corral-", ""))


@dataclass(frozen=True, slots=True)
class Place:
    """Where Alpaca's SDK for Python finds the gateway: what it is told, and what it then sends."""

    base_url: str
    data_url: str
    headers: dict[str, str] = field(default_factory=dict[str, str])


def _places(url: str) -> dict[str, Place]:
    return {
        "prefix": Place(f"{url}/alpaca", f"{url}/alpaca/data"),
        "final slash": Place(f"{url}/alpaca/", f"{url}/alpaca/data/"),
        "own origin": Place(url, url, {"Host": OWN}),
        "own origin, final slash": Place(f"{url}/", f"{url}/", {"Host": OWN}),
    }


@pytest.fixture(params=["prefix", "final slash", "own origin", "own origin, final slash"])
async def sdk(
    request: pytest.FixtureRequest, carol: GrantOwner, gateway: Service
) -> AsyncGenerator[Callable[..., Json]]:
    """Makes clients of Alpaca's SDK for Python, for one account and from one place."""
    key_id = f"PKSDK{request.param.upper().replace(' ', '').replace(',', '')}"
    grant = await carol.grant(await carol.account(key_id), access="trade")
    place = _places(gateway.url)[request.param]
    made: list[Json] = []

    def client_of(kind: Callable[..., Json], **more: object) -> Json:
        url = place.base_url if kind.__name__ == "TradingClient" else place.data_url
        client = kind(grant["key_id"], grant["secret_key"], url_override=url, **more)
        client._session.headers.update(place.headers)  # what its own name would make it send
        made.append(client)
        return client

    yield client_of
    for client in made:
        client._session.close()


@of_the_sdk
async def test_the_sdk_for_python_trades(sdk: Callable[..., Json]) -> None:
    from alpaca.trading.client import TradingClient

    client = sdk(TradingClient)
    for step in (_look_around, _buy, _order_and_cancel, _order_a_spread, _close, _keep_a_watchlist):
        await asyncio.to_thread(step, client)


# The SDK turns these texts into its own enumerations.
_BUY: Final[Json] = {"symbol": "AAPL", "side": "buy", "time_in_force": "day"}
_BUY_GTC: Final[Json] = {**_BUY, "time_in_force": "gtc"}
_SELL_GTC: Final[Json] = {**_BUY_GTC, "side": "sell"}
_EXITS: Final[Json] = {
    "take_profit": {"limit_price": 290},
    "stop_loss": {"stop_price": 240, "limit_price": 239},
}
_OPEN: Final[Json] = {"status": "open", "symbols": ["AAPL"]}


def _look_around(client: Json) -> None:
    from alpaca.trading import requests as ask

    assert str(client.get_account().status.value) == "ACTIVE"
    assert client.get_clock().is_open
    assert [day.date.day for day in client.get_calendar(ask.GetCalendarRequest(**_THANKSGIVING))] == [25, 27]
    assert client.get_asset("AAPL").tradable
    assert client.get_asset("BTCUSD").symbol == "BTC/USD"
    coins: Json = {"asset_class": "crypto"}
    assert len(client.get_all_assets(ask.GetAssetsRequest(**coins))) > 1
    assert client.get_account_configurations().suspend_trade is False


def _buy(client: Json) -> None:
    from alpaca.trading import requests as ask

    bought = client.submit_order(ask.MarketOrderRequest(qty=10, client_order_id="ours", **_BUY))
    assert client.get_order_by_id(bought.id).filled_avg_price == client.get_open_position("AAPL").avg_entry_price
    assert client.get_order_by_client_id("ours").id == bought.id
    client.submit_order(ask.MarketOrderRequest(notional=135, **_BUY))
    client.submit_order(ask.MarketOrderRequest(qty=0.01, **_BUY_GTC | {"symbol": "BTC/USD"}))
    held = {each.symbol: float(each.qty) for each in client.get_all_positions()}
    assert held == {"AAPL": 10.5, "BTCUSD": 0.009975}, "the fee is taken from the coins"


def _order_and_cancel(client: Json) -> None:
    from alpaca.common.exceptions import APIError
    from alpaca.trading import requests as ask

    limit = client.submit_order(ask.LimitOrderRequest(qty=1, limit_price=250, extended_hours=False, **_BUY_GTC))
    replaced = client.replace_order_by_id(limit.id, ask.ReplaceOrderRequest(qty=2, limit_price=250.5))
    assert (replaced.replaces, replaced.limit_price) == (limit.id, "250.5")
    client.cancel_order_by_id(replaced.id)
    assert client.get_order_by_id(replaced.id).status.value == "canceled"
    a_bracket: Json = {"order_class": "bracket", **_EXITS, **_BUY}
    bracket = client.submit_order(ask.LimitOrderRequest(qty=1, limit_price=250, **a_bracket))
    assert [leg.type.value for leg in bracket.legs] == ["limit", "stop_limit"]
    client.cancel_orders()  # an order to buy and one to sell would be a wash trade
    an_oco: Json = {"order_class": "oco", **_EXITS, **_SELL_GTC}
    assert client.submit_order(ask.LimitOrderRequest(qty=1, **an_oco)).order_class.value == "oco"
    client.submit_order(ask.TrailingStopOrderRequest(qty=1, trail_percent=5, **_SELL_GTC))
    client.submit_order(ask.StopLimitOrderRequest(qty=1, stop_price=200, limit_price=199.5, **_SELL_GTC))
    with pytest.raises(APIError, match="40310000"):
        client.submit_order(ask.MarketOrderRequest(qty=100_000, **_BUY | {"symbol": "KO"}))
    assert len(client.get_orders(ask.GetOrdersRequest(nested=True, **_OPEN))) == 3
    assert {each.status for each in client.cancel_orders()} == {200}
    assert client.get_orders(ask.GetOrdersRequest(**_OPEN)) == []


def _order_a_spread(client: Json) -> None:
    from alpaca.trading import requests as ask

    calls = client.get_option_contracts(ask.GetOptionContractsRequest(**_CALLS)).option_contracts
    symbols = [call.symbol for call in calls]
    sides: Json = zip(symbols, ("buy", "sell"), strict=True)
    legs = [ask.OptionLegRequest(symbol=symbol, ratio_qty=1, side=side) for symbol, side in sides]
    a_spread: Json = {"order_class": "mleg", "time_in_force": "day", "legs": legs}
    spread = client.submit_order(ask.LimitOrderRequest(qty=1, limit_price=-0.5, **a_spread))
    assert [leg.symbol for leg in spread.legs] == symbols
    client.cancel_order_by_id(spread.id)


def _close(client: Json) -> None:
    from alpaca.trading import requests as ask

    client.close_position("AAPL", ask.ClosePositionRequest(qty="4"))
    client.close_position("BTCUSD", ask.ClosePositionRequest(percentage="50"))
    assert {each.status for each in client.close_all_positions(cancel_orders=True)} == {200}
    assert client.get_all_positions() == []
    fills = client.get("/account/activities/FILL", {"page_size": 100})  # the SDK has no method for them
    assert {each["symbol"] for each in fills} == {"AAPL", "BTC/USD"}
    assert client.get_portfolio_history(ask.GetPortfolioHistoryRequest(period="1D", timeframe="1H")).equity


def _keep_a_watchlist(client: Json) -> None:
    from alpaca.trading import requests as ask

    watchlist = client.create_watchlist(ask.CreateWatchlistRequest(name="mine", symbols=["AAPL"]))
    client.add_asset_to_watchlist_by_id(watchlist.id, "BTC/USD")
    client.remove_asset_from_watchlist_by_id(watchlist.id, "AAPL")
    client.update_watchlist_by_id(watchlist.id, ask.UpdateWatchlistRequest(name="yours", symbols=["KO"]))
    (listed,) = client.get_watchlists()
    assert (listed.name, client.get_watchlist_by_id(listed.id).assets[0].symbol) == ("yours", "KO")
    client.delete_watchlist_by_id(watchlist.id)


@of_the_sdk
async def test_the_sdk_for_python_reads_market_data(sdk: Callable[..., Json]) -> None:
    from alpaca.data.historical import CryptoHistoricalDataClient, OptionHistoricalDataClient, StockHistoricalDataClient

    clients = [
        sdk(kind) for kind in (StockHistoricalDataClient, CryptoHistoricalDataClient, OptionHistoricalDataClient)
    ]
    await asyncio.to_thread(_read_market_data, *clients)


def _read_market_data(stocks: Json, coins: Json, options: Json) -> None:
    from alpaca.data import requests as ask
    from alpaca.data.timeframe import TimeFrame

    two: Json = {"symbol_or_symbols": ["AAPL", "KO"]}
    week: Json = {"timeframe": TimeFrame.Day, **_WEEK}
    assert {
        symbol: len(bars) for symbol, bars in stocks.get_stock_bars(ask.StockBarsRequest(**two, **week)).data.items()
    } == {"AAPL": 5, "KO": 5}
    assert stocks.get_stock_latest_quote(ask.StockLatestQuoteRequest(**two)).keys() == {"AAPL", "KO"}
    assert stocks.get_stock_latest_trade(ask.StockLatestTradeRequest(**two))["AAPL"].price == 270
    assert stocks.get_stock_snapshot(ask.StockSnapshotRequest(**two))["AAPL"].latest_trade.price == 270
    pair: Json = {"symbol_or_symbols": "BTC/USD"}
    assert len(coins.get_crypto_bars(ask.CryptoBarsRequest(**pair, **week))["BTC/USD"]) == 5
    assert coins.get_crypto_latest_quote(ask.CryptoLatestQuoteRequest(**pair))["BTC/USD"].bid_price < 60_001
    assert coins.get_crypto_snapshot(ask.CryptoSnapshotRequest(**pair))["BTC/USD"].latest_trade.price == 60_000
    call: Json = {"symbol_or_symbols": "AAPL261218C00250000"}
    assert options.get_option_bars(ask.OptionBarsRequest(**call, **week)).data
    assert options.get_option_latest_quote(ask.OptionLatestQuoteRequest(**call)).keys() == {call["symbol_or_symbols"]}
    assert options.get_option_snapshot(ask.OptionSnapshotRequest(**call)).keys() == {call["symbol_or_symbols"]}
    assert (
        len(
            options.get_option_chain(
                ask.OptionChainRequest(
                    underlying_symbol="AAPL",
                )
            )
        )
        >= 4
    )
