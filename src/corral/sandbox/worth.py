"""What an account is worth, now and at any moment before."""

from decimal import Decimal

from corral.sandbox.margin import Worth
from corral.sandbox.market import price
from corral.sandbox.opening import Account


def worth_at(account: Account, at: int) -> Worth:
    """Answers the worth at `at`, in nanoseconds since 1970."""
    values = [holding.quantity * price(account.seed, holding.symbol, at) for holding in account.holdings]
    long = sum((value for value in values if value > 0), Decimal())
    short = sum((value for value in values if value < 0), Decimal())
    return Worth(account.cash, long, short)
