"""Programs that use a grant, ready to be pasted: the key pair and the gateway's addresses are filled in."""

from dataclasses import dataclass
from typing import Final

from corral.grants.addresses import GatewayAddresses

# Key pairs are letters, digits and underscores, and addresses are the operator's own: nothing has to be quoted.
_ALPACA_PY: Final = """\
# pip install alpaca-py
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockLatestTradeRequest
from alpaca.trading.client import TradingClient

key_id, secret_key = "{key_id}", "{secret_key}"
trading = TradingClient(key_id, secret_key, url_override="{base_url}")
data = StockHistoricalDataClient(key_id, secret_key, url_override="{data_url}")

print(trading.get_account().equity)
print(data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))["AAPL"].price)
"""
_ALPACA_TRADE_API: Final = """\
# pip install alpaca-trade-api
import os

import alpaca_trade_api

os.environ["APCA_API_DATA_URL"] = "{data_url}"
alpaca = alpaca_trade_api.REST("{key_id}", "{secret_key}", base_url="{base_url}")

print(alpaca.get_account().equity)
print(alpaca.get_latest_trade("AAPL").price)
"""
_JAVASCRIPT: Final = """\
// npm install @alpacahq/alpaca-trade-api@3, and save this as bot.mjs
import Alpaca from "@alpacahq/alpaca-trade-api";

const alpaca = new Alpaca({{
  keyId: "{key_id}",
  secretKey: "{secret_key}",
  baseUrl: "{base_url}",
  dataBaseUrl: "{data_url}",
}});

console.log((await alpaca.getAccount()).equity);
console.log((await alpaca.getLatestTrade("AAPL")).Price);
"""
_CCXT: Final = """\
# pip install ccxt
import ccxt

key_id, secret_key = "{key_id}", "{secret_key}"
exchange = ccxt.alpaca({{
    "apiKey": key_id,
    "secret": secret_key,
    # ccxt sends no keys when it asks for prices, but Corral needs them.
    "headers": {{"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_key}},
    "urls": {{"api": {{"trader": "{base_url}", "market": "{data_url}"}}}},
}})

print(exchange.fetch_balance()["USD"]["total"])
print(exchange.fetch_ticker("BTC/USD")["last"])
"""
_CURL: Final = """\
curl -sS -H "APCA-API-KEY-ID: {key_id}" -H "APCA-API-SECRET-KEY: {secret_key}" {base_url}/v2/account
"""
_TEMPLATES: Final = {
    "curl": ("curl", _CURL),
    "alpaca-py": ("Python, alpaca-py", _ALPACA_PY),
    "alpaca-trade-api": ("Python, alpaca-trade-api", _ALPACA_TRADE_API),
    "javascript": ("JavaScript, @alpacahq/alpaca-trade-api", _JAVASCRIPT),
    "ccxt": ("Python, ccxt (crypto)", _CCXT),
}


@dataclass(frozen=True, slots=True)
class Snippet:
    """`name` is short and unique, `title` is for people. `text` contains the secret."""

    name: str
    title: str
    text: str


def fill_in_snippets(key_id: str, secret_key: str, addresses: GatewayAddresses) -> list[Snippet]:
    values = {
        "key_id": key_id,
        "secret_key": secret_key,
        "base_url": addresses.base_url,
        "data_url": addresses.data_url,
    }
    return [
        Snippet(name, title, template.format_map(values).rstrip()) for name, (title, template) in _TEMPLATES.items()
    ]
