"""Prices: functions of symbol and time that follow from the seed, unless a test fixes them or has listed the symbol.

A price swings around its mean by a sum of smooth noises, from slow and wide to fast and narrow. Each noise
interpolates between random heights at multiples of its period, so that any time costs the same and no state is kept.
Prices move at night and on holidays, too: a person who tries Corral on a Sunday should see numbers move. All of it is
integer arithmetic, so that every machine computes the same cents.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from math import isqrt
from typing import NamedTuple

from corral_sandbox.market.assets import Asset, ListedAssets
from corral_sandbox.market.mean_prices import MEAN_PRICES, STABLE_COINS
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

MOST_DECIMALS = 9  # of a fixed price
TICK = SECOND // 10  # a price holds for a tenth of a second, so that simultaneous requests share it
_FRACTION = 20  # bits of the fixed-point arithmetic of the noises
_ONE = 1 << _FRACTION
_THREE, _TWICE = 3 * _ONE, 2 * _FRACTION


def price(market: "Market", symbol: str, at: int) -> Decimal:
    """Returns dollars per share or coin at `at`, in nanoseconds since 1970.

    Drawn prices of shares and coins stay within `WIDEST_SWING` of the mean; the price of an option, by its OCC symbol,
    is its `premium`. Raises KeyError for an unknown symbol.
    """
    if market.is_untouched:
        return _price_at_tick(market.seed, symbol, at // TICK)
    return market.fixed_price(symbol, at)


@lru_cache(maxsize=8_192)
def _price_at_tick(seed: int, symbol: str, tick: int) -> Decimal:
    if symbol not in MEAN_PRICES:
        contract = _contract(symbol)
        at = min(tick * TICK, contract.expires_at)
        return premium(contract, _price_at_tick(seed, contract.underlying, at // TICK), at)
    return _dollars(symbol, sum(noise.amplitude * noise.at(tick) for noise in _noises(seed, symbol)))


def _contract(symbol: str) -> OptionContract:
    contract = contract_of(symbol)
    if contract is None:
        raise KeyError(symbol)
    return contract


def _dollars(symbol: str, swing: int) -> Decimal:
    mean, decimals = MEAN_PRICES[symbol]
    if symbol in STABLE_COINS:
        swing //= 100
    return Decimal(mean + mean * swing // (1_000_000 * _ONE)).scaleb(-decimals)


_MANY = 4  # heights of a noise; between more than these it may be anywhere
_HEIGHTS_KEPT = 2_048


class _Noise:
    """Swings from -_ONE to _ONE, flat at every multiple of its period and smooth between (smoothstep)."""

    __slots__ = ("_height", "_period", "_series", "amplitude")

    def __init__(self, seed: int, symbol: str, period: int, amplitude: int) -> None:
        self.amplitude = amplitude
        self._period = period // TICK
        self._series = SeededSeries(seed, symbol, period)
        self._height = lru_cache(_HEIGHTS_KEPT)(self._drawn_height)

    def _drawn_height(self, index: int) -> int:
        return self._series.number(2 * _ONE + 1, index) - _ONE

    def at(self, tick: int) -> int:
        index, within = divmod(tick, self._period)
        here = self._height(index)
        if not within:
            return here
        along = (within << _FRACTION) // self._period
        eased = along * along * (_THREE - 2 * along) >> _TWICE
        return here + ((self._height(index + 1) - here) * eased >> _FRACTION)

    def span(self, first: int, last: int) -> tuple[int, int, int, int]:
        """Returns its value at one tick, bounds until another, and its value there.

        It is monotonic between multiples of its period, so its values there and at both ends bound it.
        """
        opening, closing = self.at(first), self.at(last)
        begins, ends = first // self._period, last // self._period
        if ends - begins > _MANY:
            return opening, -_ONE, _ONE, closing
        low, high = (opening, closing) if opening < closing else (closing, opening)
        for index in range(begins + 1, ends + 1):
            height = self._height(index)
            low, high = min(low, height), max(high, height)
        return opening, low, high, closing


@lru_cache(maxsize=1_024)
def _noises(seed: int, symbol: str) -> tuple[_Noise, ...]:
    return tuple(_Noise(seed, symbol, period, amplitude) for period, amplitude in _SWINGS)


class PriceSpan(NamedTuple):
    """The prices at both ends of a time, and the bounds of all between (see `price_range`)."""

    opening: Decimal
    low: Decimal
    high: Decimal
    closing: Decimal


def price_span(market: "Market", symbol: str, start: int, end: int) -> PriceSpan:
    """Returns what `price` and `price_range` return from `start` to `end`, both included, at half the cost."""
    if market.is_untouched:
        return _span_of_ticks(market.seed, symbol, start // TICK, end // TICK)
    low, high = market.fixed_range(symbol, start, end)
    return PriceSpan(market.fixed_price(symbol, start), low, high, market.fixed_price(symbol, end))


def price_range(market: "Market", symbol: str, start: int, end: int) -> tuple[Decimal, Decimal]:
    """Returns bounds of the price from `start` to `end`, both included.

    They are narrow for a short time and exact within one tick. With them a search can skip hours in which nothing can
    happen (see `price_search`).
    """
    if market.is_untouched:
        return _range_of_ticks(market.seed, symbol, start // TICK, end // TICK)
    return market.fixed_range(symbol, start, end)


def _range_of_ticks(seed: int, symbol: str, first: int, last: int) -> tuple[Decimal, Decimal]:
    span = _span_of_ticks(seed, symbol, first, last)
    return span.low, span.high


@lru_cache(maxsize=8_192)
def _span_of_ticks(seed: int, symbol: str, first: int, last: int) -> PriceSpan:
    if symbol not in MEAN_PRICES:
        return _option_span(seed, _contract(symbol), first * TICK, last * TICK)
    opening = lowest = highest = closing = 0
    for noise in _noises(seed, symbol):
        amplitude, (begins, low, high, ends) = noise.amplitude, noise.span(first, last)
        opening += amplitude * begins
        lowest += amplitude * low
        highest += amplitude * high
        closing += amplitude * ends
    return PriceSpan(
        _dollars(symbol, opening), _dollars(symbol, lowest), _dollars(symbol, highest), _dollars(symbol, closing)
    )


def _option_span(seed: int, contract: OptionContract, start: int, end: int) -> PriceSpan:
    start, end = min(start, contract.expires_at), min(end, contract.expires_at)
    share = _span_of_ticks(seed, contract.underlying, start // TICK, end // TICK)
    low, high = premium_range(contract, (share.low, share.high), start, end)
    return PriceSpan(premium(contract, share.opening, start), low, high, premium(contract, share.closing, end))


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


Step = tuple[int, Decimal | None]
"""From when, in nanoseconds since 1970, and what a price is; None is the drawn one."""


class Market:
    """What one sandbox lists, and its prices: drawn from its seed, but for the symbols whose prices a test has fixed.

    What a test has listed has no drawn price. Before its first fixed price, it has that price.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.assets = ListedAssets()
        self.is_untouched = True
        self._first_prices: dict[str, Decimal] = {}  # of what a test has listed
        self._steps: dict[str, list[Step]] = {}
        self._halted: set[str] = set()

    def is_halted(self, symbol: str) -> bool:
        """Whether nothing trades in it. An option is halted with its underlying."""
        if not self._halted:
            return False
        contract = None if symbol in MEAN_PRICES else contract_of(symbol)
        return symbol in self._halted or (contract is not None and contract.underlying in self._halted)

    def add_assets(self, first_prices: Mapping[Asset, Decimal]) -> None:
        """Lists assets that are not listed yet. Fix their prices next."""
        self.assets.add(first_prices)
        self._first_prices |= {asset.symbol: dollars for asset, dollars in first_prices.items()}
        self.is_untouched = False

    def is_added(self, symbol: str) -> bool:
        """Whether a test has listed it."""
        return symbol in self._first_prices

    def remove_asset(self, symbol: str) -> None:
        """Removes what a test has listed, with its prices."""
        self.assets.remove(symbol)
        self._halted.discard(symbol)
        del self._first_prices[symbol], self._steps[symbol]

    def mean_price(self, symbol: str) -> tuple[int, int]:
        """Returns the mean price of a share or coin, or its first one, in units of its last decimal, and the number of
        decimals.
        """
        if symbol not in self._first_prices:
            return MEAN_PRICES[symbol]
        return int(self._first_prices[symbol].scaleb(MOST_DECIMALS)), MOST_DECIMALS

    def fix(self, symbol: str, steps: Iterable[Step], now: int) -> None:
        """Fixes the price from now on. Of the steps that have passed, the latest holds now. Ends a halt."""
        self._halted.discard(symbol)
        # A price holds for a whole tick, so that orders see the new one at once.
        known = [(at // TICK * TICK, dollars) for at, dollars in sorted(steps, key=lambda step: step[0])]
        passed = [step for step in known if step[0] <= now]
        begins = [(now // TICK * TICK, passed[-1][1])] if passed else []
        kept = [step for step in self._steps.get(symbol, []) if step[0] < now // TICK * TICK]
        self._steps[symbol] = [*kept, *begins, *(step for step in known if step[0] > now)]
        self.is_untouched = False

    def halt(self, symbol: str, now: int) -> None:
        """Holds the price, and lets nothing trade, until the price is fixed or freed."""
        self.fix(symbol, [(now, price(self, symbol, now))], now)
        self._halted.add(symbol)

    def free(self, symbol: str, now: int) -> None:
        """Goes back to the drawn price from now on. What a test has listed keeps its present price."""
        self.fix(symbol, [(now, price(self, symbol, now) if self.is_added(symbol) else None)], now)

    def reset(self) -> None:
        self.assets.reset()
        self._first_prices.clear()
        self._steps.clear()
        self._halted.clear()
        self.is_untouched = True

    def touched(self, now: int) -> dict[str, list[Step] | None]:
        """Returns the steps from now on of each symbol whose price is fixed, None for one that is halted."""
        found: dict[str, list[Step] | None] = {}
        for symbol, steps in self._steps.items():
            passed = [step for step in steps if step[0] <= now][-1:]
            following = [*passed, *(step for step in steps if step[0] > now)]
            if any(dollars is not None for _, dollars in following):
                found[symbol] = None if symbol in self._halted else following
        return found

    def fixed_price(self, symbol: str, at: int) -> Decimal:
        if symbol not in self._steps:
            return self._drawn_price(symbol, at)
        steps = self._steps[symbol]
        passed = bisect_right(steps, at, key=step_time)
        dollars = steps[passed - 1][1] if passed else None
        return self._drawn_price(symbol, at) if dollars is None else dollars

    def fixed_range(self, symbol: str, start: int, end: int) -> tuple[Decimal, Decimal]:
        if symbol not in self._steps:
            return self._drawn_range(symbol, start, end)
        steps = self._steps[symbol]
        first, last = bisect_right(steps, start, key=step_time), bisect_right(steps, end, key=step_time)
        times = [start, *(at for at, _ in steps[first:last]), end + 1]
        bounds = [self._part_range(symbol, begin, after - 1) for begin, after in pairwise(times)]
        return min(low for low, _ in bounds), max(high for _, high in bounds)

    def _part_range(self, symbol: str, start: int, end: int) -> tuple[Decimal, Decimal]:
        """Of a time within which no step lies."""
        steps = self._steps[symbol]
        passed = bisect_right(steps, start, key=step_time)
        dollars = steps[passed - 1][1] if passed else None
        return self._drawn_range(symbol, start, end) if dollars is None else (dollars, dollars)

    def _drawn_price(self, symbol: str, at: int) -> Decimal:
        """An option follows its underlying, whose price may be fixed."""
        if symbol in MEAN_PRICES:
            return _price_at_tick(self.seed, symbol, at // TICK)
        if symbol in self._first_prices:
            return self._first_prices[symbol]
        contract = _contract(symbol)
        at = min(at // TICK * TICK, contract.expires_at)
        return premium(contract, self.fixed_price(contract.underlying, at), at)

    def _drawn_range(self, symbol: str, start: int, end: int) -> tuple[Decimal, Decimal]:
        if symbol in MEAN_PRICES:
            return _range_of_ticks(self.seed, symbol, start // TICK, end // TICK)
        if symbol in self._first_prices:
            return self._first_prices[symbol], self._first_prices[symbol]
        contract = _contract(symbol)
        start, end = (min(at // TICK * TICK, contract.expires_at) for at in (start, end))
        return premium_range(contract, self.fixed_range(contract.underlying, start, end), start, end)


def step_time(step: Step) -> int:
    return step[0]
