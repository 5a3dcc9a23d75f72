"""Alpaca's Trading API: who asks, whether they may, and which page answers.

A page is a function of a `Request`, which answers a JSON document or, where it is more than that, an `Answer`;
one more page is one more line in `ROUTES`.
"""

from collections.abc import Mapping
from decimal import localcontext

from corral_sandbox.account_page import account_page
from corral_sandbox.activities_page import list_activities
from corral_sandbox.announcements import announcement_page, announcements_page
from corral_sandbox.answers import Answer, EndpointNotFound, MethodNotAllowed, Refused
from corral_sandbox.asset_pages import asset_page, assets_page
from corral_sandbox.calendar_pages import calendar_page, market_calendar_page
from corral_sandbox.clock import Clock
from corral_sandbox.configuration_pages import change_configurations, configurations_page
from corral_sandbox.customers import Customers
from corral_sandbox.keys import authenticate
from corral_sandbox.ledger import EXACT
from corral_sandbox.market_clock import clock_document, market_clocks_page
from corral_sandbox.option_pages import contract_page, contracts_page
from corral_sandbox.orders_page import (
    cancel_all_orders,
    cancel_order,
    list_orders,
    place_order,
    replace_order,
    show_order,
    show_order_by_client_order_id,
)
from corral_sandbox.portfolio_history import portfolio_history_page
from corral_sandbox.positions_page import (
    close_all_positions,
    close_position,
    decline_exercise,
    exercise_position,
    list_positions,
    show_position,
)
from corral_sandbox.rate_limit import RateLimit
from corral_sandbox.requests import Request
from corral_sandbox.routes import Page, Route, Routes
from corral_sandbox.timetable import Timetable
from corral_sandbox.watchlist_pages import (
    add_to_watchlist,
    change_watchlist,
    create_watchlist,
    delete_watchlist,
    get_watchlist,
    list_watchlists,
    remove_from_watchlist,
)

_WATCHLIST: dict[str, Page] = {
    "GET": get_watchlist,
    "PUT": change_watchlist,
    "POST": add_to_watchlist,
    "DELETE": delete_watchlist,
}
ROUTES = Routes(
    {
        "/v2/account": {"GET": account_page},
        "/v2/account/activities": {"GET": list_activities},
        "/v2/account/activities/{activity_type}": {"GET": list_activities},
        "/v2/account/configurations": {"GET": configurations_page, "PATCH": change_configurations},
        "/v2/account/portfolio/history": {"GET": portfolio_history_page},
        "/v2/assets": {"GET": assets_page},
        "/v2/assets/{symbol_or_asset_id}": {"GET": asset_page},
        "/v2/calendar": {"GET": calendar_page},
        "/v2/clock": {"GET": lambda request: clock_document(request.now)},
        "/v2/orders": {"GET": list_orders, "POST": place_order, "DELETE": cancel_all_orders},
        "/v2/orders/{order_id}": {"GET": show_order, "PATCH": replace_order, "DELETE": cancel_order},
        "/v2/orders:by_client_order_id": {"GET": show_order_by_client_order_id},
        "/v2/positions": {"GET": list_positions, "DELETE": close_all_positions},
        "/v2/positions/{symbol_or_asset_id}": {"GET": show_position, "DELETE": close_position},
        "/v2/corporate_actions/announcements": {"GET": announcements_page},
        "/v2/corporate_actions/announcements/{id}": {"GET": announcement_page},
        "/v2/options/contracts": {"GET": contracts_page},
        "/v2/options/contracts/{symbol_or_id}": {"GET": contract_page},
        "/v2/positions/{symbol_or_asset_id}/do-not-exercise": {"POST": decline_exercise},
        "/v2/positions/{symbol_or_asset_id}/exercise": {"POST": exercise_position},
        "/v2/watchlists": {"GET": list_watchlists, "POST": create_watchlist},
        "/v2/watchlists/{watchlist_id}": _WATCHLIST,
        "/v2/watchlists/{watchlist_id}/{symbol}": {"DELETE": remove_from_watchlist},
        "/v2/watchlists:by_name": _WATCHLIST,
        "/v3/calendar/{market}": {"GET": market_calendar_page},
        "/v3/clock": {"GET": market_clocks_page},
    }
)


class TradingApi:
    """A `rate_limit_per_minute` of 0 is none; its minutes are real ones, as a client's are, at whatever speed."""

    def __init__(self, *, seed: int, rate_limit_per_minute: int, clock: Clock) -> None:
        self.timetable = Timetable(clock)
        self.customers = Customers(seed, self.timetable.enter)
        self._rate_limit = RateLimit(rate_limit_per_minute) if rate_limit_per_minute else None
        self._clock = clock

    def answer(
        self,
        environment: str,
        method: str,
        route: Route | None,
        headers: Mapping[str, str],
        *,
        query_string: str = "",
        body: bytes = b"",
    ) -> Answer:
        """Answers Alpaca's refusals, too. `route` is where the path leads, None if nowhere."""
        try:
            key_id = authenticate(environment, headers)
        except Refused as refused:
            return refused.answer
        if self._rate_limit is None:
            return self._answer_from_page(key_id, method, route, query_string, body)
        allowance = self._rate_limit.spend(key_id, self._clock.real())
        if allowance.is_exceeded:
            answer = Refused(429, "rate limit exceeded").answer
        else:
            answer = self._answer_from_page(key_id, method, route, query_string, body)
        answer.headers.update(allowance.headers())
        return answer

    def _answer_from_page(
        self, key_id: str, method: str, route: Route | None, query_string: str, body: bytes
    ) -> Answer:
        try:
            page, parameters = _page(method, route)
            customer = self.customers.look_up(key_id) if method == "GET" else self.customers.remember(key_id)
            with localcontext(EXACT):
                answer = page(Request(customer, self._clock.now(), parameters, query_string, body))
        except Refused as refused:
            return refused.answer
        return answer if isinstance(answer, Answer) else Answer(200, answer)


def _page(method: str, route: Route | None) -> tuple[Page, dict[str, str]]:
    if route is None:
        raise EndpointNotFound
    if method not in route.pages:
        raise MethodNotAllowed(list(route.pages))
    return route.pages[method], route.parameters
