"""Positions as Alpaca describes them. Source: `GET /v2/positions`, https://docs.alpaca.markets/openapi/trading-api.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from corral.alpaca.errors import Fault, WrongShape
from corral.alpaca.fields import Fields, decimal, flag, read_array, text
from corral.alpaca.items import ItemForm, UnreadableItem, needed, read_items


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Decimals are strings, digit for digit. Short positions have a negative `qty` and `market_value`.

    `…_plpc` and `change_today` are factors: 0.0084 is 0.84 %. In an account that is not in dollars, `usd` has the
    values in dollars and `swap_rate` is the exchange rate: units of the account's currency for a dollar.
    """

    asset_id: str
    symbol: str
    exchange: str | None
    asset_class: str | None
    asset_marginable: bool | None
    side: str
    qty: str
    qty_available: str | None
    avg_entry_price: str | None
    market_value: str | None
    cost_basis: str | None
    unrealized_pl: str | None
    unrealized_plpc: str | None
    unrealized_intraday_pl: str | None
    unrealized_intraday_plpc: str | None
    current_price: str | None
    lastday_price: str | None
    change_today: str | None
    swap_rate: str | None = None
    prev_swap_rate: str | None = None
    avg_entry_swap_rate: str | None = None
    usd: Mapping[str, str] | None = None


def read_positions(body: bytes) -> tuple[Position | UnreadableItem, ...]:
    """Parses the body of `GET /v2/positions`, which has no pages. Raises WrongShape as `read_items` does."""
    return read_items(read_array(body), _FORM.read)


def _usd(fields: Fields, name: str) -> Mapping[str, str] | None:
    values = fields.get(name)
    if values is None:
        return None
    if not isinstance(values, dict):
        raise WrongShape(Fault.NOT_AN_OBJECT, name)
    in_usd = cast("Fields", values)
    return {each: value for each in _IN_USD if (value := decimal(in_usd, each)) is not None}


_IN_USD: Final = (
    "avg_entry_price",
    "market_value",
    "cost_basis",
    "unrealized_pl",
    "unrealized_plpc",
    "unrealized_intraday_pl",
    "unrealized_intraday_plpc",
    "current_price",
    "lastday_price",
    "change_today",
)
_FORM: Final = ItemForm(
    Position,
    identity={"asset_id": needed(text), "symbol": needed(text)},
    fields={
        "exchange": text,
        "asset_class": text,
        "asset_marginable": flag,
        "side": needed(text),
        "qty": needed(decimal),
        "qty_available": decimal,
        "avg_entry_price": decimal,
        "market_value": decimal,
        "cost_basis": decimal,
        "unrealized_pl": decimal,
        "unrealized_plpc": decimal,
        "unrealized_intraday_pl": decimal,
        "unrealized_intraday_plpc": decimal,
        "current_price": decimal,
        "lastday_price": decimal,
        "change_today": decimal,
        "swap_rate": decimal,
        "prev_swap_rate": decimal,
        "avg_entry_swap_rate": decimal,
        "usd": _usd,
    },
)
