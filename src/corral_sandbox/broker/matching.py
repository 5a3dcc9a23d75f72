"""What happens to an order next, and when: a pure function of the order and of prices.

Shares and options trade in the regular session, shares with `extended_hours` from 04:00 to 20:00, coins always.
A market order fills at once, a limit order when the price is at its limit or better, and a stop becomes one of them
when the price reaches it. `depth` is how many dollars of an order the market fills at one instant, in two executions;
the next fill comes `LIQUIDITY_RETURNS_AFTER` later. With a depth of None it fills all of it at once.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from decimal import ROUND_DOWN, Decimal
from typing import Literal, NamedTuple

from corral_sandbox.broker.orders import BrokerOrder, OrderOutcome, OrderRequest, can_trade, release_time, window_of
from corral_sandbox.broker.price_search import Bounds, first_drop_to_stop, first_time, highest
from corral_sandbox.market.money import BILLIONTH, ZERO
from corral_sandbox.market.option_contracts import contract_of
from corral_sandbox.market.prices import Market, price, price_range
from corral_sandbox.market.time import DAY, HOUR, SECOND

Depth = Callable[[], Decimal | None]
"""Returns how many dollars of an order are filled at one instant; None is all of it."""

LIQUIDITY = Decimal(20_000)
LIQUIDITY_RETURNS_AFTER = SECOND // 4
_EXECUTIONS_AT_ONCE = 2  # at one instant


class OrderStep(NamedTuple):
    """`release` sends an order to the market; `look` only continues the search for the next step."""

    at: int
    action: Literal["release", "trigger", "execute", "cancel", "expire", "reject", "look"]
    peak: Decimal | None = None


def next_step(market: Market, order: BrokerOrder, depth: Depth) -> OrderStep | None:
    """Returns None for an order that is closed, or that waits for another order."""
    order_request, at = order.request, order.ready_at
    if not (order.is_open and order.is_working):
        return None
    if order.outcome is not None and order.outcome.kind in {"rejected", "pending_new", "partially_filled"}:
        return _outcome_step(order, order.outcome)
    if order.status in {"accepted", "pending_new"}:
        return OrderStep(release_time(order_request, at), "release")
    if any(map(market.is_halted, _symbols(order_request))):
        return _step_while_halted(order)
    return _step_at_the_market(market, order, depth)


def _step_at_the_market(market: Market, order: BrokerOrder, depth: Depth) -> OrderStep:
    time_in_force, at = order.request.time_in_force, order.ready_at
    if time_in_force in {"opg", "cls"}:
        return _auction(market, order)
    if time_in_force in {"ioc", "fok"}:
        return OrderStep(at, "execute" if _executes_at_once(market, order, at, depth()) else "cancel")
    return _next_look(market, order)


def follows(order_request: OrderRequest, symbols: AbstractSet[str]) -> bool:
    """Whether the prices of any of `symbols`, or of an option on one, decide about an order."""
    for symbol in _symbols(order_request):
        contract = contract_of(symbol)
        if symbol in symbols or (contract is not None and contract.underlying in symbols):
            return True
    return False


def _symbols(order_request: OrderRequest) -> list[str]:
    assets = [leg.asset for leg in order_request.legs] if order_request.asset is None else [order_request.asset]
    return [asset.symbol for asset in assets]


def _step_while_halted(order: BrokerOrder) -> OrderStep | None:
    if order.request.time_in_force in {"ioc", "fok"}:
        return OrderStep(order.ready_at, "cancel")
    return None if order.expires_at is None else OrderStep(max(order.ready_at, order.expires_at), "expire")


def _outcome_step(order: BrokerOrder, outcome: OrderOutcome) -> OrderStep | None:
    """Returns the next step towards an outcome that a test asked for; an order that is stuck only expires."""
    if outcome.kind == "rejected":
        return OrderStep(order.submitted_at + outcome.after, "reject")
    if outcome.kind == "partially_filled" and order.status in {"accepted", "pending_new"}:
        return OrderStep(release_time(order.request, order.ready_at), "release")
    if outcome.kind == "partially_filled" and order.filled_quantity < outcome.quantity:
        return OrderStep(max(order.ready_at, window_of(order.request, order.ready_at).opens), "execute")
    return None if order.expires_at is None else OrderStep(order.expires_at, "expire")


def best_price(market: Market, order: BrokerOrder, now: int) -> Decimal | None:
    """Returns the highest price since a trailing stop was placed (the lowest for a buy), None for other orders."""
    window = window_of(order.request, order.ready_at)
    start, end = max(order.ready_at, window.opens), min(now, window.closes - 1)
    if order.peak is None or not order.is_open or order.is_triggered or end < start:
        return order.peak
    bounds = price_bounds(market, order.request)
    if order.request.side == "sell":
        return highest(bounds, order.peak, start, end)
    return -highest(negated(bounds), -order.peak, start, end)


def executions(order: BrokerOrder, price: Decimal, depth: Decimal | None) -> list[Decimal]:
    """Returns the quantities that are filled at one instant."""
    left = order.left_at(price)
    if not left:
        return []
    if order.outcome is not None and order.outcome.kind == "partially_filled":
        return [min(left, order.outcome.quantity - order.filled_quantity)]
    if order.request.asset is None or depth is None:
        return [left]
    unit = _quantity_increment(order)
    whole = order.request.time_in_force in {"opg", "cls", "fok"}
    deep = max((depth / price / order.request.multiplier).quantize(unit, ROUND_DOWN), unit)
    taken = left if whole else min(left, deep)
    first = max((deep / _EXECUTIONS_AT_ONCE).quantize(unit, ROUND_DOWN), unit)
    return [part for part in (min(first, taken), max(taken - first, ZERO)) if part]


def execution_price(market: Market, order: BrokerOrder, at: int) -> Decimal:
    """Returns the price at which an order is filled at `at`: the market's, or the limit of an order that a test has
    filled while the price is not there.
    """
    price, limit = quote(market, order.request, at), order.request.limit_price
    is_there = order.outcome is None or limit is None or _reaches_limit(order.request, price, price)
    return price if is_there or limit is None else limit


def _auction(market: Market, order: BrokerOrder) -> OrderStep:
    """An order for the open or the close is filled completely or expires."""
    at = order.ready_at if order.expires_at is None else order.expires_at
    return OrderStep(at, "execute" if _is_at_limit(market, order.request, at) else "expire")


def _executes_at_once(market: Market, order: BrokerOrder, at: int, depth: Decimal | None) -> bool:
    order_request = order.request
    if not can_trade(order_request, at) or not _is_at_limit(market, order_request, at):
        return False
    price = quote(market, order_request, at)
    return (
        order_request.time_in_force == "ioc"
        or depth is None
        or order.left_at(price) * price * order_request.multiplier <= depth
    )


def _is_at_limit(market: Market, order_request: OrderRequest, at: int) -> bool:
    return order_request.limit_price is None or _reaches_limit(order_request, *[quote(market, order_request, at)] * 2)


def _next_look(market: Market, order: BrokerOrder) -> OrderStep:
    """Searches to the end of the window, at most a day, or an hour for a trailing stop."""
    order_request = order.request
    window = window_of(order_request, order.ready_at)
    start = max(order.ready_at, window.opens)
    if order.expires_at is not None and start >= order.expires_at:
        return OrderStep(order.expires_at, "expire")
    ahead = start + (HOUR if order_request.is_trailing and not order.is_triggered else DAY)
    closes = window.closes if order.expires_at is None else min(window.closes, order.expires_at)
    end = min(closes, ahead) - 1
    if _needs_trigger(order):
        return _next_trigger(market, order, start, end)
    if order_request.limit_price is None:
        return OrderStep(start, "execute")
    found = first_time(
        price_bounds(market, order_request), lambda low, high: _reaches_limit(order_request, low, high), start, end
    )
    return OrderStep(end + 1, "look") if found is None else OrderStep(found, "execute")


def _needs_trigger(order: BrokerOrder) -> bool:
    return order.request.type in {"stop", "stop_limit", "trailing_stop"} and not order.is_triggered


def _next_trigger(market: Market, order: BrokerOrder, start: int, end: int) -> OrderStep:
    order_request, bounds = order.request, price_bounds(market, order.request)
    if order_request.is_trailing:
        return _trail(market, order, start, end)
    stop = order_request.stop_price or ZERO
    found = first_time(
        bounds, lambda low, high: high >= stop if order_request.side == "buy" else low <= stop, start, end
    )
    return OrderStep(end + 1, "look") if found is None else OrderStep(found, "trigger")


def _trail(market: Market, order: BrokerOrder, start: int, end: int) -> OrderStep:
    """A sell stop trails the highest price from below; a buy stop trails the lowest from above, its negative."""
    order_request, bounds = order.request, price_bounds(market, order.request)
    peak = quote(market, order_request, start) if order.peak is None else order.peak
    if order_request.side == "sell":
        found, peak = first_drop_to_stop(bounds, order_request.trailing_stop, peak, start, end)
    else:
        found, low = first_drop_to_stop(
            negated(bounds), lambda high: -order_request.trailing_stop(-high), -peak, start, end
        )
        peak = -low
    return OrderStep(end + 1, "look", peak) if found is None else OrderStep(found, "trigger", peak)


def _reaches_limit(order_request: OrderRequest, low: Decimal, high: Decimal) -> bool:
    limit = order_request.limit_price or ZERO
    return low <= limit if order_request.side == "buy" else high >= limit


def _quantity_increment(order: BrokerOrder) -> Decimal:
    quantity = order.request.quantity
    is_whole = quantity is not None and quantity == quantity.to_integral_value()
    return Decimal(1) if is_whole and not order.request.trades_always else BILLIONTH


def quote(market: Market, order_request: OrderRequest, at: int) -> Decimal:
    """Returns the price of an order's asset, or the net price of its legs, at `at` in nanoseconds since 1970."""
    if order_request.asset is not None:
        return price(market, order_request.asset.symbol, at)
    return price_bounds(market, order_request)(at, at)[0]


def price_bounds(market: Market, order_request: OrderRequest) -> Bounds:
    if order_request.asset is not None:
        symbol = order_request.asset.symbol
        return lambda start, end: price_range(market, symbol, start, end)
    return lambda start, end: _net_range(market, order_request, start, end)


def negated(bounds: Bounds) -> Bounds:
    """Negates prices, so that a search for the highest finds the lowest."""

    def of_negated_prices(start: int, end: int) -> tuple[Decimal, Decimal]:
        low, high = bounds(start, end)
        return -high, -low

    return of_negated_prices


def _net_range(market: Market, order_request: OrderRequest, start: int, end: int) -> tuple[Decimal, Decimal]:
    lowest = highest = ZERO
    for leg in order_request.legs:
        low, high = price_range(market, leg.asset.symbol, start, end)
        if leg.side == "sell":
            low, high = -high, -low
        lowest += leg.ratio * low
        highest += leg.ratio * high
    return lowest, highest
