"""An account as Alpaca describes it, read without trusting the answer.

Source: `GET /v2/account` in https://docs.alpaca.markets/openapi/trading-api.json. Alpaca adds and removes
fields (`pattern_day_trader` and `daytrade_count` went in July 2026), so only what a balance needs is required.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Never, cast

from corral.alpaca.errors import NotAnAccount

LONGEST_TEXT: Final = 64
LONGEST_CURRENCY: Final = 8
# Exponents end at three digits: "1e999999999" is a decimal as well, but whoever writes it out runs out of memory.
_DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
_COUNT: Final = re.compile(r"(\d{1,6})(\.0{1,6})?", re.ASCII)
_BOOLEANS: Final[Mapping[object, bool]] = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Decimals are texts, digit for digit as Alpaca wrote them; `cash` is negative on margin."""

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


def read_account(body: bytes) -> Account:
    """Reads the body of `GET /v2/account`. Raises NotAnAccount for everything that is not one.

    Optional fields may be missing or null; one that is there and makes no sense is refused like a missing
    balance, because a wrong "not blocked" costs more than an error.
    """
    fields = read_object(body)
    account_number = _text(fields, "account_number")
    return Account(
        id=_present(_text(fields, "id") or account_number),
        account_number=account_number,
        status=_text(fields, "status"),
        currency=_text(fields, "currency", longest=LONGEST_CURRENCY) or "USD",
        cash=_present(_decimal(fields, "cash")),
        equity=_present(_decimal(fields, "equity")),
        buying_power=_present(_decimal(fields, "buying_power")),
        last_equity=_decimal(fields, "last_equity"),
        multiplier=_decimal(fields, "multiplier"),
        trading_blocked=_flag(fields, "trading_blocked"),
        account_blocked=_flag(fields, "account_blocked"),
        pattern_day_trader=_flag(fields, "pattern_day_trader"),
        daytrade_count=_count(fields, "daytrade_count"),
    )


def read_object(body: bytes) -> Mapping[str, Any]:
    """Reads a JSON object, numbers as the texts they were written as; empty for anything else."""
    # No exception of the parser is passed on or becomes a context: it would carry the whole body.
    with suppress(ValueError, RecursionError):
        value: object = _DECODER.decode(body.decode("utf-8"))
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
    return {}


class _NumberAsWritten(str):
    """A JSON number that was never a float: no digit is lost, and none is computed."""

    __slots__ = ()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice: parsers differ in which value they believe")
    return fields


def _refuse_constant(_constant: str) -> Never:
    raise ValueError("NaN and Infinity are not JSON")


# The standard library's parser, because it alone can keep numbers as written and see a name that stands
# twice. With both done for it by further passes over the bytes, orjson is no faster (6 µs for an account).
_DECODER: Final = json.JSONDecoder(
    parse_float=_NumberAsWritten,
    parse_int=_NumberAsWritten,
    parse_constant=_refuse_constant,
    object_pairs_hook=_unique,
)


def _present(value: str | None) -> str:
    if not value:
        raise NotAnAccount
    return value


def _text(fields: Mapping[str, Any], name: str, *, longest: int = LONGEST_TEXT) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    # isprintable() also keeps out lone surrogates, which no UTF-8 answer of ours could hold.
    if type(value) is not str or len(value) > longest or not value.isprintable():
        raise NotAnAccount
    return value


def _decimal(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or not _DECIMAL.fullmatch(value):
        raise NotAnAccount
    return str(value)


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    if type(value) is not str or value not in _BOOLEANS:
        raise NotAnAccount
    return _BOOLEANS[value]


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if value is None:
        return 0
    if not isinstance(value, str) or not (count := _COUNT.fullmatch(value)):
        raise NotAnAccount
    return int(count[1])
