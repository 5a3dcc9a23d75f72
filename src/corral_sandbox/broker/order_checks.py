"""Whether an order is accepted.

First the rules that hold for every order, refused with 422, then what this account may do, refused with 403. Codes and
bodies are Alpaca's.
"""

from decimal import Decimal

from corral_sandbox.broker.account_settings import AccountConfigurations
from corral_sandbox.broker.initial_state import ACTIVE
from corral_sandbox.broker.matching import quote
from corral_sandbox.broker.option_checks import check_option_opening, check_strategy, insufficient_quantity
from corral_sandbox.broker.order_manager import OrderManager
from corral_sandbox.broker.orders import BrokerOrder, Intent, OrderRequest
from corral_sandbox.broker.reservations import available_buying_power, order_cost, reserved_quantity
from corral_sandbox.errors import ApiError, ForbiddenError, InvalidParameterError, UnprocessableError
from corral_sandbox.market.assets import Asset
from corral_sandbox.market.money import CENT, ONE, ZERO, format_amount
from corral_sandbox.market.time import new_york_time, session_on

_TIMES_IN_FORCE = {
    "us_equity": {"day", "gtc", "opg", "cls", "ioc", "fok"},
    "us_option": {"day", "gtc"},
    "crypto": {"gtc", "ioc"},
}
_TYPES = {
    "us_equity": {"market", "limit", "stop", "stop_limit", "trailing_stop"},
    "us_option": {"market", "limit", "stop", "stop_limit"},
    "crypto": {"market", "limit", "stop_limit"},
}
_PRICES = {
    "market": set[str](),
    "limit": {"limit_price"},
    "stop": {"stop_price"},
    "stop_limit": {"limit_price", "stop_price"},
    "trailing_stop": set[str](),
}
_SUB_CENT = Decimal("0.0001")


def check_rules(order_request: OrderRequest, now: int) -> None:
    if (order_request.quantity is None) == (order_request.notional is None):
        raise InvalidParameterError(
            "qty or notional is required"
            if order_request.quantity is None
            else "only one of qty or notional is accepted"
        )
    _check_prices(order_request)
    if order_request.legs:
        _check_strategy(order_request)
        return
    asset = order_request.asset
    if asset is None:
        raise InvalidParameterError("symbol is required")
    _check_asset(order_request, asset, now)
    _check_size(order_request, asset)
    _check_class(order_request, asset)
    if order_request.time_in_force in {"opg", "cls"}:
        _check_auction(order_request, now)


def check_increment(name: str, price: Decimal | None, asset: Asset) -> None:
    if price is None:
        return
    increment = asset.price_increment
    if asset.asset_class == "us_equity":
        increment = CENT if price >= ONE else _SUB_CENT
    if price % increment:
        raise UnprocessableError(
            f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria"
        )


def _check_prices(order_request: OrderRequest) -> None:
    needed = _PRICES[order_request.type]
    for name in ("limit_price", "stop_price"):
        given = getattr(order_request, name) is not None
        if name in needed and not given and not (name == "limit_price" and order_request.order_class == "oco"):
            raise InvalidParameterError(
                f"{order_request.type} orders require {'a ' if name == 'limit_price' else ''}{name.replace('_', ' ')}"
            )
        if given and name not in needed:
            raise InvalidParameterError(f"{order_request.type} orders must not have {name.replace('_', ' ')}")
    trails = [order_request.trail_price, order_request.trail_percent]
    if (order_request.type == "trailing_stop") != (sum(trail is not None for trail in trails) == 1):
        raise InvalidParameterError("trailing stop orders must specify one of trail_price or trail_percent")


def _check_asset(order_request: OrderRequest, asset: Asset, now: int) -> None:
    if not asset.tradable or not asset.is_active(now):
        raise UnprocessableError(f"asset {asset.symbol} is not active")
    if order_request.type not in _TYPES[asset.asset_class]:
        raise UnprocessableError(f"invalid order type for {asset.asset_class} order")
    if order_request.time_in_force not in _TIMES_IN_FORCE[asset.asset_class]:
        raise UnprocessableError(f"invalid {asset.asset_class} time_in_force")
    if order_request.limit_price is not None and order_request.limit_price <= 0:
        raise InvalidParameterError("limit_price must be > 0")
    for name in ("limit_price", "stop_price"):
        check_increment(name, getattr(order_request, name), asset)
    if order_request.extended_hours and (
        order_request.type != "limit" or order_request.time_in_force not in {"day", "gtc"}
    ):
        raise UnprocessableError("extended hours order must be DAY or GTC limit orders")
    if order_request.extended_hours and asset.asset_class != "us_equity":
        raise UnprocessableError(f"extended hours is not allowed for {asset.asset_class}")


def _check_size(order_request: OrderRequest, asset: Asset) -> None:
    if not asset.fractionable and is_fractional(order_request):
        raise ApiError(403, f'asset "{asset.symbol}" is not fractionable', code=40310000)
    if order_request.notional is not None:
        if order_request.notional < ONE:
            raise ApiError(403, "minimal amount of notional is 1", code=40310000)
        if order_request.notional % CENT:
            raise UnprocessableError("notional value must be limited to 2 decimal places")
    elif order_request.quantity is not None and order_request.quantity < _minimum(order_request, asset):
        raise ApiError(403, f"minimal qty is {format_amount(asset.minimum_quantity)}", code=40310000)
    if asset.asset_class == "us_equity" and is_fractional(order_request):
        _check_fraction(order_request)


def _minimum(order_request: OrderRequest, asset: Asset) -> Decimal:
    """Coins that a fee has left below the minimum can still be sold, by an order that says it closes."""
    closes_coins = asset.asset_class == "crypto" and order_request.intent == "sell_to_close"
    return asset.quantity_increment if closes_coins else asset.minimum_quantity


def _check_fraction(order_request: OrderRequest) -> None:
    if order_request.time_in_force != "day":
        raise UnprocessableError("fractional orders must be DAY orders")
    if order_request.order_class:
        raise UnprocessableError("fractional orders must be simple orders")
    if order_request.type == "trailing_stop":
        raise UnprocessableError("fractional orders must be market, limit, stop or stop_limit orders")


def is_fractional(order_request: OrderRequest) -> bool:
    return order_request.quantity is None or order_request.quantity % 1 != 0


def _check_class(order_request: OrderRequest, asset: Asset) -> None:
    exits = [order_request.take_profit, order_request.stop_loss]
    given = sum(part is not None for part in exits)
    if not order_request.order_class:
        if given:
            raise UnprocessableError("simple orders must not have take_profit or stop_loss")
        return
    if asset.asset_class != "us_equity":
        raise UnprocessableError(f"complex orders not supported for {asset.asset_class}")
    if order_request.time_in_force not in {"day", "gtc"} or order_request.extended_hours:
        raise UnprocessableError("complex orders must be DAY or GTC, without extended hours")
    if order_request.order_class == "oto":
        if given != 1:
            raise InvalidParameterError("oto orders require either take_profit or stop_loss")
    elif given != len(exits):
        raise InvalidParameterError(
            f"{order_request.order_class} orders require take_profit.limit_price and stop_loss.stop_price"
        )
    if order_request.order_class == "oco" and order_request.type != "limit":
        raise InvalidParameterError("oco orders must be limit orders")
    _check_exits(order_request, asset)


def _check_exits(order_request: OrderRequest, asset: Asset) -> None:
    """Take profit and stop loss must lie on opposite sides of the entry."""
    stop = order_request.stop_loss
    check_increment("take_profit.limit_price", order_request.take_profit, asset)
    if stop is None:
        return
    check_increment("stop_loss.stop_price", stop.stop_price, asset)
    check_increment("stop_loss.limit_price", stop.limit_price, asset)
    is_exit_by_sale = (order_request.side == "sell") == (order_request.order_class == "oco")
    if order_request.take_profit is not None and (order_request.take_profit > stop.stop_price) != is_exit_by_sale:
        where = ">" if is_exit_by_sale else "<"
        raise UnprocessableError(f"take_profit.limit_price must be {where} stop_loss.stop_price")


def _check_strategy(order_request: OrderRequest) -> None:
    if order_request.type not in {"market", "limit"} or order_request.time_in_force != "day":
        raise UnprocessableError("mleg orders must be DAY market or limit orders")
    if order_request.quantity is None or order_request.quantity % 1:
        raise UnprocessableError("mleg orders require a whole qty")
    if any(leg.asset.asset_class != "us_option" for leg in order_request.legs):
        raise UnprocessableError("mleg orders must have options as legs")
    if len({leg.asset.symbol for leg in order_request.legs}) != len(order_request.legs):
        raise UnprocessableError("mleg orders must have legs of different contracts")
    if any(leg.ratio % 1 for leg in order_request.legs):
        raise UnprocessableError("ratio_qty must be whole")


def _check_auction(order_request: OrderRequest, now: int) -> None:
    """Orders for the open are accepted from 19:00 to 09:28, those for the close from 19:00 to 15:50."""
    if order_request.type not in {"market", "limit"}:
        raise UnprocessableError(f"{order_request.time_in_force} orders must be market or limit orders")
    moment = new_york_time(now)
    session = session_on(moment.date())
    if session is None or moment.hour >= 19:  # noqa: PLR2004 - 7 pm
        return
    last = session.opens if order_request.time_in_force == "opg" else session.closes
    minutes = 2 if order_request.time_in_force == "opg" else 10
    if (last - moment).total_seconds() < minutes * 60:
        raise UnprocessableError(f"{order_request.time_in_force} orders are not accepted at this time")


def check_account(manager: OrderManager) -> None:
    profile = manager.terms.profile
    if profile["account_blocked"] or profile["trading_blocked"]:
        raise ForbiddenError("account is restricted from trading")
    if profile["status"] != ACTIVE:
        raise ForbiddenError("account is not active")
    if profile["trade_suspended_by_user"]:
        raise ForbiddenError("new orders are rejected by user request")


def check_client_order_id(manager: OrderManager, client_order_id: str | None) -> None:
    if client_order_id is not None and client_order_id in manager.by_client_order_id:
        raise InvalidParameterError("client_order_id must be unique")


def check_order(
    manager: OrderManager,
    order_request: OrderRequest,
    configurations: AccountConfigurations,
    now: int,
    *,
    replacing: BrokerOrder | None = None,
) -> None:
    """`replacing` is the order that this one replaces; its reservations do not count."""
    asset = order_request.asset
    if asset is None:
        check_strategy(manager, order_request, now, replacing)
        return
    if is_fractional(order_request) and not configurations.fractional_trading and not order_request.trades_always:
        raise ForbiddenError("fractional trading is disabled")
    _check_wash_trade(manager, order_request, asset, replacing)
    intent = inferred_intent(manager, order_request)
    if order_request.intent is not None and order_request.intent != intent:
        raise UnprocessableError(f"position intent mismatch, inferred: {intent}, specified: {order_request.intent}")
    if intent.endswith("close"):
        _check_available(manager, order_request, asset, now, replacing)
        return
    if asset.contract is not None:
        check_option_opening(manager, order_request, asset.contract, now, replacing)
    elif order_request.side == "sell":
        _check_short_sale(manager, order_request, asset)
    if asset.contract is None or order_request.side == "buy":
        _check_power(manager, order_request, now, replacing)


def inferred_intent(manager: OrderManager, order_request: OrderRequest) -> Intent:
    """Returns whether an order opens or closes a position."""
    held = manager.ledger.state.quantity_of(order_request.asset.symbol) if order_request.asset else ZERO
    if order_request.side == "buy":
        return "buy_to_close" if held < 0 else "buy_to_open"
    return "sell_to_close" if held > 0 else "sell_to_open"


def _quantity(manager: OrderManager, order_request: OrderRequest, now: int) -> Decimal:
    if order_request.quantity is not None:
        return order_request.quantity
    return (order_request.notional or ZERO) / quote(manager.terms.market, order_request, now)


def _check_available(
    manager: OrderManager, order_request: OrderRequest, asset: Asset, now: int, replacing: BrokerOrder | None
) -> None:
    """An order can close what is not reserved for other orders; it cannot reverse a position."""
    held = abs(manager.ledger.state.quantity_of(asset.symbol))
    on_hold = reserved_quantity(manager, asset.symbol, now, replacing)
    available = held - on_hold
    wanted = _quantity(manager, order_request, now)
    if wanted <= available:
        return
    details = {
        "available": format_amount(available),
        "existing_qty": format_amount(held),
        "held_for_orders": format_amount(on_hold),
        "symbol": asset.symbol,
    }
    if asset.asset_class == "crypto":
        coin = asset.symbol.split("/")[0]
        raise ForbiddenError(_balance(coin, wanted, available), **details)
    raise ForbiddenError(insufficient_quantity(wanted, available), **details)


def _check_short_sale(manager: OrderManager, order_request: OrderRequest, asset: Asset) -> None:
    if asset.asset_class == "crypto":
        wanted = format_amount(order_request.quantity or order_request.notional or ZERO)
        coin = asset.symbol.split("/")[0]
        raise ForbiddenError(
            f"insufficient balance for {coin} (requested: {wanted}, available: 0)", available="0", symbol=coin
        )
    if not manager.terms.profile["shorting_enabled"]:
        raise ForbiddenError("account is not allowed to short")
    if is_fractional(order_request):
        raise UnprocessableError("fractional orders cannot be sold short")
    if not asset.shortable:
        raise UnprocessableError(f'asset "{asset.symbol}" cannot be sold short')


def _check_power(manager: OrderManager, order_request: OrderRequest, now: int, replacing: BrokerOrder | None) -> None:
    current_price = quote(manager.terms.market, order_request, now)
    cost = order_request.notional or order_cost(order_request, order_request.quantity or ZERO, current_price)
    power = max(available_buying_power(manager, order_request, now, replacing), ZERO)
    if cost <= power:
        return
    if order_request.trades_always:
        raise ForbiddenError(_balance("USD", cost, power), available=format_amount(power), symbol="USD")
    what = "options buying power" if order_request.asset and order_request.asset.contract else "buying power"
    raise ForbiddenError(f"insufficient {what}", buying_power=format_amount(power), cost_basis=format_amount(cost))


def _check_wash_trade(
    manager: OrderManager, order_request: OrderRequest, asset: Asset, replacing: BrokerOrder | None
) -> None:
    """Raises if the order could fill against another order of the account. Exits of complex orders are exempt."""
    for order in manager.open_orders:
        other = order.request
        if order is replacing or other.side == order_request.side or order.is_exit:
            continue
        if other.asset is None or other.asset.symbol != asset.symbol:
            continue
        buy, sell = (order_request, other) if order_request.side == "buy" else (other, order_request)
        if buy.type == sell.type == "limit" and (buy.limit_price or ZERO) < (sell.limit_price or ZERO):
            continue
        raise UnprocessableError("potential wash trade detected. use complex orders")


def _balance(of: str, wanted: Decimal, available: Decimal) -> str:
    return f"insufficient balance for {of} (requested: {format_amount(wanted)}, available: {format_amount(available)})"
