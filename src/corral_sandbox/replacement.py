"""What an order becomes when it is replaced."""

from dataclasses import replace

from corral_sandbox.order_entry import Change
from corral_sandbox.order_rules import Unprocessable
from corral_sandbox.orders import Order, Ticket

_NOT_YET = frozenset({"accepted", "pending_new"})


def changed_ticket(order: Order, change: Change) -> Ticket:
    """Answers what the new order asks for: without a quantity of its own, what the old one has left.

    Refuses orders that are closed, not yet at the market, or in dollars, and changes that change nothing.
    """
    old = order.ticket
    if not order.is_open or order.ratio is not None:
        raise Unprocessable(f'order is already in "{order.status}" state')
    if order.status in _NOT_YET:
        raise Unprocessable(f'unable to replace order, order isn\'t sent to exchange yet, status is "{order.status}"')
    if old.notional is not None or change.notional is not None:
        raise Unprocessable("notional orders cannot be replaced")
    if change.qty is not None and order.is_exit:
        raise Unprocessable("the qty of an order that closes another one cannot be replaced")
    if change.trail is not None and not old.is_trailing:
        raise Unprocessable("trail is only for trailing stop orders")
    new = replace(
        old,
        quantity=change.qty or order.left,
        time_in_force=change.time_in_force or old.time_in_force,
        limit_price=old.limit_price if change.limit_price is None else change.limit_price,
        stop_price=change.stop_price or old.stop_price,
        trail_price=old.trail_price and (change.trail or old.trail_price),
        trail_percent=old.trail_percent and (change.trail or old.trail_percent),
        client_order_id=None,
    )
    if new == replace(old, quantity=order.left, client_order_id=None):
        raise Unprocessable("order parameters are not changed")
    return replace(new, client_order_id=change.client_order_id)
