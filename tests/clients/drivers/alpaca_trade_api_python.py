"""alpaca-trade-api 3.2.0 for Python.

Everything is pointed at the sandbox by `base_url`, `data_stream_url` and, for market data, `APCA_API_DATA_URL`.
At fault in the client: `REST` has no calls for options and announcements; its `get` and `data_get` read them. Its
`AsyncRest.get_latest_trade_async` returns nothing, because it looks for a quote in the answer.
"""

import asyncio
import json
import os
import threading
import urllib.request
from collections.abc import Callable
from importlib import import_module
from typing import Any

tradeapi: Any = import_module("alpaca_trade_api")
rest: Any = import_module("alpaca_trade_api.rest")

URL, CONTROL = os.environ["SANDBOX_URL"], os.environ["CONTROL_URL"]
KEYS = os.environ["KEY_ID"], os.environ["SECRET"]
DAY, MINUTE = rest.TimeFrame.Day, rest.TimeFrame.Minute
WEEK = {"start": "2026-11-16", "end": "2026-11-20T23:00:00Z"}
TEN_SECONDS = {"start": "2026-11-24T14:59:50Z", "end": "2026-11-24T14:59:59.9Z"}


def tell(name: str, *got: object) -> None:
    print(json.dumps({"name": name, "got": got}), flush=True)


class Watched:
    """Passes everything on to the client, and knows which of its methods have been called."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.called.add(name)
        return getattr(self._client, name)

    def left_out(self) -> list[str]:
        methods = {name for name in dir(self._client) if not name.startswith("_")} - self.called
        return sorted(name for name in methods if callable(getattr(self._client, name)))


def use_accounts_and_assets(api: Any) -> None:
    account = api.get_account()
    tell("account", float(account.cash), account.status)
    api.update_account_configurations(no_shorting=True)
    tell("configurations", api.get_account_configurations().no_shorting)
    tell("clock", api.get_clock().is_open)
    tell("calendar", [str(day.date.date()) for day in api.get_calendar("2026-11-25", "2026-11-27")])
    asset = api.get_asset("AAPL")
    tell("asset", asset.symbol, asset.tradable)
    tell("assets", "BTC/USD" in {each.symbol for each in api.list_assets(status="active", asset_class="crypto")})
    contracts = api.get("/options/contracts", {"underlying_symbols": "AAPL", "limit": 3})["option_contracts"]
    tell("contracts", [contract["underlying_symbol"] for contract in contracts])


def use_orders(api: Any) -> None:
    bought = api.submit_order("AAPL", qty=10, side="buy", type="market", time_in_force="day")
    order = api.get_order(bought.id)
    tell("market order", order.status, float(order.qty), float(order.filled_avg_price))
    api.submit_order("AAPL", notional=135, client_order_id="by-notional")
    tell("notional order", float(api.get_order_by_client_order_id("by-notional").filled_qty))
    limit = api.submit_order("AAPL", 10, "buy", "limit", "gtc", limit_price="250", client_order_id="a-limit")
    tell("limit order", api.get_order(limit.id).status, float(limit.limit_price))
    replaced = api.replace_order(limit.id, qty="9", limit_price="251")
    tell("replaced", replaced.replaces == limit.id, float(replaced.limit_price), float(replaced.qty))
    api.cancel_order(replaced.id)
    tell("canceled", api.get_order(replaced.id).status)
    bracket = api.submit_order(
        "AAPL",
        qty=2,
        side="buy",
        type="limit",
        limit_price="260",
        order_class="bracket",
        take_profit={"limit_price": "280"},
        stop_loss={"stop_price": "250", "limit_price": "249"},
    )
    tell("bracket", bracket.order_class, sorted(leg.type for leg in bracket.legs))
    api.cancel_order(bracket.id)
    trailing = api.submit_order("AAPL", 1, "sell", "trailing_stop", "gtc", trail_percent="5")
    tell("trailing stop", float(api.get_order(trailing.id).hwm))
    stop = api.submit_order("AAPL", 1, "sell", "stop_limit", "gtc", limit_price="199", stop_price="200")
    tell("stop limit", float(stop.stop_price))
    coins = api.submit_order("BTC/USD", 0.01, "buy", "market", "gtc")
    tell("coins", api.get_order(coins.id).status)
    tell("open orders", len(api.list_orders(status="open", nested=True, symbols=["AAPL"])))
    tell("closed orders", len(api.list_orders(status="closed", limit=100, direction="asc")))
    api.cancel_all_orders()
    tell("all canceled", len(api.list_orders()))
    try:
        api.submit_order("AAPL", qty=1_000_000)
    except rest.APIError as error:
        tell("refused", error.status_code, error.code)


def use_positions(api: Any) -> None:
    position = api.get_position("AAPL")
    tell("position", float(position.qty), float(position.avg_entry_price))
    closing = api.close_position("AAPL", qty=4)
    tell("close", closing.side, float(closing.qty))
    api.close_all_positions()
    tell("all closed", len(api.list_positions()))
    history = api.get_portfolio_history(period="1M", timeframe="1D")
    tell("history", len(history.df) > 10)
    fills = api.get_activities("FILL", direction="asc")
    tell("activities", [[fill.side, float(fill.qty)] for fill in fills if fill.symbol == "AAPL"])
    tell(
        "activities by type", {each.activity_type for each in api.get_activities(["FILL", "CFEE"])} == {"FILL", "CFEE"}
    )


def use_watchlists(api: Any) -> None:
    created = api.create_watchlist("mine", ["AAPL"])
    api.add_to_watchlist(created.id, "BTC/USD")
    tell("watchlist", [asset["symbol"] for asset in api.get_watchlist(created.id).assets])
    api.delete_from_watchlist(created.id, "AAPL")
    tell("watchlist by name", [asset["symbol"] for asset in api.get_watchlist_by_name("mine").assets])
    tell("watchlist updated", [asset["symbol"] for asset in api.update_watchlist(created.id, "ours", ["KO"]).assets])
    api.delete_watchlist(created.id)
    tell("watchlists", len(api.get_watchlists()))


def use_market_data(api: Any) -> None:
    bars = api.get_bars("AAPL", DAY, adjustment="raw", feed="iex", **WEEK)
    tell("bars", len(bars), all(bar.l <= min(bar.o, bar.c) <= max(bar.o, bar.c) <= bar.h for bar in bars))
    minutes = api.get_bars(["AAPL", "KO"], MINUTE, "2026-11-23T15:00:00Z", "2026-11-23T15:59:59Z", limit=100)
    tell("bars of several", sorted({bar.S for bar in minutes}), len(minutes))
    tell("trades", len(api.get_trades("AAPL", limit=5, **TEN_SECONDS)))
    quotes = api.get_quotes("AAPL", limit=5, **TEN_SECONDS)
    tell("quotes", len(quotes), all(quote.bp < quote.ap for quote in quotes))
    tell("latest trade", api.get_latest_trade("AAPL").price)
    tell("latest trades", api.get_latest_trades(["AAPL", "KO"])["AAPL"].price)
    quote = api.get_latest_quote("AAPL")
    tell("latest quote", quote.bid_price < 270 < quote.ask_price)
    tell("latest bar", api.get_latest_bar("AAPL").close > 0)
    tell("snapshot", api.get_snapshot("AAPL").latest_trade.price)
    tell("latest quotes", sorted(api.get_latest_quotes(["AAPL", "KO"])))
    tell("latest bars", sorted(api.get_latest_bars(["AAPL", "KO"])))
    snapshots = api.get_snapshots(["AAPL", "KO"])
    tell("snapshots", sorted(snapshots), snapshots["AAPL"].prev_daily_bar.close > 0)
    coins = api.get_crypto_bars("BTC/USD", DAY, **WEEK)
    tell("coin bars", len(coins), coins[0].S)
    tell("latest coin trade", api.get_latest_crypto_trades(["BTC/USD"])["BTC/USD"].price)
    tell("coin trades", len(api.get_crypto_trades("BTC/USD", limit=5, **TEN_SECONDS)))
    tell("coin quotes", len(api.get_crypto_quotes("BTC/USD", limit=5, **TEN_SECONDS)))
    tell("latest coin quote", api.get_latest_crypto_quotes(["BTC/USD"])["BTC/USD"].bp < 60_000)
    tell("latest coin bar", api.get_latest_crypto_bars(["BTC/USD"])["BTC/USD"].c > 0)
    tell("one order book", "BTC/USD" in api.get_latest_crypto_orderbook("BTC/USD"))
    tell("one coin snapshot", api.get_crypto_snapshot("BTC/USD")["BTC/USD"].latest_trade.price)
    book = api.get_latest_crypto_orderbooks(["BTC/USD"])["BTC/USD"]
    tell("order book", book.bids[0].p < book.asks[0].p)
    tell("coin snapshot", api.get_crypto_snapshots(["BTC/USD"])["BTC/USD"].latest_trade.price)
    tell("news", len(api.get_news("AAPL")))
    chain = api.data_get("/options/snapshots/AAPL", {"feed": "indicative", "limit": 4}, api_version="v1beta1")
    tell("chain", len(chain["snapshots"]))


async def use_async_client() -> None:
    client = import_module("alpaca_trade_api.rest_async").AsyncRest(*KEYS, data_url=URL)
    _, frame = await client.get_bars_async("AAPL", WEEK["start"], WEEK["end"], DAY.value)
    tell("bars, asynchronously", len(frame))


def use_streams(api: Any) -> None:
    """Trade updates, and market data in MessagePack, of stocks and of coins."""
    stream = tradeapi.Stream(*KEYS, base_url=URL + "/paper", data_stream_url=URL, data_feed="iex")
    got: dict[str, Any] = {}
    arrived = threading.Event()
    wanted = {"updates", "trade", "quote", "bar", "coin"}

    def take(name: str, read: Callable[[Any], object]) -> Callable[[Any], Any]:
        async def handler(message: Any) -> None:
            if name != "updates" or message.event == "fill":
                got.setdefault(name, read(message))
            if got.keys() == wanted:
                arrived.set()

        return handler

    def read_fill(update: Any) -> list[object]:
        return [update.event, float(update.price), float(update.position_qty)]

    stream.subscribe_trade_updates(take("updates", read_fill))
    stream.subscribe_trades(take("trade", lambda trade: [trade.symbol, trade.price]), "AAPL")
    stream.subscribe_quotes(take("quote", lambda quote: quote.bid_price < 270 < quote.ask_price), "AAPL")
    stream.subscribe_bars(take("bar", lambda bar: bar.close), "AAPL")
    stream.subscribe_crypto_trades(take("coin", lambda trade: trade.price), "BTC/USD")
    threading.Thread(target=stream.run, daemon=True).start()
    while not (stream._trading_ws._running and stream._data_ws._running and stream._crypto_ws._running):
        arrived.wait(0.05)
    arrived.wait(0.3)  # for the sandbox to have read what the client subscribed to
    api.submit_order("AAPL", qty=1)
    minute = urllib.request.Request(CONTROL + "/_clock/advance", b'{"seconds": 60}', method="POST")
    urllib.request.urlopen(minute).read()
    arrived.wait(20)
    tell("trade updates", *got["updates"])
    tell("stream", *got["trade"], got["quote"], got["bar"])
    tell("coin stream", got["coin"])


os.environ["APCA_API_DATA_URL"] = URL
client = Watched(tradeapi.REST(*KEYS, base_url=URL + "/paper"))
use_accounts_and_assets(client)
tell("by token", tradeapi.REST(oauth=os.environ["TOKEN"], base_url=URL + "/paper").get_account().status)
use_orders(client)
use_positions(client)
use_watchlists(client)
use_market_data(client)
asyncio.run(use_async_client())
use_streams(client)
tell("left out", client.left_out())
