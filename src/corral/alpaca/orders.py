"""Orders as Alpaca describes them, and the filters for lists of them.

Source: `GET /v2/orders` in https://docs.alpaca.markets/openapi/trading-api.json. The schema requires
hardly any field, multi-leg orders omit even more of them, and Alpaca adds values to every enumeration.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, cast

from corral.alpaca.errors import Fault, WrongShape
from corral.alpaca.fields import (
    Fields,
    array,
    decimal,
    flag,
    free_text,
    instant,
    millisecond,
    moment,
    objects,
    read_array,
    text,
)
from corral.alpaca.items import ItemForm, UnreadableItem, needed, read_items
from corral.alpaca.paging import Direction, Listing

MOST_ORDERS: Final = 500  # the maximum on one page of Alpaca
MOST_LEGS: Final = 8  # Alpaca takes four, and a bracket has two
_LONGEST_CLIENT_ORDER_ID: Final = 256  # Alpaca takes 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Decimals and times are strings, digit for digit; times are in UTC. None if Alpaca sends no value.

    `order_class` is "simple" where Alpaca has "". `legs` are orders without legs.
    """

    id: str
    client_order_id: str | None
    status: str
    symbol: str | None
    asset_id: str | None
    asset_class: str | None
    side: str | None
    type: str | None
    order_class: str
    time_in_force: str | None
    position_intent: str | None
    qty: str | None
    notional: str | None
    filled_qty: str | None
    filled_avg_price: str | None
    limit_price: str | None
    stop_price: str | None
    trail_price: str | None
    trail_percent: str | None
    hwm: str | None
    ratio_qty: str | None
    extended_hours: bool
    created_at: str | None
    updated_at: str | None
    submitted_at: str | None
    filled_at: str | None
    expires_at: str | None
    expired_at: str | None
    canceled_at: str | None
    failed_at: str | None
    replaced_at: str | None
    replaced_by: str | None
    replaces: str | None
    group_id: str | None
    group_role: str | None
    legs: tuple["Order", ...] = ()


class OrderStatusFilter(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    ALL = "all"


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class AssetClass(StrEnum):
    """Those of Alpaca that orders can be filtered by here. With options, symbols may be those of their underlyings."""

    STOCKS = "us_equity"
    OPTIONS = "us_option"
    CRYPTO = "crypto"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderQuery:
    """A filter for orders and their direction. `after` and `until` are times in UTC, both exclusive.

    The orders of a group are listed individually, so a page may end between them. Alpaca has no filter for `type`.
    """

    status: OrderStatusFilter = OrderStatusFilter.OPEN
    symbols: tuple[str, ...] = ()
    side: Side | None = None
    type: OrderType | None = None
    asset_class: AssetClass | None = None
    after: str | None = None
    until: str | None = None
    direction: Direction = Direction.DESCENDING

    def parameters(self, *, limit: int, beyond: str | None = None) -> Mapping[str, str]:
        """Returns URL parameters: at most `limit` orders, from the first one or after the one with the id `beyond`.

        Alpaca does not accept `after` and `until` together with an id, so the caller has to apply them.
        """
        if beyond is None:
            bounds = {"after": self.after, "until": self.until}
        else:
            is_descending = self.direction is Direction.DESCENDING
            bounds = {"before_order_id" if is_descending else "after_order_id": beyond}
        chosen = {
            # Alpaca documents pairs of coins without a slash here.
            "symbols": ",".join(self.symbols).replace("/", "") or None,
            "side": self.side,
            "asset_class": self.asset_class,
        }
        return {
            "status": self.status.value,
            "direction": self.direction.value,
            "limit": str(limit),
            **{name: value for name, value in (bounds | chosen).items() if value is not None},
        }


def order_listing(query: OrderQuery) -> Listing[Order | UnreadableItem]:
    """How Alpaca's list of these orders is paged through."""

    def is_within(order: Order | UnreadableItem) -> bool:
        submitted_at = submitted_at_of(order)
        at = instant(submitted_at) if submitted_at else None
        is_early = at and query.after and at <= instant(query.after)
        is_late = at and query.until and at >= instant(query.until)
        return not is_early and not is_late

    def tie(order: Order | UnreadableItem) -> str | None:
        # It is not documented how precisely Alpaca compares; its timestamps are finer than a millisecond.
        submitted_at = submitted_at_of(order)
        return millisecond(submitted_at) if submitted_at else None

    def is_of_type(order: Order | UnreadableItem) -> bool:
        """An order whose type can't be read may be one of these."""
        if isinstance(order, UnreadableItem):
            return order.cells.get("type", query.type) == query.type
        return order.type == query.type

    return Listing(MOST_ORDERS, tie, is_within, is_of_type if query.type else None)


def submitted_at_of(order: Order | UnreadableItem) -> str | None:
    """Returns the submission time; None if it is missing or unreadable."""
    if isinstance(order, UnreadableItem):
        return cast("str | None", order.cells.get("submitted_at"))
    return order.submitted_at


def read_orders(body: bytes) -> tuple[Order | UnreadableItem, ...]:
    """Parses the body of `GET /v2/orders`. Raises WrongShape as `read_items` does."""
    return read_items(read_array(body), _FORM.read)


def read_order(fields: Fields) -> Order:
    """Parses one order. Raises WrongShape without an id or a status, and for any unreadable field."""
    return _FORM.read_whole(fields)


def _legs(fields: Fields, name: str) -> tuple[Order, ...]:
    many = objects(array(fields, name), name)
    # One level only: Alpaca does not document legs of legs.
    if len(many) > MOST_LEGS or any(leg.get("legs") for leg in many):
        raise WrongShape(Fault.NESTED, name)
    return tuple(_FORM.read_whole(leg) for leg in many)


_FORM: Final = ItemForm(
    Order,
    # A multi-leg order has "" in the fields that only its legs have, and the legs have "" as their type.
    identity={"id": needed(text), "symbol": text},
    fields={
        "client_order_id": partial(free_text, longest=_LONGEST_CLIENT_ORDER_ID),
        "status": needed(text),
        "asset_id": text,
        "asset_class": text,
        "side": text,
        "type": lambda fields, name: text(fields, name) or text(fields, "order_type"),
        "order_class": lambda fields, name: text(fields, name) or "simple",
        "time_in_force": text,
        "position_intent": text,
        "qty": decimal,
        "notional": decimal,
        "filled_qty": decimal,
        "filled_avg_price": decimal,
        "limit_price": decimal,
        "stop_price": decimal,
        "trail_price": decimal,
        "trail_percent": decimal,
        "hwm": decimal,
        "ratio_qty": decimal,
        "extended_hours": lambda fields, name: flag(fields, name) or False,
        "created_at": moment,
        "updated_at": moment,
        "submitted_at": moment,
        "filled_at": moment,
        "expires_at": moment,
        "expired_at": moment,
        "canceled_at": moment,
        "failed_at": moment,
        "replaced_at": moment,
        "replaced_by": text,
        "replaces": text,
        "group_id": text,
        "group_role": text,
        "legs": _legs,
    },
)
