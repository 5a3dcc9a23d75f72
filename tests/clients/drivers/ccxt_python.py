"""ccxt 4.5.90, its exchange `alpaca`, which trades coins.

`urls` points it at the sandbox: `{"api": {"trader": …, "market": …}}`.
"""

import json
import os
from importlib import import_module
from typing import Any

ccxt: Any = import_module("ccxt")

URL = os.environ["SANDBOX_URL"]
TEN_SECONDS_AGO = 1_795_532_390_000  # 2026-11-24T14:59:50Z, in milliseconds since 1970
MONDAY_A_WEEK_AGO = 1_794_787_200_000  # 2026-11-16


def tell(name: str, *got: object) -> None:
    print(json.dumps({"name": name, "got": got}), flush=True)


exchange = ccxt.alpaca(
    {
        "apiKey": os.environ["KEY_ID"],
        "secret": os.environ["SECRET"],
        "urls": {"api": {"trader": URL + "/paper", "market": URL}},
        "rateLimit": 1,
        "options": {"clientOrderId": "{id}"},  # instead of one drawn at random
    }
)

tell("time", exchange.fetch_time())
market = exchange.load_markets()["BTC/USD"]
tell("market", market["active"], market["precision"]["amount"], market["limits"]["amount"]["min"] > 0)
tell("balance", exchange.fetch_balance()["USD"]["total"])

ticker = exchange.fetch_ticker("BTC/USD")
tell("ticker", ticker["last"], ticker["bid"] < 60_000 < ticker["ask"], ticker["datetime"])
tell("tickers", sorted(exchange.fetch_tickers(["BTC/USD", "ETH/USD"])))
days = exchange.fetch_ohlcv("BTC/USD", "1d", since=MONDAY_A_WEEK_AGO, limit=5)
tell("candles", len(days), all(low <= min(first, last) for _, first, _, low, last, _ in days))
pages = exchange.fetch_ohlcv("BTC/USD", "1h", since=MONDAY_A_WEEK_AGO, params={"paginate": True, "limit": 100})
tell("candles of all pages", len(pages), len({candle[0] for candle in pages}) == len(pages))
book = exchange.fetch_order_book("BTC/USD")
tell("order book", book["bids"][0][0] < book["asks"][0][0], len(book["bids"]) > 1)
trades = exchange.fetch_trades("BTC/USD", since=TEN_SECONDS_AGO, limit=5)
tell("trades", len(trades), {trade["side"] for trade in trades} <= {"buy", "sell"})

bought = exchange.create_order("BTC/USD", "market", "buy", 0.1, params={"clientOrderId": "ours"})
order = exchange.fetch_order(bought["id"])
tell("market order", order["status"], order["filled"], order["average"], order["clientOrderId"])
tell("order by cost", exchange.create_market_buy_order_with_cost("BTC/USD", 600)["type"])
limit = exchange.create_order("BTC/USD", "limit", "buy", 0.01, 50_000)
tell("limit order", exchange.fetch_order(limit["id"])["status"], limit["price"])
edited = exchange.edit_order(limit["id"], "BTC/USD", "limit", "buy", 0.02, 51_000)
tell("edited", edited["id"] != limit["id"], edited["price"], edited["amount"])
tell("open orders", len(exchange.fetch_open_orders("BTC/USD")))
exchange.cancel_order(edited["id"])
tell("canceled", exchange.fetch_order(edited["id"])["status"])
stop = exchange.create_order("BTC/USD", "limit", "sell", 0.01, 40_000, {"triggerPrice": 41_000})
tell("stop limit", stop["triggerPrice"])
exchange.cancel_all_orders()
tell("all canceled", len(exchange.fetch_open_orders()))
tell("closed orders", [each["side"] for each in exchange.fetch_closed_orders("BTC/USD")])
tell("orders", len(exchange.fetch_orders("BTC/USD")))
fills = exchange.fetch_my_trades("BTC/USD")
tell("own trades", sorted([each["side"], each["amount"], each["price"]] for each in fills))
try:
    exchange.create_order("BTC/USD", "limit", "buy", 1_000, 50_000)
except ccxt.InsufficientFunds as error:
    tell("refused", type(error).__name__)
try:
    exchange.fetch_deposits_withdrawals()  # the sandbox has no wallets, as Alpaca has none for most accounts
except ccxt.BaseError as error:
    tell("wallets", type(error).__name__)
