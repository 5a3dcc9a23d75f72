"""What an account is worth and what it may buy: the formulas behind Alpaca's account fields."""

from dataclasses import dataclass
from decimal import Decimal

from corral_sandbox.broker.initial_state import AccountTerms
from corral_sandbox.broker.ledger import LedgerState
from corral_sandbox.market.assets import find_asset
from corral_sandbox.market.money import ZERO
from corral_sandbox.market.prices import price

_INITIAL, _MAINTENANCE = Decimal("0.5"), Decimal("0.3")  # of every dollar long or short (Regulation T; FINRA 4210)


@dataclass(frozen=True, slots=True)
class AccountValue:
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
        return max(self.equity - self.initial_margin, ZERO)

    @property
    def spendable_cash(self) -> Decimal:
        return max(self.cash, ZERO)


def buying_power(multiplier: int, now: AccountValue, last: AccountValue) -> Decimal:
    """Returns dollars; `last` is the worth at the last session's close, on which intraday margin rests."""
    if multiplier == 4:  # noqa: PLR2004 - Alpaca's figure for intraday margin
        return max(last.equity - last.maintenance_margin, ZERO) * 4
    return overnight_buying_power(multiplier, now)


def overnight_buying_power(multiplier: int, now: AccountValue) -> Decimal:
    """Returns the power under Regulation T: twice the excess, or in a cash account the cash."""
    return now.spendable_cash if multiplier == 1 else now.excess * 2


def options_buying_power(multiplier: int, now: AccountValue) -> Decimal:
    """Returns what may be spent on options, which cannot be bought on margin."""
    return now.spendable_cash if multiplier == 1 else now.excess


def value_at(account: AccountTerms, at: int) -> AccountValue:
    """Returns the worth at `at`, in nanoseconds since 1970, of an account that has not traded."""
    values = [holding.quantity * price(account.seed, holding.symbol, at) for holding in account.holdings]
    long = sum((value for value in values if value > 0), Decimal())
    short = sum((value for value in values if value < 0), Decimal())
    return AccountValue(account.cash, long, short)


def value_of(seed: int, state: LedgerState, at: int) -> AccountValue:
    """Returns what a state is worth at the prices of `at`."""
    long = short = ZERO
    for symbol, position in state.positions.items():
        value = market_value(seed, symbol, position.quantity, at)
        long, short = (long + value, short) if value > 0 else (long, short + value)
    return AccountValue(state.cash, long, short)


def market_value(seed: int, symbol: str, quantity: Decimal, at: int) -> Decimal:
    asset = find_asset(symbol)
    return quantity * (asset.multiplier if asset else 1) * price(seed, symbol, at)
