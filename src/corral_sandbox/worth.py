"""What an account is worth, now and at any moment before."""

from decimal import Decimal

from corral_sandbox.ledger import ZERO, State
from corral_sandbox.listing import find_asset
from corral_sandbox.margin import Worth
from corral_sandbox.market import price
from corral_sandbox.opening import Account


def worth_at(account: Account, at: int) -> Worth:
    """Answers the worth at `at`, in nanoseconds since 1970, of an account that has not traded."""
    values = [holding.quantity * price(account.seed, holding.symbol, at) for holding in account.holdings]
    long = sum((value for value in values if value > 0), Decimal())
    short = sum((value for value in values if value < 0), Decimal())
    return Worth(account.cash, long, short)


def worth_of(seed: int, state: State, at: int) -> Worth:
    """Answers what a state is worth at the prices of `at`."""
    long = short = ZERO
    for symbol, position in state.positions.items():
        value = market_value(seed, symbol, position.quantity, at)
        long, short = (long + value, short) if value > 0 else (long, short + value)
    return Worth(state.cash, long, short)


def market_value(seed: int, symbol: str, quantity: Decimal, at: int) -> Decimal:
    asset = find_asset(symbol)
    return quantity * (asset.multiplier if asset else 1) * price(seed, symbol, at)
