"""GET /v2/account."""

from decimal import Decimal
from functools import lru_cache

from corral.sandbox.margin import Worth, buying_power, options_buying_power, overnight_buying_power
from corral.sandbox.market import SECOND, price
from corral.sandbox.market_clock import new_york_time
from corral.sandbox.opening import Account
from corral.sandbox.trading_calendar import last_session_before


def account_document(account: Account, now: int) -> dict[str, object]:
    """Answers Alpaca's account at `now`, in nanoseconds since 1970, without the fields removed on 2026-07-06."""
    session = last_session_before(new_york_time(now).date())
    last = _worth_at_close(account, int(session.closes.timestamp()))
    worth = _worth(account, now)
    power = in_writing(buying_power(account.multiplier, worth, last))
    equity = in_writing(worth.equity)
    return {
        **account.profile,
        "buying_power": power,
        "regt_buying_power": in_writing(overnight_buying_power(account.multiplier, worth)),
        "effective_buying_power": power,
        "non_marginable_buying_power": in_writing(worth.spendable_cash),
        "options_buying_power": in_writing(options_buying_power(account.multiplier, worth)),
        "cash": in_writing(worth.cash),
        "portfolio_value": equity,
        "equity": equity,
        "last_equity": in_writing(last.equity),
        "long_market_value": in_writing(worth.long_market_value),
        "short_market_value": in_writing(worth.short_market_value),
        "position_market_value": in_writing(worth.position_market_value),
        "initial_margin": in_writing(worth.initial_margin),
        "maintenance_margin": in_writing(worth.maintenance_margin),
        "last_maintenance_margin": in_writing(last.maintenance_margin),
        "sma": in_writing(last.excess),
        "balance_asof": session.day.isoformat(),
    }


def in_writing(amount: Decimal) -> str:
    """Answers every digit of an amount, without exponent and without trailing zeros, as Alpaca writes money."""
    return f"{amount.normalize():f}"


@lru_cache(maxsize=16_384)
def _worth_at_close(account: Account, second: int) -> Worth:
    return _worth(account, second * SECOND)


def _worth(account: Account, at: int) -> Worth:
    values = [holding.quantity * price(account.seed, holding.symbol, at) for holding in account.holdings]
    long = sum((value for value in values if value > 0), Decimal())
    short = sum((value for value in values if value < 0), Decimal())
    return Worth(account.cash, long, short)
