"""The form in which a test writes an account. Everything may be left out.

    {"character": "investor", "cash": "2500.50", "currency": "USD", "multiplier": "4", "status": "ACTIVE",
     "options_level": 3, "daytrade_count": 0, "restrictions": ["trading_blocked"],
     "positions": [{"symbol": "AAPL", "qty": "10", "avg_entry_price": "240"}],
     "orders": [as POST /v2/orders],
     "configurations": {as PATCH /v2/account/configurations},
     "watchlists": [{"name": "mine", "symbols": ["AAPL"]}]}

What follows from these, such as equity, is refused. Only `derived`, under which GET returns it, may be sent back; it is
ignored.
"""

from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Annotated, Never, cast, get_args

from corral_sandbox.broker.account_settings import AccountConfigurations
from corral_sandbox.broker.characters import Character
from corral_sandbox.broker.seeding import AccountSeed, SeedPosition
from corral_sandbox.errors import ApiError
from corral_sandbox.http.forms import (
    FormError,
    UnknownFieldError,
    choice,
    list_of,
    matching,
    number,
    part,
    read_form,
    text,
    whole_number,
)
from corral_sandbox.http.requests import JsonValue, read_json_object

DERIVED = "derived"

# Those of Alpaca's OpenAPI document, and those that only its SDK for Python knows.
_STATUSES = (
    "INACTIVE",
    "PAPER_ONLY",
    "ONBOARDING",
    "SUBMISSION_FAILED",
    "SUBMITTED",
    "ACCOUNT_UPDATED",
    "APPROVAL_PENDING",
    "ACTIVE",
    "REJECTED",
    "ACCOUNT_CLOSED",
    "APPROVED",
    "ACCOUNT_CLOSED_PENDING",
    "ACTION_REQUIRED",
    "LIMITED",
    "AML_REVIEW",
    "DISABLED",
    "DISABLE_PENDING",
    "EDITED",
    "KYC_SUBMITTED",
    "REAPPROVAL_PENDING",
    "RESUBMITTED",
    "SIGNED_UP",
)
_RESTRICTIONS = ("trading_blocked", "account_blocked", "transfers_blocked", "trade_suspended_by_user")


def _multiplier(value: object) -> object:
    return _one_multiplier(str(value) if isinstance(value, Decimal) else value)


def _order(value: object) -> object:
    if not isinstance(value, dict):
        raise FormError("must be an object, as POST /v2/orders takes it")
    return cast("dict[str, JsonValue]", value)


def _configurations(value: object) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise FormError("must be an object, as PATCH /v2/account/configurations takes it")
    configurations = cast("dict[str, JsonValue]", value)
    known = [each.name for each in fields(AccountConfigurations)]
    for name in configurations:
        if name not in known:
            raise FormError(f"unknown field; there are {', '.join(known)}", (name,))
    return configurations


_one_multiplier = choice("1", "2", "4")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Position:
    symbol: Annotated[str, text]
    qty: Annotated[Decimal, number(lowest=-(10**9), highest=10**9, decimal_places=9)]
    avg_entry_price: Annotated[Decimal | None, number(above=0, highest=10**9, decimal_places=12)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchlistEntry:
    name: Annotated[str, text]
    symbols: Annotated[list[str], list_of(text)] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Body:
    character: Annotated[Character | None, choice(*get_args(Character))] = None
    cash: Annotated[Decimal | None, number(lowest=-(10**12), highest=10**12, decimal_places=40)] = None
    currency: Annotated[str | None, matching("[A-Z]{3}", "must be a code of three capital letters, such as USD")] = None
    multiplier: Annotated[str | None, _multiplier] = None
    status: Annotated[str | None, choice(*_STATUSES)] = None
    options_level: Annotated[int | None, whole_number(0, 3)] = None
    daytrade_count: Annotated[int | None, whole_number(0, 10_000)] = None
    restrictions: Annotated[list[str] | None, list_of(choice(*_RESTRICTIONS))] = None
    positions: Annotated[list[_Position] | None, list_of(part(_Position))] = None
    orders: Annotated[list[dict[str, JsonValue]], list_of(_order)] = field(default_factory=list[dict[str, JsonValue]])
    configurations: Annotated[dict[str, JsonValue], _configurations] = field(default_factory=dict[str, JsonValue])
    watchlists: Annotated[list[WatchlistEntry], list_of(part(WatchlistEntry))] = field(
        default_factory=list[WatchlistEntry]
    )


@dataclass(frozen=True, slots=True)
class AccountForm:
    """An account as it was written: what it is, then what happens to it, in this order."""

    seed: AccountSeed
    configurations: dict[str, JsonValue]
    watchlists: list[WatchlistEntry]
    orders: list[dict[str, JsonValue]]


def read_account(body: bytes) -> AccountForm:
    """Raises a 400 that names the field; an empty body is an empty form."""
    document = read_json_object(body or b"{}")
    if document is None:
        _refuse('an account is a JSON object, such as {"cash": "2500.50"}')
    document.pop(DERIVED, None)
    try:
        read = read_form(_Body, document)
    except FormError as rejected:
        hint = _HINTS.get(rejected.place[-1]) if isinstance(rejected, UnknownFieldError) else None
        _refuse(f"{'.'.join(rejected.place)} {hint}" if hint else str(rejected))
    return AccountForm(_seed(read), read.configurations, read.watchlists, read.orders)


def _seed(read: _Body) -> AccountSeed:
    return AccountSeed(
        character=read.character,
        cash=read.cash,
        currency=read.currency,
        multiplier=None if read.multiplier is None else int(read.multiplier),
        status=read.status,
        options_level=read.options_level,
        daytrade_count=read.daytrade_count,
        restrictions=None if read.restrictions is None else tuple(read.restrictions),
        positions=None
        if read.positions is None
        else tuple(SeedPosition(each.symbol, each.qty, each.avg_entry_price) for each in read.positions),
    )


def _refuse(reason: str) -> Never:
    raise ApiError(400, reason)


_FOLLOWS_FROM_HOLDINGS = "follows from cash and positions and cannot be set"
_FOLLOWS_FROM_PRICE = "follows from qty, avg_entry_price and the market's price and cannot be set"
_HINTS = {
    "equity": _FOLLOWS_FROM_HOLDINGS,
    "last_equity": _FOLLOWS_FROM_HOLDINGS,
    "portfolio_value": _FOLLOWS_FROM_HOLDINGS,
    "long_market_value": _FOLLOWS_FROM_HOLDINGS,
    "short_market_value": _FOLLOWS_FROM_HOLDINGS,
    "position_market_value": _FOLLOWS_FROM_HOLDINGS,
    "initial_margin": _FOLLOWS_FROM_HOLDINGS,
    "maintenance_margin": _FOLLOWS_FROM_HOLDINGS,
    "last_maintenance_margin": _FOLLOWS_FROM_HOLDINGS,
    "sma": _FOLLOWS_FROM_HOLDINGS,
    "buying_power": "follows from cash, positions and multiplier and cannot be set",
    "regt_buying_power": "follows from cash and positions and cannot be set",
    "effective_buying_power": "follows from cash, positions and multiplier and cannot be set",
    "options_buying_power": "follows from cash and positions and cannot be set",
    "non_marginable_buying_power": "follows from cash and cannot be set",
    "market_value": _FOLLOWS_FROM_PRICE,
    "cost_basis": _FOLLOWS_FROM_PRICE,
    "unrealized_pl": _FOLLOWS_FROM_PRICE,
    "current_price": "is the market's and not the account's",
    "side": "follows from qty, which is negative for a short position",
    "id": "follows from the key ID and cannot be set",
    "account_number": "follows from the key ID and cannot be set",
    "created_at": "cannot be set",
    "shorting_enabled": "follows from multiplier and cannot be set",
    "options_approved_level": "is called options_level here",
    "options_trading_level": "is called options_level here",
    "balance": "is called cash here",
    **{name: f'is an entry of the list restrictions, as in ["{name}"]' for name in _RESTRICTIONS},
}
