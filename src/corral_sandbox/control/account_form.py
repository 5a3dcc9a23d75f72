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

import re
from dataclasses import dataclass, fields
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Literal, Never, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from corral_sandbox.broker.account_settings import AccountConfigurations
from corral_sandbox.broker.characters import Character
from corral_sandbox.broker.seeding import AccountSeed, SeedPosition
from corral_sandbox.errors import ApiError
from corral_sandbox.http.requests import JsonValue, read_json_object

DERIVED = "derived"

_CURRENCY = re.compile("[A-Z]{3}")

# Those of Alpaca's OpenAPI document, and those that only its SDK for Python knows.
_Status = Literal[
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
]
_Restriction = Literal["trading_blocked", "account_blocked", "transfers_blocked", "trade_suspended_by_user"]


def _number(value: JsonValue) -> JsonValue:
    """Rejects true and false, which pydantic would read as one and zero."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports only ValueError as a reason
    return value


def _text(value: JsonValue) -> JsonValue:
    return str(value) if isinstance(value, Decimal) else value


def _currency(code: str) -> str:
    if _CURRENCY.fullmatch(code) is None:
        raise ValueError("must be a code of three capital letters, such as USD")
    return code


_Cash = Annotated[Decimal, BeforeValidator(_number), Field(ge=-(10**12), le=10**12, max_digits=60)]
_Quantity = Annotated[Decimal, BeforeValidator(_number), Field(ge=-(10**9), le=10**9, decimal_places=9)]
_Price = Annotated[Decimal, BeforeValidator(_number), Field(gt=0, le=10**9, decimal_places=12)]
_Level = Annotated[int, BeforeValidator(_number), Field(ge=0, le=3)]
_Count = Annotated[int, BeforeValidator(_number), Field(ge=0, le=10_000)]
_Currency = Annotated[str, AfterValidator(_currency)]
_Multiplier = Annotated[Literal["1", "2", "4"], BeforeValidator(_text)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Position(_Part):
    symbol: str
    qty: _Quantity
    avg_entry_price: _Price | None = None


class WatchlistForm(_Part):
    name: str
    symbols: list[str] = []


class _Body(_Part):
    character: Character | None = None
    cash: _Cash | None = None
    currency: _Currency | None = None
    multiplier: _Multiplier | None = None
    status: _Status | None = None
    options_level: _Level | None = None
    daytrade_count: _Count | None = None
    restrictions: list[_Restriction] | None = None
    positions: list[_Position] | None = None
    watchlists: list[WatchlistForm] = []


@dataclass(frozen=True, slots=True)
class AccountForm:
    """An account as it was written: what it is, then what happens to it, in this order."""

    seed: AccountSeed
    configurations: dict[str, JsonValue]
    watchlists: list[WatchlistForm]
    orders: list[dict[str, JsonValue]]


def read_form(body: bytes) -> AccountForm:
    """Raises a 400 that names the field; an empty body is an empty form."""
    document = read_json_object(body or b"{}")
    if document is None:
        _refuse('an account is a JSON object, such as {"cash": "2500.50"}')
    document = {name: value for name, value in document.items() if name != DERIVED and value is not None}
    orders, configurations = document.pop("orders", []), document.pop("configurations", {})
    try:
        read = _Body.model_validate(document)
    except ValidationError as rejected:
        _refuse(_reason(rejected.errors(include_url=False, include_input=False)[0]))
    return AccountForm(_seed(read), _configurations(configurations), read.watchlists, _orders(orders))


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


def _configurations(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        _refuse("configurations: must be an object, as PATCH /v2/account/configurations takes it")
    known = [field.name for field in fields(AccountConfigurations)]
    for name in value:
        if name not in known:
            _refuse(f"configurations.{name}: unknown field; there are {', '.join(known)}")
    return value


def _orders(value: JsonValue) -> list[dict[str, JsonValue]]:
    if not isinstance(value, list):
        _refuse("orders: must be a list of orders, as POST /v2/orders takes them")
    orders: list[dict[str, JsonValue]] = []
    for index, order in enumerate(value):
        if not isinstance(order, dict):
            _refuse(f"orders.{index}: must be an object, as POST /v2/orders takes it")
        orders.append(order)
    return orders


def _reason(error: ErrorDetails) -> str:
    *parents, name = map(str, error["loc"])
    where = ".".join((*parents, name))
    if error["type"] == "extra_forbidden":
        hint = _HINTS.get(name)
        return f"{where} {hint}" if hint else f"{where}: {_why_unknown(name, parents[0] if parents else None)}"
    if error["type"] == "missing":
        return f"{where}: is required"
    return f"{where}: {error['msg'].removeprefix('Value error, ').replace('Input should be', 'must be')}"


def _why_unknown(name: str, part: str | None) -> str:
    known = [*_Body.model_fields, "orders", "configurations"] if part is None else _FIELDS_OF_PARTS[part]
    if close := get_close_matches(name, known, 1):
        return f"unknown field; did you mean {close[0]}?"
    return f"unknown field; there are {', '.join(known)}"


def _refuse(reason: str) -> Never:
    raise ApiError(400, reason)


_FIELDS_OF_PARTS = {"positions": list(_Position.model_fields), "watchlists": list(WatchlistForm.model_fields)}

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
    **{name: f'is an entry of the list restrictions, as in ["{name}"]' for name in get_args(_Restriction)},
}
