"""The price that an order looks at: of its asset, or the net price of its several options."""

from decimal import Decimal

from corral_sandbox.crossings import Bounds
from corral_sandbox.ledger import ZERO
from corral_sandbox.market import price, price_range
from corral_sandbox.orders import Ticket


def quote(seed: int, ticket: Ticket, at: int) -> Decimal:
    """Answers dollars at `at`, in nanoseconds since 1970."""
    if ticket.asset is not None:
        return price(seed, ticket.asset.symbol, at)
    return bounds_of(seed, ticket)(at, at)[0]


def bounds_of(seed: int, ticket: Ticket) -> Bounds:
    if ticket.asset is not None:
        symbol = ticket.asset.symbol
        return lambda start, end: price_range(seed, symbol, start, end)
    return lambda start, end: _net_range(seed, ticket, start, end)


def mirrored(bounds: Bounds) -> Bounds:
    """Below zero for above: the lowest price is the highest of the mirrored ones."""

    def of_the_mirror(start: int, end: int) -> tuple[Decimal, Decimal]:
        low, high = bounds(start, end)
        return -high, -low

    return of_the_mirror


def _net_range(seed: int, ticket: Ticket, start: int, end: int) -> tuple[Decimal, Decimal]:
    lowest = highest = ZERO
    for leg in ticket.legs:
        low, high = price_range(seed, leg.asset.symbol, start, end)
        if leg.side == "sell":
            low, high = -high, -low
        lowest += leg.ratio * low
        highest += leg.ratio * high
    return lowest, highest
