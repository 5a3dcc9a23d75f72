"""What an order must be, whoever places it. Each rule refuses with 422 and Alpaca's code."""

from decimal import Decimal

from corral_sandbox.broker.orders import OrderRequest
from corral_sandbox.errors import ApiError, InvalidParameterError, UnprocessableError
from corral_sandbox.market.assets import Asset
from corral_sandbox.market.money import CENT, ONE, format_amount
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
    _check_quantity(order_request, asset)
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


def _check_quantity(order_request: OrderRequest, asset: Asset) -> None:
    if not asset.fractionable and is_fractional(order_request):
        raise ApiError(403, f'asset "{asset.symbol}" is not fractionable', code=40310000)
    if order_request.notional is not None:
        if order_request.notional < ONE:
            raise ApiError(403, "minimal amount of notional is 1", code=40310000)
        if order_request.notional % CENT:
            raise UnprocessableError("notional value must be limited to 2 decimal places")
    elif order_request.quantity is not None and order_request.quantity < asset.minimum_quantity:
        raise ApiError(403, f"minimal qty is {format_amount(asset.minimum_quantity)}", code=40310000)
    if asset.asset_class == "us_equity" and is_fractional(order_request):
        _check_fraction(order_request)


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
    """The profit is taken on the far side of the stop, seen from the entry."""
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
    """Orders for the open are taken from 19:00 to 09:28, those for the close until 15:50, or from 19:00 on."""
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
