"""Every operation that the gateway can send to Alpaca, and its kind. Anything not listed is refused.

Operations of Alpaca's two documents, https://docs.alpaca.markets/openapi/trading-api.json (2.0.1) and
market-data-api.json (1.1), are classified by hand. Those that clients use beyond the documents have a comment with the
clients: github.com/alpacahq/alpaca-trade-api-go (alpaca/stream.go, marketdata/rest.go), @alpacahq/alpaca-trade-api of
npm (3.1.3, 4.0.2), ccxt (4.5.90, alpaca.py). Tests compare this list with the documents and with
docs/gateway-operations.md.

    read   changes nothing
    close  cancels orders or closes positions
    trade  any other change to orders, option positions or watchlists
    never  withdrawals, tokenization, borrowing shares, account settings, and whatever only serves these

The last column names query parameters. A read takes any parameter once, and those marked `*` several times. Other
operations take only the parameters named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_OPERATIONS: Final = """
trading  read   GET     /v2/account
trading  read   GET     /v2/account/activities                                     activity_types*
trading  read   GET     /v2/account/activities/{activity_type}
trading  read   GET     /v2/account/portfolio/history
trading  read   GET     /v2/account/configurations
trading  never  PATCH   /v2/account/configurations

trading  read   GET     /v2/orders                                                 asset_class*
trading  trade  POST    /v2/orders
trading  close  DELETE  /v2/orders
trading  read   GET     /v2/orders:by_client_order_id
trading  read   GET     /v2/orders/{order_id}
trading  trade  PATCH   /v2/orders/{order_id}
trading  close  DELETE  /v2/orders/{order_id}

trading  read   GET     /v2/positions
trading  close  DELETE  /v2/positions                                              cancel_orders
trading  read   GET     /v2/positions/{symbol_or_asset_id}
trading  close  DELETE  /v2/positions/{symbol_or_asset_id}                         qty percentage
trading  trade  POST    /v2/positions/{symbol_or_contract_id}/exercise
trading  trade  POST    /v2/positions/{symbol_or_contract_id}/do-not-exercise

trading  read   GET     /v2/watchlists
trading  trade  POST    /v2/watchlists
trading  read   GET     /v2/watchlists/{watchlist_id}
trading  trade  PUT     /v2/watchlists/{watchlist_id}
trading  trade  POST    /v2/watchlists/{watchlist_id}
trading  trade  DELETE  /v2/watchlists/{watchlist_id}
trading  trade  DELETE  /v2/watchlists/{watchlist_id}/{symbol}
trading  read   GET     /v2/watchlists:by_name
trading  trade  PUT     /v2/watchlists:by_name                                     name
trading  trade  POST    /v2/watchlists:by_name                                     name
trading  trade  DELETE  /v2/watchlists:by_name                                     name

trading  read   GET     /v2/assets                                                 attributes*
trading  read   GET     /v2/assets/{symbol_or_asset_id}
trading  read   GET     /v2/options/contracts
trading  read   GET     /v2/options/contracts/{symbol_or_id}
trading  read   GET     /v2/corporate_actions/announcements                        ca_types*
trading  read   GET     /v2/corporate_actions/announcements/{id}
trading  read   GET     /v2/clock
trading  read   GET     /v2/calendar
trading  read   GET     /v3/clock
trading  read   GET     /v3/calendar/{market}

trading  read   GET     /v2beta1/events/activities
trading  read   GET     /v2/events/trades                                          # Go SDK

trading  never  GET     /v1/locates
trading  never  POST    /v1/locates
trading  never  GET     /v1/locates/quotes
trading  never  GET     /v1/locates/{locate_id}
trading  never  POST    /v2/tokenization/mint
trading  never  GET     /v2/tokenization/requests
trading  never  GET     /v2/tokenization/requests/{tokenization_request_id}
trading  never  GET     /v2/tokenization/requests:by_client_request_id
trading  never  GET     /v2/wallets
trading  never  GET     /v2/wallets/fees/estimate
trading  never  GET     /v2/wallets/transfers
trading  never  POST    /v2/wallets/transfers                                      # ccxt, JavaScript SDK 4
trading  never  GET     /v2/wallets/transfers/{transfer_id}
trading  never  GET     /v2/wallets/travel-rule/vasps
trading  never  GET     /v2/wallets/whitelists
trading  never  POST    /v2/wallets/whitelists
trading  never  DELETE  /v2/wallets/whitelists/{whitelisted_address_id}
trading  never  PATCH   /v2/wallets/whitelists/{whitelisted_address_id}/travel-rule-info

data     read   GET     /v2/stocks/auctions
data     read   GET     /v2/stocks/bars
data     read   GET     /v2/stocks/bars/latest
data     read   GET     /v2/stocks/quotes
data     read   GET     /v2/stocks/quotes/latest
data     read   GET     /v2/stocks/trades
data     read   GET     /v2/stocks/trades/latest
data     read   GET     /v2/stocks/snapshots
data     read   GET     /v2/stocks/meta/conditions/{ticktype}
data     read   GET     /v2/stocks/meta/exchanges
data     read   GET     /v2/stocks/{symbol}/auctions
data     read   GET     /v2/stocks/{symbol}/bars
data     read   GET     /v2/stocks/{symbol}/bars/latest
data     read   GET     /v2/stocks/{symbol}/quotes
data     read   GET     /v2/stocks/{symbol}/quotes/latest
data     read   GET     /v2/stocks/{symbol}/trades
data     read   GET     /v2/stocks/{symbol}/trades/latest
data     read   GET     /v2/stocks/{symbol}/snapshot

data     read   GET     /v1beta3/crypto/{loc}/bars
data     read   GET     /v1beta3/crypto/{loc}/quotes
data     read   GET     /v1beta3/crypto/{loc}/trades
data     read   GET     /v1beta3/crypto/{loc}/snapshots
data     read   GET     /v1beta3/crypto/{loc}/latest/bars
data     read   GET     /v1beta3/crypto/{loc}/latest/orderbooks
data     read   GET     /v1beta3/crypto/{loc}/latest/quotes
data     read   GET     /v1beta3/crypto/{loc}/latest/trades
data     read   GET     /v1beta1/crypto-perps/{loc}/latest/bars                    # Go SDK, JavaScript SDK 4
data     read   GET     /v1beta1/crypto-perps/{loc}/latest/orderbooks              # Go SDK, JavaScript SDK 4
data     read   GET     /v1beta1/crypto-perps/{loc}/latest/pricing                 # Go SDK, JavaScript SDK 4
data     read   GET     /v1beta1/crypto-perps/{loc}/latest/quotes                  # Go SDK, JavaScript SDK 4
data     read   GET     /v1beta1/crypto-perps/{loc}/latest/trades                  # Go SDK, JavaScript SDK 4

data     read   GET     /v1beta1/options/bars
data     read   GET     /v1beta1/options/trades
data     read   GET     /v1beta1/options/trades/latest
data     read   GET     /v1beta1/options/quotes/latest
data     read   GET     /v1beta1/options/snapshots
data     read   GET     /v1beta1/options/snapshots/{underlying_symbol}
data     read   GET     /v1beta1/options/meta/conditions/{ticktype}
data     read   GET     /v1beta1/options/meta/exchanges

data     read   GET     /v1/corporate-actions
data     read   GET     /v1beta1/corporate-actions                symbols[]*         # JavaScript SDK 3, ccxt, Go SDK
stream   read   GET     /v1beta1/events/corporate-actions                          type*
data     read   GET     /v1beta1/news
data     read   GET     /v1beta1/logos/{symbol}
data     read   GET     /v1beta1/screener/stocks/most-actives
data     read   GET     /v1beta1/screener/{market_type}/movers
data     read   GET     /v1beta1/forex/latest/rates
data     read   GET     /v1beta1/forex/rates
data     read   GET     /v1beta1/fixed_income/latest/prices
data     read   GET     /v1beta1/fixed_income/latest/quotes
data     read   GET     /v1beta1/indices/values                                    # Go SDK, JavaScript SDK 4
data     read   GET     /v1beta1/indices/latest/values                             # Go SDK, JavaScript SDK 4
"""


class Host(StrEnum):
    """`trading` is the paper or the live host, `stream` is https://stream.data.alpaca.markets."""

    TRADING = "trading"
    DATA = "data"
    STREAM = "stream"


class OperationKind(StrEnum):
    READ = "read"
    CLOSE = "close"
    TRADE = "trade"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Operation:
    """`path` is written as in Alpaca's document. `client` sends an operation that is in neither document.

    `query` names the only query parameters of an operation that is no read, `repeatable` those that may be repeated.
    """

    host: Host
    kind: OperationKind
    method: str
    path: str
    query: frozenset[str] = frozenset()
    repeatable: frozenset[str] = frozenset()
    client: str | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_event_stream(self) -> bool:
        """The response is `text/event-stream` and does not end by itself."""
        return "/events/" in self.path


def _listed(table: str) -> Iterator[Operation]:
    for line in table.splitlines():
        columns, _, client = line.partition("#")
        if columns.strip():
            host, kind, method, path, *query = columns.split()
            yield Operation(
                Host(host),
                OperationKind(kind),
                method,
                path,
                query=frozenset(name.removesuffix("*") for name in query),
                repeatable=frozenset(name.removesuffix("*") for name in query if name.endswith("*")),
                client=client.strip() or None,
            )


OPERATIONS: Final = tuple(_listed(_OPERATIONS))
