"""GET /v2/account."""

from functools import lru_cache

from corral_sandbox.answers import Document
from corral_sandbox.margin import Worth, buying_power, options_buying_power, overnight_buying_power
from corral_sandbox.market import SECOND
from corral_sandbox.money import in_writing
from corral_sandbox.opening import Account
from corral_sandbox.requests import Request
from corral_sandbox.trading_calendar import last_session_before, new_york_time
from corral_sandbox.worth import worth_at


def account_page(request: Request) -> Document:
    customer, now = request.customer, request.now
    if not customer.has_ordered:
        return account_document(customer.account, now)
    customer.book.advance(now)
    day, closed_at = _last_session(now // SECOND)
    return _document(customer.account, customer.worth_at(now), customer.worth_at(closed_at), day)


def account_document(account: Account, now: int) -> dict[str, object]:
    """Answers the account at `now`, in nanoseconds since 1970, if it has not traded since it opened."""
    day, closed_at = _last_session(now // SECOND)
    return _document(account, worth_at(account, now), _worth_at_close(account, closed_at), day)


def _document(account: Account, worth: Worth, last: Worth, last_day: str) -> dict[str, object]:
    """Answers Alpaca's account, without the fields removed on 2026-07-06. `last` is the worth at the last close."""
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
        "balance_asof": last_day,
    }


@lru_cache(maxsize=64)
def _last_session(second: int) -> tuple[str, int]:
    """Answers the last session's day and, in nanoseconds since 1970, its close, as they stand in a second."""
    session = last_session_before(new_york_time(second * SECOND).date())
    return session.day.isoformat(), int(session.closes.timestamp()) * SECOND


@lru_cache(maxsize=16_384)
def _worth_at_close(account: Account, closed_at: int) -> Worth:
    return worth_at(account, closed_at)
