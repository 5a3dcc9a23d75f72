"""An order as Alpaca writes it, on its pages and in its stream."""

from decimal import Decimal

from corral_sandbox.moments import in_utc
from corral_sandbox.money import in_writing
from corral_sandbox.orders import Order


def order_document(order: Order, *, nested: bool = True, peak: Decimal | None = None) -> dict[str, object]:
    """Answers every field; what does not apply is null, or left out where Alpaca leaves it out.

    `peak` is the best price so far of a trailing stop. Legs are shown when `nested`, and always of an order
    of several options.
    """
    ticket, asset = order.ticket, order.ticket.asset
    legs = order.nested_legs if nested or order.legs else []
    kind = ticket.type if order.ratio is None else ""
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": in_utc(order.submitted_at),
        "updated_at": in_utc(order.updated_at),
        "submitted_at": in_utc(order.submitted_at),
        "filled_at": _moment(order.filled_at if order.status == "filled" else None),
        "expired_at": _moment(order.expired_at),
        "canceled_at": _moment(order.canceled_at),
        "failed_at": _moment(order.failed_at),
        "replaced_at": _moment(order.replaced_at),
        "replaced_by": order.replaced_by,
        "replaces": order.replaces,
        "asset_id": asset.id if asset else "",
        "symbol": asset.symbol if asset else "",
        "asset_class": asset.asset_class if asset else "",
        "notional": _amount(ticket.notional),
        "qty": _amount(ticket.quantity),
        "filled_qty": in_writing(order.filled_quantity),
        "filled_avg_price": _amount(order.filled_average),
        "order_class": ticket.order_class,
        "order_type": kind,
        "type": kind,
        "side": ticket.side if asset else "",
        "time_in_force": ticket.time_in_force,
        "limit_price": _amount(ticket.limit_price),
        "stop_price": _amount(_stop_price(order, peak)),
        "status": order.status,
        "extended_hours": ticket.extended_hours,
        "legs": [order_document(leg) for leg in legs] or None,
        "trail_percent": _amount(ticket.trail_percent),
        "trail_price": _amount(ticket.trail_price),
        "hwm": _amount(peak or order.peak),
        "subtag": None,
        "source": None,
        **_where_it_applies(order),
    }


def _stop_price(order: Order, peak: Decimal | None) -> Decimal | None:
    """A trailing stop shows where it stands."""
    best = peak or order.peak
    if order.ticket.is_trailing and best is not None:
        return order.ticket.trailing_stop(best)
    return order.ticket.stop_price


def _where_it_applies(order: Order) -> dict[str, object]:
    fields = {
        "position_intent": order.ticket.intent,
        "expires_at": _moment(order.expires_at),
        "group_id": order.group.id if order.group else None,
        "group_role": order.role,
        "ratio_qty": _amount(order.ratio),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _amount(amount: Decimal | None) -> str | None:
    return None if amount is None else in_writing(amount)


def _moment(at: int | None) -> str | None:
    return None if at is None else in_utc(at)
