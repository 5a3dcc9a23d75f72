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
_DAYS_KEPT, _TICKS_KEPT = 2_048, 16
LOWEST_MEAN = 4  # so that a tick has a volume of at least 1


class TradedVolume:
    """The volume of one symbol, with a mean of at least `LOWEST_MEAN` in each tick."""

    def __init__(self, seed: int, symbol: str, mean: int) -> None:
        self.mean = mean
        self._series = SeededSeries(seed, symbol, "volume")
        self._height = lru_cache(_DAYS_KEPT)(self._drawn_height)
        # One interval begins with the tick at which the one before it ends.
        self.before = lru_cache(_TICKS_KEPT)(self._before)

    def _before(self, tick: int) -> int:
        """Returns what was traded before a tick."""
        day, within = divmod(tick, _TICKS_IN_A_DAY)
        here, there = self._height(day), self._height(day + 1)
        wave = _DAY_WAVE * (here * _TICKS_IN_A_DAY + (there - here) * within)
        jitter = _JITTER * self._drawn_height(tick)
        return self.mean * (100 * _ONE * tick + wave + jitter) // (100 * _ONE)

    def _drawn_height(self, number: int) -> int:
        return self._series.number(2 * _ONE + 1, number) - _ONE
