"""Alpaca's market data: authenticates a request, applies the rate limit and calls the handler.

A handler is a function of a `DataRequest` that returns a JSON document. A new one is a line in `_HANDLERS`. What may
take long is a coroutine, which lets other requests be answered meanwhile. The keys of paper and live accounts get the
same data, and coins need none.
"""

from collections.abc import Awaitable, Callable, Mapping

from corral_sandbox.api import crypto_data, empty_data, option_data, stock_data
from corral_sandbox.api import market_data_codes as codes
from corral_sandbox.api.corporate_action_data import list_corporate_actions
from corral_sandbox.api.market_data_query import DataRequest
from corral_sandbox.errors import ApiError, EndpointNotFoundError, MethodNotAllowedError
from corral_sandbox.http.access import RateLimit
from corral_sandbox.http.data_access import authenticate_for_data, has_credentials
from corral_sandbox.http.requests import Document, Response, Route, Routes
from corral_sandbox.market.prices import Market
from corral_sandbox.market.time import Clock

_Handler = Callable[[DataRequest], Mapping[str, object] | Awaitable[Mapping[str, object]]]

_HANDLERS: dict[str, _Handler] = {
    "/v2/stocks/auctions": stock_data.list_auctions,
    "/v2/stocks/bars": stock_data.list_bars,
    "/v2/stocks/bars/latest": stock_data.latest_bars,
    "/v2/stocks/quotes": stock_data.list_quotes,
    "/v2/stocks/quotes/latest": stock_data.latest_quotes,
    "/v2/stocks/trades": stock_data.list_trades,
    "/v2/stocks/trades/latest": stock_data.latest_trades,
    "/v2/stocks/snapshots": stock_data.list_snapshots,
    "/v2/stocks/{symbol}/auctions": stock_data.list_auctions,
    "/v2/stocks/{symbol}/bars": stock_data.list_bars,
    "/v2/stocks/{symbol}/bars/latest": stock_data.latest_bars,
    "/v2/stocks/{symbol}/quotes": stock_data.list_quotes,
    "/v2/stocks/{symbol}/quotes/latest": stock_data.latest_quotes,
    "/v2/stocks/{symbol}/trades": stock_data.list_trades,
    "/v2/stocks/{symbol}/trades/latest": stock_data.latest_trades,
    "/v2/stocks/{symbol}/snapshot": stock_data.get_snapshot,
    "/v2/stocks/meta/conditions/{type}": codes.stock_conditions,
    "/v2/stocks/meta/exchanges": lambda _: codes.STOCK_EXCHANGES,
    "/v1beta3/crypto/{loc}/bars": crypto_data.list_bars,
    "/v1beta3/crypto/{loc}/quotes": crypto_data.list_quotes,
    "/v1beta3/crypto/{loc}/trades": crypto_data.list_trades,
    "/v1beta3/crypto/{loc}/latest/bars": crypto_data.latest_bars,
    "/v1beta3/crypto/{loc}/latest/orderbooks": crypto_data.latest_order_books,
    "/v1beta3/crypto/{loc}/latest/quotes": crypto_data.latest_quotes,
    "/v1beta3/crypto/{loc}/latest/trades": crypto_data.latest_trades,
    "/v1beta3/crypto/{loc}/snapshots": crypto_data.list_snapshots,
    "/v1beta1/options/bars": option_data.list_bars,
    "/v1beta1/options/trades": option_data.list_trades,
    "/v1beta1/options/quotes/latest": option_data.latest_quotes,
    "/v1beta1/options/trades/latest": option_data.latest_trades,
    "/v1beta1/options/snapshots": option_data.list_snapshots,
    "/v1beta1/options/snapshots/{underlying_symbol}": option_data.get_chain,
    "/v1beta1/options/meta/conditions/{type}": codes.option_conditions,
    "/v1beta1/options/meta/exchanges": lambda _: codes.OPTION_EXCHANGES,
    "/v1/corporate-actions": list_corporate_actions,
    "/v1beta1/corporate-actions": list_corporate_actions,
    "/v1beta1/news": empty_data.list_news,
    "/v1beta1/fixed_income/latest/prices": empty_data.latest_bond_prices,
    "/v1beta1/fixed_income/latest/quotes": empty_data.latest_bond_quotes,
    "/v1beta1/forex/latest/rates": empty_data.latest_rates,
    "/v1beta1/forex/rates": empty_data.list_rates,
    "/v1beta1/screener/stocks/most-actives": empty_data.most_actives,
    "/v1beta1/screener/{market_type}/movers": empty_data.movers,
}
DATA_ROUTES = Routes({pattern: {} for pattern in _HANDLERS})

# All paths of market data begin with one of these, and no others.
DATA_PREFIXES = ("/v2/stocks/", "/v1beta1/", "/v1beta3/", "/v1/corporate-actions")
_NEEDS_NO_KEYS = "/v1beta3/crypto/"


class MarketDataApi:
    """A `rate_limit_per_minute` of 0 sets no limit. The limit is separate from that of the Trading API."""

    def __init__(self, *, market: Market, rate_limit_per_minute: int, clock: Clock) -> None:
        self.market = market
        self._clock = clock
        self._rate_limit = RateLimit(rate_limit_per_minute) if rate_limit_per_minute else None

    async def handle(self, method: str, route: Route | None, headers: Mapping[str, str], query_string: str) -> Response:
        """Returns errors as responses, too. `route` is None for an unknown path."""
        try:
            key_id = _authenticated_key_id(route, headers)
        except ApiError as error:
            return Response.of_error(error)
        if self._rate_limit is None or key_id is None:
            return await self._call_handler(method, route, query_string)
        allowance = self._rate_limit.spend(key_id, self._clock.real())
        if allowance.is_exceeded:
            return Response.of_error(ApiError(429, "too many requests."))
        response = await self._call_handler(method, route, query_string)
        response.headers.update(allowance.headers())
        return response

    async def _call_handler(self, method: str, route: Route | None, query_string: str) -> Response:
        try:
            return Response(200, await self._document(method, route, query_string))
        except ApiError as error:
            return Response.of_error(error)

    async def _document(self, method: str, route: Route | None, query_string: str) -> Document:
        if route is None:
            raise EndpointNotFoundError
        if method != "GET":
            raise MethodNotAllowedError(["GET"])
        request = DataRequest(self.market, self._clock.now(), route.parameters, query_string)
        done = _HANDLERS[route.pattern](request)
        return dict(done if isinstance(done, Mapping) else await done)


def _authenticated_key_id(route: Route | None, headers: Mapping[str, str]) -> str | None:
    """Returns None for a request without keys, which may ask for coins."""
    if route is not None and route.pattern.startswith(_NEEDS_NO_KEYS) and not has_credentials(headers):
        return None
    return authenticate_for_data(headers)
