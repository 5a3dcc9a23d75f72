"""How the premium of `prices.premium` changes: its derivatives, in the units that brokers show."""

from math import sqrt
from typing import NamedTuple

from corral_sandbox.market.option_contracts import OptionContract
from corral_sandbox.market.prices import Market, price
from corral_sandbox.market.time import DAY, new_york_time

IMPLIED_VOLATILITY = 0.3  # of every contract
_SPREAD = (2 * 0.4) ** 2  # the premium at the money is 0.4 · share · volatility · √years
_DAYS_IN_A_YEAR = 365


class Greeks(NamedTuple):
    """`theta` is dollars per day, `vega` dollars per percent of volatility; `rho` is 0, as no rate enters a premium."""

    delta: float
    gamma: float
    theta: float
    vega: float
    rho: float = 0.0


def greeks_of(market: Market, contract: OptionContract, now: int) -> Greeks | None:
    """Returns None on the day on which a contract expires and after it."""
    if new_york_time(now).date() >= contract.expires_on:
        return None
    sign = 1 if contract.type == "call" else -1
    share, years = float(price(market, contract.underlying, now)), (contract.expires_at - now) / DAY / _DAYS_IN_A_YEAR
    gain = sign * (share - float(contract.strike))
    variance = _SPREAD * IMPLIED_VOLATILITY**2 * years
    root = sqrt(gain * gain + variance * share * share)
    slope = (sign * gain + variance * share) / root
    return Greeks(
        delta=min(max((sign + slope) / 2, -1.0), 1.0),
        gamma=max(1 + variance - slope * slope, 0.0) / root / 2,
        theta=-variance * share * share / years / root / 4 / _DAYS_IN_A_YEAR,
        vega=variance * share * share / IMPLIED_VOLATILITY / root / 2 / 100,
    )
