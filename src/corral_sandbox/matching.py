"""What happens to an order next, and when: a pure function of the order and of prices.

Shares and options trade in the regular session, shares with `extended_hours` from 04:00 to 20:00, coins always.
A market order is done at once, a limit order when the price is at its limit or better, and a stop becomes
one of them when the price reaches it. At one instant the market takes `DEPTH` dollars of an order, in two
executions; it is deep enough again `PAUSE` later.
"""

from decimal import ROUND_DOWN, Decimal
from typing import Literal, NamedTuple

from corral_sandbox.crossings import first_fall, first_moment, highest
from corral_sandbox.ledger import ZERO
from corral_sandbox.market import SECOND
from corral_sandbox.orders import Order, Ticket
from corral_sandbox.quotes import bounds_of, mirrored, quote
from corral_sandbox.trading_hours import ALWAYS, Window, window_from

DEPTH = Decimal(20_000)
PAUSE = SECOND // 4
_HOUR, _DAY = 3_600 * SECOND, 86_400 * SECOND
_GTC_DAYS = 90
_EXECUTIONS = 2  # at one instant
_BILLIONTH = Decimal(1).scaleb(-9)


class Step(NamedTuple):
    """`release` sends an order to the market, `look` finds that nothing has happened so far."""

    at: int
    does: Literal["release", "trigger", "execute", "cancel", "expire", "look"]
    peak: Decimal | None = None


def window_of(ticket: Ticket, at: int) -> Window:
    """Answers when the order may trade: the window that `at` lies in, or the next."""
    return ALWAYS if ticket.trades_always else window_from(at, extended=ticket.extended_hours)


def is_tradable(ticket: Ticket, at: int) -> bool:
    return window_of(ticket, at).opens <= at


def expiry(ticket: Ticket, at: int) -> int | None:
    """Answers when an order that is entered at `at` ends by itself, or None if it does not."""
    if ticket.time_in_force in {"ioc", "fok"} or ticket.trades_always:
        return None
    if ticket.time_in_force == "opg":
        return next_opening(at)
    if ticket.time_in_force != "gtc":
        return window_of(ticket, at).closes
    return window_of(ticket, at + _GTC_DAYS * _DAY).closes


def next_opening(at: int) -> int:
    window = window_from(at, extended=False)
    return window.opens if window.opens >= at else window_from(window.closes, extended=False).opens


def next_step(seed: int, order: Order) -> Step | None:
    """Answers None for an order to which nothing happens by itself any more, or not yet."""
    ticket, at = order.ticket, order.ready_at
    if not (order.is_open and order.is_live):
        return None
    if order.status in {"accepted", "pending_new"}:
        return Step(_release(ticket, at), "release")
    if ticket.time_in_force in {"opg", "cls"}:
        return _auction(seed, order)
    if ticket.time_in_force in {"ioc", "fok"}:
        return Step(at, "execute" if _is_taken(seed, order, at) else "cancel")
    return _wait(seed, order)


def best_price(seed: int, order: Order, now: int) -> Decimal | None:
    """Answers how high the price was since a trailing stop came (for a purchase: how low), None for others."""
    window = window_of(order.ticket, order.ready_at)
    start, end = max(order.ready_at, window.opens), min(now, window.closes - 1)
    if order.peak is None or not order.is_open or order.is_triggered or end < start:
        return order.peak
    bounds = bounds_of(seed, order.ticket)
    if order.ticket.side == "sell":
        return highest(bounds, order.peak, start, end)
    return -highest(mirrored(bounds), -order.peak, start, end)


def executions(order: Order, price: Decimal) -> list[Decimal]:
    """Answers the quantities in which the market takes an order at one instant."""
    left = left_at(order, price)
    if not left:
        return []
    if order.ticket.asset is None:
        return [left]
    unit = _unit(order)
    whole = order.ticket.time_in_force in {"opg", "cls", "fok"}
    deep = max((DEPTH / price / order.ticket.multiplier).quantize(unit, ROUND_DOWN), unit)
    taken = left if whole else min(left, deep)
    first = max((deep / _EXECUTIONS).quantize(unit, ROUND_DOWN), unit)
    return [part for part in (min(first, taken), max(taken - first, ZERO)) if part]


def _release(ticket: Ticket, at: int) -> int:
    if ticket.time_in_force == "opg":
        return next_opening(at)
    if ticket.time_in_force in {"ioc", "fok", "cls"}:
        return at
    return max(at, window_of(ticket, at).opens)


def _auction(seed: int, order: Order) -> Step:
    """At the open or the close an order is done as a whole or not at all."""
    at = order.ready_at if order.expires_at is None else order.expires_at
    return Step(at, "execute" if _is_at_limit(seed, order.ticket, at) else "expire")


def _is_taken(seed: int, order: Order, at: int) -> bool:
    ticket = order.ticket
    if not is_tradable(ticket, at) or not _is_at_limit(seed, ticket, at):
        return False
    price = quote(seed, ticket, at)
    return ticket.time_in_force == "ioc" or left_at(order, price) * price * ticket.multiplier <= DEPTH


def _is_at_limit(seed: int, ticket: Ticket, at: int) -> bool:
    return ticket.limit_price is None or _reaches_limit(ticket, *[quote(seed, ticket, at)] * 2)


def _wait(seed: int, order: Order) -> Step:
    """Looks ahead to the end of the window, or for an hour where a price is followed, or for a day."""
    ticket = order.ticket
    window = window_of(ticket, order.ready_at)
    start = max(order.ready_at, window.opens)
    if order.expires_at is not None and start >= order.expires_at:
        return Step(order.expires_at, "expire")
    ahead = start + (_HOUR if ticket.is_trailing and not order.is_triggered else _DAY)
    closes = window.closes if order.expires_at is None else min(window.closes, order.expires_at)
    end = min(closes, ahead) - 1
    if _needs_trigger(order):
        return _wait_for_trigger(seed, order, start, end)
    if ticket.limit_price is None:
        return Step(start, "execute")
    found = first_moment(bounds_of(seed, ticket), lambda low, high: _reaches_limit(ticket, low, high), start, end)
    return Step(end + 1, "look") if found is None else Step(found, "execute")


def _needs_trigger(order: Order) -> bool:
    return order.ticket.type in {"stop", "stop_limit", "trailing_stop"} and not order.is_triggered


def _wait_for_trigger(seed: int, order: Order, start: int, end: int) -> Step:
    ticket, bounds = order.ticket, bounds_of(seed, order.ticket)
    if ticket.is_trailing:
        return _trail(seed, order, start, end)
    stop = ticket.stop_price or ZERO
    found = first_moment(bounds, lambda low, high: high >= stop if ticket.side == "buy" else low <= stop, start, end)
    return Step(end + 1, "look") if found is None else Step(found, "trigger")


def _trail(seed: int, order: Order, start: int, end: int) -> Step:
    """A sale's stop trails the highest price from below, a purchase's the lowest from above: its mirror image."""
    ticket, bounds = order.ticket, bounds_of(seed, order.ticket)
    peak = quote(seed, ticket, start) if order.peak is None else order.peak
    if ticket.side == "sell":
        found, peak = first_fall(bounds, ticket.trailing_stop, peak, start, end)
    else:
        found, low = first_fall(mirrored(bounds), lambda high: -ticket.trailing_stop(-high), -peak, start, end)
        peak = -low
    return Step(end + 1, "look", peak) if found is None else Step(found, "trigger", peak)


def _reaches_limit(ticket: Ticket, low: Decimal, high: Decimal) -> bool:
    limit = ticket.limit_price or ZERO
    return low <= limit if ticket.side == "buy" else high >= limit


def left_at(order: Order, price: Decimal) -> Decimal:
    """Answers the quantity that is still to be done; of dollars what they buy at `price`."""
    if order.left is not None:
        return order.left
    dollars = (order.ticket.notional or ZERO) - order.filled_value
    return (dollars / price).quantize(_BILLIONTH, ROUND_DOWN)


def _unit(order: Order) -> Decimal:
    quantity = order.ticket.quantity
    is_whole = quantity is not None and quantity == quantity.to_integral_value()
    return Decimal(1) if is_whole and not order.ticket.trades_always else _BILLIONTH
