"""Prices: pure functions of seed, symbol and time.

A price swings around its mean by a sum of smooth noises, from slow and wide to fast and narrow. Each noise
interpolates between random heights at multiples of its period, so that any time costs the same and no state is kept.
Prices move at night and on holidays, too: a person who tries Corral on a Sunday should see numbers move. All of it is
integer arithmetic, so that every machine computes the same cents.
"""

from decimal import Decimal
from functools import lru_cache
from math import isqrt

from corral_sandbox.market.mean_prices import MEAN_PRICES
from corral_sandbox.market.option_contracts import OptionContract, contract_of
from corral_sandbox.market.seeded_random import SeededSeries
from corral_sandbox.market.time import DAY, HOUR, MINUTE, SECOND

# Period of each noise, and its amplitude in millionths of the mean.
_SWINGS = (
    (120 * DAY, 180_000),
    (5 * DAY, 60_000),
    (4 * HOUR, 20_000),
    (15 * MINUTE, 6_000),
    (1 * MINUTE, 2_500),
    (5 * SECOND, 1_200),
)
WIDEST_SWING = Decimal(sum(height for _, height in _SWINGS)) / 1_000_000

TICK = SECOND // 10  # a price holds for a tenth of a second, so that simultaneous requests share it
_ONE = 1 << 20  # 1.0 in the fixed-point arithmetic of the noises


def price(seed: int, symbol: str, at: int) -> Decimal:
    """Returns dollars per share or coin at `at`, in nanoseconds since 1970.

    Shares and coins stay within `WIDEST_SWING` of the mean; the price of an option, by its OCC symbol, is its
    `premium`. Raises KeyError for an unknown symbol.
    """
    return _price_at_tick(seed, symbol, at // TICK)


@lru_cache(maxsize=8_192)
def _price_at_tick(seed: int, symbol: str, tick: int) -> Decimal:
    if symbol not in MEAN_PRICES:
        contract = _contract(symbol)
        at = min(tick * TICK, contract.expires_at)
        return premium(contract, price(seed, contract.underlying, at), at)
    return _dollars(symbol, sum(height * _noise(seed, symbol, period, tick * TICK) for period, height in _SWINGS))


def _contract(symbol: str) -> OptionContract:
    contract = contract_of(symbol)
    if contract is None:
        raise KeyError(symbol)
    return contract


def _dollars(symbol: str, swing: int) -> Decimal:
    mean, decimals = MEAN_PRICES[symbol]
    return Decimal(mean + mean * swing // (1_000_000 * _ONE)).scaleb(-decimals)


def _noise(seed: int, symbol: str, period: int, at: int) -> int:
    """Returns -_ONE to _ONE, flat at every multiple of the period and smooth between (smoothstep)."""
    index, within = divmod(at, period)
    if not within:
        return _height(seed, symbol, period, index)
    along = within * _ONE // period
    eased = along * along * (3 * _ONE - 2 * along) // (_ONE * _ONE)
    here, there = _height(seed, symbol, period, index), _height(seed, symbol, period, index + 1)
    return here + (there - here) * eased // _ONE


@lru_cache(maxsize=8_192)
def _height(seed: int, symbol: str, period: int, index: int) -> int:
    return _heights(seed, symbol, period).number(2 * _ONE + 1, index) - _ONE


@lru_cache(maxsize=1_024)
def _heights(seed: int, symbol: str, period: int) -> SeededSeries:
    return SeededSeries(seed, symbol, period)


def price_range(seed: int, symbol: str, start: int, end: int) -> tuple[Decimal, Decimal]:
    """Returns bounds of the price from `start` to `end`, both included.

    They are narrow for a short time and exact within one tick. With them a search can skip hours in which nothing can
    happen (see `price_search`).
    """
    return _range_of_ticks(seed, symbol, start // TICK, end // TICK)


@lru_cache(maxsize=8_192)
def _range_of_ticks(seed: int, symbol: str, first: int, last: int) -> tuple[Decimal, Decimal]:
    if symbol not in MEAN_PRICES:
        return _option_range(seed, _contract(symbol), first * TICK, last * TICK)
    lowest = highest = 0
    for period, height in _SWINGS:
        low, high = _noise_range(seed, symbol, period, first * TICK, last * TICK)
        lowest, highest = lowest + height * low, highest + height * high
    return _dollars(symbol, lowest), _dollars(symbol, highest)


def _option_range(seed: int, contract: OptionContract, start: int, end: int) -> tuple[Decimal, Decimal]:
    start, end = min(start, contract.expires_at), min(end, contract.expires_at)
    return premium_range(contract, price_range(seed, contract.underlying, start, end), start, end)


_MANY = 4  # heights of a noise; between more than these it may be anywhere


def _noise_range(seed: int, symbol: str, period: int, start: int, end: int) -> tuple[int, int]:
    """A noise is monotonic between multiples of its period, so its values there and at both ends bound it."""
    first, last = start // period, end // period
    if last - first > _MANY:
        return -_ONE, _ONE
    heights = [_height(seed, symbol, period, index) for index in range(first + 1, last + 1)]
    heights += [_noise(seed, symbol, period, start), _noise(seed, symbol, period, end)]
    return min(heights), max(heights)


def premium(contract: OptionContract, share: Decimal, at: int) -> Decimal:
    """Returns dollars per share of a contract at `at` if the share is at `share`; at expiry, its intrinsic value.

    With d for the gain of an exercise, the premium is half of d + √(d² + a²). Far out of the money it is zero, far in
    the money d; it rises with time, is never below the intrinsic value, and satisfies put-call parity. At the money it
    is 0.4 · share · volatility · √years (Brenner and Subrahmanyam), with a volatility of 30 %.
    """
    return _premium(_pays(contract, share), share, max(contract.expires_at - at, 0))


def premium_range(
    contract: OptionContract, shares: tuple[Decimal, Decimal], start: int, end: int
) -> tuple[Decimal, Decimal]:
    """Returns bounds of the premium from `start` to `end` while the share stays within `shares`.

    A premium grows with the gain of an exercise, with the share price and with the time left.
    """
    low, high = shares
    least, most = sorted((_pays(contract, low), _pays(contract, high)))
    return (
        _premium(least, low, max(contract.expires_at - end, 0)),
        _premium(most, high, max(contract.expires_at - start, 0)),
    )


def _pays(contract: OptionContract, share: Decimal) -> int:
    """Returns the gain of an exercise in cents, negative out of the money."""
    cents = int((share - contract.strike).scaleb(2))
    return cents if contract.type == "call" else -cents


def _premium(pays: int, share: Decimal, left: int) -> Decimal:
    if not left:
        return Decimal(max(pays, 0)).scaleb(-2)
    cents = int(share.scaleb(2))
    spread = cents * cents * 576 * left // (10_000 * 365 * DAY)  # (2 · 0.4 · 0.3)² = 0.0576 of the share's square
    return Decimal(max((pays + isqrt(pays * pays + spread)) // 2, 1)).scaleb(-2)
