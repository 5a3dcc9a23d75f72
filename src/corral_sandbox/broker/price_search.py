"""When a price first reaches a level: found exactly, without looking at every tick in between.

A price has bounds over any time range (`prices.price_range`). A range whose bounds exclude the level is skipped as a
whole; any other is halved, and the earlier half searched first.
"""

from collections.abc import Callable
from decimal import Decimal

from corral_sandbox.market.prices import TICK

Bounds = Callable[[int, int], tuple[Decimal, Decimal]]
"""Returns the lowest and highest possible price from one time to another, both included."""


def first_time(bounds: Bounds, reaches: Callable[[Decimal, Decimal], bool], start: int, end: int) -> int | None:
    """Returns the first time from `start` to `end`, both included, at which the price satisfies `reaches`.

    `reaches` says whether a price between two bounds may do so; where the bounds are equal, it is exact.
    """
    tick = _first_tick(bounds, reaches, start // TICK, end // TICK)
    return None if tick is None else max(start, tick * TICK)


def _first_tick(bounds: Bounds, reaches: Callable[[Decimal, Decimal], bool], first: int, last: int) -> int | None:
    if last < first or not reaches(*bounds(first * TICK, last * TICK)):
        return None
    if first == last:
        return first
    middle = (first + last) // 2
    found = _first_tick(bounds, reaches, first, middle)
    return _first_tick(bounds, reaches, middle + 1, last) if found is None else found


def highest(bounds: Bounds, known: Decimal, start: int, end: int) -> Decimal:
    """Returns the highest price from `start` to `end`, both included, or `known` if that is higher."""
    return _highest(bounds, known, start // TICK, end // TICK)


def _highest(bounds: Bounds, known: Decimal, first: int, last: int) -> Decimal:
    low, high = bounds(first * TICK, last * TICK)
    if high <= known or last < first:
        return known
    if first == last:
        return low
    middle = (first + last) // 2
    later = _highest(bounds, known, middle + 1, last)
    return _highest(bounds, later, first, middle)


def first_drop_to_stop(
    bounds: Bounds, stop_below: Callable[[Decimal], Decimal], peak: Decimal, start: int, end: int
) -> tuple[int | None, Decimal]:
    """Returns when a price first drops to its trailing stop, and the highest price until then.

    `stop_below` returns the stop for a highest price; `peak` is the highest before `start`.
    """
    tick, peak = _first_fall(bounds, stop_below, peak, start // TICK, end // TICK)
    return (None if tick is None else max(start, tick * TICK)), peak


def _first_fall(
    bounds: Bounds, stop_below: Callable[[Decimal], Decimal], peak: Decimal, first: int, last: int
) -> tuple[int | None, Decimal]:
    low, high = bounds(first * TICK, last * TICK)
    if low > stop_below(max(peak, high)):
        return None, _highest(bounds, peak, first, last)
    if first == last:
        return first, max(peak, high)
    middle = (first + last) // 2
    tick, peak = _first_fall(bounds, stop_below, peak, first, middle)
    return (tick, peak) if tick is not None else _first_fall(bounds, stop_below, peak, middle + 1, last)
