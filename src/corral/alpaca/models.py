"""An account as Alpaca describes it, read without trusting the answer.

Source: `GET /v2/account` in https://docs.alpaca.markets/openapi/trading-api.json. Alpaca adds and removes
fields (`pattern_day_trader` and `daytrade_count` went in July 2026), so only what a balance needs is required.

Also the market clock. Source: `GET /v2/clock`, https://docs.alpaca.markets/openapi/trading-api.json.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from corral.alpaca.errors import Fault, NotAnAccount, WrongShape
from corral.alpaca.fields import (
    Fields,
    Read,
    count,
    date,
    decimal,
    flag,
    is_set,
    moment,
    read_object,
    read_table,
    read_table_if_readable,
    required,
    text,
)

LONGEST_CURRENCY: Final = 8
ACTIVE: Final = "ACTIVE"  # the only status in https://docs.alpaca.markets/docs/account-plans without limitations


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """An account, whether or not it is open. Decimals are strings, digit for digit as Alpaca wrote them.

    Fields with a default are for information only, and None if Alpaca sends no readable value.
    """

    id: str
    account_number: str | None
    status: str | None
    currency: str
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
    balance_asof: str | None = None  # the day at whose close `last_equity` was the equity
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(AccountFacts):
    """An account with a balance; `cash` is negative on margin."""

    cash: str
    equity: str
    buying_power: str


def read_account(body: bytes) -> AccountFacts:
    """Parses the body of `GET /v2/account`: an Account, or AccountFacts for one that is not open and has no balance.

    Raises NotAnAccount for everything else. Optional fields may be missing or null. An invalid one
    is rejected like a missing balance, because a wrong "not blocked" costs more than an error.
    """
    try:
        return _account(read_object(body))
    except WrongShape as wrong:
        fault, field = wrong.fault, wrong.field
    # A new exception, because the traceback of the original one refers to the body.
    raise NotAnAccount(fault, field)


def _account(fields: Fields) -> AccountFacts:
    if not fields:
        raise WrongShape(Fault.NOT_AN_OBJECT)
    facts = read_table(fields, _FACTS)
    facts |= {
        "id": facts["id"] or facts["account_number"],
        "currency": facts["currency"] or "USD",
        "daytrade_count": facts["daytrade_count"] or 0,
        **read_table_if_readable(fields, _FOR_INFORMATION),
    }
    if facts["id"] is None:
        raise WrongShape(Fault.MISSING, "account_number")
    balance = read_table(fields, _BALANCE)
    missing = [name for name, amount in balance.items() if amount is None]
    if not missing:
        return Account(**facts, **balance)
    if facts["status"] in {None, ACTIVE}:
        raise WrongShape(Fault.MISSING, missing[0])
    return AccountFacts(**facts)


_BALANCE: Final[Mapping[str, Read[object]]] = dict.fromkeys(("cash", "equity", "buying_power"), decimal)
_FACTS: Final[Mapping[str, Read[object]]] = {
    "id": text,
    "account_number": text,
    "status": text,
    "currency": partial(text, longest=LONGEST_CURRENCY),
    "last_equity": decimal,
    "multiplier": decimal,
    "trading_blocked": is_set,
    "account_blocked": is_set,
    "pattern_day_trader": is_set,
    "daytrade_count": count,
}
_FOR_INFORMATION: Final[Mapping[str, Read[object]]] = {
    "transfers_blocked": flag,
    "trade_suspended_by_user": flag,
    "shorting_enabled": flag,
    "options_approved_level": count,
    "options_trading_level": count,
    "crypto_status": text,
    "created_at": moment,
    "balance_asof": date,
    **dict.fromkeys(
        (
            "long_market_value",
            "short_market_value",
            "initial_margin",
            "maintenance_margin",
            "last_maintenance_margin",
            "sma",
            "regt_buying_power",
            "daytrading_buying_power",
            "options_buying_power",
            "non_marginable_buying_power",
            "accrued_fees",
            "pending_transfer_in",
            "pending_transfer_out",
        ),
        decimal,
    ),
}


@dataclass(frozen=True, slots=True)
class MarketClock:
    """Times in UTC; Alpaca returns New York time."""

    timestamp: str
    is_open: bool
    next_open: str
    next_close: str


def read_clock(body: bytes) -> MarketClock:
    """Raises WrongShape for what is not a clock."""
    fields = read_object(body)
    return MarketClock(
        timestamp=required(moment, fields, "timestamp"),
        is_open=required(flag, fields, "is_open"),
        next_open=required(moment, fields, "next_open"),
        next_close=required(moment, fields, "next_close"),
    )
