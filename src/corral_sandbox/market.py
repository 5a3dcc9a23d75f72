"""At what price: a pure function of seed, symbol and time.

A price swings around its mean by a sum of smooth noises, from slow and wide to quick and narrow. Each
noise runs through heights drawn at whole multiples of its period, so any moment of any year costs the
same and nothing is remembered. It moves at night and on holidays, too: a person who tries Corral on a
Sunday should see numbers move. All of it is integer arithmetic, so every machine answers the same cents.
"""

from decimal import Decimal
from functools import lru_cache

from corral_sandbox.draws import draw
from corral_sandbox.mean_prices import MEANS
from corral_sandbox.option_contracts import Contract, contract_of, premium, premium_range

SECOND = 1_000_000_000
_MINUTE, _HOUR, _DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND

# Period of each swing, and its greatest height in millionths of the mean.
_SWINGS = (
    (120 * _DAY, 180_000),
    (5 * _DAY, 60_000),
    (4 * _HOUR, 20_000),
    (15 * _MINUTE, 6_000),
    (1 * _MINUTE, 2_500),
    (5 * SECOND, 1_200),
)
WIDEST_SWING = Decimal(sum(height for _, height in _SWINGS)) / 1_000_000

TICK = SECOND // 10  # a price stands for a tenth of a second, so accounts that are asked together share it
_ONE = 1 << 20  # 1.0 in the fixed-point arithmetic of the noises


def price(seed: int, symbol: str, at: int) -> Decimal:
    """Answers dollars per share or coin at `at`, in nanoseconds since 1970.

    Of shares and coins within `WIDEST_SWING` of the mean; of an option, by its OCC symbol, what
    `option_contracts.premium` makes of the share's price. Raises KeyError for what is not listed.
    """
    return _price_at_tick(seed, symbol, at // TICK)


@lru_cache(maxsize=8_192)
def _price_at_tick(seed: int, symbol: str, tick: int) -> Decimal:
    if symbol not in MEANS:
        contract = _contract(symbol)
        at = min(tick * TICK, contract.expires_at)
        return premium(contract, price(seed, contract.underlying, at), at)
    return _dollars(symbol, sum(height * _noise(seed, symbol, period, tick * TICK) for period, height in _SWINGS))


def _contract(symbol: str) -> Contract:
    contract = contract_of(symbol)
    if contract is None:
        raise KeyError(symbol)
    return contract


def _dollars(symbol: str, swing: int) -> Decimal:
    mean, decimals = MEANS[symbol]
    return Decimal(mean + mean * swing // (1_000_000 * _ONE)).scaleb(-decimals)


def _noise(seed: int, symbol: str, period: int, at: int) -> int:
    """From -_ONE to _ONE, flat at every multiple of the period and smooth between (smoothstep)."""
    index, within = divmod(at, period)
    along = within * _ONE // period
    eased = along * along * (3 * _ONE - 2 * along) // (_ONE * _ONE)
    here, there = _height(seed, symbol, period, index), _height(seed, symbol, period, index + 1)
    return here + (there - here) * eased // _ONE


@lru_cache(maxsize=8_192)
def _height(seed: int, symbol: str, period: int, index: int) -> int:
    return draw(2 * _ONE + 1, seed, symbol, period, index) - _ONE


def price_range(seed: int, symbol: str, start: int, end: int) -> tuple[Decimal, Decimal]:
    """Answers two prices that no price from `start` to `end`, both included, leaves.

    Narrow where the time is short, exact within one tick. With it a search passes over hours in which
    nothing can happen (see `crossings`).
    """
    return _range_of_ticks(seed, symbol, start // TICK, end // TICK)


@lru_cache(maxsize=8_192)
def _range_of_ticks(seed: int, symbol: str, first: int, last: int) -> tuple[Decimal, Decimal]:
    if symbol not in MEANS:
        return _option_range(seed, _contract(symbol), first * TICK, last * TICK)
    lowest = highest = 0
    for period, height in _SWINGS:
        low, high = _noise_range(seed, symbol, period, first * TICK, last * TICK)
        lowest, highest = lowest + height * low, highest + height * high
    return _dollars(symbol, lowest), _dollars(symbol, highest)


def _option_range(seed: int, contract: Contract, start: int, end: int) -> tuple[Decimal, Decimal]:
    start, end = min(start, contract.expires_at), min(end, contract.expires_at)
    return premium_range(contract, price_range(seed, contract.underlying, start, end), start, end)


_MANY = 4  # of a noise's heights: with as many in between, it may be anywhere


def _noise_range(seed: int, symbol: str, period: int, start: int, end: int) -> tuple[int, int]:
    """Between two multiples of its period a noise only rises or only falls: its ends and those are enough."""
    first, last = start // period, end // period
    if last - first > _MANY:
        return -_ONE, _ONE
    heights = [_height(seed, symbol, period, index) for index in range(first + 1, last + 1)]
    heights += [_noise(seed, symbol, period, start), _noise(seed, symbol, period, end)]
    return min(heights), max(heights)
