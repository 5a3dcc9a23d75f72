"""What an account is worth and what it may buy: the formulae of Alpaca's account page.

Amounts are exact dollars. Quantities have at most nine decimals and prices two, so that every figure
below stays within the 28 digits in which Decimal computes without rounding.
"""

from dataclasses import dataclass
from decimal import Decimal

_ZERO = Decimal()
_INITIAL, _MAINTENANCE = Decimal("0.5"), Decimal("0.3")  # of every dollar long or short (Regulation T; FINRA 4210)


@dataclass(frozen=True, slots=True)
class Worth:
    """An account's worth at one moment. Short positions count negative."""

    cash: Decimal
    long_market_value: Decimal
    short_market_value: Decimal

    @property
    def equity(self) -> Decimal:
        return self.cash + self.long_market_value + self.short_market_value

    @property
    def position_market_value(self) -> Decimal:
        return self.long_market_value - self.short_market_value

    @property
    def initial_margin(self) -> Decimal:
        return self.position_market_value * _INITIAL

    @property
    def maintenance_margin(self) -> Decimal:
        return self.position_market_value * _MAINTENANCE

    @property
    def excess(self) -> Decimal:
        """What Regulation T leaves free."""
        return max(self.equity - self.initial_margin, _ZERO)

    @property
    def spendable_cash(self) -> Decimal:
        return max(self.cash, _ZERO)


def buying_power(multiplier: int, now: Worth, last: Worth) -> Decimal:
    """Answers dollars; `last` is the worth at the last session's close, on which intraday margin rests."""
    if multiplier == 4:  # noqa: PLR2004 - Alpaca's figure for intraday margin
        return max(last.equity - last.maintenance_margin, _ZERO) * 4
    return overnight_buying_power(multiplier, now)


def overnight_buying_power(multiplier: int, now: Worth) -> Decimal:
    """Answers the power under Regulation T: twice the excess, or in a cash account the cash."""
    return now.spendable_cash if multiplier == 1 else now.excess * 2


def options_buying_power(multiplier: int, now: Worth) -> Decimal:
    """Answers what may be spent on options, which cannot be bought on margin."""
    return now.spendable_cash if multiplier == 1 else now.excess
