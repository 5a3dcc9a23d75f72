"""Alpaca's Trading API: authenticates a request, applies the rate limit and calls the handler.

A handler is a function of a `Request` that returns a JSON document or a `Response`. A new one is a line in `ROUTES`.
"""

from collections.abc import Mapping
from decimal import Decimal, localcontext
from functools import partial

from corral_sandbox.api.account import get_account, get_configurations, update_configurations
from corral_sandbox.api.activities import list_activities
from corral_sandbox.api.assets import get_asset, list_assets
from corral_sandbox.api.calendar import clock_document, list_calendar, list_market_calendar, list_market_clocks
from corral_sandbox.api.corporate_actions import get_corporate_action, list_corporate_actions
from corral_sandbox.api.crypto_funding import (
    get_tokenization,
    get_tokenization_by_client_request_id,
    list_tokenizations,
    refuse_tokenization,
    refuse_wallets,
)
from corral_sandbox.api.locates import create_locate, get_locate, list_locate_quotes, list_locates
from corral_sandbox.api.options import get_contract, list_contracts
from corral_sandbox.api.orders import (
    cancel_all_orders,
    cancel_order,
    get_order,
    get_order_by_client_order_id,
    list_orders,
    place_order,
    replace_order,
)
from corral_sandbox.api.portfolio_history import get_portfolio_history
from corral_sandbox.api.positions import (
    close_all_positions,
    close_position,
    decline_exercise,
    exercise_position,
    get_position,
    list_positions,
)
from corral_sandbox.api.watchlists import (
    add_to_watchlist,
    create_watchlist,
    delete_watchlist,
    get_watchlist,
    list_watchlists,
    remove_from_watchlist,
    update_watchlist,
)
from corral_sandbox.broker.accounts import OrderScheduler, TradingAccounts
from corral_sandbox.broker.matching import LIQUIDITY
from corral_sandbox.broker.orders import OrderOutcome
from corral_sandbox.errors import ApiError, EndpointNotFoundError, MethodNotAllowedError
from corral_sandbox.http.access import RateLimit, authenticate
from corral_sandbox.http.requests import Handler, Request, Response, Route, Routes
from corral_sandbox.market.money import EXACT
from corral_sandbox.market.prices import Market
from corral_sandbox.market.time import Clock
from corral_sandbox.stream.server_sent_events import (
    ACTIVITY_EVENTS_PATH,
    TRADE_EVENTS_PATH,
    stream_activity_events,
    stream_trade_events,
)

_WATCHLIST: dict[str, Handler] = {
    "GET": get_watchlist,
    "PUT": update_watchlist,
    "POST": add_to_watchlist,
    "DELETE": delete_watchlist,
}
ROUTES = Routes(
    {
        "/v2/account": {"GET": get_account},
        "/v2/account/activities": {"GET": list_activities},
        "/v2/account/activities/{activity_type}": {"GET": list_activities},
        "/v2/account/configurations": {"GET": get_configurations, "PATCH": update_configurations},
        "/v2/account/portfolio/history": {"GET": get_portfolio_history},
        "/v2/assets": {"GET": list_assets},
        "/v2/assets/{symbol_or_asset_id}": {"GET": get_asset},
        "/v2/calendar": {"GET": list_calendar},
        "/v2/clock": {"GET": lambda request: clock_document(request.now)},
        "/v2/orders": {"GET": list_orders, "POST": place_order, "DELETE": cancel_all_orders},
        "/v2/orders/{order_id}": {"GET": get_order, "PATCH": replace_order, "DELETE": cancel_order},
        "/v2/orders:by_client_order_id": {"GET": get_order_by_client_order_id},
        "/v2/positions": {"GET": list_positions, "DELETE": close_all_positions},
        "/v2/positions/{symbol_or_asset_id}": {"GET": get_position, "DELETE": close_position},
        "/v2/corporate_actions/announcements": {"GET": list_corporate_actions},
        "/v2/corporate_actions/announcements/{id}": {"GET": get_corporate_action},
        "/v2/options/contracts": {"GET": list_contracts},
        "/v2/options/contracts/{symbol_or_id}": {"GET": get_contract},
        "/v2/positions/{symbol_or_asset_id}/do-not-exercise": {"POST": decline_exercise},
        "/v2/positions/{symbol_or_asset_id}/exercise": {"POST": exercise_position},
        "/v1/locates": {"GET": list_locates, "POST": create_locate},
        "/v1/locates/quotes": {"GET": list_locate_quotes},
        "/v1/locates/{locate_id}": {"GET": get_locate},
        "/v2/tokenization/mint": {"POST": refuse_tokenization},
        "/v2/tokenization/requests": {"GET": list_tokenizations},
        "/v2/tokenization/requests/{tokenization_request_id}": {"GET": get_tokenization},
        "/v2/tokenization/requests:by_client_request_id": {"GET": get_tokenization_by_client_request_id},
        "/v2/wallets": {"GET": refuse_wallets},
        "/v2/wallets/fees/estimate": {"GET": refuse_wallets},
        "/v2/wallets/transfers": {"GET": refuse_wallets, "POST": refuse_wallets},
        "/v2/wallets/transfers/{transfer_id}": {"GET": refuse_wallets},
        "/v2/wallets/travel-rule/vasps": {"GET": refuse_wallets},
        "/v2/wallets/whitelists": {"GET": refuse_wallets, "POST": refuse_wallets},
        "/v2/wallets/whitelists/{whitelisted_address_id}": {"DELETE": refuse_wallets},
        "/v2/wallets/whitelists/{whitelisted_address_id}/travel-rule-info": {"PATCH": refuse_wallets},
        "/v2/watchlists": {"GET": list_watchlists, "POST": create_watchlist},
        "/v2/watchlists/{watchlist_id}": _WATCHLIST,
        "/v2/watchlists/{watchlist_id}/{symbol}": {"DELETE": remove_from_watchlist},
        "/v2/watchlists:by_name": _WATCHLIST,
        TRADE_EVENTS_PATH: {"GET": stream_trade_events},
        ACTIVITY_EVENTS_PATH: {"GET": stream_activity_events},
        "/v3/calendar/{market}": {"GET": list_market_calendar},
        "/v3/clock": {"GET": list_market_clocks},
    }
)
_STREAMS = frozenset({stream_trade_events, stream_activity_events})  # they go on, so their account must be kept


class TradingApi:
    """A `rate_limit_per_minute` of 0 sets no limit; its minutes are real ones, at whatever speed the sandbox runs.

    `depth` is how many dollars of an order are filled at one instant, by default `LIQUIDITY`, and all at speed 0.
    """

    def __init__(
        self,
        *,
        market: Market,
        rate_limit_per_minute: int,
        clock: Clock,
        characters: bool = False,
        depth: Decimal | None = None,
    ) -> None:
        self.scheduler = OrderScheduler(clock)
        self.accounts = TradingAccounts(
            market,
            self.scheduler.schedule,
            on_dropped=self.scheduler.forget,
            characters=characters,
            depth=partial(_depth, depth, clock),
        )
        self._rate_limit = RateLimit(rate_limit_per_minute) if rate_limit_per_minute else None
        self._clock = clock

    def handle(
        self,
        environment: str | None,
        method: str,
        route: Route | None,
        headers: Mapping[str, str],
        *,
        query_string: str = "",
        body: bytes = b"",
        order_outcome: OrderOutcome | None = None,
    ) -> Response:
        """Returns errors as responses, too. `route` is None for an unknown path, `environment` at the root, where the
        key says it. `order_outcome` is what is to happen to an order that the request places.
        """
        try:
            key_id = authenticate(environment, headers)
        except ApiError as error:
            return Response.of_error(error)
        if self._rate_limit is None:
            return self._call_handler(
                key_id, method, route, query_string=query_string, body=body, order_outcome=order_outcome
            )
        allowance = self._rate_limit.spend(key_id, self._clock.real())
        if allowance.is_exceeded:
            response = Response.of_error(ApiError(429, "rate limit exceeded"))
        else:
            response = self._call_handler(
                key_id, method, route, query_string=query_string, body=body, order_outcome=order_outcome
            )
        response.headers.update(allowance.headers())
        return response

    def _call_handler(
        self,
        key_id: str,
        method: str,
        route: Route | None,
        *,
        query_string: str,
        body: bytes,
        order_outcome: OrderOutcome | None,
    ) -> Response:
        try:
            handler, parameters = _find_handler(method, route)
            is_read = method == "GET" and handler not in _STREAMS
            account = self.accounts.find(key_id) if is_read else self.accounts.open_for_changes(key_id)
            now = self._clock.now() if method == "GET" else self._clock.begin_change()
            request = Request(account, now, parameters, query_string, body, order_outcome, self._clock)
            with localcontext(EXACT):
                response = handler(request)
        except ApiError as error:
            return Response.of_error(error)
        return response if isinstance(response, Response) else Response(200, response)


def _depth(chosen: Decimal | None, clock: Clock) -> Decimal | None:
    """Where the clock stands still no further liquidity comes, so all of an order is filled at once."""
    return LIQUIDITY if chosen is None and clock.speed else chosen


def _find_handler(method: str, route: Route | None) -> tuple[Handler, dict[str, str]]:
    if route is None:
        raise EndpointNotFoundError
    if method not in route.handlers:
        raise MethodNotAllowedError(list(route.handlers))
    return route.handlers[method], route.parameters
