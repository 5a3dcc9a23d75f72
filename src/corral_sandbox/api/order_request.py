"""What a client asks for with an order: reads its JSON, and refuses with 422 what no account may ask.

Codes and words are Alpaca's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, get_args

from corral_sandbox.broker.orders import (
    Intent,
    OptionLeg,
    OrderClass,
    OrderRequest,
    OrderType,
    Side,
    StopLossLeg,
    TimeInForce,
)
from corral_sandbox.errors import ApiError, InvalidParameterError, UnprocessableError
from corral_sandbox.http.forms import (
    Form,
    FormError,
    MissingFieldError,
    choice,
    flag,
    list_of,
    number,
    or_blank,
    part,
    read_form,
    text,
)
from corral_sandbox.http.requests import JsonValue
from corral_sandbox.market.assets import Asset, ListedAssets
from corral_sandbox.market.money import CENT, ONE, format_amount
from corral_sandbox.market.time import new_york_time, session_on


def _client_order_id(value: object) -> str:
    if len(text(value)) > _LONGEST_CLIENT_ORDER_ID:
        raise FormError(f"must have at most {_LONGEST_CLIENT_ORDER_ID} characters")
    return text(value)


def _class(value: object) -> object:
    return "" if value == "simple" else _one_class(value)


_LONGEST_CLIENT_ORDER_ID = 128
_amount = or_blank(number(above=0, highest=10**9, decimal_places=9))
_net = or_blank(number(lowest=-(10**9), highest=10**9, decimal_places=9))
_type, _duration, _one_class = (
    choice(*get_args(OrderType)),
    choice(*get_args(TimeInForce)),
    choice(*get_args(OrderClass)),
)
# Alpaca's SDK for Go writes "" for what it leaves open.
_side, _intent, _id = or_blank(choice(*get_args(Side))), or_blank(choice(*get_args(Intent))), or_blank(_client_order_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _TakeProfit:
    limit_price: Annotated[Decimal | None, _amount] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _StopLoss:
    stop_price: Annotated[Decimal | None, _amount] = None
    limit_price: Annotated[Decimal | None, _amount] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _OptionLeg:
    symbol: Annotated[str, text]
    ratio_qty: Annotated[Decimal | None, _amount]
    side: Annotated[Side | None, _side] = None
    position_intent: Annotated[Intent | None, _intent] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _OrderBody:
    symbol: Annotated[str | None, or_blank(text)] = None
    qty: Annotated[Decimal | None, _amount] = None
    notional: Annotated[Decimal | None, _amount] = None
    side: Annotated[Side | None, _side] = None
    type: Annotated[OrderType, _type]
    time_in_force: Annotated[TimeInForce, _duration]
    limit_price: Annotated[Decimal | None, _net] = None
    stop_price: Annotated[Decimal | None, _amount] = None
    trail_price: Annotated[Decimal | None, _amount] = None
    trail_percent: Annotated[Decimal | None, _amount] = None
    extended_hours: Annotated[bool, flag] = False
    client_order_id: Annotated[str | None, _id] = None
    order_class: Annotated[OrderClass, _class] = ""
    position_intent: Annotated[Intent | None, _intent] = None
    take_profit: Annotated[_TakeProfit | None, part(_TakeProfit, ignores_unknown=True)] = None
    stop_loss: Annotated[_StopLoss | None, part(_StopLoss, ignores_unknown=True)] = None
    legs: Annotated[list[_OptionLeg] | None, list_of(part(_OptionLeg, ignores_unknown=True), shortest=2, longest=4)] = (
        None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChangeRequest:
    """What a replacement changes; None keeps the old value."""

    qty: Annotated[Decimal | None, _amount] = None
    time_in_force: Annotated[TimeInForce | None, or_blank(_duration)] = None
    limit_price: Annotated[Decimal | None, _net] = None
    stop_price: Annotated[Decimal | None, _amount] = None
    trail: Annotated[Decimal | None, _amount] = None
    notional: Annotated[Decimal | None, _amount] = None
    client_order_id: Annotated[str | None, _id] = None


def read_order(raw: dict[str, JsonValue], assets: ListedAssets) -> OrderRequest:
    """Raises a 422 for a field with an invalid value and for an asset that is not listed."""
    body = _read(_OrderBody, raw)
    legs = tuple(_leg(leg, assets) for leg in body.legs or ()) if body.order_class == "mleg" else ()
    if not legs and body.symbol is None:
        raise InvalidParameterError("symbol is required")
    side = body.side or _side_of(body.position_intent) or ("buy" if legs else None)
    if side is None:
        raise InvalidParameterError("side is required")
    return OrderRequest(
        side=side,
        type=body.type,
        time_in_force=body.time_in_force,
        quantity=body.qty,
        notional=body.notional,
        limit_price=body.limit_price,
        stop_price=body.stop_price,
        trail_price=body.trail_price,
        trail_percent=body.trail_percent,
        extended_hours=body.extended_hours,
        order_class=body.order_class,
        intent=body.position_intent,
        client_order_id=body.client_order_id,
        take_profit=body.take_profit.limit_price if body.take_profit else None,
        stop_loss=_stop_loss(body.stop_loss),
        asset=None if legs else _asset(assets, body.symbol or ""),
        legs=legs,
    )


def read_change(raw: dict[str, JsonValue]) -> OrderChangeRequest:
    return _read(OrderChangeRequest, raw)


def _read(kind: Callable[..., Form], raw: dict[str, JsonValue]) -> Form:
    """Ignores unknown fields, as Alpaca does."""
    try:
        return read_form(kind, raw, ignores_unknown=True)
    except FormError as rejected:
        name = ".".join(rejected.place)
        is_missing = isinstance(rejected, MissingFieldError)
        raise InvalidParameterError(
            f"{name} is required" if is_missing else f"invalid {name}: {rejected.reason}"
        ) from None


def _asset(assets: ListedAssets, symbol: str) -> Asset:
    asset = assets.find(symbol)
    if asset is None:
        raise InvalidParameterError(f"could not find us_equity '{symbol}'")
    return asset


def _leg(leg: _OptionLeg, assets: ListedAssets) -> OptionLeg:
    side = leg.side or _side_of(leg.position_intent)
    if side is None or leg.ratio_qty is None:
        raise InvalidParameterError("legs need a side and a ratio_qty")
    return OptionLeg(_asset(assets, leg.symbol), side, leg.ratio_qty, leg.position_intent)


def _side_of(intent: Intent | None) -> Side | None:
    if intent is None:
        return None
    return "buy" if intent in {"buy_to_open", "buy_to_close"} else "sell"


def _stop_loss(body: _StopLoss | None) -> StopLossLeg | None:
    if body is None:
        return None
    if body.stop_price is None:
        raise InvalidParameterError("stop_loss.stop_price is required")
    return StopLossLeg(body.stop_price, body.limit_price)


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
    """Raises for what breaks a rule that holds for every account."""
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


def _check_increment(name: str, price: Decimal | None, asset: Asset) -> None:
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
        _check_increment(name, getattr(order_request, name), asset)
    if order_request.extended_hours and (
        order_request.type != "limit" or order_request.time_in_force not in {"day", "gtc"}
    ):
        raise UnprocessableError("extended hours order must be DAY or GTC limit orders")
    if order_request.extended_hours and asset.asset_class != "us_equity":
        raise UnprocessableError(f"extended hours is not allowed for {asset.asset_class}")


def _check_size(order_request: OrderRequest, asset: Asset) -> None:
    if not asset.fractionable and order_request.is_fractional:
        raise ApiError(403, f'asset "{asset.symbol}" is not fractionable', code=40310000)
    if order_request.notional is not None:
        if order_request.notional < ONE:
            raise ApiError(403, "minimal amount of notional is 1", code=40310000)
        if order_request.notional % CENT:
            raise UnprocessableError("notional value must be limited to 2 decimal places")
    elif order_request.quantity is not None and order_request.quantity < _minimum(order_request, asset):
        raise ApiError(403, f"minimal qty is {format_amount(asset.minimum_quantity)}", code=40310000)
    if asset.asset_class == "us_equity" and order_request.is_fractional:
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
    _check_increment("take_profit.limit_price", order_request.take_profit, asset)
    if stop is None:
        return
    _check_increment("stop_loss.stop_price", stop.stop_price, asset)
    _check_increment("stop_loss.limit_price", stop.limit_price, asset)
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
