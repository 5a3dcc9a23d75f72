"""Orders on the wire: reads the JSON of a request, and writes an order as Alpaca does."""

from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from corral_sandbox.broker.orders import (
    BrokerOrder,
    Intent,
    OptionLeg,
    OrderClass,
    OrderRequest,
    OrderType,
    Side,
    StopLoss,
    TimeInForce,
)
from corral_sandbox.errors import InvalidParameterError
from corral_sandbox.http.requests import JsonValue
from corral_sandbox.market.assets import Asset, find_asset
from corral_sandbox.market.money import format_amount, format_optional_amount
from corral_sandbox.market.time import format_optional_timestamp, format_timestamp

_Body = TypeVar("_Body", bound=BaseModel)


def _empty_to_none(value: JsonValue) -> JsonValue:
    return None if value == "" else value


def _reject_boolean(value: JsonValue) -> JsonValue:
    """Rejects true and false, which pydantic would read as one and zero."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports only ValueError as a reason
    return _empty_to_none(value)


def _simple_to_empty(value: JsonValue) -> JsonValue:
    return "" if value is None or value == "simple" else value


_Number = Annotated[Decimal, Field(ge=-(10**9), le=10**9, max_digits=18, decimal_places=9)]
_Amount = Annotated[Annotated[_Number, Field(gt=0)] | None, BeforeValidator(_reject_boolean)]
_Net = Annotated[_Number | None, BeforeValidator(_reject_boolean)]
# The SDK for Go writes "" for what it leaves open.
_Side = Annotated[Side | None, BeforeValidator(_empty_to_none)]
_Intent = Annotated[Intent | None, BeforeValidator(_empty_to_none)]
_NewTimeInForce = Annotated[TimeInForce | None, BeforeValidator(_empty_to_none)]
_ClientOrderId = Annotated[Annotated[str, Field(max_length=128)] | None, BeforeValidator(_empty_to_none)]


class _Part(BaseModel):
    """Ignores unknown fields, as Alpaca does."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _TakeProfit(_Part):
    limit_price: _Amount = None


class _StopLoss(_Part):
    stop_price: _Amount = None
    limit_price: _Amount = None


class _OptionLeg(_Part):
    symbol: str
    ratio_qty: _Amount
    side: _Side = None
    position_intent: _Intent = None


class _OrderBody(_Part):
    symbol: Annotated[str | None, BeforeValidator(_empty_to_none)] = None
    qty: _Amount = None
    notional: _Amount = None
    side: _Side = None
    type: OrderType
    time_in_force: TimeInForce
    limit_price: _Net = None
    stop_price: _Amount = None
    trail_price: _Amount = None
    trail_percent: _Amount = None
    extended_hours: bool | None = None
    client_order_id: _ClientOrderId = None
    order_class: Annotated[OrderClass, BeforeValidator(_simple_to_empty)] = ""
    position_intent: _Intent = None
    take_profit: _TakeProfit | None = None
    stop_loss: _StopLoss | None = None
    legs: Annotated[list[_OptionLeg] | None, Field(min_length=2, max_length=4)] = None


class OrderChange(_Part):
    """What a replacement changes; None keeps the old value."""

    qty: _Amount = None
    time_in_force: _NewTimeInForce = None
    limit_price: _Net = None
    stop_price: _Amount = None
    trail: _Amount = None
    notional: _Amount = None
    client_order_id: _ClientOrderId = None


def read_order(raw: dict[str, JsonValue]) -> OrderRequest:
    """Raises a 422 for a field with an invalid value and for an asset that is not listed."""
    body = _read(_OrderBody, raw)
    legs = tuple(map(_leg, body.legs or ())) if body.order_class == "mleg" else ()
    if not legs and body.symbol is None:
        raise InvalidParameterError("symbol is required")
    side = body.side or _side_of(body.position_intent) or ("buy" if legs else None)
    if side is None:
        raise InvalidParameterError("side is required")
    return OrderRequest(
        side=side,
        type=body.type,
        time_in_force=body.time_in_force,
        asset=None if legs else _asset(body.symbol or ""),
        quantity=body.qty,
        notional=body.notional,
        limit_price=body.limit_price,
        stop_price=body.stop_price,
        trail_price=body.trail_price,
        trail_percent=body.trail_percent,
        extended_hours=bool(body.extended_hours),
        order_class=body.order_class,
        intent=body.position_intent,
        client_order_id=body.client_order_id,
        take_profit=body.take_profit.limit_price if body.take_profit else None,
        stop_loss=_stop_loss(body.stop_loss),
        legs=legs,
    )


def read_change(raw: dict[str, JsonValue]) -> OrderChange:
    return _read(OrderChange, raw)


def _read(kind: type[_Body], raw: dict[str, JsonValue]) -> _Body:
    try:
        return kind.model_validate(raw)
    except ValidationError as rejected:
        first = rejected.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidParameterError(
            f"{name} is required" if first["type"] == "missing" else f"invalid {name}: {first['msg']}"
        ) from None


def _asset(symbol: str) -> Asset:
    asset = find_asset(symbol)
    if asset is None:
        raise InvalidParameterError(f"could not find us_equity '{symbol}'")
    return asset


def _leg(leg: _OptionLeg) -> OptionLeg:
    side = leg.side or _side_of(leg.position_intent)
    if side is None or leg.ratio_qty is None:
        raise InvalidParameterError("legs need a side and a ratio_qty")
    return OptionLeg(_asset(leg.symbol), side, leg.ratio_qty, leg.position_intent)


def _side_of(intent: Intent | None) -> Side | None:
    if intent is None:
        return None
    return "buy" if intent in {"buy_to_open", "buy_to_close"} else "sell"


def _stop_loss(body: _StopLoss | None) -> StopLoss | None:
    if body is None:
        return None
    if body.stop_price is None:
        raise InvalidParameterError("stop_loss.stop_price is required")
    return StopLoss(body.stop_price, body.limit_price)


def order_document(order: BrokerOrder, *, nested: bool = True, peak: Decimal | None = None) -> dict[str, object]:
    """Returns every field; one that does not apply is null, or left out where Alpaca leaves it out.

    `peak` is the best price so far of a trailing stop. Legs are included when `nested`, and always for a
    multi-leg option order.
    """
    order_request, asset = order.request, order.request.asset
    legs = order.nested_legs if nested or order.legs else []
    average, stop_price = order.filled_average, _stop_price(order, peak)
    leg_documents, where_it_applies = [order_document(leg) for leg in legs] or None, _where_it_applies(order)
    kind = order_request.type if order.ratio is None else ""
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": format_timestamp(order.submitted_at),
        "updated_at": format_timestamp(order.updated_at),
        "submitted_at": format_timestamp(order.submitted_at),
        "filled_at": format_optional_timestamp(order.filled_at if order.status == "filled" else None),
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
        **where_it_applies,
    }


def _stop_price(order: BrokerOrder, peak: Decimal | None) -> Decimal | None:
    """Returns the current stop of a trailing stop order."""
    best = peak or order.peak
    if order.request.type == "trailing_stop" and best is not None:
        return order.request.trailing_stop(best)
    return order.request.stop_price


def _where_it_applies(order: BrokerOrder) -> dict[str, object]:
    fields = {
        "position_intent": order.request.intent,
        "expires_at": format_optional_timestamp(order.expires_at),
        "group_id": order.group.id if order.group else None,
        "group_role": order.role,
        "ratio_qty": format_optional_amount(order.ratio),
    }
    return {name: value for name, value in fields.items() if value is not None}
