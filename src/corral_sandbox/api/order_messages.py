"""Orders on the wire: reads the JSON of a request, and writes an order as Alpaca does."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, get_args

from corral_sandbox.broker.orders import (
    BrokerOrder,
    Intent,
    OptionLeg,
    OrderClass,
    OrderRequest,
    OrderType,
    Side,
    StopLossLeg,
    TimeInForce,
)
from corral_sandbox.errors import InvalidParameterError
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
from corral_sandbox.market.money import format_amount, format_optional_amount
from corral_sandbox.market.time import format_optional_timestamp, format_timestamp


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
        asset=None if legs else _asset(assets, body.symbol or ""),
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


_LEFT_OUT_IF_NULL = ("position_intent", "expires_at", "group_id", "group_role", "ratio_qty")


def order_document(order: BrokerOrder, *, nested: bool = True, peak: Decimal | None = None) -> dict[str, object]:
    """Returns every field; one that does not apply is null, or left out where Alpaca leaves it out.

    `peak` is the best price so far of a trailing stop. Legs are included when `nested`, and always for a
    multi-leg option order.
    """
    order_request, asset = order.request, order.request.asset
    legs = order.nested_legs if nested or order.legs else []
    leg_documents = [order_document(leg) for leg in legs] or None
    average, stop_price = order.filled_average, _stop_price(order, peak)
    kind = order_request.type if order.ratio is None else ""
    document: dict[str, object] = {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": format_timestamp(order.submitted_at),
        "updated_at": format_timestamp(order.updated_at),
        "submitted_at": format_timestamp(order.submitted_at),
        "filled_at": format_optional_timestamp(order.filled_at if order.status == "filled" else None),
        "expires_at": format_optional_timestamp(order.expires_at),
        "expired_at": format_optional_timestamp(order.expired_at),
        "canceled_at": format_optional_timestamp(order.canceled_at),
        "failed_at": format_optional_timestamp(order.failed_at),
        "replaced_at": format_optional_timestamp(order.replaced_at),
        "replaced_by": order.replaced_by,
        "replaces": order.replaces,
        "asset_id": asset.id if asset else "",
        "symbol": asset.symbol if asset else "",
        "asset_class": asset.asset_class if asset else "",
        "notional": format_optional_amount(order_request.notional),
        "qty": format_optional_amount(order_request.quantity),
        "filled_qty": format_amount(order.filled_quantity),
        "filled_avg_price": format_optional_amount(average),
        "order_class": order_request.order_class,
        "order_type": kind,
        "type": kind,
        "side": order_request.side if asset else "",
        "time_in_force": order_request.time_in_force,
        "limit_price": format_optional_amount(order_request.limit_price),
        "stop_price": format_optional_amount(stop_price),
        "status": order.status,
        "extended_hours": order_request.extended_hours,
        "legs": leg_documents,
        "trail_percent": format_optional_amount(order_request.trail_percent),
        "trail_price": format_optional_amount(order_request.trail_price),
        "hwm": format_optional_amount(peak or order.peak),
        "subtag": None,
        "source": None,
        "position_intent": order_request.intent,
        "group_id": order.group.id if order.group else None,
        "group_role": order.role,
        "ratio_qty": format_optional_amount(order.ratio),
    }
    for name in _LEFT_OUT_IF_NULL:
        if document[name] is None:
            del document[name]
    return document


def _stop_price(order: BrokerOrder, peak: Decimal | None) -> Decimal | None:
    """Returns the current stop of a trailing stop order."""
    best = peak or order.peak
    if order.request.type == "trailing_stop" and best is not None:
        return order.request.trailing_stop(best)
    return order.request.stop_price
