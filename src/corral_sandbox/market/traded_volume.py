"""Traded volume: how much was traded since 1970, a pure function of seed, symbol and time that only grows.

The volume of any time is a difference of two values, so that minutes add up to hours and days. It is different on each
day, and in each tick of the price.
"""

from functools import lru_cache

from corral_sandbox.market.prices import TICK
from corral_sandbox.market.seeded_random import SeededSeries
from corral_sandbox.market.time import DAY

_ONE = 1 << 20  # 1.0 in fixed-point arithmetic
_TICKS_IN_A_DAY = DAY // TICK
_DAY_WAVE, _JITTER = 20, 12  # in hundredths of the mean, which both change by up to twice as much: by 64 together
LOWEST_MEAN = 4  # so that a tick has a volume of at least 1


def volume_before(seed: int, symbol: str, mean: int, tick: int) -> int:
    """Returns what was traded before a tick, with a mean of at least `LOWEST_MEAN` in each."""
    series = _series(seed, symbol)
    day, within = divmod(tick, _TICKS_IN_A_DAY)
    here, there = _height(series, day), _height(series, day + 1)
    wave = _DAY_WAVE * (here * _TICKS_IN_A_DAY + (there - here) * within)
    jitter = _JITTER * (series.number(2 * _ONE + 1, tick) - _ONE)
    return mean * (100 * _ONE * tick + wave + jitter) // (100 * _ONE)


@lru_cache(maxsize=8_192)
def _height(series: SeededSeries, number: int) -> int:
    return series.number(2 * _ONE + 1, number) - _ONE


@lru_cache(maxsize=1_024)
def _series(seed: int, symbol: str) -> SeededSeries:
    return SeededSeries(seed, symbol, "volume")
