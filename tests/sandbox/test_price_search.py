"""The search finds what a look at every tick finds."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from corral_sandbox.broker.price_search import first_drop_to_stop, first_time, highest
from corral_sandbox.market.prices import TICK, Market, price, price_range
from corral_sandbox.market.time import SECOND
from tests.sandbox.people import nanoseconds

_START = nanoseconds("2026-11-24T14:30:00Z")
_SYMBOLS = st.sampled_from(["AAPL", "F", "BTC/USD", "DOGE/USD", "AAPL261218C00245000", "AAPL261127P00340000"])
_MOMENTS = st.integers(_START, _START + 3 * 86_400 * SECOND)
_SPANS = st.integers(0, 400 * TICK)
_laws = settings(deadline=None, max_examples=150)


def _ticks(start: int, end: int) -> list[int]:
    return [start, *range((start // TICK + 1) * TICK, end + 1, TICK)]


@given(st.integers(0, 9), _SYMBOLS, _MOMENTS, st.integers(0, 30 * 3_600 * SECOND), st.floats(0, 1))
@_laws
def test_no_price_leaves_its_range(seed: int, symbol: str, start: int, span: int, where: float) -> None:
    low, high = price_range(Market(seed), symbol, start, start + span)
    assert low <= price(Market(seed), symbol, start + int(span * where)) <= high


@given(st.integers(0, 9), _SYMBOLS, _MOMENTS)
@_laws
def test_the_range_of_one_tick_is_its_price(seed: int, symbol: str, at: int) -> None:
    assert price_range(Market(seed), symbol, at, at) == (price(Market(seed), symbol, at),) * 2


@given(st.integers(0, 9), _SYMBOLS, _MOMENTS, _SPANS, st.integers(-40, 40))
@_laws
def test_the_first_time_at_a_level_is_found(seed: int, symbol: str, start: int, span: int, off: int) -> None:
    level = price(Market(seed), symbol, start) * (1 + Decimal(off) / 20_000)
    end = start + span

    found = first_time(
        lambda first, last: price_range(Market(seed), symbol, first, last), lambda low, _high: low <= level, start, end
    )

    assert found == next((at for at in _ticks(start, end) if price(Market(seed), symbol, at) <= level), None)


@given(st.integers(0, 9), _SYMBOLS, _MOMENTS, _SPANS)
@_laws
def test_the_highest_price_is_found(seed: int, symbol: str, start: int, span: int) -> None:
    found = highest(lambda first, last: price_range(Market(seed), symbol, first, last), Decimal(), start, start + span)

    assert found == max(price(Market(seed), symbol, at) for at in _ticks(start, start + span))


@given(st.integers(0, 9), _SYMBOLS, _MOMENTS, _SPANS, st.integers(1, 60))
@_laws
def test_the_first_drop_to_a_trailing_stop_is_found(seed: int, symbol: str, start: int, span: int, off: int) -> None:
    peak = price(Market(seed), symbol, start)
    trail = peak * off / 40_000

    found, reached = first_drop_to_stop(
        lambda first, last: price_range(Market(seed), symbol, first, last),
        lambda highest: highest - trail,
        peak,
        start,
        start + span,
    )

    for at in _ticks(start, start + span):
        peak = max(peak, price(Market(seed), symbol, at))
        if price(Market(seed), symbol, at) <= peak - trail:
            assert (found, reached) == (at, peak)
            return
    assert (found, reached) == (None, peak)
