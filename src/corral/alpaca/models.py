"""An account as Alpaca describes it, read without trusting the answer.

Source: `GET /v2/account` in https://docs.alpaca.markets/openapi/trading-api.json. Alpaca adds and removes
fields (`pattern_day_trader` and `daytrade_count` went in July 2026), so only what a balance needs is required.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from corral.alpaca.errors import NotAnAccount, WrongShape
from corral.alpaca.reading import Fields, count, decimal, flag, moment, present, read_object, text

LONGEST_CURRENCY: Final = 8
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Decimals are texts, digit for digit as Alpaca wrote them; `cash` is negative on margin.

    What has a default is told for information only, and is None where Alpaca does not say it sensibly.
    """

    id: str
    account_number: str | None
    status: str | None
    currency: str
    cash: str
    equity: str
    buying_power: str
    last_equity: str | None
    multiplier: str | None
    trading_blocked: bool
    account_blocked: bool
    pattern_day_trader: bool
    daytrade_count: int
    transfers_blocked: bool | None = None
    trade_suspended_by_user: bool | None = None
    shorting_enabled: bool | None = None
    options_approved_level: int | None = None
    options_trading_level: int | None = None
    crypto_status: str | None = None
    created_at: str | None = None
    long_market_value: str | None = None
    short_market_value: str | None = None
    initial_margin: str | None = None
    maintenance_margin: str | None = None
    last_maintenance_margin: str | None = None
    sma: str | None = None
    regt_buying_power: str | None = None
    daytrading_buying_power: str | None = None
    options_buying_power: str | None = None
    non_marginable_buying_power: str | None = None
    accrued_fees: str | None = None
    pending_transfer_in: str | None = None
    pending_transfer_out: str | None = None


def read_account(body: bytes) -> Account:
    """Reads the body of `GET /v2/account`. Raises NotAnAccount for everything that is not one.

    Optional fields may be missing or null; one that is there and makes no sense is refused like a missing
    balance, because a wrong "not blocked" costs more than an error.
    """
    with suppress(WrongShape):
        return _account(read_object(body))
    raise NotAnAccount


def _account(fields: Fields) -> Account:
    account_number = text(fields, "account_number")
    return Account(
        id=present(text(fields, "id") or account_number),
        account_number=account_number,
        status=text(fields, "status"),
        currency=text(fields, "currency", longest=LONGEST_CURRENCY) or "USD",
        cash=present(decimal(fields, "cash")),
        equity=present(decimal(fields, "equity")),
        buying_power=present(decimal(fields, "buying_power")),
        last_equity=decimal(fields, "last_equity"),
        multiplier=decimal(fields, "multiplier"),
        trading_blocked=flag(fields, "trading_blocked") or False,
        account_blocked=flag(fields, "account_blocked") or False,
        pattern_day_trader=flag(fields, "pattern_day_trader") or False,
        daytrade_count=count(fields, "daytrade_count") or 0,
        transfers_blocked=_if_sensible(flag, fields, "transfers_blocked"),
        trade_suspended_by_user=_if_sensible(flag, fields, "trade_suspended_by_user"),
        shorting_enabled=_if_sensible(flag, fields, "shorting_enabled"),
        options_approved_level=_if_sensible(count, fields, "options_approved_level"),
        options_trading_level=_if_sensible(count, fields, "options_trading_level"),
        crypto_status=_if_sensible(text, fields, "crypto_status"),
        created_at=_if_sensible(moment, fields, "created_at"),
        long_market_value=_if_sensible(decimal, fields, "long_market_value"),
        short_market_value=_if_sensible(decimal, fields, "short_market_value"),
        initial_margin=_if_sensible(decimal, fields, "initial_margin"),
        maintenance_margin=_if_sensible(decimal, fields, "maintenance_margin"),
        last_maintenance_margin=_if_sensible(decimal, fields, "last_maintenance_margin"),
        sma=_if_sensible(decimal, fields, "sma"),
        regt_buying_power=_if_sensible(decimal, fields, "regt_buying_power"),
        daytrading_buying_power=_if_sensible(decimal, fields, "daytrading_buying_power"),
        options_buying_power=_if_sensible(decimal, fields, "options_buying_power"),
        non_marginable_buying_power=_if_sensible(decimal, fields, "non_marginable_buying_power"),
        accrued_fees=_if_sensible(decimal, fields, "accrued_fees"),
        pending_transfer_in=_if_sensible(decimal, fields, "pending_transfer_in"),
        pending_transfer_out=_if_sensible(decimal, fields, "pending_transfer_out"),
    )


def _if_sensible(read: Callable[[Fields, str], _Value | None], fields: Fields, name: str) -> _Value | None:
    try:
        return read(fields, name)
    except WrongShape:
        return None
