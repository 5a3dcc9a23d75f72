"""Orders as Alpaca describes them, and what can be asked about them.

Source: `GET /v2/orders` in https://docs.alpaca.markets/openapi/trading-api.json. The description requires
next to nothing, multi-leg orders leave out more of it, and Alpaca adds values to every enumeration.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from corral.alpaca.errors import WrongShape
from corral.alpaca.moments import instant, millisecond
from corral.alpaca.paging import Direction, Listing
from corral.alpaca.reading import Fields, decimal, flag, free_text, moment, objects, present, read_list, text

MOST_ORDERS: Final = 500  # that Alpaca puts on one page
MOST_LEGS: Final = 8  # Alpaca takes four, and a bracket has two
_LONGEST_CLIENT_ORDER_ID: Final = 256  # Alpaca takes 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Decimals and times are texts, digit for digit; times are in UTC. None is what Alpaca leaves open.

    `order_class` is "simple" for what Alpaca calls "". `legs` are orders without legs of their own.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderQuery:
    """Which orders, and in what direction. `after` and `until` are moments in UTC, both exclusive.

    Every order of a group stands on its own, which lets a page end between them.
    """

    status: OrderStatusFilter = OrderStatusFilter.OPEN
    after: str | None = None
    until: str | None = None
    direction: Direction = Direction.DESCENDING

    def parameters(self, *, limit: int, beyond: str | None = None) -> Mapping[str, str]:
        """For the address: at most `limit` orders, from the first one or from behind the one with the id `beyond`.

        Alpaca does not take `after` and `until` together with an id; whoever asks looks after them.
        """
        if beyond is None:
            bounds = {"after": self.after, "until": self.until}
        else:
            is_descending = self.direction is Direction.DESCENDING
            bounds = {"before_order_id" if is_descending else "after_order_id": beyond}
        return {
            "status": self.status.value,
            "direction": self.direction.value,
            "limit": str(limit),
            **{name: value for name, value in bounds.items() if value is not None},
        }


def order_listing(query: OrderQuery) -> Listing[Order]:
    """How Alpaca's list of these orders is turned page by page."""

    def is_within(order: Order) -> bool:
        at = instant(order.submitted_at) if order.submitted_at else None
        is_early = at and query.after and at <= instant(query.after)
        is_late = at and query.until and at >= instant(query.until)
        return not is_early and not is_late

    def tie(order: Order) -> str | None:
        # Nobody says how precisely Alpaca compares: a millisecond is coarser than anything that it writes.
        return millisecond(order.submitted_at) if order.submitted_at else None

    return Listing(MOST_ORDERS, tie, is_within)


def read_orders(body: bytes) -> tuple[Order, ...]:
    """Reads the body of `GET /v2/orders`. Raises WrongShape if one order in it is none."""
    return read_list(body, read_order)


def read_order(fields: Fields) -> Order:
    """Reads one order, of a list or of an event. Raises WrongShape without an id or a status, and for nonsense."""
    return _order(fields, legs=_legs(fields))


def _legs(fields: Fields) -> tuple[Order, ...]:
    if (legs := fields.get("legs")) is None:
        return ()
    many = objects(legs)
    # One level: a leg that has legs is nothing that Alpaca describes.
    if len(many) > MOST_LEGS or any(leg.get("legs") for leg in many):
        raise WrongShape
    return tuple(_order(leg, legs=()) for leg in many)


def _order(fields: Fields, *, legs: tuple[Order, ...]) -> Order:
    return Order(
        id=present(text(fields, "id")),
        client_order_id=free_text(fields, "client_order_id", longest=_LONGEST_CLIENT_ORDER_ID),
        status=present(text(fields, "status")),
        # A multi-leg order has "" in the place of what only its legs have, and they in that of their type.
        symbol=text(fields, "symbol") or None,
        asset_id=text(fields, "asset_id") or None,
        asset_class=text(fields, "asset_class") or None,
        side=text(fields, "side") or None,
        type=text(fields, "type") or text(fields, "order_type") or None,
        order_class=text(fields, "order_class") or "simple",
        time_in_force=text(fields, "time_in_force") or None,
        position_intent=text(fields, "position_intent") or None,
        qty=decimal(fields, "qty"),
        notional=decimal(fields, "notional"),
        filled_qty=decimal(fields, "filled_qty"),
        filled_avg_price=decimal(fields, "filled_avg_price"),
        limit_price=decimal(fields, "limit_price"),
        stop_price=decimal(fields, "stop_price"),
        trail_price=decimal(fields, "trail_price"),
        trail_percent=decimal(fields, "trail_percent"),
        hwm=decimal(fields, "hwm"),
        ratio_qty=decimal(fields, "ratio_qty"),
        extended_hours=flag(fields, "extended_hours") or False,
        created_at=moment(fields, "created_at"),
        updated_at=moment(fields, "updated_at"),
        submitted_at=moment(fields, "submitted_at"),
        filled_at=moment(fields, "filled_at"),
        expires_at=moment(fields, "expires_at"),
        expired_at=moment(fields, "expired_at"),
        canceled_at=moment(fields, "canceled_at"),
        failed_at=moment(fields, "failed_at"),
        replaced_at=moment(fields, "replaced_at"),
        replaced_by=text(fields, "replaced_by"),
        replaces=text(fields, "replaces"),
        group_id=text(fields, "group_id"),
        group_role=text(fields, "group_role"),
        legs=legs,
    )
