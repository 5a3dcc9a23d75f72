"""/v2/account and /v2/account/configurations."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from corral_sandbox.broker.account_settings import configured
from corral_sandbox.broker.accounts import TradingAccount
from corral_sandbox.broker.initial_state import AccountTerms, initial_value_at
from corral_sandbox.broker.ledger import AccountValue, buying_power, options_buying_power, overnight_buying_power
from corral_sandbox.errors import InvalidParameterError
from corral_sandbox.http.requests import Document, JsonValue, Request
from corral_sandbox.market.money import format_amount
from corral_sandbox.market.time import SECOND, close_before_today, last_session_before, new_york_time


def get_account(request: Request) -> dict[str, object]:
    account, now = request.account, request.now
    if account.is_as_opened:
        return account_document(account.terms, now)
    account.order_manager.advance(now)
    day, closed_at = _last_session(now // SECOND)
    return _document(account.terms, account.value_at(now), account.value_at(closed_at), day)


def account_document(account: AccountTerms, now: int) -> dict[str, object]:
    """Returns an account without orders as of `now`, in nanoseconds since 1970."""
    day, closed_at = _last_session(now // SECOND)
    return _document(account, initial_value_at(account, now), _worth_at_close(account, closed_at), day)


@lru_cache(maxsize=1_024)
def _document(account: AccountTerms, value: AccountValue, last: AccountValue, last_day: str) -> dict[str, object]:
    """Returns Alpaca's account, without the fields removed on 2026-07-06. `last` is its value at the last close.

    Nobody changes the document: it is returned again while cash and prices are the same.
    """
    power = format_amount(buying_power(account.multiplier, value, last))
    equity = format_amount(value.equity)
    return {
        **account.profile,
        "buying_power": power,
        "regt_buying_power": format_amount(overnight_buying_power(account.multiplier, value)),
        "effective_buying_power": power,
        "non_marginable_buying_power": format_amount(value.spendable_cash),
        "options_buying_power": format_amount(options_buying_power(account.multiplier, value)),
        "cash": format_amount(value.cash),
        "portfolio_value": equity,
        "equity": equity,
        "last_equity": format_amount(last.equity),
        "long_market_value": format_amount(value.long_market_value),
        "short_market_value": format_amount(value.short_market_value),
        "position_market_value": format_amount(value.position_market_value),
        "initial_margin": format_amount(value.initial_margin),
        "maintenance_margin": format_amount(value.maintenance_margin),
        "last_maintenance_margin": format_amount(last.maintenance_margin),
        "sma": format_amount(last.excess),
        "balance_asof": last_day,
    }


@lru_cache(maxsize=64)
def _last_session(second: int) -> tuple[str, int]:
    """Returns the day of the last session and its close in nanoseconds since 1970, for a second since 1970."""
    session = last_session_before(new_york_time(second * SECOND).date())
    return session.day.isoformat(), close_before_today(second * SECOND)


@lru_cache(maxsize=16_384)
def _worth_at_close(account: AccountTerms, closed_at: int) -> AccountValue:
    return initial_value_at(account, closed_at)


_Reader = Callable[[str, JsonValue], bool | int | str]


def get_configurations(request: Request) -> Document:
    return request.account.configurations.document()


def update_configurations(request: Request) -> Document:
    """Ignores fields that are null or unknown: Alpaca's SDK for Python sends whole objects back, nulls included."""
    apply_configurations(request.account, request.json_object())
    return request.account.configurations.document()


def apply_configurations(account: TradingAccount, values: Mapping[str, JsonValue]) -> None:
    changes: dict[str, Any] = {
        name: _READERS[name](name, value) for name, value in values.items() if name in _READERS and value is not None
    }
    account.configurations = replace(account.configurations, **changes)
    account.terms = account.order_manager.terms = configured(account.initial_terms, account.configurations)


def _flag(name: str, value: JsonValue) -> bool:
    if not isinstance(value, bool):
        raise InvalidParameterError(f"{name} must be true or false")
    return value


def _multiplier(name: str, value: JsonValue) -> str:
    if not isinstance(value, str) or value not in {"1", "2", "4"}:
        raise InvalidParameterError(f"{name} must be 1, 2 or 4")
    return value


def _level(name: str, value: JsonValue) -> int:
    if not isinstance(value, Decimal) or value not in {0, 1, 2, 3}:
        raise InvalidParameterError(f"{name} must be 0, 1, 2 or 3")
    return int(value)


def _email(name: str, value: JsonValue) -> str:
    if not isinstance(value, str) or value not in {"all", "none"}:
        raise InvalidParameterError(f"{name} must be all or none")
    return value


_READERS: Mapping[str, _Reader] = {
    "disable_overnight_trading": _flag,
    "fractional_trading": _flag,
    "max_margin_multiplier": _multiplier,
    "max_options_trading_level": _level,
    "no_shorting": _flag,
    "ptp_no_exception_entry": _flag,
    "suspend_trade": _flag,
    "trade_confirm_email": _email,
}
