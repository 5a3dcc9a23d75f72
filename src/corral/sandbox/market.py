"""At what price: a pure function of seed, symbol and time.

A price swings around its mean by a sum of smooth noises, from slow and wide to quick and narrow. Each
noise runs through heights drawn at whole multiples of its period, so any moment of any year costs the
same and nothing is remembered. It moves at night and on holidays, too: a person who tries Corral on a
Sunday should see numbers move. All of it is integer arithmetic, so every machine answers the same cents.
"""

from decimal import Decimal
from functools import lru_cache

from corral.sandbox.draws import draw
from corral.sandbox.mean_prices import MEANS
from corral.sandbox.option_contracts import contract_of, premium

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

_TICK = SECOND // 10  # a price stands for a tenth of a second, so accounts that are asked together share it
_ONE = 1 << 20  # 1.0 in the fixed-point arithmetic of the noises


def price(seed: int, symbol: str, at: int) -> Decimal:
    """Answers dollars per share or coin at `at`, in nanoseconds since 1970.

    Of shares and coins within `WIDEST_SWING` of the mean; of an option, by its OCC symbol, what
    `option_contracts.premium` makes of the share's price. Raises KeyError for what is not listed.
    """
    return _price_at_tick(seed, symbol, at // _TICK)


@lru_cache(maxsize=8_192)
def _price_at_tick(seed: int, symbol: str, tick: int) -> Decimal:
    if symbol not in MEANS:
        return _option_price(seed, symbol, tick)
    mean, decimals = MEANS[symbol]
    swing = sum(height * _noise(seed, symbol, period, tick * _TICK) for period, height in _SWINGS)
    return Decimal(mean + mean * swing // (1_000_000 * _ONE)).scaleb(-decimals)


def _option_price(seed: int, symbol: str, tick: int) -> Decimal:
    contract = contract_of(symbol)
    if contract is None:
        raise KeyError(symbol)
    at = min(tick * _TICK, contract.expires_at)
    return premium(contract, price(seed, contract.underlying, at), at)


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
