"""Reads what a client asks for: an order, as `POST /v2/orders` has it, or a change of one, as `PATCH` has it."""

from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from corral_sandbox.listing import Asset, find_asset
from corral_sandbox.orders import Intent, Leg, OrderClass, OrderType, Side, StopLoss, Ticket, TimeInForce
from corral_sandbox.parameters import Invalid
from corral_sandbox.requests import JsonValue

_Body = TypeVar("_Body", bound=BaseModel)


def _nothing_if_empty(value: JsonValue) -> JsonValue:
    return None if value == "" else value


def _no_flag(value: JsonValue) -> JsonValue:
    """Refuses true and false, which would pass for one and zero."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - the only error that pydantic turns into a reason
    return _nothing_if_empty(value)


_Number = Annotated[Decimal, Field(ge=-(10**9), le=10**9, max_digits=18, decimal_places=9)]
_Amount = Annotated[Annotated[_Number, Field(gt=0)] | None, BeforeValidator(_no_flag)]
_Net = Annotated[_Number | None, BeforeValidator(_no_flag)]
_ClientOrderId = Annotated[Annotated[str, Field(max_length=128)] | None, BeforeValidator(_nothing_if_empty)]


class _Part(BaseModel):
    """Fields that are not known are ignored, as Alpaca does."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _TakeProfit(_Part):
    limit_price: _Amount = None


class _StopLoss(_Part):
    stop_price: _Amount = None
    limit_price: _Amount = None


class _OptionLeg(_Part):
    symbol: str
    ratio_qty: _Amount
    side: Side | None = None
    position_intent: Intent | None = None


class _OrderBody(_Part):
    symbol: Annotated[str | None, BeforeValidator(_nothing_if_empty)] = None
    qty: _Amount = None
    notional: _Amount = None
    side: Annotated[Side | None, BeforeValidator(_nothing_if_empty)] = None
    type: OrderType
    time_in_force: TimeInForce
    limit_price: _Net = None
    stop_price: _Amount = None
    trail_price: _Amount = None
    trail_percent: _Amount = None
    extended_hours: bool | None = None
    client_order_id: _ClientOrderId = None
    order_class: Annotated[OrderClass, BeforeValidator(lambda value: "" if value in {None, "simple"} else value)] = ""
    position_intent: Annotated[Intent | None, BeforeValidator(_nothing_if_empty)] = None
    take_profit: _TakeProfit | None = None
    stop_loss: _StopLoss | None = None
    legs: Annotated[list[_OptionLeg] | None, Field(min_length=2, max_length=4)] = None


class Change(_Part):
    """What a replacement changes; what is None stays."""

    qty: _Amount = None
    time_in_force: TimeInForce | None = None
    limit_price: _Net = None
    stop_price: _Amount = None
    trail: _Amount = None
    notional: _Amount = None
    client_order_id: _ClientOrderId = None


def read_order(body: dict[str, JsonValue]) -> Ticket:
    """Refuses with 422 what has a field that cannot be what it is, or an asset that is not listed."""
    asked = _read(_OrderBody, body)
    legs = tuple(map(_leg, asked.legs or ())) if asked.order_class == "mleg" else ()
    if not legs and asked.symbol is None:
        raise Invalid("symbol is required")
    side = asked.side or _side_of(asked.position_intent) or ("buy" if legs else None)
    if side is None:
        raise Invalid("side is required")
    return Ticket(
        side=side,
        type=asked.type,
        time_in_force=asked.time_in_force,
        asset=None if legs else _asset(asked.symbol or ""),
        quantity=asked.qty,
        notional=asked.notional,
        limit_price=asked.limit_price,
        stop_price=asked.stop_price,
        trail_price=asked.trail_price,
        trail_percent=asked.trail_percent,
        extended_hours=bool(asked.extended_hours),
        order_class=asked.order_class,
        intent=asked.position_intent,
        client_order_id=asked.client_order_id,
        take_profit=asked.take_profit.limit_price if asked.take_profit else None,
        stop_loss=_stop_loss(asked.stop_loss),
        legs=legs,
    )


def read_change(body: dict[str, JsonValue]) -> Change:
    return _read(Change, body)


def _read(kind: type[_Body], body: dict[str, JsonValue]) -> _Body:
    try:
        return kind.model_validate(body)
    except ValidationError as rejected:
        first = rejected.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise Invalid(
            f"{name} is required" if first["type"] == "missing" else f"invalid {name}: {first['msg']}"
        ) from None


def _asset(symbol: str) -> Asset:
    asset = find_asset(symbol)
    if asset is None:
        raise Invalid(f"could not find us_equity '{symbol}'")
    return asset


def _leg(leg: _OptionLeg) -> Leg:
    side = leg.side or _side_of(leg.position_intent)
    if side is None or leg.ratio_qty is None:
        raise Invalid("legs need a side and a ratio_qty")
    return Leg(_asset(leg.symbol), side, leg.ratio_qty, leg.position_intent)


def _side_of(intent: Intent | None) -> Side | None:
    if intent is None:
        return None
    return "buy" if intent in {"buy_to_open", "buy_to_close"} else "sell"


def _stop_loss(asked: _StopLoss | None) -> StopLoss | None:
    if asked is None:
        return None
    if asked.stop_price is None:
        raise Invalid("stop_loss.stop_price is required")
    return StopLoss(asked.stop_price, asked.limit_price)
