"""Reads request bodies strictly, and writes the bodies that are sent to Alpaca from what was read.

Alpaca's servers are written in Go, whose JSON parser ignores the case of names and lets the last of two equal names
win. A body that another parser could read differently is refused: duplicate, misspelled or unknown names, a second
value, invalid JSON. The forms are those of https://docs.alpaca.markets/openapi/trading-api.json. Numbers may be JSON
strings or JSON numbers; they are kept digit for digit and sent as strings, as in the document. Null counts as missing,
and so does an empty string, which Alpaca's SDK for Go sends for missing choices and texts.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from typing import Any, Final, Never, TypeVar, cast

import orjson

from corral.gateway.operations import Operation
from corral.gateway.refusals import Reason, Refused

MOST_BODY_BYTES: Final = 64 * 1024
MOST_LEGS: Final = 4
LONGEST_CLIENT_ORDER_ID: Final = 128
_LONGEST_NAME: Final = 256
_MOST_SYMBOLS: Final = 4_096

# A JSON number. Python writes 1e-05; no amount needs an exponent of more than two digits.
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,39})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_SYMBOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?:/[A-Za-z0-9]{1,16})?", re.ASCII)
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeProfit:
    limit_price: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLoss:
    stop_price: str | None = None
    limit_price: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLeg:
    symbol: str
    ratio_qty: str
    side: str | None = None
    position_intent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvancedInstructions:
    algorithm: str | None = None
    destination: str | None = None
    display_qty: str | None = None
    max_percentage: str | None = None
    start_time: str | None = None
    end_time: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """`POST /v2/orders`. Amounts are decimal strings, digit for digit; None means missing."""

    type: str
    time_in_force: str
    symbol: str | None = None
    qty: str | None = None
    notional: str | None = None
    side: str | None = None
    limit_price: str | None = None
    stop_price: str | None = None
    trail_price: str | None = None
    trail_percent: str | None = None
    extended_hours: bool | None = None
    client_order_id: str | None = None
    order_class: str | None = None
    position_intent: str | None = None
    take_profit: TakeProfit | None = None
    stop_loss: StopLoss | None = None
    legs: tuple[OrderLeg, ...] | None = None
    advanced_instructions: AdvancedInstructions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChange:
    """`PATCH /v2/orders/{order_id}`, which replaces an order. `client_order_id` is the new order's."""

    qty: str | None = None
    notional: str | None = None
    time_in_force: str | None = None
    limit_price: str | None = None
    stop_price: str | None = None
    trail: str | None = None
    client_order_id: str | None = None
    advanced_instructions: AdvancedInstructions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchlistForm:
    """A new or changed watchlist. An empty `symbols` removes all symbols, None leaves them."""

    name: str | None = None
    symbols: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchlistSymbol:
    symbol: str


Body = NewOrder | OrderChange | WatchlistForm | WatchlistSymbol
OrderBody = TypeVar("OrderBody", NewOrder, OrderChange)


def read_body(operation: Operation, content: bytes) -> Body | None:
    """Returns the parsed body; None for an operation without one. Raises Refused."""
    if len(content) > MOST_BODY_BYTES:
        raise Refused(Reason.BODY_TOO_LARGE, f"The body is longer than {MOST_BODY_BYTES} bytes.")
    read = _READERS.get(operation.name)
    if read is None:
        _refuse_content(content)
        return None
    return read("The body", _parsed(content))


def with_client_order_id(order: OrderBody, client_order_id: str) -> OrderBody:
    """Returns the order with this ID, by which it can be found again, unless the client chose one."""
    return order if order.client_order_id else replace(order, client_order_id=client_order_id)


def written(body: Body) -> bytes:
    """Returns the JSON that is sent to Alpaca."""
    return orjson.dumps(_without_nothing(body))


def given_fields(body: object) -> dict[str, object]:
    """Returns those that are not missing, by their names."""
    named = ((name, getattr(body, name)) for name in _field_names(type(body)))
    return {name: value for name, value in named if value is not None}


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _without_nothing(value: object) -> object:
    if isinstance(value, str | bool):
        return value
    if isinstance(value, tuple):
        return [_without_nothing(item) for item in cast("tuple[object, ...]", value)]
    return {name: _without_nothing(given) for name, given in given_fields(value).items()}


class _JsonNumber(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _parsed(content: bytes) -> object:
    # The parser's exception is neither raised nor kept as context, because it contains the body.
    try:
        return _DECODER.decode(content.decode("utf-8"))
    except (ValueError, RecursionError):
        pass
    raise _invalid("The body is not valid JSON in UTF-8, or has a duplicate name.")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise ValueError("duplicate name: parsers differ in which value they use")
    return named


def _refuse_constant(_constant: str) -> Never:
    raise ValueError("NaN and Infinity are not JSON")


# The standard library's parser, because it detects duplicate names and keeps numbers as written. int() is never called
# on a number, which may have thousands of digits.
_DECODER: Final = json.JSONDecoder(
    parse_float=_JsonNumber, parse_int=_JsonNumber, parse_constant=_refuse_constant, object_pairs_hook=_unique
)


def _invalid(message: str) -> Refused:
    return Refused(Reason.INVALID_BODY, message)


def _refuse_content(content: bytes) -> None:
    if content.strip() not in {b"", b"{}", b"null"}:
        raise _invalid("This operation takes no body.")


_Read = Callable[[str, object], Any]
_Form = Mapping[str, _Read]


def _object(name: str, value: object, *, kind: Callable[..., Any], form: _Form, required: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - of the kind
    if not isinstance(value, dict):
        raise _invalid(f"{name} is not an object.")
    given = cast("dict[str, object]", value)
    if not given.keys() <= form.keys():
        raise _invalid(f"{name} has an unknown field. Known fields are {', '.join(form)}.")
    read = {field: form[field](field, content) for field, content in given.items() if content is not None}
    read.pop(_NOT_SENT, None)
    if missing := [field for field in required if read.get(field) is None]:
        raise _invalid(f"{name} lacks {', '.join(missing)}.")
    return kind(**read)


def _array(name: str, value: object, *, read: _Read, most: int) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _invalid(f"{name} is not an array.")
    items = cast("list[object]", value)
    if len(items) > most:
        raise _invalid(f"{name} has more than {most} items.")
    return tuple(read(name, item) for item in items)


def _amount(name: str, value: object) -> str:
    amount = _decimal(name, value)
    if amount.startswith("-"):
        raise _invalid(f"{name} is negative.")
    return amount


def _decimal(name: str, value: object) -> str:
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise _invalid(f"{name} is not a number of at most 40 digits.")
    return str(value)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _invalid(f"{name} is not true or false.")
    return value


def _text(name: str, value: object, *, longest: int) -> str | None:
    if type(value) is not str or len(value) > longest or not value.isprintable():
        raise _invalid(f"{name} is not a string of at most {longest} printable characters.")
    return value or None


def _symbol(name: str, value: object) -> str:
    if type(value) is not str or not _SYMBOL.fullmatch(value):
        raise _invalid(f"{name} is not a symbol or an asset ID.")
    return value


def _symbol_or_nothing(name: str, value: object) -> str | None:
    return None if value == "" else _symbol(name, value)


def _moment(name: str, value: object) -> str:
    if type(value) is not str or not _MOMENT.fullmatch(value):
        raise _invalid(f"{name} is not a time like 2026-11-24T10:00:00-05:00.")
    return value


def _one_of(*choices: str) -> _Read:
    def read(name: str, value: object) -> str | None:
        if type(value) is not str or (value and value not in choices):
            raise _invalid(f"{name} is not one of {', '.join(choices)}.")
        return value or None

    return read


def _form(kind: Callable[..., Any], form: _Form, *required: str) -> _Read:
    return partial(_object, kind=kind, form=form, required=required)


_SIDE: Final = _one_of("buy", "sell")
_INTENT: Final = _one_of("buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close")
_TIME_IN_FORCE: Final = _one_of("day", "gtc", "opg", "cls", "ioc", "fok")
_CLIENT_ORDER_ID: Final = partial(_text, longest=LONGEST_CLIENT_ORDER_ID)
_NAME: Final = partial(_text, longest=_LONGEST_NAME)
_SYMBOLS: Final = partial(_array, read=_symbol, most=_MOST_SYMBOLS)

_ADVANCED_INSTRUCTIONS: Final = _form(
    AdvancedInstructions,
    {
        "algorithm": _one_of("DMA", "TWAP", "VWAP"),
        "destination": _one_of("NYSE", "NASDAQ", "ARCA", "IEX", "MEMX"),
        "display_qty": _amount,
        "max_percentage": _amount,
        "start_time": _moment,
        "end_time": _moment,
    },
)
_LEG: Final = _form(
    OrderLeg,
    {"symbol": _symbol, "ratio_qty": _amount, "side": _SIDE, "position_intent": _INTENT},
    "symbol",
    "ratio_qty",
)
_NEW_ORDER: Final = _form(
    NewOrder,
    {
        "symbol": _symbol_or_nothing,
        "qty": _amount,
        "notional": _amount,
        "side": _SIDE,
        "type": _one_of("market", "limit", "stop", "stop_limit", "trailing_stop"),
        "time_in_force": _TIME_IN_FORCE,
        "limit_price": _decimal,  # negative for a multi-leg order with a net credit
        "stop_price": _amount,
        "trail_price": _amount,
        "trail_percent": _amount,
        "extended_hours": _flag,
        "client_order_id": _CLIENT_ORDER_ID,
        "order_class": _one_of("simple", "bracket", "oco", "oto", "mleg"),
        "position_intent": _INTENT,
        "take_profit": _form(TakeProfit, {"limit_price": _amount}),
        "stop_loss": _form(StopLoss, {"stop_price": _amount, "limit_price": _amount}),
        "legs": partial(_array, read=_LEG, most=MOST_LEGS),
        "advanced_instructions": _ADVANCED_INSTRUCTIONS,
    },
    "type",
    "time_in_force",
)
_NOT_SENT: Final = "order_id"  # @alpacahq/typescript-sdk repeats the ID of the path; not in the document
_ORDER_CHANGE: Final = _form(
    OrderChange,
    {
        "qty": _amount,
        "notional": _amount,
        "time_in_force": _TIME_IN_FORCE,
        "limit_price": _decimal,
        "stop_price": _amount,
        "trail": _amount,
        "client_order_id": _CLIENT_ORDER_ID,
        "advanced_instructions": _ADVANCED_INSTRUCTIONS,
        _NOT_SENT: partial(_text, longest=64),
    },
)
_WATCHLIST: Final[_Form] = {"name": _NAME, "symbols": _SYMBOLS}
_WATCHLIST_CHANGE: Final = _form(WatchlistForm, _WATCHLIST)
_WATCHLIST_SYMBOL: Final = _form(WatchlistSymbol, {"symbol": _symbol}, "symbol")

_READERS: Final[Mapping[str, _Read]] = {
    "POST /v2/orders": _NEW_ORDER,
    "PATCH /v2/orders/{order_id}": _ORDER_CHANGE,
    "POST /v2/watchlists": _form(WatchlistForm, _WATCHLIST, "name"),
    "PUT /v2/watchlists/{watchlist_id}": _WATCHLIST_CHANGE,
    "PUT /v2/watchlists:by_name": _WATCHLIST_CHANGE,
    "POST /v2/watchlists/{watchlist_id}": _WATCHLIST_SYMBOL,
    "POST /v2/watchlists:by_name": _WATCHLIST_SYMBOL,
}
